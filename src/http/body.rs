//! Reading bodies: size limits while reading, character sets, and the JSON rules of the front.

use std::borrow::Cow;

use actix_web::http::header::{self, HeaderMap};
use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::query_string;
use super::transfer::{self, Incoming, Room};
use crate::error::{Error, Result};
use crate::types::Object;
use crate::types::aside::{LONG, aside};
use crate::types::json::{FEW_VALUES, count_values, of_few_values};
use crate::types::limits::MAX_VALUES;

/// Form bodies are limited like Express limits them, whatever `maxUploadSize` says.
const FORM_LIMIT: u64 = 100 * 1024;

/// What the body was, as the routes see it.
#[derive(Debug)]
pub enum Body {
    /// JSON or a form; of an array, its elements by index.
    Object(Object),
    /// `multipart/form-data`, unparsed, with its content type.
    Multipart { content_type: String, bytes: Bytes },
}

/// Reads and parses. `limit` is in bytes. The room is to be kept as long as the body.
///
/// # Errors
/// 413 `request entity too large`, also for too many values, 415 for encodings nobody asked for, 400 without a code
/// for what is not JSON, and those of [`collect`].
pub async fn read(headers: &HeaderMap, mut payload: Incoming, limit: u64) -> Result<(Body, Room)> {
    let content_type = text(headers, header::CONTENT_TYPE).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let form = essence == "application/x-www-form-urlencoded";
    let bytes = gather(headers, &mut payload, if form { FORM_LIMIT } else { limit }).await?;
    let mut room = payload.into_room();
    if essence == "multipart/form-data" {
        return Ok((Body::Multipart { content_type: content_type.to_owned(), bytes }, room));
    }
    if bytes.is_empty() {
        return Ok((Body::Object(Object::new()), room));
    }
    check_encoding(headers, content_type)?;
    if form {
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        return Ok((Body::Object(query_string::parse_flat(text)), room));
    }
    let object = read_json(bytes, &mut room, |bytes| {
        // Invalid UTF-8 becomes U+FFFD, which is what Node makes of it.
        let text = String::from_utf8_lossy(bytes);
        // Some .NET clients put a byte order mark before their JSON.
        object_of(text.strip_prefix('\u{feff}').unwrap_or(&text))
    });
    let object = object.await??;
    Ok((Body::Object(object), room))
}

/// The JSON value of a body that has come.
///
/// # Errors
/// As [`read`]; the inner one when it is no JSON.
pub async fn document(bytes: Bytes, room: &mut Room) -> Result<serde_json::Result<Value>> {
    read_json(bytes, room, of_few_values).await
}

/// Reads JSON, a long one on a thread of its own, when there is room for what it becomes.
async fn read_json<T: Send + 'static>(
    bytes: Bytes,
    room: &mut Room,
    read: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> Result<T> {
    let is_long = bytes.len() > LONG;
    if bytes.len() > FEW_VALUES {
        let count = if is_long {
            let bytes = bytes.clone();
            aside(move || count_values(&bytes)).await?
        } else {
            count_values(&bytes)
        };
        if count > MAX_VALUES {
            return Err(Error::http(413, format!("The body holds more than {MAX_VALUES} values.")));
        }
        room.hold_more((count * size_of::<Value>()).saturating_sub(transfer::FREE))?;
    }
    if is_long { aside(move || read(&bytes)).await } else { Ok(read(&bytes)) }
}

/// All bytes of the body, refused as soon as they are too many.
///
/// # Errors
/// 413, also when the announced length is too long; 400 when the client breaks off, 408 when it dawdles, 503 when
/// too many other bodies are on their way.
pub async fn collect(headers: &HeaderMap, mut payload: Incoming, limit: u64) -> Result<Bytes> {
    gather(headers, &mut payload, limit).await
}

/// As [`collect`]; the memory that it takes stays taken.
///
/// # Errors
/// Those of [`collect`].
pub async fn gather(headers: &HeaderMap, payload: &mut Incoming, limit: u64) -> Result<Bytes> {
    let too_large = || Error::http(413, "request entity too large");
    let announced = text(headers, header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    if announced == Some(0) {
        return Ok(Bytes::new());
    }
    let mut bytes = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk?;
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(too_large());
        }
        if bytes.is_empty() {
            // What is announced may never come.
            let likely = announced.map_or(chunk.len(), |length| length.min(limit) as usize);
            bytes.reserve(likely.min(transfer::FREE).max(chunk.len()));
        }
        payload.hold(bytes.len() + chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn check_encoding(headers: &HeaderMap, content_type: &str) -> Result<()> {
    if let Some(encoding) = text(headers, header::CONTENT_ENCODING)
        && !encoding.is_empty()
        && !encoding.eq_ignore_ascii_case("identity")
    {
        let encoding = encoding.to_ascii_lowercase();
        return Err(Error::http(415, format!("unsupported content encoding \"{encoding}\"")));
    }
    let charset = content_type
        .split(';')
        .skip(1)
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, value)| value.trim().trim_matches('"').to_ascii_uppercase());
    match charset {
        Some(charset) if charset != "UTF-8" && charset != "UTF8" => {
            Err(Error::http(415, format!("unsupported charset \"{charset}\"")))
        }
        _ => Ok(()),
    }
}

/// Only objects and arrays count as JSON here: a list becomes an object with its places as keys. Of a text whose
/// values are not too many.
///
/// # Errors
/// 400 without a code.
pub fn object_of(text: &str) -> Result<Object> {
    match parse_json(text, of_few_values)? {
        Value::Object(object) => Ok(object),
        Value::Array(list) => {
            Ok(list.into_iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect())
        }
        _ => Ok(Object::new()),
    }
}

/// An object or an array. Nesting is limited by the parser, which counts it.
///
/// # Errors
/// 400 without a code.
pub fn parse_json(text: &str, read: impl FnOnce(&[u8]) -> serde_json::Result<Value>) -> Result<Value> {
    match text.trim_start_matches([' ', '\t', '\n', '\r']).chars().next() {
        Some('{' | '[') => {}
        Some(first) => {
            let shown: Cow<'_, str> = if text.chars().count() <= 40 { text.into() } else { "...".into() };
            return Err(Error::http(
                400,
                format!("Unexpected token '{first}', \"{shown}\" is not valid JSON"),
            ));
        }
        None => return Err(Error::http(400, "Unexpected end of JSON input")),
    }
    read(text.as_bytes()).map_err(|error| Error::http(400, json_error(&error)))
}

/// In the words of JavaScript engines where there is a counterpart.
fn json_error(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "Unexpected end of JSON input".to_owned();
    }
    let message = error.to_string();
    if message.starts_with("recursion limit exceeded") {
        return "JSON is nested too deeply".to_owned();
    }
    format!("Invalid JSON: {message}")
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        let error = object_of(text).expect_err("refused");
        assert_eq!(error.status(), 400);
        error.public_message(true).to_owned()
    }

    #[test]
    fn only_objects_and_arrays() {
        assert_eq!(message("\"abc\""), "Unexpected token '\"', \"\"abc\"\" is not valid JSON");
        assert_eq!(message("   "), "Unexpected end of JSON input");
        assert_eq!(message("{\"a\":"), "Unexpected end of JSON input");
        assert!(message("{\"a\": NaN}").starts_with("Invalid JSON"));
        assert_eq!(object_of("[1,2]").expect("an array").len(), 2);
    }

    #[test]
    fn deep_json_is_refused_without_recursion_trouble() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(message(&deep), "JSON is nested too deeply");
        let unclosed = "[".repeat(900_000);
        assert_eq!(message(&unclosed), "JSON is nested too deeply");
    }
}

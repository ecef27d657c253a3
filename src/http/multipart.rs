//! `multipart/form-data` bodies of cloud functions: texts become parameters, files their contents.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::types::Object;

/// Texts as strings, files as `{filename, contentType}` with their bytes beside them.
///
/// # Errors
/// 107 `Invalid multipart request: …`
pub fn parse(content_type: &str, body: Bytes) -> Result<(Object, Vec<(String, Bytes)>)> {
    let boundary = parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty());
    let boundary = boundary.ok_or_else(|| invalid("Multipart: Boundary not found"))?;
    let delimiter = format!("--{boundary}").into_bytes();
    let mut fields = Object::new();
    let mut uploads = Vec::new();
    let mut position = match position_of(&body, &delimiter, 0) {
        Some(start) => start + delimiter.len(),
        None => return Err(invalid("Unexpected end of form")),
    };
    let closing = [b"\r\n", delimiter.as_slice()].concat();
    loop {
        if body[position..].starts_with(b"--") {
            return Ok((fields, uploads));
        }
        if !body[position..].starts_with(b"\r\n") {
            return Err(invalid("Malformed part header"));
        }
        let headers_start = position + 2;
        let headers_end = position_of(&body, b"\r\n\r\n", position);
        let headers_end = headers_end.ok_or_else(|| invalid("Unexpected end of form"))?;
        let content_start = headers_end + 4;
        // An empty part ends where its content would begin.
        let content_end = if body[content_start - 2..].starts_with(&closing) {
            content_start
        } else {
            position_of(&body, &closing, content_start).ok_or_else(|| invalid("Unexpected end of form"))?
        };
        let headers = body.get(headers_start..headers_end).unwrap_or_default();
        let part = Part::read(&String::from_utf8_lossy(headers));
        let content = body.slice(content_start..content_end);
        part.store(content, &mut fields, &mut uploads);
        position = content_end.max(content_start) + closing.len();
        if content_end == content_start && body[content_start - 2..].starts_with(&closing) {
            position -= 2;
        }
    }
}

#[derive(Default)]
struct Part {
    name: Option<String>,
    filename: Option<String>,
    content_type: Option<String>,
}

impl Part {
    fn read(headers: &str) -> Self {
        let mut part = Self::default();
        for line in headers.split("\r\n") {
            let Some((name, value)) = line.split_once(':') else { continue };
            match name.trim().to_ascii_lowercase().as_str() {
                "content-disposition" => {
                    part.name = parameter(value, "name");
                    part.filename = parameter(value, "filename");
                }
                "content-type" => part.content_type = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        part
    }

    fn store(self, content: Bytes, fields: &mut Object, uploads: &mut Vec<(String, Bytes)>) {
        let Some(name) = self.name else { return };
        let is_file = self.filename.is_some()
            || self.content_type.as_deref().is_some_and(|kind| kind.starts_with("application/octet-stream"));
        if is_file {
            let content_type = self.content_type.unwrap_or_else(|| "application/octet-stream".to_owned());
            let file = json!({"filename": self.filename, "contentType": content_type});
            fields.insert(name.clone(), file);
            uploads.push((name, content));
        } else {
            fields.insert(name, Value::String(String::from_utf8_lossy(&content).into_owned()));
        }
    }
}

/// A parameter of a header value, with or without quotes.
fn parameter(header: &str, name: &str) -> Option<String> {
    let mut rest = header;
    while let Some(at) = rest.find(';') {
        rest = rest[at + 1..].trim_start();
        let Some((key, value)) = rest.split_once('=') else { continue };
        if !key.trim().eq_ignore_ascii_case(name) {
            // A quoted value may hold semicolons.
            if let Some(quoted) = value.strip_prefix('"')
                && let Some(end) = quoted.find('"')
            {
                rest = &quoted[end + 1..];
            }
            continue;
        }
        return Some(match value.strip_prefix('"') {
            Some(quoted) => quoted[..quoted.find('"').unwrap_or(quoted.len())].to_owned(),
            None => value.split(';').next().unwrap_or_default().trim().to_owned(),
        });
    }
    None
}

fn position_of(body: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    body.get(from..)?.windows(needle.len()).position(|window| window == needle).map(|at| at + from)
}

fn invalid(message: &str) -> Error {
    Error::invalid_json(format!("Invalid multipart request: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(body: &str) -> Result<(Object, Vec<(String, Bytes)>)> {
        parse("multipart/form-data; boundary=XX", Bytes::from(body.to_owned()))
    }

    #[test]
    fn texts_and_files() {
        let (fields, uploads) = form(
            "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n\
             --XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x;y.txt\"\r\nContent-Type: text/plain\r\n\r\nline\r\n\r\nend\r\n\
             --XX\r\nContent-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--XX--\r\n",
        )
        .expect("well-formed");
        assert_eq!(
            Value::Object(fields),
            json!({"a": "one", "f": {"filename": "x;y.txt", "contentType": "text/plain"}, "empty": ""})
        );
        assert_eq!(uploads, vec![("f".to_owned(), Bytes::from_static(b"line\r\n\r\nend"))]);
    }

    #[test]
    fn malformed_forms_are_refused() {
        for body in [
            "",
            "--XX",
            "--XX\r\n",
            "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx",
            "--XXjunk",
        ] {
            let error = form(body).expect_err(body);
            assert!(error.public_message(true).starts_with("Invalid multipart request: "), "{body}");
        }
        assert!(parse("multipart/form-data", Bytes::new()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), cut in 0usize..150) {
            let good = b"--XX\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"\r\n\r\none\r\n--XX--\r\n";
            let mut bytes = good[..cut.min(good.len())].to_vec();
            bytes.extend(body);
            let _ = parse("multipart/form-data; boundary=XX", Bytes::from(bytes));
        }
    }
}

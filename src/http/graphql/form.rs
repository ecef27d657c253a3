//! Requests with files, by the GraphQL multipart request specification: `operations`, `map`, then the files. Errors
//! are worded as the npm package `graphql-upload` words them.

use bytes::Bytes;
use futures_util::stream;
use multer::Multipart;
use serde_json::Value;

use crate::graphql::{Answer, Part, Uploads};
use crate::types::limits::{MAX_BOUNDARY, MAX_PARTS};
use crate::types::names::random_alphanumeric;

/// Bytes of `operations` and of `map`.
pub const FIELD_LIMIT: u64 = 1_000_000;
/// Files of one request, and places that they stand for.
const MOST_FILES: usize = 100;
const MOST_PLACES: usize = 1000;

const SPECIFICATION: &str = "https://github.com/jaydenseric/graphql-multipart-request-spec";

type Parsed<T> = Result<T, Answer>;

fn refuse<T>(status: u16, text: impl Into<String>) -> Parsed<T> {
    Err(Answer::bad_request(status, text))
}

fn malformed<T>(text: &str) -> Parsed<T> {
    refuse(400, format!("{text} ({SPECIFICATION})."))
}

/// The document of `operations` with something in the places of the files, and the files.
pub async fn parse(content_type: &str, body: Bytes, max_upload: u64) -> Parsed<(Value, Uploads)> {
    let boundary = multer::parse_boundary(content_type).unwrap_or_default();
    if boundary.is_empty() || boundary.len() > MAX_BOUNDARY {
        return refuse(400, "Multipart: Boundary not found");
    }
    let body = stream::iter([Ok::<_, std::io::Error>(body)]);
    let mut parts = Multipart::new(body, boundary);
    let nonce = random_alphanumeric(32);
    let mut operations: Option<Value> = None;
    let mut names: Option<Vec<String>> = None;
    let mut files: Vec<Option<Part>> = Vec::new();
    let mut count = 0;
    let ended = |_| Answer::bad_request(400, "Unexpected end of form");
    while let Some(part) = parts.next_field().await.map_err(ended)? {
        count += 1;
        if count > MAX_PARTS {
            return refuse(413, "Too many parts.");
        }
        let name = part.name().unwrap_or_default().to_owned();
        if let Some(file_name) = part.file_name().map(|name| last_part(name).to_owned()) {
            let Some(known) = &names else {
                return malformed("Misordered multipart fields; files should follow ‘map’");
            };
            let content_type = part
                .content_type()
                .map_or_else(|| "application/octet-stream".to_owned(), ToString::to_string);
            let content = part.bytes().await.map_err(ended)?;
            // The rest of the document is answered, as by `graphql-upload`.
            let content = if content.len() as u64 > max_upload {
                Err(format!("File truncated as it exceeds the {max_upload} byte size limit."))
            } else {
                Ok(content)
            };
            if let Some(place) = known.iter().position(|known| *known == name)
                && let Some(slot) = files.get_mut(place)
            {
                *slot = Some(Part { file_name, content_type, content });
            }
            continue;
        }
        let content = part.bytes().await.map_err(ended)?;
        if content.len() as u64 > FIELD_LIMIT {
            return refuse(
                413,
                format!("The ‘{name}’ multipart field value exceeds the {FIELD_LIMIT} byte size limit."),
            );
        }
        match name.as_str() {
            "operations" => match crate::types::json::from_outside(&content) {
                Err(_) => return malformed("Invalid JSON in the ‘operations’ multipart field"),
                Ok(document @ (Value::Object(_) | Value::Array(_))) => operations = Some(document),
                Ok(_) => return malformed("Invalid type for the ‘operations’ multipart field"),
            },
            "map" => {
                let Some(operations) = &mut operations else {
                    return malformed("Misordered multipart fields; ‘map’ should follow ‘operations’");
                };
                let map = match crate::types::json::from_outside(&content) {
                    Err(_) => return malformed("Invalid JSON in the ‘map’ multipart field"),
                    Ok(Value::Object(map)) => map,
                    Ok(_) => return malformed("Invalid type for the ‘map’ multipart field"),
                };
                if map.len() > MOST_FILES {
                    return refuse(413, format!("{MOST_FILES} max file uploads exceeded."));
                }
                let mut known = Vec::with_capacity(map.len());
                let mut places = 0;
                for (index, (field, paths)) in map.into_iter().enumerate() {
                    let Value::Array(paths) = paths else {
                        let text =
                            format!("Invalid type for the ‘map’ multipart field entry key ‘{field}’ array");
                        return malformed(&text);
                    };
                    places += paths.len();
                    if places > MOST_PLACES {
                        return refuse(413, format!("{MOST_PLACES} max file uploads exceeded."));
                    }
                    for (at, path) in paths.iter().enumerate() {
                        let entry =
                            format!("the ‘map’ multipart field entry key ‘{field}’ array index ‘{at}’ value");
                        let Value::String(path) = path else {
                            return malformed(&format!("Invalid type for {entry}"));
                        };
                        if !place(operations, path, Uploads::placeholder(&nonce, index)) {
                            return malformed(&format!("Invalid object path for {entry} ‘{path}’"));
                        }
                    }
                    known.push(field);
                }
                files.resize_with(known.len(), || None);
                names = Some(known);
            }
            _ => {}
        }
    }
    let Some(operations) = operations else { return malformed("Missing multipart field ‘operations’") };
    if names.is_none() {
        return malformed("Missing multipart field ‘map’");
    }
    Ok((operations, Uploads::new(nonce, files)))
}

/// The name without the folders that some clients send before it, as busboy takes it.
fn last_part(name: &str) -> &str {
    match name.rsplit(['/', '\\']).next() {
        Some("." | "..") | None => "",
        Some(last) => last,
    }
}

/// Puts a value at a dotted path, whose parents exist.
fn place(document: &mut Value, path: &str, value: Value) -> bool {
    let mut at = document;
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        let is_last = steps.peek().is_none();
        let next = match at {
            Value::Object(object) if is_last => {
                object.insert(step.to_owned(), value);
                return true;
            }
            Value::Object(object) => object.get_mut(step),
            Value::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            _ => None,
        };
        match next {
            Some(next) if is_last => {
                *next = value;
                return true;
            }
            Some(next) => at = next,
            None => return false,
        }
    }
    false
}

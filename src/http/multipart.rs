//! `multipart/form-data` bodies of cloud functions: texts become parameters, files their contents.

use bytes::Bytes;
use futures_util::stream;
use multer::{Field, Multipart};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::files::mime;
use crate::types::Object;
use crate::types::limits::{MAX_BOUNDARY, MAX_PARTS};

/// Texts as strings, files as `{filename, contentType}` with their bytes beside them: the name without a path, the
/// type without parameters, as parse-server's busboy has them.
///
/// # Errors
/// 107 `Invalid multipart request: …`
pub async fn parse(content_type: &str, body: Bytes) -> Result<(Object, Vec<(String, Bytes)>)> {
    let boundary = multer::parse_boundary(content_type).unwrap_or_default();
    if boundary.is_empty() {
        return Err(invalid("Multipart: Boundary not found"));
    }
    if boundary.len() > MAX_BOUNDARY {
        return Err(invalid("Multipart: Boundary is too long"));
    }
    let body = stream::iter([Ok::<_, std::io::Error>(body)]);
    let mut parts = Multipart::new(body, boundary);
    let mut fields = Object::new();
    let mut uploads = Vec::new();
    let mut count = 0;
    while let Some(part) = parts.next_field().await.map_err(malformed)? {
        count += 1;
        if count > MAX_PARTS {
            return Err(invalid("Too many parts"));
        }
        store(part, &mut fields, &mut uploads).await?;
    }
    Ok((fields, uploads))
}

async fn store(part: Field<'_>, fields: &mut Object, uploads: &mut Vec<(String, Bytes)>) -> Result<()> {
    let name = part.name().map(str::to_owned);
    let filename = part.file_name().map(str::to_owned);
    let content_type = part.headers().get("content-type");
    let content_type = content_type.map(|value| mime::essence(&String::from_utf8_lossy(value.as_bytes())));
    // What a part is that does not say (RFC 7578 §4.4).
    let content_type =
        content_type.filter(|kind| !kind.is_empty()).unwrap_or_else(|| "text/plain".to_owned());
    let content = part.bytes().await.map_err(malformed)?;
    let Some(name) = name else { return Ok(()) };
    if filename.is_some() || content_type == "application/octet-stream" {
        let mut file = Object::new();
        if let Some(filename) = filename {
            file.insert("filename".to_owned(), base_name(&filename).into());
        }
        file.insert("contentType".to_owned(), content_type.into());
        fields.insert(name.clone(), Value::Object(file));
        uploads.push((name, content));
    } else {
        fields.insert(name, Value::String(String::from_utf8_lossy(&content).into_owned()));
    }
    Ok(())
}

/// The last segment of a path: some browsers send where a file lay.
fn base_name(path: &str) -> &str {
    match path.rsplit(['/', '\\']).next().unwrap_or_default() {
        "." | ".." => "",
        name => name,
    }
}

fn malformed(error: multer::Error) -> Error {
    invalid(match error {
        multer::Error::IncompleteStream | multer::Error::IncompleteFieldData { .. } => {
            "Unexpected end of multipart data"
        }
        _ => "Malformed part header",
    })
}

fn invalid(message: &str) -> Error {
    Error::invalid_json(format!("Invalid multipart request: {message}"))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::json;

    use super::*;

    fn parsed(content_type: &str, body: impl Into<Bytes>) -> Result<(Object, Vec<(String, Bytes)>)> {
        // All bytes are there, so nothing is waited for.
        parse(content_type, body.into()).now_or_never().expect("never waits")
    }

    fn form(body: &str) -> Result<(Object, Vec<(String, Bytes)>)> {
        parsed("multipart/form-data; boundary=XX", body.to_owned())
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
    fn names_and_types_of_files() {
        let file = |disposition: &str, content_type: &str| {
            let body = format!(
                "--XX\r\nContent-Disposition: form-data; name=\"f\"{disposition}\r\n{content_type}\r\nx\r\n--XX--\r\n"
            );
            form(&body).expect("well-formed").0.remove("f").expect("a field")
        };
        for (disposition, content_type, expected) in [
            ("; filename=\"a.bin\"", "", json!({"filename": "a.bin", "contentType": "text/plain"})),
            ("; filename=\"\"", "", json!({"filename": "", "contentType": "text/plain"})),
            ("; filename=\"../d/a.bin\"", "", json!({"filename": "a.bin", "contentType": "text/plain"})),
            ("; filename=\"d/..\"", "", json!({"filename": "", "contentType": "text/plain"})),
            (
                "; filename=\"a\"",
                "Content-Type: Image/PNG; q=1\r\n",
                json!({"filename": "a", "contentType": "image/png"}),
            ),
            (
                "",
                "Content-Type: application/octet-stream\r\n",
                json!({"contentType": "application/octet-stream"}),
            ),
            ("", "Content-Type: application/json\r\n", json!("x")),
        ] {
            assert_eq!(file(disposition, content_type), expected, "{disposition} {content_type}");
        }
        assert_eq!(base_name("C:\\d\\a.txt"), "a.txt");
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
        assert!(parsed("multipart/form-data", "").is_err());
        assert!(parsed("multipart/form-data; boundary=", "").is_err());
    }

    #[test]
    fn boundaries_and_parts_are_counted() {
        let long = "-".repeat(60_000);
        let body = format!("--{long}\r\n\r\nx\r\n--{long}--\r\n");
        let error = parsed(&format!("multipart/form-data; boundary={long}"), body).expect_err("too long");
        assert_eq!(error.public_message(true), "Invalid multipart request: Multipart: Boundary is too long");
        let dashes = parsed("multipart/form-data; boundary=----", "-".repeat(1_000_000));
        assert!(dashes.is_ok_and(|(fields, _)| fields.is_empty()));
        let part = "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n";
        assert!(form(&(part.repeat(1_000) + "--XX--")).is_ok());
        let error = form(&(part.repeat(1_001) + "--XX--")).expect_err("too many");
        assert_eq!(error.public_message(true), "Invalid multipart request: Too many parts");
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), cut in 0usize..150) {
            let good = b"--XX\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"\r\n\r\none\r\n--XX--\r\n";
            let mut bytes = good[..cut.min(good.len())].to_vec();
            bytes.extend(body);
            let _ = parsed("multipart/form-data; boundary=XX", bytes);
        }
    }
}

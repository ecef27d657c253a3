//! The file routes: `POST /files/:name`, `GET /files/:appId/*path`, `GET /files/:appId/metadata/*path`,
//! `DELETE /files/*path`.
//!
//! They branch off [`super::front`] before bodies are read: uploads are not JSON (unless the SDK wraps them)
//! and pass through in pieces, downloads need no keys. What they do is in [`crate::operations::files`].

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::body::SizedStream;
use actix_web::http::{Method, header};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tracing::Instrument;

use super::body;
use super::credentials::{Claims, header_text};
use super::exchange::Exchange;
use super::transfer::Incoming;
use crate::app::App;
use crate::error::{Error, ErrorCode, Result};
use crate::files::range::{Conditions, Verdict, Wanted, format_date};
use crate::files::{FileInfo, headers, name, rules};
use crate::http::respond;
use crate::operations::files::download::{self, Found, Refusal};
use crate::operations::files::upload::{self, Content, Upload};
use crate::operations::files::{check_download, check_private, delete};
use crate::operations::{Credentials, Ctx};
use crate::rest::request::RestResponse;
use crate::types::Object;
use crate::types::app_scope::carry;
use crate::types::aside::{LONG, aside};

/// Node's reader of base64: padding or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where a path below `/files` leads.
#[derive(Debug, PartialEq, Eq)]
pub enum FileRoute {
    Save(String),
    /// `POST /files`
    Nameless,
    Find {
        app: String,
        file: String,
    },
    Metadata {
        app: String,
        file: String,
    },
    Delete(String),
}

/// `None`: not a file route.
pub fn route(method: &Method, below: &str) -> Option<Result<FileRoute>> {
    let path = below.split('?').next().unwrap_or(below);
    let (head, rest) = path.strip_prefix('/')?.split_at_checked("files".len())?;
    if !head.eq_ignore_ascii_case("files") || !(rest.is_empty() || rest.starts_with('/')) {
        return None;
    }
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    match method.as_str() {
        "POST" if rest.is_empty() => Some(Ok(FileRoute::Nameless)),
        "POST" => {
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            (!rest.contains('/')).then(|| decoded(rest).map(FileRoute::Save))
        }
        "DELETE" if !rest.is_empty() => Some(decoded(rest).map(FileRoute::Delete)),
        "GET" | "HEAD" => {
            let (app, file) =
                rest.split_once('/').filter(|(app, file)| !app.is_empty() && !file.is_empty())?;
            let metadata = file
                .split_once('/')
                .filter(|(segment, file)| segment.eq_ignore_ascii_case("metadata") && !file.is_empty());
            Some(decoded(app).and_then(|app| {
                Ok(match metadata {
                    Some((_, file)) => FileRoute::Metadata { app, file: decoded(file)? },
                    None => FileRoute::Find { app, file: decoded(file)? },
                })
            }))
        }
        _ => None,
    }
}

/// Decoded once: what is encoded twice stays encoded.
fn decoded(text: &str) -> Result<String> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Error::http(400, format!("Failed to decode param '{text}'")))?;
    Ok(text.into_owned())
}

/// Answers one of the file routes.
///
/// # Errors
/// What the front's error mapper answers.
pub async fn serve(
    exchange: &Exchange<'_>,
    route: FileRoute,
    claims: Claims,
    privileged: Option<Credentials>,
    payload: Incoming,
) -> Result<HttpResponse> {
    // An upload takes as long as its client's link makes it: it is no reason to refuse anybody else.
    if let FileRoute::Save(file) = route {
        return save(exchange, file, claims, privileged, payload).await;
    }
    let _permit = exchange.place()?;
    match route {
        FileRoute::Nameless | FileRoute::Save(_) => Err(name::not_provided()),
        FileRoute::Find { app, file } => find(exchange, &app, &file, claims).await,
        FileRoute::Metadata { app, file } => metadata(exchange, &app, &file, claims).await,
        FileRoute::Delete(file) => {
            let app = claims.app(&exchange.front.registry)?;
            let ctx = exchange.admit(&app, claims, privileged, "DELETE", false).await?;
            ctx.require_master()?;
            delete(&ctx, &file).await?;
            let mut response = HttpResponse::Ok().finish();
            respond::add_rate(&mut response, ctx.info.rate);
            Ok(response)
        }
    }
}

async fn save(
    exchange: &Exchange<'_>,
    file: String,
    mut claims: Claims,
    mut privileged: Option<Credentials>,
    payload: Incoming,
) -> Result<HttpResponse> {
    let transfer = exchange.front.transfer()?;
    let sent = exchange.http.headers();
    let registry = &*exchange.front.registry;
    let text = |name: &str| header_text(sent, name);
    let limit = match text("x-parse-file-max-upload-size") {
        Some(size) => {
            let app = claims.app_id.as_deref().and_then(|id| registry.get(id));
            let app = app.ok_or_else(|| forbidden("Invalid application ID."))?;
            if claims.privileged(&app.services, exchange.client_address(app)).await?
                != Some(Credentials::Master)
            {
                return Err(Error::master_key_required());
            }
            rules::size_override(&size)?
        }
        None => exchange.apps.iter().map(|app| app.config().http.max_upload_size).max().unwrap_or(0),
    };
    check_encoding(exchange)?;
    let streamed = text("x-parse-upload-mode").as_deref() == Some("stream");
    let length = text("content-length").and_then(|length| length.parse::<u64>().ok());
    claims.read_context(sent)?;
    let named = claims.app_id.as_deref().is_some_and(|id| registry.get(id).is_some());
    let (mut upload, ctx);
    if named {
        let app = claims.app(registry)?;
        ctx = exchange.admit(&app, claims, privileged, "POST", false).await?;
        let content_type = text("content-type");
        upload::admit(&ctx, &file, content_type.as_deref()).await?;
        let too_large = move || if streamed { rules::too_large(limit) } else { refused_as_too_large() };
        if length.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        upload = Upload {
            name: file,
            content_type,
            content: limited(payload, limit, upload::keeps_content(&ctx, streamed), too_large),
            length,
            streamed,
            metadata: Object::new(),
            tags: Object::new(),
            directory: None,
        };
    } else {
        // The JavaScript SDK's form: keys, description and content in one JSON document.
        let mut payload = payload;
        let bytes = body::gather(sent, &mut payload, limit).await?;
        let parsed = body::document(bytes, &mut payload.into_room()).await?;
        let Ok(Value::Object(mut document)) = parsed else { return Err(Error::unauthorized()) };
        claims.complete_from_body(&mut document, registry).await?;
        let app = claims.app(registry)?;
        // What was looked at before may have been a key of another application than the document names.
        privileged = claims.privileged(&app.services, exchange.client_address(&app)).await?;
        let content_type = claims.content_type.clone().or_else(|| text("content-type"));
        ctx = exchange.admit(&app, claims, privileged, "POST", false).await?;
        upload::admit(&ctx, &file, content_type.as_deref()).await?;
        upload = from_document(file, content_type, document).await?;
    }
    if streamed {
        // Only streams describe themselves in headers.
        if let Some(directory) = text("x-parse-file-directory") {
            upload.directory = Some(directory.into());
        }
        if let Some(metadata) = text("x-parse-file-metadata") {
            upload.metadata = rules::header_object("Metadata", &metadata)?;
        }
        if let Some(tags) = text("x-parse-file-tags") {
            upload.tags = rules::header_object("Tags", &tags)?;
        }
    }
    // For clients whose uploads carry no metadata.
    if text("x-parse-file-private").is_some_and(|said| said.eq_ignore_ascii_case("true")) {
        if !ctx.services.files.keeps_private() {
            // Better not kept at all than kept for everybody to see.
            let text = "Private files are not configured.";
            return Err(Error::parse(ErrorCode::OPERATION_FORBIDDEN, text));
        }
        upload.metadata.insert("private".to_owned(), true.into());
    }
    let (sanitize, rate) = (ctx.config().http.sanitize_errors, ctx.info.rate);
    // Goes on to its end although the client may leave.
    let task = async move {
        let saved = upload::save(&ctx, upload).await;
        drop(transfer);
        saved
    };
    let saved = actix_web::rt::spawn(carry(task.in_current_span())).await.map_err(Error::internal)??;
    let body = json!({ "url": saved.url, "name": saved.name });
    let response = RestResponse::value(body).with_status(201).with_location(Some(saved.url));
    let mut response = respond::answer(response, sanitize);
    respond::add_rate(&mut response, rate);
    Ok(response)
}

/// `{"base64": …, "fileData": {"metadata", "tags", "directory"}}`
async fn from_document(file: String, content_type: Option<String>, mut document: Object) -> Result<Upload> {
    let content = match document.shift_remove("base64") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) if text.len() > LONG => aside(move || from_base64(&text)).await??,
        Some(Value::String(text)) => from_base64(&text)?,
        Some(_) => return Err(Error::unauthorized()),
    };
    let mut data = match document.shift_remove("fileData") {
        Some(Value::Object(data)) => data,
        _ => Object::new(),
    };
    let mut object = |key: &str| match data.shift_remove(key) {
        Some(Value::Object(map)) => map,
        _ => Object::new(),
    };
    let (metadata, tags) = (object("metadata"), object("tags"));
    let length = Some(content.len() as u64);
    let content = stream::iter([Ok(Bytes::from(content))]).boxed_local();
    // `undefined` does not travel; null was said.
    let directory = data.shift_remove("directory");
    Ok(Upload { name: file, content_type, content, length, streamed: false, metadata, tags, directory })
}

fn from_base64(text: &str) -> Result<Vec<u8>> {
    // Node skips what is not base64 and knows the URL alphabet too.
    let clean: String = text
        .chars()
        .take_while(|c| *c != '=')
        .filter_map(|c| match c {
            '-' => Some('+'),
            '_' => Some('/'),
            c if c.is_ascii_alphanumeric() || c == '+' || c == '/' => Some(c),
            _ => None,
        })
        .collect();
    // A single letter at the end carries no whole byte.
    let whole = if clean.len() % 4 == 1 { &clean[..clean.len() - 1] } else { &clean };
    BASE64.decode(whole).map_err(|_| rules::empty_upload())
}

fn refused_as_too_large() -> Error {
    Error::http(413, "request entity too large")
}

fn forbidden(detail: &'static str) -> Error {
    Error::Http { status: 403, message: "Permission denied".into(), detail: Some(detail.into()) }
}

/// Nothing is unpacked on the way in: small bodies could become large ones.
fn check_encoding(exchange: &Exchange<'_>) -> Result<()> {
    match header_text(exchange.http.headers(), "content-encoding") {
        Some(encoding) if !encoding.eq_ignore_ascii_case("identity") => {
            let encoding = encoding.to_ascii_lowercase();
            Err(Error::http(415, format!("unsupported content encoding \"{encoding}\"")))
        }
        _ => Ok(()),
    }
}

/// The body, cut off with an error where it grows too large or the client breaks off. What is kept until its rest has
/// come takes its room among other bodies.
fn limited(payload: Incoming, limit: u64, is_kept: bool, too_large: impl Fn() -> Error + 'static) -> Content {
    stream::unfold(Some((payload, 0_u64, too_large)), move |state| async move {
        let (mut payload, sum, too_large) = state?;
        match payload.next().await? {
            Err(error) => Some((Err(error), None)),
            Ok(chunk) => {
                let sum = sum + chunk.len() as u64;
                if sum > limit {
                    return Some((Err(too_large()), None));
                }
                if is_kept && let Err(error) = payload.hold(sum as usize) {
                    return Some((Err(error), None));
                }
                Some((Ok(chunk), Some((payload, sum, too_large))))
            }
        }
    })
    .boxed_local()
}

async fn find(exchange: &Exchange<'_>, app: &str, file: &str, claims: Claims) -> Result<HttpResponse> {
    let app = named(exchange, app).ok_or_else(|| forbidden("Invalid application ID."))?;
    let ctx = exchange.admit(app, claims, None, "GET", true).await?;
    check_download(&ctx)?;
    let private = match check_private(&ctx, file, exchange.http.query_string()) {
        Ok(private) => private,
        Err(error) => return Ok(failed(&error, &ctx)),
    };
    let sent = exchange.http.headers();
    let text = |name: header::HeaderName| sent.get(name).and_then(|value| value.to_str().ok());
    let conditions = Conditions {
        if_match: text(header::IF_MATCH),
        if_none_match: text(header::IF_NONE_MATCH),
        if_modified_since: text(header::IF_MODIFIED_SINCE),
        if_unmodified_since: text(header::IF_UNMODIFIED_SINCE),
        if_range: text(header::IF_RANGE),
    };
    let range = text(header::RANGE).and_then(Wanted::parse);
    match download::find(&ctx, file, range, &conditions).await {
        Ok(found) => Ok(answer(found, private)),
        Err(Refusal::Missing) => {
            Ok(HttpResponse::NotFound().content_type("text/plain; charset=utf-8").body("File not found."))
        }
        Err(Refusal::NotSatisfiable { size }) => Ok(HttpResponse::RangeNotSatisfiable()
            .insert_header((header::CONTENT_RANGE, format!("bytes */{size}")))
            .finish()),
        Err(Refusal::Failed(error)) => Ok(failed(&error, &ctx)),
    }
}

async fn metadata(exchange: &Exchange<'_>, app: &str, file: &str, claims: Claims) -> Result<HttpResponse> {
    let Some(app) = named(exchange, app) else { return Ok(described(Object::new())) };
    let ctx = exchange.admit(app, claims, None, "GET", true).await?;
    let admitted =
        check_download(&ctx).and_then(|()| check_private(&ctx, file, exchange.http.query_string()));
    if let Err(error) = admitted {
        return Ok(failed(&error, &ctx));
    }
    match download::metadata(&ctx, file).await {
        Ok(metadata) => Ok(described(metadata)),
        Err(error @ (Error::Parse { .. } | Error::Denied { .. })) => Ok(failed(&error, &ctx)),
        Err(error) => {
            tracing::error!(%error, "file metadata could not be read");
            let text = "Could not get file metadata.";
            Ok(failed(&Error::parse(ErrorCode::SCRIPT_FAILED, text), &ctx))
        }
    }
}

fn described(metadata: Object) -> HttpResponse {
    respond::answer(RestResponse::value(metadata), true)
}

/// Only applications under this mount.
fn named<'a>(exchange: &Exchange<'a>, id: &str) -> Option<&'a Arc<App>> {
    exchange.apps.iter().find(|app| app.id == id)
}

/// 403 with code and text, whatever the code.
fn failed(error: &Error, ctx: &Ctx) -> HttpResponse {
    let sanitize = ctx.config().http.sanitize_errors;
    HttpResponse::Forbidden().content_type(respond::JSON).body(error.body(sanitize).to_string())
}

/// `private`: for how many seconds a private file may be kept by the browser, and nobody else.
fn answer(found: Found, private: Option<u64>) -> HttpResponse {
    let mut builder = match (found.verdict, found.part) {
        (Verdict::NotModified, _) => HttpResponse::NotModified(),
        (Verdict::PreconditionFailed, _) => HttpResponse::PreconditionFailed(),
        (Verdict::Proceed, Some(_)) => HttpResponse::PartialContent(),
        (Verdict::Proceed, None) => HttpResponse::Ok(),
    };
    validators(&mut builder, &found.info);
    if let Some(seconds) = private {
        builder.insert_header((header::CACHE_CONTROL, format!("private, max-age={seconds}")));
    }
    if found.verdict != Verdict::Proceed {
        return builder.finish();
    }
    respond::put(&mut builder, header::CONTENT_TYPE.as_str(), &found.content_type);
    builder.insert_header((header::ACCEPT_RANGES, "bytes"));
    builder.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if let Some(policy) = headers::security_policy(&found.content_type) {
        builder.insert_header((header::CONTENT_SECURITY_POLICY, policy));
    }
    if let Some(part) = found.part {
        builder.insert_header((header::CONTENT_RANGE, part.header(found.info.size)));
    }
    if let Some(disposition) = &found.disposition {
        respond::put(&mut builder, header::CONTENT_DISPOSITION.as_str(), disposition);
    }
    for (name, value) in &found.headers {
        // The application's own; but length and framing are not its.
        let framing = ["content-length", "transfer-encoding", "content-range", "connection"];
        if !framing.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            respond::put(&mut builder, name, value);
        }
    }
    builder.body(SizedStream::new(found.len, found.content))
}

fn validators(builder: &mut actix_web::HttpResponseBuilder, info: &FileInfo) {
    if let Some(etag) = &info.etag {
        respond::put(builder, header::ETAG.as_str(), format!("\"{etag}\""));
    }
    if let Some(modified) = info.modified {
        builder.insert_header((header::LAST_MODIFIED, format_date(modified)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(method: Method, path: &str) -> Option<FileRoute> {
        route(&method, path).map(|route| route.expect("decodable"))
    }

    #[test]
    fn paths() {
        let s = str::to_owned;
        let get = |path| at(Method::GET, path);
        assert_eq!(at(Method::POST, "/files"), Some(FileRoute::Nameless));
        assert_eq!(at(Method::POST, "/files/"), Some(FileRoute::Nameless));
        assert_eq!(at(Method::POST, "/files/a%20b.txt?x=/y"), Some(FileRoute::Save(s("a b.txt"))));
        assert_eq!(at(Method::POST, "/FILES/a/"), Some(FileRoute::Save(s("a"))));
        assert_eq!(at(Method::POST, "/files/a/b"), None);
        assert_eq!(at(Method::POST, "/filesystem"), None);
        assert_eq!(get("/files/app/a"), Some(FileRoute::Find { app: s("app"), file: s("a") }));
        assert_eq!(get("/files/app/d%2Fa"), Some(FileRoute::Find { app: s("app"), file: s("d/a") }));
        assert_eq!(get("/files/app/%252e%252e"), Some(FileRoute::Find { app: s("app"), file: s("%2e%2e") }));
        assert_eq!(
            get("/files/app/metadata/d/a"),
            Some(FileRoute::Metadata { app: s("app"), file: s("d/a") })
        );
        assert_eq!(get("/files/app/metadata"), Some(FileRoute::Find { app: s("app"), file: s("metadata") }));
        assert_eq!(get("/files/app"), None);
        assert_eq!(get("/files/app/"), None);
        assert_eq!(get("/classes/files"), None);
        assert_eq!(at(Method::DELETE, "/files/d/a.txt"), Some(FileRoute::Delete(s("d/a.txt"))));
        assert_eq!(at(Method::PUT, "/files/a"), None);
        assert!(route(&Method::GET, "/files/app/%E0%A4%A").is_some_and(|route| route.is_err()));
    }

    #[test]
    fn base64_as_node_reads_it() {
        let read = |text: &str| from_base64(text).expect("readable").len();
        assert_eq!(read("YWJj"), 3);
        assert_eq!(read("YWI="), 2);
        assert_eq!(read("YWI"), 2);
        assert_eq!(read("YW\nJj"), 3);
        assert_eq!(read("-_8"), 2);
        assert_eq!(read("Y"), 0);
        assert_eq!(read("YWI=YWI="), 2);
    }
}

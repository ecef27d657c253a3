//! Who may upload and download, what may be uploaded, how large, and which file URLs objects may hold.
//!
//! Pure functions over options that the configuration validated. The first half mirrors parse-server's
//! `FilesRouter` and `FileUrlValidator` with their texts. The second half is stricter than parse-server:
//! content is judged by what it is as well as by what it is called, see [`ExtensionFilter::check_content`].

use fancy_regex::Regex;
use serde_json::{Map, Value};
use url::Url;

use super::mime;
use crate::error::{Error, ErrorCode, Result};

/// Bytes of a declared type.
const MAX_TYPE: usize = 1024;
/// Entries of the metadata, or of the tags, of a file.
const MAX_ENTRIES: usize = 128;
/// Bytes of all keys and texts in it.
const MAX_DESCRIPTION: usize = 64 * 1024;

/// Default of `fileUpload.fileExtensions`: everything but what browsers run.
pub const DEFAULT_EXTENSIONS: &str = r"^(?!([xXsS]?[hH][tT][mM][lL]?(\+[xX][mM][lL])?|[xX][hH][tT]|[sS][vV][gG]([zZ]|\+[xX][mM][lL])?|[xX][mM][lL]|[xX][sS][lL][tT]?(\+[xX][mM][lL])?|[xX][sS][dD]|[rR][nN][gG]|[rR][dD][fF](\+[xX][mM][lL])?|[oO][wW][lL]|[mM][aA][tT][hH][mM][lL](\+[xX][mM][lL])?)$)";

/// Subtypes that make a browser run a document.
const ACTIVE_SUBTYPES: &[&str] = &[
    "html",
    "xhtml",
    "xhtml+xml",
    "svg",
    "svg+xml",
    "xml",
    "xsl",
    "xslt",
    "xslt+xml",
    "rdf+xml",
    "mathml",
    "mathml+xml",
];

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    Master,
    Maintenance,
    ReadOnlyMaster,
    User { anonymous: bool },
    Public,
}

/// `fileUpload` / `fileDownload`: `enableForPublic`, `enableForAnonymousUser`, `enableForAuthenticatedUser`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doors {
    pub public: bool,
    pub anonymous: bool,
    pub authenticated: bool,
}

impl Doors {
    pub const UPLOAD_DEFAULT: Self = Self { public: false, anonymous: false, authenticated: true };
    pub const DOWNLOAD_DEFAULT: Self = Self { public: true, anonymous: true, authenticated: true };

    fn closed_for(self, caller: Caller) -> Option<&'static str> {
        match caller {
            Caller::User { anonymous: true } if !self.anonymous => Some("anonymous user"),
            Caller::User { anonymous: false } if !self.authenticated => Some("authenticated user"),
            Caller::Public if !self.public => Some("public"),
            _ => None,
        }
    }

    /// # Errors
    /// 130 for users and the public; 403 for the read-only master key.
    pub fn check_upload(self, caller: Caller) -> Result<()> {
        if caller == Caller::ReadOnlyMaster {
            return Err(read_only("create"));
        }
        match self.closed_for(caller) {
            Some(who) => Err(save_error(format!("File upload by {who} is disabled."))),
            None => Ok(()),
        }
    }

    /// # Errors
    /// 119, in clear text.
    pub fn check_download(self, caller: Caller) -> Result<()> {
        match self.closed_for(caller) {
            Some(who) => {
                let text = format!("File download by {who} is disabled.");
                Err(Error::parse(ErrorCode::OPERATION_FORBIDDEN, text))
            }
            None => Ok(()),
        }
    }
}

/// 403 of the read-only master key; `verb` is `create` or `delete`.
pub fn read_only(verb: &str) -> Error {
    Error::Http {
        status: 403,
        message: "Permission denied".into(),
        detail: Some(format!("read-only masterKey isn't allowed to {verb} a file.").into()),
    }
}

fn save_error(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::parse(ErrorCode::FILE_SAVE_ERROR, text)
}

/// 130 of an upload without content.
pub fn empty_upload() -> Error {
    save_error("Invalid file upload.")
}

/// 130 of a streamed upload that is too large.
pub fn too_large(limit: u64) -> Error {
    save_error(format!("File size exceeds maximum allowed: {limit} bytes."))
}

/// The compiled `fileUpload.fileExtensions`. The master key is not asked.
#[derive(Debug)]
pub struct ExtensionFilter {
    all: bool,
    patterns: Vec<Regex>,
}

impl ExtensionFilter {
    /// # Errors
    /// The pattern that is not a regular expression, for the start of the server.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> std::result::Result<Self, String> {
        let mut filter = Self { all: false, patterns: Vec::new() };
        for pattern in patterns {
            match pattern.as_ref() {
                "*" => filter.all = true,
                text => filter.patterns.push(Regex::new(text).map_err(|error| format!("{text}: {error}"))?),
            }
        }
        Ok(filter)
    }

    fn allows(&self, extension: &str) -> bool {
        // A pattern that gives up has not allowed anything.
        self.all || self.patterns.iter().any(|p| p.is_match(extension).unwrap_or(false))
    }

    fn refuse(extension: &str) -> Error {
        save_error(format!("File upload of extension {extension} is disabled."))
    }

    /// Judges a name and the declared type, before any content has arrived.
    ///
    /// # Errors
    /// 130 `File upload of extension <e> is disabled.` or `Invalid Content-Type.`
    pub fn check_declared(&self, filename: &str, declared: Option<&str>) -> Result<()> {
        let extension = clean(mime::extension(filename).split(';').next().unwrap_or_default());
        if !extension.is_empty() && !self.allows(&extension) {
            return Err(Self::refuse(&extension));
        }
        if self.all {
            return Ok(());
        }
        let Some(declared) = declared.filter(|d| !d.is_empty()) else { return Ok(()) };
        let recognized = !extension.is_empty() && mime::type_of(filename).is_some();
        let (kind, subtype) = match declared.split_once('/') {
            Some((kind, rest)) => (kind.trim(), rest.split(';').next().unwrap_or_default().trim()),
            None => ("", ""),
        };
        if recognized {
            // It will be served by its extension. A declaration that would run in a browser is refused all
            // the same: stores that serve directly may keep it.
            let subtype = clean(subtype).to_ascii_lowercase();
            if ACTIVE_SUBTYPES.contains(&subtype.as_str()) && !self.allows(&subtype) {
                return Err(Self::refuse(&subtype));
            }
            return Ok(());
        }
        if !is_token(kind) || !is_token(subtype) {
            let bare = if declared.find('/').is_some_and(|at| at > 0) {
                clean(kind)
            } else if declared.contains('/') {
                String::new()
            } else {
                clean(declared.split(';').next().unwrap_or_default())
            };
            if !bare.is_empty() && !self.allows(&bare) {
                return Err(Self::refuse(&bare));
            }
            return Err(save_error("Invalid Content-Type."));
        }
        let subtype = clean(subtype);
        if !self.allows(&subtype) {
            return Err(Self::refuse(&subtype));
        }
        Ok(())
    }

    /// Judges the first bytes ([`super::WINDOW`] or all there are) against the type the file will be served
    /// as. Where a browser could run it under that type, content that it would run must be allowed under its own
    /// extension; what is called an image, a sound or a film must not be something else. Text, tables, bytes
    /// and what else no browser takes for a page may begin with anything.
    ///
    /// # Errors
    /// 130 `File upload of extension <e> is disabled.` or `Invalid Content-Type.`
    pub fn check_content(&self, served: Option<&str>, head: &[u8]) -> Result<()> {
        if self.all {
            return Ok(());
        }
        let Some(sniffed) = mime::sniff(head) else { return Ok(()) };
        let served = served.map(mime::essence).unwrap_or_default();
        let active = match sniffed {
            _ if !may_run(&served) && !is_medium(&served) => None,
            "text/html" => Some("html"),
            "image/svg+xml" => Some("svg"),
            // Formats built on XML that the filter let in by name.
            "application/xml" | "text/xml" if served.ends_with("+xml") || served.ends_with("/xml") => None,
            "application/xml" | "text/xml" => Some("xml"),
            _ => None,
        };
        match active {
            Some(extension) if !self.allows(extension) => Err(Self::refuse(extension)),
            _ if !agrees(&served, sniffed) => Err(save_error("Invalid Content-Type.")),
            _ => Ok(()),
        }
    }
}

/// Whether a browser makes a page of content that is served as this: markup itself, and types that are none, for
/// which it looks at the content (WHATWG's "MIME Sniffing" §7).
fn may_run(served: &str) -> bool {
    const GUESSED: [&str; 4] = ["unknown/unknown", "application/unknown", "*/*", "multipart/x-mixed-replace"];
    !served.contains('/') || served.ends_with("xml") || served.ends_with("html") || GUESSED.contains(&served)
}

fn is_medium(served: &str) -> bool {
    ["image/", "audio/", "video/"].iter().any(|kind| served.starts_with(kind))
}

/// Only kinds that browsers show inline are held to their word: others are served as attachments, and the
/// signatures of some (two letters for a bitmap) also begin ordinary text.
fn agrees(served: &str, sniffed: &str) -> bool {
    let kind = |mime: &str| mime.split('/').next().unwrap_or_default().to_owned();
    match kind(served).as_str() {
        "image" => kind(sniffed) == "image",
        "audio" | "video" => matches!(kind(sniffed).as_str(), "audio" | "video"),
        _ => true,
    }
}

/// Without any white space, as parse-server compares.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c))
}

/// `X-Parse-File-Metadata` / `X-Parse-File-Tags`; `which` is `Metadata` or `Tags`.
///
/// # Errors
/// 107 when it is not a JSON object.
pub fn header_object(which: &str, value: &str) -> Result<Map<String, Value>> {
    match crate::types::json::from_outside(value.as_bytes()) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Error::invalid_json(format!("Invalid JSON in X-Parse-File-{which} header."))),
    }
}

/// Holds a type that was declared against what can be the value of a header, which it becomes in stores and
/// in answers.
///
/// # Errors
/// 130
pub fn check_type(content_type: Option<&str>) -> Result<()> {
    let fits = |text: &str| text.len() <= MAX_TYPE && text.bytes().all(|c| (0x20..0x7f).contains(&c));
    match content_type {
        Some(text) if !fits(text) => Err(Error::parse(ErrorCode::FILE_SAVE_ERROR, "Invalid content type.")),
        _ => Ok(()),
    }
}

/// Holds metadata or tags against what some store could not take: too many or too large, NUL characters.
///
/// # Errors
/// 130
pub fn check_description(description: &Map<String, Value>) -> Result<()> {
    let refused = |text| Err(Error::parse(ErrorCode::FILE_SAVE_ERROR, text));
    if description.len() > MAX_ENTRIES {
        return refused("Too many metadata entries or tags.");
    }
    let (mut size, mut has_nul) = (0, false);
    let mut measure = |text: &str| {
        size += text.len();
        has_nul |= text.contains('\0');
    };
    let mut open: Vec<&Value> = Vec::new();
    for (key, value) in description {
        measure(key);
        open.push(value);
    }
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) => measure(text),
            Value::Array(items) => open.extend(items),
            Value::Object(map) => {
                for (key, value) in map {
                    measure(key);
                    open.push(value);
                }
            }
            // As long as the longest number.
            _ => measure("-0.0000000000000000000000"),
        }
    }
    if has_nul {
        return refused("Metadata and tags cannot contain NUL characters.");
    }
    if size > MAX_DESCRIPTION {
        return refused("Metadata or tags are too large.");
    }
    Ok(())
}

/// A size as the option `maxUploadSize` writes it: a number of bytes, or `20Mb`, `1.5 gb`, `100kb`, `7b`.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let numeric = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    if !numeric(whole) || !numeric(fraction) {
        return None;
    }
    let factor = match unit.trim_start() {
        "" | "b" => 1.0,
        "kb" => 1024.0,
        "mb" => 1024.0 * 1024.0,
        "gb" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    // Saturates: sizes beyond u64 mean no limit.
    Some((number.parse::<f64>().ok()? * factor).floor() as u64)
}

/// `X-Parse-File-Max-Upload-Size` (its master key was checked by the caller).
///
/// # Errors
/// 130 for what is not a size.
pub fn size_override(value: &str) -> Result<u64> {
    parse_size(value).ok_or_else(|| save_error(format!("Invalid maxUploadSize override value: {value}")))
}

/// Holds the URL of a file in an object against `fileUpload.allowedFileUrlDomains`: `*`, exact hosts, and
/// `*.host` for every host below.
///
/// # Errors
/// 130 `Invalid file URL.` or `File URL domain '<h>' is not allowed.`
pub fn check_file_url(url: &str, allowed: &[String]) -> Result<()> {
    if url.is_empty() || allowed.iter().any(|domain| domain == "*") {
        return Ok(());
    }
    let parsed = Url::parse(url).map_err(|_| save_error("Invalid file URL."))?;
    let host = parsed.host_str().unwrap_or_default().to_ascii_lowercase();
    let matches = |domain: &String| {
        let domain = domain.to_ascii_lowercase();
        host == domain
            || domain.strip_prefix('*').is_some_and(|rest| rest.starts_with('.') && host.ends_with(rest))
    };
    if allowed.iter().any(matches) {
        return Ok(());
    }
    Err(save_error(format!("File URL domain '{host}' is not allowed.")))
}

/// [`check_file_url`] for every `{"__type":"File"}` in what a client sends, at any depth.
///
/// # Errors
/// As [`check_file_url`].
pub fn check_file_urls(data: &Map<String, Value>, allowed: &[String]) -> Result<()> {
    if allowed.iter().any(|domain| domain == "*") {
        return Ok(());
    }
    let mut open: Vec<&Value> = data.values().collect();
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(map) => {
                let url = map.get("url").and_then(Value::as_str).filter(|url| !url.is_empty());
                match url {
                    Some(url) if map.get("__type").and_then(Value::as_str) == Some("File") => {
                        check_file_url(url, allowed)?;
                    }
                    _ => open.extend(map.values()),
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;

//! Content types and extensions.
//!
//! `mime_guess` knows the types of extensions; which extension stands for a type follows the npm package
//! `mime` that parse-server uses, since stored names carry it.

/// Extensions whose type differs between `mime_guess` and npm `mime`, or which only the latter knows.
const TYPES: &[(&str, &str)] = &[
    ("avif", "image/avif"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("ico", "image/x-icon"),
    ("jxl", "image/jxl"),
    ("m4a", "audio/mp4"),
    ("mathml", "application/mathml+xml"),
    ("mkv", "video/x-matroska"),
    ("rng", "application/xml"),
    ("svgz", "image/svg+xml"),
    ("ts", "video/mp2t"),
    ("wav", "audio/wav"),
    ("xht", "application/xhtml+xml"),
    ("xsd", "application/xml"),
];

/// The extension that stands for a type.
const EXTENSIONS: &[(&str, &str)] = &[
    ("application/dash+xml", "mpd"),
    ("application/epub+zip", "epub"),
    ("application/geo+json", "geojson"),
    ("application/gzip", "gz"),
    ("application/java-archive", "jar"),
    ("application/javascript", "js"),
    ("application/json", "json"),
    ("application/ld+json", "jsonld"),
    ("application/manifest+json", "webmanifest"),
    ("application/mathml+xml", "mathml"),
    ("application/msword", "doc"),
    ("application/octet-stream", "bin"),
    ("application/pdf", "pdf"),
    ("application/postscript", "ai"),
    ("application/rdf+xml", "rdf"),
    ("application/rtf", "rtf"),
    ("application/sql", "sql"),
    ("application/vnd.android.package-archive", "apk"),
    ("application/vnd.apple.mpegurl", "m3u8"),
    ("application/vnd.apple.pkpass", "pkpass"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.ms-powerpoint", "ppt"),
    ("application/vnd.oasis.opendocument.spreadsheet", "ods"),
    ("application/vnd.oasis.opendocument.text", "odt"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.rar", "rar"),
    ("application/wasm", "wasm"),
    ("application/x-7z-compressed", "7z"),
    ("application/x-bzip2", "bz2"),
    ("application/x-httpd-php", "php"),
    ("application/x-iso9660-image", "iso"),
    ("application/x-msdownload", "exe"),
    ("application/x-sh", "sh"),
    ("application/x-shockwave-flash", "swf"),
    ("application/x-tar", "tar"),
    ("application/xhtml+xml", "xhtml"),
    ("application/xml", "xml"),
    ("application/xslt+xml", "xsl"),
    ("application/zip", "zip"),
    ("audio/aac", "adts"),
    ("audio/amr", "amr"),
    ("audio/midi", "mid"),
    ("audio/mp4", "m4a"),
    ("audio/mpeg", "mpga"),
    ("audio/ogg", "oga"),
    ("audio/wav", "wav"),
    ("audio/webm", "weba"),
    ("audio/x-m4a", "m4a"),
    ("audio/x-wav", "wav"),
    ("font/otf", "otf"),
    ("font/ttf", "ttf"),
    ("font/woff", "woff"),
    ("font/woff2", "woff2"),
    ("image/apng", "apng"),
    ("image/avif", "avif"),
    ("image/bmp", "bmp"),
    ("image/gif", "gif"),
    ("image/heic", "heic"),
    ("image/heif", "heif"),
    ("image/jp2", "jp2"),
    ("image/jpeg", "jpg"),
    ("image/jxl", "jxl"),
    ("image/png", "png"),
    ("image/svg+xml", "svg"),
    ("image/tiff", "tif"),
    ("image/vnd.adobe.photoshop", "psd"),
    ("image/webp", "webp"),
    ("image/x-icon", "ico"),
    ("message/rfc822", "eml"),
    ("model/gltf-binary", "glb"),
    ("text/calendar", "ics"),
    ("text/css", "css"),
    ("text/csv", "csv"),
    ("text/html", "html"),
    ("text/javascript", "js"),
    ("text/markdown", "md"),
    ("text/plain", "txt"),
    ("text/rtf", "rtf"),
    ("text/tab-separated-values", "tsv"),
    ("text/vcard", "vcard"),
    ("text/vtt", "vtt"),
    ("text/x-java-source", "java"),
    ("text/x-markdown", "mkd"),
    ("text/xml", "xml"),
    ("text/yaml", "yaml"),
    ("video/3gpp", "3gp"),
    ("video/3gpp2", "3g2"),
    ("video/h264", "h264"),
    ("video/mp2t", "ts"),
    ("video/mp4", "mp4"),
    ("video/mpeg", "mpeg"),
    ("video/ogg", "ogv"),
    ("video/quicktime", "qt"),
    ("video/webm", "webm"),
    ("video/x-flv", "flv"),
    ("video/x-m4v", "m4v"),
    ("video/x-matroska", "mkv"),
    ("video/x-ms-wmv", "wmv"),
    ("video/x-msvideo", "avi"),
];

/// What comes after the last dot; empty without one.
pub fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// The type an extension stands for; `None` for names without one and for unknown ones.
pub fn type_of(name: &str) -> Option<&'static str> {
    let extension = extension(name);
    if extension.is_empty() {
        return None;
    }
    TYPES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(extension))
        .map(|(_, mime)| *mime)
        .or_else(|| mime_guess::from_ext(extension).first_raw())
}

/// The extension that stands for a type (parameters are ignored).
pub fn extension_of(content_type: &str) -> Option<&'static str> {
    let essence = essence(content_type);
    EXTENSIONS.binary_search_by(|(mime, _)| (*mime).cmp(&essence)).ok().map(|i| EXTENSIONS[i].1)
}

/// `type/subtype` in lower case, without parameters.
pub fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// What the first bytes give away. Wider than a browser's own sniffing: markup is looked for behind
/// byte-order marks, white space, comments and processing instructions, and in UTF-16.
pub fn sniff(head: &[u8]) -> Option<&'static str> {
    if let Some(markup) = markup(head) {
        return Some(markup);
    }
    if head.starts_with(b"#!AMR") || head.starts_with(b"#!SILK") {
        // Sounds, though they begin like a script.
        return Some("audio/amr");
    }
    infer::get(head).map(|kind| kind.mime_type())
}

/// Markup that browsers run, if text begins with it.
fn markup(head: &[u8]) -> Option<&'static str> {
    let head = &head[..head.len().min(4096)];
    let text: Vec<u8> = match head {
        [0xff, 0xfe, rest @ ..] => rest.iter().step_by(2).copied().collect(),
        [0xfe, 0xff, rest @ ..] => rest.iter().skip(1).step_by(2).copied().collect(),
        [0xef, 0xbb, 0xbf, rest @ ..] => rest.to_vec(),
        // UTF-16 without a mark: `<` and a zero, or the reverse.
        [b'<', 0, ..] => head.iter().step_by(2).copied().collect(),
        [0, b'<', ..] => head.iter().skip(1).step_by(2).copied().collect(),
        _ => head.to_vec(),
    };
    let lower = text.trim_ascii_start().to_ascii_lowercase();
    let mut rest = lower.as_slice();
    let mut xml = false;
    // Step over what may stand before the root element.
    loop {
        rest = rest.trim_ascii_start();
        let (skip, end): (bool, &[u8]) = if rest.starts_with(b"<?xml") || rest.starts_with(b"<?") {
            xml |= rest.starts_with(b"<?xml");
            (true, b"?>")
        } else if rest.starts_with(b"<!--") {
            (true, b"-->")
        } else {
            (false, b"")
        };
        if !skip {
            break;
        }
        match rest.windows(end.len()).position(|window| window == end) {
            Some(at) => rest = &rest[at + end.len()..],
            None => return Some(if xml { "application/xml" } else { "text/html" }),
        }
    }
    if rest.starts_with(b"<svg") || rest.starts_with(b"<!doctype svg") {
        return Some("image/svg+xml");
    }
    // Behind an XML declaration `<a` is just an element; `<html` makes XHTML of it.
    let tags = if xml { &HTML_TAGS[..1] } else { HTML_TAGS };
    if rest.starts_with(b"<!doctype html") || tags.iter().any(|tag| opens(rest, tag)) {
        return Some("text/html");
    }
    (xml || rest.starts_with(b"<!doctype")).then_some("application/xml")
}

/// Elements whose mere presence at the start makes a browser see HTML, and those that carry scripts.
const HTML_TAGS: &[&[u8]] = &[
    b"html", b"head", b"script", b"iframe", b"h1", b"div", b"font", b"table", b"a", b"style", b"title", b"b",
    b"body", b"br", b"p", b"img", b"object", b"embed", b"link", b"meta", b"base", b"form", b"input",
    b"video", b"audio", b"math",
];

fn opens(text: &[u8], tag: &[u8]) -> bool {
    let after = text.strip_prefix(b"<").and_then(|rest| rest.strip_prefix(tag));
    after.is_some_and(|rest| rest.first().is_none_or(|c| c.is_ascii_whitespace() || b">/".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(EXTENSIONS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn both_directions() {
        assert_eq!(type_of("a.JPG"), Some("image/jpeg"));
        assert_eq!(type_of("a.tar.gz"), Some("application/gzip"));
        assert_eq!(type_of("a"), None);
        assert_eq!(type_of("a."), None);
        assert_eq!(type_of("a.nonsense"), None);
        assert_eq!(type_of("x.svgz"), Some("image/svg+xml"));
        assert_eq!(extension_of("IMAGE/JPEG; q=1"), Some("jpg"));
        assert_eq!(extension_of("text/plain"), Some("txt"));
        assert_eq!(extension_of("nonsense"), None);
    }

    #[test]
    fn markup_is_seen_through_disguises() {
        let utf16: Vec<u8> = "<html>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut marked = vec![0xff, 0xfe];
        marked.extend(&utf16);
        let cases: &[(&[u8], Option<&str>)] = &[
            (b"<html>", Some("text/html")),
            (b" \r\n\t<!DOCTYPE HTML>", Some("text/html")),
            (b"\xef\xbb\xbf<script>alert(1)</script>", Some("text/html")),
            (&utf16, Some("text/html")),
            (&marked, Some("text/html")),
            (b"<!-- note --><svg onload=alert(1)>", Some("image/svg+xml")),
            (b"<?xml version='1.0'?><svg/>", Some("image/svg+xml")),
            (b"<?xml version='1.0'?><!DOCTYPE svg PUBLIC ''>", Some("image/svg+xml")),
            (b"<?xml version='1.0'?><note/>", Some("application/xml")),
            (b"<?xml version='1.0'?><html/>", Some("text/html")),
            (b"<?xml-stylesheet href='x'?><a:b/>", Some("application/xml")),
            (b"<!-- never closed", Some("text/html")),
            (b"<img src=x onerror=alert(1)>", Some("text/html")),
            (b"<P", Some("text/html")),
            (b"plain text, a < b", None),
            (b"<3 hearts", None),
            (b"", None),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Some("image/png")),
            (b"GIF89a/*<script>*/", Some("image/gif")),
            (b"#!AMR-WB\n\x24", Some("audio/amr")),
            (b"#!/bin/sh\n", Some("text/x-shellscript")),
        ];
        for (head, expected) in cases {
            assert_eq!(sniff(head), *expected, "{:?}", String::from_utf8_lossy(head));
        }
    }
}

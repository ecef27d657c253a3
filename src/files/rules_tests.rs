//! Tests of the upload rules: the known ways around them first.

use super::*;
use serde_json::json;

fn default_filter() -> ExtensionFilter {
    ExtensionFilter::new(&[DEFAULT_EXTENSIONS]).unwrap()
}

fn text(result: Result<()>) -> String {
    match result {
        Ok(()) => "ok".into(),
        Err(error) => {
            assert!(error.is(ErrorCode::FILE_SAVE_ERROR), "{error}");
            error.public_message(true).to_owned()
        }
    }
}

fn disabled(extension: &str) -> String {
    format!("File upload of extension {extension} is disabled.")
}

#[test]
fn blocked_extensions_in_any_case() {
    let filter = default_filter();
    for extension in [
        "html", "htm", "shtml", "xhtml", "xht", "svg", "svgz", "xml", "xsl", "xslt", "xsd", "rng", "rdf",
        "owl", "mathml", "HTML", "hTm", "SvG", "XML", "XhTmL",
    ] {
        let name = format!("file.{extension}");
        assert_eq!(text(filter.check_declared(&name, None)), disabled(extension));
        assert_eq!(text(filter.check_declared(&name, Some("image/png"))), disabled(extension));
        assert_eq!(text(filter.check_declared(&format!("a.png.{extension}"), None)), disabled(extension));
        // White space and parameters do not hide it.
        assert_eq!(text(filter.check_declared(&format!("a.{extension} "), None)), disabled(extension));
        assert_eq!(text(filter.check_declared(&format!("a. {extension};x=.y"), None)), "ok");
    }
    for name in ["a.png", "a.txt", "a.html.png", "a.htmlx", "a", "a.", "a.js", "a.pdf", "a.unknown"] {
        assert_eq!(text(filter.check_declared(name, None)), "ok", "{name}");
    }
}

#[test]
fn declared_types_of_unknown_extensions() {
    let filter = default_filter();
    for (declared, expected) in [
        ("text/html", disabled("html")),
        ("text/html; charset=utf-8", disabled("html")),
        ("image/svg+xml", disabled("svg+xml")),
        ("IMAGE/SVG+XML", disabled("SVG+XML")),
        ("application/xhtml+xml", disabled("xhtml+xml")),
        ("application/rdf+xml;x", disabled("rdf+xml")),
        ("image/ svg+xml", disabled("svg+xml")),
        ("svg", disabled("svg")),
        ("html;x", disabled("html")),
        ("image", "Invalid Content-Type.".into()),
        ("image/", "Invalid Content-Type.".into()),
        ("/html", "Invalid Content-Type.".into()),
        ("image//svg+xml", "Invalid Content-Type.".into()),
        ("text/plain,text/html", "Invalid Content-Type.".into()),
        ("text/pl ain", "Invalid Content-Type.".into()),
        ("application/vnd.api+json", "ok".into()),
        ("application/octet-stream", "ok".into()),
        ("", "ok".into()),
    ] {
        for name in ["file", "file.", "file.unknownext"] {
            assert_eq!(text(filter.check_declared(name, Some(declared))), expected, "{name} {declared}");
        }
    }
}

#[test]
fn a_running_declaration_does_not_ride_on_a_known_extension() {
    let filter = default_filter();
    assert_eq!(text(filter.check_declared("a.txt", Some("text/html"))), disabled("html"));
    assert_eq!(text(filter.check_declared("a.png", Some("image/svg+xml"))), disabled("svg+xml"));
    // Clients that declare something general, or nothing that parses, are not at fault.
    for declared in ["text/plain", "application/octet-stream", "application/x-www-form-urlencoded", "junk"] {
        assert_eq!(text(filter.check_declared("a.png", Some(declared))), "ok", "{declared}");
    }
}

#[test]
fn allow_lists_and_star() {
    let filter = ExtensionFilter::new(&["^(png|jpe?g)$", "pdf"]).unwrap();
    assert_eq!(text(filter.check_declared("a.png", None)), "ok");
    assert_eq!(text(filter.check_declared("a.xpdfx", None)), "ok");
    assert_eq!(text(filter.check_declared("a.txt", None)), disabled("txt"));
    assert_eq!(text(filter.check_declared("a", Some("text/plain"))), disabled("plain"));
    let star = ExtensionFilter::new(&["*"]).unwrap();
    assert_eq!(text(star.check_declared("a.html", Some("text/html"))), "ok");
    assert_eq!(text(star.check_content(Some("image/png"), b"<html>")), "ok");
    let none = ExtensionFilter::new::<&str>(&[]).unwrap();
    assert_eq!(text(none.check_declared("a.png", None)), disabled("png"));
    assert!(ExtensionFilter::new(&["("]).is_err());
}

#[test]
fn content_must_be_what_it_is_served_as() {
    let filter = default_filter();
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01";
    let check = |served, head: &[u8]| text(filter.check_content(Some(served), head));
    assert_eq!(check("image/png", png), "ok");
    assert_eq!(check("image/jpeg", png), "ok");
    assert_eq!(check("image/png", b"argle bargle"), "ok");
    assert_eq!(check("image/png", b"<html><script>"), disabled("html"));
    assert_eq!(check("image/png", b"\xef\xbb\xbf \n<svg xmlns=''>"), disabled("svg"));
    for harmless in
        ["text/plain", "text/markdown", "text/csv", "application/octet-stream", "application/x-plist"]
    {
        for text in [&b"<!DOCTYPE html>"[..], b"<p>Hello", b"<!-- note -->", b"<?xml version='1.0'?><plist/>"]
        {
            assert_eq!(check(harmless, text), "ok");
        }
    }
    for guessed in ["application/unknown", "*/*", "unknown/unknown", "", "html"] {
        assert_eq!(check(guessed, b"<!DOCTYPE html>"), disabled("html"), "{guessed}");
    }
    assert_eq!(check("audio/amr-wb", b"#!AMR-WB\n"), "ok");
    assert_eq!(check("audio/amr", b"#!/bin/sh\n"), "Invalid Content-Type.");
    assert_eq!(check("application/gpx+xml", b"<?xml version='1.0'?><gpx/>"), "ok");
    assert_eq!(check("application/gpx+xml", b"<?xml version='1.0'?><svg/>"), disabled("svg"));
    assert_eq!(check("application/gpx+xml", b"<?xml version='1.0'?><html/>"), disabled("html"));
    assert_eq!(check("image/png", b"%PDF-1.7\n"), "Invalid Content-Type.");
    assert_eq!(check("video/mp4", b"PK\x03\x04xxxxxxxxxx"), "Invalid Content-Type.");
    assert_eq!(check("audio/mpeg", png), "Invalid Content-Type.");
    assert_eq!(check("text/plain", b"BMW and other cars"), "ok");
    assert_eq!(text(filter.check_content(None, b"<html>")), disabled("html"));
    assert_eq!(text(filter.check_content(None, png)), "ok");
}

#[test]
fn doors() {
    let anonymous = Caller::User { anonymous: true };
    let user = Caller::User { anonymous: false };
    let upload = Doors::UPLOAD_DEFAULT;
    assert_eq!(text(upload.check_upload(Caller::Public)), "File upload by public is disabled.");
    assert_eq!(text(upload.check_upload(anonymous)), "File upload by anonymous user is disabled.");
    assert_eq!(text(upload.check_upload(user)), "ok");
    let closed = Doors { public: false, anonymous: false, authenticated: false };
    assert_eq!(text(closed.check_upload(user)), "File upload by authenticated user is disabled.");
    assert_eq!(text(closed.check_upload(Caller::Master)), "ok");
    assert_eq!(text(closed.check_upload(Caller::Maintenance)), "ok");
    let refused = upload.check_upload(Caller::ReadOnlyMaster).unwrap_err();
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.body(true), json!({"error": "Permission denied"}));
    assert_eq!(refused.body(false), json!({"error": "read-only masterKey isn't allowed to create a file."}));
    for caller in [anonymous, user, Caller::Public, Caller::Master, Caller::ReadOnlyMaster] {
        assert!(Doors::DOWNLOAD_DEFAULT.check_download(caller).is_ok());
    }
    let error = closed.check_download(Caller::Public).unwrap_err();
    assert_eq!(error.body(true), json!({"code": 119, "error": "File download by public is disabled."}));
    assert!(closed.check_download(Caller::ReadOnlyMaster).is_ok());
}

#[test]
fn sizes() {
    for (given, expected) in [
        ("20Mb", Some(20 << 20)),
        ("20mb", Some(20 << 20)),
        (" 1.5 GB ", Some(3 << 29)),
        ("0.5kb", Some(512)),
        ("17", Some(17)),
        ("17b", Some(17)),
        ("1.", None),
        (".5mb", None),
        ("-1", None),
        ("1e3", None),
        ("mb", None),
        ("5 tb", None),
        ("", None),
        ("99999999999gb", Some(u64::MAX)),
    ] {
        assert_eq!(parse_size(given), expected, "{given}");
    }
    assert_eq!(text(size_override("lots").map(drop)), "Invalid maxUploadSize override value: lots");
}

#[test]
fn header_objects() {
    assert_eq!(header_object("Tags", r#"{"a":"b"}"#).unwrap()["a"], "b");
    for bad in ["", "[]", "1", "null", "{", "\"x\""] {
        let error = header_object("Metadata", bad).unwrap_err();
        assert!(error.is(ErrorCode::INVALID_JSON));
        assert_eq!(error.public_message(true), "Invalid JSON in X-Parse-File-Metadata header.");
    }
}

#[test]
fn file_urls() {
    let allowed = |list: &[&str]| list.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    let list = allowed(&["cdn.example.com", "*.files.example.org"]);
    let check = |url: &str| text(check_file_url(url, &list));
    assert_eq!(check("https://cdn.example.com/a"), "ok");
    assert_eq!(check("https://CDN.Example.com:8080/a"), "ok");
    assert_eq!(check("https://x.files.example.org/a"), "ok");
    assert_eq!(check("https://files.example.org/a"), "File URL domain 'files.example.org' is not allowed.");
    assert_eq!(
        check("https://evilfiles.example.org"),
        "File URL domain 'evilfiles.example.org' is not allowed."
    );
    assert_eq!(
        check("https://cdn.example.com.evil.io/"),
        "File URL domain 'cdn.example.com.evil.io' is not allowed."
    );
    assert_eq!(check("https://cdn.example.com@evil.io/"), "File URL domain 'evil.io' is not allowed.");
    assert_eq!(check("https://evil.io\\@cdn.example.com/"), "File URL domain 'evil.io' is not allowed.");
    assert_eq!(check("file:///etc/passwd"), "File URL domain '' is not allowed.");
    assert_eq!(check("no url"), "Invalid file URL.");
    assert_eq!(check(""), "ok");
    assert_eq!(text(check_file_url("junk", &allowed(&["x", "*"]))), "ok");
    assert_eq!(text(check_file_url("https://a.b", &[])), "File URL domain 'a.b' is not allowed.");

    let object = |value: Value| value.as_object().cloned().unwrap();
    let nested = object(json!({"a": [{"b": {"__type": "File", "name": "n", "url": "https://evil.io/x"}}]}));
    assert_eq!(text(check_file_urls(&nested, &list)), "File URL domain 'evil.io' is not allowed.");
    assert_eq!(text(check_file_urls(&nested, &allowed(&["*"]))), "ok");
    assert_eq!(text(check_file_urls(&object(json!({"f": {"__type": "File", "name": "n"}})), &[])), "ok");
}

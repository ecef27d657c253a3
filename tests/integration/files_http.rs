//! The file routes of a real server: uploads in every form, downloads, metadata, removal, and every way in
//! which an upload could become a page.

use bytes::Bytes;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::server::{APP_ID, MASTER_KEY, TestServer};
use crate::support::wait;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01";

/// Everybody may upload.
async fn open_server() -> TestServer {
    TestServer::with(json!({"fileUpload": {"enableForPublic": true}})).await
}

struct Uploads<'a> {
    server: &'a TestServer,
    master: bool,
}

impl Uploads<'_> {
    async fn raw(
        &self,
        name: &str,
        content_type: Option<&str>,
        body: impl Into<reqwest::Body>,
    ) -> (u16, Value) {
        self.with(
            name,
            body,
            &content_type.map(|kind| ("Content-Type", kind)).into_iter().collect::<Vec<_>>(),
        )
        .await
    }

    async fn with(
        &self,
        name: &str,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let url = self.server.url(&format!("/parse/files/{name}"));
        let mut request = Client::new().post(url).header("X-Parse-Application-Id", APP_ID).body(body);
        if self.master {
            request = request.header("X-Parse-Master-Key", MASTER_KEY);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let location = response.headers().get("location").map(|l| l.to_str().unwrap().to_owned());
        let body: Value = response.json().await.unwrap_or_default();
        if status == 201 {
            assert_eq!(location.as_deref(), body["url"].as_str());
        }
        (status, body)
    }

    /// The stored name of an upload that has to succeed.
    async fn name(&self, name: &str, content_type: Option<&str>, body: impl Into<reqwest::Body>) -> String {
        let (status, body) = self.raw(name, content_type, body).await;
        assert_eq!(status, 201, "{body}");
        body["name"].as_str().unwrap().to_owned()
    }
}

fn public(server: &TestServer) -> Uploads<'_> {
    Uploads { server, master: false }
}

fn master(server: &TestServer) -> Uploads<'_> {
    Uploads { server, master: true }
}

async fn get(server: &TestServer, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Client::new().get(server.url(&format!("/parse/files/{path}")));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn refused(code: i64, text: &str) -> (u16, Value) {
    (400, json!({"code": code, "error": text}))
}

#[actix_web::test]
async fn up_and_down() {
    let server = open_server().await;
    for size in [1, 100_000, 3_000_000] {
        let data: Vec<u8> = (0..size).map(|i: u32| (i % 251) as u8).collect();
        let (status, body) = public(&server).raw("my file.bin", None, data.clone()).await;
        assert_eq!(status, 201, "{body}");
        let name = body["name"].as_str().unwrap();
        assert!(name.len() == 32 + 12 && name.ends_with("_my file.bin"), "{name}");
        let url = body["url"].as_str().unwrap();
        let encoded = name.replace(' ', "%20");
        assert_eq!(url, server.url(&format!("/parse/files/{APP_ID}/{encoded}")));
        let response = reqwest::get(url).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "content-length"), size.to_string());
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert!(response.bytes().await.unwrap() == data);
    }
}

#[actix_web::test]
async fn the_sdk_form() {
    let server = open_server().await;
    let post = async |name: &str, body: Value| {
        let sdk = server.client(&[]);
        let text = [("Content-Type", "text/plain")];
        let path = format!("/files/{name}");
        sdk.send_with(Method::POST, &path, Some(body.to_string().into()), &text).await
    };
    let saved =
        post("a.txt", json!({"_ApplicationId": APP_ID, "base64": "aGVsbG8=", "_ContentType": "text/plain"}));
    let saved = saved.await;
    assert_eq!(saved.status, 201, "{}", saved.text);
    let name = saved.body["name"].as_str().unwrap();
    let response = get(&server, &format!("{APP_ID}/{name}"), &[]).await;
    assert_eq!(header(&response, "content-type"), "text/plain; charset=utf-8");
    assert_eq!(response.text().await.unwrap(), "hello");
    // Extension from the type.
    let saved =
        post("pic", json!({"_ApplicationId": APP_ID, "base64": "AAAA", "_ContentType": "image/jpeg"})).await;
    assert!(saved.body["name"].as_str().unwrap().ends_with("_pic.jpg"), "{}", saved.text);

    let described = json!({
        "_ApplicationId": APP_ID, "_MasterKey": MASTER_KEY, "base64": "AAAA",
        "fileData": {"metadata": {"a": 1}, "tags": {"b": "c"}, "directory": "d/e"},
    });
    let saved = post("x.bin", described.clone()).await;
    let name = saved.body["name"].as_str().unwrap();
    assert!(name.starts_with("d/e/"), "{name}");
    let metadata = get(&server, &format!("{APP_ID}/metadata/{name}"), &[]).await;
    assert_eq!(metadata.json::<Value>().await.unwrap(), json!({"metadata": {"a": 1}}));
    let mut public = described.clone();
    public.as_object_mut().unwrap().remove("_MasterKey");
    let answer = post("x.bin", public).await;
    assert_eq!(answer.error(), (400, 119, "Directory can only be set using the Master Key."));
    for (directory, text) in [
        (json!(7), "Directory must be a string."),
        (json!(null), "Directory must be a string."),
        (json!(""), "Directory must not be empty."),
        (json!("../x"), "Directory must not contain \"..\"."),
        (json!("metadata/x"), "Directory must not start with reserved segment \"metadata\"."),
    ] {
        let mut body = described.clone();
        body["fileData"]["directory"] = directory;
        assert_eq!(post("x.bin", body).await.error(), (400, 122, text));
    }
    let mut prohibited = described.clone();
    prohibited["fileData"]["metadata"] = json!({"constructor": 1});
    let answer = post("x.bin", prohibited).await;
    assert_eq!((answer.status, answer.error().1), (400, 105), "{}", answer.text);

    for (body, expected) in [
        (json!({"base64": "AAAA"}), (403, json!({"error": "unauthorized"}))),
        (json!({"_ApplicationId": "other", "base64": "AAAA"}), (403, json!({"error": "unauthorized"}))),
        (json!({"_ApplicationId": APP_ID, "base64": 7}), (403, json!({"error": "unauthorized"}))),
        (json!({"_ApplicationId": APP_ID, "base64": ""}), refused(130, "Invalid file upload.")),
        (json!({"_ApplicationId": APP_ID}), refused(130, "Invalid file upload.")),
    ] {
        let answer = post("a.txt", body).await;
        assert_eq!((answer.status, answer.body), expected);
    }
}

#[actix_web::test]
async fn streams() {
    let server = open_server().await;
    let stream = ("X-Parse-Upload-Mode", "stream");
    let (status, body) = master(&server)
        .with(
            "s.bin",
            vec![7; 500_000],
            &[
                stream,
                ("X-Parse-File-Directory", "dir"),
                ("X-Parse-File-Metadata", r#"{"m":1}"#),
                ("X-Parse-File-Tags", r#"{"t":"u"}"#),
            ],
        )
        .await;
    assert_eq!(status, 201, "{body}");
    let name = body["name"].as_str().unwrap();
    assert!(name.starts_with("dir/"));
    let metadata = get(&server, &format!("{APP_ID}/metadata/{name}"), &[]).await;
    assert_eq!(metadata.json::<Value>().await.unwrap(), json!({"metadata": {"m": 1}}));
    let public = public(&server);
    for (which, value) in [("Metadata", "[]"), ("Tags", "nonsense")] {
        let answer = public.with("s.bin", "x", &[stream, (&format!("X-Parse-File-{which}"), value)]).await;
        assert_eq!(answer, refused(107, &format!("Invalid JSON in X-Parse-File-{which} header.")));
    }
    let answer = public.with("s.bin", "x", &[stream, ("X-Parse-File-Directory", "d")]).await;
    assert_eq!(answer, refused(119, "Directory can only be set using the Master Key."));
}

#[actix_web::test]
async fn sizes_are_limited() {
    let server =
        TestServer::with(json!({"fileUpload": {"enableForPublic": true}, "maxUploadSize": "100kb"})).await;
    let public = public(&server);
    let chunked = |size: usize| {
        let chunks = (0..size / 1000).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[0; 1000])));
        reqwest::Body::wrap_stream(futures_util::stream::iter(chunks.collect::<Vec<_>>()))
    };
    let stream = ("X-Parse-Upload-Mode", "stream");
    let too_large = refused(130, "File size exceeds maximum allowed: 102400 bytes.");
    assert_eq!(public.with("a.bin", vec![0; 100 * 1024], &[]).await.0, 201);
    assert_eq!(public.with("a.bin", vec![0; 100 * 1024 + 1], &[]).await.0, 413);
    assert_eq!(public.with("a.bin", chunked(200_000), &[]).await.0, 413);
    assert_eq!(public.with("a.bin", vec![0; 200_000], &[stream]).await, too_large);
    assert_eq!(public.with("a.bin", chunked(200_000), &[stream]).await, too_large);
    let list = server.database().connect().await;
    wait::until_some("nothing of them is left", || async {
        let rows = list.query_one("SELECT count(*) FROM parsimony.file", &[]).await.unwrap();
        (rows.get::<_, i64>(0) == 1).then_some(())
    })
    .await;

    let size = |value| ("X-Parse-File-Max-Upload-Size", value);
    let privileged = master(&server);
    assert_eq!(privileged.with("a.bin", vec![0; 200_000], &[size("1mb")]).await.0, 201);
    assert_eq!(privileged.with("a.bin", vec![0; 3], &[size("2b")]).await.0, 413);
    let answer = privileged.with("a.bin", "x", &[size("much")]).await;
    assert_eq!(answer, refused(130, "Invalid maxUploadSize override value: much"));
    assert_eq!(public.with("a.bin", "x", &[size("1mb")]).await, (403, json!({"error": "Permission denied"})));
    // Packed content stays packed, so it is not taken at all.
    assert_eq!(public.with("a.bin", "x", &[("Content-Encoding", "gzip")]).await.0, 415);
}

#[actix_web::test]
async fn names_and_permissions() {
    let server = open_server().await;
    let anybody = public(&server);
    for name in ["..%2Fa.txt", "a%00b", "a%2Fb.txt", ".hidden", "a%5Cb", "%C3%BC.txt", "a%0d%0ab", "a%252e"] {
        let answer = anybody.raw(name, None, "x").await;
        assert_eq!(answer, refused(122, "Filename contains invalid characters."), "{name}");
    }
    assert_eq!(anybody.raw(&"x".repeat(129), None, "x").await, refused(122, "Filename too long."));
    assert_eq!(anybody.raw("", None, "x").await, refused(122, "Filename not provided."));
    assert_eq!(anybody.raw("a.txt", None, "").await, refused(130, "Invalid file upload."));
    let answer = server.client(&[]).post("/files", json!({})).await;
    assert_eq!(answer.error(), (400, 122, "Filename not provided."));

    let closed = TestServer::with(json!({
        "readOnlyMasterKey": "reader", "readOnlyMasterKeyIps": ["127.0.0.1"],
        "fileDownload": {"enableForPublic": false},
    }))
    .await;
    let answer = public(&closed).raw("a.txt", None, "x").await;
    assert_eq!(answer, refused(130, "File upload by public is disabled."));
    let reader = closed.client(&[("X-Parse-Application-Id", APP_ID), ("X-Parse-Master-Key", "reader")]);
    for (method, path) in [(Method::POST, "/files/a.txt"), (Method::DELETE, "/files/a.txt")] {
        let answer = reader.send(method, path, Some("x".into())).await;
        assert_eq!((answer.status, answer.body), (403, json!({"error": "Permission denied"})));
    }
    let name = master(&closed).name("a.txt", None, "x").await;
    let answer = get(&closed, &format!("{APP_ID}/{name}"), &[]).await;
    assert_eq!(answer.status(), 400);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body, json!({"code": 119, "error": "File download by public is disabled."}));
    let answer = get(&closed, &format!("{APP_ID}/metadata/{name}"), &[]).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.json::<Value>().await.unwrap(), body);
    let keys = [("X-Parse-Application-Id", APP_ID), ("X-Parse-Master-Key", MASTER_KEY)];
    assert_eq!(get(&closed, &format!("{APP_ID}/{name}"), &keys).await.status(), 200);
}

#[actix_web::test]
async fn missing_files_and_applications() {
    let server = open_server().await;
    for path in ["none.txt", "..%2F..%2Fetc%2Fpasswd", "a%00", "%252e%252e%252fx"] {
        let answer = get(&server, &format!("{APP_ID}/{path}"), &[]).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(header(&answer, "content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.text().await.unwrap(), "File not found.");
        let answer = get(&server, &format!("{APP_ID}/metadata/{path}"), &[]).await;
        assert_eq!((answer.status(), answer.text().await.unwrap().as_str()), (StatusCode::OK, "{}"));
    }
    let answer = get(&server, "other/none.txt", &[]).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({"error": "Permission denied"}));
    let answer = get(&server, "other/metadata/none.txt", &[]).await;
    assert_eq!((answer.status(), answer.text().await.unwrap().as_str()), (StatusCode::OK, "{}"));
}

#[actix_web::test]
async fn removal() {
    let server = open_server().await;
    let name = public(&server).name("a.txt", None, "x").await;
    let path = format!("/files/{name}");
    let answer = server.anonymous().delete(&path).await;
    assert_eq!((answer.status, answer.body), (403, json!({"error": "Permission denied"})));
    let answer = server.master().delete(&path).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    assert_eq!(get(&server, &format!("{APP_ID}/{name}"), &[]).await.status(), 404);
    assert_eq!(server.master().delete(&path).await.error(), (400, 153, "Could not delete file."));
    assert_eq!(server.master().delete("/files/..%2Fx").await.error(), (400, 153, "Could not delete file."));
}

#[actix_web::test]
async fn ranges_and_conditions() {
    let server = open_server().await;
    let data: Vec<u8> = (0..700_000_u32).map(|i| (i % 251) as u8).collect();
    let name = public(&server).name("a.mp4", Some("video/mp4"), data.clone()).await;
    let path = format!("{APP_ID}/{name}");
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=262000-263000", 262_000, 263_001),
        ("bytes=699999-", 699_999, 700_000),
        ("bytes=-10", 699_990, 700_000),
        ("bytes=600000-9999999", 600_000, 700_000),
    ] {
        let part = get(&server, &path, &[("Range", range)]).await;
        assert_eq!(part.status(), 206, "{range}");
        assert_eq!(header(&part, "content-range"), format!("bytes {from}-{}/700000", to - 1));
        assert_eq!(header(&part, "content-length"), (to - from).to_string());
        assert_eq!(header(&part, "accept-ranges"), "bytes");
        assert!(part.bytes().await.unwrap() == data[from..to], "{range}");
    }
    let part = get(&server, &path, &[("Range", "bytes=700000-")]).await;
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (416, "bytes */700000"));
    for ignored in ["bytes=5-1", "bytes=0-1,5-6", "lines=1-2"] {
        assert_eq!(get(&server, &path, &[("Range", ignored)]).await.status(), 200);
    }
    let whole = get(&server, &path, &[]).await;
    let (etag, modified) = (header(&whole, "etag").to_owned(), header(&whole, "last-modified").to_owned());
    assert!(!etag.is_empty() && !modified.is_empty());
    let same = get(&server, &path, &[("If-None-Match", &etag)]).await;
    assert_eq!((same.status().as_u16(), header(&same, "etag")), (304, etag.as_str()));
    assert_eq!(get(&server, &path, &[("If-Modified-Since", &modified)]).await.status(), 304);
    assert_eq!(get(&server, &path, &[("If-None-Match", "\"x\"")]).await.status(), 200);
    assert_eq!(get(&server, &path, &[("If-Match", "\"x\"")]).await.status(), 412);
    let resumed = get(&server, &path, &[("Range", "bytes=0-1"), ("If-Range", &etag)]).await;
    assert_eq!(resumed.status(), 206);
    let changed = get(&server, &path, &[("Range", "bytes=0-1"), ("If-Range", "\"x\"")]).await;
    assert_eq!((changed.status().as_u16(), header(&changed, "content-length")), (200, "700000"));
    let head = Client::new().head(server.url(&format!("/parse/files/{path}"))).send().await.unwrap();
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, "700000"));
}

#[actix_web::test]
async fn uploads_never_become_pages() {
    let server = open_server().await;
    let public = public(&server);
    let disabled =
        |extension: &str| refused(130, &format!("File upload of extension {extension} is disabled."));
    let script = "<script>alert(1)</script>";
    for (name, content_type, body, expected) in [
        ("a.html", None, "x", disabled("html")),
        ("a.HtM", None, "x", disabled("HtM")),
        ("a.svg", Some("image/png"), "x", disabled("svg")),
        ("a", Some("text/html"), "x", disabled("html")),
        ("a", Some("image/svg+xml;charset=utf-8"), "x", disabled("svg+xml")),
        ("a.unknown", Some("application/xhtml+xml"), "x", disabled("xhtml+xml")),
        ("a", Some("image"), "x", refused(130, "Invalid Content-Type.")),
        ("a.txt", Some("text/html"), "x", disabled("html")),
        ("a.png", Some("image/png"), script, disabled("html")),
        ("a", Some("image/png"), "\u{feff} \n<svg onload=alert(1)>", disabled("svg")),
        ("a.jpg", None, "<?xml version='1.0'?><html/>", disabled("html")),
        ("a.png", None, "%PDF-1.7 and more", refused(130, "Invalid Content-Type.")),
    ] {
        assert_eq!(public.raw(name, content_type, body).await, expected, "{name} {content_type:?} {body}");
    }
    // The same through the stream and the SDK's form.
    let stream = ("X-Parse-Upload-Mode", "stream");
    assert_eq!(public.with("a.png", script, &[stream]).await, disabled("html"));
    let form = json!({"_ApplicationId": APP_ID, "base64": "PGh0bWw+", "_ContentType": "image/png"});
    let answer = server.client(&[]).post("/files/a.png", form).await;
    assert_eq!((answer.status, answer.body), disabled("html"));

    // The master key may store a page; even so it does not run.
    let page = master(&server).name("page.html", None, script).await;
    let answer = get(&server, &format!("{APP_ID}/{page}"), &[]).await;
    assert_eq!(header(&answer, "content-disposition"), format!("attachment;filename={page}"));
    assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
    assert!(header(&answer, "content-security-policy").contains("sandbox"));
    for (name, inline) in
        [("a.png", true), ("b.txt", true), ("c.json", false), ("d.bin", false), ("e.js", false)]
    {
        let body = if name == "a.png" { PNG } else { b"harmless" };
        let stored = public.name(name, None, body).await;
        let answer = get(&server, &format!("{APP_ID}/{stored}"), &[]).await;
        assert_eq!(header(&answer, "content-disposition").is_empty(), inline, "{name}");
        assert!(header(&answer, "content-security-policy").contains("default-src 'none'"), "{name}");
    }
}

/// A request that no client library tidies up; status line and body.
async fn plain(server: &TestServer, line: &str, body: &str) -> String {
    let mut socket = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: h\r\nX-Parse-Application-Id: {APP_ID}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[actix_web::test]
async fn paths_cannot_climb() {
    let server = TestServer::with(json!({
        "fileUpload": {"enableForPublic": true},
        "filesAdapter": {"module": "@parse/fs-files-adapter", "options": {"filesSubDirectory": "climb"}},
    }))
    .await;
    for path in [
        "..%2f..%2fCargo.toml",
        "../../Cargo.toml",
        "%2e%2e/%2e%2e/Cargo.toml",
        "%2e%2e%2f%2e%2e%2fCargo.toml",
        "..%5c..%5cCargo.toml",
        "..%c0%af..%c0%afCargo.toml",
        "%252e%252e%252f%252e%252e%252fCargo.toml",
        "..%00/Cargo.toml",
        "%ef%bc%8e%ef%bc%8e/Cargo.toml",
        "/Cargo.toml",
        "%2fetc%2fpasswd",
        ".",
        "..",
        "%2e",
    ] {
        for prefix in [format!("/parse/files/{APP_ID}/"), format!("/parse/files/{APP_ID}/metadata/")] {
            let answer = plain(&server, &format!("GET {prefix}{path}"), "").await;
            assert!(!answer.contains("[package]") && !answer.contains("root:"), "{path}: {answer}");
            let status = &answer[9..12];
            assert!(["400", "404"].contains(&status) || answer.ends_with("{}"), "{path}: {answer}");
        }
        let answer = plain(&server, &format!("POST /parse/files/{path}"), "x").await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{path}: {answer}");
    }
    std::fs::remove_dir("files/climb").unwrap();
    let _ = std::fs::remove_dir("files");
}

#[actix_web::test]
async fn a_client_that_breaks_off_leaves_nothing() {
    let server = open_server().await;
    let database = server.database().connect().await;
    let rows = async || -> i64 {
        let sql =
            "SELECT (SELECT count(*) FROM parsimony.file) + (SELECT count(*) FROM parsimony.file_chunk)";
        database.query_one(sql, &[]).await.unwrap().get(0)
    };
    let mut socket = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /parse/files/a.bin HTTP/1.1\r\nHost: h\r\nX-Parse-Application-Id: {APP_ID}\r\n\
         Content-Length: 5000000\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![1; 1_000_000]).await.unwrap();
    wait::until_some("some of it is stored", || async { (rows().await > 0).then_some(()) }).await;
    drop(socket);
    wait::until_some("all of it is gone", || async { (rows().await == 0).then_some(()) }).await;
}

#[actix_web::test]
async fn a_hopeless_upload_is_refused_before_it_is_sent() {
    let server = TestServer::start().await;
    let mut socket = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /parse/files/a.bin HTTP/1.1\r\nHost: h\r\nX-Parse-Application-Id: {APP_ID}\r\n\
         Content-Length: 5000000\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = socket.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("File upload by public is disabled."), "{answer}");
}

#[actix_web::test]
async fn folders_and_preserved_names() {
    let folder = format!("{}-{:016x}", "test", rand::random::<u64>());
    let server = TestServer::with(json!({
        "fileUpload": {"enableForPublic": true},
        "preserveFileName": true,
        "filesAdapter": {"module": "@parse/fs-files-adapter", "options": {"filesSubDirectory": folder}},
    }))
    .await;
    let (status, body) = public(&server).raw("kept name.txt", None, "one").await;
    assert_eq!((status, &body["name"]), (201, &json!("kept name.txt")));
    public(&server).name("kept name.txt", None, "two").await;
    let answer = reqwest::get(body["url"].as_str().unwrap()).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "two");
    let path = std::path::Path::new("files").join(&folder);
    assert_eq!(std::fs::read(path.join("kept%20name.txt")).unwrap(), b"two");
    std::fs::remove_dir_all(path).unwrap();
    let _ = std::fs::remove_dir("files");
}

#[actix_web::test]
async fn objects_carry_addresses() {
    let server = open_server().await;
    let (_, file) = public(&server).raw("a.txt", None, "x").await;
    let value = json!({"__type": "File", "name": file["name"], "url": file["url"]});
    let created = server.anonymous().post("/classes/Holder", json!({"file": value})).await.ok();
    let path = format!("/classes/Holder/{}", created["objectId"].as_str().unwrap());
    let got = server.anonymous().get(&path).await.ok();
    assert_eq!(got["file"], value);
}

#[actix_web::test]
async fn addresses_of_other_places_can_be_forbidden() {
    let server = TestServer::with(json!({
        "fileUpload": {"allowedFileUrlDomains": ["cdn.example.com", "*.files.example.org"]},
    }))
    .await;
    let save = async |url: &str| {
        let file = json!({"__type": "File", "name": "n.txt", "url": url});
        server.anonymous().post("/classes/Holder", json!({"nested": {"list": [file]}})).await
    };
    assert_eq!(save("https://cdn.example.com/n.txt").await.status, 201);
    assert_eq!(save("https://a.files.example.org/n.txt").await.status, 201);
    let refused = save("https://evil.example/n.txt").await;
    assert_eq!(refused.error(), (400, 130, "File URL domain 'evil.example' is not allowed."));
    assert_eq!(save("junk").await.error(), (400, 130, "Invalid file URL."));
    let file = json!({"__type": "File", "name": "n.txt", "url": "https://evil.example/"});
    let refused = server.anonymous().post("/functions/any", json!({"file": file})).await;
    assert_eq!(refused.error(), (400, 130, "File URL domain 'evil.example' is not allowed."));
}

/// Runs the program; whether it succeeded, and what it printed.
async fn program(server: &TestServer, options: &[&str], command: &[&str]) -> (bool, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_parsimony"))
        .args(["--appId", APP_ID, "--masterKey", MASTER_KEY, "--databaseURI", &server.database().uri])
        .args(options)
        .args(command)
        .output()
        .await
        .unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[actix_web::test]
async fn the_command_that_rotates_keys() {
    let server = open_server().await;
    let names =
        [public(&server).name("a.txt", None, "one").await, public(&server).name("b.txt", None, "two").await];
    let key = ["--encryptionKey", "first"];
    let (ok, text) = program(&server, &key, &["files", "rotate-key", &names[0]]).await;
    assert!(ok && text.contains("Files with the new key: 1\n"), "{text}");
    let (ok, text) = program(&server, &key, &["files", "rotate-key"]).await;
    assert!(ok && text.contains("Files with the new key: 2\n"), "{text}");
    let stored = "SELECT count(*) FROM parsimony.file WHERE key_id IS NOT NULL";
    let database = server.database().connect().await;
    assert_eq!(database.query_one(stored, &[]).await.unwrap().get::<_, i64>(0), 2);
    // The server without a key does not serve what it cannot read.
    assert_eq!(get(&server, &format!("{APP_ID}/{}", names[0]), &[]).await.status(), 404);

    let (ok, text) = program(&server, &["--encryptionKey", "second"], &["files", "rotate-key"]).await;
    assert!(!ok && text.contains("could not be rotated: 2\n") && text.contains(&names[0]), "{text}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first\n").unwrap();
    let old = ["files", "rotate-key", "--old-key-file", file.path().to_str().unwrap()];
    let (ok, text) = program(&server, &["--encryptionKey", "second"], &old).await;
    assert!(ok && text.contains("Files with the new key: 2\n"), "{text}");
    let (ok, text) = program(&server, &[], &["files", "rotate-key", "--old-key", "second"]).await;
    assert!(ok, "{text}");
    let answer = get(&server, &format!("{APP_ID}/{}", names[0]), &[]).await;
    assert_eq!(answer.text().await.unwrap(), "one");
}

#[actix_web::test]
async fn the_command_rotates_in_an_adapter_of_ones_own_too() {
    let server = TestServer::start().await;
    let home = tempfile::tempdir().unwrap();
    let module = home.path().join("adapter.cjs");
    std::fs::write(
        &module,
        "module.exports = class { async rotateEncryptionKey({ oldKey, fileNames }) { \
         return { rotated: fileNames, notRotated: [`with ${oldKey}`] }; } };",
    )
    .unwrap();
    let adapter = module.to_str().unwrap();
    let command = ["files", "rotate-key", "--old-key", "old", "a.txt", "b.txt"];
    let (complete, said) = program(&server, &["--filesAdapter", adapter], &command).await;
    assert!(!complete);
    assert_eq!(said, "Files with the new key: 2\nFiles that could not be rotated: 1\nwith old\n");
}

#[actix_web::test]
async fn a_store_that_fails_is_a_parse_error() {
    // A port nobody listens on any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = TestServer::with(json!({
        "fileUpload": {"enableForPublic": true}, "preserveFileName": true,
        "filesAdapter": {"module": "@parse/s3-files-adapter", "options": {
            "bucket": "b", "credentials": {"accessKeyId": "a", "secretAccessKey": "s"},
            "s3overrides": {"endpoint": format!("http://127.0.0.1:{port}"), "forcePathStyle": true},
        }},
    }))
    .await;
    let (saved, found) = futures_util::future::join(
        async { public(&server).raw("a.txt", Some("text/plain"), "x").await },
        async { get(&server, &format!("{APP_ID}/a.txt"), &[]).await },
    )
    .await;
    assert_eq!(saved, refused(130, "Could not store file: a.txt."));
    assert_eq!((found.status().as_u16(), found.text().await.unwrap().as_str()), (404, "File not found."));
    let removed = server.master().delete("/files/a.txt").await;
    assert_eq!(removed.error(), (400, 153, "Could not delete file."));
}

#[actix_web::test]
async fn many_at_once() {
    let server = open_server().await;
    let uploads = (0..100_u32).map(|i| {
        let server = &server;
        async move {
            let data = vec![i as u8; 300_000 + i as usize];
            let name = public(server).name("many.bin", None, data.clone()).await;
            let got = get(server, &format!("{APP_ID}/{name}"), &[]).await;
            assert!(got.bytes().await.unwrap() == data, "{i}");
        }
    });
    futures_util::future::join_all(uploads).await;
}

#[actix_web::test]
async fn the_command_that_removes_unused_files() {
    let server = open_server().await;
    let mut names = Vec::new();
    let mut urls = Vec::new();
    for i in 0..5 {
        let (_, body) = public(&server).raw(&format!("f{i}.txt"), None, "x").await;
        names.push(body["name"].as_str().unwrap().to_owned());
        urls.push(body["url"].as_str().unwrap().to_owned());
    }
    let file = |i: usize| json!({"__type": "File", "name": names[i], "url": urls[i]});
    let client = server.anonymous();
    client.post("/classes/Holder", json!({"file": file(0)})).await.ok();
    client.post("/classes/Holder", json!({"nested": {"deep": [{"er": file(1)}]}})).await.ok();
    client.post("/classes/Note", json!({"text": format!("see {}, please", urls[2])})).await.ok();
    let collect = ["files", "gc"];
    // Too young, all of them.
    let (ok, text) = program(&server, &[], &collect).await;
    assert!(ok && text.contains("Removed: 0 files"), "{text}");
    let database = server.database().connect().await;
    database.batch_execute("UPDATE parsimony.file SET stored_at = now() - interval '2 days'").await.unwrap();
    let (ok, text) = program(&server, &[], &["files", "gc", "--dry-run"]).await;
    assert!(ok && text.contains("Unused: 2 files, 2 bytes"), "{text}");
    assert!(text.contains(&names[3]) && text.contains(&names[4]) && !text.contains(&names[2]), "{text}");
    assert_eq!(reqwest::get(&urls[3]).await.unwrap().status(), 200);
    let (ok, text) = program(&server, &[], &collect).await;
    assert!(
        ok && text.contains("Set aside: 2 files, 2 bytes") && text.contains("Removed: 0 files"),
        "{text}"
    );
    // Who asks for one gets it: it is used after all.
    assert_eq!(reqwest::get(&urls[3]).await.unwrap().status(), 200);
    database.batch_execute("UPDATE parsimony.file SET stored_at = now() - interval '2 days'").await.unwrap();
    let (ok, text) = program(&server, &[], &collect).await;
    assert!(
        ok && text.contains("Set aside: 1 files, 1 bytes") && text.contains("Removed: 0 files"),
        "{text}"
    );
    let (ok, text) = program(&server, &[], &["files", "restore", &names[3]]).await;
    assert!(ok && text.contains("Restored: 1 files"), "{text}");
    let (ok, text) = program(&server, &[], &["files", "restore", &names[3]]).await;
    assert!(!ok && text.contains("Restored: 0 files"), "{text}");
    database.batch_execute("UPDATE parsimony.file SET stored_at = now() - interval '2 days'").await.unwrap();
    let (ok, text) = program(&server, &[], &["files", "gc", "--keep-days", "1"]).await;
    assert!(ok && text.contains("Set aside: 1 files, 1 bytes"), "{text}");
    assert!(text.contains("Removed: 1 files, 1 bytes"), "{text}");
    // What is referred to meanwhile comes back.
    client.post("/classes/Note", json!({ "text": names[3] })).await.ok();
    let (ok, text) = program(&server, &[], &collect).await;
    assert!(ok && text.contains("Restored: 1 files"), "{text}");
    for (i, url) in urls.iter().enumerate() {
        let status = reqwest::get(url).await.unwrap().status().as_u16();
        assert_eq!(status, if i < 4 { 200 } else { 404 }, "{i}");
    }
}

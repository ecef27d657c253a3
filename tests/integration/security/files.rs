//! Uploads that want to become pages, readers without rights, side doors of the file routes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{APP_ID, MASTER_KEY, TestServer};
use crate::users_sign_up::sign_up;

const HTML: &str = "<html><script>alert(1)</script></html>";
const SVG: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>";
const READ_ONLY: &str = "readOnlyMasterKey";

async fn open_server() -> TestServer {
    TestServer::with(json!({"fileUpload": {"enableForPublic": true}})).await
}

/// Every way around the list of extensions that was found in parse-server, and their relatives: name, type,
/// content.
const DISGUISES: &[(&str, &str, &str)] = &[
    // By extension, in any case, with what browsers and file systems drop.
    ("a.html", "", "x"),
    ("a.HtMl", "text/plain", "x"),
    ("a.shtml", "text/plain", "x"),
    ("a.xhtml", "text/plain", "x"),
    ("a.xht", "text/plain", "x"),
    ("a.svg", "image/png", "x"),
    ("a.svgz", "image/png", "x"),
    ("a.xml", "text/plain", "x"),
    ("a.xsl", "text/plain", "x"),
    ("a.xslt", "text/plain", "x"),
    ("a.xsd", "text/plain", "x"),
    ("a.rng", "text/plain", "x"),
    ("a.rdf", "text/plain", "x"),
    ("a.owl", "text/plain", "x"),
    ("a.mathml", "text/plain", "x"),
    ("a.html%20", "text/plain", "x"),
    ("a.%20html", "text/plain", "x"),
    ("a.ht%20ml", "text/plain", "x"),
    ("a.png.html", "image/png", "x"),
    // A dot at the end: no extension, so the type decides, and then the content.
    ("a.html.", "text/html", "x"),
    ("a.svg.", "image/svg+xml", "x"),
    // By type, where the extension says nothing.
    ("a", "text/html", "x"),
    ("a", "TEXT/HTML", "x"),
    ("a", "text/html;charset=utf-8", "x"),
    ("a", "text/html ; charset=utf-8", "x"),
    ("a", "text/ html", "x"),
    ("a", "image/svg+xml", "x"),
    ("a", "image/svg+xml;charset=utf-8", "x"),
    ("a", "application/xhtml+xml", "x"),
    ("a", "application/xml", "x"),
    ("a", "text/xml", "x"),
    ("a", "application/xslt+xml", "x"),
    ("a", "application/rdf+xml", "x"),
    ("a", "application/mathml+xml", "x"),
    ("a.unknown", "text/html", "x"),
    ("a.html.unknown", "text/html", "x"),
    ("blob", "text/html", HTML),
    // Types that no browser understands, so that it guesses.
    ("a", "html", "x"),
    ("a", "svg", "x"),
    ("a", "image", "x"),
    ("a", "image/", "x"),
    ("a", "/svg+xml", "x"),
    ("a", "image//svg+xml", "x"),
    ("a", "text/plain,text/html", "x"),
    ("a.unknown", "text/<html>", "x"),
    // A harmless name and a running type, for stores that serve by type.
    ("a.png", "text/html", "x"),
    ("a.txt", "image/svg+xml", "x"),
    // By content, under a type that is shown, or is none.
    ("a.png", "image/png", SVG),
    ("a.jpg", "image/jpeg", "\u{feff} \n<!DOCTYPE html>"),
    ("a", "unknown/unknown", "<!-- --><svg onload=alert(1)>"),
    ("a.unknown", "application/unknown", HTML),
];

#[actix_web::test]
async fn uploads_in_disguise_are_refused() {
    let server = open_server().await;
    let (_, token) = sign_up(&server.anonymous(), "ann").await;
    let raw = server.session(&token);
    let sdk = server.client(&[]);
    for (name, kind, content) in DISGUISES {
        let path = format!("/files/{name}");
        let answer =
            raw.send_with(Method::POST, &path, Some((*content).into()), &[("Content-Type", kind)]).await;
        assert_eq!(answer.error().1, 130, "{name} {kind:?} {content:?}: {}", answer.text);
        let mut document = json!({
            "_ApplicationId": APP_ID, "_SessionToken": token,
            "base64": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, content),
        });
        if !kind.is_empty() {
            document["_ContentType"] = (*kind).into();
        }
        let text = [("Content-Type", "text/plain")];
        let answer = sdk.send_with(Method::POST, &path, Some(document.to_string().into()), &text).await;
        assert_eq!(answer.error().1, 130, "{name} {kind:?} {content:?} as JSON: {}", answer.text);
        let streamed = [("Content-Type", *kind), ("X-Parse-Upload-Mode", "stream")];
        let answer = raw.send_with(Method::POST, &path, Some((*content).into()), &streamed).await;
        assert_eq!(answer.error().1, 130, "{name} {kind:?} {content:?} as stream: {}", answer.text);
    }
}

/// Markup under a type that no browser makes a page of: taken, and served so that nothing runs.
#[actix_web::test]
async fn harmless_types_may_begin_with_markup() {
    let server = open_server().await;
    for (name, kind, content, served) in [
        ("a.txt", "text/plain", HTML, "text/plain"),
        ("a.html.", "text/plain", HTML, "text/plain"),
        ("a.md", "text/markdown", "<p>Read me</p>", "text/markdown"),
        ("a.csv", "text/csv", "<!-- a -->,b", "text/csv"),
        ("a.bin", "application/octet-stream", SVG, "application/octet-stream"),
        ("a", "text/plain", "<!-- --><svg onload=alert(1)>", "text/plain"),
        ("a", "application/octet-stream", "<?xml version=\"1.0\"?><x/>", "application/octet-stream"),
        ("a.awb", "audio/amr-wb", "#!AMR-WB\n", "audio/amr-wb"),
    ] {
        let path = format!("/files/{name}");
        let headers = [("Content-Type", kind)];
        let saved =
            server.anonymous().send_with(Method::POST, &path, Some(content.into()), &headers).await.ok();
        let path = format!("/files/{APP_ID}/{}", saved["name"].as_str().unwrap());
        let got = server.client(&[]).get(&path).await;
        let header = |name: &str| got.headers.get(name).and_then(Value::as_str).unwrap_or_default();
        assert_eq!((got.status, got.text.as_str()), (200, content), "{name}");
        assert!(header("content-type").starts_with(served), "{name} {:?}", got.headers);
        assert_eq!(header("x-content-type-options"), "nosniff", "{name}");
        assert!(header("content-security-policy").contains("sandbox"), "{name}");
    }
}

#[actix_web::test]
async fn what_the_master_key_uploads_does_not_run_either() {
    let server = open_server().await;
    let master = server.master();
    for (name, kind, content) in [
        ("a.html", "text/html", HTML),
        ("a.svg", "image/svg+xml", SVG),
        ("a", "text/html", HTML),
        ("a.xml", "application/xml", "<?xml version='1.0'?><x/>"),
        ("a.js", "text/javascript", "alert(1)"),
        ("a", "multipart/x-mixed-replace; boundary=x", HTML),
        ("a.pdf.html.", "application/unknown", HTML),
    ] {
        let path = format!("/files/{name}");
        let headers = [("Content-Type", kind)];
        let saved = master.send_with(Method::POST, &path, Some(content.into()), &headers).await.ok();
        let path = format!("/files/{APP_ID}/{}", saved["name"].as_str().unwrap());
        let got = server.client(&[]).get(&path).await;
        assert_eq!(got.status, 200);
        let header = |name: &str| got.headers.get(name).and_then(Value::as_str).unwrap_or_default();
        assert_eq!(header("x-content-type-options"), "nosniff", "{name}");
        assert!(header("content-disposition").starts_with("attachment"), "{name} {:?}", got.headers);
        let policy = header("content-security-policy");
        assert!(policy.contains("sandbox") && policy.contains("default-src 'none'"), "{name} {policy}");
    }
}

#[actix_web::test]
async fn uploads_are_for_users_by_default() {
    let server = TestServer::with(json!({"readOnlyMasterKey": READ_ONLY})).await;
    let post = async |headers: &[(&str, &str)]| {
        let client = server.client(headers);
        client
            .send_with(Method::POST, "/files/a.txt", Some("x".into()), &[("Content-Type", "text/plain")])
            .await
    };
    let app = ("X-Parse-Application-Id", APP_ID);
    assert_eq!(post(&[app]).await.error(), (400, 130, "File upload by public is disabled."));
    let anonymous = json!({"authData": {"anonymous": {"id": "0123-4567"}}});
    let anonymous = server.anonymous().post("/users", anonymous).await.ok();
    let token = ("X-Parse-Session-Token", anonymous["sessionToken"].as_str().unwrap());
    let answer = post(&[app, token]).await;
    assert_eq!(answer.error(), (400, 130, "File upload by anonymous user is disabled."));
    let (_, token) = sign_up(&server.anonymous(), "ann").await;
    let answer = post(&[app, ("X-Parse-Session-Token", &token)]).await;
    assert_eq!(answer.status, 201);
    let name = answer.body["name"].as_str().unwrap();
    // A key that only reads does not write.
    let read_only = [app, ("X-Parse-Master-Key", READ_ONLY)];
    assert_eq!(post(&read_only).await.status, 403);
    let path = format!("/files/{name}");
    assert_eq!(server.client(&read_only).delete(&path).await.status, 403);
    assert_eq!(server.session(&token).delete(&path).await.status, 403);
    let wrong = [app, ("X-Parse-Session-Token", "r:0000"), ("X-Parse-Installation-Id", "i")];
    assert_eq!(post(&wrong).await.error().1, 209);
    assert_eq!(post(&[("X-Parse-Application-Id", "other")]).await.status, 403);
    // A limit of one's own is for masters.
    assert_eq!(post(&[app, ("X-Parse-File-Max-Upload-Size", "1gb")]).await.status, 403);
    assert_eq!(server.client(&[]).get(&format!("/files/{APP_ID}/{name}")).await.text, "x");
}

#[actix_web::test]
async fn closed_downloads_have_no_side_door() {
    let closed = json!({
        "enableForPublic": false, "enableForAnonymousUser": false, "enableForAuthenticatedUser": false,
    });
    let server = TestServer::with(json!({"fileDownload": closed, "readOnlyMasterKey": READ_ONLY})).await;
    let document = json!({
        "_ApplicationId": APP_ID, "_MasterKey": MASTER_KEY, "_ContentType": "text/plain", "base64": "eA==",
        "fileData": {"metadata": {"hidden": "yes"}},
    });
    let saved = server.client(&[]).post("/files/a.txt", document).await.ok();
    let name = saved["name"].as_str().unwrap();
    let (_, token) = sign_up(&server.anonymous(), "ann").await;
    for (client, who) in [
        (server.client(&[]), "public"),
        (server.anonymous(), "public"),
        (server.session(&token), "authenticated user"),
    ] {
        let text = format!("File download by {who} is disabled.");
        let found = client.get(&format!("/files/{APP_ID}/{name}")).await;
        assert_eq!(found.error(), (400, 119, text.as_str()));
        for path in [
            format!("/files/{APP_ID}/metadata/{name}"),
            format!("/files/{APP_ID}/METADATA/{name}"),
            format!("/FILES/{APP_ID}/metadata/{name}"),
        ] {
            let described = client.get(&path).await;
            assert_eq!(described.error(), (403, 119, text.as_str()), "{path}");
            assert!(!described.text.contains("hidden"));
        }
        let head = client.send(Method::HEAD, &format!("/files/{APP_ID}/{name}"), None).await;
        assert_eq!(head.status, 400);
        let range = [("Range", "bytes=0-0")];
        let part = client.send_with(Method::GET, &format!("/files/{APP_ID}/{name}"), None, &range).await;
        assert_eq!(part.status, 400);
    }
    let master = server.master();
    assert_eq!(master.get(&format!("/files/{APP_ID}/{name}")).await.text, "x");
    let described = master.get(&format!("/files/{APP_ID}/metadata/{name}")).await.ok();
    assert_eq!(described["metadata"]["hidden"], "yes");
}

#[actix_web::test]
async fn odd_requests_are_refused() {
    let server = open_server().await;
    let client = server.anonymous();
    for encoding in ["gzip", "deflate", "br", "gzip, gzip"] {
        let headers = [("Content-Encoding", encoding), ("Content-Type", "text/plain")];
        let answer = client.send_with(Method::POST, "/files/a.txt", Some("x".into()), &headers).await;
        assert_eq!(answer.status, 415, "{encoding}");
    }
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(200_000));
    let headers = [("X-Parse-Upload-Mode", "stream"), ("X-Parse-File-Metadata", large.as_str())];
    let sent = reqwest::Client::new()
        .post(server.url("/parse/files/a.txt"))
        .header("X-Parse-Application-Id", APP_ID)
        .header(headers[0].0, headers[0].1)
        .header(headers[1].0, headers[1].1)
        .body("x");
    // Refused, or hung up on; either way the server goes on.
    if let Ok(answer) = sent.send().await {
        assert!(answer.status().is_client_error(), "{answer:?}");
    }
    assert_eq!(client.get("/health").await.status, 200);
    for (which, value, text) in [
        ("Metadata", "[]", "Invalid JSON in X-Parse-File-Metadata header."),
        ("Tags", "{", "Invalid JSON in X-Parse-File-Tags header."),
    ] {
        let header = format!("X-Parse-File-{which}");
        let headers = [("X-Parse-Upload-Mode", "stream"), (header.as_str(), value)];
        let answer = client.send_with(Method::POST, "/files/a.txt", Some("x".into()), &headers).await;
        assert_eq!(answer.error(), (400, 107, text));
    }
    for metadata in [json!({"__proto__": 1}), json!({"constructor": {}}), json!({"a": {"__proto__": {}}})] {
        let text = metadata.to_string();
        let headers = [("X-Parse-Upload-Mode", "stream"), ("X-Parse-File-Metadata", text.as_str())];
        let answer = client.send_with(Method::POST, "/files/a.txt", Some("x".into()), &headers).await;
        assert_eq!(answer.error().1, 105, "{text}");
    }
    // Nothing that was meant to be private becomes public.
    let headers = [("Content-Type", "text/plain"), ("X-Parse-File-Private", "true")];
    let answer = client.send_with(Method::POST, "/files/a.txt", Some("x".into()), &headers).await;
    assert_eq!(answer.error(), (400, 119, "Private files are not configured."));
    for directory in ["d", "..", "/etc", "metadata"] {
        let headers = [("X-Parse-Upload-Mode", "stream"), ("X-Parse-File-Directory", directory)];
        let answer = client.send_with(Method::POST, "/files/a.txt", Some("x".into()), &headers).await;
        assert_eq!(answer.error().1, 119, "{directory}");
        if directory != "d" {
            let answer =
                server.master().send_with(Method::POST, "/files/a.txt", Some("x".into()), &headers).await;
            assert_eq!(answer.error().1, 122, "{directory}");
        }
    }
}

async fn private_server(all: bool) -> TestServer {
    TestServer::with(json!({
        "fileUpload": {"enableForPublic": true},
        "privateFiles": {"secret": "sixteen characters", "all": all},
    }))
    .await
}

/// The path of an address, below the mount.
fn below(url: &Value) -> String {
    url.as_str().unwrap().split_once("/parse").unwrap().1.to_owned()
}

#[actix_web::test]
async fn clients_name_no_private_files() {
    let server = TestServer::with(json!({
        "fileUpload": {"enableForPublic": true}, "preserveFileName": true,
        "privateFiles": {"secret": "sixteen characters"},
    }))
    .await;
    let document = |metadata: Value| {
        json!({
            "_ApplicationId": APP_ID, "_ContentType": "text/plain", "base64": "eA==",
            "fileData": {"metadata": metadata},
        })
    };
    let nobody = server.client(&[]);
    let saved = nobody.post("/files/a.txt", document(json!({"private": true}))).await.ok();
    assert_eq!(saved["name"], "private-a.txt");
    for metadata in [json!({}), json!({"private": true})] {
        let answer = nobody.post("/files/private-a.txt", document(metadata)).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
    assert_eq!(nobody.post("/files/not-private-a.txt", document(json!({}))).await.status, 201);
}

#[actix_web::test]
async fn private_files_need_a_signed_address() {
    let server = private_server(false).await;
    let (_, token) = sign_up(&server.anonymous(), "ann").await;
    let user = server.session(&token);
    let nobody = server.client(&[]);
    let document = json!({
        "_ApplicationId": APP_ID, "_SessionToken": token, "_ContentType": "text/plain", "base64": "eA==",
        "fileData": {"metadata": {"private": true}},
    });
    let saved = nobody.post("/files/a.txt", document).await.ok();
    let name = saved["name"].as_str().unwrap();
    assert!(name.starts_with("private-"), "{name}");
    // The uploader's address works for everybody who has it, the bare one for nobody.
    let signed = below(&saved["url"]);
    let bare = format!("/files/{APP_ID}/{name}");
    let got = nobody.get(&signed).await;
    assert_eq!((got.status, got.text.as_str()), (200, "x"));
    assert!(got.headers["cache-control"].as_str().unwrap().starts_with("private, max-age="));
    let query = signed.split_once('?').unwrap().1;
    let metadata = format!("/files/{APP_ID}/metadata/{name}");
    for client in [&nobody, &server.anonymous(), &user] {
        assert_eq!(client.get(&bare).await.error(), (403, 119, "This file is private."));
        assert_eq!(client.get(&metadata).await.error(), (403, 119, "This file is private."));
        assert_eq!(client.get(&format!("{bare}?{query}A")).await.status, 403);
        let later = query.replace("expires=1", "expires=2");
        assert_eq!(client.get(&format!("{bare}?{later}")).await.status, 403);
        assert_eq!(client.send(Method::HEAD, &bare, None).await.status, 403);
        assert_eq!(client.get(&format!("{metadata}?{query}")).await.status, 200);
    }
    assert_eq!(server.master().get(&bare).await.text, "x");
    // Readers of an object get addresses with it, wherever in it the file is.
    let file = json!({"__type": "File", "name": name, "url": saved["url"]});
    let acl = json!({"*": {}});
    let object = json!({"file": file, "deep": {"list": [file]}, "ACL": acl});
    let created = user.post("/classes/Holder", object).await.ok();
    let path = format!("/classes/Holder/{}", created["objectId"].as_str().unwrap());
    assert_eq!(user.get(&path).await.status, 404);
    server.master().put(&path, json!({"ACL": {"*": {"read": true, "write": true}}})).await.ok();
    let got = server.anonymous().get(&path).await.ok();
    assert_eq!(nobody.get(&below(&got["file"]["url"])).await.text, "x");
    assert_eq!(nobody.get(&below(&got["deep"]["list"][0]["url"])).await.text, "x");
    // A name alone, or an address made up, is no way to an address.
    for url in
        [Value::Null, json!(server.url(&format!("/parse{bare}"))), json!(format!("http://x/?{query}A"))]
    {
        let forged = json!({"__type": "File", "name": name, "url": url});
        for body in [
            json!({"file": forged}),
            json!({"deep": {"list": [forged]}}),
            json!({"many": {"__op": "AddUnique", "objects": [forged]}}),
        ] {
            let answer = user.post("/classes/Forged", body.clone()).await;
            assert_eq!(answer.error().1, 119, "{body} {}", answer.text);
            assert_eq!(user.put(&path, body).await.error().1, 119);
        }
    }
    // Public files are as ever, and the header says the same as the metadata.
    let plain = [("Content-Type", "text/plain")];
    let open = user.send_with(Method::POST, "/files/b.txt", Some("y".into()), &plain).await.ok();
    assert_eq!(nobody.get(&below(&open["url"])).await.text, "y");
    let headers = [plain[0], ("X-Parse-File-Private", "true")];
    let closed = user.send_with(Method::POST, "/files/b.txt", Some("y".into()), &headers).await.ok();
    assert!(closed["name"].as_str().unwrap().starts_with("private-"));
    server.master().delete(&format!("/files/{name}")).await.ok();
    assert_eq!(nobody.get(&signed).await.status, 404);
}

#[actix_web::test]
async fn all_files_can_be_private() {
    let server = private_server(true).await;
    let saved = server
        .anonymous()
        .send_with(Method::POST, "/files/a.txt", Some("x".into()), &[("Content-Type", "text/plain")])
        .await
        .ok();
    let nobody = server.client(&[]);
    assert_eq!(nobody.get(&below(&saved["url"])).await.text, "x");
    let bare = below(&saved["url"]);
    assert_eq!(nobody.get(bare.split_once('?').unwrap().0).await.status, 403);
    let direct = json!({
        "privateFiles": {"secret": "sixteen characters"},
        "filesAdapter": {"module": "@parse/gcs-files-adapter", "options": {"bucket": "b", "directAccess": true}},
    });
    assert!(TestServer::try_with(direct).await.is_err_and(|error| error.contains("directAccess")));
}

//! What clients said reached a dependency that answers with a panic. Each is a 400 of its own request.

use serde_json::{Map, Value, json};

use crate::support::component;
use crate::support::server::{APP_ID, TestServer};

/// Uploads in the form of the SDK.
async fn upload(server: &TestServer, content_type: &str, data: Value) -> (u16, Value) {
    let document = json!({
        "_ApplicationId": APP_ID, "_ContentType": content_type, "base64": "eA==", "fileData": data,
    });
    let url = server.url("/parse/files/a");
    let request = reqwest::Client::new().post(url).body(document.to_string());
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

fn s3() -> Value {
    json!({
        "fileUpload": {"enableForPublic": true},
        "filesAdapter": {"module": "@parse/s3-files-adapter", "options": {
            "bucket": format!("bucket-{:016x}", rand::random::<u64>()),
            "credentials": {"accessKeyId": "test", "secretAccessKey": "test-secret"},
            "s3overrides": {"endpoint": component("PARSIMONY_TEST_S3_ENDPOINT"), "forcePathStyle": true},
        }},
    })
}

#[actix_web::test]
async fn metadata_that_cannot_be_headers() {
    let server = TestServer::with(s3()).await;
    let many: Map<String, Value> = (0..40_000).map(|i| (format!("k{i}"), json!(1))).collect();
    for metadata in [
        json!({"a key": "x"}),
        json!({"schlüssel": "x"}),
        json!({"": "x"}),
        json!({"a:b": "x"}),
        json!({"a\r\nb": "x"}),
        json!({"a\0": "x"}),
        json!({"a": "x\r\nx-amz-acl: public-read"}),
        json!({"a": "x\ny"}),
        json!({"a": "x\0"}),
        json!({"a": "x\u{7f}"}),
        json!({"a": "x".repeat(100_000)}),
        Value::Object(many),
    ] {
        let (status, body) = upload(&server, "text/plain", json!({ "metadata": metadata })).await;
        assert_eq!((status, &body["code"]), (400, &json!(130)), "{body}");
    }
    for tags in [json!({"a\0": "x"}), json!({"a": "x".repeat(100_000)})] {
        let (status, body) = upload(&server, "text/plain", json!({ "tags": tags })).await;
        assert_eq!((status, &body["code"]), (400, &json!(130)), "{body}");
    }
    let fine = json!({"metadata": {"who": "me", "umlaut": 3, "deep": {"a b": [1]}}, "tags": {"a b": "c\nd"}});
    let (status, body) = upload(&server, "text/plain", fine).await;
    assert_eq!(status, 201, "{body}");
}

#[actix_web::test]
async fn types_that_cannot_be_headers() {
    let plain = json!({"fileUpload": {"enableForPublic": true}});
    for options in [plain, s3()] {
        let server = TestServer::with(options).await;
        for wrong in ["text/plain\r\nX-Evil: 1", "text/plain\n", "text/plain\0", "text/plän", "x/\u{7f}"] {
            let (status, body) = upload(&server, wrong, json!({})).await;
            assert_eq!((status, &body["code"]), (400, &json!(130)), "{wrong:?} {body}");
        }
        let long = format!("text/plain; a={}", "x".repeat(5000));
        assert_eq!(upload(&server, &long, json!({})).await.0, 400);
        assert_eq!(upload(&server, "text/plain; charset=utf-8", json!({})).await.0, 201);
    }
}

#[actix_web::test]
async fn where_metadata_is_no_header_it_may_be_any_text() {
    let server = TestServer::with(json!({"fileUpload": {"enableForPublic": true}})).await;
    let metadata = json!({"a key": "two\nlines", "schlüssel": "ü"});
    let (status, body) = upload(&server, "text/plain", json!({ "metadata": metadata })).await;
    assert_eq!(status, 201, "{body}");
    let url = format!("/files/{APP_ID}/metadata/{}", body["name"].as_str().unwrap());
    assert_eq!(server.anonymous().get(&url).await.ok(), json!({ "metadata": metadata }));
    let (status, body) = upload(&server, "text/plain", json!({"metadata": {"a": ["\0"]}})).await;
    assert_eq!((status, &body["code"]), (400, &json!(130)), "{body}");
}

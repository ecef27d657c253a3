//! The S3 store against moto.

use bytes::Bytes;
use parsimony::files::s3::{S3Credentials, S3Options, S3Store};
use parsimony::files::{FileError, FileStore, Mount, NewFile};
use parsimony::outbound::Outbound;
use serde_json::json;

use super::{begin, conformance, content, put, read};
use crate::support::component;

pub(super) fn options() -> S3Options {
    let _ = rustls::crypto::ring::default_provider().install_default();
    S3Options {
        bucket: format!("bucket-{:016x}", rand::random::<u64>()),
        bucket_prefix: "pre/fix".into(),
        region: "eu-west-1".into(),
        credentials: Some(S3Credentials {
            access_key: "test".into(),
            secret_key: "test-secret".into(),
            session_token: None,
        }),
        endpoint: Some(component("PARSIMONY_TEST_S3_ENDPOINT")),
        force_path_style: true,
        ..S3Options::default()
    }
}

/// A plain, unsigned request for an object.
async fn fetch(options: &S3Options, key: &str, query: &str) -> reqwest::Response {
    let endpoint = options.endpoint.as_deref().unwrap();
    reqwest::get(format!("{endpoint}/{}/{key}{query}", options.bucket)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    // The bucket comes into being with the first file. Large is more than one part.
    conformance::run(&S3Store::new(options(), Outbound::for_tests()).unwrap(), 5 * 1024 * 1024 + 1, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_objects() {
    let options = S3Options {
        direct_access: true,
        global_cache_control: Some("public, max-age=60".into()),
        server_side_encryption: Some("AES256".into()),
        ..options()
    };
    let store = S3Store::new(options.clone(), Outbound::for_tests()).unwrap();
    for (name, size) in [("small.png", 10), ("large.png", 6 * 1024 * 1024)] {
        let file = NewFile {
            name: name.into(),
            content_type: Some("image/png".into()),
            metadata: json!({"who": "me", "count": 3}).as_object().cloned().unwrap(),
            tags: json!({"kind": "test", "empty": ""}).as_object().cloned().unwrap(),
        };
        let mut upload = store.begin(file).await.unwrap();
        upload.write(content(size).into()).await.unwrap();
        upload.commit().await.unwrap();
        let key = format!("pre/fix{name}");
        let response = fetch(&options, &key, "").await;
        let header = |name: &str| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(header("content-type").as_deref(), Some("image/png"));
        assert_eq!(header("cache-control").as_deref(), Some("public, max-age=60"));
        assert_eq!(header("x-amz-server-side-encryption").as_deref(), Some("AES256"));
        assert_eq!(header("x-amz-meta-who").as_deref(), Some("me"));
        assert_eq!(header("x-amz-meta-count").as_deref(), Some("3"));
        assert_eq!(response.bytes().await.unwrap().len(), size);
        let tags = fetch(&options, &key, "?tagging").await.text().await.unwrap();
        assert!(tags.contains("<Key>kind</Key>") && !tags.contains("empty"), "{tags}");
        let acl = fetch(&options, &key, "?acl").await.text().await.unwrap();
        assert!(acl.contains("AllUsers") && acl.contains("READ"), "{acl}");
    }
    let private = S3Options { file_acl: Some("none".into()), ..options };
    put(&S3Store::new(private.clone(), Outbound::for_tests()).unwrap(), "private.txt", b"x", 1).await;
    let acl = fetch(&private, "pre/fixprivate.txt", "?acl").await.text().await.unwrap();
    assert!(!acl.contains("AllUsers"), "{acl}");
}

#[tokio::test(flavor = "multi_thread")]
async fn presigned_addresses_work() {
    let options = S3Options { direct_access: true, presigned_url: true, ..options() };
    let store = S3Store::new(options, Outbound::for_tests()).unwrap();
    put(&store, "d/a b.txt", b"signed", 10).await;
    let url = store.location(Mount { server: "http://h", app_id: "a" }, "d/a b.txt");
    assert!(url.contains("X-Amz-Signature="), "{url}");
    assert_eq!(reqwest::get(url).await.unwrap().bytes().await.unwrap(), "signed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_multipart_upload_leaves_no_parts() {
    let options = options();
    let store = S3Store::new(options.clone(), Outbound::for_tests()).unwrap();
    let mut upload = begin(&store, "a.bin").await;
    upload.write(content(6 * 1024 * 1024).into()).await.unwrap();
    let parts = async || {
        let endpoint = options.endpoint.as_deref().unwrap();
        let listing = reqwest::get(format!("{endpoint}/{}?uploads", options.bucket)).await.unwrap();
        listing.text().await.unwrap().contains("pre/fixa.bin")
    };
    assert!(parts().await);
    upload.abort().await;
    assert!(!parts().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_says_so() {
    // A port nobody listens on any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = S3Options { endpoint: Some(format!("http://127.0.0.1:{port}")), ..options() };
    let store = S3Store::new(away, Outbound::for_tests()).unwrap();
    store.prepare().await.unwrap();
    assert!(matches!(read(&store, "a.txt", None).await, Err(FileError::Store(_))));
    let mut upload = begin(&store, "a.txt").await;
    upload.write(Bytes::from_static(b"x")).await.unwrap();
    assert!(matches!(upload.commit().await, Err(FileError::Store(_))));
}

//! The Google Cloud store against the emulator.

use parsimony::files::gcs::{GcsOptions, GcsStore};
use parsimony::files::{FileError, FileStore};
use parsimony::outbound::Outbound;

use super::{conformance, put, read};
use crate::support::component;

fn options() -> GcsOptions {
    let _ = rustls::crypto::ring::default_provider().install_default();
    GcsOptions {
        bucket: "parsimony-test".into(),
        bucket_prefix: format!("{:016x}/", rand::random::<u64>()),
        endpoint: Some(component("PARSIMONY_TEST_GCS_ENDPOINT")),
        ..GcsOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    conformance::run(&GcsStore::new(options(), Outbound::for_tests()).unwrap(), 2 * 1024 * 1024 + 1, 10)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn types_are_kept() {
    let options = options();
    let store = GcsStore::new(options, Outbound::for_tests()).unwrap();
    for size in [5, 3 * 1024 * 1024] {
        put(&store, "a.txt", &vec![b'x'; size], 65_536).await;
        assert_eq!(store.stat("a.txt").await.unwrap().content_type.as_deref(), Some("text/plain"), "{size}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_or_server_is_an_error() {
    let store =
        GcsStore::new(GcsOptions { bucket: "nobody-made-this".into(), ..options() }, Outbound::for_tests())
            .unwrap();
    let upload = super::begin(&store, "a.txt").await;
    assert!(upload.commit().await.is_err());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = GcsOptions { endpoint: Some(format!("http://127.0.0.1:{port}")), ..options() };
    assert!(matches!(
        read(&GcsStore::new(away, Outbound::for_tests()).unwrap(), "a.txt", None).await,
        Err(FileError::Store(_))
    ));
}

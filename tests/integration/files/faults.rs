//! Stores in the network that fail: answers that are errors, that end too early, that never come.

use bytes::Bytes;
use futures_util::TryStreamExt;
use parsimony::files::gcs::{GcsOptions, GcsStore};
use parsimony::files::s3::{S3Credentials, S3Options, S3Store};
use parsimony::files::{FileError, FileStore};
use parsimony::outbound::Outbound;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{begin, content, read};

/// A server that answers every request with the same bytes and closes the connection; its address.
async fn answering(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                // Reads what comes while answering, so that a large upload is not cut off by a reset.
                let (mut reader, mut writer) = socket.split();
                let mut request = vec![0; 65_536];
                let _ = reader.read(&mut request).await;
                let _ = writer.write_all(answer.as_bytes()).await;
                let _ = writer.shutdown().await;
                while reader.read(&mut request).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    address
}

fn s3(endpoint: String) -> S3Store {
    let credentials = S3Credentials { access_key: "a".into(), secret_key: "s".into(), session_token: None };
    let options = S3Options {
        bucket: "b".into(),
        region: "us-east-1".into(),
        credentials: Some(credentials),
        endpoint: Some(endpoint),
        force_path_style: true,
        ..S3Options::default()
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    S3Store::new(options, Outbound::for_tests()).unwrap()
}

fn gcs(endpoint: String) -> GcsStore {
    let _ = rustls::crypto::ring::default_provider().install_default();
    GcsStore::new(
        GcsOptions { bucket: "b".into(), endpoint: Some(endpoint), ..GcsOptions::default() },
        Outbound::for_tests(),
    )
    .unwrap()
}

async fn fails(store: &dyn FileStore) {
    assert!(matches!(read(store, "a.txt", None).await, Err(FileError::Store(_))));
    assert!(matches!(store.stat("a.txt").await, Err(FileError::Store(_))));
    assert!(matches!(store.delete("a.txt").await, Err(FileError::Store(_))));
    assert!(store.list().try_next().await.is_err());
    let mut upload = begin(store, "a.txt").await;
    upload.write(Bytes::from_static(b"x")).await.unwrap();
    assert!(matches!(upload.commit().await, Err(FileError::Store(_))));
    // A large one fails in the middle already.
    let mut upload = begin(store, "a.txt").await;
    assert!(upload.write(content(6 * 1024 * 1024).into()).await.is_err());
    upload.abort().await;
}

fn error(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops")
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_errors() {
    for status in ["500 Internal Server Error", "403 Forbidden"] {
        let endpoint = answering(error(status)).await;
        futures_util::future::join(fails(&s3(endpoint.clone())), fails(&gcs(endpoint))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_an_error() {
    let endpoint = answering("nonsense\r\n\r\n".into()).await;
    futures_util::future::join(fails(&s3(endpoint.clone())), fails(&gcs(endpoint))).await;
}

/// Collects until the end or the error.
async fn outcome(store: &dyn FileStore) -> Result<usize, FileError> {
    let reader = store.open("a.txt", None).await?;
    let chunks: Vec<Bytes> = reader.stream.try_collect().await?;
    Ok(chunks.iter().map(Bytes::len).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_answer_is_no_shorter_file() {
    let head = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                Connection: close\r\n";
    let truncated = format!("{head}Content-Length: 1000\r\n\r\nonly this");
    assert!(matches!(outcome(&s3(answering(truncated).await)).await, Err(FileError::Store(_))));

    // The description promises a thousand bytes, the content is the description.
    let description = r#"{"name": "a.txt", "size": "1000", "generation": "1"}"#;
    let whole = format!("{head}Content-Length: {}\r\n\r\n{description}", description.len());
    assert!(matches!(outcome(&gcs(answering(whole).await)).await, Err(FileError::Store(_))));
}

//! Cross-reading with the npm adapters: what one side writes, the other reads.

use std::path::Path;
use std::process::Stdio;

use parsimony::files::crypt::Key;
use parsimony::files::fs::FsStore;
use parsimony::files::s3::S3Store;
use parsimony::files::{FileStore, Mount};
use parsimony::outbound::Outbound;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{content, put, read};

/// Runs `tests/support/files-adapter.cjs`; what it wrote to its output.
async fn adapter(
    folder: &Path,
    module: &str,
    options: &Value,
    action: &str,
    name: &str,
    input: &[u8],
) -> Vec<u8> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/files-adapter.cjs");
    let mut child = Command::new("node")
        .arg(script)
        .args([module, &options.to_string(), action, name])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{module} {action} {name}");
    output.stdout
}

async fn both_ways(store: &dyn FileStore, folder: &Path, module: &str, options: &Value) {
    for (i, size) in [1, 1000, 700_000].into_iter().enumerate() {
        let data = content(size);
        let ours = format!("d{i}/from us@~ {i}.bin");
        put(store, &ours, &data, 65_536).await;
        assert!(adapter(folder, module, options, "read", &ours, b"").await == data, "{ours}");
        let theirs = format!("d{i}/from them@~ {i}.bin");
        adapter(folder, module, options, "write", &theirs, &data).await;
        assert!(read(store, &theirs, None).await.unwrap() == data, "{theirs}");
        let location = adapter(folder, module, options, "location", &theirs, b"").await;
        let mount = Mount { server: "http://h:1/parse", app_id: "app" };
        assert_eq!(store.location(mount, &theirs), String::from_utf8(location).unwrap());
    }
}

#[tokio::test]
async fn folders() {
    for secret in [None, Some("a secret")] {
        let folder = tempfile::tempdir().unwrap();
        let store = FsStore::new(folder.path().join("files"), Some("sub"), secret.map(Key::from_secret));
        store.prepare().await.unwrap();
        let mut options = json!({"filesSubDirectory": "sub"});
        if let Some(secret) = secret {
            options["encryptionKey"] = secret.into();
        }
        both_ways(&store, folder.path(), "@parse/fs-files-adapter", &options).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets() {
    let folder = tempfile::tempdir().unwrap();
    let ours = super::s3::options();
    let store = S3Store::new(ours.clone(), Outbound::for_tests()).unwrap();
    let options = json!({
        "bucket": ours.bucket, "bucketPrefix": ours.bucket_prefix, "region": ours.region,
        "credentials": {"accessKeyId": "test", "secretAccessKey": "test-secret"},
        "s3overrides": {"endpoint": ours.endpoint, "forcePathStyle": true},
    });
    both_ways(&store, folder.path(), "@parse/s3-files-adapter", &options).await;
}

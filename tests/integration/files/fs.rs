//! The folder store.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt;
use parsimony::files::crypt::Key;
use parsimony::files::fs::FsStore;
use parsimony::files::rotate::rotate_keys;
use parsimony::files::{FileError, FileStore};

use super::{begin, conformance, content, put, read};

fn store(root: &Path, secret: Option<&str>) -> FsStore {
    FsStore::new(root, Some("sub/folder"), secret.map(Key::from_secret))
}

fn on_disk(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("sub/folder")).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn conforms() {
    let root = tempfile::tempdir().unwrap();
    conformance::run(&store(root.path(), None), 400_000, 200).await;
    assert_eq!(on_disk(root.path()), [""; 0]);
}

#[tokio::test]
async fn conforms_encrypted() {
    let root = tempfile::tempdir().unwrap();
    conformance::run(&store(root.path(), Some("s")), 400_000, 50).await;
    assert_eq!(on_disk(root.path()), [""; 0]);
}

#[tokio::test]
async fn layout_is_flat_and_percent_encoded() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path(), None);
    put(&store, "dir/a b@~.txt", b"x", 1).await;
    assert_eq!(on_disk(root.path()), ["dir%2Fa%20b%40~.txt"]);
    assert_eq!(fs::read(root.path().join("sub/folder/dir%2Fa%20b%40~.txt")).unwrap(), b"x");
}

#[tokio::test]
async fn uploads_under_way_are_hidden_and_swept() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path(), None);
    let mut upload = begin(&store, "a.txt").await;
    upload.write(Bytes::from(content(300_000))).await.unwrap();
    let files = on_disk(root.path());
    assert_eq!(files.len(), 1);
    // It cannot be fetched by its temporary name either.
    assert!(matches!(store.stat(&files[0]).await, Err(FileError::InvalidName)));
    // A killed process leaves it behind: a fresh one stays (another node may be writing), an old one goes.
    std::mem::forget(upload);
    store.prepare().await.unwrap();
    assert_eq!(on_disk(root.path()).len(), 1);
    let file = fs::File::options().write(true).open(root.path().join("sub/folder").join(&files[0])).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
    store.prepare().await.unwrap();
    assert_eq!(on_disk(root.path()), [""; 0]);
}

#[tokio::test]
async fn tampering_is_noticed_before_the_first_byte() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path(), Some("s"));
    let data = content(500_000);
    put(&store, "a.bin", &data, 65_536).await;
    let path = root.path().join("sub/folder/a.bin");
    let good = fs::read(&path).unwrap();
    assert_eq!(good.len(), data.len() + 32);
    let corrupt = |result: Result<_, _>| matches!(result, Err(FileError::Corrupt(_)));
    for at in [0, 250_000, data.len() - 1, data.len(), data.len() + 20] {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        fs::write(&path, &bad).unwrap();
        assert!(corrupt(store.open("a.bin", None).await.map(drop)), "byte {at}");
        let part = parsimony::files::range::Wanted::FromTo(5, 6);
        assert!(corrupt(store.open("a.bin", Some(part)).await.map(drop)), "byte {at}");
    }
    fs::write(&path, &good[..good.len() - 1]).unwrap();
    assert!(corrupt(store.open("a.bin", None).await.map(drop)));
    fs::write(&path, b"short").unwrap();
    assert!(corrupt(store.open("a.bin", None).await.map(drop)));
    fs::write(&path, &good).unwrap();
    assert!(read(&store, "a.bin", None).await.unwrap() == data);
    let other = self::store(root.path(), Some("other"));
    assert!(corrupt(other.open("a.bin", None).await.map(drop)));
}

#[tokio::test]
async fn a_file_that_shrinks_is_not_served_as_a_shorter_one() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path(), None);
    put(&store, "a.bin", &content(900_000), 65_536).await;
    let reader = store.open("a.bin", None).await.unwrap();
    let path = root.path().join("sub/folder/a.bin");
    fs::File::options().write(true).open(path).unwrap().set_len(400_000).unwrap();
    let outcome: Result<Vec<Bytes>, _> = reader.stream.try_collect().await;
    assert!(matches!(outcome, Err(FileError::Corrupt(_))));
}

#[tokio::test]
async fn keys_rotate_and_runs_can_be_repeated() {
    let root = tempfile::tempdir().unwrap();
    let plain = store(root.path(), None);
    for i in 0..5 {
        put(&plain, &format!("{i}.bin"), &content(1000 * i), 500).await;
    }
    let first = store(root.path(), Some("one"));
    let names = Some(vec!["0.bin".to_owned(), "1.bin".to_owned()]);
    let report = rotate_keys(&first, names, None, |_| {}).await.unwrap();
    assert_eq!((report.rotated, report.failed), (2, 0));
    // The rest; those two are recognised.
    let report = rotate_keys(&first, None, None, |_| {}).await.unwrap();
    assert_eq!((report.rotated, report.failed), (5, 0));
    assert!(read(&first, "4.bin", None).await.unwrap() == content(4000));

    let second = store(root.path(), Some("two"));
    let wrong = Key::from_secret("wrong");
    let report = rotate_keys(&second, None, Some(&wrong), |_| {}).await.unwrap();
    assert_eq!((report.rotated, report.failed), (0, 5));
    let old = Key::from_secret("one");
    let mut seen = 0;
    let report = rotate_keys(&second, None, Some(&old), |_| seen += 1).await.unwrap();
    assert_eq!((report.rotated, report.failed, seen), (5, 0, 5));
    assert!(read(&second, "3.bin", None).await.unwrap() == content(3000));

    let modified = second.stat("3.bin").await.unwrap().modified;
    let report = rotate_keys(&plain, None, Some(&Key::from_secret("two")), |_| {}).await.unwrap();
    assert_eq!((report.rotated, report.failed), (5, 0));
    assert!(read(&plain, "3.bin", None).await.unwrap() == content(3000));
    assert_eq!(plain.stat("3.bin").await.unwrap().modified, modified);
    let missing = rotate_keys(&first, Some(vec!["no.bin".into()]), None, |_| {}).await.unwrap();
    assert_eq!(missing.not_rotated, [("no.bin".to_owned(), "file not found".to_owned())]);
}

#[tokio::test]
async fn an_unusable_folder_is_named() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("sub"), "a file").unwrap();
    let error = store(root.path(), None).prepare().await.unwrap_err().to_string();
    assert!(error.contains("sub/folder"), "{error}");
}

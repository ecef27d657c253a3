//! What every store must do, whatever it is made of.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use parsimony::files::range::Wanted;
use parsimony::files::{FileError, FileStore, aside};

use super::{begin, content, names, not_found, put, read};
use crate::support::wait;

/// Runs everything against an empty store. `large` is more than the store sends at once.
pub(super) async fn run(store: &dyn FileStore, large: usize, parallel: usize) {
    store.prepare().await.unwrap();
    sizes_and_pieces(store, large).await;
    ranges(store, large).await;
    replacement(store).await;
    interrupted(store, large).await;
    odd_names(store).await;
    many_at_once(store, parallel).await;
    listing(store).await;
    set_aside(store).await;
}

async fn sizes_and_pieces(store: &dyn FileStore, large: usize) {
    for (size, piece) in
        [(0, 1), (1, 1), (65_536, 1000), (300_000, 65_536), (large, 70_001), (large * 2, large * 2)]
    {
        let data = content(size);
        let name = format!("size_{size}_{piece}.txt");
        put(store, &name, &data, piece).await;
        assert!(read(store, &name, None).await.unwrap() == data, "{name}");
        let info = store.stat(&name).await.unwrap();
        assert_eq!(info.size, size as u64);
        assert!(info.etag.is_some() && info.modified.is_some());
        let opened = store.open(&name, None).await.unwrap().info;
        assert_eq!((opened.etag, opened.size), (info.etag, info.size));
        store.delete(&name).await.unwrap();
        assert!(not_found(store.stat(&name).await));
        assert!(not_found(read(store, &name, None).await));
    }
    assert!(not_found(store.open("never.txt", Some(Wanted::From(0))).await.map(drop)));
}

async fn ranges(store: &dyn FileStore, large: usize) {
    let data = content(large + 1000);
    put(store, "ranges.bin", &data, 65_536).await;
    let size = data.len() as u64;
    for wanted in [
        Wanted::FromTo(0, 0),
        Wanted::FromTo(10, 19),
        Wanted::FromTo(size - 1, size + 5),
        Wanted::FromTo(65_535, 65_536),
        Wanted::FromTo(large as u64 - 10, large as u64 + 10),
        Wanted::FromTo(262_143, 262_145),
        Wanted::From(size - 7),
        Wanted::From(1),
        Wanted::Last(5),
        Wanted::Last(size),
        Wanted::Last(size + 9),
    ] {
        let range = wanted.resolve(size).unwrap();
        let got = read(store, "ranges.bin", Some(wanted)).await.unwrap();
        assert!(got == data[range.start as usize..range.end() as usize], "{wanted:?}");
    }
    for wanted in
        [Wanted::From(size), Wanted::FromTo(size, size + 1), Wanted::Last(0), Wanted::From(u64::MAX)]
    {
        let refused = store.open("ranges.bin", Some(wanted)).await.map(drop);
        assert!(
            matches!(refused, Err(FileError::RangeNotSatisfiable { size: s }) if s == size),
            "{wanted:?}"
        );
    }
    store.delete("ranges.bin").await.unwrap();
}

async fn replacement(store: &dyn FileStore) {
    put(store, "same.txt", b"one", 10).await;
    let first = store.stat("same.txt").await.unwrap().etag;
    put(store, "same.txt", b"two, longer", 10).await;
    assert_eq!(read(store, "same.txt", None).await.unwrap(), b"two, longer");
    assert_ne!(store.stat("same.txt").await.unwrap().etag, first);
    assert_eq!(names(store).await, ["same.txt"]);
    store.delete("same.txt").await.unwrap();
}

async fn interrupted(store: &dyn FileStore, large: usize) {
    put(store, "kept.txt", b"old", 10).await;
    for size in [10, large + 10] {
        for polite in [true, false] {
            let mut upload = begin(store, "kept.txt").await;
            for chunk in content(size).chunks(65_536) {
                upload.write(Bytes::copy_from_slice(chunk)).await.unwrap();
            }
            // Nothing of it is visible, before and after.
            assert_eq!(read(store, "kept.txt", None).await.unwrap(), b"old");
            if polite {
                upload.abort().await;
            } else {
                drop(upload);
            }
            assert_eq!(read(store, "kept.txt", None).await.unwrap(), b"old");
            assert_eq!(names(store).await, ["kept.txt"]);
        }
    }
    store.delete("kept.txt").await.unwrap();
    let mut upload = begin(store, "fresh.txt").await;
    upload.write(Bytes::from_static(b"abc")).await.unwrap();
    drop(upload);
    assert!(not_found(store.stat("fresh.txt").await));
}

async fn odd_names(store: &dyn FileStore) {
    for name in ["d/e/f.txt", "with space~@.txt", "a..b", "ünï.txt", "%2e%2e%2fx", "a+b&c=d?.txt", "a'b.txt"]
    {
        put(store, name, name.as_bytes(), 10).await;
        assert_eq!(read(store, name, None).await.unwrap(), name.as_bytes(), "{name}");
        assert_eq!(names(store).await, [name]);
        store.delete(name).await.unwrap();
    }
    for name in [
        "../out.txt",
        "a/../../out.txt",
        "..",
        ".",
        "",
        "/abs.txt",
        "a//b",
        "nul\0.txt",
        "line\n.txt",
        "a\\..\\..\\out.txt",
    ] {
        assert!(matches!(store.open(name, None).await.map(drop), Err(FileError::InvalidName)), "{name:?}");
        assert!(matches!(store.stat(name).await, Err(FileError::InvalidName)), "{name:?}");
        assert!(matches!(store.delete(name).await, Err(FileError::InvalidName)), "{name:?}");
        let file = parsimony::files::NewFile { name: name.into(), ..Default::default() };
        let begun = match store.begin(file).await {
            Ok(upload) => upload.commit().await.map(drop),
            Err(error) => Err(error),
        };
        assert!(matches!(begun, Err(FileError::InvalidName)), "{name:?}");
    }
}

async fn many_at_once(store: &dyn FileStore, parallel: usize) {
    let data = content(90_000);
    join_all((0..parallel).map(|i| {
        let data = &data;
        async move { put(store, &format!("many_{i}.bin"), &data[..data.len() - i], 30_000).await }
    }))
    .await;
    join_all((0..parallel).map(|i| {
        let data = &data;
        async move {
            let name = format!("many_{i}.bin");
            assert!(read(store, &name, None).await.unwrap() == data[..data.len() - i]);
            store.delete(&name).await.unwrap();
        }
    }))
    .await;
    assert_eq!(names(store).await, [""; 0]);
}

/// A file that is set aside is not served, keeps its content, and comes back; nothing is replaced by it.
async fn set_aside(store: &dyn FileStore) {
    let (name, data) = ("d/set aside.txt", content(1000));
    put(store, name, &data, 100).await;
    aside::set(store, name).await.unwrap();
    assert!(not_found(store.stat(name).await));
    assert!(not_found(aside::set(store, name).await));
    assert_eq!(names(store).await, [aside::aside(name)]);
    let listed = store.list().next().await.unwrap().unwrap();
    assert!(listed.size == 1000 && listed.modified.unwrap().elapsed().unwrap_or_default().as_secs() < 600);
    aside::restore(store, name).await.unwrap();
    assert!(read(store, name, None).await.unwrap() == data);
    assert_eq!(names(store).await, [name]);
    assert!(not_found(aside::restore(store, name).await));
    aside::set(store, name).await.unwrap();
    put(store, name, b"another", 10).await;
    assert!(aside::restore(store, name).await.is_err());
    assert_eq!(read(store, name, None).await.unwrap(), b"another");
    store.delete(name).await.unwrap();
    store.delete(&aside::aside(name)).await.unwrap();
    assert_eq!(names(store).await, [""; 0]);
}

async fn listing(store: &dyn FileStore) {
    for i in 0..7 {
        put(store, &format!("l/{i}.txt"), &content(i), 10).await;
    }
    let mut files: Vec<_> = store.list().map(Result::unwrap).collect().await;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    for (i, file) in files.iter().enumerate() {
        assert_eq!((file.name.as_str(), file.size), (format!("l/{i}.txt").as_str(), i as u64));
        assert!(file.modified.is_some());
    }
    assert_eq!(files.len(), 7);
    for file in files {
        store.delete(&file.name).await.unwrap();
    }
    wait::until_some("an empty store", || async { names(store).await.is_empty().then_some(()) }).await;
}

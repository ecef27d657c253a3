//! File stores against the real thing: a folder, PostgreSQL, S3 (moto), Google Cloud Storage (emulator),
//! and the npm adapters that must be able to read what we write.

mod conformance;
#[cfg(all(feature = "s3", feature = "gcs"))]
mod faults;
mod fs;
#[cfg(feature = "gcs")]
mod gcs;
#[cfg(feature = "mongo")]
mod gridfs;
#[cfg(feature = "s3")]
mod peer;
mod postgres;
#[cfg(feature = "s3")]
mod s3;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use parsimony::files::range::Wanted;
use parsimony::files::{FileError, FileResult, FileStore, NewFile, Upload};

/// Content that repeats nowhere near a chunk's length, so that exchanged pieces show.
fn content(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

async fn begin(store: &dyn FileStore, name: &str) -> Box<dyn Upload> {
    let file = NewFile { name: name.into(), content_type: Some("text/plain".into()), ..NewFile::default() };
    store.begin(file).await.unwrap()
}

/// Uploads in pieces of `piece` bytes.
async fn put(store: &dyn FileStore, name: &str, data: &[u8], piece: usize) {
    let mut upload = begin(store, name).await;
    for chunk in data.chunks(piece) {
        upload.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    let info = upload.commit().await.unwrap();
    assert_eq!(info.size, data.len() as u64);
}

async fn read(store: &dyn FileStore, name: &str, wanted: Option<Wanted>) -> FileResult<Vec<u8>> {
    let reader = store.open(name, wanted).await?;
    let expected = reader.range.len;
    let data: Vec<Bytes> = reader.stream.try_collect().await?;
    let data = data.concat();
    assert_eq!(data.len() as u64, expected);
    Ok(data)
}

async fn names(store: &dyn FileStore) -> Vec<String> {
    let mut names: Vec<String> =
        store.list().map(|file| file.map(|file| file.name)).try_collect().await.unwrap();
    names.sort();
    names
}

fn not_found<T>(result: FileResult<T>) -> bool {
    matches!(result, Err(FileError::NotFound))
}

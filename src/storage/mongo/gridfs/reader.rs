//! Downloads from GridFS: one chunk in memory, one command at a time.

use std::sync::Arc;

use bson::doc;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};

use super::{Head, Shared};
use crate::files::crypt::{Decryptor, Key, OVERHEAD, Verifier};
use crate::files::range::{self, ByteRange, Wanted};
use crate::files::{ByteStream, FileError, FileReader, FileResult};

const TORN: FileError = FileError::Corrupt("a part is missing");

/// The stored bytes of a chunk.
async fn chunk(shared: &Shared, head: &Head, number: u64) -> FileResult<Bytes> {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    let chunks = shared.chunks();
    let wanted = chunks.find_one(doc! { "files_id": head.id.clone(), "n": number });
    let found = shared.core.timed(wanted).await.map_err(FileError::store)?.ok_or(TORN)?;
    let data = found.get_binary("data").map_err(|_| TORN)?;
    Ok(Bytes::copy_from_slice(data.bytes))
}

/// Stored bytes from one position to another, in pieces.
struct Pieces<'a> {
    shared: &'a Shared,
    head: &'a Head,
    at: u64,
    end: u64,
}

impl Pieces<'_> {
    async fn next(&mut self) -> FileResult<Option<Bytes>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let size = self.head.chunk_size;
        let number = self.at / size;
        let bytes = chunk(self.shared, self.head, number).await?;
        let expected = size.min(self.head.stored - number * size);
        if bytes.len() as u64 != expected {
            return Err(TORN);
        }
        let from = self.at - number * size;
        let to = expected.min(self.end - number * size);
        self.at = number * size + to;
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        Ok(Some(bytes.slice(place(from)..place(to))))
    }
}

async fn trailer(shared: &Shared, head: &Head) -> FileResult<[u8; OVERHEAD]> {
    let from = head.stored.checked_sub(OVERHEAD as u64).ok_or(FileError::Corrupt("authentication failed"))?;
    let mut pieces = Pieces { shared, head, at: from, end: head.stored };
    let mut bytes = Vec::with_capacity(OVERHEAD);
    while let Some(piece) = pieces.next().await? {
        bytes.extend_from_slice(&piece);
    }
    bytes.try_into().map_err(|_| TORN)
}

/// Whether the file was encrypted with this key.
pub(super) async fn is_genuine(shared: &Shared, head: &Head, key: &Key) -> FileResult<bool> {
    if head.stored < OVERHEAD as u64 {
        return Ok(false);
    }
    let trailer = trailer(shared, head).await?;
    let mut verifier = Verifier::new(key, &trailer, &[]);
    let mut pieces = Pieces { shared, head, at: 0, end: head.stored - OVERHEAD as u64 };
    while let Some(piece) = pieces.next().await? {
        verifier.update(&piece);
    }
    Ok(verifier.is_genuine())
}

/// Where a reader stands.
struct Position {
    shared: Arc<Shared>,
    head: Head,
    at: u64,
    end: u64,
    decryptor: Option<Decryptor>,
}

pub(super) async fn open(shared: Arc<Shared>, name: &str, wanted: Option<Wanted>) -> FileResult<FileReader> {
    let head = shared.head(name).await?;
    let info = head.info(&shared);
    let range = range::resolve(wanted, info.size)?;
    let key = shared.key.clone();
    if let Some(key) = &key
        && !is_genuine(&shared, &head, key).await?
    {
        return Err(FileError::Corrupt("authentication failed"));
    }
    let stream = start(shared, head, key, range).await?;
    Ok(FileReader { info, range, stream })
}

/// The whole content of a file, decrypted with this key (none: it is plain), checked already.
pub(super) fn content(shared: Arc<Shared>, head: Head, key: Option<Key>) -> ByteStream {
    let overhead = if key.is_some() { OVERHEAD as u64 } else { 0 };
    let range = ByteRange::whole(head.stored.saturating_sub(overhead));
    stream::once(start(shared, head, key, range))
        .flat_map(|started| match started {
            Ok(stream) => stream,
            Err(error) => stream::iter([Err(error)]).boxed(),
        })
        .boxed()
}

async fn start(
    shared: Arc<Shared>,
    head: Head,
    key: Option<Key>,
    range: ByteRange,
) -> FileResult<ByteStream> {
    let decryptor = match &key {
        Some(key) => Some(Decryptor::at(key, &trailer(&shared, &head).await?, range.start)?),
        None => None,
    };
    let position = Position { shared, head, at: range.start, end: range.end(), decryptor };
    let pieces = stream::try_unfold(position, |mut position| async move {
        let mut pieces =
            Pieces { shared: &position.shared, head: &position.head, at: position.at, end: position.end };
        let Some(piece) = pieces.next().await? else { return Ok(None) };
        position.at = pieces.at;
        let piece = match &mut position.decryptor {
            None => piece,
            Some(decryptor) => {
                let mut plain = piece.to_vec();
                decryptor.update(&mut plain);
                plain.into()
            }
        };
        Ok(Some((piece, position)))
    });
    Ok(pieces.boxed())
}

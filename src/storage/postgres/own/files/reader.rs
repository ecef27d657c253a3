//! Downloads from PostgreSQL: one chunk in memory, one statement at a time.

use std::sync::Arc;

use bytes::Bytes;
use diesel::dsl::case_when;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer};
use futures_util::stream::{self, StreamExt};

use super::digest::Digest;
use super::{HEAD, Head, HeadRow, Shared, on_pool, place_of};
use crate::files::crypt::{self, Key, OVERHEAD};
use crate::files::range::{self, ByteRange, Wanted};
use crate::files::{ByteStream, FileError, FileReader, FileResult, name};
use crate::storage::StorageResult;
use crate::storage::postgres::own::schema::parsimony::{file, file_chunk};

/// Number and content of the chunk that a read begins with, if the file has it.
type FirstChunk = Option<(i32, Vec<u8>)>;

define_sql_function! {
    fn greatest(a: BigInt, b: BigInt) -> BigInt;
}
define_sql_function! {
    fn least(a: BigInt, b: BigInt) -> BigInt;
}

/// Where a reader stands.
struct Position {
    shared: Arc<Shared>,
    head: Head,
    key: Option<Key>,
    range: ByteRange,
    /// Content bytes handed out so far.
    done: u64,
    /// The first chunk, when the opening statement brought it along.
    first: Option<(i32, Bytes)>,
    /// Runs along when the whole file is read and has a digest.
    digest: Option<Digest>,
}

pub(super) async fn open(shared: Arc<Shared>, name: &str, wanted: Option<Wanted>) -> FileResult<FileReader> {
    name::check_stored(name)?;
    let (from_end, offset) = match wanted {
        None => (false, 0),
        Some(Wanted::FromTo(from, _) | Wanted::From(from)) => (false, from),
        Some(Wanted::Last(count)) => (true, count),
    };
    // Beyond any size means: no chunk, and the range is refused below.
    let offset = i64::try_from(offset).unwrap_or(i64::MAX);
    // The chunk in which the range begins comes with the row: small files are read with one statement.
    let begin =
        case_when(from_end.into_sql::<Bool>(), file::size - offset).otherwise(offset.into_sql::<BigInt>());
    let number = greatest(begin, 0) / file::chunk_size.cast::<BigInt>();
    let number = least(number, i64::from(i32::MAX)).fallible_cast::<Integer>();
    let opening = file::table
        .left_join(file_chunk::table.on(file_chunk::file.eq(file::id).and(file_chunk::number.eq(number))))
        .filter(file::app.eq(&shared.app).and(file::name.eq(name)).and(file::version.is_not_null()))
        .order(file::version.desc())
        .limit(1)
        .select((HEAD, (file_chunk::number, file_chunk::data).nullable()));
    let row: Option<(HeadRow, FirstChunk)> = on_pool!(shared, |db| db.row(opening))?;
    let (head, first) = row.ok_or(FileError::NotFound)?;
    let head = Head::read(head)?;
    let range = range::resolve(wanted, head.size)?;
    let first = first.map(|(number, data)| (number, data.into()));
    let info = head.info();
    let key = shared.key.clone();
    let stream = start(shared, head, key, range, first)?;
    Ok(FileReader { info, range, stream })
}

/// The whole content, decrypted with `key` instead of the store's own.
pub(super) fn whole(shared: Arc<Shared>, head: Head, key: Option<Key>) -> ByteStream {
    let range = ByteRange::whole(head.size);
    match start(shared, head, key, range, None) {
        Ok(stream) => stream,
        Err(error) => stream::iter([Err(error)]).boxed(),
    }
}

fn start(
    shared: Arc<Shared>,
    head: Head,
    key: Option<Key>,
    range: ByteRange,
    first: Option<(i32, Bytes)>,
) -> FileResult<ByteStream> {
    let key = match (&head.key_id, key) {
        (None, _) => None,
        (Some(id), Some(key)) if *id == key.fingerprint() => Some(key),
        (Some(_), _) => return Err(FileError::Corrupt("encrypted with another key")),
    };
    let entire = range == ByteRange::whole(head.size);
    let digest = head.digest.as_deref().filter(|_| entire).map(Digest::like);
    let position = Position { shared, head, key, range, done: 0, first, digest };
    Ok(stream::try_unfold(Some(position), |position| async move {
        match position {
            Some(position) => position.next().await,
            None => Ok(None),
        }
    })
    .boxed())
}

impl Position {
    /// The next piece, and where to go on.
    async fn next(mut self) -> FileResult<Option<(Bytes, Option<Self>)>> {
        let at = self.range.start + self.done;
        let number = i32::try_from(at / self.head.chunk_size).map_err(|_| FileError::Corrupt("too long"))?;
        let chunk_start = number.unsigned_abs() as u64 * self.head.chunk_size;
        let expected = self.head.chunk_size.min(self.head.size - chunk_start);
        let last = chunk_start + expected == self.head.size;
        let content = self.chunk(number, expected as usize, last).await?;
        if let Some(digest) = &mut self.digest {
            digest.update(&content);
        }
        let from = (at - chunk_start) as usize;
        let to = content.len().min((self.range.end() - chunk_start) as usize);
        let piece = content.slice(from..to);
        self.done += piece.len() as u64;
        if self.done < self.range.len {
            return Ok(Some((piece, Some(self))));
        }
        if let (Some(mut digest), Some(expected)) = (self.digest.take(), &self.head.digest)
            && digest.finish() != *expected
        {
            return Err(FileError::Corrupt("content hash differs"));
        }
        Ok(Some((piece, None)))
    }

    async fn chunk(&mut self, number: i32, expected: usize, last: bool) -> FileResult<Bytes> {
        let stored = match self.first.take() {
            Some((first, data)) if first == number => data,
            _ => {
                let key = (self.head.id, number);
                let reading = file_chunk::table.find(key).select(file_chunk::data);
                let data: Option<Vec<u8>> = on_pool!(self.shared, |db| db.row(reading))?;
                data.ok_or(FileError::Corrupt("a chunk is missing"))?.into()
            }
        };
        let overhead = if self.key.is_some() { OVERHEAD } else { 0 };
        if stored.len() != expected + overhead {
            return Err(FileError::Corrupt("a chunk has the wrong length"));
        }
        let Some(key) = &self.key else { return Ok(stored) };
        let mut data = Vec::from(stored);
        crypt::decrypt(key, &mut data, &place_of(self.head.id, number, last))?;
        Ok(data.into())
    }
}

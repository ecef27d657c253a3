//! The statements of the PostgreSQL file store and the little that is needed to run them cached.

use diesel::deserialize::FromSql;
use diesel::pg::{Pg, PgValue};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::row::Field as _;
use diesel::sql_types::{BigInt, Binary, Bool, Integer, Jsonb, Nullable, Text, Untyped};
use diesel_async::{AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection};
use futures_util::TryStreamExt;

use super::Lent;
use crate::files::{FileError, FileResult};

pub(super) type PgRow = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;

/// A value in a statement.
pub(super) enum Bind<'a> {
    Text(&'a str),
    MaybeText(Option<&'a str>),
    Int8(i64),
    MaybeInt8(Option<i64>),
    Int4(i32),
    Bool(bool),
    Bytes(&'a [u8]),
    MaybeBytes(Option<&'a [u8]>),
    Json(serde_json::Value),
}

/// A fixed text in which `?` stands for the next bind.
pub(super) struct Statement<'a> {
    text: &'static str,
    binds: Vec<Bind<'a>>,
    cached: bool,
}

impl<'a> Statement<'a> {
    pub(super) fn new(text: &'static str, binds: Vec<Bind<'a>>, cached: bool) -> Self {
        debug_assert_eq!(text.matches('?').count(), binds.len());
        Self { text, binds, cached }
    }

    /// The number of rows it touched.
    pub(super) async fn execute(&self, connection: &mut dyn Lent) -> FileResult<usize> {
        self.bracket(connection, true).await?;
        let mut plain: &AsyncPgConnection = connection;
        let done = AsyncConnectionCore::execute_returning_count(&mut plain, self).await;
        let done = done.map_err(FileError::store)?;
        self.bracket(connection, false).await?;
        Ok(done)
    }

    pub(super) async fn load(&self, connection: &mut dyn Lent) -> FileResult<Vec<PgRow>> {
        self.bracket(connection, true).await?;
        let mut plain: &AsyncPgConnection = connection;
        let rows = AsyncConnectionCore::load(&mut plain, self).await.map_err(FileError::store)?;
        let rows = rows.try_collect().await.map_err(FileError::store)?;
        self.bracket(connection, false).await?;
        Ok(rows)
    }

    /// Behind a pooler, preparing and running must happen in one transaction. A connection that is given
    /// back in between (an error, a cancelled future) is closed.
    async fn bracket(&self, connection: &mut dyn Lent, open: bool) -> FileResult<()> {
        if self.cached {
            return Ok(());
        }
        if open {
            connection.set_dirty(true);
        }
        let mut plain: &AsyncPgConnection = connection;
        let text = if open { "BEGIN" } else { "COMMIT" };
        SimpleAsyncConnection::batch_execute(&mut plain, text).await.map_err(FileError::store)?;
        if !open {
            connection.set_dirty(false);
        }
        Ok(())
    }
}

impl QueryId for Statement<'_> {
    type QueryId = ();
    // Cached by their text, of which there are a dozen.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement<'_> {
    type SqlType = Untyped;
}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.cached {
            out.unsafe_to_cache_prepared();
        }
        let mut binds = self.binds.iter();
        for (i, piece) in self.text.split('?').enumerate() {
            if i > 0
                && let Some(bind) = binds.next()
            {
                match bind {
                    Bind::Text(text) => out.push_bind_param::<Text, str>(text)?,
                    Bind::MaybeText(text) => out.push_bind_param::<Nullable<Text>, _>(text)?,
                    Bind::Int8(n) => out.push_bind_param::<BigInt, _>(n)?,
                    Bind::MaybeInt8(n) => out.push_bind_param::<Nullable<BigInt>, _>(n)?,
                    Bind::Int4(n) => out.push_bind_param::<Integer, _>(n)?,
                    Bind::Bool(b) => out.push_bind_param::<Bool, _>(b)?,
                    Bind::Bytes(bytes) => out.push_bind_param::<Binary, [u8]>(bytes)?,
                    Bind::MaybeBytes(bytes) => out.push_bind_param::<Nullable<Binary>, _>(bytes)?,
                    Bind::Json(value) => out.push_bind_param::<Jsonb, _>(value)?,
                }
            }
            out.push_sql(piece);
        }
        Ok(())
    }
}

/// Column `index` of a row; `None` for NULL.
pub(super) fn column<T: FromSql<S, Pg>, S>(row: &PgRow, index: usize) -> FileResult<Option<T>> {
    let field = diesel::row::Row::get(row, index).ok_or_else(|| FileError::Store("missing column".into()))?;
    let value: Option<PgValue<'_>> = field.value();
    value.map(T::from_sql).transpose().map_err(FileError::Store)
}

/// Column `index`, which cannot be NULL.
pub(super) fn required<T: FromSql<S, Pg>, S>(row: &PgRow, index: usize) -> FileResult<T> {
    column(row, index)?.ok_or_else(|| FileError::Store("unexpected NULL".into()))
}

/// A whole small file at once: takes the place of what had its name, becomes visible, durable.
pub(super) const STORE_SMALL: &str = "\
WITH gone AS (DELETE FROM parsimony.file WHERE app = ? AND name = ? AND version IS NOT NULL RETURNING id), \
gone_chunks AS (DELETE FROM parsimony.file_chunk WHERE file IN (SELECT id FROM gone)), \
made AS (INSERT INTO parsimony.file \
(id, app, name, version, size, chunk_size, content_type, metadata, tags, digest, key_id) \
VALUES (?, ?, ?, nextval('parsimony.file_version'), ?, ?, ?, ?, ?, ?, ?) RETURNING id) \
INSERT INTO parsimony.file_chunk (file, number, data) SELECT id, 0, ? FROM made";

/// Starts a large file with its first chunk. Not yet visible, so it need not be durable either.
pub(super) const START: &str = "\
WITH made AS (INSERT INTO parsimony.file \
(id, app, name, chunk_size, content_type, metadata, tags, key_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?) \
RETURNING id) \
INSERT INTO parsimony.file_chunk (file, number, data) SELECT id, 0, ? FROM made \
WHERE set_config('synchronous_commit', 'off', true) IS NOT NULL";

/// Starts a file without any chunk.
pub(super) const START_EMPTY: &str = "\
INSERT INTO parsimony.file (id, app, name, chunk_size, content_type, metadata, tags, key_id) \
VALUES (?, ?, ?, ?, ?, ?, ?, ?)";

/// One more chunk. The commit that makes the file visible flushes the log of these too.
pub(super) const CHUNK: &str = "\
INSERT INTO parsimony.file_chunk (file, number, data) SELECT ?, ?, ? \
WHERE set_config('synchronous_commit', 'off', true) IS NOT NULL";

/// The last chunk; takes the place of what had its name. With `replaces`, only of that very version.
pub(super) const FINISH: &str = "\
WITH gone AS (DELETE FROM parsimony.file WHERE app = ? AND name = ? AND version IS NOT NULL \
AND (? OR id = ?) AND EXISTS (SELECT 1 FROM parsimony.file p WHERE p.id = ? AND p.version IS NULL) \
RETURNING id), \
gone_chunks AS (DELETE FROM parsimony.file_chunk WHERE file IN (SELECT id FROM gone)), \
last AS (INSERT INTO parsimony.file_chunk (file, number, data) VALUES (?, ?, ?)) \
UPDATE parsimony.file SET version = nextval('parsimony.file_version'), size = ?, digest = ?, stored_at = now() \
WHERE id = ? AND version IS NULL AND (? OR EXISTS (SELECT 1 FROM gone))";

/// A sign of life, for uploads that take long.
pub(super) const TOUCH: &str =
    "UPDATE parsimony.file SET touched_at = now() WHERE id = ? AND version IS NULL";

/// Takes back one upload.
pub(super) const DISCARD: &str = "\
WITH gone AS (DELETE FROM parsimony.file WHERE id = ? AND version IS NULL) \
DELETE FROM parsimony.file_chunk WHERE file = ? \
AND NOT EXISTS (SELECT 1 FROM parsimony.file f WHERE f.id = file AND f.version IS NOT NULL)";

/// Uploads of processes that died.
pub(super) const SWEEP: &str = "\
WITH gone AS (DELETE FROM parsimony.file WHERE version IS NULL AND touched_at < now() - interval '1 hour' \
RETURNING id) DELETE FROM parsimony.file_chunk WHERE file IN (SELECT id FROM gone)";

/// The file and the chunk in which the wanted range begins: small files are read with one statement.
pub(super) const OPEN: &str = "\
SELECT f.id, f.size, f.chunk_size, f.content_type, f.digest, f.key_id, \
(extract(epoch FROM f.stored_at) * 1000)::bigint, c.number, c.data \
FROM (SELECT * FROM parsimony.file WHERE app = ? AND name = ? AND version IS NOT NULL \
ORDER BY version DESC LIMIT 1) f \
LEFT JOIN parsimony.file_chunk c ON c.file = f.id \
AND c.number = (CASE WHEN ? THEN greatest(f.size - ?, 0) ELSE ? END) / f.chunk_size";

/// The same without content.
pub(super) const STAT: &str = "\
SELECT id, size, chunk_size, content_type, digest, key_id, (extract(epoch FROM stored_at) * 1000)::bigint, \
metadata, tags FROM parsimony.file WHERE app = ? AND name = ? AND version IS NOT NULL ORDER BY version DESC LIMIT 1";

pub(super) const READ_CHUNK: &str = "SELECT data FROM parsimony.file_chunk WHERE file = ? AND number = ?";

pub(super) const DELETE: &str = "\
WITH gone AS (DELETE FROM parsimony.file WHERE app = ? AND name = ? AND version IS NOT NULL RETURNING id), \
gone_chunks AS (DELETE FROM parsimony.file_chunk WHERE file IN (SELECT id FROM gone)) \
SELECT count(*) FROM gone";

pub(super) const RENAME: &str = "\
UPDATE parsimony.file SET name = ?, stored_at = now() WHERE app = ? AND name = ? AND version IS NOT NULL \
AND NOT EXISTS (SELECT FROM parsimony.file t WHERE t.app = ? AND t.name = ? AND t.version IS NOT NULL)";

pub(super) const LIST: &str = "\
SELECT DISTINCT ON (name) name, size, (extract(epoch FROM stored_at) * 1000)::bigint FROM parsimony.file \
WHERE app = ? AND name > ? AND version IS NOT NULL ORDER BY name, version DESC LIMIT ?";

//! Statements of the file store that Diesel's DSL cannot say: each changes two tables at once (`WITH gone AS
//! (DELETE …)`), so that a file and its chunks come and go together in one round trip, or sets
//! `synchronous_commit` for itself. `?` stands for the next bind.

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

/// Takes back one upload.
pub(super) const DISCARD: &str = "\
WITH gone AS (DELETE FROM parsimony.file WHERE id = ? AND version IS NULL) \
DELETE FROM parsimony.file_chunk WHERE file = ? \
AND NOT EXISTS (SELECT 1 FROM parsimony.file f WHERE f.id = file AND f.version IS NOT NULL)";

/// Uploads of processes that died.
pub(super) const SWEEP: &str = "\
WITH gone AS (DELETE FROM parsimony.file WHERE version IS NULL AND touched_at < now() - interval '1 hour' \
RETURNING id) DELETE FROM parsimony.file_chunk WHERE file IN (SELECT id FROM gone)";

pub(super) const DELETE: &str = "\
WITH gone AS (DELETE FROM parsimony.file WHERE app = ? AND name = ? AND version IS NOT NULL RETURNING id), \
gone_chunks AS (DELETE FROM parsimony.file_chunk WHERE file IN (SELECT id FROM gone)) \
SELECT count(*) FROM gone";

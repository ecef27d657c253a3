//! Every text of the database, for those who look for what is mentioned anywhere.
//!
//! One snapshot of all tables that the server may read, whoever made them: cursors hand over [`PAGE`] rows at
//! a time, so that neither memory nor the time limit of a statement depends on the size of a table.

use crate::storage::postgres::sql::{Sql, with_bytes};
use crate::storage::postgres::{Core, column_text, command};
use crate::storage::{See, StorageResult};

const PAGE: usize = 200;

/// For each table the statement that opens its cursor. Columns that cannot hold a text are left out, and the
/// store of files, which names every file there is.
const CURSORS: &str = r"
SELECT format('DECLARE texts NO SCROLL CURSOR FOR SELECT array_to_string(ARRAY[%s], E''\n'') FROM ONLY %I.%I',
  string_agg(format('%I::text', a.attname), ', '), n.nspname, c.relname)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND has_table_privilege(c.oid, 'SELECT')
AND t.typcategory NOT IN ('B', 'D', 'G', 'I', 'N', 'T', 'V') AND t.typname <> 'bytea'
AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
AND NOT (n.nspname = 'parsimony' AND c.relname IN ('file', 'file_chunk'))
GROUP BY n.nspname, c.relname ORDER BY n.nspname, c.relname";

impl Core {
    pub(crate) async fn visit_texts(&self, see: See<'_>) -> StorageResult<()> {
        let conn = self.lanes.get().await?;
        // Dropped half-way, the connection is closed, and with it the snapshot.
        conn.set_dirty(true);
        command(&conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let db = crate::storage::postgres::Executor { in_transaction: true, ..self.executor(&conn) };
        let mut tables = Sql::new(CURSORS);
        tables.uncacheable();
        for table in db.load(tables).await? {
            let Some(cursor) = column_text(&table, 0) else { continue };
            command(&conn, &cursor).await?;
            loop {
                let mut page = Sql::new(&format!("FETCH FORWARD {PAGE} FROM texts"));
                page.uncacheable();
                let rows = db.load(page).await?;
                for row in &rows {
                    with_bytes(row, 0, |bytes| see(&String::from_utf8_lossy(bytes)));
                }
                if rows.len() < PAGE {
                    break;
                }
            }
            command(&conn, "CLOSE texts").await?;
        }
        command(&conn, "COMMIT").await?;
        conn.set_dirty(false);
        Ok(())
    }
}

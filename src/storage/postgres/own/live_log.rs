//! [`LiveLog`]: the tables and functions of migration `live_log`. Rows that were kept as JSON are read
//! through the class's own row type, so that they are decoded like any others.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::storage::live_log::{Capture, Entries, LiveLog, LogEntry};
use crate::storage::postgres::PostgresAdapter;
use crate::storage::postgres::connection::error::boxed;
use crate::storage::postgres::query::row;
use crate::storage::postgres::sql;
use crate::storage::postgres::sql::{PgRow, Sql};
use crate::storage::postgres::write::target;
use crate::storage::{StorageError, StorageResult};
use crate::types::{ClassName, ClassSchema, Layout, Object, RowSet};

impl PostgresAdapter {
    async fn log_rows(&self, sql: Sql) -> StorageResult<Vec<PgRow>> {
        let conn = self.core.lanes.get().await?;
        self.core.executor(&conn).load(sql).await
    }

    async fn log_command(&self, sql: Sql) -> StorageResult<()> {
        self.log_rows(sql).await.map(|_| ())
    }
}

fn is_true(rows: &[PgRow]) -> bool {
    rows.first().and_then(|row| sql::with_bytes(row, 0, |bytes| bytes == [1])).unwrap_or(false)
}

fn bigint(row: &PgRow, column: usize) -> i64 {
    let read = |bytes: &[u8]| bytes.try_into().map(i64::from_be_bytes).unwrap_or_default();
    sql::with_bytes(row, column, read).unwrap_or_default()
}

/// As text, for intervals and instants; nothing of a client's is in it.
fn seconds(duration: Duration) -> String {
    format!("{} seconds", duration.as_secs())
}

#[async_trait]
impl LiveLog for PostgresAdapter {
    async fn capture(&self, class: &ClassName, capture: Capture) -> StorageResult<bool> {
        if !self.prepares_statements() {
            return Err(StorageError::Other(boxed(
                "liveQuery.sqlChanges and liveQuery.eventLog need sessions of their own: not behind a pooler in transaction mode",
            )));
        }
        let mut sql = Sql::new("SELECT parsimony.live_capture_start(");
        sql.push_text(class.as_str()).push_sql(", ");
        sql.push_text(if capture == Capture::All { "all" } else { "others" }).push_sql(")");
        Ok(is_true(&self.log_rows(sql).await?))
    }

    async fn release(&self) -> StorageResult<()> {
        let used = Sql::new(
            "SELECT EXISTS (SELECT FROM parsimony.live_capture) OR EXISTS (SELECT FROM parsimony.live_log)",
        );
        if is_true(&self.log_rows(used).await?) {
            self.log_command(Sql::new("SELECT parsimony.live_capture_stop() IS NULL")).await?;
        }
        Ok(())
    }

    async fn entries(&self, class: &Arc<ClassSchema>, entries: Entries) -> StorageResult<Vec<LogEntry>> {
        let layout = Arc::new(Layout::of(class));
        let mut sql = Sql::new("SELECT (extract(epoch FROM l.at) * 1000000)::bigint, ");
        target::push_columns(&mut sql, &layout, "b");
        sql.push_sql(", ");
        target::push_columns(&mut sql, &layout, "a");
        sql.push_sql(" FROM parsimony.live_log l");
        for (alias, column) in [("b", "state_before"), ("a", "state_after")] {
            sql.push_sql(" LEFT JOIN LATERAL jsonb_populate_record(NULL::").push_class(&class.name);
            sql.push_sql(", l.").push_sql(column).push_sql(") ").push_sql(alias).push_sql(" ON TRUE");
        }
        sql.push_sql(" WHERE l.class = ").push_text(class.name.as_str());
        match entries {
            Entries::One(id) => {
                sql.push_sql(" AND l.id = ").push_text(id.to_string()).push_sql("::text::bigint");
            }
            Entries::Since { micros, most } => {
                sql.push_sql(" AND l.at >= 'epoch'::timestamptz + ")
                    .push_text(format!("{micros} microseconds"));
                sql.push_sql("::text::interval ORDER BY l.id LIMIT ").push_text(most.to_string());
                sql.push_sql("::text::bigint");
            }
        }
        let rows = self.log_rows(sql).await?;
        let width = layout.columns.len();
        let side = |first: usize| {
            let mut set = RowSet::with_capacity(layout.clone(), rows.len());
            rows.iter().for_each(|row| row::push_row(&mut set, row, first, width));
            set
        };
        let (before, after) = (side(1), side(1 + width));
        let state = |object: Object| object.contains_key("objectId").then_some(object);
        let pairs = before.iter().zip(after.iter()).zip(&rows);
        let read = pairs.map(|((before, after), row)| LogEntry {
            micros: bigint(row, 0),
            before: state(before.to_object()),
            after: state(after.to_object()),
        });
        Ok(read.collect())
    }

    async fn newest(&self) -> StorageResult<i64> {
        let rows = self.log_rows(Sql::new("SELECT coalesce(max(id), 0) FROM parsimony.live_log")).await?;
        Ok(rows.first().map(|row| bigint(row, 0)).unwrap_or_default())
    }

    async fn others_after(&self, id: i64, most: usize) -> StorageResult<Vec<(i64, String)>> {
        let mut sql = Sql::new("SELECT id, class FROM parsimony.live_log WHERE NOT own AND id > ");
        sql.push_text(id.to_string()).push_sql("::text::bigint ORDER BY id LIMIT ");
        sql.push_text(most.to_string()).push_sql("::text::bigint");
        let rows = self.log_rows(sql).await?;
        let text = |row| sql::with_bytes(row, 1, |bytes| String::from_utf8_lossy(bytes).into_owned());
        Ok(rows.iter().filter_map(|row| Some((bigint(row, 0), text(row)?))).collect())
    }

    async fn covers(&self, class: &ClassName, micros: i64, retention: Duration) -> StorageResult<bool> {
        let mut sql =
            Sql::new("SELECT EXISTS (SELECT FROM parsimony.live_capture WHERE mode = 'all' AND class = ");
        sql.push_text(class.as_str());
        sql.push_sql(" AND since <= 'epoch'::timestamptz + ").push_text(format!("{micros} microseconds"));
        sql.push_sql("::text::interval AND now() - ").push_text(seconds(retention));
        sql.push_sql("::text::interval < 'epoch'::timestamptz + ")
            .push_text(format!("{micros} microseconds"));
        sql.push_sql("::text::interval)");
        Ok(is_true(&self.log_rows(sql).await?))
    }

    async fn forget(&self, retention: Duration) -> StorageResult<()> {
        let mut sql = Sql::new("DELETE FROM parsimony.live_log WHERE at < now() - ");
        sql.push_text(seconds(retention)).push_sql("::text::interval");
        self.log_command(sql).await
    }
}

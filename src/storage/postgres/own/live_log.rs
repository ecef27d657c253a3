//! [`LiveLog`]: the tables and functions of migration `live_log`. Rows that were kept as JSON are read
//! through the class's own row type, so that they are decoded like any others.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::data_types::PgInterval;
use diesel::dsl::{exists, max, not};
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::storage::live_log::{Capture, Entries, LiveLog, LogEntry};
use crate::storage::postgres::PostgresAdapter;
use crate::storage::postgres::connection::error::boxed;
use crate::storage::postgres::own::dsl::time_from_now;
use crate::storage::postgres::own::schema::parsimony::{live_capture, live_log};
use crate::storage::postgres::query::row;
use crate::storage::postgres::sql::{Bind, PgRow, Sql, with_bytes};
use crate::storage::postgres::write::target;
use crate::storage::{StorageError, StorageResult};
use crate::types::{ClassName, ClassSchema, Layout, Object, RowSet};

define_sql_function! {
    /// Begins to write a class's changes down.
    #[sql_name = "parsimony.live_capture_start"]
    fn live_capture_start(class: Text, mode: Text) -> Bool;
}
define_sql_function! {
    /// Ends that for every class.
    #[sql_name = "parsimony.live_capture_stop"]
    fn live_capture_stop() -> Nullable<Text>;
}

/// Runs `$work` with an executor `$db` on a pooled connection.
macro_rules! on_pool {
    ($self:ident, |$db:ident| $work:expr) => {{
        let conn = $self.core.lanes.get().await?;
        let $db = $self.core.executor(&conn);
        $work.await
    }};
}

/// The first column of an entry.
fn micros(row: &PgRow) -> i64 {
    let read = |bytes: &[u8]| bytes.try_into().map(i64::from_be_bytes).unwrap_or_default();
    with_bytes(row, 0, read).unwrap_or_default()
}

fn instant(micros: i64) -> StorageResult<DateTime<Utc>> {
    let beyond = || StorageError::Other(boxed(format!("{micros} microseconds since 1970 are no time")));
    DateTime::from_timestamp_micros(micros).ok_or_else(beyond)
}

/// On the database's clock, whose time the entries have.
fn ago(retention: Duration) -> PgInterval {
    PgInterval::from_microseconds(i64::try_from(retention.as_micros()).unwrap_or(i64::MAX).saturating_neg())
}

#[async_trait]
impl LiveLog for PostgresAdapter {
    async fn capture(&self, class: &ClassName, capture: Capture) -> StorageResult<bool> {
        if !self.prepares_statements() {
            return Err(StorageError::Other(boxed(
                "liveQuery.sqlChanges and liveQuery.eventLog need sessions of their own: not behind a pooler in transaction mode",
            )));
        }
        let mode = if capture == Capture::All { "all" } else { "others" };
        let starting = diesel::select(live_capture_start(class.as_str(), mode));
        Ok(on_pool!(self, |db| db.row(starting))?.unwrap_or(false))
    }

    async fn release(&self) -> StorageResult<()> {
        let used = diesel::select((
            exists(live_capture::table.select(live_capture::class)),
            exists(live_log::table.select(live_log::id)),
        ));
        let used: Option<(bool, bool)> = on_pool!(self, |db| db.row(used))?;
        if used.is_some_and(|(captures, entries)| captures || entries) {
            let stopping = diesel::select(live_capture_stop().is_null());
            let _: Option<bool> = on_pool!(self, |db| db.row(stopping))?;
        }
        Ok(())
    }

    async fn entries(&self, class: &Arc<ClassSchema>, entries: Entries) -> StorageResult<Vec<LogEntry>> {
        // Text, because the rows are of a type that only the database knows: the class's own.
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
                sql.push_sql(" AND l.id = ").push_bind(Bind::Int8(id));
            }
            Entries::Since { micros, most } => {
                sql.push_sql(" AND l.at >= 'epoch'::timestamptz + ").push_bind(Bind::Int8(micros));
                sql.push_sql(" * interval '1 microsecond' ORDER BY l.id LIMIT ");
                sql.push_bind(Bind::Int8(i64::try_from(most).unwrap_or(i64::MAX)));
            }
        }
        let rows = on_pool!(self, |db| db.load(sql))?;
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
            micros: micros(row),
            before: state(before.to_object()),
            after: state(after.to_object()),
        });
        Ok(read.collect())
    }

    async fn newest(&self) -> StorageResult<i64> {
        let newest = live_log::table.select(max(live_log::id));
        let id: Option<Option<i64>> = on_pool!(self, |db| db.row(newest))?;
        Ok(id.flatten().unwrap_or_default())
    }

    async fn others_after(&self, id: i64, most: usize) -> StorageResult<Vec<(i64, String)>> {
        let changes = live_log::table
            .filter(not(live_log::own).and(live_log::id.gt(id)))
            .order(live_log::id)
            .limit(i64::try_from(most).unwrap_or(i64::MAX))
            .select((live_log::id, live_log::class));
        on_pool!(self, |db| db.rows(changes))
    }

    async fn covers(&self, class: &ClassName, micros: i64, retention: Duration) -> StorageResult<bool> {
        let since = instant(micros)?;
        let captured = live_capture::table.filter(
            live_capture::mode
                .eq("all")
                .and(live_capture::class.eq(class.as_str()))
                .and(live_capture::since.le(since))
                .and(time_from_now(ago(retention)).lt(since)),
        );
        Ok(on_pool!(self, |db| db.row(diesel::select(exists(captured))))?.unwrap_or(false))
    }

    async fn forget(&self, retention: Duration) -> StorageResult<()> {
        let old = live_log::table.filter(live_log::at.lt(time_from_now(ago(retention))));
        on_pool!(self, |db| db.run(diesel::delete(old))).map(drop)
    }
}

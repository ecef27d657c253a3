//! What every build of an index needs, that of the schema API (`builds`) and that of start-up (`indexes`): a
//! connection that holds the advisory lock of the build, the statement itself, and clearing up after builds
//! that were interrupted.

use std::sync::Arc;
use std::time::Duration;

use diesel_async::AsyncPgConnection;

use crate::storage::postgres::connection::connect::Connector;
use crate::storage::postgres::connection::error::is_already_there;
use crate::storage::postgres::sql::Sql;
use crate::storage::postgres::{column_text, command};
use crate::storage::{StorageError, StorageResult};
use crate::types::ClassName;

/// First key of the advisory locks of builds; the second is made of the class's name.
const BUILD_LOCKS: i32 = 0x7061_7278;

/// The number of a class in advisory locks.
pub fn lock_key(class: &ClassName) -> i32 {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(class.as_str().as_bytes());
    i32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// The advisory lock of builds of a class, as a function takes it.
pub fn lock_of(class: &ClassName) -> String {
    format!("{BUILD_LOCKS}, {}", lock_key(class))
}

/// A connection that builds indexes, holding the advisory lock of this key, so that two servers do not
/// build the same. Asks again and again instead of waiting in a statement, whose snapshot the other one's
/// concurrent build would wait for in turn. The lock goes with the connection.
pub async fn turn(connector: &Arc<Connector>, key: &str) -> StorageResult<AsyncPgConnection> {
    // No statement timeout: a large table takes its time.
    let conn = connector.connect_with(Duration::ZERO).await?;
    while !try_lock(&conn, key).await? {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(conn)
}

/// `key` is one that this program spells: one number, or two.
pub async fn try_lock(conn: &AsyncPgConnection, key: &str) -> StorageResult<bool> {
    let mut sql = Sql::new("SELECT pg_try_advisory_lock(");
    let rows = sql.push_sql(key).push_sql(")").uncacheable().load(conn).await?;
    Ok(rows
        .first()
        .and_then(|row| crate::storage::postgres::sql::with_bytes(row, 0, |b| b == [1]))
        .unwrap_or(false))
}

/// First key and second of the lock of builds at start-up, as `pg_locks` shows the one number it is.
pub const START_LOCK: &str = "7813577613";
/// The lock of the one server that applies defined schemas.
pub const MIGRATION_LOCK: &str = "7813577614";
const START_LOCK_PARTS: (u32, u32) = (1, 3_518_610_317);
/// A build that gave way comes back after this, then after twice as long, and so on.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// So often a build gives way.
const MOST_INTERRUPTIONS: u32 = 100;

/// Ends the builds of indexes on the class's table that servers of ours are at, for a change of the table that
/// waits for its lock: a build holds that as long as it takes, and whoever waits is a request. The builds begin
/// again ([`run_concurrently`]).
///
/// # Errors
/// Database errors.
pub async fn interrupt(conn: &AsyncPgConnection, class: &ClassName) -> StorageResult<()> {
    let mut sql = Sql::new(
        "SELECT pg_catalog.pg_cancel_backend(p.pid) FROM pg_catalog.pg_stat_progress_create_index p \
         WHERE p.datname = current_database() AND p.relid = to_regclass('public.' || quote_ident(",
    );
    sql.push_text(class.as_str());
    sql.push_sql(")) AND EXISTS (SELECT 1 FROM pg_catalog.pg_locks l WHERE l.pid = p.pid AND l.granted ");
    let (first, second) = START_LOCK_PARTS;
    let of_class = lock_key(class).cast_unsigned();
    sql.push_sql(&format!(
        "AND l.locktype = 'advisory' AND (l.classid::bigint, l.objid::bigint) \
         IN (({BUILD_LOCKS}, {of_class}), ({first}, {second})))"
    ));
    sql.uncacheable();
    if !sql.load(conn).await?.is_empty() {
        tracing::info!(class = %class, "an index build on {class} gives way to a change of the table");
    }
    Ok(())
}

/// An interrupted or failed concurrent build leaves an invalid index behind: it is removed.
pub async fn run_concurrently(conn: &AsyncPgConnection, sql: Sql, name: &str) -> StorageResult<()> {
    // What an earlier, killed build left under this name.
    drop_invalid(conn, name).await?;
    let (mut pause, mut interruptions) = (FIRST_PAUSE, 0);
    while let Err(error) = sql.execute(conn).await {
        let error = StorageError::from(error);
        // These connections have no statement timeout: somebody asked for it.
        let gives_way = matches!(error, StorageError::Timeout) && interruptions < MOST_INTERRUPTIONS;
        if gives_way {
            // Whoever asked has this long: what is dropped is locked as well.
            tokio::time::sleep(pause).await;
        }
        drop_invalid(conn, name).await?;
        if gives_way {
            interruptions += 1;
            pause = (pause * 2).min(LONGEST_PAUSE);
            continue;
        }
        // A write of the first session may have made it while we waited.
        return if is_already_there(&error) && !matches!(error, StorageError::Duplicate { .. }) {
            Ok(())
        } else {
            Err(error)
        };
    }
    Ok(())
}

pub async fn drop_invalid(conn: &AsyncPgConnection, name: &str) -> StorageResult<()> {
    let mut look = Sql::new(
        "SELECT 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'public' AND NOT i.indisvalid AND c.relname = ",
    );
    look.push_text(name);
    // Another server's build in progress is invalid too: it holds a lock on the table, so its name
    // shows in pg_stat_progress_create_index.
    look.push_sql(
        " AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_stat_progress_create_index p \
         WHERE p.index_relid = i.indexrelid)",
    );
    if look.load(conn).await?.is_empty() {
        return Ok(());
    }
    drop_index(conn, name).await
}

pub async fn drop_index(conn: &AsyncPgConnection, name: &str) -> StorageResult<()> {
    let mut sql = Sql::new("DROP INDEX CONCURRENTLY IF EXISTS ");
    sql.push_in_public(name).uncacheable();
    sql.execute(conn).await?;
    Ok(())
}

/// Invalid indexes that nobody is building: their server or the database went away.
///
/// # Errors
/// Database errors.
pub async fn drop_abandoned(conn: &AsyncPgConnection) -> StorageResult<()> {
    let rows = Sql::new(
        "SELECT c.relname::text, t.relname::text FROM pg_catalog.pg_index i \
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'public' AND NOT i.indisvalid",
    )
    .load(conn)
    .await?;
    for (name, table) in rows.iter().filter_map(|row| Some((column_text(row, 0)?, column_text(row, 1)?))) {
        let Some(class) = ClassName::valid(&table) else { continue };
        let lock = lock_of(&class);
        if !try_lock(conn, &lock).await? {
            continue;
        }
        drop_invalid(conn, &name).await?;
        command(conn, &format!("SELECT pg_advisory_unlock({lock})")).await?;
    }
    Ok(())
}

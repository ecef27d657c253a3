//! What a database needs before the first request: parse-server's system tables and SQL functions
//! where they are missing, and our helpers in schema `parsimony` (diesel migrations). When everything
//! is there, one query finds out.

use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::storage::postgres::connection::connect::Connector;
use crate::storage::postgres::connection::control::ControlLane;
use crate::storage::postgres::connection::error::boxed;
use crate::storage::postgres::schema::{ddl, table as schema_table};
use crate::storage::postgres::sql::Sql;
use crate::storage::postgres::{column_text, command};
use crate::storage::{StorageError, StorageResult};
use crate::types::schema::default_columns;
use crate::types::{ClassName, ClassSchema, Field, FieldName};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Version of the newest migration, as diesel stores it: digits only.
const NEWEST_MIGRATION: &str = "20261130000100";

/// Tables that parse-server makes at every start.
const START_TABLES: &[&str] = &[
    "_Hooks",
    "_JobStatus",
    "_JobSchedule",
    "_PushStatus",
    "_GlobalConfig",
    "_GraphQLConfig",
    "_Audience",
    "_Idempotency",
];
/// Classes that have a `_SCHEMA` row from the start.
const START_CLASSES: &[&str] = &["_User", "_Role"];

/// parse-server's functions under its names and argument names, since it replaces them when it starts
/// on this database and PostgreSQL lets nobody rename an argument. We use none of them.
const FUNCTIONS: &[(&str, &str)] = &[
    (
        "array_add",
        r#"CREATE FUNCTION array_add("array" jsonb, "values" jsonb) RETURNS jsonb
           LANGUAGE sql IMMUTABLE STRICT AS $$
           SELECT coalesce(jsonb_agg(part.element), '[]'::jsonb) FROM (
               SELECT DISTINCT element FROM jsonb_array_elements("array") AS old(element)
               UNION ALL SELECT element FROM jsonb_array_elements("values") AS new(element)) AS part $$"#,
    ),
    (
        "array_add_unique",
        r#"CREATE FUNCTION array_add_unique("array" jsonb, "values" jsonb) RETURNS jsonb
           LANGUAGE sql IMMUTABLE STRICT AS $$
           SELECT coalesce(jsonb_agg(part.element), '[]'::jsonb) FROM (
               SELECT element FROM jsonb_array_elements("array") AS old(element)
               UNION SELECT element FROM jsonb_array_elements("values") AS new(element)) AS part $$"#,
    ),
    (
        "array_remove",
        r#"CREATE FUNCTION array_remove("array" jsonb, "values" jsonb) RETURNS jsonb
           LANGUAGE sql IMMUTABLE STRICT AS $$
           SELECT coalesce(jsonb_agg(old.element), '[]'::jsonb)
           FROM jsonb_array_elements("array") AS old(element)
           WHERE old.element NOT IN (SELECT jsonb_array_elements("values")) $$"#,
    ),
    (
        "array_contains",
        r#"CREATE FUNCTION array_contains("array" jsonb, "values" jsonb) RETURNS boolean
           LANGUAGE sql IMMUTABLE STRICT AS $$
           SELECT EXISTS (SELECT 1 FROM jsonb_array_elements("array") AS old(element)
               WHERE old.element IN (SELECT jsonb_array_elements("values"))) $$"#,
    ),
    (
        "array_contains_all",
        r#"CREATE FUNCTION array_contains_all("array" jsonb, "values" jsonb) RETURNS boolean
           LANGUAGE sql IMMUTABLE STRICT AS $$
           SELECT CASE WHEN jsonb_array_length("values") = 0 THEN false ELSE (
               SELECT count(*) = jsonb_array_length("values")
               FROM jsonb_array_elements_text("array") AS old(element)
               WHERE old.element IN (SELECT jsonb_array_elements_text("values"))) END $$"#,
    ),
    (
        "array_contains_all_regex",
        r#"CREATE FUNCTION array_contains_all_regex("array" jsonb, "values" jsonb) RETURNS boolean
           LANGUAGE sql IMMUTABLE STRICT AS $$
           SELECT CASE WHEN jsonb_array_length("values") = 0 THEN false ELSE (
               SELECT count(*) = jsonb_array_length("values")
               FROM jsonb_array_elements_text("array") AS old(element)
               WHERE old.element LIKE ANY (SELECT jsonb_array_elements_text("values"))) END $$"#,
    ),
    (
        "json_object_set_key",
        r#"CREATE FUNCTION json_object_set_key("json" jsonb, key_to_set text, value_to_set anyelement)
           RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT AS $$
           SELECT "json" || jsonb_build_object(key_to_set, value_to_set) $$"#,
    ),
    (
        "idempotency_delete_expired_records",
        r#"CREATE FUNCTION idempotency_delete_expired_records() RETURNS void LANGUAGE plpgsql AS $$
           BEGIN DELETE FROM "_Idempotency" WHERE expire < now() - interval '300 seconds'; END $$"#,
    ),
];

/// Creates what is missing and nothing else.
///
/// # Errors
/// Database errors; `Unavailable` when the server cannot be reached.
pub async fn run(control: &ControlLane) -> StorageResult<()> {
    let conn = control.lock().await?;
    let complete = is_complete(&conn).await?;
    conn.done();
    if complete {
        return Ok(());
    }
    let conn = control.lock().await?;
    // Held until the session gives it back: two servers may start on an empty database at once.
    command(&conn, "SELECT pg_advisory_lock(7813577612)").await?;
    create_missing(&conn).await?;
    migrate(control.connector()).await?;
    command(&conn, "SELECT pg_advisory_unlock(7813577612)").await?;
    conn.done();
    Ok(())
}

/// One query for the usual start.
async fn is_complete(conn: &AsyncPgConnection) -> StorageResult<bool> {
    let mut sql = Sql::new(
        "SELECT to_regclass('public.\"_SCHEMA\"') IS NOT NULL \
         AND to_regclass('parsimony.__diesel_schema_migrations') IS NOT NULL \
         AND (SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n \
              ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relname = ANY(",
    );
    let tables: Vec<String> =
        START_TABLES.iter().chain(START_CLASSES).map(|name| (*name).to_owned()).collect();
    let count = tables.len();
    sql.push_text_array(tables).push_sql(&format!(")) = {count} "));
    sql.push_sql(
        "AND (SELECT count(DISTINCT p.proname) FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n \
         ON n.oid = p.pronamespace WHERE n.nspname = 'public' AND p.proname = ANY(",
    );
    let functions: Vec<String> = FUNCTIONS.iter().map(|(name, _)| (*name).to_owned()).collect();
    sql.push_text_array(functions).push_sql(&format!(")) = {} ", FUNCTIONS.len()));
    sql.uncacheable();
    if !flag(conn, sql).await? {
        return Ok(false);
    }
    // Only now are these tables known to exist.
    let mut sql =
        Sql::new(r#"SELECT EXISTS (SELECT 1 FROM parsimony.__diesel_schema_migrations WHERE version = "#);
    sql.push_text(NEWEST_MIGRATION)
        .push_sql(r#") AND (SELECT count(*) FROM public."_SCHEMA" WHERE "className" = ANY("#);
    sql.push_text_array(START_CLASSES.iter().map(|name| (*name).to_owned()).collect());
    sql.push_sql(&format!(")) = {}", START_CLASSES.len())).uncacheable();
    Ok(flag(conn, sql).await? && outdated(conn).await?.is_empty())
}

async fn flag(conn: &AsyncPgConnection, sql: Sql) -> StorageResult<bool> {
    let rows = sql.load(conn).await?;
    Ok(rows
        .first()
        .and_then(|row| crate::storage::postgres::sql::with_bytes(row, 0, |b| b == [1]))
        .unwrap_or(false))
}

async fn create_missing(conn: &AsyncPgConnection) -> StorageResult<()> {
    command(
        conn,
        r#"CREATE TABLE IF NOT EXISTS public."_SCHEMA"
           ("className" varchar(120), "schema" jsonb, "isParseClass" bool, PRIMARY KEY ("className"))"#,
    )
    .await?;
    for name in START_TABLES {
        ddl::create_table(conn, &ClassSchema::with_defaults(ClassName::known(name))).await?;
    }
    for name in START_CLASSES {
        let schema = ClassSchema::with_defaults(ClassName::known(name));
        ddl::create_table(conn, &schema).await?;
        schema_table::insert(conn, &schema).await?;
    }
    for (class, fields) in outdated(conn).await? {
        ddl::run_inside_own(conn, &ddl::Change::AddFields(&class, &fields)).await?;
    }
    create_functions(conn).await
}

/// System classes that an older version made, with the default fields they lack.
async fn outdated(conn: &AsyncPgConnection) -> StorageResult<Vec<(ClassName, Vec<(FieldName, Field)>)>> {
    let mut found = Vec::new();
    let rows = Sql::new(r#"SELECT "className", "schema" FROM public."_SCHEMA" WHERE "className" LIKE '\_%'"#)
        .load(conn)
        .await?;
    for row in &rows {
        let Some((class, stored)) = schema_table::read(row) else { continue };
        let known = |name: &FieldName| {
            let stored_name =
                if class.is_user() && name == "password" { "_hashed_password" } else { name.as_str() };
            name == "ACL" || stored.get("fields").is_some_and(|fields| fields.get(stored_name).is_some())
        };
        let missing: Vec<_> = default_columns(&class).into_iter().filter(|(name, _)| !known(name)).collect();
        if !missing.is_empty() {
            found.push((class, missing));
        }
    }
    Ok(found)
}

async fn create_functions(conn: &AsyncPgConnection) -> StorageResult<()> {
    let rows = Sql::new(
        "SELECT DISTINCT p.proname::text FROM pg_catalog.pg_proc p \
         JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'public'",
    )
    .load(conn)
    .await?;
    let present: Vec<String> = rows.iter().filter_map(|row| column_text(row, 0)).collect();
    for (name, definition) in FUNCTIONS {
        if !present.iter().any(|p| p == name) {
            command(conn, definition).await?;
        }
    }
    Ok(())
}

/// diesel's harness blocks in place, which a worker's runtime does not allow: it gets a runtime of its
/// own for the moment. Its history lives in schema `parsimony` too.
async fn migrate(connector: &std::sync::Arc<Connector>) -> StorageResult<()> {
    let connector = connector.clone();
    let migrated = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| StorageError::Other(Box::new(error)))?;
        runtime.block_on(async {
            let work = tokio::spawn(async move {
                let mut conn = connector.connect().await?;
                conn.batch_execute(
                    "CREATE SCHEMA IF NOT EXISTS parsimony; SET search_path = parsimony, public",
                )
                .await?;
                let mut harness = AsyncMigrationHarness::new(conn);
                harness
                    .run_pending_migrations(MIGRATIONS)
                    .map(|_| ())
                    .map_err(|error| StorageError::Other(boxed(format!("migrations: {error}"))))
            });
            work.await.unwrap_or_else(|error| Err(StorageError::Other(Box::new(error))))
        })
    });
    migrated.await.unwrap_or_else(|error| Err(StorageError::Other(Box::new(error))))
}

#[cfg(test)]
mod tests {
    use diesel::migration::MigrationSource;
    use diesel::pg::Pg;

    use super::*;

    #[test]
    fn the_newest_migration_is_the_one_looked_for() {
        let migrations = MigrationSource::<Pg>::migrations(&MIGRATIONS).unwrap();
        let newest = migrations.iter().map(|m| m.name().version().to_string()).max();
        assert_eq!(newest.as_deref(), Some(NEWEST_MIGRATION));
    }
}

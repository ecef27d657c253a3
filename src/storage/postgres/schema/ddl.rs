//! Schema changes: class tables, columns, join tables and their `_SCHEMA` rows, each change one
//! transaction under the class's advisory lock, with short lock timeouts and retries.
//!
//! A transaction that adds a field may hold row locks that another one's `ALTER TABLE` waits for, and
//! the reverse. Whoever has the advisory lock waits longer for the table than the others wait for the
//! advisory lock, so the others give up first (`Conflict`: the whole transaction shall be retried),
//! their locks go, and one of them always gets through.

use std::time::{Duration, Instant};

use diesel_async::AsyncPgConnection;
use serde_json::{Map, Value, json};

use crate::storage::postgres::command;
use crate::storage::postgres::connection::control::ControlLane;
use crate::storage::postgres::connection::error::{boxed, is_already_there};
use crate::storage::postgres::schema::concurrently::{interrupt, lock_key};
use crate::storage::postgres::schema::{names, table as schema_table};
use crate::storage::postgres::sql::Sql;
use crate::storage::postgres::value;
use crate::storage::postgres::value::ColumnType;
use crate::storage::{IndexMap, StorageError, StorageResult};
use crate::types::row::{USER_COLUMNS, has_permission_columns};
use crate::types::{ClassName, ClassSchema, Field, FieldName, FieldType};

/// First key of the advisory locks of schema changes; the second is made of the class's name.
const SCHEMA_LOCKS: i32 = 0x7061_7273;
/// How long one attempt waits for a table's lock; whoever waits holds up all later readers.
const TABLE_WAIT: &str = "600ms";
/// How long one attempt waits for the advisory lock, on its own and inside a transaction.
const TURN_WAIT: &str = "500ms";
const TURN_WAIT_INSIDE: &str = "100ms";
/// Attempts inside somebody's transaction: its locks may be what the others wait for. Together they
/// take less than [`TABLE_WAIT`], so that whoever has the turn outlasts those who hold the table.
const ATTEMPTS_INSIDE: u32 = 2;
/// How long a change of its own keeps trying.
const PATIENCE: Duration = Duration::from_secs(15);

/// What shall change.
#[derive(Debug)]
pub enum Change<'a> {
    Create(&'a ClassSchema),
    AddFields(&'a ClassName, &'a [(FieldName, Field)]),
    SetFieldOptions(&'a ClassName, &'a [(FieldName, Field)]),
    DeleteFields(&'a ClassName, &'a [FieldName]),
    SetPermissions(&'a ClassName, &'a Map<String, Value>),
    /// The map in `_SCHEMA` only; `indexes` builds and drops. What others changed meanwhile stays.
    NoteIndexes(&'a ClassName, &'a IndexMap, &'a [String]),
    Delete(&'a ClassSchema),
    Purge(&'a ClassSchema),
    JoinTable(&'a ClassName),
}

impl Change<'_> {
    /// Whether the class's `_SCHEMA` row changes.
    pub fn is_of_schema(&self) -> bool {
        !matches!(self, Change::Purge(_) | Change::JoinTable(_))
    }

    /// Whether it waits for builds of indexes on the class's table.
    fn locks_table(&self) -> bool {
        matches!(self, Change::AddFields(..) | Change::DeleteFields(..) | Change::Delete(_))
    }

    pub fn class(&self) -> &ClassName {
        match self {
            Change::Create(schema) | Change::Delete(schema) | Change::Purge(schema) => &schema.name,
            Change::AddFields(class, _)
            | Change::SetFieldOptions(class, _)
            | Change::DeleteFields(class, _)
            | Change::SetPermissions(class, _)
            | Change::NoteIndexes(class, _, _)
            | Change::JoinTable(class) => class,
        }
    }
}

/// Applies the change in a transaction of its own, with `notice` as a part of it, so that the others
/// hear of every change that is committed, and answers the class as stored afterwards.
///
/// # Errors
/// `StaleSchema` when the class does not exist, `Conflict` when the tables stayed locked.
pub async fn run(
    control: &ControlLane,
    change: &Change<'_>,
    notice: Option<&Sql>,
) -> StorageResult<Option<ClassSchema>> {
    let started = Instant::now();
    let mut attempt = 0;
    loop {
        let conn = control.lock().await?;
        command(&conn, "BEGIN").await?;
        let error = match apply_locked(&conn, change, TURN_WAIT).await {
            Ok(stored) => {
                if let Some(notice) = notice {
                    notice.execute(&conn).await?;
                }
                command(&conn, "COMMIT").await?;
                conn.done();
                return Ok(stored);
            }
            Err(error) => error,
        };
        let again = matches!(error, StorageError::Conflict(_)) || is_already_there(&error);
        if command(&conn, "ROLLBACK").await.is_ok() {
            // Without the right to do so, the change goes on trying.
            if again
                && change.locks_table()
                && let Err(error) = interrupt(&conn, change.class()).await
            {
                tracing::debug!(%error, "an index build cannot be ended: {error}");
            }
            conn.done();
        }
        if !again || started.elapsed() > PATIENCE {
            return Err(error);
        }
        attempt += 1;
        pause(attempt).await;
    }
}

/// Takes the class's turn, then applies the change; both waits are short.
async fn apply_locked(
    conn: &AsyncPgConnection,
    change: &Change<'_>,
    turn_wait: &str,
) -> StorageResult<Option<ClassSchema>> {
    let key = lock_key(change.class());
    command(
        conn,
        &format!(
            "SET LOCAL lock_timeout = '{turn_wait}'; SELECT pg_advisory_xact_lock({SCHEMA_LOCKS}, {key}); \
             SET LOCAL lock_timeout = '{TABLE_WAIT}'"
        ),
    )
    .await?;
    apply(conn, change).await
}

/// Applies the change on a connection that already holds a lock against other servers (start-up).
///
/// # Errors
/// As [`run`].
pub async fn run_inside_own(conn: &AsyncPgConnection, change: &Change<'_>) -> StorageResult<()> {
    command(conn, "BEGIN").await?;
    match apply(conn, change).await {
        Ok(_) => command(conn, "COMMIT").await,
        Err(error) => {
            command(conn, "ROLLBACK").await?;
            Err(error)
        }
    }
}

/// Applies the change inside an open transaction, under savepoints.
///
/// # Errors
/// `Conflict` when the locks could not be had: the whole transaction shall be retried.
pub async fn run_inside(conn: &AsyncPgConnection, change: &Change<'_>) -> StorageResult<Option<ClassSchema>> {
    let mut attempt = 0;
    loop {
        command(conn, "SAVEPOINT parsimony_ddl").await?;
        match apply_locked(conn, change, TURN_WAIT_INSIDE).await {
            Ok(stored) => {
                command(conn, "SET LOCAL lock_timeout = 0; RELEASE SAVEPOINT parsimony_ddl").await?;
                return Ok(stored);
            }
            Err(error) => {
                // Also gives the advisory lock back and undoes `SET LOCAL`.
                command(conn, "ROLLBACK TO SAVEPOINT parsimony_ddl; RELEASE SAVEPOINT parsimony_ddl").await?;
                let again = matches!(error, StorageError::Conflict(_)) || is_already_there(&error);
                attempt += 1;
                if !again || attempt >= ATTEMPTS_INSIDE {
                    return Err(error);
                }
                if change.locks_table() && interrupt(conn, change.class()).await.is_err() {
                    return Err(error);
                }
            }
        }
        pause(attempt).await;
    }
}

/// Grows with the attempts, and differs between those who met.
async fn pause(attempt: u32) {
    let ceiling = 20 * u64::from(attempt.min(10));
    let jitter = rand::random_range(5..=ceiling.max(6));
    tokio::time::sleep(Duration::from_millis(jitter)).await;
}

async fn apply(conn: &AsyncPgConnection, change: &Change<'_>) -> StorageResult<Option<ClassSchema>> {
    match change {
        Change::Create(schema) => create(conn, schema).await.map(Some),
        Change::AddFields(class, fields) => add_fields(conn, class, fields).await.map(Some),
        Change::SetFieldOptions(class, fields) => {
            value::check_defaults(class, fields.iter().map(|(name, field)| (name, field)))?;
            let edit = |stored: &mut Value| {
                for (name, field) in *fields {
                    if let Some(slot) = stored.pointer_mut("/fields").and_then(Value::as_object_mut) {
                        slot.insert(name.as_str().to_owned(), field.to_json());
                    }
                }
            };
            edit_stored(conn, class, edit).await.map(Some)
        }
        Change::DeleteFields(class, fields) => delete_fields(conn, class, fields).await.map(Some),
        Change::SetPermissions(class, clp) => {
            set_key(conn, class, "classLevelPermissions", Value::Object((*clp).clone())).await.map(Some)
        }
        Change::NoteIndexes(class, made, dropped) => {
            edit_stored(conn, class, |stored| note_indexes(stored, made, dropped)).await.map(Some)
        }
        Change::Delete(schema) => delete(conn, schema).await.map(|()| None),
        Change::Purge(schema) => purge(conn, schema).await.map(|()| None),
        Change::JoinTable(join) => create_join_table(conn, join).await.map(|()| None),
    }
}

async fn create(conn: &AsyncPgConnection, schema: &ClassSchema) -> StorageResult<ClassSchema> {
    if let Some(stored) = schema_table::load_raw(conn, &schema.name, false).await? {
        return Ok(schema_table::decode(schema.name.clone(), &stored));
    }
    names::check_class(conn, &schema.name).await?;
    names::check_fields(schema.fields.keys())?;
    value::check_defaults(&schema.name, schema.fields.iter())?;
    create_table(conn, schema).await?;
    for (name, column) in names::own_of(&schema.name) {
        let mut sql = Sql::new("CREATE INDEX IF NOT EXISTS ");
        sql.push_identifier(&name).push_sql(" ON ").push_class(&schema.name).uncacheable();
        sql.push_sql(" (").push_identifier(column).push_sql(")");
        sql.execute(conn).await?;
    }
    schema_table::insert(conn, schema).await?;
    let stored = schema_table::load_raw(conn, &schema.name, false).await?;
    Ok(stored.map_or_else(|| schema.clone(), |json| schema_table::decode(schema.name.clone(), &json)))
}

/// The columns of a class's table in their order.
pub fn columns(schema: &ClassSchema) -> Vec<(FieldName, ColumnType)> {
    let mut columns: Vec<(FieldName, ColumnType)> = Vec::new();
    for (name, field) in &schema.fields {
        let virtual_password = schema.name.is_user() && name == "password";
        if let Some(ty) = ColumnType::of(&field.ty).filter(|_| !virtual_password) {
            columns.push((name.clone(), ty));
        }
    }
    if has_permission_columns(&schema.name) {
        for name in ["_rperm", "_wperm"] {
            columns.push((FieldName::known(name), ColumnType::TextArray));
        }
    }
    if schema.name.is_user() {
        for (name, ty) in USER_COLUMNS {
            if let Some(ty) = ColumnType::of(ty).filter(|_| !schema.fields.contains_key(*name)) {
                columns.push((FieldName::known(name), ty));
            }
        }
    }
    columns
}

/// The table as `columns` has it.
pub fn table_statement(schema: &ClassSchema, columns: &[(FieldName, ColumnType)]) -> Sql {
    let mut sql = Sql::new("CREATE TABLE IF NOT EXISTS ");
    sql.push_class(&schema.name).push_sql(" (").uncacheable();
    for (index, (name, ty)) in columns.iter().enumerate() {
        if index > 0 {
            sql.push_sql(", ");
        }
        sql.push_field(name).push_sql(" ").push_sql(ty.sql());
    }
    if columns.iter().any(|(name, _)| name == "objectId") {
        sql.push_sql(r#", PRIMARY KEY ("objectId")"#);
    }
    sql.push_sql(")");
    sql
}

/// The table with all columns, and the join tables of its relations. What exists is completed.
///
/// # Errors
/// Database errors.
pub async fn create_table(conn: &AsyncPgConnection, schema: &ClassSchema) -> StorageResult<()> {
    let columns = columns(schema);
    table_statement(schema, &columns).execute(conn).await?;
    add_columns(conn, &schema.name, &columns).await?;
    for (name, field) in &schema.fields {
        if matches!(field.ty, FieldType::Relation(_)) {
            create_join_table(conn, &ClassName::join(name, &schema.name)).await?;
        }
    }
    Ok(())
}

async fn add_columns(
    conn: &AsyncPgConnection,
    class: &ClassName,
    columns: &[(FieldName, ColumnType)],
) -> StorageResult<()> {
    if columns.is_empty() {
        return Ok(());
    }
    let missing = missing_columns(conn, class, columns).await?;
    if !missing.is_empty() {
        columns_statement(class, &missing).execute(conn).await?;
    }
    Ok(())
}

pub fn columns_statement(class: &ClassName, columns: &[(FieldName, ColumnType)]) -> Sql {
    let mut sql = Sql::new("ALTER TABLE ");
    sql.push_class(class).uncacheable();
    for (index, (name, ty)) in columns.iter().enumerate() {
        sql.push_sql(if index > 0 { ", " } else { " " });
        sql.push_sql("ADD COLUMN IF NOT EXISTS ").push_field(name).push_sql(" ").push_sql(ty.sql());
    }
    sql
}

/// Looking first spares the exclusive lock that even a needless `ADD COLUMN IF NOT EXISTS` takes.
async fn missing_columns(
    conn: &AsyncPgConnection,
    class: &ClassName,
    columns: &[(FieldName, ColumnType)],
) -> StorageResult<Vec<(FieldName, ColumnType)>> {
    let mut sql = Sql::new(
        "SELECT a.attname::text FROM pg_catalog.pg_attribute a \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = to_regclass('public.' || quote_ident(",
    );
    sql.push_text(class.as_str()).push_sql("))");
    let rows = sql.load(conn).await?;
    let present: Vec<String> =
        rows.iter().filter_map(|row| crate::storage::postgres::column_text(row, 0)).collect();
    let absent = |name: &FieldName| !present.iter().any(|p| name == p.as_str());
    Ok(columns.iter().filter(|(name, _)| absent(name)).cloned().collect())
}

/// `_Join:<field>:<Class>` as parse-server lays it out, and our index for look-ups by owner.
///
/// # Errors
/// Database errors.
pub async fn create_join_table(conn: &AsyncPgConnection, join: &ClassName) -> StorageResult<()> {
    // One that parse-server made stays as it is; `indexes` adds to it while the server runs.
    if crate::storage::postgres::table_exists(conn, join).await? {
        return Ok(());
    }
    for sql in join_statements(join) {
        sql.execute(conn).await?;
    }
    Ok(())
}

pub fn join_statements(join: &ClassName) -> [Sql; 2] {
    let mut table = Sql::new("CREATE TABLE IF NOT EXISTS ");
    table.push_class(join).uncacheable().push_sql(
        r#" ("relatedId" varchar(120), "owningId" varchar(120), PRIMARY KEY ("relatedId", "owningId"))"#,
    );
    let mut index = Sql::new("CREATE INDEX IF NOT EXISTS ");
    index.push_identifier(&names::owner_index(join)).push_sql(" ON ").push_class(join).uncacheable();
    index.push_sql(r#" ("owningId")"#);
    [table, index]
}

async fn stored_or_stale(conn: &AsyncPgConnection, class: &ClassName) -> StorageResult<Value> {
    schema_table::load_raw(conn, class, true)
        .await?
        .ok_or_else(|| StorageError::StaleSchema(boxed(format!("class {class} does not exist"))))
}

async fn edit_stored(
    conn: &AsyncPgConnection,
    class: &ClassName,
    edit: impl FnOnce(&mut Value) + Send,
) -> StorageResult<ClassSchema> {
    let mut stored = stored_or_stale(conn, class).await?;
    edit(&mut stored);
    schema_table::save(conn, class, &stored).await?;
    Ok(schema_table::decode(class.clone(), &stored))
}

/// The primary key is shown from the first change on, under the name that MongoDB gives it.
fn note_indexes(stored: &mut Value, made: &IndexMap, dropped: &[String]) {
    let Some(class) = stored.as_object_mut() else { return };
    let known = class.entry("indexes").or_insert_with(|| Value::Object(Map::new()));
    if !known.is_object() {
        *known = Value::Object(Map::new());
    }
    let Some(map) = known.as_object_mut() else { return };
    if map.is_empty() {
        map.insert("_id_".to_owned(), json!({ "_id": 1 }));
    }
    map.retain(|name, _| !dropped.contains(name));
    map.extend(made.clone());
}

async fn set_key(
    conn: &AsyncPgConnection,
    class: &ClassName,
    key: &str,
    value: Value,
) -> StorageResult<ClassSchema> {
    let edit = |stored: &mut Value| {
        if let Some(object) = stored.as_object_mut() {
            object.insert(key.to_owned(), value);
        }
    };
    edit_stored(conn, class, edit).await
}

async fn add_fields(
    conn: &AsyncPgConnection,
    class: &ClassName,
    fields: &[(FieldName, Field)],
) -> StorageResult<ClassSchema> {
    let mut stored = stored_or_stale(conn, class).await?;
    let known = stored.get("fields").and_then(Value::as_object).cloned().unwrap_or_default();
    let missing: Vec<_> = fields.iter().filter(|(name, _)| !known.contains_key(name.as_str())).collect();
    if missing.is_empty() {
        return Ok(schema_table::decode(class.clone(), &stored));
    }
    names::check_fields(missing.iter().map(|(name, _)| name))?;
    value::check_defaults(class, missing.iter().map(|(name, field)| (name, field)))?;
    let new_columns: Vec<_> =
        missing.iter().filter_map(|(name, field)| Some((name.clone(), ColumnType::of(&field.ty)?))).collect();
    add_columns(conn, class, &new_columns).await?;
    for (name, field) in &missing {
        if matches!(field.ty, FieldType::Relation(_)) {
            create_join_table(conn, &ClassName::join(name, class)).await?;
        }
        if let Some(slot) = stored.pointer_mut("/fields").and_then(Value::as_object_mut) {
            slot.insert(name.as_str().to_owned(), field.to_json());
        }
    }
    schema_table::save(conn, class, &stored).await?;
    Ok(schema_table::decode(class.clone(), &stored))
}

async fn delete_fields(
    conn: &AsyncPgConnection,
    class: &ClassName,
    fields: &[FieldName],
) -> StorageResult<ClassSchema> {
    let mut stored = stored_or_stale(conn, class).await?;
    for name in fields {
        drop_column_statement(class, name).execute(conn).await?;
        drop_table(conn, &ClassName::join(name, class)).await?;
        if let Some(slot) = stored.pointer_mut("/fields").and_then(Value::as_object_mut) {
            slot.shift_remove(name.as_str());
        }
        // The server's own indexes on it went with the column.
        if let Some(indexes) = stored.get_mut("indexes").and_then(Value::as_object_mut) {
            indexes.retain(|index, columns| {
                !index.starts_with(names::ON_DEMAND) || columns.get(name.as_str()).is_none()
            });
        }
    }
    schema_table::save(conn, class, &stored).await?;
    Ok(schema_table::decode(class.clone(), &stored))
}

fn joins(schema: &ClassSchema) -> impl Iterator<Item = ClassName> {
    let relations = schema.fields.iter().filter(|(_, field)| matches!(field.ty, FieldType::Relation(_)));
    relations.map(|(name, _)| ClassName::join(name, &schema.name))
}

pub fn drop_column_statement(class: &ClassName, name: &FieldName) -> Sql {
    let mut sql = Sql::new("ALTER TABLE ");
    sql.push_class(class).push_sql(" DROP COLUMN IF EXISTS ").push_field(name).uncacheable();
    sql
}

async fn drop_table(conn: &AsyncPgConnection, class: &ClassName) -> StorageResult<()> {
    drop_table_statement(class).execute(conn).await?;
    Ok(())
}

pub fn drop_table_statement(class: &ClassName) -> Sql {
    let mut sql = Sql::new("DROP TABLE IF EXISTS ");
    sql.push_class(class).uncacheable();
    sql
}

async fn delete(conn: &AsyncPgConnection, schema: &ClassSchema) -> StorageResult<()> {
    drop_table(conn, &schema.name).await?;
    for join in joins(schema) {
        drop_table(conn, &join).await?;
    }
    schema_table::remove(conn, &schema.name).await
}

async fn purge(conn: &AsyncPgConnection, schema: &ClassSchema) -> StorageResult<()> {
    for table in std::iter::once(schema.name.clone()).chain(joins(schema)) {
        if !crate::storage::postgres::table_exists(conn, &table).await? {
            continue;
        }
        let mut sql = Sql::new("DELETE FROM ");
        sql.push_class(&table).uncacheable();
        sql.execute(conn).await?;
    }
    Ok(())
}

//! Indexes of the schema API, built `CONCURRENTLY` on connections of their own: writes go on, and so do
//! schema changes of every other class. The builds of one class run one after another, here and on
//! other servers; one that failed or was interrupted leaves nothing behind.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use serde_json::Value;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::concurrently::{drop_index, drop_invalid, lock_of, run_concurrently, turn};
use crate::error::Error;
use crate::storage::postgres::connection::connect::Connector;
use crate::storage::postgres::query::{indexed, text};
use crate::storage::postgres::schema::{names, table as schema_table};
use crate::storage::postgres::sql::Sql;
use crate::storage::postgres::value;
use crate::storage::postgres::value::ColumnType;
use crate::storage::postgres::{column_text, command};
use crate::storage::{IndexMap, StorageError, StorageResult};
use crate::types::{ClassName, ClassSchema, FieldName};

/// Classes whose indexes are built by this server at a time: each takes a connection.
const AT_ONCE: usize = 4;
/// PostgreSQL's limit.
const MAX_COLUMNS: usize = 32;
/// Attempts to clear up after a connection broke; what is left then goes with the next build or start.
const ATTEMPTS: u32 = 8;
/// The primary key's, under MongoDB's name.
const PRIMARY: &str = "_id_";

/// The builds of this server.
pub struct Builds {
    classes: Mutex<HashMap<ClassName, Weak<tokio::sync::Mutex<()>>>>,
    at_once: Arc<Semaphore>,
}

impl Default for Builds {
    fn default() -> Self {
        Self { classes: Mutex::default(), at_once: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// Held while a class's indexes are built.
pub struct Turn {
    _class: OwnedMutexGuard<()>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Builds {
    /// First the class's turn, then a place: those who wait for their class take no place.
    pub async fn turn(&self, class: &ClassName) -> Turn {
        let turn = {
            let mut classes = self.classes.lock().unwrap_or_else(PoisonError::into_inner);
            classes.retain(|_, turn| turn.strong_count() > 0);
            let turn = classes.get(class).and_then(Weak::upgrade).unwrap_or_default();
            classes.insert(class.clone(), Arc::downgrade(&turn));
            turn
        };
        // A semaphore that is never closed always has a permit in the end.
        Turn { _class: turn.lock_owned().await, _place: self.at_once.clone().acquire_owned().await.ok() }
    }
}

/// Builds and drops indexes. Directions are ignored, as parse-server does; text, geo and JSON columns get
/// the kind of index that their queries use.
///
/// # Errors
/// 102 for an index that cannot be; database errors.
pub async fn change(
    connector: &Arc<Connector>,
    class: &ClassName,
    create: &IndexMap,
    drop: &[String],
) -> StorageResult<()> {
    let conn = turn(connector, &lock_of(class)).await?;
    let stored = schema_table::load_raw(&conn, class, false).await?;
    let stored = crate::storage::postgres::stored(
        stored.map(|json| schema_table::decode(class.clone(), &json)),
        class,
    )?;
    refuse_others(&stored, create)?;
    for name in drop.iter().filter(|name| *name != PRIMARY) {
        if let Some(real) = name_in_database(&conn, class, name).await?.ours {
            drop_index(&conn, &real).await?;
        }
    }
    let mut made = Vec::new();
    for (name, columns) in create.iter().filter(|(name, _)| *name != PRIMARY) {
        if let Err(error) = build(&conn, &stored, name, columns, &mut made).await {
            clear_up(connector, conn, class, &made).await;
            return Err(error);
        }
    }
    Ok(())
}

/// Somebody may have made an index of this name since the request was looked at.
fn refuse_others(stored: &ClassSchema, create: &IndexMap) -> StorageResult<()> {
    match create
        .iter()
        .find(|(name, columns)| stored.indexes.get(*name).is_some_and(|known| known != *columns))
    {
        None => Ok(()),
        Some((name, _)) => {
            let message = format!("Index {name} exists, cannot update.");
            Err(StorageError::Refused(Error::invalid_query(message)))
        }
    }
}

/// `made` gets the real name before the build begins.
async fn build(
    conn: &AsyncPgConnection,
    schema: &ClassSchema,
    name: &str,
    columns: &Value,
    made: &mut Vec<String>,
) -> StorageResult<()> {
    // `databaseOptions.disableIndexFieldValidation` lets fields through that the class does not have: such an index is
    // only noted, as parse-server does, unless the table has the columns all the same.
    if !has_columns(conn, &schema.name, unknown(schema, columns)).await? {
        return Ok(());
    }
    let statement = |real: &str| schema_index(schema, real, columns);
    // Refused before anything is done.
    statement(name)?;
    for left in spellings(&schema.name, name) {
        drop_invalid(conn, &left).await?;
    }
    let place = name_in_database(conn, &schema.name, name).await?;
    if place.ours.is_some() {
        return Ok(());
    }
    // Index names are unique in the schema, not in the table.
    let [own, prefixed] = spellings(&schema.name, name);
    let real = if place.taken { prefixed } else { own };
    made.push(real.clone());
    for extension in extensions(columns) {
        ensure_extension(conn, extension).await?;
    }
    run_concurrently(conn, statement(&real)?, &real).await
}

/// Columns of the index that the class has no field for.
fn unknown(schema: &ClassSchema, columns: &Value) -> Vec<String> {
    let names = columns.as_object().into_iter().flat_map(|columns| columns.keys());
    let names = names.map(|name| name.strip_prefix("_p_").unwrap_or(name));
    let is_unknown =
        |name: &&str| FieldName::internal(name).is_some() && value::column_type(schema, name).is_none();
    names.filter(is_unknown).map(str::to_owned).collect()
}

async fn has_columns(
    conn: &AsyncPgConnection,
    class: &ClassName,
    mut names: Vec<String>,
) -> StorageResult<bool> {
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Ok(true);
    }
    let wanted = names.len();
    let mut sql = Sql::new(
        "SELECT a.attname::text FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped AND c.relname::text = ",
    );
    sql.push_text(class.as_str()).push_sql(" AND a.attname::text = ANY(");
    sql.push_text_array(names).push_sql(")");
    Ok(sql.load(conn).await?.len() == wanted)
}

/// The extensions whose functions the index needs; all come with PostgreSQL, and a database's owner may create them.
fn extensions(columns: &Value) -> impl Iterator<Item = &'static str> {
    let kinds = columns.as_object().into_iter().flat_map(|columns| columns.values());
    kinds.filter_map(|kind| match kind.as_str() {
        Some("near") => Some("cube"),
        Some("trigram") => Some("pg_trgm"),
        _ => None,
    })
}

/// # Errors
/// 102 where it can neither be found in schema `public` nor created there.
async fn ensure_extension(conn: &AsyncPgConnection, name: &str) -> StorageResult<()> {
    let is_there = async || {
        let mut sql = Sql::new(
            "SELECT 1 FROM pg_catalog.pg_extension WHERE extnamespace = 'public'::regnamespace AND extname = ",
        );
        sql.push_text(name);
        StorageResult::Ok(!sql.load(conn).await?.is_empty())
    };
    if is_there().await? {
        return Ok(());
    }
    let created = command(conn, &format!("CREATE EXTENSION IF NOT EXISTS {name} SCHEMA public")).await;
    // Another server may have been first.
    if is_there().await? {
        return Ok(());
    }
    let reason = match created {
        Ok(()) => "it is in another schema than public".to_owned(),
        Err(error) => error.to_string(),
    };
    let message = format!("PostgreSQL's extension {name} cannot be used: {reason}");
    Err(StorageError::Refused(Error::invalid_query(message)))
}

/// Removes what a request that failed had made, on another connection where its own is gone.
async fn clear_up(connector: &Arc<Connector>, conn: AsyncPgConnection, class: &ClassName, made: &[String]) {
    let mut conn = Some(conn);
    let mut pause = Duration::from_millis(50);
    for _ in 0..ATTEMPTS {
        let outcome = async {
            let conn = match conn.take() {
                Some(conn) => conn,
                None => turn(connector, &lock_of(class)).await?,
            };
            for name in made {
                drop_index(&conn, name).await?;
            }
            StorageResult::Ok(())
        };
        match outcome.await {
            Ok(()) => return,
            Err(error) => {
                tracing::debug!(%error, class = %class, "an unfinished index of {class} is still there: {error}");
            }
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    tracing::warn!(class = %class, "an unfinished index of {class} stays until it is built again or a server starts");
}

/// Under its own name, and under one with the class before it where another class has that name.
fn spellings(class: &ClassName, name: &str) -> [String; 2] {
    [names::index_name(name.to_owned()), names::index_name(format!("{class}_{name}"))]
}

struct NameUse {
    /// The name under which this class has the index.
    ours: Option<String>,
    /// Another class has an index of this name.
    taken: bool,
}

async fn name_in_database(conn: &AsyncPgConnection, class: &ClassName, name: &str) -> StorageResult<NameUse> {
    let [own, prefixed] = spellings(class, name);
    // Whatever else has the name (a table, a view) is in the way too.
    let mut sql = Sql::new(
        "SELECT c.relname::text, t.relname::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid \
         LEFT JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
         WHERE n.nspname = 'public' AND c.relname::text = ANY(",
    );
    sql.push_text_array(vec![own.clone(), prefixed]).push_sql(")");
    let rows = sql.load(conn).await?;
    let pairs: Vec<_> =
        rows.iter().filter_map(|row| Some((column_text(row, 0)?, column_text(row, 1)))).collect();
    let is_ours = |table: &Option<String>| table.as_deref().is_some_and(|table| class == table);
    Ok(NameUse {
        ours: pairs.iter().find(|(_, table)| is_ours(table)).map(|(index, _)| index.clone()),
        taken: pairs.iter().any(|(index, table)| *index == own && !is_ours(table)),
    })
}

/// Kinds that have an index of their own: `near` (distances over the sphere), `text:<language>` and
/// `folded:<language>` (words, the latter without combining marks), `trigram` (parts of a text).
fn special_index(
    schema: &ClassSchema,
    name: &str,
    field: &FieldName,
    ty: ColumnType,
    kind: &str,
) -> StorageResult<Option<Sql>> {
    let mut sql = Sql::new("CREATE INDEX CONCURRENTLY IF NOT EXISTS ");
    sql.push_identifier(name).push_sql(" ON ").push_class(&schema.name).uncacheable();
    let column = |sql: &mut Sql| {
        sql.push_field(field);
    };
    match (kind, ty) {
        ("near", ColumnType::Point) => {
            sql.push_sql(" USING gist (");
            indexed::push_unit(&mut sql, column);
        }
        ("trigram", ColumnType::Text) => {
            sql.push_sql(" USING gin (");
            column(&mut sql);
            sql.push_sql(" public.gin_trgm_ops");
        }
        (kind, ColumnType::Text) => {
            let Some((form @ ("text" | "folded"), language)) = kind.split_once(':') else { return Ok(None) };
            let configuration = text::configuration_of(language)?;
            sql.push_sql(" USING gin (");
            text::push_words(&mut sql, configuration, form == "folded", column);
        }
        _ => return Ok(None),
    }
    sql.push_sql(")");
    Ok(Some(sql))
}

/// The statement that builds an index of the schema API.
///
/// # Errors
/// 102 for an index that cannot be.
pub fn schema_index(schema: &ClassSchema, name: &str, columns: &Value) -> StorageResult<Sql> {
    let invalid = |what: &str| {
        StorageError::Refused(crate::error::Error::invalid_query(format!("Index {name}: {what}")))
    };
    let columns = columns.as_object().filter(|c| !c.is_empty()).ok_or_else(|| invalid("no fields"))?;
    if columns.len() > MAX_COLUMNS {
        return Err(invalid("too many fields"));
    }
    let mut parts = Vec::new();
    for (column, kind) in columns {
        // Pointer columns may be named as MongoDB stores them.
        let column = column.strip_prefix("_p_").unwrap_or(column);
        let field = FieldName::internal(column).ok_or_else(|| invalid("invalid field"))?;
        // A column that the class has no field for is of whatever type the table says.
        let ty = value::column_type(schema, column);
        parts.push((field, ty, kind.as_str().unwrap_or_default()));
    }
    if let [(field, Some(ty), kind)] = parts.as_slice()
        && let Some(sql) = special_index(schema, name, field, *ty, kind)?
    {
        return Ok(sql);
    }
    let method = match parts.as_slice() {
        [(_, Some(ColumnType::Point | ColumnType::Polygon), _)] => "gist",
        [(_, Some(ColumnType::Jsonb | ColumnType::TextArray), _)] => "gin",
        all if all.iter().all(|(_, ty, kind)| *kind == "text" && *ty == Some(ColumnType::Text)) => "gin",
        _ => "btree",
    };
    let mut sql = Sql::new("CREATE INDEX CONCURRENTLY IF NOT EXISTS ");
    sql.push_identifier(name).push_sql(" ON ").push_class(&schema.name).uncacheable();
    sql.push_sql(" USING ").push_sql(method).push_sql(" (");
    for (index, (field, ty, _)) in parts.iter().enumerate() {
        if index > 0 {
            sql.push_sql(", ");
        }
        match (method, ty) {
            ("gin", Some(ColumnType::Text)) => text::push_words(&mut sql, "english", false, |sql| {
                sql.push_field(field);
            }),
            ("btree", Some(ColumnType::Point | ColumnType::Polygon)) => {
                return Err(invalid("geo fields cannot be part of a compound index"));
            }
            _ => {
                sql.push_field(field);
            }
        }
    }
    sql.push_sql(")");
    Ok(sql)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::{Field, FieldType};

    fn text_of(columns: Value) -> Option<String> {
        let mut schema = ClassSchema::with_defaults(ClassName::known("Game"));
        for (name, ty) in [
            ("title", FieldType::String),
            ("score", FieldType::Number),
            ("place", FieldType::GeoPoint),
            ("tags", FieldType::Array),
        ] {
            schema.fields.insert(FieldName::known(name), Field::of(ty));
        }
        schema_index(&schema, "i", &columns).ok().map(|sql| sql.to_text())
    }

    #[test]
    fn each_kind_of_column_gets_its_index() {
        let on = "CREATE INDEX CONCURRENTLY IF NOT EXISTS \"i\" ON public.\"Game\" USING ";
        let cases = [
            (json!({"score": 1, "title": -1}), "btree (\"score\", \"title\")"),
            (json!({"title": "text"}), r#"gin (to_tsvector('english', left("title", 200000)))"#),
            (
                json!({"title": "folded:german"}),
                r#"gin (to_tsvector('german', left(regexp_replace(normalize("title", NFD), '[\u0300-\u036f]', '', 'g'), 200000)))"#,
            ),
            (json!({"title": "trigram"}), "gin (\"title\" public.gin_trgm_ops)"),
            (
                json!({"place": "near"}),
                r#"gist ((CASE WHEN "place" IS NULL THEN NULL ELSE public.cube(ARRAY[cos(radians(("place")[1])) * cos(radians(("place")[0])), cos(radians(("place")[1])) * sin(radians(("place")[0])), sin(radians(("place")[1]))]) END))"#,
            ),
            (json!({"place": "2dsphere"}), "gist (\"place\")"),
            (json!({"tags": 1}), "gin (\"tags\")"),
            (json!({"elsewhere": 1}), "btree (\"elsewhere\")"),
        ];
        for (columns, rest) in cases {
            assert_eq!(text_of(columns), Some(format!("{on}{rest}")));
        }
        assert_eq!(text_of(json!({"place": 1, "score": 1})), None);
        assert_eq!(text_of(json!({})), None);
    }
}

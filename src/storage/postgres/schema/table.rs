//! The `_SCHEMA` table: one row per class, its JSON in parse-server's form. Read into
//! [`ClassSchema`], written back field by field so that what we do not know survives.

use diesel_async::AsyncPgConnection;
use serde_json::{Map, Value, json};

use crate::storage::StorageResult;
use crate::storage::postgres::sql;
use crate::storage::postgres::sql::{PgRow, Sql};
use crate::types::{ClassName, ClassSchema, Clp, Field, FieldName, FieldType};

/// The stored form of a class.
pub fn encode(schema: &ClassSchema) -> Value {
    let mut fields = Map::new();
    for (name, field) in &schema.fields {
        let virtual_password = schema.name.is_user() && name == "password";
        let hidden = name.is_internal() || field.ty == FieldType::Acl || virtual_password;
        if !hidden {
            fields.insert(name.as_str().to_owned(), field.to_json());
        }
    }
    if crate::types::row::has_permission_columns(&schema.name) {
        for name in ["_rperm", "_wperm"] {
            fields.insert(name.into(), json!({ "type": "Array", "contents": { "type": "String" } }));
        }
    }
    if schema.name.is_user() {
        fields.insert("_hashed_password".into(), json!({ "type": "String" }));
    }
    let mut stored = Map::new();
    stored.insert("className".into(), schema.name.as_str().into());
    stored.insert("fields".into(), Value::Object(fields));
    if let Some(clp) = &schema.clp {
        stored.insert("classLevelPermissions".into(), Value::Object(clp.raw().clone()));
    }
    if !schema.indexes.is_empty() {
        stored.insert("indexes".into(), Value::Object(schema.indexes.clone()));
    }
    Value::Object(stored)
}

/// Reads a stored class. Fields of a type that we do not know are left out, never fatal: the rest of
/// the class stays usable.
pub fn decode(name: ClassName, stored: &Value) -> ClassSchema {
    let mut schema = ClassSchema {
        name,
        fields: indexmap::IndexMap::new(),
        clp: stored.get("classLevelPermissions").and_then(Value::as_object).map(Clp::from_json),
        indexes: stored.get("indexes").and_then(Value::as_object).cloned().unwrap_or_default(),
    };
    let fields = stored.get("fields").and_then(Value::as_object);
    for (name, json) in fields.into_iter().flatten() {
        match (FieldName::valid(name), Field::from_json(json)) {
            (Some(name), Ok(field)) => {
                schema.fields.insert(name, field);
            }
            (None, _) if name.starts_with('_') => {}
            _ => tracing::warn!(class = %schema.name, field = %name, "field {name} has an unknown type"),
        }
    }
    schema.add_default_columns();
    schema
}

/// Class name and stored JSON of a row that begins with these two columns.
pub fn read(row: &PgRow) -> Option<(ClassName, Value)> {
    let name = sql::with_bytes(row, 0, |bytes| std::str::from_utf8(bytes).ok().and_then(ClassName::valid))??;
    // Binary jsonb: a version byte, then the text.
    let mut json: Value = sql::with_bytes(row, 1, |bytes| serde_json::from_slice(bytes.get(1..)?).ok())??;
    if sql::with_bytes(row, 2, |bytes| bytes == [0]) == Some(true) {
        forget_vectors(&mut json);
    }
    Some((name, json))
}

/// Indexes on unit vectors are gone where the extension is that they need.
fn forget_vectors(stored: &mut Value) {
    let Some(indexes) = stored.get_mut("indexes").and_then(Value::as_object_mut) else { return };
    let needs_cube = |columns: &Value| {
        columns.as_object().is_some_and(|columns| columns.values().any(|said| said == "near"))
    };
    indexes.retain(|_, columns| !needs_cube(columns));
}

/// What begins a look at `_SCHEMA`: [`read`] reads it.
const SELECT: &str = r#"SELECT "className", "schema", EXISTS (SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'cube' AND extnamespace = 'public'::regnamespace) FROM public."_SCHEMA" "#;

/// Every class.
pub fn select_all() -> Sql {
    let mut query = Sql::new(SELECT);
    query.push_sql(r#"ORDER BY "className""#);
    query
}

pub fn select_one(class: &ClassName) -> Sql {
    let mut query = Sql::new(SELECT);
    query.push_sql(r#"WHERE "className" = "#).push_text(class.as_str());
    query
}

pub fn read_all(rows: &[PgRow]) -> Vec<ClassSchema> {
    rows.iter().filter_map(read).map(|(name, json)| decode(name, &json)).collect()
}

/// One class's stored JSON; `lock` keeps it ours until the transaction ends.
///
/// # Errors
/// Database errors.
pub async fn load_raw(
    conn: &AsyncPgConnection,
    class: &ClassName,
    lock: bool,
) -> StorageResult<Option<Value>> {
    let mut query = select_one(class);
    if lock {
        query.push_sql(" FOR UPDATE");
    }
    let rows = query.load(conn).await?;
    Ok(rows.first().and_then(read).map(|(_, json)| json))
}

/// Inserts the row, unless another server did.
///
/// # Errors
/// Database errors.
pub async fn insert(conn: &AsyncPgConnection, schema: &ClassSchema) -> StorageResult<()> {
    let mut query =
        Sql::new(r#"INSERT INTO public."_SCHEMA" ("className", "schema", "isParseClass") VALUES ("#);
    query.push_text(schema.name.as_str()).push_sql(", ").push_jsonb(&encode(schema));
    query.push_sql(r#", true) ON CONFLICT ("className") DO NOTHING"#);
    query.execute(conn).await?;
    Ok(())
}

/// Replaces the stored JSON.
///
/// # Errors
/// Database errors.
pub async fn save(conn: &AsyncPgConnection, class: &ClassName, stored: &Value) -> StorageResult<()> {
    let mut query = Sql::new(r#"UPDATE public."_SCHEMA" SET "schema" = "#);
    query.push_jsonb(stored).push_sql(r#" WHERE "className" = "#).push_text(class.as_str());
    query.execute(conn).await?;
    Ok(())
}

/// # Errors
/// Database errors.
pub async fn remove(conn: &AsyncPgConnection, class: &ClassName) -> StorageResult<()> {
    let mut query = Sql::new(r#"DELETE FROM public."_SCHEMA" WHERE "className" = "#);
    query.push_text(class.as_str());
    query.execute(conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_hide_their_password_in_storage() {
        let schema = ClassSchema::with_defaults(ClassName::known("_User"));
        let stored = encode(&schema);
        let fields = stored["fields"].as_object().unwrap();
        assert!(fields.contains_key("_hashed_password") && fields.contains_key("authData"));
        assert!(!fields.contains_key("password") && !fields.contains_key("ACL"));
        assert_eq!(fields["_rperm"], json!({"type": "Array", "contents": {"type": "String"}}));
        let back = decode(ClassName::known("_User"), &stored);
        assert!(back.fields.contains_key("password") && !back.fields.contains_key("_hashed_password"));
        assert_eq!(encode(&back), stored);
    }

    #[test]
    fn unknown_types_do_not_hide_the_class() {
        let stored = json!({"className": "A", "fields": {"x": {"type": "Odd"}, "y": {"type": "Number"}}});
        let schema = decode(ClassName::known("A"), &stored);
        assert!(schema.field("y").is_some() && schema.field("x").is_none());
    }
}

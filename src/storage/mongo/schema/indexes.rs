//! Indexes: those of the schema API, those that are made at the start, and those that a query turns out to need.

use bson::{Bson, Document, doc};
use serde_json::{Map, Value};

use crate::storage::mongo::MongoAdapter;
use crate::storage::mongo::error::{INDEX_DIFFERS, INDEX_NOT_FOUND, NAMESPACE_NOT_FOUND, code, of_query};
use crate::storage::mongo::layout::names::{AUTH_DATA, column_key};
use crate::storage::mongo::layout::plain::{bson_value, document_value, plain};
use crate::storage::{IndexMap, StartupIndexes, StorageResult};
use crate::types::{ClassName, ClassSchema, Field, FieldName, FieldType};

/// The index that every collection has.
const PRIMARY: &str = "_id_";

/// An index of the start.
struct Startup {
    class: &'static str,
    name: String,
    key: Document,
    unique: bool,
    caseless: bool,
    /// Seconds after which documents go, counted from the date in the key.
    expires: Option<i32>,
}

impl Startup {
    fn of(class: &'static str, name: impl Into<String>, field: &str) -> Self {
        let key = doc! { field: 1 };
        Self { class, name: name.into(), key, unique: false, caseless: false, expires: None }
    }

    fn unique(class: &'static str, field: &str) -> Self {
        Self { unique: true, ..Self::of(class, format!("{field}_1"), field) }
    }

    fn caseless(class: &'static str, field: &str) -> Self {
        Self { caseless: true, ..Self::of(class, format!("case_insensitive_{field}"), field) }
    }

    fn is_of_provider(&self) -> bool {
        self.name.starts_with(AUTH_DATA)
    }

    fn description(&self) -> Document {
        // In the order in which parse-server's driver writes it: a server may compare descriptions as they are.
        let mut index = Document::new();
        if self.unique {
            index.insert("unique", true);
        }
        if self.is_of_provider() {
            index.extend(doc! { "sparse": true, "background": true });
        } else {
            index.extend(doc! { "background": true, "sparse": true });
        }
        if self.caseless {
            index.insert("collation", doc! { "locale": "en_US", "strength": 2 });
        }
        if let Some(seconds) = self.expires {
            index.insert("expireAfterSeconds", seconds);
        }
        index.insert("key", self.key.clone());
        index.insert("name", self.name.as_str());
        index
    }
}

fn small(options: &StartupIndexes) -> Vec<Startup> {
    let mut wanted = Vec::new();
    if options.role_name {
        wanted.push(Startup::unique("_Role", "name"));
    }
    wanted.push(Startup::unique("_Idempotency", "reqId"));
    let ttl = Startup { expires: Some(0), ..Startup::of("_Idempotency", "ttl", "expire") };
    wanted.push(ttl);
    wanted
}

fn of_users(options: &StartupIndexes, providers: &[String]) -> Vec<Startup> {
    let mut wanted = Vec::new();
    let mut add = |is_wanted: bool, index: Startup| {
        if is_wanted {
            wanted.push(index);
        }
    };
    add(options.user_username, Startup::unique("_User", "username"));
    add(options.user_email, Startup::unique("_User", "email"));
    for provider in providers {
        let field = format!("{AUTH_DATA}{provider}.id");
        let name = format!("{AUTH_DATA}{provider}_id");
        let index = Startup { unique: true, ..Startup::of("_User", name, &field) };
        add(options.auth_data_uniqueness, index);
    }
    add(options.user_username_case_insensitive, Startup::caseless("_User", "username"));
    add(options.user_email_case_insensitive, Startup::caseless("_User", "email"));
    let token = "_email_verify_token";
    add(options.user_email_verify_token, Startup::of("_User", token, token));
    let token = "_perishable_token";
    add(options.user_password_reset_token, Startup::of("_User", token, token));
    wanted
}

impl MongoAdapter {
    async fn create_index(&self, collection: &str, description: Document) -> StorageResult<()> {
        let command = doc! { "createIndexes": self.core.full_name(collection), "indexes": [description] };
        // Building takes as long as it takes.
        match self.core.db.run_command(command).await {
            // Somebody made the same with other options: it serves.
            Err(error) if code(&error).is_some_and(|code| INDEX_DIFFERS.contains(&code)) => Ok(()),
            Err(error) => Err(of_query(error)),
            Ok(_) => Ok(()),
        }
    }

    /// An index that a query turned out to need.
    pub(in crate::storage::mongo) async fn make_index(
        &self,
        class: &ClassName,
        key: Document,
        name: Option<String>,
    ) -> StorageResult<()> {
        let name = name.unwrap_or_else(|| default_name(&key));
        tracing::info!(%class, index = name, "made an index that a query of {class} needs");
        self.create_index(class.as_str(), doc! { "key": key, "name": name }).await
    }

    /// Shapes are asked for by where they are.
    pub(in crate::storage::mongo) async fn index_polygons<'f>(
        &self,
        class: &ClassName,
        fields: impl Iterator<Item = (&'f FieldName, &'f Field)> + Send,
    ) {
        for (name, _) in fields.filter(|(_, field)| field.ty == FieldType::Polygon) {
            let index = doc! { "key": { name.as_str(): "2dsphere" }, "name": format!("{name}_2dsphere") };
            if let Err(error) = self.create_index(class.as_str(), index).await {
                tracing::warn!(%error, %class, field = %name, "no index on the shapes of {class}");
            }
        }
    }

    async fn make_startup(&self, indexes: Vec<Startup>) -> StorageResult<()> {
        let mut first_error = None;
        for index in indexes {
            if let Err(error) = self.create_index(index.class, index.description()).await {
                tracing::warn!(%error, class = index.class, index = index.name, "an index could not be made");
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    pub(in crate::storage::mongo) async fn make_small(&self, options: &StartupIndexes) -> StorageResult<()> {
        self.make_startup(small(options)).await
    }

    pub(in crate::storage::mongo) async fn make_all(
        &self,
        options: &StartupIndexes,
        providers: &[String],
    ) -> StorageResult<()> {
        self.make_startup(of_users(options, providers)).await?;
        for name in ["_User", "_Role", "_Idempotency"] {
            if let Some(schema) = self.schema(&ClassName::known(name)).await? {
                self.note_real(&schema).await?;
            }
        }
        Ok(())
    }

    async fn note_real(&self, schema: &ClassSchema) -> StorageResult<()> {
        let real = self.real_indexes(&schema.name).await?;
        if !real.is_empty() && real != schema.indexes {
            self.note_indexes(&schema.name, &real).await?;
        }
        Ok(())
    }

    pub(in crate::storage::mongo) async fn change_indexes(
        &self,
        class: &ClassName,
        create: &IndexMap,
        gone: &[String],
    ) -> StorageResult<ClassSchema> {
        for name in gone {
            let command = doc! { "dropIndexes": self.core.full_name(class.as_str()), "index": name.as_str() };
            match self.core.db.run_command(command).await {
                Err(error) if matches!(code(&error), Some(INDEX_NOT_FOUND | NAMESPACE_NOT_FOUND)) => {}
                other => drop(other.map_err(of_query)?),
            }
        }
        let schema = self.schema(class).await?;
        for (name, key) in create {
            let key = index_key(schema.as_ref(), key);
            self.create_index(class.as_str(), doc! { "key": key, "name": name.as_str() }).await?;
        }
        let mut noted = schema.map(|schema| schema.indexes).unwrap_or_default();
        if noted.is_empty() {
            noted.insert(PRIMARY.to_owned(), serde_json::json!({ "_id": 1 }));
        }
        noted.retain(|name, _| !gone.contains(name));
        for (name, key) in create {
            noted.insert(name.clone(), bson_value(plain(key)));
        }
        self.note_indexes(class, &noted).await
    }

    /// What indexes a class really has, as the schema API shows them.
    pub(in crate::storage::mongo) async fn real_indexes(
        &self,
        class: &ClassName,
    ) -> StorageResult<Map<String, Value>> {
        let command = doc! { "listIndexes": self.core.full_name(class.as_str()) };
        let mut found = Map::new();
        let mut cursor = match self.core.timed(self.core.db.run_cursor_command(command)).await {
            Ok(cursor) => cursor,
            Err(error) if code(&error) == Some(NAMESPACE_NOT_FOUND) => return Ok(found),
            Err(error) => return Err(error.into()),
        };
        while self.core.timed(cursor.advance()).await? {
            let index = cursor.deserialize_current()?;
            let (Ok(name), Ok(key)) = (index.get_str("name"), index.get_document("key")) else { continue };
            let mut key = key.clone();
            if key.contains_key("_fts") {
                key.remove("_fts");
                key.remove("_ftsx");
                for field in index.get_document("weights").map(Document::keys).into_iter().flatten() {
                    key.insert(field.as_str(), "text");
                }
            }
            found.insert(name.to_owned(), document_value(&key));
        }
        Ok(found)
    }

    /// Notes the indexes that classes have, however they came about.
    pub(in crate::storage::mongo) async fn note_real_indexes(&self) -> StorageResult<()> {
        for schema in self.schemas(Document::new()).await? {
            self.note_real(&schema).await?;
        }
        Ok(())
    }
}

/// `field_1_other_-1`.
fn default_name(key: &Document) -> String {
    let part = |(field, kind): (&String, &Bson)| match kind {
        Bson::String(kind) => format!("{field}_{kind}"),
        other => format!("{field}_{other}"),
    };
    key.iter().map(part).collect::<Vec<_>>().join("_")
}

/// Columns by their keys; what is none stays as it is.
fn index_key(schema: Option<&ClassSchema>, key: &Value) -> Document {
    let mut columns = Document::new();
    for (field, kind) in key.as_object().into_iter().flatten() {
        let name = match (schema, field.split_once('.')) {
            (Some(schema), None) => column_key(schema, field).into_owned(),
            _ => field.clone(),
        };
        columns.insert(name, plain(kind));
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_of_the_start_are_those_of_parse_server() {
        let options = StartupIndexes::default();
        let names: Vec<String> =
            of_users(&options, &["fb".to_owned()]).into_iter().map(|index| index.name).collect();
        let expected = [
            "username_1",
            "email_1",
            "_auth_data_fb_id",
            "case_insensitive_username",
            "case_insensitive_email",
            "_email_verify_token",
            "_perishable_token",
        ];
        assert_eq!(names, expected);
        let ttl = small(&options).pop().unwrap().description();
        let expected = doc! {
            "background": true, "sparse": true, "expireAfterSeconds": 0, "key": { "expire": 1 }, "name": "ttl",
        };
        assert_eq!(ttl, expected);
        assert_eq!(default_name(&doc! { "a": 1, "b": "2d" }), "a_1_b_2d");
    }
}

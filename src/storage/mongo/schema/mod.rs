//! `_SCHEMA`: one document per class, in parse-server's form, changed field by field so that what we do not know
//! survives and two servers can add fields at once; and the indexes of classes.

pub mod beside;
mod indexes;

use bson::raw::{RawBsonRef, RawDocument};
use bson::{Document, doc};
use mongodb::options::FindOptions;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorCode};
use crate::storage::mongo::MongoAdapter;
use crate::storage::mongo::error::{refused, stale};
use crate::storage::mongo::layout::plain::{plain, plain_document};
use crate::storage::mongo::layout::{names, rest_json};
use crate::storage::mongo::query::find::Failed;
use crate::storage::{StorageError, StorageResult};
use crate::types::{ClassName, ClassSchema, Clp, Field, FieldName, FieldType};

pub const SCHEMA: &str = "_SCHEMA";

fn type_text(ty: &FieldType) -> String {
    match ty {
        FieldType::Pointer(class) => format!("*{class}"),
        FieldType::Relation(class) => format!("relation<{class}>"),
        other => other.name().to_lowercase(),
    }
}

fn parse_type(text: &str) -> Option<FieldType> {
    if let Some(class) = text.strip_prefix('*') {
        return ClassName::valid(class).map(FieldType::Pointer);
    }
    if let Some(class) = text.strip_prefix("relation<").and_then(|rest| rest.strip_suffix('>')) {
        return ClassName::valid(class).map(FieldType::Relation);
    }
    Some(match text {
        "number" => FieldType::Number,
        "string" => FieldType::String,
        "boolean" => FieldType::Boolean,
        "date" => FieldType::Date,
        "map" | "object" => FieldType::Object,
        "array" => FieldType::Array,
        "geopoint" => FieldType::GeoPoint,
        "file" => FieldType::File,
        "bytes" => FieldType::Bytes,
        "polygon" => FieldType::Polygon,
        _ => return None,
    })
}

/// Fields that are no entries of their own.
fn is_stored(schema: &ClassName, name: &FieldName, field: &Field) -> bool {
    let virtual_password = schema.is_user() && *name == "password";
    !name.is_internal() && field.ty != FieldType::Acl && !virtual_password
}

fn options(field: &Field) -> Option<Document> {
    let mut options = Document::new();
    if field.required || field.optional {
        options.insert("required", field.required);
    }
    if let Some(default) = &field.default_value {
        options.insert("defaultValue", plain(default));
    }
    (!options.is_empty()).then_some(options)
}

pub fn encode(schema: &ClassSchema) -> Document {
    let mut stored =
        doc! { "_id": schema.name.as_str(), "objectId": "string", "updatedAt": "date", "createdAt": "date" };
    let mut field_options = Document::new();
    for (name, field) in schema.fields.iter().filter(|(name, field)| is_stored(&schema.name, name, field)) {
        stored.insert(name.as_str(), type_text(&field.ty));
        if let Some(options) = options(field) {
            field_options.insert(name.as_str(), options);
        }
    }
    let mut metadata = Document::new();
    if let Some(clp) = &schema.clp {
        metadata.insert("class_permissions", plain_document(clp.raw()));
    }
    if !schema.indexes.is_empty() {
        metadata.insert("indexes", plain_document(&schema.indexes));
    }
    if !field_options.is_empty() {
        metadata.insert("fields_options", field_options);
    }
    if !metadata.is_empty() {
        stored.insert("_metadata", metadata);
    }
    stored
}

/// A document's members as plain JSON.
fn members(document: &RawDocument, path: &[&str]) -> Option<Map<String, Value>> {
    let mut at = document;
    for key in path {
        at = match at.get(key).ok()?? {
            RawBsonRef::Document(inner) => inner,
            _ => return None,
        };
    }
    Some(rest_json::object(at))
}

/// Reads a stored class. Fields of a type that we do not know are left out, never fatal: the rest of the class
/// stays usable.
pub fn decode(stored: &RawDocument) -> Option<ClassSchema> {
    let name = ClassName::valid(stored.get_str("_id").ok()?)?;
    let field_options = members(stored, &["_metadata", "fields_options"]).unwrap_or_default();
    let mut schema = ClassSchema {
        name,
        fields: indexmap::IndexMap::new(),
        clp: members(stored, &["_metadata", "class_permissions"]).as_ref().map(Clp::from_json),
        indexes: members(stored, &["_metadata", "indexes"]).unwrap_or_default(),
    };
    for element in stored.iter_elements().map_while(Result::ok) {
        let key = element.key().as_str();
        if key.starts_with('_') || matches!(key, "objectId" | "createdAt" | "updatedAt") {
            continue;
        }
        let ty = element.value().ok().and_then(RawBsonRef::as_str).and_then(parse_type);
        let (Some(field_name), Some(ty)) = (FieldName::valid(key), ty) else {
            tracing::warn!(class = %schema.name, field = key, "field {key} has an unknown type");
            continue;
        };
        let given = field_options.get(key);
        let field = Field {
            ty,
            required: given.and_then(|given| given.get("required")) == Some(&Value::Bool(true)),
            optional: given.and_then(|given| given.get("required")) == Some(&Value::Bool(false)),
            default_value: given
                .and_then(|given| given.get("defaultValue"))
                .filter(|v| !v.is_null())
                .cloned(),
        };
        schema.fields.insert(field_name, field);
    }
    schema.add_default_columns();
    Some(schema)
}

fn only_one_place() -> StorageError {
    refused(Error::parse(ErrorCode::INCORRECT_TYPE, "MongoDB only supports one GeoPoint field in a class."))
}

impl MongoAdapter {
    pub(in crate::storage::mongo) async fn schemas(
        &self,
        filter: Document,
    ) -> StorageResult<Vec<ClassSchema>> {
        let mut schemas = Vec::new();
        let collection = self.core.collection(SCHEMA);
        // Outside any transaction: what classes are like is everybody's.
        let outside = self.outside();
        outside
            .each(&collection, filter, FindOptions::default(), |document| {
                schemas.extend(decode(document));
                true
            })
            .await
            .map_err(Failed::of_server)?;
        Ok(schemas)
    }

    pub(in crate::storage::mongo) async fn schema(
        &self,
        class: &ClassName,
    ) -> StorageResult<Option<ClassSchema>> {
        Ok(self.schemas(doc! { "_id": class.as_str() }).await?.pop())
    }

    async fn stored_schema(&self, class: &ClassName) -> StorageResult<ClassSchema> {
        self.schema(class).await?.ok_or_else(|| stale(format!("class {class} does not exist")))
    }

    /// Changes the class's document, if it is there.
    async fn change_schema(
        &self,
        class: &ClassName,
        more: Document,
        change: Document,
    ) -> StorageResult<bool> {
        let mut filter = doc! { "_id": class.as_str() };
        filter.extend(more);
        let collection = self.documents(SCHEMA);
        let done = self.core.timed(collection.update_one(filter, change)).await?;
        Ok(done.matched_count > 0)
    }

    pub(in crate::storage::mongo) async fn make_class(
        &self,
        schema: &ClassSchema,
    ) -> StorageResult<ClassSchema> {
        if schema.fields.values().filter(|field| field.ty == FieldType::GeoPoint).count() > 1 {
            return Err(only_one_place());
        }
        let collection = self.documents(SCHEMA);
        match self.core.timed(collection.insert_one(encode(schema))).await {
            Ok(_) => self.index_polygons(&schema.name, schema.fields.iter()).await,
            Err(error) => match error.into() {
                StorageError::Duplicate { .. } => {}
                other => return Err(other),
            },
        }
        self.stored_schema(&schema.name).await
    }

    pub(in crate::storage::mongo) async fn make_fields(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema> {
        let known = self.stored_schema(class).await?;
        for (name, field) in fields.iter().filter(|(name, field)| is_stored(class, name, field)) {
            if known.field(name).is_some() && crate::types::schema::is_default_column(class, name) {
                continue;
            }
            let is_place =
                |(known, field): (&FieldName, &Field)| field.ty == FieldType::GeoPoint && known != name;
            if field.ty == FieldType::GeoPoint && known.fields.iter().any(is_place) {
                return Err(only_one_place());
            }
            let mut set = doc! { name.as_str(): type_text(&field.ty) };
            if let Some(options) = options(field) {
                set.insert(format!("_metadata.fields_options.{name}"), options);
            }
            // Whoever comes first says the type.
            self.change_schema(class, doc! { name.as_str(): { "$exists": false } }, doc! { "$set": set })
                .await?;
        }
        self.index_polygons(class, fields.iter().map(|(name, field)| (name, field))).await;
        self.stored_schema(class).await
    }

    pub(in crate::storage::mongo) async fn change_options(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema> {
        let (mut set, mut unset) = (Document::new(), Document::new());
        for (name, field) in fields {
            let key = format!("_metadata.fields_options.{name}");
            match options(field) {
                Some(options) => set.insert(key, options),
                None => unset.insert(key, ""),
            };
        }
        let mut change = Document::new();
        if !set.is_empty() {
            change.insert("$set", set);
        }
        if !unset.is_empty() {
            change.insert("$unset", unset);
        }
        if !change.is_empty() {
            self.change_schema(class, Document::new(), change).await?;
        }
        self.stored_schema(class).await
    }

    pub(in crate::storage::mongo) async fn drop_fields(
        &self,
        class: &ClassName,
        fields: &[FieldName],
    ) -> StorageResult<ClassSchema> {
        let known = self.stored_schema(class).await?;
        let (mut columns, mut entries) = (Document::new(), Document::new());
        for name in fields {
            entries.insert(name.as_str(), "");
            entries.insert(format!("_metadata.fields_options.{name}"), "");
            match known.field_type(name) {
                Some(FieldType::Relation(_)) => {
                    self.drop_collection(ClassName::join(name, class).as_str()).await?;
                }
                _ => {
                    columns.insert(names::column_key(&known, name).into_owned(), "");
                }
            }
        }
        if !columns.is_empty() {
            let all = self.documents(class.as_str());
            self.core.timed(all.update_many(Document::new(), doc! { "$unset": columns })).await?;
        }
        if !entries.is_empty() {
            self.change_schema(class, Document::new(), doc! { "$unset": entries }).await?;
        }
        self.stored_schema(class).await
    }

    pub(in crate::storage::mongo) async fn change_permissions(
        &self,
        class: &ClassName,
        clp: &Map<String, Value>,
    ) -> StorageResult<ClassSchema> {
        let set = doc! { "$set": { "_metadata.class_permissions": plain_document(clp) } };
        self.change_schema(class, Document::new(), set).await?;
        self.stored_schema(class).await
    }

    /// Notes the class's indexes in its document.
    pub(in crate::storage::mongo) async fn note_indexes(
        &self,
        class: &ClassName,
        indexes: &Map<String, Value>,
    ) -> StorageResult<ClassSchema> {
        let set = doc! { "$set": { "_metadata.indexes": plain_document(indexes) } };
        self.change_schema(class, Document::new(), set).await?;
        self.stored_schema(class).await
    }

    fn joins(schema: &ClassSchema) -> Vec<ClassName> {
        let relations = schema.fields.iter().filter(|(_, field)| matches!(field.ty, FieldType::Relation(_)));
        relations.map(|(name, _)| ClassName::join(name, &schema.name)).collect()
    }

    pub(in crate::storage::mongo) async fn drop_class(&self, schema: &ClassSchema) -> StorageResult<()> {
        self.drop_collection(schema.name.as_str()).await?;
        for join in Self::joins(schema) {
            self.drop_collection(join.as_str()).await?;
        }
        let entry = doc! { "_id": schema.name.as_str() };
        self.core.timed(self.documents(SCHEMA).delete_one(entry)).await?;
        Ok(())
    }

    pub(in crate::storage::mongo) async fn empty_class(&self, schema: &ClassSchema) -> StorageResult<()> {
        for name in std::iter::once(schema.name.clone()).chain(Self::joins(schema)) {
            self.core.timed(self.documents(name.as_str()).delete_many(Document::new())).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bson::raw::RawDocumentBuf;
    use serde_json::json;

    use super::*;

    #[test]
    fn classes_are_stored_as_parse_server_stores_them() {
        let mut schema = ClassSchema::with_defaults(ClassName::known("Game"));
        let user = ClassName::known("_User");
        for (name, ty) in [
            ("n", FieldType::Number),
            ("owner", FieldType::Pointer(user.clone())),
            ("fans", FieldType::Relation(user)),
            ("place", FieldType::GeoPoint),
        ] {
            schema.fields.insert(FieldName::known(name), Field::of(ty));
        }
        let defaulted =
            Field { required: true, default_value: Some(json!(3)), ..Field::of(FieldType::Number) };
        schema.fields.insert(FieldName::known("m"), defaulted);
        let clp = json!({"find": {"*": true}, "protectedFields": {"*": ["n"]}});
        schema.clp = clp.as_object().map(Clp::from_json);
        let stored = encode(&schema);
        let expected = doc! {
            "_id": "Game", "objectId": "string", "updatedAt": "date", "createdAt": "date", "n": "number",
            "owner": "*_User", "fans": "relation<_User>", "place": "geopoint", "m": "number",
            "_metadata": {
                "class_permissions": { "find": { "*": true }, "protectedFields": { "*": ["n"] } },
                "fields_options": { "m": { "required": true, "defaultValue": 3 } },
            },
        };
        assert_eq!(stored, expected);
        let raw = RawDocumentBuf::try_from(&stored).unwrap();
        let back = decode(&raw).unwrap();
        assert_eq!(back.fields.len(), schema.fields.len());
        assert_eq!((back.field("m"), back.clp.as_ref()), (schema.field("m"), schema.clp.as_ref()));
    }

    #[test]
    fn unknown_types_do_not_hide_the_class() {
        let stored = doc! { "_id": "A", "x": "odd", "y": "map", "_client_permissions": {}, "z": 1 };
        let schema = decode(&RawDocumentBuf::try_from(&stored).unwrap()).unwrap();
        assert_eq!(schema.field_type("y"), Some(&FieldType::Object));
        assert!(schema.field("x").is_none() && schema.field("z").is_none());
        let odd = doc! { "_id": "no class" };
        assert!(decode(&RawDocumentBuf::try_from(&odd).unwrap()).is_none());
    }

    #[test]
    fn users_hide_their_password() {
        let stored = encode(&ClassSchema::with_defaults(ClassName::known("_User")));
        assert!(stored.contains_key("authData") && !stored.contains_key("password"));
        let back = decode(&RawDocumentBuf::try_from(&stored).unwrap()).unwrap();
        assert!(back.field("password").is_some());
    }
}

//! Where a field is kept in a document: parse-server's names of columns, and the kind of value there.

use std::borrow::Cow;

use crate::types::path::FieldPath;
use crate::types::row::{has_permission_columns, internal_type};
use crate::types::{ClassName, ClassSchema, FieldType};

/// How a value is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `objectId`, as `_id`.
    Id,
    Text,
    Number,
    Bool,
    Date,
    /// `Class$id`.
    Pointer(ClassName),
    /// Its name.
    File,
    /// `[longitude, latitude]`.
    Point,
    /// GeoJSON.
    Polygon,
    Object,
    Bytes,
    Array,
    /// `_rperm`, `_wperm`.
    Texts,
    /// A collection of its own.
    Relation(ClassName),
}

impl Kind {
    pub fn of(ty: &FieldType) -> Option<Self> {
        Some(match ty {
            FieldType::String => Self::Text,
            FieldType::Number => Self::Number,
            FieldType::Boolean => Self::Bool,
            FieldType::Date => Self::Date,
            FieldType::Object => Self::Object,
            FieldType::Array => Self::Array,
            FieldType::GeoPoint => Self::Point,
            FieldType::File => Self::File,
            FieldType::Bytes => Self::Bytes,
            FieldType::Polygon => Self::Polygon,
            FieldType::Pointer(class) => Self::Pointer(class.clone()),
            FieldType::Relation(class) => Self::Relation(class.clone()),
            FieldType::Acl => return None,
        })
    }

    /// Whether paths lead into such a value.
    pub fn has_inside(&self) -> bool {
        matches!(self, Self::Object | Self::Array)
    }
}

/// `None` when the class has no such column.
pub fn kind_of(schema: &ClassSchema, column: &str) -> Option<Kind> {
    match column {
        "_rperm" | "_wperm" => return has_permission_columns(&schema.name).then_some(Kind::Texts),
        "objectId" if !schema.name.is_join() => return Some(Kind::Id),
        "password" if schema.name.is_user() => return None,
        _ => {}
    }
    match schema.field_type(column) {
        Some(ty) => Kind::of(ty),
        None => internal_type(&schema.name, column).as_ref().and_then(Kind::of),
    }
}

/// What `authData.<provider>` is kept under.
pub const AUTH_DATA: &str = "_auth_data_";

pub fn is_auth_data(schema: &ClassSchema, root: &str) -> bool {
    root == "authData" && schema.name.is_user()
}

/// The key of a column.
pub fn column_key<'n>(schema: &ClassSchema, column: &'n str) -> Cow<'n, str> {
    if schema.name.is_join() {
        return column.into();
    }
    match column {
        "objectId" => "_id".into(),
        "createdAt" => "_created_at".into(),
        "updatedAt" => "_updated_at".into(),
        "sessionToken" => "_session_token".into(),
        "lastUsed" => "_last_used".into(),
        "timesUsed" => "times_used".into(),
        _ => match schema.field_type(column) {
            Some(FieldType::Pointer(_)) => format!("_p_{column}").into(),
            _ => column.into(),
        },
    }
}

/// The key of a path.
pub fn path_key(schema: &ClassSchema, path: &FieldPath) -> String {
    let root = path.root.as_str();
    let mut rest = path.rest.iter();
    let mut key = match rest.next() {
        Some(provider) if is_auth_data(schema, root) => format!("{AUTH_DATA}{provider}"),
        Some(segment) => format!("{}.{segment}", column_key(schema, root)),
        None => column_key(schema, root).into_owned(),
    };
    for segment in rest {
        key.push('.');
        key.push_str(segment);
    }
    key
}

/// The field that an index or another description names by its key; what is not of our making stays.
pub fn field_of_key<'k>(schema: &ClassSchema, key: &'k str) -> &'k str {
    match key {
        "_id" => "objectId",
        "_created_at" => "createdAt",
        "_updated_at" => "updatedAt",
        "_session_token" => "sessionToken",
        "_last_used" => "lastUsed",
        "times_used" if schema.field("timesUsed").is_some() => "timesUsed",
        _ => match key.strip_prefix("_p_") {
            Some(field) if matches!(schema.field_type(field), Some(FieldType::Pointer(_))) => field,
            _ => key,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Field, FieldName};

    #[test]
    fn keys_are_those_of_parse_server() {
        let mut game = ClassSchema::with_defaults(ClassName::known("Game"));
        let pointer = FieldType::Pointer(ClassName::known("_User"));
        game.fields.insert(FieldName::known("owner"), Field::of(pointer));
        let user = ClassSchema::with_defaults(ClassName::known("_User"));
        let path = |root: &'static str, rest: &[&str]| FieldPath {
            root: FieldName::known(root),
            rest: rest.iter().map(|segment| (*segment).to_owned()).collect(),
        };
        for (schema, path, key) in [
            (&game, path("objectId", &[]), "_id"),
            (&game, path("owner", &[]), "_p_owner"),
            (&game, path("o", &["a", "0"]), "o.a.0"),
            (&game, path("authData", &["x"]), "authData.x"),
            (&user, path("authData", &["fb", "id"]), "_auth_data_fb.id"),
            (&user, path("updatedAt", &[]), "_updated_at"),
        ] {
            assert_eq!(path_key(schema, &path), key);
        }
        assert_eq!(kind_of(&user, "_hashed_password"), Some(Kind::Text));
        assert_eq!(kind_of(&user, "password"), None);
        assert_eq!(kind_of(&game, "_hashed_password"), None);
        assert_eq!(field_of_key(&game, "_p_owner"), "owner");
    }
}

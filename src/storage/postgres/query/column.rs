//! What a query may say about a column: how a field of a class is stored, and how builders name it.

use crate::storage::postgres::sql::{Bind, Sql};
use crate::types::path::FieldPath;
use crate::types::row::{has_permission_columns, internal_type};
use crate::types::schema::ClassSchema;
use crate::types::{ClassName, FieldName, FieldType};

/// How a value is kept in its column.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Text,
    Number,
    Bool,
    Date,
    /// `text` holding the target's id.
    Pointer(ClassName),
    /// `text` holding the file's name.
    File,
    Point,
    Polygon,
    /// `jsonb` object.
    Object,
    /// `jsonb` of `{"__type": "Bytes", …}`.
    Bytes,
    /// `jsonb` array.
    Array,
    /// `jsonb` of any shape: results of aggregation stages.
    Json,
    /// `text[]`: `_rperm`, `_wperm`.
    TextArray,
    /// No column: a join table.
    Relation(ClassName),
}

impl From<&FieldType> for Kind {
    fn from(ty: &FieldType) -> Self {
        match ty {
            FieldType::String => Self::Text,
            FieldType::Number => Self::Number,
            FieldType::Boolean => Self::Bool,
            FieldType::Date => Self::Date,
            FieldType::Object => Self::Object,
            // Stored classes have no such column; aggregations mark with it what can be anything.
            FieldType::Acl => Self::Json,
            FieldType::Array => Self::Array,
            FieldType::GeoPoint => Self::Point,
            FieldType::File => Self::File,
            FieldType::Bytes => Self::Bytes,
            FieldType::Polygon => Self::Polygon,
            FieldType::Pointer(class) => Self::Pointer(class.clone()),
            FieldType::Relation(class) => Self::Relation(class.clone()),
        }
    }
}

/// The kind of a field; `None` when the class has no such column, so that every row counts as unset.
pub fn kind_of(schema: &ClassSchema, field: &FieldName) -> Option<Kind> {
    let name = field.as_str();
    if name == "ACL" || (schema.name.is_user() && name == "password") {
        return None;
    }
    if name == "_rperm" || name == "_wperm" {
        return has_permission_columns(&schema.name).then_some(Kind::TextArray);
    }
    if let Some(field) = schema.field(name) {
        return Some(Kind::from(&field.ty));
    }
    internal_type(&schema.name, name).as_ref().map(Kind::from)
}

/// A table's alias in a statement: `t0`, `t1`, ….
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias(pub u32);

impl Alias {
    /// The outermost table.
    pub const MAIN: Self = Self(0);

    pub fn push(self, sql: &mut Sql) {
        sql.push_sql("t");
        sql.push_sql(&self.0.to_string());
    }
}

/// A value a condition looks at: a column, or a path inside a `jsonb` column.
#[derive(Clone, Copy, Debug)]
pub struct Expr<'a> {
    pub alias: Alias,
    pub path: &'a FieldPath,
}

impl Expr<'_> {
    /// `t0."col"`, or `(t0."col" #> $path)` when dotted.
    pub fn push(&self, sql: &mut Sql) {
        if !self.path.is_dotted() {
            return self.push_root(sql);
        }
        sql.push_sql("(");
        self.push_root(sql);
        sql.push_sql(" #> ");
        sql.push_bind(Bind::TextArray(self.path.rest.clone()));
        sql.push_sql(")");
    }

    fn push_root(&self, sql: &mut Sql) {
        self.alias.push(sql);
        sql.push_sql(".");
        sql.push_field(&self.path.root);
    }
}

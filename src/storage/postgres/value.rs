//! REST JSON to column values: what each Parse type is bound as. Used by insert and update.
//!
//! Types were validated above storage; a value that still does not fit is refused with 111 instead of
//! reaching the database.

use std::borrow::Cow;

use serde_json::Value;

use crate::error::Error;
use crate::storage::mismatch::mismatch;
use crate::storage::postgres::sql::{Bind, Element, Sql};
use crate::storage::{StorageError, StorageResult};
use crate::types::geo::GeoPoint;
use crate::types::member::{is_typed, member, member_of};
use crate::types::row::internal_type;
use crate::types::time::Millis;
use crate::types::{ClassName, ClassSchema, Field, FieldName, FieldType};

/// How a column is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    Text,
    Double,
    Bool,
    Timestamp,
    Jsonb,
    Point,
    Polygon,
    TextArray,
}

impl ColumnType {
    /// As DDL and casts spell it.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Double => "double precision",
            Self::Bool => "boolean",
            Self::Timestamp => "timestamp with time zone",
            Self::Jsonb => "jsonb",
            Self::Point => "point",
            Self::Polygon => "polygon",
            Self::TextArray => "text[]",
        }
    }

    /// What values of many rows are sent as; lists of texts as their texts.
    pub fn element(self) -> Element {
        match self {
            Self::Text | Self::TextArray => Element::Text,
            Self::Double => Element::Double,
            Self::Bool => Element::Bool,
            Self::Timestamp => Element::Timestamptz,
            Self::Jsonb => Element::Jsonb,
            Self::Point => Element::Point,
            Self::Polygon => Element::Polygon,
        }
    }

    /// `None` for what has no column (relations, ACL).
    pub fn of(ty: &FieldType) -> Option<Self> {
        Some(match ty {
            FieldType::String | FieldType::Pointer(_) | FieldType::File => Self::Text,
            FieldType::Number => Self::Double,
            FieldType::Boolean => Self::Bool,
            FieldType::Date => Self::Timestamp,
            FieldType::Object | FieldType::Array | FieldType::Bytes => Self::Jsonb,
            FieldType::GeoPoint => Self::Point,
            FieldType::Polygon => Self::Polygon,
            FieldType::Relation(_) | FieldType::Acl => return None,
        })
    }
}

/// The type of a stored column; `None` when the class has no such column.
pub fn column_type(schema: &ClassSchema, column: &str) -> Option<ColumnType> {
    if column == "_rperm" || column == "_wperm" {
        return Some(ColumnType::TextArray);
    }
    if let Some(ty) = schema.field_type(column) {
        return ColumnType::of(ty);
    }
    internal_type(&schema.name, column).as_ref().and_then(ColumnType::of)
}

/// PostgreSQL's text and jsonb cannot hold U+0000.
fn without_nul(text: &str) -> StorageResult<&str> {
    if text.contains('\0') {
        return Err(null_character());
    }
    Ok(text)
}

fn null_character() -> StorageError {
    StorageError::Refused(Error::invalid_json("strings must not contain null characters"))
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(elements) => elements.iter().any(has_nul),
        Value::Object(object) => object.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// JSON as it is stored inside Object and Array columns.
///
/// # Errors
/// 107 for text that PostgreSQL cannot hold.
pub fn jsonb(value: &Value) -> StorageResult<Bind> {
    if has_nul(value) {
        return Err(null_character());
    }
    // Into a buffer with room for the usual value; `Display` has none.
    let text = serde_json::to_string(value).map_err(|error| StorageError::Refused(Error::internal(error)))?;
    Ok(Bind::Jsonb(text))
}

/// The first day PostgreSQL knows: 4713 BC.
const FIRST_INSTANT: i64 = -210_866_803_200_000;

/// An instant: an ISO string or `{"__type":"Date","iso":…}`, within what PostgreSQL can hold.
pub fn instant(value: &Value) -> Option<Millis> {
    let iso = match value {
        Value::Object(date) => member(date, "iso")?,
        other => other,
    };
    Millis::parse(iso.as_str()?).filter(|at| at.0 >= FIRST_INSTANT)
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Object(object) => match member(object, "__type").and_then(Value::as_str) {
            Some("Pointer") => member(object, "objectId").and_then(shown),
            Some("File") => member(object, "name").and_then(shown),
            _ => None,
        },
        _ => None,
    }
}

/// Ids and names that clients write as numbers and the like are stored as the texts of these.
fn shown(part: &Value) -> Option<Cow<'_, str>> {
    match part {
        Value::String(text) => Some(text.into()),
        Value::Null => None,
        other => Some(other.to_string().into()),
    }
}

/// A pointer to nothing, which is stored as nothing.
fn leads_nowhere(value: &Value) -> bool {
    is_typed(value, "Pointer") && member_of(value, "objectId").is_none_or(Value::is_null)
}

/// A polygon's ring, closed. Coordinates are `[latitude, longitude]` pairs.
fn ring(value: &Value) -> Option<Vec<GeoPoint>> {
    let coordinates = value.get("coordinates").unwrap_or(value).as_array()?;
    let mut points = coordinates
        .iter()
        .map(|pair| match pair {
            Value::Array(pair) => GeoPoint::new(pair.first()?.as_f64()?, pair.get(1)?.as_f64()?),
            other => GeoPoint::from_json(other),
        })
        .collect::<Option<Vec<_>>>()?;
    if points.first() != points.last()
        && let Some(first) = points.first().copied()
    {
        points.push(first);
    }
    (points.len() >= 4).then_some(points)
}

/// Defaults are values that every later create would bind.
///
/// # Errors
/// As [`bind`].
pub fn check_defaults<'f>(
    class: &ClassName,
    fields: impl Iterator<Item = (&'f FieldName, &'f Field)>,
) -> StorageResult<()> {
    let given = fields.filter_map(|(name, field)| Some((name, field, field.default_value.as_ref()?)));
    for (name, field, default) in given {
        let Some(ty) = ColumnType::of(&field.ty) else { continue };
        let mut schema = ClassSchema::with_defaults(class.clone());
        schema.fields.insert(name.clone(), field.clone());
        bind(&schema, name, ty, default)?;
    }
    Ok(())
}

/// The value as a bind of the column's type; `None` for null.
///
/// # Errors
/// 111 when the value does not fit the column.
pub fn bind(
    schema: &ClassSchema,
    column: &str,
    ty: ColumnType,
    value: &Value,
) -> StorageResult<Option<Bind>> {
    if value.is_null() || matches!(ty, ColumnType::Text) && leads_nowhere(value) {
        return Ok(None);
    }
    let wrong = || mismatch(schema, column, value);
    Ok(Some(match ty {
        ColumnType::Text => Bind::Text(without_nul(&text(value).ok_or_else(wrong)?)?.to_owned()),
        ColumnType::Double => Bind::Double(value.as_f64().ok_or_else(wrong)?),
        ColumnType::Bool => Bind::Bool(value.as_bool().ok_or_else(wrong)?),
        ColumnType::Timestamp => Bind::Timestamptz(instant(value).ok_or_else(wrong)?),
        ColumnType::Jsonb => jsonb(value)?,
        ColumnType::Point => Bind::Point(GeoPoint::from_json(value).ok_or_else(wrong)?),
        ColumnType::Polygon => Bind::Polygon(ring(value).ok_or_else(wrong)?),
        ColumnType::TextArray => {
            let entries = value.as_array().ok_or_else(wrong)?;
            let entries = entries
                .iter()
                .map(|entry| Ok(without_nul(entry.as_str().ok_or_else(wrong)?)?.to_owned()))
                .collect::<StorageResult<Vec<_>>>()?;
            Bind::TextArray(entries)
        }
    }))
}

/// Appends the value, `NULL` included.
///
/// # Errors
/// As [`bind`].
pub fn push(
    sql: &mut Sql,
    schema: &ClassSchema,
    column: &str,
    ty: ColumnType,
    value: &Value,
) -> StorageResult<()> {
    match bind(schema, column, ty, value)? {
        Some(bind) => sql.push_bind(bind),
        None => sql.push_sql("NULL"),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::{ClassName, Field, FieldName};

    fn schema() -> ClassSchema {
        let mut schema = ClassSchema::with_defaults(ClassName::known("Thing"));
        schema.fields.insert(FieldName::known("at"), Field::of(FieldType::Date));
        schema.fields.insert(FieldName::known("n"), Field::of(FieldType::Number));
        schema.fields.insert(FieldName::known("area"), Field::of(FieldType::Polygon));
        schema
    }

    #[test]
    fn dates_come_in_both_forms() {
        let schema = schema();
        for value in
            [json!("2020-01-01T00:00:00.000Z"), json!({"__type":"Date","iso":"2020-01-01T00:00:00.000Z"})]
        {
            let bound = bind(&schema, "at", ColumnType::Timestamp, &value).unwrap();
            assert_eq!(bound, Some(Bind::Timestamptz(Millis(1_577_836_800_000))));
        }
    }

    #[test]
    fn rings_are_closed() {
        let value = json!({"__type":"Polygon","coordinates":[[0,0],[0,1],[1,1]]});
        let Some(Bind::Polygon(points)) = bind(&schema(), "area", ColumnType::Polygon, &value).unwrap()
        else {
            panic!("no polygon")
        };
        assert_eq!(points.len(), 4);
        assert_eq!(points[0], points[3]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = bind(&schema(), "n", ColumnType::Double, &json!("7")).unwrap_err();
        let StorageError::Refused(error) = refused else { panic!("{refused}") };
        assert_eq!(error.public_message(true), "schema mismatch for Thing.n; expected Number but got String");
        assert!(bind(&schema(), "n", ColumnType::Jsonb, &json!({"a":["\0"]})).is_err());
    }
}

//! Objects as rows.

use serde_json::Value;

use crate::types::row::ColumnKind;
use crate::types::time::Millis;
use crate::types::{ClassSchema, FieldName, FieldType, GeoPoint, Layout, Object, RowSet};

/// The columns of a class, or those of these fields.
pub fn selection(class: &ClassSchema, columns: Option<&[FieldName]>) -> Layout {
    columns.map_or_else(|| Layout::of(class), |c| Layout::selecting(class, |field| c.contains(field)))
}

pub fn push(set: &mut RowSet, layout: &Layout, row: &Object) {
    for column in &layout.columns {
        let value = row.get(column.name.as_str()).unwrap_or(&Value::Null);
        if !push_cell(set, &column.kind, value) {
            set.push_null();
        }
    }
}

fn push_cell(set: &mut RowSet, kind: &ColumnKind, value: &Value) -> bool {
    let text_at = |key: &str| value.get(key).and_then(Value::as_str);
    match kind {
        ColumnKind::Score => set.push_number(0.0),
        ColumnKind::Permissions => match value.as_array() {
            Some(entries) => set.push_text_array(entries.iter().filter_map(Value::as_str)),
            None => return false,
        },
        ColumnKind::Field(ty) => match (ty, value) {
            (_, Value::Null) => return false,
            (FieldType::Number, Value::Number(n)) => set.push_number(n.as_f64().unwrap_or_default()),
            (FieldType::Boolean, Value::Bool(b)) => set.push_bool(*b),
            (FieldType::Date, _) => match text_at("iso").or_else(|| value.as_str()).and_then(Millis::parse) {
                Some(date) => set.push_date(date),
                None => return false,
            },
            (FieldType::GeoPoint, _) => match GeoPoint::from_json(value) {
                Some(point) => set.push_point(point),
                None => return false,
            },
            (FieldType::Polygon, _) => {
                let pairs = value.get("coordinates").and_then(Value::as_array).into_iter().flatten();
                let points = pairs.filter_map(|p| GeoPoint::new(p.get(0)?.as_f64()?, p.get(1)?.as_f64()?));
                set.push_polygon(points);
            }
            (FieldType::String | FieldType::File | FieldType::Pointer(_), _) => {
                match value.as_str().or_else(|| text_at("objectId")).or_else(|| text_at("name")) {
                    Some(text) => set.push_text(text),
                    None => return false,
                }
            }
            _ => set.push_json(value.to_string().as_bytes()),
        },
    }
    true
}

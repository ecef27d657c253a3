//! Rows to the bytes of an answer. The one place where what a caller may not see is left out.

use std::collections::BTreeSet;

use serde_json::Value;

use super::json_text::write_number;
pub use super::json_text::{write_entries, write_json, write_string};
use super::view::{IncludedField, Target, View};
use crate::operations::budget::{Budget, Meter};
use crate::types::row::{CellRef, Column, ColumnKind, RowRef};
use crate::types::{ClassName, FieldType, RowSet};

/// `[…]`. `class` is added as `className` to each object when given.
///
/// It ends early where the meter is full.
pub fn write_rows(out: &mut Vec<u8>, rows: &RowSet, view: &View, class: Option<&ClassName>, meter: &Meter) {
    out.push(b'[');
    for (index, row) in rows.iter().enumerate() {
        if meter.is_full() {
            break;
        }
        if index > 0 {
            out.push(b',');
        }
        write_row(out, row, view, class.map(|class| (ObjectKind::Plain, class)), meter);
    }
    out.push(b']');
}

pub fn write_values(out: &mut Vec<u8>, values: &[Value], class: Option<&ClassName>, meter: &Meter) {
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if !meter.admits(out.len()) {
            break;
        }
        if index > 0 {
            out.push(b',');
        }
        match (class, value) {
            (Some(class), Value::Object(object)) => {
                let mut object = object.clone();
                object.insert("className".to_owned(), class.as_str().into());
                write_json(out, &Value::Object(object));
            }
            _ => write_json(out, value),
        }
    }
    out.push(b']');
}

/// Whether an object says that it stands where a pointer stood.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    Plain,
    Included,
}

/// One object; with a class it carries `className`, and `__type` when it replaces a pointer. Nothing, when the
/// meter is full.
pub fn write_row(
    out: &mut Vec<u8>,
    row: RowRef<'_>,
    view: &View,
    class: Option<(ObjectKind, &ClassName)>,
    meter: &Meter,
) {
    if !meter.admits(out.len()) {
        return;
    }
    out.push(b'{');
    let start = out.len();
    if let Some((kind, class)) = class {
        if kind == ObjectKind::Included {
            out.extend_from_slice(b"\"__type\":\"Object\",");
        }
        out.extend_from_slice(b"\"className\":\"");
        out.extend_from_slice(class.as_bytes());
        out.push(b'"');
    }
    let hidden = if view.protection.is_empty() { BTreeSet::new() } else { view.protection.hidden_in(row) };
    let shows = |name: &str| view.projection.shows(name) && !hidden.contains(name);
    for (index, column) in row.layout().columns.iter().enumerate() {
        let name = column.name.as_str();
        let visible = match column.kind {
            ColumnKind::Permissions => false,
            ColumnKind::Score => true,
            ColumnKind::Field(_) => {
                shows(name) && (!column.name.is_internal() || internal_visible(view, name))
            }
        };
        if visible {
            write_field(out, start, row, index, column, view, meter);
        }
    }
    write_relations(out, start, view, &hidden);
    if !hidden.contains("ACL")
        && let Some(acl) = row.acl()
    {
        separate(out, start);
        out.extend_from_slice(b"\"ACL\":");
        write_json(out, &acl.to_json());
    }
    out.push(b'}');
}

/// Only the maintenance key sees internal columns, and nobody a password hash.
fn internal_visible(view: &View, name: &str) -> bool {
    view.internal && name != "_hashed_password"
}

fn separate(out: &mut Vec<u8>, start: usize) {
    if out.len() > start {
        out.push(b',');
    }
}

fn write_relations(out: &mut Vec<u8>, start: usize, view: &View, hidden: &BTreeSet<String>) {
    for (name, field) in &view.class.schema.fields {
        if let FieldType::Relation(target) = &field.ty
            && !hidden.contains(name.as_str())
        {
            separate(out, start);
            write_string(out, name);
            out.extend_from_slice(b":{\"__type\":\"Relation\",\"className\":");
            write_string(out, target);
            out.push(b'}');
        }
    }
}

fn write_field(
    out: &mut Vec<u8>,
    start: usize,
    row: RowRef<'_>,
    index: usize,
    column: &Column,
    view: &View,
    meter: &Meter,
) {
    let cell = row.cell(index);
    if cell == CellRef::Null {
        return;
    }
    let mark = out.len();
    separate(out, start);
    out.extend_from_slice(&column.json_key);
    if !write_shown(out, row, cell, column, view, meter) {
        out.truncate(mark);
    }
}

/// The value of a column as the caller sees it; false when that is nothing. What is withheld of users comes
/// before includes: an include must not show what the plain value does not.
fn write_shown(
    out: &mut Vec<u8>,
    row: RowRef<'_>,
    cell: CellRef<'_>,
    column: &Column,
    view: &View,
    meter: &Meter,
) -> bool {
    if view.class.name().is_user() {
        match column.name.as_str() {
            "authData" => return write_auth_data(out, row, cell, view),
            // Whatever somebody has stored there: the caller's own token takes this place.
            "sessionToken" | "password" => return false,
            _ => {}
        }
    }
    let included = match cell {
        CellRef::Text(_) | CellRef::Json(_) if may_include(column) => view.includes.get(column.name.as_str()),
        _ => None,
    };
    match (cell, included) {
        (CellRef::Text(id), Some(field)) => match &column.kind {
            ColumnKind::Field(FieldType::Pointer(class)) => write_target(out, field, class, id, meter),
            _ => write_cell(out, cell, column, view),
        },
        (CellRef::Json(bytes), Some(field)) => match serde_json::from_slice::<Value>(bytes) {
            Ok(mut value) => {
                if view.file_urls.refreshes() {
                    view.file_urls.refresh(&view.base_url, &mut value);
                }
                write_included_json(out, &value, field, meter)
            }
            Err(_) => false,
        },
        _ => write_cell(out, cell, column, view),
    }
}

/// One value as [`write_row`] writes it, for what leaves in another shape than an object: cursors. `Null` where
/// it is unset, `None` where the caller does not see it.
pub fn shown_cell(row: RowRef<'_>, index: usize, view: &View) -> Option<Value> {
    let column = row.layout().columns.get(index)?;
    let name = column.name.as_str();
    let is_hidden = !view.protection.is_empty() && view.protection.hidden_in(row).contains(name);
    let is_field = matches!(column.kind, ColumnKind::Field(_));
    if !is_field || is_hidden || (column.name.is_internal() && !internal_visible(view, name)) {
        return None;
    }
    let cell = row.cell(index);
    if cell == CellRef::Null {
        return Some(Value::Null);
    }
    let mut out = Vec::new();
    // One value, without includes.
    if !write_shown(&mut out, row, cell, column, view, &Budget::default().meter()) {
        return None;
    }
    serde_json::from_slice(&out).ok()
}

/// Whether there can be pointers in the column; looking up every text would cost more than writing it.
fn may_include(column: &Column) -> bool {
    matches!(
        column.kind,
        ColumnKind::Field(FieldType::Pointer(_) | FieldType::Object | FieldType::Array | FieldType::Bytes)
    )
}

/// For the user himself and for masters. Unlinked providers and empty objects are left out; the secrets of a
/// provider are for masters.
fn write_auth_data(out: &mut Vec<u8>, row: RowRef<'_>, cell: CellRef<'_>, view: &View) -> bool {
    let own = view.user_id.as_deref() == Some(row.object_id());
    let CellRef::Json(bytes) = cell else { return false };
    if !view.unrestricted && !own {
        return false;
    }
    let Ok(Value::Object(mut providers)) = serde_json::from_slice::<Value>(bytes) else { return false };
    providers.retain(|_, data| !data.is_null());
    if providers.is_empty() {
        return false;
    }
    if !view.unrestricted {
        view.auth.mask(&mut providers);
    }
    write_json(out, &Value::Object(providers));
    true
}

/// False when there is nothing to write.
fn write_cell(out: &mut Vec<u8>, cell: CellRef<'_>, column: &Column, view: &View) -> bool {
    match cell {
        CellRef::Null => return false,
        CellRef::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        CellRef::Number(value) => write_number(out, value),
        CellRef::Date(at) => {
            let plain = column.name == "createdAt" || column.name == "updatedAt";
            out.extend_from_slice(if plain { b"\"" } else { b"{\"__type\":\"Date\",\"iso\":\"" });
            at.write_iso(out);
            out.extend_from_slice(if plain { b"\"" } else { b"\"}" });
        }
        CellRef::Text(text) => match &column.kind {
            ColumnKind::Field(FieldType::Pointer(class)) => write_pointer(out, class, text),
            ColumnKind::Field(FieldType::File) => {
                out.extend_from_slice(b"{\"__type\":\"File\",\"name\":");
                write_string(out, text);
                out.extend_from_slice(b",\"url\":");
                write_string(out, &view.file_urls.url(&view.base_url, text));
                out.push(b'}');
            }
            _ => write_string(out, text),
        },
        CellRef::Json(bytes) if view.file_urls.refreshes() && names_private_files(bytes) => {
            let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else { return false };
            view.file_urls.refresh(&view.base_url, &mut value);
            write_json(out, &value);
        }
        CellRef::Json(bytes) => out.extend_from_slice(bytes),
        CellRef::TextArray(entries) => write_json(out, &entries.iter().collect::<Value>()),
        CellRef::Point(point) => {
            out.extend_from_slice(b"{\"__type\":\"GeoPoint\",\"latitude\":");
            write_number(out, point.latitude);
            out.extend_from_slice(b",\"longitude\":");
            write_number(out, point.longitude);
            out.push(b'}');
        }
        CellRef::Polygon(ring) => {
            out.extend_from_slice(b"{\"__type\":\"Polygon\",\"coordinates\":[");
            for (index, point) in ring.iter().enumerate() {
                out.extend_from_slice(if index > 0 { b",[" } else { b"[" });
                write_number(out, point.latitude);
                out.push(b',');
                write_number(out, point.longitude);
                out.push(b']');
            }
            out.extend_from_slice(b"]}");
        }
    }
    true
}

/// A quick look, which may be mistaken in one direction only.
fn names_private_files(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.contains(crate::files::private::MARK))
}

fn write_pointer(out: &mut Vec<u8>, class: &ClassName, id: &str) {
    out.extend_from_slice(b"{\"__type\":\"Pointer\",\"className\":\"");
    out.extend_from_slice(class.as_bytes());
    out.extend_from_slice(b"\",\"objectId\":");
    write_string(out, id);
    out.push(b'}');
}

/// The object a pointer leads to; false when it is gone or not the caller's to see.
fn write_target(
    out: &mut Vec<u8>,
    field: &IncludedField,
    class: &ClassName,
    id: &str,
    meter: &Meter,
) -> bool {
    match field.targets.get(class) {
        None => false,
        Some(Target::Rows { rows, by_id, view }) => {
            let Some(row) = by_id.get(id).and_then(|index| rows.get(*index)) else { return false };
            write_row(out, row, view, Some((ObjectKind::Included, class)), meter);
            true
        }
        Some(Target::Values(objects)) => {
            let Some(object) = objects.get(id) else { return false };
            if meter.admits(out.len()) {
                write_json(out, object);
            }
            true
        }
    }
}

/// JSON of an Object or Array column with its pointers replaced; elements whose object is gone are
/// dropped, and so are keys.
fn write_included_json(out: &mut Vec<u8>, value: &Value, field: &IncludedField, meter: &Meter) -> bool {
    match value {
        Value::Array(elements) => {
            out.push(b'[');
            let start = out.len();
            for element in elements {
                let mark = out.len();
                separate(out, start);
                if !write_included_json(out, element, field, meter) {
                    out.truncate(mark);
                }
            }
            out.push(b']');
            true
        }
        Value::Object(object) => {
            if let Some((class, id)) = as_pointer(value) {
                return write_target(out, field, &class, id, meter);
            }
            out.push(b'{');
            let start = out.len();
            for (key, value) in object {
                let mark = out.len();
                separate(out, start);
                write_string(out, key);
                out.push(b':');
                let written = match field.nested.get(key) {
                    Some(nested) => write_included_json(out, value, nested, meter),
                    None => {
                        write_json(out, value);
                        true
                    }
                };
                if !written {
                    out.truncate(mark);
                }
            }
            out.push(b'}');
            true
        }
        scalar => {
            write_json(out, scalar);
            true
        }
    }
}

/// Class and id of `{"__type":"Pointer", …}`.
pub fn as_pointer(value: &Value) -> Option<(ClassName, &str)> {
    let object = value.as_object()?;
    if object.get("__type")? != "Pointer" {
        return None;
    }
    Some((ClassName::valid(object.get("className")?.as_str()?)?, object.get("objectId")?.as_str()?))
}

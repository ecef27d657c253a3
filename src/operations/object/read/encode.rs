//! Rows to the bytes of an answer. What a caller may not see is left out by [`super::shown`].

use std::collections::BTreeSet;

use serde_json::Value;

use super::json_text::write_number;
pub use super::json_text::{write_entries, write_json, write_string};
use super::shown::{self, Shown, as_pointer, shown};
use super::view::{IncludeTarget, IncludedField, View};
use crate::operations::budget::Meter;
use crate::types::aside::{Turns, next_turn};
use crate::types::row::{CellRef, Column, ColumnKind, RowRef};
use crate::types::{ClassName, FieldType, RowSet};

/// What is written in one go, about a millisecond's work.
const TURN_BYTES: usize = 256 * 1024;
const TURN_OBJECTS: u64 = 1000;

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

/// As [`write_rows`], for an answer: a long one lets the other requests of its thread have their turn now and then.
pub async fn write_rows_in_turns(
    out: &mut Vec<u8>,
    rows: &RowSet,
    view: &View,
    class: Option<&ClassName>,
    meter: &Meter,
) {
    out.push(b'[');
    let (mut bytes, mut objects, mut lane) = (out.len(), meter.objects(), None);
    for (index, row) in rows.iter().enumerate() {
        if meter.is_full() {
            break;
        }
        if out.len() - bytes > TURN_BYTES || meter.objects() - objects > TURN_OBJECTS {
            next_turn(&mut lane, Turns::Write).await;
            (bytes, objects) = (out.len(), meter.objects());
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
    let hidden = shown::hidden(row, view);
    for (index, column) in row.layout().columns.iter().enumerate() {
        if shown::is_visible(column, view, &hidden) {
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

/// False when there is nothing to show.
fn write_shown(
    out: &mut Vec<u8>,
    row: RowRef<'_>,
    cell: CellRef<'_>,
    column: &Column,
    view: &View,
    meter: &Meter,
) -> bool {
    match shown(row, cell, column, view) {
        Shown::Nothing => return false,
        Shown::Cell => write_cell(out, cell, column, view),
        Shown::Instead(value) => write_json(out, &value),
        Shown::Object(field, class, id) => return write_target(out, field, class, id, meter),
        Shown::Including(value, field) => return write_included_json(out, &value, field, meter),
    }
    true
}

fn write_cell(out: &mut Vec<u8>, cell: CellRef<'_>, column: &Column, view: &View) {
    match cell {
        CellRef::Null => {}
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
        Some(IncludeTarget::Rows { rows, by_id, view }) => {
            let Some(row) = by_id.get(id).and_then(|index| rows.get(*index)) else { return false };
            write_row(out, row, view, Some((ObjectKind::Included, class)), meter);
            true
        }
        Some(IncludeTarget::Values(objects)) => {
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

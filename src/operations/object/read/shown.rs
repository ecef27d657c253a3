//! What the caller sees of a row. The one place where what a caller may not see is left out: text
//! ([`super::encode`]), values ([`super::values`]) and cursors are only forms of what is decided here.

use std::collections::BTreeSet;

use serde_json::Value;

use super::view::{IncludedField, View};
use crate::types::row::{CellRef, Column, ColumnKind, RowRef};
use crate::types::{ClassName, FieldType};

/// What stands in one field of a row.
pub(super) enum Shown<'v> {
    /// Nothing, as if the field were unset.
    Nothing,
    /// The cell as it is stored.
    Cell,
    /// In place of the cell.
    Instead(Value),
    /// The object that a pointer leads to.
    Object(&'v IncludedField, &'v ClassName, &'v str),
    /// JSON whose pointers are replaced by their objects.
    Including(Value, &'v IncludedField),
}

/// Fields of one row that nobody but others may see.
pub(super) fn hidden(row: RowRef<'_>, view: &View) -> BTreeSet<String> {
    if view.protection.is_empty() { BTreeSet::new() } else { view.protection.hidden_in(row) }
}

/// Whether the column is a field of what the caller asked for and may see.
pub(super) fn is_visible(column: &Column, view: &View, hidden: &BTreeSet<String>) -> bool {
    let name = column.name.as_str();
    match column.kind {
        ColumnKind::Permissions => false,
        ColumnKind::Score => true,
        ColumnKind::Field(_) => {
            view.projection.shows(name)
                && !hidden.contains(name)
                && !(view.protection.hides_tokens() && view.protection.withholds(name))
                && (!column.name.is_internal() || internal_visible(view, name))
        }
    }
}

/// Only the maintenance key sees internal columns, and nobody a password hash.
pub(super) fn internal_visible(view: &View, name: &str) -> bool {
    view.internal && name != "_hashed_password"
}

/// The value of a column as the caller sees it. What is withheld of users comes before includes: an include
/// must not show what the plain value does not.
pub(super) fn shown<'v>(row: RowRef<'v>, cell: CellRef<'v>, column: &'v Column, view: &'v View) -> Shown<'v> {
    if view.class.name().is_user() {
        match column.name.as_str() {
            "authData" => return auth_data(row, cell, view).map_or(Shown::Nothing, Shown::Instead),
            // Whatever somebody has stored there: the caller's own token takes this place.
            "sessionToken" | "password" => return Shown::Nothing,
            _ => {}
        }
    }
    let included = match cell {
        CellRef::Text(_) | CellRef::Json(_) if may_include(column) => view.includes.get(column.name.as_str()),
        _ => None,
    };
    match (cell, included) {
        (CellRef::Null, _) => Shown::Nothing,
        (CellRef::Text(id), Some(field)) => match &column.kind {
            ColumnKind::Field(FieldType::Pointer(class)) => Shown::Object(field, class, id),
            _ => Shown::Cell,
        },
        (CellRef::Json(bytes), Some(field)) => match renewed(bytes, view) {
            Some(value) => Shown::Including(value, field),
            None => Shown::Nothing,
        },
        (CellRef::Json(bytes), None) if view.file_urls.refreshes() && names_private_files(bytes) => {
            renewed(bytes, view).map_or(Shown::Nothing, Shown::Instead)
        }
        _ => Shown::Cell,
    }
}

/// Stored JSON with fresh addresses of private files.
fn renewed(bytes: &[u8], view: &View) -> Option<Value> {
    let mut value = serde_json::from_slice(bytes).ok()?;
    if view.file_urls.refreshes() {
        view.file_urls.refresh(&view.base_url, &mut value);
    }
    Some(value)
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
fn auth_data(row: RowRef<'_>, cell: CellRef<'_>, view: &View) -> Option<Value> {
    let own = view.user_id.as_deref() == Some(row.object_id());
    let CellRef::Json(bytes) = cell else { return None };
    if !view.unrestricted && !own {
        return None;
    }
    let Ok(Value::Object(mut providers)) = serde_json::from_slice::<Value>(bytes) else { return None };
    providers.retain(|_, data| !data.is_null());
    if providers.is_empty() {
        return None;
    }
    if !view.unrestricted {
        view.auth.mask(&mut providers);
    }
    Some(Value::Object(providers))
}

/// A quick look, which may be mistaken in one direction only.
fn names_private_files(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.contains(crate::files::private::MARK))
}

/// Class and id of `{"__type":"Pointer", …}`.
pub fn as_pointer(value: &Value) -> Option<(ClassName, &str)> {
    let object = value.as_object()?;
    if object.get("__type")? != "Pointer" {
        return None;
    }
    Some((ClassName::valid(object.get("className")?.as_str()?)?, object.get("objectId")?.as_str()?))
}

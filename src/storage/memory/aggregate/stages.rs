//! One stage at a time.

use serde_json::{Value, json};

use super::value::{at, is_true};
use super::{Runner, Variables, json_order, refused, whole};
use crate::query::evaluate::json_equals;
use crate::query::pipeline::{Expr, Lookup, SortKey, Stage};
use crate::storage::StorageResult;
use crate::types::number::number_json;
use crate::types::path::FieldPath;
use crate::types::{FieldName, Object};

impl Runner<'_> {
    pub(super) fn stage(
        &self,
        mut rows: Vec<Object>,
        stage: &Stage,
        variables: &Variables,
    ) -> StorageResult<Vec<Object>> {
        Ok(match stage {
            Stage::Match { filter, condition } => {
                let mut kept = self.state.filtered(filter, rows);
                if let Some(condition) = condition {
                    let mut holding = Vec::new();
                    for row in kept {
                        if is_true(&self.value(condition, &row, variables)?) {
                            holding.push(row);
                        }
                    }
                    kept = holding;
                }
                kept
            }
            Stage::Group(group) => self.group(&rows, group, variables)?,
            Stage::Shape { keep_id, fields } => {
                each(rows, |row| self.shaped(&row, *keep_id, fields, variables))?
            }
            Stage::Exclude(paths) => {
                for row in &mut rows {
                    paths.iter().for_each(|path| drop_at(row, path));
                }
                rows
            }
            Stage::AddFields(fields) => each(rows, |row| self.added(row, fields, variables))?,
            Stage::ReplaceRoot(root) => each(rows, |row| {
                Ok(match self.value(root, &row, variables)? {
                    Value::Object(object) => {
                        object.into_iter().filter(|(_, value)| !value.is_null()).collect()
                    }
                    _ => Object::new(),
                })
            })?,
            Stage::Sort(keys) => {
                sort(&mut rows, keys)?;
                rows
            }
            Stage::Limit(count) | Stage::Sample(count) => {
                rows.truncate(usize::try_from(*count).unwrap_or(usize::MAX));
                rows
            }
            Stage::Skip(count) => {
                rows.into_iter().skip(usize::try_from(*count).unwrap_or(usize::MAX)).collect()
            }
            Stage::Unwind { path, keep_empty, index } => unwound(rows, path, *keep_empty, index.as_ref())?,
            Stage::Count(name) if rows.is_empty() => {
                let _ = name;
                Vec::new()
            }
            #[allow(clippy::cast_precision_loss)]
            Stage::Count(name) => {
                let mut row = Object::new();
                row.insert(name.as_str().to_owned(), number_json(rows.len() as f64));
                vec![row]
            }
            Stage::Lookup(lookup) => each(rows, |row| self.looked_up(row, lookup, variables))?,
            Stage::GraphLookup(graph) => each(rows, |row| self.reached(row, graph, variables))?,
            Stage::GeoNear(near) => self.near(rows, near),
            Stage::UnionWith { source, pipeline } => {
                if let Some(others) = self.rows_from(source) {
                    rows.extend(self.run(others, pipeline, variables)?);
                }
                rows
            }
            Stage::Windows(windows) => self.windows(rows, windows, variables)?,
            Stage::Facet(facets) => {
                let mut row = Object::new();
                for (name, pipeline) in facets {
                    let found = self.run(rows.clone(), pipeline, variables)?;
                    row.insert(name.as_str().to_owned(), found.iter().map(whole).collect());
                }
                vec![row]
            }
        })
    }

    fn shaped(
        &self,
        row: &Object,
        keep_id: bool,
        fields: &[(FieldPath, Expr)],
        variables: &Variables,
    ) -> StorageResult<Object> {
        let mut shaped = Object::new();
        if let Some(id) = row.get("objectId").filter(|_| keep_id) {
            shaped.insert("objectId".to_owned(), id.clone());
        }
        for (path, expr) in fields {
            let value = self.value(expr, row, variables)?;
            let name = path.root.as_str().to_owned();
            if path.is_dotted() {
                let nested = path.rest.iter().rev().fold(value, |value, key| json!({ key.as_str(): value }));
                match (shaped.get_mut(&name).and_then(Value::as_object_mut), nested) {
                    (Some(known), Value::Object(nested)) => known.extend(nested),
                    (_, nested) => {
                        shaped.insert(name, nested);
                    }
                }
                continue;
            }
            // A null that a group shows is shown further on.
            let is_shown = matches!(expr, Expr::Field(from) if !from.is_dotted() && row.contains_key(from.root.as_str()));
            if !value.is_null() || is_shown {
                shaped.insert(name, value);
            }
        }
        Ok(shaped)
    }

    fn added(
        &self,
        row: Object,
        fields: &[(FieldPath, Expr)],
        variables: &Variables,
    ) -> StorageResult<Object> {
        let mut next = row.clone();
        for (path, expr) in fields {
            let value = self.value(expr, &row, variables)?;
            let name = path.root.as_str();
            if path.is_dotted() {
                let root = next.entry(name.to_owned()).or_insert(Value::Null);
                set_inside(root, &path.rest, value);
            } else if value.is_null() {
                next.shift_remove(name);
            } else {
                next.insert(name.to_owned(), value);
            }
        }
        Ok(next)
    }

    fn looked_up(&self, mut row: Object, lookup: &Lookup, variables: &Variables) -> StorageResult<Object> {
        let mut found = Vec::new();
        if let Some(mut others) = self.rows_from(&lookup.source) {
            let mut inner = variables.clone();
            for (name, value) in &lookup.variables {
                inner.push((name.clone(), self.value(value, &row, variables)?));
            }
            if let Some((local, foreign)) = &lookup.equal {
                let own = at(&row, local);
                others.retain(|other| same(&own, &at(other, foreign)));
            }
            found = self.run(others, &lookup.pipeline, &inner)?;
        }
        row.insert(lookup.into.as_str().to_owned(), found.iter().map(whole).collect());
        Ok(row)
    }
}

fn each(
    rows: Vec<Object>,
    change: impl FnMut(Object) -> StorageResult<Object>,
) -> StorageResult<Vec<Object>> {
    rows.into_iter().map(change).collect()
}

/// Equal values; a list finds what it names. Pointers are known by their ids.
pub(super) fn same(own: &Value, other: &Value) -> bool {
    let bare = |value: &Value| match value.get("objectId") {
        Some(id) => id.clone(),
        None => value.clone(),
    };
    let members = own.as_array().map_or(std::slice::from_ref(own), Vec::as_slice);
    members.iter().any(|member| !member.is_null() && json_equals(&bare(member), &bare(other)))
}

fn refuse_inside(row: &Object, path: &FieldPath) -> StorageResult<()> {
    let root = row.get(path.root.as_str());
    let holds = |value: &Value| match value {
        Value::Object(object) => object.get("__type").is_none_or(|tag| tag == "Bytes"),
        Value::Array(_) | Value::Null => true,
        _ => false,
    };
    if path.is_dotted() && !root.is_none_or(holds) {
        return Err(refused(format!("There is nothing inside {}: {}", path.root, path.to_dotted())));
    }
    Ok(())
}

pub(super) fn sort(rows: &mut [Object], keys: &[SortKey]) -> StorageResult<()> {
    for key in keys {
        rows.iter().try_for_each(|row| refuse_inside(row, &key.path))?;
    }
    rows.sort_by(|a, b| {
        let mut orders = keys.iter().map(|key| {
            let order = json_order(&at(a, &key.path), &at(b, &key.path));
            if key.descending { order.reverse() } else { order }
        });
        orders.find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
    Ok(())
}

fn unwound(
    rows: Vec<Object>,
    path: &FieldPath,
    keep_empty: bool,
    index: Option<&FieldName>,
) -> StorageResult<Vec<Object>> {
    let mut out = Vec::new();
    for row in rows {
        refuse_inside(&row, path)?;
        let elements = match at(&row, path) {
            Value::Array(elements) => elements,
            Value::Null => Vec::new(),
            single => vec![single],
        };
        if elements.is_empty() && keep_empty {
            let mut row = row.clone();
            if path.is_dotted() {
                if let Some(root) = row.get_mut(path.root.as_str()) {
                    set_inside(root, &path.rest, Value::Null);
                }
            } else {
                row.shift_remove(path.root.as_str());
            }
            out.push(row);
        }
        for (place, element) in elements.into_iter().enumerate() {
            let mut row = row.clone();
            if path.is_dotted() {
                let root = row.entry(path.root.as_str().to_owned()).or_insert(Value::Null);
                set_inside(root, &path.rest, element);
            } else {
                row.insert(path.root.as_str().to_owned(), element);
            }
            if let Some(name) = index {
                row.insert(name.as_str().to_owned(), json!(place));
            }
            out.push(row);
        }
    }
    Ok(out)
}

/// Sets a value at a path, objects made on the way.
fn set_inside(value: &mut Value, path: &[String], new: Value) {
    let Some((first, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    if let Some(object) = value.as_object_mut() {
        set_inside(object.entry(first.clone()).or_insert(Value::Null), rest, new);
    }
}

fn drop_at(row: &mut Object, path: &FieldPath) {
    if !path.is_dotted() {
        row.shift_remove(path.root.as_str());
    } else if let Some(inner) = row.get_mut(path.root.as_str()) {
        drop_inside(inner, &path.rest);
    }
}

/// Takes away what is at a path, in each element of arrays on the way.
fn drop_inside(value: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    match value {
        Value::Array(list) => list.iter_mut().for_each(|element| drop_inside(element, path)),
        Value::Object(object) if rest.is_empty() => drop(object.shift_remove(first)),
        Value::Object(object) => {
            if let Some(inner) = object.get_mut(first) {
                drop_inside(inner, rest);
            }
        }
        _ => {}
    }
}

//! Documents into rows, straight from their bytes.
//!
//! A document may hold what `_SCHEMA` does not promise: a value of another type is shown as what it is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bson::raw::{RawArray, RawBsonRef, RawDocument};
use smallvec::SmallVec;

use crate::storage::mongo::layout::names::{self, AUTH_DATA};
use crate::storage::mongo::layout::{rest_json, strangers};
use crate::types::geo::GeoPoint;
use crate::types::row::{Column, ColumnKind};
use crate::types::time::Millis;
use crate::types::{ClassName, ClassSchema, FieldName, FieldType, Layout, RowSet};

/// How documents of a class become rows of a layout.
#[derive(Debug)]
pub struct Plan {
    pub layout: Arc<Layout>,
    /// The key of each column.
    keys: Vec<Box<str>>,
    /// The column of `authData`, which is kept in a key for each provider.
    auth_data: Option<usize>,
    class: ClassName,
}

/// Where documents have the relevance of a text search.
pub const SCORE: &str = "score";

impl Plan {
    pub fn new(schema: &ClassSchema, layout: Arc<Layout>) -> Self {
        let key = |column: &Column| match column.kind {
            ColumnKind::Score => SCORE.into(),
            _ => names::column_key(schema, &column.name).into(),
        };
        let auth_data = layout.columns.iter().position(|c| names::is_auth_data(schema, &c.name));
        Self { keys: layout.columns.iter().map(key).collect(), auth_data, class: schema.name.clone(), layout }
    }

    /// The keys to be read, or `None` for whole documents.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(AsRef::as_ref)
    }

    pub fn has_auth_data(&self) -> bool {
        self.auth_data.is_some()
    }

    /// The column of a time under its plain name, as older servers and scripts write it.
    fn older(&self, key: &str) -> Option<usize> {
        if matches!(key, "createdAt" | "updatedAt") { self.layout.index_of(key) } else { None }
    }

    /// Appends one row.
    pub fn push(&self, set: &mut RowSet, document: &RawDocument) {
        self.push_noting(set, document, &mut |_| {});
    }

    /// Appends one row, and names the keys that belong to no column.
    pub fn push_noting(&self, set: &mut RowSet, document: &RawDocument, stranger: &mut dyn FnMut(&str)) {
        let width = self.keys.len();
        let mut cells: SmallVec<[Option<RawBsonRef<'_>>; 32]> = SmallVec::from_elem(None, width);
        let mut providers: SmallVec<[(&str, RawBsonRef<'_>); 4]> = SmallVec::new();
        // Documents of a class have their keys in much the same order.
        let mut expected = 0;
        for element in document.iter_elements().map_while(Result::ok) {
            let key = element.key().as_str();
            let place = (expected..width).chain(0..expected);
            let column = place.into_iter().find(|at| self.keys.get(*at).is_some_and(|known| **known == *key));
            let Ok(value) = element.value() else { continue };
            match column {
                Some(column) => {
                    if let Some(cell) = cells.get_mut(column) {
                        *cell = Some(value);
                    }
                    expected = column + 1;
                }
                None => match key.strip_prefix(AUTH_DATA).filter(|_| self.has_auth_data()) {
                    Some(provider) => providers.push((provider, value)),
                    None => match self.older(key).and_then(|column| cells.get_mut(column)) {
                        Some(cell) => {
                            cell.get_or_insert(value);
                        }
                        None => stranger(key),
                    },
                },
            }
        }
        for (index, (column, cell)) in self.layout.columns.iter().zip(cells).enumerate() {
            if Some(index) == self.auth_data {
                push_providers(set, &providers);
            } else {
                push_cell(set, &self.class, column, cell);
            }
        }
    }
}

fn push_providers(set: &mut RowSet, providers: &[(&str, RawBsonRef<'_>)]) {
    let mut json = Vec::new();
    for (name, value) in providers.iter().filter(|(_, value)| *value != RawBsonRef::Null) {
        json.push(if json.is_empty() { b'{' } else { b',' });
        let _ = serde_json::to_writer(&mut json, name);
        json.push(b':');
        rest_json::write(&mut json, *value);
    }
    if json.is_empty() {
        return set.push_null();
    }
    json.push(b'}');
    set.push_json(&json);
}

fn push_cell(set: &mut RowSet, class: &ClassName, column: &Column, cell: Option<RawBsonRef<'_>>) {
    let Some(value) = cell else { return set.push_null() };
    let ty = match &column.kind {
        ColumnKind::Field(ty) => ty,
        ColumnKind::Permissions => return push_permissions(set, value),
        ColumnKind::Score => {
            return set.push_number(rest_json::number(value).unwrap_or_default());
        }
    };
    match (ty, value) {
        (FieldType::String | FieldType::File, RawBsonRef::String(text)) => set.push_text(text),
        // Ids of imports and of the configuration's rows.
        (FieldType::String, RawBsonRef::ObjectId(id)) => set.push_text(&id.to_hex()),
        (FieldType::String, RawBsonRef::Int32(id)) if column.name == *"objectId" => {
            set.push_text(&id.to_string());
        }
        (FieldType::Number, number) if rest_json::number(number).is_some() => {
            set.push_number(rest_json::number(number).unwrap_or_default());
        }
        (FieldType::Boolean, RawBsonRef::Boolean(b)) => set.push_bool(b),
        (FieldType::Date, RawBsonRef::DateTime(at)) => set.push_date(Millis(at.timestamp_millis())),
        (FieldType::Date, RawBsonRef::String(text)) if Millis::parse(text).is_some() => {
            set.push_date(Millis::parse(text).unwrap_or(Millis(0)));
        }
        (FieldType::Pointer(target), RawBsonRef::String(text)) => push_pointer(set, class, target, text),
        // Unlike other fields it is left out of an object, as parse-server leaves it out.
        (FieldType::Pointer(_), RawBsonRef::Null) => set.push_null(),
        (FieldType::GeoPoint, RawBsonRef::Array(pair)) => match point(pair) {
            Some(point) => set.push_point(point),
            None => push_json(set, value),
        },
        (FieldType::Polygon, RawBsonRef::Document(shape)) => match ring(shape) {
            Some(ring) => set.push_polygon(ring.into_iter()),
            None => push_json(set, value),
        },
        // Older servers kept bytes as text.
        (FieldType::Bytes, RawBsonRef::String(base64)) => {
            let typed = serde_json::json!({ "__type": "Bytes", "base64": base64 });
            set.push_json(typed.to_string().as_bytes());
        }
        _ => push_json(set, value),
    }
}

fn push_json(set: &mut RowSet, value: RawBsonRef<'_>) {
    let mut json = Vec::with_capacity(64);
    rest_json::write(&mut json, value);
    set.push_json(&json);
}

fn push_permissions(set: &mut RowSet, value: RawBsonRef<'_>) {
    match value {
        RawBsonRef::Array(list) => {
            set.push_text_array(rest_json::values(list).filter_map(RawBsonRef::as_str));
        }
        _ => set.push_null(),
    }
}

/// A pointer into another class than the field's is shown as it is.
fn push_pointer(set: &mut RowSet, class: &ClassName, target: &ClassName, text: &str) {
    match text.split_once('$') {
        Some((named, id)) if *target == *named => set.push_text(id),
        Some((named, id)) => {
            tracing::warn!(%class, "a pointer of class {class} leads to {named} instead of {target}");
            let pointer = serde_json::json!({ "__type": "Pointer", "className": named, "objectId": id });
            set.push_json(pointer.to_string().as_bytes());
        }
        None => set.push_null(),
    }
}

/// `[longitude, latitude]`.
fn point(pair: &RawArray) -> Option<GeoPoint> {
    let mut numbers = rest_json::values(pair);
    let longitude = rest_json::number(numbers.next()?)?;
    GeoPoint::new(rest_json::number(numbers.next()?)?, longitude)
}

fn ring(shape: &RawDocument) -> Option<Vec<GeoPoint>> {
    let rings = shape.get("coordinates").ok()??.as_array()?;
    let outer = rest_json::values(rings).next()?.as_array()?;
    rest_json::values(outer).map(|pair| point(pair.as_array()?)).collect()
}

/// The columns of a find; fields that the schema does not know come when they are named.
fn asked(schema: &ClassSchema, columns: Option<&[FieldName]>, with_score: bool) -> Layout {
    let mut layout = Layout::asked(schema, columns, with_score);
    let mut strange = Vec::new();
    for name in columns.unwrap_or_default() {
        if layout.index_of(name).is_none() {
            strangers::note(schema, name.as_str(), &mut strange);
        }
    }
    layout.columns.extend(strange.into_iter().map(strangers::column));
    layout
}

/// Plans of whole objects by class, each with the schema that it was made of.
type Plans = HashMap<ClassName, (Weak<ClassSchema>, Arc<Plan>)>;

thread_local! {
    /// Plans of whole objects by class. A weak reference keeps the schema's address from being used again, so
    /// equal addresses are equal schemas.
    static PLANS: RefCell<Plans> = RefCell::default();
}

/// Classes whose plans a thread keeps.
const MAX_PLANS: usize = 1000;

/// The plan of whole objects.
pub fn whole(schema: &Arc<ClassSchema>) -> Arc<Plan> {
    PLANS.with_borrow_mut(|plans| {
        if let Some((known, plan)) = plans.get(&schema.name)
            && std::ptr::eq(known.as_ptr(), Arc::as_ptr(schema))
        {
            return plan.clone();
        }
        let plan = Arc::new(Plan::new(schema, Arc::new(Layout::of(schema))));
        if plans.len() >= MAX_PLANS {
            plans.clear();
        }
        plans.insert(schema.name.clone(), (Arc::downgrade(schema), plan.clone()));
        plan
    })
}

/// What the find's rows look like.
pub fn plan(
    schema: &Arc<ClassSchema>,
    given: Option<&Arc<Layout>>,
    columns: Option<&[FieldName]>,
    with_score: bool,
) -> Arc<Plan> {
    match given {
        Some(layout) => Arc::new(Plan::new(schema, layout.clone())),
        None if columns.is_none() && !with_score => whole(schema),
        None => Arc::new(Plan::new(schema, Arc::new(asked(schema, columns, with_score)))),
    }
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, doc};

    use super::*;

    #[test]
    fn fields_that_nobody_knows_are_shown_as_what_they_are() {
        let schema = std::sync::Arc::new(ClassSchema::with_defaults(ClassName::known("Game")));
        let document =
            doc! { "_id": "x", "className": "A", "_p_other": "A$b", "extra": "text", "list": [1], "a-b": 1 };
        let raw = RawDocumentBuf::try_from(&document).unwrap();
        let plan = whole(&schema);
        let (strangers, mut met) = (strangers::Strangers::default(), Vec::new());
        let mut set = RowSet::new(plan.layout.clone());
        plan.push_noting(&mut set, &raw, &mut |key| strangers::note(&schema, key, &mut met));
        assert!(strangers.join(&schema, &plan.layout).is_none());
        assert!(strangers.meet(&schema.name, met));
        let joined = Plan::new(&schema, strangers.join(&schema, &plan.layout).unwrap());
        let mut set = RowSet::new(joined.layout.clone());
        joined.push(&mut set, &raw);
        let object = set.first().unwrap().to_object();
        assert_eq!(
            serde_json::Value::Object(object),
            serde_json::json!({ "objectId": "x", "extra": "text", "list": [1] })
        );
    }
}

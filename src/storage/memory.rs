//! A plain in-memory adapter for tests: objects as REST JSON in maps, filters answered by
//! `query::evaluate`, pipelines by `aggregate`. Not for production: no indexes, no limits, and transactions
//! that refuse to commit when anything else was written meanwhile. Plans are PostgreSQL's alone.

mod aggregate;
mod apply;
mod matching;
mod work;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use indexmap::IndexMap as Ordered;
use serde_json::{Map, Value};

use super::{
    AggregateOptions, Changed, Enqueue, IndexMap, Related, RelationQuery, RelationSide, Returning, See,
    Session, StartupIndexes, StorageAdapter, StorageError, StorageResult, Target, Transaction, WorkQueue,
};
use crate::error::{BoxError, Error, ErrorCode};
use crate::query::{FindHints, FindSpec, Pipeline};
use crate::types::path::FieldPath;
use crate::types::row::ColumnKind;
use crate::types::update::RelationChange;
use crate::types::{
    ClassName, ClassSchema, Clp, Field, FieldName, FieldType, GeoPoint, Layout, Object, ObjectId, RowSet,
    Update, time::Millis,
};

/// Columns in which no two objects may hold the same value, as the start-up indexes say.
const UNIQUE: &[(&str, &str)] =
    &[("_User", "username"), ("_User", "email"), ("_Role", "name"), ("_Idempotency", "reqId")];

#[derive(Clone, Debug, Default)]
struct State {
    schemas: Ordered<ClassName, ClassSchema>,
    rows: HashMap<ClassName, Ordered<String, Object>>,
    /// (owner, member) by join class.
    joins: HashMap<ClassName, BTreeSet<(String, String)>>,
    /// Counts writes; also the stamp of changes.
    version: u64,
}

/// The database, or an open transaction's copy of it.
#[derive(Debug, Default)]
pub struct MemoryAdapter {
    state: Arc<Mutex<State>>,
    /// Of a transaction: where to commit to, and the version it began with.
    origin: Option<(Arc<Mutex<State>>, u64)>,
    work: Arc<work::Works>,
    /// Of a transaction: work to be written down with its commit.
    pending: work::Pending,
}

fn other(text: impl Into<String>) -> BoxError {
    text.into().into()
}

fn missing(class: &ClassName) -> StorageError {
    StorageError::StaleSchema(other(format!("class {class} does not exist")))
}

fn unsupported(what: &str) -> StorageError {
    StorageError::Refused(Error::parse(
        ErrorCode::COMMAND_UNAVAILABLE,
        format!("{what} is not available in memory"),
    ))
}

fn may(object: &Object, column: &str, who: Option<&Arc<[String]>>) -> bool {
    let (Some(who), Some(entries)) = (who, object.get(column).and_then(Value::as_array)) else { return true };
    entries.iter().any(|entry| who.iter().any(|w| entry == w.as_str()))
}

impl State {
    fn matching(&self, class: &ClassSchema, spec: &FindSpec) -> Vec<&Object> {
        self.select(class, &spec.filter, spec.readers.as_ref())
    }

    /// Ids of the rows a write concerns.
    fn targets(&self, class: &ClassSchema, target: &Target) -> Vec<String> {
        let test = self.test(class, &target.filter);
        let rows = self.rows.get(&class.name).into_iter().flatten();
        rows.filter(|(_, row)| may(row, "_wperm", target.writers.as_ref()) && self.holds(&test, row))
            .map(|(id, _)| id.clone())
            .collect()
    }

    fn refuse_duplicate(&self, class: &ClassName, id: &str, row: &Object) -> StorageResult<()> {
        for (of, column) in UNIQUE.iter().filter(|(of, _)| class == *of) {
            let Some(value) = row.get(*column) else { continue };
            let rows = self.rows.get(&ClassName::known(of)).into_iter().flatten();
            if rows.into_iter().any(|(other, row)| other != id && row.get(*column) == Some(value)) {
                return Err(StorageError::Duplicate { field: Some((*column).to_owned()), provider: None });
            }
        }
        Ok(())
    }

    fn edit(&mut self, class: &ClassName, edit: impl FnOnce(&mut ClassSchema)) -> StorageResult<ClassSchema> {
        self.version += 1;
        let schema = self.schemas.get_mut(class).ok_or_else(|| missing(class))?;
        edit(schema);
        Ok(schema.clone())
    }
}

fn push_row(set: &mut RowSet, layout: &Layout, row: &Object) {
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

impl MemoryAdapter {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set<'r>(layout: Layout, rows: impl Iterator<Item = &'r Object>) -> RowSet {
        let layout = Arc::new(layout);
        let mut set = RowSet::new(layout.clone());
        rows.for_each(|row| push_row(&mut set, &layout, row));
        set
    }

    fn changed(
        class: &ClassSchema,
        before: &[Object],
        after: &[Object],
        returning: Returning,
        stamp: u64,
    ) -> Changed {
        let side = |wanted: bool, rows: &[Object]| wanted.then(|| Self::set(Layout::of(class), rows.iter()));
        let asked = returning.before || returning.after;
        Changed {
            count: before.len() as u64,
            before: side(returning.before, before),
            after: side(returning.after, after),
            stamp: if asked { stamp } else { 0 },
        }
    }
}

fn selection(class: &ClassSchema, columns: Option<&[FieldName]>) -> Layout {
    columns.map_or_else(|| Layout::of(class), |c| Layout::selecting(class, |field| c.contains(field)))
}

#[async_trait]
impl Session for MemoryAdapter {
    async fn find(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<RowSet> {
        let state = self.state();
        let mut rows = state.matching(class, spec);
        matching::sort(&mut rows, &spec.filter, &spec.order);
        let skip = usize::try_from(spec.skip).unwrap_or(usize::MAX);
        let limit = spec.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let layout = selection(class, spec.columns.as_deref());
        Ok(Self::set(layout, rows.into_iter().skip(skip).take(limit)))
    }

    async fn find_by_ids(
        &self,
        class: &Arc<ClassSchema>,
        ids: &[String],
        readers: Option<&Arc<[String]>>,
        columns: Option<&[FieldName]>,
        _hints: &FindHints,
    ) -> StorageResult<RowSet> {
        let state = self.state();
        let table = state.rows.get(&class.name);
        let rows = ids.iter().filter_map(|id| table?.get(id)).filter(|row| may(row, "_rperm", readers));
        Ok(Self::set(selection(class, columns), rows))
    }

    async fn count(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<u64> {
        Ok(self.state().matching(class, spec).len() as u64)
    }

    async fn distinct(
        &self,
        class: &Arc<ClassSchema>,
        path: &FieldPath,
        spec: &FindSpec,
    ) -> StorageResult<Vec<Value>> {
        let state = self.state();
        let mut seen = Vec::new();
        for value in state.matching(class, spec).into_iter().filter_map(|row| matching::at(row, path)) {
            let elements = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            for element in elements.iter().filter(|e| !e.is_null()) {
                if !seen.contains(element) {
                    seen.push(element.clone());
                }
            }
        }
        seen.sort_by(aggregate::json_order);
        Ok(seen)
    }

    async fn aggregate(
        &self,
        class: &Arc<ClassSchema>,
        pipeline: &Pipeline,
        options: &AggregateOptions,
    ) -> StorageResult<Vec<Object>> {
        if options.explain {
            return Err(unsupported("explain"));
        }
        aggregate::run(&self.state(), class, pipeline, options)
    }

    async fn explain(&self, _class: &Arc<ClassSchema>, _spec: &FindSpec) -> StorageResult<Value> {
        Err(unsupported("explain"))
    }

    async fn create(&self, class: &Arc<ClassSchema>, rows: &[Object]) -> StorageResult<()> {
        let mut state = self.state();
        // All rows or none: they go to a copy first.
        let mut next = state.clone();
        for row in rows {
            let row = apply::stored(class, row)?;
            let id = row.get("objectId").and_then(Value::as_str).map(str::to_owned);
            let table = next.rows.entry(class.name.clone()).or_default();
            let id = id.unwrap_or_else(|| format!("row {}", table.len()));
            if table.contains_key(&id) {
                return Err(StorageError::Duplicate { field: Some("objectId".into()), provider: None });
            }
            next.refuse_duplicate(&class.name, &id, &row)?;
            next.rows.entry(class.name.clone()).or_default().insert(id, row);
        }
        next.version += 1;
        *state = next;
        Ok(())
    }

    async fn update(
        &self,
        class: &Arc<ClassSchema>,
        target: &Target,
        update: &Update,
        returning: Returning,
    ) -> StorageResult<Changed> {
        let mut state = self.state();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let ids = state.targets(class, target);
        for id in &ids {
            let Some(old) = state.rows.get(&class.name).and_then(|rows| rows.get(id)).cloned() else {
                continue;
            };
            let mut new = old.clone();
            apply::update(class, &mut new, update)?;
            state.refuse_duplicate(&class.name, id, &new)?;
            before.push(old);
            after.push(new);
        }
        state.version += 1;
        if let Some(rows) = state.rows.get_mut(&class.name) {
            for (id, row) in ids.into_iter().zip(&after) {
                rows.insert(id, row.clone());
            }
        }
        Ok(Self::changed(class, &before, &after, returning, state.version))
    }

    async fn delete(
        &self,
        class: &Arc<ClassSchema>,
        target: &Target,
        returning_before: bool,
    ) -> StorageResult<Changed> {
        let mut state = self.state();
        let ids = state.targets(class, target);
        state.version += 1;
        let version = state.version;
        let table = state.rows.get_mut(&class.name);
        let gone: Vec<Object> = match table {
            Some(rows) => ids.iter().filter_map(|id| rows.shift_remove(id)).collect(),
            None => Vec::new(),
        };
        let returning = Returning { before: returning_before, ..Returning::default() };
        Ok(Self::changed(class, &gone, &[], returning, version))
    }

    async fn change_relations(
        &self,
        class: &ClassName,
        owner: &ObjectId,
        changes: &[RelationChange],
    ) -> StorageResult<()> {
        let mut state = self.state();
        state.version += 1;
        for change in changes {
            let members = state.joins.entry(ClassName::join(&change.field, class)).or_default();
            let pair = |member: &ObjectId| (owner.as_str().to_owned(), member.as_str().to_owned());
            for member in &change.remove {
                members.remove(&pair(member));
            }
            members.extend(change.add.iter().map(pair));
        }
        Ok(())
    }

    async fn create_related(
        &self,
        class: &Arc<ClassSchema>,
        row: &Object,
        related: &Related,
    ) -> StorageResult<()> {
        self.create(class, std::slice::from_ref(row)).await?;
        self.change_relations(&class.name, &related.owner, &related.changes).await
    }

    async fn update_related(
        &self,
        class: &Arc<ClassSchema>,
        target: &Target,
        update: &Update,
        returning: Returning,
        related: &Related,
    ) -> StorageResult<Changed> {
        let changed = self.update(class, target, update, returning).await?;
        if changed.count > 0 {
            self.change_relations(&class.name, &related.owner, &related.changes).await?;
        }
        Ok(changed)
    }

    async fn relation_ids(&self, query: &RelationQuery) -> StorageResult<Vec<String>> {
        let state = self.state();
        let pairs = state.joins.get(&ClassName::join(&query.field, &query.class)).into_iter().flatten();
        let ids: BTreeSet<&String> = match &query.by {
            RelationSide::Owners(ids) => pairs.filter(|(o, _)| ids.contains(o)).map(|(_, m)| m).collect(),
            RelationSide::Members(ids) => pairs.filter(|(_, m)| ids.contains(m)).map(|(o, _)| o).collect(),
        };
        Ok(ids.into_iter().cloned().collect())
    }

    async fn roles_of_user(&self, user_id: &str) -> StorageResult<Vec<String>> {
        let role = ClassName::known("_Role");
        let ask = async |field: &'static str, members: Vec<String>| {
            let by = RelationSide::Members(members);
            self.relation_ids(&RelationQuery { class: role.clone(), field: FieldName::known(field), by })
                .await
        };
        let mut held: BTreeSet<String> = BTreeSet::new();
        // A role that is gone passes nothing on, though its membership rows are still there.
        let exists = |id: &String| self.state().rows.get(&role).is_some_and(|rows| rows.contains_key(id));
        let mut fresh = ask("users", vec![user_id.to_owned()]).await?;
        fresh.retain(exists);
        while !fresh.is_empty() {
            held.extend(fresh.iter().cloned());
            fresh = ask("roles", fresh).await?;
            fresh.retain(|id| exists(id) && !held.contains(id));
        }
        let state = self.state();
        let table = state.rows.get(&role);
        let name = |id: &String| Some(table?.get(id)?.get("name")?.as_str()?.to_owned());
        Ok(held.iter().filter_map(name).collect())
    }
}

#[async_trait]
impl Transaction for MemoryAdapter {
    async fn commit(self: Box<Self>) -> StorageResult<()> {
        let Some((origin, began)) = &self.origin else { return Ok(()) };
        let mut shared = origin.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.version != *began {
            return Err(StorageError::Conflict(other("something else was written meanwhile")));
        }
        *shared = self.state().clone();
        self.work.commit(&self.pending);
        Ok(())
    }

    async fn rollback(self: Box<Self>) -> StorageResult<()> {
        Ok(())
    }

    async fn add_fields(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema> {
        StorageAdapter::add_fields(self, class, fields).await
    }

    fn work(&self) -> Option<&dyn Enqueue> {
        Some(self)
    }

    /// Refused statements never change anything here.
    fn survive_refusals(&self) -> bool {
        true
    }

    fn as_session(&self) -> &dyn Session {
        self
    }
}

#[async_trait]
impl StorageAdapter for MemoryAdapter {
    async fn initialize(&self) -> StorageResult<()> {
        for name in ["_User", "_Role"] {
            self.create_class(&ClassSchema::with_defaults(ClassName::known(name))).await?;
        }
        Ok(())
    }

    async fn ensure_small_indexes(
        &self,
        _options: &StartupIndexes,
        _providers: &[String],
    ) -> StorageResult<()> {
        Ok(())
    }

    async fn ensure_indexes(&self, _options: &StartupIndexes, _providers: &[String]) -> StorageResult<()> {
        Ok(())
    }

    async fn visit_texts(&self, see: See<'_>) -> StorageResult<()> {
        let state = self.state();
        for field in state.schemas.values().flat_map(|schema| schema.fields.values()) {
            if let Some(default) = &field.default_value {
                see(&default.to_string());
            }
        }
        for object in state.rows.values().flat_map(|rows| rows.values()) {
            see(&Value::Object(object.clone()).to_string());
        }
        Ok(())
    }

    async fn load_schemas(&self) -> StorageResult<Vec<ClassSchema>> {
        Ok(self.state().schemas.values().cloned().collect())
    }

    async fn load_schema(&self, class: &ClassName) -> StorageResult<Option<ClassSchema>> {
        Ok(self.state().schemas.get(class).cloned())
    }

    async fn create_class(&self, schema: &ClassSchema) -> StorageResult<ClassSchema> {
        let mut state = self.state();
        state.version += 1;
        Ok(state.schemas.entry(schema.name.clone()).or_insert_with(|| schema.clone()).clone())
    }

    async fn add_fields(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema> {
        self.state().edit(class, |schema| {
            for (name, field) in fields {
                schema.fields.entry(name.clone()).or_insert_with(|| field.clone());
            }
        })
    }

    async fn set_field_options(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema> {
        self.state().edit(class, |schema| schema.fields.extend(fields.iter().cloned()))
    }

    async fn delete_fields(&self, class: &ClassName, fields: &[FieldName]) -> StorageResult<ClassSchema> {
        let mut state = self.state();
        for name in fields {
            state.joins.remove(&ClassName::join(name, class));
            for row in state.rows.get_mut(class).into_iter().flat_map(Ordered::values_mut) {
                row.shift_remove(name.as_str());
            }
        }
        state.edit(class, |schema| schema.fields.retain(|name, _| !fields.contains(name)))
    }

    async fn set_permissions(
        &self,
        class: &ClassName,
        clp: &Map<String, Value>,
    ) -> StorageResult<ClassSchema> {
        self.state().edit(class, |schema| schema.clp = Some(Clp::from_json(clp)))
    }

    async fn set_indexes(
        &self,
        class: &ClassName,
        create: &IndexMap,
        drop: &[String],
    ) -> StorageResult<ClassSchema> {
        self.state().edit(class, |schema| {
            let primary = || ("_id_".to_owned(), serde_json::json!({ "_id": 1 }));
            if schema.indexes.is_empty() {
                schema.indexes.extend([primary()]);
            }
            schema.indexes.retain(|name, _| !drop.contains(name));
            schema.indexes.extend(create.clone());
        })
    }

    async fn delete_class(&self, schema: &ClassSchema) -> StorageResult<()> {
        self.purge_class(schema).await?;
        self.state().schemas.shift_remove(&schema.name);
        Ok(())
    }

    async fn purge_class(&self, schema: &ClassSchema) -> StorageResult<()> {
        let mut state = self.state();
        state.version += 1;
        state.rows.remove(&schema.name);
        for name in schema.fields.keys() {
            state.joins.remove(&ClassName::join(name, &schema.name));
        }
        Ok(())
    }

    fn work_queue(&self) -> Option<&dyn WorkQueue> {
        Some(self)
    }

    async fn begin(&self) -> StorageResult<Box<dyn Transaction>> {
        let copy = self.state().clone();
        let origin = Some((self.state.clone(), copy.version));
        let state = Arc::new(Mutex::new(copy));
        Ok(Box::new(Self { state, origin, work: self.work.clone(), pending: work::Pending::default() }))
    }

    fn as_session(&self) -> &dyn Session {
        self
    }

    async fn ping(&self) -> StorageResult<()> {
        Ok(())
    }

    async fn close(&self) {}
}

//! Finds, counts, distinct values and plans.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Bson, Document, doc};
use futures_util::future::BoxFuture;
use mongodb::Collection;
use mongodb::options::{FindOptions, Hint, ReadPreference as DriverPreference, SelectionCriteria};
use serde_json::Value;

use super::error::{of_query, refused, wants_geo_index, wants_text_index};
use super::filter::{self, Builder, Near, all_of, permission};
use super::names::{self, Kind};
use super::row::{self, SCORE};
use super::{MongoAdapter, rest_json, run};
use crate::error::Error;
use crate::query::{Filter, FindHints, FindSpec, OrderKey, ReadPreference};
use crate::storage::{StorageError, StorageResult};
use crate::types::path::FieldPath;
use crate::types::{CellRef, ClassSchema, FieldName, Object, RowSet};

/// What a server answers at first when it is not told otherwise.
const FIRST_BATCH: u64 = 101;

/// A find, ready to be sent.
pub(super) struct Query {
    pub filter: Document,
    pub options: FindOptions,
    /// Where nearness orders.
    near: Option<FieldPath>,
    text: Option<FieldPath>,
}

pub(super) fn criteria(hints: &FindHints) -> Option<SelectionCriteria> {
    let preference = match hints.read_preference {
        ReadPreference::Primary => return None,
        ReadPreference::PrimaryPreferred => DriverPreference::PrimaryPreferred { options: None },
        ReadPreference::Secondary => DriverPreference::Secondary { options: None },
        ReadPreference::SecondaryPreferred => DriverPreference::SecondaryPreferred { options: None },
        ReadPreference::Nearest => DriverPreference::Nearest { options: None },
    };
    Some(SelectionCriteria::ReadPreference(preference))
}

/// The index that the query asks for; its columns go by the names of fields or of keys.
pub(super) fn hint(schema: &ClassSchema, hints: &FindHints) -> Option<Hint> {
    let keys = match hints.hint.as_ref()? {
        Value::String(name) => return Some(Hint::Name(name.clone())),
        Value::Object(keys) => keys,
        _ => return None,
    };
    let key = |(name, kind): (&String, &Value)| {
        let kind = match kind {
            Value::String(kind) => Bson::String(kind.clone()),
            other => {
                Bson::Int32(if other.as_f64().is_some_and(|direction| direction < 0.0) { -1 } else { 1 })
            }
        };
        (names::column_key(schema, name).into_owned(), kind)
    };
    Some(Hint::Keys(keys.iter().map(key).collect()))
}

impl MongoAdapter {
    /// The condition on documents of the class that `who` may see (or write, by `_wperm`).
    pub(super) async fn condition(
        &self,
        schema: &ClassSchema,
        filter: &Filter,
        permitted: Document,
        near: Near,
        hints: &FindHints,
    ) -> StorageResult<Document> {
        if filter.is_all() {
            return Ok(permitted);
        }
        let answers = self.answers(schema, filter, hints).await?;
        let built = Builder { schema, answers: &answers, near }.build(filter)?;
        Ok(all_of(vec![built, permitted]))
    }

    async fn query(
        &self,
        schema: &ClassSchema,
        spec: &FindSpec,
        projection: Option<Document>,
    ) -> StorageResult<Query> {
        let orders = spec.order.is_empty();
        let near = if orders { Near::Orders } else { Near::Filters };
        let permitted = permission(schema, "_rperm", spec.readers.as_ref());
        let filter = self.condition(schema, &spec.filter, permitted, near, &spec.hints).await?;
        let options = FindOptions::builder()
            .projection(projection)
            .sort(sort(schema, &spec.order))
            .limit(spec.limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX)))
            .skip(Some(spec.skip).filter(|skip| *skip > 0))
            .batch_size(batch(spec.limit, self.core.batch))
            .max_time(self.core.max_time)
            .comment(spec.hints.comment.clone().map(Bson::String))
            .hint(hint(schema, &spec.hints))
            .selection_criteria(criteria(&spec.hints).filter(|_| self.open.is_none()))
            .build();
        let near = filter::near_field(&spec.filter).filter(|_| orders).map(|(path, _)| path.clone());
        Ok(Query { filter, options, near, text: filter::text_field(&spec.filter).cloned() })
    }

    /// Shows each document that a find answers until told to stop.
    pub(super) fn each_found<'a>(
        &'a self,
        schema: &'a ClassSchema,
        spec: &'a FindSpec,
        projection: Option<Document>,
        mut see: impl FnMut(&RawDocument) -> bool + Send + 'a,
    ) -> BoxFuture<'a, StorageResult<()>> {
        Box::pin(async move {
            if spec.limit == Some(0) {
                return Ok(());
            }
            let query = self.query(schema, spec, projection).await?;
            let collection = self.objects(&schema.name);
            // A second try, when the first one made the index that was missing.
            for _ in 0..2 {
                let sent =
                    self.each(&collection, query.filter.clone(), query.options.clone(), &mut see).await;
                match sent {
                    Err(Failed::Driver(error)) if self.open.is_none() && wants_geo_index(&error) => {
                        let Some(path) = &query.near else { return Err(of_query(error)) };
                        let key = doc! { names::path_key(schema, path): "2d" };
                        self.make_index(&schema.name, key, None).await?;
                    }
                    Err(Failed::Driver(error)) if self.open.is_none() && wants_text_index(&error) => {
                        let Some(path) = &query.text else { return Err(of_query(error)) };
                        let field = names::path_key(schema, path);
                        let name = format!("{field}_text");
                        self.make_index(&schema.name, doc! { field: "text" }, Some(name)).await?;
                    }
                    Err(failed) => return Err(failed.into()),
                    Ok(()) => return Ok(()),
                }
            }
            Err(refused(Error::invalid_query("The query needs an index that could not be made")))
        })
    }

    /// Shows the documents of one query. In a transaction the session is held as long.
    pub(super) async fn each(
        &self,
        collection: &Collection<RawDocumentBuf>,
        filter: Document,
        options: FindOptions,
        mut see: impl FnMut(&RawDocument) -> bool + Send,
    ) -> Result<(), Failed> {
        let find = collection.find(filter).with_options(options);
        let work = async {
            match &self.open {
                None => {
                    let mut cursor = find.await?;
                    while cursor.advance().await? {
                        if !see(cursor.current()) {
                            break;
                        }
                    }
                }
                Some(open) => {
                    let mut session = open.lock().await;
                    let mut cursor = find.session(&mut *session).await?;
                    while cursor.advance(&mut session).await? {
                        if !see(cursor.current()) {
                            break;
                        }
                    }
                }
            }
            Ok(())
        };
        self.core.timed(work).await.map_err(Failed::Driver)
    }

    pub(super) async fn find_rows(
        &self,
        schema: &Arc<ClassSchema>,
        spec: &FindSpec,
    ) -> StorageResult<RowSet> {
        let plan = row::plan(schema, spec.layout.as_ref(), spec.columns.as_deref(), spec.with_score);
        // What is left out is not sent; text scores and providers of `authData` have keys of their own.
        let projection = (spec.columns.is_some() || spec.with_score).then(|| {
            let mut projection = Document::new();
            if spec.columns.is_some() && !plan.has_auth_data() {
                projection.extend(plan.keys().map(|key| (key.to_owned(), Bson::Int32(1))));
            }
            if spec.with_score {
                projection.insert(SCORE, doc! { "$meta": "textScore" });
            }
            projection
        });
        let mut set = RowSet::with_capacity(plan.layout.clone(), 4);
        set.account_to(&spec.hints.room);
        self.each_found(schema, spec, projection.filter(|projection| !projection.is_empty()), |document| {
            plan.push(&mut set, document);
            set.has_room()
        })
        .await?;
        Ok(match filter::near_field(&spec.filter).filter(|_| spec.order.is_empty()) {
            Some((path, center)) => nearest_first(set, path, center),
            None => set,
        })
    }

    pub(super) async fn find_ids(
        &self,
        schema: &Arc<ClassSchema>,
        ids: &[String],
        readers: Option<&Arc<[String]>>,
        columns: Option<&[FieldName]>,
        hints: &FindHints,
    ) -> StorageResult<RowSet> {
        use crate::query::{Constraint, Operand};
        let ids = ids.iter().map(|id| Operand::Text(id.clone())).collect();
        let spec = FindSpec {
            readers: readers.cloned(),
            columns: columns.map(<[FieldName]>::to_vec),
            hints: hints.clone(),
            ..FindSpec::new(Filter::field(FieldName::known("objectId"), Constraint::In(ids)))
        };
        self.find_rows(schema, &spec).await
    }

    /// A page of every object by `_id`, whatever types the ids have: the server sorts texts before `ObjectId`s, and
    /// compares each with its kind alone.
    pub(super) async fn scanned(
        &self,
        schema: &Arc<ClassSchema>,
        after: Option<&str>,
        columns: Option<&[FieldName]>,
        most: u64,
    ) -> StorageResult<(RowSet, Option<String>)> {
        const NATIVE: &str = "oid:";
        let native = doc! { "_id": { "$type": "objectId" } };
        let behind = match after.map(|after| (after, after.strip_prefix(NATIVE))) {
            None => Document::new(),
            Some((_, Some(hex))) => {
                let id = bson::oid::ObjectId::parse_str(hex)
                    .map_err(|_| StorageError::Other(super::error::boxed("a cursor that is none")))?;
                doc! { "_id": { "$gt": id } }
            }
            Some((id, None)) => doc! { "$or": [{ "_id": { "$gt": id } }, native] },
        };
        let options = FindOptions::builder()
            .projection(columns.filter(|columns| columns.is_empty()).map(|_| doc! { "_id": 1 }))
            .sort(doc! { "_id": 1 })
            .limit(i64::try_from(most).ok())
            .batch_size(u32::try_from(most.saturating_add(1)).ok())
            .build();
        let plan = row::plan(schema, None, columns, false);
        let mut set = RowSet::with_capacity(plan.layout.clone(), 4);
        let mut cursor = None;
        let collection = self.objects(&schema.name);
        self.each(&collection, behind, options, |document| {
            cursor = match document.get("_id") {
                Ok(Some(bson::RawBsonRef::ObjectId(id))) => Some(format!("{NATIVE}{id}")),
                Ok(Some(bson::RawBsonRef::String(id))) => Some(id.to_owned()),
                _ => None,
            };
            plan.push(&mut set, document);
            true
        })
        .await
        .map_err(Failed::of_server)?;
        let is_last = (set.len() as u64) < most;
        Ok((set, cursor.filter(|_| !is_last)))
    }

    pub(super) async fn count_rows(&self, schema: &ClassSchema, spec: &FindSpec) -> StorageResult<u64> {
        let permitted = permission(schema, "_rperm", spec.readers.as_ref());
        let filter = self.condition(schema, &spec.filter, permitted, Near::Filters, &spec.hints).await?;
        let collection = self.objects(&schema.name);
        let hint = hint(schema, &spec.hints);
        if filter.is_empty() && hint.is_none() && self.open.is_none() {
            return self.core.timed(collection.estimated_document_count()).await.map_err(of_query);
        }
        let mut options = mongodb::options::CountOptions::default();
        options.max_time = self.core.max_time;
        options.hint = hint;
        options.comment = spec.hints.comment.clone().map(Bson::String);
        options.selection_criteria = criteria(&spec.hints).filter(|_| self.open.is_none());
        run!(self, collection.count_documents(filter.clone()).with_options(options.clone())).map_err(of_query)
    }

    pub(super) async fn distinct_values(
        &self,
        schema: &ClassSchema,
        path: &FieldPath,
        spec: &FindSpec,
    ) -> StorageResult<Vec<Value>> {
        let kind = names::kind_of(schema, &path.root);
        if matches!(kind, Some(Kind::Relation(_))) {
            return Ok(Vec::new());
        }
        let permitted = permission(schema, "_rperm", spec.readers.as_ref());
        let filter = self.condition(schema, &spec.filter, permitted, Near::Filters, &spec.hints).await?;
        let key = names::path_key(schema, path);
        let collection = self.objects(&schema.name);
        let values = if matches!(kind, Some(Kind::Point)) && !path.is_dotted() {
            // The pair is one value here, not two.
            self.distinct_points(&collection, filter, &key).await?
        } else {
            let mut options = mongodb::options::DistinctOptions::default();
            options.max_time = self.core.max_time;
            options.hint = hint(schema, &spec.hints);
            options.comment = spec.hints.comment.clone().map(Bson::String);
            options.selection_criteria = criteria(&spec.hints).filter(|_| self.open.is_none());
            let action = collection.distinct(&key, filter.clone());
            let found = run!(self, action.with_options(options.clone()));
            found.map_err(of_query)?
        };
        let mut values: Vec<Value> =
            values.into_iter().map(|value| shown(schema, path, kind.as_ref(), value)).collect();
        values.retain(|value| !value.is_null());
        values.sort_by(value_order);
        values.dedup();
        Ok(values)
    }

    async fn distinct_points(
        &self,
        collection: &Collection<RawDocumentBuf>,
        filter: Document,
        key: &str,
    ) -> StorageResult<Vec<Bson>> {
        let (mut points, mut seen) = (Vec::new(), HashSet::new());
        let options = FindOptions::builder().projection(doc! { key: 1 }).build();
        self.each(collection, filter, options, |document| {
            if let Ok(Some(value)) = document.get(key)
                && let Ok(point) = Bson::try_from(value)
                && seen.insert(point.to_string())
            {
                points.push(point);
            }
            true
        })
        .await?;
        Ok(points)
    }

    pub(super) async fn plan_of(&self, schema: &ClassSchema, spec: &FindSpec) -> StorageResult<Value> {
        let query = self.query(schema, spec, None).await?;
        let mut find = doc! { "find": self.core.full_name(&schema.name), "filter": query.filter };
        if let Some(sort) = query.options.sort {
            find.insert("sort", sort);
        }
        if let Some(limit) = query.options.limit {
            find.insert("limit", limit);
        }
        if let Some(skip) = query.options.skip {
            find.insert("skip", i64::try_from(skip).unwrap_or(i64::MAX));
        }
        if let Some(hint) = query.options.hint {
            let hint = match hint {
                Hint::Keys(keys) => Bson::Document(keys),
                Hint::Name(name) => Bson::String(name),
                _ => Bson::Null,
            };
            find.insert("hint", hint);
        }
        self.explained(find).await
    }

    pub(super) async fn explained(&self, command: Document) -> StorageResult<Value> {
        let command = doc! { "explain": command, "verbosity": "queryPlanner" };
        let plan = run!(self, self.core.db.run_command(command.clone())).map_err(of_query)?;
        Ok(document_value(&plan))
    }
}

/// Why a query was not answered.
#[derive(Debug)]
pub(super) enum Failed {
    Driver(mongodb::error::Error),
}

impl Failed {
    /// For collections that no request names: whatever is wrong is the server's fault.
    pub(super) fn of_server(self) -> StorageError {
        let Self::Driver(error) = self;
        error.into()
    }
}

impl From<Failed> for StorageError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Driver(error) => of_query(error),
        }
    }
}

fn batch(limit: Option<u64>, most: u32) -> Option<u32> {
    match limit {
        Some(limit) if limit <= FIRST_BATCH.min(most.into()) => None,
        // One more, so that the server ends the cursor with the last document.
        Some(limit) => Some(u32::try_from(limit.saturating_add(1)).unwrap_or(most).min(most)),
        None => Some(most),
    }
}

fn sort(schema: &ClassSchema, order: &[OrderKey]) -> Option<Document> {
    let mut sort = Document::new();
    for key in order {
        match key {
            OrderKey::Score => {
                sort.insert(SCORE, doc! { "$meta": "textScore" });
            }
            OrderKey::Field { path, descending } => {
                let kind = names::kind_of(schema, &path.root);
                if !matches!(kind, Some(Kind::Relation(_))) {
                    sort.insert(names::path_key(schema, path), if *descending { -1 } else { 1 });
                }
            }
        }
    }
    (!sort.is_empty()).then_some(sort)
}

/// Servers answer `$nearSphere` in this order; where one does not, the page is put right.
fn nearest_first(set: RowSet, path: &FieldPath, center: crate::types::GeoPoint) -> RowSet {
    let distance = |index: usize| match set.get(index).map(|row| row.by_name(path.root.as_str())) {
        Some(CellRef::Point(point)) => center.radians_to(point),
        _ => f64::INFINITY,
    };
    let distances: Vec<f64> = (0..set.len()).map(distance).collect();
    if distances.is_sorted() {
        return set;
    }
    let mut order: Vec<usize> = (0..set.len()).collect();
    let by = |index: &usize| distances.get(*index).copied().unwrap_or(f64::INFINITY);
    order.sort_by(|a, b| by(a).partial_cmp(&by(b)).unwrap_or(Ordering::Equal));
    let mut sorted = RowSet::with_capacity(set.layout().clone(), set.len());
    for row in order.into_iter().filter_map(|index| set.get(index)) {
        for column in 0..set.layout().columns.len() {
            match row.cell(column) {
                CellRef::Null => sorted.push_null(),
                CellRef::Bool(b) => sorted.push_bool(b),
                CellRef::Number(n) => sorted.push_number(n),
                CellRef::Date(at) => sorted.push_date(at),
                CellRef::Text(text) => sorted.push_text(text),
                CellRef::Json(json) => sorted.push_json(json),
                CellRef::TextArray(texts) => sorted.push_text_array(texts.iter()),
                CellRef::Point(point) => sorted.push_point(point),
                CellRef::Polygon(ring) => sorted.push_polygon(ring.iter().copied()),
            }
        }
    }
    sorted
}

/// A distinct value as the REST API shows it.
fn shown(schema: &ClassSchema, path: &FieldPath, kind: Option<&Kind>, value: Bson) -> Value {
    use serde_json::json;
    let value = bson_value(value);
    if path.is_dotted() {
        return value;
    }
    match (kind, value) {
        (Some(Kind::Pointer(_)), Value::String(text)) => match text.split_once('$') {
            Some((class, id)) => json!({ "__type": "Pointer", "className": class, "objectId": id }),
            None => Value::Null,
        },
        (Some(Kind::File), Value::String(name)) => json!({ "__type": "File", "name": name }),
        (Some(Kind::Date), Value::Object(date)) if path.is("createdAt") || path.is("updatedAt") => {
            date.get("iso").cloned().unwrap_or(Value::Object(date))
        }
        (Some(Kind::Point), Value::Array(pair)) => {
            let at = |index: usize| pair.get(index).cloned().unwrap_or_default();
            json!({ "__type": "GeoPoint", "latitude": at(1), "longitude": at(0) })
        }
        (Some(Kind::Id), Value::Number(id)) if schema.field("objectId").is_some() => id.to_string().into(),
        (_, value) => value,
    }
}

pub(super) fn bson_value(value: Bson) -> Value {
    let wrapped = bson::RawDocumentBuf::try_from(&doc! { "v": value });
    let value = wrapped.ok().and_then(|raw| raw.get("v").ok().flatten().map(rest_json::to_value));
    value.unwrap_or_default()
}

pub(super) fn document_value(document: &Document) -> Value {
    let raw = bson::RawDocumentBuf::try_from(document);
    raw.map_or(Value::Null, |raw| Value::Object(rest_json::object(&raw)))
}

pub(super) fn at<'a>(object: &'a Object, path: &FieldPath) -> Option<&'a Value> {
    let mut value = object.get(path.root.as_str())?;
    for key in &path.rest {
        value = match value {
            Value::Array(elements) => elements.get(key.parse::<usize>().ok()?)?,
            other => other.get(key)?,
        };
    }
    Some(value)
}

/// Texts, numbers, truth values, arrays, objects; each kind in its own order.
fn value_order(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::String(_) => 1,
        Value::Number(_) => 2,
        Value::Bool(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)).then_with(|| a.to_string().cmp(&b.to_string())),
    }
}

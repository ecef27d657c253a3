//! Finds and counts.

use std::cmp::Ordering;
use std::sync::Arc;

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Bson, Document, doc};
use futures_util::future::BoxFuture;
use mongodb::Collection;
use mongodb::options::FindOptions;

use super::filter::{self, Builder, Near, all_of, permission};
use super::hints::{criteria, hint};
use crate::error::Error;
use crate::query::{Filter, FindHints, FindSpec, OrderKey};
use crate::storage::mongo::error::{boxed, of_query, refused, wants_geo_index, wants_text_index};
use crate::storage::mongo::layout::names::{self, Kind};
use crate::storage::mongo::layout::row::{self, Plan, SCORE};
use crate::storage::mongo::layout::strangers;
use crate::storage::mongo::layout::value::has_numbered_objects;
use crate::storage::mongo::{MongoAdapter, run};
use crate::storage::{StorageError, StorageResult};
use crate::types::aside::{Turns, next_turn};
use crate::types::path::FieldPath;
use crate::types::row::has_permission_columns;
use crate::types::{CellRef, ClassSchema, FieldName, RowSet};

/// What a server answers at first when it is not told otherwise.
const FIRST_BATCH: u64 = 101;
/// What is read in one go.
const TURN_BYTES: usize = 256 * 1024;

/// A find, ready to be sent.
pub struct Query {
    pub filter: Document,
    pub options: FindOptions,
    /// Where nearness orders.
    near: Option<FieldPath>,
    text: Option<FieldPath>,
}

impl MongoAdapter {
    /// The condition on documents of the class that `who` may see (or write, by `_wperm`).
    pub(in crate::storage::mongo) async fn condition(
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

    pub(super) async fn query(
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
    pub(in crate::storage::mongo) fn each_found<'a>(
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
    pub(in crate::storage::mongo) async fn each(
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
                    // A batch is up to 16 MB, and there all at once.
                    let (mut bytes, mut lane) = (0, None);
                    while cursor.advance().await? {
                        let document = cursor.current();
                        bytes += document.as_bytes().len();
                        if !see(document) {
                            break;
                        }
                        if bytes > TURN_BYTES {
                            next_turn(&mut lane, Turns::Read).await;
                            bytes = 0;
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

    pub(in crate::storage::mongo) async fn find_rows(
        &self,
        schema: &Arc<ClassSchema>,
        spec: &FindSpec,
    ) -> StorageResult<RowSet> {
        let plan = row::plan(schema, spec.layout.as_ref(), spec.columns.as_deref(), spec.with_score);
        let is_whole = spec.columns.is_none() && !spec.with_score && has_permission_columns(&schema.name);
        let strangers = &self.core.strangers;
        let joined = || {
            strangers.join(schema, &plan.layout).filter(|_| is_whole).map(|layout| Plan::new(schema, layout))
        };
        let mut met = Vec::new();
        let mut set = match joined() {
            Some(joined) => self.rows_of(schema, spec, &joined, &mut met).await?,
            None => self.rows_of(schema, spec, &plan, &mut met).await?,
        };
        if is_whole
            && strangers.meet(&schema.name, met)
            && let Some(joined) = joined()
        {
            // Met for the first time, most likely: once more, with the columns that were missing.
            drop(set);
            set = self.rows_of(schema, spec, &joined, &mut Vec::new()).await?;
        }
        Ok(match filter::near_field(&spec.filter).filter(|_| spec.order.is_empty()) {
            Some((path, center)) => nearest_first(set, path, center),
            None => set,
        })
    }

    /// `met`: the fields that documents have beyond the plan.
    async fn rows_of(
        &self,
        schema: &ClassSchema,
        spec: &FindSpec,
        plan: &Plan,
        met: &mut Vec<FieldName>,
    ) -> StorageResult<RowSet> {
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
            plan.push_noting(&mut set, document, &mut |key| strangers::note(schema, key, met));
            set.has_room()
        })
        .await?;
        Ok(set)
    }

    pub(in crate::storage::mongo) async fn find_ids(
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

    /// A page of every object by `_id`, a text or an `ObjectId`: the server sorts texts before `ObjectId`s, and compares
    /// each with its kind alone.
    pub(in crate::storage::mongo) async fn scanned(
        &self,
        schema: &Arc<ClassSchema>,
        after: Option<&str>,
        columns: Option<&[FieldName]>,
        most: u64,
    ) -> StorageResult<(RowSet, Option<String>)> {
        const NATIVE: &str = "oid:";
        let native = doc! { "_id": { "$type": "objectId" } };
        let behind = match after.map(|after| (after, after.strip_prefix(NATIVE))) {
            None if has_numbered_objects(&schema.name) => Document::new(),
            // Other ids are none of an object's: `beside` tells of them.
            None => doc! { "$or": [{ "_id": { "$gte": "" } }, native] },
            Some((_, Some(hex))) => {
                let id = bson::oid::ObjectId::parse_str(hex)
                    .map_err(|_| StorageError::Other(boxed("a cursor that is none")))?;
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
            let id = cursor.as_deref().unwrap_or_default();
            let id = id.strip_prefix(NATIVE).unwrap_or(id);
            plan.push_noting(&mut set, document, &mut |key| self.core.beside.meet(&schema.name, key, id));
            true
        })
        .await
        .map_err(Failed::of_server)?;
        let is_last = (set.len() as u64) < most;
        Ok((set, cursor.filter(|_| !is_last)))
    }

    pub(in crate::storage::mongo) async fn count_rows(
        &self,
        schema: &ClassSchema,
        spec: &FindSpec,
    ) -> StorageResult<u64> {
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
}

/// Why a query was not answered.
#[derive(Debug)]
pub enum Failed {
    Driver(mongodb::error::Error),
}

impl Failed {
    /// For collections that no request names: whatever is wrong is the server's fault.
    pub(in crate::storage::mongo) fn of_server(self) -> StorageError {
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

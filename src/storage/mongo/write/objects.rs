//! Creates, updates and deletes. One object is one command; more than one, or an object with its relations, is a
//! transaction where the server has them.

use std::sync::Arc;

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Bson, Document, doc};
use mongodb::options::{FindOneAndUpdateOptions, FindOptions, ReturnDocument};

use super::apply;
use super::update::operators;
use crate::query::FindHints;
use crate::storage::mongo::error::stale;
use crate::storage::mongo::layout::names::{self, AUTH_DATA};
use crate::storage::mongo::layout::row::{self, Plan};
use crate::storage::mongo::layout::value;
use crate::storage::mongo::query::filter::{Near, all_of, permission};
use crate::storage::mongo::transaction::{TRIES, pause};
use crate::storage::mongo::{MongoAdapter, run};
use crate::storage::{Changed, Related, Returning, StorageError, StorageResult, WriteFilter};
use crate::types::row::{Column, ColumnKind, has_permission_columns};
use crate::types::{ClassSchema, FieldName, Layout, Object, RowSet, Update};

/// Does the work in a transaction of its own, again when others wrote the same meanwhile; in the open one, if there
/// is one; or as it comes, where the server has none.
macro_rules! atomically {
    ($adapter:expr, |$inside:ident| $work:expr) => {{
        let adapter: &MongoAdapter = $adapter;
        if adapter.open.is_some() || !adapter.core.has_transactions {
            let $inside = adapter;
            $work.await
        } else {
            let mut tries = 0;
            loop {
                let opened = adapter.start().await?;
                let outcome = {
                    let $inside = &opened;
                    $work.await
                };
                match opened.settle(outcome).await {
                    Err(StorageError::Conflict(_)) if tries < TRIES => {
                        tries += 1;
                        pause(tries).await;
                    }
                    other => break other,
                }
            }
        }
    }};
}

/// A row as it is stored.
///
/// # Errors
/// 111 for values that do not fit, `StaleSchema` for a column the class does not have.
fn stored(schema: &ClassSchema, row: &Object) -> StorageResult<Document> {
    let mut document = Document::new();
    for (name, value) in row {
        if names::is_auth_data(schema, name) {
            for (provider, data) in
                value.as_object().into_iter().flatten().filter(|(_, data)| !data.is_null())
            {
                document.insert(format!("{AUTH_DATA}{provider}"), value::nested(data)?);
            }
            continue;
        }
        if value.is_null() && (schema.name.is_system() || name.starts_with('_')) {
            continue;
        }
        let unknown = || stale(format!("column \"{name}\" of class {} is not known", schema.name));
        let kind = names::kind_of(schema, name).ok_or_else(unknown)?;
        document.insert(names::column_key(schema, name).as_ref(), value::column(schema, name, &kind, value)?);
    }
    if has_permission_columns(&schema.name)
        && let Some(acl) = value::legacy_acl(row.get("_rperm"), row.get("_wperm"))
    {
        document.insert("_acl", acl);
    }
    Ok(document)
}

impl MongoAdapter {
    pub(in crate::storage::mongo) async fn insert(
        &self,
        schema: &ClassSchema,
        rows: &[Object],
    ) -> StorageResult<()> {
        let documents = rows.iter().map(|row| stored(schema, row)).collect::<StorageResult<Vec<_>>>()?;
        match documents.as_slice() {
            [] => Ok(()),
            [one] => self.insert_one(schema, one).await,
            many => atomically!(self, |inside| inside.insert_many(schema, many)),
        }
    }

    async fn insert_one(&self, schema: &ClassSchema, document: &Document) -> StorageResult<()> {
        let collection = self.documents(schema.name.as_str());
        run!(self, collection.insert_one(document))?;
        Ok(())
    }

    async fn insert_many(&self, schema: &ClassSchema, documents: &[Document]) -> StorageResult<()> {
        let collection = self.documents(schema.name.as_str());
        let Err(error) = run!(self, collection.insert_many(documents)) else { return Ok(()) };
        if self.open.is_none() {
            // Without transactions: what came before the refused one is taken back.
            let refused = match error.kind.as_ref() {
                mongodb::error::ErrorKind::InsertMany(errors) => {
                    errors.write_errors.as_ref().and_then(|errors| errors.first()).map(|error| error.index)
                }
                _ => None,
            };
            let before = documents.get(..refused.unwrap_or(0)).unwrap_or_default();
            let ids: Vec<Bson> = before.iter().filter_map(|document| document.get("_id").cloned()).collect();
            self.core.timed(collection.delete_many(doc! { "_id": { "$in": ids } })).await?;
        }
        Err(error.into())
    }

    pub(in crate::storage::mongo) async fn insert_related(
        &self,
        schema: &ClassSchema,
        row: &Object,
        related: &Related,
    ) -> StorageResult<()> {
        let document = stored(schema, row)?;
        atomically!(self, |inside| async {
            inside.insert_one(schema, &document).await?;
            inside.change_members(&schema.name, &related.owner, &related.changes).await
        })
    }

    pub(in crate::storage::mongo) async fn update_with_related(
        &self,
        schema: &Arc<ClassSchema>,
        target: &WriteFilter,
        update: &Update,
        returning: Returning,
        related: &Related,
    ) -> StorageResult<Changed> {
        atomically!(self, |inside| async {
            let changed = inside.update_rows(schema, target, update, returning).await?;
            if changed.count > 0 {
                inside.change_members(&schema.name, &related.owner, &related.changes).await?;
            }
            Ok(changed)
        })
    }

    /// The condition on what a write concerns.
    async fn targets(&self, schema: &ClassSchema, target: &WriteFilter) -> StorageResult<Document> {
        let permitted = permission(schema, "_wperm", target.writers.as_ref());
        let hints = FindHints::default();
        self.condition(schema, &target.filter, permitted, Near::Filters, &hints).await
    }

    pub(in crate::storage::mongo) async fn update_rows(
        &self,
        schema: &Arc<ClassSchema>,
        target: &WriteFilter,
        update: &Update,
        returning: Returning,
    ) -> StorageResult<Changed> {
        let operators = operators(schema, update)?.into_document();
        let filter = self.targets(schema, target).await?;
        let sides = Sides::new(schema, update, returning);
        if operators.is_empty() {
            return self.touched(schema, filter, sides).await;
        }
        if target.filter.pinned_id().is_some() {
            return self.update_one(schema, filter, &operators, sides).await;
        }
        if !returning.before && !returning.after {
            return atomically!(self, |inside| inside.update_many(schema, &filter, &operators));
        }
        atomically!(self, |inside| inside.update_each(schema, &filter, &operators, returning, update))
    }

    /// Nothing is written, yet the rows count as touched and are answered.
    async fn touched(
        &self,
        schema: &Arc<ClassSchema>,
        filter: Document,
        mut sides: Sides,
    ) -> StorageResult<Changed> {
        let collection = self.objects(&schema.name);
        self.each(&collection, filter, FindOptions::default(), |document| {
            sides.push(Some(document), Some(document));
            true
        })
        .await?;
        Ok(sides.changed(self.core.own_stamp()))
    }

    async fn update_many(
        &self,
        schema: &ClassSchema,
        filter: &Document,
        operators: &Document,
    ) -> StorageResult<Changed> {
        let collection = self.documents(schema.name.as_str());
        let done = run!(self, collection.update_many(filter.clone(), operators.clone()))?;
        Ok(Changed { count: done.matched_count, before: None, after: None, stamp: 0 })
    }

    async fn update_one(
        &self,
        schema: &ClassSchema,
        filter: Document,
        operators: &Document,
        mut sides: Sides,
    ) -> StorageResult<Changed> {
        if !sides.wants_any() {
            let collection = self.documents(schema.name.as_str());
            let done = run!(self, collection.update_one(filter.clone(), operators.clone()))?;
            return Ok(Changed { count: done.matched_count, before: None, after: None, stamp: 0 });
        }
        let stamp = self.update_into(schema, filter, operators, &mut sides).await?;
        Ok(sides.changed(stamp))
    }

    /// One object after the other, those that match now.
    async fn update_each(
        &self,
        schema: &Arc<ClassSchema>,
        filter: &Document,
        operators: &Document,
        returning: Returning,
        update: &Update,
    ) -> StorageResult<Changed> {
        let mut sides = Sides::new(schema, update, returning);
        let mut stamp = 0;
        for id in self.ids(schema, filter).await? {
            let one = all_of(vec![doc! { "_id": id }, doc! { "$and": [filter.clone()] }]);
            stamp = stamp.max(self.update_into(schema, one, operators, &mut sides).await?);
        }
        Ok(sides.changed(stamp))
    }

    async fn ids(&self, schema: &ClassSchema, filter: &Document) -> StorageResult<Vec<Bson>> {
        let mut ids = Vec::new();
        let options = FindOptions::builder().projection(doc! { "_id": 1 }).sort(doc! { "_id": 1 }).build();
        let collection = self.objects(&schema.name);
        self.each(&collection, filter.clone(), options, |document| {
            if let Ok(Some(id)) = document.get("_id") {
                ids.extend(Bson::try_from(id).ok());
            }
            true
        })
        .await?;
        Ok(ids)
    }

    async fn update_into(
        &self,
        schema: &ClassSchema,
        filter: Document,
        operators: &Document,
        sides: &mut Sides,
    ) -> StorageResult<u64> {
        let answered = if sides.before.is_some() { ReturnDocument::Before } else { ReturnDocument::After };
        let options = FindOneAndUpdateOptions::builder()
            .return_document(answered)
            .projection(sides.projection.clone())
            .build();
        let collection = self.objects(&schema.name);
        let action = || {
            collection.find_one_and_update(filter.clone(), operators.clone()).with_options(options.clone())
        };
        let (found, stamp) = match &self.open {
            None => {
                let mut session = self.core.client.start_session().await?;
                let found = self.core.timed(action().session(&mut session)).await?;
                (found, self.core.stamp(&session))
            }
            Some(open) => {
                let mut session = open.lock().await;
                let found = self.core.timed(action().session(&mut *session)).await?;
                (found, self.core.stamp(&session))
            }
        };
        let Some(found) = found else { return Ok(0) };
        if sides.before.is_none() {
            sides.push(None, Some(&found));
            return Ok(stamp);
        }
        let after = if sides.after.is_some() { Some(applied(&found, operators)?) } else { None };
        sides.push(Some(&found), after.as_deref());
        Ok(stamp)
    }

    pub(in crate::storage::mongo) async fn delete_rows(
        &self,
        schema: &Arc<ClassSchema>,
        target: &WriteFilter,
        returning_before: bool,
    ) -> StorageResult<Changed> {
        let filter = self.targets(schema, target).await?;
        let collection = self.objects(&schema.name);
        if !returning_before {
            let done = run!(self, collection.delete_many(filter.clone()))?;
            return Ok(Changed { count: done.deleted_count, before: None, after: None, stamp: 0 });
        }
        if target.filter.pinned_id().is_some() {
            return self.delete_each(schema, vec![filter]).await;
        }
        atomically!(self, |inside| async {
            let ids = inside.ids(schema, &filter).await?;
            let one = |id| all_of(vec![doc! { "_id": id }, doc! { "$and": [filter.clone()] }]);
            inside.delete_each(schema, ids.into_iter().map(one).collect()).await
        })
    }

    async fn delete_each(&self, schema: &Arc<ClassSchema>, filters: Vec<Document>) -> StorageResult<Changed> {
        let returning = Returning { before: true, ..Returning::default() };
        let mut sides = Sides::new(schema, &Update::default(), returning);
        let mut last = 0;
        let collection = self.objects(&schema.name);
        for filter in filters {
            let (found, stamp) = match &self.open {
                None => {
                    let mut session = self.core.client.start_session().await?;
                    let action = collection.find_one_and_delete(filter).session(&mut session);
                    let found = self.core.timed(action).await?;
                    (found, self.core.stamp(&session))
                }
                Some(open) => {
                    let mut session = open.lock().await;
                    let action = collection.find_one_and_delete(filter).session(&mut *session);
                    let found = self.core.timed(action).await?;
                    (found, self.core.stamp(&session))
                }
            };
            if let Some(found) = found {
                sides.push(Some(&found), None);
                last = last.max(stamp);
            }
        }
        Ok(sides.changed(last))
    }
}

fn applied(before: &RawDocument, operators: &Document) -> StorageResult<RawDocumentBuf> {
    let broken = |error: bson::error::Error| StorageError::Other(Box::new(error));
    let mut document = Document::try_from(before).map_err(broken)?;
    apply::apply(&mut document, operators);
    RawDocumentBuf::try_from(&document).map_err(broken)
}

/// The rows that a write hands back.
struct Sides {
    plan: Arc<Plan>,
    projection: Option<Document>,
    before: Option<RowSet>,
    after: Option<RowSet>,
    count: u64,
}

impl Sides {
    fn new(schema: &Arc<ClassSchema>, update: &Update, returning: Returning) -> Self {
        let only_written = returning.written_only && !returning.before && returning.after;
        let (plan, projection) = if only_written {
            let plan = Arc::new(Plan::new(schema, Arc::new(written(schema, update))));
            let keys = plan.keys().map(|key| (key.to_owned(), Bson::Int32(1))).collect();
            let projection = Some(keys).filter(|_| !plan.has_auth_data());
            (plan, projection)
        } else {
            (row::whole(schema), None)
        };
        let side = |wanted: bool| wanted.then(|| RowSet::with_capacity(plan.layout.clone(), 1));
        let (before, after) = (side(returning.before), side(returning.after));
        Self { plan, projection, before, after, count: 0 }
    }

    fn wants_any(&self) -> bool {
        self.before.is_some() || self.after.is_some()
    }

    fn push(&mut self, before: Option<&RawDocument>, after: Option<&RawDocument>) {
        self.count += 1;
        for (set, document) in [(&mut self.before, before), (&mut self.after, after)] {
            if let (Some(set), Some(document)) = (set, document) {
                self.plan.push(set, document);
            }
        }
    }

    fn changed(self, stamp: u64) -> Changed {
        let stamp = if self.wants_any() && self.count > 0 { stamp } else { 0 };
        Changed { count: self.count, before: self.before, after: self.after, stamp }
    }
}

/// The columns that the update names, and those that say who may be told of them.
fn written(schema: &ClassSchema, update: &Update) -> Layout {
    let mut columns: Vec<Column> = Vec::new();
    for (path, _) in &update.ops {
        if let Some((name, field)) = schema.fields.get_key_value(path.root.as_str())
            && columns.iter().all(|column| column.name != *name)
        {
            columns.push(Column::new(name.clone(), ColumnKind::Field(field.ty.clone())));
        }
    }
    if has_permission_columns(&schema.name) {
        let permissions = ["_rperm", "_wperm"].map(FieldName::known);
        columns.extend(permissions.map(|name| Column::new(name, ColumnKind::Permissions)));
    }
    Layout { class: schema.name.clone(), columns }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::{ClassName, Field, FieldType};

    #[test]
    fn rows_are_laid_out_as_parse_server_does() {
        let mut user = ClassSchema::with_defaults(ClassName::known("_User"));
        user.fields
            .insert(FieldName::known("boss"), Field::of(FieldType::Pointer(ClassName::known("_User"))));
        let row = json!({
            "objectId": "u", "createdAt": "1970-01-01T00:00:00.001Z", "updatedAt": "1970-01-01T00:00:00.001Z",
            "username": "a", "email": null, "authData": {"fb": {"id": "1"}, "tw": null}, "_hashed_password": "h",
            "boss": {"__type": "Pointer", "className": "_User", "objectId": "b"},
            "_rperm": ["*"], "_wperm": ["u"],
        });
        let document = stored(&user, row.as_object().unwrap()).unwrap();
        let at = bson::DateTime::from_millis(1);
        let expected = doc! {
            "_id": "u", "_created_at": at, "_updated_at": at, "username": "a", "_auth_data_fb": { "id": "1" },
            "_hashed_password": "h", "_p_boss": "_User$b", "_rperm": ["*"], "_wperm": ["u"],
            "_acl": { "*": { "r": true }, "u": { "w": true } },
        };
        assert_eq!(document, expected);
        let unknown = stored(&user, json!({"x": 1}).as_object().unwrap());
        assert!(matches!(unknown, Err(StorageError::StaleSchema(_))));
    }
}

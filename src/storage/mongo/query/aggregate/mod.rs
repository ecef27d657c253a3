//! Pipelines, stage for stage in the server's own words. Fields keep their columns' names on the way, so that indexes
//! serve the first stages; what rows look like after a stage is followed in a [`Scope`].

mod expression;
mod near;
mod output;
mod stages;
mod windows;

use std::collections::HashMap;
use std::sync::Arc;

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Document, doc};

use super::hints;
use crate::query::Pipeline;
use crate::storage::mongo::MongoAdapter;
use crate::storage::mongo::error::of_query;
use crate::storage::mongo::layout::names::{self, AUTH_DATA};
use crate::storage::mongo::query::filter::permission;
use crate::storage::{AggregateOptions, StorageError, StorageResult};
use crate::types::path::FieldPath;
use crate::types::room::Taken;
use crate::types::{ClassName, ClassSchema, FieldName, Object};

/// Columns of users that no pipeline sees, whatever way it takes whole documents apart.
const SECRETS: &[&str] = &[
    "_hashed_password",
    "_password_history",
    "_perishable_token",
    "_perishable_token_expires_at",
    "_email_verify_token",
    "_email_verify_token_expires_at",
    "_account_lockout_expires_at",
    "_failed_login_count",
    "_password_changed_at",
];

/// A document as values in memory is about so many times as long as its bytes.
const IN_MEMORY: usize = 4;

/// The stages that take them away. The server looks for what later stages match before the first of them.
fn without_secrets(schema: &ClassSchema) -> Vec<Document> {
    if !schema.name.is_user() {
        return Vec::new();
    }
    let mut stages = vec![doc! { "$unset": SECRETS.to_vec() }];
    if hides_auth_data(schema) {
        // A column for each provider, whose names nobody knows here.
        let start = doc! { "$substrCP": ["$$this.k", 0, i64::try_from(AUTH_DATA.len()).unwrap_or(i64::MAX)] };
        let kept = doc! { "$filter": {
            "input": { "$objectToArray": "$$ROOT" }, "cond": { "$ne": [start, AUTH_DATA] },
        } };
        stages.push(doc! { "$replaceRoot": { "newRoot": { "$arrayToObject": kept } } });
    }
    stages
}

/// Whether the caller gets users without what somebody could log in with.
fn hides_auth_data(schema: &ClassSchema) -> bool {
    schema.name.is_user() && schema.field("authData").is_none()
}

/// What is known of the rows between two stages.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The fields whose types are known; pointers among them are kept in columns of their own.
    schema: Arc<ClassSchema>,
    /// Rows are the class's documents, internal columns included.
    is_class: bool,
    /// Fields that hold rows of another scope.
    nested: HashMap<String, Scope>,
    /// `objectId` is the pointer that rows were grouped by.
    has_pointer_id: bool,
}

impl Scope {
    pub(in crate::storage::mongo) fn of(schema: &Arc<ClassSchema>) -> Self {
        Self { schema: schema.clone(), is_class: true, nested: HashMap::new(), has_pointer_id: false }
    }

    /// Rows of which nothing is known.
    fn unknown() -> Self {
        let schema = ClassSchema {
            name: ClassName::known("Aggregate"),
            fields: indexmap::IndexMap::new(),
            clp: None,
            indexes: serde_json::Map::new(),
        };
        Self { schema: Arc::new(schema), is_class: false, nested: HashMap::new(), has_pointer_id: false }
    }

    /// The key of a path, into nested rows too.
    fn key(&self, path: &FieldPath) -> String {
        match (self.nested.get(path.root.as_str()), path.rest.split_first()) {
            (Some(inner), Some((first, rest))) => {
                let root = FieldName::internal(first);
                let rest = rest.to_vec();
                let inside = match root {
                    Some(root) => inner.key(&FieldPath { root, rest }),
                    // The place of an array's member.
                    None => std::iter::once(first).chain(&rest).cloned().collect::<Vec<_>>().join("."),
                };
                format!("{}.{inside}", names::column_key(&self.schema, &path.root))
            }
            _ => names::path_key(&self.schema, path),
        }
    }

    fn column(&self, name: &FieldName) -> String {
        names::column_key(&self.schema, name).into_owned()
    }
}

impl MongoAdapter {
    pub(in crate::storage::mongo) async fn aggregated(
        &self,
        class: &Arc<ClassSchema>,
        pipeline: &Pipeline,
        options: &AggregateOptions,
    ) -> StorageResult<Vec<Object>> {
        let mut scope = Scope::of(class);
        let mut stages = without_secrets(class);
        stages.extend(self.stages(pipeline, &mut scope, &options.hints).await?);
        if options.explain {
            let name = self.core.full_name(&class.name);
            let command = doc! { "aggregate": name, "pipeline": stages, "cursor": {} };
            let plan = self.explained(command, options.hints.plan).await?;
            return Ok(plan.as_object().cloned().into_iter().collect());
        }
        let mut objects = Vec::new();
        let (mut taken, mut bytes, mut is_cut) = (Taken::from(&options.hints.room), 0, false);
        self.each_aggregated(class, stages, options, |row| {
            bytes += row.as_bytes().len() * IN_MEMORY;
            is_cut = !taken.grow(bytes);
            if !is_cut {
                objects.push(output::object(row, &scope, options));
            }
            !is_cut
        })
        .await?;
        if is_cut { Err(StorageError::no_room()) } else { Ok(objects) }
    }

    async fn each_aggregated(
        &self,
        class: &ClassSchema,
        stages: Vec<Document>,
        options: &AggregateOptions,
        mut see: impl FnMut(&RawDocument) -> bool + Send,
    ) -> StorageResult<()> {
        let mut given = mongodb::options::AggregateOptions::default();
        given.allow_disk_use = Some(true);
        given.max_time = self.core.max_time;
        given.hint = hints::hint(class, &options.hints);
        given.comment = options.hints.comment.clone().map(bson::Bson::String);
        given.selection_criteria = hints::criteria(&options.hints).filter(|_| self.open.is_none());
        let collection = self.objects(&class.name);
        let sent = collection.aggregate(stages).with_options(given).with_type::<RawDocumentBuf>();
        let work = async {
            match &self.open {
                None => {
                    let mut cursor = sent.await?;
                    while cursor.advance().await? {
                        if !see(cursor.current()) {
                            break;
                        }
                    }
                }
                Some(open) => {
                    let mut session = open.lock().await;
                    let mut cursor = sent.session(&mut *session).await?;
                    while cursor.advance(&mut session).await? {
                        if !see(cursor.current()) {
                            break;
                        }
                    }
                }
            }
            Ok(())
        };
        self.core.timed(work).await.map_err(of_query)
    }

    /// The rows of a class that may be seen.
    fn seen(schema: &ClassSchema, readers: Option<&Arc<[String]>>) -> Option<Document> {
        let permitted = permission(schema, "_rperm", readers);
        (!permitted.is_empty()).then(|| doc! { "$match": permitted })
    }
}

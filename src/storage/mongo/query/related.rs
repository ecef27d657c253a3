//! What a filter asks of other collections, before its own query: one query for each sub-query, never one for each
//! object. Unknown classes and denied access match nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bson::{Bson, doc};
use futures_util::future::BoxFuture;
use mongodb::options::{Collation, CollationStrength, FindOptions};

use super::filter::{Answer, Answers, permission};
use crate::error::Error;
use crate::query::{Access, Constraint, Filter, FindHints, FindSpec, Operand, RelatedTo, SubQuery, operand};
use crate::storage::mongo::MongoAdapter;
use crate::storage::mongo::error::{of_query, refused};
use crate::storage::mongo::layout::names::{self, Kind};
use crate::storage::mongo::layout::rest_json;
use crate::storage::{RelationSide, StorageError, StorageResult};
use crate::types::path::FieldPath;
use crate::types::room::{Lent, Room};
use crate::types::{ClassName, ClassSchema, FieldName, FieldType, Object};

/// The class that a part of a query may look at, if it may look at all.
pub fn reachable(access: &Access) -> Option<&Arc<ClassSchema>> {
    access.schema.as_ref().filter(|_| !access.denied)
}

/// Bytes of what one part of a query may be answered: it becomes part of the query itself, which has 16 MB.
pub const MOST_ANSWERED: usize = 12 * 1024 * 1024;
/// Bytes of an entry in a list of a query, beside its own.
pub const IN_QUERY: usize = 16;

/// 102 for more than that.
pub fn too_many() -> StorageError {
    refused(Error::invalid_query("A sub-query matches too many objects."))
}

/// Room for the rows of a sub-query.
#[derive(Debug)]
struct Answered(AtomicUsize);

impl Room for Answered {
    fn take(&self, bytes: usize) -> bool {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        before.saturating_add(bytes) <= 2 * MOST_ANSWERED
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Most objects that differ from each other in case alone, of which the filter then takes those it wants.
const SAME_BUT_FOR_CASE: i64 = 100;

pub fn ignoring_case() -> Collation {
    Collation::builder().locale("en_US").strength(CollationStrength::Secondary).build()
}

impl MongoAdapter {
    /// Everything that the filter must know.
    pub(in crate::storage::mongo) async fn answers(
        &self,
        schema: &ClassSchema,
        filter: &Filter,
        hints: &FindHints,
    ) -> StorageResult<Answers> {
        let mut answers = Answers::default();
        if wants_answers(schema, filter) {
            self.collect(schema, filter, &mut answers, hints).await?;
        }
        Ok(answers)
    }

    fn collect<'a>(
        &'a self,
        schema: &'a ClassSchema,
        filter: &'a Filter,
        answers: &'a mut Answers,
        hints: &'a FindHints,
    ) -> BoxFuture<'a, StorageResult<()>> {
        Box::pin(async move {
            match filter {
                Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
                    for part in parts {
                        self.collect(schema, part, answers, hints).await?;
                    }
                }
                Filter::Field { path, constraints } => {
                    for constraint in constraints {
                        self.collect_constraint(schema, path, constraint, answers, hints).await?;
                    }
                }
                Filter::RelatedTo(related) => {
                    if let Some(ids) = self.members(related).await? {
                        answers.put(related, Answer::Own(ids));
                    }
                }
            }
            Ok(())
        })
    }

    async fn collect_constraint(
        &self,
        schema: &ClassSchema,
        path: &FieldPath,
        constraint: &Constraint,
        answers: &mut Answers,
        hints: &FindHints,
    ) -> StorageResult<()> {
        if matches!(names::kind_of(schema, &path.root), Some(Kind::Relation(_))) {
            let owners = self.owners(&schema.name, &path.root, constraint, hints).await?;
            answers.put(constraint, Answer::Own(owners.into_iter().map(Bson::String).collect()));
            return Ok(());
        }
        match constraint {
            Constraint::InQuery(sub) | Constraint::NotInQuery(sub) => {
                if let Some(class) = reachable(&sub.access) {
                    let ids = self.sub_ids(sub, class, hints).await?;
                    answers.put(&**sub, Answer::Pointed { class: class.name.to_string(), ids });
                }
            }
            Constraint::Select(sub) | Constraint::DontSelect(sub) => {
                if let (Some(class), Some(key)) = (reachable(&sub.access), &sub.key) {
                    answers.put(&**sub, Answer::Values(self.sub_values(sub, class, key, hints).await?));
                }
            }
            Constraint::EqIgnoreCase(text) if has_caseless_index(schema, path) => {
                let ids = self.same_but_for_case(schema, path, text).await?;
                answers.put(constraint, Answer::Own(ids));
            }
            _ => {}
        }
        Ok(())
    }

    /// The find that a sub-query is.
    fn sub_spec(sub: &SubQuery, columns: Vec<FieldName>, hints: &FindHints) -> FindSpec {
        FindSpec {
            readers: sub.access.readers.clone(),
            order: sub.order.clone(),
            limit: sub.limit,
            skip: sub.skip,
            columns: Some(columns),
            hints: FindHints {
                read_preference: hints.subquery_preference,
                subquery_preference: hints.subquery_preference,
                comment: hints.comment.clone(),
                ..FindHints::default()
            },
            ..FindSpec::new(sub.filter.clone())
        }
    }

    async fn sub_ids(
        &self,
        sub: &SubQuery,
        class: &Arc<ClassSchema>,
        hints: &FindHints,
    ) -> StorageResult<Vec<String>> {
        let mut ids = Vec::new();
        let spec = Self::sub_spec(sub, Vec::new(), hints);
        let mut bytes = 0;
        self.each_found(class, &spec, Some(doc! { "_id": 1 }), |document| {
            match document.get("_id").ok().flatten().map(rest_json::to_value) {
                Some(serde_json::Value::String(id)) => ids.push(id),
                Some(other) => ids.push(other.to_string()),
                None => {}
            }
            bytes += ids.last().map_or(0, String::len) + class.name.as_str().len() + IN_QUERY;
            bytes <= MOST_ANSWERED
        })
        .await?;
        if bytes > MOST_ANSWERED { Err(too_many()) } else { Ok(ids) }
    }

    async fn sub_values(
        &self,
        sub: &SubQuery,
        class: &Arc<ClassSchema>,
        key: &FieldPath,
        hints: &FindHints,
    ) -> StorageResult<Vec<Operand>> {
        let mut values = Vec::new();
        let mut spec = Self::sub_spec(sub, vec![key.root.clone()], hints);
        spec.hints.room = Lent::of(Arc::new(Answered(AtomicUsize::new(0))));
        let rows = self.find_rows(class, &spec).await?;
        if rows.is_cut() {
            return Err(too_many());
        }
        for row in rows.iter() {
            let object = row.to_object();
            let Some(value) = at(&object, key) else { continue };
            match value {
                serde_json::Value::Array(list) => values.extend(list.iter().map(operand)),
                serde_json::Value::String(text) if key.is("createdAt") || key.is("updatedAt") => {
                    let typed = serde_json::json!({ "__type": "Date", "iso": text });
                    values.push(operand(&typed));
                }
                value => values.push(operand(value)),
            }
        }
        values.retain(|value| *value != Operand::Null);
        Ok(values)
    }

    /// Members of one object's relation; `None` where the asker may not know of them.
    async fn members(&self, related: &RelatedTo) -> StorageResult<Option<Vec<Bson>>> {
        let is_relation = |schema: &&Arc<ClassSchema>| {
            matches!(schema.field_type(&related.key), Some(FieldType::Relation(_)))
        };
        let Some(owner) = reachable(&related.access).filter(is_relation) else { return Ok(None) };
        if related.access.readers.is_some() {
            let mut filter = permission(owner, "_rperm", related.access.readers.as_ref());
            filter.insert("_id", related.owner_id.as_str());
            let found =
                crate::storage::mongo::run!(self, self.objects(&owner.name).count_documents(filter).limit(1));
            if found.map_err(of_query)? == 0 {
                return Ok(None);
            }
        }
        let owners = RelationSide::Owners(vec![related.owner_id.clone()]);
        let ids = self.pairs(&ClassName::join(&related.key, &related.owner_class), &owners).await?;
        Ok(Some(ids.into_iter().map(Bson::String).collect()))
    }

    /// Objects whose relation holds what the constraint (or what it negates) asks for.
    async fn owners(
        &self,
        class: &ClassName,
        field: &FieldName,
        constraint: &Constraint,
        hints: &FindHints,
    ) -> StorageResult<Vec<String>> {
        let ids = |list: &[Operand]| {
            let id = |operand: &Operand| match operand {
                Operand::Pointer { id, .. } | Operand::Text(id) => Some(id.clone()),
                _ => None,
            };
            list.iter().filter_map(id).collect::<Vec<String>>()
        };
        let join = ClassName::join(field, class);
        let members = match constraint {
            Constraint::Eq(operand) | Constraint::Ne(operand) => ids(std::slice::from_ref(operand)),
            Constraint::In(list) | Constraint::Nin(list) => ids(list),
            Constraint::InQuery(sub) | Constraint::NotInQuery(sub) => match reachable(&sub.access) {
                Some(class) => self.sub_ids(sub, class, hints).await?,
                None => Vec::new(),
            },
            Constraint::Exists(_) => return self.all_owners(&join).await,
            _ => Vec::new(),
        };
        if members.is_empty() {
            return Ok(Vec::new());
        }
        self.pairs(&join, &RelationSide::Members(members)).await
    }

    async fn same_but_for_case(
        &self,
        schema: &ClassSchema,
        path: &FieldPath,
        text: &str,
    ) -> StorageResult<Vec<Bson>> {
        let filter = doc! { names::path_key(schema, path): text };
        let options = FindOptions::builder()
            .projection(doc! { "_id": 1 })
            .collation(ignoring_case())
            .limit(SAME_BUT_FOR_CASE)
            .build();
        let mut ids = Vec::new();
        let action = self.objects(&schema.name);
        self.each(&action, filter, options, |document| {
            if let Ok(Some(id)) = document.get("_id") {
                ids.extend(Bson::try_from(id).ok());
            }
            true
        })
        .await?;
        Ok(ids)
    }
}

/// Whether start-up made an index that does not mind case.
fn has_caseless_index(schema: &ClassSchema, path: &FieldPath) -> bool {
    schema.name.is_user() && (path.is("username") || path.is("email"))
}

/// Whether anything but the document itself decides.
fn wants_answers(schema: &ClassSchema, filter: &Filter) -> bool {
    match filter {
        Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
            parts.iter().any(|part| wants_answers(schema, part))
        }
        Filter::Field { path, constraints } => {
            let asks = |constraint: &Constraint| {
                constraint.subquery().is_some() || matches!(constraint, Constraint::EqIgnoreCase(_))
            };
            matches!(schema.field_type(&path.root), Some(FieldType::Relation(_)))
                || constraints.iter().any(asks)
        }
        Filter::RelatedTo(_) => true,
    }
}

/// What is at a path of an object.
fn at<'a>(object: &'a Object, path: &FieldPath) -> Option<&'a serde_json::Value> {
    let mut value = object.get(path.root.as_str())?;
    for key in &path.rest {
        value = match value {
            serde_json::Value::Array(elements) => elements.get(key.parse::<usize>().ok()?)?,
            other => other.get(key)?,
        };
    }
    Some(value)
}

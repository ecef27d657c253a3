//! One stage at a time.

use bson::{Bson, Document, doc};
use futures_util::future::BoxFuture;

use super::expression::{expression, value};
use super::{SECRETS, Scope, hides_auth_data, without_secrets};
use crate::error::Error;
use crate::query::pipeline::{
    Accumulate, Accumulator, Expr, GraphLookup, Group, Lookup, Pipeline, Source, Stage,
};
use crate::query::{Constraint, Filter, FindHints};
use crate::storage::mongo::MongoAdapter;
use crate::storage::mongo::query::filter::{Near, all_of, permission};
use crate::storage::mongo::query::related::reachable;
use crate::storage::{StorageError, StorageResult};
use crate::types::path::FieldPath;
use crate::types::{ClassName, FieldName, FieldType};

/// What a join compares with, where the two sides are kept differently.
const JOINED: &str = "_parsimony_joined";

impl MongoAdapter {
    pub(super) fn stages<'a>(
        &'a self,
        pipeline: &'a Pipeline,
        scope: &'a mut Scope,
        hints: &'a FindHints,
    ) -> BoxFuture<'a, StorageResult<Vec<Document>>> {
        Box::pin(async move {
            let mut stages = Vec::new();
            for stage in &pipeline.stages {
                self.stage(stage, scope, &mut stages, hints).await?;
            }
            Ok(stages)
        })
    }

    async fn stage(
        &self,
        stage: &Stage,
        scope: &mut Scope,
        out: &mut Vec<Document>,
        hints: &FindHints,
    ) -> StorageResult<()> {
        match stage {
            Stage::Match { filter, condition } => {
                let filter = renamed(filter, scope);
                let (schema, all) = (scope.schema.clone(), Document::new());
                let mut wanted = self.condition(&schema, &filter, all, Near::Filters, hints).await?;
                if let Some(condition) = condition {
                    wanted = all_of(vec![wanted, doc! { "$expr": expression(condition, scope)? }]);
                }
                out.push(doc! { "$match": wanted });
            }
            Stage::Group(group) => out.push(grouped(group, scope)?),
            Stage::Shape { keep_id, fields } => out.push(shaped(*keep_id, fields, scope)?),
            Stage::Exclude(paths) => {
                let keys: Vec<String> = paths.iter().map(|path| scope.key(path)).collect();
                out.push(doc! { "$unset": keys });
                forget(scope, paths.iter().filter(|path| !path.is_dotted()).map(|path| &path.root));
            }
            Stage::AddFields(fields) => added(fields, scope, out)?,
            Stage::ReplaceRoot(root) => {
                out.push(doc! { "$replaceRoot": { "newRoot": expression(root, scope)? } });
                if *root != Expr::Root {
                    let inner = match root {
                        Expr::Field(path) if !path.is_dotted() => {
                            scope.nested.get(path.root.as_str()).cloned()
                        }
                        _ => None,
                    };
                    *scope = inner.unwrap_or_else(Scope::unknown);
                }
            }
            Stage::Sort(keys) => {
                let direction = |descending: bool| if descending { -1 } else { 1 };
                let keys: Document =
                    keys.iter().map(|key| (scope.key(&key.path), direction(key.descending).into())).collect();
                out.push(doc! { "$sort": keys });
            }
            Stage::Limit(limit) => out.push(doc! { "$limit": whole(*limit) }),
            Stage::Skip(skip) => out.push(doc! { "$skip": whole(*skip) }),
            Stage::Sample(size) => out.push(doc! { "$sample": { "size": whole(*size) } }),
            Stage::Unwind { path, keep_empty, index } => {
                let mut unwind = doc! {
                    "path": format!("${}", scope.key(path)), "preserveNullAndEmptyArrays": *keep_empty,
                };
                if let Some(index) = index {
                    unwind.insert("includeArrayIndex", scope.column(index));
                }
                out.push(doc! { "$unwind": unwind });
            }
            Stage::Count(name) => {
                *scope = Scope::unknown();
                out.push(doc! { "$count": scope.column(name) });
            }
            Stage::Lookup(lookup) => self.looked_up(lookup, scope, out, hints).await?,
            Stage::GraphLookup(graph) => self.graph_looked_up(graph, scope, out, hints).await?,
            Stage::GeoNear(near) => self.near(near, scope, out, hints).await?,
            Stage::UnionWith { source, pipeline } => {
                if let Some((class, inner, _)) = self.of_source(source, pipeline, hints).await? {
                    let with = doc! { "coll": self.core.full_name(&class), "pipeline": inner };
                    out.push(doc! { "$unionWith": with });
                }
            }
            Stage::Windows(windows) => Self::windowed(windows, scope, out)?,
            Stage::Facet(facets) => {
                let mut all = Document::new();
                let mut next = Scope::unknown();
                for (name, pipeline) in facets {
                    let mut inner = scope.clone();
                    all.insert(name.as_str(), self.stages(pipeline, &mut inner, hints).await?);
                    next.nested.insert(name.as_str().to_owned(), inner);
                }
                *scope = next;
                out.push(doc! { "$facet": all });
            }
        }
        Ok(())
    }

    /// The rows of another class that may be seen, through its pipeline.
    async fn of_source(
        &self,
        source: &Source,
        pipeline: &Pipeline,
        hints: &FindHints,
    ) -> StorageResult<Option<(ClassName, Vec<Document>, Scope)>> {
        let Some(schema) = reachable(&source.access) else { return Ok(None) };
        let mut scope = Scope::of(schema);
        let mut stages: Vec<Document> =
            Self::seen(schema, source.access.readers.as_ref()).into_iter().collect();
        stages.extend(without_secrets(schema));
        stages.extend(self.stages(pipeline, &mut scope, hints).await?);
        Ok(Some((schema.name.clone(), stages, scope)))
    }

    async fn looked_up(
        &self,
        lookup: &Lookup,
        scope: &mut Scope,
        out: &mut Vec<Document>,
        hints: &FindHints,
    ) -> StorageResult<()> {
        let into = lookup.into.as_str().to_owned();
        let mut found = self.of_source(&lookup.source, &lookup.pipeline, hints).await?;
        let Some((class, pipeline, inner)) = found.take() else {
            out.push(doc! { "$set": { into: [] } });
            return Ok(());
        };
        let mut stage = doc! { "from": self.core.full_name(&class), "as": into.as_str() };
        let mut joins = false;
        if let (Some((local, foreign)), Some(schema)) = (&lookup.equal, reachable(&lookup.source.access)) {
            let theirs = Scope::of(schema);
            let mut local_key = scope.key(local);
            if let Some(joined) = joined(scope, local, &theirs, foreign) {
                out.push(doc! { "$set": { JOINED: joined } });
                JOINED.clone_into(&mut local_key);
                joins = true;
            }
            stage.insert("localField", local_key);
            stage.insert("foreignField", theirs.key(foreign));
        }
        if !lookup.variables.is_empty() {
            let mut variables = Document::new();
            for (name, given) in &lookup.variables {
                variables.insert(name.as_str(), expression(given, scope)?);
            }
            stage.insert("let", variables);
        }
        if !pipeline.is_empty() || lookup.equal.is_none() {
            stage.insert("pipeline", pipeline);
        }
        out.push(doc! { "$lookup": stage });
        if joins {
            out.push(doc! { "$unset": JOINED });
        }
        scope.nested.insert(into, inner);
        Ok(())
    }

    async fn graph_looked_up(
        &self,
        graph: &GraphLookup,
        scope: &mut Scope,
        out: &mut Vec<Document>,
        hints: &FindHints,
    ) -> StorageResult<()> {
        let into = graph.into.as_str().to_owned();
        let Some(schema) = reachable(&graph.source.access) else {
            out.push(doc! { "$set": { into: [] } });
            return Ok(());
        };
        if hides_auth_data(schema) {
            // The steps are the database's, which shows whole documents.
            let text = "Users cannot be steps of a $graphLookup with the readOnlyMasterKey";
            return Err(StorageError::Refused(Error::forbidden(text)));
        }
        let theirs = Scope::of(schema);
        let wanted = self.condition(schema, &graph.filter, Document::new(), Near::Filters, hints).await?;
        let permitted = permission(schema, "_rperm", graph.source.access.readers.as_ref());
        let mut stage = doc! {
            "from": self.core.full_name(&schema.name),
            "startWith": expression(&graph.start, scope)?,
            "connectFromField": theirs.key(&graph.from),
            "connectToField": theirs.key(&graph.to),
            "as": into.as_str(),
            "restrictSearchWithMatch": all_of(vec![wanted, permitted]),
        };
        if let Some(depth) = graph.max_depth {
            stage.insert("maxDepth", i64::from(depth));
        }
        if let Some(name) = &graph.depth_field {
            stage.insert("depthField", name.as_str());
        }
        out.push(doc! { "$graphLookup": stage });
        if schema.name.is_user() {
            let secrets: Vec<String> = SECRETS.iter().map(|secret| format!("{into}.{secret}")).collect();
            out.push(doc! { "$unset": secrets });
        }
        forget(scope, std::iter::once(&graph.into));
        scope.nested.insert(into, theirs);
        Ok(())
    }
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn pointer_of<'s>(scope: &'s Scope, path: &FieldPath) -> Option<&'s ClassName> {
    match scope.schema.field_type(&path.root) {
        Some(FieldType::Pointer(target)) if !path.is_dotted() => Some(target),
        _ => None,
    }
}

/// Pointers are kept as `Class$id`, which no id equals: the own side becomes what the other one is.
fn joined(scope: &Scope, local: &FieldPath, theirs: &Scope, foreign: &FieldPath) -> Option<Bson> {
    if pointer_of(scope, local).is_some() && foreign.is("objectId") {
        let key = format!("${}", scope.key(local));
        let id = doc! { "$arrayElemAt": [{ "$split": [key.as_str(), { "$literal": "$" }] }, 1] };
        let is_text = doc! { "$eq": [{ "$type": key.as_str() }, "string"] };
        return Some(Bson::Document(doc! { "$cond": [is_text, id, "$$REMOVE"] }));
    }
    if pointer_of(theirs, foreign).is_some() && local.is("objectId") && scope.is_class {
        let prefix = doc! { "$literal": format!("{}$", scope.schema.name) };
        return Some(Bson::Document(doc! { "$concat": [prefix, "$_id"] }));
    }
    None
}

/// The filter with paths into nested rows in their columns' names.
fn renamed(filter: &Filter, scope: &Scope) -> Filter {
    let each = |parts: &[Filter]| parts.iter().map(|part| renamed(part, scope)).collect();
    match filter {
        Filter::And(parts) => Filter::And(each(parts)),
        Filter::Or(parts) => Filter::Or(each(parts)),
        Filter::Nor(parts) => Filter::Nor(each(parts)),
        Filter::Field { path, constraints } if scope.nested.contains_key(path.root.as_str()) => {
            let key = scope.key(path);
            let rest = key.split('.').skip(1).map(str::to_owned).collect();
            let constraints: Vec<Constraint> = constraints.clone();
            Filter::Field { path: FieldPath { root: path.root.clone(), rest }, constraints }
        }
        other => other.clone(),
    }
}

/// These fields are not what they were.
pub(super) fn forget<'n>(scope: &mut Scope, names: impl Iterator<Item = &'n FieldName>) {
    let mut schema = (*scope.schema).clone();
    for name in names {
        schema.fields.shift_remove(name);
        scope.nested.remove(name.as_str());
        scope.has_pointer_id &= *name != "objectId";
    }
    scope.schema = schema.into();
}

fn grouped(group: &Group, scope: &mut Scope) -> StorageResult<Document> {
    let mut next = Scope::unknown();
    if let Expr::Field(path) = &group.key {
        next.has_pointer_id = pointer_of(scope, path).is_some();
    }
    let mut stage = doc! { "_id": expression(&group.key, scope)? };
    for (name, accumulator) in &group.accumulators {
        stage.insert(next.column(name), accumulated(accumulator, scope)?);
    }
    *scope = next;
    Ok(doc! { "$group": stage })
}

/// `{$sum: …}` and its kind.
pub(super) fn accumulated(accumulator: &Accumulator, scope: &Scope) -> StorageResult<Document> {
    let operator = match accumulator.kind {
        Accumulate::Count | Accumulate::Sum => "$sum",
        Accumulate::Avg => "$avg",
        Accumulate::StdDevPop => "$stdDevPop",
        Accumulate::StdDevSamp => "$stdDevSamp",
        Accumulate::Min => "$min",
        Accumulate::Max => "$max",
        Accumulate::First => "$first",
        Accumulate::Last => "$last",
        Accumulate::Push => "$push",
        Accumulate::AddToSet => "$addToSet",
    };
    let value = match accumulator.kind {
        Accumulate::Count => Bson::Int32(1),
        _ => expression(&accumulator.value, scope)?,
    };
    Ok(doc! { operator: value })
}

fn shaped(keep_id: bool, fields: &[(FieldPath, Expr)], scope: &mut Scope) -> StorageResult<Document> {
    let mut next = Scope::unknown();
    next.has_pointer_id = scope.has_pointer_id && keep_id;
    let mut schema = (*next.schema).clone();
    let mut shape = Document::new();
    for (path, value) in fields {
        let is_kept = !path.is_dotted() && *value == Expr::Field(path.clone());
        if is_kept {
            if let Some((name, field)) = scope.schema.fields.get_key_value(&path.root) {
                schema.fields.insert(name.clone(), field.clone());
            }
            if let Some(inner) = scope.nested.get(path.root.as_str()) {
                next.nested.insert(path.root.as_str().to_owned(), inner.clone());
            }
        }
    }
    next.schema = schema.into();
    for (path, given) in fields {
        let is_kept = *given == Expr::Field(path.clone());
        let shown = if is_kept { Bson::Int32(1) } else { value(given, scope)? };
        shape.insert(if is_kept { scope.key(path) } else { next.key(path) }, shown);
    }
    if !keep_id && !shape.contains_key("_id") {
        shape.insert("_id", 0);
    }
    *scope = next;
    Ok(doc! { "$project": shape })
}

fn added(fields: &[(FieldPath, Expr)], scope: &mut Scope, out: &mut Vec<Document>) -> StorageResult<()> {
    let mut set = Document::new();
    let mut unset: Vec<String> = Vec::new();
    for (path, given) in fields {
        let is_pointer = pointer_of(scope, path).is_some();
        if is_pointer {
            unset.push(scope.key(path));
        }
        let key = if is_pointer { path.root.as_str().to_owned() } else { scope.key(path) };
        set.insert(key, value(given, scope)?);
    }
    out.push(doc! { "$set": set });
    if !unset.is_empty() {
        out.push(doc! { "$unset": unset });
    }
    let whole: Vec<FieldName> =
        fields.iter().filter(|(path, _)| !path.is_dotted()).map(|(path, _)| path.root.clone()).collect();
    forget(scope, whole.iter());
    Ok(())
}

//! The same generated writes, queries and pipelines to the adapter in memory, PostgreSQL and MongoDB (SecantusDB): the
//! same answers, but for what the databases force, which is left out or evened out below and stands in
//! docs/compatibility.md.
//!
//! `PARSIMONY_DIFFERENTIAL` is the number of steps (1,200 by default; 10,000 by hand).

use std::fmt::Write as _;
use std::sync::Arc;

use parsimony::query::pipeline::parse_pipeline;
use parsimony::query::{Filter, FindSpec, OrderKey, ParseContext, QueryLimits, parse_where};
use parsimony::storage::memory::MemoryAdapter;
use parsimony::storage::mongo::{MongoAdapter, MongoOptions};
use parsimony::storage::postgres::{PostgresAdapter, PostgresOptions};
use parsimony::storage::{AggregateOptions, Changed, Returning, StorageAdapter, StorageError, WriteFilter};
use parsimony::types::path::FieldPath;
use parsimony::types::update::Op;
use parsimony::types::{ClassSchema, FieldName, ObjectId, RowSet, Update};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::query_properties::{FIELDS, inner, instant, number, object, query, target, text, thing};
use crate::query_support::NOW;
use crate::support::database::TestDatabase;
use crate::support::mongo::TestMongo;

/// Ids that objects may have; few, so that writes meet.
const IDS: usize = 24;
/// Disagreements that are printed.
const SHOWN: usize = 15;

/// One thing to do.
#[derive(Clone, Debug)]
enum Step {
    Create(Value),
    Update { id: String, ops: Vec<(String, Op)> },
    UpdateWhere { query: Value, ops: Vec<(String, Op)> },
    Delete(String),
    DeleteWhere(Value),
    Find { query: Value, order: Option<(&'static str, bool)>, limit: Option<u64>, skip: u64 },
    Count(Value),
    Distinct { path: &'static str, query: Value },
    Aggregate(Value),
}

fn id() -> impl Strategy<Value = String> {
    (0..IDS).prop_map(|n| format!("id{n:02}"))
}

fn op() -> impl Strategy<Value = (String, Op)> {
    let numbers = (prop::sample::select(vec!["num", "obj.a", "obj.b"]), number())
        .prop_map(|(path, by)| (path.to_owned(), Op::Increment(by.as_f64().unwrap())));
    let list = || prop::collection::vec(inner(), 0..3);
    let lists = (prop::sample::select(vec!["list", "obj.b"]), list(), 0..3).prop_map(|(path, list, kind)| {
        let op = match kind {
            0 => Op::Add(list),
            1 => Op::AddUnique(list),
            _ => Op::Remove(list),
        };
        (path.to_owned(), op)
    });
    let sets = prop_oneof![
        text().prop_map(|value| ("text".to_owned(), Op::Set(value))),
        number().prop_map(|value| ("num".to_owned(), Op::Set(value))),
        any::<bool>().prop_map(|value| ("flag".to_owned(), Op::Set(value.into()))),
        instant().prop_map(|value| ("at".to_owned(), Op::Set(value))),
        target().prop_map(|value| ("owner".to_owned(), Op::Set(value))),
        (prop::sample::select(vec!["obj.a", "obj.b", "obj.b.c"]), inner())
            .prop_map(|(path, value)| (path.to_owned(), Op::Set(value))),
    ];
    let unset = prop::sample::select([&FIELDS[..], &["obj.a", "obj.b.c"]].concat())
        .prop_map(|path| (path.to_owned(), Op::Unset));
    prop_oneof![3 => numbers, 4 => lists, 4 => sets, 1 => unset]
}

/// Operations on different roots: what one object may get at a time.
fn ops() -> impl Strategy<Value = Vec<(String, Op)>> {
    prop::collection::vec(op(), 1..4).prop_map(|ops| {
        let mut kept: Vec<(String, Op)> = Vec::new();
        let root = |path: &str| path.split('.').next().unwrap().to_owned();
        for (path, op) in ops {
            if kept.iter().all(|(other, _)| root(other) != root(&path)) {
                kept.push((path, op));
            }
        }
        kept
    })
}

fn order() -> impl Strategy<Value = Option<(&'static str, bool)>> {
    prop::option::of((prop::sample::select(vec!["text", "num", "at", "createdAt"]), any::<bool>()))
}

fn pipeline() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![json!("$text"), json!("$num"), json!("$flag"), Value::Null]);
    let figure = prop::sample::select(vec![
        json!({"$sum": 1}),
        json!({"$sum": "$num"}),
        json!({"$avg": "$num"}),
        json!({"$min": "$num"}),
        json!({"$max": "$at"}),
        json!({"$sum": {"$cond": [{"$gt": ["$num", 0]}, 1, 0]}}),
    ]);
    let shape = prop::sample::select(vec![
        json!({"x": {"$add": [{"$ifNull": ["$num", 0]}, 1]}}),
        json!({"x": {"$concat": [{"$ifNull": ["$text", "-"]}, "!"]}}),
        json!({"x": {"$size": {"$ifNull": ["$list", []]}}}),
        json!({"x": {"$cond": ["$flag", "yes", "no"]}}),
    ]);
    prop_oneof![
        (query(), key, figure).prop_map(|(query, key, figure)| {
            json!([{"$match": query}, {"$group": {"_id": key, "x": figure}}])
        }),
        (query(), shape).prop_map(|(query, shape)| json!([{"$match": query}, {"$project": shape}])),
        (query(), 0..5, 1..5).prop_map(|(query, skip, limit)| {
            let only = json!({"$project": {"text": 1, "num": 1}});
            json!([{"$match": query}, {"$sort": {"objectId": 1}}, {"$skip": skip}, {"$limit": limit}, only])
        }),
        query().prop_map(|query| json!([{"$match": query}, {"$count": "x"}])),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (id(), object()).prop_map(|(id, mut object)| {
            object.insert("objectId".to_owned(), id.into());
            Step::Create(Value::Object(object))
        }),
        6 => (id(), ops()).prop_map(|(id, ops)| Step::Update { id, ops }),
        2 => (query(), ops()).prop_map(|(query, ops)| Step::UpdateWhere { query, ops }),
        1 => id().prop_map(Step::Delete),
        1 => (query(), id()).prop_map(|(query, id)| Step::DeleteWhere(json!({"$and": [query, {"objectId": id}]}))),
        8 => (query(), order(), prop::option::of(1..9_u64), 0..3_u64)
            .prop_map(|(query, order, limit, skip)| Step::Find { query, order, limit, skip }),
        2 => query().prop_map(Step::Count),
        1 => (prop::sample::select(vec!["text", "num", "flag", "at", "obj.a", "list", "owner"]), query())
            .prop_map(|(path, query)| Step::Distinct { path, query }),
        2 => pipeline().prop_map(Step::Aggregate),
    ]
}

/// Why these databases may answer a query differently, whatever anybody does.
fn is_forced(query: &Value) -> bool {
    let text = query.to_string();
    // Points on the edge of an area are inside, or not, as each database has it; the nearest in a filter of an
    // `$or` is a find that MongoDB does not know.
    text.contains("$box") || text.contains("$polygon") || text.contains("$geoIntersects")
        // MongoDB compares whole objects by the order of their keys, and knows no value in another's place: typed
        // values within objects are objects.
        || compares_objects(query)
}

/// Whether a value that is an object (and no typed one) is compared, or a list that has some.
fn compares_objects(query: &Value) -> bool {
    fn plain(value: &Value) -> bool {
        match value {
            Value::Object(object) => !object.contains_key("__type"),
            Value::Array(list) => list.iter().any(plain),
            _ => false,
        }
    }
    fn constraint(value: &Value) -> bool {
        let Value::Object(object) = value else { return plain(value) };
        if object.keys().any(|key| key.starts_with('$')) {
            return object.iter().any(|(key, operand)| {
                matches!(
                    key.as_str(),
                    "$eq"
                        | "$ne"
                        | "$lt"
                        | "$lte"
                        | "$gt"
                        | "$gte"
                        | "$in"
                        | "$nin"
                        | "$all"
                        | "$containedBy"
                ) && plain(operand)
            });
        }
        plain(value)
    }
    query.as_object().into_iter().flatten().any(|(key, value)| match (key.as_str(), value) {
        ("$or" | "$and" | "$nor", Value::Array(parts)) => parts.iter().any(compares_objects),
        _ => constraint(value),
    })
}

struct Three {
    all: Vec<(&'static str, Arc<dyn StorageAdapter>)>,
    class: Arc<ClassSchema>,
}

fn path(dotted: &str) -> FieldPath {
    let mut parts = dotted.split('.').map(str::to_owned);
    FieldPath { root: FieldName::internal(&parts.next().unwrap()).unwrap(), rest: parts.collect() }
}

fn rows(set: &RowSet) -> Value {
    set.iter().map(|row| Value::Object(row.to_object())).collect()
}

fn sorted(rows: Value) -> Value {
    let Value::Array(mut rows) = rows else { return rows };
    rows.sort_by_key(|row| row["objectId"].to_string() + &row.to_string());
    rows.into()
}

fn changed(changed: &Changed) -> Value {
    let side = |set: &Option<RowSet>| set.as_ref().map_or(Value::Null, |set| sorted(rows(set)));
    json!({"count": changed.count, "before": side(&changed.before), "after": side(&changed.after)})
}

fn outcome(answer: Result<Value, StorageError>) -> Value {
    match answer {
        Ok(value) => value,
        Err(StorageError::Refused(error)) => json!({"refused": error.code().map(|code| code.0)}),
        Err(StorageError::Duplicate { field, .. }) => json!({ "duplicate": field }),
        Err(StorageError::StaleSchema(_)) => json!("stale"),
        Err(other) => json!({"failed": other.to_string()}),
    }
}

impl Three {
    fn filter(&self, query: &Value) -> Option<Filter> {
        let ctx =
            ParseContext { is_master: true, limits: QueryLimits::NONE, now: NOW, schema: Some(&self.class) };
        parse_where(query, &ctx).ok()
    }

    /// `None`: the step is refused before any database is asked.
    async fn answer(&self, storage: &dyn StorageAdapter, step: &Step) -> Option<Value> {
        const BOTH: Returning = Returning { before: true, after: true, written_only: false };
        let class = &self.class;
        let update = |ops: &[(String, Op)]| Update {
            ops: ops.iter().map(|(at, op)| (path(at), op.clone())).collect(),
        };
        let by_id =
            |id: &str| WriteFilter { filter: Filter::by_id(&ObjectId::new(id).unwrap()), writers: None };
        let target = |query: &Value| Some(WriteFilter { filter: self.filter(query)?, writers: None });
        let answer = match step {
            Step::Create(object) => {
                let mut object = object.as_object().unwrap().clone();
                for date in ["createdAt", "updatedAt"] {
                    object.insert(date.to_owned(), "2020-01-01T00:00:00.000Z".into());
                }
                storage.create(class, &[object]).await.map(|()| Value::Null)
            }
            Step::Update { id, ops } => {
                storage.update(class, &by_id(id), &update(ops), BOTH).await.map(|it| changed(&it))
            }
            Step::UpdateWhere { query, ops } => {
                storage.update(class, &target(query)?, &update(ops), BOTH).await.map(|it| changed(&it))
            }
            Step::Delete(id) => storage.delete(class, &by_id(id), true).await.map(|it| changed(&it)),
            Step::DeleteWhere(query) => {
                storage.delete(class, &target(query)?, true).await.map(|it| changed(&it))
            }
            Step::Find { query, order, limit, skip } => {
                // Unset values sort first or last, as the database has it.
                let set = order.map(|(field, _)| json!({ field: {"$exists": true} }));
                let query = set.map_or(query.clone(), |set| json!({"$and": [query, set]}));
                let by = |field: &str, descending| OrderKey::Field { path: path(field), descending };
                let mut spec = FindSpec::new(self.filter(&query)?);
                let is_near = query.to_string().contains("$nearSphere");
                if order.is_some() || limit.is_some() || *skip > 0 || !is_near {
                    spec.order = order.map(|(field, descending)| by(field, descending)).into_iter().collect();
                    spec.order.push(by("objectId", false));
                }
                (spec.limit, spec.skip) = (*limit, *skip);
                let found = storage.find(class, &spec).await.map(|found| rows(&found));
                if spec.order.is_empty() { found.map(sorted) } else { found }
            }
            Step::Count(query) => {
                storage.count(class, &FindSpec::new(self.filter(query)?)).await.map(Value::from)
            }
            Step::Distinct { path: at, query } => {
                let spec = FindSpec::new(self.filter(query)?);
                storage.distinct(class, &path(at), &spec).await.map(|mut values| {
                    values.sort_by_key(Value::to_string);
                    values.into()
                })
            }
            Step::Aggregate(stages) => {
                let pipeline = parse_pipeline(stages.as_array().unwrap(), Some(class)).ok()?;
                let rows = storage.aggregate(class, &pipeline, &AggregateOptions::default()).await;
                rows.map(|rows| sorted(rows.into_iter().map(Value::Object).collect()))
            }
        };
        Some(outcome(answer))
    }

    async fn everything(&self, storage: &dyn StorageAdapter) -> Value {
        let found = storage.find(&self.class, &FindSpec::new(Filter::all())).await.unwrap();
        sorted(rows(&found))
    }

    async fn empty(&self) {
        for (_, storage) in &self.all {
            storage.purge_class(&self.class).await.unwrap();
        }
    }
}

fn query_of(step: &Step) -> Option<&Value> {
    match step {
        Step::UpdateWhere { query, .. }
        | Step::DeleteWhere(query)
        | Step::Find { query, .. }
        | Step::Count(query)
        | Step::Distinct { query, .. } => Some(query),
        Step::Aggregate(stages) => stages[0].get("$match"),
        _ => None,
    }
}

/// The first step of a list at which not all are one, in words.
fn differing(answers: &[(&'static str, Value)]) -> Option<String> {
    if answers.windows(2).all(|pair| pair[0].1 == pair[1].1) {
        return None;
    }
    let mut said = String::new();
    for (name, answer) in answers {
        let text = answer.to_string();
        let _ = writeln!(said, "   {name:<9}{}", text.chars().take(1500).collect::<String>());
    }
    Some(said)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "what differs is not listed yet: closed rings, the order of keys, empty objects"]
async fn memory_postgres_and_mongo_answer_alike() {
    let Some(mongo) = TestMongo::empty() else { return };
    let steps: usize =
        std::env::var("PARSIMONY_DIFFERENTIAL").ok().and_then(|n| n.parse().ok()).unwrap_or(1200);
    let database = TestDatabase::empty().await;
    let memory: Arc<dyn StorageAdapter> = MemoryAdapter::new();
    let postgres: Arc<dyn StorageAdapter> =
        PostgresAdapter::connect(PostgresOptions::new(&database.uri)).await.unwrap();
    let mongo: Arc<dyn StorageAdapter> = MongoAdapter::connect(MongoOptions::new(&mongo.uri)).await.unwrap();
    let all = vec![("memory", memory), ("postgres", postgres), ("mongo", mongo)];
    let mut class = None;
    for (_, storage) in &all {
        storage.initialize().await.unwrap();
        class = Some(storage.create_class(&thing()).await.unwrap());
    }
    let three = Three { all, class: Arc::new(class.unwrap()) };
    // A seed of its own each time, which a failure prints.
    let given = std::env::var("PARSIMONY_DIFFERENTIAL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(rand::random);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let generator = step();
    let (mut done, mut wrong) = (0, Vec::new());
    while done < steps && wrong.len() < SHOWN {
        let step = generator.new_tree(&mut runner).unwrap().current();
        if query_of(&step).is_some_and(is_forced) {
            continue;
        }
        let mut answers = Vec::new();
        for (name, storage) in &three.all {
            let Some(answer) = three.answer(&**storage, &step).await else { break };
            answers.push((*name, answer));
        }
        if answers.is_empty() {
            continue;
        }
        done += 1;
        let mut said = differing(&answers);
        let writes = matches!(
            step,
            Step::Create(_)
                | Step::Update { .. }
                | Step::UpdateWhere { .. }
                | Step::Delete(_)
                | Step::DeleteWhere(_)
        );
        if said.is_none() && writes {
            let mut states = Vec::new();
            for (name, storage) in &three.all {
                states.push((*name, three.everything(&**storage).await));
            }
            said = differing(&states);
        }
        if let Some(said) = said {
            wrong.push(format!("{step:?}\n{said}"));
            if writes {
                three.empty().await;
            }
        }
    }
    assert!(wrong.is_empty(), "seed {seed}, {done} steps\n{}", wrong.join("\n"));
}

//! Every constraint, sub-query, stage and expression on both adapters: PostgreSQL and memory answer the same, and
//! where a case says what that is, it is that.

use std::sync::Arc;

use parsimony::query::pipeline::parse_pipeline;
use parsimony::query::request::parse_order;
use parsimony::query::visit::{Guarded, visit_guarded};
use parsimony::query::{Access, Filter, FindSpec, ParseContext, parse_where};
use parsimony::storage::memory::MemoryAdapter;
use parsimony::storage::postgres::{PostgresAdapter, PostgresOptions};
use parsimony::storage::{AggregateOptions, StorageAdapter};
use parsimony::types::path::FieldPath;
use parsimony::types::update::RelationChange;
use parsimony::types::{ClassName, ClassSchema, Field, FieldName, FieldType, ObjectId};
use serde_json::{Value, json};

use crate::query_aggregate::resolve;
use crate::query_support::{date, point, pointer};
use crate::support::database::TestDatabase;

const MONGO: &str = "mongo";

struct House {
    adapters: Vec<(&'static str, Arc<dyn StorageAdapter>)>,
    schemas: Vec<Arc<ClassSchema>>,
    _database: TestDatabase,
}

fn schema(name: &'static str, fields: &[(&'static str, FieldType)]) -> ClassSchema {
    let mut schema = ClassSchema::with_defaults(ClassName::known(name));
    for (name, ty) in fields {
        schema.fields.insert(FieldName::known(name), Field::of(ty.clone()));
    }
    schema
}

fn schemas() -> Vec<ClassSchema> {
    let maker = || ClassName::known("Maker");
    vec![
        schema(
            "Thing",
            &[
                ("name", FieldType::String),
                ("n", FieldType::Number),
                ("on", FieldType::Boolean),
                ("at", FieldType::Date),
                ("tags", FieldType::Array),
                ("o", FieldType::Object),
                ("loc", FieldType::GeoPoint),
                ("area", FieldType::Polygon),
                ("pic", FieldType::File),
                ("maker", FieldType::Pointer(maker())),
                ("makers", FieldType::Array),
                ("fans", FieldType::Relation(maker())),
            ],
        ),
        schema(
            "Maker",
            &[("name", FieldType::String), ("town", FieldType::String), ("n", FieldType::Number)],
        ),
    ]
}

fn rows(class: &str) -> Vec<Value> {
    let square = json!({"__type": "Polygon", "coordinates": [[0, 0], [0, 4], [4, 4], [4, 0], [0, 0]]});
    match class {
        "Thing" => vec![
            json!({"objectId": "a", "name": "Apple pie", "n": 1, "on": true, "at": date("2024-02-29T10:20:30.456Z"),
                "tags": ["x", "y"], "o": {"k": 1, "deep": {"s": "q"}, "list": [{"v": 1}, {"v": 2}]},
                "loc": point(1.0, 1.0), "area": square, "maker": pointer("Maker", "m1"),
                "makers": [pointer("Maker", "m1"), pointer("Maker", "m2")],
                "pic": {"__type": "File", "name": "a.png"}}),
            json!({"objectId": "b", "name": "banana", "n": 2.5, "on": false, "at": date("2024-03-01T00:00:00.000Z"),
                "tags": ["u", null], "o": {"k": "text", "nil": null}, "loc": point(10.0, 10.0),
                "maker": pointer("Maker", "m2"), "makers": []}),
            json!({"objectId": "c", "name": "APPLE PIE", "n": -7, "at": date("2023-12-31T23:59:59.999Z"),
                "tags": [], "o": {"k": [1, 2]}, "maker": pointer("Maker", "m1")}),
            json!({"objectId": "d", "name": "  trim me ", "n": 1000000, "tags": [3, 1, 2, 1, "x"]}),
            json!({"objectId": "e"}),
        ],
        _ => vec![
            json!({"objectId": "m1", "name": "Ann", "town": "Ulm", "n": 1}),
            json!({"objectId": "m2", "name": "Bob", "town": "Bonn", "n": 2}),
            json!({"objectId": "m3", "name": "banana", "town": "Ulm"}),
        ],
    }
}

impl House {
    async fn new() -> Self {
        Self::with(Vec::new()).await
    }

    /// With MongoDB's stand-in, where it runs.
    async fn with_mongo() -> Self {
        #[cfg(feature = "mongo")]
        if let Some(database) = crate::support::mongo::TestMongo::empty() {
            use parsimony::storage::mongo::{MongoAdapter, MongoOptions};
            let mongo = MongoAdapter::connect(MongoOptions::new(&database.uri)).await.unwrap();
            return Self::with(vec![(MONGO, mongo)]).await;
        }
        Self::new().await
    }

    async fn with(more: Vec<(&'static str, Arc<dyn StorageAdapter>)>) -> Self {
        let database = TestDatabase::empty().await;
        let postgres = PostgresAdapter::connect(PostgresOptions::new(&database.uri)).await.unwrap();
        let mut adapters: Vec<(&str, Arc<dyn StorageAdapter>)> =
            vec![("postgres", postgres), ("memory", MemoryAdapter::new())];
        adapters.extend(more);
        let mut stored = Vec::new();
        for (_, adapter) in &adapters {
            adapter.initialize().await.unwrap();
            stored.clear();
            for schema in schemas() {
                let class = Arc::new(adapter.create_class(&schema).await.unwrap());
                let rows: Vec<_> = rows(class.name.as_str())
                    .into_iter()
                    .map(|row| {
                        let mut row = row.as_object().unwrap().clone();
                        for stamp in ["createdAt", "updatedAt"] {
                            row.insert(stamp.to_owned(), json!("2026-01-02T03:04:05.006Z"));
                        }
                        row
                    })
                    .collect();
                for row in &rows {
                    adapter.create(&class, std::slice::from_ref(row)).await.unwrap();
                }
                stored.push(class);
            }
            let fan = |id: &str| RelationChange {
                field: FieldName::known("fans"),
                add: vec![ObjectId::new(id).unwrap()],
                remove: Vec::new(),
            };
            let thing = ClassName::known("Thing");
            for (owner, member) in [("a", "m1"), ("a", "m2"), ("b", "m2")] {
                let owner = ObjectId::new(owner).unwrap();
                adapter.change_relations(&thing, &owner, &[fan(member)]).await.unwrap();
            }
        }
        Self { adapters, schemas: stored, _database: database }
    }

    fn class(&self, name: &str) -> Arc<ClassSchema> {
        self.schemas.iter().find(|schema| schema.name == *name).unwrap().clone()
    }

    fn filter(&self, class: &str, condition: &Value) -> Filter {
        let schema = self.class(class);
        let ctx = ParseContext { schema: Some(&schema), ..ParseContext::master() };
        let mut filter = parse_where(condition, &ctx).unwrap_or_else(|error| panic!("{condition}: {error}"));
        visit_guarded(&mut filter, &mut |mut guarded: Guarded<'_>| {
            let schema = self.schemas.iter().find(|schema| schema.name == *guarded.class()).cloned();
            *guarded.access_mut() = Access { schema, readers: None, denied: false };
            Ok::<(), ()>(())
        })
        .unwrap();
        filter
    }

    /// Ids that each adapter finds.
    async fn ids(&self, class: &str, condition: &Value, order: &str) -> Vec<(&'static str, String)> {
        let mut spec = FindSpec::new(self.filter(class, condition));
        spec.order = parse_order(order).unwrap();
        let mut all = Vec::new();
        for (name, adapter) in &self.adapters {
            // The stand-in knows no full text.
            if *name == MONGO && condition.to_string().contains("$text") {
                continue;
            }
            let found = adapter.find(&self.class(class), &spec).await;
            let found = found.unwrap_or_else(|error| panic!("{name} {condition}: {error}"));
            let mut ids: Vec<String> = found.iter().map(|row| row.object_id().to_owned()).collect();
            if order.is_empty() {
                ids.sort();
            }
            let counted = adapter.count(&self.class(class), &spec).await.unwrap();
            assert_eq!(counted, ids.len() as u64, "{name} {condition}");
            all.push((*name, ids.concat()));
        }
        all
    }

    async fn aggregate(&self, pipeline: &Value) -> Vec<(&'static str, Vec<Value>)> {
        let class = self.class("Thing");
        let stages = pipeline.as_array().unwrap();
        let mut parsed =
            parse_pipeline(stages, Some(&class)).unwrap_or_else(|error| panic!("{pipeline}: {error}"));
        resolve(&mut parsed, &self.schemas);
        let is_ordered = stages.iter().any(|stage| stage.get("$sort").is_some());
        let mut all = Vec::new();
        for (name, adapter) in &self.adapters {
            let found = adapter.aggregate(&class, &parsed, &AggregateOptions::default()).await;
            // A refusal is an answer that no other is equal to.
            let refused = |error| {
                vec![serde_json::Map::from_iter([("v".to_owned(), json!(format!("{name}: {error}")))])]
            };
            let found = found.unwrap_or_else(refused);
            let mut found: Vec<Value> = found.into_iter().map(Value::Object).collect();
            if !is_ordered {
                found.sort_by_key(Value::to_string);
            }
            all.push((*name, found));
        }
        all
    }
}

#[tokio::test]
async fn constraints_find_the_same_everywhere() {
    let house = House::with_mongo().await;
    let a_point = point(1.0, 1.0);
    let sub = |filter: Value| json!({"className": "Maker", "where": filter});
    let select = |key: &str| json!({"query": {"className": "Maker", "where": {}}, "key": key});
    let related = json!({"object": pointer("Thing", "a"), "key": "fans"});
    let near = |more: Value| {
        let mut near = json!({"$nearSphere": a_point});
        near.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "loc": near })
    };
    for (condition, expected) in [
        (json!({}), "abcde"),
        (json!({"n": 1}), "a"),
        (json!({"n": {"$ne": 1}}), "bcde"),
        (json!({"n": {"$lt": 2}}), "ac"),
        (json!({"n": {"$lte": 2.5}}), "abc"),
        (json!({"n": {"$gt": 1}}), "bd"),
        (json!({"n": {"$gte": 1}}), "abd"),
        (json!({"n": {"$in": [1, -7, "x"]}}), "ac"),
        (json!({"n": {"$nin": [1, -7]}}), "bde"),
        (json!({"n": {"$exists": true}}), "abcd"),
        (json!({"n": {"$exists": false}}), "e"),
        (json!({"n": null}), "e"),
        (json!({"on": false}), "b"),
        (json!({"at": {"$gte": date("2024-01-01T00:00:00.000Z")}}), "ab"),
        (json!({"createdAt": {"$lt": date("2027-01-01T00:00:00.000Z")}}), "abcde"),
        (json!({"name": {"$regex": "^apple", "$options": "i"}}), "ac"),
        (json!({"name": {"$regex": "^\\Qapple PIE\\E$", "$options": "i"}}), "ac"),
        (json!({"name": {"$regex": "an"}}), "b"),
        (json!({"name": {"$text": {"$search": {"$term": "banana"}}}}), "b"),
        (json!({"name": {"$all": ["banana"]}}), "b"),
        (json!({"tags": "x"}), "ad"),
        (json!({"tags": {"$ne": "x"}}), "bce"),
        (json!({"tags": {"$all": ["x", "y"]}}), "a"),
        (json!({"tags": {"$in": ["u", "y"]}}), "ab"),
        (json!({"tags": {"$nin": ["u", "y"]}}), "cde"),
        (json!({"tags": {"$containedBy": ["x", "y", "z"]}}), "ac"),
        (json!({"tags": {"$all": [{"$regex": "^\\Qx\\E"}]}}), "ad"),
        (json!({"tags": {"$regex": "^X$", "$options": "i"}}), "ad"),
        (json!({"tags": ["x", "y"]}), "a"),
        // An array that holds null equals null, as MongoDB has it.
        (json!({"tags": null}), "be"),
        (json!({"tags": {"$ne": null}}), "acd"),
        (json!({"tags": {"$in": [null]}}), "be"),
        (json!({"tags": {"$nin": [null]}}), "acd"),
        (json!({"tags": {"$all": ["u", null]}}), "b"),
        (json!({"o.nil": null}), "abcde"),
        (json!({"o.k": 1}), "ac"),
        (json!({"o.k": {"$gt": 1}}), "c"),
        (json!({"o.deep.s": "q"}), "a"),
        (json!({"o.list.0.v": 1}), "a"),
        (json!({"name.x": null}), "abcde"),
        (json!({"pic": {"__type": "File", "name": "a.png"}}), "a"),
        (json!({"maker": pointer("Maker", "m1")}), "ac"),
        (json!({"makers": pointer("Maker", "m2")}), "a"),
        (near(json!({})), "ab"),
        (near(json!({"$maxDistanceInKilometers": 100})), "a"),
        (json!({"loc": {"$within": {"$box": [point(0.0, 0.0), point(5.0, 5.0)]}}}), "a"),
        (json!({"loc": {"$geoWithin": {"$centerSphere": [[1, 1], 0.01]}}}), "a"),
        (
            json!({"loc": {"$geoWithin": {"$polygon": [point(0.0, 0.0), point(0.0, 6.0), point(6.0, 0.0)]}}}),
            "a",
        ),
        (json!({"area": {"$geoIntersects": {"$point": a_point}}}), "a"),
        (json!({"$or": [{"n": 1}, {"name": "banana"}]}), "ab"),
        (json!({"$and": [{"n": {"$gt": 0}}, {"on": true}]}), "a"),
        (json!({"$nor": [{"n": 1}, {"name": "banana"}]}), "cde"),
        (json!({"maker": {"$inQuery": sub(json!({"town": "Ulm"}))}}), "ac"),
        (json!({"maker": {"$notInQuery": sub(json!({"town": "Ulm"}))}}), "bde"),
        (json!({"makers": {"$inQuery": sub(json!({"n": 2}))}}), "a"),
        (json!({"fans": {"$inQuery": sub(json!({"n": 2}))}}), "ab"),
        (json!({"fans": pointer("Maker", "m1")}), "a"),
        (json!({"fans": {"$ne": pointer("Maker", "m1")}}), "bcde"),
        (json!({"fans": {"$exists": true}}), "ab"),
        (json!({"name": {"$select": select("name")}}), "b"),
        (json!({"name": {"$dontSelect": select("name")}}), "acde"),
        (json!({"o.k": {"$select": select("n")}}), "ac"),
        (json!({"maker": {"$inQuery": {"className": "Nowhere", "where": {}}}}), ""),
    ] {
        for (name, ids) in house.ids("Thing", &condition, "").await {
            // There, what is unset is contained in every list, as parse-server has it.
            let is_contained = name == MONGO && condition.to_string().contains("$containedBy");
            let expected = if is_contained { "ace" } else { expected };
            assert_eq!(ids, expected, "{name} {condition}");
        }
    }
    for (name, ids) in house.ids("Maker", &json!({"$relatedTo": related}), "").await {
        assert_eq!(ids, "m1m2", "{name}");
    }
    // On MongoDB what is unset comes first.
    for (condition, order, expected, on_mongo) in [
        (json!({}), "n", "cabde", "ecabd"),
        (json!({}), "-n", "edbac", "dbace"),
        (json!({}), "-at,objectId", "debac", "bacde"),
        (near(json!({})), "", "ab", "ab"),
        (near(json!({})), "-objectId", "ba", "ba"),
    ] {
        for (name, ids) in house.ids("Thing", &condition, order).await {
            let expected = if name == MONGO { on_mongo } else { expected };
            assert_eq!(ids, expected, "{name} {condition} {order}");
        }
    }
}

#[tokio::test]
async fn distinct_values_are_the_same_and_sorted() {
    let house = House::with_mongo().await;
    for (field, expected) in [
        ("n", json!([-7, 1, 2.5, 1_000_000])),
        ("on", json!([false, true])),
        ("tags", json!(["u", "x", "y", 1, 2, 3])),
        ("maker", json!([pointer("Maker", "m1"), pointer("Maker", "m2")])),
        ("nothing", json!([])),
    ] {
        let path = FieldPath::from(FieldName::known(field));
        for (name, adapter) in &house.adapters {
            let found = adapter.distinct(&house.class("Thing"), &path, &FindSpec::new(Filter::all())).await;
            assert_eq!(Value::Array(found.unwrap()), expected, "{name} {field}");
        }
    }
}

#[tokio::test]
async fn stages_answer_the_same_on_both() {
    let house = House::new().await;
    let ids = json!({"$project": {"objectId": 1}});
    let sorted = json!({"$sort": {"objectId": 1}});
    for (pipeline, expected) in [
        (json!([{"$match": {"n": {"$gt": 1}}}, ids]), json!([{"objectId": "b"}, {"objectId": "d"}])),
        (json!([{"$match": {"$expr": {"$gt": ["$n", "$o.k"]}}}, ids]), Value::Null),
        (
            json!([{"$match": {"name": {"$exists": true}, "$expr": {"$lt": ["$n", 2]}}}, ids, sorted]),
            json!([{"objectId": "a"}, {"objectId": "c"}]),
        ),
        (json!([{"$match": {"maker": {"$inQuery": {"className": "Maker", "where": {}}}}}, ids]), json!([])),
        (
            json!([{"$group": {"_id": "$maker", "n": {"$sum": "$n"}, "all": {"$count": {}}, "low": {"$min": "$n"},
            "high": {"$max": "$at"}, "mean": {"$avg": "$n"}}}, sorted]),
            Value::Null,
        ),
        (
            json!([sorted, {"$group": {"_id": {"m": "$maker", "big": {"$gt": ["$n", 1]}}, "ids": {"$push": "$objectId"},
            "first": {"$first": "$name"}, "last": {"$last": "$n"}, "set": {"$addToSet": "$on"}}},
            {"$sort": {"ids": 1}}]),
            Value::Null,
        ),
        (
            json!([{"$group": {"_id": null, "p": {"$stdDevPop": "$n"}, "s": {"$stdDevSamp": "$n"}}},
            {"$project": {"_id": 0, "p": {"$round": ["$p", 3]}, "s": {"$round": ["$s", 3]}}}]),
            Value::Null,
        ),
        // None of these is a key.
        (json!([{"$group": {"_id": {}, "n": {"$sum": 1}}}]), json!([{"objectId": null, "n": 5}])),
        (json!([{"$group": {"_id": "", "n": {"$sum": 1}}}]), json!([{"objectId": null, "n": 5}])),
        (json!([{"$group": {"_id": [], "n": {"$sum": 1}}}]), json!([{"objectId": null, "n": 5}])),
        (json!([{"$group": {"_id": 0, "n": {"$sum": 1}}}]), json!([{"objectId": null, "n": 5}])),
        (json!([{"$group": {"_id": false, "n": {"$sum": 1}}}]), json!([{"objectId": null, "n": 5}])),
        (
            json!([{"$sortByCount": "$maker"}, {"$project": {"count": 1}}, sorted]),
            json!([{"objectId": null, "count": 2}, {"objectId": "m1", "count": 2}, {"objectId": "m2", "count": 1}]),
        ),
        (
            json!([{"$bucket": {"groupBy": "$n", "boundaries": [-10, 0, 2, 5], "default": "other",
            "output": {"ids": {"$push": "$objectId"}, "n": {"$sum": 1}}}}, {"$match": {"n": 1}},
            {"$sort": {"ids": 1}}]),
            json!([{"objectId": 0, "ids": ["a"], "n": 1}, {"objectId": 2, "ids": ["b"], "n": 1},
                {"objectId": -10, "ids": ["c"], "n": 1}]),
        ),
        (json!([{"$project": {"n": 1, "o.k": 1}}, sorted]), Value::Null),
        (
            json!([{"$project": {"createdAt": 0, "updatedAt": 0, "o": 0, "area": 0, "loc": 0}}, sorted]),
            Value::Null,
        ),
        (json!([{"$unset": ["createdAt", "updatedAt", "area"]}, sorted]), Value::Null),
        (
            json!([{"$set": {"twice": {"$multiply": ["$n", 2]}, "o.k": "$name", "new.a": "$n"}},
            {"$project": {"twice": 1, "o": 1, "new": 1}}, sorted]),
            Value::Null,
        ),
        (
            json!([{"$match": {"objectId": "a"}}, {"$replaceRoot": {"newRoot": "$o"}}]),
            json!([{"k": 1, "deep": {"s": "q"}, "list": [{"v": 1}, {"v": 2}]}]),
        ),
        (
            json!([{"$match": {"objectId": {"$in": ["a", "b"]}}},
            {"$replaceWith": {"$mergeObjects": [{"id": "$objectId", "n": "$n"}, "$o"]}},
            {"$match": {"n": {"$gt": 1}}}, {"$set": {"more": {"$add": ["$n", 1]}}}, {"$unset": "nil"}]),
            json!([{"id": "b", "n": 2.5, "k": "text", "more": 3.5}]),
        ),
        (
            json!([{"$replaceWith": {"id": "$objectId"}}, {"$sort": {"id": -1}}, {"$limit": 1}]),
            json!([{"id": "e"}]),
        ),
        (
            json!([{"$sort": {"n": -1}}, {"$skip": 1}, {"$limit": 2}, ids]),
            json!([{"objectId": "b"}, {"objectId": "a"}]),
        ),
        (json!([{"$sample": {"size": 3}}, {"$count": "n"}]), json!([{"n": 3}])),
        (json!([{"$match": {"n": 77}}, {"$count": "n"}]), json!([])),
        (json!([{"$unwind": "$tags"}, {"$project": {"tags": 1}}]), Value::Null),
        (
            json!([{"$unwind": {"path": "$tags", "preserveNullAndEmptyArrays": true, "includeArrayIndex": "i"}},
            {"$project": {"tags": 1, "i": 1}}]),
            Value::Null,
        ),
        (
            json!([{"$unwind": "$o.list"}, {"$project": {"v": "$o.list.v"}}]),
            json!([{"objectId": "a", "v": 1}, {"objectId": "a", "v": 2}]),
        ),
        (
            json!([{"$lookup": {"from": "Maker", "localField": "maker", "foreignField": "_id", "as": "by"}},
            {"$project": {"by": 1}}, sorted]),
            Value::Null,
        ),
        (
            json!([{"$lookup": {"from": "Maker", "localField": "makers", "foreignField": "_id", "as": "by",
            "pipeline": [{"$sort": {"name": -1}}, {"$project": {"name": 1, "_id": 0}}]}},
            {"$match": {"objectId": "a"}}, {"$project": {"by": 1, "_id": 0}}]),
            json!([{"by": [{"name": "Bob"}, {"name": "Ann"}]}]),
        ),
        (
            json!([{"$lookup": {"from": "Maker", "let": {"least": "$n"}, "as": "by",
            "pipeline": [{"$match": {"$expr": {"$gte": ["$n", "$$least"]}}}, {"$project": {"name": 1, "_id": 0}}, {"$sort": {"name": 1}}]}},
            {"$match": {"objectId": {"$in": ["a", "b"]}}}, {"$project": {"by": 1}}, sorted]),
            json!([{"objectId": "a", "by": [{"name": "Ann"}, {"name": "Bob"}]}, {"objectId": "b", "by": []}]),
        ),
        (
            json!([{"$lookup": {"from": "Nowhere", "localField": "n", "foreignField": "n", "as": "none"}},
            {"$project": {"none": 1}}, sorted, {"$limit": 1}]),
            json!([{"objectId": "a", "none": []}]),
        ),
        (
            json!([{"$project": {"name": 1}}, {"$unionWith": {"coll": "Maker", "pipeline": [{"$match": {"town": "Ulm"}}]}},
            {"$project": {"name": 1, "town": 1}}, sorted]),
            Value::Null,
        ),
        (
            json!([{"$project": {"n": "$name"}}, {"$unionWith": "Maker"}, {"$project": {"n": 1}}, sorted]),
            Value::Null,
        ),
        (
            json!([{"$facet": {"count": [{"$count": "n"}], "top": [{"$sort": {"n": -1}}, {"$limit": 1}, {"$project": {"n": 1}}]}}]),
            json!([{"count": [{"n": 5}], "top": [{"objectId": "d", "n": 1_000_000}]}]),
        ),
        (
            json!([sorted, {"$group": {"_id": null, "first": {"$firstN": {"input": "$objectId", "n": 2}},
            "most": {"$maxN": {"input": "$n", "n": 2}}, "top": {"$top": {"sortBy": {"n": -1}, "output": "$objectId"}},
            "bottom": {"$bottomN": {"n": 2, "sortBy": {"n": -1, "objectId": 1}, "output": ["$objectId"]}},
            "median": {"$median": {"input": "$n", "method": "approximate"}},
            "shares": {"$percentile": {"input": "$n", "p": [0, 0.9], "method": "approximate"}}}}]),
            Value::Null,
        ),
        (
            json!([{"$match": {"objectId": "b"}}, {"$group": {"_id": "$maker", "all": {"$push": "$$ROOT"}}},
            {"$project": {"_id": 0, "one": {"$arrayElemAt": ["$all", 0]}}}]),
            Value::Null,
        ),
    ] {
        let answers = house.aggregate(&pipeline).await;
        for (name, answer) in &answers {
            if !expected.is_null() {
                assert_eq!(json!(answer), expected, "{name} {pipeline}");
            }
        }
        assert_eq!(answers[0].1, answers[1].1, "{pipeline}");
    }
}

#[tokio::test]
async fn expressions_answer_the_same_on_both() {
    let house = House::new().await;
    let tokyo = "+09:00";
    let mut wrong = Vec::new();
    for (expression, of_a) in [
        (json!({"$add": ["$n", 1]}), json!(2)),
        (json!({"$add": ["$at", 1000]}), date("2024-02-29T10:20:31.456Z")),
        (json!({"$subtract": ["$n", 3]}), json!(-2)),
        (json!({"$subtract": ["$at", "$createdAt"]}), Value::Null),
        (json!({"$multiply": ["$n", "$n", 3]}), json!(3)),
        (json!({"$divide": ["$n", 4]}), json!(0.25)),
        (json!({"$divide": ["$n", 0]}), Value::Null),
        (json!({"$mod": ["$n", 3]}), json!(1)),
        (json!({"$abs": "$n"}), json!(1)),
        (json!({"$ceil": {"$divide": ["$n", 4]}}), json!(1)),
        (json!({"$floor": {"$divide": ["$n", 4]}}), json!(0)),
        (json!({"$sqrt": "$n"}), json!(1)),
        (json!({"$round": [{"$divide": ["$n", 3]}, 2]}), json!(0.33)),
        (json!({"$trunc": [{"$divide": ["$n", 3]}, 1]}), json!(0.3)),
        (json!({"$pow": ["$n", 2]}), json!(1)),
        (json!({"$round": [{"$exp": {"$min": ["$n", 3]}}, 2]}), json!(2.72)),
        (json!({"$ln": "$n"}), json!(0)),
        (json!({"$round": [{"$log": ["$n", 2]}, 6]}), json!(0)),
        (json!({"$round": [{"$sin": "$n"}, 6]}), json!(0.841_471)),
        (json!({"$round": [{"$degreesToRadians": "$n"}, 6]}), json!(0.017_453)),
        (json!({"$concat": ["$name", "!"]}), json!("Apple pie!")),
        (json!({"$round": [{"$atan2": ["$n", 1]}, 6]}), json!(0.785_398)),
        (json!({"$acos": "$n"}), json!(0)),
        (json!({"$asin": 2}), Value::Null),
        (json!({"$round": [{"$tanh": 1}, 6]}), json!(0.761_594)),
        (json!({"$bitAnd": [12, 10]}), json!(8)),
        (json!({"$bitOr": [12, 10]}), json!(14)),
        (json!({"$bitXor": [12, 10]}), json!(6)),
        (json!({"$bitNot": 5}), json!(-6)),
        (json!({"$range": [0, {"$add": ["$n", 4]}, 2]}), json!([0, 2, 4])),
        (json!({"$range": [5, 0, -2]}), json!([5, 3, 1])),
        (json!({"$range": [0, 5, 0]}), Value::Null),
        (json!({"$range": [0, 1_000_000_000]}), Value::Null),
        (json!({"$range": ["x", 3]}), Value::Null),
        (json!({"$zip": {"inputs": [[1, 2], [3]]}}), json!([[1, 3]])),
        (json!({"$zip": {"inputs": [[1, 2], "$name"]}}), Value::Null),
        (
            json!({"$zip": {"inputs": [[1, 2], [3]], "useLongestLength": true, "defaults": [0, 9]}}),
            json!([[1, 3], [2, 9]]),
        ),
        (json!({"$sortArray": {"input": [3, 1, 2], "sortBy": -1}}), json!([3, 2, 1])),
        (
            json!({"$sortArray": {"input": [{"a": 2, "b": 1}, {"a": 1}, {"a": 2, "b": 0}], "sortBy": {"a": -1, "b": 1}}}),
            json!([{"a": 2, "b": 0}, {"a": 2, "b": 1}, {"a": 1}]),
        ),
        (json!({"$sortArray": {"input": "$name", "sortBy": 1}}), Value::Null),
        (json!({"$convert": {"input": "$name", "to": "int", "onError": "bad"}}), json!("bad")),
        (json!({"$convert": {"input": "$nothing", "to": "int", "onNull": 7}}), json!(7)),
        (json!({"$convert": {"input": "12.5", "to": {"type": "long"}}}), json!(12)),
        (json!({"$convert": {"input": "$n", "to": 2}}), json!("1")),
        (json!({"$getField": {"field": "k", "input": {"k": "$n"}}}), json!(1)),
        (json!({"$getField": "name"}), json!("Apple pie")),
        (json!({"$setField": {"field": "x", "input": {"k": "$n"}, "value": 2}}), json!({"k": 1, "x": 2})),
        (json!({"$unsetField": {"field": "k", "input": {"k": "$n", "y": 2}}}), json!({"y": 2})),
        (json!({"$firstN": {"n": 2, "input": [1, 2, 3]}}), json!([1, 2])),
        (json!({"$lastN": {"n": {"$add": ["$n", 1]}, "input": [1, 2, 3]}}), json!([2, 3])),
        (json!({"$maxN": {"n": 2, "input": [1, null, 3, 2]}}), json!([3, 2])),
        (json!({"$minN": {"n": 2, "input": [1, null, 3, 2]}}), json!([1, 2])),
        (json!({"$concat": ["$name", "$nothing"]}), Value::Null),
        (json!({"$toLower": "$name"}), json!("apple pie")),
        (json!({"$toUpper": "$name"}), json!("APPLE PIE")),
        (json!({"$substr": ["$name", 2, 3]}), json!("ple")),
        (json!({"$substrCP": ["$name", 6, -1]}), json!("pie")),
        (json!({"$substr": ["$at", 0, 10]}), json!("2024-02-29")),
        (json!({"$strLenCP": "$name"}), json!(9)),
        (json!({"$strLenBytes": {"$concat": ["$name", "é"]}}), json!(11)),
        (json!({"$split": ["$name", " "]}), json!(["Apple", "pie"])),
        (json!({"$trim": {"input": "$name"}}), json!("Apple pie")),
        (json!({"$ltrim": {"input": "$name", "chars": "A "}}), json!("pple pie")),
        (json!({"$rtrim": {"input": "$name", "chars": "ei"}}), json!("Apple p")),
        (json!({"$indexOfCP": ["$name", "p"]}), json!(1)),
        (json!({"$indexOfCP": ["$name", "p", 3]}), json!(6)),
        (json!({"$indexOfCP": ["$name", "zz"]}), json!(-1)),
        (json!({"$strcasecmp": ["$name", "apple PIE"]}), json!(0)),
        (json!({"$replaceOne": {"input": "$name", "find": "p", "replacement": "P"}}), json!("APple pie")),
        (json!({"$replaceAll": {"input": "$name", "find": "p", "replacement": "P"}}), json!("APPle Pie")),
        (json!({"$regexMatch": {"input": "$name", "regex": "^apple", "options": "i"}}), json!(true)),
        (json!({"$size": {"$ifNull": ["$tags", []]}}), json!(2)),
        (json!({"$arrayElemAt": ["$tags", 1]}), json!("y")),
        (json!({"$arrayElemAt": ["$tags", -1]}), json!("y")),
        (json!({"$first": "$tags"}), json!("x")),
        (json!({"$last": "$tags"}), json!("y")),
        (json!({"$in": ["x", "$tags"]}), json!(true)),
        (json!({"$indexOfArray": ["$tags", "y"]}), json!(1)),
        (json!({"$concatArrays": ["$tags", ["z"]]}), json!(["x", "y", "z"])),
        (json!({"$reverseArray": "$tags"}), json!(["y", "x"])),
        (json!({"$slice": ["$tags", 1]}), json!(["x"])),
        (json!({"$slice": ["$tags", -1]}), json!(["y"])),
        (json!({"$slice": ["$tags", 1, 5]}), json!(["y"])),
        (json!({"$isArray": "$tags"}), json!(true)),
        (json!({"$setUnion": ["$tags", ["x", "z"]]}), json!(["x", "y", "z"])),
        (json!({"$setIntersection": ["$tags", ["x", "z"]]}), json!(["x"])),
        (json!({"$setDifference": ["$tags", ["x"]]}), json!(["y"])),
        (json!({"$setIsSubset": [["x"], "$tags"]}), json!(true)),
        (json!({"$setEquals": [["y", "x", "x"], "$tags"]}), json!(true)),
        (json!({"$anyElementTrue": ["$tags"]}), json!(true)),
        (json!({"$allElementsTrue": ["$tags"]}), json!(true)),
        (json!({"$sum": ["$n", 2, "x"]}), json!(3)),
        (json!({"$avg": ["$n", 2]}), json!(1.5)),
        (json!({"$max": ["$n", 2]}), json!(2)),
        (json!({"$min": "$tags"}), json!("x")),
        (json!({"$objectToArray": "$o.deep"}), json!([{"k": "s", "v": "q"}])),
        (json!({"$arrayToObject": [[["k", "$n"]]]}), json!({"k": 1})),
        (json!({"$mergeObjects": ["$o.deep", {"t": 2}]}), json!({"s": "q", "t": 2})),
        (json!({"$eq": ["$n", 1]}), json!(true)),
        (json!({"$ne": ["$n", 1]}), json!(false)),
        (json!({"$gte": ["$at", {"$date": "2024-01-01T00:00:00.000Z"}]}), json!(true)),
        (json!({"$eq": ["$maker", "m1"]}), json!(true)),
        (json!({"$cmp": ["$n", 5]}), json!(-1)),
        (json!({"$and": ["$on", {"$gt": ["$n", 0]}]}), json!(true)),
        (json!({"$or": ["$nothing", {"$gt": ["$n", 0]}]}), json!(true)),
        (json!({"$not": ["$on"]}), json!(false)),
        (json!({"$ifNull": ["$nothing", "$also", "none"]}), json!("none")),
        (json!({"$cond": [{"$gt": ["$n", 0]}, "plus", "minus"]}), json!("plus")),
        (json!({"$cond": {"if": "$on", "then": "$n", "else": "none"}}), json!(1)),
        (
            json!({"$switch": {"branches": [{"case": {"$lt": ["$n", 0]}, "then": "minus"},
            {"case": {"$lt": ["$n", 5]}, "then": "few"}], "default": "many"}}),
            json!("few"),
        ),
        (json!({"$type": "$n"}), json!("int")),
        (json!({"$type": "$at"}), json!("date")),
        (json!({"$isNumber": "$n"}), json!(true)),
        (json!({"$toString": "$n"}), json!("1")),
        (json!({"$toString": "$on"}), json!("true")),
        (json!({"$toInt": "12"}), json!(12)),
        (json!({"$toDouble": {"$toString": "$n"}}), json!(1)),
        (json!({"$toLong": "$at"}), json!(1_709_202_030_456_i64)),
        (json!({"$toBool": "$n"}), json!(true)),
        (json!({"$toDate": "2024-05-06"}), date("2024-05-06T00:00:00.000Z")),
        (json!({"$toDate": 1000}), date("1970-01-01T00:00:01.000Z")),
        (json!({"$let": {"vars": {"x": "$n", "y": 2}, "in": {"$add": ["$$x", "$$y"]}}}), json!(3)),
        (
            json!({"$map": {"input": "$tags", "as": "t", "in": {"$concat": ["$$t", "!", "$name"]}}}),
            json!(["x!Apple pie", "y!Apple pie"]),
        ),
        (json!({"$map": {"input": "$tags", "in": "$n"}}), json!([1, 1])),
        (json!({"$filter": {"input": "$tags", "as": "t", "cond": {"$eq": ["$$t", "y"]}}}), json!(["y"])),
        (
            json!({"$reduce": {"input": "$tags", "initialValue": "", "in": {"$concat": ["$$value", "$$this"]}}}),
            json!("xy"),
        ),
        (
            json!({"$map": {"input": "$o.list", "as": "one", "in": {"$map": {"input": "$tags", "as": "t",
            "in": {"$concat": ["$$t", {"$toString": "$$one.v"}]}}}}}),
            json!([["x1", "y1"], ["x2", "y2"]]),
        ),
        (json!(["$n", "$name"]), json!([1, "Apple pie"])),
        (json!({"a": "$n", "b": {"c": "$on"}}), json!({"a": 1, "b": {"c": true}})),
        (json!({"$literal": "$n"}), json!("$n")),
        (json!({"$year": "$at"}), json!(2024)),
        (json!({"$week": "$at"}), json!(8)),
        (json!({"$isoWeek": "$at"}), json!(9)),
        (json!({"$dayOfWeek": "$at"}), json!(5)),
        (json!({"$hour": {"date": "$at", "timezone": tokyo}}), json!(19)),
        (json!({"$millisecond": "$at"}), json!(456)),
        (json!({"$dateToString": {"date": "$at"}}), json!("2024-02-29T10:20:30.456Z")),
        (
            json!({"$dateToString": {"date": "$at", "format": "%d.%m.%Y %H:%M %j %u %V %b %z", "timezone": tokyo}}),
            json!("29.02.2024 19:20 060 4 09 Feb +0900"),
        ),
        (json!({"$dateToString": {"date": "$nothing", "onNull": "never"}}), json!("never")),
        (json!({"$dateTrunc": {"date": "$at", "unit": "month"}}), date("2024-02-01T00:00:00.000Z")),
        (json!({"$dateTrunc": {"date": "$at", "unit": "week"}}), date("2024-02-25T00:00:00.000Z")),
        (json!({"$dateTrunc": {"date": "$at", "unit": "quarter"}}), date("2024-01-01T00:00:00.000Z")),
        (
            json!({"$dateTrunc": {"date": "$at", "unit": "minute", "binSize": 15}}),
            date("2024-02-29T10:15:00.000Z"),
        ),
        (
            json!({"$dateTrunc": {"date": "$at", "unit": "day", "timezone": tokyo}}),
            date("2024-02-28T15:00:00.000Z"),
        ),
        (
            json!({"$dateToParts": {"date": "$at"}}),
            json!({"year": 2024, "month": 2, "day": 29, "hour": 10,
            "minute": 20, "second": 30, "millisecond": 456}),
        ),
        (
            json!({"$dateFromParts": {"year": 2024, "month": 14, "day": 1, "hour": 1}}),
            date("2025-02-01T01:00:00.000Z"),
        ),
        (
            json!({"$dateFromString": {"dateString": "2024-05-06T07:08:09Z"}}),
            date("2024-05-06T07:08:09.000Z"),
        ),
        (json!({"$dateDiff": {"startDate": "$at", "endDate": "$createdAt", "unit": "year"}}), json!(2)),
        (json!({"$dateDiff": {"startDate": "$at", "endDate": "$createdAt", "unit": "day"}}), json!(673)),
        (
            json!({"$dateAdd": {"startDate": "$at", "unit": "year", "amount": 1}}),
            date("2025-02-28T10:20:30.456Z"),
        ),
        (
            json!({"$dateSubtract": {"startDate": "$at", "unit": "hour", "amount": 11}}),
            date("2024-02-28T23:20:30.456Z"),
        ),
    ] {
        let pipeline = json!([{"$project": {"v": expression}}, {"$sort": {"objectId": 1}}]);
        let answers = house.aggregate(&pipeline).await;
        if !of_a.is_null() {
            for (name, answer) in &answers {
                if answer[0]["v"] != of_a {
                    wrong.push(format!("{name} {expression}: {} instead of {of_a}", answer[0]["v"]));
                }
            }
        }
        // The memory adapter leaves out what is null in an array.
        let [one, two] = [0, 1].map(|at: usize| {
            let mut rows = answers[at].1.clone();
            rows.iter_mut().filter_map(Value::as_object_mut).for_each(|row| row.retain(|_, v| !v.is_null()));
            rows
        });
        if one != two {
            wrong.push(format!("{expression}: {:?} against {:?}", answers[0].1, answers[1].1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

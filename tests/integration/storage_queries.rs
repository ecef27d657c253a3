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

pub struct House {
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
    pub async fn new() -> Self {
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

    pub async fn aggregate(&self, pipeline: &Value) -> Vec<(&'static str, Vec<Value>)> {
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
    let makers =
        json!({"query": {"className": "Thing", "where": {"n": {"$gt": 2}}}, "key": "maker.objectId"});
    for (operator, expected) in [("$select", "m2"), ("$dontSelect", "m1m3")] {
        for (name, ids) in house.ids("Maker", &json!({"objectId": {operator: makers}}), "").await {
            assert_eq!(ids, expected, "{name} {operator}");
        }
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
            json!([{"$setWindowFields": {"partitionBy": "$maker", "sortBy": {"objectId": 1}, "output": {
                "sum": {"$sum": "$n", "window": {"documents": ["unbounded", "current"]}},
                "names": {"$push": "$name", "window": {"documents": [-1, 1]}}, "all": {"$addToSet": "$on"},
                "place": {"$documentNumber": {}}, "before": {"$shift": {"output": "$n", "by": -1, "default": 0}}}}},
                {"$project": {"sum": 1, "names": 1, "all": 1, "place": 1, "before": 1}}, sorted]),
            Value::Null,
        ),
        (
            json!([{"$graphLookup": {"from": "Maker", "startWith": "$makers", "connectFromField": "nothing",
                "connectToField": "objectId", "as": "all", "depthField": "steps",
                "restrictSearchWithMatch": {"name": {"$ne": "Bob"}}}}, {"$project": {"all": 1}}, sorted]),
            Value::Null,
        ),
        (
            json!([{"$setWindowFields": {"sortBy": {"maker": 1}, "output": {"rank": {"$rank": {}}, "dense": {"$denseRank": {}},
                "low": {"$min": "$name"}, "high": {"$max": "$n"}}}},
                {"$project": {"rank": 1, "dense": 1, "low": 1, "high": 1}}, sorted]),
            Value::Null,
        ),
        (
            json!([{"$geoNear": {"near": {"type": "Point", "coordinates": [13.4, 52.5]}, "distanceField": "far.away",
                "includeLocs": "at", "query": {"name": {"$ne": "Bob"}}}},
                {"$project": {"far": {"$round": ["$far.away", 3]}, "at": 1}}]),
            Value::Null,
        ),
        (
            json!([{"$geoNear": {"near": [13.4, 52.5], "distanceField": "loc", "maxDistance": 90}},
                {"$project": {"loc": {"$round": ["$loc", 6]}}}]),
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

//! Pipelines and distinct values, on PostgreSQL, against answers worked out by hand.

use std::sync::Arc;

use parsimony::error::Error;
use parsimony::query::FindSpec;
use parsimony::query::parse::parse_key;
use parsimony::query::pipeline::{Guarded, Pipeline, parse_pipeline};
use parsimony::storage::postgres::query::{aggregate, distinct};
use parsimony::storage::{AggregateOptions, StorageError};
use parsimony::types::ClassSchema;
use parsimony::types::FieldType::{Array, Date, GeoPoint, Number, Object, Pointer, String as Text};
use serde_json::{Value, json};

use crate::query_support::{Fixture, class, date, point, pointer, schema};

async fn sales() -> Fixture {
    let sale = schema(
        "Sale",
        &[
            ("item", Text),
            ("price", Number),
            ("at", Date),
            ("tags", Array),
            ("info", Object),
            ("place", GeoPoint),
            ("buyer", Pointer(class("Buyer"))),
        ],
    );
    let buyer = schema("Buyer", &[("name", Text), ("best", Pointer(class("Sale")))]);
    let mut fixture = Fixture::new(vec![sale, buyer]).await;
    fixture
        .insert(
            "Buyer",
            &[
                json!({"objectId": "ann", "name": "Ann", "best": pointer("Sale", "s2")}),
                json!({"objectId": "bob", "name": "Bob"}),
            ],
        )
        .await;
    fixture
        .insert(
            "Sale",
            &[
                json!({"objectId": "s1", "item": "tea", "price": 2, "at": date("2024-02-29T10:20:30.456Z"),
                       "tags": ["hot", "green"], "info": {"k": 1}, "buyer": pointer("Buyer", "ann"),
                       "place": point(1.0, 2.0)}),
                json!({"objectId": "s2", "item": "tea", "price": 4, "at": date("2024-03-01T00:00:00.000Z"),
                       "tags": ["hot"], "info": {"k": 2}, "buyer": pointer("Buyer", "bob")}),
                json!({"objectId": "s3", "item": "cola", "price": 3, "tags": [], "info": {"k": "x"},
                       "buyer": pointer("Buyer", "ann")}),
                json!({"objectId": "s4", "item": "gum"}),
            ],
        )
        .await;
    fixture
}

/// As a request has it: parsed with the schema of the class, classes resolved.
fn parsed(fixture: &Fixture, pipeline: &Value) -> Result<Pipeline, Error> {
    let mut parsed = parse_pipeline(pipeline.as_array().unwrap(), Some(&fixture.schema("Sale")))?;
    resolve(&mut parsed, &fixture.schemas);
    Ok(parsed)
}

/// Gives the classes of a pipeline their schemas.
pub fn resolve(pipeline: &mut Pipeline, schemas: &[Arc<ClassSchema>]) {
    let mut places = Vec::new();
    pipeline.guarded(None, &mut places);
    for place in places {
        if let Guarded::Source(source) = place {
            source.access.schema =
                schemas.iter().find(|schema| Some(&schema.name) == source.class.as_ref()).cloned();
        }
    }
}

async fn run(fixture: &Fixture, pipeline: &Value, options: &AggregateOptions) -> Vec<Value> {
    let parsed = parsed(fixture, pipeline).unwrap_or_else(|error| panic!("{pipeline}: {error}"));
    let built = aggregate::build(&fixture.schema("Sale"), &parsed, options)
        .unwrap_or_else(|error| panic!("{pipeline}: {error}"));
    let rows = built.query.load(&fixture.conn, || ()).await;
    let rows = rows.unwrap_or_else(|error| panic!("{pipeline}\n{}\n{error}", built.query.sql.to_text()));
    let objects = built.objects(&rows).unwrap_or_else(|error| panic!("{pipeline}: {error}"));
    objects.into_iter().map(Value::Object).collect()
}

#[tokio::test]
async fn stages_and_accumulators() {
    let fixture = sales().await;
    let options = AggregateOptions::default();
    let by_item = json!({"$sort": {"_id": 1}});
    for (pipeline, expected) in [
        (
            json!([{"$group": {"_id": "$item", "n": {"$sum": 1}, "total": {"$sum": "$price"},
                    "mean": {"$avg": "$price"}, "low": {"$min": "$price"}, "high": {"$max": "$price"}}}, by_item]),
            json!([
                {"objectId": "cola", "n": 1, "total": 3, "mean": 3, "low": 3, "high": 3},
                {"objectId": "gum", "n": 1, "total": 0, "mean": null, "low": null, "high": null},
                {"objectId": "tea", "n": 2, "total": 6, "mean": 3, "low": 2, "high": 4},
            ]),
        ),
        (
            json!([{"$group": {"_id": null, "total": {"$sum": "$price"}, "n": {"$count": {}}}}]),
            json!([{"objectId": null, "total": 9, "n": 4}]),
        ),
        (json!([{"$match": {"item": "none"}}, {"$group": {"_id": null, "n": {"$sum": 1}}}]), json!([])),
        (
            json!([{"$geoNear": {"near": [2, 2], "distanceField": "d.far", "includeLocs": "d.at",
                    "distanceMultiplier": 10, "query": {"price": {"$gt": 1}}}}, {"$project": {"d": 1}}]),
            json!([{"objectId": "s1", "d": {"far": 10, "at": point(1.0, 2.0)}}]),
        ),
        (
            json!([{"$geoNear": {"near": {"type": "Point", "coordinates": [2, 1]}, "distanceField": "price",
                    "key": "place", "maxDistance": 0.5}}, {"$project": {"price": 1}}]),
            json!([{"objectId": "s1", "price": 0}]),
        ),
        (
            json!([{"$geoNear": {"near": {"type": "Point", "coordinates": [2, 2]}, "distanceField": "far",
                    "minDistance": 111_318, "maxDistance": 111_320}}, {"$project": {"_id": 1}}]),
            json!([{"objectId": "s1"}]),
        ),
        (
            json!([{"$geoNear": {"near": [2, 2], "spherical": true, "distanceField": "far", "maxDistance": 0.01745}}]),
            json!([]),
        ),
        (
            json!([{"$match": {"price": {"$gte": 3}}}, {"$sort": {"price": -1}}, {"$project": {"item": 1}}]),
            json!([{"objectId": "s2", "item": "tea"}, {"objectId": "s3", "item": "cola"}]),
        ),
        (
            json!([{"$sort": {"price": -1}}, {"$limit": 2}, {"$skip": 1}, {"$project": {"price": 1, "_id": 0}}]),
            json!([{"price": 3}]),
        ),
        (
            json!([{"$sort": {"price": -1}}, {"$group": {"_id": "$item", "ids": {"$push": "$objectId"},
                    "first": {"$first": "$objectId"}, "last": {"$last": "$objectId"}}},
                   {"$match": {"objectId": "tea"}}]),
            json!([{"objectId": "tea", "ids": ["s2", "s1"], "first": "s2", "last": "s1"}]),
        ),
        (
            json!([{"$unwind": "$tags"}, {"$group": {"_id": "$tags", "n": {"$sum": 1}}}, {"$sort": {"n": -1}}]),
            json!([{"objectId": "hot", "n": 2}, {"objectId": "green", "n": 1}]),
        ),
        (
            json!([{"$unwind": {"path": "$tags", "preserveNullAndEmptyArrays": true, "includeArrayIndex": "i"}},
                   {"$sort": {"objectId": 1, "i": 1}}, {"$project": {"tags": 1, "i": 1}}]),
            json!([
                {"objectId": "s1", "tags": "hot", "i": 0}, {"objectId": "s1", "tags": "green", "i": 1},
                {"objectId": "s2", "tags": "hot", "i": 0}, {"objectId": "s3"}, {"objectId": "s4"},
            ]),
        ),
        (json!([{"$match": {"tags": "hot"}}, {"$count": "hot"}]), json!([{"hot": 2}])),
        (
            json!([{"$group": {"_id": {"y": {"$year": "$at"}, "m": {"$month": "$at"}}, "n": {"$sum": 1}}},
                   {"$match": {"objectId.y": 2024}}, {"$sort": {"objectId.m": 1}}]),
            json!([{"objectId": {"y": 2024, "m": 2}, "n": 1}, {"objectId": {"y": 2024, "m": 3}, "n": 1}]),
        ),
        (
            json!([{"$match": {"objectId": "s1"}}, {"$project": {"_id": 0,
                "dayOfMonth": {"$dayOfMonth": "$at"}, "dayOfWeek": {"$dayOfWeek": "$at"},
                "dayOfYear": {"$dayOfYear": "$at"}, "isoDay": {"$isoDayOfWeek": "$at"},
                "isoYear": {"$isoWeekYear": "$at"}, "hour": {"$hour": "$at"}, "minute": {"$minute": "$at"},
                "second": {"$second": "$at"}, "ms": {"$millisecond": "$at"}, "week": {"$week": "$at"}}}]),
            json!([{"dayOfMonth": 29, "dayOfWeek": 5, "dayOfYear": 60, "isoDay": 4, "isoYear": 2024,
                    "hour": 10, "minute": 20, "second": 30, "ms": 456, "week": 8}]),
        ),
        (
            json!([{"$match": {"objectId": {"$in": ["s1", "s4"]}}}, {"$sort": {"objectId": 1}},
                   {"$addFields": {"double": {"$multiply": ["$price", 2]}, "big": {"$gt": ["$price", 1]},
                        "label": {"$concat": [{"$toUpper": "$item"}, "!"]}, "k": "$info.k",
                        "tag": {"$cond": [{"$eq": ["$item", "tea"]}, "hot", "cold"]},
                        "n": {"$size": {"$ifNull": ["$tags", []]}}}},
                   {"$project": {"double": 1, "big": 1, "label": 1, "k": 1, "tag": 1, "n": 1}}]),
            json!([
                {"objectId": "s1", "double": 4, "big": true, "label": "TEA!", "k": 1, "tag": "hot", "n": 2},
                {"objectId": "s4", "big": false, "label": "GUM!", "tag": "cold", "n": 0},
            ]),
        ),
        (
            json!([{"$match": {"objectId": "s1"}}, {"$lookup": {"from": "Buyer", "localField": "_p_buyer",
                    "foreignField": "_id", "as": "who"}}, {"$project": {"who": 1, "_id": 0}}]),
            json!([{"who": [{"objectId": "ann", "name": "Ann", "best": pointer("Sale", "s2"),
                    "createdAt": "2020-01-01T00:00:00.000Z", "updatedAt": "2020-01-01T00:00:00.000Z"}]}]),
        ),
        (
            json!([{"$lookup": {"from": "Buyer", "localField": "objectId", "foreignField": "best", "as": "fans"}},
                   {"$match": {"fans": {"$exists": true}}}, {"$addFields": {"n": {"$size": "$fans"}}},
                   {"$match": {"n": {"$gt": 0}}}, {"$project": {"n": 1}}]),
            json!([{"objectId": "s2", "n": 1}]),
        ),
        (
            json!([{"$group": {"_id": "$buyer", "n": {"$sum": 1}}}, {"$sort": {"_id": 1}}]),
            json!([{"objectId": null, "n": 1}, {"objectId": "ann", "n": 2}, {"objectId": "bob", "n": 1}]),
        ),
        (
            json!([{"$group": {"_id": "$place", "items": {"$addToSet": "$item"}}}, {"$match": {"_id": null}}]),
            json!([{"objectId": null, "items": ["cola", "gum", "tea"]}]),
        ),
        (
            json!([{"$match": {"createdAt": {"$gte": "2019-01-01T00:00:00.000Z"}, "objectId": "s4"}},
                   {"$project": {"createdAt": 1, "info.k": 1}}]),
            json!([{"objectId": "s4", "createdAt": "2020-01-01T00:00:00.000Z", "info": {"k": null}}]),
        ),
        (
            json!([{"$sort": {"objectId": 1}}, {"$group": {"_id": null,
                "first": {"$firstN": {"input": "$objectId", "n": 2}}, "last": {"$lastN": {"input": "$objectId", "n": 1}},
                "most": {"$maxN": {"input": "$price", "n": 2}}, "least": {"$minN": {"input": "$price", "n": 1}},
                "top": {"$top": {"sortBy": {"price": -1}, "output": "$item"}},
                "bottom": {"$bottomN": {"n": 2, "sortBy": {"price": -1}, "output": ["$objectId", "$price"]}},
                "median": {"$median": {"input": "$price", "method": "approximate"}},
                "shares": {"$percentile": {"input": "$price", "p": [0, 1], "method": "approximate"}},
                "merged": {"$mergeObjects": "$info"}}}]),
            json!([{"objectId": null, "first": ["s1", "s2"], "last": ["s4"], "most": [4, 3], "least": [2], "top": "tea",
                    "bottom": [["s1", 2], ["s4", null]], "median": 3, "shares": [2, 4], "merged": {"k": "x"}}]),
        ),
        (json!([{"$sample": {"size": 2}}, {"$count": "n"}]), json!([{"n": 2}])),
        (
            json!([{"$match": {"objectId": "s4"}}, {"$unset": ["createdAt", "updatedAt"]}]),
            json!([{"objectId": "s4", "item": "gum"}]),
        ),
    ] {
        let answered = run(&fixture, &pipeline, &options).await;
        assert_eq!(Value::Array(answered), expected, "{pipeline}");
    }
}

#[tokio::test]
async fn raw_names_and_values() {
    let fixture = sales().await;
    let raw = AggregateOptions { raw_values: true, raw_field_names: true, ..AggregateOptions::default() };
    let pipeline = json!([
        {"$match": {"_p_buyer": "Buyer$bob", "_created_at": {"$lt": {"$date": "2021-01-01T00:00:00.000Z"}}}},
        {"$project": {"_p_buyer": 1, "_created_at": 1}},
    ]);
    let answered = run(&fixture, &pipeline, &raw).await;
    let expected =
        json!([{"_id": "s2", "_p_buyer": "Buyer$bob", "_created_at": {"$date": "2020-01-01T00:00:00.000Z"}}]);
    assert_eq!(Value::Array(answered), expected);
}

#[tokio::test]
async fn fields_of_a_window() {
    let fixture = sales().await;
    let sorted = json!({"$sort": {"_id": 1}});
    for (pipeline, expected) in [
        (
            json!([{"$setWindowFields": {"partitionBy": "$item", "sortBy": {"price": 1}, "output": {
                    "running": {"$sum": "$price", "window": {"documents": ["unbounded", "current"]}},
                    "all": {"$sum": "$price"}, "n": {"$documentNumber": {}},
                    "next": {"$shift": {"output": "$price", "by": 1, "default": -1}},
                    "before": {"$shift": {"output": "$objectId", "by": -1}}}}}, sorted,
                   {"$project": {"running": 1, "all": 1, "n": 1, "next": 1, "before": 1}}]),
            json!([
                {"objectId": "s1", "running": 2, "all": 6, "n": 1, "next": 4, "before": null},
                {"objectId": "s2", "running": 6, "all": 6, "n": 2, "next": -1, "before": "s1"},
                {"objectId": "s3", "running": 3, "all": 3, "n": 1, "next": -1, "before": null},
                {"objectId": "s4", "running": 0, "all": 0, "n": 1, "next": -1, "before": null},
            ]),
        ),
        (
            json!([{"$setWindowFields": {"sortBy": {"objectId": 1}, "output": {
                    "near": {"$push": "$objectId", "window": {"documents": [-1, 0]}},
                    "items": {"$addToSet": "$item", "window": {"documents": ["unbounded", "current"]}},
                    "least": {"$min": "$info.k"}, "first": {"$first": "$price"},
                    "mean": {"$avg": "$price", "window": {"documents": [1, 2]}},
                    "top": {"$maxN": {"input": "$price", "n": 1}}}}}, sorted,
                   {"$project": {"near": 1, "items": 1, "least": 1, "first": 1, "mean": 1, "top": 1}}]),
            json!([
                {"objectId": "s1", "near": ["s1"], "items": ["tea"], "least": "x", "first": 2, "mean": 3.5, "top": [4]},
                {"objectId": "s2", "near": ["s1", "s2"], "items": ["tea"], "least": "x", "first": 2, "mean": 3, "top": [4]},
                {"objectId": "s3", "near": ["s2", "s3"], "items": ["cola", "tea"], "least": "x", "first": 2, "mean": null,
                 "top": [4]},
                {"objectId": "s4", "near": ["s3", "s4"], "items": ["cola", "gum", "tea"], "least": "x", "first": 2,
                 "mean": null, "top": [4]},
            ]),
        ),
        (
            json!([{"$setWindowFields": {"sortBy": {"item": 1}, "output": {"rank": {"$rank": {}},
                    "dense": {"$denseRank": {}}}}},
                   {"$setWindowFields": {"sortBy": {"rank": -1}, "output": {"back": {"$denseRank": {}}}}}, sorted,
                   {"$project": {"rank": 1, "dense": 1, "back": 1}}]),
            json!([
                {"objectId": "s1", "rank": 3, "dense": 3, "back": 1}, {"objectId": "s2", "rank": 3, "dense": 3, "back": 1},
                {"objectId": "s3", "rank": 1, "dense": 1, "back": 3}, {"objectId": "s4", "rank": 2, "dense": 2, "back": 2},
            ]),
        ),
        (
            json!([{"$replaceWith": {"$mergeObjects": ["$$ROOT", {"z": 1}]}},
                   {"$setWindowFields": {"sortBy": {"price": 1}, "output": {"n": {"$documentNumber": {}}}}},
                   {"$sort": {"n": 1}}, {"$project": {"n": 1, "z": 1}}]),
            json!([
                {"objectId": "s4", "n": 1, "z": 1}, {"objectId": "s1", "n": 2, "z": 1},
                {"objectId": "s3", "n": 3, "z": 1}, {"objectId": "s2", "n": 4, "z": 1},
            ]),
        ),
        (
            json!([{"$fill": {"output": {"price": {"value": 0}}}}, sorted, {"$skip": 2}, {"$project": {"price": 1}}]),
            json!([{"objectId": "s3", "price": 3}, {"objectId": "s4", "price": 0}]),
        ),
        // Another number for each row.
        (
            json!([{"$project": {"r": {"$rand": {}}}}, {"$match": {"r": {"$gte": 0, "$lt": 1}}},
                   {"$group": {"_id": "$r"}}, {"$count": "n"}]),
            json!([{"n": 4}]),
        ),
    ] {
        let answered = run(&fixture, &pipeline, &AggregateOptions::default()).await;
        assert_eq!(Value::Array(answered), expected, "{pipeline}");
    }
}

#[tokio::test]
async fn rows_that_are_reached() {
    let place = schema(
        "Place",
        &[
            ("parent", Pointer(class("Place"))),
            ("near", Array),
            ("code", Number),
            ("hidden", parsimony::types::FieldType::Boolean),
        ],
    );
    let mut fixture = Fixture::new(vec![place]).await;
    fixture
        .insert(
            "Place",
            &[
                json!({"objectId": "world", "code": 1}),
                json!({"objectId": "land", "parent": pointer("Place", "world"), "code": 2}),
                json!({"objectId": "town", "parent": pointer("Place", "land"), "near": ["land", "world"], "code": 3}),
                json!({"objectId": "loop", "parent": pointer("Place", "loop"), "near": [3], "hidden": true}),
            ],
        )
        .await;
    let ids = |name: &str| json!({"$map": {"input": format!("${name}"), "in": ["$$this.objectId", "$$this.steps"]}});
    let graph = |stage: Value, of: &str| json!([{"$match": {"objectId": of}}, {"$graphLookup": stage}, {"$project": {"_id": 0, "found": ids("all")}}]);
    for (of, stage, expected) in [
        // Up, by the pointer.
        (
            "town",
            json!({"from": "Place", "startWith": "$parent", "connectFromField": "parent", "connectToField": "_id",
                "as": "all", "depthField": "steps"}),
            json!([["land", 0], ["world", 1]]),
        ),
        (
            "town",
            json!({"from": "Place", "startWith": "$parent", "connectFromField": "_p_parent",
                "connectToField": "objectId", "as": "all", "depthField": "steps", "maxDepth": 0}),
            json!([["land", 0]]),
        ),
        // Down, and round in a circle.
        (
            "world",
            json!({"from": "Place", "startWith": "$objectId", "connectFromField": "objectId", "connectToField": "parent",
                "as": "all", "depthField": "steps"}),
            json!([["land", 0], ["town", 1]]),
        ),
        (
            "loop",
            json!({"from": "Place", "startWith": "$objectId", "connectFromField": "parent", "connectToField": "objectId",
                "as": "all", "depthField": "steps"}),
            json!([["loop", 0]]),
        ),
        // Through lists, of numbers too.
        (
            "town",
            json!({"from": "Place", "startWith": "$near", "connectFromField": "near", "connectToField": "objectId",
                "as": "all", "depthField": "steps"}),
            json!([["land", 0], ["world", 0]]),
        ),
        (
            "loop",
            json!({"from": "Place", "startWith": 3, "connectFromField": "code", "connectToField": "near", "as": "all",
                "depthField": "steps"}),
            json!([["loop", 0]]),
        ),
        (
            "loop",
            json!({"from": "Place", "startWith": "$near", "connectFromField": "nothing", "connectToField": "code",
                "as": "all", "depthField": "steps"}),
            json!([["town", 0]]),
        ),
        (
            "town",
            json!({"from": "Place", "startWith": ["land", "loop", "town"], "connectFromField": "nothing",
                "connectToField": "objectId", "as": "all", "depthField": "steps",
                "restrictSearchWithMatch": {"hidden": {"$ne": true}, "objectId": {"$ne": "town"}}}),
            json!([["land", 0]]),
        ),
        (
            "town",
            json!({"from": "Nowhere", "startWith": 1, "connectFromField": "a", "connectToField": "b", "as": "all"}),
            json!([]),
        ),
    ] {
        let pipeline = graph(stage, of);
        let mut parsed =
            parse_pipeline(pipeline.as_array().unwrap(), Some(&fixture.schema("Place"))).unwrap();
        resolve(&mut parsed, &fixture.schemas);
        let built =
            aggregate::build(&fixture.schema("Place"), &parsed, &AggregateOptions::default()).unwrap();
        let rows = built.query.load(&fixture.conn, || ()).await;
        let rows = rows.unwrap_or_else(|error| panic!("{pipeline}\n{}\n{error}", built.query.sql.to_text()));
        let objects = built.objects(&rows).unwrap();
        assert_eq!(json!(objects), json!([{ "found": expected }]), "{pipeline}");
    }
}

#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let fixture = sales().await;
    for (pipeline, message) in [
        (json!([{"$out": "x"}]), "Unrecognized pipeline stage name: '$out'"),
        (json!([{"$group": {"n": {"$sum": 1}}}]), "Invalid parameter for query: group. Missing key _id"),
        (
            json!([{"$group": {"_id": null, "n": {"$accumulator": 1}}}]),
            "unknown group operator '$accumulator'",
        ),
        (json!([{"$project": {"x": {"$foo": 1}}}]), "Unrecognized expression '$foo'"),
        (json!([{"$project": {"a\"b": 1}}]), "Invalid field name in aggregation: a\"b"),
        (json!([{"$limit": -1}]), "$limit wants a positive whole number"),
        (json!([{"$match": {"price": {"$foo": 1}}}]), "bad constraint: $foo"),
        (
            json!([{"$project": {"x": {"$divide": [1]}}}]),
            "Expression $divide takes exactly 2 arguments. 1 were passed in.",
        ),
        (
            json!([{"$project": {"x": {"$dateTrunc": {"date": "$at", "unit": "eon"}}}}]),
            "unknown time unit value: eon",
        ),
        (
            json!([{"$project": {"x": {"$year": {"date": "$at", "timezone": "'; --"}}}}]),
            "unrecognized time zone identifier: \"'; --\"",
        ),
        (json!([{"$facet": {"a": {}}}]), "arguments to $facet must be arrays, a is none"),
        (
            json!([{"$setWindowFields": {"output": {"x": {"$sum": 1, "window": {"documents": [-1, 1]}}}}}]),
            "Document-based bounds require a sortBy",
        ),
        (
            json!([{"$setWindowFields": {"sortBy": {"price": 1}, "output": {"x": {"$sum": 1,
                "window": {"documents": [1, -1]}}}}}]),
            "Lower bound must not exceed upper bound",
        ),
        (
            json!([{"$setWindowFields": {"sortBy": {"price": 1}, "output": {"x": {"$sum": 1,
                "window": {"range": [-1, 1]}}}}}]),
            "Windows are supported as 'documents' only",
        ),
        (
            json!([{"$setWindowFields": {"output": {"x": {"$rank": {}}}}}]),
            "$rank must be specified with a sortBy expression with exactly one element",
        ),
        (
            json!([{"$setWindowFields": {"sortBy": {"price": 1}, "output": {"x": {"$shift": {"output": "$price",
                "by": 1, "default": "$item"}}}}}]),
            "'$shift:default' must be a constant",
        ),
        (
            json!([{"$setWindowFields": {"output": {"a.b": {"$sum": 1}}}}]),
            "Invalid field name in aggregation: a.b",
        ),
        (
            json!([{"$graphLookup": {"from": "Sale", "startWith": "$item", "as": "x"}}]),
            "$graphLookup requires 'from', 'as', 'startWith', 'connectFromField', and 'connectToField' to be specified.",
        ),
        (
            json!([{"$fill": {"output": {"x": {"method": "locf"}}}}]),
            "$fill is supported with 'value' only: x",
        ),
        (
            json!([{"$limit": 1}, {"$geoNear": {"near": [0, 0], "distanceField": "d"}}]),
            "$geoNear is only valid as the first stage in a pipeline.",
        ),
        (json!([{"$geoNear": {"near": [0, 0]}}]), "$geoNear requires a 'distanceField' option as a String"),
        (
            json!([{"$geoNear": {"near": [0, 91], "distanceField": "d"}}]),
            "$geoNear wants 'near' to be a GeoJSON point or an array of longitude and latitude",
        ),
        (
            json!([{"$geoNear": {"near": [0, 0], "distanceField": "d", "maxDistance": -1}}]),
            "$geoNear requires 'maxDistance' to be a nonnegative number",
        ),
        (json!([{"$project": {"x": {"$rand": 1}}}]), "$rand does not currently accept arguments"),
    ] {
        let Err(error) = parsed(&fixture, &pipeline) else { panic!("{pipeline} was not refused") };
        assert_eq!(error.public_message(true), message);
    }
}

#[tokio::test]
async fn what_has_nothing_inside_is_refused() {
    let fixture = sales().await;
    for pipeline in [json!([{"$sort": {"item.x": 1}}]), json!([{"$unwind": "$buyer.objectId"}])] {
        let parsed = parsed(&fixture, &pipeline).unwrap();
        let built = aggregate::build(&fixture.schema("Sale"), &parsed, &AggregateOptions::default());
        let Err(StorageError::Refused(error)) = built else { panic!("{pipeline} was not refused") };
        assert_eq!(error.code().map(|code| code.0), Some(102), "{pipeline}");
    }
}

#[tokio::test]
async fn named_time_zones() {
    let fixture = sales().await;
    let format = json!({"date": "$at", "format": "%Y-%m-%d %H", "timezone": "Asia/Tokyo"});
    let pipeline = json!([
        {"$match": {"objectId": "s1"}},
        {"$project": {"_id": 0, "day": {"$dateToString": format},
            "hour": {"$hour": {"date": "$at", "timezone": "Asia/Tokyo"}}}},
    ]);
    let answered = run(&fixture, &pipeline, &AggregateOptions::default()).await;
    assert_eq!(Value::Array(answered), json!([{"day": "2024-02-29 19", "hour": 19}]));
}

#[tokio::test]
async fn distinct_values() {
    let fixture = sales().await;
    for (field, query, expected) in [
        ("item", json!({}), json!(["cola", "gum", "tea"])),
        ("price", json!({"item": "tea"}), json!([2, 4])),
        ("tags", json!({}), json!(["green", "hot"])),
        ("info.k", json!({}), json!(["x", 1, 2])),
        ("buyer", json!({}), json!([pointer("Buyer", "ann"), pointer("Buyer", "bob")])),
        ("place", json!({}), json!([point(1.0, 2.0)])),
        ("createdAt", json!({}), json!(["2020-01-01T00:00:00.000Z"])),
        ("nothing", json!({}), json!([])),
    ] {
        let path = parse_key(field, true).unwrap();
        let spec = FindSpec::new(fixture.parse("Sale", &query, None));
        let values = match distinct::build(&fixture.schema("Sale"), &path, &spec).unwrap() {
            Some(sql) => {
                let rows = sql.load(&fixture.conn).await.unwrap_or_else(|e| panic!("{}: {e}", sql.to_text()));
                distinct::decode(&rows, field == "createdAt")
            }
            None => Vec::new(),
        };
        assert_eq!(Value::Array(values), expected, "{field}");
    }
}

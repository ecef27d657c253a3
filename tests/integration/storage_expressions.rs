//! Expressions of pipelines, on every adapter: as they are known to be, and the same.

use serde_json::{Value, json};

use crate::query_support::date;
use crate::storage_queries::House;

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
        (json!({"$round": [{"$atan2": [2, "$n"]}, 6]}), json!(1.107_149)),
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

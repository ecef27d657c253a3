//! What `where` may say, what it may not, and the exact words of each refusal.

use serde_json::{Value, json};

use crate::error::Error;
use crate::query::parse::ParseContext;
use crate::query::{Constraint, Filter, Operand, QueryLimits, parse_where};
use crate::types::names::{ClassName, FieldName};
use crate::types::schema::{ClassSchema, Field, FieldType};
use crate::types::time::Millis;

fn schema() -> ClassSchema {
    let mut schema = ClassSchema::with_defaults(ClassName::known("Game"));
    for (name, ty) in [("name", FieldType::String), ("score", FieldType::Number), ("at", FieldType::Date)] {
        schema.fields.insert(FieldName::known(name), Field::of(ty));
    }
    schema
}

fn limits() -> QueryLimits {
    QueryLimits {
        query_depth: Some(2),
        subquery_depth: Some(1),
        subquery_limit: Some(5),
        include_depth: Some(2),
        include_count: Some(2),
        allow_regex: true,
    }
}

fn parse_as(query: &Value, is_master: bool, limits: QueryLimits) -> Result<Filter, Error> {
    let schema = schema();
    parse_where(query, &ParseContext { is_master, limits, now: Millis(0), schema: Some(&schema) })
}

fn client(query: &Value) -> Result<Filter, Error> {
    parse_as(query, false, limits())
}

fn refusal(query: &Value) -> (i32, String) {
    let error = client(query).expect_err(&query.to_string());
    (error.code().map_or(0, |code| code.0), error.public_message(false).to_owned())
}

#[test]
fn refusals_are_worded_as_clients_know_them() {
    let point = json!({"__type": "GeoPoint", "latitude": 1, "longitude": 2});
    for (query, code, text) in [
        (json!({"ACL": {"*": {"read": true}}}), 102, "Cannot query on ACL."),
        (json!({"a b": 1}), 105, "Invalid key name: a b"),
        (json!({"_hashed_password": 1}), 105, "Invalid key name: _hashed_password"),
        (json!({"_perishable_token": "x"}), 105, "Invalid key name: _perishable_token"),
        (json!({"$foo": 1}), 105, "Invalid key name: $foo"),
        (json!({"a.$x": 1}), 105, "Invalid key name: a.$x"),
        (json!({"$or": 1}), 102, "$or must be an array"),
        (json!({"$nor": {}}), 102, "$nor must be an array"),
        (json!({"$nor": []}), 102, "Bad $nor format - use an array of at least 1 value."),
        (json!({"$or": []}), 102, "Bad $or format - use an array value."),
        (json!({"score": {"$foo": 1}}), 107, "bad constraint: $foo"),
        (json!({"score": {"$in": 1}}), 107, "bad $in value"),
        (json!({"score": {"$nin": {}}}), 107, "bad $nin value"),
        (json!({"score": {"$all": 1}}), 107, "bad $all value"),
        (
            json!({"score": {"$all": ["a", {"$regex": "^\\Qb\\E"}]}}),
            107,
            "All $all values must be of regex type or none: a,[object Object]",
        ),
        (json!({"score": {"$containedBy": 1}}), 107, "bad $containedBy: should be an array"),
        (
            json!({"name": {"$in": ["a", 1]}}),
            102,
            "$in element type mismatch: expected string for field \"name\"",
        ),
        (json!({"name": {"$regex": 1}}), 102, "$regex value must be a string"),
        (json!({"name": {"$regex": "a", "$options": 1}}), 102, "$options value must be a string"),
        (json!({"name": {"$regex": "a", "$options": "g"}}), 102, "Bad $options value for query: g"),
        (json!({"name": {"$text": {"$search": 1}}}), 107, "bad $text: $search, should be object"),
        (json!({"name": {"$text": {"$search": {}}}}), 107, "bad $text: $term, should be string"),
        (
            json!({"name": {"$text": {"$search": {"$term": "a", "$language": 1}}}}),
            107,
            "bad $text: $language, should be string",
        ),
        (
            json!({"name": {"$text": {"$search": {"$term": "a", "$caseSensitive": "x"}}}}),
            107,
            "bad $text: $caseSensitive, should be boolean",
        ),
        (json!({"loc": {"$within": {"$box": [point]}}}), 107, "malformatted $within arg"),
        (
            json!({"loc": {"$geoWithin": {"$polygon": [point, point]}}}),
            107,
            "bad $geoWithin value; $polygon should contain at least 3 GeoPoints",
        ),
        (
            json!({"loc": {"$geoWithin": {"$polygon": 3}}}),
            107,
            "bad $geoWithin value; $polygon should be Polygon object or Array of Parse.GeoPoint's",
        ),
        (
            json!({"loc": {"$geoWithin": {"$polygon": {"__type": "Polygon", "coordinates": [[0, 0]]}}}}),
            107,
            "bad $geoWithin value; Polygon.coordinates should contain at least 3 lon/lat pairs",
        ),
        (json!({"loc": {"$geoWithin": {"$polygon": [{}, {}, {}]}}}), 107, "bad $geoWithin value"),
        (
            json!({"loc": {"$geoWithin": {"$centerSphere": [point]}}}),
            107,
            "bad $geoWithin value; $centerSphere should be an array of Parse.GeoPoint and distance",
        ),
        (
            json!({"loc": {"$geoWithin": {"$centerSphere": [{}, 1]}}}),
            107,
            "bad $geoWithin value; $centerSphere geo point invalid",
        ),
        (
            json!({"loc": {"$geoWithin": {"$centerSphere": [point, -1]}}}),
            107,
            "bad $geoWithin value; $centerSphere distance invalid",
        ),
        (
            json!({"area": {"$geoIntersects": {"$point": 1}}}),
            107,
            "bad $geoIntersect value; $point should be GeoPoint",
        ),
        (json!({"p": {"$inQuery": {"className": "A"}}}), 102, "improper usage of $inQuery"),
        (json!({"p": {"$notInQuery": 1}}), 102, "improper usage of $notInQuery"),
        (json!({"p": {"$select": {"key": "a"}}}), 102, "improper usage of $select"),
        (
            json!({"p": {"$dontSelect": {"query": {"className": "A"}, "key": "a", "x": 1}}}),
            102,
            "improper usage of $dontSelect",
        ),
        (
            json!({"name": {"$lt": {"$relativeTime": "now"}}}),
            107,
            "$relativeTime can only be used with Date field",
        ),
        (
            json!({"at": {"$eq": {"$relativeTime": "now"}}}),
            107,
            "$relativeTime can only be used with the $lt, $lte, $gt, and $gte operators",
        ),
        (
            json!({"at": {"$gt": {"$relativeTime": "in x days"}}}),
            107,
            "bad $relativeTime ($gt) value. 'x' is not an integer.",
        ),
        (
            json!({"$or": [{"$and": [{"$nor": [{"a": 1}]}]}]}),
            102,
            "Query condition nesting depth exceeds maximum allowed depth of 2",
        ),
        (
            json!({"a": {"$inQuery": {"className": "A", "where":
                {"b": {"$inQuery": {"className": "B", "where": {}}}}}}}),
            102,
            "Subquery nesting depth exceeds maximum allowed depth of 1",
        ),
    ] {
        assert_eq!(refusal(&query), (code, text.to_owned()), "{query}");
    }
}

#[test]
fn the_master_key_has_its_own_words_and_no_limits() {
    let master = |query: Value| parse_as(&query, true, limits());
    let text = |query: Value| master(query).map_err(|e| e.public_message(true).to_owned());
    assert_eq!(text(json!({"$or": 1})), Err("Bad $or format - use an array value.".into()));
    assert!(master(json!({"$or": [{"$or": [{"$or": [{"$or": [{"a": 1}]}]}]}]})).is_ok());
    assert!(master(json!({"_perishable_token": "x", "_rperm": "y"})).is_ok());
    assert!(client(&json!({"$or": 1})).is_err_and(|e| e.public_message(true) == "Permission denied"));
}

#[test]
fn regexes_can_be_forbidden() {
    let limits = QueryLimits { allow_regex: false, ..limits() };
    let query = json!({"name": {"$regex": "a"}});
    let error = parse_as(&query, false, limits).expect_err("refused");
    assert_eq!(error.public_message(true), "$regex operator is not allowed");
    assert!(parse_as(&query, true, limits).is_ok());
}

#[test]
fn direct_keys_beside_operators_become_equality() {
    let filter =
        client(&json!({"p": {"__type": "Pointer", "className": "A", "objectId": "x", "$exists": true}}));
    let Ok(Filter::Field { constraints, .. }) = filter else { panic!("{filter:?}") };
    let pointer = Operand::Pointer { class: ClassName::known("A"), id: "x".into() };
    assert_eq!(constraints, [Constraint::Eq(pointer), Constraint::Exists(true)]);
}

#[test]
fn nested_lists_count_as_their_members() {
    let filter = client(&json!({"score": {"$in": [1, [2, 3]]}}));
    let numbers = [1.0, 2.0, 3.0].map(Operand::Number).to_vec();
    assert!(
        matches!(filter, Ok(Filter::Field { constraints, .. }) if constraints == [Constraint::In(numbers)])
    );
}

#[test]
fn deep_nesting_is_refused_not_overflowed() {
    let mut query = json!({"a": 1});
    for _ in 0..10_000 {
        let mut around = serde_json::Map::new();
        around.insert("$or".to_owned(), Value::Array(vec![query]));
        query = Value::Object(around);
    }
    assert!(parse_as(&query, true, QueryLimits::NONE).is_err());
    // Dropping such a tree recursively would overflow the test's own stack.
    std::mem::forget(query);
}

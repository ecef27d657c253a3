//! Random objects, random queries: PostgreSQL and the evaluator in memory must answer alike.
//!
//! The database sorts texts by code point, as the evaluator does; full text, whose stems only
//! PostgreSQL knows, is left out.

use std::cell::Cell;

use parsimony::types::FieldType::{
    Array, Boolean, Bytes, Date, File, GeoPoint, Number, Object, Pointer, Polygon, String as Text,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestError, TestRunner};
use serde_json::{Map, Value, json};

use parsimony::live_query::matching::index::Index;
use parsimony::query::evaluate::Matcher;
use parsimony::query::{ParseContext, parse_where};
use parsimony::types::ClassSchema;

use crate::query_support::{Fixture, class, date, evaluate, point, pointer, schema};

const OBJECTS: usize = 60;
const QUERIES: u32 = 700;

pub fn text() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["", "a", "b", "ab", "Ab", "a b", "é", "%_\\", "a\nb", "1", "o1", "null"])
        .prop_map(Value::from)
}

pub fn number() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![json!(0), json!(1), json!(-1), json!(1.5), json!(2), json!(1e10), json!(0.1)])
}

pub fn instant() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        "2020-01-01T00:00:00.000Z",
        "2020-01-01T00:00:00.001Z",
        "1969-12-31T23:59:59.999Z",
    ])
    .prop_map(date)
}

pub fn place() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        (0.0, 0.0),
        (1.0, 1.0),
        (2.0, 3.0),
        (-45.0, 170.0),
        (89.0, -170.0),
        (10.5, 20.25),
    ])
    .prop_map(|(latitude, longitude)| point(latitude, longitude))
}

fn area() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![1, 3]).prop_map(
        |size| json!({"__type": "Polygon", "coordinates": [[0, 0], [0, size], [size, size], [size, 0]]}),
    )
}

pub fn target() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["o1", "o2", "a"]).prop_map(|id| pointer("Other", id))
}

fn file() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["a", "o1"]).prop_map(|name| json!({"__type": "File", "name": name}))
}

fn bytes() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["AAA=", "a"]).prop_map(|base64| json!({"__type": "Bytes", "base64": base64}))
}

/// Anything that may stand inside an Object or Array column.
pub fn inner() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => text(), 4 => number(), 2 => any::<bool>().prop_map(Value::from), 1 => Just(Value::Null),
        2 => instant(), 2 => target(), 1 => place(), 1 => file(),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from), object_of(inner)]
    })
}

pub fn object_of(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec!["a", "b", "0"]).prop_map(str::to_owned);
    prop::collection::btree_map(key, inner, 0..3).prop_map(|map| Value::Object(map.into_iter().collect()))
}

pub fn list() -> impl Strategy<Value = Value> {
    prop::collection::vec(inner(), 0..4).prop_map(Value::from)
}

fn maybe(strategy: impl Strategy<Value = Value>) -> impl Strategy<Value = Option<Value>> {
    prop::option::weighted(0.75, strategy)
}

pub fn object() -> impl Strategy<Value = Map<String, Value>> {
    let first =
        (maybe(text()), maybe(number()), maybe(any::<bool>().prop_map(Value::from)), maybe(instant()));
    let second = (maybe(object_of(inner())), maybe(list()), maybe(place()), maybe(file()));
    let third = (maybe(bytes()), maybe(area()), maybe(target()));
    (first, second, third).prop_map(|(a, b, c)| {
        let values = [a.0, a.1, a.2, a.3, b.0, b.1, b.2, b.3, c.0, c.1, c.2];
        FIELDS.iter().zip(values).filter_map(|(name, v)| Some(((*name).to_owned(), v?))).collect()
    })
}

pub const FIELDS: [&str; 11] =
    ["text", "num", "flag", "at", "obj", "list", "loc", "file", "bytes", "area", "owner"];

pub fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(FIELDS.to_vec()),
        2 => prop::sample::select(vec!["obj.a", "obj.b", "obj.a.b", "obj.0", "obj.a.0", "list.0", "list.1.a", "text.a"]),
        1 => prop::sample::select(vec!["unknown", "objectId", "createdAt"]),
    ]
    .prop_map(str::to_owned)
}

/// Values of every type, wrong ones for most fields included.
pub fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => text(), 3 => number(), 1 => any::<bool>().prop_map(Value::from), 1 => Just(Value::Null),
        1 => instant(), 1 => target(), 1 => place(), 1 => area(), 1 => file(), 1 => bytes(), 2 => inner(),
    ]
}

fn regex() -> impl Strategy<Value = Value> {
    let pattern = prop::sample::select(vec![
        "a",
        "^a",
        "b$",
        "^$",
        ".",
        "a.b",
        "[^a]",
        "\\w\\s",
        "\\S",
        "\\bb",
        "(a|b)b",
        "a{1,2}",
        "\\Qa b\\E",
        "é",
        "[\\s\\S]b",
        "(?=a)a",
        "(.)\\1",
        "[]",
        "%",
        "\\\\",
    ]);
    let options = prop::option::of(prop::sample::select(vec!["i", "m", "s", "im", "x"]));
    (pattern, options).prop_map(|(pattern, options)| match options {
        Some(options) => json!({"$regex": pattern, "$options": options}),
        None => json!({ "$regex": pattern }),
    })
}

fn geo() -> impl Strategy<Value = Value> {
    let radians = prop::sample::select(vec![0.0, 0.02, 0.5, 1.6, 3.0, 4.0]);
    prop_oneof![
        (place(), radians.clone()).prop_map(|(p, r)| json!({"$nearSphere": p, "$maxDistance": r})),
        (place(), radians).prop_map(|(p, r)| json!({"$geoWithin": {"$centerSphere": [p, r]}})),
        (place(), place()).prop_map(|(a, b)| json!({"$within": {"$box": [a, b]}})),
        prop::sample::select(vec![
            json!([[0, 0], [3, 0], [3, 2], [0, 2]]),
            json!([[-180, -90], [180, -90], [180, 90], [-180, 90]]),
            json!([[0, 0], [2, 2], [0, 4]]),
        ])
        .prop_map(|ring| json!({"$geoWithin": {"$polygon": ring}})),
        place().prop_map(|p| json!({"$geoIntersects": {"$point": p}})),
    ]
}

fn constraint() -> impl Strategy<Value = Value> {
    let values = prop::collection::vec(value(), 0..4);
    let compare = prop::sample::select(vec!["$eq", "$ne", "$lt", "$lte", "$gt", "$gte"]);
    let set = prop::sample::select(vec!["$in", "$nin", "$all", "$containedBy"]);
    prop_oneof![
        3 => value(),
        4 => (compare, value()).prop_map(|(op, v)| json!({ op: v })),
        4 => (set, values).prop_map(|(op, list)| json!({ op: list })),
        1 => any::<bool>().prop_map(|set| json!({ "$exists": set })),
        2 => regex(),
        2 => geo(),
        1 => text().prop_map(|t| json!({"$all": [{"$regex": format!("^\\Q{}\\E", t.as_str().unwrap_or_default())}]})),
    ]
}

pub fn query() -> impl Strategy<Value = Value> {
    let field = (path(), constraint()).prop_map(|(path, constraint)| json!({ path: constraint }));
    field.prop_recursive(3, 8, 3, |inner| {
        let op = prop::sample::select(vec!["$or", "$and", "$nor"]);
        (op, prop::collection::vec(inner, 1..3)).prop_map(|(op, parts)| json!({ op: parts }))
    })
}

/// The class of the objects.
pub fn thing() -> ClassSchema {
    schema(
        "Thing",
        &[
            ("text", Text),
            ("num", Number),
            ("flag", Boolean),
            ("at", Date),
            ("obj", Object),
            ("list", Array),
            ("loc", GeoPoint),
            ("file", File),
            ("bytes", Bytes),
            ("area", Polygon),
            ("owner", Pointer(class("Other"))),
        ],
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_and_memory_agree() {
    let mut fixture = Fixture::sorted_by_code_point(vec![thing()]).await;
    let mut runner = TestRunner::deterministic();
    let objects: Vec<Value> = (0..OBJECTS)
        .map(|index| {
            let mut object = object().new_tree(&mut runner).unwrap().current();
            object.insert("objectId".to_owned(), json!(format!("id{index}")));
            Value::Object(object)
        })
        .collect();
    fixture.insert("Thing", &objects).await;
    let stored = fixture.objects("Thing").await;
    // Another seed each time: a failure prints its query, which belongs into `query_operators`.
    let mut runner =
        TestRunner::new(Config { cases: QUERIES, failure_persistence: None, ..Config::default() });
    let fixture = &fixture;
    let outcome = runner.run(&query(), |query| {
        let fixture = &fixture;
        let (sql, memory) = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                // A String column refuses lists of other types before anything is asked.
                let Some(filter) = fixture.try_parse("Thing", &query) else { return Default::default() };
                (fixture.sql_ids("Thing", &filter).await, evaluate(&stored, &filter))
            })
        });
        prop_assert_eq!(sql, memory, "{}", query);
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, query)) => panic!("{query}\n{reason}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

/// What live queries match with: the index may find too much, never too little.
#[test]
fn the_index_of_subscriptions_misses_nothing() {
    const SUBSCRIPTIONS: usize = 60;
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    let range = (path(), number(), number(), value())
        .prop_map(|(path, low, high, other)| json!({ path: {"$gte": low, "$lte": high, "$ne": other} }));
    let dates = (instant(), instant(), number())
        .prop_map(|(low, high, number)| json!({"at": {"$gt": low, "$lt": high}, "num": {"$gte": number}}));
    let queries = prop::collection::vec(prop_oneof![4 => query(), 1 => range, 1 => dates], SUBSCRIPTIONS);
    let states = prop::collection::vec(object(), 12);
    let (matched, candidates) = (Cell::new(0), Cell::new(0));
    let outcome = runner.run(&(queries, states), |(queries, mut states)| {
        let filters = queries.iter().map(|query| parse_where(query, &ParseContext::master()).ok());
        let matchers: Vec<Option<Matcher>> = filters.map(|filter| filter.map(Matcher::new)).collect();
        let mut index = Index::default();
        for (id, matcher) in matchers.iter().enumerate() {
            if let Some(matcher) = matcher {
                index.insert(id as u64, matcher.filter());
            }
        }
        for (n, state) in states.iter_mut().enumerate() {
            state.insert("objectId".to_owned(), json!(format!("o{n}")));
            state.insert("createdAt".to_owned(), json!("2020-01-01T00:00:00.000Z"));
            let found = index.candidates(std::iter::once(&*state));
            candidates.set(candidates.get() + found.len());
            for (id, matcher) in matchers.iter().enumerate() {
                if matcher.as_ref().is_some_and(|matcher| matcher.matches(state)) {
                    matched.set(matched.get() + 1);
                    prop_assert!(found.contains(&(id as u64)), "{} misses {:?}", queries[id], state);
                }
            }
        }
        for id in 0..SUBSCRIPTIONS {
            index.remove(id as u64);
        }
        prop_assert!(states.iter().all(|state| index.candidates(std::iter::once(state)).is_empty()));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(matched.get() > 1000, "the queries match something: {matched:?}");
    assert!(candidates.get() < 150 * 12 * SUBSCRIPTIONS, "the index leaves something out");
}

//! Parameters of finds: what is read, what is refused and how deep includes go.

use serde_json::{Value, json};

use crate::query::{FindRequest, OrderKey, ParseContext, QueryLimits};
use crate::types::time::Millis;

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

#[test]
fn requests() {
    let limits = QueryLimits { include_count: Some(4), ..limits() };
    let ctx = ParseContext { is_master: false, limits, now: Millis(0), schema: None };
    let parse = |params: Value| {
        let params = params.as_object().cloned().unwrap_or_default();
        FindRequest::parse(&params, Some(100), Some(50), &ctx)
            .map_err(|error| error.public_message(false).to_owned())
    };
    for (params, text) in [
        (json!({"foo": 1}), "Invalid parameter for query: foo"),
        (json!({"where": "{x"}), "where parameter is not valid JSON"),
        (json!({"order": "a b"}), "Invalid field name: a b."),
        (json!({"order": "authData.x.id"}), "Cannot sort by authData.x.id"),
        (json!({"readPreference": "FOO"}), "Not supported read preference."),
        (json!({"explain": "x"}), "Invalid value for explain"),
    ] {
        assert_eq!(parse(params), Err(text.to_owned()));
    }
    let found = parse(json!({
        "where": "{\"a\":1}", "limit": 80, "order": "-score, name,_created_at,$score",
        "keys": "a,b.c.d", "include": "x.y", "count": 1,
    }));
    let Ok(found) = found else { panic!("{found:?}") };
    assert_eq!((found.limit, found.count, found.skip), (Some(50), true, 0));
    assert_eq!(found.order.len(), 4);
    assert_eq!(found.order[3], OrderKey::Score);
    let include: Vec<String> = found.projection.include.iter().map(|path| path.join(".")).collect();
    assert_eq!(include, ["x", "b", "x.y", "b.c"]);
    for (include, text) in [
        ("a,b,c.d,e".to_owned(), "Number of include fields (5) exceeds maximum allowed (4)".to_owned()),
        ("a.b.c".to_owned(), "Include depth of 3 exceeds maximum allowed depth of 2".to_owned()),
        (
            format!("a{}", ".b".repeat(12_000)),
            "Include depth of 12001 exceeds maximum allowed depth of 2".into(),
        ),
    ] {
        assert_eq!(parse(json!({ "include": include })), Err(text));
    }
    assert!(parse(json!({"limit": 0})).is_ok_and(|found| found.limit == Some(0)));
    assert!(parse(json!({"include": "*"})).is_ok_and(|found| found.projection.include_all));
}

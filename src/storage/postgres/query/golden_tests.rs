//! The SQL that the builders write, in full: a change of a common shape must be seen.

use std::sync::Arc;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{aggregate, select};
use crate::query::pipeline::parse_pipeline;
use crate::query::request::parse_order;
use crate::query::visit::visit_guarded;
use crate::query::{FindSpec, ParseContext, parse_where};
use crate::storage::AggregateOptions;
use crate::types::schema::{ClassSchema, Field, FieldType};
use crate::types::{ClassName, FieldName};

fn schema() -> Arc<ClassSchema> {
    let mut schema = ClassSchema::with_defaults(ClassName::known("Game"));
    let other = ClassName::known("Other");
    for (name, ty) in [
        ("name", FieldType::String),
        ("score", FieldType::Number),
        ("obj", FieldType::Object),
        ("tags", FieldType::Array),
        ("loc", FieldType::GeoPoint),
        ("owner", FieldType::Pointer(other.clone())),
        ("fans", FieldType::Relation(other)),
    ] {
        schema.fields.insert(FieldName::known(name), Field::of(ty));
    }
    Arc::new(schema)
}

fn spec(query: &Value) -> FindSpec {
    let schema = schema();
    let mut filter = parse_where(query, &ParseContext { schema: Some(&schema), ..ParseContext::master() })
        .unwrap_or_else(|error| panic!("{query}: {error}"));
    let other = Arc::new(ClassSchema::with_defaults(ClassName::known("Other")));
    let decided = visit_guarded(&mut filter, &mut |mut guarded| {
        let schema = if guarded.class() == "Other" { other.clone() } else { schema.clone() };
        guarded.access_mut().schema = Some(schema);
        guarded.access_mut().readers = Some(["*".to_owned()].into());
        Ok::<(), ()>(())
    });
    assert!(decided.is_ok());
    FindSpec::new(filter)
}

/// The statement from its condition on.
fn condition(query: &Value) -> String {
    let built = select::find(&schema(), &spec(query)).unwrap_or_else(|error| panic!("{error}"));
    let text = built.sql.to_text();
    text.split_once(" WHERE ").map_or(text.clone(), |(_, condition)| condition.to_owned())
}

#[test]
fn a_whole_find() {
    let mut spec = spec(&json!({"score": {"$gte": 1, "$lt": 5}, "name": "x"}));
    spec.readers = Some(["*".to_owned(), "u".to_owned()].into());
    spec.order = parse_order("-score,name").unwrap_or_default();
    spec.limit = Some(100);
    spec.skip = 10;
    let built = select::find(&schema(), &spec).unwrap_or_else(|error| panic!("{error}"));
    assert!(built.sql.is_cacheable());
    assert_snapshot!(built.sql.to_text(), @r#"SELECT t0."objectId", t0."createdAt", t0."updatedAt", t0."_rperm", t0."_wperm", t0."name", t0."score", t0."obj", t0."tags", t0."loc", t0."owner" FROM public."Game" t0 WHERE ((t0."score" >= $1 AND t0."score" < $2) AND (t0."name" = $3)) AND (t0."_rperm" IS NULL OR t0."_rperm" && $4) ORDER BY t0."score" DESC, t0."name" ASC, t0."objectId" LIMIT $5 OFFSET $6"#);
}

#[test]
fn by_ids() {
    let built = select::find_by_ids(&schema(), &["a".to_owned()], Some(&["*".to_owned()].into()), Some(&[]));
    assert_snapshot!(built.map(|built| built.sql.to_text()).unwrap_or_default(), @r#"SELECT t0."objectId", t0."createdAt", t0."updatedAt", t0."_rperm", t0."_wperm" FROM public."Game" t0 WHERE t0."objectId" = ANY($1) AND (t0."_rperm" IS NULL OR t0."_rperm" && $2)"#);
}

#[test]
fn conditions_on_columns() {
    assert_snapshot!(condition(&json!({"objectId": "a"})), @r#"(t0."objectId" = $1)"#);
    assert_snapshot!(condition(&json!({"name": {"$ne": "a"}})), @r#"((t0."name" = $1) IS NOT TRUE)"#);
    assert_snapshot!(condition(&json!({"name": {"$in": ["a", "b", null]}})), @r#"((t0."name" IS NULL OR t0."name" = ANY($1)))"#);
    assert_snapshot!(condition(&json!({"score": {"$nin": [1, 2]}})), @r#"(((t0."score" = ANY($1))) IS NOT TRUE)"#);
    assert_snapshot!(condition(&json!({"score": "wrong type"})), @r#"(FALSE)"#);
    assert_snapshot!(condition(&json!({"name": {"$regex": "^a", "$options": "i"}})), @r#"(t0."name" ~ $1)"#);
    assert_snapshot!(condition(&json!({"$or": [{"name": "a"}, {"$nor": [{"score": 1}]}]})), @r#"((t0."name" = $1) OR ((t0."score" = $2)) IS NOT TRUE)"#);
}

#[test]
fn conditions_on_json() {
    assert_snapshot!(condition(&json!({"tags": "a"})), @r#"((t0."tags" @> $1))"#);
    assert_snapshot!(condition(&json!({"tags": {"$in": ["a", "b"]}})), @r#"((t0."tags" ?| $1))"#);
    assert_snapshot!(condition(&json!({"obj.a.b": 1})), @r#"(((t0."obj" #> $1) = $2 OR (t0."obj" #> $3) @> $4))"#);
    assert_snapshot!(condition(&json!({"obj.a": {"$gt": 1}})), @r#"((jsonb_path_exists((t0."obj" #> $1), 'strict $ ? (@ > $v)', $2, TRUE) OR jsonb_path_exists((t0."obj" #> $3), 'strict $[*] ? (@ > $v)', $4, TRUE)))"#);
}

#[test]
fn conditions_on_places_and_words() {
    let point = json!({"__type": "GeoPoint", "latitude": 1, "longitude": 2});
    assert_snapshot!(condition(&json!({"loc": {"$nearSphere": point, "$maxDistance": 0.1}})), @r#"((t0."loc" <@ box($1, $2) AND 2 * asin(least(1, sqrt(power(sin(radians((t0."loc")[1] - $3) / 2), 2) + cos(radians((t0."loc")[1])) * $4 * power(sin(radians((t0."loc")[0] - $5) / 2), 2)))) <= $6)) ORDER BY 2 * asin(least(1, sqrt(power(sin(radians((t0."loc")[1] - $7) / 2), 2) + cos(radians((t0."loc")[1])) * $8 * power(sin(radians((t0."loc")[0] - $9) / 2), 2))))"#);
    assert_snapshot!(condition(&json!({"name": {"$text": {"$search": {"$term": "a b"}}}})), @r#"((to_tsvector('english', left(t0."name", 200000)) @@ websearch_to_tsquery('english', $1)))"#);
}

#[test]
fn conditions_on_other_classes() {
    let inner = json!({"className": "Other", "where": {"objectId": "x"}});
    assert_snapshot!(condition(&json!({"owner": {"$inQuery": inner}})), @r#"(t0."owner" IN (SELECT t1."objectId" FROM public."Other" t1 WHERE (t1."objectId" = $1) AND (t1."_rperm" IS NULL OR t1."_rperm" && $2)))"#);
    let pointer = json!({"__type": "Pointer", "className": "Other", "objectId": "x"});
    assert_snapshot!(condition(&json!({"fans": pointer})), @r#"(t0."objectId" IN (SELECT j."owningId" FROM public."_Join:fans:Game" j WHERE j."relatedId" = ANY($1)))"#);
    let related =
        json!({"object": {"__type": "Pointer", "className": "Game", "objectId": "g"}, "key": "fans"});
    assert_snapshot!(condition(&json!({"$relatedTo": related})), @r#"t0."objectId" IN (SELECT t1."relatedId" FROM public."_Join:fans:Game" t1 WHERE t1."owningId" = $1) AND EXISTS (SELECT 1 FROM public."Game" t2 WHERE t2."objectId" = $2 AND (t2."_rperm" IS NULL OR t2."_rperm" && $3))"#);
}

#[test]
fn a_pipeline() {
    let stages = [
        json!({"$match": {"score": {"$gt": 1}}}),
        json!({"$group": {"_id": "$name", "total": {"$sum": "$score"}}}),
        json!({"$sort": {"total": -1}}),
        json!({"$limit": 3}),
    ];
    let pipeline = parse_pipeline(&stages, Some(&schema())).unwrap_or_else(|error| panic!("{error}"));
    let built = aggregate::build(&schema(), &pipeline, &AggregateOptions::default());
    assert_snapshot!(built.map(|built| built.query.sql.to_text()).unwrap_or_default(), @r#"SELECT t3."objectId", t3."total" FROM (SELECT t2.* FROM (SELECT t1."name" AS "objectId", coalesce(sum(t1."score"), 0)::float8 AS "total" FROM (SELECT t0.* FROM public."Game" t0 WHERE (t0."score" > $1)) t1 GROUP BY 1) t2 ORDER BY t2."total" DESC NULLS LAST LIMIT $2) t3 ORDER BY t3."total" DESC NULLS LAST"#);
}

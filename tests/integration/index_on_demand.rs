//! Indexes that are built when queries miss them: what they answer is what the scan answered, and they are used.

use std::sync::Arc;

use parsimony::query::{FindSpec, ParseContext, parse_where};
use parsimony::storage::postgres::{PostgresAdapter, PostgresOptions};
use parsimony::storage::{Session, StorageAdapter};
use parsimony::types::{ClassName, ClassSchema, Field, FieldName, FieldType};
use serde_json::{Value, json};

use crate::support::database::TestDatabase;

fn places() -> ClassSchema {
    let mut schema = ClassSchema::with_defaults(ClassName::known("Place"));
    schema.fields.insert(FieldName::known("loc"), Field::of(FieldType::GeoPoint));
    schema.fields.insert(FieldName::known("area"), Field::of(FieldType::Polygon));
    schema.fields.insert(FieldName::known("text"), Field::of(FieldType::String));
    schema
}

/// Points over the whole sphere, some of them at the poles, on the date line and in one place, and some unset.
const ROWS: &str = r#"
INSERT INTO "Place" ("objectId", "createdAt", "updatedAt", loc, area, text)
SELECT 'o' || i, now(), now(),
  CASE WHEN i % 100 = 0 THEN NULL WHEN i % 100 = 1 THEN point(12, 89.5) WHEN i % 100 = 2 THEN point(180, -10)
       WHEN i % 100 = 3 THEN point(-179.5, -10)
       ELSE point(((i * 7919) % 360000) / 1000.0 - 180, ((i * 104729) % 180000) / 1000.0 - 90) END,
  CASE WHEN i % 10 = 0 THEN polygon(box(point(i % 100, i % 80), point(i % 100 + 1, i % 80 + 1))) END,
  'word' || (i % 500) || ' caf' || CASE WHEN i % 1000 = 7 THEN 'é' ELSE 'eteria' END
FROM generate_series(1, 20000) i;
ANALYZE "Place""#;

async fn filled() -> (TestDatabase, Arc<PostgresAdapter>) {
    let database = TestDatabase::empty().await;
    let adapter = PostgresAdapter::connect(PostgresOptions::new(&database.uri)).await.unwrap();
    adapter.initialize().await.unwrap();
    adapter.create_class(&places()).await.unwrap();
    database.connect().await.batch_execute(ROWS).await.unwrap();
    (database, adapter)
}

fn spec(schema: &ClassSchema, query: &Value, skip: u64) -> FindSpec {
    let context = ParseContext { schema: Some(schema), ..ParseContext::master() };
    let mut spec = FindSpec::new(parse_where(query, &context).unwrap());
    spec.limit = Some(30);
    spec.skip = skip;
    spec
}

async fn schema(adapter: &PostgresAdapter) -> Arc<ClassSchema> {
    Arc::new(adapter.load_schema(&ClassName::known("Place")).await.unwrap().unwrap())
}

async fn ids(adapter: &PostgresAdapter, query: &Value, skip: u64) -> Vec<Value> {
    let schema = schema(adapter).await;
    let rows = adapter.find(&schema, &spec(&schema, query, skip)).await.unwrap();
    rows.iter().map(|row| row.to_object()["objectId"].clone()).collect()
}

/// Builds what the reads so far have missed, which is this one index.
async fn build(adapter: &PostgresAdapter, name: &str) {
    let mut wishes = adapter.index_wishes().expect("asked for the first time");
    let (class, indexes) = wishes.next().await.expect("an index was missed");
    assert_eq!((class.as_str(), indexes.keys().next().map(String::as_str)), ("Place", Some(name)));
    adapter.set_indexes(&class, &indexes, &[]).await.unwrap();
}

async fn assert_used(adapter: &PostgresAdapter, query: &Value, name: &str) {
    let schema = schema(adapter).await;
    let plan = adapter.explain(&schema, &spec(&schema, query, 0)).await.unwrap().to_string();
    assert!(plan.contains(name), "{query}: {plan}");
}

fn point(latitude: f64, longitude: f64) -> Value {
    json!({"__type": "GeoPoint", "latitude": latitude, "longitude": longitude})
}

#[tokio::test]
async fn the_nearest_are_the_same_by_the_index() {
    let (_database, adapter) = filled().await;
    let centres =
        [(0.0, 0.0), (89.9, -170.0), (-90.0, 0.0), (-10.0, 179.999), (-10.0, -180.0), (48.85, 2.35)];
    let mut cases = Vec::new();
    for (latitude, longitude) in centres {
        let near = point(latitude, longitude);
        for query in [
            json!({"loc": {"$nearSphere": near}}),
            json!({"loc": {"$nearSphere": near, "$maxDistance": 0.05}}),
            json!({"loc": {"$nearSphere": near}, "text": {"$regex": "eteria$"}}),
        ] {
            for skip in [0, 45] {
                let found = ids(&adapter, &query, skip).await;
                assert!(!found.is_empty() || skip > 0, "{query}");
                cases.push((query.clone(), skip, found));
            }
        }
    }
    build(&adapter, "parsimony_near_loc").await;
    for (query, skip, by_scan) in cases {
        assert_eq!(ids(&adapter, &query, skip).await, by_scan, "{query} from {skip}");
    }
    assert_used(&adapter, &json!({"loc": {"$nearSphere": point(1.0, 2.0)}}), "parsimony_near_loc").await;
    let circle = json!({"loc": {"$geoWithin": {"$centerSphere": [[2.0, 1.0], 0.01]}}});
    assert_used(&adapter, &circle, "parsimony_near_loc").await;
}

#[tokio::test]
async fn words_are_found_by_the_index() {
    let (database, adapter) = filled().await;
    let mut wishes = adapter.index_wishes().expect("asked for the first time");
    for (term, sensitive, name) in
        [("café", true, "parsimony_text_text_english"), ("cafe", false, "parsimony_folded_text_english")]
    {
        let query =
            json!({"text": {"$text": {"$search": {"$term": term, "$diacriticSensitive": sensitive}}}});
        assert_eq!(ids(&adapter, &query, 0).await.len(), 20, "{query}");
        let (class, indexes) = wishes.next().await.expect("an index was missed");
        assert!(indexes.contains_key(name), "{indexes:?}");
        adapter.set_indexes(&class, &indexes, &[]).await.unwrap();
        assert_eq!(ids(&adapter, &query, 0).await.len(), 20, "{query}");
        assert_used(&adapter, &query, name).await;
    }
    // A text that PostgreSQL makes no vector of is stored all the same.
    let words: String = (0..400_000).map(|n| format!("{n:x} ")).collect();
    let client = database.connect().await;
    client.execute(r#"UPDATE "Place" SET text = $1 WHERE "objectId" = 'o1'"#, &[&words]).await.unwrap();
}

/// Who may ask may ask in every language, and every index makes each write dearer.
#[tokio::test]
async fn a_text_gets_few_indexes_whatever_it_is_asked_for() {
    let (_database, adapter) = filled().await;
    let mut wishes = adapter.index_wishes().expect("asked for the first time");
    for language in ["en", "de", "fr", "es", "it", "nl", "pt", "sv", "none", "tr"] {
        for sensitive in [true, false] {
            let search = json!({"$term": "cafe", "$language": language, "$diacriticSensitive": sensitive});
            ids(&adapter, &json!({"text": {"$text": {"$search": search}}}), 0).await;
        }
    }
    ids(&adapter, &json!({"loc": {"$nearSphere": point(1.0, 2.0)}}), 0).await;
    let mut wished = Vec::new();
    while wished.last().is_none_or(|name| name != "parsimony_near_loc") {
        let (_, indexes) = wishes.next().await.expect("an index was missed");
        wished.extend(indexes.keys().cloned());
    }
    let expected = ["parsimony_text_text_english", "parsimony_folded_text_english", "parsimony_near_loc"];
    assert_eq!(wished, expected);
}

#[tokio::test]
async fn areas_are_found_by_the_index() {
    let (_database, adapter) = filled().await;
    let query = json!({"loc": {"$within": {"$box": [point(10.0, 10.0), point(15.0, 15.0)]}}});
    let mut by_scan = ids(&adapter, &query, 0).await;
    assert!(!by_scan.is_empty());
    build(&adapter, "parsimony_area_loc").await;
    let mut by_index = ids(&adapter, &query, 0).await;
    by_scan.sort_by_key(Value::to_string);
    by_index.sort_by_key(Value::to_string);
    assert_eq!(by_index, by_scan);
    assert_used(&adapter, &query, "parsimony_area_loc").await;
}

#[tokio::test]
async fn without_the_extension_the_scan_answers() {
    let (database, adapter) = filled().await;
    let query = json!({"loc": {"$nearSphere": point(5.0, 5.0)}});
    let by_scan = ids(&adapter, &query, 0).await;
    build(&adapter, "parsimony_near_loc").await;
    database.connect().await.batch_execute("DROP EXTENSION cube CASCADE").await.unwrap();
    assert!(schema(&adapter).await.indexes.get("parsimony_near_loc").is_none());
    assert_eq!(ids(&adapter, &query, 0).await, by_scan);
}

#[tokio::test]
async fn small_tables_and_those_who_decline_get_none() {
    let (database, adapter) = filled().await;
    let client = database.connect().await;
    client.batch_execute(r#"DELETE FROM "Place" WHERE "objectId" > 'o10'"#).await.unwrap();
    client.batch_execute(r#"VACUUM FULL "Place""#).await.unwrap();
    ids(&adapter, &json!({"loc": {"$nearSphere": point(5.0, 5.0)}}), 0).await;
    let mut wishes = adapter.index_wishes().expect("asked for the first time");
    // Nothing more comes once nobody can ask.
    drop(adapter);
    assert!(wishes.next().await.is_none());

    let options = PostgresOptions { auto_index: false, ..PostgresOptions::new(&database.uri) };
    let declined = PostgresAdapter::connect(options).await.unwrap();
    assert!(declined.index_wishes().is_none());
}

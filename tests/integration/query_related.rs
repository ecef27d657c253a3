//! Sub-queries, relations, rights, order and pages: what needs more than one object to answer.

use std::sync::Arc;

use diesel_async::SimpleAsyncConnection;
use parsimony::query::request::parse_order;
use parsimony::query::{Access, Constraint, Filter, FindSpec};
use parsimony::storage::postgres::query::select;
use parsimony::types::FieldType::{Array, GeoPoint, Number, Object, Pointer, Relation, String as Text};
use serde_json::{Value, json};

use crate::query_support::{Fixture, class, point, pointer, schema};

async fn library() -> Fixture {
    let book = schema(
        "Book",
        &[
            ("title", Text),
            ("pages", Number),
            ("author", Pointer(class("Author"))),
            ("editors", Array),
            ("meta", Object),
            ("readers", Relation(class("Author"))),
            ("shelf", GeoPoint),
        ],
    );
    let author = schema(
        "Author",
        &[("name", Text), ("born", Number), ("favourite", Text), ("alias", Array), ("meta", Object)],
    );
    let mut fixture = Fixture::new(vec![book, author]).await;
    fixture
        .insert(
            "Author",
            &[
                json!({"objectId": "a1", "name": "Ann", "born": 1970, "favourite": "Two", "alias": ["One", 5],
                       "meta": {"best": "Three"}}),
                json!({"objectId": "a2", "name": "Bob", "born": 1980, "favourite": "Zero"}),
                json!({"objectId": "a3", "name": "Cid", "_rperm": ["u1"], "_wperm": []}),
            ],
        )
        .await;
    fixture
        .insert(
            "Book",
            &[
                json!({"objectId": "b1", "title": "One", "pages": 10, "author": pointer("Author", "a1"),
                       "editors": [pointer("Author", "a2")], "meta": {"by": pointer("Author", "a2"), "n": 3},
                       "shelf": point(0.0, 5.0)}),
                json!({"objectId": "b2", "title": "Two", "pages": 20, "author": pointer("Author", "a2"),
                       "editors": [pointer("Author", "a1"), pointer("Author", "a3")], "meta": {"n": 1},
                       "shelf": point(0.0, 1.0), "_rperm": ["*"], "_wperm": []}),
                json!({"objectId": "b3", "title": "Three", "pages": 20, "author": pointer("Author", "a3"),
                       "meta": {"n": 2}, "shelf": point(0.0, 3.0), "_rperm": ["u1", "role:x"], "_wperm": []}),
                json!({"objectId": "b4", "title": "Four"}),
            ],
        )
        .await;
    for (owner, member) in [("b1", "a1"), ("b1", "a2"), ("b2", "a2"), ("b3", "a1")] {
        fixture.relate("readers", "Book", owner, member).await;
    }
    fixture
}

#[tokio::test]
async fn sub_queries_are_sub_selects() {
    let fixture = library().await;
    let authors = |condition: Value| json!({"className": "Author", "where": condition});
    let select = |key: &str, class: &str| json!({"query": {"className": class, "where": {}}, "key": key});
    for (query, expected) in [
        (json!({"author": {"$inQuery": authors(json!({"born": {"$gt": 1975}}))}}), "b2"),
        (json!({"author": {"$notInQuery": authors(json!({"born": {"$gt": 1975}}))}}), "b1b3b4"),
        (json!({"editors": {"$inQuery": authors(json!({"name": "Ann"}))}}), "b2"),
        (json!({"editors": {"$notInQuery": authors(json!({"name": "Ann"}))}}), "b1b3b4"),
        (json!({"meta.by": {"$inQuery": authors(json!({"name": "Bob"}))}}), "b1"),
        (json!({"readers": {"$inQuery": authors(json!({"name": "Ann"}))}}), "b1b3"),
        (json!({"author": {"$inQuery": {"className": "Book", "where": {}}}}), ""),
        (json!({"author": {"$inQuery": {"className": "Missing", "where": {}}}}), ""),
        (json!({"title": {"$select": select("favourite", "Author")}}), "b2"),
        (json!({"title": {"$dontSelect": select("favourite", "Author")}}), "b1b3b4"),
        (json!({"title": {"$select": select("alias", "Author")}}), "b1"),
        (json!({"title": {"$select": select("meta.best", "Author")}}), "b3"),
        (json!({"title": {"$select": select("nothing", "Author")}}), ""),
        (json!({"title": {"$dontSelect": select("nothing", "Author")}}), "b1b2b3b4"),
        (json!({"pages": {"$select": select("favourite", "Author")}}), ""),
        (
            json!({"author": {"$inQuery": authors(json!({"favourite": {"$select":
                {"query": {"className": "Book", "where": {"pages": 20}}, "key": "title"}}}))}}),
            "b1",
        ),
        (json!({"readers": pointer("Author", "a2")}), "b1b2"),
        (json!({"readers": {"$in": [pointer("Author", "a1"), pointer("Author", "a2")]}}), "b1b2b3"),
        (json!({"readers": {"$ne": pointer("Author", "a2")}}), "b3b4"),
        (json!({"readers": {"$nin": [pointer("Author", "a1")]}}), "b2b4"),
        (json!({"readers": {"$exists": false}}), "b4"),
        (json!({"$or": [{"readers": pointer("Author", "a2")}, {"title": "Four"}]}), "b1b2b4"),
    ] {
        let filter = fixture.parse("Book", &query, None);
        assert_eq!(fixture.sql_ids("Book", &filter).await.concat(), expected, "{query}");
    }
    let members = json!({"$relatedTo": {"object": pointer("Book", "b1"), "key": "readers"}, "name": "Ann"});
    assert_eq!(fixture.sql_ids("Author", &fixture.parse("Author", &members, None)).await.concat(), "a1");
    for key in ["title", "nothing"] {
        let query = json!({"$relatedTo": {"object": pointer("Book", "b1"), "key": key}});
        assert!(fixture.sql_ids("Author", &fixture.parse("Author", &query, None)).await.is_empty());
    }
}

#[tokio::test]
async fn rights_hold_in_every_part() {
    let fixture = library().await;
    let find = async |class: &str, query: Value, readers: &[&str]| {
        let mut spec = FindSpec::new(fixture.parse(class, &query, Some(readers)));
        spec.readers = Some(readers.iter().map(|entry| (*entry).to_owned()).collect());
        let mut ids = fixture.find(class, &spec).await;
        ids.sort();
        ids.concat()
    };
    assert_eq!(find("Book", json!({}), &["*"]).await, "b1b2b4");
    assert_eq!(find("Book", json!({}), &["*", "u1"]).await, "b1b2b3b4");
    assert_eq!(find("Book", json!({}), &["*", "role:x"]).await, "b1b2b3b4");
    assert_eq!(find("Book", json!({"$or": [{"title": "Three"}, {"title": "Two"}]}), &["*"]).await, "b2");
    let by_cid = json!({"author": {"$inQuery": {"className": "Author", "where": {"name": "Cid"}}}});
    assert_eq!(find("Book", by_cid.clone(), &["*"]).await, "");
    assert_eq!(find("Book", by_cid, &["*", "u1"]).await, "b3");
    let read_by = |owner: &str| json!({"$relatedTo": {"object": pointer("Book", owner), "key": "readers"}});
    assert_eq!(find("Author", read_by("b1"), &["*"]).await, "a1a2");
    assert_eq!(find("Author", read_by("b3"), &["*"]).await, "", "the owner may not be read");
    assert_eq!(find("Author", read_by("b3"), &["*", "u1"]).await, "a1");

    let mut denied =
        fixture.parse("Book", &json!({"author": {"$inQuery": {"className": "Author", "where": {}}}}), None);
    if let Filter::Field { constraints, .. } = &mut denied
        && let [Constraint::InQuery(query)] = constraints.as_mut_slice()
    {
        query.access = Access { denied: true, ..query.access.clone() };
    }
    assert!(fixture.sql_ids("Book", &denied).await.is_empty());
}

#[tokio::test]
async fn order_limit_and_skip() {
    let fixture = library().await;
    let find = async |query: Value, order: &str, limit: Option<u64>, skip: u64| {
        let mut spec = FindSpec::new(fixture.parse("Book", &query, None));
        spec.order = parse_order(order).unwrap();
        spec.limit = limit;
        spec.skip = skip;
        fixture.find("Book", &spec).await.concat()
    };
    assert_eq!(find(json!({}), "title", None, 0).await, "b4b1b3b2");
    assert_eq!(find(json!({}), "-pages,title", None, 0).await, "b4b3b2b1", "unset is first going down");
    assert_eq!(find(json!({}), "pages,-title", None, 0).await, "b1b2b3b4", "unset is last going up");
    assert_eq!(find(json!({}), "meta.n", None, 0).await, "b2b3b1b4");
    assert_eq!(find(json!({}), "nothing,readers,shelf,-objectId", None, 0).await, "b4b3b2b1");
    assert_eq!(find(json!({}), "pages", Some(2), 1).await, "b2b3");
    assert_eq!(find(json!({}), "pages", Some(0), 0).await, "");
    let near = json!({"shelf": {"$nearSphere": point(0.0, 0.0)}});
    assert_eq!(find(near.clone(), "", None, 0).await, "b2b3b1");
    assert_eq!(find(near.clone(), "readers,nothing", None, 0).await, "b2b3b1", "no order that counts");
    assert_eq!(find(near, "title", None, 0).await, "b1b3b2", "an order of one's own wins");
    let text = json!({"title": {"$text": {"$search": {"$term": "one two"}}}});
    assert_eq!(find(text, "$score,-title", None, 0).await, "b2b1");

    let spec = FindSpec::new(fixture.parse("Book", &json!({"pages": 20}), None));
    let count = select::count(&fixture.schema("Book"), &spec).unwrap();
    assert_eq!(select::load_count(&count, &fixture.conn).await.unwrap(), 2);

    let ids: Vec<String> = ["b3", "b1", "none"].map(str::to_owned).to_vec();
    let readers: Arc<[String]> = ["*".to_owned()].into();
    let found = select::find_by_ids(&fixture.schema("Book"), &ids, Some(&readers), None).unwrap();
    let found: Vec<_> =
        found.load(&fixture.conn, || ()).await.unwrap().iter().map(|r| r.object_id().to_owned()).collect();
    assert_eq!(found, ["b1"]);
}

#[tokio::test]
async fn columns_and_scores() {
    let fixture = library().await;
    let query = json!({"title": {"$text": {"$search": {"$term": "one"}}}});
    let mut spec = FindSpec::new(fixture.parse("Book", &query, None));
    spec.with_score = true;
    spec.columns = Some(vec![parsimony::types::FieldName::known("title")]);
    let rows =
        select::find(&fixture.schema("Book"), &spec).unwrap().load(&fixture.conn, || ()).await.unwrap();
    let object = rows.first().unwrap().to_object();
    let keys: Vec<_> = object.keys().map(String::as_str).collect();
    assert_eq!(keys, ["objectId", "createdAt", "updatedAt", "title", "score"]);
    assert!(object["score"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn a_costly_expression_cannot_hold_a_connection() {
    let mut fixture = library().await;
    // Back-references make the engine try every way to cut the text; its odd length lets none match.
    let text = "ab".repeat(1500) + "ax";
    fixture.insert("Book", &[json!({"objectId": "long", "title": text})]).await;
    fixture.conn.batch_execute("SET statement_timeout = 300; SET lc_messages = 'C'").await.unwrap();
    let query = json!({"title": {"$regex": "^(.*)(.*)(.*)(.*)\\4\\3\\2\\1x$"}});
    let built =
        select::find(&fixture.schema("Book"), &FindSpec::new(fixture.parse("Book", &query, None))).unwrap();
    let started = std::time::Instant::now();
    let error = built.load(&fixture.conn, || ()).await.expect_err("it ends in time");
    assert!(error.to_string().contains("statement timeout"), "{error}");
    assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
    // The connection is as good as before.
    assert_eq!(fixture.sql_ids("Book", &Filter::all()).await.len(), 5);
}

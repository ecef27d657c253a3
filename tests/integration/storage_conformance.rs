//! What every storage adapter must do, as one suite of checks over the traits, and what only a real
//! database can show: layout, concurrency, transactions, reconnects.

use std::sync::Arc;

use parsimony::query::{Filter, FindHints, FindSpec, Operand, OrderKey};
use parsimony::storage::postgres::{PostgresAdapter, PostgresOptions};
use parsimony::storage::{
    Related, RelationQuery, RelationSide, Returning, Session, StorageAdapter, StorageError, WriteFilter,
};
use parsimony::types::geo::GeoPoint;
use parsimony::types::path::FieldPath;
use parsimony::types::update::{Op, RelationChange};
use parsimony::types::{
    CellRef, ClassName, ClassSchema, Field, FieldName, FieldType, Object, ObjectId, Update,
};
use serde_json::{Value, json};

use crate::support::database::TestDatabase;

fn field(name: &'static str) -> FieldName {
    FieldName::known(name)
}

fn class(name: &str, fields: &[(&'static str, FieldType)]) -> ClassSchema {
    let mut schema = ClassSchema::with_defaults(ClassName::valid(name).unwrap());
    for (name, ty) in fields {
        schema.fields.insert(field(name), Field::of(ty.clone()));
    }
    schema
}

fn object(value: Value) -> Object {
    let mut object = value.as_object().unwrap().clone();
    for stamp in ["createdAt", "updatedAt"] {
        object.entry(stamp).or_insert_with(|| "2026-01-02T03:04:05.006Z".into());
    }
    object
}

fn id(text: &str) -> ObjectId {
    ObjectId::new(text).unwrap()
}

fn by_id(text: &str) -> WriteFilter {
    WriteFilter { filter: Filter::by_id(&id(text)), writers: None }
}

fn path(dotted: &str) -> FieldPath {
    let mut parts = dotted.split('.').map(str::to_owned);
    let root = FieldName::internal(&parts.next().unwrap()).unwrap();
    FieldPath { root, rest: parts.collect() }
}

fn update(ops: Vec<(&str, Op)>) -> Update {
    Update { ops: ops.into_iter().map(|(at, op)| (path(at), op)).collect() }
}

const BOTH: Returning = Returning { before: true, after: true, written_only: false };

async fn get(storage: &dyn Session, class: &Arc<ClassSchema>, id: &str) -> Option<Object> {
    let spec = FindSpec::new(Filter::eq("objectId", Operand::Text(id.into())));
    storage.find(class, &spec).await.unwrap().first().map(|row| row.to_object())
}

/// Every check on one fresh adapter, with an index for texts where the database has such.
async fn conforms(storage: &dyn StorageAdapter, has_text_indexes: bool) {
    let game = class(
        "Game",
        &[
            ("title", FieldType::String),
            ("score", FieldType::Number),
            ("done", FieldType::Boolean),
            ("at", FieldType::Date),
            ("o", FieldType::Object),
            ("list", FieldType::Array),
            ("owner", FieldType::Pointer(ClassName::known("_User"))),
            ("pic", FieldType::File),
            ("raw", FieldType::Bytes),
            ("place", FieldType::GeoPoint),
            ("area", FieldType::Polygon),
            ("friends", FieldType::Relation(ClassName::known("_User"))),
        ],
    );
    let stored = storage.create_class(&game).await.unwrap();
    assert_eq!(stored.fields.len(), game.fields.len());
    let game = Arc::new(stored);
    every_type_comes_back(storage, &game).await;
    permissions_are_kept(storage, &game).await;
    updates_are_applied(storage, &game).await;
    rows_before_and_after(storage, &game).await;
    writers_are_checked(storage, &game).await;
    deletes(storage, &game).await;
    duplicates_are_told(storage, &game).await;
    finds(storage, &game).await;
    relations(storage, &game).await;
    objects_and_relations_together(storage, &game).await;
    roles(storage).await;
    transactions(storage, &game).await;
    schemas(storage, has_text_indexes).await;
}

async fn every_type_comes_back(storage: &dyn StorageAdapter, game: &Arc<ClassSchema>) {
    let sent = object(json!({
        "objectId": "types", "title": "it's \"q\" ☃", "score": 1.5, "done": false,
        "at": {"__type": "Date", "iso": "2020-02-03T04:05:06.789Z"},
        "o": {"b": 1, "a": {"__type": "Pointer", "className": "X", "objectId": "y"}},
        "list": [1, "two", null, {"three": 3}],
        "owner": {"__type": "Pointer", "className": "_User", "objectId": "u1"},
        "pic": {"__type": "File", "name": "a_b.png"},
        "raw": {"__type": "Bytes", "base64": "AAE="},
        "place": {"__type": "GeoPoint", "latitude": 10.25, "longitude": -20.5},
        "area": {"__type": "Polygon", "coordinates": [[0, 0], [0, 1], [1, 1], [0, 0]]},
    }));
    storage.create(game, std::slice::from_ref(&sent)).await.unwrap();
    let back = get(storage, game, "types").await.unwrap();
    for (name, value) in &sent {
        let expected = match value.get("coordinates") {
            Some(_) => json!({"__type": "Polygon", "coordinates": [[0, 0], [0, 1], [1, 1], [0, 0]]}),
            None => value.clone(),
        };
        assert_eq!(back.get(name), Some(&expected), "{name}");
    }
    assert!(!back.contains_key("friends") && !back.contains_key("ACL"));
    assert!(get(storage, game, "nobody").await.is_none());
}

async fn permissions_are_kept(storage: &dyn StorageAdapter, game: &Arc<ClassSchema>) {
    let row = |id: &str, readers: Value| {
        object(json!({"objectId": id, "title": "acl", "_rperm": readers, "_wperm": []}))
    };
    let rows = [
        row("p1", json!(["*"])),
        row("p2", json!(["role:a b"])),
        row("p3", json!([])),
        row("p4", Value::Null),
    ];
    storage.create(game, &rows).await.unwrap();
    let seen = async |readers: &[&str]| {
        let mut spec = FindSpec::new(Filter::eq("title", Operand::Text("acl".into())));
        spec.readers = Some(readers.iter().map(|r| (*r).to_owned()).collect());
        spec.order = vec![OrderKey::Field { path: path("objectId"), descending: false }];
        let rows = storage.find(game, &spec).await.unwrap();
        rows.iter().map(|row| row.object_id().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(seen(&["*"]).await, ["p1", "p4"]);
    assert_eq!(seen(&["*", "role:a b"]).await, ["p1", "p2", "p4"]);
    let acl = get(storage, game, "p1").await.unwrap()["ACL"].clone();
    assert_eq!(acl, json!({"*": {"read": true}}));
    assert_eq!(get(storage, game, "p3").await.unwrap()["ACL"], json!({}));
}

async fn updates_are_applied(storage: &dyn StorageAdapter, game: &Arc<ClassSchema>) {
    let row = object(json!({"objectId": "u", "o": {"n": 1, "keep": true, "deep": {"x": [1]}}}));
    storage.create(game, &[row]).await.unwrap();
    let ops = update(vec![
        ("score", Op::Increment(2.5)),
        ("list", Op::Add(vec![json!("b"), json!("b")])),
        ("o.n", Op::Increment(4.0)),
        ("o.new.count", Op::Increment(1.0)),
        ("o.deep.x", Op::AddUnique(vec![json!(2), json!(1)])),
        ("o.keep", Op::Unset),
        ("title", Op::SetOnInsert(json!("only new"))),
        ("at", Op::Set(json!("2021-01-01T00:00:00.000Z"))),
    ]);
    let changed = storage.update(game, &by_id("u"), &ops, Returning::default()).await.unwrap();
    assert_eq!((changed.count, changed.before.is_some(), changed.after.is_some()), (1, false, false));
    let back = get(storage, game, "u").await.unwrap();
    assert_eq!(back["score"], json!(2.5));
    assert_eq!(back["list"], json!(["b", "b"]));
    assert_eq!(back["o"], json!({"n": 5, "new": {"count": 1}, "deep": {"x": [1, 2]}}));
    assert_eq!(back["at"], json!({"__type": "Date", "iso": "2021-01-01T00:00:00.000Z"}));
    assert!(!back.contains_key("title"));
    let ops = update(vec![
        ("list", Op::AddUnique(vec![json!("c"), json!("b"), json!("a"), json!("c"), json!({"k": 1})])),
        ("score", Op::Unset),
        ("o", Op::Set(json!({"fresh": 1}))),
    ]);
    storage.update(game, &by_id("u"), &ops, Returning::default()).await.unwrap();
    let back = get(storage, game, "u").await.unwrap();
    assert_eq!(back["list"], json!(["b", "b", "c", "a", {"k": 1}]));
    assert_eq!(back["o"], json!({"fresh": 1}));
    assert!(!back.contains_key("score"));
    let ops = update(vec![
        ("list", Op::Remove(vec![json!("b"), json!({"k": 1})])),
        ("o.a.b.c", Op::Set(json!([{"x": 1}]))),
    ]);
    storage.update(game, &by_id("u"), &ops, Returning::default()).await.unwrap();
    let ops = update(vec![("o.a.b.c.0.x", Op::Increment(1.0))]);
    storage.update(game, &by_id("u"), &ops, Returning::default()).await.unwrap();
    let back = get(storage, game, "u").await.unwrap();
    assert_eq!(back["list"], json!(["c", "a"]));
    assert_eq!(back["o"], json!({"fresh": 1, "a": {"b": {"c": [{"x": 2}]}}}));
    let wrong = storage.update(game, &by_id("u"), &update(vec![("o", Op::Increment(1.0))]), BOTH).await;
    assert!(matches!(wrong, Err(StorageError::Refused(_))), "{wrong:?}");
}

async fn rows_before_and_after(storage: &dyn StorageAdapter, game: &Arc<ClassSchema>) {
    storage.create(game, &[object(json!({"objectId": "ba", "score": 1}))]).await.unwrap();
    let ops = || update(vec![("score", Op::Increment(1.0)), ("title", Op::Set(json!("t")))]);
    let mut last = 0;
    for expected in 1..4 {
        let changed = storage.update(game, &by_id("ba"), &ops(), BOTH).await.unwrap();
        let (before, after) = (changed.before.unwrap(), changed.after.unwrap());
        assert_eq!((changed.count, before.len(), after.len()), (1, 1, 1));
        assert_eq!(before.first().unwrap().by_name("score"), CellRef::Number(f64::from(expected)));
        assert_eq!(after.first().unwrap().by_name("score"), CellRef::Number(f64::from(expected + 1)));
        assert_eq!(after.first().unwrap().text("title"), Some("t"));
        assert!(changed.stamp > last, "{} after {last}", changed.stamp);
        last = changed.stamp;
    }
    let none = storage.update(game, &by_id("nobody"), &ops(), BOTH).await.unwrap();
    assert_eq!((none.count, none.after.unwrap().len()), (0, 0));
    let after = Returning { after: true, ..Returning::default() };
    let changed = storage.update(game, &by_id("ba"), &Update::default(), after).await.unwrap();
    assert_eq!((changed.count, changed.before.is_none(), changed.after.unwrap().len()), (1, true, 1));
}

async fn writers_are_checked(storage: &dyn StorageAdapter, game: &Arc<ClassSchema>) {
    let row = object(json!({"objectId": "w", "_rperm": ["*"], "_wperm": ["me"]}));
    storage.create(game, &[row]).await.unwrap();
    let target = |who: &str| WriteFilter { writers: Some(Arc::from([who.to_owned()])), ..by_id("w") };
    let ops = update(vec![("score", Op::Set(json!(1)))]);
    assert_eq!(storage.update(game, &target("you"), &ops, BOTH).await.unwrap().count, 0);
    assert_eq!(storage.delete(game, &target("you"), false).await.unwrap().count, 0);
    assert_eq!(storage.update(game, &target("me"), &ops, BOTH).await.unwrap().count, 1);
}

async fn deletes(storage: &dyn StorageAdapter, game: &Arc<ClassSchema>) {
    let rows: Vec<_> = (0..3).map(|n| object(json!({"objectId": format!("d{n}"), "title": "del"}))).collect();
    storage.create(game, &rows).await.unwrap();
    let gone = storage.delete(game, &by_id("d0"), true).await.unwrap();
    assert_eq!((gone.count, gone.before.unwrap().first().unwrap().object_id().to_owned()), (1, "d0".into()));
    let rest = WriteFilter { filter: Filter::eq("title", Operand::Text("del".into())), writers: None };
    assert_eq!(storage.delete(game, &rest, false).await.unwrap().count, 2);
    assert_eq!(storage.delete(game, &rest, true).await.unwrap().count, 0);
}

async fn duplicates_are_told(storage: &dyn StorageAdapter, game: &Arc<ClassSchema>) {
    let row = || object(json!({"objectId": "dup"}));
    storage.create(game, &[row()]).await.unwrap();
    let refused = storage.create(game, &[object(json!({"objectId": "fresh"})), row()]).await;
    assert!(matches!(refused, Err(StorageError::Duplicate { .. })), "{refused:?}");
    assert!(get(storage, game, "fresh").await.is_none(), "all rows or none");
    let unknown = storage.create(game, &[object(json!({"objectId": "x", "nothere": 1}))]).await;
    assert!(matches!(unknown, Err(StorageError::StaleSchema(_))), "{unknown:?}");
}

async fn finds(storage: &dyn StorageAdapter, game: &Arc<ClassSchema>) {
    let rows: Vec<_> =
        (0..5).map(|n| object(json!({"objectId": format!("f{n}"), "title": "find", "score": n}))).collect();
    storage.create(game, &rows).await.unwrap();
    let mut spec = FindSpec::new(Filter::eq("title", Operand::Text("find".into())));
    spec.order = vec![OrderKey::Field { path: path("score"), descending: true }];
    spec.limit = Some(2);
    spec.skip = 1;
    spec.columns = Some(vec![field("score")]);
    let page = storage.find(game, &spec).await.unwrap();
    let ids: Vec<_> = page.iter().map(|row| row.object_id().to_owned()).collect();
    assert_eq!(ids, ["f3", "f2"]);
    assert_eq!(page.first().unwrap().by_name("title"), CellRef::Null);
    assert_eq!(storage.count(game, &spec).await.unwrap(), 5);
    let ids = ["f4".to_owned(), "none".to_owned(), "f1".to_owned()];
    let found = storage.find_by_ids(game, &ids, None, None, &FindHints::default()).await.unwrap();
    assert_eq!(found.len(), 2);
    let absent = Arc::new(class("NotThere", &[]));
    let all = FindSpec::new(Filter::all());
    assert_eq!(storage.find(&absent, &all).await.unwrap().len(), 0);
    assert_eq!(storage.count(&absent, &all).await.unwrap(), 0);
    assert_eq!(storage.delete(&absent, &by_id("x"), true).await.unwrap().count, 0);
    let near = GeoPoint::new(10.25, -20.5).unwrap();
    let same = Filter::eq("place", Operand::GeoPoint(near));
    assert_eq!(storage.count(game, &FindSpec::new(same)).await.unwrap(), 1);
}

async fn relations(storage: &dyn StorageAdapter, game: &Arc<ClassSchema>) {
    let change = |field_name: &'static str, add: &[&str], remove: &[&str]| RelationChange {
        field: field(field_name),
        add: add.iter().map(|x| id(x)).collect(),
        remove: remove.iter().map(|x| id(x)).collect(),
    };
    let ask = async |field_name: &'static str, by: RelationSide| {
        let query = RelationQuery { class: game.name.clone(), field: field(field_name), by };
        let mut ids = storage.relation_ids(&query).await.unwrap();
        ids.sort();
        ids
    };
    let owner = |name: &str| RelationSide::Owners(vec![name.to_owned()]);
    let add = [change("friends", &["a", "b", "b"], &[])];
    storage.change_relations(&game.name, &id("g1"), &add).await.unwrap();
    storage.change_relations(&game.name, &id("g1"), &add).await.unwrap();
    storage.change_relations(&game.name, &id("g2"), &[change("friends", &["b"], &[])]).await.unwrap();
    assert_eq!(ask("friends", owner("g1")).await, ["a", "b"]);
    assert_eq!(ask("friends", RelationSide::Members(vec!["b".into()])).await, ["g1", "g2"]);
    let mixed = [change("friends", &["c"], &["a", "none"])];
    storage.change_relations(&game.name, &id("g1"), &mixed).await.unwrap();
    assert_eq!(ask("friends", owner("g1")).await, ["b", "c"]);
    // A relation whose join table nobody made yet.
    assert!(ask("later", owner("g1")).await.is_empty());
    let both = [change("friends", &["z"], &[]), change("later", &["y"], &[])];
    storage.change_relations(&game.name, &id("g1"), &both).await.unwrap();
    assert_eq!(ask("later", owner("g1")).await, ["y"]);
    assert_eq!(ask("friends", owner("g1")).await, ["b", "c", "z"]);
}

async fn objects_and_relations_together(storage: &dyn StorageAdapter, game: &Arc<ClassSchema>) {
    let related = |owner: &str, name: &'static str, members: &[&str]| Related {
        owner: id(owner),
        changes: vec![RelationChange {
            field: field(name),
            add: members.iter().map(|member| id(member)).collect(),
            remove: Vec::new(),
        }],
    };
    let members = async |owner: &str, name: &'static str| {
        let by = RelationSide::Owners(vec![owner.to_owned()]);
        let query = RelationQuery { class: game.name.clone(), field: field(name), by };
        storage.relation_ids(&query).await.unwrap()
    };
    let row = object(json!({"objectId": "both", "title": "together"}));
    // A join table that nobody made yet.
    storage.create_related(game, &row, &related("both", "fresh", &["m1"])).await.unwrap();
    assert!(get(storage, game, "both").await.is_some());
    assert_eq!(members("both", "fresh").await, ["m1"]);
    // The row is refused, and the relation with it.
    let refused = storage.create_related(game, &row, &related("both", "fresh", &["m2"])).await;
    assert!(matches!(refused, Err(StorageError::Duplicate { .. })));
    assert_eq!(members("both", "fresh").await, ["m1"]);
    let rename = update(vec![("title", Op::Set(json!("renamed")))]);
    let changed = storage
        .update_related(game, &by_id("both"), &rename, BOTH, &related("both", "newer", &["m3"]))
        .await
        .unwrap();
    assert_eq!((changed.count, members("both", "newer").await), (1, vec!["m3".to_owned()]));
    // No row, no relation.
    let nobody = related("none", "newer", &["m4"]);
    let changed = storage.update_related(game, &by_id("none"), &rename, BOTH, &nobody).await.unwrap();
    assert_eq!(changed.count, 0);
    assert!(members("none", "newer").await.is_empty());
}

async fn roles(storage: &dyn StorageAdapter) {
    assert!(storage.roles_of_user("lonely").await.unwrap().is_empty());
    let role = Arc::new(storage.load_schema(&ClassName::known("_Role")).await.unwrap().unwrap());
    let rows: Vec<_> = ["top", "middle", "low", "other"]
        .iter()
        .map(|name| object(json!({"objectId": format!("r_{name}"), "name": name})))
        .collect();
    storage.create(&role, &rows).await.unwrap();
    let link = async |owner: &str, relation: &'static str, member: &str| {
        let change = RelationChange { field: field(relation), add: vec![id(member)], remove: vec![] };
        storage.change_relations(&role.name, &id(owner), &[change]).await.unwrap();
    };
    link("r_low", "users", "someone").await;
    // `low` is a child of `middle`, `middle` of `top`, and `top` of `low`: a ring.
    link("r_middle", "roles", "r_low").await;
    link("r_top", "roles", "r_middle").await;
    link("r_low", "roles", "r_top").await;
    let mut names = storage.roles_of_user("someone").await.unwrap();
    names.sort();
    assert_eq!(names, ["low", "middle", "top"]);
    // Its membership rows stay, but a role that is gone passes nothing on.
    let gone = WriteFilter { filter: Filter::by_id(&id("r_middle")), writers: None };
    storage.delete(&role, &gone, false).await.unwrap();
    assert_eq!(storage.roles_of_user("someone").await.unwrap(), ["low"]);
}

async fn transactions(storage: &dyn StorageAdapter, game: &Arc<ClassSchema>) {
    let row = |id: &str| object(json!({"objectId": id, "score": 1}));
    let open = storage.begin().await.unwrap();
    open.create(game, &[row("t1")]).await.unwrap();
    assert!(get(open.as_session(), game, "t1").await.is_some(), "its own writes");
    assert!(get(storage.as_session(), game, "t1").await.is_none(), "not to be seen outside");
    open.rollback().await.unwrap();
    assert!(get(storage.as_session(), game, "t1").await.is_none());
    let open = storage.begin().await.unwrap();
    open.create(game, &[row("t2")]).await.unwrap();
    let grown = open.add_fields(&game.name, &[(field("late"), Field::of(FieldType::String))]).await.unwrap();
    let grown = Arc::new(grown);
    let ops = update(vec![("late", Op::Set(json!("yes")))]);
    assert_eq!(open.update(&grown, &by_id("t2"), &ops, BOTH).await.unwrap().count, 1);
    open.commit().await.unwrap();
    assert_eq!(get(storage.as_session(), &grown, "t2").await.unwrap()["late"], json!("yes"));
    let open = storage.begin().await.unwrap();
    open.create(game, &[row("t3")]).await.unwrap();
    let refused = open.create(game, &[row("t2")]).await;
    assert!(matches!(refused, Err(StorageError::Duplicate { .. })));
    open.rollback().await.unwrap();
    assert!(get(storage.as_session(), game, "t3").await.is_none());
    let open = storage.begin().await.unwrap();
    open.create(game, &[row("t4")]).await.unwrap();
    drop(open);
    assert!(get(storage.as_session(), game, "t4").await.is_none(), "dropped means rolled back");
}

async fn schemas(storage: &dyn StorageAdapter, has_text_indexes: bool) {
    let schema = storage.create_class(&class("Shape", &[("a", FieldType::String)])).await.unwrap();
    let again = storage.create_class(&class("Shape", &[("b", FieldType::String)])).await.unwrap();
    assert!(again.field("a").is_some() && again.field("b").is_none(), "the first one stands");
    let name = schema.name.clone();
    let fields = [
        (field("a"), Field::of(FieldType::Number)),
        (field("n"), Field::of(FieldType::Number)),
        (field("r"), Field::of(FieldType::Relation(ClassName::known("_User")))),
    ];
    let grown = storage.add_fields(&name, &fields).await.unwrap();
    assert_eq!(grown.field_type("a"), Some(&FieldType::String), "types do not change");
    assert_eq!(grown.field_type("n"), Some(&FieldType::Number));
    let option = Field { required: true, default_value: Some(json!(3)), ..Field::of(FieldType::Number) };
    let set = storage.set_field_options(&name, &[(field("n"), option.clone())]).await.unwrap();
    assert_eq!(set.field("n"), Some(&option));
    let clp = json!({"find": {"*": true}, "protectedFields": {"*": ["a"]}}).as_object().unwrap().clone();
    let guarded = storage.set_permissions(&name, &clp).await.unwrap();
    assert_eq!(guarded.clp.as_ref().map(|c| c.raw()), Some(&clp));
    let mut create = json!({"by_a": {"a": 1}}).as_object().unwrap().clone();
    let mut noted = json!({"_id_": {"_id": 1}, "by_a": {"a": 1}});
    if has_text_indexes {
        create.insert("text".to_owned(), json!({"a": "text"}));
        noted["text"] = json!({"a": "text"});
    }
    let indexed = storage.set_indexes(&name, &create, &[]).await.unwrap();
    assert_eq!(json!(indexed.indexes), noted);
    let shape = Arc::new(indexed);
    storage.create(&shape, &[object(json!({"objectId": "s", "a": "x", "n": 1}))]).await.unwrap();
    let smaller = storage.delete_fields(&name, &[field("n"), field("r")]).await.unwrap();
    assert!(smaller.field("n").is_none() && smaller.field("r").is_none());
    let shape = Arc::new(smaller);
    assert!(!get(storage.as_session(), &shape, "s").await.unwrap().contains_key("n"));
    assert!(storage.load_schemas().await.unwrap().contains(&shape));
    storage.purge_class(&shape).await.unwrap();
    assert!(get(storage.as_session(), &shape, "s").await.is_none());
    storage.delete_class(&shape).await.unwrap();
    assert!(storage.load_schema(&name).await.unwrap().is_none());
    let gone = storage.add_fields(&name, &fields).await;
    assert!(matches!(gone, Err(StorageError::StaleSchema(_))), "{gone:?}");
}

async fn adapter(database: &TestDatabase) -> Arc<PostgresAdapter> {
    let adapter = PostgresAdapter::connect(PostgresOptions::new(&database.uri)).await.unwrap();
    adapter.initialize().await.unwrap();
    adapter
}

#[tokio::test]
async fn postgres_conforms() {
    let database = TestDatabase::empty().await;
    conforms(&*adapter(&database).await, true).await;
}

#[tokio::test]
async fn postgres_conforms_without_prepared_statements() {
    let database = TestDatabase::empty().await;
    let options = PostgresOptions { prepared_statements: false, ..PostgresOptions::new(&database.uri) };
    let adapter = PostgresAdapter::connect(options).await.unwrap();
    adapter.initialize().await.unwrap();
    conforms(&*adapter, true).await;
}

#[tokio::test]
async fn memory_conforms() {
    let adapter = parsimony::storage::memory::MemoryAdapter::new();
    adapter.initialize().await.unwrap();
    conforms(&*adapter, true).await;
}

#[cfg(feature = "mongo")]
#[tokio::test]
async fn mongo_conforms() {
    use parsimony::storage::mongo::{MongoAdapter, MongoOptions};
    let Some(database) = crate::support::mongo::TestMongo::empty() else { return };
    for prefix in ["", "app_"] {
        let options =
            MongoOptions { collection_prefix: prefix.to_owned(), ..MongoOptions::new(&database.uri) };
        let adapter = MongoAdapter::connect(options).await.unwrap();
        adapter.initialize().await.unwrap();
        // The stand-in has no indexes for texts.
        conforms(&*adapter, false).await;
        adapter.close().await;
    }
}

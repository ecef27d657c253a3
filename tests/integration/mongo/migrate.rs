//! From MongoDB to PostgreSQL and back: everything arrives, what differs is named, and a second run does no harm.

use std::sync::Arc;

use parsimony::files::FileStore;
use parsimony::migrate::{self, Report, Side};
use parsimony::storage::StorageAdapter;
use parsimony::storage::mongo::{MongoAdapter, MongoOptions};
use parsimony::storage::postgres::{PostgresAdapter, PostgresOptions};
use serde_json::{Value, json};

use super::Fixture;
use crate::support::database::TestDatabase;
use crate::support::mongo::TestMongo;
use crate::support::server::{APP_ID, TestServer};

pub struct Place {
    storage: Arc<dyn StorageAdapter>,
    files: Arc<dyn FileStore>,
}

impl Place {
    async fn of(storage: Arc<dyn StorageAdapter>) -> Self {
        storage.initialize().await.unwrap();
        let files = storage.file_stores().unwrap().file_store(APP_ID, None);
        files.prepare().await.unwrap();
        Self { storage, files }
    }

    pub async fn mongo(uri: &str) -> Self {
        Self::of(MongoAdapter::connect(MongoOptions::new(uri)).await.unwrap()).await
    }

    pub async fn postgres(uri: &str) -> Self {
        Self::of(PostgresAdapter::connect(PostgresOptions::new(uri)).await.unwrap()).await
    }

    pub fn side(&self) -> Side<'_> {
        Side { storage: &*self.storage, files: Some(&*self.files) }
    }
}

pub async fn moved(from: &Place, to: &Place, dry_run: bool) -> Report {
    migrate::run(&from.side(), &to.side(), dry_run, &mut |_| {}).await.unwrap()
}

/// Fills a database through its server.
async fn fill(server: &TestServer) -> Value {
    let client = server.anonymous();
    let master = server.master();
    let user =
        client.post("/users", json!({"username": "ann", "password": "secret", "email": "a@b.c"})).await.ok();
    let pointer = json!({"__type": "Pointer", "className": "_User", "objectId": user["objectId"]});
    let role = json!({
        "name": "Staff", "ACL": {"*": {"read": true}}, "users": {"__op": "AddRelation", "objects": [pointer]},
    });
    master.post("/roles", role).await.ok();
    for n in 0..700 {
        let body = json!({
            "n": n, "text": format!("text {n}"), "owner": pointer, "list": [n, {"deep": [pointer]}],
            "at": {"__type": "Date", "iso": "2020-02-03T04:05:06.789Z"},
            "place": {"__type": "GeoPoint", "latitude": 1.5, "longitude": 2},
            "ACL": {"role:Staff": {"read": true, "write": true}},
        });
        let create = json!({"method": "POST", "path": "/parse/classes/Game", "body": body});
        if n % 50 == 0 {
            master.post("/batch", json!({"requests": [create]})).await.ok();
        } else {
            master.post("/classes/Game", create["body"].clone()).await.ok();
        }
    }
    master.put("/config", json!({"params": {"greeting": "hello"}})).await.ok();
    let file = server.session(user["sessionToken"].as_str().unwrap());
    file.post("/files/hello.txt", json!({"base64": "aGVsbG8=", "_ContentType": "text/plain"})).await.ok();
    user
}

async fn is_all_there(server: &TestServer, user: &Value) {
    let login = json!({"username": "ann", "password": "secret"});
    let again = server.anonymous().post("/login", login).await.ok();
    assert_eq!(again["objectId"], user["objectId"]);
    // Sessions move too.
    let own = server.session(user["sessionToken"].as_str().unwrap());
    assert_eq!(own.get("/users/me").await.ok()["username"], "ann");
    let found =
        own.find("Game", json!({"count": 1, "limit": 1, "order": "-n", "include": "owner"})).await.ok();
    let first = &found["results"][0];
    assert_eq!((&found["count"], &first["n"]), (&json!(700), &json!(699)));
    assert_eq!((&first["owner"]["username"], &first["text"]), (&json!("ann"), &json!("text 699")));
    assert_eq!(server.anonymous().find("Game", json!({"count": 1})).await.ok()["count"], 0);
    assert_eq!(server.anonymous().get("/config").await.ok()["params"]["greeting"], "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back() {
    let Some(source) = TestMongo::empty() else { return };
    let (middle, end) = (TestDatabase::empty().await, TestMongo::empty().unwrap());
    let fixture = Fixture::on(&source, json!({})).await;
    let user = fill(&fixture.server).await;
    drop(fixture);
    let (mongo, postgres) = (Place::mongo(&source.uri).await, Place::postgres(&middle.uri).await);
    let report = moved(&mongo, &postgres, false).await;
    assert!(report.is_clean(), "{report:?}");
    assert!(report.objects > 700 && report.files == 1 && report.members == 1, "{report:?}");
    let again = moved(&mongo, &postgres, false).await;
    assert!(again.is_clean() && again.objects == 0 && again.passed_over > 700, "{again:?}");
    let server = TestServer::with(json!({"databaseURI": middle.uri})).await;
    is_all_there(&server, &user).await;
    // What is changed there is named.
    let one = server.master().find("Game", json!({"where": {"n": 5}})).await.ok();
    let id = one["results"][0]["objectId"].as_str().unwrap().to_owned();
    server.master().put(&format!("/classes/Game/{id}"), json!({"text": "changed"})).await.ok();
    drop(server);
    let compared = moved(&mongo, &postgres, true).await;
    let named = |entry: &String| entry.starts_with(&format!("Game {id}"));
    assert!(compared.different.first.iter().any(named), "{compared:?}");
    assert_eq!(compared.objects, 0);
    let back = Place::mongo(&end.uri).await;
    let report = moved(&postgres, &back, false).await;
    assert!(report.is_clean(), "{report:?}");
    let fixture = Fixture::on(&end, json!({})).await;
    is_all_there(&fixture.server, &user).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_moved_is_named() {
    use mongodb::bson::{Document, doc};
    let Some(source) = TestMongo::empty() else { return };
    let target = TestDatabase::empty().await;
    let database = source.database().await;
    let at = mongodb::bson::DateTime::from_millis(1_000);
    let schema = doc! { "_id": "Odd", "objectId": "string", "createdAt": "date", "updatedAt": "date", "n": "number", "s": "string" };
    let mongo = Place::mongo(&source.uri).await;
    database.collection::<Document>("_SCHEMA").insert_one(schema).await.unwrap();
    let rows = [
        doc! { "_id": "good", "_created_at": at, "_updated_at": at, "n": 1 },
        doc! { "_id": "typed", "_created_at": at, "_updated_at": at, "n": "text" },
        doc! { "_id": "nul", "_created_at": at, "_updated_at": at, "s": "a\u{0}b" },
    ];
    database.collection::<Document>("Odd").insert_many(rows).await.unwrap();
    let report = moved(&mongo, &Place::postgres(&target.uri).await, false).await;
    let of = |id: &str| report.refused.first.iter().filter(|entry| entry.contains(id)).count();
    assert_eq!((of("Odd good"), of("Odd typed"), of("Odd nul")), (0, 1, 1), "{report:?}");
    assert!(!report.is_clean() && report.objects == 1, "{report:?}");
}

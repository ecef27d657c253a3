//! Fields that the caller may not see must not be told by anything else: each attack is asked twice,
//! with a right and with a wrong guess, and both answers have to be the same. The master key, for whom
//! nothing is hidden, shows that the two guesses do differ.

use serde_json::{Value, json};

use crate::support::server::{Client, TestServer};
use crate::users_sign_up::sign_up;

/// A class with a hidden text, object, relation, place and pointer; one that points there; a user.
struct House {
    server: TestServer,
    vault: String,
    user: String,
    token: String,
}

fn pointer(class: &str, id: &str) -> Value {
    json!({"__type": "Pointer", "className": class, "objectId": id})
}

async fn house() -> House {
    let server = TestServer::start().await;
    let (user, token) = sign_up(&server.anonymous(), "ann").await;
    let master = server.master();
    let schema = json!({"fields": {
        "name": {"type": "String"}, "secret": {"type": "String"}, "notes": {"type": "Object"},
        "open": {"type": "Object"}, "place": {"type": "GeoPoint"}, "tags": {"type": "Array"},
        "owner": {"type": "Pointer", "targetClass": "_User"},
        "members": {"type": "Relation", "targetClass": "_User"},
    }, "classLevelPermissions": {
        "find": {"*": true}, "get": {"*": true}, "count": {"*": true}, "create": {"*": true},
        "update": {"*": true},
        "protectedFields": {"*": ["secret", "notes", "place", "tags", "owner", "members"]},
    }});
    master.post("/schemas/Vault", schema).await.ok();
    let vault = json!({
        "name": "one", "secret": "gold", "notes": {"code": 7}, "tags": ["red"],
        "place": {"__type": "GeoPoint", "latitude": 10, "longitude": 20}, "owner": pointer("_User", &user),
        "members": {"__op": "AddRelation", "objects": [pointer("_User", &user)]},
    });
    let vault = master.post("/classes/Vault", vault).await.ok()["objectId"].as_str().unwrap().to_owned();
    let other = json!({"name": "two", "secret": "lead", "notes": {"code": 1}});
    master.post("/classes/Vault", other).await.ok();
    let door = json!({"vault": pointer("Vault", &vault), "word": "gold", "code": 7, "list": [pointer("Vault", &vault)]});
    server.anonymous().post("/classes/Door", door).await.ok();
    let relation = json!({"vaults": {"__op": "AddRelation", "objects": [pointer("Vault", &vault)]}});
    server.anonymous().post("/classes/Street", relation).await.ok();
    House { server, vault, user, token }
}

/// Class, parameters with the right guess, parameters with the wrong one.
fn conditions(user: &str) -> Vec<(&'static str, Value, Value)> {
    let owner = pointer("_User", user);
    let nobody = pointer("_User", "nobodyhere");
    let place = |latitude: i64| json!({"__type": "GeoPoint", "latitude": latitude, "longitude": 20});
    let mut all = Vec::new();
    let pairs = [
        (json!({"secret": "gold"}), json!({"secret": "tin"})),
        (json!({"secret": {"$regex": "^g"}}), json!({"secret": {"$regex": "^z"}})),
        (json!({"secret": {"$gt": "a"}}), json!({"secret": {"$gt": "z"}})),
        (json!({"secret": {"$in": ["gold"]}}), json!({"secret": {"$in": ["tin"]}})),
        (json!({"secret": {"$nin": ["tin"]}}), json!({"secret": {"$nin": ["gold", "lead"]}})),
        (json!({"secret": {"$exists": true}}), json!({"secret": {"$exists": false}})),
        (
            json!({"secret": {"$text": {"$search": {"$term": "gold"}}}}),
            json!({"secret": {"$text": {"$search": {"$term": "tin"}}}}),
        ),
        (json!({"notes.code": 7}), json!({"notes.code": 8})),
        (json!({"notes": {"code": 7}}), json!({"notes": {"code": 8}})),
        (json!({"tags": "red"}), json!({"tags": "blue"})),
        (json!({"tags": {"$all": ["red"]}}), json!({"tags": {"$all": ["blue"]}})),
        (json!({"owner": owner}), json!({"owner": nobody})),
        (
            json!({"owner": {"$inQuery": {"className": "_User", "where": {"objectId": user}}}}),
            json!({"owner": {"$inQuery": {"className": "_User", "where": {"objectId": "nobodyhere"}}}}),
        ),
        (json!({"members": owner}), json!({"members": nobody})),
        (
            json!({"place": {"$nearSphere": place(10), "$maxDistance": 0.01}}),
            json!({"place": {"$nearSphere": place(50), "$maxDistance": 0.01}}),
        ),
        (
            json!({"secret": {"$select": {"query": {"className": "Door", "where": {}}, "key": "word"}}}),
            json!({"secret": {"$select": {"query": {"className": "Door", "where": {"word": "x"}}, "key": "word"}}}),
        ),
    ];
    for (right, wrong) in pairs {
        // However deep, however asked.
        let wraps: [fn(Value) -> Value; 3] = [
            |w| w,
            |w| json!({"$or": [{"name": "nothing"}, w]}),
            |w| json!({"$or": [{"$and": [{"$nor": [{"$nor": [w]}]}]}]}),
        ];
        let is_near = right.get("place").is_some();
        // Every wrapping for some, the plain form for all: enough to find a hole, and quick.
        let full =
            right.get("secret").is_some_and(|secret| secret.is_string()) || right.get("notes.code").is_some();
        for wrap in &wraps[..if full { wraps.len() } else { 1 }] {
            let ask = |w: &Value, more: Value| {
                let mut params = json!({"where": wrap(w.clone())});
                params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                params
            };
            all.push(("Vault", ask(&right, json!({})), ask(&wrong, json!({}))));
            all.push((
                "Vault",
                ask(&right, json!({"count": 1, "limit": 0})),
                ask(&wrong, json!({"count": 1, "limit": 0})),
            ));
            let inside = |w: &Value, op: &str| json!({"where": {"vault": {op: {"className": "Vault", "where": wrap(w.clone())}}}});
            if !is_near {
                all.push(("Door", inside(&right, "$inQuery"), inside(&wrong, "$inQuery")));
                all.push(("Door", inside(&right, "$notInQuery"), inside(&wrong, "$notInQuery")));
                let list = |w: &Value| json!({"where": {"list": {"$inQuery": {"className": "Vault", "where": wrap(w.clone())}}}});
                all.push(("Door", list(&right), list(&wrong)));
            }
            let redirected =
                |w: &Value| json!({"redirectClassNameForKey": "vaults", "where": wrap(w.clone())});
            all.push(("Street", redirected(&right), redirected(&wrong)));
        }
    }
    all
}

async fn answers(client: &Client, class: &str, right: &Value, wrong: &Value) -> [(u16, String); 2] {
    let right = client.find(class, right.clone()).await;
    let wrong = client.find(class, wrong.clone()).await;
    assert!(right.status != 500 && wrong.status != 500, "{} {}", right.text, wrong.text);
    [(right.status, right.text), (wrong.status, wrong.text)]
}

#[actix_web::test]
async fn conditions_tell_nothing() {
    let house = house().await;
    let session = house.server.session(&house.token);
    let mut told_to_master = 0;
    let all = conditions(&house.user);
    for (class, right, wrong) in &all {
        let anonymous = house.server.anonymous();
        let clients = if *class == "Vault" { vec![&session, &anonymous] } else { vec![&session] };
        for client in clients {
            let [first, second] = answers(client, class, right, wrong).await;
            assert_eq!(first, second, "{class} {right}");
            assert!(!first.1.contains("gold"), "{}", first.1);
        }
        let [first, second] = answers(&house.server.master(), class, right, wrong).await;
        told_to_master += usize::from(first != second);
    }
    // The guesses are good ones: whoever may see the fields is told.
    assert!(told_to_master * 10 >= all.len() * 9, "{told_to_master} of {}", all.len());
    // What is not hidden can be asked for.
    for params in [
        json!({"where": {"name": "one"}}),
        json!({"where": {"$or": [{"name": "one"}]}}),
        json!({"order": "-name", "limit": 1, "skip": 1}),
    ] {
        let found = session.find("Vault", params).await.ok();
        assert_eq!(found["results"][0]["objectId"], house.vault.as_str());
    }
    let inner = json!({"where": {"vault": {"$inQuery": {"className": "Vault", "where": {"name": "one"}}}}});
    assert_eq!(session.find("Door", inner).await.ok()["results"].as_array().unwrap().len(), 1);
}

#[actix_web::test]
async fn orders_and_selections_tell_nothing() {
    let house = house().await;
    let session = house.server.session(&house.token);
    for order in ["secret", "-secret", "name,secret", "notes.code", "-notes.code", "owner", "place"] {
        let refused = session.find("Vault", json!({ "order": order })).await;
        assert_eq!(refused.error(), (400, 119, "Permission denied"), "{order}");
        // Which row a sub-query with a limit takes would tell of the order.
        let inner = |order: &str| {
            json!({"where": {"vault": {"$inQuery":
                {"className": "Vault", "where": {}, "order": order, "limit": 1}}}})
        };
        let (up, down) = (
            session.find("Door", inner(order)).await,
            session.find("Door", inner(&format!("-{order}"))).await,
        );
        assert!(up.error().1 == 119 || up.text == down.text, "{order} {} {}", up.text, down.text);
        let redirected = json!({"redirectClassNameForKey": "vaults", "order": order});
        assert_eq!(session.find("Street", redirected).await.error().1, 119, "{order}");
    }
    // A sub-query's key: the words of `Door` that are secrets, and those that are none.
    let select = |op: &str, key: &str| json!({"where": {"word": {op: {"query": {"className": "Vault", "where": {}}, "key": key}}}});
    for (op, key) in [("$select", "secret"), ("$dontSelect", "secret")] {
        let mine = session.find("Door", select(op, key)).await;
        let all = house.server.master().find("Door", select(op, key)).await.ok();
        if op == "$select" {
            assert_eq!(mine.ok()["results"], json!([]));
            assert_eq!(all["results"].as_array().unwrap().len(), 1);
        } else {
            // As if nothing was selected.
            assert_eq!(mine.ok()["results"].as_array().unwrap().len(), 1);
            assert_eq!(all["results"], json!([]));
        }
    }
    let code = json!({"where": {"code": {"$select":
        {"query": {"className": "Vault", "where": {}}, "key": "notes.code"}}}});
    assert_eq!(session.find("Door", code).await.ok()["results"], json!([]));
    // A relation that is hidden.
    let related =
        |key: &str| json!({"where": {"$relatedTo": {"object": pointer("Vault", &house.vault), "key": key}}});
    assert_eq!(session.find("_User", related("members")).await.error().1, 119);
    assert_eq!(house.server.anonymous().find("_User", related("members")).await.error().1, 119);
    let members = house.server.master().find("_User", related("members")).await.ok();
    assert_eq!(members["results"].as_array().unwrap().len(), 1);
}

#[actix_web::test]
async fn no_answer_shows_them() {
    let house = house().await;
    let server = &house.server;
    let session = server.session(&house.token);
    let path = format!("/classes/Vault/{}", house.vault);
    let batch = json!({"requests": [
        {"method": "GET", "path": format!("/parse{path}"), "body": {}},
        {"method": "GET", "path": "/parse/classes/Vault", "body": {"keys": "secret,notes"}},
        {"method": "GET", "path": "/parse/classes/Door", "body": {"include": "vault,list"}},
    ]});
    for client in [server.anonymous(), session.clone()] {
        for answer in [
            client.get(&path).await,
            client.get(&format!("{path}?keys=secret,notes,owner,place,tags")).await,
            client.get(&format!("{path}?include=owner&excludeKeys=name")).await,
            client.find("Vault", json!({})).await,
            client
                .find("Vault", json!({"keys": "secret,owner.username,notes.code", "include": "owner"}))
                .await,
            client.find("Vault", json!({"includeAll": true})).await,
            client.find("Door", json!({"include": "vault,list,vault.owner"})).await,
            client.find("Door", json!({"includeAll": true})).await,
            client.find("Door", json!({"keys": "vault.secret,vault.owner,list.secret"})).await,
            client.find("Street", json!({"redirectClassNameForKey": "vaults"})).await,
            client.post("/batch", batch.clone()).await,
            client.put(&path, json!({"name": "one"})).await,
        ] {
            assert_eq!(answer.status, 200, "{}", answer.text);
            for word in ["secret", "\"notes\"", "latitude", "\"red\"", "ann", "\"owner\"", "\"members\""] {
                assert!(!answer.text.contains(word), "{word} in {}", answer.text);
            }
        }
        // Pipelines and distinct values are the master's.
        for query in ["distinct=secret", "%24group=%7B%22_id%22%3A%22%24secret%22%7D"] {
            assert_eq!(client.get(&format!("/aggregate/Vault?{query}")).await.status, 403);
            let item = json!({"requests": [{"method": "GET", "path": "/parse/aggregate/Vault", "body": {"distinct": "secret"}}]});
            let answer = client.post("/batch", item).await;
            assert!(!answer.text.contains("gold"), "{}", answer.text);
        }
        for explain in [json!(true), json!("executionStats")] {
            let plan = client.find("Vault", json!({"explain": explain})).await;
            assert_eq!(plan.error().1, 102, "{}", plan.text);
        }
    }
    let seen = server.master().get(&format!("{path}?include=owner")).await.ok();
    assert_eq!((seen["secret"].as_str(), seen["owner"]["username"].as_str()), (Some("gold"), Some("ann")));
}

/// The user's own routes, when even he may not see a field.
#[actix_web::test]
async fn neither_does_any_route_of_an_account() {
    let server = TestServer::with(json!({
        "protectedFields": {"_User": {"*": ["score", "email"]}, "_Session": {"*": ["createdWith", "installationId"]}},
        "protectedFieldsOwnerExempt": false, "protectedFieldsSaveResponseExempt": false,
    }))
    .await;
    let body = json!({"username": "ann", "password": "secret", "email": "ann@example.org", "score": 4711});
    let created = server.anonymous().post("/users", body).await;
    assert!(!created.text.contains("4711"), "{}", created.text);
    let (id, token) =
        (created.body["objectId"].as_str().unwrap(), created.body["sessionToken"].as_str().unwrap());
    let session = server.session(token);
    let login = json!({"username": "ann", "password": "secret"});
    let me = pointer("_User", id);
    let batch = json!({"requests": [
        {"method": "GET", "path": "/parse/users/me", "body": {}},
        {"method": "GET", "path": format!("/parse/users/{id}"), "body": {}},
        {"method": "POST", "path": "/parse/login", "body": login},
    ]});
    let answers = [
        session.get("/users/me").await,
        session.get(&format!("/users/{id}")).await,
        session.get(&format!("/users/{id}?keys=score,email")).await,
        session.get("/users").await,
        session.get("/sessions?include=user").await,
        session.get("/sessions/me").await,
        server.anonymous().post("/login", login.clone()).await,
        server.anonymous().get("/login?username=ann&password=secret").await,
        server.anonymous().post("/verifyPassword", login.clone()).await,
        server.anonymous().get("/verifyPassword?username=ann&password=secret").await,
        session.put(&format!("/users/{id}"), json!({"score": {"__op": "Increment", "amount": 0}})).await,
        session.post("/batch", batch).await,
        session.post("/upgradeToRevocableSession", json!({})).await,
    ];
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text);
        for word in ["4711", "ann@example.org", "createdWith"] {
            assert!(!answer.text.contains(word), "{word} in {}", answer.text);
        }
    }
    for params in [
        json!({"where": {"score": 4711}}),
        json!({"where": {"email": {"$regex": "^ann"}}}),
        json!({"order": "score"}),
        json!({"where": {"objectId": id, "score": 4711}}),
    ] {
        assert_eq!(session.find("_User", params.clone()).await.error().1, 119, "{params}");
    }
    assert_eq!(
        session.find("_Session", json!({"where": {"createdWith.action": "signup"}})).await.error().1,
        119
    );
    assert_eq!(session.find("_Session", json!({"where": {"user": me}})).await.status, 200);
    assert_eq!(server.master().get(&format!("/users/{id}")).await.ok()["score"], 4711);
}

/// Columns that are nobody's: hashes and tokens are no fields.
#[actix_web::test]
async fn hashes_and_tokens_are_not_asked_for() {
    let server = TestServer::with(json!({"enforcePrivateUsers": false})).await;
    let (_, token) = sign_up(&server.anonymous(), "ann").await;
    sign_up(&server.anonymous(), "bob").await;
    for client in [server.anonymous(), server.session(&token)] {
        for column in [
            "_hashed_password",
            "_perishable_token",
            "_email_verify_token",
            "_failed_login_count",
            "_password_history",
            "_session_token",
            "_auth_data_anonymous",
            "_tombstone",
            "_id",
        ] {
            for params in [
                json!({"where": {column: {"$exists": true}}}),
                json!({"where": {"$or": [{column: {"$regex": "^\\$2"}}]}}),
                json!({"where": {format!("{column}.x"): 1}}),
            ] {
                let answer = client.find("_User", params.clone()).await;
                assert_eq!(answer.error().1, 105, "{params} {}", answer.text);
            }
            let sub = json!({"where": {"user": {"$inQuery": {"className": "_User", "where": {column: {"$exists": true}}}}}});
            assert_eq!(client.find("Post", sub).await.error().1, 105, "{column}");
            let shown = client.find("_User", json!({"keys": format!("username,{column}")})).await;
            assert!(!shown.text.contains("$2b$"), "{}", shown.text);
            let order = |order: String| client.find("_User", json!({"order": order, "keys": "username"}));
            let (up, down) = (order(column.to_owned()).await, order(format!("-{column}")).await);
            assert!(up.status == 400 || up.text == down.text, "{column} {} {}", up.text, down.text);
        }
        let of = |pattern: &str| client.find("_User", json!({"where": {"password": {"$regex": pattern}}}));
        let (right, wrong) = (of("^\\$2b").await, of("^nothing").await);
        assert_eq!((right.status, right.text), (wrong.status, wrong.text));
        let select = json!({"where": {"username": {"$select": {"query": {"className": "_User", "where": {}}, "key": "_hashed_password"}}}});
        assert!(!client.find("_User", select).await.text.contains("ann"));
    }
}

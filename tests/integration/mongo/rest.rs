//! The REST API on MongoDB.

use serde_json::{Value, json};

use super::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn objects_go_round() {
    let Some(fixture) = Fixture::new(json!({})).await else { return };
    let client = fixture.server.anonymous();
    let created = client.post("/classes/Game", json!({"n": 1, "tags": ["a"], "o": {"x": 1}})).await.ok();
    let path = format!("/classes/Game/{}", created["objectId"].as_str().unwrap());
    let change = json!({
        "n": {"__op": "Increment", "amount": 2},
        "tags": {"__op": "AddUnique", "objects": ["a", "b"]},
        "o.y": 5,
        "s": "new",
    });
    let changed = client.put(&path, change).await.ok();
    assert_eq!((&changed["n"], &changed["tags"]), (&json!(3), &json!(["a", "b"])));
    let read = client.get(&path).await.ok();
    assert_eq!((&read["n"], &read["o"], &read["s"]), (&json!(3), &json!({"x": 1, "y": 5}), &json!("new")));
    for (condition, count) in [
        (json!({"n": {"$gte": 3}}), 1),
        (json!({"tags": "b"}), 1),
        (json!({"s": {"$regex": "^\\Qne\\E"}}), 1),
        (json!({"o.y": {"$gt": 5}}), 0),
        (json!({"missing": {"$exists": false}}), 1),
        (json!({"$or": [{"n": 7}, {"s": "new"}]}), 1),
    ] {
        let found = client.find("Game", json!({"where": condition, "count": 1})).await.ok();
        assert_eq!(found["count"], count, "{condition}");
        assert_eq!(found["results"].as_array().map(Vec::len), Some(count), "{condition}");
    }
    client.put(&path, json!({"s": {"__op": "Delete"}})).await.ok();
    assert!(client.get(&path).await.ok().get("s").is_none());
    client.delete(&path).await.ok();
    assert_eq!(client.get(&path).await.error(), (404, 101, "Object not found."));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_roles_and_permissions() {
    let Some(fixture) = Fixture::new(json!({})).await else { return };
    let client = fixture.server.anonymous();
    let signed =
        client.post("/users", json!({"username": "Ann", "password": "p", "email": "a@b.c"})).await.ok();
    let token = signed["sessionToken"].as_str().unwrap().to_owned();
    let id = signed["objectId"].as_str().unwrap().to_owned();
    let taken = client.post("/users", json!({"username": "Ann", "password": "p"})).await;
    assert_eq!((taken.error().0, taken.error().1), (400, 202));
    let taken = client.post("/users", json!({"username": "ann", "password": "p"})).await;
    assert_eq!(taken.error().1, 202, "names differ in more than case");
    let taken = client.post("/users", json!({"username": "Bob", "password": "p", "email": "A@b.c"})).await;
    assert_eq!(taken.error().1, 203);
    let own = fixture.server.session(&token);
    let acl = json!({ id.as_str(): {"read": true, "write": true} });
    let secret = own.post("/classes/Secret", json!({"x": 1, "ACL": acl})).await.ok();
    let path = format!("/classes/Secret/{}", secret["objectId"].as_str().unwrap());
    assert_eq!(client.get(&path).await.error().1, 101);
    assert_eq!(client.put(&path, json!({"x": 2})).await.error().1, 101);
    assert_eq!(own.put(&path, json!({"x": 2})).await.status, 200);
    let me = own.get("/users/me").await.ok();
    assert_eq!(me["username"], "Ann");
    // By a role.
    let member = json!({"__type": "Pointer", "className": "_User", "objectId": id});
    let role = json!({
        "name": "Staff", "ACL": {"*": {"read": true}}, "users": {"__op": "AddRelation", "objects": [member]},
    });
    fixture.server.master().post("/roles", role).await.ok();
    let shared = json!({"x": 1, "ACL": {"role:Staff": {"read": true}}});
    let shared = fixture.server.master().post("/classes/Secret", shared).await.ok();
    let path = format!("/classes/Secret/{}", shared["objectId"].as_str().unwrap());
    assert_eq!(own.get(&path).await.status, 200);
    assert_eq!(client.get(&path).await.error().1, 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn sub_queries_relations_and_includes() {
    let Some(fixture) = Fixture::new(json!({})).await else { return };
    let client = fixture.server.master();
    let pointer = |class: &str, id: &Value| json!({"__type": "Pointer", "className": class, "objectId": id});
    let mut posts = Vec::new();
    for n in 0..3 {
        posts.push(client.post("/classes/Post", json!({"n": n, "town": format!("t{n}")})).await.ok());
    }
    for post in &posts {
        client.post("/classes/Comment", json!({"post": pointer("Post", &post["objectId"])})).await.ok();
    }
    let likes = json!({"likes": {"__op": "AddRelation", "objects": [
        pointer("Post", &posts[0]["objectId"]), pointer("Post", &posts[2]["objectId"]),
    ]}, "town": "t1"});
    let fan = client.post("/classes/Fan", likes).await.ok();
    let in_query = json!({"post": {"$inQuery": {"className": "Post", "where": {"n": {"$gt": 0}}}}});
    let found = client.find("Comment", json!({"where": in_query, "include": "post"})).await.ok();
    let mut numbers: Vec<_> =
        found["results"].as_array().unwrap().iter().map(|c| c["post"]["n"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    let not_in = json!({"post": {"$notInQuery": {"className": "Post", "where": {"n": {"$gt": 0}}}}});
    assert_eq!(client.find("Comment", json!({"where": not_in, "count": 1})).await.ok()["count"], 1);
    let related = json!({"$relatedTo": {"object": pointer("Fan", &fan["objectId"]), "key": "likes"}});
    let found = client.find("Post", json!({"where": related, "order": "n"})).await.ok();
    let numbers: Vec<_> = found["results"].as_array().unwrap().iter().map(|p| p["n"].clone()).collect();
    assert_eq!(numbers, [json!(0), json!(2)]);
    let owner = json!({"likes": pointer("Post", &posts[2]["objectId"])});
    assert_eq!(client.find("Fan", json!({"where": owner, "count": 1})).await.ok()["count"], 1);
    let select = json!({"town": {"$select": {"query": {"className": "Post", "where": {}}, "key": "town"}}});
    assert_eq!(client.find("Fan", json!({"where": select, "count": 1})).await.ok()["count"], 1);
    let near = json!({"__type": "GeoPoint", "latitude": 0, "longitude": 0});
    for degrees in [3, 1, 2] {
        let at = json!({"__type": "GeoPoint", "latitude": degrees, "longitude": 0});
        client.post("/classes/Place", json!({"at": at, "n": degrees})).await.ok();
    }
    let found = client.find("Place", json!({"where": {"at": {"$nearSphere": near}}})).await.ok();
    let numbers: Vec<_> = found["results"].as_array().unwrap().iter().map(|p| p["n"].clone()).collect();
    assert_eq!(numbers, [json!(1), json!(2), json!(3)]);
    let pipeline = json!([{"$match": {"n": {"$gt": 1}}}, {"$group": {"_id": null, "sum": {"$sum": "$n"}}}]);
    let sum = client.get(&format!("/aggregate/Place?pipeline={}", encoded(&pipeline))).await.ok();
    assert_eq!(sum["results"][0]["sum"], 5);
    let joined = json!([
        {"$lookup": {"from": "Post", "localField": "post", "foreignField": "objectId", "as": "found"}},
        {"$unwind": "$found"}, {"$sort": {"found.n": -1}}, {"$limit": 1}, {"$project": {"n": "$found.n"}},
    ]);
    let joined = client.get(&format!("/aggregate/Comment?pipeline={}", encoded(&joined))).await.ok();
    assert_eq!(joined["results"][0]["n"], 2, "{joined}");
}

fn encoded(value: &Value) -> String {
    percent_encoding::utf8_percent_encode(&value.to_string(), percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn transactional_batches_are_all_or_nothing() {
    let Some(fixture) = Fixture::new(json!({})).await else { return };
    let client = fixture.server.master();
    client.post("/classes/T", json!({"n": 0})).await.ok();
    let create = |n: Value| json!({"method": "POST", "path": "/parse/classes/T", "body": {"n": n}});
    let good = json!({"transaction": true, "requests": [create(json!(1)), create(json!(2))]});
    client.post("/batch", good).await.ok();
    let bad = json!({"transaction": true, "requests": [create(json!(3)), create(json!("x"))]});
    assert_ne!(client.post("/batch", bad).await.status, 200);
    assert_eq!(client.find("T", json!({"count": 1})).await.ok()["count"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_of_many_clients_are_all_counted() {
    let Some(fixture) = Fixture::new(json!({})).await else { return };
    let client = fixture.server.master();
    let created = client.post("/classes/Counter", json!({"n": 0})).await.ok();
    let path = format!("/classes/Counter/{}", created["objectId"].as_str().unwrap());
    let one = || client.put(&path, json!({"n": {"__op": "Increment", "amount": 1}}));
    let answers = futures_util::future::join_all((0..20).map(|_| one())).await;
    let mut seen: Vec<i64> = answers.into_iter().map(|answer| answer.ok()["n"].as_i64().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_do_not_see_what_no_answer_shows() {
    let Some(fixture) = Fixture::new(json!({})).await else { return };
    let client = fixture.server.master();
    client.post("/users", json!({"username": "ann", "password": "p"})).await.ok();
    for pipeline in [
        json!([{"$match": {"username": "ann"}}]),
        json!([{"$project": {"x": "$_hashed_password", "username": 1}}]),
        json!([{"$group": {"_id": null, "all": {"$push": "$$ROOT"}}}]),
        json!([{"$project": {"x": {"$objectToArray": "$$ROOT"}, "username": 1}}]),
    ] {
        let answer = client.get(&format!("/aggregate/_User?pipeline={}", encoded(&pipeline))).await.ok();
        let text = answer.to_string();
        assert!(text.contains("ann") && !text.contains("$2"), "{pipeline}: {text}");
    }
    // Nor through another class.
    client.post("/classes/Other", json!({"name": "ann"})).await.ok();
    let joined =
        json!([{"$lookup": {"from": "_User", "localField": "name", "foreignField": "username", "as": "u"}}]);
    let answer = client.get(&format!("/aggregate/Other?pipeline={}", encoded(&joined))).await.ok();
    let text = answer.to_string();
    assert!(text.contains("username") && !text.contains("$2"), "{text}");
}

//! One list of hidden columns at every door, and one way for a value to leave: what an answer does not show is
//! not told by cursors, conditions, orders, includes, redirected finds or answers to writes either.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::http_cloud::folder_with;
use crate::support::server::{Client, TestServer};
use crate::users_sign_up::sign_up;

async fn anonymous_user(client: &Client, id: &str, more: Value) -> Value {
    let mut body = json!({"authData": {"anonymous": {"id": id}}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.post("/users", body).await.ok()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

#[actix_web::test]
async fn cursors_tell_nothing_and_are_their_owners() {
    let server = TestServer::with(json!({"enforcePrivateUsers": false})).await;
    let (_, ann) = sign_up(&server.anonymous(), "ann").await;
    let (_, bob) = sign_up(&server.anonymous(), "bob").await;
    anonymous_user(&server.anonymous(), "victim-1", json!({})).await;
    let (ann, bob, public, master) =
        (server.session(&ann), server.session(&bob), server.anonymous(), server.master());
    for order in ["authData", "-authData", "username,authData", "email", "sessionToken"] {
        for client in [&public, &ann] {
            let refused = client.find("_User", json!({"order": order, "cursor": true})).await;
            assert_eq!(refused.error(), (400, 119, "Permission denied"), "{order}");
        }
    }
    // Even where the order may be seen, a cursor is opaque.
    for (client, order) in [(&master, "authData"), (&public, "username"), (&ann, "-createdAt")] {
        let page = client.find("_User", json!({"order": order, "cursor": true, "limit": 2})).await.ok();
        let sealed = URL_SAFE_NO_PAD.decode(text(&page, "cursor")).unwrap();
        let sealed = String::from_utf8_lossy(&sealed).into_owned();
        for word in ["victim", "anonymous", "Date", "__type"] {
            assert!(!sealed.contains(word), "{word} in {sealed}");
        }
    }
    for name in ["a", "b", "c"] {
        public.post("/classes/Page", json!({"name": name})).await.ok();
        public.post("/classes/Other", json!({"name": name})).await.ok();
    }
    let page = json!({"order": "name", "cursor": true, "limit": 2});
    let first = ann.find("Page", page.clone()).await.ok();
    let cursor = text(&first, "cursor");
    let next = |order: &str, cursor: &str| json!({"order": order, "after": cursor, "limit": 2});
    let rest = ann.find("Page", next("name", cursor)).await.ok();
    assert_eq!((rest["results"].as_array().unwrap().len(), text(&rest["results"][0], "name")), (1, "c"));
    // Another caller, class or order, and anything made by hand.
    let refused = "Invalid value for after: not a cursor of this order";
    for answer in [
        bob.find("Page", next("name", cursor)).await,
        public.find("Page", next("name", cursor)).await,
        master.find("Page", next("name", cursor)).await,
        ann.find("Other", next("name", cursor)).await,
        ann.find("Page", next("-name", cursor)).await,
        ann.find("Page", next("createdAt", cursor)).await,
        ann.find("Page", next("name", &URL_SAFE_NO_PAD.encode(r#"["a","b"]"#))).await,
        ann.find("Page", next("name", &cursor[1..])).await,
        ann.find("Page", json!({"order": "name", "after": 1})).await,
    ] {
        assert_eq!(answer.error(), (400, 102, refused), "{}", answer.text);
    }
    assert_eq!(ann.find("_User", next("authData", cursor)).await.error().1, 119);
}

#[actix_web::test]
async fn auth_data_and_permissions_are_no_conditions() {
    let server = TestServer::with(json!({"enforcePrivateUsers": false})).await;
    let victim = anonymous_user(&server.anonymous(), "victim-1", json!({})).await;
    let (id, token) = (text(&victim, "objectId"), text(&victim, "sessionToken"));
    let user = json!({"__type": "Pointer", "className": "_User", "objectId": id});
    server.anonymous().post("/classes/Door", json!({"user": user, "word": "victim-1"})).await.ok();
    let conditions = [
        json!({"authData": {"$exists": true}}),
        json!({"authData.anonymous.id": {"$regex": "^v"}}),
        json!({"authData.anonymous.id": "victim-1"}),
        json!({"authData.mfa.secret": {"$regex": "^J"}}),
        json!({"$or": [{"username": "x"}, {"$nor": [{"authData.anonymous": {"$exists": true}}]}]}),
        json!({"objectId": id, "authData.anonymous.id": "victim-1"}),
        json!({"_rperm": "*"}),
        json!({"_wperm": {"$exists": true}}),
        json!({"$and": [{"_rperm": {"$ne": "*"}}]}),
        json!({"sessionToken": {"$exists": true}}),
    ];
    for client in [server.anonymous(), server.session(token)] {
        for condition in &conditions {
            let inner = json!({"user": {"$inQuery": {"className": "_User", "where": condition}}});
            let not = json!({"user": {"$notInQuery": {"className": "_User", "where": condition}}});
            let select = json!({"word": {"$select": {"key": "username",
                "query": {"className": "_User", "where": condition}}}});
            for (class, condition) in
                [("_User", condition), ("Door", &inner), ("Door", &not), ("Door", &select)]
            {
                for more in [json!({}), json!({"count": 1, "limit": 0})] {
                    let mut params = json!({ "where": condition });
                    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                    let refused = client.find(class, params).await;
                    assert_eq!(refused.error(), (400, 119, "Permission denied"), "{condition}");
                }
            }
        }
        // A key that is hidden selects nothing.
        for key in ["authData.anonymous.id", "_rperm", "sessionToken"] {
            let select =
                json!({"word": {"$select": {"key": key, "query": {"className": "_User", "where": {}}}}});
            let found = client.find("Door", json!({ "where": select })).await;
            assert!(found.body["results"] == json!([]) || found.status == 400, "{key} {}", found.text);
        }
    }
    for condition in [json!({"authData.anonymous.id": "victim-1"}), json!({"_rperm": {"$exists": true}})] {
        let found = server.master().find("_User", json!({ "where": condition })).await.ok();
        assert_eq!(found["results"][0]["objectId"], id, "{condition}");
    }
    // Nor does a master get internal columns as values.
    for column in ["_perishable_token", "_rperm", "_hashed_password", "_password_history"] {
        let refused = server.master().get(&format!("/aggregate/_User?distinct={column}")).await;
        assert_eq!(refused.error().1, 105, "{column} {}", refused.text);
    }
}

#[actix_web::test]
async fn provider_ids_are_texts_that_are_not_empty() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let text = "Invalid authData id for provider 'anonymous'.";
    for id in [
        json!(""),
        json!(0),
        json!(1),
        json!(false),
        json!(null),
        json!({}),
        json!({"$ne": "x"}),
        json!(["a"]),
    ] {
        let refused = client.post("/users", json!({"authData": {"anonymous": {"id": id}}})).await;
        assert_eq!(refused.error(), (400, 162, text), "{id}");
    }
    let refused = client.post("/users", json!({"authData": {"anonymous": {"other": "x"}}})).await;
    assert_eq!(refused.error(), (400, 162, text));
    let made = anonymous_user(&client, "device", json!({})).await;
    let session = server.session(made["sessionToken"].as_str().unwrap());
    let path = format!("/users/{}", made["objectId"].as_str().unwrap());
    let refused = session.put(&path, json!({"authData": {"anonymous": {"id": ""}}})).await;
    assert_eq!(refused.error(), (400, 162, text));
    assert_eq!(anonymous_user(&client, "device", json!({})).await["objectId"], made["objectId"]);
}

/// An include of a pointer inside one user's `authData` showed everybody's.
#[actix_web::test]
async fn includes_show_no_auth_data_and_follow_no_hidden_pointer() {
    let server = TestServer::with(json!({"enforcePrivateUsers": false})).await;
    let client = server.anonymous();
    anonymous_user(&client, "victim-1", json!({})).await;
    let target = client.post("/classes/Target", json!({"n": 1})).await.ok();
    let pointer = json!({"__type": "Pointer", "className": "Target", "objectId": target["objectId"]});
    let own =
        client.post("/users", json!({"authData": {"anonymous": {"id": "mine", "p": pointer}}})).await.ok();
    let session = server.session(text(&own, "sessionToken"));
    for client in [&client, &session] {
        for include in ["authData", "authData.anonymous", "authData.anonymous.p", "*"] {
            let found = client.find("_User", json!({ "include": include })).await;
            assert!(!found.text.contains("victim-1"), "{include} {}", found.text);
        }
    }
    // Whether a hidden pointer is set is not told by the rights that its class wants.
    let master = server.master();
    let closed = json!({"classLevelPermissions": {"find": {}, "get": {}, "create": {"*": true}}});
    master.post("/schemas/Closed", closed).await.ok();
    let schema = json!({"fields": {"p": {"type": "Pointer", "targetClass": "Closed"}, "n": {"type": "Number"}},
        "classLevelPermissions": {"find": {"*": true}, "get": {"*": true}, "protectedFields": {"*": ["p"]}}});
    master.post("/schemas/Holder", schema).await.ok();
    let held = master.post("/classes/Closed", json!({})).await.ok();
    let pointer = json!({"__type": "Pointer", "className": "Closed", "objectId": held["objectId"]});
    master.post("/classes/Holder", json!({"p": pointer, "n": 1})).await.ok();
    let found = client.find("Holder", json!({"include": "p"})).await.ok();
    assert_eq!(found["results"][0]["n"], 1);
    let found = master.find("Holder", json!({"include": "p"})).await.ok();
    assert_eq!(found["results"][0]["p"]["__type"], "Object");
}

const TRIGGERS: &str = r#"
Parse.Cloud.beforeFind('Inner', ({ query }) => { query.equalTo('open', true); });
Parse.Cloud.beforeFind('Member', ({ query }) => { query.equalTo('open', true); });
Parse.Cloud.afterFind('Member', ({ objects }) => {
  for (const object of objects) object.set('name', 'masked');
  return objects;
});
"#;

#[actix_web::test]
async fn redirected_finds_go_through_every_trigger() {
    let folder = folder_with(TRIGGERS);
    let server = TestServer::with(json!({"cloud": folder.path().join("main.js")})).await;
    let (client, master) = (server.anonymous(), server.master());
    let pointer = |class: &str, made: &Value| json!({"__type": "Pointer", "className": class, "objectId": made["objectId"]});
    let open = master.post("/classes/Inner", json!({"name": "a", "open": true})).await.ok();
    let shut = master.post("/classes/Inner", json!({"name": "b", "open": false})).await.ok();
    let mut members = Vec::new();
    for (inner, is_open) in [(&open, true), (&shut, true), (&open, false)] {
        let body = json!({"inner": pointer("Inner", inner), "open": is_open, "name": "secret"});
        members.push(pointer("Member", &master.post("/classes/Member", body).await.ok()));
    }
    let plain = master.post("/classes/Plain", json!({"inner": pointer("Inner", &open)})).await.ok();
    let hidden = master.post("/classes/Plain", json!({"inner": pointer("Inner", &shut)})).await.ok();
    let group = json!({
        "members": {"__op": "AddRelation", "objects": members},
        "plains": {"__op": "AddRelation", "objects": [pointer("Plain", &plain), pointer("Plain", &hidden)]},
        "inners": {"__op": "AddRelation", "objects": [pointer("Inner", &open)]},
    });
    client.post("/classes/Group", group).await.ok();
    let asked = json!({"inner": {"$inQuery": {"className": "Inner", "where": {}}}});
    let count = |found: &Value| found["results"].as_array().unwrap().len();
    // The sub-query's handler counts, redirected or not.
    for (class, more) in [("Plain", json!({})), ("Group", json!({"redirectClassNameForKey": "plains"}))] {
        let mut params = json!({ "where": asked });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let found = client.find(class, params).await.ok();
        assert_eq!((count(&found), &found["results"][0]["objectId"]), (1, &plain["objectId"]), "{found}");
    }
    // So do those of the class whose rows are asked for.
    let found = client.find("Group", json!({"redirectClassNameForKey": "members", "count": 1})).await.ok();
    assert_eq!((count(&found), &found["count"]), (2, &json!(2)), "{found}");
    assert!(found["results"].as_array().unwrap().iter().all(|member| member["name"] == "masked"), "{found}");
    assert_eq!(found["results"][0]["className"], "Member");
    let both = json!({"redirectClassNameForKey": "members", "where": asked});
    assert_eq!(count(&client.find("Group", both).await.ok()), 1);
    // And a sub-query that is redirected itself.
    let inside = json!({"where": {"inner": {"$inQuery":
        {"className": "Group", "redirectClassNameForKey": "inners", "where": {}}}}});
    let found = client.find("Plain", inside).await.ok();
    assert_eq!((count(&found), &found["results"][0]["objectId"]), (1, &plain["objectId"]), "{found}");
}

#[actix_web::test]
async fn writes_tell_no_more_than_reads() {
    let server = TestServer::start().await;
    let (id, ann) = sign_up(&server.anonymous(), "ann").await;
    let (session, client, master) = (server.session(&ann), server.anonymous(), server.master());
    let fields = || json!({"n": 41, "list": ["gold"], "open": 7, "o": {"k": 43}});
    let looks = [
        json!({"n": {"__op": "Increment", "amount": 0}}),
        json!({"list": {"__op": "Add", "objects": []}}),
        json!({"list": {"__op": "AddUnique", "objects": []}}),
        json!({"list": {"__op": "Remove", "objects": []}}),
        json!({"o.k": {"__op": "Increment", "amount": 0}}),
        json!({"n": {"__op": "SetOnInsert", "amount": 1}}),
    ];
    let mut object = fields();
    object["ACL"] = json!({"*": {"write": true}, id.as_str(): {"read": true, "write": true}});
    let made = master.post("/classes/WriteOnly", object).await.ok();
    let schema = json!({"fields": {"n": {"type": "Number"}, "list": {"type": "Array"}, "o": {"type": "Object"},
            "open": {"type": "Number"}, "owner": {"type": "Pointer", "targetClass": "_User"}},
        "classLevelPermissions": {"find": {"pointerFields": ["owner"]}, "get": {"pointerFields": ["owner"]},
            "count": {}, "create": {"*": true}, "update": {"*": true}, "addField": {}}});
    master.post("/schemas/Owned", schema.clone()).await.ok();
    let mut object = fields();
    object["owner"] = json!({"__type": "Pointer", "className": "_User", "objectId": id});
    let owned = master.post("/classes/Owned", object).await.ok();
    let mut schema = schema;
    schema["classLevelPermissions"] = json!({"find": {"*": true}, "get": {"*": true}, "update": {"*": true},
        "protectedFields": {"*": ["n", "list", "o"], "userField:owner": []}});
    master.post("/schemas/Masked", schema).await.ok();
    let mut object = fields();
    object["owner"] = json!({"__type": "Pointer", "className": "_User", "objectId": id});
    let masked = master.post("/classes/Masked", object).await.ok();
    for (class, made) in [("WriteOnly", &made), ("Owned", &owned), ("Masked", &masked)] {
        let path = format!("/classes/{class}/{}", text(made, "objectId"));
        for look in &looks {
            let item = json!({"method": "PUT", "path": format!("/parse{path}"), "body": look});
            let batch = json!({"requests": [item], "transaction": true});
            let put = client.put(&path, look.clone()).await.ok();
            let batched = client.post("/batch", batch).await.ok();
            for answer in [&put, &batched[0]["success"]] {
                let keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
                assert_eq!(keys, ["updatedAt"], "{class} {look} {answer}");
            }
            // Who may read is told, as before.
            let told = session.put(&path, look.clone()).await.ok();
            assert!(told.as_object().unwrap().len() == 2, "{class} {look} {told}");
        }
    }
    let path = format!("/classes/Masked/{}", text(&masked, "objectId"));
    let open = client.put(&path, json!({"open": {"__op": "Increment", "amount": 1}})).await.ok();
    assert_eq!(open["open"], 8);
}

/// Everything that may be asked, about everything there is.
fn queries() -> impl Strategy<Value = (String, Value)> {
    let paths = prop::sample::select(vec![
        "secret",
        "secret.x",
        "notes.code",
        "notes",
        "name",
        "n",
        "authData",
        "authData.anonymous.id",
        "email",
        "username",
        "password",
        "sessionToken",
        "_rperm",
        "_hashed_password",
        "objectId",
        "p",
        "tags",
        "owner",
    ]);
    let values = prop::sample::select(vec![
        json!("gold"),
        json!("lead"),
        json!(7),
        json!(8),
        json!(null),
        json!("x"),
        json!({"code": 7}),
        json!("red"),
        json!("ann@example.org"),
    ]);
    let leaf = (paths, values, 0..8_usize).prop_map(|(path, value, kind)| {
        let constraint = match kind {
            0 | 1 => value,
            2 => json!({"$regex": "^g"}),
            3 => json!({"$gt": value}),
            4 => json!({"$in": [value]}),
            5 => json!({"$exists": true}),
            6 => json!({"$ne": value}),
            _ => json!({"$nin": [value]}),
        };
        json!({ path: constraint })
    });
    let condition = leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| json!({ "$or": parts })),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| json!({ "$nor": parts })),
            (inner.clone(), any::<bool>()).prop_map(|(part, not)| {
                let op = if not { "$notInQuery" } else { "$inQuery" };
                json!({"p": {op: {"className": "Vault", "where": part}}})
            }),
            (inner, prop::sample::select(vec!["secret", "notes.code", "name", "authData.anonymous.id"]))
                .prop_map(|(part, key)| {
                    let class = if key.starts_with("auth") { "_User" } else { "Vault" };
                    json!({"name": {"$select": {"query": {"className": class, "where": part}, "key": key}}})
                }),
        ]
    });
    let order = prop::sample::select(vec![
        "",
        "name",
        "-name",
        "secret",
        "-secret",
        "notes.code",
        "authData",
        "email",
        "-p",
        "_rperm",
        "n,secret",
    ]);
    let keys = prop::sample::select(vec!["", "secret", "name,secret", "authData", "p.secret", "notes.code"]);
    let include = prop::sample::select(vec!["", "p", "owner", "authData", "p.p,owner", "*"]);
    let class = prop::sample::select(vec!["Vault", "Vault", "_User", "Street"]);
    (class, prop::option::weighted(0.7, condition), order, keys, include, any::<[bool; 4]>()).prop_map(
        |(class, condition, order, keys, include, [count, cursor, limited, explain])| {
            let mut params = json!({"where": condition.unwrap_or_else(|| json!({}))});
            for (key, value) in [("order", order), ("keys", keys), ("include", include)] {
                if !value.is_empty() {
                    params[key] = value.into();
                }
            }
            for (key, wanted) in
                [("count", count), ("cursor", cursor), ("explain", explain && count && cursor)]
            {
                if wanted {
                    params[key] = true.into();
                }
            }
            if limited {
                params["limit"] = 1.into();
            }
            if class == "Street" {
                params["redirectClassNameForKey"] = "vaults".into();
            }
            (class.to_owned(), params)
        },
    )
}

/// The same house with one secret or another.
async fn planted(secret: &str, code: i64, tag: &str) -> (TestServer, String) {
    let server = TestServer::with(json!({"allowCustomObjectId": true, "enforcePrivateUsers": false})).await;
    let (master, client) = (server.master(), server.anonymous());
    let schema = json!({"fields": {
        "name": {"type": "String"}, "secret": {"type": "String"}, "notes": {"type": "Object"},
        "tags": {"type": "Array"}, "n": {"type": "Number"}, "p": {"type": "Pointer", "targetClass": "Vault"},
        "owner": {"type": "Pointer", "targetClass": "_User"},
    }, "classLevelPermissions": {
        "find": {"*": true}, "get": {"*": true}, "count": {"*": true}, "create": {"*": true}, "update": {"*": true},
        "protectedFields": {"*": ["secret", "notes", "tags"]},
    }});
    master.post("/schemas/Vault", schema).await.ok();
    let mail = |name: &str| format!("{name}-{secret}@example.org");
    let user = json!({"objectId": "ann0000000", "username": "ann", "password": "p", "email": mail("ann")});
    let user = client.post("/users", user).await.ok();
    anonymous_user(&client, &format!("{secret}-id"), json!({"objectId": "victim0000", "username": "victim"}))
        .await;
    let owner = json!({"__type": "Pointer", "className": "_User", "objectId": "victim0000"});
    let vault = |id: &str| json!({"__type": "Pointer", "className": "Vault", "objectId": id});
    let one = json!({"objectId": "one", "name": "gold", "n": 1, "secret": secret, "notes": {"code": code},
        "tags": [tag], "owner": owner});
    let two = json!({"objectId": "two", "name": "lead", "n": 2, "secret": "m", "notes": {"code": 5},
        "tags": ["blue"], "p": vault("one")});
    for body in [one, two] {
        master.post("/classes/Vault", body).await.ok();
    }
    let street = json!({"vaults": {"__op": "AddRelation", "objects": [vault("one"), vault("two")]}});
    client.post("/classes/Street", street).await.ok();
    (server, text(&user, "sessionToken").to_owned())
}

/// What is the same although the secrets differ.
fn comparable(answer: &crate::support::server::Answer) -> (u16, Value) {
    fn timeless(value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(timeless),
            Value::Object(object) => {
                for key in ["createdAt", "updatedAt", "email"] {
                    object.shift_remove(key);
                }
                if let Some(cursor) = object.get_mut("cursor") {
                    *cursor = true.into();
                }
                object.values_mut().for_each(timeless);
            }
            _ => {}
        }
    }
    let mut body = answer.body.clone();
    timeless(&mut body);
    (answer.status, body)
}

#[actix_web::test]
async fn no_query_depends_on_a_secret() {
    const QUERIES: usize = 250;
    let (gold, gold_token) = planted("gold", 7, "red").await;
    let (zinc, zinc_token) = planted("zinc", 8, "pink").await;
    let mut runner = TestRunner::deterministic();
    let (mut found, mut refused, mut cursors) = (0, 0, 0);
    for number in 0..QUERIES {
        let (class, params) = queries().new_tree(&mut runner).unwrap().current();
        let (one, other) = match number % 2 {
            0 => (gold.anonymous(), zinc.anonymous()),
            _ => (gold.session(&gold_token), zinc.session(&zinc_token)),
        };
        let (mut one, other) =
            (one.find(&class, params.clone()).await, other.find(&class, params.clone()).await);
        assert_eq!(comparable(&one), comparable(&other), "{class} {params}");
        found += usize::from(one.body["results"].as_array().is_some_and(|results| !results.is_empty()));
        refused += usize::from(one.error().1 == 119);
        if let Some(cursor) = one.body["cursor"].as_str() {
            cursors += 1;
            let raw = URL_SAFE_NO_PAD.decode(cursor).unwrap();
            one.text.push_str(&String::from_utf8_lossy(&raw));
        }
        let told = format!("{} {}", one.text, Value::Object(one.headers.clone()));
        // `ann` sees her own address; the visible name of a vault is `gold` in both houses.
        for word in ["gold-id", "victim-gold", "\"secret\"", "\"notes\"", "\"tags\"", "\"authData\""] {
            assert!(!told.contains(word), "{word} told by {class} {params}: {told}");
        }
    }
    assert!(found > QUERIES / 10 && refused > QUERIES / 10 && cursors > 5, "{found} {refused} {cursors}");
}

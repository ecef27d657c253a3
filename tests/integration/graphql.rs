//! The GraphQL API over HTTP: statements by the shape of a query, limits, who may see the schema, hidden fields,
//! additions to the schema. What it answers in general is compared with npm parse-server in `tests/contract/graphql`.

use serde_json::{Value, json};

use crate::statements::Counter;
use crate::support::server::{Client, TestServer};

async fn server(mut options: Value) -> TestServer {
    options["mountGraphQL"] = true.into();
    // Below the mount, where the test's clients post to.
    options["graphQLPath"] = "/parse/graphql".into();
    TestServer::with(options).await
}

async fn ask(client: &Client, query: &str) -> (u16, Value) {
    let answer = client.post("/graphql", json!({ "query": query })).await;
    (answer.status, answer.body)
}

async fn data(client: &Client, query: &str) -> Value {
    let (status, body) = ask(client, query).await;
    assert_eq!((status, body.get("errors")), (200, None), "{query}");
    body["data"].clone()
}

async fn first_error(client: &Client, query: &str) -> (u16, String, Value) {
    let (status, body) = ask(client, query).await;
    let error = &body["errors"][0];
    (status, error["message"].as_str().unwrap_or_default().to_owned(), error["extensions"]["code"].clone())
}

/// Statements follow from the selection, not from the rows.
#[actix_web::test]
async fn selections_cost_a_fixed_number_of_statements() {
    let server = server(json!({ "cacheTTL": 600_000 })).await;
    let (client, counter) = (server.anonymous(), Counter::of(&server).await);
    let pointer =
        |class: &str, id: &Value| json!({ "__type": "Pointer", "className": class, "objectId": id });
    let mut tags = Vec::new();
    for n in 0..4 {
        tags.push(client.post("/classes/Tag", json!({ "n": n })).await.ok()["objectId"].clone());
    }
    let owner = client.post("/classes/Owner", json!({ "name": "x" })).await.ok()["objectId"].clone();
    let house = async |n: usize| {
        let members: Vec<Value> = tags.iter().take(n % 5).map(|tag| pointer("Tag", tag)).collect();
        let tags = json!({ "__op": "AddRelation", "objects": members });
        let body = json!({ "n": n, "owner": pointer("Owner", &owner), "tags": tags });
        client.post("/classes/House", body).await.ok();
    };
    let shapes = [
        ("{ houses { edges { node { n } } } }", 1),
        ("{ houses { count } }", 1),
        ("{ houses { count edges { node { n } } } }", 2),
        ("{ houses { edges { node { n owner { name } } } } }", 2),
        ("{ houses { edges { node { n tags(order: n_ASC) { count edges { node { n } } } } } } }", 3),
        ("{ a: houses { edges { node { n } } } b: houses { count } }", 2),
        ("{ health __typename }", 0),
    ];
    for n in 0..3 {
        house(n).await;
    }
    for round in 0..2 {
        for (query, statements) in shapes {
            for _ in 0..3 {
                data(&client, query).await;
            }
            let (calls, texts) = counter.during(async { drop(data(&client, query).await) }).await;
            assert_eq!(calls, statements, "round {round}: {query}\n{texts}");
        }
        for n in 3..20 {
            house(n).await;
        }
    }
    let houses = data(&client, "{ houses(order: n_ASC, first: 5) { edges { node { n tags(first: 2, order: n_DESC) { count edges { node { n } } } } } } }").await;
    let shown: Vec<(u64, usize)> = houses["houses"]["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| {
            let tags = &edge["node"]["tags"];
            (tags["count"].as_u64().unwrap(), tags["edges"].as_array().unwrap().len())
        })
        .collect();
    // The fourth and fifth have the same number: they came with the two rounds.
    assert_eq!(shown, [(0, 0), (1, 1), (2, 2), (3, 2), (3, 2)]);
}

/// Draws numbers, the same ones in every run.
struct Draw(u64);

impl Draw {
    fn one_of(&mut self, many: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % many
    }

    fn half(&mut self) -> bool {
        self.one_of(2) == 0
    }
}

/// A selection on a house, and how many statements it adds to the find that reads the house: one for each pointer
/// that is followed, two for a relation, whatever it holds.
fn house_fields(draw: &mut Draw, depth: u64) -> (String, i64) {
    let (mut fields, mut statements) = (vec!["n".to_owned()], 0);
    if draw.half() {
        fields.push("objectId id createdAt ACL { public { read } }".to_owned());
    }
    if draw.half() {
        let beyond = draw.half();
        fields.push(if beyond { "owner { name city { name } }" } else { "owner { name }" }.to_owned());
        statements += 1 + i64::from(beyond);
    }
    if depth > 0 && draw.half() {
        let (below, more) = house_fields(draw, depth - 1);
        fields.push(format!("beside {{ {below} }}"));
        statements += 1 + more;
    }
    // Relations of objects within objects are read for each of them.
    if depth == 2 && draw.half() {
        let (counts, reads) = (draw.half(), draw.half());
        let edges = if reads { "edges { node { n } }" } else { "" };
        if counts || reads {
            let count = if counts { "count" } else { "" };
            fields.push(format!("tags {{ {count} {edges} }}"));
            // Who belongs to whom, then the objects; they are counted as they are read.
            statements += 2;
        }
    }
    (fields.join(" "), statements)
}

/// A query of houses and the statements it takes.
fn house_query(draw: &mut Draw) -> (String, i64) {
    let (fields, below) = house_fields(draw, 2);
    let page = ["", "(first: 2)", "(order: n_ASC, skip: 1)", "(where: { n: { greaterThan: -1 } })"];
    let page = page[usize::try_from(draw.one_of(4)).unwrap()];
    let (count, info) = (draw.half(), draw.half());
    let asks = format!(
        "{} {}",
        if count { "count" } else { "" },
        if info { "pageInfo { hasNextPage endCursor }" } else { "" }
    );
    let statements = 1 + below + i64::from(count || info);
    (format!("{{ houses{page} {{ {asks} edges {{ cursor node {{ {fields} }} }} }} }}"), statements)
}

/// Selections drawn by chance, with few rows and with many.
#[actix_web::test]
async fn statements_follow_from_any_selection() {
    let server = server(json!({ "cacheTTL": 600_000 })).await;
    let (client, counter) = (server.anonymous(), Counter::of(&server).await);
    let pointer =
        |class: &str, id: &Value| json!({ "__type": "Pointer", "className": class, "objectId": id });
    let make = async |class: &str, body: Value| {
        client.post(&format!("/classes/{class}"), body).await.ok()["objectId"].clone()
    };
    let city = make("City", json!({ "name": "c" })).await;
    let owner = make("Owner", json!({ "name": "o", "city": pointer("City", &city) })).await;
    let tag = make("Tag", json!({ "n": 1 })).await;
    let mut last = make("House", json!({ "n": 0 })).await;
    // Its own neighbour: what points nowhere needs no reading.
    let itself = json!({ "beside": pointer("House", &last), "owner": pointer("Owner", &owner) });
    client.put(&format!("/classes/House/{}", last.as_str().unwrap()), itself).await.ok();
    let mut house = async |n: usize| {
        let tags = json!({ "__op": "AddRelation", "objects": [pointer("Tag", &tag)] });
        let beside = pointer("House", &last);
        let body = json!({ "n": n, "owner": pointer("Owner", &owner), "tags": tags, "beside": beside });
        last = make("House", body).await;
    };
    for n in 1..6 {
        house(n).await;
    }
    let mut draw = Draw(19);
    let queries: Vec<(String, i64)> = (0..40).map(|_| house_query(&mut draw)).collect();
    for round in 0..2 {
        for (query, statements) in &queries {
            data(&client, query).await;
            let (calls, texts) = counter.during(async { drop(data(&client, query).await) }).await;
            assert_eq!(calls, *statements, "round {round}: {query}\n{texts}");
        }
        for n in 6..30 {
            house(n).await;
        }
    }
}

#[actix_web::test]
async fn limits_count_for_all_but_the_master() {
    let options = json!({ "requestComplexity": { "graphQLDepth": 3, "graphQLFields": 4 } });
    let server = server(options).await;
    let (client, master) = (server.anonymous(), server.master());
    let deep = "{ users { edges { node { username } } } }";
    let text = "GraphQL query depth of 4 exceeds maximum allowed depth of 3".to_owned();
    assert_eq!(first_error(&client, deep).await, (400, text, json!("INTERNAL_SERVER_ERROR")));
    let wide = "{ a: health b: health c: health d: health e: health }";
    let text = "Number of GraphQL fields (5) exceeds maximum allowed (4)".to_owned();
    assert_eq!(first_error(&client, wide).await, (400, text, json!("INTERNAL_SERVER_ERROR")));
    data(&master, deep).await;
    data(&master, wide).await;
    // Fragments that double what they spread.
    let mut bomb = String::from("{ ...F0 } ");
    for n in 0..60 {
        bomb += &format!("fragment F{n} on Query {{ ...F{} ...F{} }} ", n + 1, n + 1);
    }
    bomb += "fragment F60 on Query { health }";
    let (status, message, _) = first_error(&client, &bomb).await;
    assert_eq!(status, 400);
    assert!(message.starts_with("Number of GraphQL fields ("), "{message}");
    // Deeper than anybody may go, through fragments as through brackets.
    let mut chain = String::from("{ users { edges { node { ...F0 } } } } ");
    for n in 0..500 {
        chain += &format!("fragment F{n} on User {{ a{n}: username ...F{} }} ", n + 1);
    }
    chain += "fragment F500 on User { username }";
    let (status, message, _) = first_error(&master, &chain).await;
    assert_eq!((status, message.as_str()), (400, "The document is nested too deeply."));
    let brackets = format!("{}{}", "{a".repeat(5_000), "}".repeat(5_000));
    let (status, message, _) = first_error(&master, &brackets).await;
    assert_eq!((status, message.as_str()), (400, "Syntax Error: The document is nested too deeply."));
}

#[actix_web::test]
async fn the_schema_is_told_to_those_who_may_see_it() {
    let server = server(json!({})).await;
    let (client, master) = (server.anonymous(), server.master());
    client.post("/classes/Secret", json!({ "a": 1 })).await.ok();
    for query in [
        "{ __schema { queryType { name } } }",
        "{ x: __type(name: \"Secret\") { name } }",
        "{ ...F } fragment F on Query { __type(name: \"Secret\") { name } }",
    ] {
        let (status, message, _) = first_error(&client, query).await;
        assert_eq!((status, message.as_str()), (403, "Introspection is not allowed"), "{query}");
        data(&master, query).await;
    }
    let wrong = "{ secrt(id: \"x\") { a } }";
    assert_eq!(first_error(&client, wrong).await.1, "Cannot query field \"secrt\".");
    let hint = first_error(&master, wrong).await.1;
    assert!(hint.starts_with("Cannot query field \"secrt\" on type \"Query\". Did you mean"), "{hint}");
    let open = self::server(json!({ "graphQLPublicIntrospection": true })).await;
    data(&open.anonymous(), "{ __schema { queryType { name } } }").await;
}

#[actix_web::test]
async fn hidden_fields_stay_hidden_and_rate_limits_count_aliases() {
    let rule = json!({ "requestPath": "/login", "requestTimeWindow": 600_000, "requestCount": 2, "includeInternalRequests": true });
    let server =
        server(json!({ "protectedFields": { "House": { "*": ["secret"] } }, "rateLimit": [rule] })).await;
    let client = server.anonymous();
    client.post("/classes/House", json!({ "secret": "x", "shown": "y" })).await.ok();
    let houses = data(&client, "{ houses { edges { node { secret shown } } } }").await;
    assert_eq!(houses["houses"]["edges"][0]["node"], json!({ "secret": null, "shown": "y" }));
    for query in [
        "{ houses(where: { secret: { equalTo: \"x\" } }) { count } }",
        "{ houses(where: { OR: [{ secret: { exists: true } }] }) { count } }",
        "{ houses(order: secret_ASC) { edges { node { shown } } } }",
    ] {
        assert_eq!(first_error(&client, query).await.2, json!(119), "{query}");
    }
    let log_in = |n| {
        format!(
            "l{n}: logIn(input: {{ username: \"a\", password: \"{n}\" }}) {{ viewer {{ sessionToken }} }}"
        )
    };
    let many = format!("mutation {{ {} }}", (0..4).map(log_in).collect::<Vec<_>>().join(" "));
    let (_, body) = ask(&client, &many).await;
    let messages: Vec<&str> =
        body["errors"].as_array().unwrap().iter().filter_map(|error| error["message"].as_str()).collect();
    let wrong = "Invalid username/password.";
    assert_eq!(messages, [wrong, wrong, "Too many requests.", "Too many requests."]);
}

#[actix_web::test]
async fn a_schema_of_ones_own_adds_to_the_other() {
    let text = "type Extra { name: String! @mock(with: \"fixed\") } extend type Query { extra: Extra @mock(with: {}) nobody: String @resolve }";
    let server = server(json!({ "graphQLSchema": text })).await;
    let client = server.anonymous();
    assert_eq!(
        data(&client, "{ extra { name } health }").await,
        json!({ "extra": { "name": "fixed" }, "health": true })
    );
    let (_, message, code) = first_error(&client, "{ nobody }").await;
    assert_eq!((message.as_str(), code), ("Invalid function: \"nobody\"", json!(141)));
}

#[actix_web::test]
async fn only_documents_of_the_file_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("documents.json");
    std::fs::write(&file, json!({ "first": "{ health }", "second": "{ users { count } }" }).to_string())
        .unwrap();
    let server = server(json!({ "graphQLPersistedQueries": file })).await;
    let (client, master) = (server.anonymous(), server.master());
    data(&client, "{ health }").await;
    let (status, message, code) = first_error(&client, "{ health  }").await;
    let refused = "The document is not one of those that are allowed.";
    assert_eq!((status, message.as_str(), code), (400, refused, json!("BAD_REQUEST")));
    data(&master, "{ health  }").await;
    let by_id = async |client: &Client, id: &str| {
        let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": id } });
        client.post("/graphql", json!({ "extensions": extensions })).await
    };
    assert_eq!(by_id(&client, "second").await.body["data"]["users"]["count"], 0);
    assert_eq!(by_id(&client, "third").await.body["errors"][0]["message"], "PersistedQueryNotFound");
    // What the master key made known is nobody else's.
    let (text, hash) = ("{ __typename }", "7f56e67dd21ab3f30d1ff8b7bed08893f0a0db86449836189b361dd1e56ddb4b");
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
    let sent = master.post("/graphql", json!({ "query": text, "extensions": extensions })).await;
    assert_eq!(sent.body["data"]["__typename"], "Query");
    assert_eq!(by_id(&master, hash).await.body["data"]["__typename"], "Query");
    assert_eq!(by_id(&client, hash).await.body["errors"][0]["message"], "PersistedQueryNotFound");
}

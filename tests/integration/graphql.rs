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

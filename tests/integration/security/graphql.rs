//! Documents that multiply what a client sent: variables used again and again, one field under many names, fragments
//! that spread each other, events shown many times. Each is refused in little memory and time.

use std::fmt::Write;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::http_process::Program;
use crate::support::database::TestDatabase;
use crate::support::server::{APP_ID, Client, MASTER_KEY, TestServer};
use crate::support::wait::PATIENCE;

/// No attack here may hold a worker longer, in a debug build on a busy machine.
const LONGEST: Duration = Duration::from_secs(60);

async fn program(more: Value) -> (TestDatabase, Program, Client, Client) {
    let database = TestDatabase::empty().await;
    let mut options = json!({"mountGraphQL": true});
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let program = Program::on_free_port(&database, &options);
    program.until_healthy();
    let client = Client::at(program.port());
    let keys = [("X-Parse-Application-Id", APP_ID), ("X-Parse-Master-Key", MASTER_KEY)];
    let master = Client::with(program.port(), &keys);
    (database, program, client, master)
}

async fn ask(client: &Client, query: &str, variables: Value) -> (u16, Value, usize) {
    let body = json!({"query": query, "variables": variables});
    let begun = Instant::now();
    let answer = client.post("/graphql", body).await;
    let took = begun.elapsed();
    assert!(took < LONGEST, "{took:?}: {}", &query[..query.len().min(200)]);
    (answer.status, answer.body, answer.text.len())
}

fn first_error(body: &Value) -> &str {
    body["errors"][0]["message"].as_str().unwrap_or_default()
}

/// A form of the multipart request specification.
async fn send_form(client: &Client, operations: Value) -> (u16, Value) {
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n{operations}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"map\"\r\n\r\n{{}}\r\n--b--\r\n"
    );
    let kind = [("Content-Type", "multipart/form-data; boundary=b")];
    let answer = client.send_with(reqwest::Method::POST, "/graphql", Some(body.into()), &kind).await;
    (answer.status, answer.body)
}

#[actix_web::test]
async fn a_variable_used_many_times_is_refused_in_little_memory() {
    let (_database, program, client, _) = program(json!({})).await;
    client.post("/parse/classes/Note", json!({"text": "a"})).await.ok();
    let before = program.peak_memory_kib();
    let uses = |count: usize| {
        let list = "$v,".repeat(count);
        format!("query Q($v: String!) {{ notes(where: {{ text: {{ in: [{list}] }} }}) {{ count }} }}")
    };
    for (count, length) in [(15_000, 30_000), (1_000, 60_000)] {
        let (status, body, _) = ask(&client, &uses(count), json!({"v": "x".repeat(length)})).await;
        assert_eq!(status, 400, "{body}");
        let text = "The variables, wherever they are used, are more than 20971520 bytes.";
        assert_eq!(first_error(&body), text);
    }
    let form = json!({"query": uses(30_000), "variables": {"v": "x".repeat(800_000)}});
    assert_eq!(send_form(&client, form).await.0, 400);
    // In values of no particular type too.
    let object = "mutation M($v: Object) { createNote(input: { fields: { text: \"a\", ACL: null } }) { note { id } } callCloudCode(input: { functionName: f, params: { a: [LIST] } }) { result } }";
    let object = object.replace("LIST", &"$v,".repeat(15_000));
    let (_, body, _) = ask(&client, &object, json!({"v": {"a": "x".repeat(30_000)}})).await;
    assert!(body["errors"].is_array(), "{body}");
    let grown = program.peak_memory_kib().saturating_sub(before);
    assert!(grown < 96 * 1024, "{grown} KiB more");
    let (_, body, _) = ask(&client, &uses(3), json!({"v": "a"})).await;
    assert_eq!(body["data"]["notes"]["count"], 1, "{body}");
}

#[actix_web::test]
async fn a_field_under_many_names_is_charged_each_time() {
    let (_database, program, client, _) = program(json!({})).await;
    for _ in 0..10 {
        client.post("/parse/classes/Note", json!({"text": "x".repeat(200_000), "list": [1, 2]})).await.ok();
    }
    let names = |many: usize| {
        (0..many).fold(String::new(), |mut out, n| {
            let _ = write!(out, "a{n}: text ");
            out
        })
    };
    let shown = |many: usize| format!("{{ notes {{ edges {{ node {{ {} }} }} }} }}", names(many));
    let (status, body, _) = ask(&client, &shown(5), json!({})).await;
    assert_eq!((status, body["errors"].is_null()), (200, true));
    let before = program.peak_memory_kib();
    let (status, body, length) = ask(&client, &shown(190), json!({})).await;
    assert_eq!(status, 200);
    assert_eq!(first_error(&body), "The response exceeds the limit of 33554432 bytes.");
    assert_eq!(body["errors"][0]["extensions"]["code"], 102);
    assert!(body["data"].is_null() && length < 1000);
    // The same objects by many finds.
    let finds = (0..40).fold(String::new(), |mut out, n| {
        let _ = write!(out, "a{n}: notes {{ edges {{ node {{ text }} }} }} ");
        out
    });
    let (_, body, _) = ask(&client, &format!("{{ {finds} }}"), json!({})).await;
    assert_eq!(
        body["errors"].as_array().and_then(|errors| errors.last()).unwrap()["extensions"]["code"],
        102
    );
    let grown = program.peak_memory_kib().saturating_sub(before);
    assert!(grown < 256 * 1024, "{grown} KiB more");
}

#[actix_web::test]
async fn what_limits_leave_open_is_bounded_all_the_same() {
    // An operator who switched everything off, as parse-server has it.
    let off = json!({"graphQLDepth": -1, "graphQLFields": -1, "batchRequestLimit": -1});
    let (_database, program, client, master) = program(json!({"requestComplexity": off})).await;
    let note = client.post("/parse/classes/Note", json!({"text": "a"})).await.ok();
    let id = &note["objectId"];
    let before = program.peak_memory_kib();
    let bomb = |levels: usize| {
        let mut text = format!("{{ note(id: {id}) {{ ...F0 }} }}");
        for n in 0..levels {
            let below = format!("...F{} ...F{}", n + 1, n + 1);
            let below = if n + 1 == levels { "text".to_owned() } else { below };
            let _ = write!(text, " fragment F{n} on Note {{ {below} }}");
        }
        text
    };
    for client in [&client, &master] {
        let (_, body, _) = ask(client, &bomb(4), json!({})).await;
        assert_eq!(body["data"]["note"]["text"], "a", "{body}");
        let (status, body, _) = ask(client, &bomb(60), json!({})).await;
        assert_eq!((status, first_error(&body)), (400, "The document selects more than 20000 fields."));
    }
    let many = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<String>();
    let id_of = |n: usize| format!("...A{n} ");
    let hostile = [
        // Pairs of fragments.
        format!(
            "{{ {} }} {}",
            many(2500, &id_of),
            many(2500, &|n| format!("fragment A{n} on Query{{health}}"))
        ),
        // Operations that follow the same fragments.
        format!(
            "{} {}",
            many(2400, &|n| format!("query q{n}{{...A0}}")),
            many(1500, &|n| format!("fragment A{n} on Query{{...A{} health}}", n + 1))
        ),
        // Names given twice, and names looked for among all others.
        format!("{{ note({}) {{ id }} }}", "id:1 ".repeat(18_000)),
        format!("{{ note(id: 1) {{ id {} }} }}", many(12_000, &|n| format!("@a{n} "))),
        format!("query Q({}) {{ health }}", many(9_000, &|n| format!("$a{n}:Int "))),
        format!("{{ notes(where: {{ {} }}) {{ count }} }}", many(9_000, &|n| format!("a{n}:{{}} "))),
        format!("{{ notes(where: {{ text: {{ in: [{}] }} }}) {{ count }} }}", "1 ".repeat(45_000)),
        // One key, many fields with arguments.
        format!(
            "{{ {} }}",
            many(700, &|_| {
                "a:notes(where:{text:{in:[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"]}} first:1 skip:1 options:{}){count} ".to_owned()
            })
        ),
        // Errors with their places.
        format!("{{ {} }}", many(400, &|n| format!("a{n}: note(id:\"x\") {{ {} }} ", "id ".repeat(70)))),
    ];
    for query in &hostile {
        assert!(query.len() < 100_000, "{}", query.len());
        let (status, body, _) = ask(&client, query, json!({})).await;
        assert!(status < 500 && body["errors"].is_array(), "{status} {}", &query[..100]);
    }
    // Documents that are kept parsed.
    for n in 0..200 {
        let query = format!("{{ note(id: {id}) {{ {} a{n}: id }} }}", "id ".repeat(5200));
        let answer = client.post("/graphql", json!({"query": query})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let grown = program.peak_memory_kib().saturating_sub(before);
    assert!(grown < 200 * 1024, "{grown} KiB more");
}

#[actix_web::test]
async fn operations_of_a_document_count_as_items_of_a_batch() {
    let limits = json!({"requestComplexity": {"batchRequestLimit": 5}, "mountGraphQL": true,
        "graphQLPath": "/parse/graphql"});
    let server = TestServer::with(limits).await;
    let (client, master) = (server.anonymous(), server.master());
    let author = json!({"fields": {"name": {"type": "String"}}});
    master.post("/schemas/Author", author).await.ok();
    let fields =
        json!({"text": {"type": "String"}, "authors": {"type": "Relation", "targetClass": "Author"}});
    master.post("/schemas/Note", json!({ "fields": fields })).await.ok();
    let finds = |count: usize| {
        (0..count).fold("{ __typename ".to_owned(), |text, n| format!("{text} a{n}: notes {{ count }}"))
            + " }"
    };
    for (client, count, status) in [(&client, 5, 200), (&client, 6, 400), (&master, 6, 200)] {
        let answer = client.post("/graphql", json!({"query": finds(count)})).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    let made = |count: usize| {
        let list = "{name:\"a\"},".repeat(count);
        format!(
            "mutation {{ createNote(input: {{ fields: {{ authors: {{ createAndAdd: [{list}] }} }} }}) {{ note {{ id }} }} }}"
        )
    };
    let count = async || master.get("/classes/Author?count=1&limit=0").await.ok()["count"].as_i64().unwrap();
    let answer = client.post("/graphql", json!({"query": made(5)})).await;
    assert!(answer.body["errors"].is_null(), "{}", answer.text);
    assert_eq!(count().await, 5);
    let answer = client.post("/graphql", json!({"query": made(50)})).await;
    assert_eq!(answer.body["errors"][0]["extensions"]["code"], 107, "{}", answer.text);
    assert!(count().await <= 10);
}

#[actix_web::test]
async fn objects_created_within_others_fall_under_their_rate_limits() {
    let limit = json!([{"requestPath": "/classes/Author", "requestTimeWindow": 600_000, "requestCount": 3,
        "requestMethods": "POST", "errorResponseMessage": "Enough.", "includeInternalRequests": true}]);
    let server = TestServer::with(json!({"rateLimit": limit, "mountGraphQL": true,
        "graphQLPath": "/parse/graphql"}))
    .await;
    let (client, master) = (server.anonymous(), server.master());
    master.post("/schemas/Author", json!({"fields": {"name": {"type": "String"}}})).await.ok();
    let fields = json!({"authors": {"type": "Relation", "targetClass": "Author"},
        "first": {"type": "Pointer", "targetClass": "Author"}});
    master.post("/schemas/Note", json!({ "fields": fields })).await.ok();
    let query = "mutation { createNote(input: { fields: { first: { createAndLink: {name: \"a\"} }, authors: { createAndAdd: [{name:\"a\"},{name:\"a\"},{name:\"a\"}] } } }) { note { id } } }";
    let answer = client.post("/graphql", json!({ "query": query })).await;
    assert_eq!(first_error(&answer.body), "Enough.", "{}", answer.text);
    assert_eq!(master.get("/classes/Author?count=1&limit=0").await.ok()["count"], 3);
}

#[actix_web::test]
async fn a_file_named_many_times_is_stored_up_to_one_upload() {
    let options = json!({"mountGraphQL": true, "graphQLPath": "/parse/graphql", "maxUploadSize": "100kb",
        "fileUpload": {"enableForPublic": true}});
    let server = TestServer::with(options).await;
    let names = |count: usize| {
        (0..count).fold(String::new(), |text, n| {
            format!("{text} a{n}: createFile(input: {{ upload: $f }}) {{ fileInfo {{ name }} }}")
        })
    };
    let operations = json!({"query": format!("mutation U($f: Upload!) {{ {} }}", names(20)),
        "variables": {"f": null}});
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n{operations}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"map\"\r\n\r\n{{\"0\":[\"variables.f\"]}}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"0\"; filename=\"a.txt\"\r\n\
         Content-Type: text/plain\r\n\r\n{}\r\n--b--\r\n",
        "x".repeat(30_000)
    );
    let kind = [("Content-Type", "multipart/form-data; boundary=b")];
    let answer =
        server.anonymous().send_with(reqwest::Method::POST, "/graphql", Some(body.into()), &kind).await;
    let stored =
        answer.body["data"].as_object().map_or(0, |data| data.values().filter(|one| !one.is_null()).count());
    assert_eq!(stored, 3, "{}", answer.text);
}

/// A condition on a key of an object beside a plain one.
#[actix_web::test]
async fn conditions_that_meet_are_no_panic() {
    let server = TestServer::with(json!({"mountGraphQL": true, "graphQLPath": "/parse/graphql"})).await;
    let client = server.anonymous();
    client.post("/classes/Bag", json!({"o": {"a": 1}})).await.ok();
    let query = "query Q($w: BagWhereInput) { bags(where: $w) { count } }";
    for condition in [
        json!({"o": {"equalTo": {"key": "a", "value": 1}, "notEqualTo": {"key": "a", "value": 2}}}),
        json!({"o": {"equalTo": {"key": "a", "value": 1}, "exists": true}}),
        json!({"o": {"equalTo": {"key": "", "value": 1}}}),
        json!({"o": {"equalTo": {"key": "a.b.c", "value": {"$ne": 1}}}}),
    ] {
        let body = json!({"query": query, "variables": {"w": condition}});
        let answer = client.post("/graphql", body).await;
        assert!(answer.status < 500, "{condition}: {}", answer.text);
    }
}

struct Socket(tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>);

impl Socket {
    async fn open(port: u16) -> Self {
        let mut request = format!("ws://127.0.0.1:{port}/graphql").into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", "graphql-transport-ws".parse().unwrap());
        let (socket, _) = connect_async(request).await.unwrap();
        let mut socket = Self(socket);
        let keys = json!({"X-Parse-Application-Id": APP_ID});
        socket.say(json!({"type": "connection_init", "payload": keys})).await;
        assert_eq!(socket.hear().await.unwrap()["type"], "connection_ack");
        socket
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// `None` once it is closed.
    async fn hear(&mut self) -> Option<Value> {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("a frame in time") {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).ok(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
}

#[actix_web::test]
async fn an_event_shown_many_times_is_not_told() {
    let more = json!({"graphQLSubscriptions": true, "startLiveQueryServer": true,
        "liveQuery": {"classNames": ["Note"]}, "requestComplexity": {"graphQLFields": -1}});
    let (_database, program, client, _) = program(more).await;
    client.post("/parse/classes/Note", json!({"text": "a"})).await.ok();
    let mut socket = Socket::open(program.port()).await;
    let names = (0..300).fold(String::new(), |text, n| format!("{text} a{n}: text"));
    for (id, query) in [
        ("wide", format!("subscription {{ note {{ event node {{ {names} }} }} }}")),
        ("plain", "subscription { note { event node { text } } }".to_owned()),
    ] {
        socket.say(json!({"id": id, "type": "subscribe", "payload": {"query": query}})).await;
    }
    // A question that is answered tells that those before it were heard.
    socket.say(json!({"type": "ping"})).await;
    let answer = socket.hear().await.unwrap();
    assert_eq!(answer["type"], "pong", "{answer}");
    let before = program.peak_memory_kib();
    for _ in 0..3 {
        client.post("/parse/classes/Note", json!({"text": "x".repeat(300_000)})).await.ok();
    }
    let mut heard = Vec::new();
    while heard.len() < 6 {
        let frame = socket.hear().await.expect("the socket stays open");
        heard.push((frame["id"].as_str().unwrap().to_owned(), frame["payload"]["errors"].is_array()));
    }
    heard.sort();
    let expected = [
        ("plain", false),
        ("plain", false),
        ("plain", false),
        ("wide", true),
        ("wide", true),
        ("wide", true),
    ];
    assert_eq!(heard, expected.map(|(id, refused)| (id.to_owned(), refused)));
    let grown = program.peak_memory_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more");
}

//! Clients that take their time: half a body, a byte now and then, answers that nobody reads, connections that do
//! nothing. Nobody else notices, and they are let go.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::http_cloud::folder_with;
use crate::support::server::{APP_ID, TestServer};
use crate::support::wait;

fn connect(server: &TestServer) -> TcpStream {
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    stream
}

/// The head of a request whose body has so many bytes, and no body.
fn head(method: &str, path: &str, length: usize) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nX-Parse-Application-Id: {APP_ID}\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// Status and body of what is answered before the connection ends.
fn answer_of(mut stream: TcpStream) -> (u16, Value) {
    let mut text = String::new();
    // An end that comes as a reset is an end.
    let _ = stream.read_to_string(&mut text);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or_default())
}

const DOORS: [(&str, &str); 6] = [
    ("POST", "/parse/classes/A"),
    ("POST", "/parse/batch"),
    ("PUT", "/parse/users/x"),
    ("POST", "/parse/files/a.txt"),
    ("POST", "/parse/functions/f"),
    ("POST", "/parse/apps/request_password_reset"),
];

#[actix_web::test]
async fn half_a_body_takes_no_place_and_is_given_up() {
    let limits = json!({"httpLimits": {"maxRequests": 4, "patience": 3000}, "publicServerURL": "http://x/parse",
        "fileUpload": {"enableForPublic": true}});
    let server = TestServer::with(limits).await;
    let half: Vec<TcpStream> = (0..240)
        .map(|n| {
            let (method, path) = DOORS[n % DOORS.len()];
            let mut stream = connect(&server);
            stream.write_all(head(method, path, 1000).as_bytes()).unwrap();
            stream.write_all(b"{\"a\":").unwrap();
            stream
        })
        .collect();
    let client = server.anonymous();
    for n in 0..20 {
        assert_eq!(client.get("/health").await.ok()["status"], "ok");
        client.post("/classes/A", json!({ "n": n })).await.ok();
        assert_eq!(server.anonymous().get("/classes/A?limit=1").await.status, 200);
    }
    for (n, stream) in half.into_iter().enumerate() {
        let (status, body) = answer_of(stream);
        assert_eq!((status, &body["code"]), (408, &json!(124)), "{:?} {body}", DOORS[n % DOORS.len()]);
        assert_eq!(body["error"], "The request did not arrive in time.");
    }
}

#[actix_web::test]
async fn a_slow_link_gets_through_and_a_trickle_does_not() {
    let limits = json!({"httpLimits": {"minimumRate": 200, "patience": 1000}, "fileUpload": {"enableForPublic": true}});
    let server = TestServer::with(limits).await;
    // 1000 bytes a second, for longer than the server's patience.
    for path in ["/parse/classes/A", "/parse/files/a.txt"] {
        let body = json!({"text": "x".repeat(2400)}).to_string();
        let mut stream = connect(&server);
        stream
            .write_all(
                head("POST", path, body.len()).replace("Host: x", "Host: x\r\nConnection: close").as_bytes(),
            )
            .unwrap();
        for piece in body.as_bytes().chunks(100) {
            stream.write_all(piece).unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (status, body) = answer_of(stream);
        assert_eq!(status, 201, "{path} {body}");
    }
    for path in ["/parse/classes/A", "/parse/files/b.txt"] {
        let mut stream = connect(&server);
        stream.write_all(head("POST", path, 1_000_000).as_bytes()).unwrap();
        // What came fast before does not buy time.
        stream.write_all(&[b' '; 100_000]).unwrap();
        let mut reader = stream.try_clone().unwrap();
        let ended = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = reader.read_to_string(&mut text);
            text
        });
        let mut sent = 0;
        while !ended.is_finished() && sent < 600 {
            let _ = stream.write_all(b" ");
            sent += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let text = ended.join().unwrap();
        assert!(text.starts_with("HTTP/1.1 408"), "{path} after {sent} bytes: {text}");
    }
}

#[actix_web::test]
async fn bodies_share_their_memory() {
    let server = TestServer::with(json!({"httpLimits": {"bodyMemory": 400_000}})).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(&server);
        stream.write_all(head("POST", "/parse/classes/A", 1_000_000).as_bytes()).unwrap();
        stream.write_all(&[b' '; 250_000]).unwrap();
        held.push(stream);
    }
    // Read by the server by and by.
    let large = json!({"text": "x".repeat(150_000)});
    let refused = wait::until_some("the room to be taken", async || {
        let answer = server.anonymous().post("/classes/A", large.clone()).await;
        (answer.status != 201).then_some(answer)
    })
    .await;
    assert_eq!(refused.error(), (503, 100, "The server is overloaded."));
    server.anonymous().post("/classes/A", json!({"text": "x".repeat(60_000)})).await.ok();
    drop(held);
    wait::until_some("the room to be free", async || {
        (server.anonymous().post("/classes/A", large.clone()).await.status == 201).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn connections_are_counted_and_health_has_a_lane() {
    let server = TestServer::with(json!({"httpLimits": {"maxConnections": 20}})).await;
    let held: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(head("POST", "/parse/classes/A", 1000).as_bytes()).unwrap();
            stream
        })
        .collect();
    let refused = wait::until_some("one too many", async || {
        let answer = server.anonymous().get("/classes/A").await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!(refused.error(), (503, 100, "The server is overloaded."));
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(server.anonymous().get("/health").await.ok()["status"], "ok");
    // Beyond the lane as well: told, not left to wait.
    let many: Vec<TcpStream> = (0..400).map(|_| connect(&server)).collect();
    let told = many.into_iter().map(answer_of).filter(|(status, _)| *status == 503).collect::<Vec<_>>();
    assert!(told.len() >= 100, "{} told", told.len());
    assert!(told.iter().all(|(_, body)| body["code"] == 100), "{told:?}");
    drop(held);
    wait::until_some("room again", async || {
        (server.anonymous().get("/classes/A").await.status == 200).then_some(())
    })
    .await;
}

/// Whether the system still knows the server's end of the connection.
pub fn is_open(server: &TestServer, port: u16) -> bool {
    let wanted = (format!(":{:04X}", server.address.port()), format!(":{port:04X}"));
    std::fs::read_to_string("/proc/net/tcp").unwrap().lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (local, remote) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        local.ends_with(&wanted.0) && remote.ends_with(&wanted.1) && words.next() == Some("01")
    })
}

#[actix_web::test]
async fn an_answer_nobody_reads_is_given_up() {
    let server = TestServer::with(json!({"httpLimits": {"patience": 1000}})).await;
    for _ in 0..8 {
        server.anonymous().post("/classes/Large", json!({"text": "x".repeat(3_000_000)})).await.ok();
    }
    let mut stream = connect(&server);
    let port = stream.local_addr().unwrap().port();
    stream.write_all(head("GET", "/parse/classes/Large", 0).as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    wait::until("the server to let go", || !is_open(&server, port));
    // A client that reads gets all of it.
    let whole = server.anonymous().get("/classes/Large").await;
    assert_eq!(whole.body["results"].as_array().unwrap().len(), 8);
}

#[actix_web::test]
async fn answers_nobody_reads_share_their_memory() {
    let server = TestServer::with(json!({"httpLimits": {"answerMemory": 20_000_000}})).await;
    for _ in 0..4 {
        server.anonymous().post("/classes/Large", json!({"text": "x".repeat(2_000_000)})).await.ok();
    }
    let mut unread = Vec::new();
    for _ in 0..10 {
        let mut stream = connect(&server);
        stream.write_all(head("GET", "/parse/classes/Large", 0).as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        unread.push((stream, first));
    }
    let refused = unread.iter().filter(|(_, first)| first == b"HTTP/1.1 503").count();
    assert!((1..10).contains(&refused), "{refused} refused");
    // Short ones need none of it.
    server.anonymous().get("/classes/Large?limit=1&keys=objectId").await.ok();
    drop(unread);
    wait::until_some("the memory to be free", async || {
        (server.anonymous().get("/classes/Large").await.status == 200).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn errors_at_the_door_have_a_code() {
    let server =
        TestServer::with(json!({"maxUploadSize": "1kb", "fileUpload": {"enableForPublic": true}})).await;
    let client = server.anonymous();
    let post = async |headers: &[(&str, &str)], body: Vec<u8>| {
        client.send_with(reqwest::Method::POST, "/classes/A", Some(body.into()), headers).await
    };
    let large = post(&[], vec![b' '; 5000]).await;
    assert_eq!(large.error(), (413, 116, "request entity too large"));
    let packed =
        post(&[("Content-Encoding", "gzip"), ("Content-Type", "application/json")], b"{}".to_vec()).await;
    assert_eq!((packed.error().0, packed.error().1), (415, 107), "{}", packed.text);
    let file = client.send(reqwest::Method::POST, "/files/a.txt", Some(vec![b'x'; 5000].into())).await;
    assert_eq!((file.error().0, file.error().1), (413, 116), "{}", file.text);
}

/// An upload that a trigger will see is in memory as a whole.
#[actix_web::test]
async fn uploads_for_triggers_share_the_memory_too() {
    let folder = folder_with("Parse.Cloud.beforeSave(Parse.File, () => {});");
    let options = json!({"httpLimits": {"bodyMemory": 400_000}, "fileUpload": {"enableForPublic": true},
        "cloud": folder.path().join("main.js")});
    let server = TestServer::with(options).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(&server);
        stream.write_all(head("POST", "/parse/files/a.txt", 1_000_000).as_bytes()).unwrap();
        stream.write_all(&[b' '; 250_000]).unwrap();
        held.push(stream);
    }
    let upload = || {
        let text = [("Content-Type", "text/plain")];
        let client = server.anonymous();
        async move {
            client.send_with(Method::POST, "/files/b.txt", Some("x".repeat(150_000).into()), &text).await
        }
    };
    let refused = wait::until_some("the room to be taken", async || {
        let answer = upload().await;
        (answer.status != 201).then_some(answer)
    })
    .await;
    assert_eq!(refused.error(), (503, 100, "The server is overloaded."));
    drop(held);
    wait::until_some("the room to be free", async || (upload().await.status == 201).then_some(())).await;
}

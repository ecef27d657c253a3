//! What is on the wire: targets as clients write them, names of headers as clients read them.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::server::TestServer;

/// Sends the bytes and reads as many whole answers: head and body of each.
fn exchange(server: &TestServer, sent: &[u8], answers: usize) -> Vec<(String, String)> {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(sent).unwrap();
    let mut read: Vec<u8> = Vec::new();
    let mut found = Vec::new();
    let mut piece = [0; 4096];
    while found.len() < answers {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize = length.unwrap_or_else(|| panic!("{head}")).parse().unwrap();
            if rest.len() >= length {
                found.push((head.to_owned(), rest[..length].to_owned()));
                read.drain(..head.len() + 4 + length);
                continue;
            }
        }
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "closed after {text}");
        read.extend_from_slice(&piece[..length]);
    }
    found
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: test\r\nX-Parse-Application-Id: test\r\n\r\n")
}

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nX-Parse-Application-Id: test\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// As `curl -g`, node-parse-api and others send it; in one packet and on one connection with bodies.
#[actix_web::test]
async fn raw_characters_in_targets() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    for name in ["<a>|{b}^`\\", "é \u{1F600}", "plain"] {
        client.post("/classes/Raw", json!({ "name": name })).await.ok();
    }
    let odd = get(r#"/parse/classes/Raw?where={"name":"<a>|{b}^`\\"}&keys=name"#);
    let unicode = get("/parse/classes/Raw?where={\"name\":\"é+\u{1F600}\"}&keys=name");
    let body = r#"{"name":"GET /parse/\" HTTP/1.1"}"#;
    let sent = [odd.clone(), post("/parse/classes/Raw", body), unicode, odd].concat();
    let answers = exchange(&server, sent.as_bytes(), 4);
    let names = |answer: &str| {
        let body: Value = serde_json::from_str(answer).unwrap();
        let results = body["results"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
        results.iter().map(|object| object["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&answers[0].1), ["<a>|{b}^`\\"]);
    assert!(answers[1].0.starts_with("HTTP/1.1 201"), "{:?}", answers[1]);
    assert_eq!(names(&answers[2].1), ["é \u{1F600}"]);
    assert_eq!(names(&answers[3].1), ["<a>|{b}^`\\"]);
    let stored = client.find("Raw", json!({"where": {"name": "GET /parse/\" HTTP/1.1"}})).await.ok();
    assert_eq!(stored["results"].as_array().unwrap().len(), 1, "the body is what was sent");
}

/// Hand-written clients look for them letter by letter.
#[actix_web::test]
async fn names_of_headers_are_spelled_as_node_does() {
    let server = TestServer::start().await;
    let answers = exchange(&server, post("/parse/classes/Spelled", "{}").as_bytes(), 1);
    let head = &answers[0].0;
    for line in ["\r\nContent-Type: application/json", "\r\nLocation: ", "\r\nAccess-Control-Allow-Origin: *"]
    {
        assert!(head.contains(line), "{line:?} in {head}");
    }
    let id = serde_json::from_str::<Value>(&answers[0].1).unwrap()["objectId"].as_str().unwrap().to_owned();
    let object = get(&format!("/parse/classes/Spelled/{id}"));
    for request in [object.replacen("GET", "HEAD", 1), object] {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let request = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("\r\nETag: W/"), "{answer}");
    }
    let names = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    assert!(
        names.clone().all(|(name, _)| name.starts_with(|first: char| first.is_ascii_uppercase())),
        "{head}"
    );
    assert!(names.count() > 5);
}

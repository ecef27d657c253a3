//! Requests that follow each other on one connection: what belongs to one is never taken for the next, whatever was
//! read of it. A proxy in front that shares its connections would hand one client's answer to another.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::support::server::{APP_ID, TestServer};
use crate::support::wait;

/// An answer as a client cuts it out of the stream.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: Vec<u8>,
}

fn position(of: &[u8], text: &[u8]) -> Option<usize> {
    text.windows(of.len()).position(|window| window == of)
}

/// Cuts one answer off; `None` where there is no whole one.
fn cut(stream: &mut Vec<u8>, method: &str) -> Option<Answer> {
    let head_end = position(b"\r\n\r\n", stream)? + 4;
    let head = String::from_utf8_lossy(&stream[..head_end]).to_ascii_lowercase();
    let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
    assert!(head.starts_with("http/1.1 "), "{head:?} of {method}");
    let header = |name: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.trim().to_owned())
    };
    let rest = stream.split_off(head_end);
    let has_none = method == "HEAD" || matches!(status, 204 | 304);
    let (body, rest) = if has_none {
        (Vec::new(), rest)
    } else if header("transfer-encoding").as_deref() == Some("chunked") {
        let (mut body, mut left) = (Vec::new(), rest);
        loop {
            let line = position(b"\r\n", &left)?;
            let size = usize::from_str_radix(std::str::from_utf8(&left[..line]).unwrap().trim(), 16).unwrap();
            let after = left.split_off(line + 2);
            body.extend_from_slice(after.get(..size)?);
            left = after[size + 2..].to_vec();
            if size == 0 {
                break (body, left);
            }
        }
    } else {
        let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = rest;
        let rest = body.split_off(length.min(body.len()));
        (body, rest)
    };
    *stream = rest;
    Some(Answer { status, body })
}

const SMUGGLED: &str = "GET /parse/smuggled HTTP/1.1\r\nHost: x\r\nX-Parse-Application-Id: test\r\n\r\n";

/// A request with a body that looks like one, by its length or in pieces.
fn request(method: &str, path: &str, body: &str, in_pieces: bool) -> String {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nX-Parse-Application-Id: {APP_ID}\r\n");
    match (body.is_empty(), in_pieces) {
        (true, _) => format!("{head}\r\n"),
        (false, false) => format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
        (false, true) => {
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
        }
    }
}

#[actix_web::test]
async fn a_body_is_never_taken_for_a_request() {
    let server = TestServer::with(json!({"mountGraphQL": true, "mountPlayground": true,
        "publicServerURL": "http://x/parse", "metrics": {}, "fileUpload": {"enableForPublic": true}}))
    .await;
    server.anonymous().post("/classes/A", json!({"n": 1})).await.ok();
    let doors = [
        "/parse/health",
        "/parse/classes/A",
        "/parse/classes/A/x",
        "/parse/batch",
        "/parse/files/a.txt",
        "/parse/files/test/none.txt",
        "/parse/apps/test/verify_email",
        "/parse/nowhere",
        "/",
        "/start/style.css",
        "/graphql",
        "/playground",
        "/metrics",
        "/dashboard/login",
        "/elsewhere",
        "/parse//classes/A",
    ];
    for path in doors {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"] {
            for in_pieces in [false, true] {
                let mut stream = TcpStream::connect(server.address).unwrap();
                stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
                let end = format!(
                    "GET /parse/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Parse-Application-Id: {APP_ID}\r\n\r\n"
                );
                let sent = [
                    request("HEAD", "/parse/classes/A", "", false),
                    request(method, path, SMUGGLED, in_pieces),
                    end,
                ]
                .concat();
                stream.write_all(sent.as_bytes()).unwrap();
                let mut heard = Vec::new();
                // An end that comes as a reset is an end.
                let _ = stream.read_to_end(&mut heard);
                let text = String::from_utf8_lossy(&heard).into_owned();
                let about = format!("{method} {path} {in_pieces}: {text}");
                assert!(!text.contains("/parse/smuggled"), "{about}");
                let first = cut(&mut heard, "HEAD").unwrap_or_else(|| panic!("{about}"));
                assert!(first.body.is_empty());
                let second = cut(&mut heard, method).unwrap_or_else(|| panic!("{about}"));
                assert!(second.status >= 200, "{about}");
                // Where the body was not read, the connection may end instead.
                if let Some(third) = cut(&mut heard, "GET") {
                    assert_eq!((third.status, &third.body[..]), (200, &br#"{"status":"ok"}"#[..]), "{about}");
                }
                assert!(heard.is_empty(), "{about}");
            }
        }
    }
}

#[actix_web::test]
async fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let server = TestServer::start().await;
    let head = format!("POST /parse/classes/A HTTP/1.1\r\nHost: x\r\nX-Parse-Application-Id: {APP_ID}\r\n");
    for more in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        "Content-Length: +2\r\n\r\n{}",
        "Content-Length: -1\r\n\r\n{}",
        "Content-Length: 0x2\r\n\r\n{}",
        "Content-Length: 99999999999999999999\r\n\r\n{}",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n2;x\ny\r\n{}\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        stream.write_all(format!("{head}{more}{SMUGGLED}").as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        let text = String::from_utf8_lossy(&heard).into_owned();
        assert!(!text.contains("/parse/smuggled"), "{more:?}: {text}");
        assert!(!text.starts_with("HTTP/1.1 2"), "{more:?}: {text}");
    }
}

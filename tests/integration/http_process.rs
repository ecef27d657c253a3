//! The program itself: start, port in use, and a stop that lets requests finish.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::database::TestDatabase;
use crate::support::wait;

/// Killed when dropped.
struct Program {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Program {
    fn start(database: &TestDatabase, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = json!({
            "appId": "test", "masterKey": "master", "databaseURI": database.uri, "host": "127.0.0.1",
            "port": port, "logsFolder": null, "allowClientClassCreation": true, "verifyServerUrl": false,
        });
        let file = folder.path().join("config.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_parsimony"))
            .arg(&file)
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, port, _folder: folder }
    }

    fn connect(&self) -> Option<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.port)).ok()
    }

    /// Waits until it answers that it serves.
    fn until_healthy(&self) {
        wait::until("the program to serve", || {
            let Some(mut stream) = self.connect() else { return false };
            stream.write_all(b"GET /parse/health HTTP/1.0\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap_or_default();
            answer.ends_with(r#"{"status":"ok"}"#)
        });
    }

    fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

#[actix_web::test]
async fn a_stop_lets_requests_finish() {
    let database = TestDatabase::empty().await;
    let mut program = Program::start(&database, free_port());
    program.until_healthy();
    let body = br#"{"a":"0123456789"}"#;
    let head = format!(
        "POST /parse/classes/Slow HTTP/1.1\r\nHost: x\r\nX-Parse-Application-Id: test\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = program.connect().unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body[..5]).unwrap();
    // The idle one is closed as soon as the server stops.
    let mut idle = program.connect().unwrap();
    idle.write_all(b"GET /parse/health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(&idle).read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    program.terminate();
    wait::until("new connections to be refused", || program.connect().is_none());
    stream.write_all(&body[5..]).unwrap();
    let mut answer = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
    let saved = database.connect().await.query(r#"SELECT a FROM "Slow""#, &[]).await.unwrap();
    assert_eq!(saved[0].get::<_, String>(0), "0123456789");
}

#[actix_web::test]
async fn a_port_in_use_is_said() {
    let database = TestDatabase::empty().await;
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut program = Program::start(&database, port);
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
    let mut text = String::new();
    program.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    let expected = format!("Unable to listen on port {port}. The port is already in use.");
    assert!(text.contains(&expected), "{text}");
}

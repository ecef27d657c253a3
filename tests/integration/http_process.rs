//! The program itself: start, port in use, and a stop that lets requests finish.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::database::TestDatabase;
use crate::support::wait;
use crate::users_redis::{self, Redis};

/// Killed when dropped.
pub struct Program {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Program {
    fn start(database: &TestDatabase, port: u16) -> Self {
        Self::with(database, port, &json!({}))
    }

    fn with(database: &TestDatabase, port: u16, more: &Value) -> Self {
        let mut all = json!({ "databaseURI": database.uri });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Self::in_environment(&[], port, &all)
    }

    /// On a port of its own, with these options and nobody trusted but this authority.
    pub fn trusting(authority: &Path, more: &Value) -> Self {
        parsimony::tls::install_provider();
        Self::in_environment(&[("SSL_CERT_FILE", authority)], free_port(), more)
    }

    fn in_environment(variables: &[(&str, &Path)], port: u16, more: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = json!({
            "appId": "test", "masterKey": "master", "host": "127.0.0.1",
            "port": port, "logsFolder": null, "allowClientClassCreation": true, "verifyServerUrl": false,
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        // What is no JSON: the body of a function that completes the options.
        let (name, text) = match config.as_object_mut().unwrap().shift_remove("javascript") {
            Some(Value::String(code)) => {
                ("config.cjs", format!("const options = {config};\n{code}\nmodule.exports = options;"))
            }
            _ => ("config.json", config.to_string()),
        };
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_parsimony"))
            .arg(&file)
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, port, _folder: folder }
    }

    /// With these options, on a port of its own.
    pub fn on_free_port(database: &TestDatabase, more: &Value) -> Self {
        // For those who ask it over HTTP.
        parsimony::tls::install_provider();
        Self::with(database, free_port(), more)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The most memory it ever had.
    pub fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    pub fn connect(&self) -> Option<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.port)).ok()
    }

    /// Waits until it answers that it serves.
    pub fn until_healthy(&self) {
        wait::until("the program to serve", || {
            let Some(mut stream) = self.connect() else { return false };
            stream.write_all(b"GET /parse/health HTTP/1.0\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap_or_default();
            answer.ends_with(r#"{"status":"ok"}"#)
        });
    }

    /// What it wrote before it ended by itself, with an error.
    pub fn refused(mut self) -> String {
        let (mut text, mut errors) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_ne!(self.child.wait().unwrap().code(), Some(0), "{text}{errors}");
        text + &errors
    }

    /// Stops it; what it wrote to the console.
    pub fn stop(&mut self) -> String {
        self.terminate();
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        self.child.wait().unwrap();
        text
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

pub fn free_port() -> u16 {
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

/// All that was written, once the program has ended.
fn output_of(mut program: Program) -> String {
    program.terminate();
    let mut text = String::new();
    program.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    program.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

/// The status of a call of a client.
pub fn call(program: &Program, path: &str) -> String {
    let mut stream = program.connect().expect("the program serves");
    let head = format!("POST {path} HTTP/1.0\r\nX-Parse-Application-Id: test\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[actix_web::test]
async fn the_log_tells_of_weak_settings_and_once_of_a_lost_redis() {
    let database = TestDatabase::empty().await;
    let mut redis = Redis::start(users_redis::free_port());
    let more = json!({
        "security": {"enableCheck": true, "enableCheckLog": true},
        "rateLimit": [{"requestPath": "/functions/*path", "requestTimeWindow": 600_000, "requestCount": 3,
                       "includeInternalRequests": true, "redisUrl": redis.url()}],
    });
    let program = Program::with(&database, free_port(), &more);
    program.until_healthy();
    assert_eq!(call(&program, "/parse/functions/x"), "400");
    redis.stop();
    // This server now counts alone, from the beginning.
    let answers: Vec<_> = (0..10).map(|_| call(&program, "/parse/functions/x")).collect();
    assert_eq!(answers[..3], ["400", "400", "400"]);
    assert!(answers[3..].iter().all(|status| status == "429"), "{answers:?}");
    let output = output_of(program);
    assert_eq!(output.matches("Redis is away").count(), 1, "{output}");
    let report = output.find("Security check: ").expect("a report");
    assert!(output[report..].contains("weak security setting(s) found"), "{output}");
    assert!(output[report..].contains("Parse Server Configuration"), "{output}");
}

//! A real server on a free port and its own database, and clients that speak to it as somebody.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;

use parsimony::config::AppConfig;
use parsimony::outbound::Settings;
use parsimony::server::Server;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::database::TestDatabase;

pub const APP_ID: &str = "test";
pub const MASTER_KEY: &str = "master";
/// Marks options of a development server.
const DEVELOPING: &str = "\0developing";

/// Stops when dropped, and its database goes.
pub struct TestServer {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    // After the server.
    databases: Vec<TestDatabase>,
}

impl TestServer {
    /// With nothing but the defaults.
    pub async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// With these options over the defaults of a test: application `test`, master key `master`,
    /// classes made by clients.
    pub async fn with(options: Value) -> Self {
        Self::with_apps(vec![options]).await
    }

    /// As a server without a configuration, but for its database and these options.
    pub async fn developing(options: Value) -> Self {
        Self::try_with_apps(vec![json!({ DEVELOPING: options })], Settings::default()).await.unwrap()
    }

    /// Several applications in one process.
    pub async fn with_apps(apps: Vec<Value>) -> Self {
        Self::try_with_apps(apps, Settings::default()).await.unwrap()
    }

    /// With another world outside.
    pub async fn within(options: Value, outside: Settings) -> Self {
        Self::try_with_apps(vec![options], outside).await.unwrap()
    }

    /// Or why it does not start.
    pub async fn try_with(options: Value) -> Result<Self, String> {
        Self::try_with_apps(vec![options], Settings::default()).await
    }

    async fn try_with_apps(apps: Vec<Value>, outside: Settings) -> Result<Self, String> {
        let mut databases = Vec::new();
        let mut configs = Vec::new();
        for options in apps {
            let database = database().await;
            let mut all = json!({
                "databaseURI": database.uri,
                "allowClientClassCreation": true,
                "host": "127.0.0.1",
                "port": 0,
                "logsFolder": null,
            });
            let is_developing = options.get(DEVELOPING).is_some();
            let options = options.get(DEVELOPING).cloned().unwrap_or(options);
            if let (Value::Object(all), Value::Object(options)) = (&mut all, options) {
                all.extend(options);
            }
            let mut config = AppConfig::for_tests(all);
            config.development = is_developing;
            configs.push(config);
            databases.push(database);
        }
        let (stop, stopped) = oneshot::channel();
        let (started, address) = mpsc::channel();
        let thread = std::thread::spawn(move || run(configs, outside, &started, stopped));
        let address = tokio::task::spawn_blocking(move || address.recv().unwrap()).await.unwrap()?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread), databases })
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn database(&self) -> &TestDatabase {
        &self.databases[0]
    }

    pub fn anonymous(&self) -> Client {
        self.client(&[("X-Parse-Application-Id", APP_ID)])
    }

    pub fn master(&self) -> Client {
        self.client(&[("X-Parse-Application-Id", APP_ID), ("X-Parse-Master-Key", MASTER_KEY)])
    }

    pub fn session(&self, token: &str) -> Client {
        self.client(&[("X-Parse-Application-Id", APP_ID), ("X-Parse-Session-Token", token)])
    }

    /// Sends these headers and no others.
    pub fn client(&self, headers: &[(&str, &str)]) -> Client {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let http = reqwest::Client::builder().default_headers(headers.collect()).build().unwrap();
        Client { http, base: self.url("/parse") }
    }
}

async fn database() -> TestDatabase {
    TestDatabase::from_template("server", |uri: &str| {
        let uri = uri.to_owned();
        async move {
            let config = AppConfig::for_tests(json!({
                "databaseURI": uri, "host": "127.0.0.1", "port": 0, "logsFolder": null,
            }));
            let prepare = move || {
                actix_web::rt::System::new().block_on(async {
                    Server::start(vec![config]).await.unwrap().stop().await;
                });
            };
            tokio::task::spawn_blocking(prepare).await.unwrap();
        }
    })
    .await
}

fn run(
    configs: Vec<AppConfig>,
    outside: Settings,
    started: &mpsc::Sender<Result<SocketAddr, String>>,
    stopped: oneshot::Receiver<()>,
) {
    actix_web::rt::System::new().block_on(async {
        let server = match Server::start_within(configs, outside).await {
            Ok(server) => server,
            Err(error) => return started.send(Err(error.to_string())).unwrap(),
        };
        started.send(Ok(server.addresses()[0])).unwrap();
        let _ = stopped.await;
        server.stop().await;
    });
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok(), "the server panicked");
        }
    }
}

/// Somebody who speaks REST.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

/// Status and body; headers by lower-case name.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub text: String,
    pub headers: Map<String, Value>,
}

impl Answer {
    /// The body of an answer that has to be a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text);
        self.body
    }

    /// Status, code and text of an error.
    pub fn error(&self) -> (u16, i64, &str) {
        let code = self.body["code"].as_i64().unwrap_or_default();
        let text = self.body["error"].as_str().or_else(|| self.body["message"].as_str());
        (self.status, code, text.unwrap_or_default())
    }
}

impl Client {
    /// Nobody, of application `test` on that port of this machine; paths with the mount.
    pub fn at(port: u16) -> Self {
        Self::with(port, &[("X-Parse-Application-Id", APP_ID)])
    }

    /// Whoever sends these headers, on that port of this machine; paths with the mount.
    pub fn with(port: u16, headers: &[(&str, &str)]) -> Self {
        let header = |(name, value): &(&str, &str)| {
            (name.parse::<reqwest::header::HeaderName>().unwrap(), value.parse().unwrap())
        };
        let headers = headers.iter().map(header).collect();
        let http = reqwest::Client::builder().no_proxy().default_headers(headers).build().unwrap();
        Self { http, base: format!("http://127.0.0.1:{port}") }
    }

    /// Everything below this path.
    pub fn below(mut self, path: &str) -> Self {
        self.base.push_str(path);
        self
    }

    /// `None` where no server answers, or not to the end.
    pub async fn try_send(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Option<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let text = response.text().await.ok()?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Some(Answer { status, body, text, headers: Map::new() })
    }

    /// A find at a path, with parameters as JSON.
    pub async fn find_at(&self, path: &str, mut params: Value) -> Answer {
        params["_method"] = "GET".into();
        self.post(path, params).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(reqwest::Method::GET, path, None).await
    }

    /// A find with parameters as JSON.
    pub async fn find(&self, class: &str, params: Value) -> Answer {
        let mut body = params;
        body["_method"] = "GET".into();
        self.post(&format!("/classes/{class}"), body).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(reqwest::Method::POST, path, Some(body.to_string().into())).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(reqwest::Method::PUT, path, Some(body.to_string().into())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(reqwest::Method::DELETE, path, None).await
    }

    /// Any method, any bytes.
    pub async fn send(&self, method: reqwest::Method, path: &str, body: Option<reqwest::Body>) -> Answer {
        self.send_with(method, path, body, &[]).await
    }

    pub async fn send_with(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.body(body);
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                request = request.header("Content-Type", "application/json");
            }
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().iter().map(|(name, value)| {
            (name.as_str().to_owned(), Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned()))
        });
        let headers = headers.collect();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status, body, text, headers }
    }
}

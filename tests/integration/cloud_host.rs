//! Cloud Code in real Node.js hosts, with a recording stand-in for the server.
//!
//! Needs `node` on PATH and the npm package `parse` in `<repository>/node_modules` or in the folder that
//! `PARSIMONY_TEST_NODE_MODULES` names.

mod faults;
mod functions;
mod loading;
mod sdk_calls;
mod stalls;
mod triggers;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parsimony::cloud::node::{LaunchError, NodeEngine, NodeOptions};
use parsimony::cloud::{
    CloudEngine, FunctionCall, InternalRequest, InternalResponse, Method, ServerApi, TriggerAnswer,
    TriggerCall,
};
use parsimony::error::{Error, Result};
use serde_json::{Map, Value, json};

type Responder = dyn Fn(&InternalRequest) -> Result<Value> + Send + Sync;

/// Records what Cloud Code asks and answers as the test says.
pub struct FakeServer {
    pub requests: Mutex<Vec<InternalRequest>>,
    pub mails: Mutex<Vec<Value>>,
    pub messages: Mutex<Vec<(String, Value)>>,
    pub options: Mutex<Vec<Map<String, Value>>>,
    respond: Box<Responder>,
}

impl ServerApi for FakeServer {
    fn request(&self, request: InternalRequest) -> BoxFuture<'_, Result<InternalResponse>> {
        Box::pin(async move {
            let answer = (self.respond)(&request);
            let status = if request.method == Method::Post { 201 } else { 200 };
            self.requests.lock().unwrap().push(request);
            let headers = vec![("X-Parse-Job-Status-Id".into(), "job1".into())];
            Ok(InternalResponse { status, body: answer?.into(), headers })
        })
    }

    fn send_email(&self, mail: Map<String, Value>) -> BoxFuture<'_, Result<Option<Value>>> {
        self.mails.lock().unwrap().push(mail.into());
        Box::pin(async { Ok(None) })
    }

    fn job_message(&self, job_id: String, message: Value) -> BoxFuture<'_, Result<()>> {
        self.messages.lock().unwrap().push((job_id, message));
        Box::pin(async { Ok(()) })
    }

    fn config(&self) -> Map<String, Value> {
        object(json!({"appId": "test-app", "masterKey": "secret", "appName": "Test"}))
    }

    fn set_config(&self, options: Map<String, Value>) -> BoxFuture<'_, Result<()>> {
        self.options.lock().unwrap().push(options);
        Box::pin(async { Ok(()) })
    }
}

/// A folder with Cloud Code, and how its hosts are run.
pub struct App {
    folder: tempfile::TempDir,
    pub options: NodeOptions,
    respond: Box<Responder>,
}

pub struct Running {
    // Dropped after the engine, which runs in it.
    pub engine: Arc<NodeEngine>,
    pub server: Arc<FakeServer>,
    folder: tempfile::TempDir,
}

fn node_modules() -> PathBuf {
    std::env::var_os("PARSIMONY_TEST_NODE_MODULES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules"), PathBuf::from)
}

impl App {
    /// An application whose `cloud/main.js` is this text.
    pub fn new(main: &str) -> Self {
        let app = Self::empty();
        app.file("cloud/main.js", main)
    }

    pub fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = NodeOptions {
            cloud: Some("cloud/main.js".into()),
            node_modules: vec![node_modules()],
            server_url: "http://localhost:1337/parse".into(),
            working_directory: Some(folder.path().to_owned()),
            start_timeout: Duration::from_secs(60),
            call_timeout: Some(Duration::from_secs(30)),
            drain_timeout: Duration::from_secs(5),
            ..NodeOptions::default()
        };
        Self { folder, options, respond: Box::new(|_| Ok(json!({}))) }
    }

    pub fn file(self, name: &str, text: &str) -> Self {
        write(self.folder.path(), name, text);
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut NodeOptions)) -> Self {
        change(&mut self.options);
        self
    }

    pub fn respond(
        mut self,
        respond: impl Fn(&InternalRequest) -> Result<Value> + Send + Sync + 'static,
    ) -> Self {
        self.respond = Box::new(respond);
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub async fn try_start(self) -> Result<Running, LaunchError> {
        let server = Arc::new(FakeServer {
            requests: Mutex::default(),
            mails: Mutex::default(),
            messages: Mutex::default(),
            options: Mutex::default(),
            respond: self.respond,
        });
        let engine = NodeEngine::launch(self.options, server.clone())?;
        engine.ready().await?;
        Ok(Running { engine, server, folder: self.folder })
    }

    pub async fn start(self) -> Running {
        self.try_start().await.unwrap()
    }
}

impl Running {
    pub async fn call(&self, name: &str, params: Value) -> Result<Value> {
        let call = FunctionCall { name: name.into(), params: object(params), ..FunctionCall::default() };
        self.run(call).await
    }

    /// The result as JSON, `null` for undefined.
    pub async fn run(&self, call: FunctionCall) -> Result<Value> {
        let answer = self.engine.run_function(call).await?;
        Ok(answer.result.map_or(Value::Null, |result| serde_json::from_str(result.get()).unwrap()))
    }

    pub async fn trigger(&self, call: TriggerCall) -> Result<TriggerAnswer> {
        self.engine.run_trigger(call).await
    }

    pub fn write(&self, name: &str, text: &str) {
        write(self.folder.path(), name, text);
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder.path().join(name)).unwrap();
    }

    pub fn exists(&self, name: &str) -> bool {
        self.folder.path().join(name).exists()
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

/// Code and text of an error, as a client sees them.
pub fn seen(error: &Error) -> (i32, String) {
    (error.code().map_or(0, |code| code.0), error.public_message(true).to_owned())
}

/// Waits until `condition` holds; panics after a while.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain until {what}");
}

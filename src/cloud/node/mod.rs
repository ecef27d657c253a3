//! Cloud Code in Node.js host processes: the engine that runs an application's `cloud/main.js`.
//!
//! A pool of processes, started and watched over by the server, speaks with it over a Unix socket
//! (`protocol`). Each runs the same small program (`host/`), which loads the npm `parse` SDK and the
//! application. `pool` decides who gets a call and what happens when a host dies, `host` keeps the books
//! of one process, `launcher` starts them, `requests` answers what the application asks of the server.
//!
//! What a lost host means for its calls: those whose application code had begun fail with 141 and are
//! never run again; the others go to another host. A host is lost when its process ends, its connection
//! is cut, or its watchdog finds the event loop stalled.
//!
//! A host whose event loop stands still is noticed long before: its watchdog closes a gate, so that no call
//! begins there, and tells the server, which takes back what has not begun and gives the host nothing until
//! it goes on. An application that embeds the server is its own host (`parent`). `line` holds calls that no host can take, `patience` keeps their time.

mod host;
mod journal;
mod launcher;
mod line;
mod outbox;
mod parent;
mod patience;
mod pipes;
mod pool;
mod protocol;
mod requests;
mod workspace;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use self::host::{Host, HostEvents, Pending, Reply};
pub use self::launcher::LaunchError;
use self::launcher::Launcher;
pub use self::parent::Parent;
use self::patience::Patience;
use self::pool::Pool;
use self::protocol::{ArgFrame, CallFrame, FunctionFrame, JobFrame, TriggerFrame};
use super::{
    AdapterArg, AdapterCall, CallbackId, CloudEngine, CloudState, FileAdapterCall, Flow, FunctionAnswer,
    FunctionCall, JobCall, Registrations, Scope, ServerApi, TriggerAnswer, TriggerCall, invalid_function,
    invalid_job,
};
use crate::error::{Error, ErrorCode, Result};
use crate::types::app_scope::carry;
use crate::types::aside::{LONG, aside};

/// How the hosts are run. All durations are waiting times of the server.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// `cloud`: a path (file, folder or package), or a callback of the configuration file.
    pub cloud: Option<Value>,
    /// A JavaScript configuration file, loaded first so that its callbacks live in every host.
    pub config_file: Option<PathBuf>,
    /// The Node.js binary, by path or by name.
    pub node: String,
    /// Arguments for it, `--inspect` for one.
    pub node_args: Vec<String>,
    /// Folders that have the `parse` package, for applications without one of their own.
    pub node_modules: Vec<PathBuf>,
    /// `cloudWorkers`.
    pub workers: usize,
    /// What `Parse.serverURL` is in Cloud Code.
    pub server_url: String,
    /// What the SDK is initialised with: `appId`, `masterKey`, `javascriptKey`, … On top of it comes what
    /// [`ServerApi::config`] shows.
    pub identity: Map<String, Value>,
    /// Adapter modules by option name (`auth.acme`, `emailAdapter`), with their option values.
    pub adapters: Vec<(String, Value)>,
    pub start_timeout: Duration,
    /// `cloudTimeout`: default deadline of every call except jobs, which have none.
    pub call_timeout: Option<Duration>,
    /// `cloudStallTimeout`: how long the event loop may stand still, at most half of `call_timeout`; with zero
    /// no host is replaced for it.
    pub stall_timeout: Duration,
    /// How long calls under way may take to end after a reload or a shutdown.
    pub drain_timeout: Duration,
    /// Heap limit of a host in MB; a host is replaced when its whole memory exceeds this by 256 MB.
    pub memory_limit_mb: Option<u32>,
    /// Calls one host works on at a time; more wait in line.
    pub max_in_flight: usize,
    /// Calls in line; more are refused with 503.
    pub max_waiting: usize,
    /// How deep functions and triggers may call each other through the SDK.
    pub max_depth: u16,
    /// `enableSanitizedErrorResponse`, for errors of SDK calls.
    pub sanitize_errors: bool,
    /// Where the hosts run; the server's own folder if not given.
    pub working_directory: Option<PathBuf>,
    /// Variables on top of the server's own.
    pub env: Vec<(String, String)>,
    /// The first hosts load the code of the application when [`NodeEngine::load_code`] says so, and are called
    /// before that for functions of the configuration.
    pub code_later: bool,
    /// The process that started this server: it is the only host then, and none is started.
    pub parent: Option<Arc<Parent>>,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            cloud: None,
            config_file: None,
            node: "node".into(),
            node_args: Vec::new(),
            node_modules: Vec::new(),
            workers: 1,
            server_url: String::new(),
            identity: Map::new(),
            adapters: Vec::new(),
            start_timeout: Duration::from_secs(60),
            call_timeout: Some(Duration::from_secs(60)),
            stall_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(30),
            memory_limit_mb: None,
            max_in_flight: 512,
            max_waiting: 10_000,
            max_depth: 32,
            sanitize_errors: true,
            working_directory: None,
            env: Vec::new(),
            code_later: false,
            parent: None,
        }
    }
}

/// [`CloudEngine`] on a pool of Node.js processes.
pub struct NodeEngine {
    pool: Arc<Pool>,
}

impl NodeEngine {
    /// Starts the hosts in the background; [`NodeEngine::ready`] tells when registration is complete.
    /// Needs a tokio runtime, on which the pool's own tasks stay.
    ///
    /// # Errors
    /// When the folder of the pool cannot be made.
    pub fn launch(options: NodeOptions, api: Arc<dyn ServerApi>) -> Result<Arc<Self>, LaunchError> {
        let pool = Pool::new(options, api)?;
        let starting = pool.clone();
        tokio::spawn(carry(async move {
            if let Err(error) = starting.start().await {
                tracing::error!(%error, "Cloud Code did not start");
            }
        }));
        Ok(Arc::new(Self { pool }))
    }

    /// Waits until the first registration is complete.
    ///
    /// # Errors
    /// When the application cannot be loaded: the server should not start.
    pub async fn ready(&self) -> Result<(), LaunchError> {
        let mut states = self.pool.state.subscribe();
        let state = states.wait_for(|state| *state != CloudState::Starting).await;
        match state.as_deref() {
            Ok(CloudState::Failed(reason)) => Err(LaunchError::Failed(reason.clone())),
            _ => Ok(()),
        }
    }

    /// Second step of a start whose `code_later` is set.
    ///
    /// # Errors
    /// When the application cannot be loaded: the server should not start.
    pub async fn load_code(&self) -> Result<(), LaunchError> {
        self.pool.load_code().await
    }

    /// Evaluates a JavaScript configuration file in a host of its own. Functions in it come back as
    /// `{"__callback": id}`, instances of classes as `{"__instance": id}`, regular expressions with flags
    /// as `{"__regexp": [source, flags]}`; the ids hold for every host whose `config_file` this is.
    ///
    /// # Errors
    /// When Node.js is missing or the file cannot be evaluated to an object.
    pub async fn read_config(options: &NodeOptions) -> Result<Map<String, Value>, LaunchError> {
        let launcher = Launcher::new(None)?;
        let mut init = Map::new();
        init.insert("configOnly".into(), true.into());
        init.insert("configFile".into(), json!(options.config_file));
        let (running, summary) = launcher.launch(options, init, Arc::new(NoEvents)).await?;
        running.host.leave();
        running.run().await;
        let mut answer: Map<String, Value> =
            serde_json::from_slice(&summary).map_err(|error| LaunchError::Failed(error.to_string()))?;
        match answer.remove("config") {
            Some(Value::Object(config)) => Ok(config),
            _ => Err(LaunchError::Failed("the configuration file gave no options".into())),
        }
    }

    /// Tells an attached host that the server serves.
    pub fn listening(&self) {
        self.pool.listening();
    }

    /// Process ids of the hosts that take calls now.
    pub fn pids(&self) -> Vec<u32> {
        self.pool.pids()
    }

    async fn call(&self, frame: &CallFrame<'_>, scope: Scope, default: Option<Duration>) -> Result<Bytes> {
        let options = self.pool.options();
        if scope.depth > options.max_depth {
            return Err(Error::parse(
                ErrorCode::SCRIPT_FAILED,
                format!("Cloud Code calls are nested too deeply (limit {}).", options.max_depth),
            ));
        }
        let payload = serde_json::to_vec(frame).map_err(Error::internal)?;
        let (id, answer) = self.pool.submit(payload, scope.depth > 0)?;
        let mut withdrawal = Withdrawal { pool: &self.pool, id: Some(id) };
        // Who names a deadline holds something meanwhile, a transaction for one.
        let patience = (scope.deadline.map(Patience::fixed))
            .or_else(|| default.map(|deadline| Patience::extended(deadline, options)));
        let reply = match patience {
            Some(patience) => {
                let waited = patience.wait(&self.pool, id, answer).await;
                waited.ok_or_else(|| out_of_time(patience.deadline))?
            }
            None => answer.await,
        };
        withdrawal.id = None;
        match reply {
            Ok(Reply::Answer(bytes)) => Ok(bytes),
            Ok(Reply::Failed(error)) => {
                if let Some(thrown) = error.thrown {
                    return Err(Error::thrown(error.code.map(ErrorCode), thrown));
                }
                let code = error.code.map_or(ErrorCode::SCRIPT_FAILED, ErrorCode);
                Err(Error::parse(code, error.message))
            }
            Ok(Reply::Lost) => {
                Err(Error::parse(ErrorCode::SCRIPT_FAILED, "Cloud Code stopped while it ran this call."))
            }
            Err(_) => Err(Error::parse(ErrorCode::SCRIPT_FAILED, "Cloud Code has been shut down.")),
        }
    }

    async fn call_outside(&self, frame: &CallFrame<'_>, deadline: Option<Duration>) -> Result<Value> {
        let scope = Scope { deadline, ..Scope::default() };
        let bytes = self.call(frame, scope, self.pool.options().call_timeout).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        read(bytes).await
    }
}

/// An answer; a long one is read on a thread of its own.
async fn read<T: DeserializeOwned + Send + 'static>(answer: Bytes) -> Result<T> {
    let is_long = answer.len() > LONG;
    let read = move || serde_json::from_slice(&answer).map_err(Error::internal);
    if is_long { aside(read).await? } else { read() }
}

fn out_of_time(deadline: Duration) -> Error {
    Error::parse(
        ErrorCode::SCRIPT_FAILED,
        format!("Cloud Code did not answer within {} s.", deadline.as_secs_f32()),
    )
}

/// Withdraws a call when its caller stops waiting.
struct Withdrawal<'a> {
    pool: &'a Pool,
    id: Option<u32>,
}

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.pool.cancel(id);
        }
    }
}

/// A host that only evaluates a configuration file has nothing to report.
struct NoEvents;

impl HostEvents for NoEvents {
    fn answered(&self, _host: &Arc<Host>) {}

    fn withdrawn(&self, _host: &Arc<Host>, _unbegun: Vec<Pending>) {}

    fn requested(&self, host: &Arc<Host>, id: u32, _payload: Bytes) {
        let message = "The server is not running yet.".to_owned();
        host.reply_error(id, &protocol::WireError { code: None, message, thrown: None });
    }

    fn registered(&self, _host: &Arc<Host>, _payload: Bytes) {}

    fn logged(&self, payload: Bytes) {
        requests::log(&payload);
    }

    fn leaves(&self) {}
}

impl CloudEngine for NodeEngine {
    fn registrations(&self) -> Arc<Registrations> {
        self.pool.registrations.load_full()
    }

    fn state(&self) -> CloudState {
        self.pool.state.borrow().clone()
    }

    fn run_function(&self, call: FunctionCall) -> BoxFuture<'_, Result<FunctionAnswer>> {
        Box::pin(async move {
            if self.pool.registrations.load().function(&call.name).is_none() {
                return Err(invalid_function(&call.name));
            }
            let uploads = call
                .uploads
                .iter()
                .map(|(name, bytes)| (name.clone(), BASE64.encode(bytes).into()))
                .collect();
            let frame = CallFrame::Function {
                name: &call.name,
                params: &call.params,
                uploads,
                caller: &call.caller,
                context: &call.context,
                depth: call.scope.depth,
                transaction: call.scope.transaction,
            };
            let bytes = self.call(&frame, call.scope, self.pool.options().call_timeout).await?;
            let frame: FunctionFrame = read(bytes).await?;
            let headers = frame.headers.into_iter().flat_map(|(name, value)| {
                let values = match value {
                    Value::Array(values) => values,
                    value => vec![value],
                };
                values.into_iter().map(move |value| (name.clone(), header_text(value)))
            });
            let headers = headers.collect();
            Ok(FunctionAnswer { result: frame.result, status: frame.status, headers })
        })
    }

    fn run_trigger(&self, call: TriggerCall) -> BoxFuture<'_, Result<TriggerAnswer>> {
        Box::pin(async move {
            if !self.pool.registrations.load().is_registered(call.kind, &call.class_name) {
                return Ok(TriggerAnswer::default());
            }
            let frame = CallFrame::Trigger(TriggerFrame::from(&call));
            let bytes = self.call(&frame, call.scope, self.pool.options().call_timeout).await?;
            read(bytes).await
        })
    }

    fn run_job(&self, call: JobCall) -> BoxFuture<'_, Result<Option<String>>> {
        Box::pin(async move {
            if !self.pool.registrations.load().has_job(&call.name) {
                return Err(invalid_job());
            }
            let frame = CallFrame::Job {
                name: &call.name,
                job_id: &call.job_id,
                params: &call.params,
                ip: call.ip.as_deref(),
                headers: &call.headers,
                depth: call.scope.depth,
            };
            let bytes = self.call(&frame, call.scope, None).await?;
            let frame: JobFrame = serde_json::from_slice(&bytes).map_err(Error::internal)?;
            Ok(frame.message)
        })
    }

    fn call_callback(&self, id: CallbackId, args: Vec<AdapterArg>) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async move {
            let args = args.iter().map(ArgFrame::from).collect();
            self.call_outside(&CallFrame::Callback { callback: id.0, args, depth: 0 }, None).await
        })
    }

    fn call_adapter(&self, call: AdapterCall) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async move {
            let frame = CallFrame::Adapter {
                adapter: &call.adapter,
                method: &call.method,
                args: call.args.iter().map(ArgFrame::from).collect(),
                depth: 0,
            };
            self.call_outside(&frame, call.deadline).await
        })
    }

    fn call_file_adapter(&self, call: FileAdapterCall) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async move {
            let flows = !matches!(call.flow, Flow::None);
            let pipe = self.pool.pipes.open(call.flow);
            let frame = CallFrame::Files {
                adapter: &call.adapter,
                method: call.method,
                args: &call.args,
                pipe: pipe.id(),
                depth: 0,
            };
            let deadline = self.pool.options().call_timeout.filter(|_| !flows);
            let bytes = self.call(&frame, Scope::default(), deadline).await?;
            if bytes.is_empty() {
                Ok(Value::Null)
            } else {
                serde_json::from_slice(&bytes).map_err(Error::internal)
            }
        })
    }

    fn reload(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            if self.pool.options().parent.is_some() {
                return Err(Error::internal("an attached host loads its code once"));
            }
            self.pool.start().await.map_err(Error::internal)
        })
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.pool.shutdown())
    }

    fn report(&self, page: &mut crate::metrics::Page) {
        self.pool.report(page);
    }
}

fn header_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Whether the option value of an adapter names code for a host: a module, a class, an instance or an
/// object with functions. Built-in adapters are named by plain words.
pub fn is_code(spec: &Value) -> bool {
    match spec {
        Value::String(name) => name.contains(['/', '.', '@']),
        Value::Object(fields) => {
            fields.contains_key("__callback")
                || fields.contains_key("__instance")
                || fields.values().any(|value| value.get("__callback").is_some())
                || ["module", "class", "adapter"].iter().any(|key| {
                    fields.get(*key).is_some_and(|inner| match inner {
                        // Only `module` holds packages by a name that has no path in it.
                        Value::String(_) => *key == "module",
                        inner => is_code(inner),
                    })
                })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_from_built_in_names() {
        for (spec, code) in [
            (json!("smtp"), false),
            (json!("./mail.js"), true),
            (json!("@acme/mail"), true),
            (json!({"module": "acme-mail", "options": {}}), true),
            (json!({"__instance": 3}), true),
            (json!({"validateAuthData": {"__callback": 1}}), true),
            (json!({"class": {"__callback": 2}, "options": {}}), true),
            (json!({"clientId": "x", "clientSecret": "y"}), false),
            (json!(null), false),
        ] {
            assert_eq!(is_code(&spec), code, "{spec}");
        }
    }
}

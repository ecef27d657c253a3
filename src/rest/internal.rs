//! Requests that do not come by HTTP: Cloud Code's SDK calls, run on the workers as if they had.
//!
//! Engines call from any thread. A request is posted to one of the workers, runs there through the same
//! table as everything else, and its answer comes back by a channel.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use super::request::{RestRequest, RestResponse};
use super::routes::ROUTES;
use crate::app::App;
use crate::cloud::{InternalRequest, InternalResponse, ServerApi};
use crate::config::{AppConfig, table};
use crate::error::{Error, Result};
use crate::operations::{self, gate};
use crate::types::Object;
use crate::types::app_scope::within;

type Job = Box<dyn FnOnce() -> LocalBoxFuture<'static, ()> + Send>;

/// Jobs that wait for one worker; more make the sender wait.
const QUEUE: usize = 256;

/// The worker threads that take internal requests.
#[derive(Clone)]
pub struct Workers {
    lanes: Arc<Mutex<Vec<mpsc::Sender<Job>>>>,
    joined: watch::Sender<usize>,
}

impl Default for Workers {
    fn default() -> Self {
        Self { lanes: Arc::default(), joined: watch::Sender::new(0) }
    }
}

impl Workers {
    /// Makes the current thread, an actix arbiter, take requests from now on.
    pub fn join(&self) {
        let (sender, mut jobs) = mpsc::channel::<Job>(QUEUE);
        tokio::task::spawn_local(async move {
            while let Some(job) = jobs.recv().await {
                tokio::task::spawn_local(job());
            }
        });
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        self.joined.send_modify(|count| *count += 1);
    }

    /// The next worker in turn, waiting for the first one to join.
    async fn lane(&self) -> Result<mpsc::Sender<Job>> {
        let mut joined = self.joined.subscribe();
        joined.wait_for(|count| *count > 0).await.map_err(Error::internal)?;
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|lane| !lane.is_closed());
        let lane = lanes.pop().ok_or_else(|| Error::internal("no worker is running"))?;
        lanes.insert(0, lane.clone());
        Ok(lane)
    }

    /// Runs `work` on a worker.
    ///
    /// # Errors
    /// What `work` answers; 500 when its worker ended or it panicked.
    ///
    /// # Cancel safety
    /// Work that was posted runs on when this future is dropped.
    pub async fn run<T, W, F>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<T>> + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move || {
            async move {
                // The caller may have gone; the work was done all the same.
                let _ = reply.send(work().await);
            }
            .boxed_local()
        });
        self.lane().await?.send(job).await.map_err(|_| Error::internal("a worker has ended"))?;
        answer.await.map_err(|_| Error::internal("an internal request was dropped"))?
    }
}

/// What Cloud Code of one application calls. Made before the application, which is bound later;
/// requests wait for that.
pub struct CloudServer {
    workers: Workers,
    /// Held while a job's message is stored, in turn: the last one said is the last one stored.
    messages: tokio::sync::Mutex<()>,
    app: watch::Sender<Option<Weak<App>>>,
}

impl CloudServer {
    pub fn new(workers: Workers) -> Arc<Self> {
        Arc::new(Self { workers, messages: tokio::sync::Mutex::default(), app: watch::Sender::new(None) })
    }

    pub fn bind(&self, app: &Arc<App>) {
        self.app.send_replace(Some(Arc::downgrade(app)));
    }

    async fn app(&self) -> Result<Arc<App>> {
        let mut bound = self.app.subscribe();
        let app = bound.wait_for(Option::is_some).await.map_err(Error::internal)?.clone();
        app.and_then(|app| app.upgrade()).ok_or_else(|| Error::internal("the application has ended"))
    }

    fn bound(&self) -> Option<Arc<App>> {
        self.app.borrow().as_ref()?.upgrade()
    }
}

impl ServerApi for CloudServer {
    fn request(&self, request: InternalRequest) -> BoxFuture<'_, Result<InternalResponse>> {
        Box::pin(async move {
            let app = self.app().await?;
            let whose = Some(app.services.state.presence.number());
            self.workers.run(move || within(whose, answer(app, request))).await
        })
    }

    fn send_email(&self, mail: Map<String, Value>) -> BoxFuture<'_, Result<Option<Value>>> {
        Box::pin(async move {
            let app = self.app().await?;
            crate::operations::account::send_email::send(&app.services, mail).await
        })
    }

    fn job_message(&self, job_id: String, message: Value) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let app = self.app().await?;
            let _turn = self.messages.lock().await;
            self.workers
                .run(move || async move { operations::jobs::set_message(&app.services, &job_id, message).await })
                .await
        })
    }

    fn config(&self) -> Map<String, Value> {
        self.bound().map(|app| shown_config(app.config())).unwrap_or_default()
    }

    fn set_config(&self, options: Map<String, Value>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let names: Vec<_> = options.keys().map(String::as_str).collect();
            tracing::warn!(
                "Parse.Server was assigned: options are fixed while the server runs ({})",
                names.join(", ")
            );
            Ok(())
        })
    }
}

/// The options as code reads them from `Parse.Server`: those that were given, parse-server's defaults of the others,
/// and what became of some of them.
pub fn shown_config(config: &AppConfig) -> Map<String, Value> {
    let defaults = table::options().filter(|option| !option.ours);
    let mut all: Map<_, _> =
        defaults.filter_map(|option| Some((option.name.to_owned(), option.default_value()?))).collect();
    all.extend(config.given.expose().clone());
    let shown = json!({
        "appId": config.app_id,
        "applicationId": config.app_id,
        "appName": config.app_name,
        "masterKey": config.keys.master_key.value().map(|key| key.expose().clone()),
        "serverURL": config.http.server_url,
        "publicServerURL": config.http.public_server_url.as_ref().and_then(|url| url.value()),
        "mount": config.http.server_url,
        "mountPath": config.http.mount_path,
    });
    if let Value::Object(shown) = shown {
        all.extend(shown);
    }
    all
}

/// Runs on a worker.
async fn answer(app: Arc<App>, request: InternalRequest) -> Result<InternalResponse> {
    let InternalRequest { method, path, data, .. } = &request;
    let found = ROUTES.find(app.config(), *method, path);
    let cannot = || Error::invalid_json(format!("cannot route {} {path}", method.as_str()));
    let (route, params) = found.ok_or_else(cannot)??;
    let body = match data {
        Value::Object(body) => body.clone(),
        _ => Object::new(),
    };
    let ctx = gate::of_code(&app.services, &request).await?;
    let request = RestRequest { body, params, ..RestRequest::default() };
    let RestResponse { status, body, location, mut headers } = ROUTES.dispatch(route, ctx, request).await?;
    if let Some(location) = location {
        headers.push(("Location".to_owned(), location));
    }
    Ok(InternalResponse { status, body: body.into_payload()?, headers })
}

//! One application: everything behind it is started, made ready, let in and stopped here.

use std::net::TcpListener;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::waiting::Doorkeeper;
use super::{StartError, cloud, files, live_query, mail, push, storage};
use crate::actors::jobs::JobScheduler;
use crate::actors::principals::PrincipalRegistry;
use crate::actors::push_queue::PushQueue;
use crate::actors::rate_limit::RateLimiter;
use crate::actors::registry::ClassRegistry;
use crate::app::{App, AppState};
use crate::auth::AuthProviders;
use crate::auth::env::{ProviderEnv, SystemClock};
use crate::cloud::CallbackId;
use crate::cloud::node::Parent;
use crate::config::AppConfig;
use crate::logging::Presence;
use crate::operations::admin::{defined, hooks, security_check};
use crate::operations::classes::idempotency;
use crate::operations::seal::Seal;
use crate::operations::services::{Ports, Services, State};
use crate::outbound::{Outbound, Request, Settings};
use crate::pubsub::Notice;
use crate::rest::internal::{CloudServer, Workers};
use crate::types::app_scope::{self, AppNumber, carry};

/// How often request ids that ran out are removed.
const IDEMPOTENCY_SWEEP: Duration = Duration::from_secs(600);
/// How long the results of jobs may take to be stored once Cloud Code has ended.
const RESULTS_GRACE: Duration = Duration::from_secs(5);
const VERIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// Redirects that the check of the server URL follows.
const REDIRECTS: u8 = 10;

/// What is behind one application, in the order in which it was started.
pub struct Running {
    pub database: storage::Database,
    pub cloud: cloud::Cloud,
    pub app: Arc<App>,
    /// Runs the job schedules, from [`Running::serve`] on.
    jobs: Option<JobScheduler>,
    /// Sends pushes, from then on too.
    pushes: Option<PushQueue>,
}

/// Starts all applications, one after another; none is left running when one cannot be started. `listeners`: what
/// answers that the server is starting, while a database keeps silent.
///
/// # Errors
/// When something of one cannot be had.
pub async fn start_all(
    configs: &[Arc<AppConfig>],
    listeners: &[TcpListener],
    workers: &Workers,
    (outside, parent): (Settings, Option<Arc<Parent>>),
) -> Result<Vec<Running>, StartError> {
    let threads = super::worker_threads();
    let mut running = Vec::with_capacity(configs.len());
    let waits = configs.first().filter(|_| parent.is_none());
    let mut doorkeeper = waits.map(|config| Doorkeeper::new(listeners, config.clone()));
    let mut outcome = Ok(());
    for config in configs {
        let presence = Presence::new();
        let number = presence.number();
        let starting = async {
            let database = match &mut doorkeeper {
                Some(doorkeeper) => doorkeeper.open(config, threads).await?,
                None => storage::open(config, threads).await?,
            };
            let world = (outside.clone(), parent.clone());
            Running::start(config.clone(), database, workers, presence, world).await
        };
        match app_scope::within(Some(number), starting).await {
            Ok(started) => running.push(started),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    if let Some(doorkeeper) = &mut doorkeeper {
        doorkeeper.close().await;
    }
    if let Err(error) = outcome {
        for started in running {
            started.stop().await;
        }
        return Err(error);
    }
    Ok(running)
}

impl Running {
    /// By which logs tell the applications of a process apart.
    pub fn number(&self) -> AppNumber {
        self.app.services.state.presence.number()
    }

    /// # Errors
    /// When something of it cannot be had.
    pub async fn start(
        config: Arc<AppConfig>,
        database: storage::Database,
        workers: &Workers,
        presence: Presence,
        (outside, parent): (Settings, Option<Arc<Parent>>),
    ) -> Result<Self, StartError> {
        let adapter = database.adapter.clone();
        adapter.initialize().await.map_err(|error| storage::unusable(&error))?;
        let outbound = outbound(&config, outside)?;
        let pubsub = storage::pubsub(&config, &*adapter).map_err(StartError::new)?;
        let classes = ClassRegistry::start(adapter.clone(), pubsub.clone(), config.clone());
        let classes = classes.await.map_err(StartError::new)?;
        let server_api = CloudServer::new(workers.clone());
        let cloud = cloud::Cloud::launch(&config, server_api.clone(), outbound.clone(), parent)?;
        let files = files::open(&config, &*database.adapter, &cloud.engine, outbound.clone()).await?;
        let principals =
            PrincipalRegistry::start(adapter.clone(), pubsub.clone(), classes.clone(), config.clone());
        let env = ProviderEnv::new(outbound.clone(), Arc::new(SystemClock), Arc::new(Seal::new(&config)));
        let auth = Arc::new(AuthProviders::new(&config, &env).map_err(StartError::new)?);
        let mail = mail::open(&config, &cloud.engine)?;
        let push = push::open(&config, &outbound, &cloud.engine)?;
        let live = live_query::open(&config, &classes);
        let rate_limits =
            RateLimiter::start(config.clone(), cloud.engine.clone(), principals.clone(), classes.owners());
        let ports = Ports {
            storage: adapter,
            pubsub,
            outbound,
            classes,
            rate_limits,
            principals,
            events: live.events,
            cloud: cloud.engine.clone(),
            mail,
            push,
            auth,
            files,
        };
        let state = State::new(&config, presence);
        let services = Arc::new(Services { config: config.clone(), ports, state });
        hooks::publish(&services).await.map_err(StartError::new)?;
        if let Some(hub) = &live.hub {
            hub.attach(services.clone()).map_err(StartError::new)?;
        }
        let indexes = storage::startup_indexes(&config);
        let built = services.storage.ensure_small_indexes(&indexes, &services.auth.names()).await;
        built.map_err(|error| storage::unusable(&error))?;
        let app = App::new(services, live.hub);
        server_api.bind(&app);
        app.set_state(AppState::Starting);
        Ok(Self { database, cloud, app, jobs: None, pushes: None })
    }

    /// All that comes before the first request: the code of the application, and before that defined schemas, whose
    /// callbacks may call the server.
    ///
    /// # Errors
    /// When the code of the application, or a defined schema, stops the start.
    pub async fn prepare(&self) -> Result<(), StartError> {
        self.cloud.ready().await?;
        if self.app.config().schema.defined.is_none() {
            return Ok(());
        }
        let in_production = std::env::var("NODE_ENV").is_ok_and(|name| name == "production");
        defined::run(&self.app.services, in_production).await.map_err(StartError::new)?;
        self.cloud.load_code().await
    }

    /// Requests are let in; what may take its time is done beside them.
    pub fn serve(&mut self) {
        let config = self.app.config().clone();
        self.app.set_state(AppState::Ok);
        self.jobs = JobScheduler::start(&self.app.services);
        let adapter = self.app.services.push.clone().filter(|_| push::sends(&config));
        let keeps = self.app.services.storage.push_ledger().is_some();
        self.pushes = adapter.filter(|_| keeps).map(|adapter| PushQueue::start(&self.app.services, adapter));
        if config.security.enable_check && config.security.enable_check_log {
            let services = self.app.services.clone();
            actix_web::rt::spawn(carry(async move { security_check::log(&services).await }));
        }
        tracing::info!(
            "[{}] Parsimony serves {} on {}",
            std::process::id(),
            config.app_id,
            config.http.server_url
        );
        if let Some(id) = config.http.server_start_complete
            && let Ok(id) = u32::try_from(id.0)
        {
            let engine = self.cloud.engine.clone();
            actix_web::rt::spawn(carry(async move {
                if let Err(error) = engine.call_callback(CallbackId(id), Vec::new()).await {
                    tracing::error!(%error, "serverStartComplete failed: {error}");
                }
            }));
        }
        if config.http.verify_server_url && config.http.port != 0 {
            actix_web::rt::spawn(carry(verify_server_url(
                self.app.services.outbound.clone(),
                config.http.server_url.clone(),
            )));
        }
        actix_web::rt::spawn(carry(hear_of_hooks(Arc::downgrade(&self.app.services))));
        if !config.idempotency.paths.is_empty() {
            actix_web::rt::spawn(carry(forget_request_ids(Arc::downgrade(&self.app.services))));
        }
        let adapter = self.database.adapter.clone();
        let auth = self.app.services.auth.clone();
        actix_web::rt::spawn(carry(async move {
            let indexes = storage::startup_indexes(&config);
            let providers = auth.names();
            if let Err(error) = adapter.ensure_indexes(&indexes, &providers).await {
                tracing::error!(%error, "An index of a system class could not be made: {error}");
            }
        }));
    }

    /// In the order opposite to the start.
    pub async fn stop(self) {
        if let Some(id) = self.app.config().http.server_close_complete
            && let Ok(id) = u32::try_from(id.0)
            && let Err(error) = self.cloud.engine.call_callback(CallbackId(id), Vec::new()).await
        {
            tracing::error!(%error, "serverCloseComplete failed: {error}");
        }
        if let Some(jobs) = &self.jobs {
            jobs.stop().await;
        }
        if let Some(pushes) = &self.pushes {
            pushes.stop().await;
        }
        self.cloud.engine.shutdown().await;
        if tokio::time::timeout(RESULTS_GRACE, self.app.services.state.jobs.ended()).await.is_err() {
            tracing::warn!("The results of some jobs could not be stored.");
        }
        self.app.services.pubsub.close();
        self.database.close().await;
    }
}

/// Webhooks that another server changed.
async fn hear_of_hooks(services: Weak<Services>) {
    use tokio::sync::broadcast::error::RecvError;
    let Some(mut notices) = services.upgrade().map(|services| services.pubsub.notices()) else { return };
    loop {
        match notices.recv().await {
            Ok(Notice::Other { channel, .. }) if channel == hooks::CHANNEL => {}
            Ok(Notice::Lost) | Err(RecvError::Lagged(_)) => {}
            Ok(_) => continue,
            Err(RecvError::Closed) => return,
        }
        let Some(services) = services.upgrade() else { return };
        if let Err(error) = hooks::publish(&services).await {
            tracing::warn!(%error, "could not read the hooks again after a notice");
        }
    }
}

/// PostgreSQL removes nothing by itself.
async fn forget_request_ids(services: Weak<Services>) {
    loop {
        let Some(known) = services.upgrade() else { return };
        if let Err(error) = idempotency::remove_expired(&known).await {
            tracing::warn!(%error, "could not remove request ids that ran out");
        }
        drop(known);
        tokio::time::sleep(IDEMPOTENCY_SWEEP).await;
    }
}

/// The way out, as the application's options open it.
///
/// # Errors
/// When the certificates that are trusted cannot be read.
pub fn outbound(config: &AppConfig, outside: Settings) -> Result<Arc<Outbound>, StartError> {
    let opened = config.http.outbound_allowed_networks.clone();
    Outbound::new(Settings { opened, ..outside }).map_err(StartError::new)
}

/// Option `verifyServerUrl`: Cloud Code and links depend on that URL leading here.
async fn verify_server_url(outbound: Arc<Outbound>, url: String) {
    let request = Request::get(&format!("{url}/health")).within(VERIFY_TIMEOUT).following(REDIRECTS);
    let answer = outbound.send(request).await;
    if !answer.is_ok_and(|answer| answer.status.is_success()) {
        tracing::warn!(
            "WARNING, Unable to connect to '{url}'. Cloud code and push notifications may be unavailable!"
        );
    }
}

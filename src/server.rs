//! The composition root: from configurations to a server that listens, and back down in good order. The
//! only file that sees every layer.
//!
//! Start: PostgreSQL (the private cluster where no `databaseURI` is given), schemas, actors, Cloud Code,
//! listener; indexes are built while requests are already served. Stop: no new connections, requests
//! under way finish, Cloud Code ends, pools close, the private cluster stops.

mod cloud;
mod dashboard;
mod describe;
mod figures;
mod files;
mod live_query;
mod mail;
mod maintenance;
mod migrate;
mod push;
mod storage;
mod waiting;

pub use self::cloud::JavaScriptConfig;

use std::fmt;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Weak};
use std::time::Duration;

use actix_web::dev::{Extensions, ServerHandle};
use actix_web::web;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use self::waiting::Doorkeeper;
use crate::actors::jobs::JobScheduler;
use crate::actors::principals::PrincipalRegistry;
use crate::actors::push_queue::PushQueue;
use crate::actors::rate_limit::RateLimiter;
use crate::actors::registry::ClassRegistry;
use crate::app::{App, AppRegistry, AppState};
use crate::auth::AuthProviders;
use crate::auth::env::{ProviderEnv, SystemClock};
use crate::cloud::CallbackId;
pub use crate::cloud::node::Parent;
use crate::config::{AppConfig, HttpLimits};
use crate::dashboard::Dashboard;
use crate::http::connections::Connections;
use crate::http::listen::Listening;
use crate::http::{self, Front};
use crate::logging::Presence;
use crate::operations::admin::{defined, security_check};
use crate::operations::seal::Seal;
use crate::operations::services::{Ports, Services, State};
use crate::outbound::{Outbound, Request, Settings};
use crate::pubsub::Notice;
use crate::rest::internal::{CloudServer, Workers};
use crate::sockets::tcp;
use crate::types::app_scope::{self, carry};

/// Requests under way for each worker, unless `httpLimits.maxRequests` says otherwise; more are refused (503).
const REQUESTS_PER_WORKER: u64 = 1024;
/// Most worker threads by default; beyond that the database is the limit.
const MOST_WORKERS: usize = 4;
/// Bounds of the time that the head of a request may take.
const SHORTEST_HEAD: Duration = Duration::from_secs(5);
const LONGEST_HEAD: Duration = Duration::from_secs(60);
/// How long requests under way may take after the server was told to stop.
const GRACE: Duration = Duration::from_secs(30);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// How often request ids that ran out are removed.
const IDEMPOTENCY_SWEEP: Duration = Duration::from_secs(600);
/// How long the results of jobs may take to be stored once Cloud Code has ended.
const RESULTS_GRACE: Duration = Duration::from_secs(5);
const VERIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// Redirects that the check of the server URL follows.
const REDIRECTS: u8 = 10;

/// Why a server did not start: one line for the operator.
#[derive(Debug)]
pub struct StartError {
    message: String,
    /// The port was taken: parse-server ends with exit code 0 then.
    pub port_in_use: bool,
}

impl StartError {
    fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), port_in_use: false }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StartError {}

/// A server that listens.
pub struct Server {
    addresses: Vec<SocketAddr>,
    handle: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
    front: web::Data<Front>,
    dashboard: Option<Arc<Dashboard>>,
    running: Vec<Running>,
}

/// What is behind one application, in the order in which it was started.
struct Running {
    database: storage::Database,
    cloud: cloud::Cloud,
    app: Arc<App>,
    /// Runs the job schedules, from [`Running::serve`] on.
    jobs: Option<JobScheduler>,
    /// Sends pushes, from then on too.
    pushes: Option<PushQueue>,
}

/// Runs the server until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start; nothing is left running then.
pub fn run(configs: Vec<AppConfig>) -> Result<(), StartError> {
    actix_web::rt::System::new().block_on(async {
        let server = Server::start(configs).await?;
        stop_signal().await?;
        tracing::info!("Stopping: no new connections, requests under way finish.");
        server.stop().await;
        Ok(())
    })
}

/// Runs the server for the process that embeds it, until that process is gone or asks it to go. It listens on
/// that process's socket alone. Signals are for that process, which takes its time to end.
///
/// # Errors
/// As [`run`].
pub fn run_embedded(config: AppConfig, parent: Parent) -> Result<(), StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    actix_web::rt::System::new().block_on(async {
        let parent = Arc::new(parent);
        // Held, so that they do not end this process.
        let _signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        let started = Server::start_embedded(config, parent.clone()).await;
        let outcome = match started {
            Ok(server) => {
                parent.over().await;
                tracing::info!("Stopping: the application is gone, or lets the server go.");
                server.stop().await;
                Ok(())
            }
            Err(error) => Err(error),
        };
        parent.clean_up();
        outcome
    })
}

pub use describe::describe;
pub use maintenance::maintain_files;
pub use migrate::migrate;

async fn stop_signal() -> Result<(), StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::new)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::new)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

impl Server {
    /// Starts on the current actix system. All applications share the listeners of their hosts and
    /// ports; port 0 takes a free one.
    ///
    /// # Errors
    /// When a database cannot be reached or a port is taken.
    pub async fn start(configs: Vec<AppConfig>) -> Result<Self, StartError> {
        Self::start_within(configs, Settings::default()).await
    }

    /// As [`Self::start`], with another world outside: whom to trust and how to get there. For tests.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_within(configs: Vec<AppConfig>, outside: Settings) -> Result<Self, StartError> {
        Self::open(configs, outside, None).await
    }

    /// As [`Self::start`], for the process that embeds the server. A database that keeps silent is an error.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_embedded(config: AppConfig, parent: Arc<Parent>) -> Result<Self, StartError> {
        Self::open(vec![config], Settings::default(), Some(parent)).await
    }

    async fn open(
        configs: Vec<AppConfig>,
        outside: Settings,
        parent: Option<Arc<Parent>>,
    ) -> Result<Self, StartError> {
        // Another part of this process may have installed it; there is one kind only.
        crate::tls::install_provider();
        let workers = Workers::default();
        let threads = worker_threads();
        let mut running = Vec::with_capacity(configs.len());
        let mut binds: Vec<(String, u16)> = Vec::new();
        for config in configs.iter().filter(|_| parent.is_none()) {
            let bind = (config.http.host.clone(), config.http.port);
            // Live queries may have a port of their own beside the API's.
            let sockets = config.live_query_server.port.filter(|_| config.live_query_server.enabled);
            for bind in
                [Some(bind), sockets.map(|port| (config.http.host.clone(), port))].into_iter().flatten()
            {
                if !binds.contains(&bind) {
                    binds.push(bind);
                }
            }
        }
        // First of all: a port that is taken is known before anything is started.
        let mut listeners = Vec::new();
        for (host, port) in &binds {
            listeners.extend(listen(host, *port)?);
        }
        let private = parent.as_ref().map(|parent| UnixListener::bind(parent.socket())).transpose();
        let private = private.map_err(StartError::new)?;
        let metrics_listeners = figures::listen(&configs)?;
        let configs: Vec<_> = configs.into_iter().map(Arc::new).collect();
        let waits = configs.first().filter(|_| parent.is_none());
        let mut doorkeeper = waits.map(|config| Doorkeeper::new(&listeners, config.clone()));
        for config in &configs {
            let presence = Presence::new();
            let number = presence.number();
            let starting = async {
                let database = match &mut doorkeeper {
                    Some(doorkeeper) => doorkeeper.open(config, threads).await?,
                    None => storage::open(config, threads).await?,
                };
                let world = (outside.clone(), parent.clone());
                Running::start(config.clone(), database, &workers, presence, world).await
            };
            match app_scope::within(Some(number), starting).await {
                Ok(started) => running.push(started),
                Err(error) => {
                    if let Some(doorkeeper) = &mut doorkeeper {
                        doorkeeper.close().await;
                    }
                    for started in running {
                        started.stop().await;
                    }
                    return Err(error);
                }
            }
        }
        if let Some(doorkeeper) = &mut doorkeeper {
            doorkeeper.close().await;
        }
        let registry = AppRegistry::new(running.iter().map(|running| running.app.clone()).collect());
        let limits = widest(running.iter().map(|running| running.app.config().http.limits));
        let proxies = running.iter().map(|running| running.app.config().http.trust_proxy.clone()).collect();
        let connections = Connections::new(&limits, proxies);
        let capacity = limits.max_requests.unwrap_or(REQUESTS_PER_WORKER * threads as u64);
        let capacity = u32::try_from(capacity).unwrap_or(u32::MAX >> 3);
        let mut front = Front::new(registry, capacity, &limits);
        let dashboard = dashboard::start(&configs, &cloud::node_modules(), bound(&listeners));
        front.set_dashboard(dashboard.clone());
        front.set_figures(figures::of_process(&running, &connections));
        let front = web::Data::new(front);
        figures::serve_alone(metrics_listeners, &front)?;
        let adapters: Vec<_> = running.iter().map(|running| running.database.adapter.clone()).collect();
        let lanes = workers.clone();
        let takes_sockets = front
            .registry
            .iter()
            .any(|app| app.live_queries.is_some() && app.config().live_query_server.enabled);
        let started = move || {
            lanes.join();
            for adapter in &adapters {
                adapter.register_thread();
            }
        };
        let connected = move |socket: &TcpStream, data: &mut Extensions| {
            connections.admit(socket, data);
            if takes_sockets {
                tcp::note(socket, data);
            }
        };
        // A connection that clients open ahead of need and leave idle is not to be answered with a 408 soon.
        let head = limits.patience.clamp(SHORTEST_HEAD, LONGEST_HEAD);
        let settings = Listening { threads, head, grace: GRACE };
        let (server, addresses) =
            http::listen::run((listeners, private), &settings, &front, started, connected)
                .map_err(StartError::new)?;
        let handle = server.handle();
        let serving = actix_web::rt::spawn(server);
        let mut server = Self { addresses, handle, serving, front, dashboard, running };
        for running in &server.running {
            let number = running.app.services.state.presence.number();
            if let Err(error) = app_scope::within(Some(number), running.prepare()).await {
                server.stop().await;
                return Err(error);
            }
        }
        for running in &mut server.running {
            let number = running.app.services.state.presence.number();
            app_scope::within_now(Some(number), || running.serve());
            running.cloud.listening();
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The applications, for tests and for those who embed the server.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.running.iter().map(|running| &running.app)
    }

    /// Stops in good order.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        if let Some(dashboard) = &self.dashboard {
            dashboard.stop().await;
        }
        // Writes whose clients went away are no connections any more, but they finish too.
        if tokio::time::timeout(GRACE, self.front.drained()).await.is_err() {
            tracing::warn!("Some requests did not finish in time.");
        }
        match self.serving.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the listener ended with an error"),
            Err(error) => tracing::error!(%error, "the listener panicked"),
        }
        for running in self.running {
            running.stop().await;
        }
    }
}

impl Running {
    async fn start(
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
        crate::operations::admin::hooks::publish(&services).await.map_err(StartError::new)?;
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
    async fn prepare(&self) -> Result<(), StartError> {
        self.cloud.ready().await?;
        if self.app.config().schema.defined.is_none() {
            return Ok(());
        }
        let in_production = std::env::var("NODE_ENV").is_ok_and(|name| name == "production");
        defined::run(&self.app.services, in_production).await.map_err(StartError::new)?;
        self.cloud.load_code().await
    }

    /// Requests are let in; what may take its time is done beside them.
    fn serve(&mut self) {
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

    async fn stop(self) {
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
            Ok(Notice::Other { channel, .. }) if channel == crate::operations::admin::hooks::CHANNEL => {}
            Ok(Notice::Lost) | Err(RecvError::Lagged(_)) => {}
            Ok(_) => continue,
            Err(RecvError::Closed) => return,
        }
        let Some(services) = services.upgrade() else { return };
        if let Err(error) = crate::operations::admin::hooks::publish(&services).await {
            tracing::warn!(%error, "could not read the hooks again after a notice");
        }
    }
}

/// PostgreSQL removes nothing by itself.
async fn forget_request_ids(services: Weak<Services>) {
    loop {
        let Some(known) = services.upgrade() else { return };
        if let Err(error) = crate::operations::classes::idempotency::remove_expired(&known).await {
            tracing::warn!(%error, "could not remove request ids that ran out");
        }
        drop(known);
        tokio::time::sleep(IDEMPOTENCY_SWEEP).await;
    }
}

/// The way out, as the application's options open it.
pub(crate) fn outbound(config: &AppConfig, outside: Settings) -> Result<Arc<Outbound>, StartError> {
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

/// Applications share the listeners, and so the most generous of their limits.
fn widest(mut limits: impl Iterator<Item = HttpLimits>) -> HttpLimits {
    let first = limits.next().unwrap_or(HttpLimits::NONE);
    let more = |a: Option<u64>, b: Option<u64>| Some(a?.max(b?));
    limits.fold(first, |a, b| HttpLimits {
        max_connections: more(a.max_connections, b.max_connections),
        max_connections_per_address: more(a.max_connections_per_address, b.max_connections_per_address),
        max_requests: a.max_requests.max(b.max_requests),
        minimum_rate: a.minimum_rate.min(b.minimum_rate),
        patience: a.patience.max(b.patience),
        body_memory: a.body_memory.max(b.body_memory),
        answer_memory: a.answer_memory.max(b.answer_memory),
    })
}

/// The port of the first listener, which is the API's.
fn bound(listeners: &[TcpListener]) -> u16 {
    let first = listeners.first().and_then(|listener| listener.local_addr().ok());
    first.map_or(0, |address| address.port())
}

fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(MOST_WORKERS)
}

/// Listens on every address of the host that can be had.
fn listen(host: &str, port: u16) -> Result<Vec<TcpListener>, StartError> {
    let addresses = (host, port).to_socket_addrs().map_err(|error| bind_error(port, &error))?;
    let mut listeners = Vec::new();
    let mut refused = None;
    for address in addresses {
        match bind(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if listeners.is_empty() => Err(bind_error(port, &error)),
        _ => Ok(listeners),
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart finds its port although old connections linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

fn bind_error(port: u16, error: &std::io::Error) -> StartError {
    if error.kind() == std::io::ErrorKind::AddrInUse {
        let message = format!("Unable to listen on port {port}. The port is already in use.");
        return StartError { message, port_in_use: true };
    }
    StartError::new(format!("Unable to listen on port {port}: {error}. Choose another host or port."))
}

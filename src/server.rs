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
mod listen;
mod live_query;
mod mail;
mod maintenance;
mod migrate;
mod push;
mod running;
mod storage;
mod waiting;

pub use self::cloud::JavaScriptConfig;

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Extensions, ServerHandle};
use actix_web::web;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use self::running::Running;
use crate::app::{App, AppRegistry};
pub use crate::cloud::node::Parent;
use crate::config::{AppConfig, HttpLimits};
use crate::dashboard::Dashboard;
use crate::http::connections::Connections;
use crate::http::listen::Listening;
use crate::http::{self, Front};
use crate::outbound::Settings;
use crate::rest::internal::Workers;
use crate::sockets::tcp;
use crate::types::app_scope;

/// Requests under way for each worker, unless `httpLimits.maxRequests` says otherwise; more are refused (503).
const REQUESTS_PER_WORKER: u64 = 1024;
/// Most worker threads by default; beyond that the database is the limit.
const MOST_WORKERS: usize = 4;
/// Bounds of the time that the head of a request may take.
const SHORTEST_HEAD: Duration = Duration::from_secs(5);
const LONGEST_HEAD: Duration = Duration::from_secs(60);
/// How long requests under way may take after the server was told to stop.
const GRACE: Duration = Duration::from_secs(30);

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
        // First of all: a port that is taken is known before anything is started.
        let listeners = if parent.is_none() { listen::all(&configs)? } else { Vec::new() };
        let private = parent.as_ref().map(|parent| UnixListener::bind(parent.socket())).transpose();
        let private = private.map_err(StartError::new)?;
        let metrics_listeners = figures::listen(&configs)?;
        let configs: Vec<_> = configs.into_iter().map(Arc::new).collect();
        let running = running::start_all(&configs, &listeners, &workers, (outside, parent)).await?;
        let port = listen::port(&listeners);
        let dashboard = dashboard::start(&configs, &cloud::node_modules(), port);
        let server = Self::serve(running, dashboard, workers, (listeners, private), metrics_listeners)?;
        server.prepared().await
    }

    /// Listens for all applications; requests wait until their application is ready.
    fn serve(
        running: Vec<Running>,
        dashboard: Option<Arc<Dashboard>>,
        workers: Workers,
        listeners: (Vec<TcpListener>, Option<UnixListener>),
        metrics_listeners: Vec<TcpListener>,
    ) -> Result<Self, StartError> {
        let threads = worker_threads();
        let registry = AppRegistry::new(running.iter().map(|running| running.app.clone()).collect());
        let limits = widest(running.iter().map(|running| running.app.config().http.limits));
        let proxies = running.iter().map(|running| running.app.config().http.trust_proxy.clone()).collect();
        let connections = Connections::new(&limits, proxies);
        let capacity = limits.max_requests.unwrap_or(REQUESTS_PER_WORKER * threads as u64);
        let capacity = u32::try_from(capacity).unwrap_or(u32::MAX >> 3);
        let mut front = Front::new(registry, capacity, &limits);
        front.set_dashboard(dashboard.clone());
        front.set_figures(figures::of_process(&running, &connections));
        let front = web::Data::new(front);
        figures::serve_alone(metrics_listeners, &front)?;
        let adapters: Vec<_> = running.iter().map(|running| running.database.adapter.clone()).collect();
        let takes_sockets = front
            .registry
            .iter()
            .any(|app| app.live_queries.is_some() && app.config().live_query_server.enabled);
        let started = move || {
            workers.join();
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
            http::listen::run(listeners, &settings, &front, started, connected).map_err(StartError::new)?;
        let handle = server.handle();
        let serving = actix_web::rt::spawn(server);
        Ok(Self { addresses, handle, serving, front, dashboard, running })
    }

    /// Once the code of every application is loaded, all let requests in.
    async fn prepared(mut self) -> Result<Self, StartError> {
        for running in &self.running {
            if let Err(error) = app_scope::within(Some(running.number()), running.prepare()).await {
                self.stop().await;
                return Err(error);
            }
        }
        for running in &mut self.running {
            app_scope::within_now(Some(running.number()), || running.serve());
            running.cloud.listening();
        }
        Ok(self)
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

fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(MOST_WORKERS)
}

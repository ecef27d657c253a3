//! Parse Dashboard, the npm package, as a process of this server (option `dashboard`).
//!
//! It gets its configuration, keys included, through its standard input, listens on a socket in a folder that nobody
//! else can enter, has a memory limit and no environment but the path to programs. When it ends it is started again,
//! later each time. `http` hands requests below its path to the socket; `server` starts and stops it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::distr::Alphanumeric;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};

use crate::config::{DashboardConfig, Secret};
use crate::metrics::Page;
use crate::types::app_scope::carry;
use crate::types::time::Millis;

const HOST: &str = include_str!("host.cjs");
/// The npm package.
pub const PACKAGE: &str = "parse-dashboard";
/// A start that takes longer has failed.
const START: Duration = Duration::from_secs(60);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// After living this long, an end counts as the first again.
const STABLE: Duration = Duration::from_secs(60);
/// How long the link that signs in is good for.
const LINK: Duration = Duration::from_secs(15 * 60);
const LONGEST_LINE: u64 = 4096;
/// A Unix socket's path has to fit into 108 bytes, its end included.
const MAX_SOCKET_PATH: usize = 107;
/// Variables that the process gets of ours.
const VARIABLES: &[&str] = &["PATH", "HOME", "LANG", "TZ", "TMPDIR", "NODE_EXTRA_CA_CERTS"];

/// What the process is started with.
pub struct Launch {
    pub config: DashboardConfig,
    /// The folder of the npm package.
    pub package: PathBuf,
    /// The applications, as the dashboard's configuration has them, keys included.
    pub apps: Secret<Vec<Value>>,
    /// Where a browser on this machine finds the server.
    pub url: String,
}

/// The process, as long as it is not stopped.
pub struct Dashboard {
    launch: Launch,
    folder: Folder,
    /// Whether it takes requests.
    ready: watch::Sender<bool>,
    stopped: watch::Sender<bool>,
    restarts: AtomicU64,
    /// Signs its cookies.
    secret: Secret<String>,
}

/// Removed with everything in it.
struct Folder(PathBuf);

impl Folder {
    fn create() -> io::Result<Self> {
        let name = format!("parsimony-dashboard-{:016x}", rand::random::<u64>());
        let mut folder = std::env::temp_dir().join(&name);
        if folder.join("socket").as_os_str().len() > MAX_SOCKET_PATH {
            folder = Path::new("/tmp").join(&name);
        }
        DirBuilder::new().mode(0o700).create(&folder)?;
        let folder = Self(folder);
        fs::write(folder.program(), HOST)?;
        Ok(folder)
    }

    fn program(&self) -> PathBuf {
        self.0.join("host.cjs")
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }

    fn remove(&self) {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::debug!(%error, "cannot remove the folder of the dashboard");
            }
            _ => {}
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The folder of the npm package in one of these folders of modules.
pub fn find_package(node_modules: &[PathBuf]) -> Option<PathBuf> {
    let candidates = node_modules.iter().map(|folder| folder.join(PACKAGE));
    candidates.into_iter().find(|folder| folder.join("package.json").is_file())
}

impl Dashboard {
    /// Starts it and watches over it, on the current runtime.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn start(launch: Launch) -> io::Result<Arc<Self>> {
        let given = launch.config.cookie_session_secret.clone();
        let secret = given.unwrap_or_else(|| Secret::new(random_text(64)));
        let dashboard = Arc::new(Self {
            launch,
            folder: Folder::create()?,
            ready: watch::Sender::new(false),
            stopped: watch::Sender::new(false),
            restarts: AtomicU64::new(0),
            secret,
        });
        tokio::spawn(carry(dashboard.clone().keep()));
        Ok(dashboard)
    }

    /// Path under which it is served, without a slash at the end.
    pub fn mount(&self) -> &str {
        &self.launch.config.path
    }

    pub fn config(&self) -> &DashboardConfig {
        &self.launch.config
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.socket()
    }

    /// Waits until it takes requests; `false` when it does not in this time.
    pub async fn ready(&self, patience: Duration) -> bool {
        let mut ready = self.ready.subscribe();
        let waited = tokio::time::timeout(patience, ready.wait_for(|ready| *ready)).await;
        waited.is_ok_and(|ready| ready.is_ok())
    }

    /// Ends it, and waits for its end.
    pub async fn stop(&self) {
        self.stopped.send_replace(true);
        let mut ready = self.ready.subscribe();
        let ended = ready.wait_for(|ready| !ready);
        if tokio::time::timeout(Duration::from_secs(5), ended).await.is_err() {
            tracing::warn!("The dashboard did not end in time.");
        }
        // A process may end without dropping everything.
        self.folder.remove();
    }

    pub fn report(&self, page: &mut Page) {
        let up = f64::from(*self.ready.borrow());
        page.gauge("parsimony_dashboard_up", "Whether Parse Dashboard takes requests.", &[], up);
        let help = "How often Parse Dashboard ended and was started again.";
        let restarts = self.restarts.load(Ordering::Relaxed);
        page.counter("parsimony_dashboard_restarts_total", help, &[], restarts);
    }

    async fn keep(self: Arc<Self>) {
        let mut stopped = self.stopped.subscribe();
        let mut backoff = Duration::ZERO;
        loop {
            let born = Instant::now();
            let outcome = tokio::select! {
                outcome = self.run() => outcome,
                _ = stopped.wait_for(|stopped| *stopped) => {
                    self.ready.send_replace(false);
                    return;
                }
            };
            self.ready.send_replace(false);
            let why = outcome.unwrap_or_else(|error| error.to_string());
            if born.elapsed() > STABLE {
                backoff = Duration::ZERO;
            }
            backoff = (backoff * 2).clamp(FIRST_BACKOFF, MAX_BACKOFF);
            self.restarts.fetch_add(1, Ordering::Relaxed);
            let delay_ms = backoff.as_millis() as u64;
            tracing::error!(delay_ms, "Parse Dashboard ended ({why}); starting it again in {delay_ms} ms");
            tokio::select! {
                () = tokio::time::sleep(backoff) => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
        }
    }

    /// One life of the process: how it ended. Dropping the future kills it.
    async fn run(&self) -> io::Result<String> {
        // Left by the one before.
        match fs::remove_file(self.folder.socket()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let link = self.launch.config.users.is_none().then(|| random_text(40));
        let mut child = self.spawn()?;
        let (Some(mut input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("it has no input or output"));
        };
        let mut text = self.input(link.as_deref()).to_string();
        text.push('\n');
        input.write_all(text.as_bytes()).await?;
        let (up, came_up) = oneshot::channel();
        tokio::spawn(carry(log_lines(errors, false, None)));
        tokio::spawn(carry(log_lines(output, true, Some(up))));
        let came_up = tokio::select! {
            status = child.wait() => return Ok(status?.to_string()),
            up = tokio::time::timeout(START, came_up) => up.is_ok_and(|up| up.is_ok()),
        };
        if !came_up {
            child.kill().await?;
            return Ok(format!("it was not ready after {} s", START.as_secs()));
        }
        self.ready.send_replace(true);
        let url = format!("{}{}", self.launch.url, self.mount());
        match link {
            Some(token) => {
                tracing::info!(
                    "Parse Dashboard is on {url}; this link signs in once, within 15 minutes: {url}/?signin={token}"
                );
            }
            None => tracing::info!("Parse Dashboard is on {url}"),
        }
        // Its end is the end of the process, so it is held as long.
        let status = child.wait().await;
        drop(input);
        Ok(status?.to_string())
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut command = Command::new("node");
        command
            .arg(format!("--max-old-space-size={}", self.launch.config.memory_limit_mb))
            .arg(self.folder.program())
            .current_dir(&self.folder.0)
            .env_clear()
            .envs(VARIABLES.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))))
            // The package asks npm's registry for newer versions of itself; nobody told it to go outside.
            .env("npm_config_registry", "http://127.0.0.1:9/")
            .env("NODE_ENV", "production")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command.spawn()
    }

    /// What the process reads.
    fn input(&self, link: Option<&str>) -> Value {
        let config = &self.launch.config;
        let agent = config.agent.as_ref().map(|agent| agent.expose().clone());
        let users = match &config.users {
            Some(users) => users.expose().clone(),
            // Nobody knows the password: the link is the only way in.
            None => vec![json!({ "user": "developer", "pass": random_text(64) })],
        };
        // Its own folder is not the server's.
        let icons =
            config.icons_folder.as_ref().map(|folder| std::path::absolute(folder).unwrap_or(folder.clone()));
        let data = json!({
            "apps": self.launch.apps.expose(),
            "users": users,
            "useEncryptedPasswords": config.use_encrypted_passwords,
            "iconsFolder": icons,
            "enableResourceCache": config.enable_resource_cache,
            "agent": agent,
        });
        let expires_at = Millis::now().0.saturating_add(LINK.as_millis() as i64);
        json!({
            "socket": self.folder.socket(),
            "module": self.launch.package,
            "mount": config.path,
            "config": data,
            "options": { "cookieSessionMaxAge": config.cookie_session_max_age },
            "secret": self.secret.expose(),
            "link": link.map(|token| json!({ "token": token, "expiresAt": expires_at })),
        })
    }
}

/// Lines of the process, into the log; the first word of its output, that it is ready, to whoever waits for it.
async fn log_lines(from: impl AsyncRead + Unpin, is_output: bool, mut up: Option<oneshot::Sender<()>>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut from).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text == "ready"
            && let Some(up) = up.take()
        {
            // Nobody waits any more when it took too long.
            let _ = up.send(());
        } else if is_output && !text.is_empty() {
            tracing::info!("Parse Dashboard: {text}");
        } else if !text.is_empty() {
            tracing::warn!("Parse Dashboard: {text}");
        }
    }
}

fn random_text(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

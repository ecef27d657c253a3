//! Starts host processes: the socket they connect to, the process itself, its output.

use std::collections::HashMap;
use std::io;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::NodeOptions;
use super::host::{Host, HostEvents, Process, Running};
use super::journal::{FILE_SIZE, Journal};
use super::parent::Parent;
use super::protocol::{Alive, FrameKind, Hello, Reason, next_frame};
use super::workspace::Workspace;

use crate::types::app_scope::carry;

/// The oldest Node.js whose module hooks and stable APIs the host program needs.
const MIN_NODE: u32 = 20;
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked whether a host's watchdog was heard of; `host/watchdog.cjs` tells as often.
const LOOK: Duration = Duration::from_secs(1);
/// Looks without a word beyond those in which the watchdog itself would have given the host up.
const MISSED: u32 = 3;
/// A line of output longer than this is cut into several.
const MAX_LINE: usize = 64 * 1024;

type Arrival = (UnixStream, Hello);

#[derive(Debug, Default)]
struct Known {
    arrivals: HashMap<u32, oneshot::Sender<Arrival>>,
    hosts: HashMap<u32, Weak<Host>>,
}

/// What hosts of one pool share: a folder and a listening socket.
#[derive(Debug)]
pub struct Launcher {
    origin: Origin,
    next_host: AtomicU32,
}

/// Where hosts come from.
#[derive(Debug)]
enum Origin {
    Started { workspace: Workspace, known: Arc<Mutex<Known>>, acceptor: JoinHandle<()> },
    Attached(Arc<Parent>),
}

/// Why no host could be started. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error(
        "Cloud Code needs Node.js {MIN_NODE} or newer, and `{0}` was not found on PATH. \
         Install Node.js, or name its binary."
    )]
    NoNode(String),
    #[error("Cloud Code needs Node.js {MIN_NODE} or newer, `{0}` is {1}.")]
    OldNode(String, String),
    #[error("Cloud Code could not be loaded: {0}")]
    Failed(String),
    #[error("Cloud Code host: {0}")]
    Io(#[from] io::Error),
}

impl Launcher {
    /// Hosts are processes of the server's own, or the one that is attached.
    pub fn new(parent: Option<Arc<Parent>>) -> Result<Self, LaunchError> {
        let origin = match parent {
            Some(parent) => Origin::Attached(parent),
            None => Self::own()?,
        };
        Ok(Self { origin, next_host: AtomicU32::new(1) })
    }

    fn own() -> Result<Origin, LaunchError> {
        let workspace = Workspace::create()?;
        let listener = UnixListener::bind(workspace.socket())?;
        let known = Arc::new(Mutex::new(Known::default()));
        let acceptor = tokio::spawn(carry(accept(listener, known.clone())));
        Ok(Origin::Started { workspace, known, acceptor })
    }

    /// Takes no more hosts and removes their folder.
    pub fn close(&self) {
        if let Origin::Started { workspace, acceptor, .. } = &self.origin {
            acceptor.abort();
            workspace.remove();
        }
    }

    /// Starts a host and waits until it has loaded the application. Answers its first summary.
    pub async fn launch(
        &self,
        options: &NodeOptions,
        mut init: Map<String, Value>,
        events: Arc<dyn HostEvents>,
    ) -> Result<(Running, Bytes), LaunchError> {
        let id = self.next_host.fetch_add(1, Ordering::Relaxed);
        let (mut process, stream, hello) = match &self.origin {
            Origin::Started { workspace, known, .. } => {
                let (arrived, arrival) = oneshot::channel();
                lock(known).arrivals.insert(id, arrived);
                let launched = connect(workspace, id, options, arrival).await;
                lock(known).arrivals.remove(&id);
                let (child, stream, hello) = launched?;
                (Process::Child(child), stream, hello)
            }
            Origin::Attached(parent) => (Process::Parent, parent.take()?, parent.hello()),
        };
        if hello.major() < MIN_NODE {
            let _ = process.kill().await;
            return Err(LaunchError::OldNode(options.node.clone(), hello.version));
        }
        let journal = match &self.origin {
            Origin::Started { workspace, .. } => Journal::new(workspace.create_journal(id, FILE_SIZE)?),
            Origin::Attached(_) => Journal::none(),
        };
        init.insert("journal".into(), json!(journal.path()));
        let init = serde_json::to_vec(&init).map_err(io::Error::from)?;
        let (running, start) = Running::new(id, process, stream, journal, &init, events);
        if let Origin::Started { known, .. } = &self.origin {
            lock(known).hosts.insert(id, Arc::downgrade(&running.host));
        }
        let failure = match tokio::time::timeout(options.start_timeout, start).await {
            Ok(Ok(Ok(summary))) => return Ok((running, summary)),
            Ok(Ok(Err(reason))) => reason,
            Ok(Err(_)) => {
                let end = running.run().await;
                return Err(LaunchError::Failed(format!("the host did not get through it, {}", end.reason)));
            }
            Err(_) => format!("it took longer than {} s", options.start_timeout.as_secs()),
        };
        running.host.kill("it could not load Cloud Code");
        running.run().await;
        Err(LaunchError::Failed(failure))
    }
}

async fn connect(
    workspace: &Workspace,
    id: u32,
    options: &NodeOptions,
    arrival: oneshot::Receiver<Arrival>,
) -> Result<(Child, UnixStream, Hello), LaunchError> {
    let mut child = spawn(workspace, id, options)?;
    let connected = tokio::time::timeout(options.start_timeout, async {
        tokio::select! {
            arrival = arrival => Ok(arrival.ok()),
            status = child.wait() => Err(status),
        }
    })
    .await;
    match connected {
        Ok(Ok(Some((stream, hello)))) => Ok((child, stream, hello)),
        Ok(Err(status)) => {
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            Err(LaunchError::Failed(format!("{} ended at once ({status})", options.node)))
        }
        Ok(Ok(None)) | Err(_) => {
            let _ = child.kill().await;
            Err(LaunchError::Failed(format!("{} did not connect", options.node)))
        }
    }
}

fn spawn(workspace: &Workspace, id: u32, options: &NodeOptions) -> Result<Child, LaunchError> {
    let mut command = Command::new(&options.node);
    if let Some(limit) = options.memory_limit_mb {
        command.arg(format!("--max-old-space-size={limit}"));
    }
    command
        .args(&options.node_args)
        .arg(workspace.program())
        .arg(workspace.socket())
        .arg(id.to_string())
        .envs(options.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        // Ctrl-C in a terminal is for the server, which lets its hosts end their work.
        .process_group(0);
    if let Some(directory) = &options.working_directory {
        command.current_dir(directory);
    }
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => LaunchError::NoNode(options.node.clone()),
        _ => LaunchError::Io(error),
    })?;
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(carry(copy_output(stdout, |line| {
            tracing::info!(target: "parsimony::cloud::stdout", "{line}");
        })));
    }
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(carry(copy_output(stderr, |line| {
            tracing::warn!(target: "parsimony::cloud::stderr", "{line}");
        })));
    }
    Ok(child)
}

impl Drop for Launcher {
    fn drop(&mut self) {
        if let Origin::Started { acceptor, .. } = &self.origin {
            acceptor.abort();
        }
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: UnixListener, known: Arc<Mutex<Known>>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let known = known.clone();
                tokio::spawn(async move {
                    // Whoever does not introduce itself in time is dropped.
                    let introduced = tokio::time::timeout(HELLO_TIMEOUT, introduce(stream, &known)).await;
                    if let Ok(Some(pulse)) = introduced {
                        pulse.watch().await;
                    }
                });
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept a Cloud Code host");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// What is heard of a host's watchdog.
struct Pulse {
    stream: UnixStream,
    host: Weak<Host>,
    /// Looks that may pass without a word.
    most: u32,
}

impl Pulse {
    /// Gives the host up when nothing is heard any more. Looks are counted, not time: of a server that stood still
    /// itself, one has passed.
    async fn watch(mut self) {
        let mut words = [0; 1024];
        let mut missed = 0;
        while missed <= self.most {
            match tokio::time::timeout(LOOK, self.stream.read(&mut words)).await {
                // The process has ended, which its keeper knows.
                Ok(Ok(0) | Err(_)) => return,
                Ok(Ok(_)) => missed = 0,
                Err(_) => missed += 1,
            }
        }
        if let Some(host) = self.host.upgrade() {
            host.kill(format!("the process stood still for {missed} s"));
        }
    }
}

/// Reads the first frame: a host that arrives, or a watchdog whose process stands still, is given up, or is there.
async fn introduce(mut stream: UnixStream, known: &Mutex<Known>) -> Option<Pulse> {
    let mut buffer = BytesMut::new();
    let frame = loop {
        if let Some(frame) = next_frame(&mut buffer).ok()? {
            break frame;
        }
        if stream.read_buf(&mut buffer).await.ok()? == 0 {
            return None;
        }
    };
    match frame.kind {
        FrameKind::Hello => {
            let hello = serde_json::from_slice(&frame.payload).ok()?;
            let arrived = lock(known).arrivals.remove(&frame.id)?;
            // Whoever waited for it may have gone.
            let _ = arrived.send((stream, hello));
            None
        }
        FrameKind::Stalled => {
            let stalled: Reason = serde_json::from_slice(&frame.payload).ok()?;
            let host = lock(known).hosts.get(&frame.id).and_then(Weak::upgrade)?;
            host.kill(stalled.reason);
            None
        }
        FrameKind::Paused => {
            lock(known).hosts.get(&frame.id).and_then(Weak::upgrade)?.pause();
            None
        }
        FrameKind::Alive => {
            let alive: Alive = serde_json::from_slice(&frame.payload).ok()?;
            let host = lock(known).hosts.get(&frame.id).cloned()?;
            let seconds = u32::try_from(alive.stall_ms.div_ceil(1000)).unwrap_or(u32::MAX);
            Some(Pulse { stream, host, most: seconds.saturating_add(MISSED) })
        }
        _ => None,
    }
}

async fn copy_output(mut output: impl AsyncRead + Unpin, write: fn(&str)) {
    let mut buffer = BytesMut::new();
    while let Ok(read) = output.read_buf(&mut buffer).await {
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line = buffer.split_to(end + 1);
            write(String::from_utf8_lossy(&line).trim_end());
        }
        if read == 0 || buffer.len() > MAX_LINE {
            let rest = buffer.split();
            if !rest.is_empty() {
                write(&String::from_utf8_lossy(&rest));
            }
        }
        if read == 0 {
            return;
        }
    }
}

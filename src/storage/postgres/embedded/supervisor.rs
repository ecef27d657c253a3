//! The thread that owns the postmaster: starts it, restarts it when it dies, stops it.
//!
//! A thread and not a task, because the parent-death signal is sent when the *thread* that started
//! the child ends: this one lives as long as the cluster, whichever runtimes come and go.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::sync::oneshot;

use super::EmbeddedOptions;
use super::cluster::{self, PidFile};
use super::error::{At, EmbeddedError};
use super::layout::{Layout, PORT};
use super::process;

/// Between a death and the next start, doubled each time up to the second figure.
const RESTART_DELAY: Duration = Duration::from_millis(50);
const RESTART_DELAY_MAX: Duration = Duration::from_secs(10);
/// After living this long, a death counts as the first again.
const STABLE: Duration = Duration::from_secs(30);
/// Recovery after a crash may take a while; longer than this is a fault.
const START_LIMIT: Duration = Duration::from_secs(300);
/// The processes of a crashed postmaster need a moment to notice, and hold its shared memory till then.
const START_ATTEMPTS: u32 = 4;
const FAST_STOP: Duration = Duration::from_secs(60);
const IMMEDIATE_STOP: Duration = Duration::from_secs(10);
/// The log is set aside at a start when it has grown past this, once.
const LOG_MAX: u64 = 16 * 1024 * 1024;

/// What [`Supervisor::start`] tells about the running cluster.
#[derive(Debug)]
pub struct Started {
    pub socket_dir: PathBuf,
    pub cluster: PathBuf,
}

#[derive(Debug)]
enum Event {
    Exited(io::Result<ExitStatus>),
    Stop,
}

/// How the cluster does.
#[derive(Clone, Debug, Default)]
pub struct ClusterHealth {
    /// 0 while none runs.
    pid: Arc<AtomicU32>,
    restarts: Arc<AtomicU64>,
}

impl ClusterHealth {
    pub fn is_up(&self) -> bool {
        self.pid.load(Ordering::Relaxed) != 0
    }

    /// Since this server started.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub struct Supervisor {
    events: Sender<Event>,
    health: ClusterHealth,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Returns once PostgreSQL accepts connections.
    ///
    /// # Cancel safety
    /// Dropping the future stops what was started.
    pub async fn start(options: EmbeddedOptions) -> Result<(Self, Started), EmbeddedError> {
        let (events, received) = channel();
        let (report, reported) = oneshot::channel();
        let health = ClusterHealth::default();
        let data_dir = options.data_dir.clone();
        let own = (events.clone(), health.clone());
        let thread = thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || run(&options, own.0, &received, own.1, report))
            .at("cannot start a thread for", &data_dir)?;
        // From here on dropping `supervisor` sends Stop, which ends also a start in progress.
        let supervisor = Self { events, health, thread: Some(thread) };
        match reported.await {
            Ok(result) => result.map(|started| (supervisor, started)),
            Err(_) => Err(EmbeddedError::Start {
                reason: "its supervisor ended".to_owned(),
                log: data_dir.join("postgres.log"),
            }),
        }
    }

    pub fn pid(&self) -> Option<u32> {
        Some(self.health.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    pub fn health(&self) -> ClusterHealth {
        self.health.clone()
    }

    pub async fn stop(mut self) {
        if let Some(thread) = self.request_stop() {
            // An error would be a panic over there: nothing is left to stop then.
            let _ = tokio::task::spawn_blocking(|| thread.join()).await;
        }
    }

    fn request_stop(&mut self) -> Option<JoinHandle<()>> {
        let _ = self.events.send(Event::Stop);
        self.thread.take()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Some(thread) = self.request_stop() {
            let _ = thread.join();
        }
    }
}

fn run(
    options: &EmbeddedOptions,
    events: Sender<Event>,
    received: &Receiver<Event>,
    health: ClusterHealth,
    report: oneshot::Sender<Result<Started, EmbeddedError>>,
) {
    let prepared = Layout::find(options).and_then(|place| {
        let binaries = cluster::find_binaries(options, &place)?;
        if place.major.is_none() {
            tracing::info!("creating a PostgreSQL {} cluster in {}", binaries.major, place.cluster.display());
            cluster::create(options, &place, &binaries)?;
        } else {
            cluster::clear_leftover(&place)?;
        }
        Ok((place, binaries.postgres()))
    });
    let (place, program) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let _ = report.send(Err(error));
            return;
        }
    };
    let mut child = Postmaster {
        options,
        place: &place,
        program,
        events,
        received,
        pid: health.pid,
        restarts: health.restarts,
    };
    match child.start_and_wait() {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => {
            let _ = report.send(Err(error));
            return;
        }
    }
    let started = Started { socket_dir: place.socket_dir.clone(), cluster: place.cluster.clone() };
    if report.send(Ok(started)).is_err() {
        child.stop();
    } else {
        child.supervise();
    }
}

struct Postmaster<'a> {
    options: &'a EmbeddedOptions,
    place: &'a Layout,
    program: PathBuf,
    events: Sender<Event>,
    received: &'a Receiver<Event>,
    /// 0 while none runs.
    pid: Arc<AtomicU32>,
    restarts: Arc<AtomicU64>,
}

impl Postmaster<'_> {
    /// Starts the postmaster and waits until it accepts connections; false if told to stop meanwhile.
    fn start_and_wait(&mut self) -> Result<bool, EmbeddedError> {
        let mut attempt = 1;
        loop {
            let log_start = fs::metadata(&self.place.log).map(|log| log.len()).unwrap_or(0);
            self.spawn()?;
            match self.wait_ready()? {
                Wait::Ready => return Ok(true),
                Wait::Stopped => return Ok(false),
                Wait::Exited if attempt == START_ATTEMPTS => {
                    return Err(EmbeddedError::Start {
                        reason: complaint(&self.place.log, log_start),
                        log: self.place.log.clone(),
                    });
                }
                Wait::Exited => {
                    attempt += 1;
                    cluster::pause(Duration::from_millis(250));
                }
            }
        }
    }

    fn wait_ready(&mut self) -> Result<Wait, EmbeddedError> {
        let pid = self.pid.load(Ordering::Relaxed);
        let begun = Instant::now();
        let mut told = begun;
        loop {
            match self.received.recv_timeout(Duration::from_millis(5)) {
                Ok(Event::Exited(_)) => {
                    self.pid.store(0, Ordering::Relaxed);
                    return Ok(Wait::Exited);
                }
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.stop();
                    return Ok(Wait::Stopped);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            // setpriv replaces itself by postgres, so the child's number is the postmaster's.
            if PidFile::read(&self.place.cluster) == Some(PidFile { pid, ready: true }) {
                return Ok(Wait::Ready);
            }
            if begun.elapsed() > START_LIMIT {
                self.stop();
                return Err(EmbeddedError::Start {
                    reason: format!("not ready after {} s", START_LIMIT.as_secs()),
                    log: self.place.log.clone(),
                });
            }
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                tracing::info!("waiting for PostgreSQL, which recovers from an unclean stop");
            }
        }
    }

    /// Restarts what dies until told to stop.
    fn supervise(&mut self) {
        let mut delay = RESTART_DELAY;
        let mut begun = Instant::now();
        let mut wait: Option<Duration> = None;
        loop {
            let event = match wait {
                Some(time) => self.received.recv_timeout(time),
                None => self.received.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(Event::Exited(status)) => {
                    self.pid.store(0, Ordering::Relaxed);
                    if begun.elapsed() > STABLE {
                        delay = RESTART_DELAY;
                    }
                    let status = status.map_or_else(|error| error.to_string(), |s| s.to_string());
                    let delay_ms = delay.as_millis() as u64;
                    tracing::error!(
                        delay_ms,
                        "PostgreSQL ended ({status}); starting it again in {delay_ms} ms"
                    );
                    wait = Some(delay);
                    delay = (delay * 2).min(RESTART_DELAY_MAX);
                }
                Err(RecvTimeoutError::Timeout) => {
                    begun = Instant::now();
                    self.restarts.fetch_add(1, Ordering::Relaxed);
                    wait = match self.spawn() {
                        Ok(()) => None,
                        Err(error) => {
                            tracing::error!("{error}");
                            Some(delay)
                        }
                    };
                }
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return self.stop(),
            }
        }
    }

    /// Starts the process and a thread that reports its end.
    fn spawn(&mut self) -> Result<(), EmbeddedError> {
        let log = open_log(&self.place.log)?;
        let errors = log.try_clone().at("cannot open", &self.place.log)?;
        let mut command = self.command();
        command.stdout(log).stderr(errors);
        let mut child = command.spawn().at("cannot run", &self.program)?;
        self.pid.store(child.id(), Ordering::Relaxed);
        let events = self.events.clone();
        thread::Builder::new()
            .name("postgres-wait".to_owned())
            .spawn(move || {
                let _ = events.send(Event::Exited(child.wait()));
            })
            .at("cannot start a thread for", &self.program)?;
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = self.place.account.command(&self.program, "INT");
        command.current_dir(&self.place.cluster);
        command.arg("-D").arg(&self.place.cluster);
        command.arg("-k").arg(&self.place.socket_dir);
        command.args(["-h", "", "-p", &PORT.to_string()]);
        let mut set = |name: &str, value: &str| {
            command.arg("-c").arg(format!("{name}={value}"));
        };
        set("unix_socket_permissions", "0700");
        set("logging_collector", "off");
        set("log_destination", "stderr");
        if !self.options.fsync {
            // Survives a killed postmaster, not a lost machine.
            set("fsync", "off");
            set("full_page_writes", "off");
        }
        for (name, value) in &self.options.settings {
            set(name, value);
        }
        command
    }

    fn stop(&mut self) {
        for (signal, patience) in [
            (Signal::SIGINT, FAST_STOP),
            (Signal::SIGQUIT, IMMEDIATE_STOP),
            (Signal::SIGKILL, IMMEDIATE_STOP),
        ] {
            let pid = self.pid.load(Ordering::Relaxed);
            if pid == 0 {
                return;
            }
            process::signal(pid, signal);
            let deadline = Instant::now() + patience;
            while let Some(left) = deadline.checked_duration_since(Instant::now()) {
                match self.received.recv_timeout(left) {
                    Ok(Event::Exited(_)) => {
                        self.pid.store(0, Ordering::Relaxed);
                        return;
                    }
                    Ok(Event::Stop) => {}
                    Err(_) => break,
                }
            }
            tracing::warn!("PostgreSQL did not stop on {signal} within {} s", patience.as_secs());
        }
    }
}

enum Wait {
    Ready,
    Exited,
    Stopped,
}

fn open_log(path: &Path) -> Result<File, EmbeddedError> {
    if fs::metadata(path).is_ok_and(|log| log.len() > LOG_MAX) {
        fs::rename(path, path.with_extension("log.1")).at("cannot rename", path)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).at("cannot open", path)
}

/// Why it did not start, from what it has just written to its log.
fn complaint(log: &Path, from: u64) -> String {
    let mut text = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.take(64 * 1024).read_to_end(&mut text)
    });
    if let Err(error) = read {
        return error.to_string();
    }
    let text = String::from_utf8_lossy(&text);
    let severe =
        |line: &&str| line.contains("FATAL:") || line.contains("PANIC:") || line.contains("setpriv:");
    match text.lines().rfind(severe) {
        Some(line) => {
            let reason = line.split_once("FATAL:").map_or(line, |(_, reason)| reason);
            reason.trim().to_owned()
        }
        None => cluster::one_line(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_last_complaint_only() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let old = "x FATAL:  old\n";
        fs::write(&log, format!("{old}LOG:  hm\n2026 [1] FATAL:  could not\nLOG:  down\n")).unwrap();
        assert_eq!(complaint(&log, old.len() as u64), "could not");
        fs::write(&log, "postgres: no such file\n").unwrap();
        assert_eq!(complaint(&log, 0), "postgres: no such file");
    }

    #[test]
    fn a_grown_log_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("postgres.log");
        File::create(&log).unwrap().set_len(LOG_MAX + 1).unwrap();
        open_log(&log).unwrap();
        assert_eq!(fs::metadata(&log).unwrap().len(), 0);
        assert_eq!(fs::metadata(dir.path().join("postgres.log.1")).unwrap().len(), LOG_MAX + 1);
    }
}

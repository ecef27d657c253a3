//! Creates the cluster, and clears away what an earlier, killed server left running in it.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::binaries::{Binaries, Search};
use super::error::{At, EmbeddedError};
use super::layout::Layout;
use super::{EmbeddedOptions, USER, process};

/// Appended to `postgresql.conf` once, so that an operator may change it there. Small, for a process
/// that shares a machine with the server; nothing here weakens durability.
const SETTINGS: &str = "
# Written by Parsimony when it made this cluster; change freely.
shared_buffers = 32MB
max_connections = 60
max_worker_processes = 4
max_parallel_workers = 2
max_parallel_workers_per_gather = 1
autovacuum_max_workers = 2
max_logical_replication_workers = 0
max_wal_size = 256MB
min_wal_size = 32MB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
# What clients do wrong is in the server's own log; this one tells of starts, stops and crashes.
log_min_messages = log
log_checkpoints = off
";

/// How long a leftover postmaster may take to stop when asked nicely, then less nicely.
const FAST_STOP: Duration = Duration::from_secs(30);
const IMMEDIATE_STOP: Duration = Duration::from_secs(10);

pub fn find_binaries(options: &EmbeddedOptions, place: &Layout) -> Result<Binaries, EmbeddedError> {
    let mut search = Search::from_env();
    if options.bin_dir.is_some() {
        search.named.clone_from(&options.bin_dir);
    }
    let found = search.find(place.major.map(|major| (place.cluster.as_path(), major)))?;
    match place.major {
        // Named folders are not searched, so their version may be another one.
        Some(wanted) if wanted != found.major => Err(EmbeddedError::OtherMajor {
            cluster: place.cluster.clone(),
            wanted,
            found: found.major.to_string(),
        }),
        _ => Ok(found),
    }
}

/// Runs `initdb` beside the place and renames the result, so that a half-made cluster is never taken
/// for a whole one.
pub fn create(options: &EmbeddedOptions, place: &Layout, binaries: &Binaries) -> Result<(), EmbeddedError> {
    let draft = sibling(&place.cluster, ".new");
    // Sorting by code point, as parse-server's other database does; upper and lower case of all of
    // Unicode. Where the C library has no C.UTF-8: of ASCII.
    let mut failed = String::new();
    for ctype in ["C.UTF-8", "C"] {
        match fs::remove_dir_all(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).at("cannot remove", &draft);
            }
            _ => {}
        }
        place.make_private(&draft)?;
        let mut initdb = place.account.command(&binaries.initdb(), "KILL");
        initdb.arg("-D").arg(&draft).args(["-U", USER, "-E", "UTF8", "--lc-messages=C"]);
        initdb.args(["--locale=C", &format!("--lc-ctype={ctype}"), "--text-search-config=english"]);
        initdb.args(["--auth-local=trust", "--auth-host=reject"]);
        if !options.fsync {
            initdb.arg("--no-sync");
        }
        let output = initdb.current_dir(&draft).output().at("cannot run", &binaries.initdb())?;
        if output.status.success() {
            configure(&draft)?;
            // An empty folder of this name may stand there; rename replaces it.
            fs::rename(&draft, &place.cluster).at("cannot create", &place.cluster)?;
            if let Some(parent) = place.cluster.parent() {
                File::open(parent).and_then(|dir| dir.sync_all()).at("cannot write", parent)?;
            }
            return Ok(());
        }
        failed = one_line(&String::from_utf8_lossy(&output.stderr));
        if !failed.contains("locale") {
            break;
        }
    }
    let _ = fs::remove_dir_all(&draft);
    Err(EmbeddedError::Initdb { output: failed })
}

fn configure(cluster: &Path) -> Result<(), EmbeddedError> {
    let path = cluster.join("postgresql.conf");
    OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(SETTINGS.as_bytes()).and_then(|()| file.sync_all()))
        .at("cannot write", &path)
}

/// Stops a postmaster that still runs in the cluster although no server does (the lock is ours), and
/// forgets one whose number now belongs to another program, which PostgreSQL would mistake for it.
/// What is left running by a PostgreSQL that looks different (of a moved folder, say) PostgreSQL itself
/// finds out: it then refuses to start, which costs nothing but a message.
pub fn clear_leftover(place: &Layout) -> Result<(), EmbeddedError> {
    let Some(pid) = PidFile::read(&place.cluster).map(|file| file.pid) else { return Ok(()) };
    if !process::is_alive(pid) {
        return Ok(());
    }
    if !process::is_postmaster_of(pid, &place.cluster) {
        if process::is_postgres(pid) {
            return Ok(());
        }
        tracing::warn!("forgetting PostgreSQL process {pid}: that number now belongs to another program");
        let path = place.cluster.join("postmaster.pid");
        return fs::remove_file(&path).at("cannot remove", &path);
    }
    tracing::warn!("stopping PostgreSQL process {pid}, left behind by an earlier server");
    for (signal, patience) in [(Signal::SIGINT, FAST_STOP), (Signal::SIGQUIT, IMMEDIATE_STOP)] {
        process::signal(pid, signal);
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if !process::is_postmaster_of(pid, &place.cluster) {
                if process::is_postgres(pid) {
                    return Ok(());
                }
                return Ok(());
            }
            pause(Duration::from_millis(5));
        }
    }
    Err(EmbeddedError::Leftover { pid })
}

/// What a postmaster says of itself in its folder.
#[derive(Debug, PartialEq, Eq)]
pub struct PidFile {
    pub pid: u32,
    /// Accepts connections.
    pub ready: bool,
}

impl PidFile {
    pub fn read(cluster: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(cluster.join("postmaster.pid")).ok()?)
    }

    /// Lines: pid, folder, start time, port, socket folder, address, shared memory, status.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        // A standalone backend writes its number negated.
        let pid = lines.next()?.trim().trim_start_matches('-').parse().ok()?;
        Some(Self { pid, ready: lines.nth(6).is_some_and(|status| status.trim() == "ready") })
    }
}

/// Waits on the supervisor's own thread, where nothing else runs.
#[allow(clippy::disallowed_methods)]
pub fn pause(time: Duration) {
    thread::sleep(time);
}

pub fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_pid_file_while_it_grows() {
        let text = "4711\n/data/postgres\n1700000000\n5432\n/data/socket\n\n  123 45\nready   \n";
        assert_eq!(PidFile::parse(text), Some(PidFile { pid: 4711, ready: true }));
        assert_eq!(PidFile::parse(&text[..40]), Some(PidFile { pid: 4711, ready: false }));
        assert_eq!(PidFile::parse(&text.replace("ready", "starting")).map(|p| p.ready), Some(false));
        assert_eq!(PidFile::parse(""), None);
    }
}

//! The embedded PostgreSQL, run for real: as the user the tests run as and, when that is root, as
//! another user too; with servers and postmasters killed under it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use parsimony::storage::postgres::embedded::{EmbeddedError, EmbeddedOptions, EmbeddedPostgres};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::support::wait::{until, until_some};

/// Makes this test binary act as a server: see [`acting_as_server`].
const CHILD: &str = "PARSIMONY_TEST_EMBEDDED_CHILD";
/// Of the account that plays another user.
const NOBODY: u32 = 65534;

/// A folder that PostgreSQL's account may pass when the tests run as root.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    dir
}

fn options(data: &Path) -> EmbeddedOptions {
    EmbeddedOptions { fsync: false, system_dir: data.join("system"), ..EmbeddedOptions::new(data) }
}

async fn start(data: &Path) -> EmbeddedPostgres {
    EmbeddedPostgres::start(options(data)).await.unwrap()
}

async fn query(uri: &str, sql: &str) -> Result<Option<String>, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(uri, NoTls).await?;
    tokio::spawn(connection);
    for message in client.simple_query(sql).await? {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            return Ok(row.get(0).map(str::to_owned));
        }
    }
    Ok(None)
}

async fn run(uri: &str, sql: &str) -> Option<String> {
    query(uri, sql).await.unwrap()
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn kill(name: &str, pid: u32) {
    let status = Command::new("/bin/sh").args(["-c", "kill -s $0 $1", name, &pid.to_string()]).status();
    assert!(status.unwrap().success(), "kill -s {name} {pid}");
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Another process of this binary that runs the cluster as a server would.
struct Server {
    process: Child,
    /// Kept open: a test binary that cannot write its summary fails.
    output: BufReader<ChildStdout>,
    uri: String,
    postgres: u32,
}

impl Server {
    fn start(data: &Path, uid: Option<u32>) -> Self {
        let mut binary = std::env::current_exe().unwrap();
        let mut command = match uid {
            None => Command::new(&binary),
            Some(uid) => {
                // Where the tests were built, another user may not be able to go.
                binary = data.join("server-of-test");
                fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={uid}")).arg(format!("--regid={uid}")).arg("--clear-groups");
                command.arg("--").arg(&binary);
                command
            }
        };
        command.args(["--exact", "embedded::acting_as_server", "--nocapture"]).env(CHILD, data);
        command.env_remove("NEXTEST").current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut process = command.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let line =
            output.by_ref().lines().find_map(|line| Some(line.unwrap().split_once("RUNNING ")?.1.to_owned()));
        let line = line.expect("the server process should have started");
        let (pid, uri) = line.split_once(' ').unwrap();
        Self { process, output, uri: uri.to_owned(), postgres: pid.parse().unwrap() }
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn stop(mut self) {
        drop(self.process.stdin.take());
        self.output.read_to_end(&mut Vec::new()).unwrap();
        assert!(self.process.wait().unwrap().success());
        assert!(!exists(self.postgres));
    }
}

/// Not a test of its own: what [`Server`] runs. Serves until its input closes.
#[test]
fn acting_as_server() {
    let Some(data) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let postgres = runtime.block_on(start(&data));
    // Migrations run on a runtime of their own that ends before the server's begins.
    drop(runtime);
    println!("RUNNING {} {}", postgres.pid().unwrap(), postgres.connection_uri());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(postgres);
}

#[tokio::test]
async fn keeps_data_over_a_restart_and_leaves_nothing_running() {
    let data = folder();
    let first =
        EmbeddedPostgres::start(EmbeddedOptions { fsync: true, ..options(data.path()) }).await.unwrap();
    let uri = first.connection_uri();
    uri.parse::<tokio_postgres::Config>().unwrap();
    assert_eq!(run(&uri, "SHOW fsync").await.as_deref(), Some("on"));
    assert_eq!(run(&uri, "SHOW listen_addresses").await.as_deref(), Some(""));
    assert_eq!(run(&uri, "SELECT lower('ÄÖ') || ('a' > 'B')::text").await.as_deref(), Some("äötrue"));
    run(&uri, "CREATE TABLE t AS SELECT 42 AS x").await;
    assert_eq!(fs::metadata(first.socket_dir()).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(first.cluster_dir()).unwrap().mode() & 0o777, 0o700);
    let pid = first.pid().unwrap();
    first.stop().await;
    assert!(!exists(pid));

    let second = start(data.path()).await;
    assert_eq!(run(&second.connection_uri(), "SELECT x FROM t").await.as_deref(), Some("42"));
    second.stop().await;
}

#[tokio::test]
async fn a_second_server_is_refused() {
    let data = folder();
    let first = start(data.path()).await;
    let error = EmbeddedPostgres::start(options(data.path())).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::InUse { .. }), "{error}");
    assert_eq!(run(&first.connection_uri(), "SELECT 1").await.as_deref(), Some("1"));
    first.stop().await;
}

#[tokio::test]
async fn a_killed_server_takes_postgres_along_and_loses_nothing() {
    let data = folder();
    let server = Server::start(data.path(), None);
    run(&server.uri, "CREATE TABLE t AS SELECT 1 AS x").await;
    let postgres = server.postgres;
    server.kill();
    until("PostgreSQL to follow its server", || !exists(postgres));
    // Killed and at once started again, several times.
    for round in 2..5 {
        let server = Server::start(data.path(), None);
        let sql = format!("INSERT INTO t VALUES ({round}) RETURNING (SELECT count(*) FROM t)");
        assert_eq!(run(&server.uri, &sql).await, Some((round - 1).to_string()));
        server.kill();
    }
    let server = Server::start(data.path(), None);
    server.stop();
}

#[tokio::test]
async fn works_for_another_user() {
    if !is_root() {
        return;
    }
    let data = folder();
    chown(data.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let server = Server::start(data.path(), Some(NOBODY));
    run(&server.uri, "CREATE TABLE t AS SELECT 7 AS x").await;
    let process = fs::metadata(format!("/proc/{}", server.postgres)).unwrap();
    assert_eq!(process.uid(), NOBODY);
    let postgres = server.postgres;
    server.kill();
    until("PostgreSQL to follow its server", || !exists(postgres));
    let server = Server::start(data.path(), Some(NOBODY));
    assert_eq!(run(&server.uri, "SELECT x FROM t").await.as_deref(), Some("7"));
    server.stop();
    // Root runs it as the user whose it is, so that the user can go on.
    let by_root = start(data.path()).await;
    assert_eq!(fs::metadata(format!("/proc/{}", by_root.pid().unwrap())).unwrap().uid(), NOBODY);
    by_root.stop().await;
    Server::start(data.path(), Some(NOBODY)).stop();
}

#[tokio::test]
async fn a_home_the_other_account_cannot_enter() {
    if !is_root() {
        return;
    }
    let (home, system) = (tempfile::tempdir().unwrap(), folder());
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let data = home.path().join("data");
    let options = EmbeddedOptions { system_dir: system.path().join("parsimony"), ..options(&data) };
    let first = EmbeddedPostgres::start(options.clone()).await.unwrap();
    assert!(first.cluster_dir().starts_with(system.path()), "{}", first.cluster_dir().display());
    run(&first.connection_uri(), "CREATE TABLE t AS SELECT 9 AS x").await;
    first.stop().await;
    // It stays there, also when the way has become free.
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let second = EmbeddedPostgres::start(options).await.unwrap();
    assert_eq!(run(&second.connection_uri(), "SELECT x FROM t").await.as_deref(), Some("9"));
    second.stop().await;
}

#[tokio::test]
async fn a_killed_postmaster_is_replaced() {
    let data = folder();
    let postgres = start(data.path()).await;
    let uri = postgres.connection_uri();
    run(&uri, "CREATE TABLE t AS SELECT 1 AS x").await;
    for _ in 0..3 {
        let pid = postgres.pid().unwrap();
        kill("KILL", pid);
        until("the dead postmaster to be noticed", || postgres.pid() != Some(pid));
        let uri = &uri;
        let x = until_some("an answer", || async { query(uri, "SELECT x FROM t").await.ok() }).await;
        assert_eq!(x.as_deref(), Some("1"));
    }
    postgres.stop().await;
}

#[tokio::test]
async fn a_leftover_postmaster_is_stopped() {
    let data = folder();
    let server = Server::start(data.path(), None);
    let line = fs::read(format!("/proc/{}/cmdline", server.postgres)).unwrap();
    let owner = fs::metadata(format!("/proc/{}", server.postgres)).unwrap();
    server.stop();
    // The same program with the same arguments, but nobody's child: as if the signal had been lost.
    let mut arguments = line.split(|byte| *byte == 0).map(|text| String::from_utf8(text.to_vec()).unwrap());
    let mut command = Command::new("setpriv");
    if is_root() {
        command.arg(format!("--reuid={}", owner.uid())).arg(format!("--regid={}", owner.gid()));
        command.arg("--clear-groups");
    }
    arguments.next_back();
    command.arg("--").args(arguments).stderr(Stdio::null()).current_dir(data.path().join("postgres"));
    let mut leftover = command.spawn().unwrap();
    let pid_file = data.path().join("postgres/postmaster.pid");
    until("the leftover to run", || fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("ready")));
    let reaper = std::thread::spawn(move || leftover.wait());
    let postgres = start(data.path()).await;
    assert!(reaper.join().unwrap().unwrap().success());
    assert_eq!(run(&postgres.connection_uri(), "SELECT 1").await.as_deref(), Some("1"));
    postgres.stop().await;
}

#[tokio::test]
async fn a_pid_file_whose_number_is_somebody_elses_does_not_matter() {
    let data = folder();
    start(data.path()).await.stop().await;
    let pid_file = data.path().join("postgres/postmaster.pid");
    let text = format!("{}\n/elsewhere\n1\n5432\n/tmp\n\n  1 1\nready\n", std::process::id());
    fs::write(pid_file, text).unwrap();
    start(data.path()).await.stop().await;
}

#[tokio::test]
async fn a_leftover_of_a_moved_folder_is_not_joined_by_a_second_one() {
    let data = folder();
    let old = data.path().join("old");
    fs::create_dir(&old).unwrap();
    let server = Server::start(&old, None);
    // Its lock stays behind with the old name's file; only PostgreSQL's own can help now.
    let new = data.path().join("new");
    fs::create_dir(&new).unwrap();
    fs::rename(old.join("postgres"), new.join("postgres")).unwrap();
    let error = EmbeddedPostgres::start(options(&new)).await.unwrap_err().to_string();
    assert!(error.contains("lock file \"postmaster.pid\" already exists"), "{error}");
    fs::rename(new.join("postgres"), old.join("postgres")).unwrap();
    assert_eq!(run(&server.uri, "SELECT 1").await.as_deref(), Some("1"));
    server.stop();
}

#[tokio::test]
async fn a_path_of_150_characters() {
    let base = folder();
    let data = base.path().join("d".repeat(150 - base.path().as_os_str().len() - 1));
    assert_eq!(data.as_os_str().len(), 150);
    let first = start(&data).await;
    let socket_dir = first.socket_dir().to_owned();
    assert!(!socket_dir.starts_with(&data));
    assert_eq!(fs::metadata(&socket_dir).unwrap().mode() & 0o777, 0o700);
    assert_eq!(run(&first.connection_uri(), "SELECT 1").await.as_deref(), Some("1"));
    first.stop().await;
    assert!(!socket_dir.exists());
    let second = start(&data).await;
    assert_eq!(second.socket_dir(), socket_dir);
    second.stop().await;
}

#[tokio::test]
async fn another_major_version_is_refused_with_the_way_out() {
    let data = folder();
    fs::create_dir(data.path().join("postgres")).unwrap();
    fs::write(data.path().join("postgres/PG_VERSION"), "9.6\n").unwrap();
    if is_root() {
        chown(data.path().join("postgres"), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let error = EmbeddedPostgres::start(options(data.path())).await.unwrap_err().to_string();
    assert!(error.contains("was created by PostgreSQL 9, but only"), "{error}");
    assert!(error.contains("Install postgresql-9") && error.contains("pg_dumpall"), "{error}");
}

#[tokio::test]
async fn a_start_that_fails_says_why_and_leaves_nothing_running() {
    let data = folder();
    let broken = EmbeddedOptions {
        settings: vec![("shared_buffers".to_owned(), "lots".to_owned())],
        ..options(data.path())
    };
    let error = EmbeddedPostgres::start(broken).await.unwrap_err();
    assert!(error.to_string().contains("invalid value for parameter \"shared_buffers\""), "{error}");
    // The lock is free again and the cluster is whole.
    start(data.path()).await.stop().await;
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_ends() {
    let data = folder();
    start(data.path()).await.stop().await;
    let pid_file = data.path().join("postgres/postmaster.pid");
    {
        let mut starting = Box::pin(EmbeddedPostgres::start(options(data.path())));
        until("the start to get going", || {
            assert!(futures_util::FutureExt::now_or_never(&mut starting).is_none());
            pid_file.exists()
        });
    }
    until("the cluster to be stopped", || !pid_file.exists());
    start(data.path()).await.stop().await;
}

//! The private PostgreSQL cluster the server runs when no `databaseURI` is configured.
//!
//! Called by `server.rs` at start and at shutdown; knows nothing of Parse. It looks for PostgreSQL's
//! programs on the machine, creates a cluster in `<data dir>/postgres` once, and runs it as a child
//! process that only listens on a Unix socket in a folder nobody else can enter:
//!
//! * `binaries` finds `initdb` and `postgres`, of the major version an existing cluster needs;
//! * `place` decides under which account the child runs (PostgreSQL refuses root), where the
//!   cluster and the socket live, and holds the lock on the data folder;
//! * `cluster` creates the cluster and stops a postmaster that an earlier, killed server left;
//! * `supervisor` starts the child, restarts it when it dies, and stops it.
//!
//! Afterwards the server speaks to it exactly as to any other PostgreSQL, through
//! [`EmbeddedPostgres::connection_uri`]. parse-server has no counterpart: it needs a database.

mod binaries;
mod cluster;
mod error;
mod layout;
mod process;
mod supervisor;

use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

pub use error::EmbeddedError;
pub use supervisor::ClusterHealth;
use supervisor::Supervisor;

/// The superuser of the cluster and the database inside it.
const USER: &str = "parsimony";
const DATABASE: &str = "parsimony";

/// How to run the cluster. [`EmbeddedOptions::new`] is what a server uses; the rest is for tests and
/// packagers.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The server's data folder. The cluster goes to `postgres/` inside, its log to `postgres.log`.
    pub data_dir: PathBuf,
    /// The folder with `initdb` and `postgres`; found by itself when `None`.
    pub bin_dir: Option<PathBuf>,
    /// `false` gives up durability for speed. Only for tests.
    pub fsync: bool,
    /// Further settings as on PostgreSQL's command line: `("work_mem", "8MB")`.
    pub settings: Vec<(String, String)>,
    /// Where the cluster goes when the server is root and the account it drops to cannot enter the
    /// data folder.
    pub system_dir: PathBuf,
}

impl EmbeddedOptions {
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            bin_dir: None,
            fsync: true,
            settings: Vec::new(),
            system_dir: PathBuf::from("/var/lib/parsimony"),
        }
    }
}

/// A running, supervised cluster. It is stopped by [`EmbeddedPostgres::stop`], by dropping it (which
/// blocks until it has stopped), and, through a parent-death signal, by the death of this process.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    supervisor: Supervisor,
    socket_dir: PathBuf,
    cluster: PathBuf,
}

impl EmbeddedPostgres {
    /// Creates the cluster if there is none, starts it, and returns once it accepts connections and
    /// the database `parsimony` exists.
    ///
    /// # Errors
    /// Every [`EmbeddedError`] prints as one line that says what to do about it.
    ///
    /// # Cancel safety
    /// Dropping the future stops what was started.
    pub async fn start(options: EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let (supervisor, started) = Supervisor::start(options).await?;
        let postgres = Self { supervisor, socket_dir: started.socket_dir, cluster: started.cluster };
        if let Err(error) = postgres.ensure_database().await {
            postgres.stop().await;
            return Err(error);
        }
        Ok(postgres)
    }

    /// `postgres:///parsimony?user=…&host=<socket folder>&port=…`, as `databaseURI` takes it.
    pub fn connection_uri(&self) -> String {
        self.uri_of(DATABASE)
    }

    /// The same for another database of the cluster.
    pub fn uri_of(&self, database: &str) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        format!(
            "postgres:///{}?user={USER}&host={}&port={}",
            encode(database),
            encode(&self.socket_dir.to_string_lossy()),
            layout::PORT
        )
    }

    /// Where the cluster's files are: `<data dir>/postgres` unless its account cannot enter there.
    pub fn cluster_dir(&self) -> &Path {
        &self.cluster
    }

    /// The folder of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// For those who watch it.
    pub fn health(&self) -> ClusterHealth {
        self.supervisor.health()
    }

    /// Process id of the postmaster, `None` while it is being restarted.
    pub fn pid(&self) -> Option<u32> {
        self.supervisor.pid()
    }

    /// Fast shutdown: open transactions are rolled back, everything committed is on disk. Returns
    /// when the process is gone.
    pub async fn stop(self) {
        self.supervisor.stop().await;
    }

    async fn ensure_database(&self) -> Result<(), EmbeddedError> {
        match self.run(DATABASE, "SELECT 1").await {
            Err(EmbeddedError::Database(error)) if error.code() == Some(&SqlState::INVALID_CATALOG_NAME) => {
                self.run("postgres", &format!("CREATE DATABASE {DATABASE}")).await
            }
            result => result,
        }
    }

    async fn run(&self, database: &str, sql: &str) -> Result<(), EmbeddedError> {
        let (client, connection) = tokio_postgres::connect(&self.uri_of(database), NoTls).await?;
        let work = async move {
            let result = client.batch_execute(sql).await;
            drop(client);
            result
        };
        // The connection is driven here, not spawned: `start` may run on a runtime that ends soon.
        let (result, _) = futures_util::future::join(work, connection).await;
        Ok(result?)
    }
}

//! Why the embedded cluster cannot run. Each message is one line and ends with the remedy.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error(
        "No PostgreSQL found (looked in {looked_in}). Install it with `apt-get install postgresql`, \
         or set databaseURI to a running server, or PARSIMONY_PG_BIN to the folder that holds \
         initdb and postgres."
    )]
    NotInstalled { looked_in: String },

    #[error("{} does not hold both initdb and postgres. Correct PARSIMONY_PG_BIN.", .dir.display())]
    NotABinDir { dir: PathBuf },

    #[error("`{command} --version` did not name a PostgreSQL version but said: {output}")]
    UnknownVersion { command: String, output: String },

    #[error(
        "{} was created by PostgreSQL {wanted}, but only {found} is installed. Install \
         postgresql-{wanted}; or, to move to another version, dump it with pg_dumpall of version \
         {wanted} and restore it into a new data folder.", .cluster.display()
    )]
    OtherMajor { cluster: PathBuf, wanted: u32, found: String },

    #[error(
        "{} is already used by a running server{holder}. Stop that server or choose another \
         data folder.", .data_dir.display()
    )]
    InUse { data_dir: PathBuf, holder: String },

    #[error(
        "{} cannot be entered by the account {account}, under which PostgreSQL runs. Let it pass \
         (chmod o+x on the folders above) or choose another data folder.", .path.display()
    )]
    Unreachable { path: PathBuf, account: String },

    #[error(
        "{} belongs to another user. Start the server as that user or choose another data folder.",
        .path.display()
    )]
    NotOurs { path: PathBuf },

    #[error(
        "{} has content but is not a PostgreSQL data folder. Move it away or choose another data \
         folder.", .path.display()
    )]
    NotACluster { path: PathBuf },

    #[error("No folder for PostgreSQL's socket could be made (tried {tried}). Choose a shorter data folder.")]
    NoSocketDir { tried: String },

    #[error("The program setpriv is needed to run PostgreSQL under another account. Install util-linux.")]
    NoSetpriv,

    #[error("initdb failed: {output}")]
    Initdb { output: String },

    #[error("PostgreSQL did not start: {reason} (its log is {}).", .log.display())]
    Start { reason: String, log: PathBuf },

    #[error(
        "A PostgreSQL left behind by an earlier server (process {pid}) does not stop. End it, then \
         start again."
    )]
    Leftover { pid: u32 },

    #[error("{what} {}: {source}", .path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },

    #[error("The embedded PostgreSQL refused a connection: {0}")]
    Database(#[from] tokio_postgres::Error),
}

/// Says which file an [`io::Error`] was about.
pub(super) trait At<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, EmbeddedError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, EmbeddedError> {
        self.map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => EmbeddedError::NotOurs { path: path.to_owned() },
            _ => EmbeddedError::Io { what, path: path.to_owned(), source },
        })
    }
}

//! Opens the file store a configuration names, or the database's own when it names none.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;

use super::StartError;
use crate::config::AppConfig;
use crate::files::config::{Choice, choose};
use crate::files::crypt::Key;
use crate::files::postgres::{Connection, ConnectionSource, Lent, PostgresStore};
use crate::files::{FileError, FileResult, FileStore};
use crate::operations::files::Files;
use crate::storage::postgres::{Pooled, PostgresAdapter};

/// parse-server's folder for files, below the working directory.
const FOLDER: &str = "files";

/// # Errors
/// When the store cannot work as configured.
pub async fn open(config: &AppConfig, database: &Arc<PostgresAdapter>) -> Result<Arc<Files>, StartError> {
    let store = store(config, database).map_err(unusable)?;
    store.prepare().await.map_err(unusable)?;
    Files::new(store, config).map(Arc::new).map_err(StartError::new)
}

/// The store alone, for the command line.
///
/// # Errors
/// When it cannot work as configured.
pub fn store(config: &AppConfig, database: &Arc<PostgresAdapter>) -> FileResult<Arc<dyn FileStore>> {
    let option = config.files.files_adapter.as_ref().map(|option| option.expose());
    let choice = choose(option, &|name| std::env::var(name).ok(), &|path| Path::new(path).exists())?;
    if let Choice::Custom { module, .. } = &choice {
        return Err(FileError::Config(format!(
            "filesAdapter {module} is no store this server knows. Use the database (no filesAdapter), \
             @parse/fs-files-adapter, @parse/s3-files-adapter or @parse/gcs-files-adapter."
        )));
    }
    choice.open(FOLDER, || {
        let key = config.files.encryption_key.as_ref().map(|secret| Key::from_secret(secret.expose()));
        Ok(Arc::new(PostgresStore::new(Lender(database.clone()), config.app_id.clone(), key)))
    })
}

fn unusable(error: FileError) -> StartError {
    StartError::new(format!("The file store cannot be used: {error}"))
}

/// Lends the adapter's connections to the file store.
struct Lender(Arc<PostgresAdapter>);

struct Borrowed(Pooled);

impl Deref for Borrowed {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &AsyncPgConnection {
        &self.0
    }
}

impl Lent for Borrowed {
    fn set_dirty(&mut self, dirty: bool) {
        self.0.set_dirty(dirty);
    }
}

impl ConnectionSource for Lender {
    fn connection(&self) -> BoxFuture<'_, FileResult<Connection>> {
        Box::pin(async {
            let pooled = self.0.lend().await.map_err(FileError::store)?;
            Ok(Box::new(Borrowed(pooled)) as Connection)
        })
    }

    fn prepares_statements(&self) -> bool {
        self.0.prepares_statements()
    }
}

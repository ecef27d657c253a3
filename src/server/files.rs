//! Opens the file store a configuration names, or the database's own when it names none.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::StartError;
use crate::cloud::CloudEngine;
use crate::config::AppConfig;
use crate::files::Files;
use crate::files::config::{Choice, Functions, choose, functions};
use crate::files::crypt::Key;
use crate::files::{FileError, FileResult, FileStore};
use crate::operations::files::module::{JavaScriptStore, WithFunctions};
use crate::outbound::Outbound;
use crate::storage::StorageAdapter;

/// parse-server's folder for files, below the working directory.
const FOLDER: &str = "files";

/// # Errors
/// When the store cannot work as configured.
pub async fn open(
    config: &AppConfig,
    database: &dyn StorageAdapter,
    engine: &Arc<dyn CloudEngine>,
    outbound: Arc<Outbound>,
) -> Result<Arc<Files>, StartError> {
    let store: Arc<dyn FileStore> = match choice(config).map_err(unusable)? {
        Choice::Custom => Arc::new(JavaScriptStore::new(engine.clone())),
        choice => {
            let store = built_in(choice, config, database, outbound).map_err(unusable)?;
            match functions(option(config)) {
                none if none == Functions::default() => store,
                some => Arc::new(WithFunctions::new(store, engine.clone(), some)),
            }
        }
    };
    store.prepare().await.map_err(unusable)?;
    Files::new(store, config).map(Arc::new).map_err(StartError::new)
}

/// A built-in store alone, for the command line.
///
/// # Errors
/// When it cannot work as configured.
pub fn store(
    config: &AppConfig,
    database: &dyn StorageAdapter,
    outbound: Arc<Outbound>,
) -> FileResult<Arc<dyn FileStore>> {
    built_in(choice(config)?, config, database, outbound)
}

/// Whether the files are kept by code of the application's own.
pub fn is_custom(config: &AppConfig) -> bool {
    matches!(choice(config), Ok(Choice::Custom))
}

fn option(config: &AppConfig) -> Option<&Value> {
    config.files.files_adapter.as_ref().map(|option| option.expose())
}

fn choice(config: &AppConfig) -> FileResult<Choice> {
    choose(option(config), &|name| std::env::var(name).ok(), &|path| Path::new(path).exists())
}

fn built_in(
    choice: Choice,
    config: &AppConfig,
    database: &dyn StorageAdapter,
    outbound: Arc<Outbound>,
) -> FileResult<Arc<dyn FileStore>> {
    choice.open(FOLDER, outbound, || {
        let key = config.files.encryption_key.as_ref().map(|secret| Key::from_secret(secret.expose()));
        let stores = database.file_stores().ok_or(FileError::Unsupported("files in this database"))?;
        Ok(stores.file_store(&config.app_id, key))
    })
}

fn unusable(error: FileError) -> StartError {
    StartError::new(format!("The file store cannot be used: {error}"))
}

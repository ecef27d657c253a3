//! The commands that look after stored files: `files rotate-key` and `files gc`.
//!
//! They open database and store as a server does, and may run beside one (with a database of its own only
//! while that is stopped, since it serves one process).

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use super::{StartError, files, storage};
use crate::config::AppConfig;
use crate::config::cli::Command;
use crate::files::config::secret_from_file;
use crate::files::crypt::Key;
use crate::files::rotate::{Outcome, Progress, rotate_keys};
use crate::files::{FileError, FileStore};
use crate::operations::files::gc;
use crate::storage::StorageAdapter;

/// Does what the command says and prints what became of it. `Ok(false)`: some of it could not be done.
///
/// # Errors
/// When database or store cannot be used.
pub fn maintain_files(config: AppConfig, command: &Command) -> Result<bool, StartError> {
    // Another part of this process may have installed it; there is one kind only.
    let _ = rustls::crypto::ring::default_provider().install_default();
    actix_web::rt::System::new().block_on(async {
        let database = storage::open(&config, 1).await?;
        let adapter: Arc<dyn StorageAdapter> = database.adapter.clone();
        adapter.initialize().await.map_err(|error| storage::unusable(&error))?;
        let store = files::store(&config, &database.adapter).map_err(failed)?;
        let outcome = match command {
            Command::RotateFileKey { old_key, old_key_file, names } => {
                let old = match (old_key, old_key_file) {
                    (Some(key), _) => Some(key.clone()),
                    (None, Some(path)) => Some(secret_from_file(path).map_err(failed)?),
                    (None, None) => None,
                };
                rotate(&*store, old.as_deref(), names).await
            }
            Command::CollectFiles { dry_run } => collect(&*adapter, &*store, &config.app_id, *dry_run).await,
            Command::Serve | Command::ConfigDocs | Command::ConfigCheck => Ok(true),
        };
        database.close().await;
        outcome
    })
}

fn failed(error: FileError) -> StartError {
    StartError::new(format!("The file store cannot be used: {error}"))
}

async fn rotate(store: &dyn FileStore, old: Option<&str>, names: &[String]) -> Result<bool, StartError> {
    let old = old.map(Key::from_secret);
    let names = (!names.is_empty()).then(|| names.to_vec());
    let terminal = std::io::stderr().is_terminal();
    let mut bar = |progress: Progress<'_>| {
        if terminal {
            let width = 40;
            let filled = progress.done * width / progress.total.max(1);
            let (full, empty) = ("#".repeat(filled), ".".repeat(width - filled));
            eprint!("\r[{full}{empty}] {}/{}", progress.done, progress.total);
            let _ = std::io::stderr().flush();
        } else if let Outcome::Failed(error) = progress.outcome {
            eprintln!("{}: {error}", progress.name);
        }
    };
    let report = rotate_keys(store, names, old.as_ref(), &mut bar).await.map_err(failed)?;
    if terminal {
        eprintln!();
    }
    println!("Files with the new key: {}", report.rotated.len());
    println!("Files that could not be rotated: {}", report.not_rotated.len());
    for (name, reason) in &report.not_rotated {
        println!("{name}: {reason}");
    }
    Ok(report.not_rotated.is_empty())
}

async fn collect(
    storage: &dyn StorageAdapter,
    store: &dyn FileStore,
    app_id: &str,
    dry_run: bool,
) -> Result<bool, StartError> {
    let unused = gc::unused(storage, store, app_id, gc::GRACE).await.map_err(StartError::new)?;
    let (mut bytes, mut complete) = (0, true);
    for file in &unused {
        println!("{}\t{}", file.size, file.name);
        if !dry_run && let Err(error) = store.delete(&file.name).await {
            eprintln!("{}: {error}", file.name);
            complete = false;
            continue;
        }
        bytes += file.size;
    }
    let what = if dry_run { "Unused" } else { "Removed" };
    println!("{what}: {} files, {bytes} bytes", unused.len());
    Ok(complete)
}

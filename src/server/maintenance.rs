//! The commands that look after stored files: `files rotate-key`, `files gc` and `files restore`.
//!
//! They open database and store as a server does, and may run beside one (with a database of its own only
//! while that is stopped, since it serves one process).

use std::io::{IsTerminal, Write};

use serde_json::{Map, Value};

use super::{StartError, cloud, files, storage};
use crate::config::AppConfig;
use crate::config::cli::Command;
use crate::files::config::secret_from_file;
use crate::files::crypt::Key;
use crate::files::rotate::{Outcome, Progress, rotate_keys};
use crate::files::{FileError, FileResult, FileStore};
use crate::operations::files::gc;
use crate::operations::files::module::JavaScriptStore;
use crate::storage::StorageAdapter;

/// Does what the command says and prints what became of it. `Ok(false)`: some of it could not be done.
///
/// # Errors
/// When database or store cannot be used.
pub fn maintain_files(config: AppConfig, command: &Command) -> Result<bool, StartError> {
    crate::tls::install_provider();
    actix_web::rt::System::new().block_on(async {
        if let Command::RotateFileKey { names, .. } = command
            && files::is_custom(&config)
        {
            let old = old_key(command).map_err(failed)?;
            return rotate_in_adapter(&config, old, names).await;
        }
        let database = storage::open(&config, 1).await?;
        let adapter = database.adapter.clone();
        adapter.initialize().await.map_err(|error| storage::unusable(&error))?;
        let store = files::store(
            &config,
            &*database.adapter,
            super::running::outbound(&config, crate::outbound::Settings::default())?,
        )
        .map_err(failed)?;
        let outcome = match command {
            Command::RotateFileKey { names, .. } => {
                let old = old_key(command).map_err(failed)?;
                rotate(&*store, old.as_deref(), names).await
            }
            Command::CollectFiles { dry_run, keep_days } => {
                let terms = gc::Terms { dry_run: *dry_run, ..gc::Terms::keeping_days(*keep_days) };
                collect(&*adapter, &*store, &terms).await
            }
            Command::RestoreFiles { names } => restore(&*store, names).await,
            Command::Serve
            | Command::Attached
            | Command::ConfigDocs
            | Command::ConfigCheck
            | Command::Completions(_)
            | Command::ManPage
            | Command::Migrate { .. }
            | Command::Schema { .. }
            | Command::Types { .. }
            | Command::OpenApi { .. } => Ok(true),
        };
        database.close().await;
        outcome
    })
}

fn old_key(command: &Command) -> FileResult<Option<String>> {
    match command {
        Command::RotateFileKey { old_key: Some(key), .. } => Ok(Some(key.clone())),
        Command::RotateFileKey { old_key_file: Some(path), .. } => secret_from_file(path).map(Some),
        _ => Ok(None),
    }
}

/// Lets an adapter of the application's own do it, by its `rotateEncryptionKey`.
async fn rotate_in_adapter(
    config: &AppConfig,
    old: Option<String>,
    names: &[String],
) -> Result<bool, StartError> {
    let engine = cloud::file_adapter(config).await?;
    let mut options = Map::new();
    if let Some(old) = old {
        options.insert("oldKey".to_owned(), old.into());
    }
    if !names.is_empty() {
        options.insert("fileNames".to_owned(), names.into());
    }
    let outcome = JavaScriptStore::new(engine.clone()).rotate_keys(Value::Object(options)).await;
    engine.shutdown().await;
    let outcome = outcome.map_err(failed)?;
    let list = |key: &str| outcome.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let (rotated, not_rotated) = (list("rotated"), list("notRotated"));
    println!("Files with the new key: {}", rotated.len());
    println!("Files that could not be rotated: {}", not_rotated.len());
    for name in &not_rotated {
        println!("{}", name.as_str().map_or_else(|| name.to_string(), str::to_owned));
    }
    Ok(not_rotated.is_empty())
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
    println!("Files with the new key: {}", report.rotated);
    println!("Files that could not be rotated: {}", report.failed);
    for (name, reason) in &report.not_rotated {
        println!("{name}: {reason}");
    }
    if report.failed > report.not_rotated.len() {
        println!("and {} more", report.failed - report.not_rotated.len());
    }
    Ok(report.failed == 0)
}

/// How many files met a fate, and how large they are.
#[derive(Default)]
struct Sum {
    files: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, size: u64) {
        self.files += 1;
        self.bytes += size;
    }

    fn print(&self, what: &str) {
        println!("{what}: {} files, {} bytes", self.files, self.bytes);
    }
}

async fn collect(
    storage: &dyn StorageAdapter,
    store: &dyn FileStore,
    terms: &gc::Terms,
) -> Result<bool, StartError> {
    let (mut unused, mut restored, mut removed) = (Sum::default(), Sum::default(), Sum::default());
    let mut complete = true;
    let mut tell = |name: &str, size: u64, fate: gc::Fate, outcome: FileResult<()>| {
        if let Err(error) = outcome {
            eprintln!("{name}: {error}");
            complete = false;
            return;
        }
        let (sum, word) = match fate {
            gc::Fate::Unused => (&mut unused, "unused"),
            gc::Fate::Restored => (&mut restored, "referred to again"),
            gc::Fate::Removed => (&mut removed, "removed"),
        };
        println!("{size}\t{name}\t{word}");
        sum.add(size);
    };
    gc::collect(storage, store, terms, &mut tell).await.map_err(StartError::new)?;
    if terms.dry_run {
        unused.print("Unused");
        restored.print("Referred to again");
        removed.print("Unused for long");
    } else {
        unused.print("Set aside");
        restored.print("Restored");
        removed.print("Removed");
    }
    Ok(complete)
}

async fn restore(store: &dyn FileStore, names: &[String]) -> Result<bool, StartError> {
    let (mut restored, mut complete) = (0_u64, true);
    let mut tell = |name: &str, outcome: FileResult<()>| match outcome {
        Ok(()) => {
            println!("{name}");
            restored += 1;
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            complete = false;
        }
    };
    gc::restore(store, names, &mut tell).await.map_err(failed)?;
    println!("Restored: {restored} files");
    Ok(complete)
}

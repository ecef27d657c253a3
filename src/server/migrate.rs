//! The command `migrate`: opens both databases, and prints what became of everything.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use super::{StartError, files, outbound, storage};
use crate::config::{AppConfig, Secret};
use crate::migrate::{self, Named, Progress, Report, Side};
use crate::outbound::Settings;

/// Moves one database into another. `Ok(false)`: something could not be moved, or differs.
///
/// # Errors
/// When a side cannot be opened or read, or the target cannot be written to.
pub fn migrate(config: &AppConfig, from: &str, to: &str, dry_run: bool) -> Result<bool, StartError> {
    if from == to {
        return Err(StartError::new("Both addresses are those of one database: there is nothing to move."));
    }
    crate::tls::install_provider();
    actix_web::rt::System::new().block_on(async {
        let source = storage::open(&on(config, from), 1).await?;
        let target = storage::open(&on(config, to), 1).await?;
        println!("The source is read as it stands: stop what writes to it until the end of the last run.");
        if !dry_run {
            target.adapter.initialize().await.map_err(|error| storage::unusable(&error))?;
        }
        let in_database = config.files.files_adapter.is_none();
        let stores = if in_database {
            let failed = |error| StartError::new(format!("The files cannot be reached: {error}"));
            let here = files::store(config, &*source.adapter, outbound(config, Settings::default())?)
                .map_err(failed)?;
            let there = files::store(config, &*target.adapter, outbound(config, Settings::default())?)
                .map_err(failed)?;
            there.prepare().await.map_err(failed)?;
            Some((here, there))
        } else {
            println!("Files are not in the database, and stay where they are.");
            None
        };
        let side = |database: &'_ storage::Database| database.adapter.clone();
        let (here, there) = (side(&source), side(&target));
        let from = Side { storage: &*here, files: stores.as_ref().map(|(here, _)| &**here) };
        let to = Side { storage: &*there, files: stores.as_ref().map(|(_, there)| &**there) };
        let mut bar = Bar { began: Instant::now(), is_terminal: std::io::stderr().is_terminal() };
        let outcome = migrate::run(&from, &to, dry_run, &mut |progress| bar.show(&progress)).await;
        source.close().await;
        target.close().await;
        let report = outcome.map_err(StartError::new)?;
        print(&report);
        Ok(report.is_clean())
    })
}

fn on(config: &AppConfig, uri: &str) -> AppConfig {
    let mut config = config.clone();
    config.database.uri = Some(Secret::new(uri.to_owned()));
    config
}

struct Bar {
    began: Instant,
    is_terminal: bool,
}

impl Bar {
    fn show(&mut self, progress: &Progress<'_>) {
        let (what, class, done, total) = match progress {
            Progress::Copied { class, done, total } => ("copied", *class, *done, *total),
            Progress::Verified { class, done, total } => ("compared", *class, *done, *total),
            Progress::Files { done } => ("copied", "files", *done, 0),
        };
        if !self.is_terminal {
            return;
        }
        if done <= 500 {
            self.began = Instant::now();
        }
        let rate = (done as f64 / self.began.elapsed().as_secs_f64().max(0.001)).round();
        let left = if rate > 0.0 { total.saturating_sub(done) as f64 / rate } else { 0.0 };
        eprint!("\r\x1b[K{class}: {what} {done}/{total}, {rate}/s, {left:.0} s left");
        let _ = std::io::stderr().flush();
        if done >= total {
            eprintln!();
        }
    }
}

fn print(report: &Report) {
    println!("Classes: {}", report.classes);
    println!("Objects moved: {}, there before: {}", report.objects, report.passed_over);
    println!("Members of relations: {}", report.members);
    println!("Files moved: {}", report.files);
    list("Not moved", &report.refused);
    list("Different", &report.different);
    if report.is_clean() {
        println!("Both sides hold the same. The application can be started with the new databaseURI.");
    }
}

fn list(what: &str, named: &Named) {
    println!("{what}: {}", named.count);
    for entry in &named.first {
        println!("  {entry}");
    }
    let more = named.count - named.first.len() as u64;
    if more > 0 {
        println!("  and {more} more");
    }
}

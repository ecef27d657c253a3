//! The command `migrate`: opens both databases, and prints what became of everything.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::running::outbound;
use super::{StartError, files, storage};
use crate::config::{AppConfig, Secret};
use crate::migrate::{self, Follow, Named, Progress, Report, Side};
use crate::outbound::Settings;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Moves one database into another. `Ok(false)`: something could not be moved, or differs.
///
/// # Errors
/// When a side cannot be opened or read, or the target cannot be written to.
pub fn migrate(
    config: &AppConfig,
    from: &str,
    to: &str,
    dry_run: bool,
    follow: bool,
) -> Result<bool, StartError> {
    if from == to {
        return Err(StartError::new("Both addresses are those of one database: there is nothing to move."));
    }
    crate::tls::install_provider();
    actix_web::rt::System::new().block_on(async {
        let source = storage::open(&on(config, from), 1).await?;
        let target = storage::open(&on(config, to), 1).await?;
        if follow && source.adapter.change_feed().is_none() {
            return Err(StartError::new(
                "The source tells no changes, so they cannot be followed: only a MongoDB replica set does. Stop what \
                 writes to it, and leave out --follow.",
            ));
        }
        if !follow {
            println!("The source is read as it stands: stop what writes to it until the end of the last run.");
        }
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
        let (of_here, of_there) = (from, to);
        let from = Side { storage: &*here, files: stores.as_ref().map(|(here, _)| &**here) };
        let to = Side { storage: &*there, files: stores.as_ref().map(|(_, there)| &**there) };
        let mut bar = Bar { began: Instant::now(), said: None, is_terminal: std::io::stderr().is_terminal() };
        let tell = &mut |progress: Progress<'_>| bar.show(&progress);
        let outcome = if follow {
            let state = state_file(config, of_here, of_there)?;
            println!("How far it is stands in {}.", state.display());
            migrate::follow(&from, &to, Follow { state, stopped: stopped() }, tell).await
        } else {
            migrate::run(&from, &to, dry_run, tell).await
        };
        source.close().await;
        target.close().await;
        let report = outcome.map_err(StartError::new)?;
        print(&report);
        Ok(report.is_clean())
    })
}

/// A file for these two databases, by their names and places.
fn state_file(config: &AppConfig, from: &str, to: &str) -> Result<PathBuf, StartError> {
    // Passwords change, and need not be in it.
    let place = |uri: &str| {
        let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        format!("{scheme}://{}", rest.split('?').next().unwrap_or(rest))
    };
    let mut hasher = DefaultHasher::new();
    (place(from), place(to)).hash(&mut hasher);
    std::fs::create_dir_all(&config.data_dir)
        .map_err(|error| StartError::new(format!("{} cannot be made: {error}", config.data_dir.display())))?;
    Ok(config.data_dir.join(format!("migrate-{:016x}.json", hasher.finish())))
}

/// Becomes true with the Enter key, or SIGUSR1.
fn stopped() -> watch::Receiver<bool> {
    let (said, stopped) = watch::channel(false);
    let by_key = said.clone();
    std::thread::spawn(move || {
        let mut line = String::new();
        // The end of the input is no key.
        if std::io::stdin().read_line(&mut line).is_ok_and(|read| read > 0) {
            let _ = by_key.send(true);
        }
    });
    actix_web::rt::spawn(async move {
        let kind = tokio::signal::unix::SignalKind::user_defined1();
        if let Ok(mut signal) = tokio::signal::unix::signal(kind) {
            signal.recv().await;
            let _ = said.send(true);
        }
        said.closed().await;
    });
    stopped
}

fn on(config: &AppConfig, uri: &str) -> AppConfig {
    let mut config = config.clone();
    config.database.uri = Some(Secret::new(uri.to_owned()));
    config
}

struct Bar {
    began: Instant,
    /// When a line was last written.
    said: Option<Instant>,
    is_terminal: bool,
}

impl Bar {
    fn show(&mut self, progress: &Progress<'_>) {
        let (what, class, done, total) = match progress {
            Progress::Copied { class, done, total } => ("copied", *class, *done, *total),
            Progress::Verified { class, done, total } => ("compared", *class, *done, *total),
            Progress::Files { done } => ("copied", "files", *done, *done),
            Progress::Followed { changes, behind } => {
                let behind = behind.map(|time| format!(", {} ms behind", time.as_millis()));
                return self
                    .line(&format!("changes taken over: {changes}{}", behind.unwrap_or_default()), false);
            }
            Progress::Ready { different } => {
                println!("Both sides are compared; {different} differences, which may be on their way.");
                println!(
                    "READY: what is changed is taken over. Stop the application, then press Enter here (or send SIGUSR1)."
                );
                return;
            }
            Progress::StillWritten => {
                println!("The source is still written to. Waiting until nobody does.");
                return;
            }
            Progress::Anew => {
                println!(
                    "The source does not know any more what was changed since: everything is looked at again."
                );
                return;
            }
        };
        if done <= 1000 {
            self.began = Instant::now();
        }
        let rate = (done as f64 / self.began.elapsed().as_secs_f64().max(0.001)).round();
        let left = if rate > 0.0 { total.saturating_sub(done) as f64 / rate } else { 0.0 };
        self.line(&format!("{class}: {what} {done}/{total}, {rate}/s, {left:.0} s left"), done >= total);
    }

    /// One line that is written over; without a terminal, now and then one.
    fn line(&mut self, text: &str, is_last: bool) {
        if self.is_terminal {
            eprint!("\r\x1b[K{text}");
            if is_last {
                eprintln!();
            }
            let _ = std::io::stderr().flush();
        } else if self.said.is_none_or(|said| said.elapsed() > LINE_EVERY) {
            self.said = Some(Instant::now());
            eprintln!("{text}");
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

//! The program: reads the command line and does what it says.

use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;

use parsimony::config::cli::{self, CliExit, Command};
use parsimony::config::source::{ConfigSource, EnvSource, is_javascript};
use parsimony::config::{self, AppConfig, ConfigError, Loaded};
use parsimony::server::{JavaScriptConfig, Parent, StartError};
use parsimony::{logging, server};

/// Gives the memory of long answers back to the system, which glibc's keeps. Tuned in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(CliExit::Shown(text)) => print(&text),
        Err(CliExit::Refused(line)) => {
            eprintln!("ERROR: {line}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, CliExit> {
    let mut invocation = cli::parse(std::env::args_os())?;
    if let Some(text) = printed(&invocation.command) {
        return Ok(print(&text));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        ConfigError::general(
            format!("The server cannot start: {error}."),
            "Free some memory or file handles.",
        )
    })?;
    let parent = match invocation.command {
        Command::Attached => Some(embedding(&mut invocation)?),
        _ => None,
    };
    // Options of parse-server as a package come from the application alone.
    let variables = parent.is_none().then(std::env::vars_os);
    let env = EnvSource::new(variables.into_iter().flatten().filter_map(|(name, value)| {
        // Variables that are not text are not ours.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    }));
    let file = invocation.config_file.clone().filter(|file| is_javascript(file));
    let javascript = file.clone().map(JavaScriptConfig::new);
    let javascript = javascript.as_ref().map(|source| source as &dyn ConfigSource);
    let loading = config::load(&invocation, &env, javascript);
    let Loaded { mut config, notices, warnings } = runtime.block_on(loading)?;
    config.cloud.config_file = file;
    drop(runtime);
    if let Some(parent) = parent {
        return Ok(serve(config, &notices, &warnings, |config| server::run_embedded(config, parent)));
    }
    match &invocation.command {
        Command::Serve => return Ok(serve(config, &notices, &warnings, |config| server::run(vec![config]))),
        Command::RotateFileKey { .. } | Command::CollectFiles { .. } | Command::RestoreFiles { .. } => {
            return Ok(maintain(config, &invocation.command));
        }
        Command::Migrate { from, to, dry_run, follow } => {
            return Ok(migrate(&config, from, to, *dry_run, *follow));
        }
        Command::Schema { .. } | Command::Types { .. } | Command::OpenApi { .. } => {
            return Ok(describe(config, &invocation.command));
        }
        Command::ConfigCheck
        | Command::Attached
        | Command::ConfigDocs
        | Command::Completions(_)
        | Command::ManPage => {}
    }
    for line in warnings {
        eprintln!("WARNING: {line}");
    }
    let notices: String = notices.iter().map(|line| format!("{line}\n")).collect();
    Ok(print(&format!("{notices}The configuration of {} is valid.\n", config.app_id)))
}

/// What a command prints without any configuration.
fn printed(command: &Command) -> Option<String> {
    match command {
        Command::ConfigDocs => Some(config::docs::markdown()),
        Command::Completions(shell) => Some(config::shell::completions(*shell)),
        Command::ManPage => Some(config::shell::man_page()),
        _ => None,
    }
}

/// A reader that has gone, such as `head`, is no reason to panic.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERROR: Standard output cannot be written: {error}.");
            ExitCode::FAILURE
        }
    }
}

/// The process that embeds this server, with its options in the place of flags.
fn embedding(invocation: &mut cli::Invocation) -> Result<Parent, CliExit> {
    let greeting = std::io::stdin().as_fd().try_clone_to_owned().and_then(Parent::greet);
    let (parent, options) = greeting.map_err(|error| {
        CliExit::Refused(format!("attached: standard input is not the socket of an application: {error}."))
    })?;
    invocation.flags = options;
    Ok(parent)
}

fn serve(
    config: AppConfig,
    notices: &[String],
    warnings: &[String],
    run: impl FnOnce(AppConfig) -> Result<(), StartError>,
) -> ExitCode {
    logging::init(&config.logging);
    for line in notices {
        tracing::info!("{line}");
    }
    for line in warnings {
        tracing::warn!("{line}");
    }
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERROR: {error}");
            // What parse-server's process ends with when its port is taken.
            if error.port_in_use { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

fn migrate(config: &AppConfig, from: &str, to: &str, dry_run: bool, follow: bool) -> ExitCode {
    logging::init(&config.logging);
    match server::migrate(config, from, to, dry_run, follow) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ERROR: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Classes against a file, and what is made out of classes for clients.
fn describe(mut config: AppConfig, command: &Command) -> ExitCode {
    // Standard output is for what was asked for.
    config.logging.silent = true;
    logging::init(&config.logging);
    match server::describe(config, command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ERROR: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Work on stored files, beside a server or instead of one.
fn maintain(config: AppConfig, command: &Command) -> ExitCode {
    logging::init(&config.logging);
    match server::maintain_files(config, command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ERROR: {error}");
            ExitCode::FAILURE
        }
    }
}

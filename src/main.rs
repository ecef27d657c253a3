//! The program: reads the command line and does what it says.

use std::process::ExitCode;

use parsimony::config::cli::{self, CliExit, Command};
use parsimony::config::source::{ConfigSource, EnvSource, is_javascript};
use parsimony::config::{self, AppConfig, ConfigError, Loaded};
use parsimony::server::JavaScriptConfig;
use parsimony::{logging, server};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(CliExit::Shown(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(CliExit::Refused(line)) => {
            eprintln!("ERROR: {line}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, CliExit> {
    let invocation = cli::parse(std::env::args_os())?;
    if invocation.command == Command::ConfigDocs {
        print!("{}", config::docs::markdown());
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        ConfigError::general(
            format!("The server cannot start: {error}."),
            "Free some memory or file handles.",
        )
    })?;
    let env = EnvSource::new(std::env::vars_os().filter_map(|(name, value)| {
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
    match &invocation.command {
        Command::Serve => return Ok(serve(config, &notices, &warnings)),
        Command::RotateFileKey { .. } | Command::CollectFiles { .. } | Command::RestoreFiles { .. } => {
            return Ok(maintain(config, &invocation.command));
        }
        Command::Migrate { from, to, dry_run } => return Ok(migrate(&config, from, to, *dry_run)),
        Command::ConfigDocs | Command::ConfigCheck => {}
    }
    for line in notices {
        println!("{line}");
    }
    for line in warnings {
        eprintln!("WARNING: {line}");
    }
    println!("The configuration of {} is valid.", config.app_id);
    Ok(ExitCode::SUCCESS)
}

fn serve(config: AppConfig, notices: &[String], warnings: &[String]) -> ExitCode {
    logging::init(&config.logging);
    for line in notices {
        tracing::info!("{line}");
    }
    for line in warnings {
        tracing::warn!("{line}");
    }
    match server::run(vec![config]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERROR: {error}");
            // What parse-server's process ends with when its port is taken.
            if error.port_in_use { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

fn migrate(config: &AppConfig, from: &str, to: &str, dry_run: bool) -> ExitCode {
    logging::init(&config.logging);
    match server::migrate(config, from, to, dry_run) {
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

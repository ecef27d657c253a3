//! The program: reads the command line and does what it says.

use std::process::ExitCode;

use parsimony::config::cli::{self, CliExit, Command};
use parsimony::config::source::EnvSource;
use parsimony::config::{self, ConfigError, Loaded};

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
    let Loaded { config, notices, warnings } = runtime.block_on(config::load(&invocation, &env, None))?;
    for line in notices {
        println!("{line}");
    }
    for line in warnings {
        eprintln!("WARNING: {line}");
    }
    match invocation.command {
        Command::ConfigDocs => {}
        Command::ConfigCheck => println!("The configuration of {} is valid.", config.app_id),
        Command::Serve => {
            eprintln!("ERROR: This build contains no server.");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

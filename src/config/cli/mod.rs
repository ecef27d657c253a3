//! The command line: a flag for every option, made from the option table, and the subcommands ([`commands`]).

mod commands;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, Str};
use clap::{Arg, ArgAction, ValueHint, value_parser};
use serde_json::{Map, Value};

pub use self::commands::{Command, LANGUAGES, SchemaTask, Shell};

use self::commands::subcommands;
use super::error::ConfigError;
use super::source::parse_text;
use super::table::{self, Kind, OptionDef};

const CONFIG_FILE: &str = "config";
const ABOUT: &str = "A Parse-Server-compatible backend on PostgreSQL.";
const EXAMPLES: &str = "\
Options can be given on the command line, in the environment variable named with them, or in the \
configuration file; the command line wins over the environment, and that over the file. Flags can also be \
written in kebab case (--master-key). A key of an option that is an object has a flag with a dot, for \
example --liveQuery.classNames or --databaseOptions.statementTimeout.

Examples:
  parsimony
  parsimony config.json
  parsimony --appId APP_ID --masterKey MASTER_KEY --databaseURI postgres://user:password@host/database";

/// What the program was asked to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    pub command: Command,
    /// Options given as flags, keyed by option name or dotted path.
    pub flags: Map<String, Value>,
    pub config_file: Option<PathBuf>,
}

/// Why the program ends before it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CliExit {
    /// `--help` or `--version`: the text belongs on standard output, exit code 0.
    Shown(String),
    /// The text, one line, belongs on standard error, exit code 1.
    Refused(String),
}

impl From<ConfigError> for CliExit {
    fn from(error: ConfigError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Reads the arguments of the process, the program's own name included.
///
/// # Errors
/// Help or version was asked for, an argument is unknown, or a value cannot be parsed.
pub fn parse<I, T>(args: I) -> Result<Invocation, CliExit>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString>,
{
    let args = args.into_iter().map(Into::into).collect();
    let matches = command().try_get_matches_from(join_booleans(args)).map_err(|error| {
        if !error.use_stderr() {
            return CliExit::Shown(error.to_string());
        }
        CliExit::Refused(format!("{}. See --help.", in_one_line(&error.to_string())))
    })?;
    let mut flags = Map::new();
    for (path, option) in flag_options() {
        if let Some(text) = matches.get_one::<String>(&path) {
            let value = parse_text(option, &path, text)?;
            flags.insert(path, value);
        }
    }
    Ok(Invocation {
        command: Command::from_matches(&matches),
        flags,
        config_file: matches.get_one::<PathBuf>(CONFIG_FILE).cloned(),
    })
}

/// The first line of a message of clap, and what it lists below.
fn in_one_line(message: &str) -> String {
    let mut lines = message.lines();
    let line = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let listed: Vec<_> = lines.take_while(|line| line.starts_with("  ")).map(str::trim).collect();
    match line.strip_suffix(':') {
        Some(line) => format!("{line}: {}", listed.join(", ")),
        None => line.to_owned(),
    }
}

/// Every option that has a flag: the top-level ones, and the keys of options that are objects.
fn flag_options() -> impl Iterator<Item = (String, &'static OptionDef)> {
    table::options().flat_map(|option| {
        // Keys of lists such as rateLimit belong to one entry, which a flag cannot name.
        let nested = option.group.filter(|_| option.kind == Kind::Object).into_iter();
        let nested = nested.flat_map(|group| group.options.iter());
        std::iter::once((option.name.to_owned(), option))
            .chain(nested.map(move |key| (format!("{}.{}", option.name, key.name), key)))
    })
}

/// The definition of the command line.
pub(super) fn command() -> clap::Command {
    let file = Arg::new(CONFIG_FILE)
        .value_name("path/to/configuration.json")
        .value_parser(value_parser!(PathBuf))
        .value_hint(ValueHint::FilePath)
        .help("Configuration file (JSON, JSON5)");
    clap::Command::new("parsimony")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .override_usage(
            "parsimony [options] [path/to/configuration.json]\n       parsimony [options] <command>",
        )
        .after_help(EXAMPLES)
        .subcommands(subcommands())
        .disable_help_subcommand(true)
        .arg(file)
        .args(flag_options().map(|(path, option)| flag(path, option)))
}

fn flag(path: String, option: &'static OptionDef) -> Arg {
    let kebab = kebab_case(&path);
    let nested = path.contains('.');
    let mut arg = Arg::new(path.clone())
        .long(path.clone())
        .value_name(option.name)
        .help(help(option))
        .action(ArgAction::Set)
        .allow_hyphen_values(matches!(option.kind, Kind::Number | Kind::NumberOrBool))
        .hide(nested);
    if kebab != path {
        arg = arg.alias(Str::from(kebab));
    }
    if option.kind == Kind::Bool {
        arg = arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .hide_possible_values(true)
            .value_parser(PossibleValuesParser::new(["true", "false", "1", "0"]));
    }
    arg
}

fn help(option: &OptionDef) -> String {
    let mut help = option.help.to_owned();
    if option.status != table::Status::Effective {
        help.push_str(" (not effective yet)");
    }
    match option.default {
        "" => {}
        default if default.len() > 80 => {}
        default => help.push_str(&format!(" [default: {default}]")),
    }
    if !option.env.is_empty() {
        help.push_str(&format!(" [env: {}]", option.env));
    }
    help
}

/// `serverURL` → `server-url`, `restAPIKey` → `rest-api-key`.
pub(super) fn kebab_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut kebab = String::with_capacity(name.len() + 4);
    for (index, &c) in chars.iter().enumerate() {
        let after_lower = index > 0 && (chars[index - 1].is_lowercase() || chars[index - 1].is_ascii_digit());
        let before_lower = index > 0
            && chars[index - 1].is_uppercase()
            && chars.get(index + 1).is_some_and(|next| next.is_lowercase());
        if c.is_uppercase() && (after_lower || before_lower) {
            kebab.push('-');
        }
        kebab.push(if c == '_' { '-' } else { c.to_ascii_lowercase() });
    }
    kebab
}

/// `--verbose true` → `--verbose=true`, so that a boolean flag takes the next word only when that word is
/// a boolean, and not the configuration file.
fn join_booleans(args: Vec<OsString>) -> Vec<OsString> {
    let names: Vec<String> = flag_options()
        .filter(|(_, option)| option.kind == Kind::Bool)
        .flat_map(|(path, _)| [format!("--{path}"), format!("--{}", kebab_case(&path))])
        .collect();
    let mut joined: Vec<OsString> = Vec::with_capacity(args.len());
    let mut only_values = false;
    for arg in args {
        let follows_flag = !only_values
            && joined
                .last()
                .and_then(|last| last.to_str())
                .is_some_and(|last| names.iter().any(|name| name == last));
        if follows_flag && matches!(arg.to_str(), Some("true" | "false" | "1" | "0")) {
            if let Some(last) = joined.last_mut() {
                last.push("=");
                last.push(arg);
            }
            continue;
        }
        only_values |= arg == "--";
        joined.push(arg);
    }
    joined
}

#[cfg(test)]
mod tests;

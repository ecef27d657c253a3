//! The command line: a flag for every option, made from the option table, and the subcommands.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, Str};
use clap::{Arg, ArgAction, ArgMatches, ValueHint, value_parser};
use serde_json::{Map, Value};

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

/// A subcommand is a variant here, a line in [`subcommands`] and one in [`Command::from_matches`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the server.
    Serve,
    /// Print `docs/configuration.md`.
    ConfigDocs,
    /// Check the configuration and exit.
    ConfigCheck,
    /// Print the completions of a shell.
    Completions(Shell),
    /// Print the manual page.
    ManPage,
    /// `attached`: run the server for the process at the other end of standard input.
    Attached,
    /// `files rotate-key`: give stored files the configured encryption key.
    RotateFileKey {
        /// The key they have now; `None`: they are not encrypted.
        old_key: Option<String>,
        /// A file that holds that key.
        old_key_file: Option<PathBuf>,
        /// Only these; empty for all.
        names: Vec<String>,
    },
    /// `files gc`: set files aside that nothing refers to, and remove those that long were.
    CollectFiles {
        dry_run: bool,
        /// How long a file stays set aside.
        keep_days: u64,
    },
    /// `files restore`: bring files back that were set aside; empty for all.
    RestoreFiles { names: Vec<String> },
    /// `migrate`: everything of one database into another.
    Migrate { from: String, to: String, dry_run: bool },
}

/// A shell that can be told of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    const ALL: [(&str, Self); 3] = [("bash", Self::Bash), ("zsh", Self::Zsh), ("fish", Self::Fish)];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, shell)| *shell)
    }
}

/// The subcommands of `files`.
fn files_commands() -> clap::Command {
    let text = |name: &'static str| Arg::new(name).long(name).action(ArgAction::Set);
    let rotate = clap::Command::new("rotate-key")
        .about("Encrypt stored files with the configured key, or decrypt them when none is configured")
        .long_about(
            "Encrypt stored files with the configured encryption key, or decrypt them when none is \
             configured. Without an old key the files are taken for unencrypted. A run that was stopped can \
             be started again.",
        )
        .arg(text("old-key").value_name("KEY").help("The key the files are encrypted with now"))
        .arg(
            text("old-key-file")
                .value_name("PATH")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .conflicts_with("old-key")
                .help("A file that holds the old key"),
        )
        .arg(Arg::new("names").value_name("NAME").num_args(0..).help("Only these files"));
    let dry_run = Arg::new("dry-run").long("dry-run").action(ArgAction::SetTrue);
    let collect = clap::Command::new("gc")
        .about("Set stored files aside that nothing refers to, and remove those that long were set aside")
        .long_about(
            "Set files aside that are older than a day and whose name stands nowhere in the database, bring \
             back those that are referred to again, and remove those that were set aside for keep-days.",
        )
        .arg(dry_run.help("Only list them"))
        .arg(
            text("keep-days")
                .value_name("DAYS")
                .value_parser(value_parser!(u64))
                .default_value("30")
                .help("How many days a file stays set aside before it is removed"),
        );
    let restore = clap::Command::new("restore")
        .about("Bring files back that gc has set aside")
        .arg(Arg::new("names").value_name("NAME").num_args(0..).help("Only these files"));
    clap::Command::new("files")
        .about("Look after stored files: rotate-key, gc, restore")
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .subcommands([rotate, collect, restore])
}

fn migrate_command() -> clap::Command {
    let uri = |name: &'static str, shown: &'static str| Arg::new(name).value_name(shown).required(true);
    clap::Command::new("migrate")
        .about("Move a database into another: mongodb://… to postgres://…, or the other way round")
        .long_about(
            "Copy every class with its objects, relations, permissions and indexes, and the files of the database, \
             into another database, and compare both afterwards. Nothing at the target is overwritten; a run that \
             was stopped can be started again. Nobody may write to the source meanwhile.",
        )
        .arg(uri("from", "FROM").help("The database that is read"))
        .arg(uri("to", "TO").help("The database that is written to"))
        .arg(Arg::new("dry-run").long("dry-run").action(ArgAction::SetTrue).help("Only compare the two"))
}

fn subcommands() -> [clap::Command; 7] {
    [
        files_commands(),
        migrate_command(),
        clap::Command::new("config-docs").about("Print the documentation of all options as Markdown"),
        clap::Command::new("config-check")
            .about("Check the configuration, say what is wrong with it, and exit"),
        clap::Command::new("completions").about("Print the completions of a shell").arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(PossibleValuesParser::new(Shell::ALL.map(|(name, _)| name))),
        ),
        clap::Command::new("man-page").about("Print the manual page"),
        // For programs, not for people.
        clap::Command::new("attached").hide(true).about("Serve the process that holds standard input"),
    ]
}

impl Command {
    fn from_matches(matches: &ArgMatches) -> Self {
        match matches.subcommand() {
            Some(("config-docs", _)) => Self::ConfigDocs,
            Some(("config-check", _)) => Self::ConfigCheck,
            Some(("completions", given)) => {
                let name = given.get_one::<String>("shell").map_or("bash", String::as_str);
                Self::Completions(Shell::named(name).unwrap_or(Shell::Bash))
            }
            Some(("man-page", _)) => Self::ManPage,
            Some(("attached", _)) => Self::Attached,
            Some(("migrate", given)) => Self::Migrate {
                from: given.get_one::<String>("from").cloned().unwrap_or_default(),
                to: given.get_one::<String>("to").cloned().unwrap_or_default(),
                dry_run: given.get_flag("dry-run"),
            },
            Some(("files", matches)) => match matches.subcommand() {
                Some(("rotate-key", given)) => Self::RotateFileKey {
                    old_key: given.get_one("old-key").cloned(),
                    old_key_file: given.get_one("old-key-file").cloned(),
                    names: given.get_many("names").into_iter().flatten().cloned().collect(),
                },
                Some(("restore", given)) => Self::RestoreFiles {
                    names: given.get_many("names").into_iter().flatten().cloned().collect(),
                },
                Some((_, given)) => Self::CollectFiles {
                    dry_run: given.get_flag("dry-run"),
                    keep_days: given.get_one("keep-days").copied().unwrap_or(30),
                },
                None => Self::Serve,
            },
            _ => Self::Serve,
        }
    }
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
mod tests {
    use super::*;

    fn flags(args: &[&str]) -> Map<String, Value> {
        parse([&["parsimony"], args].concat()).unwrap().flags
    }

    #[test]
    fn help_lists_every_option_with_its_variable() {
        let Err(CliExit::Shown(help)) = parse(["parsimony", "--help"]) else { panic!("no help") };
        for option in table::options() {
            assert!(
                help.contains(&format!("--{} ", option.name))
                    || help.contains(&format!("--{}[", option.name)),
                "{}",
                option.name
            );
            assert!(help.contains(&format!("[env: {}]", option.env)), "{}", option.env);
            assert!(help.contains(option.help), "{}", option.help);
        }
        assert!(help.contains("config-check"));
    }

    #[test]
    fn version_is_shown() {
        let shown = CliExit::Shown(format!("parsimony {}\n", env!("CARGO_PKG_VERSION")));
        assert_eq!(parse(["parsimony", "--version"]), Err(shown));
    }

    #[test]
    fn flags_are_parsed_by_type_in_both_spellings() {
        let flags = flags(&[
            "--port",
            "80",
            "--master-key=k",
            "--allowOrigin",
            "a,b",
            "--liveQuery.classNames",
            "X,Y",
            "--database-options.statement-timeout",
            "5",
            "--allow-incomplete",
            "--push",
            r#"{"a":1}"#,
            "--request-complexity.include-depth",
            "-1",
        ]);
        let expected = serde_json::json!({
            "port": 80, "masterKey": "k", "allowOrigin": ["a", "b"], "liveQuery.classNames": ["X", "Y"],
            "databaseOptions.statementTimeout": 5, "allowIncomplete": true, "push": {"a": 1},
            "requestComplexity.includeDepth": -1,
        });
        assert_eq!(Value::Object(flags), expected);
    }

    #[test]
    fn a_boolean_flag_does_not_swallow_the_file() {
        let invocation = parse(["parsimony", "--verbose", "config.json"]).unwrap();
        assert_eq!(invocation.config_file, Some(PathBuf::from("config.json")));
        assert_eq!(invocation.flags["verbose"], true);
        let invocation = parse(["parsimony", "--verbose", "false", "config.json"]).unwrap();
        assert_eq!(invocation.config_file, Some(PathBuf::from("config.json")));
        assert_eq!(invocation.flags["verbose"], false);
    }

    #[test]
    fn subcommands_take_options_before_them() {
        let invocation = parse(["parsimony", "--port", "1", "config-check"]).unwrap();
        assert_eq!(invocation.command, Command::ConfigCheck);
        assert_eq!(invocation.flags["port"], 1);
        assert_eq!(parse(["parsimony", "config-docs"]).unwrap().command, Command::ConfigDocs);
        assert_eq!(parse(["parsimony"]).unwrap().command, Command::Serve);
    }

    #[test]
    fn bad_arguments_are_refused_in_one_line() {
        for (args, expected) in [
            (vec!["--nonsense", "1"], "unexpected argument '--nonsense' found. See --help."),
            (vec!["--port", "x"], "Key port has invalid value x."),
            (
                vec!["--masterKey"],
                "a value is required for '--masterKey <masterKey>' but none was supplied. See --help.",
            ),
            (vec!["--push", "{"], "Key push has invalid value <redacted>."),
            (
                vec!["migrate"],
                "the following required arguments were not provided: <FROM>, <TO>. See --help.",
            ),
        ] {
            let Err(CliExit::Refused(line)) = parse([vec!["parsimony"], args].concat()) else {
                panic!("accepted")
            };
            assert!(line.contains(expected), "{line}");
            assert!(!line.contains('\n'));
        }
    }

    #[test]
    fn names_in_kebab_case_are_distinct() {
        assert_eq!(kebab_case("serverURL"), "server-url");
        assert_eq!(kebab_case("restAPIKey"), "rest-api-key");
        assert_eq!(kebab_case("databaseURI"), "database-uri");
        // clap checks that no two arguments share a name; this runs that check.
        command().debug_assert();
    }
}

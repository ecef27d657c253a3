//! The subcommands.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, ValueHint, value_parser};

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
    Migrate { from: String, to: String, dry_run: bool, follow: bool },
    /// `schema`: classes against a file.
    Schema {
        task: SchemaTask,
        /// Option `schema` of the configuration, where there is none.
        file: Option<PathBuf>,
        /// Data may be lost.
        yes: bool,
    },
    /// `types`: types for clients.
    Types { lang: String, out: Option<PathBuf> },
    /// `openapi`: the description of the REST API.
    OpenApi { out: Option<PathBuf> },
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

/// What `schema` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaTask {
    /// Print what differs.
    Diff,
    /// Print the statements that [`SchemaTask::Apply`] would make.
    Plan,
    Apply,
    /// Write the classes there are.
    Pull,
}

/// Languages of `types`.
pub const LANGUAGES: [&str; 5] = ["ts", "swift", "kotlin", "dart", "csharp"];

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
             was stopped can be started again. Nobody may write to the source meanwhile, except with --follow.",
        )
        .arg(uri("from", "FROM").help("The database that is read"))
        .arg(uri("to", "TO").help("The database that is written to"))
        .arg(Arg::new("dry-run").long("dry-run").action(ArgAction::SetTrue).help("Only compare the two"))
        .arg(
            Arg::new("follow")
                .long("follow")
                .action(ArgAction::SetTrue)
                .conflicts_with("dry-run")
                .help("Take over what the application changes meanwhile (from a MongoDB replica set)")
                .long_help(
                    "Take over what the application changes meanwhile, until it was stopped, which the Enter key or \
                     SIGUSR1 says. The source must be a MongoDB replica set. The target becomes what the source is: \
                     objects there are overwritten. A run that was stopped, killed even, goes on where it was.",
                ),
        )
}

fn path(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf))
}

/// The subcommands of `schema`.
fn schema_commands() -> clap::Command {
    let file = || path("file").help("Classes as in option schema; without it, that option itself");
    let task = |name: &'static str, about: &'static str| clap::Command::new(name).about(about);
    let apply = task("apply", "Make the changes, and ask before data is lost")
        .arg(file())
        .arg(Arg::new("yes").long("yes").action(ArgAction::SetTrue).help("Do not ask: data may be lost"));
    clap::Command::new("schema")
        .about("Hold the classes of the database against a file: diff, plan, apply, pull")
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .subcommands([
            task("diff", "Print what differs; exit code 1 if anything does").arg(file()),
            task("plan", "Print each statement that apply would make, and what it locks").arg(file()),
            apply,
            task("pull", "Write the classes of the database as such a file")
                .arg(path("file").help("Where to; without it, standard output")),
        ])
}

fn types_command() -> clap::Command {
    clap::Command::new("types")
        .about("Write types for clients, one for each class")
        .arg(
            Arg::new("lang")
                .long("lang")
                .value_name("LANGUAGE")
                .required(true)
                .value_parser(PossibleValuesParser::new(LANGUAGES))
                .help("Language of the client"),
        )
        .arg(path("out").help("Where to; without it, standard output"))
}

pub fn subcommands() -> [clap::Command; 10] {
    [
        files_commands(),
        migrate_command(),
        schema_commands(),
        types_command(),
        clap::Command::new("openapi")
            .about("Write the OpenAPI description of the REST API")
            .arg(path("out").help("Where to; without it, standard output")),
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
    pub fn from_matches(matches: &ArgMatches) -> Self {
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
                follow: given.get_flag("follow"),
            },
            Some(("schema", matches)) => {
                let (name, given) = matches.subcommand().unwrap_or(("diff", matches));
                let task = match name {
                    "plan" => SchemaTask::Plan,
                    "apply" => SchemaTask::Apply,
                    "pull" => SchemaTask::Pull,
                    _ => SchemaTask::Diff,
                };
                let yes = task == SchemaTask::Apply && given.get_flag("yes");
                Self::Schema { task, file: given.get_one("file").cloned(), yes }
            }
            Some(("types", given)) => Self::Types {
                lang: given.get_one::<String>("lang").cloned().unwrap_or_default(),
                out: given.get_one("out").cloned(),
            },
            Some(("openapi", given)) => Self::OpenApi { out: given.get_one("out").cloned() },
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

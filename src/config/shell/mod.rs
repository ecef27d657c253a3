//! What shells and `man` are told of the command line: completions and the manual page.
//!
//! Both are written from the definition that arguments are parsed with, so that they cannot know another one. The
//! program prints them, packages install them; nothing here reads or starts anything.

mod bash;
mod fish;
mod man;
mod zsh;

use clap::{Arg, ValueHint};

use super::cli::{self, Shell};

/// The completions of a shell.
pub fn completions(shell: Shell) -> String {
    let mut root = cli::command();
    root.build();
    let commands = Commands::of(&root);
    match shell {
        Shell::Bash => bash::script(&commands),
        Shell::Zsh => zsh::script(&commands),
        Shell::Fish => fish::script(&commands),
    }
}

/// The manual page, section 1.
pub fn man_page() -> String {
    let mut root = cli::command();
    root.build();
    man::page(&root)
}

/// The command and its subcommands, each with the way to it: empty, `/files`, `/files/gc`.
struct Commands<'a> {
    all: Vec<(String, &'a clap::Command)>,
}

impl<'a> Commands<'a> {
    fn of(root: &'a clap::Command) -> Self {
        let mut all = vec![(String::new(), root)];
        let mut next = 0;
        while let Some((path, command)) = all.get(next) {
            let below: Vec<_> =
                visible(command).map(|sub| (format!("{path}/{}", sub.get_name()), sub)).collect();
            all.extend(below);
            next += 1;
        }
        Self { all }
    }

    /// The ways to all subcommands.
    fn paths(&self) -> Vec<&str> {
        self.all.iter().map(|(path, _)| path.as_str()).filter(|path| !path.is_empty()).collect()
    }

    /// Every option after which the next word is not its value.
    fn without_value(&self) -> Vec<String> {
        let all = self.all.iter().flat_map(|(_, command)| flags(command));
        let mut names: Vec<_> =
            all.filter(|flag| flag.takes != Takes::Value).flat_map(|flag| flag.spellings()).collect();
        names.sort();
        names.dedup();
        names
    }
}

fn visible(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    /// `--flag`, or `--flag=false`.
    Boolean,
    Value,
}

/// An option as it is completed.
struct Flag<'a> {
    long: &'a str,
    short: Option<char>,
    help: String,
    takes: Takes,
    /// The key of an option that is an object: there are hundreds, told only to who has written a dot.
    nested: bool,
}

impl Flag<'_> {
    fn spellings(&self) -> Vec<String> {
        let short = self.short.map(|letter| format!("-{letter}"));
        std::iter::once(format!("--{}", self.long)).chain(short).collect()
    }
}

fn flags(command: &clap::Command) -> impl Iterator<Item = Flag<'_>> {
    command.get_arguments().filter_map(|arg| {
        let long = arg.get_long()?;
        Some(Flag {
            long,
            short: arg.get_short(),
            help: summary(arg),
            takes: takes(arg),
            nested: long.contains('.'),
        })
    })
}

fn takes(arg: &Arg) -> Takes {
    let least = arg.get_num_args().map_or(1, |range| range.min_values());
    match arg.get_action().takes_values() {
        false => Takes::Nothing,
        true if least == 0 => Takes::Boolean,
        true => Takes::Value,
    }
}

/// The help of an argument in one line, without default and variable.
fn summary(arg: &Arg) -> String {
    let help = arg.get_help().map(|help| help.to_string()).unwrap_or_default();
    let end =
        [" [default: ", " [env: "].iter().filter_map(|mark| help.find(mark)).min().unwrap_or(help.len());
    let help = help[..end].lines().next().unwrap_or_default();
    shortened(help)
}

fn about(command: &clap::Command) -> String {
    command.get_about().map(|about| shortened(&about.to_string())).unwrap_or_default()
}

/// As much of a text as a list of completions has room for.
fn shortened(text: &str) -> String {
    const MOST: usize = 90;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => {
            let words = text[..end].rsplit_once(' ').map_or(&text[..end], |(words, _)| words);
            format!("{}…", words.trim_end_matches([',', ';', ':', '.']))
        }
    }
}

/// What the arguments without a name may be.
enum Words {
    Nothing,
    Files,
    OneOf(Vec<String>),
}

fn words(command: &clap::Command) -> Words {
    let Some(arg) = command.get_positionals().next() else { return Words::Nothing };
    let possible: Vec<_> =
        arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    match arg.get_value_hint() {
        _ if !possible.is_empty() => Words::OneOf(possible),
        ValueHint::FilePath => Words::Files,
        _ => Words::Nothing,
    }
}

/// In single quotes, as every shell reads them (bash, zsh).
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

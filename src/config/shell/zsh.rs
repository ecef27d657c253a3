//! Completions of zsh, a function for each command.

use super::{Commands, Flag, Takes, Words, about, flags, quoted, visible, words};

pub(super) fn script(commands: &Commands<'_>) -> String {
    let mut script = String::from("#compdef parsimony\n# zsh completion for parsimony\n");
    for (path, command) in &commands.all {
        script.push_str(&function(path, command));
    }
    // Loaded by the completion system, the file is the body of the function; read by hand it only defines it.
    script.push_str("\nif [ \"$funcstack[1]\" = _parsimony ]; then\n  _parsimony \"$@\"\nelse\n  compdef _parsimony parsimony\nfi\n");
    script
}

fn name(path: &str) -> String {
    format!("_parsimony{}", path.replace('/', "__"))
}

fn function(path: &str, command: &clap::Command) -> String {
    let name = name(path);
    let (nested, plain): (Vec<_>, Vec<_>) = flags(command).partition(|flag| flag.nested);
    let list =
        |flags: &[Flag<'_>]| flags.iter().map(|flag| format!("    {}\n", spec(flag))).collect::<String>();
    let mut body = format!("  local -a options\n  options=(\n{}  )\n", list(&plain));
    if !nested.is_empty() {
        body.push_str(&format!(
            "  if [[ $PREFIX == *.* ]]; then\n  options+=(\n{}  )\n  fi\n",
            list(&nested)
        ));
    }
    let subcommands: Vec<_> = visible(command).collect();
    let offered = match words(command) {
        Words::Nothing => "",
        Words::Files => "_files",
        Words::OneOf(values) => &format!("({})", values.join(" ")),
    };
    if subcommands.is_empty() {
        let rest = if offered.is_empty() { String::new() } else { format!(" '*: :{offered}'") };
        body.push_str(&format!("  _arguments -S $options{rest}\n"));
        return format!("\n{name}() {{\n{body}}}\n");
    }
    let commands: String = subcommands
        .iter()
        .map(|sub| format!("    {}\n", quoted(&described(sub.get_name(), &about(sub)))))
        .collect();
    let cases: String = subcommands
        .iter()
        .map(|sub| format!("      {}) {name}__{} ;;\n", sub.get_name(), sub.get_name()))
        .collect();
    let files = if offered.is_empty() { "" } else { "\n  _files" };
    format!(
        "\n{name}_words() {{\n  local -a commands\n  commands=(\n{commands}  )\n  _describe -t commands command commands{files}\n}}\n\
         \n{name}() {{\n  local context state state_descr line curcontext=\"$curcontext\"\n  typeset -A opt_args\n{body}  \
         _arguments -S -C $options '1: :{name}_words' '*:: :->rest'\n  if [[ $state == rest ]]; then\n    case $line[1] in\n{cases}    esac\n  fi\n}}\n"
    )
}

fn described(name: &str, about: &str) -> String {
    format!("{}:{}", name.replace(':', "\\:"), about)
}

fn spec(flag: &Flag<'_>) -> String {
    let help = flag.help.replace('\\', r"\\").replace('[', r"\[").replace(']', r"\]");
    let value = match flag.takes {
        Takes::Nothing => format!("[{help}]"),
        Takes::Boolean => format!("=-[{help}]:: :(true false)"),
        Takes::Value => format!("=[{help}]: :_files"),
    };
    let long = quoted(&format!("--{}{value}", flag.long));
    match flag.short {
        Some(letter) => format!("{} {long}", quoted(&format!("-{letter}[{help}]"))),
        None => long,
    }
}

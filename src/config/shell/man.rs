//! The manual page.

use super::visible;
use crate::config::table;

const NAME: &str = "parsimony \\- backend that speaks the protocol of Parse Server";
const DESCRIPTION: &[&str] = &[
    "Serves the REST, GraphQL and live-query interfaces of Parse Server on PostgreSQL or MongoDB, with Cloud Code in \
     Node.js. It reads the configuration of parse-server: its files, its options and its PARSE_SERVER_* variables.",
    "Without databaseURI it runs a PostgreSQL of its own below dataDir. Without any configuration at all it is a \
     development server: application id myAppId, on the loopback interface, with a random master key.",
    "Options win over variables, and these over the file. Names may also be written in kebab case (--master-key). The \
     key of an option that is an object is an option with a dot, such as --liveQuery.classNames.",
];

pub(super) fn page(root: &clap::Command) -> String {
    let mut page = format!(
        ".TH PARSIMONY 1 \"\" \"parsimony {}\" \"User Commands\"\n.SH NAME\n{NAME}\n.SH SYNOPSIS\n",
        escaped(root.get_version().unwrap_or_default())
    );
    page.push_str(".B parsimony\n[\\fIoptions\\fR] [\\fIconfiguration.json\\fR]\n.br\n");
    page.push_str(".B parsimony\n[\\fIoptions\\fR] \\fIcommand\\fR\n.SH DESCRIPTION\n");
    for paragraph in DESCRIPTION {
        page.push_str(&format!(".PP\n{}\n", escaped(paragraph)));
    }
    page.push_str(".SH COMMANDS\n");
    for command in visible(root) {
        section(&mut page, command, command.get_name());
    }
    page.push_str(".SH OPTIONS\n");
    for arg in root.get_arguments().filter(|arg| !arg.is_hide_set()) {
        option(&mut page, arg);
    }
    page.push_str(".SH ENVIRONMENT\nEvery option names its variable. Besides:\n");
    for (name, meaning) in [
        (
            "PARSIMONY_NODE_MODULES",
            "Folders with npm packages, separated by colons: the Parse SDK and Parse Dashboard.",
        ),
        ("PARSIMONY_PG_BIN", "The folder of PostgreSQL's programs, for the server's own database."),
    ] {
        page.push_str(&format!(".TP\n.B {}\n{}\n", escaped(name), escaped(meaning)));
    }
    page.push_str(
        ".SH EXIT STATUS\n0 when the server was told to stop or the command did its work, and when the port is in use, \
         as with parse-server; 1 with one line on standard error when it could not.\n",
    );
    page.push_str(
        ".SH EXAMPLES\n.nf\nparsimony\nparsimony config.json\nparsimony config\\-check /etc/parsimony/config.json\n\
         parsimony migrate mongodb://localhost/old postgres://localhost/new\n.fi\n",
    );
    page
}

/// A command, or those below it.
fn section(page: &mut String, command: &clap::Command, path: &str) {
    if command.has_subcommands() {
        for sub in visible(command) {
            section(page, sub, &format!("{path} {}", sub.get_name()));
        }
        return;
    }
    let names: String = command
        .get_positionals()
        .map(|arg| {
            let name = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
            match arg.is_required_set() {
                true => format!(" \\fI{}\\fR", escaped(name)),
                false => format!(" [\\fI{}\\fR]", escaped(name)),
            }
        })
        .collect();
    let text =
        command.get_long_about().or(command.get_about()).map(|text| text.to_string()).unwrap_or_default();
    page.push_str(&format!(".TP\n\\fB{}\\fR{names}\n{}\n", escaped(path), escaped(&text)));
    let mut own =
        command.get_arguments().filter(|arg| arg.get_long().is_some_and(|long| long != "help")).peekable();
    if own.peek().is_some() {
        page.push_str(".RS\n");
        own.for_each(|arg| option(page, arg));
        page.push_str(".RE\n");
    }
}

fn option(page: &mut String, arg: &clap::Arg) {
    let Some(long) = arg.get_long() else { return };
    let short = arg.get_short().map(|letter| format!("\\fB\\-{letter}\\fR, ")).unwrap_or_default();
    let value = if arg.get_action().takes_values() { value(arg) } else { String::new() };
    let help = arg.get_help().map(|help| help.to_string()).unwrap_or_default();
    let default =
        arg.get_default_values().first().map(|value| format!(" [default: {}]", value.to_string_lossy()));
    let text = escaped(&(help + default.as_deref().unwrap_or_default()));
    page.push_str(&format!(".TP\n{short}\\fB\\-\\-{}\\fR{value}\n{text}\n", escaped(long)));
}

fn value(arg: &clap::Arg) -> String {
    let kind = arg.get_long().and_then(|long| table::options().find(|option| option.name == long));
    let name = arg.get_value_names().and_then(|names| names.first()).map_or("value", |name| name.as_str());
    let label = kind.map_or(name.to_lowercase(), |option| option.kind.label().to_owned());
    match arg.get_num_args().is_some_and(|range| range.min_values() == 0) {
        true => "[=\\fItrue\\fR|\\fIfalse\\fR]".to_owned(),
        false => format!(" \\fI{}\\fR", escaped(&label)),
    }
}

/// Text as troff takes it for text.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\n', " ");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

//! `docs/configuration.md`, made from the option table.

use std::fmt::Write;

use super::table::{self, Group, OptionDef, Status};

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from the option table (src/config/table). To write it again: UPDATE_DOCS=1 cargo test configuration_md -->

The names, environment variables, types and defaults are those of parse-server 9.10, so that an existing
configuration can be used as it is. Options marked **+** are Parsimony's own.

    parsimony [options] [path/to/configuration.json]

* **Precedence:** command line, then environment, then file, then default.
* **File:** JSON or JSON5, an object of options or `{\"apps\": [options]}` with one entry.
* **Command line:** every option is `--name value`, also in kebab case (`--master-key`). Keys of options
  that are objects have a dot: `--liveQuery.classNames Game,Player`, `--databaseOptions.statementTimeout 5000`.
* **Environment:** only the variables of top-level options are read, as in parse-server; the variables
  listed for keys of objects are parse-server's names for them and are not read. Give the object as JSON in
  the variable of the option. Lists are comma-separated or JSON; booleans are true for `true` and `1`.
* **Mistakes:** a wrong value stops the start with one line that names option, value and remedy, and exit
  code 1. Unknown keys are a warning. `parsimony [options] config-check` checks without starting.
* **No configuration at all:** without a file, `appId` and `masterKey` a development server starts on
  127.0.0.1 with application id `myAppId`, a random master key kept in `<dataDir>/master-key`, and
  `allowClientClassCreation` on. The log says so.
* **Functions:** options marked *fn* may be functions in a JavaScript configuration.

The last column tells what setting an option does: nothing is said where it has its effect; *accepted*
means that it is known but has no effect yet, which is a warning at the start; *protects* means that it
would protect something and has no effect yet, which stops the start unless `allowIncomplete` is set.

";

/// The whole page.
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut options: Vec<&OptionDef> = table::options().collect();
    options.sort_by_key(|option| option.name.to_lowercase());
    page.push_str("## Options\n\n");
    write_table(&options, &mut page);
    for option in &options {
        if let Some(group) = option.group {
            write_group(group, &mut page);
        }
    }
    // Every section ends with an empty line, the page does not.
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn write_group(group: &Group, page: &mut String) {
    page.push_str(&format!("## {}\n\n", group.name));
    write_table(&group.options.iter().collect::<Vec<_>>(), page);
    for option in group.options {
        if let Some(group) = option.group {
            write_group(group, page);
        }
    }
}

fn write_table(options: &[&OptionDef], page: &mut String) {
    page.push_str(
        "| Option | Environment | Type | Default | Meaning | Effect |\n|---|---|---|---|---|---|\n",
    );
    for option in options {
        let mark = if option.ours { " **+**" } else { "" };
        let env = if option.env.is_empty() { String::new() } else { format!("`{}`", option.env) };
        let kind = if option.callable { " or *fn*" } else { "" };
        let default = match option.default {
            "" => String::new(),
            default => format!("`{}`", default.replace('|', "\\|")),
        };
        let effect = match option.status {
            Status::Effective => "",
            Status::Accepted => "*accepted*",
            Status::Protects => "*protects*",
        };
        let help = option.help.replace('|', "\\|").replace('<', "&lt;");
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "| `{}`{mark} | {env} | {}{kind} | {default} | {help} | {effect} |",
            option.name,
            option.kind.label()
        );
    }
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_md_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        let page = markdown();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == page,
            "docs/configuration.md is stale: run UPDATE_DOCS=1 cargo test configuration_md"
        );
    }

    #[test]
    fn every_option_is_in_the_page() {
        let page = markdown();
        for option in table::options() {
            assert!(page.contains(&format!("| `{}`", option.name)), "{}", option.name);
            for key in option.group.iter().flat_map(|group| group.options) {
                assert!(page.contains(&format!("| `{}`", key.name)), "{}", key.name);
            }
        }
    }
}

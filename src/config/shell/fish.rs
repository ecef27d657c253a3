//! Completions of fish.

use super::{Commands, Takes, Words, about, flags, visible, words};

pub(super) fn script(commands: &Commands<'_>) -> String {
    let mut script = TEMPLATE
        .replace("@PLAIN@", &commands.without_value().join(" "))
        .replace("@PATHS@", &commands.paths().join(" "));
    for (path, command) in &commands.all {
        let here = format!("-n '__parsimony_at \"{path}\"'");
        match words(command) {
            Words::Files => {}
            Words::Nothing => script.push_str(&format!("complete -c parsimony {here} -f\n")),
            Words::OneOf(values) => {
                let values = quoted(&values.join(" "));
                script.push_str(&format!("complete -c parsimony {here} -f -a {values}\n"));
            }
        }
        for sub in visible(command) {
            let about = quoted(&about(sub));
            script.push_str(&format!("complete -c parsimony {here} -a {} -d {about}\n", sub.get_name()));
        }
        for flag in flags(command) {
            let dotted = if flag.nested { " -n __parsimony_dotted" } else { "" };
            let short = flag.short.map(|letter| format!(" -s {letter}")).unwrap_or_default();
            let value = if flag.takes == Takes::Value { " -r" } else { "" };
            let help = quoted(&flag.help);
            script.push_str(&format!(
                "complete -c parsimony {here}{dotted}{short} -l {}{value} -d {help}\n",
                flag.long
            ));
        }
    }
    script
}

/// In single quotes as fish reads them.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

const TEMPLATE: &str = r#"# fish completion for parsimony

# Whether the words so far lead to this command: "" is the program itself.
function __parsimony_at
    set -l path ''
    set -l value no
    set -l words (commandline -opc)
    for word in $words[2..]
        if test $value = yes
            set value no
        else if string match -q -- '-*' $word
            if not string match -q -- '*=*' $word; and not contains -- $word @PLAIN@
                set value yes
            end
        else if contains -- "$path/$word" @PATHS@
            set path "$path/$word"
        end
    end
    test "$path" = "$argv[1]"
end

# Keys of options that are objects are hundreds: only for who has written a dot.
function __parsimony_dotted
    string match -q -- '*.*' (commandline -ct)
end

"#;

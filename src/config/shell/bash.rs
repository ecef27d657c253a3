//! Completions of bash, which need nothing but bash.

use super::{Commands, Takes, Words, flags, quoted, visible, words};

pub(super) fn script(commands: &Commands<'_>) -> String {
    let mut cases = String::new();
    for (path, command) in &commands.all {
        let all: Vec<_> = flags(command).collect();
        let names = |nested: bool| {
            let names = all.iter().filter(|flag| flag.nested == nested).flat_map(|flag| flag.spellings());
            names.collect::<Vec<_>>().join(" ")
        };
        let mut offered: Vec<String> = visible(command).map(|sub| sub.get_name().to_owned()).collect();
        let mut files = "";
        match words(command) {
            Words::Nothing => {}
            Words::Files => files = "yes",
            Words::OneOf(values) => offered.extend(values),
        }
        cases.push_str(&format!(
            "        {})\n            options={}\n            nested={}\n            words={}\n            files={files}\n            ;;\n",
            quoted(path),
            quoted(&names(false)),
            quoted(&names(true)),
            quoted(&offered.join(" ")),
        ));
    }
    let paths: Vec<_> = commands.paths().into_iter().map(quoted).collect();
    let booleans = commands.all.iter().flat_map(|(_, command)| flags(command));
    let booleans =
        booleans.filter(|flag| flag.takes == Takes::Boolean).map(|flag| format!("--{}", flag.long));
    TEMPLATE
        .replace("@CASES@", &cases)
        .replace("@PATHS@", &paths.join(" | "))
        .replace("@PLAIN@", &commands.without_value().join(" "))
        .replace("@BOOLEANS@", &booleans.collect::<Vec<_>>().join(" "))
}

const TEMPLATE: &str = r#"# bash completion for parsimony

_parsimony() {
    local cur=${COMP_WORDS[COMP_CWORD]} path= option= value= word i
    local options= nested= words= files=
    local plain=' @PLAIN@ ' booleans=' @BOOLEANS@ '
    COMPREPLY=()
    # bash breaks --option=value into three words.
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word == '=' ]]; then
            value=joined
        elif [[ -n $value ]]; then
            value=
        elif [[ $word == -* ]]; then
            option=$word
            [[ $plain == *" $word "* ]] || value=next
        else
            case $path/$word in
                @PATHS@) path=$path/$word ;;
            esac
        fi
    done
    if [[ $cur == '=' ]]; then
        value=joined cur=
    fi
    if [[ -n $value ]]; then
        # Without an offer here, bash offers files.
        if [[ $value == joined && $booleans == *" $option "* ]]; then
            COMPREPLY=($(compgen -W 'true false' -- "$cur"))
        fi
        return
    fi
    case $path in
@CASES@    esac
    if [[ $cur == -*.* ]]; then
        COMPREPLY=($(compgen -W "$nested" -- "$cur"))
    elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
    else
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
        if [[ -z $files ]]; then
            compopt +o default 2>/dev/null
        else
            local IFS=$'\n'
            compopt -o filenames 2>/dev/null
            COMPREPLY+=($(compgen -f -- "$cur"))
        fi
    fi
}

complete -o default -F _parsimony parsimony
"#;

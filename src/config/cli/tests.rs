use super::*;

fn flags(args: &[&str]) -> Map<String, Value> {
    parse([&["parsimony"], args].concat()).unwrap().flags
}

#[test]
fn help_lists_every_option_with_its_variable() {
    let Err(CliExit::Shown(help)) = parse(["parsimony", "--help"]) else { panic!("no help") };
    for option in table::options() {
        assert!(
            help.contains(&format!("--{} ", option.name)) || help.contains(&format!("--{}[", option.name)),
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
        (vec!["migrate"], "the following required arguments were not provided: <FROM>, <TO>. See --help."),
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

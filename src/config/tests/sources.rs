//! Sources: precedence, types, forms of the file, development defaults.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use futures_util::FutureExt;
use serde_json::{Value, json};

use crate::config::source::EnvSource;
use crate::config::{AppConfig, ConfigError, Loaded, cli, load};

/// Loads like the program does, with the file's content given.
fn load_with(args: &[&str], env: &[(&str, &str)], file: Option<&str>) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let mut all = vec!["parsimony".to_owned()];
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    if let Some(content) = file {
        let path = folder.path().join("config.json");
        std::fs::write(&path, content).unwrap();
        all.push(path.to_string_lossy().into_owned());
    }
    let invocation = cli::parse(all).unwrap();
    load(&invocation, &EnvSource::new(env.iter().copied()), None).now_or_never().unwrap()
}

fn config(args: &[&str], env: &[(&str, &str)], file: &str) -> AppConfig {
    load_with(args, env, Some(file)).unwrap().config
}

const FILE: &str =
    r#"{"appId": "file", "masterKey": "m", "appName": "file", "port": 1, "javascriptKey": "file"}"#;

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let env = [("PARSE_SERVER_APPLICATION_ID", "env"), ("PARSE_SERVER_APP_NAME", "env"), ("PORT", "")];
    let config = config(&["--appId", "flag"], &env, FILE);
    assert_eq!(config.app_id, "flag");
    assert_eq!(config.app_name.as_deref(), Some("env"));
    assert_eq!(config.http.port, 1);
    assert_eq!(config.http.host, "0.0.0.0");
    assert!(config.keys.client_key_required());
}

#[test]
fn dotted_flags_set_one_key() {
    let env = [("PARSE_SERVER_LIVE_QUERY", r#"{"classNames": ["A"], "regexTimeout": 5}"#)];
    let args = ["--liveQuery.classNames", "B,C", "--databaseOptions.statementTimeout", "7"];
    let config = config(&args, &env, FILE);
    assert!(config.live_query.publishes("C") && !config.live_query.publishes("A"));
    assert_eq!(config.live_query.regex_timeout_ms, 5);
    assert_eq!(config.database.options.statement_timeout_ms, 7);
}

#[test]
fn the_environment_is_parsed_by_type() {
    let env = [
        ("PARSE_SERVER_ALLOW_CUSTOM_OBJECT_ID", "1"),
        ("PARSE_SERVER_DIRECT_ACCESS", "no"),
        ("PARSE_SERVER_MASTER_KEY_IPS", "10.0.0.1, ::1"),
        ("PARSE_SERVER_RATE_LIMIT", r#"[{"requestPath": "/x", "requestTimeWindow": 1, "requestCount": 1}]"#),
        ("PARSE_SERVER_TRUST_PROXY", "loopback"),
        ("PARSE_SERVER_CACHE_TTL", "1.9"),
        ("PARSE_SERVER_CLUSTER", "false"),
        ("PARSE_SERVER_FILE_UPLOAD_ENABLE_FOR_PUBLIC", "true"),
        ("PARSE_SERVER_LOGS_FOLDER", "null"),
        ("PARSIMONY_CLOUD_WORKERS", "3"),
    ];
    let Loaded { config, warnings, notices } = load_with(&[], &env, Some(FILE)).unwrap();
    assert!(config.schema.allow_custom_object_id);
    assert!(config.keys.master_key_ips.contains("10.0.0.1".parse().unwrap()));
    assert_eq!(config.rate_limits.len(), 1);
    assert!(config.http.trust_proxy.trusts_peer("127.0.0.1".parse().unwrap()));
    assert_eq!(config.cache.ttl_ms, 1);
    assert_eq!(config.cloud.workers, 3);
    assert_eq!(config.logging.logs_folder, None);
    assert!(!config.files.upload.enable_for_public);
    assert!(
        warnings
            .iter()
            .any(|line| line.starts_with("PARSE_SERVER_FILE_UPLOAD_ENABLE_FOR_PUBLIC is not read"))
    );
    assert!(warnings.iter().any(|line| line.starts_with("PARSE_SERVER_DIRECT_ACCESS counts as false")));
    assert!(notices[0].starts_with("Configuration loaded from "));
}

#[test]
fn the_file_is_parsed_by_type() {
    let file = r#"{
        // JSON5
        appId: 'a', masterKey: 'm', port: '5', allowCustomObjectId: 'true', verifyServerUrl: 0,
        masterKeyIps: '10.0.0.1,::1', requestComplexity: '{"includeDepth": 3}', cacheTTL: 7.9,
    }"#;
    let config = config(&[], &[], file);
    assert_eq!((config.http.port, config.cache.ttl_ms), (5, 7));
    assert!(config.schema.allow_custom_object_id && !config.http.verify_server_url);
    assert!(config.keys.master_key_ips.contains("10.0.0.1".parse().unwrap()));
    assert_eq!(config.request_complexity.include_depth, Some(3));
}

#[test]
fn values_that_cannot_be_parsed_stop_the_start() {
    let message = |env: &[(&str, &str)], file: &str| load_with(&[], env, Some(file)).unwrap_err().message;
    assert_eq!(message(&[("PORT", "x")], FILE), "Key port has invalid value x");
    assert_eq!(message(&[("PARSE_SERVER_PAGES", "{")], FILE), "Key pages has invalid value {");
    assert_eq!(
        message(&[("PARSE_SERVER_AUTH_PROVIDERS", "hush")], FILE),
        "Key auth has invalid value <redacted>"
    );
    assert_eq!(
        message(&[], r#"{"appId": "a", "masterKey": "m", "port": true}"#),
        "Key port has invalid value true"
    );
    assert_eq!(
        message(&[], r#"{"appId": "a", "masterKey": "m", "allowCustomObjectId": "yes"}"#),
        "Parse Server option allowCustomObjectId must be a boolean."
    );
}

#[test]
fn the_file_may_list_one_app() {
    assert_eq!(config(&[], &[], r#"{"apps": [{"appId": "one", "masterKey": "m"}]}"#).app_id, "one");
    let error = load_with(&[], &[], Some(r#"{"apps": [{}, {}]}"#)).unwrap_err();
    assert_eq!(error.message, "Multiple apps are not supported");
    for wrong in ["[]", "5", r#"{"apps": []}"#, r#"{"apps": {}}"#, r#"{"apps": [1]}"#] {
        let error = load_with(&[], &[], Some(wrong)).unwrap_err().to_string();
        assert!(error.contains("must contain an object of options"), "{error}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let line = |args: &[&str]| load_with(args, &[], None).unwrap_err().to_string();
    assert!(
        line(&["/nonexistent/c.json"])
            .starts_with("The configuration file /nonexistent/c.json cannot be read")
    );
    assert!(line(&["/nonexistent/c.js"]).contains("is JavaScript"));
    let error = load_with(&[], &[], Some("{")).unwrap_err().to_string();
    assert!(error.contains("is not valid") && !error.contains('\n'), "{error}");
}

#[test]
fn app_id_and_master_key_are_required_with_any_configuration() {
    let cases: [(&[&str], Option<&str>, &str); 4] = [
        (&[], Some("{}"), "appId"),
        (&[], Some(r#"{"masterKey": "m"}"#), "appId"),
        (&[], Some(r#"{"appId": "a"}"#), "masterKey"),
        (&["--appId", "a"], None, "masterKey"),
    ];
    for (args, file, option) in cases {
        let error = load_with(args, &[], file).unwrap_err();
        assert_eq!(
            (error.option.as_str(), error.message.as_str()),
            (option, "appId and masterKey are required")
        );
    }
}

#[test]
fn without_configuration_a_development_server_starts() {
    let folder = tempfile::tempdir().unwrap();
    let data: PathBuf = folder.path().join("new/data");
    let load = |args: &[&str]| {
        let env = [("PARSIMONY_DATA_DIR", data.to_str().unwrap())];
        load_with(args, &env, None)
    };
    let first = load(&["--port", "4040"]).unwrap();
    assert!(first.config.development);
    assert_eq!(first.config.app_id, "myAppId");
    assert_eq!((first.config.http.host.as_str(), first.config.http.port), ("127.0.0.1", 4040));
    assert!(first.config.schema.allow_client_class_creation);
    assert!(first.warnings.is_empty(), "{:?}", first.warnings);
    let key = first.config.keys.master_key.value().unwrap().expose().clone();
    assert_eq!(key.len(), 40);
    let text = first.notices.join("\n");
    for part in
        ["myAppId", key.as_str(), "127.0.0.1", "allowClientClassCreation", "PARSE_SERVER_APPLICATION_ID"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }

    let file = data.join("master-key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 1);
    let second = load(&[]).unwrap();
    assert_eq!(second.config.keys.master_key.value().unwrap().expose(), &key);

    // What is set stays, except that the server must not be reachable from elsewhere.
    let set = load(&["--allowClientClassCreation", "false", "--host", "localhost"]).unwrap().config;
    assert!(!set.schema.allow_client_class_creation);
    assert_eq!(set.http.host, "localhost");
    let error = load(&["--host", "0.0.0.0"]).unwrap_err();
    assert_eq!((error.option.as_str(), error.message.as_str()), ("host", "appId and masterKey are required"));

    // An empty file, left by a crash, is replaced.
    std::fs::write(&file, "").unwrap();
    assert_ne!(load(&[]).unwrap().config.keys.master_key.value().unwrap().expose(), &key);
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named() {
    let error = load_with(&["--dataDir", "/proc/nonexistent"], &[], None).unwrap_err().to_string();
    assert!(error.contains("/proc/nonexistent/master-key") && error.contains("--dataDir"), "{error}");
}

#[test]
fn a_verbose_start_tells_all_options_but_secrets() {
    let file = r#"{"appId": "a", "masterKey": "hush", "databaseURI": "postgres://u:hush@h/d", "push": {"x": "hush"}}"#;
    let notices = load_with(&["--verbose"], &[], Some(file)).unwrap().notices;
    assert!(notices.contains(&"appId: \"a\"".to_owned()) && notices.contains(&"port: 1337".to_owned()));
    assert!(
        notices.contains(&"masterKey: <REDACTED>".to_owned())
            && notices.contains(&"push: <REDACTED>".to_owned())
    );
    assert!(!notices.iter().any(|line| line.contains("hush")));
}

#[test]
fn callbacks_pass_through_a_javascript_source() {
    let raw: Value = json!({"appId": "js", "masterKey": {"__callback": 1}, "port": 9});
    let invocation = cli::parse(["parsimony", "--port", "10", "config.mjs"]).unwrap();
    let source = raw.as_object().unwrap().clone();
    let env = EnvSource::new(Vec::<(String, String)>::new());
    let loaded = load(&invocation, &env, Some(&source)).now_or_never().unwrap().unwrap();
    assert_eq!((loaded.config.app_id.as_str(), loaded.config.http.port), ("js", 10));
    assert!(loaded.config.keys.master_key.callback().is_some());
}

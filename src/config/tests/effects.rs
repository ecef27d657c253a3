//! That options have effect: no option of the table is read into nothing.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::table::{self, Kind, OptionDef, Status};
use super::super::*;

/// Every Rust file below, without those of tests.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") && !name.contains("tests") {
            found.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Fields of options that the table calls accepted, and those options: they are checked, and that is all.
const CHECKED_ONLY: &[(&str, &str)] = &[
    ("allow_expired_auth_data_token", "allowExpiredAuthDataToken"),
    ("cache_timeout_ms", "liveQueryServerOptions.cacheTimeout"),
    ("log_level", "liveQueryServerOptions.logLevel"),
    ("signup_username_taken", "logLevels.signupUsernameTaken"),
];

/// What only another option, or a function, makes visible in the configuration.
const HIDDEN: &[&str] =
    &["allowIncomplete", "serverStartComplete", "serverCloseComplete", "liveQuery.eventLogRetention"];

#[test]
fn every_field_of_the_configuration_is_read() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let declared = regex::Regex::new(r"(?m)^    pub ([a-z_0-9]+): ").unwrap();
    let read = regex::Regex::new(r"\.\s*([a-z_0-9]+)\b").unwrap();
    let mut used = BTreeSet::new();
    for (_, text) in &files {
        used.extend(read.captures_iter(text).map(|found| found[1].to_owned()));
    }
    let sections = files.iter().filter(|(name, _)| name.starts_with("src/config/sections/"));
    let fields: BTreeSet<_> = sections
        .flat_map(|(_, text)| declared.captures_iter(text).map(|found| found[1].to_owned()))
        .collect();
    assert!(fields.len() > 50, "{fields:?}");
    let unread: Vec<&str> = fields.difference(&used).map(String::as_str).collect();
    let known: Vec<&str> = CHECKED_ONLY.iter().map(|(field, _)| *field).collect();
    assert_eq!(unread, known, "options that are read into fields that nobody looks at have no effect");
    for (_, path) in CHECKED_ONLY {
        assert_eq!(table::find_path(path).map(|option| option.status), Some(Status::Accepted), "{path}");
    }
}

/// All options that the table calls effective, those of groups included.
fn effective(options: impl Iterator<Item = &'static OptionDef>, group: &str, found: &mut Vec<String>) {
    for option in options {
        let path = if group.is_empty() { option.name.to_owned() } else { format!("{group}.{}", option.name) };
        if let Some(group) = option.group {
            effective(group.options.iter(), &path, found);
        }
        if option.status == Status::Effective {
            found.push(path);
        }
    }
}

#[test]
fn every_effective_option_is_named_by_code() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    // Where an option is only listed, or set, it has no effect.
    files.retain(|(name, _)| !name.starts_with("src/config/table/") && name != "src/config/compat.rs");
    let text: String = files.into_iter().map(|(_, text)| text).collect();
    let mut paths = Vec::new();
    effective(table::options(), "", &mut paths);
    let mut dead: Vec<String> = Vec::new();
    for path in paths {
        let name = path.rsplit('.').next().unwrap_or(&path);
        // Pages have a name each, which the URL of `customUrls` is found by.
        if !text.contains(&format!("\"{name}\""))
            && !path.starts_with("pages.customUrls.")
            && path != "compat"
        {
            dead.push(path);
        }
    }
    assert!(dead.is_empty(), "called effective, and named nowhere: {dead:#?}");
}

/// Values that another kind of effect may need, one of which is surely not the default.
fn others(option: &OptionDef) -> Vec<Value> {
    let mut values = match option.kind {
        Kind::Bool => vec![],
        Kind::Number => vec![json!(7), json!(1)],
        Kind::NumberOrBool => vec![json!(7), json!(true)],
        Kind::NumberOrText => vec![json!(7), json!("7")],
        Kind::Text => {
            vec![json!("other"), json!("http://other.example/x"), json!("postgres://h/d"), json!("debug")]
        }
        Kind::List => vec![json!(["other"]), json!(["127.0.0.1"]), json!(["postgres://h/d"]), json!([])],
        Kind::Object => vec![json!({"other": {"other": "other"}}), json!({"other": ["other"]}), json!([])],
        Kind::Module => vec![json!("other"), json!({"module": "other"})],
    };
    values.extend([json!(true), json!(false)]);
    values
}

fn with(path: &[&str], value: Value) -> Value {
    path.iter().rev().fold(value, |value, key| {
        let mut object = Map::new();
        object.insert((*key).to_owned(), value);
        Value::Object(object)
    })
}

/// Whether another value of the option changes what is read, or is refused, on one of the databases.
fn changes(path: &[&str], option: &OptionDef) -> bool {
    ["postgres://h/d", "mongodb://h/d"].into_iter().any(|database| changes_with(database, path, option))
}

fn changes_with(database: &str, path: &[&str], option: &OptionDef) -> bool {
    let read = |options: Value| {
        let mut all = json!({"appId": "test", "masterKey": "master", "databaseURI": database});
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        AppConfig::from_json(all).map(|(config, _)| format!("{config:?}"))
    };
    let base = match path {
        [_] => read(json!({})),
        [group, ..] => read(with(&[group], json!({}))),
        [] => return true,
    };
    others(option).into_iter().any(|value| match (&base, read(with(path, value))) {
        (Ok(base), Ok(other)) => *base != other,
        _ => true,
    })
}

#[test]
fn every_effective_option_changes_the_configuration() {
    let mut dead = Vec::new();
    for option in table::options() {
        if option.status == Status::Effective && !changes(&[option.name], option) {
            dead.push(option.name.to_owned());
        }
        // Groups inside of lists and of groups are objects of their own: their options are checked as
        // fields, above.
        for key in option.group.iter().flat_map(|group| group.options) {
            if key.status == Status::Effective && !changes(&[option.name, key.name], key) {
                dead.push(format!("{}.{}", option.name, key.name));
            }
        }
    }
    // These go to the driver of MongoDB as they are.
    let driver = concat!(
        include_str!("../../storage/mongo/connection/options.rs"),
        include_str!("../../storage/mongo/connection/events.rs")
    );
    let is_drivers = |name: &str| {
        name.strip_prefix("databaseOptions.").is_some_and(|key| driver.contains(&format!("\"{key}\"")))
    };
    dead.retain(|name| !HIDDEN.contains(&name.as_str()) && !is_drivers(name));
    assert!(dead.is_empty(), "called effective, but read by nobody: {dead:#?}");
}

//! Starts Parse Dashboard where a configuration asks for it (option `dashboard`).

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::config::{AppConfig, DashboardConfig, OptionValue, Secret};
use crate::dashboard::{Dashboard, Launch, PACKAGE, find_package};

/// The dashboard of the first application that wants one, for all applications of the process. Without the npm
/// package, or without keys that could be given to it, there is none, which the log says.
pub fn start(configs: &[Arc<AppConfig>], node_modules: &[PathBuf], port: u16) -> Option<Arc<Dashboard>> {
    let (first, config) = configs.iter().find_map(|app| Some((app, app.dashboard.as_ref()?)))?;
    let Some(package) = find_package(node_modules) else {
        let remedy = "Install it with `npm install parse-dashboard@9` where the server runs, or name its folder in PARSIMONY_NODE_MODULES.";
        tracing::warn!("There is no dashboard: the npm package {PACKAGE} is not installed. {remedy}");
        return None;
    };
    let mut apps: Vec<Value> = configs.iter().filter_map(|app| app_of(app, config)).collect();
    if apps.is_empty() {
        tracing::warn!("There is no dashboard: masterKey is a function, and the dashboard needs a key.");
        return None;
    }
    // Applications of other servers, with keys of their own.
    let ids: Vec<&str> = configs.iter().map(|app| app.app_id.as_str()).collect();
    let others = config.apps.expose().iter();
    let others =
        others.filter(|app| app.get("appId").and_then(Value::as_str).is_some_and(|id| !ids.contains(&id)));
    apps.extend(others.cloned());
    let launch = Launch {
        config: config.clone(),
        package,
        apps: Secret::new(apps),
        url: format!("http://{}:{port}", here(&first.http.host)),
    };
    Dashboard::start(launch)
        .inspect_err(
            |error| tracing::warn!(%error, "There is no dashboard: its folder cannot be made: {error}"),
        )
        .ok()
}

/// The application as the dashboard's configuration has it; what the option says of it counts first.
fn app_of(app: &AppConfig, config: &DashboardConfig) -> Option<Value> {
    let OptionValue::Value(key) = &app.keys.master_key else { return None };
    let said = config.apps.expose().iter().find(|said| said.get("appId").is_some_and(|id| *id == app.app_id));
    let said = said.and_then(Value::as_object).cloned().unwrap_or_default();
    let mut paths = Map::new();
    paths.insert("serverURL".to_owned(), app.http.mount_path.as_str().into());
    if app.graphql.mount {
        paths.insert("graphQLServerURL".to_owned(), app.graphql.path.as_str().into());
    }
    let mut all = Map::new();
    all.insert("appId".to_owned(), app.app_id.as_str().into());
    all.insert("masterKey".to_owned(), key.expose().as_str().into());
    let texts =
        [("readOnlyMasterKey", &app.keys.read_only_master_key), ("javascriptKey", &app.keys.javascript_key)];
    for (name, key) in texts {
        if let Some(key) = key {
            all.insert(name.to_owned(), key.expose().as_str().into());
        }
    }
    all.insert("appName".to_owned(), app.app_name.as_deref().unwrap_or(&app.app_id).into());
    all.insert("paths".to_owned(), json!(paths));
    all.extend(said);
    Some(Value::Object(all))
}

/// How a browser on this machine calls the address that the server listens on.
fn here(host: &str) -> &str {
    match host {
        "0.0.0.0" | "::" | "127.0.0.1" | "" => "localhost",
        other => other,
    }
}

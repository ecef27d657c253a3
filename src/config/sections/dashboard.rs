//! Parse Dashboard (option `dashboard`), with the names of its own configuration.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::config::error::ConfigError;
use crate::config::reader::Reader;
use crate::config::secret::Secret;

#[derive(Clone, Debug)]
pub struct DashboardConfig {
    /// Begins with `/` and does not end with it.
    pub path: String,
    /// `None`: nobody but whoever has the link of the log.
    pub users: Option<Secret<Vec<Value>>>,
    /// What is said of applications, by `appId`.
    pub apps: Secret<Vec<Value>>,
    /// `X-Forwarded-Proto` says whether a request came by TLS.
    pub trust_proxy: bool,
    pub cookie_session_secret: Option<Secret<String>>,
    /// Milliseconds.
    pub cookie_session_max_age: Option<u64>,
    pub memory_limit_mb: u64,
    /// Passwords of users are bcrypt hashes.
    pub use_encrypted_passwords: bool,
    pub icons_folder: Option<PathBuf>,
    /// Browsers keep its files.
    pub enable_resource_cache: bool,
    /// Models of its agent, with their keys.
    pub agent: Option<Secret<Map<String, Value>>>,
}

impl DashboardConfig {
    /// `None` when there is none. A development server has one.
    pub(in crate::config) fn read(
        reader: Reader<'_>,
        development: bool,
    ) -> Result<Option<Self>, ConfigError> {
        match reader.raw("dashboard") {
            Some(Value::Bool(false)) => return Ok(None),
            None if !development => return Ok(None),
            None | Some(Value::Bool(true) | Value::Object(_)) => {}
            Some(_) => {
                let text = "Parse Server option dashboard must be a boolean or an object.";
                return Err(reader.fail("dashboard", text));
            }
        }
        let group = reader.group_or_flag("dashboard")?;
        let path = group.required_text("path")?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
        if !path.starts_with('/') || path.len() < 2 || path.ends_with('/') || !path.chars().all(fits) {
            let text =
                "Parse Server option dashboard.path must begin with a slash, not end with one, and be plain.";
            return Err(group.fail("path", text));
        }
        let mount = reader.required_text("mountPath")?;
        if path.trim_matches('/').eq_ignore_ascii_case(mount.trim_matches('/')) {
            let text = "Parse Server option dashboard.path must differ from mountPath.";
            return Err(group.fail("path", text));
        }
        let users = list(group, "users", &["user", "pass"])?;
        if users.as_ref().is_some_and(Vec::is_empty) {
            return Err(group.fail("users", "Parse Server option dashboard.users must not be empty."));
        }
        let reads_only = |user: &Value| {
            let apps = user.get("apps").and_then(Value::as_array);
            is_on(user, "readOnly") || apps.is_some_and(|apps| apps.iter().any(|app| is_on(app, "readOnly")))
        };
        let apps = list(group, "apps", &["appId"])?.unwrap_or_default();
        let own_key = apps.iter().any(|app| app.get("readOnlyMasterKey").is_some());
        if users.iter().flatten().any(reads_only) && reader.secret("readOnlyMasterKey")?.is_none() && !own_key
        {
            let text = "A readOnly user of the dashboard needs the option readOnlyMasterKey.";
            return Err(group.fail("users", text));
        }
        Ok(Some(Self {
            users: users.map(Secret::new),
            apps: Secret::new(apps),
            trust_proxy: group.bool("trustProxy")?,
            cookie_session_secret: group.secret("cookieSessionSecret")?,
            cookie_session_max_age: group.whole("cookieSessionMaxAge", 1)?,
            memory_limit_mb: group.required_whole("memoryLimit", 64)?,
            use_encrypted_passwords: group.bool("useEncryptedPasswords")?,
            icons_folder: group.text("iconsFolder")?.filter(|folder| !folder.is_empty()).map(PathBuf::from),
            enable_resource_cache: group.bool("enableResourceCache")?,
            agent: group.object("agent")?.cloned().map(Secret::new),
            path,
        }))
    }
}

fn is_on(value: &Value, name: &str) -> bool {
    value.get(name).is_some_and(crate::types::javascript::is_truthy)
}

/// A list of objects, each of which has texts of these names.
fn list(group: Reader<'_>, name: &str, needed: &[&str]) -> Result<Option<Vec<Value>>, ConfigError> {
    let wrong = || {
        let names = needed.join(" and ");
        group.fail(
            name,
            format!("Parse Server option dashboard.{name} must be an array of objects with {names}."),
        )
    };
    match group.raw(name) {
        None => Ok(None),
        Some(Value::Array(items)) => {
            let has = |item: &Value, name: &&str| {
                item.get(*name).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
            };
            let is_whole = items.iter().all(|item| needed.iter().all(|name| has(item, name)));
            if is_whole { Ok(Some(items.clone())) } else { Err(wrong()) }
        }
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::config::AppConfig;

    fn error(dashboard: Value) -> String {
        let options = json!({ "appId": "a", "masterKey": "m", "dashboard": dashboard });
        AppConfig::from_json(options).expect_err("it is wrong").to_string()
    }

    #[test]
    fn it_is_off_unless_asked_for() {
        assert!(AppConfig::for_tests(json!({})).dashboard.is_none());
        assert!(AppConfig::for_tests(json!({ "dashboard": false })).dashboard.is_none());
        let on = AppConfig::for_tests(json!({ "dashboard": true })).dashboard.unwrap();
        assert_eq!((on.path.as_str(), on.users.is_none(), on.memory_limit_mb), ("/dashboard", true, 256));
    }

    #[test]
    fn bad_input_is_named() {
        for (bad, text) in [
            (json!("yes"), "must be a boolean or an object"),
            (json!({ "path": "dashboard" }), "dashboard.path"),
            (json!({ "path": "/parse" }), "differ from mountPath"),
            (json!({ "users": [] }), "must not be empty"),
            (json!({ "users": [{ "user": "a" }] }), "user and pass"),
            (json!({ "users": [{ "user": "a", "pass": "b", "readOnly": true }] }), "readOnlyMasterKey"),
            (
                json!({ "users": [{ "user": "a", "pass": "b", "apps": [{ "appId": "a", "readOnly": true }] }] }),
                "readOnlyMasterKey",
            ),
            (json!({ "apps": [{}] }), "appId"),
            (json!({ "memoryLimit": 10 }), "memoryLimit"),
        ] {
            let error = error(bad);
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let error = error(json!({ "users": [{ "user": "a", "pass": "a password", "readOnly": true }] }));
        assert!(!error.contains("a password"), "{error}");
        let on = AppConfig::for_tests(
            json!({ "dashboard": { "users": [{ "user": "a", "pass": "a password" }] } }),
        );
        assert!(!format!("{on:?}").contains("a password"));
    }
}

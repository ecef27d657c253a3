//! What is said about options that are accepted: unknown keys, options without effect, options whose
//! default is to change, values that are unwise.

use serde_json::{Map, Value};

use super::error::{ConfigError, is_secret};
use super::table::{self, Group, OptionDef, Status};

/// Dotted paths of keys that no option has, as parse-server lists them.
pub(super) fn unknown_keys(options: &Map<String, Value>) -> Vec<String> {
    let mut unknown = Vec::new();
    for (name, value) in options {
        match table::find(name) {
            None => unknown.push(name.clone()),
            Some(option) => unknown_below(option, name, value, &mut unknown),
        }
    }
    unknown
}

fn unknown_below(option: &OptionDef, path: &str, value: &Value, unknown: &mut Vec<String>) {
    let Some(group) = option.group else { return };
    match value {
        Value::Object(object) => unknown_in(group, path, object, unknown),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if let Value::Object(object) = item {
                    unknown_in(group, &format!("{path}[{index}]"), object, unknown);
                }
            }
        }
        _ => {}
    }
}

fn unknown_in(group: &Group, path: &str, object: &Map<String, Value>, unknown: &mut Vec<String>) {
    for (name, value) in object.iter().filter(|(name, _)| *name != "__callback") {
        let path = format!("{path}.{name}");
        match group.find(name) {
            None => unknown.push(path),
            Some(option) => unknown_below(option, &path, value, unknown),
        }
    }
}

/// The line about unknown keys, if there are any.
pub(super) fn unknown_keys_warning(options: &Map<String, Value>) -> Option<String> {
    let unknown = unknown_keys(options);
    (!unknown.is_empty())
        .then(|| format!("Invalid key(s) found in Parse Server configuration: {}", unknown.join(", ")))
}

/// Paths of the options with this status that were set to something that matters.
fn set_with_status(options: &Map<String, Value>, status: Status) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in options {
        if let Some(option) = table::find(name) {
            collect_status(option, name, value, status, &mut found);
        }
    }
    found
}

fn collect_status(option: &OptionDef, path: &str, value: &Value, status: Status, found: &mut Vec<String>) {
    if option.status == status && matters(option, value) {
        found.push(path.to_owned());
    }
    let Some(group) = option.group else { return };
    let objects: Vec<&Map<String, Value>> = match value {
        Value::Object(object) => vec![object],
        Value::Array(items) => items.iter().filter_map(Value::as_object).collect(),
        _ => Vec::new(),
    };
    for (name, value) in objects.into_iter().flatten() {
        if let Some(option) = group.find(name) {
            collect_status(option, &format!("{path}.{name}"), value, status, found);
        }
    }
}

/// Whether the value asks for something: not the default, and neither null, false, nor empty.
fn matters(option: &OptionDef, value: &Value) -> bool {
    let empty = match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    };
    !empty && option.default_value().as_ref() != Some(value)
}

/// The line about options that have no effect yet, if any was set.
///
/// # Errors
/// An option that protects something was set and has no effect, and `allow_incomplete` is off.
pub(super) fn without_effect(
    options: &Map<String, Value>,
    allow_incomplete: bool,
) -> Result<Option<String>, ConfigError> {
    let protecting = set_with_status(options, Status::Protects);
    if let (Some(path), false) = (protecting.first(), allow_incomplete) {
        let message = format!("{path} protects something and is not effective yet");
        let value = path.split('.').try_fold(None, |at: Option<&Value>, key| match at {
            None => options.get(key).map(Some),
            Some(value) => value.get(key).map(Some),
        });
        return Err(ConfigError::new(path, message, value.flatten())
            .with_remedy(format!("Remove {path}, or start with --allowIncomplete to go without it.")));
    }
    let mut accepted = set_with_status(options, Status::Accepted);
    accepted.extend(protecting);
    Ok((!accepted.is_empty()).then(|| format!("Accepted, not effective yet: {}", accepted.join(", "))))
}

/// Option, the default it is to get, and the value that keeps today's behaviour. parse-server announces
/// the same for limits in `requestComplexity`, whose new defaults already hold here.
const COMING_DEFAULTS: [(&str, &str, &str); 8] = [
    ("fileUpload.allowedFileUrlDomains", "[]", r#"["*"]"#),
    ("pages.encodePageParamHeaders", "true", "false"),
    ("readOnlyMasterKeyIps", r#"["127.0.0.1","::1"]"#, r#"["0.0.0.0/0","::0"]"#),
    ("protectedFieldsOwnerExempt", "false", "true"),
    ("protectedFieldsTriggerExempt", "true", "false"),
    ("protectedFieldsSaveResponseExempt", "false", "true"),
    ("installation.duplicateDeviceTokenActionEnforceAuth", "true", "false"),
    ("allowAggregationForReadOnlyMasterKey", "false", "true"),
];

/// Options that are to go away, and whether setting them to false is the way to be ready for that.
const GOING: [(&str, bool); 5] = [
    ("mountPlayground", false),
    ("playgroundPath", false),
    ("enableProductPurchaseLegacyApi", true),
    ("allowExpiredAuthDataToken", true),
    ("userSensitiveFields", false),
];

/// A line for each option whose default is to change and that was not set, and for each that was set and
/// is to go away.
pub(super) fn deprecations(options: &Map<String, Value>) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, coming, today) in COMING_DEFAULTS {
        if lookup(options, path).is_none() {
            lines.push(format!(
                "DeprecationWarning: The default of {path} will become {coming}. Set it to that value to have it now, or to {today} to keep things as they are."
            ));
        }
    }
    for (path, false_is_ready) in GOING {
        let Some(value) = lookup(options, path) else { continue };
        if false_is_ready && value == &Value::Bool(false) {
            continue;
        }
        let remedy = match path {
            "userSensitiveFields" => "List the fields in protectedFields instead.",
            _ if false_is_ready => "Set it to false or remove it.",
            _ => "Remove it.",
        };
        lines.push(format!("DeprecationWarning: {path} will be removed. {remedy}"));
    }
    if options.get("enableInsecureAuthAdapters") == Some(&Value::Bool(true)) {
        lines.push(
            "DeprecationWarning: Insecure modes of login providers will be removed. Set enableInsecureAuthAdapters to false."
                .to_owned(),
        );
    }
    lines
}

/// Every option that has a value, as `name: value`, for a verbose start. Secrets, and everything that may
/// contain one, are redacted.
pub(super) fn all_options(options: &Map<String, Value>) -> Vec<String> {
    let given = |option: &OptionDef| options.get(option.name).cloned().or_else(|| option.default_value());
    let lines = table::options().filter_map(|option| {
        let value = given(option)?;
        let shown = if is_secret(option.name) && !value.is_null() {
            "<REDACTED>".to_owned()
        } else {
            value.to_string()
        };
        Some(format!("{}: {shown}", option.name))
    });
    lines.collect()
}

fn lookup<'a>(options: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    let mut value = options.get(parts.next()?)?;
    for part in parts {
        value = value.get(part)?;
    }
    (!value.is_null()).then_some(value)
}

/// Characters that have a meaning in URLs, where application ids are used.
pub(super) fn app_id_warning(app_id: &str) -> Option<String> {
    app_id.contains(|c| "!#$%'()*+&/:;=?@[]{}^,|<>".contains(c)).then(|| {
        format!(
            "appId \"{app_id}\" contains characters that have a meaning in URLs, which can lead to problems."
        )
    })
}

//! Defaults for a start without any configuration: what a newcomer needs to try the server.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand::distr::Alphanumeric;
use serde_json::{Map, Value};

use super::error::ConfigError;

/// Application id of the development server, the one Parse's guides use.
pub const APP_ID: &str = "myAppId";
const HOST: &str = "127.0.0.1";
const KEY_FILE: &str = "master-key";
const KEY_LENGTH: usize = 40;

/// Whether the development defaults apply: no configuration file, and neither `appId` nor `masterKey`.
pub(super) fn applies(options: &Map<String, Value>, has_file: bool) -> bool {
    let is_set = |name: &str| options.get(name).is_some_and(|value| !value.is_null() && value != "");
    !has_file && !is_set("appId") && !is_set("masterKey")
}

/// Puts the development defaults where nothing is set, and says so in lines for the log. The master key
/// is kept in the data folder, readable by its owner only.
///
/// # Errors
/// The server is to be reachable from elsewhere, or the key cannot be kept.
pub(super) fn apply(options: &mut Map<String, Value>, data_dir: &Path) -> Result<Vec<String>, ConfigError> {
    if let Some(host) = options.get("host").filter(|host| !host.is_null())
        && !is_loopback(host)
    {
        let error = ConfigError::new("host", "appId and masterKey are required", Some(host));
        return Err(error.with_remedy(
            "Without them the server runs with development defaults and on the loopback address only: set appId and masterKey, or leave out host.",
        ));
    }
    let (file, key) = master_key(data_dir)?;
    let mut lines = vec![
        "No configuration: this is a development server.".to_owned(),
        format!("  appId is {APP_ID}"),
        format!("  masterKey is {key} (kept in {})", file.display()),
    ];
    options.insert("appId".to_owned(), APP_ID.into());
    options.insert("masterKey".to_owned(), key.into());
    let mut default = |name: &str, value: Value, line: &str| {
        let entry = options.entry(name).or_insert(Value::Null);
        if entry.is_null() {
            *entry = value;
            lines.push(format!("  {line}"));
        }
    };
    default("host", HOST.into(), "host is 127.0.0.1: reachable from this machine only");
    default(
        "allowClientClassCreation",
        true.into(),
        "allowClientClassCreation is on: clients make classes by using them",
    );
    lines.push(
        "To leave these defaults, set appId and masterKey, for example PARSE_SERVER_APPLICATION_ID and PARSE_SERVER_MASTER_KEY; see --help."
            .to_owned(),
    );
    Ok(lines)
}

fn is_loopback(host: &Value) -> bool {
    let Some(host) = host.as_str() else { return true };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads the key that an earlier start left, or makes one.
fn master_key(data_dir: &Path) -> Result<(PathBuf, String), ConfigError> {
    let path = data_dir.join(KEY_FILE);
    let fail = |what: &str, error: std::io::Error| {
        let message = format!("The master key cannot be {what} {}: {error}.", path.display());
        ConfigError::general(
            message,
            "Give a folder that can be written with --dataDir or PARSIMONY_DATA_DIR.",
        )
    };
    if let Some(key) = read_key(&path).map_err(|error| fail("read from", error))? {
        return Ok((path, key));
    }
    fs::create_dir_all(data_dir).map_err(|error| fail("kept in", error))?;
    let key: String = rand::rng().sample_iter(Alphanumeric).take(KEY_LENGTH).map(char::from).collect();
    // Written under another name first, so that nobody reads half a key.
    let draft = data_dir.join(format!("{KEY_FILE}.{}", std::process::id()));
    let written = write_key(&draft, &key).and_then(|()| match fs::hard_link(&draft, &path) {
        // Somebody else was faster: theirs counts.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = fs::remove_file(&draft);
    written.and(removed).map_err(|error| fail("kept in", error))?;
    match read_key(&path).map_err(|error| fail("read from", error))? {
        Some(key) => Ok((path, key)),
        None => Err(fail("read from", ErrorKind::UnexpectedEof.into())),
    }
}

fn read_key(path: &Path) -> std::io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => {
            fs::remove_file(path)?;
            Ok(None)
        }
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_key(path: &Path, key: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(key.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

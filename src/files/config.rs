//! The option `filesAdapter` and its environment variables, turned into a store.
//!
//! Accepts what the Parse guide and the adapters' own documents show: a module name
//! (`"@parse/s3-files-adapter"`), `{"module": …, "options": …}`, the older package names, and the class names
//! of the guide (`./Files/S3Adapter.js`) unless such a file exists. `options` is what the adapter's
//! constructor would get: an object, a bucket name, or a list of positional arguments. Anything else is a
//! module of the app's own, for the Node host.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::crypt::Key;
use super::fs::FsStore;
#[cfg(feature = "gcs")]
use super::gcs::{GcsOptions, GcsStore};
#[cfg(feature = "s3")]
use super::s3::{S3Credentials, S3Options, S3Store};
use super::{FileError, FileResult, FileStore};
use crate::outbound::Outbound;

/// Which store was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// Nothing configured: the database keeps the files.
    Default,
    Fs {
        sub_directory: Option<String>,
        key: Option<Key>,
    },
    #[cfg(feature = "s3")]
    S3(S3Options),
    #[cfg(feature = "gcs")]
    Gcs(GcsOptions),
    /// Needs MongoDB.
    GridFs,
    /// A module, class or object of the app's own.
    Custom,
}

/// Functions among the options of a built-in store, by their numbers in the JavaScript configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Functions {
    pub generate_key: Option<u32>,
    pub validate_filename: Option<u32>,
    pub base_url: Option<u32>,
}

/// What stands in addresses for the base that the function `baseUrl` gives.
pub const BASE_OF_FUNCTION: &str = "function:";

/// The functions that the option names; none for modules of the app's own, which keep theirs.
pub fn functions(option: Option<&Value>) -> Functions {
    let options = option.and_then(|option| option.get("options")).unwrap_or(&Value::Null);
    let find = |name: &str| {
        let given = |options: &Value| options.get(name)?.get("__callback")?.as_u64();
        let id = match options {
            Value::Array(arguments) => arguments.iter().find_map(given),
            options => given(options),
        };
        id.and_then(|id| u32::try_from(id).ok())
    };
    Functions {
        generate_key: find("generateKey"),
        validate_filename: find("validateFilename"),
        base_url: find("baseUrl"),
    }
}

/// Reads an environment variable; tests pass their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads the option. `exists` tells whether a module path is a file of the app.
///
/// # Errors
/// `Config`, with the adapters' own words where they have some.
pub fn choose(
    option: Option<&Value>,
    env: Environment<'_>,
    exists: &dyn Fn(&str) -> bool,
) -> FileResult<Choice> {
    let (module, options) = match option {
        None | Some(Value::Null) => return Ok(Choice::Default),
        Some(Value::String(module)) => (module.as_str(), &Value::Null),
        Some(Value::Object(given)) => match given.get("module").and_then(Value::as_str) {
            Some(module) => (module, given.get("options").unwrap_or(&Value::Null)),
            // A class, an instance, an object with methods: from a configuration in JavaScript.
            None if is_live(given) => return Ok(Choice::Custom),
            None => return Err(config("filesAdapter must name a module")),
        },
        Some(_) => return Err(config("filesAdapter must be a module name or an object with a module")),
    };
    let arguments = Arguments { values: positional(options), env };
    match kind(module, exists) {
        Kind::Fs => fs(&arguments),
        #[cfg(feature = "s3")]
        Kind::S3 => s3(&arguments).map(Choice::S3),
        #[cfg(feature = "gcs")]
        Kind::Gcs => gcs(&arguments).map(Choice::Gcs),
        #[cfg(not(feature = "s3"))]
        Kind::S3 => Err(config("this server was built without the S3 file store")),
        #[cfg(not(feature = "gcs"))]
        Kind::Gcs => Err(config("this server was built without the Google Cloud file store")),
        Kind::GridFs => Ok(Choice::GridFs),
        Kind::Custom => Ok(Choice::Custom),
    }
}

impl Choice {
    /// Opens the store. Those in a cloud are reached through `outbound`. `files_root` is parse-server's `./files`; `default` makes the database's own store.
    ///
    /// # Errors
    /// `Config`; `Unsupported` for GridFS and for modules, which their owners open.
    pub fn open(
        self,
        files_root: impl Into<PathBuf>,
        outbound: Arc<Outbound>,
        default: impl FnOnce() -> FileResult<Arc<dyn FileStore>>,
    ) -> FileResult<Arc<dyn FileStore>> {
        match self {
            Self::Default => default(),
            Self::Fs { sub_directory, key } => {
                Ok(Arc::new(FsStore::new(files_root, sub_directory.as_deref(), key)))
            }
            #[cfg(feature = "s3")]
            Self::S3(options) => Ok(Arc::new(S3Store::new(options, outbound)?)),
            #[cfg(feature = "gcs")]
            Self::Gcs(options) => Ok(Arc::new(GcsStore::new(options, outbound)?)),
            Self::GridFs => Err(FileError::Unsupported("GridFS needs MongoDB")),
            Self::Custom => Err(FileError::Unsupported("a files adapter of the app's own")),
        }
    }
}

/// Whether something in it lives in a Node host.
fn is_live(given: &Map<String, Value>) -> bool {
    let lives = |value: &Value| value.get("__callback").or_else(|| value.get("__instance")).is_some();
    ["__callback", "__instance"].iter().any(|key| given.contains_key(*key))
        || given.values().any(lives)
        || ["module", "class", "adapter"].iter().any(|key| match given.get(*key) {
            Some(Value::Object(inner)) => is_live(inner),
            // A module in the place of a class.
            Some(Value::String(_)) => *key != "module",
            _ => false,
        })
}

enum Kind {
    Fs,
    S3,
    Gcs,
    GridFs,
    Custom,
}

fn kind(module: &str, exists: &dyn Fn(&str) -> bool) -> Kind {
    match module {
        "@parse/fs-files-adapter" | "parse-server-fs-adapter" => return Kind::Fs,
        "@parse/s3-files-adapter" | "parse-server-s3-adapter" => return Kind::S3,
        "@parse/gcs-files-adapter" | "parse-server-gcs-adapter" => return Kind::Gcs,
        _ => {}
    }
    // Names of the guide; a file of the app's own by that name is the app's own.
    let stem = module.rsplit('/').next().unwrap_or_default().trim_end_matches(".js");
    if exists(module) || exists(&format!("{module}.js")) {
        return Kind::Custom;
    }
    match stem {
        "FileSystemAdapter" | "FSFilesAdapter" | "FSAdapter" => Kind::Fs,
        "S3Adapter" | "S3FilesAdapter" => Kind::S3,
        "GCSAdapter" | "GCSFilesAdapter" => Kind::Gcs,
        "GridFSBucketAdapter" | "GridStoreAdapter" | "GridFSAdapter" => Kind::GridFs,
        _ => Kind::Custom,
    }
}

fn config(text: impl Into<String>) -> FileError {
    FileError::Config(text.into())
}

fn positional(options: &Value) -> Vec<Value> {
    match options {
        Value::Null => Vec::new(),
        Value::Array(list) => list.clone(),
        other => vec![other.clone()],
    }
}

/// What the constructor would get.
#[cfg_attr(
    not(any(feature = "s3", feature = "gcs")),
    allow(dead_code, reason = "only stores in the network need it")
)]
struct Arguments<'a> {
    values: Vec<Value>,
    env: Environment<'a>,
}

#[cfg_attr(
    not(any(feature = "s3", feature = "gcs")),
    allow(dead_code, reason = "only stores in the network need it")
)]
impl Arguments<'_> {
    fn object(&self, index: usize) -> Option<&Map<String, Value>> {
        self.values.get(index).and_then(Value::as_object)
    }

    fn text(&self, index: usize) -> Option<&str> {
        self.values.get(index).and_then(Value::as_str)
    }
}

fn fs(arguments: &Arguments<'_>) -> FileResult<Choice> {
    let empty = Map::new();
    let options = arguments.object(0).unwrap_or(&empty);
    let sub_directory = text(options, "filesSubDirectory", "FileSystemAdapter")?;
    let secret = match text(options, "encryptionKey", "FileSystemAdapter")? {
        Some(secret) => Some(secret),
        None => match text(options, "encryptionKeyFile", "FileSystemAdapter")? {
            Some(path) => Some(secret_from_file(Path::new(&path))?),
            None => None,
        },
    };
    Ok(Choice::Fs { sub_directory, key: secret.as_deref().map(Key::from_secret) })
}

/// A secret kept in a file; the line end is not part of it.
///
/// # Errors
/// `Config` when the file cannot be read or is empty.
pub fn secret_from_file(path: &Path) -> FileResult<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| config(format!("The key file {} cannot be read: {error}", path.display())))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(config(format!("The key file {} is empty", path.display()))),
        secret => Ok(secret.to_owned()),
    }
}

/// A string option; absent, null and empty are the same, as in the adapters.
fn text(options: &Map<String, Value>, name: &str, adapter: &str) -> FileResult<Option<String>> {
    match options.get(name) {
        None | Some(Value::Null | Value::Bool(false)) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(config(format!("{adapter} option '{name}' must be a string"))),
    }
}

/// Option, else variable.
#[cfg(any(feature = "s3", feature = "gcs"))]
fn text_or_env(
    options: &Map<String, Value>,
    name: &str,
    variable: &str,
    env: Environment<'_>,
    adapter: &str,
) -> FileResult<Option<String>> {
    let given = text(options, name, adapter)?;
    Ok(given.or_else(|| env(variable).filter(|value| !value.is_empty())))
}

/// A switch; in variables `false`, `0` and `no` are off.
#[cfg(any(feature = "s3", feature = "gcs"))]
fn switch(
    options: &Map<String, Value>,
    name: &str,
    variable: &str,
    env: Environment<'_>,
    adapter: &str,
) -> FileResult<bool> {
    let spelled =
        |text: &str| !matches!(text.to_ascii_lowercase().as_str(), "" | "false" | "0" | "no" | "off");
    match options.get(name) {
        Some(Value::Bool(true)) => Ok(true),
        Some(Value::String(text)) if !text.is_empty() => Ok(spelled(text)),
        Some(Value::Number(number)) => Ok(number.as_f64() != Some(0.0)),
        None | Some(Value::Null | Value::Bool(false) | Value::String(_)) => {
            Ok(env(variable).is_some_and(|text| spelled(&text)))
        }
        Some(_) => Err(config(format!("{adapter} option '{name}' must be a boolean"))),
    }
}

#[cfg(feature = "s3")]
fn s3(arguments: &Arguments<'_>) -> FileResult<S3Options> {
    let (mut options, overrides) = s3_arguments(arguments)?;
    let adapter = "S3Adapter";
    let empty = Map::new();
    let overrides = match overrides.as_ref().or_else(|| options.get("s3overrides").and_then(Value::as_object))
    {
        Some(overrides) => overrides.clone(),
        None => empty.clone(),
    };
    let env = arguments.env;
    // What the overrides name goes first, wherever else it is given.
    for (name, value) in &overrides {
        if options.contains_key(name) || S3_NAMES.contains(&name.as_str()) {
            options.insert(name.clone(), value.clone());
        }
    }
    if let Some(bucket) = overrides.get("params").and_then(|params| params.get("Bucket")) {
        options.insert("bucket".into(), bucket.clone());
    }
    let is_function = |value: &Value| value.get("__callback").is_some();
    for function in ["generateKey", "validateFilename"] {
        // Anything else has no effect in the adapter either.
        options.remove(function);
    }
    if options.get("baseUrl").is_some_and(is_function) {
        options.insert("baseUrl".into(), BASE_OF_FUNCTION.into());
    }
    let get = |name: &str, variable: &str| text_or_env(&options, name, variable, env, adapter);
    let on = |name: &str, variable: &str| switch(&options, name, variable, env, adapter);
    let bucket = get("bucket", "S3_BUCKET")?
        .ok_or_else(|| config("S3Adapter requires option 'bucket' or env. variable S3_BUCKET"))?;
    let (access_key, secret_key) = (get("accessKey", "S3_ACCESS_KEY")?, get("secretKey", "S3_SECRET_KEY")?);
    // Whatever it says, the adapter's SDK too knows no other than v4 any more.
    get("signatureVersion", "S3_SIGNATURE_VERSION")?;
    let expires = get("presignedUrlExpires", "S3_PRESIGNED_URL_EXPIRES")?;
    let path_style = |name: &str| overrides.get(name).and_then(Value::as_bool).unwrap_or(false);
    Ok(S3Options {
        credentials: s3_credentials(&options, &overrides, access_key, secret_key)?,
        bucket_prefix: get("bucketPrefix", "S3_BUCKET_PREFIX")?.unwrap_or_default(),
        region: get("region", "S3_REGION")?.unwrap_or_else(|| "us-east-1".into()),
        direct_access: on("directAccess", "S3_DIRECT_ACCESS")?,
        file_acl: get("fileAcl", "S3_FILE_ACL")?,
        base_url: get("baseUrl", "S3_BASE_URL")?,
        base_url_direct: on("baseUrlDirect", "S3_BASE_URL_DIRECT")?,
        presigned_url: on("presignedUrl", "S3_PRESIGNED_URL")?,
        presigned_url_expires: expires
            .as_deref()
            .and_then(leading_number)
            .map(std::time::Duration::from_secs),
        global_cache_control: get("globalCacheControl", "S3_GLOBAL_CACHE_CONTROL")?,
        server_side_encryption: text(&options, "ServerSideEncryption", adapter)?,
        endpoint: text(&overrides, "endpoint", adapter)?.map(with_scheme),
        force_path_style: path_style("forcePathStyle") || path_style("s3ForcePathStyle"),
        bucket,
    })
}

#[cfg(feature = "s3")]
type Options = Map<String, Value>;

/// Options that `s3overrides` may override by the same name.
#[cfg(feature = "s3")]
const S3_NAMES: [&str; 14] = [
    "accessKey",
    "secretKey",
    "bucketPrefix",
    "region",
    "directAccess",
    "fileAcl",
    "baseUrl",
    "baseUrlDirect",
    "signatureVersion",
    "globalCacheControl",
    "presignedUrl",
    "presignedUrlExpires",
    "credentials",
    "bucket",
];

/// `(bucket[, options])`, `(accessKey, secretKey, bucket[, options])`, `(options[, s3overrides])`.
#[cfg(feature = "s3")]
fn s3_arguments(arguments: &Arguments<'_>) -> FileResult<(Options, Option<Options>)> {
    let senseless = || config("Failed to configure S3Adapter. Arguments don't make sense");
    let with = |index: usize, named: &[(&str, usize)]| {
        let mut options = arguments.object(index).cloned().unwrap_or_default();
        for (name, index) in named {
            options.insert((*name).into(), arguments.values[*index].clone());
        }
        options
    };
    match (arguments.values.len(), arguments.text(0)) {
        (0, _) => Ok((Map::new(), None)),
        (1, Some(_)) => Ok((with(1, &[("bucket", 0)]), None)),
        (2, Some(_)) if arguments.object(1).is_some() => Ok((with(1, &[("bucket", 0)]), None)),
        (3.., Some(_)) if arguments.text(1).is_some() && arguments.text(2).is_some() => {
            Ok((with(3, &[("accessKey", 0), ("secretKey", 1), ("bucket", 2)]), None))
        }
        (1, None) => Ok((arguments.object(0).cloned().ok_or_else(senseless)?, None)),
        (2, None) => {
            let options = arguments.object(0).cloned().ok_or_else(senseless)?;
            Ok((options, Some(arguments.object(1).cloned().ok_or_else(senseless)?)))
        }
        _ => Err(senseless()),
    }
}

#[cfg(feature = "s3")]
fn s3_credentials(
    options: &Map<String, Value>,
    overrides: &Map<String, Value>,
    access_key: Option<String>,
    secret_key: Option<String>,
) -> FileResult<Option<S3Credentials>> {
    let pair = |source: &Map<String, Value>| -> FileResult<Option<S3Credentials>> {
        let get = |name| text(source, name, "S3Adapter");
        match (get("accessKeyId")?, get("secretAccessKey")?) {
            (Some(access_key), Some(secret_key)) => {
                Ok(Some(S3Credentials { access_key, secret_key, session_token: get("sessionToken")? }))
            }
            _ => Ok(None),
        }
    };
    let nested = |source: &Map<String, Value>| match source.get("credentials") {
        Some(Value::Object(credentials)) => pair(credentials),
        _ => Ok(None),
    };
    if let Some(found) = pair(overrides)? {
        return Ok(Some(found));
    }
    if let Some(found) = nested(overrides)? {
        return Ok(Some(found));
    }
    if let (Some(access_key), Some(secret_key)) = (access_key, secret_key) {
        return Ok(Some(S3Credentials { access_key, secret_key, session_token: None }));
    }
    nested(options)
}

/// Digits at the start, as `parseInt`; nothing for none or zero.
#[cfg(feature = "s3")]
fn leading_number(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok().filter(|number| *number > 0)
}

#[cfg(feature = "s3")]
fn with_scheme(endpoint: String) -> String {
    if endpoint.contains("://") { endpoint } else { format!("https://{endpoint}") }
}

#[cfg(feature = "gcs")]
fn gcs(arguments: &Arguments<'_>) -> FileResult<GcsOptions> {
    let mut options = Map::new();
    if arguments.text(0).is_some() {
        // (projectId, keyFilename, bucket[, options])
        options = arguments.object(3).cloned().unwrap_or_default();
        for (index, name) in ["projectId", "keyFilename", "bucket"].into_iter().enumerate() {
            options.insert(name.into(), arguments.values.get(index).cloned().unwrap_or_default());
        }
    } else if let Some(given) = arguments.object(0) {
        options = given.clone();
    }
    let (adapter, env) = ("GCSAdapter", arguments.env);
    let get = |name: &str, variable: &str| text_or_env(&options, name, variable, env, adapter);
    Ok(GcsOptions {
        bucket: get("bucket", "GCS_BUCKET")?.ok_or_else(|| config("GCSAdapter requires an bucket"))?,
        bucket_prefix: get("bucketPrefix", "GCS_BUCKET_PREFIX")?.unwrap_or_default(),
        direct_access: switch(&options, "directAccess", "GCS_DIRECT_ACCESS", env, adapter)?,
        key_filename: get("keyFilename", "GCP_KEYFILE_PATH")?,
        project_id: get("projectId", "GCP_PROJECT_ID")?,
        endpoint: get("apiEndpoint", "STORAGE_EMULATOR_HOST")?,
    })
}

#[cfg(all(test, feature = "s3", feature = "gcs"))]
#[path = "config_tests.rs"]
mod tests;

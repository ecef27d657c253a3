//! Where the database is and how it is spoken to: the URI, and the entries of `databaseOptions` that are
//! parameters of one.

use std::time::Duration;

use mongodb::options::{ClientOptions, DriverInfo};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::storage::mongo::error::boxed;
use crate::storage::{StorageError, StorageResult};

/// What a URI without a database means to drivers.
const DEFAULT_DATABASE: &str = "test";
/// What parse-server has its driver fetch at a time.
const BATCH: u32 = 1000;
/// How long an operation may take unless the options say otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub struct MongoOptions {
    /// `mongodb://` or `mongodb+srv://`; holds a password.
    pub uri: String,
    /// `databaseOptions` as given; those that the URI knows as parameters are used as such.
    pub given: Map<String, Value>,
    pub collection_prefix: String,
    /// How long an operation may take in all.
    pub deadline: Option<Duration>,
    /// `maxTimeMS`: how long one may take in the server.
    pub max_time: Option<Duration>,
    /// What takes longer is logged.
    pub slow: Option<Duration>,
    pub app_name: Option<String>,
}

impl MongoOptions {
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            given: Map::new(),
            collection_prefix: String::new(),
            deadline: Some(DEADLINE),
            max_time: None,
            slow: None,
            app_name: None,
        }
    }

    /// `batchSize`.
    pub(in crate::storage::mongo) fn batch(&self) -> u32 {
        let given = self.given.get("batchSize").and_then(Value::as_u64).filter(|size| *size > 0);
        given.map_or(BATCH, |size| u32::try_from(size).unwrap_or(u32::MAX))
    }

    /// The driver's options and the name of the database. Asks DNS for `mongodb+srv://`.
    ///
    /// # Errors
    /// When the URI or an option cannot be understood.
    pub async fn resolve(&self) -> StorageResult<(ClientOptions, String)> {
        let unusable = |error: mongodb::error::Error| StorageError::Other(boxed(error.to_string()));
        let mut options = ClientOptions::parse(merged(&self.uri, &self.given)).await.map_err(unusable)?;
        if options.app_name.is_none() {
            options.app_name.clone_from(&self.app_name);
        }
        if let Some(metadata) = self.given.get("clientMetadata") {
            let text = |key| metadata.get(key).and_then(Value::as_str).map(str::to_owned);
            let info = DriverInfo::builder().name(text("name").unwrap_or_default()).version(text("version"));
            options.driver_info = Some(info.build());
        }
        super::events::attach(&mut options, &self.given);
        let database = options.default_database.clone().unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
        Ok((options, database))
    }
}

/// Options that are parameters of a URI, as parse-server hands them to its driver.
const PARAMETERS: &[&str] = &[
    "appName",
    "authMechanism",
    "authMechanismProperties",
    "authSource",
    "compressors",
    "connectTimeoutMS",
    "directConnection",
    "heartbeatFrequencyMS",
    "loadBalanced",
    "localThresholdMS",
    "maxConnecting",
    "maxIdleTimeMS",
    "maxPoolSize",
    "maxStalenessSeconds",
    "minPoolSize",
    "readConcernLevel",
    "readPreference",
    "readPreferenceTags",
    "replicaSet",
    "retryReads",
    "retryWrites",
    "serverMonitoringMode",
    "serverSelectionTimeoutMS",
    "socketTimeoutMS",
    "srvMaxHosts",
    "srvServiceName",
    "ssl",
    "tls",
    "tlsAllowInvalidCertificates",
    "tlsCAFile",
    "tlsCertificateKeyFile",
    "tlsInsecure",
    "waitQueueTimeoutMS",
    "zlibCompressionLevel",
];

/// What a parameter's value may hold as it is.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/').remove(b':').remove(b',');

/// The URI with the given options as parameters; they win over those that it has.
fn merged(uri: &str, given: &Map<String, Value>) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    let pairs = |value: &Value| {
        let pairs = value.as_object().into_iter().flatten();
        let pairs = pairs.filter_map(|(key, value)| Some(format!("{key}:{}", text(value)?)));
        pairs.collect::<Vec<_>>().join(",")
    };
    let mut own: Vec<(&str, String)> = Vec::new();
    for name in PARAMETERS {
        match given.get(*name) {
            Some(Value::Array(list)) if *name == "readPreferenceTags" => {
                own.extend(list.iter().map(|set| (*name, pairs(set))));
            }
            Some(properties @ Value::Object(_)) if *name == "authMechanismProperties" => {
                own.push((name, pairs(properties)));
            }
            Some(Value::Array(list)) => {
                own.push((name, list.iter().filter_map(text).collect::<Vec<_>>().join(",")));
            }
            Some(value) => own.extend(text(value).map(|value| (*name, value))),
            None => {}
        }
    }
    if own.is_empty() {
        return uri.to_owned();
    }
    let (base, query) = uri.split_once('?').unwrap_or((uri, ""));
    let is_given = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        own.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
    };
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !is_given(pair)).map(str::to_owned);
    let added = own.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, PLAIN)));
    let parameters = kept.chain(added).collect::<Vec<_>>().join("&");
    let authority = base.split_once("://").map_or(base, |(_, rest)| rest);
    let slash = if authority.contains('/') { "" } else { "/" };
    format!("{base}{slash}?{parameters}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_become_parameters() {
        let given = json!({
            "maxPoolSize": 7, "retryWrites": false, "tlsCAFile": "/a b.pem", "schemaCacheTtl": 5,
            "readPreferenceTags": [{"dc": "ny", "rack": 1}, {}], "authMechanismProperties": {"SERVICE_NAME": "m"},
        });
        let given = given.as_object().unwrap();
        assert_eq!(
            merged("mongodb://u:p@h:1,h2/db?replicaSet=r&maxpoolsize=3", given),
            "mongodb://u:p@h:1,h2/db?replicaSet=r&authMechanismProperties=SERVICE_NAME:m&maxPoolSize=7&readPreferenceTags=dc:ny,rack:1&\
             readPreferenceTags=&retryWrites=false&tlsCAFile=/a%20b.pem"
        );
        assert_eq!(merged("mongodb://h", &Map::new()), "mongodb://h");
        let tls = json!({"tls": true});
        assert_eq!(merged("mongodb://h", tls.as_object().unwrap()), "mongodb://h/?tls=true");
    }

    #[tokio::test]
    async fn databases_have_a_name() {
        for (uri, name) in [("mongodb://h:1/parse", "parse"), ("mongodb://h:1", "test")] {
            let (options, database) = MongoOptions::new(uri).resolve().await.unwrap();
            assert_eq!((database.as_str(), options.hosts.len()), (name, 1));
        }
        assert!(MongoOptions::new("mongodb://h:1/?maxPoolSize=many").resolve().await.is_err());
    }
}

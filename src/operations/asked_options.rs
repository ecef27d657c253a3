//! Options that may be functions of the configuration, asked through Cloud Code: the master key, whose answer is
//! kept for `masterKeyTtl`, and the public address of the server.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;

use crate::cloud::{self, CloudEngine};
use crate::config::{AppConfig, CallbackId, OptionValue, Secret};
use crate::error::{Error, Result};

/// What the function `masterKey` answered, and when it was asked.
#[derive(Default)]
pub struct MasterKey(Mutex<Option<(Secret<String>, Instant)>>);

impl MasterKey {
    /// Whether `key` is the master key; a `masterKey` function is asked at most every `masterKeyTtl`.
    ///
    /// # Errors
    /// When the function of the configuration fails.
    pub async fn matches(&self, config: &AppConfig, cloud: &dyn CloudEngine, key: &str) -> Result<bool> {
        let id = match &config.keys.master_key {
            OptionValue::Value(secret) => return Ok(secret.matches(key)),
            OptionValue::Callback(id) => *id,
        };
        let mut cached = self.0.lock().await;
        let ttl = config.keys.master_key_ttl_s.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        let fresh = cached.as_ref().filter(|(_, asked)| ttl.is_none_or(|ttl| asked.elapsed() < ttl));
        if let Some((master, _)) = fresh {
            return Ok(master.matches(key));
        }
        let Value::String(master) = call(cloud, id).await? else { return Ok(false) };
        let master = Secret::new(master);
        let matches = master.matches(key);
        *cached = Some((master, Instant::now()));
        Ok(matches)
    }
}

/// `publicServerURL`, without a slash at its end.
///
/// # Errors
/// When the function of the configuration fails.
pub async fn public_server_url(config: &AppConfig, cloud: &dyn CloudEngine) -> Result<Option<String>> {
    let url = match &config.http.public_server_url {
        None => return Ok(None),
        Some(OptionValue::Value(url)) => Some(url.clone()),
        Some(OptionValue::Callback(id)) => match call(cloud, *id).await? {
            Value::String(url) => Some(url),
            _ => None,
        },
    };
    Ok(url.map(|url| url.trim_end_matches('/').to_owned()))
}

async fn call(cloud: &dyn CloudEngine, id: CallbackId) -> Result<Value> {
    let id = u32::try_from(id.0).map_err(Error::internal)?;
    cloud.call_callback(cloud::CallbackId(id), Vec::new()).await
}

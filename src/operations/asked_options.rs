//! Options that may be functions of the configuration, asked through Cloud Code: the master key, whose answer is
//! kept for `masterKeyTtl`, and the public address of the server.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;

use crate::cloud::{self, CloudEngine};
use crate::config::{AppConfig, CallbackId, OptionValue, Secret};
use crate::error::{Error, Result};

/// What the function `masterKey` answered.
#[derive(Default)]
pub struct MasterKey(Mutex<Answered>);

#[derive(Default)]
struct Answered {
    /// With the time at which it was asked.
    key: Option<(Secret<String>, Instant)>,
    /// When the last question without an answer had ended.
    failed: Option<Instant>,
}

impl MasterKey {
    /// Whether `key` is the master key; a `masterKey` function is asked at most every `masterKeyTtl`. Anybody may
    /// show some key: requests that waited while the function failed do not wait for it again.
    ///
    /// # Errors
    /// When the function of the configuration fails.
    pub async fn matches(&self, config: &AppConfig, cloud: &dyn CloudEngine, key: &str) -> Result<bool> {
        let id = match &config.keys.master_key {
            OptionValue::Value(secret) => return Ok(secret.matches(key)),
            OptionValue::Callback(id) => *id,
        };
        let came = Instant::now();
        let mut cached = self.0.lock().await;
        let ttl = config.keys.master_key_ttl_s.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        let fresh = cached.key.as_ref().filter(|(_, asked)| ttl.is_none_or(|ttl| asked.elapsed() < ttl));
        if let Some((master, _)) = fresh {
            return Ok(master.matches(key));
        }
        if cached.failed.is_some_and(|ended| ended > came) {
            return Err(Error::internal("the function masterKey failed a moment ago"));
        }
        let asked = call(cloud, id).await;
        if asked.is_err() {
            cached.failed = Some(Instant::now());
        }
        let Value::String(master) = asked? else { return Ok(false) };
        let master = Secret::new(master);
        let matches = master.matches(key);
        cached.key = Some((master, Instant::now()));
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

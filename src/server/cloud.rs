//! Starts the engine that runs an application's Cloud Code, if it has any.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::StartError;
use crate::cloud::hub::CloudHub;
use crate::cloud::node::{NodeEngine, NodeOptions};
use crate::cloud::webhooks::WebhookClient;
use crate::cloud::{CloudEngine, NoCloud, ServerApi, watch};
use crate::config::{AppConfig, OptionValue};

/// The engine, and the pool of hosts behind it, whose registration the start waits for.
pub struct Cloud {
    pub engine: Arc<dyn CloudEngine>,
    hosts: Option<Arc<NodeEngine>>,
}

impl Cloud {
    /// Needs the runtime that will go on running.
    ///
    /// # Errors
    /// When the folder of the hosts cannot be made.
    pub fn launch(config: &AppConfig, api: Arc<dyn ServerApi>) -> Result<Self, StartError> {
        let hosts = match &config.cloud.cloud {
            Some(code) => Some(NodeEngine::launch(options(config, code), api).map_err(StartError::new)?),
            None => None,
        };
        let code: Arc<dyn CloudEngine> = match &hosts {
            Some(hosts) => hosts.clone(),
            None => Arc::new(NoCloud::default()),
        };
        let key = config.keys.webhook_key.as_ref().map(|key| key.expose().as_str());
        let client = WebhookClient::new(key).map_err(StartError::new)?;
        let engine: Arc<dyn CloudEngine> = CloudHub::new(code, client);
        if config.cloud.watch
            && let Some(OptionValue::Value(path)) = &config.cloud.cloud
        {
            watch::watch(&engine, watch::folder_of(Path::new(path)));
        }
        Ok(Self { engine, hosts })
    }

    /// Waits until everything is registered; code may call the server meanwhile.
    ///
    /// # Errors
    /// When the code cannot be loaded, which ends the start as in parse-server.
    pub async fn ready(&self) -> Result<(), StartError> {
        match &self.hosts {
            Some(hosts) => hosts.ready().await.map_err(StartError::new),
            None => Ok(()),
        }
    }
}

fn options(config: &AppConfig, code: &OptionValue<String>) -> NodeOptions {
    let defaults = NodeOptions::default();
    let cloud = match code {
        OptionValue::Value(path) => Value::String(path.clone()),
        OptionValue::Callback(id) => json!({"__callback": id.0}),
    };
    NodeOptions {
        cloud: Some(cloud),
        node_modules: node_modules(),
        workers: config.cloud.workers,
        server_url: config.http.server_url.clone(),
        call_timeout: config.cloud.timeout_ms.map(Duration::from_millis),
        stall_timeout: config.cloud.stall_timeout_ms.map_or(Duration::ZERO, Duration::from_millis),
        sanitize_errors: config.http.sanitize_errors,
        ..defaults
    }
}

/// Where the `parse` package may be when the application brings none: beside the program, as installed
/// or as built.
fn node_modules() -> Vec<PathBuf> {
    let program = std::env::current_exe().ok();
    let folders = program.as_deref().into_iter().flat_map(|program| program.ancestors().skip(1).take(3));
    let mut found: Vec<PathBuf> =
        std::env::current_dir().ok().map(|dir| dir.join("node_modules")).into_iter().collect();
    for folder in folders {
        found.push(folder.join("node_modules"));
        found.push(folder.join("lib/parsimony/node_modules"));
    }
    found.retain(|folder| folder.is_dir());
    found
}

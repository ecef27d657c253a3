//! Starts the engine that runs an application's Cloud Code, if it has any.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value, json};

use super::StartError;
use crate::cloud::hub::CloudHub;
use crate::cloud::node::{self, NodeEngine, NodeOptions, Parent};
use crate::cloud::webhooks::WebhookClient;
use crate::cloud::{CloudEngine, NoCloud, ServerApi, watch};
use crate::config::source::{ConfigSource, RawOptions};
use crate::config::{AppConfig, ConfigError, OptionValue, Secret};
use crate::operations::analytics;
use crate::operations::files::module as files_module;
use crate::outbound::Outbound;
use crate::rest::internal::{CloudServer, Workers, shown_config};

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
    pub fn launch(
        config: &AppConfig,
        api: Arc<dyn ServerApi>,
        outbound: Arc<Outbound>,
        parent: Option<Arc<Parent>>,
    ) -> Result<Self, StartError> {
        let mut options = options(config);
        let attached = parent.is_some();
        if attached {
            options.parent = parent;
            options.workers = 1;
        }
        // Defined schemas come first, and their callbacks before the code.
        options.code_later = config.schema.defined.is_some();
        let needed = attached
            || options.cloud.is_some()
            || options.config_file.is_some()
            || !options.adapters.is_empty();
        let hosts = match needed {
            true => Some(NodeEngine::launch(options, api).map_err(StartError::new)?),
            false => None,
        };
        let code: Arc<dyn CloudEngine> = match &hosts {
            Some(hosts) => hosts.clone(),
            None => Arc::new(NoCloud::default()),
        };
        let key = config.keys.webhook_key.as_ref().map(|key| key.expose().as_str());
        let client = WebhookClient::new(outbound, key).map_err(StartError::new)?;
        let engine: Arc<dyn CloudEngine> = CloudHub::new(code, client);
        if config.cloud.watch
            && !attached
            && let Some(OptionValue::Value(path)) = &config.cloud.cloud
        {
            watch::watch(&engine, watch::folder_of(Path::new(path)));
        }
        Ok(Self { engine, hosts })
    }

    /// Tells the application that embeds the server that it serves.
    pub fn listening(&self) {
        if let Some(hosts) = &self.hosts {
            hosts.listening();
        }
    }

    /// Loads what waited for defined schemas ([`Self::ready`] comes before).
    ///
    /// # Errors
    /// As [`Self::ready`].
    pub async fn load_code(&self) -> Result<(), StartError> {
        match &self.hosts {
            Some(hosts) => hosts.load_code().await.map_err(StartError::new),
            None => Ok(()),
        }
    }

    /// Waits until everything is registered; code may call the server meanwhile. Where there are defined schemas,
    /// functions of the configuration can be called then, and [`Self::load_code`] does the rest.
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

/// A host with the file adapter alone, for the command line: no Cloud Code, no server behind it.
///
/// # Errors
/// When Node.js or the adapter cannot be started.
pub async fn file_adapter(config: &AppConfig) -> Result<Arc<dyn CloudEngine>, StartError> {
    let mut options = NodeOptions { cloud: None, workers: 1, call_timeout: None, ..options(config) };
    options.adapters.retain(|(name, _)| name == files_module::ADAPTER);
    let hosts = NodeEngine::launch(options, CloudServer::new(Workers::default())).map_err(StartError::new)?;
    hosts.ready().await.map_err(StartError::new)?;
    Ok(hosts)
}

fn options(config: &AppConfig) -> NodeOptions {
    let defaults = NodeOptions::default();
    let cloud = config.cloud.cloud.as_ref().map(|code| match code {
        OptionValue::Value(path) => Value::String(path.clone()),
        OptionValue::Callback(id) => json!({"__callback": id.0}),
    });
    NodeOptions {
        cloud,
        config_file: config.cloud.config_file.clone(),
        identity: identity(config),
        adapters: adapters(config),
        node_modules: node_modules(),
        workers: config.cloud.workers,
        server_url: config.http.server_url.clone(),
        call_timeout: config.cloud.timeout_ms.map(Duration::from_millis),
        stall_timeout: config.cloud.stall_timeout_ms.map_or(Duration::ZERO, Duration::from_millis),
        sanitize_errors: config.http.sanitize_errors,
        ..defaults
    }
}

/// What the SDK is initialised with, and what `Parse.Server` shows.
fn identity(config: &AppConfig) -> Map<String, Value> {
    let keys = &config.keys;
    let exposed = |key: &Option<Secret<String>>| key.as_ref().map(|key| key.expose().clone());
    // The first hosts start before there is an application to ask for the rest.
    let mut identity = shown_config(config);
    identity.insert("maintenanceKey".to_owned(), exposed(&keys.maintenance_key).into());
    identity.insert("javascriptKey".to_owned(), exposed(&keys.javascript_key).into());
    identity
}

/// Option values that name code of the application: modules, classes, instances.
fn adapters(config: &AppConfig) -> Vec<(String, Value)> {
    let auth = config.auth.expose().iter().map(|(name, spec)| (format!("auth.{name}"), spec.clone()));
    let mail = config.mail.email_adapter.as_ref();
    let mail = mail.filter(|spec| !super::mail::is_builtin(spec.expose()));
    let mail = mail.map(|spec| ("emailAdapter".to_owned(), spec.expose().clone()));
    let push = config.push.push.as_ref().and_then(|push| push.expose().get("adapter"));
    let push = push.filter(|spec| crate::types::javascript::is_truthy(spec));
    let push = push.map(|spec| (crate::operations::push::module::ADAPTER.to_owned(), spec.clone()));
    let files = config.files.files_adapter.as_ref().filter(|_| super::files::is_custom(config));
    let files = files.map(|spec| (files_module::ADAPTER.to_owned(), spec.expose().clone()));
    let analytics = config.cloud.analytics_adapter.as_ref();
    let analytics = analytics.map(|spec| (analytics::ADAPTER.to_owned(), spec.expose().clone()));
    auth.chain(mail)
        .chain(analytics)
        .filter(|(_, spec)| node::is_code(spec))
        .chain(files)
        .chain(push)
        .collect()
}

/// A configuration file in JavaScript, evaluated by a host of its own.
pub struct JavaScriptConfig {
    file: PathBuf,
}

impl JavaScriptConfig {
    pub fn new(file: PathBuf) -> Self {
        Self { file }
    }
}

impl ConfigSource for JavaScriptConfig {
    fn load(&self) -> LocalBoxFuture<'_, Result<RawOptions, ConfigError>> {
        Box::pin(async move {
            let options = NodeOptions { config_file: Some(self.file.clone()), ..NodeOptions::default() };
            let options = NodeEngine::read_config(&options).await.map_err(|error| {
                let message = format!("The configuration {} cannot be read: {error}", self.file.display());
                ConfigError::general(message, "Correct the file, or give the options as JSON.")
            })?;
            let notices = vec![format!("Configuration loaded from {}", self.file.display())];
            Ok(RawOptions { options, notices, ..RawOptions::default() })
        })
    }
}

/// Where the `parse` package may be when the application brings none: in the folders that
/// `PARSIMONY_NODE_MODULES` names, in the working directory, or beside the program, as installed or as
/// built.
pub fn node_modules() -> Vec<PathBuf> {
    let named = std::env::var_os("PARSIMONY_NODE_MODULES");
    let named: Vec<_> = named.iter().flat_map(std::env::split_paths).collect();
    let program = std::env::current_exe().ok();
    let folders = program.as_deref().into_iter().flat_map(|program| program.ancestors().skip(1).take(3));
    let mut found: Vec<PathBuf> =
        named.into_iter().chain(std::env::current_dir().ok().map(|dir| dir.join("node_modules"))).collect();
    for folder in folders {
        found.push(folder.join("node_modules"));
        found.push(folder.join("lib/parsimony/node_modules"));
    }
    found.retain(|folder| folder.is_dir());
    found
}

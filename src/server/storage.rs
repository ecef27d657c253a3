//! Opens the database a configuration names, or the private cluster when it names none.

use std::sync::Arc;
use std::time::Duration;

use super::StartError;
#[cfg(feature = "mongo")]
use crate::config::is_mongo;
use crate::config::{AppConfig, Secret};
use crate::pubsub::PubSub;
use crate::pubsub::local::LocalPubSub;
use crate::pubsub::redis::RedisPubSub;
#[cfg(feature = "mongo")]
use crate::storage::mongo::{MongoAdapter, MongoOptions};
use crate::storage::postgres::embedded::{ClusterHealth, EmbeddedOptions, EmbeddedPostgres};
use crate::storage::postgres::{PostgresAdapter, PostgresOptions};
use crate::storage::{StartupIndexes, StorageAdapter, StorageError};

/// The adapter and, behind it, the cluster if it is ours.
pub struct Database {
    pub adapter: Arc<dyn StorageAdapter>,
    cluster: Option<EmbeddedPostgres>,
}

impl Database {
    /// How the cluster does, if it is ours.
    pub fn watch_cluster(&self) -> Option<ClusterHealth> {
        self.cluster.as_ref().map(EmbeddedPostgres::health)
    }

    /// Connections first, then the cluster.
    pub async fn close(self) {
        self.adapter.close().await;
        if let Some(cluster) = self.cluster {
            cluster.stop().await;
        }
    }
}

/// Why a database could not be opened.
pub struct NotOpen {
    why: StartError,
    /// It takes connections and does not answer: it may later.
    pub is_silent: bool,
    /// It cannot be reached, silent or not.
    pub is_away: bool,
}

impl From<StartError> for NotOpen {
    fn from(why: StartError) -> Self {
        Self { why, is_silent: false, is_away: false }
    }
}

impl From<NotOpen> for StartError {
    fn from(error: NotOpen) -> Self {
        error.why
    }
}

/// # Errors
/// When the cluster cannot be started, the URI is unusable or the database does not answer.
pub async fn open(config: &AppConfig, workers: usize) -> Result<Database, NotOpen> {
    let (uri, cluster) = match &config.database.uri {
        Some(uri) => (uri.expose().clone(), None),
        None => {
            let cluster = EmbeddedPostgres::start(EmbeddedOptions::new(&config.data_dir)).await;
            let cluster = cluster.map_err(StartError::new)?;
            (cluster.connection_uri(), Some(cluster))
        }
    };
    let connected: Result<Arc<dyn StorageAdapter>, StorageError> = match &config.database.uri {
        #[cfg(feature = "mongo")]
        Some(uri) if is_mongo(uri.expose()) => {
            MongoAdapter::connect(mongo_options(config, uri.expose())).await.map(|adapter| adapter as _)
        }
        _ => PostgresAdapter::connect(options(config, uri, workers)).await.map(|adapter| adapter as _),
    };
    let adapter = connected.map_err(|error| NotOpen {
        why: unusable(&error),
        is_silent: matches!(error, StorageError::Silent),
        is_away: matches!(error, StorageError::Silent | StorageError::Unavailable(_)),
    })?;
    Ok(Database { adapter, cluster })
}

#[cfg(feature = "mongo")]
fn mongo_options(config: &AppConfig, uri: &str) -> MongoOptions {
    let given = &config.database.options;
    MongoOptions {
        given: given.raw.expose().clone(),
        collection_prefix: config.database.collection_prefix.clone(),
        deadline: Some(Duration::from_millis(given.statement_timeout_ms)).filter(|t| !t.is_zero()),
        max_time: given.max_time_ms.map(Duration::from_millis).filter(|t| !t.is_zero()),
        slow: given.slow_query_ms.map(Duration::from_millis),
        app_name: config.app_name.clone(),
        ..MongoOptions::new(uri)
    }
}

/// How this server and the others tell each other: through the database where it can carry that, else through the
/// Redis of the live queries, else there is no other server.
///
/// # Errors
/// When the Redis URL is none.
pub fn pubsub(config: &AppConfig, adapter: &dyn StorageAdapter) -> crate::error::Result<Arc<dyn PubSub>> {
    if let Some(own) = adapter.pubsub() {
        return Ok(own);
    }
    let live = &config.live_query;
    let redis = live.redis_url.as_ref().map(|url| (url, live.redis_options.as_ref()));
    let redis =
        redis.or_else(|| config.cache.redis.as_ref().map(|redis| (&redis.url, redis.options.as_ref())));
    Ok(match redis {
        Some((url, options)) => RedisPubSub::new(url.expose(), options, &config.app_id)?,
        None => {
            let ttl = config.database.options.schema_cache_ttl_ms.filter(|ttl| *ttl > 0);
            match ttl {
                Some(ttl) => {
                    tracing::info!("Classes that other servers change are read again after {ttl} ms.")
                }
                None => tracing::warn!(
                    "Other servers on this database are not heard: classes that they change are not noticed. Set \
                     databaseOptions.schemaCacheTtl, liveQuery.redisURL, or a RedisCacheAdapter, when there are any."
                ),
            }
            Arc::new(LocalPubSub::default())
        }
    })
}

fn options(config: &AppConfig, uri: String, workers: usize) -> PostgresOptions {
    let given = &config.database.options;
    let text = |secret: &Secret<String>| with_parameters(secret.expose().clone(), &given.uri_parameters);
    // The private cluster is spoken to as it was made.
    let uri = if config.database.uri.is_some() { with_parameters(uri, &given.uri_parameters) } else { uri };
    PostgresOptions {
        max: given.pool_size.map(|size| u32::try_from(size).unwrap_or(u32::MAX)),
        workers,
        statement_timeout: given
            .has_own_statement_timeout
            .then(|| Duration::from_millis(given.statement_timeout_ms)),
        max_time: given.max_time_ms.map(Duration::from_millis).filter(|t| !t.is_zero()),
        slow: given.slow_query_ms.map(Duration::from_millis),
        prepared_statements: given.prepared_statements,
        read_uris: config.database.read_uris.iter().map(text).collect(),
        listen_uri: config.database.listen_uri.as_ref().map(text),
        app_name: config.app_name.clone(),
        auto_index: given.auto_index,
        ..PostgresOptions::new(uri)
    }
}

/// The URL with these parameters after its own, so that they count.
fn with_parameters(mut uri: String, parameters: &[(&str, String)]) -> String {
    for (name, value) in parameters {
        uri.push(if uri.contains('?') { '&' } else { '?' });
        uri.push_str(name);
        uri.push('=');
        uri.extend(url::form_urlencoded::byte_serialize(value.as_bytes()));
    }
    uri
}

/// One line for the operator; connection strings stay out of it.
pub fn unusable(error: &StorageError) -> StartError {
    StartError::new(format!(
        "The database cannot be used: {error}. Check databaseURI and that the database is running."
    ))
}

pub fn startup_indexes(config: &AppConfig) -> StartupIndexes {
    let wanted = &config.database.options.indexes;
    StartupIndexes {
        auth_data_uniqueness: wanted.auth_data_uniqueness,
        role_name: wanted.role_name,
        user_email: wanted.user_email,
        user_email_case_insensitive: wanted.user_email_case_insensitive,
        user_email_verify_token: wanted.user_email_verify_token,
        user_password_reset_token: wanted.user_password_reset_token,
        user_username: wanted.user_username,
        user_username_case_insensitive: wanted.user_username_case_insensitive,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::storage::postgres::connection::options::ParsedUri;

    #[test]
    fn options_come_before_the_url() {
        let config = |options| {
            let uri = "postgres://h/d?application_name=x&query_timeout=250";
            AppConfig::for_tests(json!({"databaseURI": uri, "databaseOptions": options}))
        };
        let of =
            |config: &AppConfig| options(config, config.database.uri.as_ref().unwrap().expose().clone(), 1);
        let plain = of(&config(json!({})));
        assert_eq!(plain.statement_timeout, None);
        let parsed = ParsedUri::parse(&plain.uri).unwrap();
        assert_eq!(
            (parsed.app_name.as_deref(), parsed.query_timeout),
            (Some("x"), Some(Duration::from_millis(250)))
        );
        let own = of(&config(json!({"application_name": "a & b", "query_timeout": 100, "ssl": true})));
        assert_eq!(own.statement_timeout, Some(Duration::from_millis(100)));
        assert_eq!(ParsedUri::parse(&own.uri).unwrap().app_name.as_deref(), Some("a & b"));
    }
}

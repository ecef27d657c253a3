//! Mail, push, live queries, Cloud Code, GraphQL.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::config::error::ConfigError;
use crate::config::reader::Reader;
use crate::config::secret::Secret;
use crate::config::value::{CallbackId, OptionValue, Pattern};

/// How mails are sent.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// As given (`"smtp"`, a module name, `{module, options}`, …); contains secrets.
    pub email_adapter: Option<Secret<Value>>,
}

#[derive(Clone, Debug)]
pub struct PushConfig {
    /// Option `push` as given; contains secrets. `None` when push is not configured.
    pub push: Option<Secret<Map<String, Value>>>,
    pub scheduled_push: bool,
}

/// The publishing side of live queries.
#[derive(Clone, Debug)]
pub struct LiveQueryConfig {
    /// Classes that publish, each a pattern for the whole name; `None` when `liveQuery` is not set.
    pub class_names: Option<Vec<Pattern>>,
    pub redis_url: Option<Secret<String>>,
    pub redis_options: Option<Secret<Map<String, Value>>>,
    /// Milliseconds one regular expression may take; 0 for no limit.
    pub regex_timeout_ms: u64,
    /// Changes that other programs make in the database are told too.
    pub sql_changes: bool,
    /// Seconds for which events are kept in the database; `None` when they are not written down.
    pub event_log_s: Option<u64>,
}

impl LiveQueryConfig {
    pub fn publishes(&self, class: &str) -> bool {
        self.class_names.iter().flatten().any(|pattern| pattern.allows(class))
    }
}

/// The serving side of live queries.
#[derive(Clone, Debug)]
pub struct LiveQueryServerConfig {
    /// Whether this process serves live queries (`startLiveQueryServer`, or any of the options set).
    pub enabled: bool,
    /// Nothing but live queries (`liveQueryOnly`).
    pub only: bool,
    /// A port of its own; `None` shares the API's.
    pub port: Option<u16>,
    /// Keys of which a client must send one: name → key.
    pub key_pairs: Vec<(String, Secret<String>)>,
    pub redis_url: Option<Secret<String>>,
    pub redis_options: Option<Secret<Map<String, Value>>>,
    /// Milliseconds between pings.
    pub websocket_timeout_ms: u64,
    /// Milliseconds a session is remembered.
    pub cache_timeout_ms: u64,
    pub log_level: Option<String>,
    /// Sockets open at a time, of one address and in all.
    pub max_connections_per_address: u64,
    pub max_connections: u64,
    /// Bytes of subscriptions: of one, of one client, of one address, and in all.
    pub max_subscription_bytes: u64,
    pub max_client_bytes: u64,
    pub max_address_bytes: u64,
    pub max_bytes: u64,
}

/// Cloud Code processes.
#[derive(Clone, Debug)]
pub struct CloudConfig {
    /// The main file, or a function of a JavaScript configuration.
    pub cloud: Option<OptionValue<String>>,
    pub workers: usize,
    /// Milliseconds a call may take; `None` for no limit.
    pub timeout_ms: Option<u64>,
    /// Milliseconds a transaction may be open while Cloud Code runs in it; `None` for no limit.
    pub transaction_timeout_ms: Option<u64>,
    /// Milliseconds after which a process that does not react is replaced; `None` for never.
    pub stall_timeout_ms: Option<u64>,
    pub watch: bool,
    /// Code of the application that analytics events go to.
    pub analytics_adapter: Option<Secret<Value>>,
    /// Whether this server runs the job schedules.
    pub job_schedules: bool,
    /// Runs that were due while no server ran are left out.
    pub skip_missed_jobs: bool,
    /// The configuration file, where it is JavaScript: its functions live in the Cloud Code processes.
    pub config_file: Option<std::path::PathBuf>,
}

#[derive(Clone, Debug)]
pub struct GraphQLConfig {
    pub mount: bool,
    pub path: String,
    pub public_introspection: bool,
    pub schema: Option<GivenSchema>,
    /// Live queries are offered as subscriptions.
    pub subscriptions: bool,
    /// The file of the only documents that clients may send.
    pub persisted_queries: Option<String>,
    pub mount_playground: bool,
    pub playground_path: String,
}

/// Option `graphQLSchema`: what an application adds to the GraphQL schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenSchema {
    /// Types in GraphQL's language, or the path of a file that holds them.
    pub text: String,
    /// Of a schema that was made in JavaScript: the code behind its fields.
    pub code: Option<SchemaCode>,
    /// A function that makes a schema out of the server's own, and calls the code behind its fields.
    pub make: Option<CallbackId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaCode {
    /// Called with the field, its source and its arguments.
    pub resolve: CallbackId,
    /// `Type.field` of each field whose value it makes.
    pub fields: HashSet<String>,
}

impl GivenSchema {
    fn read(reader: Reader<'_>) -> Result<Option<Self>, ConfigError> {
        const NAME: &str = "graphQLSchema";
        if let Some(make) = reader.callback(NAME) {
            return Ok(Some(Self { text: String::new(), code: None, make: Some(make) }));
        }
        let Some(Value::Object(made)) = reader.raw(NAME) else {
            return Ok(reader.text(NAME)?.map(|text| Self { text, code: None, make: None }));
        };
        let text = made.get("text").and_then(Value::as_str);
        let resolve = made.get("resolve").and_then(CallbackId::from_json);
        let (Some(text), Some(resolve)) = (text, resolve) else {
            return Err(reader.fail(
                NAME,
                "Parse Server option graphQLSchema must be text, a GraphQLSchema or a function.",
            ));
        };
        let fields = made.get("fields").and_then(Value::as_array).into_iter().flatten();
        let fields = fields.filter_map(Value::as_str).map(str::to_owned).collect();
        let code = Some(SchemaCode { resolve, fields });
        Ok(Some(Self { text: text.to_owned(), code, make: None }))
    }
}

impl MailConfig {
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        Ok(Self { email_adapter: reader.raw("emailAdapter").cloned().map(Secret::new) })
    }
}

impl PushConfig {
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            push: reader.object("push")?.cloned().map(Secret::new),
            scheduled_push: reader.bool("scheduledPush")?,
        })
    }
}

/// Whoever else is on such a bus would hear nothing, and nobody would be told.
fn refuse_own_bus(reader: Reader<'_>, group: &Reader<'_>) -> Result<(), ConfigError> {
    let is_set = group.raw("pubSubAdapter").is_some_and(|adapter| !adapter.is_null());
    if !is_set || reader.bool("allowIncomplete")? {
        return Ok(());
    }
    let path = group.path("pubSubAdapter");
    let remedy = format!(
        "Remove {path}: servers of one database hear of each other without it, and of npm parse-server through \
         redisURL. --allowIncomplete starts without it."
    );
    Err(group.fail("pubSubAdapter", "A message bus of one's own is not supported").with_remedy(remedy))
}

impl LiveQueryConfig {
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let group = reader.group("liveQuery")?;
        refuse_own_bus(reader, &group)?;
        if group.raw("regexTimeout").is_some_and(|timeout| !timeout.is_number()) {
            return Err(group.fail("regexTimeout", "liveQuery.regexTimeout must be a number"));
        }
        let message = "liveQuery.classes should be an array of string";
        let names = group.texts_saying("classNames", message)?.into_iter().map(|name| {
            Pattern::whole(&name).map_err(|_| {
                let message = format!("liveQuery.classNames contains an invalid regex pattern: \"{name}\".");
                group.fail("classNames", message)
            })
        });
        let names = names.collect::<Result<_, _>>()?;
        Ok(Self {
            class_names: group.is_set().then_some(names),
            redis_url: group.secret("redisURL")?,
            redis_options: group.object("redisOptions")?.cloned().map(Secret::new),
            regex_timeout_ms: group.required_whole("regexTimeout", 0)?,
            sql_changes: group.bool("sqlChanges")?,
            event_log_s: group
                .bool("eventLog")?
                .then(|| group.required_whole("eventLogRetention", 1))
                .transpose()?,
        })
    }
}

impl LiveQueryServerConfig {
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let group = reader.group("liveQueryServerOptions")?;
        refuse_own_bus(reader, &group)?;
        let only = reader.bool("liveQueryOnly")?;
        // The default of `port` is for a server that runs alone, so only what was set counts here.
        let port = match group.raw("port") {
            None => None,
            Some(_) => Some(u16::try_from(group.required_whole("port", 0)?).map_err(|_| {
                let message =
                    "Parse Server option liveQueryServerOptions.port must be a number from 0 to 65535.";
                group.fail("port", message)
            })?),
        };
        let mut key_pairs = Vec::new();
        for (name, key) in group.object("keyPairs")?.into_iter().flatten() {
            let key = key.as_str().ok_or_else(|| {
                let message =
                    "Parse Server option liveQueryServerOptions.keyPairs must map names to strings.";
                group.fail("keyPairs", message)
            })?;
            key_pairs.push((name.clone(), Secret::new(key.to_owned())));
        }
        Ok(Self {
            enabled: reader.bool("startLiveQueryServer")? || only || group.is_set(),
            only,
            port,
            key_pairs,
            redis_url: group.secret("redisURL")?,
            redis_options: group.object("redisOptions")?.cloned().map(Secret::new),
            websocket_timeout_ms: group.whole("websocketTimeout", 1)?.unwrap_or(10_000),
            cache_timeout_ms: group.whole("cacheTimeout", 0)?.unwrap_or(5_000),
            log_level: group.text("logLevel")?,
            max_connections_per_address: group.required_whole("maxConnectionsPerAddress", 1)?,
            max_connections: group.required_whole("maxConnections", 1)?,
            max_subscription_bytes: group.required_whole("maxSubscriptionBytes", 1)?,
            max_client_bytes: group.required_whole("maxClientBytes", 1)?,
            max_address_bytes: group.required_whole("maxAddressBytes", 1)?,
            max_bytes: group.required_whole("maxBytes", 1)?,
        })
    }
}

impl CloudConfig {
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let limit = |name: &str| Ok(reader.whole(name, 0)?.filter(|milliseconds| *milliseconds > 0));
        Ok(Self {
            cloud: cloud(reader)?,
            workers: reader.required_whole("cloudWorkers", 1)? as usize,
            timeout_ms: limit("cloudTimeout")?,
            transaction_timeout_ms: limit("cloudTransactionTimeout")?,
            stall_timeout_ms: limit("cloudStallTimeout")?,
            watch: reader.bool("watch")?,
            analytics_adapter: reader.raw("analyticsAdapter").cloned().map(Secret::new),
            job_schedules: reader.bool("jobSchedules")?,
            skip_missed_jobs: match reader.required_text("jobSchedulesMissed")?.as_str() {
                "once" => false,
                "skip" => true,
                _ => {
                    let message = "Parse Server option jobSchedulesMissed must be \"once\" or \"skip\".";
                    return Err(reader.fail("jobSchedulesMissed", message));
                }
            },
            config_file: None,
        })
    }
}

fn cloud(reader: Reader<'_>) -> Result<Option<OptionValue<String>>, ConfigError> {
    if let Some(id) = reader.callback("cloud") {
        return Ok(Some(OptionValue::Callback(id)));
    }
    if reader.raw("cloud").is_some_and(|value| !value.is_string()) {
        return Err(reader.fail("cloud", "argument 'cloud' must either be a string or a function"));
    }
    Ok(reader.text("cloud")?.filter(|path| !path.is_empty()).map(OptionValue::Value))
}

impl GraphQLConfig {
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            mount: reader.bool("mountGraphQL")?,
            path: reader.required_text("graphQLPath")?,
            public_introspection: reader.bool("graphQLPublicIntrospection")?,
            schema: GivenSchema::read(reader)?,
            subscriptions: reader.bool("graphQLSubscriptions")?,
            persisted_queries: reader.text("graphQLPersistedQueries")?,
            mount_playground: reader.bool("mountPlayground")?,
            playground_path: reader.required_text("playgroundPath")?,
        })
    }
}

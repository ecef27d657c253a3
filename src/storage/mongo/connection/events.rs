//! `databaseOptions.logClientEvents`: what the driver tells of its connections, of servers and of commands, in the log.
//! Events go by the names that parse-server's driver gives them.

use mongodb::event::EventHandler;
use mongodb::event::cmap::{CmapEvent, ConnectionCheckoutFailedReason, ConnectionClosedReason};
use mongodb::event::command::CommandEvent;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::ClientOptions;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// One entry of the option.
#[derive(Clone, Debug, PartialEq)]
struct Wanted {
    name: String,
    /// Paths of what is logged; empty: everything.
    keys: Vec<String>,
    level: tracing::Level,
}

/// What the option says; entries without a name say nothing.
fn wanted(given: &Map<String, Value>) -> Vec<Wanted> {
    let entries = given.get("logClientEvents").and_then(Value::as_array).into_iter().flatten();
    let read = |entry: &Value| {
        let keys = entry.get("keys").and_then(Value::as_array).into_iter().flatten();
        Some(Wanted {
            name: entry.get("name")?.as_str()?.to_owned(),
            keys: keys.filter_map(|key| key.as_str().map(str::to_owned)).collect(),
            level: level(entry.get("logLevel").and_then(Value::as_str)),
        })
    };
    entries.filter_map(read).collect()
}

fn level(name: Option<&str>) -> tracing::Level {
    match name {
        Some("error") => tracing::Level::ERROR,
        Some("warn") => tracing::Level::WARN,
        Some("verbose" | "debug") => tracing::Level::DEBUG,
        Some("silly") => tracing::Level::TRACE,
        _ => tracing::Level::INFO,
    }
}

/// Has the driver tell of the events that the options name.
pub fn attach(options: &mut ClientOptions, given: &Map<String, Value>) {
    let wanted: std::sync::Arc<[Wanted]> = wanted(given).into();
    if wanted.is_empty() {
        return;
    }
    let all = wanted.clone();
    options.cmap_event_handler =
        Some(EventHandler::callback(move |event| log(&all, pool_event_name(&event), || pool_event(&event))));
    let all = wanted.clone();
    options.sdam_event_handler =
        Some(EventHandler::callback(move |event| log(&all, server_event_name(&event), || shown(&event))));
    // Commands cost a copy of each: only for those who ask.
    if wanted.iter().any(|entry| entry.name.starts_with("command")) {
        let handler = move |event| log(&wanted, command_event_name(&event), || command_event(&event));
        options.command_event_handler = Some(EventHandler::callback(handler));
    }
}

fn log(wanted: &[Wanted], name: &str, event: impl FnOnce() -> Value) {
    let Some(entry) = wanted.iter().find(|entry| entry.name == name) else { return };
    let said = line(entry, &event());
    match entry.level {
        tracing::Level::ERROR => tracing::error!("{said}"),
        tracing::Level::WARN => tracing::warn!("{said}"),
        tracing::Level::DEBUG => tracing::debug!("{said}"),
        tracing::Level::TRACE => tracing::trace!("{said}"),
        tracing::Level::INFO => tracing::info!("{said}"),
    }
}

fn line(entry: &Wanted, event: &Value) -> String {
    let at = |path: &str| path.split('.').try_fold(event, |value, key| value.get(key)).cloned();
    let chosen: Map<String, Value> =
        entry.keys.iter().filter_map(|path| Some((path.clone(), at(path)?))).collect();
    let shown = if entry.keys.is_empty() { event.clone() } else { Value::Object(chosen) };
    format!("MongoDB client event {}: {shown}", entry.name)
}

fn shown(event: &impl Serialize) -> Value {
    serde_json::to_value(event).unwrap_or_default()
}

fn pool_event_name(event: &CmapEvent) -> &'static str {
    match event {
        CmapEvent::PoolCreated(_) => "connectionPoolCreated",
        CmapEvent::PoolReady(_) => "connectionPoolReady",
        CmapEvent::PoolCleared(_) => "connectionPoolCleared",
        CmapEvent::PoolClosed(_) => "connectionPoolClosed",
        CmapEvent::ConnectionCreated(_) => "connectionCreated",
        CmapEvent::ConnectionReady(_) => "connectionReady",
        CmapEvent::ConnectionClosed(_) => "connectionClosed",
        CmapEvent::ConnectionCheckoutStarted(_) => "connectionCheckOutStarted",
        CmapEvent::ConnectionCheckoutFailed(_) => "connectionCheckOutFailed",
        CmapEvent::ConnectionCheckedOut(_) => "connectionCheckedOut",
        CmapEvent::ConnectionCheckedIn(_) => "connectionCheckedIn",
        _ => "",
    }
}

/// With the names of fields and the reasons that parse-server's driver has.
fn pool_event(event: &CmapEvent) -> Value {
    let id = |id: u32| json!({ "connectionId": id });
    let (address, mut more) = match event {
        CmapEvent::PoolCreated(event) => (&event.address, json!({ "options": shown(&event.options) })),
        CmapEvent::PoolReady(event) => (&event.address, json!({})),
        CmapEvent::PoolCleared(event) => (&event.address, json!({})),
        CmapEvent::PoolClosed(event) => (&event.address, json!({})),
        CmapEvent::ConnectionCreated(event) => (&event.address, id(event.connection_id)),
        CmapEvent::ConnectionReady(event) => (&event.address, id(event.connection_id)),
        CmapEvent::ConnectionClosed(event) => {
            let reason = match event.reason {
                ConnectionClosedReason::Stale => "stale",
                ConnectionClosedReason::Idle => "idle",
                ConnectionClosedReason::PoolClosed => "poolClosed",
                _ => "error",
            };
            (&event.address, json!({ "connectionId": event.connection_id, "reason": reason }))
        }
        CmapEvent::ConnectionCheckoutStarted(event) => (&event.address, json!({})),
        CmapEvent::ConnectionCheckoutFailed(event) => {
            let reason = match event.reason {
                ConnectionCheckoutFailedReason::Timeout => "timeout",
                _ => "connectionError",
            };
            (&event.address, json!({ "reason": reason }))
        }
        CmapEvent::ConnectionCheckedOut(event) => (&event.address, id(event.connection_id)),
        CmapEvent::ConnectionCheckedIn(event) => (&event.address, id(event.connection_id)),
        _ => return Value::Null,
    };
    if let Some(more) = more.as_object_mut() {
        more.insert("address".to_owned(), address.to_string().into());
    }
    more
}

fn server_event_name(event: &SdamEvent) -> &'static str {
    match event {
        SdamEvent::ServerDescriptionChanged(_) => "serverDescriptionChanged",
        SdamEvent::ServerOpening(_) => "serverOpening",
        SdamEvent::ServerClosed(_) => "serverClosed",
        SdamEvent::TopologyDescriptionChanged(_) => "topologyDescriptionChanged",
        SdamEvent::TopologyOpening(_) => "topologyOpening",
        SdamEvent::TopologyClosed(_) => "topologyClosed",
        SdamEvent::ServerHeartbeatStarted(_) => "serverHeartbeatStarted",
        SdamEvent::ServerHeartbeatSucceeded(_) => "serverHeartbeatSucceeded",
        SdamEvent::ServerHeartbeatFailed(_) => "serverHeartbeatFailed",
        _ => "",
    }
}

fn command_event_name(event: &CommandEvent) -> &'static str {
    match event {
        CommandEvent::Started(_) => "commandStarted",
        CommandEvent::Succeeded(_) => "commandSucceeded",
        CommandEvent::Failed(_) => "commandFailed",
        _ => "",
    }
}

/// Without what was sent and answered, which is data of the application; a command's shape is its name and collection.
fn command_event(event: &CommandEvent) -> Value {
    let milliseconds = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match event {
        CommandEvent::Started(event) => json!({
            "requestId": event.request_id, "databaseName": event.db, "commandName": event.command_name,
            "collection": event.command.get_str(&event.command_name).ok(),
            "comment": event.command.get_str("comment").ok(),
        }),
        CommandEvent::Succeeded(event) => json!({
            "requestId": event.request_id, "commandName": event.command_name,
            "duration": milliseconds(event.duration),
        }),
        CommandEvent::Failed(event) => json!({
            "requestId": event.request_id, "commandName": event.command_name,
            "duration": milliseconds(event.duration), "failure": event.failure.to_string(),
        }),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_choose_events_keys_and_levels() {
        let given = json!({"logClientEvents": [
            {"name": "connectionPoolCreated", "keys": ["address", "options.maxPoolSize", "none"], "logLevel": "warn"},
            {"name": "serverOpening"}, {"keys": ["x"]},
        ]});
        let entries = wanted(given.as_object().unwrap());
        assert_eq!(
            (entries.len(), entries[0].level, entries[1].level),
            (2, tracing::Level::WARN, tracing::Level::INFO)
        );
        let event = json!({"address": "h:1", "options": {"maxPoolSize": 7}});
        assert_eq!(
            line(&entries[0], &event),
            r#"MongoDB client event connectionPoolCreated: {"address":"h:1","options.maxPoolSize":7}"#
        );
        assert!(line(&entries[1], &event).ends_with(r#"{"address":"h:1","options":{"maxPoolSize":7}}"#));
    }
}

//! A push adapter that is an npm module or an object of the JavaScript configuration (`push.adapter`): it runs in
//! a Cloud Code host and gets what parse-server hands to `send`.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::cloud::{AdapterArg, AdapterCall, CloudEngine};
use crate::push::{Device, Message, Outcome, PushAdapter};

/// The option's name, under which the engine knows the adapter.
pub const ADAPTER: &str = "push.adapter";
/// parse-server's batches.
const BATCH: usize = 100;
/// Errors by which adapters say that a token is dead, as parse-server reads them.
const DEAD: &[&str] = &[
    "NotRegistered",
    "InvalidRegistration",
    "messaging/registration-token-not-registered",
    "messaging/invalid-registration-token",
    "Unregistered",
    "BadDeviceToken",
];
const NO_TOKEN: &str = "The registration token is not a valid FCM registration token";

pub struct JavaScriptPush {
    engine: Arc<dyn CloudEngine>,
    batch_size: Option<usize>,
}

impl JavaScriptPush {
    pub fn new(engine: Arc<dyn CloudEngine>, batch_size: Option<usize>) -> Self {
        Self { engine, batch_size }
    }
}

#[async_trait]
impl PushAdapter for JavaScriptPush {
    async fn send(&self, message: &Message, devices: Vec<Device>) -> Vec<Outcome> {
        if message.halt.is_set() {
            return vec![Outcome::Unsent; devices.len()];
        }
        let installations =
            devices.iter().filter_map(|device| device.object.clone().map(Value::Object)).collect();
        let call = AdapterCall {
            adapter: ADAPTER.to_owned(),
            method: "send".to_owned(),
            args: vec![
                AdapterArg::Json(Value::Object(message.body.clone())),
                AdapterArg::Json(Value::Array(installations)),
                AdapterArg::Json(message.push_id.clone().into()),
            ],
            deadline: None,
        };
        match self.engine.call_adapter(call).await {
            Ok(results) => read(&results, &devices),
            // Whether it had sent anything nobody knows: it is not asked twice.
            Err(error) => {
                let reason = error.public_message(false).to_owned();
                vec![Outcome::rejected(reason); devices.len()]
            }
        }
    }

    fn batch_size(&self) -> usize {
        self.batch_size.unwrap_or(BATCH)
    }

    fn wants_objects(&self) -> bool {
        true
    }
}

/// The results may be in any order: they name their tokens. Where none does, the order counts.
fn read(results: &Value, devices: &[Device]) -> Vec<Outcome> {
    let mut flat = Vec::new();
    flatten(results, &mut flat);
    let token =
        |result: &Value| result.pointer("/device/deviceToken").and_then(Value::as_str).map(str::to_owned);
    let mut by_token = std::collections::HashMap::new();
    for result in &flat {
        if let Some(token) = token(result) {
            by_token.insert(token, *result);
        }
    }
    let in_order = by_token.is_empty() && flat.len() == devices.len();
    devices
        .iter()
        .enumerate()
        .map(|(index, device)| {
            let result = match in_order {
                true => flat.get(index).copied(),
                false => by_token.get(&device.token).copied(),
            };
            result.map_or(Outcome::Unknown, outcome_of)
        })
        .collect()
}

fn flatten<'a>(value: &'a Value, into: &mut Vec<&'a Value>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| flatten(one, into)),
        Value::Null => {}
        one => into.push(one),
    }
}

fn outcome_of(result: &Value) -> Outcome {
    if result.get("transmitted").is_some_and(crate::types::javascript::is_truthy) {
        return Outcome::ACCEPTED;
    }
    let error = result.pointer("/response/error").unwrap_or(&Value::Null);
    let code = error.get("code").and_then(Value::as_str);
    let text = error.as_str().or(code).or_else(|| error.get("message")?.as_str()).unwrap_or("unknown");
    let is_no_token = code == Some("messaging/invalid-argument")
        && error.get("message").and_then(Value::as_str) == Some(NO_TOKEN);
    Outcome::Rejected { reason: text.to_owned(), is_dead: DEAD.contains(&text) || is_no_token }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn results_are_found_by_their_tokens() {
        let device = |token: &str| Device { token: token.to_owned(), ..Device::default() };
        let devices = [device("a"), device("b"), device("c")];
        let results = json!([[
            {"device": {"deviceToken": "b", "deviceType": "ios"}, "transmitted": false, "response": {"error": "Unregistered"}},
            null,
            {"device": {"deviceToken": "a", "deviceType": "ios"}, "transmitted": true},
        ]]);
        assert_eq!(
            read(&results, &devices),
            [Outcome::ACCEPTED, Outcome::dead("Unregistered"), Outcome::Unknown]
        );
    }
}

//! FCM, HTTP v1: a message for each device over one HTTP/2 connection, with a token of the service account.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::apple::{self, Style};
use super::options::{self, misconfigured};
use super::token::AccessToken;
use super::{Broadcast, Device, Message, Outcome, Sender, retry_after};
use crate::error::Result;
use crate::outbound::{Answer, Multiplexed, Outbound, OutboundError, Request};
use crate::types::Object;
use crate::types::javascript::is_truthy;
use crate::types::time::Millis;

const HOST: &str = "https://fcm.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const STREAMS: usize = 1000;
/// Connections where HTTP/2 cannot be had: each carries one request at a time.
const CONNECTIONS: usize = 64;
const DEADLINE: Duration = Duration::from_secs(15);
const MOST: usize = 64 * 1024;
/// Four weeks, in seconds.
const LONGEST_TTL: i64 = 28 * 24 * 3600;
/// What FCM asks for when the quota is spent and it names no time.
const QUOTA_PAUSE: Duration = Duration::from_secs(60);
/// Data that Android gets no texts of.
const INTEGERS: &[&str] = &["badge", "content-available", "mutable-content", "priority", "expiration_time"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Android,
    Apple,
}

pub struct Fcm {
    kind: Kind,
    project: Arc<Project>,
}

/// A service account: its token and its connection, for all kinds of devices that go through it.
pub struct Project {
    url: String,
    token: AccessToken,
    multiplexed: Multiplexed,
    outbound: Arc<Outbound>,
    streams: Semaphore,
    /// HTTP/2 is not wanted, or a proxy on the way does not speak it.
    is_plain: AtomicBool,
    connections: Semaphore,
}

impl Fcm {
    pub fn new(project: Arc<Project>, kind: Kind) -> Self {
        Self { kind, project }
    }
}

impl Project {
    /// # Errors
    /// 115 when the service account is none.
    pub fn new(options: &Value, outbound: &Arc<Outbound>) -> Result<Self> {
        let wrong = || misconfigured("FCM Configuration is invalid");
        let account = match options.get("firebaseServiceAccount") {
            Some(Value::Object(account)) => account.clone(),
            Some(Value::String(text)) if text.trim_start().starts_with('{') => {
                serde_json::from_str(text).map_err(|_| wrong())?
            }
            Some(Value::String(path)) => {
                let unreadable = |error: std::io::Error| {
                    misconfigured(format!("push: firebaseServiceAccount cannot be read: {}", error.kind()))
                };
                serde_json::from_slice(&std::fs::read(path).map_err(unreadable)?).map_err(|_| wrong())?
            }
            _ => return Err(wrong()),
        };
        let project = options::text(&account, "project_id").or_else(|| options::text(&account, "projectId"));
        let project = project.ok_or_else(|| misconfigured("Firebase service account has no project_id"))?;
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b':' | b'.' | b'_');
        if !project.bytes().all(plain) {
            return Err(misconfigured("Firebase service account has a project_id that is none"));
        }
        Ok(Self {
            url: format!("{HOST}/v1/projects/{project}/messages:send"),
            token: AccessToken::new(&account, SCOPE)?,
            multiplexed: outbound.multiplexed(None)?,
            outbound: outbound.clone(),
            streams: Semaphore::new(STREAMS),
            is_plain: AtomicBool::new(options.get("fcmEnableLegacyHttpTransport").is_some_and(is_truthy)),
            connections: Semaphore::new(CONNECTIONS),
        })
    }
}

/// The message without its target.
fn content(message: &Message, kind: Kind, now: Millis) -> Object {
    let mut content = match (message.body.get("rawPayload"), kind) {
        (Some(Value::Object(raw)), _) => raw.clone(),
        (Some(_), _) => Object::new(),
        (None, Kind::Apple) => for_apple(message),
        (None, Kind::Android) => for_android(message, now),
    };
    rename(&mut content);
    content
}

fn for_apple(message: &Message) -> Object {
    let mut headers = apple::headers(message);
    // APNs' own default, which FCM fills in.
    let has_priority = message.either("priority").is_some();
    headers.retain(|(name, value)| *name != "apns-priority" || has_priority || value != "10");
    let headers: Object =
        headers.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
    let apns = json!({ "payload": apple::payload(message, Style::Fcm), "headers": headers });
    Object::from_iter([("apns".to_owned(), apns)])
}

/// A message for devices of every kind, and its target.
fn for_listeners(message: &Message, broadcast: &Broadcast, now: Millis) -> Object {
    let mut content = content(message, Kind::Android, now);
    if !message.body.contains_key("rawPayload") {
        content.extend(for_apple(message));
    }
    for target in ["token", "topic", "condition"] {
        content.shift_remove(target);
    }
    broadcast.put_target(&mut content);
    content
}

fn for_android(message: &Message, now: Millis) -> Object {
    let mut android = Object::new();
    android.insert("priority".to_owned(), "high".into());
    if let Some(notification) = message.body.get("notification") {
        android.insert("notification".to_owned(), notification.clone());
    }
    if message.body.contains_key("data") {
        let mut data = message.data.clone();
        data.retain(|key, _| !INTEGERS.contains(&key.as_str()));
        let push_id = crate::types::ObjectId::generate(10).to_string();
        let data =
            json!({ "push_id": push_id, "time": now.to_iso(), "data": Value::Object(data).to_string() });
        android.insert("data".to_owned(), data);
    }
    if let Some(at) = message.expires_at {
        let seconds = (at.0 - now.0).div_euclid(1000).clamp(0, LONGEST_TTL);
        android.insert("ttl".to_owned(), format!("{seconds}s").into());
    }
    Object::from_iter([("android".to_owned(), Value::Object(android))])
}

/// Names of Firebase's Node library, which those who write raw payloads know, and those of the service.
fn rename(message: &mut Object) {
    const NOTIFICATION: &[(&str, &str)] = &[("imageUrl", "image")];
    const ANDROID: &[(&str, &str)] = &[
        ("collapseKey", "collapse_key"),
        ("restrictedPackageName", "restricted_package_name"),
        ("directBootOk", "direct_boot_ok"),
        ("fcmOptions", "fcm_options"),
    ];
    const ANDROID_NOTIFICATION: &[(&str, &str)] = &[
        ("clickAction", "click_action"),
        ("bodyLocKey", "body_loc_key"),
        ("bodyLocArgs", "body_loc_args"),
        ("titleLocKey", "title_loc_key"),
        ("titleLocArgs", "title_loc_args"),
        ("channelId", "channel_id"),
        ("imageUrl", "image"),
        ("eventTimestamp", "event_time"),
        ("localOnly", "local_only"),
        ("priority", "notification_priority"),
        ("vibrateTimingsMillis", "vibrate_timings"),
        ("defaultVibrateTimings", "default_vibrate_timings"),
        ("defaultSound", "default_sound"),
        ("lightSettings", "light_settings"),
        ("defaultLightSettings", "default_light_settings"),
        ("notificationCount", "notification_count"),
    ];
    const APS: &[(&str, &str)] = &[
        ("contentAvailable", "content-available"),
        ("mutableContent", "mutable-content"),
        ("threadId", "thread-id"),
    ];
    const ALERT: &[(&str, &str)] = &[
        ("locKey", "loc-key"),
        ("locArgs", "loc-args"),
        ("titleLocKey", "title-loc-key"),
        ("titleLocArgs", "title-loc-args"),
        ("subtitleLocKey", "subtitle-loc-key"),
        ("subtitleLocArgs", "subtitle-loc-args"),
        ("actionLocKey", "action-loc-key"),
        ("launchImage", "launch-image"),
    ];
    let text = |unit: &str, ms: &Value| ms.as_f64().map(|ms| Value::String(format!("{}{unit}", ms / 1000.0)));
    renamed(message, &[("fcmOptions", "fcm_options")]);
    if let Some(Value::Object(notification)) = message.get_mut("notification") {
        renamed(notification, NOTIFICATION);
    }
    if let Some(Value::Object(android)) = message.get_mut("android") {
        if let Some(ttl) = android.get("ttl").and_then(|ttl| text("s", ttl)) {
            android.insert("ttl".to_owned(), ttl);
        }
        renamed(android, ANDROID);
        if let Some(Value::Object(notification)) = android.get_mut("notification") {
            for (key, prefix) in [("priority", "PRIORITY_"), ("visibility", "")] {
                if let Some(Value::String(value)) = notification.get_mut(key)
                    && value.bytes().all(|c| c.is_ascii_lowercase())
                {
                    *value = format!("{prefix}{}", value.to_ascii_uppercase());
                }
            }
            if let Some(Value::Array(timings)) = notification.get_mut("vibrateTimingsMillis") {
                timings.iter_mut().for_each(|ms| {
                    if let Some(seconds) = text("s", ms) {
                        *ms = seconds;
                    }
                });
            }
            renamed(notification, ANDROID_NOTIFICATION);
        }
    }
    if let Some(Value::Object(aps)) =
        message.get_mut("apns").and_then(|apns| apns.pointer_mut("/payload/aps"))
    {
        renamed(aps, APS);
        if let Some(Value::Object(alert)) = aps.get_mut("alert") {
            renamed(alert, ALERT);
        }
    }
}

fn renamed(object: &mut Object, names: &[(&str, &str)]) {
    for (from, to) in names {
        if let Some(value) = object.shift_remove(*from) {
            object.entry(*to).or_insert(value);
        }
    }
}

#[async_trait]
impl Sender for Fcm {
    async fn send(&self, message: &Message, devices: Vec<Device>) -> Vec<Outcome> {
        if let Some(Device { broadcast: Some(broadcast), .. }) = devices.first() {
            let content = for_listeners(message, broadcast, Millis::now());
            let body = json!({ "message": content }).to_string();
            return vec![self.project.to_device(body, message).await];
        }
        let mut content = content(message, self.kind, Millis::now());
        content.shift_remove("token");
        let content = Value::Object(content).to_string();
        // All but the end, where the token follows.
        let mut prefix = format!("{{\"message\":{content}");
        prefix.truncate(prefix.len() - 1);
        let separator = if content == "{}" { "" } else { "," };
        let requests = devices.into_iter().map(|device| {
            let token = Value::String(device.token);
            self.project.to_device(format!("{prefix}{separator}\"token\":{token}}}}}"), message)
        });
        stream::iter(requests).buffered(STREAMS).collect().await
    }

    fn reaches(&self, broadcast: &Broadcast) -> bool {
        matches!(broadcast, Broadcast::Topic(_) | Broadcast::Condition(_))
    }
}

impl Project {
    async fn to_device(&self, body: String, message: &Message) -> Outcome {
        let Ok(_stream) = self.streams.acquire().await else { return Outcome::Unsent };
        if message.halt.is_set() {
            return Outcome::Unsent;
        }
        let mut tries = 1;
        loop {
            let (token, generation) = match self.token.current(&self.outbound).await {
                Ok(current) => current,
                Err(reason) => return Outcome::retry(reason, None),
            };
            let request = Request::post(&self.url)
                .bearer(&token)
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .within(DEADLINE)
                .at_most(MOST)
                .body(body.clone());
            let answer = match self.exchange(request).await {
                Ok(answer) => answer,
                Err(error) => return Outcome::failed(&error),
            };
            if answer.status.is_success() {
                return Outcome::ACCEPTED;
            }
            let (reason, text) = refusal(&answer);
            if answer.status.as_u16() == 401 && reason != "THIRD_PARTY_AUTH_ERROR" && tries == 1 {
                self.token.refused(generation).await;
                tries += 1;
                continue;
            }
            return outcome_of(answer.status.as_u16(), reason, &text, retry_after(&answer.headers));
        }
    }
}

impl Project {
    async fn exchange(&self, request: Request) -> Result<Answer, OutboundError> {
        if !self.is_plain.load(Ordering::Relaxed) {
            match self.multiplexed.send(request.clone()).await {
                Err(OutboundError::Protocol) => self.is_plain.store(true, Ordering::Relaxed),
                answered => return answered,
            }
        }
        let Ok(_connection) = self.connections.acquire().await else { return Err(OutboundError::Broken) };
        self.outbound.send(request).await
    }
}

/// The error's own code where FCM gives one, and its text.
fn refusal(answer: &Answer) -> (String, String) {
    let body: Value = answer.json().unwrap_or_default();
    let error = body.get("error").unwrap_or(&Value::Null);
    let details = error.get("details").and_then(Value::as_array).into_iter().flatten();
    let own = details.filter_map(|detail| detail.get("errorCode")?.as_str()).next();
    let code = own.or_else(|| error.get("status")?.as_str()).filter(|code| code.len() <= 64);
    let code = code.map_or_else(|| format!("status {}", answer.status.as_u16()), str::to_owned);
    (code, error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned())
}

fn outcome_of(status: u16, reason: String, text: &str, after: Option<Duration>) -> Outcome {
    const NO_TOKEN: &str = "The registration token is not a valid FCM registration token";
    match (reason.as_str(), status) {
        ("UNREGISTERED", _) => Outcome::dead(reason),
        ("INVALID_ARGUMENT", _) if text == NO_TOKEN => Outcome::dead(reason),
        ("QUOTA_EXCEEDED" | "RESOURCE_EXHAUSTED", _) | (_, 429) => {
            Outcome::retry(reason, Some(after.unwrap_or(QUOTA_PAUSE)))
        }
        ("UNAVAILABLE" | "INTERNAL", _) | (_, 408 | 500 | 502..=504) => Outcome::retry(reason, after),
        _ => Outcome::rejected(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::Halt;

    fn message(body: Value) -> Message {
        let body = body.as_object().cloned().unwrap();
        let data = body.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
        Message {
            push_id: "p".into(),
            body,
            data,
            expires_at: Some(Millis(3_600_000)),
            halt: Halt::default(),
        }
    }

    #[test]
    fn android_gets_texts_and_seconds() {
        let body = json!({"data": {"alert": "a", "badge": 3, "priority": 5}, "notification": {"title": "t", "clickAction": "x", "priority": "high"}});
        let mut content = content(&message(body), Kind::Android, Millis(0));
        let id = content["android"]["data"].as_object_mut().unwrap().shift_remove("push_id").unwrap();
        assert_eq!(id.as_str().unwrap().len(), 10);
        assert_eq!(
            Value::Object(content),
            json!({"android": {
                "priority": "high",
                "notification": {"title": "t", "click_action": "x", "notification_priority": "PRIORITY_HIGH"},
                "data": {"time": "1970-01-01T00:00:00.000Z", "data": "{\"alert\":\"a\"}"},
                "ttl": "3600s",
            }})
        );
    }

    #[test]
    fn apple_headers_are_texts_and_raw_payloads_are_kept() {
        let apple = content(&message(json!({"data": {"alert": "a", "priority": 5}})), Kind::Apple, Millis(0));
        assert_eq!(
            Value::Object(apple),
            json!({"apns": {"payload": {"aps": {"alert": {"body": "a"}}},
                "headers": {"apns-expiration": "3600", "apns-priority": "5", "apns-push-type": "alert"}}})
        );
        let raw = json!({"data": {}, "rawPayload": {"notification": {"title": "t", "imageUrl": "u"}, "android": {"ttl": 1500}}});
        assert_eq!(
            Value::Object(content(&message(raw), Kind::Apple, Millis(0))),
            json!({"notification": {"title": "t", "image": "u"}, "android": {"ttl": "1.5s"}})
        );
    }

    #[test]
    fn refusals() {
        let of = |status, reason: &str, text| outcome_of(status, reason.to_owned(), text, None);
        assert_eq!(of(404, "UNREGISTERED", ""), Outcome::dead("UNREGISTERED"));
        assert_eq!(of(400, "INVALID_ARGUMENT", "bad"), Outcome::rejected("INVALID_ARGUMENT"));
        assert_eq!(of(403, "SENDER_ID_MISMATCH", ""), Outcome::rejected("SENDER_ID_MISMATCH"));
        assert_eq!(of(429, "QUOTA_EXCEEDED", ""), Outcome::retry("QUOTA_EXCEEDED", Some(QUOTA_PAUSE)));
        assert_eq!(of(503, "UNAVAILABLE", ""), Outcome::retry("UNAVAILABLE", None));
    }
}

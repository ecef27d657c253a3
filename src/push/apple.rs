//! What a push looks like to Apple: the payload and the headers, as `@parse/push-adapter` makes them, for APNs
//! and for FCM, which hands them on.

use serde_json::{Value, json};

use super::Message;
use crate::types::Object;

/// How the parts are put, which differs between the ways to Apple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `node-apn`: a text without a title stays a text.
    NodeApn,
    /// `useNativeAPNs`: an alert is always an object.
    Native,
    /// Through FCM.
    Fcm,
}

/// Data that becomes headers of APNs.
const HEADERS: &[&str] =
    &["id", "collapseId", "channelId", "requestId", "pushType", "topic", "expiry", "priority"];
/// The same under the names of the request; `node-apn` leaves them in the payload too.
const REQUEST: &[&str] = &["expiration_time", "collapse_id", "push_type"];

/// `{aps, …}`.
pub fn payload(message: &Message, style: Style) -> Object {
    let data = &message.data;
    let mut aps = Object::new();
    let mut payload = Object::new();
    for (key, value) in data {
        let text = || value.is_string() || style != Style::NodeApn;
        match key.as_str() {
            "aps" => match value {
                Value::Object(given) if style == Style::Native => aps.extend(given.clone()),
                Value::Object(given) => aps = given.clone(),
                _ => {}
            },
            "alert" => put_alert(&mut aps, value, style),
            "title" => put_title(&mut aps, value),
            "badge" if value.is_number() => put(&mut aps, "badge", value),
            "sound" if is_sound(value) => put(&mut aps, "sound", value),
            "content-available" | "mutable-content" if is_on(value, style) => put(&mut aps, key, &json!(1)),
            "targetContentIdentifier" if text() => put(&mut aps, "target-content-id", value),
            "interruptionLevel" if text() => put(&mut aps, "interruption-level", value),
            "category" if text() => put(&mut aps, "category", value),
            "threadId" if text() => put(&mut aps, "thread-id", value),
            "badge"
            | "sound"
            | "content-available"
            | "mutable-content"
            | "targetContentIdentifier"
            | "interruptionLevel"
            | "category"
            | "threadId" => {}
            key if style != Style::Fcm && HEADERS.contains(&key) => {}
            key if style != Style::NodeApn && REQUEST.contains(&key) => {}
            "priority" => {}
            _ => put(&mut payload, key, value),
        }
    }
    payload.insert("aps".to_owned(), Value::Object(aps));
    payload
}

fn put(object: &mut Object, key: &str, value: &Value) {
    object.insert(key.to_owned(), value.clone());
}

/// 1; Firebase takes `true` for it.
fn is_on(value: &Value, style: Style) -> bool {
    value.as_f64() == Some(1.0) || (style == Style::Fcm && *value == Value::Bool(true))
}

/// A name, or all of a critical alert's.
fn is_sound(value: &Value) -> bool {
    let has = |key: &str, is: fn(&Value) -> bool| value.get(key).is_some_and(is);
    value.is_string()
        || (has("name", Value::is_string)
            && has("critical", Value::is_number)
            && has("volume", Value::is_number))
}

/// A title that came before is kept, unless the alert has one of its own.
fn put_alert(aps: &mut Object, value: &Value, style: Style) {
    let title = aps.get("alert").and_then(|alert| alert.get("title")).cloned();
    let alert = match (value, title) {
        (Value::Object(given), title) => {
            let mut given = given.clone();
            if let Some(title) = title {
                given.entry("title").or_insert(title);
            }
            Value::Object(given)
        }
        (body, Some(title)) => json!({ "body": body, "title": title }),
        (body, None) if style == Style::NodeApn => body.clone(),
        (body, None) => json!({ "body": body }),
    };
    aps.insert("alert".to_owned(), alert);
}

fn put_title(aps: &mut Object, title: &Value) {
    let mut alert = match aps.remove("alert") {
        Some(Value::Object(alert)) => alert,
        None | Some(Value::Null) => Object::new(),
        Some(body) => Object::from_iter([("body".to_owned(), body)]),
    };
    alert.insert("title".to_owned(), title.clone());
    aps.insert("alert".to_owned(), Value::Object(alert));
}

/// The headers but for the topic, as texts.
pub fn headers(message: &Message) -> Vec<(&'static str, String)> {
    let data = |key: &str| message.data.get(key).filter(|value| !value.is_null());
    let push_type = push_type(message);
    let mut headers = Vec::with_capacity(6);
    let expiry = match data("expiry") {
        Some(expiry) => whole(expiry),
        None => message.expires_at.map(|at| at.0.div_euclid(1000) + i64::from(at.0.rem_euclid(1000) >= 500)),
    };
    if let Some(expiry) = expiry.filter(|expiry| *expiry >= 0) {
        headers.push(("apns-expiration", expiry.to_string()));
    }
    let collapse_id = data("collapseId").or_else(|| message.either("collapse_id"));
    if let Some(id) = collapse_id.and_then(text) {
        headers.push(("apns-collapse-id", id));
    }
    let priority = match data("priority").or_else(|| message.either("priority")) {
        Some(priority) => whole(priority),
        // Apple refuses 10 for those that show nothing.
        None if push_type == "background" => Some(5),
        None => Some(10),
    };
    if let Some(priority) = priority {
        headers.push(("apns-priority", priority.to_string()));
    }
    for (key, header) in
        [("id", "apns-id"), ("requestId", "apns-request-id"), ("channelId", "apns-channel-id")]
    {
        if let Some(value) = data(key).and_then(text) {
            headers.push((header, value));
        }
    }
    headers.push(("apns-push-type", push_type));
    headers
}

/// A whole number, or its text.
fn whole(value: &Value) -> Option<i64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

pub fn push_type(message: &Message) -> String {
    let own = message.data.get("pushType").filter(|value| !value.is_null());
    own.or_else(|| message.either("push_type")).and_then(text).unwrap_or_else(|| "alert".to_owned())
}

/// The topic of an app for a kind of push; the push may name one itself.
pub fn topic(message: &Message, app: Option<&str>, push_type: &str) -> Option<String> {
    if let Some(own) = message.data.get("topic").and_then(text) {
        return Some(own);
    }
    let suffix = match push_type {
        "location" => ".location-query",
        "voip" => ".voip",
        "complication" => ".complication",
        "fileprovider" => ".pushkit.fileprovider",
        "liveactivity" => ".push-type.liveactivity",
        "pushtotalk" => ".voip-ptt",
        "controls" => ".push-type.controls",
        "widgets" => ".push-type.widgets",
        _ => "",
    };
    app.map(|app| format!("{app}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::Halt;
    use crate::types::time::Millis;

    fn message(data: Value, body: Value) -> Message {
        Message {
            push_id: "p".into(),
            body: body.as_object().cloned().unwrap(),
            data: data.as_object().cloned().unwrap(),
            expires_at: None,
            halt: Halt::default(),
        }
    }

    fn payload_of(data: Value, style: Style) -> Value {
        Value::Object(payload(&message(data, json!({})), style))
    }

    #[test]
    fn a_title_is_never_lost() {
        use Style::{Fcm, Native, NodeApn};
        let both = json!({"aps": {"alert": {"body": "b", "title": "t"}}});
        for data in [json!({"alert": "b", "title": "t"}), json!({"title": "t", "alert": "b"})] {
            for style in [NodeApn, Native, Fcm] {
                assert_eq!(payload_of(data.clone(), style), both, "{style:?}");
            }
        }
        assert_eq!(payload_of(json!({"alert": "b"}), NodeApn), json!({"aps": {"alert": "b"}}));
        assert_eq!(payload_of(json!({"alert": "b"}), Native), json!({"aps": {"alert": {"body": "b"}}}));
        assert_eq!(payload_of(json!({"title": "t"}), NodeApn), json!({"aps": {"alert": {"title": "t"}}}));
        assert_eq!(payload_of(json!({}), NodeApn), json!({"aps": {}}));
    }

    #[test]
    fn parts_of_the_wrong_kind_are_left_out() {
        let data = json!({
            "badge": "3", "sound": {"name": "x"}, "content-available": "1", "mutable-content": 1,
            "category": 7, "threadId": "t", "custom": {"a": 1}, "collapseId": "c", "priority": 5,
        });
        assert_eq!(
            payload_of(data, Style::NodeApn),
            json!({"custom": {"a": 1}, "aps": {"mutable-content": 1, "thread-id": "t"}})
        );
    }

    #[test]
    fn headers_are_texts() {
        let mut full = message(
            json!({"priority": 5, "id": "u"}),
            json!({"collapse_id": "c", "push_type": "voip", "priority": 10}),
        );
        full.expires_at = Some(Millis(1_700_000_000_600));
        assert_eq!(
            headers(&full),
            [
                ("apns-expiration", "1700000001".to_owned()),
                ("apns-collapse-id", "c".to_owned()),
                ("apns-priority", "5".to_owned()),
                ("apns-id", "u".to_owned()),
                ("apns-push-type", "voip".to_owned()),
            ]
        );
        assert_eq!(topic(&full, Some("com.x"), "voip").as_deref(), Some("com.x.voip"));
        let silent = message(json!({"push_type": "background"}), json!({}));
        assert!(headers(&silent).contains(&("apns-priority", "5".to_owned())));
    }
}

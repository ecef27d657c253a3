//! A notice and its form on the wire: `{"kind", "value"?, "channel"?, "senderId"}`.

use serde_json::{Value, json};

use crate::types::ClassName;

/// What servers tell each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A class (or, `None`, any class) changed its schema.
    Schema { class: Option<ClassName> },
    /// Some role changed.
    Roles,
    /// This session token was removed or changed (hash of the token, never the token).
    Session { token_hash: String },
    /// All sessions of a user were changed.
    User { user_id: String },
    /// The listening connection was lost: what others tell does not arrive until [`Notice::Lost`].
    Deaf,
    /// The listening connection was lost and is back: anything may have been missed.
    Lost,
    /// For other subsystems: channel and payload.
    Other { channel: String, payload: String },
}

impl Notice {
    /// `None` for what concerns only this server. With more than `most` bytes it becomes [`Notice::Lost`]: whoever
    /// is told that something was lost looks again for itself.
    pub(super) fn encode(&self, sender_id: &str, most: usize) -> Option<String> {
        let mut payload = match self {
            Self::Schema { class } => json!({ "kind": "schema", "value": class.as_deref() }),
            Self::Roles => json!({ "kind": "roles" }),
            Self::Session { token_hash } => json!({ "kind": "session", "value": token_hash }),
            Self::User { user_id } => json!({ "kind": "user", "value": user_id }),
            Self::Other { channel, payload } => {
                json!({ "kind": "other", "channel": channel, "value": payload })
            }
            // A matter between the listener and its own receivers.
            Self::Lost | Self::Deaf => return None,
        };
        payload["senderId"] = sender_id.into();
        let text = payload.to_string();
        if text.len() > most {
            return Some(json!({ "kind": "lost", "senderId": sender_id }).to_string());
        }
        Some(text)
    }

    /// `None`: told by this server itself, or not to be understood.
    pub(super) fn decode(payload: &str, own_id: &str) -> Option<Self> {
        let payload: Value = serde_json::from_str(payload).ok()?;
        if payload.get("senderId").is_some_and(|id| id == own_id) {
            return None;
        }
        let value = || payload.get("value").and_then(Value::as_str).map(str::to_owned);
        Some(match payload.get("kind").and_then(Value::as_str)? {
            "schema" => Self::Schema { class: value().as_deref().and_then(ClassName::valid) },
            "roles" => Self::Roles,
            "session" => Self::Session { token_hash: value()? },
            "user" => Self::User { user_id: value()? },
            "other" => Self::Other {
                channel: payload.get("channel").and_then(Value::as_str)?.to_owned(),
                payload: value()?,
            },
            "lost" => Self::Lost,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_survive_the_wire_and_our_own_are_dropped() {
        let all = [
            Notice::Schema { class: Some(ClassName::known("Game")) },
            Notice::Schema { class: None },
            Notice::Roles,
            Notice::Session { token_hash: "h".into() },
            Notice::User { user_id: "u".into() },
            Notice::Other { channel: "c".into(), payload: "p".into() },
        ];
        for notice in all {
            let text = notice.encode("me", 1000).unwrap();
            assert_eq!(Notice::decode(&text, "you").as_ref(), Some(&notice));
            assert_eq!(Notice::decode(&text, "me"), None);
        }
        assert_eq!(Notice::decode("nonsense", "me"), None);
    }

    #[test]
    fn long_payloads_become_a_loss() {
        let notice = Notice::Other { channel: "c".into(), payload: "p".repeat(9000) };
        assert_eq!(Notice::decode(&notice.encode("me", 7900).unwrap(), "you"), Some(Notice::Lost));
    }
}

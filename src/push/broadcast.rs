//! Pushes to no installations: the service itself knows who listens to a topic or a channel.

use serde_json::Value;

use crate::types::Object;

const LONGEST_TOPIC: usize = 900;
const LONGEST_CONDITION: usize = 1000;
const LONGEST_NAME: usize = 256;

/// Who listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// To a topic of FCM.
    Topic(String),
    /// To topics of FCM that a condition names.
    Condition(String),
    /// To a channel of APNs: Live Activities of this app.
    Channel { id: String, app: String },
}

impl Broadcast {
    /// `{topic}`, `{condition}` or `{channel, app}`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(value: &Value) -> Result<Self, &'static str> {
        const FORM: &str = "broadcast must be {topic}, {condition} or {channel, app}";
        let object = value.as_object().ok_or(FORM)?;
        let text = |key: &str| object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let is_plain = |text: &str, more: &[u8]| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        match (object.len(), text("topic"), text("condition"), text("channel"), text("app")) {
            (1, Some(topic), ..) => {
                let topic = topic.strip_prefix("/topics/").unwrap_or(topic);
                let fits = !topic.is_empty() && topic.len() <= LONGEST_TOPIC && is_plain(topic, b"-_.~%");
                fits.then(|| Self::Topic(topic.to_owned())).ok_or("broadcast.topic is no topic of FCM")
            }
            (1, None, Some(condition), ..) => {
                let fits = condition.len() <= LONGEST_CONDITION && !condition.chars().any(char::is_control);
                fits.then(|| Self::Condition(condition.to_owned())).ok_or("broadcast.condition is too long")
            }
            (2, None, None, Some(id), Some(app)) => {
                // The app becomes part of a path, the channel of a header.
                let fits = id.len() <= LONGEST_NAME && is_plain(id, b"+/=-_");
                if !fits {
                    return Err("broadcast.channel is no channel of APNs");
                }
                let fits = app.len() <= LONGEST_NAME && is_plain(app, b"-.") && !app.starts_with('.');
                fits.then(|| Self::Channel { id: id.to_owned(), app: app.to_owned() })
                    .ok_or("broadcast.app is no bundle id")
            }
            _ => Err(FORM),
        }
    }

    /// The target of a message of FCM.
    pub fn put_target(&self, message: &mut Object) {
        match self {
            Self::Topic(topic) => drop(message.insert("topic".to_owned(), topic.clone().into())),
            Self::Condition(text) => drop(message.insert("condition".to_owned(), text.clone().into())),
            Self::Channel { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_of_three_forms() {
        let read = |value: Value| Broadcast::read(&value);
        assert_eq!(read(json!({"topic": "/topics/news.de"})), Ok(Broadcast::Topic("news.de".into())));
        let condition = "'a' in topics && 'b' in topics";
        assert_eq!(read(json!({"condition": condition})), Ok(Broadcast::Condition(condition.into())));
        assert_eq!(
            read(json!({"channel": "dHN0LXNyY2gtY2hubA==", "app": "com.example.app"})),
            Ok(Broadcast::Channel { id: "dHN0LXNyY2gtY2hubA==".into(), app: "com.example.app".into() })
        );
        for wrong in [
            json!("news"),
            json!({}),
            json!({"topic": "a b"}),
            json!({"topic": ""}),
            json!({"topic": 5}),
            json!({"topic": "a", "condition": "b"}),
            json!({"condition": "a\r\nX: 1"}),
            json!({"channel": "abc"}),
            json!({"channel": "a\r\nX: 1", "app": "com.example"}),
            json!({"channel": "abc", "app": "../../1/apps"}),
            json!({"channel": "abc", "app": ".."}),
            json!({"app": "com.example"}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}

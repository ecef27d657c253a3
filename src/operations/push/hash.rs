//! `pushHash`: an MD5 of the alert, by which apps name the push that they were opened by. Nothing is protected by it.

use md5::{Digest, Md5};
use serde_json::Value;

/// Of the alert, as `PushStatus` of parse-server makes it: a structured alert counts as its JSON, none as an
/// empty text.
pub fn of(alert: Option<&Value>) -> String {
    let text = match alert {
        Some(Value::String(text)) => text.clone(),
        Some(alert @ (Value::Object(_) | Value::Array(_) | Value::Null)) => alert.to_string(),
        _ => String::new(),
    };
    hex::encode(Md5::digest(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::of;

    #[test]
    fn texts_structures_and_nothing() {
        assert_eq!(of(None), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(of(Some(&json!("abc"))), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(of(Some(&json!({"body": "a"}))), of(Some(&json!(r#"{"body":"a"}"#))));
        assert_eq!(of(Some(&json!(null))), of(Some(&json!("null"))));
    }
}

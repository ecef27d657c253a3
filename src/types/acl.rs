//! Access control lists: JSON on the wire, two string lists (`_rperm`, `_wperm`) in storage.

use serde_json::{Map, Value, json};

use super::javascript::is_empty_list;
use crate::error::{Error, ErrorCode, Result};

/// Who may read and write one object. Entries are `*`, a user id or `role:<name>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    pub read: Vec<String>,
    pub write: Vec<String>,
}

impl Acl {
    /// Reads `{"*":{"read":true}, …}`. Only `true` counts; other values grant nothing.
    ///
    /// # Errors
    /// 123 `Invalid ACL.` when the value is not an object or names `*unresolved`.
    pub fn from_json(value: &Value) -> Result<Self> {
        let invalid = || Error::parse(ErrorCode::INVALID_ACL, "Invalid ACL.");
        if is_empty_list(value) {
            return Ok(Self::default());
        }
        let entries = value.as_object().ok_or_else(invalid)?;
        if entries.contains_key("*unresolved") {
            return Err(invalid());
        }
        let granted = |kind: &str| {
            let allows = |grants: &Value| grants.get(kind).is_some_and(|v| v == true);
            entries.iter().filter(|(_, grants)| allows(grants)).map(|(who, _)| who.clone()).collect()
        };
        Ok(Self { read: granted("read"), write: granted("write") })
    }

    /// The wire form; readers first, as parse-server builds it.
    pub fn to_json(&self) -> Value {
        let mut acl = Map::new();
        for (list, kind) in [(&self.read, "read"), (&self.write, "write")] {
            for who in list {
                let entry = acl.entry(who.clone()).or_insert_with(|| json!({}));
                if let Some(entry) = entry.as_object_mut() {
                    entry.insert(kind.to_owned(), Value::Bool(true));
                }
            }
        }
        Value::Object(acl)
    }
}

//! Class-level permissions: the stored JSON, parsed once for the permission checks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// What a class-level permission guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    Find,
    Count,
    Get,
    Create,
    Update,
    Delete,
    AddField,
}

impl Operation {
    pub const ALL: [Self; 7] =
        [Self::Find, Self::Count, Self::Get, Self::Create, Self::Update, Self::Delete, Self::AddField];

    pub fn name(self) -> &'static str {
        match self {
            Self::Find => "find",
            Self::Count => "count",
            Self::Get => "get",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::AddField => "addField",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.name() == name)
    }

    /// find, count and get are opened by `readUserFields`, the others by `writeUserFields`.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Find | Self::Count | Self::Get)
    }
}

/// One operation's entry: `{"*": true, "role:Admins": true, "pointerFields": ["owner"], …}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    pub public: bool,
    pub requires_authentication: bool,
    /// User ids and `role:<name>`.
    pub entities: BTreeSet<String>,
    pub pointer_fields: Vec<String>,
}

/// Parsed once when a schema is loaded; `raw` is what the schema API shows and stores.
#[derive(Clone, Debug, PartialEq)]
pub struct Clp {
    raw: Map<String, Value>,
    grants: BTreeMap<Operation, Grant>,
    pub read_user_fields: Vec<String>,
    pub write_user_fields: Vec<String>,
    /// Group (`*`, `authenticated`, `role:x`, user id, `userField:f`) → hidden fields.
    pub protected_fields: BTreeMap<String, Vec<String>>,
    /// `ACL`: default ACL of new objects.
    pub acl: Option<Value>,
}

impl Clp {
    /// Reads stored JSON. Validation of what a client sends is `operations::schema`'s; here whatever
    /// is malformed simply grants nothing.
    pub fn from_json(raw: &Map<String, Value>) -> Self {
        let mut grants = BTreeMap::new();
        for op in Operation::ALL {
            if let Some(entry) = raw.get(op.name()).and_then(Value::as_object) {
                grants.insert(op, parse_grant(entry));
            } else {
                // Stored permissions that do not name an operation deny it to everybody.
                grants.insert(op, Grant::default());
            }
        }
        let groups = raw.get("protectedFields").and_then(Value::as_object);
        Self {
            grants,
            read_user_fields: strings(raw.get("readUserFields")),
            write_user_fields: strings(raw.get("writeUserFields")),
            protected_fields: groups
                .into_iter()
                .flatten()
                .map(|(group, fields)| (group.clone(), strings(Some(fields))))
                .collect(),
            acl: raw.get("ACL").filter(|acl| acl.is_object()).cloned(),
            raw: raw.clone(),
        }
    }

    /// `None`: the operation is not restricted at all.
    pub fn grant(&self, op: Operation) -> Option<&Grant> {
        self.grants.get(&op)
    }

    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }

    /// What the schema API shows: the open default when nothing was stored, otherwise what was
    /// stored with missing operations as `{}`.
    pub fn api_json(clp: Option<&Self>) -> Value {
        match clp {
            None => json!({
                "ACL": {"*": {"read": true, "write": true}},
                "find": {"*": true}, "count": {"*": true}, "get": {"*": true}, "create": {"*": true},
                "update": {"*": true}, "delete": {"*": true}, "addField": {"*": true},
                "protectedFields": {"*": []},
            }),
            Some(clp) => {
                let mut shown = Map::new();
                for op in Operation::ALL {
                    shown.insert(op.name().to_owned(), json!({}));
                }
                shown.insert("protectedFields".to_owned(), json!({}));
                for (key, value) in &clp.raw {
                    shown.insert(key.clone(), value.clone());
                }
                Value::Object(shown)
            }
        }
    }
}

fn parse_grant(entry: &Map<String, Value>) -> Grant {
    let mut grant = Grant::default();
    for (key, value) in entry {
        match key.as_str() {
            "pointerFields" => grant.pointer_fields = strings(Some(value)),
            _ if value != true => {}
            "*" => grant.public = true,
            "requiresAuthentication" => grant.requires_authentication = true,
            _ => {
                grant.entities.insert(key.clone());
            }
        }
    }
    grant
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

//! Validated identifiers. SQL builders take these and nothing else, so a name that a client sent
//! reaches a statement only through the rules below (parse-server's `SchemaController`).

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorCode, Result};

/// Classes that parse-server itself defines (facts: system classes and volatile classes).
pub const SYSTEM_CLASSES: &[&str] = &[
    "_User",
    "_Installation",
    "_Role",
    "_Session",
    "_Product",
    "_PushStatus",
    "_JobStatus",
    "_JobSchedule",
    "_Audience",
    "_Idempotency",
];

/// Classes whose schema is fixed and that have no row in `_SCHEMA`; clients never reach them.
pub const VOLATILE_CLASSES: &[&str] = &[
    "_JobStatus",
    "_PushStatus",
    "_Hooks",
    "_GlobalConfig",
    "_GraphQLConfig",
    "_JobSchedule",
    "_Audience",
    "_Idempotency",
];

/// Columns of every class table that are not REST fields of their own.
pub const INTERNAL_COLUMNS: &[&str] = &["_rperm", "_wperm"];

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Debug::fmt(&*self.0, f) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str { &self.0 }
        }
        impl std::ops::Deref for $name {
            type Target = str;
            fn deref(&self) -> &str { &self.0 }
        }
        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool { &*self.0 == other }
        }
        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool { &*self.0 == *other }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.serialize_str(&self.0) }
        }
    };
}

name_type!(
    /// A class that may exist: user-defined, system, or a relation's join class.
    ClassName
);
name_type!(
    /// A column of a class: a REST field, or an internal `_…` column that only the server names.
    FieldName
);
name_type!(
    /// `objectId`: any non-empty string (custom ids are free text), never spliced into SQL.
    ObjectId
);

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl ClassName {
    /// # Errors
    /// 103 `invalid className: …` for a name no class can have.
    pub fn parse(name: &str) -> Result<Self> {
        Self::valid(name)
            .ok_or_else(|| Error::parse(ErrorCode::INVALID_CLASS_NAME, format!("invalid className: {name}")))
    }

    /// The name, when a class may have it.
    pub fn valid(name: &str) -> Option<Self> {
        let user_defined = is_identifier(name) && name != "length" && name != "className";
        (user_defined
            || SYSTEM_CLASSES.contains(&name)
            || VOLATILE_CLASSES.contains(&name)
            || Self::join_parts(name).is_some())
        .then(|| Self(name.into()))
    }

    fn join_parts(name: &str) -> Option<(&str, &str)> {
        let (field, class) = name.strip_prefix("_Join:")?.split_once(':')?;
        let class_ok = is_identifier(class) || class.strip_prefix('_').is_some_and(is_identifier);
        (is_identifier(field) && class_ok).then_some((field, class))
    }

    /// `_Join:<field>:<Class>`, the class behind a relation field.
    pub fn join(field: &FieldName, class: &ClassName) -> Self {
        Self(format!("_Join:{field}:{class}").into())
    }

    /// For names that this program spells itself.
    pub fn known(name: &'static str) -> Self {
        Self(name.into())
    }

    pub fn is_system(&self) -> bool {
        self.0.starts_with('_')
    }

    pub fn is_join(&self) -> bool {
        self.0.starts_with("_Join:")
    }

    pub fn is_volatile(&self) -> bool {
        VOLATILE_CLASSES.contains(&&*self.0)
    }

    pub fn is_user(&self) -> bool {
        &*self.0 == "_User"
    }

    pub fn is_session(&self) -> bool {
        &*self.0 == "_Session"
    }

    pub fn is_installation(&self) -> bool {
        &*self.0 == "_Installation"
    }

    pub fn is_role(&self) -> bool {
        &*self.0 == "_Role"
    }
}

impl FieldName {
    /// A field a client may name.
    ///
    /// # Errors
    /// 105 `Invalid field name: ….`
    pub fn parse(name: &str) -> Result<Self> {
        Self::valid(name)
            .ok_or_else(|| Error::parse(ErrorCode::INVALID_KEY_NAME, format!("Invalid field name: {name}.")))
    }

    pub fn valid(name: &str) -> Option<Self> {
        (is_identifier(name) && name != "length").then(|| Self(name.into()))
    }

    /// As [`FieldName::valid`], and internal columns such as `_rperm` or `_hashed_password` too.
    /// Only for names that come from storage, or from callers with master rights.
    pub fn internal(name: &str) -> Option<Self> {
        let bare = name.strip_prefix('_').unwrap_or(name);
        (is_identifier(bare) && name != "length").then(|| Self(name.into()))
    }

    /// For names that this program spells itself.
    pub fn known(name: &'static str) -> Self {
        Self(name.into())
    }

    pub fn is_internal(&self) -> bool {
        self.0.starts_with('_')
    }
}

impl ObjectId {
    /// `None` for the empty string.
    pub fn new(id: &str) -> Option<Self> {
        (!id.is_empty()).then(|| Self(id.into()))
    }

    /// `size` characters of `A–Z a–z 0–9`, parse-server's `newObjectId`.
    pub fn generate(size: usize) -> Self {
        Self(random_alphanumeric(size).into())
    }
}

impl<'de> Deserialize<'de> for ClassName {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        Self::valid(&name).ok_or_else(|| serde::de::Error::custom("invalid className"))
    }
}

/// A random string over `A–Z a–z 0–9` from the operating system's generator.
pub fn random_alphanumeric(size: usize) -> String {
    use rand::RngExt;
    const CHARS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut rng = rand::rng();
    (0..size).map(|_| char::from(CHARS[rng.random_range(0..CHARS.len())])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names() {
        for good in ["GameScore", "a", "A_1", "_User", "_Join:users:_Role", "_Hooks", "X__"] {
            assert!(ClassName::valid(good).is_some(), "{good}");
        }
        for bad in
            ["", "1a", "_Foo", "a b", "a\"b", "length", "className", "_Join:a", "_Join:a b:C", "é", "a-b"]
        {
            assert!(ClassName::valid(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn field_names() {
        assert!(FieldName::valid("score").is_some());
        for bad in ["", "_x", "a.b", "a\"", "length", "1a", "$a"] {
            assert!(FieldName::valid(bad).is_none(), "{bad}");
        }
        assert!(FieldName::internal("_rperm").is_some());
        assert!(FieldName::internal("_rperm\"").is_none());
    }

    #[test]
    fn ids_have_the_asked_size() {
        assert_eq!(ObjectId::generate(10).len(), 10);
        assert_ne!(ObjectId::generate(10), ObjectId::generate(10));
    }
}

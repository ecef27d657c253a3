//! Field types, class schemas and the columns that parse-server's own classes come with.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::clp::Clp;
use super::javascript::is_truthy;
use super::names::{ClassName, FieldName};
use crate::error::{Error, ErrorCode, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldType {
    String,
    Number,
    Boolean,
    Date,
    Object,
    Array,
    GeoPoint,
    File,
    Bytes,
    Polygon,
    Pointer(ClassName),
    Relation(ClassName),
    Acl,
}

impl FieldType {
    /// The bare type name, as in `"type"` of the schema API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::String => "String",
            Self::Number => "Number",
            Self::Boolean => "Boolean",
            Self::Date => "Date",
            Self::Object => "Object",
            Self::Array => "Array",
            Self::GeoPoint => "GeoPoint",
            Self::File => "File",
            Self::Bytes => "Bytes",
            Self::Polygon => "Polygon",
            Self::Pointer(_) => "Pointer",
            Self::Relation(_) => "Relation",
            Self::Acl => "ACL",
        }
    }

    pub fn target(&self) -> Option<&ClassName> {
        match self {
            Self::Pointer(class) | Self::Relation(class) => Some(class),
            _ => None,
        }
    }

    /// As error texts show it: `Pointer<_User>`.
    pub fn display(&self) -> String {
        match self.target() {
            Some(class) => format!("{}<{class}>", self.name()),
            None => self.name().to_owned(),
        }
    }

    /// Reads `{"type": …, "targetClass"?: …}`.
    ///
    /// # Errors
    /// 107 `invalid JSON`, 111 `invalid field type: …`, 135 `type … needs a class name`,
    /// 103 for an impossible target class.
    pub fn from_json(field: &Value) -> Result<Self> {
        let Some(name) = field.get("type").and_then(Value::as_str) else {
            return Err(Error::invalid_json("invalid JSON"));
        };
        let target = || match field.get("targetClass").filter(|target| is_truthy(target)) {
            None => Err(Error::parse(
                ErrorCode::MISSING_REQUIRED_FIELD,
                format!("type {name} needs a class name"),
            )),
            Some(Value::String(class)) => ClassName::valid(class).ok_or_else(|| {
                Error::parse(ErrorCode::INVALID_CLASS_NAME, invalid_class_name_message(class))
            }),
            Some(_) => Err(Error::invalid_json("invalid JSON")),
        };
        Ok(match name {
            "String" => Self::String,
            "Number" => Self::Number,
            "Boolean" => Self::Boolean,
            "Date" => Self::Date,
            "Object" => Self::Object,
            "Array" => Self::Array,
            "GeoPoint" => Self::GeoPoint,
            "File" => Self::File,
            "Bytes" => Self::Bytes,
            "Polygon" => Self::Polygon,
            "ACL" => Self::Acl,
            "Pointer" => Self::Pointer(target()?),
            "Relation" => Self::Relation(target()?),
            other => {
                return Err(Error::parse(ErrorCode::INCORRECT_TYPE, format!("invalid field type: {other}")));
            }
        })
    }
}

/// Text of error 103 of the schema API; the trailing space is parse-server's.
pub fn invalid_class_name_message(name: &str) -> String {
    format!(
        "Invalid classname: {name}, classnames can only have alphanumeric characters and _, \
         and must start with an alpha character "
    )
}

#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub ty: FieldType,
    pub required: bool,
    /// `required: false` was said, which every answer repeats; it means what silence does.
    pub optional: bool,
    /// REST encoding.
    pub default_value: Option<Value>,
}

impl Field {
    pub fn of(ty: FieldType) -> Self {
        Self { ty, required: false, optional: false, default_value: None }
    }

    /// # Errors
    /// Those of [`FieldType::from_json`].
    pub fn from_json(value: &Value) -> Result<Self> {
        Ok(Self {
            ty: FieldType::from_json(value)?,
            required: value.get("required").is_some_and(|v| v == true),
            optional: value.get("required").is_some_and(|v| v == false),
            default_value: value.get("defaultValue").filter(|v| !v.is_null()).cloned(),
        })
    }

    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("type".into(), self.ty.name().into());
        if let Some(target) = self.ty.target() {
            json.insert("targetClass".into(), target.as_str().into());
        }
        if self.required || self.optional {
            json.insert("required".into(), self.required.into());
        }
        if let Some(default) = &self.default_value {
            json.insert("defaultValue".into(), default.clone());
        }
        Value::Object(json)
    }
}

/// One class as `_SCHEMA` describes it. `fields` holds REST fields (`objectId`, `createdAt`,
/// `updatedAt` and, for API answers, `ACL`), never `_rperm`/`_wperm`, which every class has.
/// For `_User`, `password` is a field here and the column `_hashed_password` in storage.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassSchema {
    pub name: ClassName,
    pub fields: IndexMap<FieldName, Field>,
    /// `None` when never stored: everything is allowed.
    pub clp: Option<Clp>,
    /// Index name → `{column: 1 | -1 | "text" | "2dsphere" …}`; empty when never set.
    pub indexes: Map<String, Value>,
}

impl ClassSchema {
    /// A class with nothing but its default columns.
    pub fn with_defaults(name: ClassName) -> Self {
        let mut schema = Self { name, fields: IndexMap::new(), clp: None, indexes: Map::new() };
        schema.add_default_columns();
        schema
    }

    /// Adds what parse-server gives this class by default, where it is missing.
    pub fn add_default_columns(&mut self) {
        let defaults = default_columns(&self.name);
        for (name, field) in defaults {
            self.fields.entry(name).or_insert(field);
        }
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(name)
    }

    /// A column's name: the class's own where it has the field, else checked anew.
    pub fn column_name(&self, name: &str) -> Option<FieldName> {
        match self.fields.get_key_value(name) {
            Some((known, _)) => Some(known.clone()),
            None => FieldName::internal(name),
        }
    }

    pub fn field_type(&self, name: &str) -> Option<&FieldType> {
        self.fields.get(name).map(|field| &field.ty)
    }

    /// The relation's or pointer's target.
    pub fn target_class(&self, field: &str) -> Option<&ClassName> {
        self.field_type(field).and_then(FieldType::target)
    }

    /// The class that a Relation field leads to.
    pub fn relation_target(&self, field: &str) -> Option<&ClassName> {
        match self.field_type(field) {
            Some(FieldType::Relation(target)) => Some(target),
            _ => None,
        }
    }

    /// What the schema API answers: fields with `ACL`, CLP with defaults, `indexes` if any. The class's
    /// default columns come first, since the dashboard shows columns in this order.
    pub fn to_api_json(&self) -> Value {
        let mut fields = Map::new();
        for (name, _) in default_columns(&self.name) {
            match self.fields.get(&name) {
                Some(field) => fields.insert(name.as_str().to_owned(), field.to_json()),
                None if name.as_str() == "ACL" => fields.insert("ACL".into(), json!({ "type": "ACL" })),
                None => None,
            };
        }
        for (name, field) in &self.fields {
            if !name.is_internal() {
                fields.entry(name.as_str()).or_insert_with(|| field.to_json());
            }
        }
        fields.entry("ACL").or_insert_with(|| json!({ "type": "ACL" }));
        let mut schema = Map::new();
        schema.insert("className".into(), self.name.as_str().into());
        schema.insert("fields".into(), Value::Object(fields));
        schema.insert("classLevelPermissions".into(), Clp::api_json(self.clp.as_ref()));
        if !self.indexes.is_empty() {
            schema.insert("indexes".into(), Value::Object(self.indexes.clone()));
        }
        Value::Object(schema)
    }
}

/// Columns of every class, then those of this system class.
pub fn default_columns(class: &ClassName) -> Vec<(FieldName, Field)> {
    use FieldType::{Acl, Array, Boolean, Date, File, Number, Object, Pointer, Relation, String};
    let user = || ClassName::known("_User");
    let every: Vec<(&'static str, FieldType)> =
        vec![("objectId", String), ("createdAt", Date), ("updatedAt", Date), ("ACL", Acl)];
    let own: Vec<(&'static str, FieldType)> = match class.as_str() {
        "_User" => vec![
            ("username", String),
            ("password", String),
            ("email", String),
            ("emailVerified", Boolean),
            ("authData", Object),
        ],
        "_Installation" => vec![
            ("installationId", String),
            ("deviceToken", String),
            ("channels", Array),
            ("deviceType", String),
            ("pushType", String),
            ("GCMSenderId", String),
            ("timeZone", String),
            ("localeIdentifier", String),
            ("badge", Number),
            ("appVersion", String),
            ("appName", String),
            ("appIdentifier", String),
            ("parseVersion", String),
        ],
        "_Role" => vec![
            ("name", String),
            ("users", Relation(user())),
            ("roles", Relation(ClassName::known("_Role"))),
        ],
        "_Session" => vec![
            ("user", Pointer(user())),
            ("installationId", String),
            ("sessionToken", String),
            ("expiresAt", Date),
            ("createdWith", Object),
        ],
        "_Product" => vec![
            ("productIdentifier", String),
            ("download", File),
            ("downloadName", String),
            ("icon", File),
            ("order", Number),
            ("title", String),
            ("subtitle", String),
        ],
        "_PushStatus" => vec![
            ("pushTime", String),
            ("source", String),
            ("query", String),
            ("payload", String),
            ("title", String),
            ("expiry", Number),
            ("expiration_interval", Number),
            ("status", String),
            ("numSent", Number),
            ("numFailed", Number),
            ("pushHash", String),
            ("errorMessage", Object),
            ("sentPerType", Object),
            ("failedPerType", Object),
            ("sentPerUTCOffset", Object),
            ("failedPerUTCOffset", Object),
            ("count", Number),
            // Ours: devices that may have got it twice, and those whose apps were opened by it.
            ("maybeRepeated", Number),
            ("opened", Number),
        ],
        "_JobStatus" => vec![
            ("jobName", String),
            ("source", String),
            ("status", String),
            ("message", String),
            ("params", Object),
            ("finishedAt", Date),
        ],
        "_JobSchedule" => vec![
            ("jobName", String),
            ("description", String),
            ("params", String),
            ("startAfter", String),
            ("daysOfWeek", Array),
            ("timeOfDay", String),
            ("lastRun", Number),
            ("repeatMinutes", Number),
        ],
        "_Hooks" => {
            return columns(vec![
                ("functionName", String),
                ("className", String),
                ("triggerName", String),
                ("url", String),
            ]);
        }
        "_GlobalConfig" => {
            return columns(vec![("objectId", String), ("params", Object), ("masterKeyOnly", Object)]);
        }
        "_GraphQLConfig" => return columns(vec![("objectId", String), ("config", Object)]),
        "_Audience" => vec![("name", String), ("query", String), ("lastUsed", Date), ("timesUsed", Number)],
        "_Idempotency" => vec![("reqId", String), ("expire", Date)],
        _ => vec![],
    };
    columns(every.into_iter().chain(own).collect())
}

fn columns(list: Vec<(&'static str, FieldType)>) -> Vec<(FieldName, Field)> {
    list.into_iter().map(|(name, ty)| (FieldName::known(name), Field::of(ty))).collect()
}

/// Whether the class has this field from parse-server itself, so that nobody may add or drop it.
pub fn is_default_column(class: &ClassName, field: &str) -> bool {
    default_columns(class).iter().any(|(name, _)| name == field)
}

pub type SharedSchema = Arc<ClassSchema>;

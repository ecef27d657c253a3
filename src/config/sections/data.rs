//! Schemas, queries, their limits, hidden fields and the cache.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::error::ConfigError;
use crate::config::reader::Reader;
use crate::config::table;
use crate::config::value::CallbackId;

#[derive(Clone, Debug)]
pub struct SchemaConfig {
    pub allow_client_class_creation: bool,
    pub allow_custom_object_id: bool,
    /// Characters of a generated object id.
    pub object_id_size: usize,
    /// Defined schemas (option `schema`); `None` when the option is not set.
    pub defined: Option<DefinedSchemas>,
}

impl SchemaConfig {
    /// Whether the schema API may not change anything.
    pub fn lock_schemas(&self) -> bool {
        self.defined.as_ref().is_some_and(|defined| defined.lock_schemas)
    }
}

/// Option `schema`: classes defined in the configuration.
#[derive(Clone, Debug, Default)]
pub struct DefinedSchemas {
    pub definitions: Vec<Value>,
    pub strict: bool,
    pub delete_extra_fields: bool,
    pub recreate_modified_fields: bool,
    pub lock_schemas: bool,
    pub keep_unknown_indexes: bool,
    pub before_migration: Option<CallbackId>,
    pub after_migration: Option<CallbackId>,
}

#[derive(Clone, Debug)]
pub struct QueryConfig {
    pub default_limit: u64,
    pub max_limit: Option<u64>,
    pub aggregation_raw_values: bool,
    pub aggregation_raw_field_names: bool,
    pub allow_aggregation_for_read_only_master_key: bool,
}

/// Limits on what one request may ask for; `None` is no limit. The master key is limited by
/// `master_response` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestComplexity {
    pub include_depth: Option<u32>,
    pub include_count: Option<u32>,
    pub subquery_depth: Option<u32>,
    pub subquery_limit: Option<u32>,
    pub query_depth: Option<u32>,
    pub graphql_depth: Option<u32>,
    pub graphql_fields: Option<u32>,
    pub batch_request_limit: Option<u32>,
    pub allow_regex: bool,
    pub response: ResponseLimits,
    /// With the master or maintenance key.
    pub master_response: ResponseLimits,
}

/// How much one request may be answered; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLimits {
    pub bytes: Option<u64>,
    /// Included ones count wherever they are shown.
    pub objects: Option<u64>,
}

/// Class → group (`*`, `authenticated`, `role:x`, user id, `userField:x`) → hidden fields.
pub type ProtectedFields = BTreeMap<String, BTreeMap<String, Vec<String>>>;

impl SchemaConfig {
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            allow_client_class_creation: reader.bool("allowClientClassCreation")?,
            allow_custom_object_id: reader.bool("allowCustomObjectId")?,
            object_id_size: reader.required_whole("objectIdSize", 1)? as usize,
            defined: DefinedSchemas::read(reader)?,
        })
    }
}

impl DefinedSchemas {
    /// What a file holds beside a configuration: the value of option `schema`, or the list of definitions alone.
    ///
    /// # Errors
    /// What is wrong with it, in the words of the option.
    pub fn of_file(content: Value) -> Result<Self, String> {
        let wrong = |what: &str| format!("Parse Server option schema{what}.");
        let mut given = match content {
            Value::Array(definitions) => return Ok(Self { definitions, ..Self::default() }),
            Value::Object(given) => given,
            _ => return Err(wrong(" must be an object")),
        };
        let definitions = match given.remove("definitions") {
            Some(Value::Array(definitions)) => definitions,
            None | Some(Value::Null) => Vec::new(),
            Some(_) => return Err(wrong(".definitions must be an array")),
        };
        let switch = |name: &str| match given.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(on)) => Ok(*on),
            Some(_) => Err(wrong(&format!(".{name} must be a boolean"))),
        };
        Ok(Self {
            definitions,
            strict: switch("strict")?,
            delete_extra_fields: switch("deleteExtraFields")?,
            recreate_modified_fields: switch("recreateModifiedFields")?,
            lock_schemas: switch("lockSchemas")?,
            keep_unknown_indexes: switch("keepUnknownIndexes")?,
            ..Self::default()
        })
    }

    fn read(top: Reader<'_>) -> Result<Option<Self>, ConfigError> {
        let reader = top.group("schema")?;
        if !reader.is_set() {
            return Ok(None);
        }
        let definitions = match reader.raw("definitions") {
            None => Vec::new(),
            Some(Value::Array(list)) => list.clone(),
            Some(_) => {
                let message = "Parse Server option schema.definitions must be an array.";
                return Err(reader.fail("definitions", message));
            }
        };
        let callback = |name: &str| match (reader.raw(name), reader.callback(name)) {
            (Some(_), None) => {
                Err(reader.fail(name, format!("Parse Server option schema.{name} must be a function.")))
            }
            (_, id) => Ok(id),
        };
        Ok(Some(Self {
            definitions,
            strict: reader.bool("strict")?,
            delete_extra_fields: reader.bool("deleteExtraFields")?,
            recreate_modified_fields: reader.bool("recreateModifiedFields")?,
            lock_schemas: reader.bool("lockSchemas")?,
            keep_unknown_indexes: reader.bool("keepUnknownIndexes")?,
            before_migration: callback("beforeMigration")?,
            after_migration: callback("afterMigration")?,
        }))
    }
}

impl QueryConfig {
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let query = reader.group("query")?;
        Ok(Self {
            default_limit: limit(reader, "defaultLimit", "Default limit")?.unwrap_or(100),
            max_limit: limit(reader, "maxLimit", "Max limit")?,
            aggregation_raw_values: query.bool("aggregationRawValues")?,
            aggregation_raw_field_names: query.bool("aggregationRawFieldNames")?,
            allow_aggregation_for_read_only_master_key: reader
                .bool("allowAggregationForReadOnlyMasterKey")?,
        })
    }
}

fn limit(reader: Reader<'_>, name: &str, label: &str) -> Result<Option<u64>, ConfigError> {
    match reader.value(name).as_deref() {
        None => Ok(None),
        Some(Value::Number(number)) if number.as_f64().is_some_and(|n| n > 0.0) => reader.whole(name, 1),
        Some(Value::Number(_)) => Err(reader.fail(name, format!("{label} must be a value greater than 0."))),
        Some(_) => Err(reader.fail(name, format!("{label} must be a number."))),
    }
}

impl RequestComplexity {
    /// No limits at all.
    pub const UNLIMITED: Self = Self {
        include_depth: None,
        include_count: None,
        subquery_depth: None,
        subquery_limit: None,
        query_depth: None,
        graphql_depth: None,
        graphql_fields: None,
        batch_request_limit: None,
        allow_regex: true,
        response: ResponseLimits { bytes: None, objects: None },
        master_response: ResponseLimits { bytes: None, objects: None },
    };

    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let name = "requestComplexity";
        let group = reader.group_saying(name, "requestComplexity must be an object.")?;
        if let Some(key) = group.keys().find(|key| table::REQUEST_COMPLEXITY.find(key).is_none()) {
            return Err(group.fail(key, format!("requestComplexity contains unknown property '{key}'.")));
        }
        let number = |key: &str| match group.value(key).as_deref().map(|value| (value, value.as_i64())) {
            None | Some((_, Some(-1))) => Ok(None),
            Some((_, Some(value))) if value >= 1 => Ok(Some(u32::try_from(value).unwrap_or(u32::MAX))),
            Some(_) => {
                let message = format!("requestComplexity.{key} must be a positive integer or -1 to disable.");
                Err(group.fail(key, message))
            }
        };
        let wide = |key: &str| Ok::<_, ConfigError>(number(key)?.map(u64::from));
        Ok(Self {
            include_depth: number("includeDepth")?,
            include_count: number("includeCount")?,
            subquery_depth: number("subqueryDepth")?,
            subquery_limit: number("subqueryLimit")?,
            query_depth: number("queryDepth")?,
            graphql_depth: number("graphQLDepth")?,
            graphql_fields: number("graphQLFields")?,
            batch_request_limit: number("batchRequestLimit")?,
            allow_regex: group
                .bool_saying("allowRegex", "requestComplexity.allowRegex must be a boolean.")?,
            response: ResponseLimits { bytes: wide("responseBytes")?, objects: wide("responseObjects")? },
            master_response: ResponseLimits {
                bytes: wide("masterResponseBytes")?,
                objects: wide("masterResponseObjects")?,
            },
        })
    }
}

/// Reads `protectedFields`, adds `userSensitiveFields` and the defaults the way parse-server does: the
/// default of `_User` is added to what was set, unless `owner_exempt` is off and that group was set.
pub(in crate::config) fn read_protected_fields(
    reader: Reader<'_>,
    owner_exempt: bool,
) -> Result<ProtectedFields, ConfigError> {
    let name = "protectedFields";
    let bad = || {
        reader
            .fail(name, "Parse Server option protectedFields must map classes to groups to lists of fields.")
    };
    let mut fields = ProtectedFields::new();
    for (class, groups) in reader.object(name)?.into_iter().flatten() {
        let groups = groups.as_object().ok_or_else(bad)?;
        let class = fields.entry(class.clone()).or_default();
        for (group, list) in groups {
            let list = list.as_array().ok_or_else(bad)?;
            let names = list.iter().map(|field| field.as_str().map(str::to_owned).ok_or_else(bad));
            class.insert(group.clone(), names.collect::<Result<_, _>>()?);
        }
    }
    let sensitive = reader.texts("userSensitiveFields")?;
    let public = fields.entry("_User".to_owned()).or_default();
    let add_default = owner_exempt || !public.contains_key("*");
    let public = public.entry("*".to_owned()).or_default();
    let default = add_default.then(|| "email".to_owned());
    for field in sensitive.into_iter().chain(default) {
        if !public.contains(&field) {
            public.push(field);
        }
    }
    Ok(fields)
}

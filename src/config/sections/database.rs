//! Where the database is and how it is spoken to.

use serde_json::{Map, Value};

use crate::config::error::ConfigError;
use crate::config::reader::Reader;
use crate::config::secret::Secret;

#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// `postgres://…` or `mongodb://…`; `None` starts the private cluster in the data folder.
    pub uri: Option<Secret<String>>,
    /// Read replicas.
    pub read_uris: Vec<Secret<String>>,
    /// Connection for LISTEN/NOTIFY when `uri` leads through a transaction-mode pooler.
    pub listen_uri: Option<Secret<String>>,
    pub collection_prefix: String,
    pub options: DatabaseOptions,
}

#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    pub allow_public_explain: bool,
    /// Milliseconds until the schema is read again; `None` never.
    pub schema_cache_ttl_ms: Option<u64>,
    /// Milliseconds one operation may take.
    pub max_time_ms: Option<u64>,
    /// Milliseconds from which on an operation is logged; `None` none is.
    pub slow_query_ms: Option<u64>,
    /// Whether indexes that queries miss are built by the server itself.
    pub auto_index: bool,
    pub disable_index_field_validation: bool,
    pub indexes: IndexOptions,
    /// Prepared statements are kept; off behind a transaction-mode pooler.
    pub prepared_statements: bool,
    /// Milliseconds of `statement_timeout`; 0 for no limit.
    pub statement_timeout_ms: u64,
    /// Whether that was set, so that it comes before what the URL says.
    pub has_own_statement_timeout: bool,
    /// Parameters of a PostgreSQL URL that were given as options; they come before those of the URL.
    pub uri_parameters: Vec<(&'static str, String)>,
    /// Most connections (`max` or `poolSize`); these override the parameters of the URL.
    pub pool_size: Option<u64>,
    /// Everything that was given, for the parameters of one driver only; contains secrets.
    pub raw: Secret<Map<String, Value>>,
}

/// Which indexes on system classes are made at the start.
#[derive(Clone, Copy, Debug)]
pub struct IndexOptions {
    pub auth_data_uniqueness: bool,
    pub role_name: bool,
    pub user_email: bool,
    pub user_email_case_insensitive: bool,
    pub user_email_verify_token: bool,
    pub user_password_reset_token: bool,
    pub user_username: bool,
    pub user_username_case_insensitive: bool,
}

impl DatabaseConfig {
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        if reader.raw("databaseAdapter").is_some() {
            if ["databaseURI", "databaseOptions", "collectionPrefix"]
                .iter()
                .any(|name| reader.raw(name).is_some())
            {
                let message = "You cannot specify both a databaseAdapter and a databaseURI/databaseOptions/collectionPrefix.";
                return Err(reader.fail("databaseAdapter", message));
            }
            if reader.raw("filesAdapter").is_none() {
                let message =
                    "When using an explicit database adapter, you must also use an explicit filesAdapter.";
                return Err(reader.fail("filesAdapter", message));
            }
        }
        let uri = reader.secret("databaseURI")?;
        if let Some(uri) = uri.as_ref().filter(|uri| !is_mongo(uri.expose())) {
            check_uri(reader, "databaseURI", uri.expose())?;
        }
        let listen_uri = reader.secret("databaseListenURI")?;
        if let Some(uri) = &listen_uri {
            check_uri(reader, "databaseListenURI", uri.expose())?;
        }
        let read_uris = reader.texts("databaseReadURIs")?;
        for uri in &read_uris {
            check_uri(reader, "databaseReadURIs", uri)?;
        }
        Ok(Self {
            uri,
            read_uris: read_uris.into_iter().map(Secret::new).collect(),
            listen_uri,
            collection_prefix: reader.required_text("collectionPrefix")?,
            options: DatabaseOptions::read(reader)?,
        })
    }
}

/// Whether the URI leads to a MongoDB that this server can speak to.
pub fn is_mongo(uri: &str) -> bool {
    let scheme = uri.split("://").next().unwrap_or_default();
    cfg!(feature = "mongo")
        && uri.contains("://")
        && ["mongodb", "mongodb+srv"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

fn check_uri(reader: Reader<'_>, name: &str, uri: &str) -> Result<(), ConfigError> {
    let scheme = uri.split("://").next().unwrap_or_default().to_ascii_lowercase();
    if matches!(scheme.as_str(), "postgres" | "postgresql") && uri.contains("://") {
        return Ok(());
    }
    let message = if scheme.starts_with("mongodb") && name == "databaseURI" {
        "This server was built without MongoDB."
    } else {
        "This is not the URL of a PostgreSQL database."
    };
    Err(reader.fail(name, message).with_remedy(format!(
        "Give {name} as postgres://user:password@host:5432/database, or leave out databaseURI to use the private database of the server."
    )))
}

impl DatabaseOptions {
    fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let top = reader;
        let reader = top.group_saying("databaseOptions", "databaseOptions must be an object")?;
        reader.bool_saying("enableSchemaHooks", "databaseOptions.enableSchemaHooks must be a boolean")?;
        if reader.raw("schemaCacheTtl").is_some_and(|ttl| !ttl.is_number()) {
            return Err(reader.fail("schemaCacheTtl", "databaseOptions.schemaCacheTtl must be a number"));
        }
        let max = reader.whole("max", 1)?;
        let statement_timeout = reader.required_whole("statementTimeout", 0)?;
        let has_own_statement_timeout = reader.raw("statementTimeout").is_some();
        let query_timeout = reader.whole("query_timeout", 0)?.filter(|milliseconds| *milliseconds > 0);
        Ok(Self {
            allow_public_explain: reader.bool_saying(
                "allowPublicExplain",
                "Parse Server option 'databaseOptions.allowPublicExplain' must be a boolean.",
            )?,
            schema_cache_ttl_ms: reader.whole("schemaCacheTtl", 0)?,
            max_time_ms: reader.whole("maxTimeMS", 0)?,
            slow_query_ms: reader.whole("slowQueryMS", 0)?,
            auto_index: reader.bool("autoIndex")?,
            disable_index_field_validation: reader.bool("disableIndexFieldValidation")?,
            indexes: IndexOptions {
                auth_data_uniqueness: reader.bool("createIndexAuthDataUniqueness")?,
                role_name: reader.bool("createIndexRoleName")?,
                user_email: reader.bool("createIndexUserEmail")?,
                user_email_case_insensitive: reader.bool("createIndexUserEmailCaseInsensitive")?,
                user_email_verify_token: reader.bool("createIndexUserEmailVerifyToken")?,
                user_password_reset_token: reader.bool("createIndexUserPasswordResetToken")?,
                user_username: reader.bool("createIndexUserUsername")?,
                user_username_case_insensitive: reader.bool("createIndexUserUsernameCaseInsensitive")?,
            },
            prepared_statements: reader.bool("preparedStatements")?,
            statement_timeout_ms: match query_timeout {
                Some(least) if has_own_statement_timeout && statement_timeout > 0 => {
                    least.min(statement_timeout)
                }
                Some(least) => least,
                None => statement_timeout,
            },
            has_own_statement_timeout: has_own_statement_timeout || query_timeout.is_some(),
            uri_parameters: if top.text("databaseURI")?.is_some_and(|uri| is_mongo(&uri)) {
                Vec::new()
            } else {
                uri_parameters(reader)?
            },
            pool_size: max.or(reader.whole("poolSize", 1)?),
            raw: Secret::new(top.object("databaseOptions")?.cloned().unwrap_or_default()),
        })
    }
}

/// What node-postgres takes as options, and the URL as parameters.
fn uri_parameters(reader: Reader<'_>) -> Result<Vec<(&'static str, String)>, ConfigError> {
    let mut parameters = Vec::new();
    for name in ["application_name", "fallback_application_name"] {
        parameters.extend(reader.text(name)?.filter(|text| !text.is_empty()).map(|text| (name, text)));
    }
    let idle = reader.whole("idleTimeoutMillis", 0)?;
    parameters.extend(idle.map(|milliseconds| ("idleTimeoutMillis", milliseconds.to_string())));
    if reader.raw("keepAlive").is_some() {
        parameters.push(("keepAlive", reader.bool("keepAlive")?.to_string()));
    }
    let tls = match reader.raw("ssl") {
        Some(Value::Object(tls)) => tls,
        Some(Value::Bool(on)) => {
            parameters.push(("ssl", on.to_string()));
            return Ok(parameters);
        }
        _ => return Ok(parameters),
    };
    parameters.push(("ssl", "true".to_owned()));
    if let Some(Value::Bool(refuses)) = tls.get("rejectUnauthorized") {
        parameters.push(("rejectUnauthorized", refuses.to_string()));
    }
    for name in ["ca", "cert", "key"] {
        match tls.get(name).and_then(Value::as_str).filter(|file| !file.is_empty()) {
            Some(text) if text.contains("-----BEGIN") => {
                // Without the value, which may be a key.
                let message = format!("databaseOptions.ssl.{name} must name a PEM file.");
                let error = ConfigError::new("databaseOptions.ssl", message, None);
                return Err(
                    error.with_remedy(format!("Put the text into a file, and name it in ssl.{name}."))
                );
            }
            file => parameters.extend(file.map(|file| (name, file.to_owned()))),
        }
    }
    Ok(parameters)
}

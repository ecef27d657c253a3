//! Configuration: every option of parse-server 9.10 and a few of our own, read from file, environment and
//! command line, checked once, and handed out as one typed [`AppConfig`] per application.
//!
//! `server` builds it and everybody reads it; this module knows nothing of the rest of the program. There
//! is no global: several applications with different configurations can live in one process.

mod check;
pub mod cli;
mod compat;
mod development;
pub mod docs;
mod error;
mod load;
mod net;
mod path_pattern;
mod reader;
mod secret;
mod sections;
pub mod shell;
pub mod source;
pub mod table;
mod value;

use std::path::PathBuf;

use indexmap::IndexMap;
use serde_json::{Map, Value};

pub use error::ConfigError;
pub use load::{Loaded, load};
pub use net::{IpRules, TrustProxy};
pub use path_pattern::PathPattern;
use reader::Reader;
pub use secret::Secret;
pub use sections::*;
pub use value::{CallbackId, OptionValue, Pattern};

/// Lines for the log about a configuration that was accepted.
pub type Warnings = Vec<String>;

/// The configuration of one application. Field names are the option names in snake case.
#[derive(Clone, Debug)]
pub struct AppConfig {
    /// Every option that was given, whether the server knows it or not: what Cloud Code is shown.
    pub given: Secret<Map<String, Value>>,
    pub app_id: String,
    pub app_name: Option<String>,
    pub keys: KeysConfig,
    pub http: HttpConfig,
    pub database: DatabaseConfig,
    pub schema: SchemaConfig,
    pub query: QueryConfig,
    pub request_complexity: RequestComplexity,
    pub users: UsersConfig,
    /// Login providers: name → settings as given; contains secrets.
    pub auth: Secret<IndexMap<String, Value>>,
    pub files: FilesConfig,
    pub pages: PagesConfig,
    pub mail: MailConfig,
    pub push: PushConfig,
    pub live_query: LiveQueryConfig,
    pub live_query_server: LiveQueryServerConfig,
    pub idempotency: IdempotencyConfig,
    pub rate_limits: Vec<RateLimitRule>,
    pub request_keyword_denylist: Vec<DeniedKeyword>,
    pub installation: InstallationConfig,
    pub cache: CacheConfig,
    pub cloud: CloudConfig,
    pub graphql: GraphQLConfig,
    pub logging: LoggingConfig,
    pub security: SecurityConfig,
    /// The page of metrics; `None` when there is none.
    pub metrics: Option<MetricsConfig>,
    /// Parse Dashboard; `None` when there is none.
    pub dashboard: Option<DashboardConfig>,
    pub enable_product_purchase_legacy_api: bool,
    /// Folder for what the server itself keeps.
    pub data_dir: PathBuf,
    /// Started without any configuration, with the development defaults.
    pub development: bool,
}

impl AppConfig {
    /// Checks options (values of the right JSON types, functions as `{"__callback": n}`) and fills in the
    /// defaults. The second part is for the log.
    ///
    /// # Errors
    /// The first option that is wrong, with parse-server's text.
    pub fn from_json(options: Value) -> Result<(Self, Warnings), ConfigError> {
        let Value::Object(options) = options else {
            return Err(ConfigError::general(
                "The configuration must be an object.",
                "Give options by name.",
            ));
        };
        Self::from_options(&options, false)
    }

    fn from_options(
        options: &Map<String, Value>,
        development: bool,
    ) -> Result<(Self, Warnings), ConfigError> {
        let with_old_values = compat::applied(options)?;
        let options = with_old_values.as_ref().map_or(options, |(all, _)| all);
        let mut config = Self::read(options)?;
        config.development = development;
        config.dashboard = DashboardConfig::read(Reader::new(options), development)?;
        if development && !options.contains_key("metrics") {
            config.metrics = Some(MetricsConfig::of_development());
        }
        config.check_mail(Reader::new(options))?;
        let allow_incomplete = Reader::new(options).bool("allowIncomplete")?;
        let mut warnings = Warnings::new();
        warnings.extend(check::unknown_keys_warning(options));
        warnings.extend(check::without_effect(options, allow_incomplete)?);
        warnings.extend(sections::cache::unknown_adapter(options));
        warnings.extend(check::app_id_warning(&config.app_id));
        if !development {
            warnings.extend(check::deprecations(options));
        }
        Ok((config, warnings))
    }

    /// Verification of mail addresses needs somebody who sends mails, and links in them that work.
    fn check_mail(&self, reader: Reader<'_>) -> Result<(), ConfigError> {
        if !self.users.verify_user_emails.is_on() {
            return Ok(());
        }
        if self.mail.email_adapter.is_none() {
            let message = "An emailAdapter is required for e-mail verification and password resets.";
            return Err(reader.fail("emailAdapter", message));
        }
        if self.app_name.is_none() {
            let message = "An app name is required for e-mail verification and password resets.";
            return Err(reader.fail("appName", message));
        }
        if self.http.public_server_url.is_none() {
            return Err(reader.fail("publicServerURL", "The option publicServerURL is required."));
        }
        Ok(())
    }

    /// For tests: application `test`, master key `master`, and what is given; everything else default.
    ///
    /// # Panics
    /// The options are not valid.
    #[doc(hidden)]
    #[track_caller]
    pub fn for_tests(options: Value) -> Self {
        let mut all = serde_json::json!({"appId": "test", "masterKey": "master"});
        if let (Value::Object(all), Value::Object(options)) = (&mut all, options) {
            all.extend(options);
        }
        match Self::from_json(all) {
            Ok((config, _)) => config,
            Err(error) => panic!("{error}"),
        }
    }

    fn read(options: &Map<String, Value>) -> Result<Self, ConfigError> {
        let reader = Reader::new(options);
        let app_id = reader.text("appId")?.filter(|id| !id.is_empty());
        Ok(Self {
            given: Secret::new(options.clone()),
            app_id: app_id.ok_or_else(|| reader.fail("appId", "You must provide an appId!"))?,
            app_name: reader.text("appName")?.filter(|name| !name.is_empty()),
            keys: KeysConfig::read(reader)?,
            http: HttpConfig::read(reader)?,
            database: DatabaseConfig::read(reader)?,
            schema: SchemaConfig::read(reader)?,
            query: QueryConfig::read(reader)?,
            request_complexity: RequestComplexity::read(reader)?,
            users: UsersConfig::read(reader)?,
            auth: auth(reader)?,
            files: FilesConfig::read(reader)?,
            pages: PagesConfig::read(reader)?,
            mail: MailConfig::read(reader)?,
            push: PushConfig::read(reader)?,
            live_query: LiveQueryConfig::read(reader)?,
            live_query_server: LiveQueryServerConfig::read(reader)?,
            idempotency: IdempotencyConfig::read(reader)?,
            rate_limits: RateLimitRule::read_all(reader)?,
            request_keyword_denylist: DeniedKeyword::read_all(reader)?,
            installation: InstallationConfig::read(reader)?,
            cache: CacheConfig::read(reader)?,
            cloud: CloudConfig::read(reader)?,
            graphql: GraphQLConfig::read(reader)?,
            logging: LoggingConfig::read(reader)?,
            security: SecurityConfig::read(reader)?,
            metrics: MetricsConfig::read(reader)?,
            dashboard: None,
            enable_product_purchase_legacy_api: reader.bool("enableProductPurchaseLegacyApi")?,
            data_dir: PathBuf::from(reader.required_text("dataDir")?),
            development: false,
        })
    }
}

/// Provider names become column names, so only plain ones are accepted.
fn auth(reader: Reader<'_>) -> Result<Secret<IndexMap<String, Value>>, ConfigError> {
    let mut providers = IndexMap::new();
    for (name, settings) in reader.object("auth")?.into_iter().flatten() {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let message = format!("Parse Server option auth contains an invalid provider name \"{name}\".");
            return Err(reader.fail("auth", message).with_remedy(
                "Provider names consist of letters, digits and underscores and begin with a letter.",
            ));
        }
        // Limits: one that is none must not be taken for one.
        for key in ["revalidateAfter", "timestampMaxAge"] {
            let given = settings.get(key).filter(|value| !value.is_null());
            if given.is_some_and(|value| !value.as_f64().is_some_and(|seconds| seconds > 0.0)) {
                let message = format!("auth.{name}.{key} must be a number of seconds above 0.");
                return Err(reader.fail("auth", message));
            }
        }
        providers.insert(name.clone(), settings.clone());
    }
    Ok(Secret::new(providers))
}

#[cfg(test)]
mod tests;

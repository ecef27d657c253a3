//! Login providers (`authData`): what a provider is, those built in, and which of them an app accepts.
//!
//! A provider judges the data a client sends for it and says what of it is stored. It knows no users
//! table and no Cloud Code: `operations::classes::user::auth_data` brings both together, and joins in providers
//! that an application writes itself.
//!
//! * [`providers`]: one file per provider, and the table of them; [`mfa`], the second factor, stands beside it;
//!   [`policy`]: any of them with another policy than its own;
//! * [`openid`], [`oauth`]: what providers share that speak OpenID Connect, or OAuth;
//! * [`settings`]: an entry of the option `auth`; [`env`]: the way out, the clock, the public keys of others.
//!
//! Made by `server`. Names `outbound`, `config`, `tls`, `types` and `error`.

pub mod env;
pub mod mfa;
mod oauth;
mod openid;
mod policy;
mod providers;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;
use indexmap::IndexMap;
use serde_json::Value;

use crate::config::{AppConfig, CallbackId};
use crate::error::{Error, ErrorCode, Result};
use crate::types::Object;
use env::ProviderEnv;
use settings::Settings;

/// What the client wants of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The user does not have this provider yet.
    SetUp,
    /// Somebody who is not logged in wants to be this user.
    Login,
    /// The user (or a master) changes what is stored.
    Update,
}

impl Step {
    /// The adapter method of parse-server.
    pub fn method(self) -> &'static str {
        match self {
            Self::SetUp => "validateSetUp",
            Self::Login => "validateLogin",
            Self::Update => "validateUpdate",
        }
    }
}

/// Which extra provider a login needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    #[default]
    Default,
    /// Must be supplied beside whatever else identifies the user.
    Additional,
    /// Safe on its own: nothing additional is asked for.
    Solo,
}

impl Policy {
    /// # Errors
    /// -1 for other names than the three.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "default" => Ok(Self::Default),
            "additional" => Ok(Self::Additional),
            "solo" => Ok(Self::Solo),
            _ => Err(Error::parse(
                ErrorCode::OTHER_CAUSE,
                "AuthAdapter policy is not configured correctly. The value must be either \"solo\", \
                 \"additional\", \"default\" or undefined (will be handled as \"default\")",
            )),
        }
    }
}

/// Functions of the configuration, wherever they run.
#[async_trait(?Send)]
pub trait Callbacks {
    /// # Errors
    /// What the function throws.
    async fn call(&self, id: CallbackId, args: Vec<Value>) -> Result<Value>;
}

/// What a provider may look at.
pub struct AuthRequest<'a> {
    /// The user as stored, when there is one.
    pub original: Option<&'a Object>,
    /// What is about to be written.
    pub object: &'a Object,
    pub master: bool,
    pub is_challenge: bool,
    /// Who asks for a challenge, when that is known by the session.
    pub session_user: Option<&'a Object>,
    pub callbacks: &'a dyn Callbacks,
}

impl AuthRequest<'_> {
    /// What is stored for a provider.
    pub fn stored(&self, provider: &str) -> Option<&Object> {
        self.original?.get("authData")?.get(provider)?.as_object()
    }
}

/// What a provider says to data it accepts.
#[derive(Debug, Default)]
pub struct Verdict {
    /// For the client, as `authDataResponse.<provider>`.
    pub response: Option<Value>,
    /// Stored instead of what was sent.
    pub save: Option<Value>,
    /// Nothing is stored.
    pub do_not_save: bool,
    /// `save` is stored, and then the request fails with this.
    pub then_fail: Option<Error>,
}

impl Verdict {
    pub fn save(value: Value) -> Self {
        Self { save: Some(value), ..Self::default() }
    }

    pub fn do_not_save() -> Self {
        Self { do_not_save: true, ..Self::default() }
    }
}

/// One way to prove who somebody is.
#[async_trait(?Send)]
pub trait AuthProvider: Send + Sync {
    /// Looks at (or exchanges) the data before users are searched by its `id`.
    ///
    /// # Errors
    /// Data that cannot be anybody's.
    async fn before_find(&self, _data: &mut Object) -> Result<()> {
        Ok(())
    }

    /// Judges the data.
    ///
    /// # Errors
    /// The provider's text: 141, or a code of its own.
    async fn validate(&self, step: Step, data: &Value, request: &AuthRequest<'_>) -> Result<Verdict>;

    /// `stored` is what the user has of this provider.
    ///
    /// # Errors
    /// -1 for an adapter that is not configured correctly.
    async fn policy(&self, _stored: &Value, _master: bool) -> Result<Policy> {
        Ok(Policy::Default)
    }

    /// Answers a challenge; `None` for providers without.
    ///
    /// # Errors
    /// The provider's text.
    async fn challenge(
        &self,
        _challenge: &Value,
        _data: Option<&Value>,
        _request: &AuthRequest<'_>,
    ) -> Result<Option<Value>> {
        Ok(None)
    }

    /// What readers without the master key see in place of the stored data.
    fn mask(&self, _stored: &Value) -> Option<Value> {
        None
    }
}

/// 141, what a refusal of a provider is unless it has a code of its own.
pub fn refused(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::parse(ErrorCode::SCRIPT_FAILED, text)
}

/// 101, what most refusals of a login are.
pub fn not_found(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::parse(ErrorCode::OBJECT_NOT_FOUND, text)
}

/// 252
pub fn unsupported() -> Error {
    Error::parse(ErrorCode::UNSUPPORTED_SERVICE, "This authentication method is unsupported.")
}

/// 162
pub fn invalid_id(provider: &str) -> Error {
    Error::parse(ErrorCode::INVALID_VALUE, format!("Invalid authData id for provider '{provider}'."))
}

/// What stands in an entry for code of the application.
const MODULE: [&str; 4] = ["module", "class", "adapter", "__instance"];

/// -1, for a provider that is none.
pub fn incomplete() -> Error {
    Error::parse(
        ErrorCode::OTHER_CAUSE,
        "Adapter is not configured. Implement either validateAuthData or all of the following: \
         validateSetUp, validateLogin and validateUpdate",
    )
}

/// Whether the application wrote the provider itself.
fn is_module(entry: &Value) -> bool {
    MODULE.iter().any(|key| entry.get(key).is_some())
}

/// Whether an entry means no provider at all: none of this name is built in, and nobody wrote one.
fn means_nothing(name: &str, entry: Option<&Value>) -> bool {
    let Some(Value::Object(entry)) = entry else { return false };
    let checks = [Step::SetUp.method(), Step::Login.method(), Step::Update.method(), "validateAuthData"];
    let is_written = MODULE.iter().chain(&checks).any(|key| entry.contains_key(*key));
    !is_written && !["anonymous", "mfa"].contains(&name)
}

/// `enabled: false`
fn is_off(entry: &Value) -> bool {
    entry.get("enabled") == Some(&Value::Bool(false))
}

fn warn(name: &str, error: &Error, entry: &Value) {
    let hint = match entry.get("enableInsecureAuth") {
        Some(Value::Bool(true)) => " Insecure modes need enableInsecureAuthAdapters as well.",
        _ => "",
    };
    tracing::warn!(provider = name, "The login provider auth.{name} cannot be used: {error}{hint}");
}

/// The providers an app accepts, by name.
pub struct AuthProviders {
    built_in: IndexMap<String, Arc<dyn AuthProvider>>,
    /// Entries of the option `auth`, secrets included.
    settings: IndexMap<String, Value>,
}

impl Default for AuthProviders {
    /// Anonymous users and nothing else.
    fn default() -> Self {
        let anonymous: Arc<dyn AuthProvider> = Arc::new(providers::Anonymous);
        Self { built_in: IndexMap::from([("anonymous".to_owned(), anonymous)]), settings: IndexMap::new() }
    }
}

impl AuthProviders {
    /// Providers whose settings lack something are warned about and say so whenever they are used.
    ///
    /// # Errors
    /// parse-server's text about settings of `mfa` that are wrong.
    pub fn new(config: &AppConfig, env: &Arc<ProviderEnv>) -> std::result::Result<Self, String> {
        let entries = config.auth.expose();
        let mut built_in: IndexMap<String, Arc<dyn AuthProvider>> = IndexMap::new();
        let mut names: Vec<&str> = entries.keys().map(String::as_str).collect();
        for name in providers::names() {
            if !entries.contains_key(name) {
                names.push(name);
            }
        }
        for name in names {
            let entry = entries.get(name);
            let settings = Settings::new(name, entry, config.users.enable_insecure_auth_adapters);
            let made = match providers::make(&settings, env) {
                Some(made) => made,
                None if means_nothing(name, entry) => Err(incomplete()),
                None => continue,
            };
            let provider = made.unwrap_or_else(|error| {
                if let Some(entry) = entry.filter(|entry| !is_module(entry) && !is_off(entry)) {
                    warn(name, &error, entry);
                }
                Arc::new(providers::Misconfigured::new(&error))
            });
            built_in.insert(name.to_owned(), provider);
        }
        if config.users.enable_anonymous_users {
            built_in.insert("anonymous".to_owned(), Arc::new(providers::Anonymous));
        }
        if let Some(options) = entries.get("mfa").filter(|entry| !is_module(entry)) {
            built_in.insert("mfa".to_owned(), Arc::new(mfa::Mfa::new(options)?));
        }
        for (name, provider) in &mut built_in {
            let entry = entries.get(name).filter(|entry| !is_module(entry));
            if let Some(policy) = entry.and_then(policy::of) {
                *provider = Arc::new(policy::WithPolicy::new(provider.clone(), policy));
            }
        }
        Ok(Self { built_in, settings: entries.clone() })
    }

    /// The built-in provider; `None` as well when the app switched it off.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn AuthProvider>> {
        self.built_in.get(name).filter(|_| self.is_enabled(name))
    }

    /// Whether the app's settings do not say `enabled: false`.
    pub fn is_enabled(&self, name: &str) -> bool {
        !self.settings.get(name).is_some_and(is_off)
    }

    /// The provider's entry of the option `auth`.
    pub fn settings(&self, name: &str) -> Option<&Value> {
        self.settings.get(name)
    }

    /// Names that users may have data of: each gets a unique index on its ids.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.settings.keys().cloned().collect();
        // The one provider that needs no settings.
        names.extend(self.built_in.keys().filter(|name| *name == "anonymous").cloned());
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Replaces what readers without the master key may not see.
    pub fn mask(&self, providers: &mut Object) {
        for (name, data) in providers {
            if let Some(masked) = self.built_in.get(name).and_then(|provider| provider.mask(data)) {
                *data = masked;
            }
        }
    }
}

//! The option table: every option by name, environment variable, type, default and meaning.
//!
//! It is the one source of `--help`, of `docs/configuration.md`, of reading environment and command
//! line, of defaults and of the warnings about unknown keys. The names, variables, types and defaults
//! are parse-server 9.10's; entries marked [`OptionDef::ours`] are additions. It depends on nothing.

mod data;
mod features;
mod groups;
mod logs;
mod server;
mod users;

pub use groups::{
    ACCOUNT_LOCKOUT, CUSTOM_PAGES, DATABASE, FILE_DOWNLOAD, FILE_UPLOAD, HTTP_LIMITS, IDEMPOTENCY,
    INSTALLATION, LIVE_QUERY, LIVE_QUERY_SERVER, LOG_LEVELS, PAGES, PAGES_CUSTOM_URLS, PAGES_ROUTE,
    PASSWORD_POLICY, QUERY, RATE_LIMIT, REQUEST_COMPLEXITY, SCHEMA, SECURITY,
};

/// How text from the environment or the command line becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// A whole number; anything else stops the start.
    Number,
    NumberOrBool,
    NumberOrText,
    /// `true` and `1` are true, everything else is false.
    Bool,
    /// Comma-separated text, or a JSON array.
    List,
    /// JSON.
    Object,
    /// JSON, or else text: a module name or one of the built-in names.
    Module,
}

impl Kind {
    /// As it is called in help and documentation.
    pub fn label(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::NumberOrBool => "number or boolean",
            Self::NumberOrText => "number or text",
            Self::Bool => "boolean",
            Self::List => "list (comma-separated or JSON)",
            Self::Object => "JSON",
            Self::Module => "text or JSON",
        }
    }
}

/// What setting the option does today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Effective,
    /// Known and checked, but nothing follows from it yet: a warning at the start.
    Accepted,
    /// Protects something and has no effect yet: stops the start unless `allowIncomplete` is set.
    Protects,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct OptionDef {
    pub name: &'static str,
    /// Environment variable, or empty. Only those of top-level options are read, as in parse-server.
    pub env: &'static str,
    pub kind: Kind,
    /// The default as JSON, or empty when there is none.
    pub default: &'static str,
    pub help: &'static str,
    pub status: Status,
    /// Not in parse-server.
    pub ours: bool,
    /// Never shown in messages or logs.
    pub secret: bool,
    pub required: bool,
    /// May be a function in a JavaScript configuration.
    pub callable: bool,
    /// The keys of the object, or of each object in the list.
    pub group: Option<&'static Group>,
}

/// The keys of an option that is an object.
#[derive(Debug)]
pub struct Group {
    /// Path of the option, for example `databaseOptions.clientMetadata`.
    pub name: &'static str,
    pub options: &'static [OptionDef],
}

impl Group {
    pub fn find(&self, name: &str) -> Option<&'static OptionDef> {
        self.options.iter().find(|option| option.name == name)
    }
}

const fn opt(
    name: &'static str,
    env: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> OptionDef {
    OptionDef {
        name,
        env,
        kind,
        default,
        help,
        status: Status::Effective,
        ours: false,
        secret: false,
        required: false,
        callable: false,
        group: None,
    }
}

impl OptionDef {
    const fn accepted(mut self) -> Self {
        self.status = Status::Accepted;
        self
    }

    const fn protects(mut self) -> Self {
        self.status = Status::Protects;
        self
    }

    const fn ours(mut self) -> Self {
        self.ours = true;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn callable(mut self) -> Self {
        self.callable = true;
        self
    }

    const fn group(mut self, group: &'static Group) -> Self {
        self.group = Some(group);
        self
    }

    /// The default as a value.
    pub fn default_value(&self) -> Option<serde_json::Value> {
        // Every default in the table is valid JSON (there is a test), so an error cannot hide here.
        if self.default.is_empty() { None } else { serde_json::from_str(self.default).ok() }
    }
}

/// All top-level options, in the order of the table.
pub fn options() -> impl Iterator<Item = &'static OptionDef> {
    [server::OPTIONS, data::OPTIONS, users::OPTIONS, features::OPTIONS, logs::OPTIONS].into_iter().flatten()
}

/// The top-level option of that name.
pub fn find(name: &str) -> Option<&'static OptionDef> {
    options().find(|option| option.name == name)
}

/// The top-level option that reads this environment variable.
pub fn find_env(variable: &str) -> Option<&'static OptionDef> {
    options().find(|option| option.env == variable)
}

/// The option a dotted path names, through groups.
pub fn find_path(path: &str) -> Option<&'static OptionDef> {
    let mut parts = path.split('.').map(|part| part.split('[').next().unwrap_or(part));
    let mut found = find(parts.next()?)?;
    for part in parts {
        found = found.group?.find(part)?;
    }
    Some(found)
}

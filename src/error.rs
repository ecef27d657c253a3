//! The one error type of the server and the table of Parse error codes.
//!
//! Which variant belongs where:
//! * [`Error::Parse`]: the client did something the API answers with a code. Its text travels as it is.
//! * [`Error::Denied`]: the same, but the text would tell a client something about data or
//!   configuration. It is sent as `Permission denied` unless `enableSanitizedErrorResponse` is off.
//! * [`Error::Http`]: errors that have a status of their own. Those of the door (408, 413, 415, 503) have a code
//!   too, since SDKs decide by it; the others have none (`{"error": …}`).
//! * [`Error::Database`]: storage failed in a way the client did not cause.
//! * [`Error::Internal`]: everything else that should not happen; the source is logged, never sent.
//!
//! The mapping to status and body mirrors parse-server's `handleParseErrors` (facts in
//! `docs/compatibility.md`): 101 → 404, 1 → 500, other codes → 400.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Value, json};

pub type Result<T, E = Error> = std::result::Result<T, E>;
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Text = Cow<'static, str>;

/// A Parse error code. Cloud Code may throw any number, so this is not an enum.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub i32);

macro_rules! codes {
    ($($name:ident = $code:expr),+ $(,)?) => {
        impl ErrorCode {
            $(pub const $name: ErrorCode = ErrorCode($code);)+
            /// The constant's name as the JavaScript SDK spells it, for logs.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($code => Some(stringify!($name)),)+ _ => None }
            }
        }
    };
}

codes! {
    OTHER_CAUSE = -1, INTERNAL_SERVER_ERROR = 1, CONNECTION_FAILED = 100, OBJECT_NOT_FOUND = 101,
    INVALID_QUERY = 102, INVALID_CLASS_NAME = 103, MISSING_OBJECT_ID = 104, INVALID_KEY_NAME = 105,
    INVALID_POINTER = 106, INVALID_JSON = 107, COMMAND_UNAVAILABLE = 108, NOT_INITIALIZED = 109,
    INCORRECT_TYPE = 111, INVALID_CHANNEL_NAME = 112, PUSH_MISCONFIGURED = 115, OBJECT_TOO_LARGE = 116,
    OPERATION_FORBIDDEN = 119, CACHE_MISS = 120, INVALID_NESTED_KEY = 121, INVALID_FILE_NAME = 122,
    INVALID_ACL = 123, TIMEOUT = 124, INVALID_EMAIL_ADDRESS = 125, MISSING_CONTENT_TYPE = 126,
    MISSING_CONTENT_LENGTH = 127, INVALID_CONTENT_LENGTH = 128, FILE_TOO_LARGE = 129,
    FILE_SAVE_ERROR = 130, INSTALLATION_ID_NEEDED = 132, MISSING_REQUIRED_FIELD = 135,
    IMMUTABLE_FIELD_CHANGED = 136, DUPLICATE_VALUE = 137, INVALID_ROLE_NAME = 139,
    EXCEEDED_QUOTA = 140, SCRIPT_FAILED = 141, VALIDATION_ERROR = 142, WEBHOOK_ERROR = 143,
    UNSAVED_FILE_ERROR = 151, INVALID_PUSH_TIME_ERROR = 152, FILE_DELETE_ERROR = 153,
    REQUEST_LIMIT_EXCEEDED = 155, DUPLICATE_REQUEST = 159, INVALID_EVENT_NAME = 160,
    FILE_DELETE_UNNAMED_ERROR = 161, INVALID_VALUE = 162, USERNAME_MISSING = 200,
    PASSWORD_MISSING = 201, USERNAME_TAKEN = 202, EMAIL_TAKEN = 203, EMAIL_MISSING = 204,
    EMAIL_NOT_FOUND = 205, SESSION_MISSING = 206, MUST_CREATE_USER_THROUGH_SIGNUP = 207,
    ACCOUNT_ALREADY_LINKED = 208, INVALID_SESSION_TOKEN = 209, MFA_ERROR = 210,
    MFA_TOKEN_REQUIRED = 211, LINKED_ID_MISSING = 250, INVALID_LINKED_SESSION = 251,
    UNSUPPORTED_SERVICE = 252, INVALID_SCHEMA_OPERATION = 255, AGGREGATE_ERROR = 600,
    FILE_READ_ERROR = 601, X_DOMAIN_REQUEST = 602,
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} {name}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Debug)]
pub enum Error {
    /// `{code, error: message}`.
    Parse { code: ErrorCode, message: Text },
    /// What application code threw that is no text: `{code, error}` with the value as it is; without a code where
    /// the application left it out.
    Thrown { code: Option<ErrorCode>, value: Box<Value>, message: Text },
    /// `{code, error: "Permission denied"}`, or the detail when sanitizing is off.
    Denied { code: ErrorCode, detail: Text },
    /// `{error: message}` with this status, and the code that [`door_code`] has for it. `detail` replaces the message when sanitizing is off.
    Http { status: u16, message: Text, detail: Option<Text> },
    /// 429 with `{code: 100, error: message}` at the top level, 400 inside a batch.
    RateLimited { message: Text, limit: u64, reset_epoch_s: u64, retry_after_s: u64 },
    /// Storage failed: `{code: 1, error: "An internal server error occurred"}`.
    Database(BoxError),
    /// `{code: 1, message: "Internal server error."}` (the key really is `message`).
    Internal(BoxError),
}

impl Error {
    pub fn parse(code: ErrorCode, message: impl Into<Text>) -> Self {
        Self::Parse { code, message: message.into() }
    }

    /// An error whose value may be anything; texts with a code are the ordinary kind.
    pub fn thrown(code: Option<ErrorCode>, value: Value) -> Self {
        match (code, value) {
            (Some(code), Value::String(text)) => Self::parse(code, text),
            (code, value) => {
                let message = value.as_str().map_or_else(|| value.to_string(), str::to_owned).into();
                Self::Thrown { code, value: Box::new(value), message }
            }
        }
    }

    pub fn denied(code: ErrorCode, detail: impl Into<Text>) -> Self {
        Self::Denied { code, detail: detail.into() }
    }

    /// 119 whose detail is for the log only.
    pub fn forbidden(detail: impl Into<Text>) -> Self {
        Self::denied(ErrorCode::OPERATION_FORBIDDEN, detail)
    }

    pub fn http(status: u16, message: impl Into<Text>) -> Self {
        Self::Http { status, message: message.into(), detail: None }
    }

    /// 403 `{"error":"unauthorized"}`: bad application id, client key or address.
    pub fn unauthorized() -> Self {
        Self::http(403, "unauthorized")
    }

    /// 403 of routes that want the master key.
    pub fn master_key_required() -> Self {
        Self::Http {
            status: 403,
            message: "Permission denied".into(),
            detail: Some("unauthorized: master key is required".into()),
        }
    }

    /// 503 `{"code":100,"error":"The server is overloaded."}`, with `Retry-After`: more asks for its turn than can
    /// be served in time.
    pub fn overloaded() -> Self {
        Self::http(503, "The server is overloaded.")
    }

    /// 101 `Object not found.`
    pub fn object_not_found() -> Self {
        Self::parse(ErrorCode::OBJECT_NOT_FOUND, "Object not found.")
    }

    pub fn invalid_session_token() -> Self {
        Self::parse(ErrorCode::INVALID_SESSION_TOKEN, "Invalid session token")
    }

    pub fn invalid_query(message: impl Into<Text>) -> Self {
        Self::parse(ErrorCode::INVALID_QUERY, message)
    }

    pub fn invalid_json(message: impl Into<Text>) -> Self {
        Self::parse(ErrorCode::INVALID_JSON, message)
    }

    pub fn internal(source: impl Into<BoxError>) -> Self {
        Self::Internal(source.into())
    }

    pub fn database(source: impl Into<BoxError>) -> Self {
        Self::Database(source.into())
    }

    /// The Parse code, where there is one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Parse { code, .. } | Self::Denied { code, .. } => Some(*code),
            Self::Thrown { code, .. } => *code,
            Self::RateLimited { .. } => Some(ErrorCode::CONNECTION_FAILED),
            Self::Http { status, .. } => door_code(*status),
            Self::Database(_) | Self::Internal(_) => Some(ErrorCode::INTERNAL_SERVER_ERROR),
        }
    }

    pub fn is(&self, code: ErrorCode) -> bool {
        self.code() == Some(code)
    }

    /// HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Parse { code, .. } | Self::Denied { code, .. } | Self::Thrown { code: Some(code), .. } => {
                match *code {
                    ErrorCode::OBJECT_NOT_FOUND => 404,
                    ErrorCode::INTERNAL_SERVER_ERROR => 500,
                    _ => 400,
                }
            }
            Self::Thrown { code: None, .. } => 400,
            Self::Http { status, .. } => *status,
            Self::RateLimited { .. } => 429,
            Self::Database(_) | Self::Internal(_) => 500,
        }
    }

    /// The text a client may see.
    pub fn public_message(&self, sanitize: bool) -> &str {
        match self {
            Self::Parse { message, .. }
            | Self::Thrown { message, .. }
            | Self::RateLimited { message, .. } => message,
            Self::Denied { detail, .. } => {
                if sanitize {
                    "Permission denied"
                } else {
                    detail
                }
            }
            Self::Http { message, detail, .. } => match detail {
                Some(detail) if !sanitize => detail,
                _ => message,
            },
            Self::Database(_) => "An internal server error occurred",
            Self::Internal(_) => "Internal server error.",
        }
    }

    /// Body of the HTTP answer.
    pub fn body(&self, sanitize: bool) -> Value {
        let text = self.public_message(sanitize);
        match self {
            Self::Http { status, .. } if door_code(*status).is_none() => json!({ "error": text }),
            Self::Internal(_) => json!({ "code": 1, "message": text }),
            Self::Thrown { code: None, value, .. } => json!({ "error": value }),
            Self::Thrown { code: Some(code), value, .. } => json!({ "code": code.0, "error": value }),
            _ => json!({ "code": self.code().map_or(1, |c| c.0), "error": text }),
        }
    }
}

/// Of what is wrong with a request before anybody looks at what it asks for.
fn door_code(status: u16) -> Option<ErrorCode> {
    match status {
        408 => Some(ErrorCode::TIMEOUT),
        413 => Some(ErrorCode::OBJECT_TOO_LARGE),
        415 => Some(ErrorCode::INVALID_JSON),
        503 => Some(ErrorCode::CONNECTION_FAILED),
        _ => None,
    }
}

impl fmt::Display for Error {
    /// For logs: details and sources included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parse { code, message } => write!(f, "{code}: {message}"),
            Self::Thrown { code: Some(code), message, .. } => write!(f, "{code}: {message}"),
            Self::Thrown { code: None, message, .. } => write!(f, "{message}"),
            Self::Denied { code, detail } => write!(f, "{code}: {detail}"),
            Self::Http { status, message, detail } => {
                write!(f, "HTTP {status}: {}", detail.as_ref().unwrap_or(message))
            }
            Self::RateLimited { message, .. } => write!(f, "rate limit: {message}"),
            Self::Database(source) => write!(f, "database: {source}"),
            Self::Internal(source) => write!(f, "internal: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(source) | Self::Internal(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}

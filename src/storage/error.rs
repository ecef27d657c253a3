//! Why storage could not do what it was asked, and what clients hear of that.

use crate::error::{BoxError, Error, ErrorCode};

/// Why storage could not do what it was asked.
#[derive(Debug)]
pub enum StorageError {
    /// A unique index refused the row. `field` is the column, `provider` the auth provider of a
    /// `_User_unique_authData_<provider>_id` index.
    Duplicate {
        field: Option<String>,
        provider: Option<String>,
    },
    /// A client's value or query cannot be expressed: travels as it is.
    Refused(Error),
    /// The table or column does not exist (yet, or any more): the caller's schema is stale.
    StaleSchema(BoxError),
    /// Serialisation failure or deadlock: the whole transaction may be retried.
    Conflict(BoxError),
    /// No connection to be had within the deadline, or the server is away.
    Unavailable(BoxError),
    /// It takes connections, or is on its way, and does not answer within the deadline.
    Silent,
    /// Every connection is busy and none came free within the deadline.
    Exhausted,
    /// The statement ran longer than `statementTimeout`.
    Timeout,
    Other(BoxError),
}

impl StorageError {
    /// 102 for results of which there was no room for all.
    pub fn no_room() -> Self {
        Self::Refused(Error::invalid_query("The results take more memory than a request may have."))
    }
}

impl std::fmt::Display for StorageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Duplicate { field, .. } => write!(f, "duplicate value for {field:?}"),
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::StaleSchema(source) => write!(f, "stale schema: {source}"),
            Self::Conflict(source) => write!(f, "transaction conflict: {source}"),
            Self::Unavailable(source) => write!(f, "unavailable: {source}"),
            Self::Silent => f.write_str("the database does not answer"),
            Self::Exhausted => f.write_str("every database connection is busy"),
            Self::Timeout => f.write_str("statement timeout"),
            Self::Other(source) => write!(f, "{source}"),
        }
    }
}

impl std::error::Error for StorageError {}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Duplicate { provider: Some(_), .. } => {
                Self::parse(ErrorCode::ACCOUNT_ALREADY_LINKED, "this auth is already used")
            }
            StorageError::Duplicate { .. } => Self::parse(
                ErrorCode::DUPLICATE_VALUE,
                "A duplicate value for a field with unique values was provided",
            ),
            StorageError::Refused(error) => error,
            StorageError::Exhausted | StorageError::Silent => Self::overloaded(),
            StorageError::Timeout => Self::parse(ErrorCode::TIMEOUT, "The request took too long"),
            StorageError::StaleSchema(source) => {
                tracing::warn!(error = %source, "a statement does not suit its class: {source}");
                Self::invalid_query(UNSUITABLE)
            }
            other => Self::database(other),
        }
    }
}

/// What a client reads when a statement did not suit its class, and did not after it was built anew.
const UNSUITABLE: &str = "The request does not suit the fields of the class";

/// Whether the error was a [`StorageError::StaleSchema`]: nothing was done, and with what the class is now
/// it may work.
pub fn is_stale_schema(error: &Error) -> bool {
    matches!(error, Error::Parse { code, message } if *code == ErrorCode::INVALID_QUERY && message == UNSUITABLE)
}

/// Whether a transaction collided with another one: begun again, it may work.
pub fn is_conflict(error: &Error) -> bool {
    let Error::Database(source) = error else { return false };
    matches!(source.downcast_ref::<StorageError>(), Some(StorageError::Conflict(_)))
}

pub type StorageResult<T> = Result<T, StorageError>;

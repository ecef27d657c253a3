//! Database errors become [`StorageError`]s here and nowhere else. Their texts are for the log; what
//! a client sees is decided by `From<StorageError> for Error`.
//!
//! diesel keeps the SQLSTATE of few errors, so the others are told apart by PostgreSQL's English
//! messages; `connect` asks for those where the server speaks another language.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};

use crate::error::{Error, ErrorCode};
use crate::storage::StorageError;

/// The index that makes one auth provider's ids unique: `_User_unique_authData_<provider>_id`.
const AUTH_INDEX: (&str, &str) = ("_User_unique_authData_", "_id");

/// What the database said, for the log.
#[derive(Debug)]
pub struct DatabaseError(String);

impl std::fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DatabaseError {}

/// Boxes a text as the source of a storage error.
pub fn boxed(text: impl Into<String>) -> crate::error::BoxError {
    Box::new(DatabaseError(text.into()))
}

impl From<DieselError> for StorageError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(kind, info) => database(&kind, &*info),
            other => Self::Other(Box::new(other)),
        }
    }
}

fn database(kind: &DatabaseErrorKind, info: &(dyn DatabaseErrorInformation + Send + Sync)) -> StorageError {
    let message = info.message();
    match kind {
        DatabaseErrorKind::UniqueViolation => duplicate(info.constraint_name()),
        DatabaseErrorKind::SerializationFailure => StorageError::Conflict(boxed(message)),
        DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection => {
            StorageError::Unavailable(boxed(message))
        }
        _ => by_message(message),
    }
}

fn by_message(message: &str) -> StorageError {
    let is = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    if is(&["does not exist"]) && (message.starts_with("relation ") || message.starts_with("column ")) {
        StorageError::StaleSchema(boxed(message))
    } else if is(&["due to lock timeout", "could not obtain lock", "deadlock detected", "tuple concurrently"])
    {
        StorageError::Conflict(boxed(message))
    } else if is(&["due to statement timeout", "due to user request"]) {
        StorageError::Timeout
    } else if is(&[
        "terminating connection",
        "database system is",
        "too many clients",
        "connection slots are reserved",
        "too many connections",
        "cannot connect now",
    ]) {
        StorageError::Unavailable(boxed(message))
    } else if is(&["index row size", "index row requires"]) {
        // A value too long for the index on its column, such as a username of some thousand characters.
        let message = "A value is too long for an indexed field";
        StorageError::Refused(Error::parse(ErrorCode::OBJECT_TOO_LARGE, message))
    } else if is(&["invalid regular expression"]) {
        // What the translation lets pass and PostgreSQL's own parser does not, such as `a**`.
        StorageError::Refused(Error::invalid_query("Invalid regular expression"))
    } else {
        StorageError::Other(boxed(message))
    }
}

/// Reads the refused column or auth provider off the constraint's name, as parse-server does.
fn duplicate(constraint: Option<&str>) -> StorageError {
    let name = constraint.unwrap_or_default();
    let provider =
        name.strip_prefix(AUTH_INDEX.0).and_then(|rest| rest.strip_suffix(AUTH_INDEX.1)).map(str::to_owned);
    let field = name
        .rsplit_once("unique_")
        .map(|(_, column)| column.to_owned())
        .or_else(|| name.strip_suffix("_pkey").map(|_| "objectId".to_owned()))
        .filter(|_| provider.is_none());
    StorageError::Duplicate { field, provider }
}

/// The connection broke: a read may be sent again on another one.
pub fn is_connection_lost(error: &StorageError) -> bool {
    matches!(error, StorageError::Unavailable(_))
}

/// A prepared plan met a changed table (0A000): the same read works on a fresh plan.
pub fn is_stale_plan(error: &StorageError) -> bool {
    matches!(error, StorageError::Other(source) if source.to_string().contains("cached plan must not change"))
}

/// The whole table is missing, as system classes' tables are until first use.
pub fn is_missing_table(error: &StorageError) -> bool {
    matches!(error, StorageError::StaleSchema(source) if source.to_string().starts_with("relation "))
}

/// The object is there already (two servers created it at the same moment).
pub fn is_already_there(error: &StorageError) -> bool {
    match error {
        StorageError::Duplicate { .. } => true,
        StorageError::Other(source) => source.to_string().ends_with("already exists"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraint_names_tell_field_and_provider() {
        let parts = |name| match duplicate(Some(name)) {
            StorageError::Duplicate { field, provider } => (field, provider),
            other => panic!("{other}"),
        };
        assert_eq!(parts("_User_unique_username"), (Some("username".into()), None));
        assert_eq!(parts("_User_unique_authData_my_oauth_id"), (None, Some("my_oauth".into())));
        assert_eq!(parts("GameScore_pkey"), (Some("objectId".into()), None));
        assert_eq!(parts("other"), (None, None));
    }

    #[test]
    fn messages_are_told_apart() {
        assert!(matches!(by_message("relation \"X\" does not exist"), StorageError::StaleSchema(_)));
        assert!(matches!(by_message("column t0.x does not exist"), StorageError::StaleSchema(_)));
        assert!(matches!(by_message("canceling statement due to statement timeout"), StorageError::Timeout));
        assert!(matches!(by_message("canceling statement due to lock timeout"), StorageError::Conflict(_)));
        assert!(matches!(by_message("function f() does not exist"), StorageError::Other(_)));
        let pattern = by_message("invalid regular expression: quantifier operand invalid");
        assert!(matches!(pattern, StorageError::Refused(error) if error.is(ErrorCode::INVALID_QUERY)));
    }
}

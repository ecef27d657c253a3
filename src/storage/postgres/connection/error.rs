//! Database errors become [`StorageError`]s here and nowhere else, by their SQLSTATE (`wire` puts it in front of
//! the text, `sqlstate` says what it means). Their texts are for the log; what a client sees is decided
//! by `From<StorageError> for Error`.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};

use super::sqlstate::{Meaning, meaning};
use crate::error::Error;
use crate::storage::StorageError;

/// The index that makes one auth provider's ids unique: `_User_unique_authData_<provider>_id`.
const AUTH_INDEX: (&str, &str) = ("_User_unique_authData_", "_id");
const UNDEFINED_TABLE: &str = "42P01";

/// What the database said, for the log: `code text`.
#[derive(Debug)]
pub struct DatabaseError(String);

impl DatabaseError {
    /// The SQLSTATE; empty where the text did not come from the server.
    fn code(&self) -> &str {
        code_of(&self.0)
    }
}

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

/// The SQLSTATE in front of a text.
fn code_of(text: &str) -> &str {
    let is_code = |code: &str| code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    match text.split_at_checked(5) {
        Some((code, rest)) if rest.starts_with(' ') && is_code(code) => code,
        _ => "",
    }
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
    let text = info.message();
    match kind {
        DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection => {
            StorageError::Unavailable(boxed(text))
        }
        _ => told(text, info.constraint_name()),
    }
}

fn told(text: &str, constraint: Option<&str>) -> StorageError {
    match meaning(code_of(text), text) {
        Meaning::Lost => StorageError::Unavailable(boxed(text)),
        Meaning::Stale => StorageError::StaleSchema(boxed(text)),
        Meaning::Duplicate => duplicate(constraint),
        Meaning::Conflict => StorageError::Conflict(boxed(text)),
        Meaning::Timeout => StorageError::Timeout,
        Meaning::Mistake(code, message) => {
            tracing::debug!(error = text, "the database refused a request: {text}");
            StorageError::Refused(Error::parse(code, message))
        }
        Meaning::Replan | Meaning::Exists | Meaning::Fault => StorageError::Other(boxed(text)),
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

fn source_code(error: &StorageError) -> &str {
    match error {
        StorageError::Other(source) | StorageError::StaleSchema(source) => {
            source.downcast_ref::<DatabaseError>().map_or("", DatabaseError::code)
        }
        _ => "",
    }
}

/// A prepared plan met a changed table: the statement did nothing, and works on a fresh plan.
pub fn is_stale_plan(error: &StorageError) -> bool {
    matches!(error, StorageError::Other(source)
        if meaning(source_code(error), &source.to_string()) == Meaning::Replan)
}

/// The whole table is missing, as system classes' tables are until first use.
pub fn is_missing_table(error: &StorageError) -> bool {
    matches!(error, StorageError::StaleSchema(_)) && source_code(error) == UNDEFINED_TABLE
}

/// The object is there already (two servers created it at the same moment).
pub fn is_already_there(error: &StorageError) -> bool {
    matches!(error, StorageError::Duplicate { .. }) || meaning(source_code(error), "") == Meaning::Exists
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

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
    fn codes_tell_errors_apart_in_any_language() {
        let missing = told("42P01 Relation »X« existiert nicht", None);
        assert!(is_missing_table(&missing) && !is_stale_plan(&missing));
        let column = told("42703 column t0.x does not exist", None);
        assert!(matches!(column, StorageError::StaleSchema(_)) && !is_missing_table(&column));
        assert!(is_stale_plan(&told("0A000 cached plan must not change result type", None)));
        assert!(matches!(told("57014 canceling statement", None), StorageError::Timeout));
        assert!(matches!(told("55P03 canceling statement", None), StorageError::Conflict(_)));
        assert!(is_already_there(&told("42P07 …", None)) && is_already_there(&told("23505 …", None)));
        let pattern = told("2201B ungültiger regulärer Ausdruck", None);
        assert!(matches!(pattern, StorageError::Refused(error) if error.is(ErrorCode::INVALID_QUERY)));
        // Not the server's words.
        for text in ["connection closed", "", "ABC", "12345", "äöü x"] {
            assert_eq!(code_of(text), "");
            assert!(matches!(told(text, None), StorageError::Other(_)));
        }
    }
}

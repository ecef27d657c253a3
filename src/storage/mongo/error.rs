//! What the driver and the server say when something fails, as the failures of storage.

use bson::Document;
use mongodb::error::{
    Error as DriverError, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT,
    WriteFailure,
};

use crate::error::{BoxError, Error, ErrorCode};
use crate::storage::StorageError;

pub fn boxed(text: impl Into<String>) -> BoxError {
    text.into().into()
}

/// A class or column that is not there.
pub fn stale(text: impl Into<String>) -> StorageError {
    StorageError::StaleSchema(boxed(text))
}

pub fn refused(error: Error) -> StorageError {
    StorageError::Refused(error)
}

fn too_large() -> StorageError {
    refused(Error::parse(ErrorCode::OBJECT_TOO_LARGE, "The object is too large."))
}

/// A unique index refused it.
const DUPLICATE: &[i32] = &[11000, 11001, 12582];
/// The operation took longer than it may.
const TOO_LONG: &[i32] = &[50, 262];
/// Nobody writes right now, or the server is on its way down or up.
const AWAY: &[i32] = &[6, 7, 89, 91, 134, 189, 9001, 10058, 10107, 11600, 11602, 13435, 13436];
/// A document beyond 16 MB, before or after an update.
const TOO_LARGE: &[i32] = &[10334, 17419, 17420, 17280];
/// How the driver begins when it does not even send such a document.
const NOT_SENT: &str = "insert document must be within";
/// Values or paths that do not go together with what is stored.
const UNFIT: &[i32] = &[2, 9, 14, 15, 16, 22, 28, 40, 52, 54, 55, 56, 57, 16755, 16804, 16837, 17261, 17262];
/// Another transaction wrote the same.
const CONFLICT: i32 = 112;
pub const NAMESPACE_NOT_FOUND: i32 = 26;
pub const INDEX_NOT_FOUND: i32 = 27;
/// An index of that name or that key is there with other options.
pub const INDEX_DIFFERS: &[i32] = &[85, 86];
/// `$near` without an index, in its old and its new numbers.
const NO_GEO_INDEX: &[i32] = &[291, 17007, 13038];
const NO_TEXT_INDEX: i32 = 27;

/// Code and text of what the server said.
pub fn said(error: &DriverError) -> Option<(i32, &str)> {
    Some(match error.kind.as_ref() {
        ErrorKind::Command(error) => (error.code, &error.message),
        ErrorKind::Write(WriteFailure::WriteError(error)) => (error.code, &error.message),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => (error.code, &error.message),
        ErrorKind::InsertMany(errors) => {
            let first = errors.write_errors.as_ref()?.first()?;
            (first.code, &first.message)
        }
        _ => return None,
    })
}

pub fn code(error: &DriverError) -> Option<i32> {
    said(error).map(|(code, _)| code)
}

/// Whether a find was refused because its `$near` has no index.
pub fn wants_geo_index(error: &DriverError) -> bool {
    said(error).is_some_and(|(code, text)| {
        NO_GEO_INDEX.contains(&code) || text.contains("unable to find index for $geoNear")
    })
}

pub fn wants_text_index(error: &DriverError) -> bool {
    said(error).is_some_and(|(code, text)| code == NO_TEXT_INDEX && text.contains("text index required"))
}

pub fn is_unknown_commit(error: &DriverError) -> bool {
    error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT)
}

pub fn is_transient(error: &DriverError) -> bool {
    error.contains_label(TRANSIENT_TRANSACTION_ERROR)
}

impl From<DriverError> for StorageError {
    fn from(error: DriverError) -> Self {
        if let Some((code, text)) = said(&error) {
            return of_server(code, text, &error);
        }
        if is_transient(&error) {
            return Self::Conflict(Box::new(error));
        }
        match error.kind.as_ref() {
            _ if super::is_too_long(&error) => Self::Timeout,
            ErrorKind::Io(_)
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::Shutdown => Self::Unavailable(Box::new(error)),
            ErrorKind::InvalidArgument { message, .. } if message.starts_with(NOT_SENT) => too_large(),
            ErrorKind::BsonSerialization(_) | ErrorKind::Bson(_) => {
                Self::Refused(Error::invalid_json("The object cannot be stored"))
            }
            _ => Self::Other(Box::new(error)),
        }
    }
}

fn of_server(code: i32, text: &str, error: &DriverError) -> StorageError {
    if DUPLICATE.contains(&code) {
        return duplicate(key_of(text).unwrap_or_default(), index_of(text).unwrap_or_default());
    }
    let why = || Box::new(error.clone());
    if code == CONFLICT || is_transient(error) {
        return StorageError::Conflict(why());
    }
    if TOO_LONG.contains(&code) {
        return StorageError::Timeout;
    }
    if AWAY.contains(&code) {
        return StorageError::Unavailable(why());
    }
    if TOO_LARGE.contains(&code) {
        return too_large();
    }
    if UNFIT.contains(&code) {
        tracing::debug!(code, text, "the database refuses a value");
        let text = "schema mismatch: what is stored is of another type than the operation needs";
        return refused(Error::parse(ErrorCode::INCORRECT_TYPE, text));
    }
    StorageError::Other(why())
}

/// `E11000 duplicate key error collection: db.C index: NAME dup key: …`.
fn index_of(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("index: ")?;
    let name = rest.split_whitespace().next()?;
    // Old servers put the collection in front.
    Some(name.rsplit_once(".$").map_or(name, |(_, name)| name))
}

/// The first key of the pattern in `… dup key: { name: value, … }`; old servers leave the names out.
fn key_of(text: &str) -> Option<&str> {
    let (_, pattern) = text.split_once("dup key: {")?;
    let (key, _) = pattern.split_once(':')?;
    let key = key.trim().trim_matches('"');
    (!key.is_empty() && !key.contains(['{', '}', ',', ' '])).then_some(key)
}

/// Whatever the index is called, its key names the field.
fn duplicate(key: &str, index: &str) -> StorageError {
    let by_key = key.strip_prefix("_auth_data_").and_then(|rest| rest.strip_suffix(".id"));
    let by_index = || index.strip_prefix("_auth_data_").and_then(|rest| rest.strip_suffix("_id"));
    if let Some(provider) = by_key.or_else(by_index) {
        let provider = Some(provider.to_owned());
        return StorageError::Duplicate { field: Some("authData".to_owned()), provider };
    }
    let field = match (key, index) {
        ("", "") => None,
        ("_id", _) | ("", "_id_") => Some("objectId"),
        ("", name) => {
            let bare = name.strip_prefix("case_insensitive_").unwrap_or(name);
            Some(bare.strip_suffix("_1").or_else(|| bare.strip_suffix("_-1")).unwrap_or(bare))
        }
        (key, _) => Some(key.strip_prefix("_p_").unwrap_or(key)),
    };
    StorageError::Duplicate { field: field.map(str::to_owned), provider: None }
}

/// The first error of a reply to a command that writes: such replies are no errors to the driver.
///
/// # Errors
/// That error.
pub fn check_reply(reply: &Document) -> Result<(), StorageError> {
    let first = reply.get_array("writeErrors").ok().and_then(|errors| errors.first()?.as_document());
    let Some(first) = first else { return Ok(()) };
    let text = first.get_str("errmsg").unwrap_or_default();
    let code = first.get_i32("code").unwrap_or_default();
    Err(of_server(code, text, &DriverError::custom(format!("{code}: {text}"))))
}

/// Reads: what a query cannot be is the query's fault.
pub fn of_query(error: DriverError) -> StorageError {
    match said(&error) {
        Some((code, text)) if !AWAY.contains(&code) && !TOO_LONG.contains(&code) && code != CONFLICT => {
            // Codes that tell of the server or of rights on it.
            if matches!(code, 13 | 18 | 43 | 237 | 246) {
                return StorageError::Other(Box::new(error));
            }
            refused(Error::invalid_query(text.to_owned()))
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_name_their_field() {
        let field = |text: &str| match duplicate(
            key_of(text).unwrap_or_default(),
            index_of(text).unwrap_or_default(),
        ) {
            StorageError::Duplicate { field, provider } => (field, provider),
            other => panic!("{other}"),
        };
        // As servers spoke before 4.2, and since.
        let text = |index: &str| {
            format!("E11000 duplicate key error collection: d._User index: {index} dup key: {{ : \"x: 1\" }}")
        };
        let named = |key: &str| {
            format!(
                "E11000 duplicate key error collection: d._User index: any name dup key: {{ {key}: \"x\" }}"
            )
        };
        assert_eq!(field(&named("username")), (Some("username".into()), None));
        assert_eq!(field(&named("_p_owner")), (Some("owner".into()), None));
        assert_eq!(field(&named("_id")), (Some("objectId".into()), None));
        let linked = field(&named("_auth_data_my_own.id"));
        assert_eq!(linked, (Some("authData".into()), Some("my_own".into())));
        assert_eq!(field(&text("username_1")), (Some("username".into()), None));
        assert_eq!(field(&text("case_insensitive_email")), (Some("email".into()), None));
        assert_eq!(field(&text("_id_")), (Some("objectId".into()), None));
        assert_eq!(field(&text("d._User.$email_1")), (Some("email".into()), None));
        let linked = field(&text("_auth_data_my_own_id"));
        assert_eq!(linked, (Some("authData".into()), Some("my_own".into())));
        assert_eq!(field("something else"), (None, None));
    }
}

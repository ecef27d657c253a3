//! Files set aside: what `files gc` does to a file before it removes it, and the way back.
//!
//! A file set aside has another name in the same store, [`PREFIX`] and its own one. It is not served and not
//! part of listings of files; when it was set aside is its time of modification. Asking for it brings it back.

use super::{FileResult, FileStore};

/// No upload can have a name that begins so, since none begins with a dot.
pub const PREFIX: &str = ".unused/";

/// The name of a file while it is set aside.
pub fn aside(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The file's own name, of a name that means it is set aside.
pub fn original(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)
}

/// Sets a file aside.
///
/// # Errors
/// What the store says; `Unsupported` where it cannot.
pub async fn set(store: &dyn FileStore, name: &str) -> FileResult<()> {
    store.rename(name, &aside(name)).await
}

/// Brings a file back.
///
/// # Errors
/// What the store says: `NotFound` for one that is not set aside.
pub async fn restore(store: &dyn FileStore, name: &str) -> FileResult<()> {
    store.rename(&aside(name), name).await
}

/// Brings a file back that somebody asks for. Whether there was one.
pub async fn comes_back(store: &dyn FileStore, name: &str) -> bool {
    if original(name).is_some() {
        return false;
    }
    let back = restore(store, name).await.is_ok();
    if back {
        tracing::warn!(file = name, "a file that was set aside as unused was asked for: it is back");
    }
    back
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_there_and_back() {
        assert_eq!(original(&aside("d/a.txt")), Some("d/a.txt"));
        assert_eq!(original("d/.unused/a.txt"), None);
        // Neither a client nor a directory can spell it.
        assert!(crate::files::name::validate(&aside("a.txt")).is_err());
        assert!(crate::files::name::validate_directory(".unused").is_err());
        assert!(crate::files::name::check_stored(&aside("a.txt")).is_ok());
    }
}

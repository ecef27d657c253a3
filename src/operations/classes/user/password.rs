//! Password hashes: bcrypt, always off the async threads.

use std::sync::LazyLock;

use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// As parse-server.
const COST: u32 = if cfg!(test) { 4 } else { 10 };
/// Compared with when there is no user or no password, so that both cases take equally long. The
/// hash of nothing anybody can send: its salt and digest were drawn at random.
const NOBODY: &str = "$2b$10$pMGlP17350r4RXi9z72vNed7Ien.MvU5TadGCiqM22bS8T2Y7i55W";

/// # Errors
/// `Internal` when hashing fails; NUL bytes and length are bcrypt's: only 72 bytes count.
pub async fn hash(password: String) -> Result<String> {
    off_thread(move || bcrypt::hash(password, COST)).await?.map_err(Error::internal)
}

/// Whether the password fits the hash; no for a hash that is none.
///
/// # Errors
/// `Internal` when the thread pool is gone.
pub async fn matches(password: String, hash: String) -> Result<bool> {
    off_thread(move || bcrypt::verify(password, &hash).unwrap_or(false)).await
}

/// Takes as long as [`matches`] and says no.
///
/// # Errors
/// As [`matches`].
pub async fn match_nobody(password: String) -> Result<bool> {
    matches(password, NOBODY.to_owned()).await?;
    Ok(false)
}

/// Comparisons at the same time: more than there are processors would only take them from requests
/// that need no password.
static LANES: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(2, std::num::NonZero::get)));

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let _lane = LANES.acquire().await.map_err(Error::internal)?;
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hashes_match_their_password_only() {
        let hashed = hash("secret".to_owned()).await.expect("hash");
        assert!(hashed.starts_with("$2b$"));
        assert!(matches("secret".to_owned(), hashed.clone()).await.expect("compare"));
        assert!(!matches("Secret".to_owned(), hashed).await.expect("compare"));
        assert!(!matches("x".to_owned(), "no hash".to_owned()).await.expect("compare"));
    }

    #[test]
    fn nobody_is_a_real_hash() {
        // A malformed one would be refused at once and tell unknown users by their speed.
        assert!(bcrypt::verify("x", NOBODY).is_ok());
    }
}

//! Attempts to log in to the dashboard, counted for all people together: a process that knows no limit stands behind.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Within [`WINDOW`].
const MOST_ATTEMPTS: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);

/// Those of this minute.
#[derive(Default)]
pub struct Attempts(Mutex<Option<(Instant, u32)>>);

impl Attempts {
    /// # Errors
    /// 429 when there were too many.
    pub fn admit(&self) -> Result<()> {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) =
            attempts.filter(|(since, _)| since.elapsed() < WINDOW).unwrap_or((Instant::now(), 0));
        *attempts = Some((since, count + 1));
        if count < MOST_ATTEMPTS { Ok(()) } else { Err(Error::http(429, "Too many attempts to log in.")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_ins_are_counted() {
        let attempts = Attempts::default();
        assert!((0..MOST_ATTEMPTS).all(|_| attempts.admit().is_ok()));
        assert_eq!(attempts.admit().expect_err("one too many").status(), 429);
    }
}

//! Where public keys of OpenID providers are kept: one set for each URL, and who fetches it when. `openid::keys` fills
//! and reads it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey};

/// A key that signatures are checked with.
pub struct Key {
    pub id: Option<String>,
    pub algorithms: Vec<Algorithm>,
    pub key: DecodingKey,
}

/// What a provider published.
pub struct Set {
    pub keys: Vec<Arc<Key>>,
    pub fresh_until: DateTime<Utc>,
}

impl Set {
    /// The key of this id; without an id the only key there is.
    pub fn find(&self, id: Option<&str>) -> Option<Arc<Key>> {
        match id {
            Some(id) => self.keys.iter().find(|key| key.id.as_deref() == Some(id)).cloned(),
            None if self.keys.len() == 1 => self.keys.first().cloned(),
            None => None,
        }
    }
}

/// One URL.
#[derive(Default)]
pub struct Source {
    set: Mutex<Option<Arc<Set>>>,
    /// Held by who fetches.
    pub fetching: tokio::sync::Mutex<History>,
}

/// What is known of earlier fetches.
#[derive(Default)]
pub struct History {
    /// When the last fetch ended, whatever came of it.
    pub ended: Option<Instant>,
    pub failed_at: Option<DateTime<Utc>>,
    /// When an unknown key id last led to a fetch.
    pub unknown_at: Option<DateTime<Utc>>,
}

impl Source {
    pub fn set(&self) -> Option<Arc<Set>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn replace(&self, set: Set) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(set));
    }
}

/// Key sets by their URL. URLs come from our source or from the operator, so there are few.
#[derive(Default)]
pub struct Keys(Mutex<HashMap<String, Arc<Source>>>);

impl Keys {
    pub fn source(&self, url: &str) -> Arc<Source> {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sources.get(url) {
            return known.clone();
        }
        sources.entry(url.to_owned()).or_default().clone()
    }
}

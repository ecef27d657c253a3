//! What clients carry for the server and must neither read nor change: cursors of finds, ids from which live
//! queries resume. One facility, so that there is one place where a value may leave without the masking of
//! [`crate::operations::object::read::encode`]: sealed.
//!
//! A text is `base64url(salt ‖ nonce ‖ AES-256-GCM)`. The key is the application's, derived from its master key,
//! so equal servers open each other's seals. A purpose belongs to the key: what was sealed as a cursor opens
//! as nothing else. Each text has a key of its own (HMAC of the salt), so that random nonces never meet.

use std::fmt;

use aes_gcm::aead::Aead;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use rand::Rng;
use sha2::Sha256;

use crate::config::AppConfig;

const SALT_LEN: usize = 16;
const NONCE_LEN: usize = 12;
/// Texts beyond this are not looked at.
const MAX_TEXT: usize = 64 * 1024;

/// Seals and opens for one application. Printing it shows nothing.
pub struct Seal {
    root: Hmac<Sha256>,
    app_id: String,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    /// From the master key; where that is a function of the application, from the maintenance key, and where
    /// there is none, from chance: then seals end with the process.
    pub fn new(config: &AppConfig) -> Self {
        let keys = &config.keys;
        match keys.master_key.value().or(keys.maintenance_key.as_ref()) {
            Some(key) => Self::from_secret(key.expose().as_bytes(), &config.app_id),
            None => {
                let mut chance = [0; 32];
                rand::rng().fill_bytes(&mut chance);
                Self::from_secret(&chance, &config.app_id)
            }
        }
    }

    fn from_secret(secret: &[u8], app_id: &str) -> Self {
        Self { root: keyed(secret), app_id: app_id.to_owned() }
    }

    /// An opaque text that [`Self::open`] of the same purpose turns back.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> String {
        let (mut salt, mut nonce) = ([0; SALT_LEN], [0; NONCE_LEN]);
        rand::rng().fill_bytes(&mut salt);
        rand::rng().fill_bytes(&mut nonce);
        // Encryption fails for messages of gigabytes only; what cannot be sealed opens as nothing.
        let sealed = self.cipher(purpose, &salt).encrypt(&Nonce::from(nonce), plain).unwrap_or_default();
        let mut bytes = Vec::with_capacity(SALT_LEN + NONCE_LEN + sealed.len());
        bytes.extend_from_slice(&salt);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What was sealed for this purpose by this application; `None` for anything else.
    pub fn open(&self, purpose: &str, text: &str) -> Option<Vec<u8>> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (salt, rest) = bytes.split_at_checked(SALT_LEN)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        self.cipher(purpose, salt).decrypt(&Nonce::from(*nonce), sealed).ok()
    }

    fn cipher(&self, purpose: &str, salt: &[u8]) -> Aes256Gcm {
        let mut mac = self.root.clone();
        // The length goes before each part, so that no two lists of parts read alike.
        for part in [b"parsimony seal", self.app_id.as_bytes(), purpose.as_bytes(), salt] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Aes256Gcm::new(&mac.finalize().into_bytes())
    }
}

fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    match <Hmac<Sha256> as KeyInit>::new_from_slice(secret) {
        Ok(key) => key,
        // HMAC takes keys of any length.
        Err(_) => <Hmac<Sha256> as KeyInit>::new(&Default::default()),
    }
}

/// For login providers.
impl crate::auth::env::Sealing for Seal {
    fn seal(&self, purpose: &str, plain: &[u8]) -> String {
        Self::seal(self, purpose, plain)
    }

    fn open(&self, purpose: &str, text: &str) -> Option<Vec<u8>> {
        Self::open(self, purpose, text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seal() -> Seal {
        Seal::from_secret(b"a master key", "app")
    }

    #[test]
    fn opens_for_its_purpose_and_application_only() {
        let text = seal().seal("cursor", b"a secret of some length");
        assert_eq!(seal().open("cursor", &text).as_deref(), Some(&b"a secret of some length"[..]));
        assert_eq!(seal().open("resume", &text), None);
        assert_eq!(Seal::from_secret(b"a master key", "other").open("cursor", &text), None);
        assert_eq!(Seal::from_secret(b"another key", "app").open("cursor", &text), None);
        assert_ne!(seal().seal("cursor", b"x"), seal().seal("cursor", b"x"));
        assert_eq!(format!("{:?}", seal()), "Seal(…)");
    }

    #[test]
    fn nothing_else_opens() {
        for text in ["", "A", "nonsense!", &"A".repeat(37), &"A".repeat(80), &"A".repeat(MAX_TEXT + 1)] {
            assert_eq!(seal().open("cursor", text), None, "{} characters", text.len());
        }
    }

    proptest! {
        #[test]
        fn round_trips_show_nothing_and_bear_no_change(
            plain in proptest::collection::vec(any::<u8>(), 0..200),
            at in any::<proptest::sample::Index>(),
            flip in 1_u8..,
        ) {
            let text = seal().seal("cursor", &plain);
            prop_assert_eq!(seal().open("cursor", &text), Some(plain.clone()));
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap_or_default();
            prop_assert!(plain.len() < 8 || !bytes.windows(plain.len()).any(|window| window == plain));
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert_eq!(seal().open("cursor", &URL_SAFE_NO_PAD.encode(bytes)), None);
        }
    }
}

//! Private files: readable only by an address that is signed and expires.
//!
//! A file is private by its name: the last segment begins with [`MARK`], put there when it was uploaded as
//! private, so nothing has to be looked up. Addresses are handed out with the objects that refer to the
//! file, to those who may read these. parse-server has nothing like it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

use super::{Mount, server_location};
use crate::error::{Error, ErrorCode, Result};

/// What names of private files begin with, after their directory.
pub const MARK: &str = "private-";
/// Addresses stay the same for this part of their life, so that they can be cached.
const STEPS: u64 = 4;

/// Whether a stored name is that of a private file.
pub fn is_private(name: &str) -> bool {
    name.rsplit('/').next().unwrap_or(name).starts_with(MARK)
}

/// Makes a stored name that of a private file.
pub fn marked(name: &str) -> String {
    if is_private(name) {
        return name.to_owned();
    }
    match name.rsplit_once('/') {
        Some((directory, last)) => format!("{directory}/{MARK}{last}"),
        None => format!("{MARK}{name}"),
    }
}

/// Signs and checks the addresses of one application's private files.
pub struct Signer {
    key: Hmac<Sha256>,
    app_id: String,
    lifetime: u64,
}

impl Signer {
    pub fn new(secret: &str, app_id: &str, lifetime: Duration) -> Self {
        let key = match Hmac::new_from_slice(secret.as_bytes()) {
            Ok(key) => key,
            // HMAC takes keys of any length.
            Err(_) => Hmac::new(&Default::default()),
        };
        Self { key, app_id: app_id.to_owned(), lifetime: lifetime.as_secs().max(STEPS) }
    }

    fn mac(&self, name: &str, expires: &str) -> Hmac<Sha256> {
        let mut mac = self.key.clone();
        // A zero byte is in none of the parts.
        for part in ["parsimony private file", &self.app_id, name, expires] {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        mac
    }

    /// An address that works for three quarters of the lifetime at least, for all of it at most.
    pub fn url(&self, server: &str, name: &str) -> String {
        self.url_at(server, name, now())
    }

    fn url_at(&self, server: &str, name: &str, now: u64) -> String {
        let step = self.lifetime / STEPS;
        let expires = (now / step * step + self.lifetime).to_string();
        let signature = BASE64.encode(self.mac(name, &expires).finalize().into_bytes());
        let address = server_location(Mount { server, app_id: &self.app_id }, name);
        format!("{address}?expires={expires}&signature={signature}")
    }

    /// Checks the query of an address for a private file; how many seconds it is good for.
    ///
    /// # Errors
    /// 119.
    pub fn check(&self, name: &str, query: &str) -> Result<u64> {
        self.check_at(name, query, now())
    }

    fn check_at(&self, name: &str, query: &str, now: u64) -> Result<u64> {
        let (mut expires, mut signature) = (None, None);
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "expires" => expires = Some(value),
                "signature" => signature = BASE64.decode(&*value).ok(),
                _ => {}
            }
        }
        let (Some(expires), Some(signature)) = (expires, signature) else { return Err(refused()) };
        // In constant time, and before anything is said about the time.
        self.mac(name, &expires).verify_slice(&signature).map_err(|_| refused())?;
        let left = expires.parse::<u64>().ok().and_then(|expires| expires.checked_sub(now));
        left.filter(|left| *left > 0).ok_or_else(|| {
            Error::parse(ErrorCode::OPERATION_FORBIDDEN, "The address of this file has expired.")
        })
    }

    /// Holds what a client writes against its knowledge: private files may be referred to only by
    /// addresses that are valid now. Else a name alone would be enough to be given an address.
    ///
    /// # Errors
    /// 119.
    pub fn check_references(&self, data: &Map<String, Value>) -> Result<()> {
        let mut open: Vec<&Value> = data.values().collect();
        while let Some(value) = open.pop() {
            match value {
                Value::Array(items) => open.extend(items),
                Value::Object(map) => {
                    if let Some(name) = private_name(map) {
                        let url = map.get("url").and_then(Value::as_str).unwrap_or_default();
                        self.check(name, url.split_once('?').map_or("", |(_, query)| query))?;
                    }
                    open.extend(map.values());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives every private file in a value a fresh address.
    pub fn refresh(&self, server: &str, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.refresh(server, item)),
            Value::Object(map) => {
                if let Some(url) = private_name(map).map(|name| self.url(server, name)) {
                    map.insert("url".to_owned(), url.into());
                } else {
                    map.values_mut().for_each(|value| self.refresh(server, value));
                }
            }
            _ => {}
        }
    }
}

fn private_name(map: &Map<String, Value>) -> Option<&str> {
    if map.get("__type")? != "File" {
        return None;
    }
    map.get("name")?.as_str().filter(|name| is_private(name))
}

fn refused() -> Error {
    Error::parse(ErrorCode::OPERATION_FORBIDDEN, "This file is private.")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn signer() -> Signer {
        Signer::new("a secret", "app", Duration::from_secs(400))
    }

    fn query(url: &str) -> &str {
        url.split_once('?').unwrap().1
    }

    #[test]
    fn names() {
        assert_eq!(marked("d/e/a.txt"), "d/e/private-a.txt");
        assert_eq!(marked("private-a.txt"), "private-a.txt");
        assert!(is_private("d/private-a.txt") && is_private("private-"));
        assert!(!is_private("private-d/a.txt") && !is_private("a_private-a.txt"));
    }

    #[test]
    fn addresses_expire_and_cannot_be_changed() {
        let signer = signer();
        let url = signer.url_at("http://h/parse", "private-a b.txt", 1050);
        assert!(
            url.starts_with("http://h/parse/files/app/private-a%20b.txt?expires=1400&signature="),
            "{url}"
        );
        // The same for a while.
        assert_eq!(signer.url_at("http://h/parse", "private-a b.txt", 1099), url);
        let check = |name: &str, query: &str, now| signer.check_at(name, query, now).ok();
        assert_eq!(check("private-a b.txt", query(&url), 1399), Some(1));
        assert_eq!(check("private-a b.txt", query(&url), 1400), None);
        assert_eq!(check("private-a.txt", query(&url), 1050), None);
        for wrong in [
            "".to_owned(),
            "expires=1400".to_owned(),
            query(&url).replace("1400", "9400"),
            query(&url).replace("1400", "01400"),
            format!("{}A", query(&url)),
            query(&url).replace("signature=", "signature=A"),
            format!("{}&expires=99999", query(&url)),
        ] {
            assert_eq!(check("private-a b.txt", &wrong, 1050), None, "{wrong}");
        }
        let other = Signer::new("a secret", "other", Duration::from_secs(400));
        assert!(other.check_at("private-a b.txt", query(&url), 1050).is_err());
        let other = Signer::new("another", "app", Duration::from_secs(400));
        assert!(other.check_at("private-a b.txt", query(&url), 1050).is_err());
    }

    #[test]
    fn references_need_an_address() {
        let signer = signer();
        let with = |url: Value| {
            let file = json!({"__type": "File", "name": "private-a", "url": url});
            json!({"a": {"b": [file]}}).as_object().cloned().unwrap()
        };
        assert!(signer.check_references(&with(signer.url("http://h", "private-a").into())).is_ok());
        assert!(signer.check_references(&with(Value::Null)).is_err());
        assert!(signer.check_references(&with("http://h/files/app/private-a".into())).is_err());
        assert!(signer.check_references(&with(signer.url("http://h", "private-b").into())).is_err());
        let mut value = Value::Object(with("old".into()));
        signer.refresh("http://h", &mut value);
        assert!(signer.check_references(value.as_object().unwrap()).is_ok());
    }
}

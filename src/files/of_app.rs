//! What one application has of files: its store, what may be uploaded, where clients find a file, and who signs
//! the addresses of private ones.
//!
//! Made by `server`; used by the operations on files and by whoever writes a file's address into an answer.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::private::{self, Signer};
use super::rules::ExtensionFilter;
use super::{FileStore, Mount};
use crate::config::AppConfig;
use crate::error::{Error, Result};
use crate::types::percent::encode_component;

/// Where clients find a stored file.
pub trait FileUrls: Send + Sync {
    /// `base` is the public base URL of the API, without a trailing slash.
    fn url(&self, base: &str, name: &str) -> String;

    /// Whether addresses run out, so that those kept inside of objects have to be renewed.
    fn refreshes(&self) -> bool {
        false
    }

    /// Renews the addresses of files in a value.
    fn refresh(&self, _base: &str, _value: &mut Value) {}
}

/// What an application has of files.
pub struct Files {
    store: Arc<dyn FileStore>,
    /// Which files clients may upload.
    pub filter: ExtensionFilter,
    app_id: String,
    /// Option `fileKey`: where files of the former Parse.com lie.
    legacy_key: Option<String>,
    /// Addresses take waiting for.
    asks: bool,
    private: Option<Signer>,
    all_private: bool,
}

impl Files {
    /// # Errors
    /// A pattern of `fileUpload.fileExtensions` that is no regular expression.
    pub fn new(store: Arc<dyn FileStore>, config: &AppConfig) -> std::result::Result<Self, String> {
        // The configuration spells "everything" as a pattern.
        let source = |text: &str| if text == ".*" { "*".to_owned() } else { text.to_owned() };
        let patterns: Vec<String> =
            config.files.upload.file_extensions.iter().map(|pattern| source(pattern.source())).collect();
        let legacy_key = config.files.file_key.as_ref().map(|key| key.expose().clone());
        let private = config.files.private.as_ref();
        let probe = store.location(Mount { server: "server:", app_id: "" }, "a");
        if private.is_some() && !probe.starts_with("server:") {
            return Err("privateFiles and directAccess exclude each other.".to_owned());
        }
        let asks = store.locate(Mount { server: "", app_id: "" }, &[]).is_some();
        Ok(Self {
            store,
            asks,
            all_private: private.is_some_and(|private| private.all),
            private: private.map(|p| Signer::new(p.secret.expose(), &config.app_id, p.expires_after)),
            filter: ExtensionFilter::new(&patterns)?,
            app_id: config.app_id.clone(),
            legacy_key,
        })
    }

    pub fn store(&self) -> &dyn FileStore {
        &*self.store
    }

    /// Whether the store has to be asked where this file is.
    fn is_asked(&self, file: &str) -> bool {
        self.asks && self.legacy_url(file).is_none() && self.signer(file).is_none()
    }

    /// Who signs addresses, where there can be private files.
    pub fn private(&self) -> Option<&Signer> {
        self.private.as_ref()
    }

    /// Who signs the addresses of this file, if it is a private one.
    pub fn signer(&self, file: &str) -> Option<&Signer> {
        self.private.as_ref().filter(|_| private::is_private(file))
    }

    /// Whether there can be private files.
    pub fn keeps_private(&self) -> bool {
        self.private.is_some()
    }

    /// Whether a new file is to be private: all are, or its metadata says so.
    pub fn becomes_private(&self, metadata: &Map<String, Value>) -> bool {
        let said = metadata.get("private").is_some_and(|said| *said == true || *said == "true");
        self.private.is_some() && (self.all_private || said)
    }

    /// The address of one file, also where only the store can tell.
    ///
    /// # Errors
    /// What the application's adapter throws.
    pub async fn address(&self, base: &str, file: &str) -> Result<String> {
        if self.is_asked(file)
            && let Some(asked) = self.store.locate(self.mount(base), &[file.to_owned()])
        {
            let urls = asked.await.map_err(Error::internal)?;
            return Ok(urls.into_iter().next().unwrap_or_default());
        }
        Ok(self.url(base, file))
    }

    /// Whether some addresses take waiting for, and so have to be known before an answer is written.
    pub fn asks(&self) -> bool {
        self.asks
    }

    /// Asks for the addresses of those among these files whose addresses take waiting for; with them, all others
    /// are known as well. `None` when there are none such.
    ///
    /// # Errors
    /// What the application's adapter throws.
    pub async fn ask(
        self: &Arc<Self>,
        base: &str,
        files: BTreeSet<String>,
    ) -> Result<Option<Arc<dyn FileUrls>>> {
        let names: Vec<String> = files.into_iter().filter(|name| self.is_asked(name)).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let Some(asked) = self.store.locate(self.mount(base), &names) else { return Ok(None) };
        let urls = asked.await.map_err(Error::internal)?;
        Ok(Some(Arc::new(Asked { urls: names.into_iter().zip(urls).collect(), others: self.clone() })))
    }

    fn mount<'a>(&'a self, base: &'a str) -> Mount<'a> {
        Mount { server: base, app_id: &self.app_id }
    }

    fn legacy_url(&self, file: &str) -> Option<String> {
        let key = self.legacy_key.as_ref()?;
        let encoded = || encode_component(file);
        if file.starts_with("tfss-") {
            return Some(format!("http://files.parsetfss.com/{key}/{}", encoded()));
        }
        has_uuid_prefix(file).then(|| format!("http://files.parse.com/{key}/{}", encoded()))
    }
}

impl FileUrls for Files {
    fn url(&self, base: &str, file: &str) -> String {
        if let Some(signer) = self.signer(file) {
            return signer.url(base, file);
        }
        if let Some(url) = self.legacy_url(file) {
            return url;
        }
        self.store.location(self.mount(base), file)
    }

    fn refreshes(&self) -> bool {
        self.private.is_some()
    }

    fn refresh(&self, base: &str, value: &mut Value) {
        if let Some(signer) = &self.private {
            signer.refresh(base, value);
        }
    }
}

/// Addresses that the store was asked for; the rest as ever.
struct Asked {
    urls: HashMap<String, String>,
    others: Arc<dyn FileUrls>,
}

impl FileUrls for Asked {
    fn url(&self, base: &str, name: &str) -> String {
        self.urls.get(name).cloned().unwrap_or_else(|| self.others.url(base, name))
    }

    fn refreshes(&self) -> bool {
        self.others.refreshes()
    }

    fn refresh(&self, base: &str, value: &mut Value) {
        self.others.refresh(base, value);
    }
}

/// `8-4-4-4-12` hex digits and a dash.
fn has_uuid_prefix(file: &str) -> bool {
    let bytes = file.as_bytes();
    bytes.len() >= 37
        && bytes[..37].iter().enumerate().all(|(i, c)| match i {
            8 | 13 | 18 | 23 | 36 => *c == b'-',
            _ => c.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_names() {
        assert!(has_uuid_prefix("0123abcd-0123-0123-0123-0123456789AB-photo.png"));
        assert!(!has_uuid_prefix("0123abcd-0123-0123-0123-0123456789AB"));
        assert!(!has_uuid_prefix("0123abcx-0123-0123-0123-0123456789ab-photo.png"));
        assert!(!has_uuid_prefix("0123456789abcdef0123456789abcdef_photo.png"));
    }
}

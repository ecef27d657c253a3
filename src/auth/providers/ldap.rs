//! LDAP: a bind as the user, and on request a search for the group he has to be in. Names and filters are escaped
//! each by its own rule (RFC 4514, RFC 4515). The password is never stored.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, dn_escape, ldap_escape};
use regex::{NoExpand, Regex};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::auth::settings::Settings;
use crate::auth::{AuthProvider, AuthRequest, Step, Verdict, not_found};
use crate::error::{Error, ErrorCode, Result};
use crate::tls::TrustStore;

/// For a connection, and for each question.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections without work are kept for so long, and so many of them.
const IDLE: Duration = Duration::from_secs(60);
const MOST_IDLE: usize = 8;
/// Logins at a time: each has a connection to the directory. The next wait for so long, and are refused then.
const MOST_AT_ONCE: usize = 64;
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Longest user name and password.
const MAX_TEXT: usize = 1024;
/// LDAP's "invalid credentials".
const INVALID_CREDENTIALS: u32 = 49;

struct Group {
    name: String,
    filter: String,
    placeholder: Regex,
}

pub struct LdapProvider {
    url: String,
    connections: LdapConnSettings,
    suffix: String,
    name_template: Option<String>,
    group: Option<Group>,
    idle: Mutex<Vec<(Ldap, Instant)>>,
    places: Semaphore,
}

fn failure(text: &'static str) -> Error {
    Error::parse(ErrorCode::INTERNAL_SERVER_ERROR, text)
}

fn wrong() -> Error {
    not_found("LDAP: Wrong username or password")
}

/// # Errors
/// Without a URL and a suffix, or with TLS options that cannot be used.
pub fn ldap(settings: &Settings<'_>) -> Result<Arc<dyn AuthProvider>> {
    let missing = || failure("LDAP auth configuration missing");
    let text = |key: &str| settings.value(key).and_then(Value::as_str).map(str::to_owned);
    let (Some(url), Some(suffix)) = (text("url"), text("suffix")) else { return Err(missing()) };
    let tls_options = settings.object("tlsOptions");
    let is_tls = url.starts_with("ldaps://");
    if !(url.starts_with("ldap://") || is_tls && tls_options.is_some()) {
        return Err(missing());
    }
    url::Url::parse(&url).map_err(|_| missing())?;
    let option = |key: &str| tls_options.and_then(|options| options.get(key));
    let mut connections = LdapConnSettings::new()
        .set_conn_timeout(PATIENCE)
        .set_starttls(!is_tls && settings.is_on("startTls"));
    if is_tls || connections.starttls() {
        connections = connections.set_config(tls(option("ca"))?);
        if option("rejectUnauthorized") == Some(&Value::Bool(false)) {
            tracing::warn!(
                "auth.{}: tlsOptions.rejectUnauthorized is false: whoever answers in the directory's place learns passwords.",
                settings.name
            );
            connections = connections.set_no_tls_verify(true);
        }
    }
    let group = match (text("groupCn"), text("groupFilter")) {
        (Some(name), Some(filter)) => {
            let placeholder = Regex::new(r"(?i)\{\{id\}\}").map_err(Error::internal)?;
            Some(Group { name, filter, placeholder })
        }
        _ => None,
    };
    let name_template = text("dn");
    Ok(Arc::new(LdapProvider {
        url,
        connections,
        suffix,
        name_template,
        group,
        idle: Mutex::default(),
        places: Semaphore::new(MOST_AT_ONCE),
    }))
}

/// Trusts what the machine trusts, or the certificates of `tlsOptions.ca` alone.
fn tls(authorities: Option<&Value>) -> Result<Arc<ClientConfig>> {
    let texts: Vec<&str> = match authorities {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(Arc::new(TrustStore::system().client_config()?)),
    };
    let mut certificates = Vec::new();
    for text in texts {
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            certificates.push(certificate.map_err(|_| failure("LDAP auth configuration missing"))?);
        }
    }
    Ok(Arc::new(TrustStore::of(certificates).client_config()?))
}

/// What went wrong on the way to the directory or back.
fn told(error: &LdapError) -> Error {
    let code = match error {
        LdapError::Timeout { .. } => "ETIMEDOUT",
        LdapError::Io { source } => {
            let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            if matches!(inner, Some(rustls::Error::InvalidCertificate(_))) {
                return not_found("LDAPS: Certificate mismatch");
            }
            match source.kind() {
                std::io::ErrorKind::ConnectionRefused => "ECONNREFUSED",
                std::io::ErrorKind::TimedOut => "ETIMEDOUT",
                _ => "ECONNRESET",
            }
        }
        _ => "ECONNRESET",
    };
    not_found(format!("LDAP: Somthing went wrong ({code})"))
}

impl LdapProvider {
    fn idle(&self) -> Option<Ldap> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        while let Some((mut connection, _)) = idle.pop() {
            if !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, connection: Ldap) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push((connection, Instant::now()));
        }
    }

    async fn connect(&self) -> Result<Ldap> {
        let connected = LdapConnAsync::with_settings(self.connections.clone(), &self.url).await;
        let (connection, ldap) = connected.map_err(|error| {
            tracing::warn!(provider = "ldap", %error, "the directory cannot be reached: {error}");
            told(&error)
        })?;
        tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(provider = "ldap", %error, "a connection to the directory ended");
            }
        });
        Ok(ldap)
    }

    /// A connection that is this user's.
    async fn bound(&self, name: &str, password: &str) -> Result<Ldap> {
        // One that was kept may have been closed by the other side in the meantime: then another one is opened.
        if let Some(mut kept) = self.idle() {
            match kept.with_timeout(PATIENCE).simple_bind(name, password).await {
                Ok(answer) => return self.judged(kept, answer.rc),
                Err(LdapError::Timeout { elapsed }) => return Err(told(&LdapError::Timeout { elapsed })),
                Err(_) => {}
            }
        }
        let mut fresh = self.connect().await?;
        match fresh.with_timeout(PATIENCE).simple_bind(name, password).await {
            Ok(answer) => self.judged(fresh, answer.rc),
            Err(error) => Err(told(&error)),
        }
    }

    fn judged(&self, connection: Ldap, code: u32) -> Result<Ldap> {
        match code {
            0 => Ok(connection),
            INVALID_CREDENTIALS => {
                self.keep(connection);
                Err(wrong())
            }
            code => {
                self.keep(connection);
                Err(not_found(format!("LDAP: Somthing went wrong ({code})")))
            }
        }
    }

    async fn check_group(&self, connection: &mut Ldap, group: &Group, id: &str) -> Result<()> {
        let filter = group.placeholder.replace_all(&group.filter, NoExpand(&ldap_escape(id))).into_owned();
        let search = connection.with_timeout(PATIENCE);
        let found = search.search(&self.suffix, Scope::Subtree, &filter, vec!["cn"]).await;
        let found = found.and_then(ldap3::SearchResult::success).map_err(|error| {
            tracing::warn!(provider = "ldap", %error, "the search for a group failed: {error}");
            failure("LDAP group search failed")
        })?;
        let is_it = |entry: SearchEntry| {
            let names = entry.attrs.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("cn"));
            names.flat_map(|(_, values)| values).any(|value| value == group.name)
        };
        let entries = found.0.into_iter().filter(|entry| !entry.is_ref() && !entry.is_intermediate());
        if entries.map(SearchEntry::construct).any(is_it) {
            return Ok(());
        }
        Err(failure("LDAP: User not in group"))
    }
}

#[async_trait(?Send)]
impl AuthProvider for LdapProvider {
    async fn validate(&self, _: Step, data: &Value, _: &AuthRequest<'_>) -> Result<Verdict> {
        let part = |key: &str| {
            let text = data.get(key).and_then(Value::as_str);
            text.filter(|text| !text.is_empty() && text.len() <= MAX_TEXT).ok_or_else(wrong)
        };
        // A bind without a password proves nothing, and directories answer it with a success.
        let (id, password) = (part("id")?, part("password")?);
        let escaped = dn_escape(id);
        let name = match &self.name_template {
            Some(template) => template.replacen("{{id}}", &escaped, 1),
            None => format!("uid={escaped},{}", self.suffix),
        };
        let Ok(Ok(_place)) = tokio::time::timeout(LONGEST_WAIT, self.places.acquire()).await else {
            tracing::warn!(provider = "ldap", "the directory is asked too many questions at a time");
            return Err(not_found("LDAP: Somthing went wrong (EBUSY)"));
        };
        let mut connection = self.bound(&name, password).await?;
        let checked = match &self.group {
            Some(group) => self.check_group(&mut connection, group, id).await,
            None => Ok(()),
        };
        self.keep(connection);
        checked?;
        let mut kept = data.clone();
        if let Value::Object(kept) = &mut kept {
            kept.shift_remove("password");
        }
        Ok(Verdict::save(kept))
    }
}

//! Where the database is and how to talk to it: `databaseURI` with its parameters (those of
//! parse-server's PostgreSQL adapter), overridden by `databaseOptions`.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use super::error::boxed;
use crate::storage::{StorageError, StorageResult};

/// What [`crate::storage::postgres::PostgresAdapter::connect`] needs. Options that are `None` come from the URI, then
/// from the defaults.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    pub uri: String,
    /// Connections of the lanes together (`max`, `poolSize`, `maxPoolSize`); 10. Listening and
    /// schema changes use one more each, on demand.
    pub max: Option<u32>,
    /// How many threads serve requests: the lanes are split among them.
    pub workers: usize,
    /// Longest a statement may run; 30 s. Zero: no limit.
    pub statement_timeout: Option<Duration>,
    /// Longest an operation on objects may run, where that is less.
    pub max_time: Option<Duration>,
    /// What takes longer is logged.
    pub slow: Option<Duration>,
    /// Longest wait for a free connection; 5 s.
    pub acquire_timeout: Duration,
    /// `false` for poolers in transaction mode: nothing outlives a transaction.
    pub prepared_statements: bool,
    /// Streaming replicas that may answer finds with a read preference other than primary.
    pub read_uris: Vec<String>,
    /// A direct URI for LISTEN when `uri` goes through a pooler.
    pub listen_uri: Option<String>,
    pub app_name: Option<String>,
    /// Whether indexes that queries miss are built by the server itself.
    pub auto_index: bool,
}

impl PostgresOptions {
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            max: None,
            workers: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            statement_timeout: None,
            max_time: None,
            slow: None,
            acquire_timeout: Duration::from_secs(5),
            prepared_statements: true,
            read_uris: Vec::new(),
            listen_uri: None,
            app_name: None,
            auto_index: true,
        }
    }
}

/// How far TLS goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    #[default]
    Off,
    /// TLS when the server offers it.
    Prefer,
    Require,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsOptions {
    pub mode: TlsMode,
    /// `rejectUnauthorized=false` or `sslmode=no-verify`: any certificate will do.
    pub accept_any: bool,
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// A parsed URI.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedUri {
    /// Host name, address, or the folder of a Unix socket.
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<String>,
    pub database: String,
    pub tls: TlsOptions,
    pub app_name: Option<String>,
    pub max: Option<u32>,
    pub query_timeout: Option<Duration>,
    pub idle_timeout: Option<Duration>,
    pub keepalives: bool,
    /// Until a connection is open and has answered a first time.
    pub connect_timeout: Option<Duration>,
}

fn invalid(what: impl std::fmt::Display) -> StorageError {
    StorageError::Other(boxed(format!("databaseURI: {what}")))
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn flag(value: &str) -> bool {
    matches!(value, "" | "true" | "1" | "on" | "yes")
}

impl ParsedUri {
    /// Reads `postgres://user:password@host:port/database?parameters`. Unknown parameters are
    /// ignored, as parse-server does.
    ///
    /// # Errors
    /// Says what is wrong; never repeats the password.
    pub fn parse(uri: &str) -> StorageResult<Self> {
        // `user@/database` (socket by parameter) is no URL to the URL standard.
        let url = Url::parse(uri)
            .or_else(|_| Url::parse(&uri.replacen("@/", "@localhost/", 1)))
            .map_err(|error| invalid(error.to_string()))?;
        if !matches!(url.scheme(), "postgres" | "postgresql" | "postgis") {
            return Err(invalid(format!("unknown scheme {}", url.scheme())));
        }
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut target = Self {
            host: url.host_str().filter(|h| !h.is_empty()).map_or_else(|| "localhost".into(), decode),
            port: url.port().unwrap_or(5432),
            user: Some(decode(url.username()))
                .filter(|user| !user.is_empty())
                .or_else(|| environment("PGUSER"))
                .or_else(|| environment("USER"))
                .unwrap_or_else(|| "postgres".into()),
            password: url.password().map(decode).or_else(|| environment("PGPASSWORD")),
            database: decode(url.path().trim_start_matches('/')),
            tls: TlsOptions::default(),
            app_name: None,
            max: None,
            query_timeout: None,
            idle_timeout: None,
            keepalives: true,
            connect_timeout: None,
        };
        for (name, value) in url.query_pairs() {
            target.apply(&name, &value)?;
        }
        if target.host.starts_with('[') {
            target.host = target.host.trim_matches(['[', ']']).to_owned();
        }
        if target.database.is_empty() {
            target.database.clone_from(&target.user);
        }
        Ok(target)
    }

    fn apply(&mut self, name: &str, value: &str) -> StorageResult<()> {
        let number =
            || value.parse::<u64>().map_err(|_| invalid(format!("{name} must be a number, not {value}")));
        let millis = || number().map(|ms| (ms > 0).then(|| Duration::from_millis(ms)));
        let file = || (!value.is_empty()).then(|| PathBuf::from(value));
        match name {
            "host" if !value.is_empty() => value.clone_into(&mut self.host),
            "port" => self.port = value.parse().map_err(|_| invalid("port must be a number"))?,
            "user" if !value.is_empty() => value.clone_into(&mut self.user),
            "password" => self.password = Some(value.to_owned()),
            "dbname" | "database" | "db" if !value.is_empty() => value.clone_into(&mut self.database),
            "ssl" => self.tls.mode = if flag(value) { TlsMode::Require } else { TlsMode::Off },
            "sslmode" => match value {
                "disable" => self.tls.mode = TlsMode::Off,
                "allow" | "prefer" => self.tls.mode = TlsMode::Prefer,
                "no-verify" => {
                    self.tls.mode = TlsMode::Require;
                    self.tls.accept_any = true;
                }
                "require" | "verify-ca" | "verify-full" => self.tls.mode = TlsMode::Require,
                other => return Err(invalid(format!("unknown sslmode {other}"))),
            },
            "rejectUnauthorized" => self.tls.accept_any = !flag(value),
            "ca" | "sslrootcert" => self.tls.ca = file(),
            "cert" | "sslcert" => self.tls.cert = file(),
            "key" | "sslkey" => self.tls.key = file(),
            "pfx" => return Err(invalid("pfx is not supported: give cert and key as PEM files")),
            "passphrase" if !value.is_empty() => {
                return Err(invalid("passphrase is not supported: give key as an unencrypted PEM file"));
            }
            "application_name" => self.app_name = Some(value.to_owned()),
            "fallback_application_name" if self.app_name.is_none() => {
                self.app_name = Some(value.to_owned());
            }
            "max" | "poolSize" => self.max = u32::try_from(number()?).ok().filter(|n| *n > 0),
            "query_timeout" | "statement_timeout" => self.query_timeout = millis()?,
            "idleTimeoutMillis" => self.idle_timeout = millis()?,
            "connectionTimeoutMillis" => self.connect_timeout = millis()?,
            "connect_timeout" => {
                self.connect_timeout = Some(number()?).filter(|s| *s > 0).map(Duration::from_secs);
            }
            "keepAlive" => self.keepalives = flag(value),
            _ => {}
        }
        // A certificate named is a certificate wanted.
        if matches!(name, "ca" | "cert" | "key") && self.tls.mode == TlsMode::Off && !value.is_empty() {
            self.tls.mode = TlsMode::Require;
        }
        Ok(())
    }

    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str) -> ParsedUri {
        ParsedUri::parse(uri).unwrap_or_else(|error| panic!("{uri}: {error}"))
    }

    #[test]
    fn the_usual_form() {
        let target = parse(
            "postgres://us%40er:p%2Fw@db.example:6543/my%20db?max=7&application_name=x&query_timeout=250",
        );
        assert_eq!((target.user.as_str(), target.password.as_deref()), ("us@er", Some("p/w")));
        assert_eq!((target.host.as_str(), target.port), ("db.example", 6543));
        assert_eq!((target.database.as_str(), target.max), ("my db", Some(7)));
        assert_eq!(target.query_timeout, Some(Duration::from_millis(250)));
        assert_eq!(target.app_name.as_deref(), Some("x"));
        assert_eq!(target.tls.mode, TlsMode::Off);
    }

    #[test]
    fn sockets() {
        for uri in [
            "postgres://u@/d?host=/tmp/s",
            "postgres:///d?host=/tmp/s&user=u",
            "postgres://u@%2Ftmp%2Fs/d",
            "postgresql://u@localhost/d?host=/tmp/s",
        ] {
            let target = parse(uri);
            assert_eq!((target.host.as_str(), target.database.as_str()), ("/tmp/s", "d"), "{uri}");
            assert_eq!(target.user, "u", "{uri}");
            assert!(target.is_socket());
        }
        assert_eq!(parse("postgres://u@[::1]:1/d").host, "::1");
    }

    #[test]
    fn tls() {
        assert_eq!(parse("postgres://h/d?ssl=true").tls.mode, TlsMode::Require);
        assert_eq!(parse("postgres://h/d?sslmode=prefer").tls.mode, TlsMode::Prefer);
        let loose = parse("postgres://h/d?ssl=true&rejectUnauthorized=false").tls;
        assert!(loose.accept_any);
        assert!(parse("postgres://h/d?ca=/x.pem").tls.mode == TlsMode::Require);
        for refused in ["pfx=/a", "passphrase=x", "sslmode=odd", "max=many"] {
            assert!(ParsedUri::parse(&format!("postgres://h/d?{refused}")).is_err(), "{refused}");
        }
        assert!(ParsedUri::parse("mysql://h/d").is_err());
    }
}

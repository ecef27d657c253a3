//! Opens connections: tokio-postgres (no libpq) over TCP or a Unix socket, rustls where TLS is asked
//! for, session settings, then diesel-async on top. Called by the lanes, the listener and DDL.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::boxed;
use super::options::{Target, TlsMode, TlsOptions};
use crate::storage::{StorageError, StorageResult};

const DEFAULT_STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer that vanished is noticed after this and a few probes, not after the system's two hours.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether the server's messages are in English, which `error` reads.
const UNKNOWN: u8 = 0;
const ENGLISH: u8 = 1;
const FOREIGN: u8 = 2;

/// Makes connections to one database.
pub struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    statement_timeout: Duration,
    messages: AtomicU8,
    /// `false` behind a pooler in transaction mode, where a session's settings become others'.
    session_settings: bool,
}

impl Connector {
    /// # Errors
    /// Unreadable certificate or key files.
    pub fn new(
        target: &Target,
        app_name: &str,
        statement_timeout: Option<Duration>,
        most: Option<Duration>,
        session_settings: bool,
    ) -> StorageResult<Self> {
        let mut config = Config::new();
        config
            .user(&target.user)
            .dbname(&target.database)
            .port(target.port)
            .application_name(target.app_name.as_deref().unwrap_or(app_name))
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives(target.keepalives)
            .keepalives_idle(KEEPALIVE_IDLE);
        if let Some(password) = &target.password {
            config.password(password);
        }
        if target.is_socket() {
            config.host_path(&target.host);
        } else {
            config.host(&target.host);
        }
        let tls = if target.tls.mode == TlsMode::Off || target.is_socket() {
            config.ssl_mode(SslMode::Disable);
            None
        } else {
            let prefer = target.tls.mode == TlsMode::Prefer;
            config.ssl_mode(if prefer { SslMode::Prefer } else { SslMode::Require });
            Some(MakeRustlsConnect::new(tls_config(&target.tls)?))
        };
        let statement_timeout =
            statement_timeout.or(target.query_timeout).unwrap_or(DEFAULT_STATEMENT_TIMEOUT);
        let statement_timeout = match most {
            // Zero: no limit.
            Some(most) if statement_timeout.is_zero() || most < statement_timeout => most,
            _ => statement_timeout,
        };
        Ok(Self { config, tls, statement_timeout, messages: AtomicU8::new(UNKNOWN), session_settings })
    }

    /// `BEGIN`, and the statement timeout where the session does not have it.
    pub fn begin_text(&self) -> String {
        if self.session_settings {
            return "BEGIN".to_owned();
        }
        format!("BEGIN; SET LOCAL statement_timeout = {}", millis(self.statement_timeout))
    }

    /// A connection with `statement_timeout` set.
    ///
    /// # Errors
    /// `Unavailable` when the server cannot be reached or refuses us.
    pub async fn connect(&self) -> StorageResult<AsyncPgConnection> {
        self.connect_with(self.statement_timeout).await
    }

    /// As [`Connector::connect`] with another statement timeout; zero = none (index builds, LISTEN).
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn connect_with(&self, timeout: Duration) -> StorageResult<AsyncPgConnection> {
        let refused = |error: &dyn std::error::Error| StorageError::Unavailable(boxed(describe(error)));
        let wrapped = match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(|e| refused(&e))?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await.map_err(|e| refused(&e))?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
        };
        let mut conn = wrapped.map_err(|e| refused(&e))?;
        if !self.session_settings {
            return Ok(conn);
        }
        // Class tables are in `public`, as parse-server has it. The default path looks first into a schema
        // named after the user, and ours is named `parsimony`.
        // `parsimony.server` tells our writes from others' (migration `live_log`).
        let settings = format!(
            "SET search_path = public; SET parsimony.server = 'yes'; SET statement_timeout = {}; SET extra_float_digits = 3",
            millis(timeout)
        );
        conn.batch_execute(&settings).await?;
        self.speak_english(&mut conn).await?;
        Ok(conn)
    }

    /// Error kinds are told by English texts. Servers that speak another language are asked to
    /// change; only a superuser's (or granted) session may, so a refusal is lived with.
    async fn speak_english(&self, conn: &mut AsyncPgConnection) -> StorageResult<()> {
        if self.messages.load(Ordering::Relaxed) == UNKNOWN {
            let rows = super::sql::Sql::new("SELECT current_setting('lc_messages')").load(conn).await?;
            let language = rows.first().and_then(|row| {
                super::sql::with_bytes(row, 0, |bytes| String::from_utf8_lossy(bytes).into_owned())
            });
            let english = language.is_none_or(|name| {
                name.is_empty()
                    || name == "C"
                    || name == "POSIX"
                    || name.starts_with("en")
                    || name.starts_with("C.")
            });
            self.messages.store(if english { ENGLISH } else { FOREIGN }, Ordering::Relaxed);
        }
        if self.messages.load(Ordering::Relaxed) == FOREIGN
            && conn.batch_execute("SET lc_messages = 'C'").await.is_err()
        {
            tracing::debug!("the database keeps its own message language");
        }
        Ok(())
    }
}

/// As PostgreSQL takes it.
fn millis(timeout: Duration) -> u128 {
    timeout.as_millis().min(i32::MAX as u128)
}

/// tokio-postgres hides the interesting half in the source.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn tls_config(options: &TlsOptions) -> StorageResult<ClientConfig> {
    let unreadable = |what: &str, path: &std::path::Path, error: &dyn std::fmt::Display| {
        StorageError::Other(boxed(format!("databaseURI: {what} {}: {error}", path.display())))
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    if let Some(path) = &options.ca {
        let certificates =
            CertificateDer::pem_file_iter(path).map_err(|error| unreadable("ca", path, &error))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unreadable("ca", path, &error))?;
            roots.add(certificate).map_err(|error| unreadable("ca", path, &error))?;
        }
    } else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| StorageError::Other(Box::new(error)))?;
    let builder = if options.accept_any {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| StorageError::Other(Box::new(error)))?;
        builder.with_webpki_verifier(verifier)
    };
    match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => {
            let chain = CertificateDer::pem_file_iter(cert)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| unreadable("cert", cert, &error))?;
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("key", key, &error))?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| unreadable("cert", cert, &error))
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err(StorageError::Other(boxed("databaseURI: cert and key go together"))),
    }
}

/// `rejectUnauthorized=false`: the operator chose encryption without identity.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! Opens connections: tokio-postgres (no libpq) over TCP or a Unix socket, rustls where TLS is asked
//! for, session settings, then diesel-async on top. Called by the lanes, the listener and DDL.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::future::{Either, select};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::UnixStream;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{CancelToken, Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::boxed;
use super::options::{ParsedUri, TlsMode, TlsOptions};
use super::reach::Reach;
use super::wire::{EncryptedConnect, Marked, OpenConnect};
use crate::storage::{StorageError, StorageResult};
use crate::tls::TrustStore;

const DEFAULT_STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer that vanished is noticed after this and a few probes, not after the system's two hours …
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
/// … and after this where something was sent to it, not after the system's quarter of an hour.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How the server is reached.
enum Link {
    Socket(PathBuf),
    Open,
    Encrypted(MakeRustlsConnect),
    /// Encrypted, or open where the server does not encrypt.
    Either(MakeRustlsConnect),
}

/// Makes connections to one database.
pub struct Connector {
    config: Config,
    link: Link,
    statement_timeout: Duration,
    /// `false` behind a pooler in transaction mode, where a session's settings become others'.
    session_settings: bool,
    /// Until a connection is open and has answered a first time.
    deadline: Duration,
    /// What the last short question took.
    trip_micros: AtomicU64,
    reach: Reach,
}

impl Connector {
    /// # Errors
    /// Unreadable certificate or key files.
    pub fn new(
        target: &ParsedUri,
        app_name: &str,
        statement_timeout: Option<Duration>,
        most: Option<Duration>,
        session_settings: bool,
    ) -> StorageResult<Self> {
        let deadline = target.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        let mut config = Config::new();
        config
            .user(&target.user)
            .dbname(&target.database)
            .port(target.port)
            .application_name(target.app_name.as_deref().unwrap_or(app_name))
            .connect_timeout(deadline)
            .keepalives(target.keepalives)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_PROBES)
            .tcp_user_timeout(UNACKNOWLEDGED);
        if let Some(password) = &target.password {
            config.password(password);
        }
        let link = if target.is_socket() {
            config.host_path(&target.host).ssl_mode(SslMode::Disable);
            Link::Socket(Path::new(&target.host).join(format!(".s.PGSQL.{}", target.port)))
        } else {
            config.host(&target.host).ssl_mode(SslMode::Require);
            match target.tls.mode {
                TlsMode::Off => Link::Open,
                TlsMode::Prefer => Link::Either(MakeRustlsConnect::new(tls_config(&target.tls)?)),
                _ => Link::Encrypted(MakeRustlsConnect::new(tls_config(&target.tls)?)),
            }
        };
        let statement_timeout =
            statement_timeout.or(target.query_timeout).unwrap_or(DEFAULT_STATEMENT_TIMEOUT);
        let statement_timeout = match most {
            // Zero: no limit.
            Some(most) if statement_timeout.is_zero() || most < statement_timeout => most,
            _ => statement_timeout,
        };
        Ok(Self {
            config,
            link,
            statement_timeout,
            session_settings,
            deadline,
            trip_micros: AtomicU64::new(0),
            reach: Reach::of(format!("{}:{}", target.host, target.port)),
        })
    }

    /// `BEGIN`, and the statement timeout where the session does not have it.
    pub fn begin_text(&self) -> String {
        if self.session_settings {
            return "BEGIN".to_owned();
        }
        format!("BEGIN; SET LOCAL statement_timeout = {}", millis(self.statement_timeout))
    }

    /// How long a question and its answer travelled when a connection was last opened.
    pub fn trip(&self) -> Duration {
        Duration::from_micros(self.trip_micros.load(Ordering::Relaxed))
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
        // Whoever may have to open a connection, for each statement, would be larger by all of this.
        let opened = self.in_time(Box::pin(self.open_with_settings(timeout))).await;
        self.reach.note(&opened);
        opened
    }

    /// A server that takes the connection may still say nothing.
    async fn in_time<T>(&self, opening: impl Future<Output = StorageResult<T>>) -> StorageResult<T> {
        tokio::time::timeout(self.deadline, opening).await.unwrap_or(Err(StorageError::Silent))
    }

    async fn open_with_settings(&self, timeout: Duration) -> StorageResult<AsyncPgConnection> {
        // Without a timeout nothing says how long it may be silent.
        let mut conn = self.open(Some(timeout).filter(|timeout| !timeout.is_zero())).await?;
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
        let asked = Instant::now();
        conn.batch_execute(&settings).await?;
        self.trip_micros.store(u64::try_from(asked.elapsed().as_micros()).unwrap_or(0), Ordering::Relaxed);
        Ok(conn)
    }

    /// `statement`: what one may take.
    async fn open(&self, statement: Option<Duration>) -> StorageResult<AsyncPgConnection> {
        match &self.link {
            Link::Socket(path) => self.open_socket(path, statement).await,
            Link::Open => self.open_plain(statement).await,
            Link::Encrypted(tls) => {
                self.open_with(&self.config, EncryptedConnect(tls.clone(), statement)).await
            }
            Link::Either(tls) => {
                match self.open_with(&self.config, EncryptedConnect(tls.clone(), statement)).await {
                    // `Prefer` is no protection against whoever sits in between, by its meaning.
                    Err(StorageError::Unavailable(error)) if error.to_string().contains(NO_TLS) => {
                        self.open_plain(statement).await
                    }
                    opened => opened,
                }
            }
        }
    }

    async fn open_plain(&self, statement: Option<Duration>) -> StorageResult<AsyncPgConnection> {
        let mut config = self.config.clone();
        config.ssl_negotiation(SslNegotiation::Direct);
        self.open_with(&config, OpenConnect(statement)).await
    }

    async fn open_with<T>(&self, config: &Config, tls: T) -> StorageResult<AsyncPgConnection>
    where
        T: MakeTlsConnect<Socket> + Send,
        T::Stream: Send + 'static,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let (client, mut connection) = config.connect(tls).await.map_err(|e| refused(&e))?;
        if !self.session_settings {
            let opening = pin!(client.batch_execute("BEGIN"));
            match select(opening, &mut connection).await {
                Either::Left((begun, _)) => begun.map_err(|e| refused(&e))?,
                Either::Right(_) => return Err(StorageError::Unavailable(boxed("connection closed"))),
            }
        }
        let conn = AsyncPgConnection::try_from_client_and_connection(client, connection).await;
        self.set_up(conn.map_err(|e| refused(&e))?).await
    }

    /// Behind a pooler in transaction mode, what diesel prepares to set up a connection needs a transaction
    /// around it: here it ends.
    async fn set_up(&self, mut conn: AsyncPgConnection) -> StorageResult<AsyncPgConnection> {
        if !self.session_settings {
            conn.batch_execute("COMMIT").await?;
        }
        Ok(conn)
    }

    async fn open_socket(
        &self,
        path: &Path,
        statement: Option<Duration>,
    ) -> StorageResult<AsyncPgConnection> {
        let opening = async {
            let stream = UnixStream::connect(path).await.map_err(|e| refused(&e))?;
            self.config.connect_raw(Marked::new(stream, statement), NoTls).await.map_err(|e| refused(&e))
        };
        let (client, connection) = opening.await?;
        tokio::spawn(connection);
        if !self.session_settings {
            client.batch_execute("BEGIN").await.map_err(|e| refused(&e))?;
        }
        self.set_up(AsyncPgConnection::try_from(client).await.map_err(|e| refused(&e))?).await
    }

    /// A connection whose notifications can be received, which those over [`Connector::connect`] cannot
    /// where the server is reached through a socket. No statement timeout.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn connect_listening(&self) -> StorageResult<AsyncPgConnection> {
        match &self.link {
            Link::Socket(_) => {
                let opening = async {
                    let (client, connection) = self.config.connect(NoTls).await.map_err(|e| refused(&e))?;
                    let opened = AsyncPgConnection::try_from_client_and_connection(client, connection).await;
                    opened.map_err(|e| refused(&e))
                };
                self.in_time(Box::pin(opening)).await
            }
            _ => self.connect_with(Duration::ZERO).await,
        }
    }

    /// A connection of the driver alone, for `COPY`. No statement timeout.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn connect_to_copy(&self) -> StorageResult<tokio_postgres::Client> {
        self.in_time(Box::pin(async {
            let client = match &self.link {
                Link::Socket(_) => started(self.config.connect(NoTls).await)?,
                Link::Open => self.copy_plain().await?,
                Link::Encrypted(tls) => started(self.config.connect(tls.clone()).await)?,
                Link::Either(tls) => match started(self.config.connect(tls.clone()).await) {
                    Err(StorageError::Unavailable(error)) if error.to_string().contains(NO_TLS) => {
                        self.copy_plain().await?
                    }
                    opened => opened?,
                },
            };
            let settings =
                "SET search_path = public; SET parsimony.server = 'yes'; SET statement_timeout = 0";
            client.batch_execute(settings).await.map_err(|e| refused(&e))?;
            Ok(client)
        }))
        .await
    }

    async fn copy_plain(&self) -> StorageResult<tokio_postgres::Client> {
        let mut config = self.config.clone();
        config.ssl_mode(SslMode::Disable);
        started(config.connect(NoTls).await)
    }

    /// Ends the statement that runs on the connection of this token, if one does.
    pub async fn cancel(&self, token: CancelToken) {
        let outcome = match &self.link {
            Link::Socket(path) => match UnixStream::connect(path).await {
                Ok(stream) => token.cancel_query_raw(stream, NoTls).await,
                Err(error) => return tracing::debug!(%error, "a statement cannot be cancelled: {error}"),
            },
            Link::Open => token.cancel_query(OpenConnect(None)).await,
            Link::Encrypted(tls) | Link::Either(tls) => {
                token.cancel_query(EncryptedConnect(tls.clone(), None)).await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "a statement cannot be cancelled: {error}");
        }
    }
}

/// The client of a connection that is driven by itself.
fn started<S, T>(
    opened: Result<(tokio_postgres::Client, tokio_postgres::Connection<S, T>), tokio_postgres::Error>,
) -> StorageResult<tokio_postgres::Client>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (client, connection) = opened.map_err(|e| refused(&e))?;
    tokio::spawn(connection);
    Ok(client)
}

/// What the driver says when it must encrypt and the server does not.
const NO_TLS: &str = "server does not support TLS";

fn refused(error: &dyn std::error::Error) -> StorageError {
    StorageError::Unavailable(boxed(describe(error)))
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
    let trust = if let Some(path) = &options.ca {
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unreadable("ca", path, &error))?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(|error| unreadable("ca", path, &error))?;
        }
        TrustStore::of(certificates)
    } else {
        TrustStore::system().clone()
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| StorageError::Other(Box::new(error)))?;
    let verifier =
        trust.verifier(provider.clone()).map_err(|error| StorageError::Other(boxed(error.to_string())))?;
    let builder = if options.accept_any {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else if let Some(verifier) = verifier {
        builder.dangerous().with_custom_certificate_verifier(verifier)
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(trust.roots().clone(), provider)
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

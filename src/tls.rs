//! The certificates that this process trusts, for everything that speaks TLS as a client: outbound HTTP, PostgreSQL,
//! Redis, SMTP and the file stores. Where one of them has a CA option of its own, that option decides alone.
//!
//! They are the machine's, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`; a machine that has none gets the roots of
//! the Mozilla store that are compiled in. Names `error` only.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::ExtendedKeyUsage;

use crate::error::{Error, Result};

/// Installs the TLS implementation, ring, for what asks the process for one. Does nothing the second time.
pub fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Trusted roots.
#[derive(Clone)]
pub struct TrustStore {
    roots: Arc<RootCertStore>,
    /// The certificates of `roots`; `None` for the compiled-in roots, which are no certificates.
    certificates: Option<Arc<[CertificateDer<'static>]>>,
}

impl fmt::Debug for TrustStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustStore({} roots)", self.roots.len())
    }
}

impl TrustStore {
    /// What the machine trusts; read once in the life of the process.
    pub fn system() -> &'static Self {
        static SYSTEM: OnceLock<TrustStore> = OnceLock::new();
        SYSTEM.get_or_init(|| Self::read(std::env::var_os("SSL_CERT_FILE"), std::env::var_os("SSL_CERT_DIR")))
    }

    /// With these values of `SSL_CERT_FILE` and `SSL_CERT_DIR`. Where they are set and hold nothing, nothing is
    /// trusted: whoever narrows the trust down does not want it widened by a typing error.
    pub fn read(file: Option<OsString>, directory: Option<OsString>) -> Self {
        let (file, directory) = (file.filter(|v| !v.is_empty()), directory.filter(|v| !v.is_empty()));
        let chosen = file.is_some() || directory.is_some();
        let found = match chosen {
            true => rustls_native_certs::load_certs_from_paths(
                file.as_deref().map(Path::new),
                directory.as_deref().map(Path::new),
            ),
            false => rustls_native_certs::load_native_certs(),
        };
        for error in &found.errors {
            tracing::warn!(%error, "some trusted certificates cannot be read");
        }
        let store = Self::of(found.certs);
        if !store.roots.is_empty() {
            return store;
        }
        if chosen {
            tracing::error!("SSL_CERT_FILE and SSL_CERT_DIR hold no certificate: no TLS server is trusted.");
            return store;
        }
        tracing::info!(
            "This machine has no trusted certificates: the roots that came with the program count."
        );
        Self::bundled()
    }

    /// The roots that are compiled in.
    pub fn bundled() -> Self {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        Self { roots: Arc::new(roots), certificates: None }
    }

    /// These alone. Certificates that cannot be roots are left out, as there are odd ones on most machines.
    pub fn of(certificates: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        let usable = certificates.into_iter().filter(|certificate| roots.add(certificate.clone()).is_ok());
        let certificates = usable.collect();
        Self { roots: Arc::new(roots), certificates: Some(certificates) }
    }

    /// The certificates as text, for libraries that want that; `None` for the compiled-in roots.
    pub fn pem(&self) -> Option<String> {
        let mut all = String::new();
        for certificate in self.certificates()? {
            all.push_str("-----BEGIN CERTIFICATE-----\n");
            all.push_str(&STANDARD.encode(certificate));
            all.push_str("\n-----END CERTIFICATE-----\n");
        }
        Some(all)
    }

    pub fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
    }

    /// The certificates, for libraries that take no root store; `None` for the compiled-in roots.
    pub fn certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.certificates.as_deref()
    }

    /// A client that trusts these roots and shows no certificate of its own.
    ///
    /// # Errors
    /// When ring does not support the protocol versions, which does not happen.
    pub fn client_config(&self) -> Result<ClientConfig> {
        Ok(self.client_builder()?.with_no_client_auth())
    }

    /// A client that trusts these roots and shows this certificate.
    ///
    /// # Errors
    /// When key and certificate do not belong together.
    pub fn client_config_as(&self, identity: &Identity) -> Result<ClientConfig> {
        let (chain, key) = (identity.chain.clone(), identity.key.clone_key());
        self.client_builder()?.with_client_auth_cert(chain, key).map_err(Error::internal)
    }

    fn client_builder(&self) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(Error::internal)?;
        Ok(match self.verifier(provider)? {
            Some(verifier) => builder.dangerous().with_custom_certificate_verifier(verifier),
            None => builder.with_root_certificates(self.roots.clone()),
        })
    }

    /// What checks servers by this trust; `None` where no certificate is known that a server could show.
    ///
    /// # Errors
    /// Never: without roots there is none.
    pub fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Option<Arc<dyn ServerCertVerifier>>> {
        let Some(trusted) = self.certificates.clone().filter(|_| !self.roots.is_empty()) else {
            return Ok(None);
        };
        let chains = WebPkiServerVerifier::builder_with_provider(self.roots.clone(), provider);
        let chains = chains.build().map_err(Error::internal)?;
        Ok(Some(Arc::new(Verifier { chains, trusted })))
    }
}

/// `serverAuth`, and any purpose.
const FOR_SERVERS: [ObjectIdentifier; 2] =
    [ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1"), ObjectIdentifier::new_unwrap("2.5.29.37.0")];

/// Checks chains as rustls does. A server whose own certificate is among the trusted ones is who it says also where
/// that certificate may issue others: what `openssl req -x509` makes may, and other clients take it.
#[derive(Debug)]
struct Verifier {
    chains: Arc<WebPkiServerVerifier>,
    trusted: Arc<[CertificateDer<'static>]>,
}

impl Verifier {
    fn is_trusted(&self, certificate: &CertificateDer<'_>) -> bool {
        self.trusted.iter().any(|one| one[..] == certificate[..])
    }
}

/// A certificate that is trusted itself: it must be this server's, in time, and not for other purposes alone.
fn check_own(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> std::result::Result<(), rustls::Error> {
    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
    let read = Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let validity = &read.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    let purposes = read.tbs_certificate.get::<ExtendedKeyUsage>();
    let purposes = purposes.map_err(|_| CertificateError::BadEncoding)?;
    if purposes.is_some_and(|(_, ExtendedKeyUsage(all))| !all.iter().any(|one| FOR_SERVERS.contains(one))) {
        return Err(CertificateError::InvalidPurpose.into());
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let checked =
            self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match checked {
            Err(_) if self.is_trusted(end_entity) => {
                check_own(end_entity, server_name, now).map(|()| ServerCertVerified::assertion())
            }
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// What a client shows of itself: a certificate, those above it, and its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_is_never_widened() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        for file in [empty, folder.path().join("missing.pem")] {
            let store = TrustStore::read(Some(file.into()), None);
            assert_eq!(store.roots().len(), 0);
        }
        assert_eq!(TrustStore::read(None, Some(folder.path().into())).roots().len(), 0);
    }

    #[test]
    fn a_trusted_certificate_is_its_own_servers() {
        let made = || {
            let mut params = rcgen::CertificateParams::new(vec!["directory.example".to_owned()]).unwrap();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().clone()
        };
        let (own, foreign) = (made(), made());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = TrustStore::of(vec![own.clone()]).verifier(provider).unwrap().unwrap();
        let is_taken = |certificate: &CertificateDer<'static>, name: &'static str, now: u64| {
            let (name, now) = (ServerName::try_from(name).unwrap(), std::time::Duration::from_secs(now));
            let now = UnixTime::since_unix_epoch(now);
            verifier.verify_server_cert(certificate, &[], &name, &[], now).is_ok()
        };
        let (now, the_end_of_time) = (1_800_000_000, 100_000_000_000);
        assert!(is_taken(&own, "directory.example", now));
        assert!(!is_taken(&own, "elsewhere.example", now));
        assert!(!is_taken(&own, "directory.example", the_end_of_time));
        assert!(!is_taken(&foreign, "directory.example", now));
    }

    #[test]
    fn without_a_choice_something_is_trusted() {
        assert!(!TrustStore::read(Some("".into()), None).roots().is_empty());
        assert!(TrustStore::bundled().roots().len() > 50 && TrustStore::bundled().certificates().is_none());
    }
}

//! Certificates of an authority of the test's own, for servers on this machine.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// Where they are.
pub struct Certificates {
    /// Of the authority, as text and as a file.
    pub authority: String,
    pub authority_file: PathBuf,
    /// Of a server on `localhost` and 127.0.0.1, and its key.
    pub leaf: PathBuf,
    pub key: PathBuf,
}

/// Makes an authority and a certificate of it in the folder.
pub fn write(folder: &Path) -> Certificates {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let leaf = CertificateParams::new(hosts).unwrap().signed_by(&own, &issuer).unwrap();
    let written = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    Certificates {
        authority_file: written("ca.pem", &authority),
        leaf: written("leaf.pem", &leaf.pem()),
        key: written("leaf.key", &own.serialize_pem()),
        authority,
    }
}

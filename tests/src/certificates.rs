//! An authority of our own and a certificate for 127.0.0.1 that it has signed.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// Where the files are, all in PEM.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Certificates {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The certificate for 127.0.0.1.
    pub cert: PathBuf,
    /// Its private key, in PKCS#8.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes an authority named `name` and writes its files into the folder `dir`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(dir: &Path, name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let ca = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate()?;
        let own = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        let cert = own.signed_by(&key, &issuer)?;
        let path = |end: &str| dir.join(format!("{name}-{end}.pem"));
        let files = Self {
            ca: path("ca"),
            cert: path("cert"),
            key: path("key"),
        };
        std::fs::create_dir_all(dir)?;
        std::fs::write(&files.ca, ca.pem())?;
        std::fs::write(&files.cert, cert.pem())?;
        std::fs::write(&files.key, key.serialize_pem())?;
        Ok(files)
    }
}

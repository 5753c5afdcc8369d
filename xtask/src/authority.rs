//! Certificates for tests: an authority, and what it signs.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// An authority with its files, which are removed when it is dropped.
#[derive(Debug)]
pub struct Authority {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// PEM files of a certificate and of its key, in PKCS#8.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Signed {
    /// The certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Validity {
    /// Now.
    #[default]
    Now,
    /// It was once.
    Expired,
    /// It will be one day.
    NotYet,
}

impl Authority {
    /// An authority of this name.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let cert = params.self_signed(&key)?;
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("ca.pem"), cert.pem())?;
        let issuer = Issuer::new(params, key);
        Ok(Self { dir, issuer })
    }

    /// The file of its own certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Signs a certificate for these names and IP addresses, in files called `file`.
    ///
    /// # Errors
    /// When a name cannot be one, or the files cannot be written.
    pub fn sign(&self, file: &str, names: &[&str], validity: Validity) -> Result<Signed> {
        let mut params = params(file, names)?;
        match validity {
            Validity::Now => {}
            Validity::Expired => {
                params.not_before = date_time_ymd(2001, 1, 1);
                params.not_after = date_time_ymd(2002, 1, 1);
            }
            Validity::NotYet => params.not_before = date_time_ymd(2999, 1, 1),
        }
        self.write(file, &params)
    }

    /// The same for a certificate that says that it is an authority's (`CA:TRUE`), as `openssl req -x509` makes them.
    ///
    /// # Errors
    /// As of [`sign`](Self::sign).
    pub fn sign_authority(&self, file: &str, names: &[&str]) -> Result<Signed> {
        let mut params = params(file, names)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self.write(file, &params)
    }

    fn write(&self, file: &str, params: &CertificateParams) -> Result<Signed> {
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        let path = |end: &str| self.dir.path().join(format!("{file}.{end}"));
        let signed = Signed {
            cert: path("pem"),
            key: path("key"),
        };
        std::fs::write(&signed.cert, cert.pem())?;
        std::fs::write(&signed.key, key.serialize_pem())?;
        Ok(signed)
    }
}

fn params(name: &str, names: &[&str]) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// A path as the settings take it.
#[must_use]
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

//! Certificates for tests. No two have the same subject, because verifiers would mistake one for the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

static NUMBER: AtomicUsize = AtomicUsize::new(1);

/// An authority, whose certificate is in a file.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: PathBuf,
    pub file: PathBuf,
    pub name: String,
}

impl Authority {
    pub fn new(directory: &Path) -> Authority {
        let name = format!("Authority {}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name.clone());
        let key = KeyPair::generate().expect("a key");
        let file = directory.join(format!("{name}.pem"));
        fs::write(&file, params.self_signed(&key).expect("a certificate").pem()).expect("a file");
        Authority { issuer: Issuer::new(params, key), directory: directory.to_owned(), file, name }
    }

    /// A key and its certificate for `name`, which is also the Common Name; both in one file.
    pub fn sign(&self, name: &str) -> PathBuf {
        self.sign_until(name, 2099)
    }

    /// The same, expiring at the end of `year`.
    pub fn sign_until(&self, name: &str, year: i32) -> PathBuf {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let file = self.directory.join(format!("{}.pem", NUMBER.fetch_add(1, Ordering::Relaxed)));
        fs::write(&file, key.serialize_pem() + &certificate.pem()).expect("a file");
        file
    }
}

/// A self-signed certificate and its key. `is_authority` decides whether it is marked as an authority's.
pub fn self_signed(directory: &Path, name: &str, is_authority: bool) -> PathBuf {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, format!("self {}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    if is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let file = directory.join(format!("{}.pem", NUMBER.fetch_add(1, Ordering::Relaxed)));
    fs::write(&file, key.serialize_pem() + &certificate.pem()).expect("a file");
    file
}

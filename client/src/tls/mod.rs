//! TLS on the client's side: the options that both programs share, and what is made of them.

mod failure;
mod verify;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

pub use failure::{Failure, explain};
pub use rustls;

/// How to speak TLS to the target.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Speak TLS. A header of --proxy or --send goes first, in clear.
    #[arg(long, env = "PROXY_ECHO_TLS")]
    pub tls: bool,
    /// The server's name, in SNI and in its certificate, instead of the target's.
    #[arg(long, env = "PROXY_ECHO_TLS_NAME", value_name = "NAME", value_parser = name, requires = "tls")]
    pub tls_name: Option<ServerName<'static>>,
    /// A PEM file of authorities that are trusted instead of the system's.
    #[arg(long, env = "PROXY_ECHO_TLS_CA", value_name = "FILE", requires = "tls")]
    pub tls_ca: Option<PathBuf>,
    /// Take any certificate. Its signature in the handshake is verified nevertheless.
    #[arg(long, env = "PROXY_ECHO_TLS_INSECURE", requires = "tls", conflicts_with = "tls_ca")]
    pub tls_insecure: bool,
    /// The client's certificate and its chain, a PEM file.
    #[arg(long, env = "PROXY_ECHO_TLS_CERT", value_name = "FILE", requires_all = ["tls", "tls_key"])]
    pub tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, a PEM file.
    #[arg(long, env = "PROXY_ECHO_TLS_KEY", value_name = "FILE", requires_all = ["tls", "tls_cert"])]
    pub tls_key: Option<PathBuf>,
    /// The protocols that are offered by ALPN, the preferred one first.
    #[arg(long, env = "PROXY_ECHO_ALPN", value_name = "NAME,…", value_delimiter = ',', value_parser = protocol,
          requires = "tls")]
    pub alpn: Vec<String>,
    /// The only version to speak.
    #[arg(long, env = "PROXY_ECHO_TLS_VERSION", value_name = "VERSION", requires = "tls")]
    pub tls_version: Option<TlsVersion>,
}

/// A version of TLS. Older ones than these are not spoken: rustls has none.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2
    #[value(name = "1.2")]
    V1_2,
    /// TLS 1.3
    #[value(name = "1.3")]
    V1_3,
}

/// Why the options cannot be used.
#[derive(Debug)]
pub enum ConfigError {
    /// A file that cannot be read, or does not hold what it should.
    File(&'static str, PathBuf, String),
    /// The system has no authorities, which happens in containers.
    NoRoots(String),
    /// The key does not belong to the certificate.
    Mismatch(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::File(option, path, error) => write!(f, "{option} {}: {error}", path.display()),
            ConfigError::NoRoots(error) => write!(
                f,
                "this system has no certificate authorities{error}: name a file of them with --tls-ca, or install the \
                 package ca-certificates"
            ),
            ConfigError::Mismatch(error) => write!(f, "--tls-cert and --tls-key do not fit together: {error}"),
        }
    }
}

impl std::error::Error for ConfigError {}

fn name(text: &str) -> Result<ServerName<'static>, String> {
    let name = ServerName::try_from(text.to_owned());
    name.map_err(|_| format!("`{text}` is neither a name of DNS nor an address"))
}

/// RFC 7301, section 3.1: one to 255 bytes.
fn protocol(text: &str) -> Result<String, String> {
    let is_valid = (1..=255).contains(&text.len());
    is_valid.then(|| text.to_owned()).ok_or_else(|| "a protocol's name has 1 to 255 bytes".to_owned())
}

impl TlsArgs {
    /// What rustls needs, once for all connections; nothing where TLS is off.
    ///
    /// # Errors
    ///
    /// A file is unreadable or wrong, or there are no authorities to trust.
    pub fn config(&self) -> Result<Option<Arc<ClientConfig>>, ConfigError> {
        if !self.tls {
            return Ok(None);
        }
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone());
        // The provider has suites of both versions.
        let builder = builder
            .with_protocol_versions(&self.versions())
            .map_err(|error| ConfigError::Mismatch(error.to_string()))?;
        let builder = if self.tls_insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verify::Anyone::new(&provider)))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let mut config = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => {
                let chain = certificates("--tls-cert", cert)?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| ConfigError::File("--tls-key", key.clone(), error.to_string()))?;
                let config = builder.with_client_auth_cert(chain, key);
                config.map_err(|error| ConfigError::Mismatch(error.to_string()))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        config.resumption = Resumption::disabled();
        Ok(Some(Arc::new(config)))
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        match self.tls_version {
            None => vec![&version::TLS13, &version::TLS12],
            Some(TlsVersion::V1_2) => vec![&version::TLS12],
            Some(TlsVersion::V1_3) => vec![&version::TLS13],
        }
    }

    fn roots(&self) -> Result<RootCertStore, ConfigError> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.tls_ca {
            for certificate in certificates("--tls-ca", path)? {
                let added = roots.add(certificate);
                added.map_err(|error| ConfigError::File("--tls-ca", path.clone(), error.to_string()))?;
            }
            return Ok(roots);
        }
        let found = rustls_native_certs::load_native_certs();
        // Systems ship some that no verifier takes. They are left out, as browsers do.
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(ConfigError::NoRoots(why));
        }
        Ok(roots)
    }
}

fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let error = |error: String| ConfigError::File(option, path.to_owned(), error);
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found.map_err(|why| error(why.to_string()))? {
        none if none.is_empty() => Err(error("it holds no certificate in PEM".to_owned())),
        found => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, CertifiedKey, DnType, KeyPair, date_time_ymd};
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::{ClientConnection, Error, ServerConfig, ServerConnection};

    use super::*;

    fn certificate(name: &str, is_expired: bool) -> CertifiedKey<KeyPair> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        // Two with one subject would be one authority with a wrong signature.
        params.distinguished_name.push(DnType::CommonName, format!("{name} {is_expired}"));
        if is_expired {
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let signing_key = KeyPair::generate().unwrap();
        CertifiedKey { cert: params.self_signed(&signing_key).unwrap(), signing_key }
    }

    /// The client's end of a handshake in memory.
    fn handshake(args: &TlsArgs, server: &CertifiedKey<KeyPair>) -> Result<(), Error> {
        let key = PrivatePkcs8KeyDer::from(server.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![server.cert.der().clone()], key.into())?;
        let mut server = ServerConnection::new(Arc::new(config))?;
        let mut client = ClientConnection::new(args.config().unwrap().unwrap(), name("echo.test").unwrap())?;
        while client.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut &bytes[..]).unwrap();
            server.process_new_packets()?;
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut &bytes[..]).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn a_certificate_is_refused_for_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        let own = TlsArgs { tls: true, tls_ca: Some(ca.clone()), ..TlsArgs::default() };
        let insecure = TlsArgs { tls: true, tls_insecure: true, ..TlsArgs::default() };
        for (name, is_expired, failure) in [
            ("echo.test", false, None),
            ("echo.test", true, Some(Failure::Expired)),
            ("other.test", false, Some(Failure::WrongName)),
        ] {
            let server = certificate(name, is_expired);
            fs::write(&ca, server.cert.pem()).unwrap();
            assert_eq!(handshake(&own, &server).err().as_ref().map(explain), failure, "{name} {is_expired}");
            assert_eq!(handshake(&insecure, &server), Ok(()), "{name} {is_expired}");
        }
        let stranger = handshake(&own, &certificate("echo.test", false));
        assert_eq!(stranger.err().as_ref().map(explain), Some(Failure::UnknownIssuer));
    }

    #[test]
    fn plain_text_is_not_tls() {
        let args = TlsArgs { tls: true, tls_insecure: true, ..TlsArgs::default() };
        let mut client = ClientConnection::new(args.config().unwrap().unwrap(), name("echo.test").unwrap()).unwrap();
        client.read_tls(&mut &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]).unwrap();
        assert_eq!(explain(&client.process_new_packets().unwrap_err()), Failure::NotTls);
    }
}

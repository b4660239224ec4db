//! TLS on the client's side: the options that both programs share, and the configuration made from them.

mod failure;
mod verify;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

pub use failure::{Failure, explain};
pub use rustls;

/// How to speak TLS to the target. The variables are those of `proxy-echo check`; [`TlsArgs::variable_of_loadtest`]
/// gives loadtest its own.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Speak TLS; a PROXY header is sent before the handshake, in clear, as from a balancer in front of a TLS server
    #[arg(long, env = "PROXY_ECHO_CHECK_TLS", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub tls: bool,
    /// The server's name, in SNI and in its certificate [default: the target's]
    #[arg(long, env = "PROXY_ECHO_CHECK_TLS_NAME", value_name = "NAME", value_parser = name, requires = "tls")]
    pub tls_name: Option<ServerName<'static>>,
    /// A PEM file of trusted authorities [default: the system's]
    #[arg(long, env = "PROXY_ECHO_CHECK_TLS_CA", value_name = "FILE", requires = "tls")]
    pub tls_ca: Option<PathBuf>,
    /// Accept any certificate of the server; still verify that it has the certificate's key
    #[arg(long, env = "PROXY_ECHO_CHECK_TLS_INSECURE", action = ArgAction::SetTrue)]
    #[arg(value_parser = BoolishValueParser::new(), requires = "tls", conflicts_with = "tls_ca")]
    pub tls_insecure: bool,
    /// A PEM file with the client's certificate and its chain
    #[arg(long, env = "PROXY_ECHO_CHECK_TLS_CERT", value_name = "FILE", requires_all = ["tls", "tls_key"])]
    pub tls_cert: Option<PathBuf>,
    /// A PEM file with the private key of --tls-cert
    #[arg(long, env = "PROXY_ECHO_CHECK_TLS_KEY", value_name = "FILE", requires_all = ["tls", "tls_cert"])]
    pub tls_key: Option<PathBuf>,
    /// The protocols that ALPN offers, the preferred one first
    #[arg(long, env = "PROXY_ECHO_CHECK_ALPN", value_name = "NAME,…", value_delimiter = ',', requires = "tls")]
    #[arg(value_parser = protocol)]
    pub alpn: Vec<String>,
    /// The only version to speak [default: the newest that the server has]
    #[arg(long, env = "PROXY_ECHO_CHECK_TLS_VERSION", value_name = "VERSION", requires = "tls")]
    pub tls_version: Option<TlsVersion>,
}

/// A version of TLS. rustls does not have older ones.
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
    /// A file cannot be read, or has wrong contents.
    File(&'static str, PathBuf, String),
    /// The system has no authorities, which happens in containers.
    NoRoots(String),
    /// The key does not belong to the certificate.
    Mismatch(String),
    /// The target's host cannot be the name of a certificate.
    NoName(String),
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
            ConfigError::NoName(host) => {
                write!(f, "no certificate can have the name `{host}`: give the server's with --tls-name")
            }
        }
    }
}

impl std::error::Error for ConfigError {}

fn name(text: &str) -> Result<ServerName<'static>, String> {
    let name = ServerName::try_from(text.to_owned());
    name.map_err(|_| format!("`{text}` is neither a name of DNS nor an address"))
}

/// Parses a protocol's name: one to 255 bytes (RFC 7301, section 3.1).
fn protocol(text: &str) -> Result<String, String> {
    let is_valid = (1..=255).contains(&text.len());
    is_valid.then(|| text.to_owned()).ok_or_else(|| "a protocol's name has 1 to 255 bytes".to_owned())
}

impl TlsArgs {
    /// Replaces check's variable of an option of this group by loadtest's. Other options stay unchanged.
    #[must_use]
    pub fn variable_of_loadtest(arg: Arg) -> Arg {
        const NAMES: [(&str, &str); 8] = [
            ("tls", "LOADTEST_TLS"),
            ("tls_name", "LOADTEST_TLS_NAME"),
            ("tls_ca", "LOADTEST_TLS_CA"),
            ("tls_insecure", "LOADTEST_TLS_INSECURE"),
            ("tls_cert", "LOADTEST_TLS_CERT"),
            ("tls_key", "LOADTEST_TLS_KEY"),
            ("alpn", "LOADTEST_ALPN"),
            ("tls_version", "LOADTEST_TLS_VERSION"),
        ];
        match NAMES.iter().find(|(id, _)| arg.get_id() == id) {
            Some((_, variable)) => arg.env(variable),
            None => arg,
        }
    }

    /// The name that the server's certificate must have for the target `HOST:PORT`: `--tls-name`, or the host.
    ///
    /// # Errors
    ///
    /// The host is neither a DNS name nor an address.
    pub fn server_name(&self, target: &str) -> Result<ServerName<'static>, ConfigError> {
        if let Some(name) = &self.tls_name {
            return Ok(name.clone());
        }
        let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // Without a host, the target is this machine.
        let host = if host.is_empty() { "localhost" } else { host };
        name(host).map_err(|_| ConfigError::NoName(host.to_owned()))
    }

    /// The configuration of rustls for all connections; `None` if TLS is off.
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
        // Cannot fail: the provider has cipher suites of both versions.
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
        // Some authorities of the system are invalid. Leave them out, as browsers do.
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

    use clap::{CommandFactory, Parser};
    use rcgen::{BasicConstraints, CertificateParams, CertifiedKey, DnType, IsCa, KeyPair, date_time_ymd};
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::{ClientConnection, Error, ServerConfig, ServerConnection};

    use super::*;

    fn certificate(name: &str, is_expired: bool) -> CertifiedKey<KeyPair> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        // With the same subject, the second authority would look like the first with a wrong signature.
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
        let mut authority = CertificateParams::new(vec!["echo.test".to_owned()]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signing_key = KeyPair::generate().unwrap();
        let authority = CertifiedKey { cert: authority.self_signed(&signing_key).unwrap(), signing_key };
        fs::write(&ca, authority.cert.pem()).unwrap();
        assert_eq!(handshake(&own, &authority).err().as_ref().map(explain), Some(Failure::Authority));
        let stranger = handshake(&own, &certificate("echo.test", false));
        assert_eq!(stranger.err().as_ref().map(explain), Some(Failure::UnknownIssuer));
    }

    #[test]
    fn the_name_is_the_targets_host_or_the_one_that_is_given() {
        let args = TlsArgs::default();
        for (target, host) in [
            ("echo.test:443", "echo.test"),
            ("192.0.2.1:443", "192.0.2.1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            (":443", "localhost"),
        ] {
            assert_eq!(args.server_name(target).unwrap().to_str(), host, "{target}");
        }
        assert!(matches!(args.server_name("fe80::1%lo:443"), Err(ConfigError::NoName(_))));
        let given = TlsArgs { tls_name: Some(name("other.test").unwrap()), ..args };
        assert_eq!(given.server_name("echo.test:443").unwrap().to_str(), "other.test");
    }

    #[test]
    fn every_option_has_a_variable_in_each_program() {
        #[derive(clap::Parser)]
        struct Program {
            #[command(flatten)]
            tls: TlsArgs,
        }
        let variables = |command: &clap::Command| -> Vec<String> {
            let all = command.get_arguments().filter_map(Arg::get_env);
            all.map(|variable| variable.to_string_lossy().into_owned()).collect()
        };
        let check = variables(&Program::command());
        assert_eq!(check.len(), 8);
        let loadtest = variables(&Program::command().mut_args(TlsArgs::variable_of_loadtest));
        let renamed = check.iter().map(|name| name.replace("PROXY_ECHO_CHECK_", "LOADTEST_"));
        assert_eq!(loadtest, renamed.collect::<Vec<_>>());
        let read = Program::parse_from(["program", "--tls", "--alpn", "h2,http/1.1", "--tls-version", "1.3"]).tls;
        assert_eq!((read.alpn, read.tls_version), (vec!["h2".into(), "http/1.1".into()], Some(TlsVersion::V1_3)));
        for nonsense in [&["--tls-ca", "file"][..], &["--tls", "--tls-cert", "file"], &["--tls", "--alpn", ""]] {
            assert!(Program::try_parse_from(["program"].iter().chain(nonsense)).is_err(), "{nonsense:?}");
        }
    }

    #[test]
    fn plain_text_is_not_tls() {
        let args = TlsArgs { tls: true, tls_insecure: true, ..TlsArgs::default() };
        let mut client = ClientConnection::new(args.config().unwrap().unwrap(), name("echo.test").unwrap()).unwrap();
        client.read_tls(&mut &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]).unwrap();
        assert_eq!(explain(&client.process_new_packets().unwrap_err()), Failure::NotTls);
    }
}

//! TLS to the target: the checked settings of `--tls`, and the state of a worker and of each of its connections.
//!
//! It does not know the engine. Without the feature `tls`, `absent.rs` replaces this module.

mod session;
mod tickets;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use clap::ValueEnum;
use proxy_echo_client::tls::TlsArgs;
use proxy_echo_client::tls::rustls::ClientConfig;
use proxy_echo_client::tls::rustls::client::{Resumption, UnbufferedClientConnection};
use proxy_echo_client::tls::rustls::pki_types::ServerName;

pub use self::session::{Agreed, Input, Session};
use self::tickets::Tickets;
use crate::cli::LoadArgs;
use crate::result::TlsSettings;

/// Most bytes encrypted at a time. Bytes that the socket does not take are kept, and no more are encrypted until it has
/// taken them.
const MAX_CLEAR: usize = 64 * 1024;
/// A record's payload and what it adds at most (RFC 8446, section 5.2; RFC 5246, section 6.2.3).
const MAX_PAYLOAD: usize = 16 * 1024;
const MAX_RECORD: usize = MAX_PAYLOAD + 2048 + 5;
/// rustls joins the records of a handshake message of up to 64 KiB, which stay where they are until it is whole.
const MAX_PARTIAL: usize = 128 * 1024;

/// The settings of `--tls`.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: Name,
    resumes: bool,
    settings: TlsSettings,
}

/// The name that the server's certificate must have.
#[derive(Clone, Debug)]
enum Name {
    /// All targets have one name.
    One(ServerName<'static>),
    /// Targets were given as addresses.
    Address,
}

impl Tls {
    /// Checks `args` for the targets `names`; `None` if TLS is off.
    ///
    /// # Errors
    ///
    /// A file is unreadable or wrong, there are no authorities to trust, or the name of the certificate is unclear.
    pub fn new(args: &LoadArgs, names: &[String]) -> Result<Option<Self>, String> {
        let Some(config) = args.tls.config().map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let name = name_of(&args.tls, names)?;
        let settings = TlsSettings {
            name: args.tls.tls_name.as_ref().map(|name| name.to_str().into_owned()),
            version: args.tls.tls_version.and_then(|version| Some(version.to_possible_value()?.get_name().to_owned())),
            alpn: args.tls.alpn.clone(),
            verifies_certificates: !args.tls.tls_insecure,
            has_certificate: args.tls.tls_cert.is_some(),
            resumes: args.tls_resume,
        };
        Ok(Some(Tls { config, name, resumes: args.tls_resume, settings }))
    }

    /// The settings for the result.
    #[must_use]
    pub fn settings(&self) -> TlsSettings {
        self.settings.clone()
    }

    /// The shared state of a worker with `connections` at a time, which takes up to `room` bytes of payload at once
    /// (more than a record has). Sessions to resume are not shared between workers.
    #[must_use]
    pub fn client(&self, connections: u64, room: usize) -> Client {
        let mut config = ClientConfig::clone(&self.config);
        if self.resumes {
            config.resumption = Resumption::store(Arc::new(Tickets::new(connections)));
        }
        // Room for all plaintext of one read: the bytes read, and a record that had arrived in part.
        let most_read = room - MAX_RECORD;
        let records = MAX_CLEAR.div_ceil(MAX_PAYLOAD);
        Client {
            config: Arc::new(config),
            name: self.name.clone(),
            most_read,
            incoming: vec![0; most_read + MAX_PARTIAL].into_boxed_slice(),
            // One more record for messages that rustls puts before the payload, such as a key update.
            outgoing: vec![0; (records + 1) * MAX_RECORD].into_boxed_slice(),
        }
    }
}

/// The name that the certificates of the targets `names` must have.
fn name_of(args: &TlsArgs, names: &[String]) -> Result<Name, String> {
    let hosts: Result<Vec<_>, _> = names.iter().map(|name| args.server_name(name)).collect();
    let hosts = hosts.map_err(|error| error.to_string())?;
    let is_address = |host: &ServerName| matches!(host, ServerName::IpAddress(_));
    match &hosts[..] {
        all if args.tls_name.is_none() && all.iter().all(is_address) => Ok(Name::Address),
        [first, others @ ..] if others.iter().all(|other| other == first) => Ok(Name::One(first.clone())),
        _ => Err("these targets have several names: give the one of their certificates with --tls-name".to_owned()),
    }
}

/// State that a worker's connections share: the configuration of handshakes, and buffers for encryption.
#[derive(Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
    name: Name,
    most_read: usize,
    incoming: Box<[u8]>,
    outgoing: Box<[u8]>,
}

impl Client {
    /// A connection to `target`.
    ///
    /// # Errors
    ///
    /// rustls refuses it.
    pub fn session(&self, target: SocketAddr) -> io::Result<Session> {
        let name = match &self.name {
            Name::One(name) => name.clone(),
            Name::Address => target.ip().into(),
        };
        let tls = UnbufferedClientConnection::new(self.config.clone(), name).map_err(io::Error::other)?;
        Ok(Session::new(tls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_the_name_or_the_address_of_the_target() {
        let args = TlsArgs::default();
        let name = |names: &[&str]| name_of(&args, &names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert!(matches!(name(&["127.0.0.1:443", "[::1]:443"]), Ok(Name::Address)));
        for names in [&["echo.test:443"][..], &["echo.test:443", "echo.test:444"], &["localhost:443"]] {
            assert!(matches!(name(names), Ok(Name::One(_))), "{names:?}");
        }
        for names in [&["a.test:443", "b.test:443"][..], &["a.test:443", "127.0.0.1:443"], &["fe80::1%lo:443"]] {
            assert!(matches!(name(names), Err(why) if why.contains("--tls-name")), "{names:?}");
        }
    }
}

//! A handshake over a blocking socket within a time limit, and its result.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use proxy::escape::Escaped;
use proxy_echo_client::tls::rustls::client::ResolvesClientCert;
use proxy_echo_client::tls::rustls::pki_types::ServerName;
use proxy_echo_client::tls::rustls::sign::CertifiedKey;
use proxy_echo_client::tls::rustls::{
    AlertDescription, ClientConfig, ClientConnection, Error, ProtocolVersion, SignatureScheme,
};
use proxy_echo_client::tls::{Failure, TlsArgs, explain};

use super::told::Told;
use super::{ClientCertificate, Fault, Session, Stream, certificate};
use crate::check::strangers::protocol;
use crate::cli::CheckArgs;

/// How to speak TLS, for all connections of a check.
pub(in crate::check) struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Client {
    /// `None` if TLS is off.
    ///
    /// # Errors
    ///
    /// A file is unreadable or wrong, there are no authorities, or the target's host cannot be the name of a
    /// certificate.
    pub(in crate::check) fn new(args: &CheckArgs) -> io::Result<Option<Self>> {
        let Some(config) = args.tls.config().map_err(io::Error::other)? else { return Ok(None) };
        let name = args.tls.server_name(&args.target).map_err(io::Error::other)?;
        Ok(Some(Client { config, name }))
    }

    /// Sends `clear` unencrypted, then begins TLS.
    ///
    /// # Errors
    ///
    /// No session was established within `timeout`.
    pub(in crate::check) fn shake(
        &self,
        mut socket: TcpStream,
        clear: &[u8],
        timeout: Duration,
    ) -> Result<(Box<dyn Stream>, Session), Fault> {
        let asked = Arc::new(Asked { own: self.config.client_auth_cert_resolver.clone(), outcome: OnceLock::new() });
        let mut config = ClientConfig::clone(&self.config);
        config.client_auth_cert_resolver = asked.clone();
        let connection = ClientConnection::new(Arc::new(config), self.name.clone());
        let mut connection = connection.map_err(|error| failed(&error, &asked))?;
        let mut handshake = Handshake::default();
        let start = Instant::now();
        let sent = socket.write_all(clear).map_err(|_| Broken::Closed);
        let done = sent.and_then(|()| handshake.run(&mut connection, &mut socket, timeout));
        done.map_err(|broken| handshake.fault(&broken, &asked, timeout))?;
        let session = session(&connection, start.elapsed(), &asked);
        Ok((Box::new(Encrypted { connection, socket, asked, fault: None }), session))
    }

    /// Whether the server answers a `ClientHello` like a TLS server.
    pub(in crate::check) fn is_answered(mut socket: TcpStream, timeout: Duration) -> bool {
        let args = TlsArgs { tls: true, tls_insecure: true, ..TlsArgs::default() };
        let (Ok(Some(config)), Ok(name)) = (args.config(), args.server_name("localhost")) else { return false };
        let Ok(mut connection) = ClientConnection::new(config, name) else { return false };
        let mut handshake = Handshake::default();
        let result = handshake.run(&mut connection, &mut socket, timeout);
        // An alert or a ServerHello (RFC 8446, sections 4 and 5.1). An echo would be a ClientHello.
        result.is_ok() || matches!(handshake.received[..], [21, 3, ..] | [22, 3, _, _, _, 2, ..])
    }
}

/// Gives rustls the client's certificate, if there is one, and notes whether the server asked for it.
#[derive(Debug)]
struct Asked {
    own: Arc<dyn ResolvesClientCert>,
    /// Whether it was sent, and its Common Name.
    outcome: OnceLock<(ClientCertificate, Option<String>)>,
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let key = self.own.resolve(authorities, schemes);
        let sent = key.as_ref().and_then(|key| key.cert.first());
        let outcome = match sent {
            Some(sent) => (ClientCertificate::Sent, certificate::common_name(sent)),
            None => (ClientCertificate::Asked, None),
        };
        // rustls asks once per handshake.
        let _ = self.outcome.set(outcome);
        key
    }

    fn has_certs(&self) -> bool {
        self.own.has_certs()
    }
}

impl Asked {
    fn outcome(&self) -> (ClientCertificate, Option<String>) {
        self.outcome.get().cloned().unwrap_or((ClientCertificate::NotAsked, None))
    }
}

/// The first bytes of both ends.
#[derive(Default)]
struct Handshake {
    sent: Vec<u8>,
    received: Vec<u8>,
}

/// Why a handshake ends early.
enum Broken {
    TimedOut,
    Closed,
    Failed(Error),
}

impl Handshake {
    /// Most received bytes that are kept, in order to recognise the protocol.
    const KEPT_BYTES: usize = 512;

    fn run(
        &mut self,
        connection: &mut ClientConnection,
        socket: &mut TcpStream,
        timeout: Duration,
    ) -> Result<(), Broken> {
        let end = Instant::now() + timeout;
        let mut bytes = [0; 4096];
        loop {
            self.write(connection, socket)?;
            if !connection.is_handshaking() {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Broken::TimedOut);
            }
            let read = socket.set_read_timeout(Some(left)).and_then(|()| socket.read(&mut bytes));
            let mut read = match read {
                Ok(0) => return Err(Broken::Closed),
                Ok(count) => &bytes[..count],
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Err(Broken::TimedOut),
                    _ => return Err(Broken::Closed),
                },
            };
            let room = Self::KEPT_BYTES.saturating_sub(self.received.len());
            self.received.extend(read.iter().take(room));
            while !read.is_empty() {
                connection.read_tls(&mut read).map_err(|_| Broken::Closed)?;
                if let Err(error) = connection.process_new_packets() {
                    // Send the alert that tells the server why.
                    let _ = self.write(connection, socket);
                    return Err(Broken::Failed(error));
                }
            }
        }
    }

    fn write(&mut self, connection: &mut ClientConnection, socket: &mut TcpStream) -> Result<(), Broken> {
        let mut bytes = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut bytes).map_err(|_| Broken::Closed)?;
        }
        if self.sent.is_empty() {
            self.sent.clone_from(&bytes);
        }
        socket.write_all(&bytes).map_err(|_| Broken::Closed)
    }

    fn fault(&self, broken: &Broken, asked: &Asked, timeout: Duration) -> Fault {
        let is_begun = !self.received.is_empty();
        match broken {
            Broken::TimedOut => timed_out(is_begun, timeout),
            Broken::Closed => closed(is_begun),
            Broken::Failed(error) => self.plain(error).unwrap_or_else(|| failed(error, asked)),
        }
    }

    /// The fault of a server that answers with plain text.
    fn plain(&self, error: &Error) -> Option<Fault> {
        // An echoed ClientHello is a valid message, but servers do not send one.
        let is_echo = self.sent.starts_with(&self.received);
        if !is_echo && explain(error) != Failure::NotTls {
            return None;
        }
        let is_header = self.received.starts_with(b"PROXY ") || self.received.starts_with(b"\r\n\r\n\0\r\nQUIT\n");
        let what = match protocol(&self.received) {
            _ if is_echo => "it sends the ClientHello back".to_owned(),
            _ if is_header => "it answers with a PROXY header".to_owned(),
            Some(protocol) => format!("it speaks {protocol}"),
            None => format!("it answers \"{}\"", Escaped(&self.received[..self.received.len().min(40)])),
        };
        Some(Fault {
            name: Failure::NotTls.name(),
            words: format!("fails: the server does not speak TLS on this port: {what}"),
            advice: vec!["check without --tls, or the port that speaks TLS".to_owned()],
        })
    }
}

fn timed_out(is_begun: bool, timeout: Duration) -> Fault {
    let timeout = humantime::format_duration(timeout);
    let what = if is_begun {
        "the server begins to answer and does not go on"
    } else {
        "the server accepts the connection and does not answer the ClientHello"
    };
    let advice = ["the port may speak plain TCP: check without --tls", "or want a PROXY header first: --send"];
    Fault {
        name: "silent",
        words: format!("does not end within {timeout}: {what}"),
        advice: advice.iter().filter(|_| !is_begun).map(|&line| line.to_owned()).collect(),
    }
}

fn closed(is_begun: bool) -> Fault {
    let advice = [
        "the port speaks plain TCP, and the server takes the ClientHello for a wrong header: check without --tls",
        "or the balancer wants a PROXY header before the handshake: --send",
        "or it has no certificate for this name (--tls-name), or no back end that is up",
    ];
    let words = if is_begun {
        "fails: the connection is closed in the middle of it; the reason is unknown"
    } else {
        "fails: the connection is closed at the ClientHello; the reason is unknown"
    };
    Fault {
        name: Fault::CLOSED,
        words: words.to_owned(),
        advice: advice.iter().filter(|_| !is_begun).map(|&line| line.to_owned()).collect(),
    }
}

/// The fault of a failed handshake: words that say what to do, followed by rustls's own.
fn failed(error: &Error, asked: &Asked) -> Fault {
    let failure = match (asked.outcome().0, error) {
        // With TLS 1.2, OpenSSL sends this alert if the client's certificate is missing.
        (ClientCertificate::Asked, Error::AlertReceived(AlertDescription::HandshakeFailure)) => {
            Failure::CertificateWanted
        }
        (ClientCertificate::Asked, error) if explain(error) == Failure::CertificateRefused => {
            Failure::CertificateWanted
        }
        _ => explain(error),
    };
    Fault { name: failure.name(), words: format!("fails: {failure} ({error})"), advice: Vec::new() }
}

fn session(connection: &ClientConnection, handshake: Duration, asked: &Asked) -> Session {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        // rustls has no other versions.
        _ => "TLSv1.3",
    };
    let cipher = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    let group = connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    let (client_certificate, client_name) = asked.outcome();
    Session {
        version,
        // rustls uses its own prefix for cipher suites of TLS 1.3.
        cipher: cipher.unwrap_or_default().replacen("TLS13_", "TLS_", 1),
        group,
        alpn: connection.alpn_protocol().map(|name| Escaped(name).to_string()),
        handshake,
        client_certificate,
        client_name,
        certificate: certificate.and_then(|der| certificate::read(der, SystemTime::now()).ok()),
        told: Told::default(),
    }
}

/// The connection after its handshake.
struct Encrypted {
    connection: ClientConnection,
    socket: TcpStream,
    asked: Arc<Asked>,
    fault: Option<Fault>,
}

impl Encrypted {
    fn flush_records(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

impl Stream for Encrypted {
    fn fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }
}

impl Read for Encrypted {
    /// Reads the socket at most once. If that gives no payload (a session ticket, for example), it returns
    /// `Interrupted`.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.connection.reader().read(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            read => return read,
        }
        self.connection.read_tls(&mut self.socket)?;
        if let Err(error) = self.connection.process_new_packets() {
            let _ = self.flush_records();
            self.fault = Some(failed(&error, &self.asked));
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        self.flush_records()?;
        match self.connection.reader().read(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::Interrupted.into()),
            read => read,
        }
    }
}

impl Write for Encrypted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.connection.writer().write(bytes)?;
        self.flush_records()?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_records()
    }
}

//! TLS servers in the test's own process: they echo over TLS, and some misbehave.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use proxy_echo_client::tls::rustls::crypto::ring;
use proxy_echo_client::tls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use proxy_echo_client::tls::rustls::server::WebPkiClientVerifier;
use proxy_echo_client::tls::rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, Stream};
use rcgen::{CertificateParams, CertifiedKey, DnType, KeyPair, date_time_ymd};
use tempfile::TempDir;

use crate::common::SIZE;

/// The name of all certificates except wrong ones.
pub const NAME: &str = "echo.test";

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Echoes.
    Echoes,
    /// Echoes without TLS.
    IsPlain,
    /// Changes a byte of each connection.
    Corrupts,
    /// Ends each connection after ten messages, without `close_notify`.
    Cuts,
    /// Ends each connection after ten messages, with `close_notify`.
    Closes,
    /// Reads and never answers.
    Ignores,
    /// Demands a client certificate.
    WantsCertificate,
    /// Its certificate has expired.
    IsExpired,
    /// Its certificate is for another name.
    IsAnother,
}

/// A server, and the handshakes that it saw.
pub struct Front {
    pub address: SocketAddr,
    pub full: Arc<AtomicU64>,
    pub resumed: Arc<AtomicU64>,
    /// Its self-signed certificate, followed by its key.
    pub pem: PathBuf,
    is_over: Arc<AtomicBool>,
    _directory: TempDir,
}

impl Front {
    pub fn start(way: Way) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pem = directory.path().join("server.pem");
        let own = certificate(if way == Way::IsAnother { "other.test" } else { NAME }, way == Way::IsExpired);
        fs::write(&pem, own.cert.pem() + &own.signing_key.serialize_pem()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = Front {
            address: listener.local_addr().unwrap(),
            full: Arc::default(),
            resumed: Arc::default(),
            pem,
            is_over: Arc::default(),
            _directory: directory,
        };
        let (config, is_over) = (Arc::new(config(&own, way)), front.is_over.clone());
        let counts = [front.full.clone(), front.resumed.clone()];
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (config, counts) = (config.clone(), counts.clone());
                // The client reports errors.
                thread::spawn(move || serve(stream, config, way, &counts).ok());
            }
        });
        front
    }

    /// The options that make loadtest trust it.
    pub fn trusted(&self) -> String {
        format!("--tls --tls-name {NAME} --tls-ca {}", self.pem.display())
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// A certificate with its own authority.
fn certificate(name: &str, is_expired: bool) -> CertifiedKey<KeyPair> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    // With the same subject, the second authority would look like the first with a wrong signature.
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    params.distinguished_name.push(DnType::CommonName, format!("{name} {number}"));
    if is_expired {
        params.not_after = date_time_ymd(2001, 1, 1);
    }
    let signing_key = KeyPair::generate().unwrap();
    CertifiedKey { cert: params.self_signed(&signing_key).unwrap(), signing_key }
}

fn config(own: &CertifiedKey<KeyPair>, way: Way) -> ServerConfig {
    let certificate: CertificateDer = own.cert.der().clone();
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = if way == Way::WantsCertificate {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let mut config = builder.with_single_cert(vec![certificate], key.into()).unwrap();
    config.alpn_protocols = vec![b"echo".to_vec()];
    config
}

fn serve(
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
    way: Way,
    counts: &[Arc<AtomicU64>; 2],
) -> std::io::Result<()> {
    if way == Way::Ignores {
        let _ = stream.read_to_end(&mut Vec::new());
        return Ok(());
    }
    stream.set_nodelay(true)?;
    if way == Way::IsPlain {
        return std::io::copy(&mut stream.try_clone()?, &mut stream).map(drop);
    }
    let mut tls = ServerConnection::new(config).map_err(std::io::Error::other)?;
    while tls.is_handshaking() {
        // Send the alert that says why.
        if let Err(error) = tls.complete_io(&mut stream) {
            let _ = tls.write_tls(&mut stream);
            return Err(error);
        }
    }
    let is_resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
    counts[usize::from(is_resumed)].fetch_add(1, Ordering::SeqCst);
    let (mut buffer, mut total) = (vec![0; 64 * 1024], 0);
    loop {
        let count = Stream::new(&mut tls, &mut stream).read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let (before, now) = (total, total + count);
        total = now;
        if way == Way::Corrupts && (before..now).contains(&(10 * SIZE + 20)) {
            buffer[10 * SIZE + 20 - before] ^= 1;
        }
        Stream::new(&mut tls, &mut stream).write_all(&buffer[..count])?;
        if now >= 10 * SIZE && matches!(way, Way::Cuts | Way::Closes) {
            if way == Way::Closes {
                tls.send_close_notify();
                tls.complete_io(&mut stream)?;
            }
            stream.shutdown(std::net::Shutdown::Write)?;
            // Read to the end, because a reset would discard the bytes sent.
            let _ = stream.read_to_end(&mut Vec::new());
            return Ok(());
        }
    }
}

/// HAProxy with one thread: it takes TLS, and passes on what is in it to a plain server.
pub struct Haproxy {
    pub address: SocketAddr,
    child: Child,
    _directory: TempDir,
}

impl Haproxy {
    /// With `bind` among the options of its port, and a certificate and its key from `pem`.
    pub fn start(bind: &str, server: SocketAddr, pem: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (file, pem) = (directory.path().join("haproxy.cfg"), pem.display());
        let text = format!(
            "global\n nbthread 1\ndefaults\n mode tcp\n timeout connect 20s\n timeout client 20s\n timeout server 20s\n\
             listen front\n bind fd@0 {bind} ssl crt {pem}\n server echo {server}\n"
        );
        fs::write(&file, text).unwrap();
        let places = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"].map(|directory| format!("{directory}/haproxy"));
        let found = places.iter().find(|file| fs::metadata(file).is_ok());
        let mut command = Command::new(found.expect("haproxy is not installed: run `apt-get install haproxy`"));
        // It inherits a socket that listens already: no connection comes too early.
        command.args(["-db", "-f"]).arg(&file).stdin(OwnedFd::from(listener));
        Haproxy { address, child: command.spawn().unwrap(), _directory: directory }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

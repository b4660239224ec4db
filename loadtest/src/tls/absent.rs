//! Stubs in place of TLS if the feature `tls` is off: types that cannot exist.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use crate::cli::LoadArgs;
use crate::result::TlsSettings;

/// The settings of `--tls`.
#[derive(Clone, Debug)]
pub enum Tls {}

/// State that a worker's connections share.
#[derive(Debug)]
pub enum Client {}

/// The TLS session of a connection.
#[derive(Debug)]
pub enum Session {}

/// The result of a read.
#[derive(Debug)]
pub struct Input {
    /// Bytes of payload.
    pub payload: usize,
    /// Whether the socket may have more.
    pub has_more: bool,
    /// Why no input follows.
    pub end: Option<io::Error>,
}

/// The result of a handshake.
#[derive(Debug)]
pub struct Agreed {
    /// Whether it resumed an earlier session.
    pub is_resumed: bool,
    /// Version, cipher suite and protocol, in words.
    pub words: String,
}

#[expect(clippy::missing_errors_doc, reason = "nothing of this is ever called")]
impl Tls {
    /// Always `None`: there is no option that asks for TLS.
    pub fn new(_: &LoadArgs, _: &[String]) -> Result<Option<Self>, String> {
        Ok(None)
    }

    /// The settings for the result.
    #[must_use]
    pub fn settings(&self) -> TlsSettings {
        match *self {}
    }

    /// The shared state of a worker.
    #[must_use]
    pub fn client(&self, _: u64, _: usize) -> Client {
        match *self {}
    }
}

#[expect(clippy::missing_errors_doc, reason = "nothing of this is ever called")]
impl Client {
    /// A session.
    pub fn session(&self, _: SocketAddr) -> io::Result<Session> {
        match *self {}
    }
}

#[expect(clippy::missing_errors_doc, reason = "nothing of this is ever called")]
impl Session {
    /// Begins.
    pub fn begin(&mut self, _: &mut impl Write, _: &[u8]) -> io::Result<()> {
        match *self {}
    }

    /// Whether the handshake is in progress.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        match *self {}
    }

    /// The result of the handshake.
    #[must_use]
    pub fn agreed(&self) -> Agreed {
        match *self {}
    }

    /// Whether bytes wait for the socket.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        match *self {}
    }

    /// Reads.
    pub fn read(&mut self, _: &mut (impl Read + Write), _: &mut Client, _: &mut [u8]) -> io::Result<Input> {
        match *self {}
    }

    /// Sends.
    pub fn send(&mut self, _: &mut impl Write, _: &mut Client, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    /// Ends the session.
    pub fn close(&mut self, _: &mut impl Write, _: &mut Client) {
        match *self {}
    }
}

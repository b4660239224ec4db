//! In place of TLS where the feature `tls` is off: nothing that could be made.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use crate::cli::LoadArgs;
use crate::result::TlsSettings;

/// What `--tls` asks for.
#[derive(Clone, Debug)]
pub enum Tls {}

/// What the connections of a worker share.
#[derive(Debug)]
pub enum Client {}

/// A connection's TLS.
#[derive(Debug)]
pub enum Session {}

/// What a read came to.
#[derive(Debug)]
pub struct Input {
    /// Bytes of payload.
    pub payload: usize,
    /// Whether the socket may have more.
    pub has_more: bool,
    /// Why nothing comes behind them.
    pub end: Option<io::Error>,
}

/// What a handshake came to.
#[derive(Debug)]
pub struct Agreed {
    /// Whether it resumed an earlier session.
    pub is_resumed: bool,
    /// Version, cipher suite and protocol, in words.
    pub words: String,
}

#[expect(clippy::missing_errors_doc, reason = "nothing of this is ever called")]
impl Tls {
    /// There is no option that asks for it.
    pub fn new(_: &LoadArgs, _: &[String]) -> Result<Option<Self>, String> {
        Ok(None)
    }

    /// As the result has them.
    #[must_use]
    pub fn settings(&self) -> TlsSettings {
        match *self {}
    }

    /// For a worker.
    #[must_use]
    pub fn client(&self, _: u64, _: usize) -> Client {
        match *self {}
    }
}

#[expect(clippy::missing_errors_doc, reason = "nothing of this is ever called")]
impl Client {
    /// A connection.
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

    /// Whether the handshake is not over.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        match *self {}
    }

    /// What the handshake came to.
    #[must_use]
    pub fn agreed(&self) -> Agreed {
        match *self {}
    }

    /// Whether the socket has to take something.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        match *self {}
    }

    /// One read.
    pub fn read(&mut self, _: &mut (impl Read + Write), _: &mut Client, _: &mut [u8]) -> io::Result<Input> {
        match *self {}
    }

    /// Sends.
    pub fn send(&mut self, _: &mut impl Write, _: &mut Client, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    /// Says that nothing more comes.
    pub fn close(&mut self, _: &mut impl Write, _: &mut Client) {
        match *self {}
    }
}

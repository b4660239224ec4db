//! Stubs for a build without TLS.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use super::{Fault, Session, Stream};
use crate::cli::CheckArgs;

/// A client that cannot exist.
pub(in crate::check) enum Client {}

impl Client {
    #[allow(clippy::unnecessary_wraps, reason = "the other client's files can be wrong")]
    pub(in crate::check) fn new(_: &CheckArgs) -> io::Result<Option<Self>> {
        Ok(None)
    }

    pub(in crate::check) fn shake(
        &self,
        _: TcpStream,
        _: &[u8],
        _: Duration,
    ) -> Result<(Box<dyn Stream>, Session), Fault> {
        match *self {}
    }

    /// Whether the server answers a `ClientHello`; unknown in this build.
    pub(in crate::check) fn is_answered(_: TcpStream, _: Duration) -> bool {
        false
    }
}

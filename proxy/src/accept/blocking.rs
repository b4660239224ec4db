//! Headers read from blocking streams.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::reading::{Begun, Reading};
use super::{AcceptError, Acceptor, PayloadStream};
use crate::OwnedHeader;
use crate::policy::Expect;

/// A blocking stream whose reads can be limited in time.
pub trait ReadTimeout: Read {
    /// As [`TcpStream::read_timeout`].
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn read_timeout(&self) -> io::Result<Option<Duration>>;

    /// As [`TcpStream::set_read_timeout`]: a read that takes longer fails with [`ErrorKind::WouldBlock`] or
    /// [`ErrorKind::TimedOut`].
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
}

impl ReadTimeout for TcpStream {
    fn read_timeout(&self) -> io::Result<Option<Duration>> {
        TcpStream::read_timeout(self)
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        TcpStream::set_read_timeout(self, timeout)
    }
}

#[cfg(unix)]
impl ReadTimeout for UnixStream {
    fn read_timeout(&self) -> io::Result<Option<Duration>> {
        UnixStream::read_timeout(self)
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        UnixStream::set_read_timeout(self, timeout)
    }
}

impl Acceptor {
    /// Reads the header of a connection from `peer`, if the policy allows or requires one from that peer. Returns the
    /// header, if there is one, and the connection after it.
    ///
    /// The stream must block. [`ErrorKind::WouldBlock`] is taken for a timeout.
    ///
    /// # Errors
    ///
    /// [`AcceptError`]; the connection is closed then.
    pub fn accept<S: ReadTimeout>(
        &self,
        stream: S,
        peer: SocketAddr,
    ) -> Result<(Option<OwnedHeader>, PayloadStream<S>), AcceptError> {
        let expect = self.policy.admit(peer.ip()).ok_or(AcceptError::NotTrusted(peer.ip()))?;
        self.read(stream, expect)
    }

    /// Reads the beginning of a connection without asking the policy. For UNIX sockets, whose peers have no address.
    ///
    /// # Errors
    ///
    /// As [`Acceptor::accept`].
    pub fn read<S: ReadTimeout>(
        &self,
        mut stream: S,
        expect: Expect,
    ) -> Result<(Option<OwnedHeader>, PayloadStream<S>), AcceptError> {
        let Some(mut reading) = Reading::new(expect, self.max_len) else { return Ok(Begun::unread().on(stream)) };
        let timeout_before = stream.read_timeout()?;
        let begun = self.begin(&mut stream, &mut reading)?;
        stream.set_read_timeout(timeout_before)?;
        Ok(begun.on(stream))
    }

    fn begin(&self, stream: &mut impl ReadTimeout, reading: &mut Reading) -> Result<Begun, AcceptError> {
        // A deadline too far away for `Instant` is no limit.
        let mut deadline = Instant::now().checked_add(self.silence_timeout);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            // The system takes a timeout of zero for no limit.
            if left.is_some_and(|left| left.is_zero()) {
                return reading.timed_out();
            }
            stream.set_read_timeout(left)?;
            let was_silent = reading.is_silent();
            match stream.read(reading.room()) {
                Ok(count) => {
                    if let Some(begun) = reading.took(count)? {
                        return Ok(begun);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return reading.timed_out();
                }
                Err(error) => return Err(error.into()),
            }
            if was_silent && !reading.is_silent() {
                deadline = Instant::now().checked_add(self.header_timeout);
            }
        }
    }
}

//! Headers read from tokio's streams.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, ErrorKind, IoSlice};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::reading::{Begun, Reading};
use super::{AcceptError, Acceptor, PayloadStream};
use crate::OwnedHeader;
use crate::policy::Expect;

impl Acceptor {
    /// As [`Acceptor::accept`], for a stream of tokio. Needs a runtime whose timers are enabled.
    ///
    /// Dropping the future closes the connection and discards the bytes read.
    ///
    /// # Errors
    ///
    /// [`AcceptError`]; the connection is closed then.
    pub async fn accept_async<S: AsyncRead + Unpin>(
        &self,
        stream: S,
        peer: SocketAddr,
    ) -> Result<(Option<OwnedHeader>, PayloadStream<S>), AcceptError> {
        let expect = self.policy.admit(peer.ip()).ok_or(AcceptError::NotTrusted(peer.ip()))?;
        self.read_async(stream, expect).await
    }

    /// As [`Acceptor::read`], for a stream of tokio.
    ///
    /// # Errors
    ///
    /// As [`Acceptor::accept_async`].
    pub async fn read_async<S: AsyncRead + Unpin>(
        &self,
        mut stream: S,
        expect: Expect,
    ) -> Result<(Option<OwnedHeader>, PayloadStream<S>), AcceptError> {
        let Some(mut reading) = Reading::new(expect, self.max_len) else { return Ok(Begun::unread().on(stream)) };
        let begun = match self.begin_async(&mut stream, &mut reading).await? {
            Some(begun) => begun,
            None => reading.timed_out()?,
        };
        Ok(begun.on(stream))
    }

    /// Returns `None` when the time limit has passed.
    async fn begin_async(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        reading: &mut Reading,
    ) -> Result<Option<Begun>, AcceptError> {
        let Ok(first) = timeout(self.silence_timeout, read(stream, reading)).await else { return Ok(None) };
        if let Some(begun) = reading.took(first?)? {
            return Ok(Some(begun));
        }
        let rest = async {
            loop {
                let count = read(stream, reading).await?;
                if let Some(begun) = reading.took(count)? {
                    return Ok(begun);
                }
            }
        };
        match timeout(self.header_timeout, rest).await {
            Ok(begun) => begun.map(Some),
            Err(_) => Ok(None),
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin), reading: &mut Reading) -> io::Result<usize> {
    loop {
        match stream.read(reading.room()).await {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PayloadStream<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread().is_empty() {
            return Pin::new(this.get_mut()).poll_read(context, buffer);
        }
        this.take_first(buffer.remaining(), |first| buffer.put_slice(first));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PayloadStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.get_mut().get_mut()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.get_mut().get_mut()).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.get_ref().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().get_mut()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().get_mut()).poll_shutdown(context)
    }
}

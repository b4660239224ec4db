//! The interface through which a connection reports its events.

use proxy::Header;

use super::outcome::Refusal;

/// Receives the events of a connection in their order.
pub trait Observer {
    /// A header is complete.
    fn header(&mut self, header: &Header<'_>);
    /// The connection has no header, and none is required.
    fn plain(&mut self);
    /// The header was refused; `received` are the bytes that caused it.
    fn refused(&mut self, refusal: Refusal, received: &[u8]);
    /// `count` bytes of payload were received.
    fn received(&mut self, count: usize);
    /// Payload that is echoed: each byte once, in whole lines if the echo unit is lines.
    fn payload(&mut self, bytes: &[u8]);
    /// `count` bytes were sent.
    fn sent(&mut self, count: usize);
}

/// Ignores all events.
impl Observer for () {
    fn header(&mut self, _: &Header<'_>) {}
    fn plain(&mut self) {}
    fn refused(&mut self, _: Refusal, _: &[u8]) {}
    fn received(&mut self, _: usize) {}
    fn payload(&mut self, _: &[u8]) {}
    fn sent(&mut self, _: usize) {}
}

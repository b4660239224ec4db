//! Who is told what a connection does.

use proxy::Header;

use super::outcome::Refusal;

/// Is told what a connection does, in the order in which it happens.
pub trait Observer {
    /// A header is complete.
    fn header(&mut self, header: &Header<'_>);
    /// There is no header, and none is required.
    fn plain(&mut self);
    /// No header came, and none will: `received` is why.
    fn refused(&mut self, refusal: Refusal, received: &[u8]);
    /// That many bytes of payload came.
    fn received(&mut self, count: usize);
    /// Payload as it is echoed: each byte once; whole lines if the echo is by lines.
    fn payload(&mut self, bytes: &[u8]);
    /// That many bytes were sent.
    fn sent(&mut self, count: usize);
}

/// Watches nothing.
impl Observer for () {
    fn header(&mut self, _: &Header<'_>) {}
    fn plain(&mut self) {}
    fn refused(&mut self, _: Refusal, _: &[u8]) {}
    fn received(&mut self, _: usize) {}
    fn payload(&mut self, _: &[u8]) {}
    fn sent(&mut self, _: usize) {}
}

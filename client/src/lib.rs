//! Code that the two clients, `proxy-echo check` and `loadtest`, share.

pub mod resolve;
#[cfg(feature = "tls")]
pub mod tls;

//! Which peers may send a header: the parser's policy, in the words of the command line.

use clap::ValueEnum;
use proxy::policy::{Mode, Network};

/// Whether the server expects headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProxyProtocol {
    /// Every connection must begin with one.
    Required,
    /// A connection may begin with one, for migrations. The specification forbids such guessing (section 2), because any
    /// client can then claim any address: name the balancers with --trust.
    Optional,
    /// Peers in --trust must begin with one. Bytes from all others are payload, even if they look like a header.
    Mixed,
    /// No header is expected: every byte is payload.
    Off,
}

impl From<ProxyProtocol> for Mode {
    fn from(proxy_protocol: ProxyProtocol) -> Self {
        match proxy_protocol {
            ProxyProtocol::Required => Mode::Required,
            ProxyProtocol::Optional => Mode::Optional,
            ProxyProtocol::Mixed => Mode::Mixed,
            ProxyProtocol::Off => Mode::Off,
        }
    }
}

impl ProxyProtocol {
    /// The mode named `name` on the command line.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ProxyProtocol::from_str(name, false).ok()
    }
}

/// The name of a mode on the command line.
pub(crate) fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Required => "required",
        Mode::Optional => "optional",
        Mode::Mixed => "mixed",
        Mode::Off => "off",
    }
}

/// A network, or an address alone.
pub(crate) fn network(text: &str) -> Result<Network, String> {
    text.parse().map_err(|_| "expected a network such as 10.0.0.0/8, or an address".to_owned())
}

//! Who may send a header: the command line's words for the parser's policy.

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
    /// Peers in --trust must begin with one, and all others must not: what they send is payload, whatever it looks like.
    Mixed,
    /// None is looked for: all is payload.
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
    /// The mode that is called `name` on the command line.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ProxyProtocol::from_str(name, false).ok()
    }
}

/// The command line's word for a mode.
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

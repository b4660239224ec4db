//! Who may send a header: the command line's words for the parser's policy.

use proxy::policy::{Mode, Network};

/// Whether the server expects headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ProxyProtocol {
    /// Every connection must begin with one.
    Required,
    /// A connection may begin with one, for migrations. The specification forbids such guessing (section 2), because any
    /// client can then claim any address: name the balancers with --trust.
    Optional,
    /// None is looked for: all is payload.
    Off,
}

impl From<ProxyProtocol> for Mode {
    fn from(proxy_protocol: ProxyProtocol) -> Self {
        match proxy_protocol {
            ProxyProtocol::Required => Mode::Required,
            ProxyProtocol::Optional => Mode::Optional,
            ProxyProtocol::Off => Mode::Off,
        }
    }
}

/// A network, or an address alone.
pub(crate) fn network(text: &str) -> Result<Network, String> {
    text.parse().map_err(|_| "expected a network such as 10.0.0.0/8, or an address".to_owned())
}

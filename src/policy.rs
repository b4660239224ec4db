//! Who may send a header.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::connection::Expect;

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

/// The rule for a new connection.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether the server expects headers.
    pub proxy_protocol: ProxyProtocol,
    /// The peers that may send one; none given is all.
    pub trusted: Vec<IpNet>,
}

impl Policy {
    /// What a connection from `peer` must begin with, or `None` if it must be closed.
    #[must_use]
    pub fn admit(&self, peer: IpAddr) -> Option<Expect> {
        match (self.proxy_protocol, self.trusts(peer)) {
            (ProxyProtocol::Off, _) | (ProxyProtocol::Optional, false) => Some(Expect::Payload),
            (ProxyProtocol::Optional, true) => Some(Expect::Either),
            (ProxyProtocol::Required, true) => Some(Expect::Header),
            (ProxyProtocol::Required, false) => None,
        }
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        // An IPv4 peer of an IPv6 socket is known by a mapped address.
        let peer = peer.to_canonical();
        self.trusted.is_empty() || self.trusted.iter().any(|net| net.contains(&peer))
    }
}

/// A network, or an address alone.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| IpNet::from(address)));
    match network {
        // IPv4 peers are unmapped before the test: such a network would never match.
        Ok(IpNet::V6(net)) if net.addr().to_ipv4_mapped().is_some() => Err("write an IPv4 network as IPv4".to_owned()),
        Ok(network) => Ok(network),
        Err(_) => Err("expected a network such as 10.0.0.0/8, or an address".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_tested_as_what_it_stands_for() {
        let trusted = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        for (proxy_protocol, stranger) in [
            (ProxyProtocol::Required, None),
            (ProxyProtocol::Optional, Some(Expect::Payload)),
            (ProxyProtocol::Off, Some(Expect::Payload)),
        ] {
            let friend = match proxy_protocol {
                ProxyProtocol::Required => Some(Expect::Header),
                ProxyProtocol::Optional => Some(Expect::Either),
                ProxyProtocol::Off => Some(Expect::Payload),
            };
            let policy = Policy { proxy_protocol, trusted: trusted.clone() };
            for peer in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"] {
                assert_eq!(policy.admit(peer.parse().unwrap()), friend, "{peer}");
            }
            for peer in ["11.1.2.3", "::ffff:11.1.2.3", "2001:db9::1", "::10.1.2.3"] {
                assert_eq!(policy.admit(peer.parse().unwrap()), stranger, "{peer}");
            }
            let open = Policy { proxy_protocol, trusted: Vec::new() };
            assert_eq!(open.admit("11.1.2.3".parse().unwrap()), friend);
        }
    }
}

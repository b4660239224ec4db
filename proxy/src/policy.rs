//! Which peers must, may or must not send a header.

use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// Whether connections begin with a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Every connection must begin with one.
    #[default]
    Required,
    /// A connection may begin with one, for migrations. The specification forbids such guessing (section 2), because any
    /// client can then claim any address: name the balancers in [`Policy::trusted`].
    Optional,
    /// Peers in [`Policy::trusted`] must begin with one. Bytes from all other peers are payload, even if they look like a
    /// header. Balancers and direct clients can thus share a port without guessing: the peer's address alone decides
    /// (specification, section 2: "only trusted proxies are allowed to use this protocol"; section 5: safe "only from a number
    /// of known sources"). If no peer is named as trusted, every peer must begin with one.
    Mixed,
    /// No header is expected: every byte is payload.
    Off,
}

/// The rule for new connections. By default every connection must begin with a header, and any peer may send it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether connections begin with a header.
    pub mode: Mode,
    /// The peers that may send a header. If the list is empty, any peer may.
    pub trusted: Vec<Network>,
}

/// What a connection must begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A header.
    Header,
    /// A header or payload.
    Either,
    /// Payload, even if it looks like a header.
    Payload,
}

impl Policy {
    /// What a connection from `peer` must begin with. `None` if a header is required and the peer is not trusted to send
    /// one: close the connection.
    #[must_use]
    pub fn admit(&self, peer: IpAddr) -> Option<Expect> {
        match (self.mode, self.trusts(peer)) {
            (Mode::Off, _) | (Mode::Optional | Mode::Mixed, false) => Some(Expect::Payload),
            (Mode::Optional, true) => Some(Expect::Either),
            (Mode::Required | Mode::Mixed, true) => Some(Expect::Header),
            (Mode::Required, false) => None,
        }
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.is_empty() || self.trusted.iter().any(|network| network.contains(peer))
    }
}

/// A network in CIDR notation, such as `10.0.0.0/8` or `2001:db8::/32`. An address alone is a network of one address.
///
/// ```
/// use proxy_protocol_header::policy::Network;
///
/// let network: Network = "10.0.0.0/8".parse().unwrap();
/// assert!(network.contains("10.1.2.3".parse().unwrap()));
/// assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()), "an IPv4 peer of an IPv6 socket");
/// assert!(!network.contains("11.1.2.3".parse().unwrap()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_len: u8,
}

impl Network {
    /// The network of all addresses that share their first `prefix_len` bits with `address`.
    ///
    /// # Errors
    ///
    /// [`NetworkError`], if the address has fewer bits, or is IPv4-mapped and the prefix ends before its IPv4 address.
    pub fn new(address: IpAddr, prefix_len: u8) -> Result<Self, NetworkError> {
        match address {
            IpAddr::V4(_) if prefix_len > 32 => Err(NetworkError),
            IpAddr::V6(_) if prefix_len > 128 => Err(NetworkError),
            // `contains` compares mapped peers by their IPv4 address: a shorter prefix would never contain any.
            IpAddr::V6(mapped) if mapped.to_ipv4_mapped().is_some() => match prefix_len.checked_sub(96) {
                Some(prefix_len) => Ok(Network { address: mapped.to_canonical(), prefix_len }),
                None => Err(NetworkError),
            },
            _ => Ok(Network { address, prefix_len }),
        }
    }

    /// Whether `address` belongs to the network. An IPv4-mapped IPv6 address stands for its IPv4 address.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let differing = match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => u128::from(own.to_bits() ^ other.to_bits()) << 96,
            (IpAddr::V6(own), IpAddr::V6(other)) => own.to_bits() ^ other.to_bits(),
            _ => return false,
        };
        differing.leading_zeros() >= self.prefix_len.into()
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Network { address, prefix_len: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let Some((address, prefix_len)) = text.split_once('/') else {
            return text.parse::<IpAddr>().map(Network::from).map_err(|_| NetworkError);
        };
        if !prefix_len.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NetworkError);
        }
        let address = address.parse().map_err(|_| NetworkError)?;
        Network::new(address, prefix_len.parse().map_err(|_| NetworkError)?)
    }
}

/// The form that is parsed: the address, a slash and the prefix length.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

/// The text is not a network, or the prefix is longer than the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkError;

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an address or a network such as 10.0.0.0/8 or 2001:db8::/32")
    }
}

impl core::error::Error for NetworkError {}

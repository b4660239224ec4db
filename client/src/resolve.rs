//! Resolves a name to all its addresses: a balancer's name has one for each of its zones, and each may behave
//! differently.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use clap::ValueEnum;

/// The families of addresses to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 only.
    #[value(name = "4")]
    V4,
    /// IPv6 only.
    #[value(name = "6")]
    V6,
}

impl Family {
    fn has(self, address: SocketAddr) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Any => "any",
            Family::V4 => "4",
            Family::V6 => "6",
        })
    }
}

/// The addresses of `HOST:PORT`, each once. They are sorted, because name servers change the order each time and
/// machines that share a load must agree on it.
///
/// # Errors
///
/// The name has no address, or none of this family, or cannot be resolved.
pub fn resolve(target: &str, family: Family) -> io::Result<Vec<SocketAddr>> {
    let mut all: Vec<_> = target.to_socket_addrs()?.collect();
    let has_some = !all.is_empty();
    all.retain(|&address| family.has(address));
    all.sort_unstable();
    // /etc/hosts may list an address twice.
    all.dedup();
    match (all.is_empty(), has_some) {
        (false, _) => Ok(all),
        (true, true) => Err(io::Error::other(format!("it has no IPv{family} address"))),
        (true, false) => Err(io::Error::other("it has no address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_leaves_the_other_out() {
        assert_eq!(resolve("127.0.0.1:80", Family::V4).unwrap(), ["127.0.0.1:80".parse().unwrap()]);
        assert_eq!(resolve("[::1]:80", Family::Any).unwrap(), ["[::1]:80".parse().unwrap()]);
        for (target, family, words) in
            [("127.0.0.1:80", Family::V6, "it has no IPv6 address"), ("[::1]:80", Family::V4, "it has no IPv4 address")]
        {
            assert_eq!(resolve(target, family).unwrap_err().to_string(), words);
        }
    }
}

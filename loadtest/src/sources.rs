//! The source addresses of connections.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

use crate::hosts::{host_count, nth_host};

/// Connections from one address before the next address is used. Linux hands out ports of one parity first; with more
/// connections than about this, each connect searches through all of those ports.
const PER_ADDRESS: u64 = 10_000;

/// The addresses that connections are bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// The system's choice.
    System,
    /// The addresses of a network, one after the other.
    Round(IpNet),
    /// 127.0.0.2 and the following, each for 10,000 connections to each target of this machine.
    Loopback(u64),
    /// 127.0.1.1 to 127.0.1.254 to targets of this machine, one after the other.
    LoopbackRound,
}

impl Sources {
    /// The network asked for, or the choice that the number of connections needs.
    ///
    /// # Errors
    ///
    /// A target is not of the network's family.
    pub fn new(
        network: Option<IpNet>,
        targets: &[SocketAddr],
        connections: u64,
        leaves_time_wait: bool,
    ) -> Result<Self, SourcesError> {
        // On other systems than Linux, 127.0.0.1 is the only address of its network.
        let has_loopback_v4 = cfg!(target_os = "linux") && targets.iter().any(is_loopback_v4);
        match network {
            Some(network) if targets.iter().any(|target| network.addr().is_ipv4() != target.is_ipv4()) => {
                Err(SourcesError::Family)
            }
            Some(network) => Ok(Sources::Round(network)),
            None if has_loopback_v4 && leaves_time_wait => Ok(Sources::LoopbackRound),
            None if has_loopback_v4 && connections / targets.len() as u64 > PER_ADDRESS => {
                Ok(Sources::Loopback(targets.len() as u64))
            }
            None => Ok(Sources::System),
        }
    }

    /// The source address for connection `number` to `target`, or `None` for the system's choice.
    #[must_use]
    pub fn address(&self, number: u64, target: &SocketAddr) -> Option<IpAddr> {
        match self {
            Sources::Loopback(_) | Sources::LoopbackRound if !is_loopback_v4(target) => None,
            Sources::System => None,
            Sources::Round(network) => Some(nth_host(*network, number)),
            Sources::LoopbackRound => Some(nth_host(loopback_round(), number)),
            Sources::Loopback(targets) => {
                // Leave 127.0.0.1 to programs that do not choose their source.
                let offset = 2 + number / (PER_ADDRESS * targets) % (1 << 22);
                Some(IpAddr::V4((u32::from(Ipv4Addr::new(127, 0, 0, 0)) + offset as u32).into()))
            }
        }
    }

    /// Checks that there are ports for `connections` at a time. A port can be used once for each of `targets`.
    ///
    /// # Errors
    ///
    /// There are too few ports.
    pub fn check(&self, connections: u64, targets: u64) -> Result<(), SourcesError> {
        let addresses = match self {
            Sources::System => 1,
            Sources::Round(network) => host_count(*network),
            Sources::LoopbackRound => host_count(loopback_round()),
            Sources::Loopback(_) => return Ok(()),
        };
        let ports = ports();
        if addresses.saturating_mul(ports).saturating_mul(targets) < connections {
            return Err(SourcesError::Ports { connections, addresses, ports });
        }
        Ok(())
    }
}

fn is_loopback_v4(target: &SocketAddr) -> bool {
    matches!(target.ip(), IpAddr::V4(ip) if ip.is_loopback())
}

fn loopback_round() -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 1, 0), 24))
}

/// The number of ports that the system hands out.
fn ports() -> u64 {
    const USUAL: u64 = 28_232;
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = range.split_ascii_whitespace().filter_map(|end| end.parse::<u64>().ok());
    match (ends.next(), ends.next()) {
        (Some(first), Some(last)) if last >= first => last - first + 1,
        _ => USUAL,
    }
}

/// Why the source addresses cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourcesError {
    /// The network is IPv4 and the target IPv6, or the other way round.
    Family,
    /// Not enough ports.
    Ports {
        /// Connections.
        connections: u64,
        /// Source addresses.
        addresses: u64,
        /// Ports of each address.
        ports: u64,
    },
}

impl fmt::Display for SourcesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourcesError::Family => f.write_str("--source-ip: an address of the target's family"),
            SourcesError::Ports { connections, addresses, ports } => write!(
                f,
                "{connections} connections from {addresses} address(es) with {ports} ports each: give --source-ip a network"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_spread_past_ten_thousand() {
        let target = "127.0.0.1:1".parse().unwrap();
        assert_eq!(Sources::new(None, &[target], 10_000, false), Ok(Sources::System));
        let spread = Sources::new(None, &[target], 10_001, false).unwrap();
        assert_eq!(spread.address(9_999, &target).unwrap().to_string(), "127.0.0.2");
        assert_eq!(spread.address(10_000, &target).unwrap().to_string(), "127.0.0.3");
        // A port can be used once for each target, and loopback addresses do not reach targets elsewhere.
        let targets = [target, "192.0.2.1:1".parse().unwrap()];
        assert_eq!(Sources::new(None, &targets, 20_000, false), Ok(Sources::System));
        let spread = Sources::new(None, &targets, 20_002, false).unwrap();
        assert_eq!(spread.address(19_999, &target).unwrap().to_string(), "127.0.0.2");
        assert_eq!(spread.address(0, &targets[1]), None);
    }

    #[test]
    fn ports_that_do_not_suffice_are_said() {
        let one = Sources::Round("127.0.0.9/32".parse().unwrap());
        assert!(one.check(1000, 1).is_ok());
        assert!(one.check(70_000, 3).is_ok(), "ports are those of a target");
        assert!(matches!(one.check(70_000, 1), Err(SourcesError::Ports { addresses: 1, .. })));
    }
}

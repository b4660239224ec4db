//! The hosts of a network: their number, and the n-th of them.

use std::net::IpAddr;

use ipnet::IpNet;

/// The host with this number; numbers beyond the last host begin again at the first.
#[must_use]
pub fn nth_host(network: IpNet, number: u64) -> IpAddr {
    let count = host_count(network);
    // The network and broadcast addresses of larger networks are not hosts.
    let skip = u64::from(matches!(network, IpNet::V4(v4) if v4.prefix_len() < 31));
    let offset = number % count + skip;
    match network.network() {
        IpAddr::V4(first) => IpAddr::V4((u32::from(first) + offset as u32).into()),
        IpAddr::V6(first) => IpAddr::V6((u128::from(first) + u128::from(offset)).into()),
    }
}

/// The number of hosts in a network, up to `u64::MAX`.
#[must_use]
pub fn host_count(network: IpNet) -> u64 {
    let bits = network.max_prefix_len() - network.prefix_len();
    match network {
        IpNet::V4(_) if bits >= 2 => (1 << bits) - 2,
        _ => 1 << bits.min(62),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_leave_out_network_and_broadcast() {
        let network = "10.1.0.0/30".parse().unwrap();
        let hosts: Vec<_> = (0..3).map(|number| nth_host(network, number).to_string()).collect();
        assert_eq!(hosts, ["10.1.0.1", "10.1.0.2", "10.1.0.1"]);
        assert_eq!(host_count("127.0.0.1/32".parse().unwrap()), 1);
    }
}

//! Counts for each connecting peer, in practice the balancers. They are updated when connections open, get a header and
//! close, so that messages cost nothing and no table has to be walked.

use std::net::IpAddr;

use proxy::{Header, Version};
use serde::Serialize;

/// Counts for each peer. The table has a limit: peers without a place are counted together.
#[derive(Debug, Default)]
pub(crate) struct Balancers {
    /// Sorted by address: with this few, a binary search is faster than a hash.
    known: Vec<Balancer>,
    others: Counts,
    /// The earliest time of the next search for a free place.
    next_search_ms: u64,
}

#[derive(Debug)]
struct Balancer {
    peer: IpAddr,
    /// The number of the first connection counted here. Earlier ones are counted with the others.
    first: u64,
    counts: Counts,
}

/// Counts of a peer's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Open connections.
    pub(crate) active: u64,
    pub(crate) accepted: u64,
    /// Connections with a header of version 1.
    pub(crate) v1: u64,
    pub(crate) v2: u64,
    /// Connections without a header, where none is required.
    pub(crate) absent: u64,
    /// Connections whose header was refused.
    pub(crate) refused: u64,
    /// When one was last accepted or closed, in ms since the start.
    #[serde(skip)]
    pub(crate) seen_ms: u64,
}

impl Balancers {
    /// Most peers with their own counts.
    pub(crate) const MAX_KNOWN: usize = 256;
    /// When all places are taken, the time between two searches for a peer that can give up its place, in ms. A search
    /// walks the table.
    const SEARCH_PERIOD_MS: u64 = 1000;

    /// Counts the accepted connection with `number`.
    pub(crate) fn accepted(&mut self, peer: IpAddr, number: u64, now_ms: u64) {
        if self.find(peer).is_err() {
            if self.known.len() >= Self::MAX_KNOWN {
                self.make_room(now_ms);
            }
            if let Err(place) = self.find(peer)
                && self.known.len() < Self::MAX_KNOWN
            {
                self.known.insert(place, Balancer { peer, first: number, counts: Counts::default() });
            }
        }
        let counts = self.of(peer, number);
        counts.accepted += 1;
        counts.active += 1;
        counts.seen_ms = now_ms;
    }

    /// Counts its header.
    pub(crate) fn header(&mut self, peer: IpAddr, number: u64, header: &Header<'_>) {
        let counts = self.of(peer, number);
        match header.version {
            Version::V1 => counts.v1 += 1,
            Version::V2 => counts.v2 += 1,
        }
    }

    /// Counts it as a connection without a header.
    pub(crate) fn plain(&mut self, peer: IpAddr, number: u64) {
        self.of(peer, number).absent += 1;
    }

    /// Counts its refused header.
    pub(crate) fn refused(&mut self, peer: IpAddr, number: u64) {
        self.of(peer, number).refused += 1;
    }

    /// Counts its close.
    pub(crate) fn gone(&mut self, peer: IpAddr, number: u64, now_ms: u64) {
        let counts = self.of(peer, number);
        counts.active -= 1;
        counts.seen_ms = now_ms;
    }

    /// The peers with their own counts.
    pub(crate) fn known(&self) -> impl Iterator<Item = (IpAddr, &Counts)> {
        self.known.iter().map(|balancer| (balancer.peer, &balancer.counts))
    }

    /// The counts of all other peers together.
    pub(crate) fn others(&self) -> &Counts {
        &self.others
    }

    /// The counts to which a connection belongs: the same as when it was accepted.
    fn of(&mut self, peer: IpAddr, number: u64) -> &mut Counts {
        match self.find(peer) {
            Ok(place) if self.known[place].first <= number => &mut self.known[place].counts,
            _ => &mut self.others,
        }
    }

    fn find(&self, peer: IpAddr) -> Result<usize, usize> {
        self.known.binary_search_by_key(&peer, |balancer| balancer.peer)
    }

    /// Frees the place of the least recently seen peer without open connections. Its counts are added to the others.
    fn make_room(&mut self, now_ms: u64) {
        if now_ms < self.next_search_ms {
            return;
        }
        self.next_search_ms = now_ms + Self::SEARCH_PERIOD_MS;
        let idle = self.known.iter().enumerate().filter(|(_, balancer)| balancer.counts.active == 0);
        if let Some((place, _)) = idle.min_by_key(|(_, balancer)| balancer.counts.seen_ms) {
            let balancer = self.known.remove(place);
            self.others.add(&balancer.counts);
        }
    }
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        let Counts { active, accepted, v1, v2, absent, refused, seen_ms } = other;
        self.active += active;
        self.accepted += accepted;
        self.v1 += v1;
        self.v2 += v2;
        self.absent += absent;
        self.refused += refused;
        self.seen_ms = self.seen_ms.max(*seen_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: usize) -> IpAddr {
        IpAddr::from([10, 0, (number >> 8) as u8, number as u8])
    }

    fn sum(balancers: &Balancers) -> Counts {
        let mut sum = *balancers.others();
        balancers.known().for_each(|(_, counts)| sum.add(counts));
        sum
    }

    #[test]
    fn however_many_peers_there_are_every_connection_is_counted_once() {
        let mut balancers = Balancers::default();
        let mut rng = fastrand::Rng::with_seed(1);
        let mut open = Vec::new();
        for number in 1..=50_000 {
            let now_ms = number * 10;
            let peer = peer(rng.usize(..1000));
            balancers.accepted(peer, number, now_ms);
            open.push((peer, number));
            match number % 4 {
                0 => balancers.refused(peer, number),
                1 => balancers.plain(peer, number),
                _ => {}
            }
            if open.len() > 100 {
                let (peer, number) = open.swap_remove(rng.usize(..open.len()));
                balancers.gone(peer, number, now_ms);
            }
            assert!(balancers.known.len() <= Balancers::MAX_KNOWN);
        }
        let counts = Counts { active: 100, accepted: 50_000, refused: 12_500, absent: 12_500, ..Counts::default() };
        assert_eq!(Counts { seen_ms: 0, ..sum(&balancers) }, counts);
        for (peer, number) in open {
            balancers.gone(peer, number, 0);
        }
        assert_eq!(sum(&balancers).active, 0);
        assert!(balancers.known().chain([(peer(0), balancers.others())]).all(|(_, counts)| counts.active == 0));
    }

    #[test]
    fn a_peer_that_is_connected_keeps_its_place() {
        let mut balancers = Balancers::default();
        balancers.accepted(peer(0), 1, 0);
        for number in 2..=1000 {
            balancers.accepted(peer(number), number as u64, number as u64 * 2000);
            balancers.gone(peer(number), number as u64, number as u64 * 2000);
        }
        assert!(balancers.known().any(|(known, counts)| known == peer(0) && counts.active == 1));
        assert!(balancers.known().any(|(known, _)| known == peer(1000)), "the newest has a place");
        assert_eq!(balancers.others().accepted, 1000 - Balancers::MAX_KNOWN as u64);
    }
}

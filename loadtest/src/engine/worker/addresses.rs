//! Chooses the target address of a connection: addresses take turns, and none has more than its share of connections at
//! a time, so that a slow or dead one takes nothing from the others.

use std::net::SocketAddr;

use super::timetable::NEVER;
use crate::plan::{Plan, part};

/// Pause before a failed connect is tried again, in ns; it doubles with each further failure, up to the longest pause.
const PAUSE_NS: u64 = 10_000_000;
const MAX_PAUSE_NS: u64 = 1_000_000_000;
/// Most addresses of a whole run.
const MAX_EVER: usize = 256;

/// All addresses that a worker has had, by the index that connections and counts use. None is ever removed.
#[derive(Debug)]
pub(super) struct Addresses {
    all: Vec<Address>,
    /// The index of the address whose turn is next.
    next: usize,
    /// Most connections at a time to each address.
    share: usize,
    own: u64,
}

#[derive(Debug)]
struct Address {
    target: SocketAddr,
    /// Its connections, including those being established.
    open: usize,
    /// Whether no name resolves to it any more.
    is_gone: bool,
    pause_ns: u64,
    retry_ns: u64,
}

impl Addresses {
    /// The addresses for worker `number` of `workers`, with `own` connections at a time. It begins where the worker
    /// before it ends, so that the connections of all workers spread evenly.
    pub(super) fn new(plan: &Plan, number: u64, workers: u64, own: u64) -> Self {
        let before = number * (plan.connections / workers) + number.min(plan.connections % workers);
        debug_assert_eq!(own, part(plan.connections, number, workers));
        let mut addresses = Addresses { all: Vec::with_capacity(MAX_EVER), next: 0, share: 0, own };
        addresses.replace(&plan.targets);
        addresses.next = (before % plan.targets.len() as u64) as usize;
        addresses
    }

    /// Sets the addresses to which names resolve now. Returns the new ones.
    pub(super) fn replace(&mut self, targets: &[SocketAddr]) -> Vec<SocketAddr> {
        for address in &mut self.all {
            address.is_gone = !targets.contains(&address.target);
        }
        let is_new = |target: &&SocketAddr| self.all.iter().all(|address| address.target != **target);
        let mut new: Vec<_> = targets.iter().filter(is_new).copied().collect();
        new.truncate(MAX_EVER - self.all.len());
        let address = |&target| Address { target, open: 0, is_gone: false, pause_ns: 0, retry_ns: 0 };
        self.all.extend(new.iter().map(address));
        let live = self.all.iter().filter(|address| !address.is_gone).count();
        self.share = (self.own as usize).div_ceil(live.max(1));
        new
    }

    pub(super) fn target(&self, index: usize) -> SocketAddr {
        self.all[index].target
    }

    /// Whether no name resolves to the address any more.
    pub(super) fn is_gone(&self, index: usize) -> bool {
        self.all[index].is_gone
    }

    /// The number of an address's connections above its share.
    pub(super) fn excess(&self, index: usize) -> usize {
        let address = &self.all[index];
        if address.is_gone { address.open } else { address.open.saturating_sub(self.share) }
    }

    /// The next address in turn with room; with `heeds_pauses`, one that is not paused. If there is none, because
    /// removed addresses still have connections, the next one that is not removed.
    pub(super) fn pick(&mut self, now_ns: u64, heeds_pauses: bool) -> usize {
        let count = self.all.len();
        let mut turns = (0..count).map(|step| (self.next + step) % count);
        let may = |index: &usize| {
            let address = &self.all[*index];
            address.has_room(self.share) && (!heeds_pauses || address.retry_ns <= now_ns)
        };
        let picked = turns.clone().find(may).or_else(|| turns.find(|&index| !self.all[index].is_gone));
        let picked = picked.unwrap_or(self.next);
        self.next = (picked + 1) % count;
        picked
    }

    /// The time from which an address has room and is not paused; [`NEVER`] if a connection must end first.
    #[inline]
    pub(super) fn ready_ns(&self) -> u64 {
        let with_room = self.all.iter().filter(|address| address.has_room(self.share));
        with_room.map(|address| address.retry_ns).min().unwrap_or(NEVER)
    }

    pub(super) fn opened(&mut self, index: usize) {
        self.all[index].open += 1;
    }

    pub(super) fn closed(&mut self, index: usize) {
        self.all[index].open -= 1;
    }

    /// Pauses an address after a failure. Failures of connects that began together count as one.
    pub(super) fn pause(&mut self, index: usize, now_ns: u64) {
        let address = &mut self.all[index];
        if now_ns >= address.retry_ns {
            address.pause_ns = (address.pause_ns * 2).clamp(PAUSE_NS, MAX_PAUSE_NS);
            address.retry_ns = now_ns + address.pause_ns;
        }
    }

    /// Resets the pause, because traffic flows.
    #[inline]
    pub(super) fn succeeded(&mut self, index: usize) {
        self.all[index].pause_ns = 0;
    }
}

impl Address {
    #[inline]
    fn has_room(&self, share: usize) -> bool {
        !self.is_gone && self.open < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: u16, own: u64) -> Addresses {
        let mut addresses = Addresses { all: Vec::new(), next: 0, share: 0, own };
        addresses.replace(&targets(1..=count));
        addresses
    }

    fn targets(ports: std::ops::RangeInclusive<u16>) -> Vec<SocketAddr> {
        ports.map(|port| SocketAddr::new([127, 0, 0, 1].into(), port)).collect()
    }

    fn open(addresses: &mut Addresses, times: usize) {
        for _ in 0..times {
            let index = addresses.pick(0, true);
            addresses.opened(index);
        }
    }

    fn counts(addresses: &Addresses) -> Vec<usize> {
        addresses.all.iter().map(|address| address.open).collect()
    }

    #[test]
    fn addresses_take_turns_and_none_has_more_than_its_share() {
        let mut three = addresses(3, 100);
        open(&mut three, 100);
        assert_eq!(counts(&three), [34, 33, 33]);
        // A connection that ends is replaced at the same address if the others have their share.
        let mut two = addresses(2, 4);
        open(&mut two, 4);
        two.closed(1);
        open(&mut two, 1);
        assert_eq!(counts(&two), [2, 2]);
    }

    #[test]
    fn a_pause_of_one_holds_up_no_other() {
        let mut two = addresses(2, 4);
        two.pause(0, 100);
        assert_eq!((two.pick(100, true), two.pick(100, true), two.ready_ns()), (1, 1, 0));
        assert_eq!(two.pick(100, false), 0, "a schedule waits for nobody");
        assert_eq!(two.pick(100 + PAUSE_NS, true), 1);
        assert_eq!(two.pick(100 + PAUSE_NS, true), 0);
    }

    #[test]
    fn new_addresses_get_their_share_and_those_that_are_gone_none() {
        let mut two = addresses(2, 12);
        open(&mut two, 12);
        assert_eq!(two.replace(&targets(2..=4)), targets(3..=4));
        assert_eq!([0, 1, 2].map(|index| two.excess(index)), [6, 2, 0]);
        (0..6).for_each(|_| two.closed(0));
        (0..2).for_each(|_| two.closed(1));
        open(&mut two, 8);
        assert_eq!(counts(&two), [0, 4, 4, 4]);
    }
}

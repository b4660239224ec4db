//! The counters for the admin port: plain numbers, no I/O.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::connection::{Reason, Refusal};
use proxy::{Addresses, Command, Header, Version};

/// Counts since the start.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) accepted: u64,
    /// Open connections.
    active: u64,
    /// The most connections open at a time.
    pub(crate) most_active: u64,
    pub(crate) closed: BTreeMap<&'static str, u64>,
    pub(crate) headers: Headers,
    /// In the order of [`Refusal::all`].
    pub(crate) refused: Vec<(Refusal, u64)>,
    /// All refused headers.
    pub(crate) refused_total: u64,
    /// The last refused headers, the newest first.
    pub(crate) refusals: VecDeque<Refused>,
    /// Connections that ended and looked like health checks.
    pub(crate) probes: u64,
    /// Bytes of payload received.
    pub(crate) received: u64,
    /// Bytes sent, reflected headers included.
    pub(crate) sent: u64,
    pub(crate) accept_errors: u64,
}

/// Headers by version and command; version 1 has `UNKNOWN` in the place of a command for "no client".
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Headers {
    pub(crate) v1_proxy: u64,
    pub(crate) v1_unknown: u64,
    pub(crate) v2_proxy: u64,
    pub(crate) v2_local: u64,
    /// Connections without a header, where none is required.
    pub(crate) absent: u64,
}

/// A refused header.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) time: SystemTime,
    pub(crate) peer: SocketAddr,
    pub(crate) refusal: Refusal,
    /// The offset of the first byte that is wrong.
    pub(crate) offset: usize,
    /// Its first bytes.
    pub(crate) received: Box<[u8]>,
}

impl Default for Metrics {
    fn default() -> Self {
        // Start all counters at 0, so that a monitor sees the first increment.
        let zero = |name| (name, 0);
        Metrics {
            accepted: 0,
            active: 0,
            most_active: 0,
            closed: Reason::ALL.map(Reason::name).map(zero).into(),
            headers: Headers::default(),
            refused: Refusal::all().map(|refusal| (refusal, 0)).collect(),
            refused_total: 0,
            refusals: VecDeque::new(),
            probes: 0,
            received: 0,
            sent: 0,
            accept_errors: 0,
        }
    }
}

impl Metrics {
    /// Most refusals remembered.
    const MAX_REFUSALS: usize = 20;

    pub(crate) fn opened(&mut self) {
        self.accepted += 1;
        self.active += 1;
        self.most_active = self.most_active.max(self.active);
    }

    pub(crate) fn closed(&mut self, reason: Reason) {
        self.active -= 1;
        *self.closed.entry(reason.name()).or_default() += 1;
    }

    pub(crate) fn refused(&mut self, refused: Refused) {
        self.refused_total += 1;
        if let Some((_, count)) = self.refused.iter_mut().find(|(refusal, _)| *refusal == refused.refusal) {
            *count += 1;
        }
        self.refusals.truncate(Self::MAX_REFUSALS - 1);
        self.refusals.push_front(refused);
    }
}

impl Headers {
    pub(crate) fn count(&mut self, header: &Header<'_>) {
        *match (header.version, header.command, header.addresses) {
            (Version::V1, _, Addresses::Unspecified) => &mut self.v1_unknown,
            (Version::V1, ..) => &mut self.v1_proxy,
            (Version::V2, Command::Local, _) => &mut self.v2_local,
            (Version::V2, Command::Proxy, _) => &mut self.v2_proxy,
        } += 1;
    }
}

/// The durations of the reactor's turns, from one wait for events to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns {
    /// The number of turns up to each of [`Turns::BOUNDS`] and above the one before; the last count is of longer turns.
    pub(crate) counts: [u64; Turns::BOUNDS.len() + 1],
    pub(crate) sum: Duration,
}

impl Turns {
    /// One turn out of this many is timed: reading the clock twice costs a third of a message.
    pub(crate) const SAMPLING: u32 = 64;

    /// Upper bounds in seconds.
    pub(crate) const BOUNDS: [f64; 12] = [5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 1e-1];

    pub(crate) fn record(&mut self, turn: Duration) {
        let seconds = turn.as_secs_f64();
        let bound = Self::BOUNDS.iter().position(|&bound| seconds <= bound);
        self.counts[bound.unwrap_or(Self::BOUNDS.len())] += 1;
        self.sum += turn;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_counts_at_the_first_bound_that_holds() {
        let mut turns = Turns::default();
        for micros in [1, 5, 6, 100_000, 100_001] {
            turns.record(Duration::from_micros(micros));
        }
        assert_eq!(turns.counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(turns.sum, Duration::from_micros(200_013));
    }

    #[test]
    fn the_last_refusals_are_remembered() {
        let mut metrics = Metrics::default();
        for offset in 0..100 {
            let (time, peer) = (SystemTime::UNIX_EPOCH, "127.0.0.1:1".parse().unwrap());
            metrics.refused(Refused { time, peer, refusal: Refusal::Cut, offset, received: Box::default() });
        }
        assert!(metrics.refused.contains(&(Refusal::Cut, 100)));
        assert!(metrics.refusals.iter().map(|refused| refused.offset).eq((80..100).rev()));
    }
}

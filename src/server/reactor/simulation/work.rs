//! Asserts the limits of a turn's work after each turn of a schedule.

use super::super::accept::MAX_ACCEPTS;
use super::super::deadlines::{MAX_CLOSES, MAX_LOOKS};
use super::super::ending::{MAX_CUT_LOOKS, MAX_CUTS, Phase};
use super::super::holders::MAX_EVICTIONS;
use super::super::{MAX_QUEUED_TURNS, MAX_TURN_BYTES, Reactor};
use super::world::{Sim, Work};
use crate::connection::Reason;

/// The reactor's counts before a turn.
pub(super) struct Before {
    cut: Option<usize>,
    looked: usize,
    by_time: u64,
    displaced: u64,
    evicted: u64,
    stopped: u64,
}

impl Before {
    pub(super) fn new(reactor: &Reactor<Sim>) -> Self {
        let closed = |reasons: &[Reason]| -> u64 {
            let counts = &reactor.journal.metrics().closed;
            reasons.iter().filter_map(|reason| counts.get(reason.name())).sum()
        };
        Before {
            cut: match reactor.ending.phase {
                Phase::Cutting { cursor } => Some(cursor),
                _ => None,
            },
            looked: reactor.deadlines.looked,
            by_time: closed(&[
                Reason::HeaderTimeout,
                Reason::IdleTimeout,
                Reason::Drained,
                Reason::FirstByteTimeout,
                Reason::StallTimeout,
            ]),
            displaced: closed(&[Reason::Displaced]),
            evicted: closed(&[Reason::Evicted]),
            stopped: closed(&[Reason::Stopped]),
        }
    }

    /// Compares the work of the turn with its limits.
    pub(super) fn check(&self, work: &Work, reactor: &Reactor<Sim>) -> Result<(), String> {
        let now = Before::new(reactor);
        let turns = work.events + 2 * MAX_QUEUED_TURNS;
        let evicted = (now.evicted - self.evicted) as usize;
        let steps = |before: Option<usize>, now: Option<usize>| now.unwrap_or(0).saturating_sub(before.unwrap_or(0));
        for (what, count, most) in [
            ("accepts", work.accepts, MAX_ACCEPTS),
            ("reads", work.reads, turns),
            ("large bytes read", work.large_bytes, 2 * (MAX_TURN_BYTES - 1 + work.largest_read)),
            ("questions to the kernel", work.asked, 2 * MAX_CLOSES),
            ("closes", work.closes, turns + MAX_CLOSES + MAX_CUTS + 2 * MAX_ACCEPTS + evicted),
            ("evictions", evicted, turns * MAX_EVICTIONS),
            ("closes by time", (now.by_time - self.by_time) as usize, MAX_CLOSES),
            ("displaced", (now.displaced - self.displaced) as usize, MAX_ACCEPTS),
            ("closes at the end", (now.stopped - self.stopped) as usize, MAX_CUTS),
            ("connections checked for their time", now.looked - self.looked, MAX_LOOKS),
            ("keys checked at the end", steps(self.cut, now.cut), MAX_CUT_LOOKS),
        ] {
            if count > most {
                return Err(format!("a turn has {count} {what}, and {most} are its limit: {work:?}"));
            }
        }
        Ok(())
    }

    /// Whether the turn closed connections at the end of the server and left some open.
    pub(super) fn cuts_on(&self, reactor: &Reactor<Sim>) -> bool {
        let is_cutting = matches!(reactor.ending.phase, Phase::Cutting { .. });
        self.cut.is_some() && is_cutting && !reactor.connections.is_empty()
    }
}

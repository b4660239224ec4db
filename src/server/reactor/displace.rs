//! Who makes room for a newcomer at the limit of connections: the one that has been silent longest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Reactor;
use crate::connection::Reason;
use crate::net::system::System;

/// Most connections that one search finds.
const MAX_CANDIDATES: usize = 256;

/// Shortest time from one search to the next, in ms.
const MIN_DISTANCE_MS: u64 = 250;

#[derive(Debug, Default)]
pub(super) struct Displacing {
    /// By silence in ms and key, while a pass goes over the connections: those with the shortest silence give way to others.
    found: BinaryHeap<Reverse<(u32, usize)>>,
    /// What the last search found, the longest silence last.
    candidates: Vec<usize>,
    next_search_ms: u64,
}

impl Displacing {
    /// Whether the last search found somebody who has not been asked yet.
    pub(super) fn has_candidates(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// When there may be another search.
    pub(super) fn next_search_ms(&self) -> u64 {
        self.next_search_ms
    }

    /// A search meets a connection that has been silent for so long.
    pub(super) fn offer(&mut self, key: usize, silent_ms: u32) {
        self.found.push(Reverse((silent_ms, key)));
        if self.found.len() > MAX_CANDIDATES {
            self.found.pop();
        }
    }

    /// A search is over.
    pub(super) fn finish(&mut self) {
        self.candidates.clear();
        while let Some(Reverse((_, key))) = self.found.pop() {
            self.candidates.push(key);
        }
    }
}

impl<S: System> Reactor<S> {
    /// Whether there are as many connections as may be.
    pub(super) fn is_full(&self) -> bool {
        self.connections.len() >= self.entrance.max_connections()
    }

    /// Closes the connection that has been silent longest, if that is long enough; or else looks for it, if there was no search
    /// a moment ago.
    pub(super) fn displace(&mut self) -> bool {
        let now_ms = self.now_ms();
        while let Some(key) = self.displacing.candidates.pop() {
            // It may have spoken, or its key may be another's.
            let connection = self.connections.get(key);
            let silent_ms =
                connection.and_then(|connection| connection.silent_ms(&self.deadlines.limits, now_ms as u32));
            if silent_ms.is_some_and(|ms| ms >= self.deadlines.limits.min_silence_ms()) {
                self.close(key, Reason::Displaced);
                return true;
            }
        }
        if self.displacing.next_search_ms <= now_ms {
            self.displacing.next_search_ms = now_ms + MIN_DISTANCE_MS.max(self.connections.len() as u64 / 500);
            self.deadlines.search(now_ms);
        }
        false
    }
}

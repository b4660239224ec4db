//! At the connection limit, the connection that has been silent longest makes room for a new one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Reactor;
use crate::connection::Reason;
use crate::net::system::System;

/// Most candidates that one search keeps.
const MAX_CANDIDATES: usize = 256;

/// Shortest time between two searches, in ms.
const MIN_DISTANCE_MS: u64 = 250;

#[derive(Debug, Default)]
pub(super) struct Displacing {
    /// The candidates found so far by the present pass, as silence in ms and key. When it is full, the shortest silence
    /// is dropped.
    found: BinaryHeap<Reverse<(u32, usize)>>,
    /// The candidates of the last search, the longest silence last.
    candidates: Vec<usize>,
    next_search_ms: u64,
}

impl Displacing {
    /// Whether candidates of the last search are left.
    pub(super) fn has_candidates(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// The earliest time of the next search.
    pub(super) fn next_search_ms(&self) -> u64 {
        self.next_search_ms
    }

    /// Offers a connection to the present search.
    pub(super) fn offer(&mut self, key: usize, silent_ms: u32) {
        self.found.push(Reverse((silent_ms, key)));
        if self.found.len() > MAX_CANDIDATES {
            self.found.pop();
        }
    }

    /// Ends the search.
    pub(super) fn finish(&mut self) {
        self.candidates.clear();
        while let Some(Reverse((_, key))) = self.found.pop() {
            self.candidates.push(key);
        }
    }
}

impl<S: System> Reactor<S> {
    /// Whether the connection limit is reached.
    pub(super) fn is_full(&self) -> bool {
        self.connections.len() >= self.entrance.max_connections()
    }

    /// Closes the connection that has been silent longest, if it was silent long enough. Otherwise starts a search,
    /// unless the last one was a moment ago.
    pub(super) fn displace(&mut self) -> bool {
        let now_ms = self.now_ms();
        while let Some(key) = self.displacing.candidates.pop() {
            // It may have spoken meanwhile, or its key may belong to a new connection.
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

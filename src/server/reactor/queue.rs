//! Connections waiting for a turn.

use std::collections::VecDeque;

/// A first in, first out queue of slab keys. Each is queued at most once, so that the queue is never longer than the slab.
///
/// While a key waits, a new connection may take it over. The early turn that this connection gets does no harm.
#[derive(Debug, Default)]
pub(super) struct Queue {
    keys: VecDeque<usize>,
    waits: Vec<bool>,
}

impl Queue {
    /// A queue for keys below `capacity`.
    pub(super) fn new(capacity: usize) -> Self {
        Queue { keys: VecDeque::with_capacity(capacity), waits: vec![false; capacity] }
    }

    pub(super) fn push(&mut self, key: usize) {
        if !std::mem::replace(&mut self.waits[key], true) {
            self.keys.push_back(key);
        }
    }

    pub(super) fn pop(&mut self) -> Option<usize> {
        let key = self.keys.pop_front()?;
        self.waits[key] = false;
        if self.keys.is_empty() {
            // Go back to the start of the ring. Otherwise the whole ring would be touched in time, and become resident
            // memory.
            self.keys.clear();
        }
        Some(key)
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether each key is queued once and is below `end`.
    pub(super) fn is_sound(&self, end: usize) -> bool {
        self.keys.iter().all(|&key| key < end && self.waits[key])
            && self.waits[..end].iter().filter(|&&waits| waits).count() == self.keys.len()
    }
}

/// The queues of the reactor: connections that wait for something other than their socket.
#[derive(Debug)]
pub(super) struct Queues {
    /// Connections whose turn was cut short, or put off.
    pub(super) running: Queue,
    /// Connections that wait for the budget.
    pub(super) starved: Queue,
    /// Connections that try again at `pause_ends_ms`.
    paused: Queue,
    pause_ends_ms: u64,
}

impl Queues {
    /// Empty queues for keys below `capacity`.
    pub(super) fn new(capacity: usize) -> Self {
        let queue = || Queue::new(capacity);
        Queues { running: queue(), starved: queue(), paused: queue(), pause_ends_ms: u64::MAX }
    }

    /// The connection tries again at `ends_ms`, or earlier with connections that are already paused.
    pub(super) fn pause(&mut self, key: usize, ends_ms: u64) {
        self.paused.push(key);
        self.pause_ends_ms = self.pause_ends_ms.min(ends_ms);
    }

    /// When the paused connections try again.
    pub(super) fn pause_ends_ms(&self) -> u64 {
        self.pause_ends_ms
    }

    /// If it is time, queues up to `max` paused connections for a turn.
    pub(super) fn end_pause(&mut self, now_ms: u64, max: usize) {
        if self.pause_ends_ms > now_ms {
            return;
        }
        for _ in 0..max {
            let Some(key) = self.paused.pop() else { break };
            self.running.push(key);
        }
        if self.paused.is_empty() {
            self.pause_ends_ms = u64::MAX;
        }
    }

    /// The number of connections that wait for memory.
    pub(super) fn short_of_memory(&self) -> usize {
        self.starved.len() + self.paused.len()
    }

    /// Whether the queues are consistent for keys below `end`.
    pub(super) fn is_sound(&self, end: usize) -> bool {
        [&self.running, &self.starved, &self.paused].iter().all(|queue| queue.is_sound(end))
            && (self.paused.is_empty() || self.pause_ends_ms < u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_is_short_touches_little_of_its_memory() {
        let mut queue = Queue::new(1000);
        let mut places = std::collections::BTreeSet::new();
        for key in 0..1000 {
            queue.push(key);
            places.insert(queue.keys.as_slices().0.as_ptr());
            assert_eq!(queue.pop(), Some(key));
        }
        assert_eq!(places.len(), 1);
    }
}

//! Connections waiting for a turn.

use std::collections::VecDeque;

/// Slab keys, first in, first out, each at most once: so it is never longer than the slab.
///
/// A key may be taken over by a new connection while it waits; the turn that this one gets too early does no harm.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    keys: VecDeque<usize>,
    waits: Vec<bool>,
}

impl Queue {
    /// A queue for keys below `capacity`.
    pub(crate) fn new(capacity: usize) -> Self {
        Queue { keys: VecDeque::with_capacity(capacity), waits: vec![false; capacity] }
    }

    pub(crate) fn push(&mut self, key: usize) {
        if !std::mem::replace(&mut self.waits[key], true) {
            self.keys.push_back(key);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<usize> {
        let key = self.keys.pop_front()?;
        self.waits[key] = false;
        Some(key)
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

//! Connections with an unfinished header or line, ordered by size. When the memory for them is used up, the largest is
//! closed.
//!
//! Sizes are compared by powers of two; among equals the oldest is closed. A connection that holds a few bytes, such as
//! a usual header split into two segments, is therefore kept as long as another one holds more.

use super::Reactor;
use crate::connection::{Budget, Pool, Reason};
use crate::net::system::System;

/// Powers of two up to the longest line, 1 MiB.
const CLASSES: usize = 22;

/// Most connections closed in order to free memory for one connection's turn.
pub(super) const MAX_EVICTIONS: usize = if cfg!(test) { 1 } else { 16 };

/// Linked lists of keys. All operations take constant time. Memory is used only for keys that have held something.
#[derive(Debug)]
pub(super) struct Holders {
    links: Vec<Link>,
    /// The oldest and the newest key for each pool and size class.
    lists: Vec<[u32; 2]>,
    /// Bytes in each pool.
    totals: [usize; 2],
    count: usize,
}

/// The previous key, the next key, the list and the size. Keys and lists are counted from 1, so that the array begins
/// as zeros: untouched zero pages take no memory.
type Link = [u32; 4];
const PREVIOUS: usize = 0;
const NEXT: usize = 1;
const LIST: usize = 2;
const SIZE: usize = 3;

impl Holders {
    /// Empty lists for keys below `capacity`.
    pub(super) fn new(capacity: usize) -> Self {
        Holders { links: vec![[0; 4]; capacity], lists: vec![[0; 2]; 2 * CLASSES + 1], totals: [0; 2], count: 0 }
    }

    /// Notes that the connection at `key` holds `size` unfinished bytes.
    pub(super) fn note(&mut self, key: usize, pool: Pool, size: usize) {
        let class = (usize::BITS - size.leading_zeros()) as usize;
        let list = 1 + pool as usize * CLASSES + class.min(CLASSES - 1);
        let size = size as u32;
        if self.links[key][LIST] == list as u32 {
            self.totals[pool as usize] -= self.links[key][SIZE] as usize;
            self.totals[pool as usize] += size as usize;
            self.links[key][SIZE] = size;
            return;
        }
        self.remove(key);
        let this = key as u32 + 1;
        let [oldest, newest] = &mut self.lists[list];
        let previous = std::mem::replace(newest, this);
        match previous {
            0 => *oldest = this,
            previous => self.links[previous as usize - 1][NEXT] = this,
        }
        self.links[key] = [previous, 0, list as u32, size];
        self.totals[pool as usize] += size as usize;
        self.count += 1;
    }

    /// Notes that the connection at `key` holds nothing unfinished any more, or was closed.
    pub(super) fn remove(&mut self, key: usize) {
        if self.count == 0 || self.links[key][LIST] == 0 {
            return;
        }
        let [previous, next, list, size] = std::mem::take(&mut self.links[key]);
        match previous {
            0 => self.lists[list as usize][0] = next,
            previous => self.links[previous as usize - 1][NEXT] = next,
        }
        match next {
            0 => self.lists[list as usize][1] = previous,
            next => self.links[next as usize - 1][PREVIOUS] = previous,
        }
        self.totals[(list as usize - 1) / CLASSES] -= size as usize;
        self.count -= 1;
    }

    /// The key and size of the connection to close first.
    fn largest(&self, pool: Pool) -> Option<(usize, usize)> {
        let first = 1 + pool as usize * CLASSES;
        let list = self.lists[first..first + CLASSES].iter().rev().find(|[first, _]| *first > 0)?;
        let key = list[0] as usize - 1;
        Some((key, self.links[key][SIZE] as usize))
    }

    /// Unfinished bytes in the pool.
    fn total(&self, pool: Pool) -> usize {
        self.totals[pool as usize]
    }

    /// The number of connections that hold unfinished bytes.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

impl<S: System> Reactor<S> {
    /// Updates the lists after a turn of the connection at `key`.
    pub(super) fn note_holder(&mut self, key: usize) {
        match self.connections[key].unfinished() {
            Some((pool, size)) => self.holders.note(key, pool, size),
            None => self.holders.remove(key),
        }
    }

    /// Closes connections until the pool has room for a read. Returns whether it has.
    pub(super) fn evict(&mut self, pool: Pool) -> bool {
        for _ in 0..MAX_EVICTIONS {
            if self.has_room(pool) {
                return true;
            }
            let Some((key, size)) = self.holders.largest(pool) else { return false };
            // If output that peers do not take uses the memory, closing connections with short lines would not help.
            let is_to_blame = self.holders.total(pool) >= self.shared.budget.payload_limit() / 2;
            if pool == Pool::Payload && size < Budget::MIN_READ && !is_to_blame {
                return false;
            }
            self.close(key, Reason::Evicted);
        }
        self.has_room(pool)
    }

    fn has_room(&self, pool: Pool) -> bool {
        match pool {
            Pool::Headers => self.shared.budget.room_for_header() > 0,
            Pool::Payload => self.shared.budget.room() > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_goes_first_and_of_those_the_oldest() {
        let mut holders = Holders::new(8);
        for (key, size) in [(0, 20), (1, 5000), (2, 70_000), (3, 66_000), (4, 0x10_0000), (5, 20)] {
            holders.note(key, if key == 4 { Pool::Payload } else { Pool::Headers }, size);
        }
        // A connection keeps its age within its class, and loses it when it moves to a larger one.
        holders.note(2, Pool::Headers, 80_000);
        holders.note(0, Pool::Headers, 4000);
        assert_eq!((holders.count(), holders.total(Pool::Headers)), (6, 20 + 5000 + 80_000 + 66_000 + 4000));
        let mut order = Vec::new();
        while let Some((key, _)) = holders.largest(Pool::Headers) {
            holders.remove(key);
            order.push(key);
        }
        assert_eq!(order, [2, 3, 1, 0, 5]);
        assert_eq!(holders.largest(Pool::Payload), Some((4, 0x10_0000)));
        holders.remove(4);
        holders.remove(4);
        assert_eq!((holders.count(), holders.totals), (0, [0; 2]));
    }
}

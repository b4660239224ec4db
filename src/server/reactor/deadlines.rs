//! The time limits of connections.
//!
//! Traffic does not update timers. When the first time limit could be over, one pass checks all connections. The pause
//! between passes grows with their length. A pass goes over the slab in slices, one slice a turn.

use std::collections::HashMap;

use super::{NEVER_MS, Reactor};
use crate::connection::{Connection, Delivery, Stream, TimeLimits};
use crate::net::system::System;

/// Most connections checked in a turn.
pub(super) const MAX_LOOKS: usize = if cfg!(test) { 3 } else { 4096 };
/// Most connections closed in a turn, and most whose acknowledgements the kernel is asked for.
pub(super) const MAX_CLOSES: usize = if cfg!(test) { 2 } else { 128 };
/// How often within the stall timeout the kernel is asked how much a client has acknowledged.
const LOOKS_PER_STALL: u32 = 4;
/// Most full batches of events that a due pass waits for.
const MAX_BATCHES: usize = 4096;

#[derive(Debug)]
pub(super) struct Deadlines {
    pub(super) limits: TimeLimits,
    /// The earliest time at which a time limit of any connection can end.
    due_ms: u64,
    /// Batches of events that the due pass has waited for.
    waits: usize,
    pass: Option<Pass>,
    /// Whether the next pass also searches for silent connections.
    is_search: bool,
    /// For connections whose socket is full: the progress of their peers.
    stalls: HashMap<usize, Stall>,
    /// Keys checked since the start.
    #[cfg(test)]
    pub(super) looked: usize,
}

/// The bytes that a peer had acknowledged when the kernel was last asked, and when that number last grew.
#[derive(Debug)]
struct Stall {
    acknowledged: u64,
    since_ms: u32,
}

/// A pass over all connections.
#[derive(Debug)]
struct Pass {
    /// When the pass began. All earlier events have been handled.
    now_ms: u64,
    /// The next key to check.
    cursor: usize,
    /// The rest of the time limit that ends next, in ms.
    next_ms: Option<u32>,
    is_search: bool,
}

impl Deadlines {
    pub(super) fn new(limits: TimeLimits) -> Self {
        Deadlines {
            limits,
            due_ms: NEVER_MS,
            waits: 0,
            pass: None,
            is_search: false,
            stalls: HashMap::new(),
            #[cfg(test)]
            looked: 0,
        }
    }

    /// When the next pass begins.
    pub(super) fn due_ms(&self) -> u64 {
        self.due_ms
    }

    /// Whether a pass has begun, or is due and waits for events.
    pub(super) fn has_more(&self) -> bool {
        self.waits > 0 || self.pass.is_some()
    }

    /// The server is stopping: from now on no connection may be idle for longer than `idle_ms`, counted from now.
    pub(super) fn drain(&mut self, idle_ms: u32, now_ms: u64) {
        self.limits.is_draining = true;
        self.limits.idle_ms = Some(self.limits.idle_ms.map_or(idle_ms, |now| now.min(idle_ms)));
        self.limits.idle_from_ms = Some(now_ms as u32);
        // A pass that has already begun uses the old limit.
        self.pass = None;
        self.due_ms = now_ms;
    }

    /// Makes the next pass search for silent connections, and begin soon.
    pub(super) fn search(&mut self, now_ms: u64) {
        self.is_search = true;
        self.due_ms = self.due_ms.min(now_ms);
    }

    /// Forgets the connection at `key`, which was closed.
    pub(super) fn forget(&mut self, key: usize) {
        if !self.stalls.is_empty() {
            self.stalls.remove(&key);
        }
    }

    /// Time between two questions to the kernel about a client whose socket is full, in ms.
    fn look_period_ms(&self) -> u32 {
        (self.limits.stall_ms / LOOKS_PER_STALL).max(1)
    }

    /// The time until `connection`, whose socket has taken nothing for `stalled_ms`, must be checked again. 0 if its
    /// peer has not acknowledged anything for the whole time limit either.
    fn stall_left_ms<T: Stream>(
        &mut self,
        key: usize,
        connection: &Connection<T>,
        stalled_ms: u32,
        now_ms: u32,
    ) -> u32 {
        let (limit_ms, period_ms) = (self.limits.stall_ms, self.look_period_ms());
        if stalled_ms < period_ms {
            return period_ms - stalled_ms;
        }
        let Ok(Delivery { acknowledged, .. }) = connection.delivery() else {
            return limit_ms.saturating_sub(stalled_ms);
        };
        if self.stalls.try_reserve(1).is_err() {
            return period_ms;
        }
        let stall = self.stalls.entry(key).or_insert(Stall { acknowledged, since_ms: now_ms });
        if stall.acknowledged != acknowledged {
            *stall = Stall { acknowledged, since_ms: now_ms };
        }
        let passed_ms = stalled_ms.min(now_ms.wrapping_sub(stall.since_ms));
        limit_ms.saturating_sub(passed_ms).min(period_ms)
    }

    /// Whether a pass is due and all events from before it were handled.
    fn begin(&mut self, now_ms: u64, open: usize, is_full: bool) -> bool {
        if self.pass.is_some() {
            return true;
        }
        if self.due_ms > now_ms {
            return false;
        }
        // The present batch may be older than this reading of the clock, and while batches are full, the kernel has
        // more events. Connections that spoke in time must have their turn before any is closed. After MAX_BATCHES, all
        // have had one.
        let has_heard_all = self.waits > 0 && !is_full;
        if !has_heard_all && self.waits <= 1 + (open / 64).min(MAX_BATCHES) {
            self.waits += 1;
            return false;
        }
        self.waits = 0;
        self.forgive_sleep(now_ms);
        self.due_ms = NEVER_MS;
        let is_search = std::mem::take(&mut self.is_search);
        self.pass = Some(Pass { now_ms, cursor: 0, next_ms: self.limits.period_ms(), is_search });
        true
    }

    /// After the process itself was suspended, connections that spoke meanwhile have stamps from before. Starts all
    /// idle times anew.
    fn forgive_sleep(&mut self, now_ms: u64) {
        const MIN_SLEEP_MS: u32 = 100;
        if let Some(period_ms) = self.limits.period_ms()
            && now_ms > self.due_ms + u64::from(period_ms.max(MIN_SLEEP_MS))
        {
            self.limits.idle_from_ms = Some(now_ms as u32);
        }
    }
}

impl<S: System> Reactor<S> {
    /// Moves the next pass earlier if the time limit of the connection at `key`, or the clock's period, ends before it.
    pub(super) fn watch_time(&mut self, key: usize) {
        let now_ms = self.now_ms();
        let deadlines = &mut self.deadlines;
        let connection = &self.connections[key];
        let mut left_ms = connection.time_left(&deadlines.limits, now_ms as u32);
        if connection.stalled_ms(now_ms as u32).is_some() {
            left_ms = left_ms.map(|left_ms| left_ms.min(deadlines.look_period_ms()));
        }
        if let Some(next_ms) = left_ms.into_iter().chain(deadlines.limits.period_ms()).min() {
            deadlines.due_ms = deadlines.due_ms.min(now_ms + u64::from(next_ms));
        }
    }

    /// Does a slice of a pass, if one is due: closes the connections whose time is over, and finds the time limit that
    /// ends next. `is_full` says whether the kernel may have more events than those of this turn.
    pub(super) fn sweep(&mut self, is_full: bool) {
        let now_ms = self.now_ms();
        if !self.deadlines.begin(now_ms, self.connections.len(), is_full) {
            return;
        }
        let Some(mut pass) = self.deadlines.pass.take() else { return };
        let mut dear = 0;
        let end = self.keys_end.min(pass.cursor + MAX_LOOKS);
        #[cfg(test)]
        let first = pass.cursor;
        while pass.cursor < end && dear < MAX_CLOSES {
            let key = pass.cursor;
            pass.cursor += 1;
            let Some(connection) = self.connections.get(key) else { continue };
            let pass_ms = pass.now_ms as u32;
            let mut left_ms = connection.time_left(&self.deadlines.limits, pass_ms);
            if let Some(stalled_ms) = connection.stalled_ms(pass_ms) {
                left_ms = Some(self.deadlines.stall_left_ms(key, connection, stalled_ms, pass_ms));
                dear += 1;
            }
            if pass.is_search
                && let Some(silent_ms) = connection.silent_ms(&self.deadlines.limits, pass_ms)
                && silent_ms >= self.deadlines.limits.min_silence_ms()
                && !connection.is_noted()
            {
                self.displacing.offer(key, silent_ms);
            }
            match left_ms {
                // It spoke in time, and has not had its turn yet.
                Some(0) if connection.is_noted() => pass.next_ms = Some(1),
                Some(0) => {
                    let reason = connection.expire(&self.deadlines.limits, &mut self.journal.of(key));
                    self.close(key, reason);
                    dear += 1;
                }
                Some(left_ms) => pass.next_ms = Some(pass.next_ms.map_or(left_ms, |next_ms| next_ms.min(left_ms))),
                None => {}
            }
        }
        #[cfg(test)]
        {
            self.deadlines.looked += pass.cursor - first;
        }
        if pass.cursor < self.keys_end {
            self.deadlines.pass = Some(pass);
            return;
        }
        if pass.is_search {
            self.displacing.finish();
        }
        let distance_ms = 10 + self.connections.len() as u32 / 500;
        if let Some(next_ms) = pass.next_ms
            && !self.connections.is_empty()
        {
            let next_ms = pass.now_ms + u64::from(next_ms);
            self.deadlines.due_ms = self.deadlines.due_ms.min(next_ms).max(now_ms + u64::from(distance_ms));
        }
    }
}

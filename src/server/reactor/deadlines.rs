//! The time limits of connections.
//!
//! A time limit is not kept track of while a connection works: it is looked at when the first one could be over, all of them
//! in one pass, and passes keep a distance that grows with their length. A pass goes over the slab in slices, one a turn.

use std::collections::HashMap;

use super::{NEVER_MS, Reactor};
use crate::connection::{Connection, Delivery, Stream, TimeLimits};
use crate::net::system::System;

/// Connections looked at in a turn.
const MAX_LOOKS: usize = if cfg!(test) { 3 } else { 4096 };
/// Connections closed by a slice of a pass in a turn, and those that the kernel is asked about.
const MAX_CLOSES: usize = if cfg!(test) { 2 } else { 128 };
/// The kernel is asked so many times in the stall timeout what a client has taken.
const LOOKS_PER_STALL: u32 = 4;
/// Batches of events that a pass which is due waits for at most, while they are full.
const MAX_BATCHES: usize = 4096;

#[derive(Debug)]
pub(super) struct Deadlines {
    pub(super) limits: TimeLimits,
    /// No time limit of a connection ends before.
    due_ms: u64,
    /// Batches of events that a pass which is due has waited for.
    waits: usize,
    pass: Option<Pass>,
    /// Whether the next pass is to look for silent connections.
    is_search: bool,
    /// Of connections whose socket takes nothing, what their peers have taken.
    stalls: HashMap<usize, Stall>,
}

/// What a connection's peer had acknowledged when the kernel was asked, and when that became more, as far as is known.
#[derive(Debug)]
struct Stall {
    acknowledged: u64,
    since_ms: u32,
}

/// A pass over all connections.
#[derive(Debug)]
struct Pass {
    /// When it began: events that came before have been handled.
    now_ms: u64,
    /// The next key to look at.
    cursor: usize,
    /// What is left of the time limit that ends next, in ms.
    next_ms: Option<u32>,
    is_search: bool,
}

impl Deadlines {
    pub(super) fn new(limits: TimeLimits) -> Self {
        Deadlines { limits, due_ms: NEVER_MS, waits: 0, pass: None, is_search: false, stalls: HashMap::new() }
    }

    /// When the next pass begins.
    pub(super) fn due_ms(&self) -> u64 {
        self.due_ms
    }

    /// Whether a pass has begun, or waits for events.
    pub(super) fn has_more(&self) -> bool {
        self.waits > 0 || self.pass.is_some()
    }

    /// The server ends: from now on nobody may idle for longer than `idle_ms`, counted from now.
    pub(super) fn drain(&mut self, idle_ms: u32, now_ms: u64) {
        self.limits.is_draining = true;
        self.limits.idle_ms = Some(self.limits.idle_ms.map_or(idle_ms, |now| now.min(idle_ms)));
        self.limits.idle_from_ms = Some(now_ms as u32);
        // A pass that has begun knows only the time before.
        self.pass = None;
        self.due_ms = now_ms;
    }

    /// Has the next pass look for silent connections, and begin soon.
    pub(super) fn search(&mut self, now_ms: u64) {
        self.is_search = true;
        self.due_ms = self.due_ms.min(now_ms);
    }

    /// The connection at `key` is gone.
    pub(super) fn forget(&mut self, key: usize) {
        if !self.stalls.is_empty() {
            self.stalls.remove(&key);
        }
    }

    /// How long until the kernel is asked what a client takes whose socket is full, in ms.
    fn look_period_ms(&self) -> u32 {
        (self.limits.stall_ms / LOOKS_PER_STALL).max(1)
    }

    /// The socket of `connection` has taken nothing for `stalled_ms`: what is left until it must be looked at again, or 0 if
    /// the peer has acknowledged nothing either for the whole time limit.
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

    /// Whether a pass is due that has let all events of its time be handled.
    fn begin(&mut self, now_ms: u64, open: usize, is_full: bool) -> bool {
        if self.pass.is_some() {
            return true;
        }
        if self.due_ms > now_ms {
            return false;
        }
        // The batch at hand may be older than this reading of the clock, and while batches are full, there is more in the kernel:
        // what came in time has its turn before anybody is closed. In so many batches, all have had one.
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

    /// If the process was stopped, who spoke meanwhile was stamped with a reading of the clock from before: nobody idles then.
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
    /// Makes sure that the next pass is not too late for a connection, nor for the clock's period.
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

    /// Does a slice of a pass, if one is due: closes the connections whose time is over, and finds out when the next one's
    /// will be. `is_full` says whether there may be more events than those of this turn.
    pub(super) fn sweep(&mut self, is_full: bool) {
        let now_ms = self.now_ms();
        if !self.deadlines.begin(now_ms, self.connections.len(), is_full) {
            return;
        }
        let Some(mut pass) = self.deadlines.pass.take() else { return };
        let mut dear = 0;
        let end = self.keys_end.min(pass.cursor + MAX_LOOKS);
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
                // It has not had its turn for what it said in time.
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

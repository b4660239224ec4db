//! What has its time: limits of connections, and the reactor's next thing to do.

use mio::Events;

use super::ending::Phase;
use super::{EVENTS, NEVER, Server};
use crate::admin::Admin;

impl Server {
    /// When there is something to do next, whatever happens.
    pub(super) fn next_time_ms(&self) -> u64 {
        let accept_ms = if self.accept_pause_ends_ms > self.now_ms() { self.accept_pause_ends_ms } else { NEVER };
        let phase_ms = match self.phase {
            Phase::Leaving { ends_ms } | Phase::Draining { ends_ms } => ends_ms,
            Phase::Serving | Phase::Stopped => NEVER,
        };
        let admin_ms = self.admin.as_ref().and_then(Admin::ends_ms).unwrap_or(NEVER);
        [self.sweep_ms, accept_ms, self.pause_ends_ms, phase_ms, admin_ms, self.watchdog.next_ms()]
            .into_iter()
            .min()
            .unwrap_or(NEVER)
    }

    /// Makes sure that the next sweep is not too late for a connection, nor for the clock's period.
    pub(super) fn watch_time(&mut self, key: usize) {
        let now_ms = self.now_ms();
        let left_ms = self.connections[key].time_left(&self.time_limits, now_ms as u32);
        if let Some(next_ms) = left_ms.into_iter().chain(self.time_limits.period_ms()).min() {
            self.sweep_ms = self.sweep_ms.min(now_ms + u64::from(next_ms));
        }
    }

    /// Closes the connections whose time is over, and finds out when the next one's will be.
    ///
    /// A time limit is not kept track of while a connection works: it is looked at when the first one could be over, all of
    /// them in one pass, and passes keep a distance that grows with their length.
    pub(super) fn sweep(&mut self, events: &Events) {
        let now_ms = self.now_ms();
        if self.sweep_ms > now_ms {
            return;
        }
        // The batch at hand may be older than this reading of the clock, and while batches are full, there is more in the kernel:
        // what came in time has its turn before anybody is closed. In so many batches, all have had one.
        let heard_all = self.sweep_waits > 0 && events.iter().count() < EVENTS;
        if !heard_all && self.sweep_waits <= 1 + self.connections.len() / EVENTS {
            self.sweep_waits += 1;
            return;
        }
        self.sweep_waits = 0;
        self.forgive_sleep(now_ms);
        let mut next_ms = self.time_limits.period_ms();
        for (key, connection) in &self.connections {
            match connection.time_left(&self.time_limits, now_ms as u32) {
                Some(0) => self.expired.push(key),
                Some(left_ms) => next_ms = Some(next_ms.map_or(left_ms, |next_ms| next_ms.min(left_ms))),
                None => {}
            }
        }
        while let Some(key) = self.expired.pop() {
            let reason = self.connections[key].expire(&self.time_limits, &mut self.journal.of(key));
            self.close(key, reason);
        }
        let distance_ms = 10 + self.connections.len() as u32 / 500;
        self.sweep_ms = match next_ms {
            Some(next_ms) if !self.connections.is_empty() => now_ms + u64::from(next_ms.max(distance_ms)),
            _ => NEVER,
        };
    }

    /// If the process was stopped, who spoke meanwhile was stamped with a reading of the clock from before: nobody idles then.
    fn forgive_sleep(&mut self, now_ms: u64) {
        const LEAST_MS: u32 = 100;
        if let Some(period_ms) = self.time_limits.period_ms()
            && now_ms > self.sweep_ms + u64::from(period_ms.max(LEAST_MS))
        {
            self.connections.iter_mut().for_each(|(_, connection)| connection.restart_idling(now_ms as u32));
        }
    }
}

//! How the server ends: signals, and what follows from them.

use std::time::Duration;

use signal_hook::consts::SIGHUP;

use super::Server;
use crate::net::listener::Listener;
use crate::observe::events::Event;
use crate::server::service::{self, News};

/// A connection that says nothing for so long while the server stops is taken to have finished, in ms.
const SILENCE_MS: u32 = 10_000;

/// What the server is about; it goes down this list, at each signal or when the time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// Accepting goes on until then, while balancers notice.
    Leaving {
        ends_ms: u64,
    },
    /// What is open may finish until then.
    Draining {
        ends_ms: u64,
    },
    Stopped,
}

impl Server {
    pub(super) fn take_signals(&mut self) {
        let now_ms = self.now_ms();
        self.journal.detach();
        for signal in self.signals.pending() {
            match self.phase {
                _ if signal == SIGHUP => self.journal.server(Event::NothingReloaded),
                Phase::Serving => {
                    self.phase = Phase::Leaving { ends_ms: now_ms + u64::from(self.drain_delay_ms) };
                    service::tell(News::Stopping, "finishing connections");
                    if self.drain_delay_ms > 0 {
                        let delay = Duration::from_millis(self.drain_delay_ms.into());
                        self.journal.server(Event::Leaving { delay });
                    }
                }
                _ => self.phase = Phase::Stopped,
            }
        }
    }

    /// Goes on to the next phase, if it is time.
    pub(super) fn end_phase(&mut self) {
        let now_ms = self.now_ms();
        if let Phase::Leaving { ends_ms } = self.phase
            && ends_ms <= now_ms
        {
            self.stop_accepting();
            self.phase = Phase::Draining { ends_ms: now_ms + u64::from(self.drain_ms) };
        }
        if let Phase::Draining { ends_ms } = self.phase
            && (self.connections.is_empty() || ends_ms <= now_ms)
        {
            self.phase = Phase::Stopped;
        }
    }

    /// Takes in what the kernel has queued, closes the listeners, and gives what is open its time.
    fn stop_accepting(&mut self) {
        const MOST_TURNS: usize = 64;
        self.listeners.iter().for_each(Listener::keep_out);
        for _ in 0..MOST_TURNS {
            self.listeners.iter_mut().for_each(|listener| listener.has_more = true);
            self.accept();
            if !self.listeners.iter().any(|listener| listener.has_more) {
                break;
            }
        }
        self.listeners.clear();
        let idle_ms = self.time_limits.idle_ms.map_or(SILENCE_MS, |idle_ms| idle_ms.min(SILENCE_MS));
        self.time_limits.idle_ms = Some(idle_ms);
        self.sweep_ms = self.now_ms();
        let now_ms = self.now_ms() as u32;
        self.connections.iter_mut().for_each(|(_, connection)| connection.restart_idling(now_ms));
        if !self.connections.is_empty() {
            let (open, timeout) = (self.connections.len(), Duration::from_millis(self.drain_ms.into()));
            self.journal.server(Event::Stopping { open, timeout });
        }
    }
}

//! How the server stops: signals, and the phases of stopping.

use std::io::IsTerminal;
use std::time::Duration;

use super::{NEVER_MS, Reactor};
use crate::connection::Reason;
use crate::net::manager::News;
use crate::net::system::{Signal, System};
use crate::observe::events::Event;

/// While the server is stopping, a connection that is silent for this long is taken to have finished, in ms.
const SILENCE_MS: u32 = 10_000;

/// Most turns of accepting the connections in the backlog before the listeners are closed.
const MAX_LAST_TURNS: u32 = 64;

/// Most connections closed in a turn when the drain timeout is over.
pub(super) const MAX_CUTS: usize = if cfg!(test) { 2 } else { 128 };

/// Most keys checked in such a turn; many of them may be vacant.
pub(super) const MAX_CUT_LOOKS: usize = if cfg!(test) { 3 } else { 4096 };

/// Time between two progress reports to the log and the service manager during closing, in ms. The simulation reports
/// at each turn.
const PROGRESS_MS: u64 = if cfg!(test) { 0 } else { 1000 };

/// The phases of the server. It moves to a later one at a signal, or when the time of the present one is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// The server still accepts until then, so that balancers can notice that it leaves.
    Leaving {
        ends_ms: u64,
    },
    /// New connections are kept out. Those in the backlog are accepted, for at most this many turns.
    TakingIn {
        turns: u32,
    },
    /// Open connections may finish until then.
    Draining {
        ends_ms: u64,
    },
    /// The remaining connections are closed, from this key on.
    Cutting {
        cursor: usize,
    },
    Stopped,
}

#[derive(Debug)]
pub(super) struct Ending {
    pub(super) phase: Phase,
    delay_ms: u32,
    drain_ms: u32,
    /// Time of the next progress report.
    progress_ms: u64,
}

impl Ending {
    pub(super) fn new(delay_ms: u32, drain_ms: u32) -> Self {
        Ending { phase: Phase::Serving, delay_ms, drain_ms, progress_ms: NEVER_MS }
    }

    /// When the phase ends, if it has a time limit.
    pub(super) fn ends_ms(&self) -> u64 {
        match self.phase {
            Phase::Leaving { ends_ms } | Phase::Draining { ends_ms } => ends_ms,
            Phase::Serving | Phase::TakingIn { .. } | Phase::Cutting { .. } | Phase::Stopped => NEVER_MS,
        }
    }

    /// Whether the phase has something to do in the next turn.
    pub(super) fn has_more(&self) -> bool {
        matches!(self.phase, Phase::TakingIn { .. } | Phase::Cutting { .. })
    }
}

impl<S: System> Reactor<S> {
    pub(super) fn take_signals(&mut self) {
        self.journal.detach();
        for signal in self.system.signals() {
            match (signal, self.ending.phase) {
                (Signal::Reload, _) => self.journal.server(Event::NothingReloaded),
                // The log file has reached its size limit. Writing a line about that would cause the same signal again.
                (Signal::Other(libc::SIGXFSZ), _) => self.journal.trouble(Event::LogFull, self.now_ms()),
                (Signal::Other(number), _) => self.journal.server(Event::SignalIgnored(number)),
                (Signal::Stop, Phase::Cutting { .. } | Phase::Stopped) => {}
                (Signal::Stop, Phase::Serving) => self.leave(),
                (Signal::Stop, _) => self.cut(),
            }
        }
    }

    fn leave(&mut self) {
        let (now_ms, delay_ms) = (self.now_ms(), self.ending.delay_ms.into());
        self.ending.phase = Phase::Leaving { ends_ms: now_ms + delay_ms };
        self.notices.tell(&mut self.system, News::Stopping, "finishing connections", now_ms);
        if delay_ms > 0 {
            self.journal.server(Event::Leaving { delay: Duration::from_millis(delay_ms) });
        }
    }

    /// Moves to the next phase, if it is time.
    pub(super) fn end_phase(&mut self) {
        let now_ms = self.now_ms();
        match self.ending.phase {
            Phase::Leaving { ends_ms } if ends_ms <= now_ms => {
                self.entrance.keep_out(&self.system);
                self.ending.phase = Phase::TakingIn { turns: MAX_LAST_TURNS };
            }
            Phase::TakingIn { turns } if turns > 0 && self.entrance.has_more() && self.may_accept() => {
                self.ending.phase = Phase::TakingIn { turns: turns - 1 };
            }
            Phase::TakingIn { .. } => self.drain(),
            Phase::Draining { ends_ms } if ends_ms <= now_ms => self.cut(),
            Phase::Cutting { cursor } => self.cut_some(cursor),
            _ => {}
        }
        if let Phase::Draining { .. } | Phase::Cutting { .. } = self.ending.phase
            && self.connections.is_empty()
            && !self.entrance.has_unwatched()
        {
            self.ending.phase = Phase::Stopped;
        }
    }

    /// Closes the listeners, and starts the drain timeout of open connections.
    fn drain(&mut self) {
        let (now_ms, drain_ms) = (self.now_ms(), self.ending.drain_ms.into());
        self.entrance.shut();
        self.ending.phase = Phase::Draining { ends_ms: now_ms + drain_ms };
        self.deadlines.drain(SILENCE_MS, now_ms);
        if !self.connections.is_empty() {
            let (open, timeout) = (self.connections.len(), Duration::from_millis(drain_ms));
            let interactive = std::io::stdout().is_terminal();
            self.journal.server(Event::Stopping { open, timeout, interactive });
        }
    }

    /// Begins to close the remaining connections: the drain timeout is over, or a further signal came.
    fn cut(&mut self) {
        self.entrance.shut();
        self.ending.phase = Phase::Cutting { cursor: 0 };
        self.ending.progress_ms = self.now_ms() + PROGRESS_MS;
        if !self.connections.is_empty() {
            self.journal.server(Event::Cut(self.connections.len()));
        }
    }

    fn cut_some(&mut self, mut cursor: usize) {
        let mut left = MAX_CUTS;
        let end = self.keys_end.min(cursor + MAX_CUT_LOOKS);
        while cursor < end && left > 0 {
            if self.connections.contains(cursor) {
                self.close(cursor, Reason::Stopped);
                left -= 1;
            }
            cursor += 1;
        }
        self.ending.phase = Phase::Cutting { cursor };
        self.say_progress();
    }

    /// Reports how many connections are left. Closing a million takes seconds: the log shows progress, and the service
    /// manager waits.
    fn say_progress(&mut self) {
        let (now_ms, open) = (self.now_ms(), self.connections.len());
        if open > 0 && self.ending.progress_ms <= now_ms {
            self.ending.progress_ms = now_ms + PROGRESS_MS;
            self.journal.server(Event::Closing(open));
            // If the manager does not take it, the next report comes soon.
            let _ = self.system.tell(News::Closing, &format!("closing connections: {open} left"));
        }
    }
}

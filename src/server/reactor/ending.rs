//! How the server ends: signals, and what follows from them.

use std::io::IsTerminal;
use std::time::Duration;

use super::{NEVER_MS, Reactor};
use crate::connection::Reason;
use crate::net::manager::News;
use crate::net::system::{Signal, System};
use crate::observe::events::Event;

/// A connection that says nothing for so long while the server stops is taken to have finished, in ms.
const SILENCE_MS: u32 = 10_000;

/// Turns in which what has queued up is accepted at most, before the listeners are closed.
const MAX_LAST_TURNS: u32 = 64;

/// Connections closed in a turn when the time is over.
const MAX_CUTS: usize = if cfg!(test) { 2 } else { 128 };

/// Keys looked at in such a turn: many of them may be vacant.
pub(super) const MAX_CUT_LOOKS: usize = if cfg!(test) { 3 } else { 4096 };

/// How often the log and the service manager hear how far the closing is, in ms. The simulation wants it at each turn.
const PROGRESS_MS: u64 = if cfg!(test) { 0 } else { 1000 };

/// What the server is about; it goes down this list, at each signal or when the time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// Accepting goes on until then, while balancers notice.
    Leaving {
        ends_ms: u64,
    },
    /// New connections are kept out; those that the kernel has queued are taken in, for so many turns at most.
    TakingIn {
        turns: u32,
    },
    /// What is open may finish until then.
    Draining {
        ends_ms: u64,
    },
    /// What is still open is closed, from this key on.
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
    /// When it is next said how far the closing is.
    progress_ms: u64,
}

impl Ending {
    pub(super) fn new(delay_ms: u32, drain_ms: u32) -> Self {
        Ending { phase: Phase::Serving, delay_ms, drain_ms, progress_ms: NEVER_MS }
    }

    /// When the phase ends, if by time.
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
                // The log's file is as large as it may be: each line that says so means another signal.
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

    /// Goes on to the next phase, if it is time.
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

    /// Closes the listeners, and gives what is open its time.
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

    /// The time is over, or nobody wants to wait for its end.
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

    /// A million connections take seconds to close: the log shows that they are, and the service manager waits for it.
    fn say_progress(&mut self) {
        let (now_ms, open) = (self.now_ms(), self.connections.len());
        if open > 0 && self.ending.progress_ms <= now_ms {
            self.ending.progress_ms = now_ms + PROGRESS_MS;
            self.journal.server(Event::Closing(open));
            // The next one tries again.
            let _ = self.system.tell(News::Closing, &format!("closing connections: {open} left"));
        }
    }
}

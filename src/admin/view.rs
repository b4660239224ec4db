//! The admin port's view of the server.

use std::time::SystemTime;

use slab::Slab;

use crate::connection::{Budget, Connection, Stream};
use crate::observe::events::Listening;
use crate::observe::journal::Journal;
use crate::observe::metrics::Turns;

/// The state of the server between two turns.
pub(crate) struct View<'a> {
    pub(crate) started: SystemTime,
    pub(crate) now_ms: u64,
    pub(crate) listening: &'a [Listening],
    pub(crate) connections: &'a dyn Connections,
    /// All keys of connections are below this.
    pub(crate) keys_end: usize,
    pub(crate) max_connections: usize,
    /// Open listeners, without the admin port's.
    pub(crate) listeners: usize,
    /// Connections that wait for memory.
    pub(crate) waiting: usize,
    pub(crate) journal: &'a Journal,
    pub(crate) budget: &'a Budget,
    pub(crate) turns: &'a Turns,
    pub(crate) is_draining: bool,
    /// Whether the system has no descriptors or memory for further connections.
    pub(crate) is_exhausted: bool,
}

/// The open connections, independent of their stream type.
pub(crate) trait Connections {
    fn len(&self) -> usize;
    /// The connection at `key`.
    fn get(&self, key: usize) -> Option<Facts>;
}

/// The facts about a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) state: &'static str,
    /// Bytes that it holds.
    pub(crate) held: usize,
    /// The reading of the clock at the last traffic in either direction, in ms.
    pub(crate) since_ms: u32,
}

impl<S: Stream> Connections for Slab<Connection<S>> {
    fn len(&self) -> usize {
        self.len()
    }

    fn get(&self, key: usize) -> Option<Facts> {
        let connection = self.get(key)?;
        Some(Facts { state: connection.state(), held: connection.held(), since_ms: connection.since_ms() })
    }
}

impl View<'_> {
    /// One word that says whether the server would serve a new connection now.
    pub(crate) fn state(&self) -> &'static str {
        if self.is_draining {
            "draining"
        } else if self.connections.len() >= self.max_connections {
            "full"
        } else if self.is_exhausted {
            "exhausted"
        } else {
            "serving"
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.state() == "serving"
    }
}

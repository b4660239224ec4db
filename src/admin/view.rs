//! What the admin port can see of the server.

use std::net::SocketAddr;
use std::time::SystemTime;

use slab::Slab;

use crate::connection::Budget;
use crate::connection::Connection;
use crate::net::socket::Socket;
use crate::observe::journal::Journal;
use crate::observe::metrics::Turns;

/// The server as it is between two turns.
pub(crate) struct View<'a> {
    pub(crate) started: SystemTime,
    pub(crate) now_ms: u64,
    pub(crate) listening: &'a [SocketAddr],
    pub(crate) connections: &'a Slab<Connection<Socket>>,
    pub(crate) max_connections: usize,
    /// Connections that wait for memory.
    pub(crate) waiting: usize,
    pub(crate) journal: &'a Journal,
    pub(crate) budget: &'a Budget,
    pub(crate) turns: &'a Turns,
    pub(crate) is_draining: bool,
    /// Whether there are no descriptors or no memory for further connections.
    pub(crate) is_exhausted: bool,
}

impl View<'_> {
    /// In a word, whether the server would serve a new connection now.
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

//! The interface between the reactor and the system: sockets, a poll, an alarm, signals and a service manager.
//!
//! It is a type parameter: it costs a running server nothing, and the whole loop can run in simulation.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::manager::News;
use crate::connection::{Ready, Stream};

pub(crate) trait System {
    /// A connection's socket.
    type Stream: Stream;
    /// A socket that accepts.
    type Listener;
    /// Events taken from the poll together.
    type Batch: Batch;

    /// Waits for events, for the alarm, or for at most `timeout`. Signals do not end the wait early.
    fn wait(&mut self, batch: &mut Self::Batch, timeout: Option<Duration>) -> io::Result<()>;

    /// Registers `stream` with the poll, edge-triggered, with `token` for its events.
    fn watch(&mut self, stream: &mut Self::Stream, token: usize) -> io::Result<()>;

    /// Registers a listener in the same way.
    fn watch_listener(&mut self, listener: &mut Self::Listener, token: usize) -> io::Result<()>;

    /// `accept(2)`.
    fn accept(&mut self, listener: &Self::Listener) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Whether a connection waits to be accepted; `true` if the system cannot tell.
    fn has_waiting(&self, listener: &Self::Listener) -> bool;

    /// Keeps new connections out of `listener`, unless other processes share it.
    fn keep_out(&self, listener: &Self::Listener);

    /// Sets the alarm: an event with its token comes at `at_ms` or earlier.
    fn set_alarm(&mut self, at_ms: u64, now_ms: u64) -> io::Result<()>;

    /// Whether the alarm has gone off without an event.
    fn take_alarm(&mut self) -> bool;

    /// The signals and requests since the last call.
    fn signals(&mut self) -> Vec<Signal>;

    /// Sends a notice to the service manager without waiting.
    fn tell(&mut self, news: News, status: &str) -> io::Result<()>;
}

/// Events, in the order in which the system reported them.
pub(crate) trait Batch {
    type Event: Event;
    fn iter(&self) -> impl Iterator<Item = &Self::Event>;
    /// Whether the system may have more events than fit into the batch.
    fn is_full(&self) -> bool;
    fn is_empty(&self) -> bool;
}

pub(crate) trait Event {
    fn token(&self) -> usize;
    fn is_error(&self) -> bool;
    fn ready(&self) -> Ready;
}

/// A request to the process from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Stop, by SIGINT, SIGTERM or a handle. A second one means at once.
    Stop,
    /// SIGHUP.
    Reload,
    /// A signal with this number. It would end a process by default, and the server ignores it.
    Other(i32),
}

//! What the reactor needs of the world: sockets, a poll, an alarm, signals and a service manager.
//!
//! It is a type parameter, so that it costs a running server nothing, and the whole loop can run in simulation.

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
    /// Events that were taken from the poll together.
    type Batch: Batch;

    /// Waits for events, whether or not signals interrupt it; for `timeout` at most, or for the alarm.
    fn wait(&mut self, batch: &mut Self::Batch, timeout: Option<Duration>) -> io::Result<()>;

    /// Reports what happens to `stream` from now on, by edges, as events of `token`.
    fn watch(&mut self, stream: &mut Self::Stream, token: usize) -> io::Result<()>;

    /// The same for a listener.
    fn watch_listener(&mut self, listener: &mut Self::Listener, token: usize) -> io::Result<()>;

    /// `accept(2)`.
    fn accept(&mut self, listener: &Self::Listener) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Whether a connection waits to be accepted; `true` where that cannot be asked.
    fn has_waiting(&self, listener: &Self::Listener) -> bool;

    /// Keeps further connections out of `listener`, as far as it is not shared.
    fn keep_out(&self, listener: &Self::Listener);

    /// Has an event of the alarm's token come at `at_ms` at the latest.
    fn set_alarm(&mut self, at_ms: u64, now_ms: u64) -> io::Result<()>;

    /// Whether the alarm has gone off without an event.
    fn take_alarm(&mut self) -> bool;

    /// What the process was asked to do since the last call.
    fn signals(&mut self) -> Vec<Signal>;

    /// Tells the service manager. What it does not take at once is dropped.
    fn tell(&mut self, news: News, status: &str) -> io::Result<()>;
}

/// Events, in the order in which they came.
pub(crate) trait Batch {
    type Event: Event;
    fn iter(&self) -> impl Iterator<Item = &Self::Event>;
    /// Whether there may be more where these come from.
    fn is_full(&self) -> bool;
    fn is_empty(&self) -> bool;
}

pub(crate) trait Event {
    fn token(&self) -> usize;
    fn is_error(&self) -> bool;
    fn ready(&self) -> Ready;
}

/// What the process is asked from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// To stop, by SIGINT, SIGTERM or a handle; a second time, at once.
    Stop,
    /// SIGHUP.
    Reload,
    /// A signal of this number that would end the process by default, and means nothing to it.
    Other(i32),
}

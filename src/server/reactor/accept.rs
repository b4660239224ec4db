//! Accepting connections.

use std::net::SocketAddr;

use super::{PAUSE_MS, Reactor};
use crate::connection::{Connection, Expect, Reason};
use crate::net::listener::{AfterError, after_error, is_exhaustion};
use crate::net::system::System;
use crate::observe::events::{Event, Listening};
use proxy::policy::{Mode, Network, Policy};

/// Most connections accepted in a turn, before open connections have their turn again.
pub(super) const MAX_ACCEPTS: usize = if cfg!(test) { 2 } else { 128 };

/// The listeners, and the state of accepting from them.
pub(super) struct Entrance<S: System> {
    doors: Vec<Door<S::Listener>>,
    /// An accepted connection that cannot be registered with the poll yet.
    unwatched: Option<(S::Stream, Newcomer)>,
    listening: Vec<Listening>,
    max_connections: usize,
    /// End of the pause in accepting, made for want of descriptors or memory.
    pause_ends_ms: u64,
}

struct Door<L> {
    listener: L,
    policy: Policy,
    /// Whether the kernel reported connections and `accept` has not found the queue empty since.
    has_more: bool,
}

/// A new connection's peer, and the rule for it.
#[derive(Clone, Copy)]
struct Newcomer {
    peer: SocketAddr,
    mode: Mode,
    /// `None` if the peer must be refused.
    expect: Option<Expect>,
}

impl<S: System> Entrance<S> {
    pub(super) fn new(listeners: Vec<(S::Listener, Listening)>, trusted: &[Network], max_connections: usize) -> Self {
        let listening = listeners.iter().map(|&(_, on)| on).collect();
        let door = |(listener, on): (S::Listener, Listening)| {
            let policy = Policy { mode: on.mode, trusted: trusted.to_vec() };
            Door { listener, policy, has_more: true }
        };
        let doors = listeners.into_iter().map(door).collect();
        Entrance { doors, unwatched: None, listening, max_connections, pause_ends_ms: 0 }
    }

    pub(super) fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Number of open listeners.
    pub(super) fn listeners(&self) -> usize {
        self.doors.len()
    }

    pub(super) fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// Notes that the listener at `index` has connections.
    pub(super) fn note(&mut self, index: usize) {
        if let Some(door) = self.doors.get_mut(index) {
            door.has_more = true;
        }
    }

    /// Whether connections may be waiting.
    pub(super) fn has_more(&self) -> bool {
        self.has_unwatched() || self.doors.iter().any(|door| door.has_more)
    }

    /// Whether an accepted connection cannot be registered with the poll yet.
    pub(super) fn has_unwatched(&self) -> bool {
        self.unwatched.is_some()
    }

    pub(super) fn is_paused(&self, now_ms: u64) -> bool {
        self.pause_ends_ms > now_ms
    }

    pub(super) fn pause_ends_ms(&self) -> u64 {
        self.pause_ends_ms
    }

    pub(super) fn end_pause(&mut self) {
        self.pause_ends_ms = 0;
    }

    /// Keeps new connections out. Those already in the backlog can still be accepted.
    pub(super) fn keep_out(&mut self, system: &S) {
        for door in &mut self.doors {
            system.keep_out(&door.listener);
            door.has_more = true;
        }
    }

    /// Closes the listeners.
    pub(super) fn shut(&mut self) {
        self.doors.clear();
    }
}

impl<S: System> Reactor<S> {
    pub(super) fn may_accept(&self) -> bool {
        !self.is_full() && !self.entrance.is_paused(self.now_ms())
    }

    pub(super) fn accept(&mut self) {
        if self.may_accept()
            && let Some((stream, newcomer)) = self.entrance.unwatched.take()
        {
            self.admit(stream, newcomer);
        }
        let mut left = MAX_ACCEPTS;
        for index in 0..self.entrance.doors.len() {
            // Share the places evenly among the remaining listeners.
            let mut share = left.div_ceil(self.entrance.doors.len() - index);
            while self.entrance.doors[index].has_more && share > 0 && (self.may_accept() || self.makes_room(index)) {
                (share, left) = (share - 1, left - 1);
                self.accept_from(index);
            }
        }
    }

    /// At the connection limit, closes a silent connection for one that waits at the listener. Returns whether there is
    /// a place.
    fn makes_room(&mut self, index: usize) -> bool {
        if !self.is_full() || self.entrance.is_paused(self.now_ms()) {
            return false;
        }
        let door = &mut self.entrance.doors[index];
        door.has_more = self.system.has_waiting(&door.listener);
        if !door.has_more {
            return false;
        }
        let is_displaced = self.displace();
        if !is_displaced {
            self.journal.trouble(Event::Full(self.entrance.max_connections), self.now_ms());
        }
        is_displaced
    }

    fn accept_from(&mut self, index: usize) {
        let door = &mut self.entrance.doors[index];
        match self.system.accept(&door.listener) {
            Ok((stream, peer)) => {
                door.has_more = self.system.has_waiting(&door.listener);
                let newcomer = Newcomer { peer, mode: door.policy.mode, expect: door.policy.admit(peer.ip()) };
                self.admit(stream, newcomer);
            }
            Err(error) => match after_error(&error) {
                AfterError::Wait => door.has_more = false,
                AfterError::Next => {}
                AfterError::Pause => {
                    self.entrance.pause_ends_ms = self.now_ms() + PAUSE_MS;
                    self.journal.trouble(Event::AcceptFailed(&error), self.now_ms());
                }
            },
        }
    }

    /// Adds a connection. Bytes that it has already sent are reported with the next events. Reading at once is not
    /// worth its system call: unless the server is late, nothing has arrived.
    fn admit(&mut self, mut stream: S::Stream, newcomer: Newcomer) {
        let Newcomer { peer, mode, expect } = newcomer;
        let watched = match expect {
            Some(_) => self.system.watch(&mut stream, self.connections.vacant_key()),
            None => Ok(()),
        };
        if let Err(error) = &watched
            && is_exhaustion(error)
        {
            self.entrance.unwatched = Some((stream, newcomer));
            self.entrance.pause_ends_ms = self.now_ms() + PAUSE_MS;
            return self.journal.trouble(Event::WatchFailed(error), self.now_ms());
        }
        let now_ms = self.now_ms() as u32;
        let key = self.connections.insert(Connection::new(stream, expect.unwrap_or(Expect::Header), now_ms));
        self.keys_end = self.keys_end.max(key + 1);
        self.journal.accepted(key, peer, mode, self.now_ms());
        match watched {
            _ if expect.is_none() => self.close(key, Reason::NotTrusted),
            Ok(()) => self.watch_time(key),
            Err(error) => self.close(key, Reason::Failed(error.kind())),
        }
    }
}

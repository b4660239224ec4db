//! Taking in connections.

use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Token};

use super::{PAUSE_MS, Server};
use crate::connection::{Connection, Expect, Reason};
use crate::net::listener::{self, AfterError};
use crate::net::socket::Socket;
use crate::observe::events::Event;

/// Connections accepted from one listener in a tick, before those that are open have their turn again.
const ACCEPTS: usize = 128;

impl Server {
    pub(super) fn may_accept(&self) -> bool {
        self.connections.len() < self.max_connections && self.accept_pause_ends_ms <= self.now_ms()
    }

    pub(super) fn accept(&mut self) {
        for index in 0..self.listeners.len() {
            let mut budget = ACCEPTS;
            while self.listeners[index].has_more && budget > 0 && self.may_accept() {
                budget -= 1;
                match self.listeners[index].socket.accept() {
                    Ok((stream, peer)) => {
                        self.listeners[index].look_for_more();
                        self.admit(stream, peer);
                    }
                    Err(error) => match listener::after_error(&error) {
                        AfterError::Wait => self.listeners[index].has_more = false,
                        AfterError::Next => {}
                        AfterError::Pause => {
                            self.accept_pause_ends_ms = self.now_ms() + PAUSE_MS;
                            self.journal.trouble(Event::AcceptFailed(&error), self.now_ms());
                        }
                    },
                }
            }
            if self.listeners[index].has_more && self.connections.len() == self.max_connections {
                self.journal.trouble(Event::Full(self.max_connections), self.now_ms());
            }
        }
    }

    /// Takes in a connection. What it has sent by now is reported with the next events: a read at once would find nothing,
    /// but for a server that is late.
    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let expect = self.policy.admit(peer.ip());
        let now_ms = self.now_ms() as u32;
        let key = self.connections.insert(Connection::new(Socket(stream), expect.unwrap_or(Expect::Header), now_ms));
        self.journal.accepted(key, peer, self.now_ms());
        if expect.is_none() {
            return self.close(key, Reason::NotTrusted);
        }
        match self.poll.registry().register(&mut self.connections[key].stream().0, Token(key), interest()) {
            Ok(()) => self.watch_time(key),
            Err(error) => self.close(key, Reason::Failed(error.kind())),
        }
    }
}

/// For the whole life of a connection: edges cost nothing while there is nothing to report.
fn interest() -> Interest {
    let interest = Interest::READABLE | Interest::WRITABLE;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let interest = interest | Interest::PRIORITY;
    interest
}

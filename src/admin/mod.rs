//! The admin port: a small HTTP service in the reactor, for people (`/`), monitors (`/metrics`) and health checks.
//!
//! It is one of the reactor's chores: what is ready is noted with the other events, and served after them. Clients are few
//! and have little time; when they are too many, the one that has been silent longest makes room.

mod client;
mod connections;
mod exposition;
mod http;
mod process;
mod routes;
mod snapshot;
mod view;

use std::io;
use std::net::SocketAddr;

use slab::Slab;

use self::client::{Client, Next};
pub(crate) use self::view::View;
use crate::net::listener::{self, AfterError};
use crate::net::system::System;

/// Tokens that it uses.
pub(crate) const TOKENS: usize = 1 + MAX_CLIENTS;

/// Clients at a time. With a request and an answer each, they hold a few megabytes at most.
const MAX_CLIENTS: usize = 16;

pub(crate) struct Admin<S: System> {
    listener: S::Listener,
    address: SocketAddr,
    has_more: bool,
    /// Whether the kernel had no descriptor or memory for a client, who waits.
    is_short: bool,
    clients: Slab<Client<S::Stream>>,
    /// Keys of clients that have something to do.
    ready: Vec<usize>,
}

impl<S: System> Admin<S> {
    /// Accepts from `listener`. Its tokens are [`TOKENS`] from `first` on.
    pub(crate) fn new(
        system: &mut S,
        mut listener: S::Listener,
        address: SocketAddr,
        first: usize,
    ) -> io::Result<Self> {
        system.watch_listener(&mut listener, first)?;
        let clients = Slab::with_capacity(MAX_CLIENTS);
        Ok(Admin { listener, address, has_more: true, is_short: false, clients, ready: Vec::new() })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Notes an event of the token at `index`.
    pub(crate) fn note(&mut self, index: usize) {
        match index.checked_sub(1) {
            None => self.has_more = true,
            Some(key) => self.remember(key),
        }
    }

    fn remember(&mut self, key: usize) {
        // Once is enough, however much a client sends.
        if !self.ready.contains(&key) {
            self.ready.push(key);
        }
    }

    /// Whether there is more to do at once.
    pub(crate) fn has_more(&self) -> bool {
        self.has_more || !self.ready.is_empty()
    }

    /// Does what there is to do.
    pub(crate) fn serve(&mut self, system: &mut S, first: usize, view: &View<'_>) {
        for key in std::mem::take(&mut self.ready) {
            self.turn(key, view);
        }
        // No event tells when there are descriptors again. While there are connections, there are chores every second.
        self.has_more |= std::mem::take(&mut self.is_short);
        for _ in 0..MAX_CLIENTS {
            if !self.has_more {
                break;
            }
            match system.accept(&self.listener) {
                Ok((stream, _)) => self.admit(stream, system, first, view),
                Err(error) => {
                    let after = listener::after_error(&error);
                    self.has_more = after == AfterError::Next;
                    self.is_short = after == AfterError::Pause;
                }
            }
        }
        let late = |(key, client): (usize, &Client<_>)| (client.ends_ms() <= view.now_ms).then_some(key);
        while let Some(key) = self.clients.iter().find_map(late) {
            self.clients.remove(key);
        }
    }

    /// When the first client's time is over.
    pub(crate) fn ends_ms(&self) -> Option<u64> {
        self.clients.iter().map(|(_, client)| client.ends_ms()).min()
    }

    fn admit(&mut self, stream: S::Stream, system: &mut S, first: usize, view: &View<'_>) {
        if self.clients.len() == MAX_CLIENTS
            && let Some((key, _)) = self.clients.iter().min_by_key(|(_, client)| client.ends_ms())
        {
            self.clients.remove(key);
        }
        let entry = self.clients.vacant_entry();
        let key = entry.key();
        let client = entry.insert(Client::new(stream, view.now_ms));
        if system.watch(client.stream(), first + 1 + key).is_err() {
            self.clients.remove(key);
            return;
        }
        self.turn(key, view);
    }

    fn turn(&mut self, key: usize, view: &View<'_>) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        match client.turn(view.now_ms, |request| routes::answer(request, view)) {
            Next::Wait => {}
            Next::Again => self.remember(key),
            Next::Closed => drop(self.clients.remove(key)),
        }
    }
}

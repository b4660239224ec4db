//! The admin port: a small HTTP service in the reactor, for people (`/`), monitors (`/metrics`) and health checks.
//!
//! It is one of the reactor's chores: ready clients are noted with the other events and served after them, with a
//! bounded amount of [`Work`] in a turn. The number of clients and their time are limited. When there are too many, a
//! client of the peer with the most clients makes room.

mod balancers;
mod client;
mod exposition;
#[cfg(test)]
mod fixture;
mod history;
mod host;
mod http;
mod list;
mod page;
mod process;
mod query;
mod routes;
mod snapshot;
mod view;
mod work;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use slab::Slab;

use self::client::{Client, Next};
use self::history::History;
use self::host::Hosts;
use self::routes::Context;
pub(crate) use self::view::View;
use self::work::Work;
use crate::net::listener::{self, AfterError};
use crate::net::system::System;

/// The number of tokens that it uses.
pub(crate) const TOKENS: usize = 1 + MAX_CLIENTS;

/// Most clients at a time. Each holds a request (8 KiB), a part of an answer (48 KiB, or the page) and, while
/// connections are searched, the heap of the first ones (240 KiB).
const MAX_CLIENTS: usize = 16;

/// Time between two tries to accept when there are no descriptors, in ms.
const RETRY_MS: u64 = 100;

pub(crate) struct Admin<S: System> {
    listener: S::Listener,
    address: SocketAddr,
    hosts: Hosts,
    has_more: bool,
    /// When to try to accept again, after the kernel had no descriptor or memory for a waiting client.
    retry_ms: Option<u64>,
    visitors: Slab<Visitor<S::Stream>>,
    /// Keys of clients that have something to do.
    ready: VecDeque<usize>,
    history: History,
    /// Files that are open besides connections, listeners and clients, once they were counted.
    other_files: Option<usize>,
}

struct Visitor<S> {
    client: Client<S>,
    peer: IpAddr,
}

impl<S: System> Admin<S> {
    /// Accepts from `listener`, and answers requests for `hosts`. Its tokens are [`TOKENS`] from `first` on.
    pub(crate) fn new(
        system: &mut S,
        (mut listener, address): (S::Listener, SocketAddr),
        hosts: &[String],
        first: usize,
    ) -> io::Result<Self> {
        system.watch_listener(&mut listener, first)?;
        Ok(Admin {
            listener,
            address,
            hosts: Hosts::new(hosts),
            has_more: true,
            retry_ms: None,
            visitors: Slab::with_capacity(MAX_CLIENTS),
            ready: VecDeque::with_capacity(MAX_CLIENTS),
            history: History::new(),
            other_files: None,
        })
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
        // Queue a client only once, however much it sends.
        if !self.ready.contains(&key) {
            self.ready.push_back(key);
        }
    }

    /// Whether there is more to do at once.
    pub(crate) fn has_more(&self) -> bool {
        self.has_more || !self.ready.is_empty()
    }

    /// Serves the ready clients, within the work of a turn.
    pub(crate) fn serve(&mut self, system: &mut S, first: usize, view: &View<'_>) {
        let mut work = Work::of_a_turn();
        self.count_files(view);
        self.history.note(view);
        // No event reports when descriptors are free again.
        self.has_more |= self.retry_ms.take_if(|retry_ms| *retry_ms <= view.now_ms).is_some();
        // Accept first, because a probe is answered at once, but do not spend all of the work on it.
        while self.has_more && work.is_plenty() {
            work.spend_call();
            match system.accept(&self.listener) {
                Ok((stream, peer)) => self.admit(stream, peer.ip().to_canonical(), system, first, view, &mut work),
                Err(error) => {
                    let after = listener::after_error(&error);
                    self.has_more = after == AfterError::Next;
                    self.retry_ms = (after == AfterError::Pause).then_some(view.now_ms + RETRY_MS);
                }
            }
        }
        for _ in 0..self.ready.len() {
            if work.is_used_up() {
                break;
            }
            if let Some(key) = self.ready.pop_front() {
                self.turn(key, view, &mut work);
            }
        }
        let late = |(key, visitor): (usize, &Visitor<_>)| (visitor.client.ends_ms() <= view.now_ms).then_some(key);
        while let Some(key) = self.visitors.iter().find_map(late) {
            self.visitors.remove(key);
        }
    }

    /// When the time limit of the first client ends, or accepting is tried again.
    pub(crate) fn ends_ms(&self) -> Option<u64> {
        self.visitors.iter().map(|(_, visitor)| visitor.client.ends_ms()).chain(self.retry_ms).min()
    }

    /// Counts the files that the server does not count itself. Done at its start, when there are few.
    fn count_files(&mut self, view: &View<'_>) {
        if self.other_files.is_none() {
            let known = view.connections.len() + view.listeners + self.visitors.len();
            self.other_files = Some(process::count_files().saturating_sub(known));
        }
    }

    fn admit(
        &mut self,
        stream: S::Stream,
        peer: IpAddr,
        system: &mut S,
        first: usize,
        view: &View<'_>,
        work: &mut Work,
    ) {
        if self.visitors.len() == MAX_CLIENTS {
            self.make_room(peer);
        }
        let entry = self.visitors.vacant_entry();
        let key = entry.key();
        let visitor = entry.insert(Visitor { client: Client::new(stream, view.now_ms), peer });
        if system.watch(visitor.client.stream(), first + 1 + key).is_err() {
            self.visitors.remove(key);
            return;
        }
        self.turn(key, view, work);
    }

    /// Closes a client to make room: of the peer with the most clients (the `newcomer` counted), the one that has been
    /// silent longest. A peer that floods the port thus closes its own connections and not those of others.
    fn make_room(&mut self, newcomer: IpAddr) {
        let count = |peer: IpAddr| {
            let here = self.visitors.iter().filter(|(_, visitor)| visitor.peer == peer).count();
            here + usize::from(peer == newcomer)
        };
        let order =
            |(_, visitor): &(usize, &Visitor<_>)| (std::cmp::Reverse(count(visitor.peer)), visitor.client.ends_ms());
        if let Some((key, _)) = self.visitors.iter().min_by_key(order) {
            self.visitors.remove(key);
        }
    }

    fn turn(&mut self, key: usize, view: &View<'_>, work: &mut Work) {
        let open_files = self.other_files.unwrap_or(0) + view.connections.len() + view.listeners + self.visitors.len();
        let Some(visitor) = self.visitors.get_mut(key) else {
            return;
        };
        let context = Context { hosts: &self.hosts, history: &self.history, open_files };
        match visitor.client.turn(view, work, |request| routes::answer(request, view, &context)) {
            Next::Wait => {}
            Next::Again => self.remember(key),
            Next::Closed => drop(self.visitors.remove(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::fixture::{Fixture, Pieces, World};
    use super::*;

    const LIST: &[u8] = b"GET /connections.json?sort=idle&limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    /// A part of an answer with its chunk frame.
    const MAX_PART_BYTES: usize = 25 * 1024;
    const PROBE: &[u8] = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";

    /// A header with 1,000 bytes that must all be escaped.
    fn header() -> Vec<u8> {
        let value = [1; 1000];
        let tlvs = [proxy::Tlv { kind: proxy::tlv::AUTHORITY, value: &value }];
        let addresses = proxy::Addresses::Unspecified;
        let mut bytes = Vec::new();
        proxy::V2 { command: proxy::Command::Proxy, addresses, tlvs: &tlvs, crc32c: false }.encode(&mut bytes).unwrap();
        bytes
    }

    fn admin() -> (World, Admin<World>) {
        let mut world = World::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let admin = Admin::new(&mut world, ((), address), &[], 0).unwrap();
        (world, admin)
    }

    fn from(peer: u8, request: &[u8], most: usize, taken: &Rc<Cell<usize>>) -> (Pieces, SocketAddr) {
        let input = [request.to_vec()].into_iter().filter(|piece| !piece.is_empty()).collect();
        let taken = Rc::clone(taken);
        (Pieces { input, is_open: true, most, taken, ..Pieces::default() }, SocketAddr::from(([10, 0, 0, peer], 1)))
    }

    #[test]
    fn the_work_of_a_turn_is_bounded_whatever_is_asked() {
        for (count, header) in [(4000, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec()), (400, header())] {
            let fixture = Fixture::new(count, &header);
            let (mut world, mut admin) = admin();
            let taken = Rc::default();
            world.backlog.extend((0..MAX_CLIENTS).map(|_| from(1, LIST, usize::MAX, &taken)));
            let mut turns = 0;
            while admin.has_more() {
                admin.serve(&mut world, 0, &fixture.view());
                let (looks, bytes) = (fixture.looks(), taken.take());
                assert!(looks <= Work::MAX_ROWS, "{looks} connections are looked at in a turn");
                assert!(bytes <= Work::MAX_BYTES + MAX_PART_BYTES, "{bytes} bytes are sent in a turn");
                turns += 1;
            }
            assert!(turns >= MAX_CLIENTS * count / Work::MAX_ROWS, "{turns} turns");
            for (_, visitor) in &mut admin.visitors {
                assert!(visitor.client.stream().output.ends_with(b"]}\r\n0\r\n\r\n"), "the answer is whole");
            }
        }
    }

    #[test]
    fn clients_that_do_not_read_hold_little_memory() {
        let fixture = Fixture::new(1000, &header());
        let (mut world, mut admin) = admin();
        let taken = Rc::default();
        world.backlog.extend((0..MAX_CLIENTS).map(|_| from(1, LIST, 0, &taken)));
        while admin.has_more() {
            admin.serve(&mut world, 0, &fixture.view());
        }
        let held: usize = admin.visitors.iter().map(|(_, visitor)| visitor.client.held_bytes()).sum();
        assert_eq!(admin.visitors.len(), MAX_CLIENTS);
        assert!(held <= 2 << 20, "{held} bytes");
    }

    #[test]
    fn who_floods_the_port_closes_its_own_connections() {
        let fixture = Fixture::new(0, &[]);
        let (mut world, mut admin) = admin();
        let taken = Rc::default();
        world.backlog.push_back(from(1, b"", usize::MAX, &taken));
        world.backlog.extend((0..10 * MAX_CLIENTS).map(|_| from(2, b"", usize::MAX, &taken)));
        while admin.has_more() {
            admin.serve(&mut world, 0, &fixture.view());
        }
        assert_eq!(admin.visitors.len(), MAX_CLIENTS);
        assert_eq!(admin.visitors.iter().filter(|(_, visitor)| visitor.peer == IpAddr::from([10, 0, 0, 1])).count(), 1);
        // If each peer has one client, the one that has been silent longest is closed.
        world.backlog.extend((0..MAX_CLIENTS as u8).map(|peer| from(3 + peer, b"", usize::MAX, &taken)));
        admin.note(0);
        while admin.has_more() {
            admin.serve(&mut world, 0, &fixture.view());
        }
        assert_eq!(admin.visitors.len(), MAX_CLIENTS);
    }

    #[test]
    fn a_probe_is_answered_in_the_turn_in_which_it_is_accepted() {
        let fixture = Fixture::new(10_000, b"PROXY UNKNOWN\r\n");
        let (mut world, mut admin) = admin();
        let taken = Rc::default();
        // Others keep the port busy for many turns.
        world.backlog.extend((0..MAX_CLIENTS).map(|_| from(1, LIST, usize::MAX, &taken)));
        while !world.backlog.is_empty() {
            admin.serve(&mut world, 0, &fixture.view());
        }
        assert!(admin.has_more());
        world.backlog.push_back(from(2, PROBE, usize::MAX, &taken));
        taken.take();
        admin.note(0);
        admin.serve(&mut world, 0, &fixture.view());
        assert!(taken.take() > 0);
    }
}

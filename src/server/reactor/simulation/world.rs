//! A simulated kernel with clients and a clock, all driven by one seed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;

use super::client::Client;
use crate::connection::{Delivery, LARGE_READ, Ready, Stream};
use crate::net::manager::News;
use crate::net::system::{Batch, Event, Signal, System};
use crate::server::reactor::{ALARM, SIGNALS};

/// A fault built in on purpose, to see that the simulation finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The alarm does not go off.
    AlarmLost,
    /// No edge reports space to write.
    WritableLost,
    /// A FIN gives no edge.
    FinLost,
    /// A listener is reported once and never again.
    ListenerLost,
}

/// The work of a turn as the world counts it, without the admin port's clients.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) events: usize,
    /// Calls of `accept`, failed ones included.
    pub(super) accepts: usize,
    pub(super) closes: usize,
    pub(super) reads: usize,
    /// Bytes of large reads.
    pub(super) large_bytes: usize,
    pub(super) largest_read: usize,
    /// Questions to the kernel about a client's acknowledgements.
    pub(super) asked: usize,
}

impl Work {
    pub(super) fn read(&mut self, bytes: usize) {
        self.reads += usize::from(bytes > 0);
        if bytes >= LARGE_READ {
            self.large_bytes += bytes;
            self.largest_read = self.largest_read.max(bytes);
        }
    }
}

pub(super) struct World {
    rng: Rng,
    pub(super) micros: Arc<AtomicU64>,
    pub(super) clients: Vec<Client>,
    /// Clients that are not accepted yet, of the echo port and of the admin port.
    backlogs: [VecDeque<usize>; 2],
    has_listener_edge: [bool; 2],
    listener_reports: [usize; 2],
    listener_tokens: [usize; 2],
    is_shut: bool,
    alarm_us: Option<u64>,
    signals: Vec<Signal>,
    has_signal_edge: bool,
    pub(super) told: Vec<News>,
    fault: Fault,
    /// Whether all clients send a lot at the same time, and their sockets take all of it.
    is_burst: bool,
    pub(super) waits: usize,
    /// The work of the present turn.
    pub(super) work: Work,
}

/// The world as the reactor and its sockets see it.
#[derive(Clone)]
pub(super) struct Sim(pub(super) Rc<RefCell<World>>);

impl World {
    pub(super) fn new(mut clients: Vec<Client>, rng: Rng, fault: Fault, is_burst: bool) -> Self {
        if is_burst {
            for client in &mut clients {
                client.space = 30_000;
            }
        }
        World {
            rng,
            micros: Arc::default(),
            clients,
            backlogs: [VecDeque::new(), VecDeque::new()],
            has_listener_edge: [false; 2],
            listener_reports: [0; 2],
            listener_tokens: [usize::MAX; 2],
            is_shut: false,
            alarm_us: None,
            signals: Vec::new(),
            has_signal_edge: false,
            told: Vec::new(),
            fault,
            is_burst,
            waits: 0,
            work: Work::default(),
        }
    }

    pub(super) fn now_us(&self) -> u64 {
        self.micros.load(Ordering::Relaxed)
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        self.signals.push(signal);
        self.has_signal_edge = true;
    }

    /// Lets clients take the actions that are due.
    fn step(&mut self) {
        let now_us = self.now_us();
        for index in 0..self.clients.len() {
            let client = &mut self.clients[index];
            if client.next_us > now_us || client.is_over {
                continue;
            }
            client.next_us = now_us + self.rng.u64(1..3_000);
            if client.is_connected {
                if !client.act(&mut self.rng, now_us, if self.is_burst { 9000 } else { 2000 }) {
                    // It sleeps until something arrives.
                    client.next_us = u64::MAX;
                }
            } else if self.is_shut {
                client.is_over = true;
            } else {
                client.is_connected = true;
                let port = usize::from(client.is_admin);
                self.backlogs[port].push_back(index);
                self.has_listener_edge[port] = true;
            }
        }
    }

    /// The events to report now, at most `max`.
    fn report(&mut self, max: usize) -> Vec<SimEvent> {
        let mut events = Vec::new();
        let now_us = self.now_us();
        if self.alarm_us.is_some_and(|at_us| at_us <= now_us) {
            self.alarm_us = None;
            if self.fault != Fault::AlarmLost {
                events.push(SimEvent { token: ALARM, ready: Ready::READABLE, is_error: false });
            }
        }
        if std::mem::take(&mut self.has_signal_edge) {
            events.push(SimEvent { token: SIGNALS, ready: Ready::READABLE, is_error: false });
        }
        for port in 0..2 {
            if self.has_listener_edge[port] && self.listener_tokens[port] != usize::MAX {
                self.has_listener_edge[port] = false;
                self.listener_reports[port] += 1;
                if self.fault != Fault::ListenerLost || self.listener_reports[port] == 1 {
                    events.push(SimEvent {
                        token: self.listener_tokens[port],
                        ready: Ready::READABLE,
                        is_error: false,
                    });
                }
            }
        }
        let first = self.rng.usize(..self.clients.len());
        for index in (first..self.clients.len()).chain(0..first) {
            if events.len() >= max {
                break;
            }
            let client = &mut self.clients[index];
            let Some(token) = client.token else { continue };
            let has_space = std::mem::take(&mut client.has_space_edge) && self.fault != Fault::WritableLost;
            let has_input = std::mem::take(&mut client.has_input_edge)
                && !(self.fault == Fault::FinLost && client.fin && client.inbox.is_empty());
            if has_space || has_input {
                let mut ready = Ready::WRITABLE;
                if !client.inbox.is_empty() || client.fin || client.reset {
                    ready = ready.union(Ready::READABLE);
                }
                if (client.fin && self.fault != Fault::FinLost) || client.reset {
                    ready = ready.union(Ready::READ_CLOSED);
                }
                events.push(SimEvent { token, ready, is_error: client.reset });
            }
        }
        events
    }

    /// The time of the next action or alarm, in µs.
    fn next_us(&self) -> Option<u64> {
        let clients = self.clients.iter().filter(|client| !client.is_over).map(|client| client.next_us);
        clients.chain(self.alarm_us).min().filter(|&us| us < u64::MAX)
    }

    /// Wakes a client because the server did something to its connection.
    fn wake(&mut self, index: usize) {
        let now_us = self.now_us();
        let client = &mut self.clients[index];
        if client.next_us == u64::MAX {
            client.next_us = now_us + self.rng.u64(1..2_000);
        }
    }

    /// Begins a system call: clients may act before it, and a signal may interrupt it.
    fn enter(&mut self) -> io::Result<()> {
        self.micros.fetch_add(self.rng.u64(..20), Ordering::Relaxed);
        if self.rng.u8(..) < 20 {
            self.step();
        }
        if self.rng.u8(..) < 8 { Err(ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

impl System for Sim {
    type Stream = SimStream;
    /// 0 for clients, 1 for the admin port.
    type Listener = usize;
    type Batch = SimBatch;

    fn wait(&mut self, batch: &mut SimBatch, timeout: Option<Duration>) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.waits += 1;
        loop {
            world.step();
            let max = world.rng.usize(1..=SimBatch::MAX);
            batch.0 = world.report(max);
            world.work = Work { events: batch.0.len(), ..Work::default() };
            if !batch.0.is_empty() || timeout.is_some() {
                let max_us = if world.is_burst || world.rng.u8(..) < 40 { 5_000 } else { 100 };
                let passes_us = world.rng.u64(1..max_us);
                world.micros.fetch_add(passes_us, Ordering::Relaxed);
                return Ok(());
            }
            match world.next_us() {
                Some(at_us) => drop(world.micros.fetch_max(at_us, Ordering::Relaxed)),
                // All clients are done: the schedule continues with a signal.
                None if world.clients.iter().all(|client| client.is_over) => return Ok(()),
                None => return Err(io::Error::other("the reactor sleeps for ever")),
            }
        }
    }

    fn watch(&mut self, stream: &mut SimStream, token: usize) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        if world.rng.u8(..) < 10 {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let client = &mut world.clients[stream.index];
        client.token = Some(token);
        // As epoll does, report input that is already there.
        client.has_input_edge = true;
        Ok(())
    }

    fn watch_listener(&mut self, listener: &mut usize, token: usize) -> io::Result<()> {
        self.0.borrow_mut().listener_tokens[*listener] = token;
        Ok(())
    }

    fn accept(&mut self, listener: &usize) -> io::Result<(SimStream, SocketAddr)> {
        let mut world = self.0.borrow_mut();
        world.work.accepts += usize::from(*listener == 0);
        match world.rng.u8(..) {
            0..8 => return Err(io::Error::from_raw_os_error(libc::EMFILE)),
            8..16 => return Err(ErrorKind::ConnectionAborted.into()),
            _ => {}
        }
        let index = world.backlogs[*listener].pop_front().ok_or(ErrorKind::WouldBlock)?;
        let peer = SocketAddr::from(([127, 0, 0, 1], 1000 + index as u16));
        Ok((SimStream { world: self.clone(), index }, peer))
    }

    fn has_waiting(&self, listener: &usize) -> bool {
        !self.0.borrow().backlogs[*listener].is_empty()
    }

    fn keep_out(&self, _: &usize) {
        self.0.borrow_mut().is_shut = true;
    }

    fn set_alarm(&mut self, at_ms: u64, _: u64) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        let alarm_us = (at_ms * 1000).max(world.now_us() + 1);
        world.alarm_us = Some(world.alarm_us.map_or(alarm_us, |set_us| set_us.min(alarm_us)));
        Ok(())
    }

    fn take_alarm(&mut self) -> bool {
        false
    }

    fn signals(&mut self) -> Vec<Signal> {
        std::mem::take(&mut self.0.borrow_mut().signals)
    }

    fn tell(&mut self, news: News, _: &str) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        if world.rng.bool() {
            return Err(ErrorKind::WouldBlock.into());
        }
        world.told.push(news);
        Ok(())
    }
}

pub(super) struct SimBatch(pub(super) Vec<SimEvent>);

impl SimBatch {
    const MAX: usize = 6;
}

pub(super) struct SimEvent {
    token: usize,
    ready: Ready,
    is_error: bool,
}

impl Batch for SimBatch {
    type Event = SimEvent;

    fn iter(&self) -> impl Iterator<Item = &SimEvent> {
        self.0.iter()
    }

    fn is_full(&self) -> bool {
        self.0.len() >= Self::MAX
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Event for SimEvent {
    fn token(&self) -> usize {
        self.token
    }

    fn is_error(&self) -> bool {
        self.is_error
    }

    fn ready(&self) -> Ready {
        self.ready
    }
}

pub(super) struct SimStream {
    world: Sim,
    index: usize,
}

impl SimStream {
    fn receive(&self, buffer: &mut [u8], peek: bool) -> io::Result<usize> {
        let mut world = self.world.0.borrow_mut();
        world.enter()?;
        assert!(!buffer.is_empty(), "a read of nothing looks like FIN");
        let client = &mut world.clients[self.index];
        if client.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if client.inbox.is_empty() {
            return if client.fin { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let count = client.inbox.len().min(buffer.len());
        client.inbox.iter().zip(&mut buffer[..count]).for_each(|(byte, slot)| *slot = *byte);
        if !peek {
            client.inbox.drain(..count);
            let is_admin = client.is_admin;
            world.work.read(if is_admin { 0 } else { count });
            world.wake(self.index);
        }
        Ok(count)
    }
}

impl Read for SimStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer, false)
    }
}

impl Write for SimStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut world = self.world.0.borrow_mut();
        world.enter()?;
        if world.rng.u8(..) < 4 {
            return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
        }
        let client = &mut world.clients[self.index];
        if client.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let count = bytes.len().min(client.space - client.outbox.len());
        client.outbox.extend(&bytes[..count]);
        client.wants_space |= count < bytes.len();
        world.wake(self.index);
        if count == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for SimStream {
    fn shutdown_write(&self) -> io::Result<()> {
        let mut world = self.world.0.borrow_mut();
        world.clients[self.index].has_server_fin = true;
        world.wake(self.index);
        Ok(())
    }

    fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer, true)
    }

    fn delivery(&self) -> io::Result<Delivery> {
        let mut world = self.world.0.borrow_mut();
        world.work.asked += 1;
        let client = &world.clients[self.index];
        Ok(Delivery { acknowledged: client.acknowledged, waiting: client.outbox.len() as u64 })
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let mut world = self.world.0.borrow_mut();
        let now_us = world.now_us();
        let client = &mut world.clients[self.index];
        (client.is_closed, client.token, client.closed_us) = (true, None, now_us);
        let is_admin = client.is_admin;
        world.work.closes += usize::from(!is_admin);
        world.wake(self.index);
    }
}

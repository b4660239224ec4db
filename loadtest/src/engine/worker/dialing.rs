//! How a worker opens connections: sockets, connects and their results.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Token};
use socket2::{Domain, Socket};

use super::{HOPELESS, Phase, Worker};
use crate::cli::ExpectReflect;
use crate::engine::connection::{Connection, State};
use crate::plan::{Kind, Plan};
use crate::system;

impl Worker {
    /// Begins a connection; for a message due at `due_ns`, if it is made for one.
    pub(super) fn dial(&mut self, due_ns: u64) -> io::Result<()> {
        let number = self.dialer.number();
        // A connect takes so long that it needs its own reading of the clock.
        self.now_ns = self.control.now_ns();
        // A scheduled connect does not wait for an address: each has its part of the rate, and counts its own refusals.
        let address = self.addresses.pick(self.now_ns, self.plan.kind != Kind::Crr || self.schedule.is_none());
        let stream = match open(&self.plan, number, self.addresses.target(address)) {
            Ok(stream) => stream,
            Err(error) => {
                if self.schedule.is_some() && self.plan.kind == Kind::Crr {
                    self.tally.missing(address, self.times.measure_ns, due_ns, self.now_ns);
                }
                self.connect_failed(address, "connect", &error);
                return Ok(());
            }
        };
        let mut connection = Connection::new(stream, number, &self.pattern, self.plan.size, self.now_ns);
        connection.address = address;
        connection.pieces = address * self.tally.intervals;
        self.addresses.opened(address);
        connection.replaces_ns = self.lost_ns.pop_front();
        let key = self.connections.insert(connection);
        if self.plan.kind == Kind::Crr {
            // The message counts as in flight although no byte was sent.
            self.queue(key, due_ns);
            self.tally.totals.requests_sent += 1;
        }
        self.dialer.begun(self.now_ns);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut self.connections[key].stream, Token(key), interest)
    }

    #[cold]
    pub(super) fn connect_failed(&mut self, address: usize, what: &str, error: &io::Error) {
        self.tally.totals.connections_failed += 1;
        self.tally.addresses[address].counts.connections_failed += 1;
        self.tally.error(address, what, error);
        if self.redials() {
            self.addresses.pause(address, self.now_ns);
            self.dial_another();
        } else if self.tally.totals.connections_opened == 0 && self.all_failed(HOPELESS) {
            self.dialer.give_up();
        } else {
            self.dialer.go_on(self.now_ns);
        }
    }

    /// Whether a failed or lost connection is replaced.
    pub(super) fn redials(&self) -> bool {
        self.times.phase == Phase::Running && (self.plan.kind == Kind::Crr || self.plan.reconnect)
    }

    /// Opens another connection in place of one that ended. Not for crr in open loop, which opens one when a message is
    /// due.
    pub(super) fn dial_another(&mut self) {
        if self.redials() && (self.plan.kind != Kind::Crr || self.schedule.is_none()) {
            self.dialer.want(1);
        }
    }

    /// Gives up connects and handshakes that take too long; also exchanges, if lost connections are replaced.
    #[cold]
    pub(super) fn sweep(&mut self) {
        let before_ns = self.now_ns.saturating_sub(self.plan.timeout.as_nanos() as u64);
        let redials = self.redials();
        let is_late = |key: usize, connection: &Connection| match connection.state {
            State::Connecting | State::Handshaking => connection.since_ns < before_ns,
            _ => redials && self.flights.sent_ns(key, connection).is_some_and(|sent_ns| sent_ns < before_ns),
        };
        let late = self.connections.iter().filter(|(key, connection)| is_late(*key, connection)).map(|(key, _)| key);
        for key in late.collect::<Vec<_>>() {
            if self.connections[key].state.is_open() {
                self.lose(key, &ErrorKind::TimedOut.into());
            } else {
                self.drop_connecting(key, &ErrorKind::TimedOut.into());
            }
        }
    }

    /// Handles a failed connect or handshake.
    #[cold]
    pub(super) fn drop_connecting(&mut self, key: usize, error: &io::Error) {
        self.dialer.ended();
        let connection = self.connections.remove(key);
        self.addresses.closed(connection.address);
        self.tally.socket(&connection.stream);
        self.lost_ns.extend(connection.replaces_ns);
        if let (true, Some(due_ns)) = (self.schedule.is_some(), self.flights.due_of(key, &connection).next()) {
            self.tally.missing(connection.address, self.times.measure_ns, due_ns, self.now_ns);
        }
        if self.flights.abandon(&connection) > 0 {
            // The message was never sent.
            self.tally.totals.requests_sent -= 1;
        }
        self.room_since_ns = self.ready_ns;
        let is_handshake = connection.state == State::Handshaking;
        self.tally.tls.failed += u64::from(is_handshake);
        self.connect_failed(connection.address, if is_handshake { "TLS handshake" } else { "connect" }, error);
    }

    /// Gives a connection that replaces another the messages that the other would have had.
    #[cold]
    fn resume(&mut self, key: usize) {
        if self.times.phase != Phase::Running {
            return;
        }
        if self.schedule.is_some() {
            self.connections[key].since_ns = self.ready_ns;
            self.free.push_back(key);
        } else {
            for _ in 0..self.flights.depth {
                self.queue(key, self.now_ns);
            }
        }
    }

    /// Handles the end of a connect.
    pub(super) fn establish(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        let error = match connection.stream.take_error() {
            Ok(None) => None,
            Ok(Some(error)) | Err(error) => Some(error),
        };
        let own = match (error, connection.stream.local_addr()) {
            (Some(error), _) | (None, Err(error)) => {
                self.drop_connecting(key, &error);
                return;
            }
            (None, Ok(own)) => own,
        };
        let counts = &mut self.tally.addresses[connection.address].counts;
        counts.connect_time.record(self.now_ns - connection.since_ns);
        if self.tls.is_some() {
            return self.shake_hands(key, own);
        }
        self.open(key);
        self.scratch.clear();
        let connection = &mut self.connections[key];
        let target = self.addresses.target(connection.address);
        self.plan.header.write(connection.number, own, target, &mut self.scratch);
        match connection.send_first(&mut self.scratch, &self.pattern) {
            Ok(sent) => self.tally.totals.bytes_sent += sent as u64,
            Err(error) => self.lose(key, &error),
        }
    }

    /// Opens the connection for use and queues its messages.
    pub(super) fn open(&mut self, key: usize) {
        self.dialer.ended();
        self.tally.totals.connections_opened += 1;
        self.control.count_opened();
        let connection = &mut self.connections[key];
        self.tally.addresses[connection.address].counts.connections_opened += 1;
        connection.state =
            if self.plan.expect_reflect == ExpectReflect::No { State::Open } else { State::AwaitingLine };
        if matches!(self.plan.kind, Kind::Rr | Kind::Stream) {
            self.resume(key);
        }
    }
}

/// A socket for connection `number`, connecting to `target`.
fn open(plan: &Plan, number: u64, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = system::stream_socket(Domain::for_address(target))?;
    socket.set_tcp_nodelay(true)?;
    if !plan.time_wait {
        // Close with a reset, so that ports are free again at once.
        socket.set_linger(Some(Duration::ZERO))?;
    }
    if let Some(address) = plan.sources.address(number, &target) {
        bind(&socket, address)?;
    }
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) && error.kind() != io::ErrorKind::WouldBlock => {
            Err(error)
        }
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

fn bind(socket: &Socket, address: IpAddr) -> io::Result<()> {
    system::prepare_bind(socket)?;
    socket.bind(&SocketAddr::new(address, 0).into())
}

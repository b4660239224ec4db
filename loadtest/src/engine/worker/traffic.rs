//! How a worker sends messages, receives answers, and counts both.

use std::io::{self, ErrorKind};

use mio::event::Event;

use super::{BATCH, Phase, Worker};
use crate::engine::connection::{Connection, Fault, Line, State, Taken};
use crate::plan::Kind;

/// Most reads in one turn of a connection.
pub(super) const READS: usize = 4;

impl Worker {
    /// Sends due messages while connections are free.
    pub(super) fn send_due(&mut self) -> io::Result<()> {
        let mut count = 0;
        while let Some(due_ns) = self.schedule.as_ref().map(|schedule| self.times.start_ns + schedule.next_ns()) {
            if due_ns > self.now_ns || due_ns >= self.times.end_ns || !self.can_send() {
                break;
            }
            count += 1;
            if count % BATCH == 0 {
                self.read_clock();
            }
            let free_ns = if self.plan.kind == Kind::Crr {
                self.dial(due_ns)?;
                self.room_since_ns
            } else {
                let Some(free_ns) = self.send_on_free(due_ns) else { continue };
                free_ns
            };
            if due_ns >= self.times.measure_ns {
                // Count only the generator's own delay, not the wait for a free connection; a message due in a pause could
                // not be sent before its end, whether a connection was free or not.
                let could_ns = if self.pauses.is_empty() { due_ns } else { self.after_pause(due_ns) };
                let waited_ns = free_ns.saturating_sub(could_ns);
                self.tally.lag.record(self.now_ns.saturating_sub(due_ns + waited_ns));
                if waited_ns > 0 {
                    self.tally.waited.record(waited_ns);
                }
            }
            if let Some(schedule) = &mut self.schedule {
                schedule.pass();
            }
        }
        Ok(())
    }

    /// The earliest time at which a message due at `due_ns` could be sent: at once, or after the pause in which it was
    /// due.
    #[cold]
    fn after_pause(&mut self, due_ns: u64) -> u64 {
        while self.pauses.front().is_some_and(|&(_, to_ns)| to_ns <= due_ns) {
            self.pauses.pop_front();
        }
        self.pauses.front().filter(|&&(from_ns, _)| due_ns >= from_ns).map_or(due_ns, |&(_, to_ns)| to_ns)
    }

    /// Sends a message on the connection that has been free longest. Returns since when it was free, or `None` if it
    /// has been closed.
    pub(super) fn send_on_free(&mut self, due_ns: u64) -> Option<u64> {
        let key = self.free.pop_front()?;
        let free_ns = self.connections.get(key)?.since_ns;
        self.queue(key, due_ns);
        if let Err(error) = self.flush(key) {
            self.lose(key, &error);
        } else if self.connections[key].in_flight < self.flights.depth {
            self.free.push_back(key);
        }
        Some(free_ns)
    }

    /// Queues another message, due at `due_ns`, on connection `key`.
    #[inline]
    pub(super) fn queue(&mut self, key: usize, due_ns: u64) {
        self.flights.begin(key, &mut self.connections[key], self.plan.size, due_ns, self.now_ns);
        self.tally.totals.requests_sent += u64::from(self.plan.kind != Kind::Crr);
    }

    #[inline(always)]
    pub(super) fn flush(&mut self, key: usize) -> io::Result<()> {
        let connection = &mut self.connections[key];
        let sent = match &mut self.tls {
            None => connection.send(&self.pattern)?,
            Some(client) => connection.send_by_tls(client, &self.pattern)?,
        };
        self.tally.totals.bytes_sent += sent as u64;
        Ok(())
    }

    #[inline]
    pub(super) fn turn(&mut self, key: usize, event: &Event) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.state == State::Connecting {
            return self.establish(key);
        }
        if self.tls.is_some() {
            return self.turn_by_tls(key, event);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.receive(key, event.is_read_closed() || event.is_error());
        }
        if event.is_writable()
            && self.connections.get(key).is_some_and(Connection::has_unsent)
            && let Err(error) = self.flush(key)
        {
            self.lose(key, &error);
        }
    }

    /// Reads the input. A read shorter than the buffer has read all of it, unless a FIN or an error follows. If more
    /// keeps arriving, other connections have their turn in between.
    #[inline]
    pub(super) fn receive(&mut self, key: usize, to_the_end: bool) {
        for _ in 0..READS {
            let Some(connection) = self.connections.get_mut(key) else { return };
            match connection.read(&mut self.buffer) {
                Ok(0) => return self.lose(key, &ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    let is_drained = count < self.buffer.len() && !to_the_end;
                    self.digest(key, count);
                    if is_drained {
                        return;
                    }
                    // Reading this much takes time.
                    self.read_clock();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.lose(key, &error),
            }
        }
        self.unread.push_back((key, to_the_end));
    }

    /// Gives another turn to each connection with unread input.
    pub(super) fn read_on(&mut self) {
        for _ in 0..self.unread.len() {
            let Some((key, to_the_end)) = self.unread.pop_front() else { return };
            match self.connections.get(key) {
                Some(connection) if connection.state != State::Connecting => {}
                _ => continue,
            }
            if self.tls.is_some() {
                self.receive_by_tls(key, to_the_end);
            } else {
                self.receive(key, to_the_end);
            }
        }
    }

    /// Handles the first `count` bytes of the buffer.
    #[inline(always)]
    pub(super) fn digest(&mut self, key: usize, count: usize) {
        let mut start = 0;
        let Connection { state, pieces, .. } = self.connections[key];
        if state == State::AwaitingLine {
            match self.digest_line(key, count) {
                Some(payload) => start = payload,
                None => return,
            }
        }
        if start < count {
            self.count_bytes(pieces, count - start);
            let connection = &mut self.connections[key];
            let bytes = &self.buffer[start..count];
            match connection.take(bytes, &self.pattern, self.plan.size, self.plan.verify) {
                Some(0) => {}
                Some(whole) => self.complete(key, whole, 0),
                None => {
                    if connection.received == 0 {
                        self.tally.unexpected(bytes);
                    }
                    let taken = connection.take_faulty(bytes, &self.pattern, self.plan.size, self.plan.verify);
                    self.settle_faults(key, &taken);
                }
            }
        }
    }

    #[inline]
    pub(super) fn count_bytes(&mut self, pieces: usize, count: usize) {
        self.tally.totals.bytes_received += count as u64;
        if self.times.is_measuring {
            self.tally.totals.measured_bytes += count as u64;
            self.tally.pieces[pieces + self.tally.current].bytes += count as u64;
        }
    }

    /// The offset of the payload after the line that the target may send first; `None` if the line is not whole.
    #[cold]
    pub(super) fn digest_line(&mut self, key: usize, count: usize) -> Option<usize> {
        let connection = &mut self.connections[key];
        let line = connection.take_line(&self.buffer[..count], self.plan.expect_reflect);
        if line == Line::Missing {
            self.tally.totals.verification.header += 1;
            self.settle_faults(key, &Taken { faults: vec![(Fault::Header, 0)], ..Taken::default() });
        }
        match line {
            Line::Partial => None,
            Line::Whole(payload) => {
                self.tally.totals.headers_reflected += 1;
                Some(payload)
            }
            Line::None | Line::Missing => {
                let connection = &mut self.connections[key];
                let (held, pieces) = (connection.take_held(), connection.pieces);
                if !held.is_empty() {
                    self.count_bytes(pieces, held.len());
                    self.tally.unexpected(&held);
                    let connection = &mut self.connections[key];
                    let taken = connection.take_faulty(&held, &self.pattern, self.plan.size, self.plan.verify);
                    self.settle_faults(key, &taken);
                }
                self.connections.contains(key).then_some(0)
            }
        }
    }

    /// Completes the oldest `whole` messages of a connection, and gives up the `dropped` ones after them.
    #[inline(always)]
    pub(super) fn complete(&mut self, key: usize, whole: u32, dropped: u32) {
        let connection = &mut self.connections[key];
        let was_busy = connection.in_flight == self.flights.depth;
        let tally = &mut self.tally;
        let piece = connection.pieces + tally.current;
        for _ in 0..whole {
            let (due_ns, sent_ns) = self.flights.end(key, connection);
            if due_ns < self.times.measure_ns {
                continue;
            }
            if self.times.is_measuring {
                tally.pieces[piece].latency.record(self.now_ns - due_ns);
                self.live.record(self.now_ns - due_ns);
            } else {
                tally.addresses[connection.address].tail.record(self.now_ns - due_ns);
            }
            if self.schedule.is_some() {
                tally.service.record(self.now_ns - sent_ns);
            }
        }
        for _ in 0..dropped {
            let (due_ns, _) = self.flights.end(key, connection);
            tally.missing(connection.address, self.times.measure_ns, due_ns, self.now_ns);
        }
        tally.totals.requests_completed += u64::from(whole);
        tally.totals.requests_unanswered += u64::from(dropped);
        if dropped > 0 {
            tally.addresses[connection.address].counts.requests_unanswered += u64::from(dropped);
        }
        if connection.replaces_ns.is_some() && whole > 0 {
            let lost_ns = connection.replaces_ns.take();
            tally.reconnect.record(self.now_ns - lost_ns.unwrap_or(self.now_ns));
            self.addresses.succeeded(connection.address);
        }
        if self.times.is_measuring {
            tally.totals.measured_completed += u64::from(whole);
            tally.pieces[piece].completed += u64::from(whole);
        }
        if connection.is_leaving {
            return self.go_on_leaving(key);
        }
        self.go_on(key, whole + dropped, was_busy);
    }

    /// Gives a connection new messages after `ended` ones were completed.
    #[inline(always)]
    pub(super) fn go_on(&mut self, key: usize, ended: u32, was_busy: bool) {
        if self.plan.kind == Kind::Crr {
            return self.close(key);
        }
        if self.times.phase != Phase::Running {
            return;
        }
        if self.schedule.is_some() {
            if was_busy {
                self.connections[key].since_ns = self.ready_ns;
                self.free.push_back(key);
            }
            return;
        }
        for _ in 0..ended {
            self.queue(key, self.now_ns);
        }
        if let Err(error) = self.flush(key) {
            self.lose(key, &error);
        }
    }

    /// crr: closes the connection after its work.
    pub(super) fn close(&mut self, key: usize) {
        let mut connection = self.connections.remove(key);
        self.tally.socket(&connection.stream);
        // A reset would discard all bytes under way.
        if let (Some(client), Some(session), true) = (&mut self.tls, &mut connection.tls, self.plan.time_wait) {
            session.close(&mut connection.stream, client);
        }
        self.addresses.closed(connection.address);
        self.room_since_ns = self.ready_ns;
        self.addresses.succeeded(connection.address);
        self.dial_another();
    }

    #[cold]
    pub(super) fn settle_faults(&mut self, key: usize, taken: &Taken) {
        for &(fault, before) in &taken.faults {
            let Connection { number, address, .. } = self.connections[key];
            self.tally.addresses[address].counts.verification_failures += 1;
            let target = self.addresses.target(address);
            let kinds = &mut self.tally.totals.verification;
            let what = match fault {
                Fault::Corrupted => {
                    kinds.corrupted += 1;
                    "bytes are changed".to_owned()
                }
                Fault::Lost(count) => {
                    kinds.lost += 1;
                    format!("{count} bytes are lost")
                }
                Fault::Duplicated(count) => {
                    kinds.duplicated += 1;
                    format!("{count} bytes came twice, or unasked")
                }
                Fault::Crossed(place) => {
                    kinds.crossed += 1;
                    let covers = |connection: &Connection| connection.covers(place, &self.pattern);
                    match self.connections.iter().find(|(other, connection)| *other != key && covers(connection)) {
                        Some((_, other)) => format!("the bytes of connection {} came", other.number),
                        None => "the bytes of another connection came".to_owned(),
                    }
                }
                Fault::Header => "no header line came first".to_owned(),
            };
            self.tally.failure(|| format!("connection {number} to {target}, after {before} bytes: {what}"));
        }
        if taken.whole + taken.dropped > 0 {
            self.complete(key, taken.whole, taken.dropped);
        }
    }

    /// Handles a connection that ended although it should not have.
    #[cold]
    pub(super) fn lose(&mut self, key: usize, error: &io::Error) {
        let connection = self.connections.remove(key);
        self.tally.socket(&connection.stream);
        let address = connection.address;
        self.addresses.closed(address);
        let counts = &mut self.tally.addresses[address].counts;
        counts.connections_lost += 1;
        counts.requests_unanswered += u64::from(connection.in_flight);
        for due_ns in self.flights.due_of(key, &connection) {
            self.tally.missing(address, self.times.measure_ns, due_ns, self.now_ns);
        }
        self.tally.totals.requests_unanswered += self.flights.abandon(&connection);
        self.tally.totals.connections_lost += 1;
        self.control.count_lost();
        self.tally.error(address, "connection", error);
        self.room_since_ns = self.ready_ns;
        if self.redials() {
            // A target that accepts a connection and sends nothing is not ready yet.
            if connection.received == 0 {
                self.addresses.pause(address, self.now_ns);
            }
            if self.plan.kind != Kind::Crr {
                self.lost_ns.push_back(connection.replaces_ns.unwrap_or(self.now_ns));
                self.free.retain(|&free| free != key);
            }
            self.dial_another();
        }
    }
}

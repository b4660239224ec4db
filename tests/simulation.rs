//! Connections over a simulated kernel: edge-triggered readiness, short reads and writes, urgent marks, FINs in every
//! order, signals, a kernel out of memory, a budget too small for all. There are thousands of random schedules, each from
//! its seed.
//!
//! The reactor in this test is minimal. With a fault built in ([`Fault`]), the test must fail.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;

use fastrand::Rng;
use proxy::{Addresses, Command, MAX_V2_LEN, Transport, V2, encode_v1};
use proxy_echo::connection::Budget;
use proxy_echo::connection::{Connection, Echo, Expect, Next, Ready, Reason, Shared, Stream};

/// A fault built in on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// A connection that wants another turn is forgotten.
    AgainForgotten,
    /// A connection that waits for the budget is forgotten.
    StarvedForgotten,
    /// A connection that waits for the kernel's memory is forgotten.
    PauseForgotten,
    /// A FIN behind data is not seen: a short read ends the turn.
    FinNotLatched,
    /// An urgent byte is not seen.
    UrgencyNotLatched,
    /// The edge that reports free space is ignored.
    WritableIgnored,
    /// A short write is taken for a whole one.
    ShortWriteHidden,
    /// The budget is not updated.
    BudgetLeaks,
}

/// One socket, seen from both ends.
#[expect(clippy::struct_excessive_bools, reason = "the kernel keeps as many")]
struct Socket {
    rng: Rng,
    /// The bytes that the client will send, and the places of its urgent bytes.
    script: VecDeque<u8>,
    urgent: VecDeque<usize>,
    scripted: usize,
    /// Whether the client waits for its whole answer before its FIN, because a FIN would hide a missed edge.
    waits: bool,
    expected: Vec<u8>,
    /// On the way to the server.
    inbox: VecDeque<u8>,
    /// The number of bytes in the inbox before the urgent mark.
    mark: Option<usize>,
    fin: bool,
    /// The number of answer bytes after which the client resets the connection, if it does; and whether it has.
    resets_at: Option<usize>,
    reset: bool,
    /// On the way to the client.
    outbox: VecDeque<u8>,
    space: usize,
    wants_space: bool,
    received: Vec<u8>,
    /// Whether the poll has an edge to report, of input or of space to write. epoll then reports everything that is
    /// true, kqueue only the edge.
    reported: bool,
    has_space: bool,
    is_kqueue: bool,
    fault: Fault,
}

impl Socket {
    /// Lets the client take an action, if it can.
    fn client_step(&mut self) -> bool {
        if self.reset {
            return false;
        }
        if self.resets_at.is_some_and(|at| at <= self.received.len()) {
            (self.reset, self.reported) = (true, true);
        } else if self.rng.bool() && !self.script.is_empty() {
            self.send();
        } else if !self.outbox.is_empty() {
            let count = self.rng.usize(1..=self.outbox.len());
            self.received.extend(self.outbox.drain(..count));
            if self.wants_space && self.space - self.outbox.len() >= self.space / 3 {
                self.wants_space = false;
                self.has_space = true;
            }
        } else if !self.script.is_empty() {
            self.send();
        } else if !self.fin && (!self.waits || self.received.len() == self.expected.len()) {
            self.fin = true;
            self.reported = true;
        } else {
            return false;
        }
        true
    }

    /// Sends a segment, at most up to and including the next urgent byte.
    fn send(&mut self) {
        let sent = self.scripted - self.script.len();
        let mut count = self.rng.usize(1..=self.script.len().min(700));
        if let Some(&at) = self.urgent.front()
            && at < sent + count
        {
            // A later mark replaces one that was not read yet, as in TCP.
            count = at - sent + 1;
            self.mark = Some(self.inbox.len() + count - 1);
            self.urgent.pop_front();
        }
        self.inbox.extend(self.script.drain(..count));
        self.reported = true;
    }

    /// The readiness that the poll reports now, if any.
    fn report(&mut self) -> Option<Ready> {
        let (input, space) = (std::mem::take(&mut self.reported), std::mem::take(&mut self.has_space));
        match (input, space) {
            (false, false) => None,
            (false, true) if self.is_kqueue => Some(Ready::WRITABLE),
            _ => Some(self.ready()),
        }
    }

    fn ready(&self) -> Ready {
        let mut ready = Ready::WRITABLE;
        if !self.inbox.is_empty() || self.fin || self.reset {
            ready = ready.union(Ready::READABLE);
        }
        if (self.fin || self.reset) && self.fault != Fault::FinNotLatched {
            ready = ready.union(Ready::READ_CLOSED);
        }
        if self.mark.is_some() && self.fault != Fault::UrgencyNotLatched {
            ready = ready.union(Ready::PRIORITY);
        }
        ready
    }

    /// Begins a system call: the client may act before it, and a signal may interrupt it.
    fn enter(&mut self) -> io::Result<()> {
        if self.rng.u8(..) < 40 {
            self.client_step();
        }
        match self.rng.u8(..) {
            0..8 => Err(ErrorKind::Interrupted.into()),
            _ if self.reset => Err(ErrorKind::ConnectionReset.into()),
            _ => Ok(()),
        }
    }
}

#[derive(Clone)]
struct End(Rc<RefCell<Socket>>);

impl End {
    fn receive(&self, buffer: &mut [u8], peek: bool) -> io::Result<usize> {
        let mut socket = self.0.borrow_mut();
        socket.enter()?;
        assert!(!buffer.is_empty(), "a read of nothing looks like FIN");
        if socket.inbox.is_empty() {
            return if socket.fin { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let count = match socket.mark {
            // A read at the mark goes past it; a read before the mark ends there.
            Some(0) | None => buffer.len(),
            Some(before) => buffer.len().min(before),
        };
        let count = socket.inbox.len().min(count);
        socket.inbox.iter().zip(&mut buffer[..count]).for_each(|(byte, slot)| *slot = *byte);
        if !peek {
            socket.inbox.drain(..count);
            socket.mark = socket.mark.filter(|&before| before > 0 && before >= count).map(|before| before - count);
        }
        Ok(count)
    }
}

impl Read for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer, false)
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut socket = self.0.borrow_mut();
        socket.enter()?;
        if socket.rng.u8(..) < 4 {
            return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
        }
        let count = bytes.len().min(socket.space - socket.outbox.len());
        socket.outbox.extend(&bytes[..count]);
        if count < bytes.len() {
            socket.wants_space = socket.fault != Fault::WritableIgnored;
        }
        match count {
            _ if socket.fault == Fault::ShortWriteHidden => Ok(bytes.len()),
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for End {
    fn shutdown_write(&self) -> io::Result<()> {
        Ok(())
    }

    fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer, true)
    }
}

/// A client with a header of either version and a payload, and the answer that it must get.
fn client(rng: &mut Rng, expect: Expect, echo: Echo, fault: Fault) -> End {
    let addresses = Addresses::Inet {
        transport: Transport::Stream,
        source: format!("192.0.2.1:{}", rng.u16(..)).parse().unwrap(),
        destination: "192.0.2.2:443".parse().unwrap(),
    };
    let line = encode_v1(&addresses);
    let mut header = line.to_vec();
    if rng.bool() {
        header.clear();
        V2 { command: Command::Proxy, addresses, tlvs: &[], crc32c: rng.bool() }.encode(&mut header).unwrap();
    }
    let with_header = expect == Expect::Header || (expect == Expect::Either && rng.bool());
    let mut payload: Vec<u8> = (0..rng.usize(..3000)).map(|_| rng.choice(*b"abcdefgh\n").unwrap()).collect();
    if !with_header && !payload.is_empty() {
        // Bytes that cannot become a header.
        payload[0] = b'x';
    }
    let script: VecDeque<u8> =
        if with_header { header } else { Vec::new() }.into_iter().chain(payload.clone()).collect();
    let echoed = what_is_echoed(&payload, echo);
    // The client cannot wait for an unfinished line, which comes only after its FIN.
    let ends_whole = echo == Echo::Stream || echoed.is_empty() || echoed.ends_with(b"\n");
    let mut urgent: Vec<usize> = (0..rng.usize(..3)).map(|_| rng.usize(..script.len().max(1))).collect();
    urgent.retain(|&at| at < script.len());
    urgent.sort_unstable();
    urgent.dedup();
    let expected = if with_header { [&line, echoed].concat() } else { echoed.to_vec() };
    End(Rc::new(RefCell::new(Socket {
        rng: rng.fork(),
        scripted: script.len(),
        script,
        urgent: urgent.into(),
        waits: ends_whole && rng.bool(),
        expected,
        inbox: VecDeque::new(),
        mark: None,
        fin: false,
        resets_at: (rng.u8(..) < 10).then(|| rng.usize(..2000)),
        reset: false,
        outbox: VecDeque::new(),
        space: rng.usize(1..800),
        wants_space: false,
        received: Vec::new(),
        reported: false,
        has_space: false,
        is_kqueue: rng.bool(),
        fault,
    })))
}

/// The payload that is echoed: all of it, or the lines before the first that is too long.
fn what_is_echoed(payload: &[u8], echo: Echo) -> &[u8] {
    let Echo::Lines { max } = echo else { return payload };
    let echoed = payload.split_inclusive(|&byte| byte == b'\n').take_while(|line| line.len() <= max);
    &payload[..echoed.map(<[u8]>::len).sum()]
}

/// Runs one schedule. The error says what went wrong.
fn run(seed: u64, fault: Fault) -> Result<(), String> {
    /// A budget in which 450 held bytes leave no room for payload.
    const PAYLOAD: usize = 4550;
    const HEADERS: usize = 5200;
    let mut rng = Rng::with_seed(seed);
    let lines = rng.choice([50, MAX_V2_LEN]).unwrap();
    let echo = rng.choice([Echo::Stream, Echo::Lines { max: lines }]).unwrap();
    let mut shared = Shared::new(echo, true, MAX_V2_LEN, Budget::new(PAYLOAD, HEADERS));
    let expect = rng.choice([Expect::Header, Expect::Either, Expect::Payload]).unwrap();
    let ends: Vec<End> = (0..rng.usize(1..4)).map(|_| client(&mut rng, expect, echo, fault)).collect();
    let mut connections: Vec<_> = ends.iter().map(|end| Some(Connection::new(end.clone(), expect, 0))).collect();
    let mut turns: VecDeque<usize> = (0..ends.len()).collect();
    let (mut starved, mut paused) = (VecDeque::new(), VecDeque::new());

    for _ in 0..200_000 {
        let mut moved = false;
        for end in &ends {
            if rng.bool() {
                moved |= end.0.borrow_mut().client_step();
            }
        }
        let mut queue: Vec<(usize, Ready)> = turns.drain(..).map(|key| (key, Ready::READABLE)).collect();
        for (key, end) in ends.iter().enumerate() {
            queue.extend(end.0.borrow_mut().report().map(|ready| (key, ready)));
        }
        let idle = queue.is_empty();
        for (key, ready) in queue {
            let Some(connection) = &mut connections[key] else { continue };
            match connection.turn(ready, &mut shared, &mut ()) {
                Next::Unchanged | Next::Changed => {}
                Next::Again if fault == Fault::AgainForgotten => {}
                Next::Again => turns.push_back(key),
                Next::Starved if fault == Fault::StarvedForgotten => {}
                Next::Starved => starved.push_back(key),
                Next::Pause | Next::Crowded if fault == Fault::PauseForgotten => {}
                Next::Pause | Next::Crowded => paused.push_back(key),
                Next::Closed(Reason::ByPeer | Reason::Reset | Reason::LineTooLong) => {
                    let connection = connections[key].take().expect("it just had its turn");
                    if fault != Fault::BudgetLeaks {
                        connection.close(&mut shared.budget);
                    }
                }
                Next::Closed(reason) => return Err(format!("closed: {reason:?}")),
            }
        }
        if shared.budget.room() > 0 {
            turns.extend(starved.pop_front());
        }
        turns.extend(paused.pop_front());
        if idle && !moved && turns.is_empty() {
            // The random choice may have skipped every client: ask all once more.
            if !ends.iter().any(|end| end.0.borrow_mut().client_step()) {
                break;
            }
        }
    }
    for (end, connection) in ends.iter().zip(&connections) {
        let socket = end.0.borrow();
        if connection.is_some() {
            return Err(format!("stuck with {} of {} bytes", socket.received.len(), socket.expected.len()));
        }
        let whole = if socket.reset {
            socket.expected.starts_with(&socket.received)
        } else {
            socket.received == socket.expected
        };
        if !whole {
            return Err("other bytes came back".to_owned());
        }
    }
    if shared.budget.held() > 0 {
        return Err(format!("{} bytes of the budget are held after all are gone", shared.budget.held()));
    }
    Ok(())
}

#[test]
fn every_byte_comes_back_in_20_000_schedules() {
    for seed in 0..20_000 {
        if let Err(error) = run(seed, Fault::None) {
            panic!("seed {seed}: {error}");
        }
    }
}

#[test]
fn every_fault_is_caught() {
    for fault in [
        Fault::AgainForgotten,
        Fault::StarvedForgotten,
        Fault::PauseForgotten,
        Fault::FinNotLatched,
        Fault::UrgencyNotLatched,
        Fault::WritableIgnored,
        Fault::ShortWriteHidden,
        Fault::BudgetLeaks,
    ] {
        let caught = (0..2_000).filter(|&seed| run(seed, fault).is_err()).count();
        println!("{fault:?} is caught by {caught} of 2000 schedules");
        assert!(caught > 20, "{fault:?} is caught by {caught} schedules only");
    }
}

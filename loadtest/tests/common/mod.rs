//! Correct and misbehaving servers in the test's own process, and loadtest as a function.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use loadtest::cli::Cli;
use loadtest::command::{self, CommandError};
use loadtest::result::{Report, RunResult};

/// Bytes of a message in these tests.
pub const SIZE: usize = 64;
/// The message of each connection to which a misdeed is done, counted from 0.
const NTH: u64 = 10;

/// What a server does wrong; once for each connection unless stated otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdeed {
    /// Nothing.
    None,
    /// Changes a byte.
    Corrupts,
    /// Drops a whole message.
    DropsMessage,
    /// Drops a byte.
    DropsByte,
    /// Sends a message twice.
    Duplicates,
    /// Swaps a message of two connections, once.
    Crosses,
    /// Answers nothing in the first 100 ms of every second.
    Stalls,
    /// Closes every connection.
    Dies,
    /// Works a millisecond for each message, one after the other for all connections: 1,000 a second.
    Serial,
    /// Never answers the 50th message of a connection.
    Drops50th,
    /// Answers only its first ten connections.
    ServesTen,
    /// Never answers every fifth connection.
    IgnoresFifth,
    /// Sends a line like a reflected header first.
    SendsLine,
}

/// An echo server of messages, and what it counted.
pub struct Server {
    pub address: SocketAddr,
    pub messages: Arc<AtomicU64>,
    pub connections: Arc<AtomicU64>,
    pub peers: Arc<Mutex<BTreeSet<IpAddr>>>,
    is_over: Arc<AtomicBool>,
}

/// When the one worker of [`Misdeed::Serial`] will have finished the messages received so far.
type Worker = Mutex<Instant>;

impl Server {
    pub fn start(misdeed: Misdeed) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (messages, connections) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let is_over = Arc::new(AtomicBool::new(false));
        let peers = Arc::new(Mutex::new(BTreeSet::new()));
        let slot = Arc::new(Mutex::new(Slot::Empty));
        let started = Instant::now();
        let worker = Arc::new(Mutex::new(started));
        let server = Server {
            address,
            messages: messages.clone(),
            connections: connections.clone(),
            peers: peers.clone(),
            is_over: is_over.clone(),
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                stream.set_nodelay(true).unwrap();
                peers.lock().unwrap().extend(stream.peer_addr().map(|peer| peer.ip()));
                let number = connections.fetch_add(1, Ordering::Relaxed);
                let (messages, slot, worker) = (messages.clone(), slot.clone(), worker.clone());
                let visit = Served { stream, misdeed, number, messages, slot, worker, started };
                thread::spawn(move || visit.serve());
            }
        });
        server
    }

    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

type Message = [u8; SIZE];

/// The message that is swapped with another connection's.
enum Slot {
    Empty,
    Waiting(TcpStream, Message),
    Used,
}

struct Served {
    stream: TcpStream,
    misdeed: Misdeed,
    number: u64,
    messages: Arc<AtomicU64>,
    slot: Arc<Mutex<Slot>>,
    worker: Arc<Worker>,
    started: Instant,
}

impl Served {
    /// Serves until the client or the server's misdeed ends the connection.
    fn serve(mut self) {
        if self.misdeed == Misdeed::SendsLine {
            let _ = self.stream.write_all(b"PROXY TCP4 10.0.0.1 10.0.0.2 1234 80\r\n");
        }
        let mut message = [0; SIZE];
        for count in 0.. {
            if self.stream.read_exact(&mut message).is_err() {
                return;
            }
            self.messages.fetch_add(1, Ordering::SeqCst);
            match self.misdeed {
                Misdeed::Stalls => self.stall(),
                Misdeed::Serial => self.work(),
                _ => {}
            }
            if self.answer(count, message).is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, count: u64, mut message: Message) -> std::io::Result<()> {
        let is_due = count == NTH;
        match self.misdeed {
            Misdeed::Corrupts if is_due => message[20] ^= 1,
            Misdeed::DropsMessage if is_due => return Ok(()),
            Misdeed::Drops50th if count % 50 == 49 => return Ok(()),
            Misdeed::IgnoresFifth if self.number % 5 == 4 => return Ok(()),
            Misdeed::ServesTen if self.number >= 10 => return Ok(()),
            Misdeed::DropsByte if is_due => {
                self.stream.write_all(&message[..20])?;
                return self.stream.write_all(&message[21..]);
            }
            Misdeed::Duplicates if is_due => self.stream.write_all(&message)?,
            Misdeed::Crosses if count >= NTH => return self.cross(message),
            Misdeed::Dies if count == 10 * NTH => return self.stream.shutdown(Shutdown::Both),
            _ => {}
        }
        self.stream.write_all(&message)
    }

    fn cross(&mut self, message: Message) -> std::io::Result<()> {
        let mut slot = self.slot.lock().unwrap();
        match std::mem::replace(&mut *slot, Slot::Used) {
            Slot::Empty => *slot = Slot::Waiting(self.stream.try_clone()?, message),
            Slot::Waiting(mut other, others) => {
                other.write_all(&message)?;
                self.stream.write_all(&others)?;
            }
            Slot::Used => self.stream.write_all(&message)?,
        }
        Ok(())
    }

    fn stall(&self) {
        let in_second = self.started.elapsed().as_millis() as u64 % 1000;
        if in_second < 100 {
            pause(Duration::from_millis(100 - in_second));
        }
    }

    /// Waits until the one worker has finished this message. The worker makes up for late wake-ups, so that its
    /// capacity is exact on any machine.
    fn work(&self) {
        let done = {
            let mut done = self.worker.lock().unwrap();
            // A worker that is less late than this still has work.
            let since = Instant::now().checked_sub(Duration::from_millis(20)).expect("a machine up for longer");
            *done = (*done).max(since) + Duration::from_millis(1);
            *done
        };
        pause(done.saturating_duration_since(Instant::now()));
    }
}

/// Waits, for servers that are slow on purpose and for stopping a process.
pub fn pause(length: Duration) {
    // Nobody sends.
    let (_sender, receiver) = mpsc::channel::<()>();
    let _ = receiver.recv_timeout(length);
}

/// The report of `loadtest` with these arguments, separated by spaces.
pub fn report(arguments: &str) -> Result<Report, CommandError> {
    let cli = Cli::try_parse_from(std::iter::once("loadtest").chain(arguments.split(' '))).unwrap();
    command::execute(&cli.command, &AtomicBool::new(false))
}

/// The result of a command that makes one run.
pub fn run(arguments: &str) -> RunResult {
    match report(arguments).unwrap() {
        Report::Run(result) => *result,
        other => panic!("not a run: {other:?}"),
    }
}

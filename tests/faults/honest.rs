//! Honest clients, which run beside the faults: each of their bytes must come back, to them alone, and in time.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::peers::{connect, header, is_at};

/// Number of clients that stay connected.
pub const CLIENTS: u64 = 16;
/// Time between two messages of a client, whether or not the last one has come back.
const EVERY: Duration = Duration::from_millis(50);
/// Time between two new clients.
const NEW_EVERY: Duration = Duration::from_millis(50);

pub struct Honest {
    clients: Vec<Client>,
}

/// The measurements of the honest clients.
#[derive(Default)]
pub struct Tally {
    pub messages: usize,
    pub p99: Duration,
    /// The number of new clients that were served to the end.
    pub newcomers: usize,
    /// The longest time for one of them, from connecting to the server's FIN.
    pub slowest_newcomer: Duration,
}

impl Tally {
    /// Adds another tally; the percentile is the worse of the two.
    pub fn add(&mut self, other: &Tally) {
        self.messages += other.messages;
        self.newcomers += other.newcomers;
        self.p99 = self.p99.max(other.p99);
        self.slowest_newcomer = self.slowest_newcomer.max(other.slowest_newcomer);
    }
}

struct Client {
    stream: TcpStream,
    /// Generates its messages, which differ from those of all other clients.
    rng: Rng,
    said: Vec<u8>,
    heard: Vec<u8>,
}

impl Honest {
    pub fn connect(address: SocketAddr) -> Self {
        Honest { clients: (0..CLIENTS).map(|number| Client::connect(address, number)).collect() }
    }

    /// Messages of every size.
    pub fn warm_up(&mut self) {
        for client in &mut self.clients {
            (0..32).for_each(|_| client.message());
        }
    }

    /// Lets the clients exchange messages while `fault` runs.
    pub fn beside<T>(&mut self, address: SocketAddr, newcomers: bool, fault: impl FnOnce() -> T) -> (T, Tally) {
        let over = AtomicBool::new(false);
        let over = &over;
        thread::scope(|scope| {
            let talks = self.clients.iter_mut().map(|client| scope.spawn(move || client.talk(over)));
            let talks: Vec<_> = talks.collect();
            let comings = newcomers.then(|| scope.spawn(move || come_and_go(address, over)));
            let end = End(over);
            let result = fault();
            drop(end);
            let mut tally = Tally::default();
            let mut times = Vec::new();
            for talk in talks {
                times.extend(talk.join().expect("an honest client is served"));
            }
            times.sort_unstable();
            tally.messages = times.len();
            tally.p99 = times[(times.len() - 1) * 99 / 100];
            if let Some(comings) = comings {
                let times = comings.join().expect("a new client is served");
                tally.newcomers = times.len();
                tally.slowest_newcomer = times.into_iter().max().unwrap_or_default();
            }
            (result, tally)
        })
    }
}

/// Ends the other threads, even if a check fails.
pub struct End<'a>(pub &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Client {
    fn connect(address: SocketAddr, number: u64) -> Self {
        let mut rng = Rng::with_seed(number);
        let mut stream = connect(address);
        let (header, line) = header(&mut rng);
        stream.write_all(&header).expect("the server reads");
        let mut heard = vec![0; line.len()];
        stream.read_exact(&mut heard).expect("the header comes back");
        assert!(heard == line, "another header came back");
        Client { stream, rng, said: Vec::new(), heard: Vec::new() }
    }

    /// Exchanges a message: a line of random bytes, mostly short.
    fn message(&mut self) {
        let most = if self.rng.u8(..) < 16 { 32 << 10 } else { 2 << 10 };
        say(&mut self.rng, most, &mut self.said);
        self.heard.resize(self.said.len(), 0);
        self.stream.write_all(&self.said).expect("the server reads");
        self.stream.read_exact(&mut self.heard).expect("the server answers");
        assert!(self.heard == self.said, "other bytes came back");
    }

    /// Exchanges messages by a schedule, so that each message due in a stall of the server counts the stall.
    fn talk(&mut self, over: &AtomicBool) -> Vec<Duration> {
        let mut times = Vec::new();
        let mut due = Instant::now();
        while !over.load(Ordering::Relaxed) || times.is_empty() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.message();
            times.push(due.elapsed());
            due += EVERY;
        }
        times
    }
}

/// Fills `out` with a line of up to `most` bytes.
fn say(rng: &mut Rng, most: usize, out: &mut Vec<u8>) {
    out.resize(rng.usize(1..=most), 0);
    rng.fill(out);
    out.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = 0);
    *out.last_mut().expect("it is not empty") = b'\n';
}

/// Connects, sends a header and a line, reads the whole answer, and closes, again and again.
fn come_and_go(address: SocketAddr, over: &AtomicBool) -> Vec<Duration> {
    let mut rng = Rng::with_seed(CLIENTS);
    let (mut times, mut line) = (Vec::new(), Vec::new());
    while !over.load(Ordering::Relaxed) || times.is_empty() {
        let start = Instant::now();
        let mut stream = connect(address);
        let (header, reflected) = header(&mut rng);
        say(&mut rng, 512, &mut line);
        stream.write_all(&[header, line.clone()].concat()).expect("the server reads");
        stream.shutdown(Shutdown::Write).expect("half-close");
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("the server answers and closes");
        assert!(is_at(&heard, 0, &reflected) && is_at(&heard, reflected.len(), &line), "other bytes came back");
        assert_eq!(heard.len(), reflected.len() + line.len());
        times.push(start.elapsed());
        thread::sleep(NEW_EVERY);
    }
    times
}

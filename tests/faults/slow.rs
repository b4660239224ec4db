//! Slow clients: slow to send their headers, and slow to read.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::admin;
use crate::client::{connect as connect_socket, round_trip, socket_of_many};
use crate::honest::End;
use crate::ordeal::{HEADER_TIMEOUT, Target, wait_until};
use crate::peers::{client, fin, header, is_at, reset, rest_of, write_what_fits};
use crate::server::{DEADLINE, Server};

/// Headers sent at a byte a second: the time limit covers the whole header, even if bytes keep coming.
pub fn headers(target: Target) -> String {
    const PACE: Duration = Duration::from_secs(1);
    let count = target.many(10_000);
    let mut rng = Rng::with_seed(target.seed);
    let mut peers: Vec<_> = (0..count).map(|index| SlowHeader::new(index, target.address, &mut rng)).collect();
    let mut closed_after = Vec::new();
    let start = Instant::now();
    for turn in 0u32.. {
        for (index, peer) in peers.iter_mut().enumerate() {
            let due = PACE * turn + PACE * index as u32 / count as u32;
            thread::sleep(due.saturating_sub(start.elapsed()));
            closed_after.extend(peer.send_a_byte());
        }
        peers.retain(|peer| !peer.is_closed);
        if peers.is_empty() {
            break;
        }
    }
    let (first, last) = closed_after.iter().fold((Duration::MAX, Duration::ZERO), |(a, b), &c| (a.min(c), b.max(c)));
    assert_eq!(closed_after.len(), count);
    // The server counts whole milliseconds.
    assert!(
        first + Duration::from_millis(2) >= HEADER_TIMEOUT && last < DEADLINE,
        "they were closed after {first:?} to {last:?}"
    );
    format!(
        "{count} at a byte a second: all seen to be closed after {first:.1?} to {last:.1?}, with a limit of {HEADER_TIMEOUT:?}"
    )
}

struct SlowHeader {
    stream: TcpStream,
    header: Vec<u8>,
    sent: usize,
    since: Instant,
    is_closed: bool,
}

impl SlowHeader {
    fn new(index: usize, address: SocketAddr, rng: &mut Rng) -> Self {
        let stream = connect_socket(socket_of_many(index), address);
        stream.set_nonblocking(true).expect("non-blocking");
        SlowHeader { stream, header: header(rng).0, sent: 0, since: Instant::now(), is_closed: false }
    }

    /// Returns how long it was served if the server has closed it.
    fn send_a_byte(&mut self) -> Option<Duration> {
        if self.sent == 0 {
            self.since = Instant::now();
        }
        match self.stream.read(&mut [0; 64]) {
            Ok(count) => assert_eq!(count, 0, "an answer to half a header"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // The server answers a late byte with a reset, which the next read sees.
                let _ = self.stream.write(&self.header[self.sent..=self.sent]);
                self.sent += 1;
                return None;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        self.is_closed = true;
        Some(self.since.elapsed())
    }
}

/// The server's `--max-held` for `readers`, in MiB.
const READERS_HELD: usize = 16;

/// Clients read nothing, so that their windows are zero and the memory budget is used up. Then half of them reset, and
/// the others read their whole answers.
pub fn readers(target: Target) -> String {
    const PAYLOAD: usize = 1 << 20;
    const BUFFER: usize = 4096;
    let count = target.many(10_000);
    let mut rng = Rng::with_seed(target.seed);
    let mut said = vec![0; 2 * PAYLOAD];
    rng.fill(&mut said);
    // Each client has its own part of the payload, so that it cannot be mistaken for another's.
    let payload = |index: usize| &said[index * 97 % PAYLOAD..][..PAYLOAD];
    let kib = target.process.data();
    let mut peers: Vec<_> = (0..count)
        .map(|index| {
            let socket = socket_of_many(index);
            socket.set_recv_buffer_size(BUFFER).expect("a small window");
            socket.set_send_buffer_size(BUFFER).expect("a small buffer");
            let mut stream = connect_socket(socket, target.address);
            let (header, line) = header(&mut rng);
            stream.write_all(&header).expect("the server reads");
            (stream, line, 0)
        })
        .collect();
    // Until no client's path takes more bytes.
    let mut other = client(target.address, &mut rng);
    loop {
        let mut more = 0;
        for (index, (stream, _, sent)) in peers.iter_mut().enumerate() {
            let count = write_what_fits(stream, &payload(index)[*sent..]);
            *sent += count;
            more += count;
        }
        round_trip(&mut other);
        if more == 0 {
            break;
        }
    }
    let held = target.process.data().saturating_sub(kib) / 1024;
    assert!(target.mixed || held >= READERS_HELD * 3 / 4, "the budget was not used up: {held} MiB are held");
    let sent: usize = peers.iter().map(|(_, _, sent)| sent).sum();
    for (index, (mut stream, line, sent)) in peers.into_iter().enumerate() {
        if index % 2 == 0 {
            reset(stream);
            continue;
        }
        fin(&stream);
        let heard = rest_of(&mut stream);
        assert_eq!(heard.len(), line.len() + sent, "of reader {index}");
        assert!(is_at(&heard, 0, &line) && is_at(&heard, line.len(), &payload(index)[..sent]), "other bytes came back");
    }
    let sent = sent >> 20;
    format!(
        "{count} with a zero window and {sent} MiB under way, of which the server held {held} MiB; half reset, half served"
    )
}

/// Clients that take a little at a time, of which the server's socket sees nothing until a third of its buffer is free,
/// beside
/// clients that take nothing.
pub fn takers(server: &mut Server, target: Target) -> String {
    const STALL_TIMEOUT: Duration = Duration::from_millis(2500);
    const TAKERS: usize = 4;
    const DEAF: usize = 20;
    const PAYLOAD: usize = 1 << 20;
    const PIECE: usize = 2048;
    let admin = admin::address(server);
    let mut rng = Rng::with_seed(target.seed);
    let mut said = vec![0; 2 * PAYLOAD];
    rng.fill(&mut said);
    let payload = |index: usize| &said[index * 997..][..PAYLOAD];
    let mut peers: Vec<_> = (0..DEAF + TAKERS)
        .map(|index| {
            let socket = socket_of_many(index);
            socket.set_recv_buffer_size(4096).expect("a small window");
            let mut stream = connect_socket(socket, target.address);
            let (header, line) = header(&mut rng);
            stream.write_all(&header).expect("the server reads");
            let mut heard = vec![0; line.len()];
            stream.read_exact(&mut heard).expect("the header comes back");
            assert!(heard == line, "another header came back");
            let sent = write_what_fits(&stream, payload(index));
            (stream, &payload(index)[..sent])
        })
        .collect();
    let takers = peers.split_off(DEAF);
    let start = Instant::now();
    let cut = || {
        let (_, metrics) = admin::get(admin, "/metrics");
        admin::metric(&metrics, "proxy_echo_connections_closed_total{reason=\"stall_timeout\"}") as usize
    };
    let are_cut = AtomicBool::new(false);
    thread::scope(|scope| {
        for (mut stream, sent) in takers {
            let are_cut = &are_cut;
            scope.spawn(move || {
                let mut heard = Vec::new();
                while !are_cut.load(Ordering::Relaxed) && heard.len() < sent.len() / 2 {
                    let at = heard.len();
                    heard.resize(at + PIECE, 0);
                    stream.read_exact(&mut heard[at..]).expect("who takes anything is not cut");
                    thread::sleep(Duration::from_millis(50));
                }
                fin(&stream);
                heard.extend(rest_of(&mut stream));
                assert!(heard == sent, "other bytes came back");
            });
        }
        let over = End(&are_cut);
        wait_until("those that take nothing are cut", &cut, |&count| count == DEAF);
        drop(over);
    });
    let cut_after = start.elapsed();
    assert!(cut_after >= STALL_TIMEOUT, "cut after {cut_after:?}");
    assert_eq!(cut(), DEAF, "nobody else was cut");
    format!(
        "{TAKERS} that take {PIECE} bytes every 50 ms get all of 1 MiB; {DEAF} that take nothing are cut within {cut_after:.1?}, with \
         a limit of {STALL_TIMEOUT:?}"
    )
}

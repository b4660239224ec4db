//! Limits that are reached: connections, descriptors, memory, the listener's backlog.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::{Resource, Rlimit, prlimit};

use crate::client::{connect as connect_socket, round_trip, socket_of_many};
use crate::honest;
use crate::ordeal::{HEADER_TIMEOUT, Target, wait_until};
use crate::peers::{client, connect, connect_with_header, fin, header, reset, rest_of};

/// Many more clients than the connection limit connect at once, again and again: each is served in its turn.
pub fn flood(target: Target) -> String {
    let (rounds, at_once) = (8, target.many(2000));
    let mut rng = Rng::with_seed(target.seed);
    for _ in 0..rounds {
        let peers: Vec<_> = (0..at_once)
            .map(|_| {
                let (mut stream, line) = connect_with_header(target.address, &mut rng);
                stream.write_all(b"flood\n").expect("the kernel takes it");
                (stream, line)
            })
            .collect();
        for (mut stream, line) in peers {
            fin(&stream);
            assert_eq!(rest_of(&mut stream), [&line[..], b"flood\n"].concat());
        }
    }
    format!("{} connections, {at_once} at a time", rounds * at_once)
}

/// The server can open only fifty more files; hundreds of clients connect, and are served as others close.
pub fn descriptors(target: Target) -> String {
    const SPARE: usize = 50;
    let count = target.many(1000).max(2 * SPARE);
    let mut rng = Rng::with_seed(target.seed);
    let limit = |files| {
        let limit = Rlimit { current: Some(files as u64), maximum: Some(20_000) };
        prlimit(Some(target.process.pid()), Resource::Nofile, limit).expect("the limit of our own child").current
    };
    let at_first = limit(target.process.files() + SPARE);
    let peers: Vec<_> = (0..count).map(|_| connect_with_header(target.address, &mut rng)).collect();
    if target.mixed {
        // Faults that run at the same time could wait for each other, so this one lasts for a fixed time.
        thread::sleep(Duration::from_millis(500));
        limit(at_first.expect("there is a limit") as usize);
    }
    for (mut stream, line) in peers {
        let mut heard = vec![0; line.len()];
        stream.read_exact(&mut heard).expect("its turn has come");
        assert!(heard == line, "another header came back");
    }
    limit(at_first.expect("there is a limit") as usize);
    format!("{count} clients for {SPARE} descriptors")
}

/// Forty clients read nothing until all of them have filled their buffers, and others send halves of headers.
pub fn memory(target: Target) -> String {
    const CLIENTS: usize = 40;
    let mut rng = Rng::with_seed(target.seed);
    let size = target.many(8 << 20);
    let mut payload = vec![0; size + CLIENTS];
    rng.fill(&mut payload);
    let streams: Vec<_> = (0..CLIENTS).map(|_| client(target.address, &mut rng)).collect();
    let halves = (0..200).map(|_| {
        let mut stream = connect(target.address);
        stream.write_all(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff").expect("the kernel takes it");
        stream
    });
    let halves: Vec<TcpStream> = halves.collect();
    thread::scope(|scope| {
        for (index, mut stream) in streams.iter().enumerate() {
            let payload = &payload[index..index + size];
            scope.spawn(move || {
                stream.write_all(payload).expect("the server reads");
                stream.shutdown(Shutdown::Write).expect("half-close");
            });
        }
        for (index, mut stream) in streams.iter().enumerate() {
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).expect("all of it");
            assert!(heard == payload[index..index + size], "other bytes came back");
        }
    });
    halves.into_iter().for_each(reset);
    format!("{CLIENTS} clients with {} MiB each, read only when all are full; 200 unfinished headers", size >> 20)
}

/// More unfinished headers than there is memory for: connections with the largest are closed, and clients with usual
/// headers are served.
pub fn unfinished_headers(target: Target) -> String {
    let count = target.many(2000);
    // Version 2, TCP4, with the greatest length.
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec();
    header.resize(60_000, 0);
    let peers: Vec<_> =
        (0..count).map(|index| hoarder(connect_socket(socket_of_many(index), target.address), &header)).collect();
    serve_beside(target);
    let closed = peers.iter().filter(|peer| is_closed(peer)).count();
    assert!(closed > count / 2, "{closed} of {count} were closed");
    format!("{count} of 60 kB each, with 2 MiB for all; {closed} of them were closed for others")
}

/// More unfinished lines than there is memory for.
pub fn unfinished_lines(target: Target) -> String {
    let count = target.many(240);
    let mut rng = Rng::with_seed(target.seed);
    let line = vec![b'x'; 1_000_000];
    let peers: Vec<_> = (0..count).map(|_| hoarder(client(target.address, &mut rng), &line)).collect();
    serve_beside(target);
    let closed = peers.iter().filter(|peer| is_closed(peer)).count();
    assert!(closed > count / 2, "{closed} of {count} were closed");
    format!("{count} of 1 MB each, with 14 MiB for all; {closed} of them were closed for others")
}

/// As many silent connections as the limit allows: those that have been silent longest make room for new ones.
pub fn silent(target: Target) -> String {
    let (count, more) = (target.many(960), target.many(200));
    let connect = |index| connect_socket(socket_of_many(index), target.address);
    let peers: Vec<_> = (0..count).map(connect).collect();
    // The fault is their silence. They may be displaced after the header timeout, and half of it more for the server's
    // stamps.
    thread::sleep(HEADER_TIMEOUT * 3 / 2 + Duration::from_millis(100));
    let others: Vec<_> = (0..more).map(connect).collect();
    serve_beside(target);
    let closed = peers.iter().filter(|peer| is_closed(peer)).count();
    assert!(closed >= count + more + honest::CLIENTS as usize - 1000, "{closed} of {count} were closed");
    assert!(!others.iter().any(is_closed), "one that came later was closed first");
    format!("{count} and then {more} for 1000 places; {closed} of the first made room")
}

/// A connection that sends as much of `bytes` as the server takes at once, and never finishes.
fn hoarder(mut stream: TcpStream, bytes: &[u8]) -> TcpStream {
    stream.set_nonblocking(true).expect("non-blocking");
    // The row's own checks cover bytes that are not taken, and a close.
    let _ = stream.write(bytes);
    stream
}

/// Serves clients one after the other for a while.
fn serve_beside(target: Target) {
    let mut rng = Rng::with_seed(target.seed);
    for _ in 0..100 {
        round_trip(&mut client(target.address, &mut rng));
    }
}

fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("non-blocking");
    !matches!(stream.read(&mut [0; 256]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// The server is full and its backlog overflows, so that the kernel drops new connections: their clients try again, and
/// are served.
pub fn backlog(target: Target) -> String {
    const COUNT: usize = 300;
    /// The number of places beside the honest clients.
    const ROOM: usize = 14;
    let [dropped, cookies] = OVERFLOWS.map(tcp_counter);
    let mut rng = Rng::with_seed(target.seed);
    let mut inside: Vec<_> = (0..ROOM).map(|_| client(target.address, &mut rng)).collect();
    let resets: usize = thread::scope(|scope| {
        let clients = (0..COUNT as u64).map(|seed| scope.spawn(move || come_until_served(target, seed)));
        let clients: Vec<_> = clients.collect();
        wait_until("the backlog overflows", || tcp_counter(OVERFLOWS[0]) - dropped, |&dropped| dropped >= COUNT);
        inside.clear();
        clients.into_iter().map(|client| client.join().expect("it is served")).sum()
    });
    let [dropped, cookies] = [(0, dropped), (1, cookies)].map(|(which, before)| tcp_counter(OVERFLOWS[which]) - before);
    assert!(resets <= cookies, "{resets} resets, {cookies} of them the kernel's");
    format!(
        "{COUNT} clients for a backlog of 16: all served; the kernel dropped {dropped} packets of theirs and reset {resets}"
    )
}

/// The kernel's counters, for the whole machine, of packets dropped because a backlog was full, and of connections reset
/// because the kernel kept no state for them (SYN cookies).
const OVERFLOWS: [&str; 2] = ["ListenOverflows", "SyncookiesFailed"];

/// Connects until it is served. Returns the number of resets before that.
fn come_until_served(target: Target, seed: u64) -> usize {
    for resets in 0.. {
        let socket = socket_of_many(0);
        // The kernel repeats a SYN after 1, 3, 7, 15 and 31 seconds.
        socket.set_write_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let mut stream = connect_socket(socket, target.address);
        let (header, line) = header(&mut Rng::with_seed(seed));
        if stream.write_all(&header).is_ok() {
            fin(&stream);
            let heard = rest_of(&mut stream);
            if !heard.is_empty() {
                assert!(heard == line, "another header came back");
                return resets;
            }
        }
    }
    unreachable!("it comes for ever")
}

/// The value of one of the kernel's TCP counters.
pub fn tcp_counter(name: &str) -> usize {
    let text = fs::read_to_string("/proc/net/netstat").expect("Linux has it");
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut pairs = names.split(' ').zip(values.split(' '));
    pairs.find(|(known, _)| *known == name).and_then(|(_, value)| value.parse().ok()).expect("a known counter")
}

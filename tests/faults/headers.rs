//! Random headers, made up or mutated from valid ones; and headers full of bytes to escape.

use std::env;
use std::io::Write;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use proxy::{Addresses, Command, Status, Tlv, Transport, V2, Version, tlv};

use crate::client::{connect, socket_of_many};
use crate::ordeal::Target;
use crate::peers::{fin, header, reset, rest_of};
use crate::server::Server;

/// The variable with the number of random headers.
const COUNT: &str = "FAULT_HEADERS";

/// Sends each header on its own connection. The answer must be exactly what the parser's verdict demands.
pub fn random(target: Target) -> String {
    const THREADS: u64 = 2;
    let asked = env::var(COUNT).ok().map(|text| text.parse().expect("a number of headers"));
    let each = target.many(asked.unwrap_or(1_000_000)) / THREADS as usize;
    let accepted: usize = thread::scope(|scope| {
        let run =
            |thread| move || send_random(target, each, thread as usize, &mut Rng::with_seed(target.seed ^ thread));
        let threads: Vec<_> = (1..=THREADS).map(|thread| scope.spawn(run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("all are answered")).sum()
    });
    format!("{} headers, random and mutated, {accepted} of them valid", each * THREADS as usize)
}

fn send_random(target: Target, count: usize, thread: usize, rng: &mut Rng) -> usize {
    const BATCH: usize = 100;
    let mut accepted = 0;
    for batch in 0..count.div_ceil(BATCH) {
        let size = BATCH.min(count - batch * BATCH);
        let streams: Vec<_> = (0..size)
            .map(|_| {
                let bytes = any_header(rng);
                // Threads use different source addresses.
                let mut stream = connect(socket_of_many(1_000_000 * thread + batch * BATCH), target.address);
                stream.write_all(&bytes).expect("the kernel takes it");
                fin(&stream);
                (stream, bytes)
            })
            .collect();
        for (mut stream, bytes) in streams {
            let expected = answer(&bytes);
            accepted += usize::from(!expected.is_empty());
            let heard = rest_of(&mut stream);
            assert!(heard == expected, "{} for {}", heard.escape_ascii(), bytes.escape_ascii());
            // Reset, so that no port stays in TIME-WAIT.
            reset(stream);
        }
    }
    accepted
}

/// The answer that the server must give to `bytes` and FIN.
fn answer(bytes: &[u8]) -> Vec<u8> {
    match proxy::parse(bytes) {
        Ok(Status::Complete(header)) => {
            let line = proxy::encode_v1(&header.addresses);
            let line = if header.version == Version::V1 { header.raw } else { &line };
            [line, &bytes[header.len()..]].concat()
        }
        _ => Vec::new(),
    }
}

fn any_header(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = if rng.u8(..) < 32 { random_bytes(rng, 300) } else { header(rng).0 };
    if rng.bool() {
        let payload = random_bytes(rng, 100);
        bytes.extend_from_slice(&payload);
    }
    // One header in four stays unchanged.
    for _ in 0..rng.usize(..4) {
        mutate(&mut bytes, rng);
    }
    bytes
}

fn random_bytes(rng: &mut Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.usize(1..most)];
    rng.fill(&mut bytes);
    bytes
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    const TELLING: &[u8] = b"\r\n \0\t:.0919PROXYTCPUNKNOWN46\x0d\x21\x11\xff";
    if bytes.is_empty() {
        return;
    }
    // Change early bytes more often, because they decide the header.
    let at = rng.usize(..bytes.len()).min(rng.usize(..bytes.len()));
    let telling = TELLING[rng.usize(..TELLING.len())];
    match rng.u8(..7) {
        0 => bytes[at] ^= 1 << rng.u8(..8),
        1 => bytes[at] = telling,
        2 => bytes.insert(at, telling),
        3 => drop(bytes.remove(at)),
        4 => bytes.truncate(at),
        5 => {
            let end = rng.usize(at..=bytes.len());
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => {
            let other = header(rng).0;
            bytes.truncate(at);
            bytes.extend_from_slice(&other[at.min(other.len())..]);
        }
    }
}

/// A header with `count` TLVs of `size` control bytes, and the line that the server reflects for it.
pub fn of_control_bytes(count: usize, size: usize) -> (Vec<u8>, Vec<u8>) {
    let (source, destination) = ("192.0.2.1:56324".parse().unwrap(), "192.0.2.2:443".parse().unwrap());
    let addresses = Addresses::Inet { transport: Transport::Stream, source, destination };
    let line = proxy::encode_v1(&addresses).to_vec();
    let value = vec![1; size];
    let tlvs = vec![Tlv { kind: tlv::AUTHORITY, value: &value }; count];
    let mut header = Vec::new();
    V2 { command: Command::Proxy, addresses, tlvs: &tlvs, crc32c: false }.encode(&mut header).expect("it fits");
    (header, line)
}

/// The cost of headers of 32 KB that consist of bytes to escape, compared with plain ones, in CPU time and log.
pub fn control_bytes(server: &mut Server, target: Target) -> String {
    const ROUNDS: u32 = 4;
    const EACH: u32 = 50;
    /// Most bytes in the log for a header: each shown byte takes four, plus the words around them.
    const MAX_LOG_BYTES: usize = 4 * tlv::MAX_DISPLAYED_BYTES + 512;
    /// Most CPU time of such a header, as a multiple of a plain one's. Its 32 KB must be read and parsed. It was 20
    /// times as much when every byte was escaped for the log.
    const MAX_RATIO: f64 = 8.0;
    let kinds = [of_control_bytes(0, 0), of_control_bytes(32, 1000)];
    let mut cpu = [Duration::ZERO; 2];
    for _ in 0..ROUNDS {
        for ((header, line), cpu) in kinds.iter().zip(&mut cpu) {
            let before = target.process.cpu();
            for _ in 0..EACH {
                let mut stream = connect(socket_of_many(0), target.address);
                stream.write_all(header).expect("the server reads");
                fin(&stream);
                assert!(rest_of(&mut stream) == *line, "another header came back");
            }
            *cpu += target.process.cpu().saturating_sub(before);
        }
    }
    // The last entry of the log.
    connect(socket_of_many(0), target.address).write_all(b"GET / HTTP/1.1\r\n\r\n").expect("the server reads");
    server.wait_for("header refused");
    let logged = server.log.iter().filter(|line| line.contains("192.0.2.1:56324") && line.contains("<01>"));
    let logged: Vec<usize> = logged.map(String::len).collect();
    let bytes = logged.iter().copied().max().unwrap_or_default();
    assert_eq!(logged.len(), (ROUNDS * EACH) as usize, "headers in the log");
    assert!(bytes <= MAX_LOG_BYTES, "{bytes} bytes in the log for one header");
    let [plain, long] = cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / f64::from(ROUNDS * EACH));
    assert!(long < plain * MAX_RATIO, "{long:.0} µs of CPU time, {plain:.0} µs for a plain one");
    format!(
        "{} with 32 TLVs of 1 KB: at most {bytes} bytes of log and {long:.0} µs of CPU time each, {plain:.0} µs for a plain one",
        ROUNDS * EACH
    )
}

//! Headers at random: made up, and right ones changed.

use std::env;
use std::io::Write;
use std::thread;

use fastrand::Rng;
use proxy::{Status, Version};

use crate::client::{connect, socket_of_many};
use crate::ordeal::Target;
use crate::peers::{fin, header, reset, rest_of};

/// Set in the environment, how many there are.
const COUNT: &str = "FAULT_HEADERS";

/// Each on a connection of its own, which must be told what the parser says, and nothing else.
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
                // The sources of two threads are apart.
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
            // No port is left waiting.
            reset(stream);
        }
    }
    accepted
}

/// What the server owes for `bytes` and FIN.
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
    // One in four stays as it is.
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
    // Headers are decided early in them.
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

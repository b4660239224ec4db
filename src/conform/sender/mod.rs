//! `proxy-echo conform --listen`: accepts connections from a sender under test, and judges the header of each.

use std::io::{self, ErrorKind, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use proxy::escape::{Escaped, Hex};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::Error;
use super::case::{Level, SPECIFICATION};
use crate::cli::ConformArgs;

mod rules;

use rules::{Finding, Read};

/// Most connections served at a time; further ones wait.
const WORKERS: usize = 32;

/// Time between two checks for Ctrl-C.
const TICK: Duration = Duration::from_millis(100);

/// Longest time that a connection is served after its header was judged.
const SERVED: Duration = Duration::from_secs(10);

/// Longest header.
const MAX_HEADER: usize = 16 + 65_535;

/// The verdict on one connection.
#[derive(Debug, Serialize)]
struct Judged {
    peer: SocketAddr,
    /// Absent where no header came.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u8>,
    words: String,
    length: usize,
    bytes: String,
    findings: Vec<Finding>,
}

/// The outcome of a connection.
enum Seen {
    Judged(Judged),
    /// It was closed without a byte, as checks of open ports do.
    Empty,
}

/// Listens until `--count` headers were received or Ctrl-C is pressed. Returns the exit code.
pub(super) fn run(args: &ConformArgs, listen: SocketAddr, out: &mut impl Write) -> Result<u8, Error> {
    let listener = TcpListener::bind(listen).map_err(|error| Error::Listen(listen, error))?;
    let address = listener.local_addr()?;
    let is_stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&is_stopped))?;
    }
    let seen = serve(listener, args.timeout);
    let has_words = args.json.has_words();
    if has_words {
        writeln!(out, "listening on {address}")?;
        out.flush()?;
    }
    let (mut judged, mut empty) = (Vec::new(), 0);
    while !is_stopped.load(Ordering::Relaxed) && args.count.is_none_or(|count| judged.len() < count as usize) {
        match seen.recv_timeout(TICK) {
            Ok(Seen::Judged(one)) => {
                if has_words {
                    print(judged.len() + 1, &one, out)?;
                }
                judged.push(one);
            }
            Ok(Seen::Empty) => empty += 1,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let results = Results::new(args, address, judged, empty);
    // Cannot fail: all keys of its maps are strings.
    args.json.write((serde_json::to_string(&results).unwrap_or_default() + "\n").as_bytes())?;
    if has_words {
        writeln!(out, "{}", results.summary())?;
    }
    Ok(results.exit_code)
}

/// Accepts and judges connections, in threads that end with the program.
fn serve(listener: TcpListener, timeout: Duration) -> Receiver<Seen> {
    let (queue, taken) = bounded::<(TcpStream, SocketAddr)>(0);
    let (seen, results) = bounded(WORKERS);
    thread::spawn(move || {
        loop {
            match listener.accept() {
                Ok(accepted) => {
                    if queue.send(accepted).is_err() {
                        return;
                    }
                }
                // Out of descriptors, or the connection was closed already.
                Err(_) => thread::sleep(TICK),
            }
        }
    });
    for _ in 0..WORKERS {
        let (taken, seen) = (taken.clone(), seen.clone());
        thread::spawn(move || {
            for (stream, peer) in taken {
                connection(&stream, peer, timeout, &seen);
            }
        });
    }
    results
}

/// Judges the header of one connection, and then answers like a back end, so that the sender's health checks succeed.
fn connection(mut stream: &TcpStream, peer: SocketAddr, timeout: Duration, seen: &Sender<Seen>) {
    let end = Instant::now() + timeout;
    let mut bytes = vec![0; MAX_HEADER];
    let (mut length, mut reads) = (0, 0);
    let (outcome, is_closed) = loop {
        match rules::read(&bytes[..length]) {
            Read::Unfinished => {}
            done => break (done, false),
        }
        let left = end.saturating_duration_since(Instant::now());
        let wait = left.max(Duration::from_millis(1));
        let read = stream.set_read_timeout(Some(wait)).and_then(|()| stream.read(&mut bytes[length..]));
        match read {
            Ok(count @ 1..) => (length, reads) = (length + count, reads + 1),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => break (Read::Unfinished, true),
        }
    };
    let bytes = &bytes[..length];
    if bytes.is_empty() {
        let _ = seen.send(Seen::Empty);
        return;
    }
    let judged = judge(peer, &outcome, bytes, reads);
    let header = judged.length;
    if seen.send(Seen::Judged(judged)).is_ok() && !is_closed {
        let _ = answer(stream, &bytes[header.min(length)..]);
    }
}

fn judge(peer: SocketAddr, outcome: &Read, bytes: &[u8], reads: usize) -> Judged {
    const SHOWN: usize = 64;
    let finding = |section, words: &str| Finding { level: Level::Must, section, words: words.to_owned() };
    let start = format!("\"{}\"", Escaped(&bytes[..bytes.len().min(SHOWN)]));
    let (version, words, length, mut findings) = match outcome {
        Read::Header(header) => (Some(header.version), header.words.clone(), header.length, header.findings.clone()),
        Read::Unfinished => (None, start, bytes.len(), vec![finding("2", "the header did not come to its end")]),
        Read::NoHeader => (None, start, 0, vec![finding("2", "what came is no header")]),
    };
    // One read may contain several segments, but one segment never needs several reads.
    if version.is_some() && reads > 1 {
        let words = format!("the header came in {reads} pieces, and must be sent at once");
        findings.insert(0, Finding { level: Level::Must, section: "2", words });
    }
    Judged { peer, version, words, length, bytes: Hex(&bytes[..length.min(bytes.len())]).to_string(), findings }
}

/// Answers HTTP requests, and sends anything else back.
fn answer(mut stream: &TcpStream, payload: &[u8]) -> io::Result<()> {
    const HTTP: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nok\n";
    let end = Instant::now() + SERVED;
    let mut bytes = vec![0; 16 * 1024];
    let mut request = payload.to_vec();
    stream.set_write_timeout(Some(SERVED))?;
    loop {
        let is_http =
            [b"GET ".as_slice(), b"HEAD ", b"POST ", b"OPTIONS "].iter().any(|method| request.starts_with(method));
        if is_http && request.windows(4).any(|end| end == b"\r\n\r\n") {
            return stream.write_all(HTTP);
        }
        if !is_http {
            stream.write_all(&request)?;
            request.clear();
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || request.len() > bytes.len() {
            return Ok(());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&bytes[..count]),
        }
    }
}

fn print(number: usize, judged: &Judged, out: &mut impl Write) -> io::Result<()> {
    let Judged { peer, version, words, length, findings, .. } = judged;
    let is_missed = |level: Level| findings.iter().any(|finding| finding.level == level);
    let mark = if is_missed(Level::Must) {
        '✗'
    } else if is_missed(Level::Should) {
        '!'
    } else {
        '✓'
    };
    let version = version.map_or("no header".to_owned(), |version| format!("version {version}, {length} bytes"));
    writeln!(out, "{mark} #{number} {peer}, {version}: {words}")?;
    for Finding { level, section, words } in findings {
        let label = match level {
            Level::Must => "✗ MUST missed",
            Level::Should => "! SHOULD missed",
            Level::May => "- observed",
        };
        writeln!(out, "    {label}, section {section}: {words}")?;
    }
    if is_missed(Level::Must) {
        writeln!(out, "    bytes: {}", judged.bytes)?;
    }
    out.flush()
}

/// The results as JSON, as docs/schema/conform-sender-1.json describes it.
#[derive(Serialize)]
struct Results {
    schema: &'static str,
    program: &'static str,
    specification: &'static str,
    listen: SocketAddr,
    exit_code: u8,
    /// Absent where no header came.
    #[serde(skip_serializing_if = "Option::is_none")]
    conforms: Option<bool>,
    must_missed: usize,
    should_missed: usize,
    /// The number of connections closed without a byte.
    empty: usize,
    headers: Vec<Judged>,
}

impl Results {
    fn new(args: &ConformArgs, listen: SocketAddr, headers: Vec<Judged>, empty: usize) -> Self {
        let missed = |level: Level| {
            headers.iter().filter(|judged| judged.findings.iter().any(|finding| finding.level == level)).count()
        };
        let (must_missed, should_missed) = (missed(Level::Must), missed(Level::Should));
        let is_failed = must_missed > 0 || args.strict && should_missed > 0;
        let exit_code = if headers.is_empty() { 3 } else { u8::from(is_failed) };
        let conforms = (!headers.is_empty()).then_some(!is_failed);
        let (schema, program, specification) = ("conform-sender-1", crate::VERSION, SPECIFICATION);
        Results {
            schema,
            program,
            specification,
            listen,
            exit_code,
            conforms,
            must_missed,
            should_missed,
            empty,
            headers,
        }
    }

    fn summary(&self) -> String {
        let verdict = match self.conforms {
            None => "unknown, because no header came",
            Some(true) if self.should_missed == 0 => "conforms",
            Some(true) => "conforms, but misses what should be",
            Some(false) => "does not conform",
        };
        format!(
            "{} headers, {} with a MUST missed, {} with a SHOULD missed; {} connections closed without a byte\n{verdict}",
            self.headers.len(),
            self.must_missed,
            self.should_missed,
            self.empty
        )
    }
}

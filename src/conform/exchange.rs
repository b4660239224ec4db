//! One connection: sends a header and a payload in a given way, and reports the outcome.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::case::{Expect, Job};
use super::setting::{Answer, Setting};
use crate::cli::Delivery;

/// The outcome of a connection.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) outcome: Outcome,
    /// The bytes received.
    pub(super) answer: Vec<u8>,
    /// If the receiver accepted the header: the difference between the client or payload that it shows and the one that
    /// was sent.
    pub(super) fault: Option<String>,
}

impl Heard {
    pub(super) fn is_accepted_as_it_is(&self) -> bool {
        self.outcome == Outcome::Accepted && self.fault.is_none()
    }
}

/// A receiver's reaction to a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    /// It refused the header in its answer.
    Refused,
    Closed,
    Reset,
    /// It neither answered nor closed within this time.
    Silent(Duration),
    /// No connection could be opened.
    Unreachable(String),
}

/// How long to wait after an unfinished header for an answer that must not come.
const WATCH: Duration = Duration::from_millis(500);

/// Time between two segments: long enough for an idle receiver to read the first one. No verdict depends on it.
const GAP: Duration = Duration::from_millis(30);

/// Time between the bytes of a header that is sent byte by byte.
const BYTE_GAP: Duration = Duration::from_micros(300);

/// The number of bytes of a long header that are sent one at a time.
const BYTEWISE: usize = 300;

/// How long the rest of a header is held back: as long as a TCP retransmission may take (section 2).
const HOLD: Duration = Duration::from_secs(3);

/// Most bytes of an answer to read.
const MOST: usize = 256 * 1024;

/// Connects to `address`, sends `job`, and waits at most `timeout` for the outcome.
pub(super) fn exchange(address: SocketAddr, job: &Job, setting: &Setting, timeout: Duration) -> Heard {
    let opened = TcpStream::connect_timeout(&address, timeout).and_then(|stream| {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(timeout))?;
        let local = stream.local_addr()?;
        Ok((stream, local))
    });
    let (stream, local) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let outcome = Outcome::Unreachable(error.to_string());
            return Heard { outcome, answer: Vec::new(), fault: None };
        }
    };
    let is_whole = job.case.expect != Expect::Wait;
    let say: &[u8] = if is_whole { &setting.say } else { &[] };
    // Ignore errors of sending: reading finds out that the receiver closed.
    let _ = send(&stream, &job.bytes, say, job.delivery);
    let wait = if is_whole { timeout } else { timeout.min(WATCH) };
    listen(&stream, job, setting, local, wait)
}

/// Sends `header` and `say`, split as `delivery` says.
fn send(mut stream: &TcpStream, header: &[u8], say: &[u8], delivery: Delivery) -> io::Result<()> {
    let whole = [header, say].concat();
    let cut = match delivery {
        Delivery::Together => 0,
        Delivery::Late => {
            thread::sleep(HOLD);
            0
        }
        Delivery::Apart => header.len(),
        Delivery::Split => header.len().saturating_sub(1),
        Delivery::Held => header.len() / 2,
        Delivery::Bytewise => {
            let count = header.len().min(BYTEWISE);
            for byte in header[..count].chunks(1) {
                stream.write_all(byte)?;
                thread::sleep(BYTE_GAP);
            }
            return stream.write_all(&whole[count..]);
        }
    };
    let (first, second) = whole.split_at(cut);
    if !first.is_empty() {
        stream.write_all(first)?;
        thread::sleep(if delivery == Delivery::Held { HOLD } else { GAP });
    }
    stream.write_all(second)
}

/// Reads until the answer shows whether the header was accepted, and which client it names.
fn listen(mut stream: &TcpStream, job: &Job, setting: &Setting, local: SocketAddr, wait: Duration) -> Heard {
    let end = Instant::now() + wait;
    let mut heard = Heard { outcome: Outcome::Silent(wait), answer: Vec::new(), fault: None };
    let mut bytes = [0; 16 * 1024];
    loop {
        // The client may be shown after the part that shows acceptance.
        match setting.read(&heard.answer) {
            Answer::Rejected => {
                heard.outcome = Outcome::Refused;
                return heard;
            }
            Answer::Accepted => {
                heard.outcome = Outcome::Accepted;
                heard.fault = setting.fault(&heard.answer, job.case.client, job.case.server, local);
                if heard.fault.is_none() {
                    return heard;
                }
            }
            Answer::Undecided => {}
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || heard.answer.len() > MOST {
            return heard;
        }
        let read =
            stream.set_read_timeout(Some(left.max(Duration::from_millis(1)))).and_then(|()| stream.read(&mut bytes));
        let is_undecided = heard.outcome != Outcome::Accepted;
        match read {
            Ok(0) => {
                if is_undecided {
                    heard.outcome = Outcome::Closed;
                }
                return heard;
            }
            Ok(count) => heard.answer.extend_from_slice(&bytes[..count]),
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock | ErrorKind::TimedOut => return heard,
                _ => {
                    if is_undecided {
                        heard.outcome = Outcome::Reset;
                    }
                    return heard;
                }
            },
        }
    }
}

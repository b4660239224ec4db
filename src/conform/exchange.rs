//! One connection: a header and a payload go out in the way that is asked for, and what comes of it is told.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::case::{Expect, Job};
use super::setting::{Answer, Setting};
use crate::cli::Delivery;

/// What came of a connection.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) outcome: Outcome,
    /// The bytes that came back.
    pub(super) answer: Vec<u8>,
    /// Another client or payload than the one that was sent, where the receiver accepted the header.
    pub(super) fault: Option<String>,
}

impl Heard {
    pub(super) fn is_accepted_as_it_is(&self) -> bool {
        self.outcome == Outcome::Accepted && self.fault.is_none()
    }
}

/// How a receiver took a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    /// The answer says so.
    Refused,
    Closed,
    Reset,
    /// Neither an answer nor an end in this time.
    Silent(Duration),
    /// No connection could be opened.
    Unreachable(String),
}

/// Longest time that an unfinished header is watched for an answer that must not come.
const WATCH: Duration = Duration::from_millis(500);

/// Between two segments: long enough for a receiver that is not busy to read the first one. No verdict depends on it.
const GAP: Duration = Duration::from_millis(30);

/// Between the bytes of a header that is sent byte by byte.
const BYTE_GAP: Duration = Duration::from_micros(300);

/// The bytes of a long header that go out one at a time.
const BYTEWISE: usize = 300;

/// A TCP retransmission takes as long (section 2).
const HOLD: Duration = Duration::from_secs(3);

/// Most bytes of an answer that are read.
const MOST: usize = 256 * 1024;

/// Connects to `address`, sends `job`, and waits for what comes of it, for `timeout` at most.
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
    // A receiver that closes early is found out by reading.
    let _ = send(&stream, &job.bytes, say, job.delivery);
    let wait = if is_whole { timeout } else { timeout.min(WATCH) };
    listen(&stream, job, setting, local, wait)
}

/// Sends `header` and `say` in the way of `delivery`.
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

/// Reads until the answer says what became of the header, and of its client.
fn listen(mut stream: &TcpStream, job: &Job, setting: &Setting, local: SocketAddr, wait: Duration) -> Heard {
    let end = Instant::now() + wait;
    let mut heard = Heard { outcome: Outcome::Silent(wait), answer: Vec::new(), fault: None };
    let mut bytes = [0; 16 * 1024];
    loop {
        // What an answer shows of the client may follow what shows that it was accepted.
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

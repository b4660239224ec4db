//! Reading the header of a connection: the outcome for each kind of peer, the same for blocking streams and tokio's.
#![expect(clippy::unnecessary_wraps, reason = "outcomes of a table, errors among them")]

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use proxy_protocol_header::accept::{AcceptError, Acceptor, ReadTimeout};
use proxy_protocol_header::policy::{Expect, Mode, Policy};
use tokio::io::{AsyncRead, AsyncReadExt as Async, ReadBuf};

const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
const SHOWN: &str = "PROXY v1 TCP4 192.0.2.1:56324 -> 192.0.2.2:443";

/// What a peer does next. After the last step it closes.
#[derive(Clone, Debug)]
enum Step {
    Sends(Vec<u8>),
    /// A signal interrupts the read.
    Interrupts,
    /// The peer sends nothing any more.
    Stalls,
    Resets,
}

use Step::{Interrupts, Resets, Sends, Stalls};

/// A stream to a peer that does these steps.
#[derive(Debug)]
struct Script(VecDeque<Step>);

impl Script {
    /// `None` if the peer stalls.
    fn next(&mut self, room: usize) -> Option<io::Result<Vec<u8>>> {
        Some(match self.0.pop_front() {
            Some(Sends(mut bytes)) => {
                let rest = bytes.split_off(room.min(bytes.len()));
                if !rest.is_empty() {
                    self.0.push_front(Sends(rest));
                }
                Ok(bytes)
            }
            Some(Interrupts) => Err(ErrorKind::Interrupted.into()),
            Some(Resets) => Err(ErrorKind::ConnectionReset.into()),
            Some(Stalls) => {
                self.0.push_front(Stalls);
                return None;
            }
            None => Ok(Vec::new()),
        })
    }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.next(buffer.len()).unwrap_or(Err(ErrorKind::WouldBlock.into()))?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

impl ReadTimeout for Script {
    fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(None)
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        assert_ne!(timeout, Some(Duration::ZERO), "the system refuses it");
        Ok(())
    }
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.next(buffer.remaining()) {
            Some(bytes) => Poll::Ready(bytes.map(|bytes| buffer.put_slice(&bytes))),
            // tokio's clock is paused: an idle runtime advances it to the next timeout.
            None => Poll::Pending,
        }
    }
}

/// The header in words, and all payload after it; or the error in words.
type Outcome = Result<(Option<String>, Vec<u8>), String>;

fn blocking(acceptor: &Acceptor, expect: Expect, steps: &[Step]) -> Outcome {
    let stream = Script(steps.iter().cloned().collect());
    let (header, mut stream) = acceptor.read(stream, expect).map_err(|error| error.to_string())?;
    let mut payload = Vec::new();
    Read::read_to_end(&mut stream, &mut payload).expect("the rest of the script is payload");
    Ok((header.map(|header| header.to_string()), payload))
}

async fn with_tokio(acceptor: &Acceptor, expect: Expect, steps: &[Step]) -> Outcome {
    let stream = Script(steps.iter().cloned().collect());
    let (header, mut stream) = acceptor.read_async(stream, expect).await.map_err(|error| error.to_string())?;
    let mut payload = Vec::new();
    Async::read_to_end(&mut stream, &mut payload).await.expect("the rest of the script is payload");
    Ok((header.map(|header| header.to_string()), payload))
}

/// A version 2 header of `length` bytes: an UNSPEC family and padding.
fn v2(length: usize) -> Vec<u8> {
    let block = (length - 16) as u16;
    let head = [0x04, ((block - 3) >> 8) as u8, (block - 3) as u8];
    let mut header = [b"\r\n\r\n\0\r\nQUIT\n\x21\0", block.to_be_bytes().as_slice(), &head].concat();
    header.resize(length, 0);
    header
}

/// Sends each byte separately.
fn drip(bytes: &[u8]) -> Vec<Step> {
    bytes.iter().map(|&byte| Sends(vec![byte])).collect()
}

fn sends(bytes: &[u8]) -> Step {
    Sends(bytes.to_vec())
}

/// Name, longest header, the peer's steps, the outcome.
type Row<'a> = (&'a str, usize, Vec<Step>, Outcome);

async fn each(expect: Expect, rows: Vec<Row<'_>>) {
    for (name, max_len, steps, expected) in rows {
        let acceptor = Acceptor { max_len, ..Acceptor::default() };
        assert_eq!(blocking(&acceptor, expect, &steps), expected, "{name}");
        assert_eq!(with_tokio(&acceptor, expect, &steps).await, expected, "{name}, with tokio");
    }
}

fn shown(payload: &[u8]) -> Outcome {
    Ok((Some(SHOWN.to_owned()), payload.to_vec()))
}

fn padded(length: usize, payload: &[u8]) -> Outcome {
    Ok((Some(format!("PROXY v2 UNSPEC, NOOP of {} bytes", length - 19)), payload.to_vec()))
}

fn plain(payload: &[u8]) -> Outcome {
    Ok((None, payload.to_vec()))
}

fn refused(text: &str) -> Outcome {
    Err(text.to_owned())
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_header_however_it_comes() {
    let any = usize::MAX;
    let rows = vec![
        ("a header, then the end", any, vec![sends(LINE)], shown(b"")),
        ("a header and payload at once", any, vec![sends(&[LINE, b"hello"].concat())], shown(b"hello")),
        ("payload in pieces", any, vec![sends(&[LINE, b"he"].concat()), sends(b"llo")], shown(b"hello")),
        ("a second header is payload", any, vec![sends(&LINE.repeat(2))], shown(LINE)),
        ("more payload than a first read takes", any, vec![sends(&LINE.repeat(90))], shown(&LINE.repeat(89))),
        ("byte by byte", any, drip(&[LINE, b"hello"].concat()), shown(b"hello")),
        ("an interrupted read", any, vec![sends(&LINE[..7]), Interrupts, sends(&LINE[7..])], shown(b"")),
        ("an interrupted first read", any, vec![Interrupts, sends(LINE)], shown(b"")),
        ("version 2 byte by byte", any, drip(&[&v2(700), b"hi".as_slice()].concat()), padded(700, b"hi")),
        ("version 2 and payload", any, vec![sends(&[&v2(90), b"hi".as_slice()].concat())], padded(90, b"hi")),
        ("a long header", any, vec![sends(&v2(60_000)), sends(b"hi")], padded(60_000, b"hi")),
        ("the longest header", any, vec![sends(&v2(65_551)), sends(b"hi")], padded(65_551, b"hi")),
        ("at the limit", LINE.len(), vec![sends(LINE)], shown(b"")),
        ("at the limit, byte by byte", LINE.len(), drip(LINE), shown(b"")),
        ("at the limit, version 2", 600, vec![sends(&v2(600)[..20]), sends(&v2(600)[20..])], padded(600, b"")),
    ];
    each(Expect::Header, rows).await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn peers_that_send_no_header() {
    let any = usize::MAX;
    let rows = vec![
        (
            "over the limit",
            LINE.len() - 1,
            vec![sends(LINE)],
            refused("header refused: it is 42 bytes long or longer, and the limit is 41"),
        ),
        (
            "over the limit, byte by byte: refused before the last byte",
            41,
            [drip(&LINE[..41]), vec![Stalls]].concat(),
            refused("header refused: it is 42 bytes long or longer, and the limit is 41"),
        ),
        (
            "over the limit, version 2: refused after the fixed part",
            600,
            vec![sends(&v2(601)[..16]), Stalls],
            refused("header refused: it is 601 bytes long or longer, and the limit is 600"),
        ),
        (
            "not a header",
            any,
            vec![sends(b"GET / HTTP/1.1\r\n")],
            refused(
                "header refused: neither a PROXY line nor the version 2 signature at byte 0, in \"GET / HTTP/1.1<CR><LF>\"",
            ),
        ),
        (
            "a wrong byte is reported before the rest arrives",
            any,
            vec![sends(b"PROXY TCP4 1.2.3.256"), Stalls],
            refused("header refused: not an IPv4 address in canonical form at byte 19, in \"PROXY TCP4 1.2.3.256\""),
        ),
        ("a silent peer", any, vec![Stalls], refused("nothing came in time")),
        (
            "half a header",
            any,
            vec![sends(&LINE[..20]), Stalls],
            refused("the header did not come in time: 20 bytes are there"),
        ),
        ("a peer that closes at once", any, vec![], refused("the peer closed before it sent anything")),
        (
            "a peer that closes inside the header",
            any,
            vec![sends(&LINE[..20])],
            refused("the peer closed inside the header, after 20 bytes"),
        ),
        (
            "a peer that closes inside a version 2 header",
            any,
            vec![sends(&v2(700)[..699])],
            refused("the peer closed inside the header, after 699 bytes"),
        ),
        ("a reset", any, vec![Resets], refused("reading the header failed: connection reset")),
        ("a reset inside", any, vec![sends(b"P"), Resets], refused("reading the header failed: connection reset")),
    ];
    each(Expect::Header, rows).await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn headers_that_are_optional() {
    let any = usize::MAX;
    let rows = vec![
        ("a header", any, vec![sends(&[LINE, b"hello"].concat())], shown(b"hello")),
        ("payload", any, vec![sends(b"GET /"), sends(b" HTTP")], plain(b"GET / HTTP")),
        ("payload that begins like a header", any, vec![sends(b"PRO"), sends(b"!")], plain(b"PRO!")),
        ("a FIN after what could become a header", any, vec![sends(b"PROXY")], plain(b"PROXY")),
        ("a FIN at once", any, vec![], plain(b"")),
        (
            "a broken header is not payload",
            any,
            vec![sends(b"PROXY TCP9 ")],
            refused("header refused: the protocol is not TCP4, TCP6 or UNKNOWN at byte 9, in \"PROXY TCP9 \""),
        ),
    ];
    each(Expect::Either, rows).await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn without_headers_all_is_payload() {
    each(Expect::Payload, vec![("what looks like one", 0, vec![sends(LINE)], plain(LINE))]).await;
}

/// Programs tell errors apart by name: a name that changes breaks them.
#[test]
fn names_of_errors_are_stable() {
    let acceptor = Acceptor { max_len: 60, policy: trusting_ten(), ..Acceptor::default() };
    for (name, peer, steps) in [
        ("not_trusted", "11.0.0.1:1", vec![]),
        ("io", "10.0.0.1:1", vec![Resets]),
        ("v1_protocol", "10.0.0.1:1", vec![sends(b"PROXY TCP9")]),
        ("too_long", "10.0.0.1:1", vec![sends(&v2(61))]),
        ("closed", "10.0.0.1:1", vec![]),
        ("cut", "10.0.0.1:1", vec![sends(b"PROXY")]),
        ("timed_out", "10.0.0.1:1", vec![sends(b"PROXY"), Stalls]),
    ] {
        let accepted = acceptor.accept(Script(steps.into()), peer.parse().expect("an address"));
        assert_eq!(accepted.expect_err(name).name(), name);
    }
}

fn trusting_ten() -> Policy {
    Policy { mode: Mode::Required, trusted: vec!["10.0.0.0/8".parse().expect("a network")] }
}

/// Where a header is optional, a silent client may wait for the server to speak first.
#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn an_optional_header_that_does_not_come_in_time_is_none() {
    for (begin, silence_ms, header_ms) in [(b"".as_slice(), 300, 1), (b"PROX", 1, 300)] {
        let (silence_timeout, header_timeout) = (Duration::from_millis(silence_ms), Duration::from_millis(header_ms));
        let acceptor = Acceptor { silence_timeout, header_timeout, ..Acceptor::default() };
        let steps: Vec<Step> = begin.iter().map(|&byte| Sends(vec![byte])).chain([Stalls]).collect();
        let script = || Script(steps.iter().cloned().collect());
        let (header, stream) = acceptor.read(script(), Expect::Either).expect("it is payload");
        assert_eq!((header, stream.unread()), (None, begin));
        let start = tokio::time::Instant::now();
        let (header, stream) = acceptor.read_async(script(), Expect::Either).await.expect("it is payload");
        assert_eq!((header, stream.unread()), (None, begin));
        assert_eq!(start.elapsed().as_millis(), 300, "the silence limit applies, not the header's");
    }
}

/// 16 bytes can claim a header of 64 KiB. Memory is allocated only for bytes received.
#[test]
fn a_claimed_length_takes_no_memory() {
    struct Measured(Script, usize);

    impl Read for Measured {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1.max(buffer.len());
            Read::read(&mut self.0, buffer)
        }
    }

    impl ReadTimeout for &mut Measured {
        fn read_timeout(&self) -> io::Result<Option<Duration>> {
            Ok(None)
        }

        fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
            Ok(())
        }
    }

    for (sent, most) in [(16, 1024), (1000, 1024), (4000, 4096)] {
        let mut peer = Measured(Script([sends(&v2(65_551)[..sent]), Stalls].into()), 0);
        let error = Acceptor::default().read(&mut peer, Expect::Header).map(|_| ()).expect_err("it stalls");
        assert!(matches!(error, AcceptError::TimedOut { received } if received == sent), "{error}");
        assert!(peer.1 <= most, "a buffer of {} bytes for {sent} received", peer.1);
    }
}

/// A peer that sends single bytes does not extend the deadline.
#[test]
fn a_dripping_peer_is_late() {
    struct Slow(Script);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            thread::sleep(Duration::from_millis(2));
            Read::read(&mut self.0, buffer)
        }
    }

    impl ReadTimeout for Slow {
        fn read_timeout(&self) -> io::Result<Option<Duration>> {
            Ok(None)
        }

        fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.0.set_read_timeout(timeout)
        }
    }

    let header_timeout = Duration::from_millis(20);
    let acceptor = Acceptor { header_timeout, ..Acceptor::default() };
    let peer = Slow(Script(drip(LINE).into()));
    let Err(AcceptError::TimedOut { received }) = acceptor.read(peer, Expect::Header) else { panic!() };
    assert!((1..=12).contains(&received), "{received}");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_dripping_peer_is_late_with_tokio() {
    let (mut peer, stream) = tokio::io::duplex(1024);
    tokio::spawn(async move {
        for byte in LINE {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = tokio::io::AsyncWriteExt::write_all(&mut peer, &[*byte]).await;
        }
    });
    let acceptor = Acceptor { header_timeout: Duration::from_millis(5500), ..Acceptor::default() };
    let Err(AcceptError::TimedOut { received }) = acceptor.read_async(stream, Expect::Header).await else { panic!() };
    assert_eq!(received, 6, "the first, and one a second for 5.5 s");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn the_policy_decides_by_peer() {
    let Policy { trusted, .. } = trusting_ten();
    for (mode, peer, outcome) in [
        (Mode::Required, "10.1.2.3:4", Some(true)),
        (Mode::Required, "[::ffff:10.1.2.3]:4", Some(true)),
        (Mode::Required, "11.1.2.3:4", None),
        (Mode::Optional, "10.1.2.3:4", Some(true)),
        (Mode::Optional, "11.1.2.3:4", Some(false)),
        (Mode::Off, "10.1.2.3:4", Some(false)),
    ] {
        let policy = Policy { mode, trusted: trusted.clone() };
        let acceptor = Acceptor { policy, ..Acceptor::default() };
        let peer: SocketAddr = peer.parse().expect("an address");
        let script = || Script([sends(LINE)].into());
        let accepted = [acceptor.accept(script(), peer), acceptor.accept_async(script(), peer).await];
        for accepted in accepted {
            match (accepted, outcome) {
                (Ok((header, _)), Some(expected)) => assert_eq!(header.is_some(), expected, "{mode:?} {peer}"),
                (Err(AcceptError::NotTrusted(ip)), None) => assert_eq!(ip, peer.ip()),
                (accepted, _) => panic!("{mode:?} {peer}: {:?}", accepted.map(|(header, _)| header)),
            }
        }
    }
}

/// A connection over loopback: the client's side, and the server's.
fn pair() -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let (server, peer) = listener.accept().expect("a connection");
    (client, server, peer)
}

#[test]
fn over_tcp() {
    let (mut client, server, peer) = pair();
    server.set_read_timeout(Some(Duration::from_secs(77))).expect("a timeout");
    client.write_all(&[LINE, b"hel"].concat()).expect("the server reads");
    let (header, mut stream) = Acceptor::default().accept(server, peer).expect("a header");
    let header = header.expect("it is required");
    assert_eq!(header.as_bytes(), LINE);
    assert_eq!(header.source(), Some("192.0.2.1:56324".parse().expect("an address")));
    assert_eq!(stream.get_ref().read_timeout().expect("a socket"), Some(Duration::from_secs(77)), "as it was");
    client.write_all(b"lo").expect("the server reads");
    client.shutdown(Shutdown::Write).expect("half-close");
    let mut payload = String::new();
    Read::read_to_string(&mut stream, &mut payload).expect("the client closed");
    assert_eq!(payload, "hello");
    stream.write_all(b"bye").expect("the client reads");
    drop(stream);
    assert_eq!(io::read_to_string(client).expect("the server closed"), "bye");
}

#[test]
fn over_tcp_a_silent_peer_and_half_a_header_are_late() {
    for begin in [b"".as_slice(), b"PROXY TCP4 "] {
        let (mut client, server, peer) = pair();
        client.write_all(begin).expect("the server reads");
        let limit = Duration::from_millis(if begin.is_empty() { 20 } else { 5000 });
        let acceptor =
            Acceptor { silence_timeout: limit, header_timeout: Duration::from_millis(20), ..Acceptor::default() };
        let Err(AcceptError::TimedOut { received }) = acceptor.accept(server, peer) else { panic!() };
        assert_eq!(received, begin.len());
    }
}

#[test]
fn over_tcp_a_reset_is_an_error_of_reading() {
    let (mut client, mut server, peer) = pair();
    // Closing a socket with unread bytes resets the connection.
    server.write_all(b"unread").expect("the client lives");
    assert_eq!(client.peek(&mut [0; 6]).map(|count| count > 0).ok(), Some(true));
    client.write_all(b"PROXY ").expect("the server reads");
    drop(client);
    match Acceptor::default().accept(server, peer) {
        Err(AcceptError::Io(error)) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        other => panic!("{:?}", other.map(|(header, _)| header)),
    }
}

#[test]
fn what_was_not_read_comes_out_of_the_stream_in_parts() {
    let script = Script([sends(&[LINE, b"hello"].concat()), sends(b" world")].into());
    let (_, mut stream) = Acceptor::default().read(script, Expect::Header).expect("a header");
    let mut two = [0; 2];
    assert_eq!(Read::read(&mut stream, &mut []).expect("a read of no bytes"), 0);
    Read::read_exact(&mut stream, &mut two).expect("two bytes");
    assert_eq!((&two, stream.unread()), (b"he", b"llo".as_slice()));
    let (mut script, unread) = stream.into_parts();
    let mut rest = Vec::new();
    Read::read_to_end(&mut script, &mut rest).expect("the script");
    assert_eq!([unread, rest].concat(), b"llo world");
}

/// However header and payload are split over reads, no byte is lost and none is delivered twice.
#[test]
fn every_split_of_a_header_and_payload() {
    let input = [LINE, b"payload"].concat();
    for first in 0..input.len() {
        for second in first..input.len() {
            let parts = [&input[..first], &input[first..second], &input[second..]];
            let steps: Vec<Step> = parts.into_iter().filter(|part| !part.is_empty()).map(sends).collect();
            let outcome = blocking(&Acceptor::default(), Expect::Header, &steps);
            assert_eq!(outcome, Ok((Some(SHOWN.to_owned()), b"payload".to_vec())), "{first}, {second}");
        }
    }
}

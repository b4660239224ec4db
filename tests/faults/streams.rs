//! Resets and half-closes in every state of a stream, urgent bytes, and splits at every place.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use fastrand::Rng;
use proxy::{Addresses, Command, Tlv, Transport, V2, tlv};
use socket2::SockRef;

use crate::client::round_trip;
use crate::ordeal::Target;
use crate::peers::{client, connect, connect_with_header, fin, reset, rest_of, write_what_fits};

/// More bytes than the path holds for a client that does not read.
const BIG: usize = 16 << 20;

/// Resets in the backlog, before the header, in it, after it, in a line, with an unread answer, with an answer that
/// does not fit, after a FIN, and after a line that is too long.
pub fn resets(target: Target) -> String {
    let mut rng = Rng::with_seed(target.seed);
    let rounds = target.many(300);
    let mut big = vec![0; BIG];
    rng.fill(&mut big);
    for round in 0..rounds {
        let connect_and_send = |bytes: &[u8]| {
            let mut stream = connect(target.address);
            stream.write_all(bytes).expect("the server reads");
            stream
        };
        reset(connect(target.address));
        reset(connect_and_send(b"PROXY TCP4 1.2."));
        reset(connect_with_header(target.address, &mut rng).0);
        reset(connect_and_send(b"PROXY UNKNOWN\r\nhalf a li"));
        reset(connect_and_send(b"PROXY UNKNOWN\r\nan answer that nobody reads\n"));
        reset(connect_and_send(b"GET / HTTP/1.1\r\n"));
        let half_closed = client(target.address, &mut rng);
        fin(&half_closed);
        reset(half_closed);
        // Let the server have a turn between the bytes and the reset.
        let mut seen = client(target.address, &mut rng);
        seen.write_all(b"unread\n").expect("the server reads");
        let condemned = connect_and_send(&[&b"PROXY UNKNOWN\r\nline\n"[..], &vec![b'x'; 65 << 10]].concat());
        round_trip(&mut client(target.address, &mut rng));
        reset(seen);
        reset(condemned);
        if round % 10 == 0 {
            for is_half_closed in [false, true] {
                let full = client(target.address, &mut rng);
                write_what_fits(&full, &big);
                if is_half_closed {
                    fin(&full);
                }
                round_trip(&mut client(target.address, &mut rng));
                reset(full);
            }
        }
    }
    format!("{} in 11 states", rounds * 9 + rounds.div_ceil(10) * 2)
}

/// FIN from the client in every state, each with the whole answer; with its reading half closed; and with the server's
/// FIN first.
pub fn half_closes(target: Target) -> String {
    let mut rng = Rng::with_seed(target.seed);
    let rounds = target.many(300);
    let mut big = vec![0; BIG];
    rng.fill(&mut big);
    for round in 0..rounds {
        for (said, heard) in [
            (&b""[..], &b""[..]),
            (b"PROXY TCP4 1.2.", b""),
            (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN\r\n"),
            (b"PROXY UNKNOWN\r\nline\nhalf a li", b"PROXY UNKNOWN\r\nline\nhalf a li"),
        ] {
            let mut stream = connect(target.address);
            stream.write_all(said).expect("the server reads");
            if round % 2 == 0 {
                round_trip(&mut client(target.address, &mut rng));
            }
            fin(&stream);
            assert_eq!(rest_of(&mut stream), heard);
        }
        // The other direction: the client stops reading, sends something, and closes.
        let mut deaf = client(target.address, &mut rng);
        deaf.shutdown(Shutdown::Read).expect("half-close");
        deaf.write_all(b"nobody listens\n").expect("the server reads");
        fin(&deaf);
        drop(deaf);
        if target.lines {
            let mut long = client(target.address, &mut rng);
            long.write_all(&[&b"line\n"[..], &vec![b'x'; 65 << 10]].concat()).expect("the server reads");
            assert_eq!(rest_of(&mut long), b"line\n", "before the server's FIN");
            // The client goes on sending, and the server ignores it.
            let _ = long.write_all(&[b'x'; 1000]);
        }
        if round % 10 == 0 {
            // All bytes are under way when FIN comes, and the client reads them only then.
            let mut full = client(target.address, &mut rng);
            let sent = write_what_fits(&full, &big);
            fin(&full);
            let heard = rest_of(&mut full);
            assert!(heard == big[..sent], "{} bytes of {sent} came back, or others", heard.len());
        }
    }
    let each = if target.lines { 6 } else { 5 };
    format!("{} of {} kinds", rounds * each + rounds.div_ceil(10), each + 1)
}

/// Urgent bytes anywhere, several at a time: each must come back in its place.
pub fn urgent(target: Target) -> String {
    let mut rng = Rng::with_seed(target.seed);
    let (clients, rounds) = (target.many(100), 40);
    let mut urgent = 0;
    for _ in 0..clients {
        let mut stream = client(target.address, &mut rng);
        for _ in 0..rounds {
            let mut said = Vec::new();
            for _ in 0..rng.usize(1..4) {
                let piece: Vec<u8> = (0..rng.usize(..200)).map(|_| rng.alphanumeric() as u8).collect();
                stream.write_all(&piece).expect("the server reads");
                assert_eq!(SockRef::from(&stream).send_out_of_band(b"!").expect("urgent data"), 1);
                said.extend_from_slice(&piece);
                said.push(b'!');
                urgent += 1;
            }
            stream.write_all(b"\n").expect("the server reads");
            said.push(b'\n');
            let mut heard = vec![0; said.len()];
            stream.read_exact(&mut heard).expect("all of it");
            assert!(heard == said, "{heard:?} for {said:?}");
        }
    }
    format!("{urgent} urgent bytes on {clients} connections")
}

/// Header and payload in three pieces, split at every pair of places. The server reads each piece separately.
pub fn splits(target: Target) -> String {
    const PAYLOAD: &[u8] = b"Hi\r\nPROXY \n";
    /// Connections at a time.
    const BATCH: usize = 2000;
    let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
    let (source, destination) = ("192.0.2.1:56324".parse().unwrap(), "192.0.2.2:443".parse().unwrap());
    let addresses = Addresses::Inet { transport: Transport::Stream, source, destination };
    let tlvs = &[Tlv { kind: tlv::AUTHORITY, value: b"example.com" }];
    let mut v2 = Vec::new();
    V2 { command: Command::Proxy, addresses, tlvs, crc32c: true }.encode(&mut v2).expect("it fits");

    let mut witness = client(target.address, &mut Rng::with_seed(target.seed));
    let mut count = 0;
    for header in [&line[..], &v2] {
        let whole = [header, PAYLOAD].concat();
        let pairs = (1..whole.len()).flat_map(|first| (first..whole.len()).map(move |second| (first, second)));
        let pairs: Vec<_> = pairs.step_by(if target.mixed { 10 } else { 1 }).collect();
        for pairs in pairs.chunks(BATCH) {
            let mut streams: Vec<TcpStream> = pairs.iter().map(|_| connect(target.address)).collect();
            let pieces = |&(first, second): &(usize, usize)| [0..first, first..second, second..whole.len()];
            for piece in 0..3 {
                for (stream, pair) in streams.iter_mut().zip(pairs) {
                    stream.write_all(&whole[pieces(pair)[piece].clone()]).expect("the server reads");
                }
                // After this, the server has seen the bytes sent before.
                round_trip(&mut witness);
            }
            for (stream, pair) in streams.iter_mut().zip(pairs) {
                fin(stream);
                assert!(rest_of(stream) == [line, PAYLOAD].concat(), "split at {pair:?}");
            }
            count += streams.len();
        }
    }
    format!("{count} headers of both versions with payload, in three pieces: every pair of places")
}

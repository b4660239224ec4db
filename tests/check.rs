//! `proxy-echo check` from a user's view, mostly through a real HAProxy in front of the real server: its words and exit
//! codes.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use proxy::{Addresses, Tlv, Transport, V2};
use serde_json::{Value, json};

#[path = "common/hop.rs"]
mod hop;
#[path = "common/program.rs"]
mod program;
#[path = "common/server.rs"]
mod server;

use hop::{Hop, carry, nginx_behind_a_hop, serve};
use program::program;
use server::Server;

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxy-echo"));
    command.arg("check").args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Exit code and words of a check, with the client's port replaced by `CLIENT`, the target's by `FRONT`, and without
/// times.
fn check(target: SocketAddr, args: &[&str]) -> (i32, String) {
    told(target, &command(&[&[target.to_string().as_str()], args].concat()).output().expect("it runs"))
}

fn told(target: SocketAddr, output: &Output) -> (i32, String) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    let client = text.lines().next().and_then(|line| line.rsplit_once(':')).expect("an address").1.to_owned();
    let (times, lines): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("  round trip  "));
    for line in times {
        let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert!(numbers.len() == 2 && numbers.iter().all(|&ms| 0.0 < ms && ms < 20_000.0), "{line}");
    }
    let mut text = lines.join("\n") + "\n";
    for (port, name) in [(target.port().to_string(), "FRONT"), (client, "CLIENT")] {
        text = text.replace(&format!(":{port}"), &format!(":{name}")).replace(&format!(" {port}"), &format!(" {name}"));
    }
    (output.status.code().expect("it ends by itself"), text)
}

/// Asserts that the check of `target` prints exactly `words` (without their first line break), and ends with `code`.
fn assert_told(target: SocketAddr, args: &[&str], code: i32, words: &str) {
    assert_eq!(check(target, args), (code, words[1..].to_owned()));
}

const PRESERVED: &str = "
127.0.0.1:FRONT, from 127.0.0.1:CLIENT
  received    PROXY TCP4 127.0.0.1 127.0.0.1 CLIENT FRONT
  header      once, at connect
the client's address and port are preserved
";

#[test]
fn a_balancer_that_sends_version_1() {
    let server = Server::start(&[]);
    let hop = Hop::start("127.0.0.1", server.address, "", "send-proxy");
    assert_told(hop.address, &[], 0, PRESERVED);
}

#[test]
fn a_balancer_that_sends_version_2() {
    let server = Server::start(&[]);
    let hop = Hop::start("127.0.0.1", server.address, "", "send-proxy-v2");
    assert_told(hop.address, &[], 0, PRESERVED);
}

/// The lines of advice below `headings` of the documentation.
fn advice(headings: &[&str]) -> String {
    let page = include_str!("../docs/check-and-decode.md");
    let rows = headings.iter().flat_map(|heading| {
        let section = page.split("\n### ").find(|section| section.starts_with(heading)).expect("a heading");
        let table = section.split("|---|---|\n").nth(1).expect("a table");
        table.lines().map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
    });
    rows.fold(String::new(), |lines, (product, words)| lines + &format!("- {product}: {words}\n"))
}

const TURN_ON: &[&str] = &["Turn the header on", "The header is on, and does not arrive"];

#[test]
fn a_balancer_that_sends_none() {
    let server = Server::start(&[]);
    let hop = Hop::start("127.0.0.1", server.address, "", "");
    let words = "
127.0.0.1:FRONT, from 127.0.0.1:CLIENT
the balancer sends no header, and the server closes without one; turn it on
";
    assert_told(hop.address, &[], 1, &[words, &advice(TURN_ON)].concat());
    assert_told(server.address, &[], 1, &[words, &advice(TURN_ON)].concat());
}

#[test]
fn a_header_that_comes_twice_through_two_hops() {
    let server = Server::start(&[]);
    let second = Hop::start("127.0.0.4", server.address, "", "send-proxy");
    for (send, again) in [
        ("send-proxy", "PROXY TCP4 127.0.0.1 127.0.0.3 CLIENT FRONT"),
        ("send-proxy-v2", "PROXY v2 TCP4 127.0.0.1:CLIENT -> 127.0.0.3:FRONT"),
    ] {
        let first = Hop::start("127.0.0.3", second.address, "", send);
        let (code, text) = check(first.address, &[]);
        let mut lines: Vec<&str> = text.lines().collect();
        let between = lines.remove(1);
        let port = second.address.port();
        assert!(between.starts_with("  received    PROXY TCP4 127.0.0.3 127.0.0.4 "), "{text}");
        assert!(between.ends_with(&format!(" {port}")), "{text}");
        let words = [
            "127.0.0.3:FRONT, from 127.0.0.1:CLIENT",
            &format!("  received    {again}"),
            "  header      twice",
            "the header comes twice: servers believe the first, which names 127.0.0.3, and take the second, which \
             names 127.0.0.1, for what the client says",
            "- let each hop accept the header of the hop before it, or only one of them send a header",
        ];
        let advice = advice(&["A hop hides the client"]);
        assert_eq!((code, lines), (1, words.into_iter().chain(advice.lines()).collect()));
    }
}

#[test]
fn two_hops_that_pass_the_header_on() {
    let server = Server::start(&[]);
    let second = Hop::start("127.0.0.4", server.address, "accept-proxy", "send-proxy-v2");
    let first = Hop::start("127.0.0.3", second.address, "", "send-proxy");
    let (code, text) = check(first.address, &[]);
    assert_eq!((code, text.lines().last()), (0, Some("the client's address and port are preserved")));
}

#[test]
fn a_balancer_that_wants_a_header_from_its_clients() {
    let server = Server::start(&[]);
    let hop = Hop::start("127.0.0.1", server.address, "accept-proxy", "send-proxy-v2");
    let words = "
127.0.0.1:FRONT, from 127.0.0.1:CLIENT
PROXY on the wrong side: the balancer wants a header from its clients, and sends one to the server
- HAProxy: no accept-proxy on the bind line
- nginx: no proxy_protocol on the listen line
";
    assert_told(hop.address, &[], 1, words);
    let hop = Hop::start("127.0.0.1", server.address, "accept-proxy", "");
    let words = "
127.0.0.1:FRONT, from 127.0.0.1:CLIENT
PROXY on the wrong side: the balancer wants a header from its clients, and sends none to the server
- HAProxy: no accept-proxy on the bind line
- nginx: no proxy_protocol on the listen line
- HAProxy: server NAME ADDRESS:PORT send-proxy-v2
- nginx: proxy_protocol on; in the stream server
";
    assert_told(hop.address, &[], 1, words);
}

#[test]
fn a_hop_that_hides_the_client() {
    let server = Server::start(&[]);
    let second = Hop::start("127.0.0.4", server.address, "", "send-proxy");
    let first = Hop::start("127.0.0.3", second.address, "", "");
    let (code, text) = check(first.address, &[]);
    let words = "the client's address is not preserved: the back end is told 127.0.0.3, the balancer's own address\n";
    let words = [words, &advice(&["A hop hides the client"])].concat();
    assert!(code == 1 && text.ends_with(&words), "{text}");
}

/// Runs in its own network namespace, where the kernel changes the client's address on its way to the balancer.
#[test]
fn a_client_whose_address_is_translated() {
    // Programs and sockets that this thread makes from now on are in the namespace.
    uapi::unshare(libc::CLONE_NEWNET).expect("to make a network namespace takes root: run this test as root");
    let run = |command: &mut Command| assert!(command.status().expect("it runs").success(), "{command:?}");
    run(program("ip", "iproute2").args(["link", "set", "lo", "up"]));
    let server = Server::start(&[]);
    let hop = Hop::start("127.0.0.1", server.address, "", "send-proxy-v2");
    let port = hop.address.port();
    run(program("nft", "nftables").arg(format!(
        "add table ip nat; add chain ip nat post {{ type nat hook postrouting priority 100; }}; \
         add rule ip nat post tcp dport {port} snat to 127.0.0.9"
    )));
    let words = "
127.0.0.1:FRONT, from 127.0.0.1:CLIENT
  received    PROXY TCP4 127.0.0.9 127.0.0.1 CLIENT FRONT
  header      once, at connect
the client's address is not preserved: the back end is told 127.0.0.9 instead of 127.0.0.1, translated on the way (NAT)
- if the outside sees this machine as 127.0.0.9, all is well: --client 127.0.0.9 says so
";
    assert_told(hop.address, &[], 1, words);
    let words = PRESERVED.replace("TCP4 127.0.0.1", "TCP4 127.0.0.9");
    assert_told(hop.address, &["--client", "127.0.0.9"], 0, &words);
    run(program("nft", "nftables").arg(format!(
        "flush chain ip nat post; \
         add rule ip nat post ip daddr 127.0.0.1 tcp dport {port} snat to 127.0.0.1:20000-20100"
    )));
    let (code, text) = check(hop.address, &[]);
    let words = "the client's address is preserved; its port was changed on the way\n";
    assert!(code == 0 && text.ends_with(words), "{text}");
}

#[test]
fn a_header_that_comes_with_the_first_bytes() {
    let server = Server::start(&[]);
    let to = server.address;
    let nlb = serve(move |near, _| {
        near.peek(&mut [0])?;
        let (source, destination) = (near.peer_addr()?, near.local_addr()?);
        let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", source.port(), destination.port());
        carry(&near, to, line.as_bytes())
    });
    let words = PRESERVED.replace("at connect", "with the client's first bytes, as a Network Load Balancer sends it");
    assert_told(nlb, &[], 0, &words);
}

#[test]
fn a_header_that_names_no_client() {
    let server = Server::start(&[]);
    let to = server.address;
    let hiding = serve(move |near, _| carry(&near, to, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"));
    let words = "
127.0.0.1:FRONT, from 127.0.0.1:CLIENT
  received    PROXY UNKNOWN
  header      once, at connect
the client's address is not preserved: a header comes and names no client
";
    assert_told(hiding, &[], 1, words);
}

#[test]
fn a_server_that_reads_no_header() {
    let server = Server::start(&["--proxy-protocol", "off"]);
    let hop = Hop::start("127.0.0.1", server.address, "", "send-proxy-v2");
    let words = "
127.0.0.1:FRONT, from 127.0.0.1:CLIENT
  received    PROXY v2 TCP4 127.0.0.1:CLIENT -> 127.0.0.1:FRONT
  header      once, at connect
the balancer sends a header, and the server takes it for what the client says (--proxy-protocol off, or a balancer that is not trusted)
- a server with --proxy-protocol off: start it with --proxy-protocol required
- a server with --proxy-protocol mixed or optional: name the address from which the balancer connects with --trust: the header of a stranger is payload
";
    assert_told(hop.address, &[], 1, words);
    let hop = Hop::start("127.0.0.1", server.address, "", "");
    let words = "
127.0.0.1:FRONT, from 127.0.0.1:CLIENT
no header comes back: the balancer sends none, or the server is told to keep it (--reflect-header false)
- --via-admin URL tells these apart
";
    assert_told(hop.address, &[], 1, words);
}

#[test]
fn the_balancer_is_played_where_there_is_none() {
    let server = Server::start(&[]);
    let words = PRESERVED.replace("once, at connect", "the one that was sent");
    for version in ["v1", "v2"] {
        assert_told(server.address, &["--send", version], 0, &words);
    }
    let server = Server::start(&["--proxy-protocol", "off"]);
    for version in ["v1", "v2"] {
        let (code, text) = check(server.address, &["--send", version]);
        assert!(
            code == 1 && text.contains("the server takes it for what the client says (--proxy-protocol off, or a balancer that is not trusted)\n"),
            "{text}"
        );
    }
    let server = Server::start(&["--trust", "192.0.2.1"]);
    let words = "
127.0.0.1:FRONT, from 127.0.0.1:CLIENT
the connection is closed, with or without a header before it; the reason is unknown
";
    assert_told(server.address, &["--send", "v1"], 3, &[words, CLOSED, TELLS_APART].concat());
}

/// All possible causes of a closed connection.
const CLOSED: &str = "\
- the balancer has no back end that is up
- or the server does not trust the balancer (--trust)
- or the server refuses the balancer's header: two families in one line, a CRC32C that a hop spoiled, a header cut short
- or the listener expects TLS
";

const TELLS_APART: &str = "- --via-admin URL tells these apart\n";

#[test]
fn where_no_proxy_echo_is_reached() {
    // A port above those that the kernel hands out, whose number appears nowhere else in the words.
    let nobody = SocketAddr::from(([127, 0, 0, 1], 65_535));
    let web =
        serve(|mut near, _| near.read(&mut [0; 512]).and_then(|_| near.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")));
    let silent = serve(|mut near, _| io::copy(&mut near, &mut io::sink()).map(|_| ()));
    let closing = serve(|_, _| Ok(()));
    let down = Hop::start("127.0.0.1", nobody, "", "send-proxy");
    let tls = serve(|mut near, _| near.read(&mut [0; 512]).and_then(|_| near.write_all(b"\x15\x03\x01\0\x02\x02\x46")));
    let odd = serve(|mut near, _| near.read(&mut [0; 512]).and_then(|_| near.write_all(b"?")));
    let late = advice(&["The header is on, and does not arrive"]);
    let closed = [CLOSED, TELLS_APART].concat();
    for (target, received, words, advice) in [
        (nobody, "", "cannot connect: Connection refused (os error 111)", ""),
        (
            web,
            "  received    HTTP/1.1 400 Bad Request<CR><LF><CR><LF>\n",
            "the server that answers is not a proxy-echo: it speaks HTTP",
            "",
        ),
        (odd, "  received    ?\n", "the server that answers is not a proxy-echo", ""),
        (
            tls,
            "  received    <15><03><01><00><02><02>F\n",
            "the listener speaks TLS: it answers plain text with a TLS alert",
            "- check it with --tls, or a listener that takes plain TCP\n",
        ),
        (silent, "", "nothing comes back within 200ms", &late),
        (closing, "", "the connection is closed at once; the reason is unknown", &closed),
    ] {
        let (code, text) = check(target, &["--timeout", "200ms"]);
        let from = if target == nobody { "" } else { ", from 127.0.0.1:CLIENT" };
        assert_eq!((code, text), (3, format!("127.0.0.1:FRONT{from}\n{received}{words}\n{advice}")));
    }
    assert_eq!(check(down.address, &[]).0, 3);
}

/// Each byte comes in time, but the whole answer does not.
#[test]
fn an_answer_that_drips_is_not_waited_for() {
    let dripping = serve(|mut near, _| {
        let mut words = [0; 256];
        let count = near.read(&mut words)?;
        near.write_all(&words[..count])?;
        near.read_exact(&mut words[..11])?;
        // Send a byte whenever the client has waited for a while, until it closes.
        near.set_read_timeout(Some(Duration::from_millis(100)))?;
        for byte in &words[..11] {
            match near.read(&mut [0]) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => break,
                Ok(0) => break,
                _ => near.write_all(&[*byte])?,
            }
        }
        Ok(())
    });
    let output = command(&[&dripping.to_string(), "--timeout", "500ms"]).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("no header comes back") && !text.contains("round trip"), "{text}");
}

/// A server with an admin port, and that port's URL.
fn server_with_admin(args: &[&str]) -> (Server, String) {
    let mut server = Server::start(&[&["--admin", "127.0.0.1:0"], args].concat());
    let line = server.wait_for(" admin is on ");
    let url = format!("http://{}/", line.split(' ').next_back().expect("an address"));
    (server, url)
}

#[test]
fn what_a_line_cannot_carry_is_asked_of_the_admin_port() {
    let (server, url) = server_with_admin(&[]);
    let to = server.address;
    let cloud = serve(move |near, _| {
        let nested = b"\x01\0\0\0\0\x21\0\x07TLSv1.3";
        let tlvs: [(u8, &[u8]); 5] = [
            (0xEA, b"\x01vpce-08d2bf15fac5001c9"),
            (4, b".."),
            (0xEE, b"\x01\x09\0\0\0"),
            (0xE1, b"\n"),
            (0x20, nested),
        ];
        let tlvs = tlvs.map(|(kind, value)| Tlv { kind, value });
        let (SocketAddr::V4(source), SocketAddr::V4(destination)) = (near.peer_addr()?, near.local_addr()?) else {
            unreachable!("it listens on IPv4");
        };
        let addresses = Addresses::Inet { transport: Transport::Stream, source, destination };
        let mut header = Vec::new();
        let v2 = V2 { command: proxy::Command::Proxy, addresses, tlvs: &tlvs, crc32c: false };
        v2.encode(&mut header).expect("it can be encoded");
        carry(&near, to, &header)
    });
    let words = "once, at connect
  server      #1: PROXY v2 TCP4 127.0.0.1:CLIENT -> 127.0.0.1:FRONT, AWS_VPC_ENDPOINT \"vpce-08d2bf15fac5001c9\", \
                 NOOP of 2 bytes, AZURE_LINKID 9, 0xe1 0a, SSL (client 0x01, verify 0, VERSION \"TLSv1.3\")";
    assert_told(cloud, &["--via-admin", &url], 0, &PRESERVED.replace("once, at connect", words));

    let hop = Hop::start("127.0.0.1", server.address, "", "send-proxy");
    let words = "once, at connect\n  server      #2: PROXY v1 TCP4 127.0.0.1:CLIENT -> 127.0.0.1:FRONT";
    assert_told(hop.address, &["--via-admin", &url], 0, &PRESERVED.replace("once, at connect", words));
    let output = command(&[&hop.address.to_string(), "--via-admin", &url, "--json"]).output().expect("it runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let answer = &report["answers"][0];
    assert_eq!((&answer["server"]["version"], &answer["server"]["source"]), (&json!(1), &answer["local"]));
}

#[test]
fn the_admin_port_tells_what_is_not_reflected() {
    let (server, url) = server_with_admin(&["--reflect-header", "false"]);
    let hop = Hop::start("127.0.0.1", server.address, "", "send-proxy-v2");
    let words = "
127.0.0.1:FRONT, from 127.0.0.1:CLIENT
  server      #1: PROXY v2 TCP4 127.0.0.1:CLIENT -> 127.0.0.1:FRONT
the client's address and port are preserved
";
    assert_told(hop.address, &["--via-admin", &url], 0, words);

    let (server, url) = server_with_admin(&["--proxy-protocol", "off"]);
    let hop = Hop::start("127.0.0.1", server.address, "", "");
    let words = "
127.0.0.1:FRONT, from 127.0.0.1:CLIENT
  server      #1: no PROXY header
the balancer sends no header, and the server does without; turn it on
";
    assert_told(hop.address, &["--via-admin", &url], 1, &[words, &advice(TURN_ON)].concat());
    let hop = Hop::start("127.0.0.1", server.address, "", "send-proxy");
    let words = "
127.0.0.1:FRONT, from 127.0.0.1:CLIENT
  received    PROXY TCP4 127.0.0.1 127.0.0.1 CLIENT FRONT
  header      once, at connect
  server      #2: no PROXY header
the balancer sends a header, and the server takes it for what the client says (--proxy-protocol off, or a balancer that is not trusted)
- a server with --proxy-protocol off: start it with --proxy-protocol required
- a server with --proxy-protocol mixed or optional: name the address from which the balancer connects with --trust: the header of a stranger is payload
";
    assert_told(hop.address, &["--via-admin", &url], 1, words);
}

/// The check's own header does not come back either, which would otherwise show which side expects a header.
#[test]
fn the_admin_port_tells_who_wants_a_header_that_is_not_reflected() {
    let (server, url) = server_with_admin(&["--reflect-header", "false"]);
    let closed = "\n127.0.0.1:FRONT, from 127.0.0.1:CLIENT\n";
    let wanted = "a header is wanted and does not come: the balancer sends none, or wants one from its clients; the \
                  server does not show which (--reflect-header false)\n- --via-admin URL tells these apart\n";
    let none = "the balancer sends no header, and the server closes without one; turn it on\n";
    let hop = Hop::start("127.0.0.1", server.address, "", "");
    assert_told(hop.address, &[], 1, &[closed, wanted].concat());
    assert_told(hop.address, &["--via-admin", &url], 1, &[closed, none, &advice(TURN_ON)].concat());
    let hop = Hop::start("127.0.0.1", server.address, "accept-proxy", "send-proxy");
    assert_told(hop.address, &[], 1, &[closed, wanted].concat());
    let (code, text) = check(hop.address, &["--via-admin", &url]);
    assert!(code == 1 && text.contains("wants a header from its clients, and sends one to the server\n"), "{text}");

    let (server, url) = server_with_admin(&["--proxy-protocol", "off"]);
    let hop = Hop::start("127.0.0.1", server.address, "accept-proxy", "");
    let (code, text) = check(hop.address, &["--via-admin", &url]);
    assert!(code == 1 && text.contains("wants a header from its clients, and sends none to the server\n"), "{text}");
}

#[test]
fn an_admin_port_that_does_not_help_is_named() {
    let server = Server::start(&[]);
    let hop = Hop::start("127.0.0.1", server.address, "", "send-proxy");
    let (_other, others) = server_with_admin(&[]);
    let lost = serve(|mut near, _| {
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        near.read(&mut [0; 512]).and_then(|_| near.write_all(answer))
    });
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    for (url, words) in [
        (others, "does not list this connection: is it another server's?"),
        (format!("http://{lost}"), "answers with status 404"),
        (format!("http://{nobody}"), "does not answer: Connection refused (os error 111)"),
    ] {
        let (code, text) = check(hop.address, &["--via-admin", &url]);
        let line = text.lines().find(|line| line.starts_with("  server      ")).expect("a line about the server");
        assert!(code == 0 && line.contains(&url) && line.ends_with(words), "{text}");
    }
}

/// A balancer in front of a server that sends `opening`. `goes` says whether it closes after that.
fn balancer(to: SocketAddr, opening: &'static [u8], goes: bool) -> SocketAddr {
    serve(move |near, _| {
        if goes {
            let mut far = TcpStream::connect(to)?;
            return far.write_all(opening);
        }
        carry(&near, to, opening)
    })
}

#[test]
fn a_header_that_the_server_refuses_is_named_with_its_bytes() {
    let (server, url) = server_with_admin(&[]);
    let refused = "the header arrives, and the server refuses it: ";
    let mixed = " (an IPv4 address in a TCP6 line: nginx and curl send this where the listener's family differs from the \
                 client's; listen on the same family, or send version 2)";
    let table = advice(&["The server refuses the header"]);
    let line_of = |product: &str| table.lines().find(|line| line.starts_with(&format!("- {product}"))).expect("advice");
    for (opening, goes, words, advice) in [
        (
            &b"PROXY TCP6 ::1 127.0.0.1 40000 8888\r\n"[..],
            false,
            format!("not an IPv6 address at byte 18, in \"PROXY TCP6 ::1 127.0.0.1 40000 8888<CR><LF>\"{mixed}"),
            Some(line_of("two families")),
        ),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x01\0\x07\x03\0\x04\x12\x34\x56\x78",
            false,
            "the CRC32C does not match the header at byte 22, in \"<CR><LF><CR><LF><00><CR><LF>QUIT<LF>!<01><00><07>\
             <03><00><04><12>4Vx\""
                .to_owned(),
            Some(line_of("a CRC32C")),
        ),
        (
            b"PROXY TCP4 192.0.2.1 ",
            true,
            "it ends too early at byte 21, in \"PROXY TCP4 192.0.2.1 \"".to_owned(),
            Some(line_of("a header cut")),
        ),
        (
            b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
            false,
            "the protocol is not TCP4, TCP6 or UNKNOWN at byte 7, in \"PROXY UDP4 1.2.3.4 5.6.7.8 1 2<CR><LF>\""
                .to_owned(),
            None,
        ),
    ] {
        let front = balancer(server.address, opening, goes);
        let (code, text) = check(front, &["--via-admin", &url]);
        let mut lines = text.lines().skip(1);
        assert_eq!(lines.next(), Some(&[refused, &words].concat()[..]), "{text}");
        assert_eq!((code, lines.next()), (1, advice), "{text}");

        // Without the admin port, this is one of several reasons.
        let (code, text) = check(front, &[]);
        assert!(code == 3 && text.ends_with(&[CLOSED, TELLS_APART].concat()), "{text}");
    }
}

#[test]
fn the_admin_port_tells_why_a_connection_is_closed() {
    let (server, url) = server_with_admin(&["--trust", "192.0.2.1"]);
    let words = "
127.0.0.1:FRONT, from 127.0.0.1:CLIENT
the connection arrives, and the server does not trust its peer (--trust)
- name the balancer's address with --trust
";
    assert_told(server.address, &["--via-admin", &url], 1, words);
    let nobody = SocketAddr::from(([127, 0, 0, 1], 65_535));
    let down = Hop::start("127.0.0.1", nobody, "", "send-proxy");
    let words = "
127.0.0.1:FRONT, from 127.0.0.1:CLIENT
the connection is closed, and none arrives at this server
- the balancer has no back end that is up: see whether its health checks find the server
- or it hands the connection to another server
- or the listener expects TLS, or a header from its clients
";
    assert_told(down.address, &["--via-admin", &url], 3, words);
}

/// Connections of others to the server must not explain a connection that never reaches it. A server that cannot be
/// asked must be named.
#[test]
fn a_closed_connection_is_not_explained_by_what_others_do() {
    let (server, url) = server_with_admin(&[]);
    let to = server.address;
    let closing = serve(|_, _| Ok(()));
    let is_over = Arc::new(AtomicBool::new(false));
    let others = thread::spawn({
        let is_over = is_over.clone();
        move || {
            while !is_over.load(Ordering::Relaxed) {
                let mut stream = TcpStream::connect(to).expect("the server accepts");
                let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").and_then(|()| stream.read(&mut [0]));
            }
        }
    });
    let (code, text) = check(closing, &["--via-admin", &url]);
    is_over.store(true, Ordering::Relaxed);
    others.join().expect("it ends");
    let server_line = format!(
        "  server      {url} counts other connections in the same moment, so it does not tell what became of this one\n"
    );
    assert!(code == 3 && text.contains(&server_line), "{text}");
    assert!(text.ends_with(&["the connection is closed at once; the reason is unknown\n", CLOSED].concat()), "{text}");

    let (code, text) = check(closing, &["--via-admin", "http://127.0.0.1:1"]);
    let server_line =
        "  server      http://127.0.0.1:1/status.json does not answer: Connection refused (os error 111)\n";
    assert!(code == 3 && text.contains(server_line) && text.ends_with(CLOSED), "{text}");
}

/// nginx sends the address of the hop before it, unless it is configured to trust that hop.
#[test]
fn a_hop_that_ignores_the_header_of_the_hop_before_it() {
    let server = Server::start(&[]);
    let second = nginx_behind_a_hop(server.address, "");
    let first = Hop::start("127.0.0.1", second.address, "", "send-proxy");
    let (code, text) = check(first.address, &[]);
    let about = "the client's address is not preserved: the header is about another connection, 127.0.0.1:";
    let cause = "; either a hop in between ignores the header of the hop before it and sends its own, or the addresses of \
                 both ends are translated on the way (NAT)\n";
    let to = format!(" -> {}", second.address);
    assert!(code == 1 && text.contains(about) && text.contains(&[&to, cause].concat()), "{text}");
    let advice = [
        &advice(&["A hop hides the client"]),
        "- only if the outside sees this machine as 127.0.0.1: --client \
                 127.0.0.1\n",
    ]
    .concat();
    assert!(text.ends_with(&advice), "{text}");

    let second = nginx_behind_a_hop(server.address, "set_real_ip_from 127.0.0.1;");
    let first = Hop::start("127.0.0.1", second.address, "", "send-proxy");
    let (code, text) = check(first.address, &[]);
    assert!(code == 0 && text.contains("the client's address and port are preserved"), "{text}");
}

#[test]
fn an_admin_port_that_points_elsewhere_is_not_followed() {
    let server = Server::start(&[]);
    let (_other, elsewhere) = server_with_admin(&[]);
    let redirecting = serve(move |mut near, _| {
        let answer =
            format!("HTTP/1.1 302 Found\r\nLocation: {elsewhere}connections.json\r\nContent-Length: 0\r\n\r\n");
        near.read(&mut [0; 512]).and_then(|_| near.write_all(answer.as_bytes()))
    });
    let hop = Hop::start("127.0.0.1", server.address, "", "send-proxy");
    let (code, text) = check(hop.address, &["--via-admin", &format!("http://{redirecting}")]);
    assert!(code == 0 && text.contains("answers with status 302\n"), "{text}");
}

#[test]
fn a_reader_who_leaves_is_not_an_error() {
    let server = Server::start(&[]);
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let mut command = command(&[&server.address.to_string(), "--send", "v1"]);
    let output = command.stdout(writer).output().expect("it runs");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

/// The exit code must not be that of a verdict.
#[test]
fn an_output_that_cannot_be_written_is_named() {
    let server = Server::start(&[]);
    let target = server.address.to_string();
    let full = File::options().write(true).open("/dev/full").expect("the device");
    let [file, words] = [Stdio::piped(), full.into()].map(|stdout| {
        let mut command = command(&[&target, "--send", "v1", "--json=/nonexistent/check.json"]);
        command.stdout(stdout).output().expect("it runs")
    });
    for (output, line) in [
        (file, "error: /nonexistent/check.json cannot be written: No such file or directory (os error 2)\n"),
        (words, "error: standard output cannot be written: No space left on device (os error 28)\n"),
    ] {
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(2), line));
    }
}

/// Answers of each kind, with and without the admin port.
#[test]
fn json_keeps_to_its_schema() {
    let schema = serde_json::from_str(include_str!("../docs/schema/check-1.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let (server, url) = server_with_admin(&[]);
    let hop = Hop::start("127.0.0.1", server.address, "", "send-proxy-v2");
    let refused = balancer(server.address, b"PROXY UDP4 ", false);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("check.json");
    let json = format!("--json={}", file.display());
    for (target, admin, finding) in [
        (hop.address, Some(&url[..]), "preserved"),
        (hop.address, Some("http://127.0.0.1:1"), "preserved"),
        (server.address, None, "no_header"),
        (refused, Some(&url), "header_refused"),
        (SocketAddr::from(([127, 0, 0, 1], 1)), None, "unreachable"),
    ] {
        let mut command = command(&[&target.to_string(), &json]);
        command.args(admin.iter().flat_map(|url| ["--via-admin", url]));
        let output = command.output().expect("it runs");
        assert!(output.stdout.starts_with(target.to_string().as_bytes()), "words beside the file");
        let report: Value = serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
        let errors: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{report:#}: {errors:?}");
        let answer = &report["answers"][0];
        assert_eq!((&answer["finding"], answer["refusal"].is_object()), (&json!(finding), finding == "header_refused"));
    }
    assert!(!validator.is_valid(&json!({})), "a schema that takes anything");
}

#[test]
fn nodes_that_differ_are_told_apart() {
    let server = Server::start(&[]);
    let to = server.address;
    let nodes = serve(move |near, number| {
        let (source, destination) = (near.peer_addr()?, near.local_addr()?);
        let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", source.port(), destination.port());
        carry(&near, to, if number % 2 == 1 { b"PROXY UNKNOWN\r\n" } else { line.as_bytes() })
    });
    let (code, text) = check(nodes, &["--count", "5", "--interval", "1ms"]);
    let counts = "
in 5 rounds:
     3 times  127.0.0.1:FRONT: the client's address and port are preserved
     2 times  127.0.0.1:FRONT: the client's address is not preserved: a header comes and names no client
";
    assert!(code == 1 && text.starts_with(&PRESERVED[1..]) && text.ends_with(counts), "{text}");

    let output =
        command(&[&nodes.to_string(), "--count", "2", "--interval", "0s", "--json"]).output().expect("it runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &report["exit_code"], &report["preserved"]), (Some(1), &json!(1), &json!(false)));
    let answers = report["answers"].as_array().expect("a list");
    let short: Vec<Value> =
        answers.iter().map(|a| json!([a["finding"], a["header"], a["count"], a["address"]])).collect();
    let address = nodes.to_string();
    let expected =
        [json!(["preserved", "at_connect", 1, address]), json!(["no_client_named", "at_connect", 1, address])];
    assert!(expected.iter().all(|one| short.contains(one)) && short.len() == 2, "{report:#}");
    assert!(answers[0]["round_trip_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
}

#[test]
fn every_address_of_a_name_is_asked() {
    let output = command(&["localhost:1"]).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(3));
    assert!(text.contains("127.0.0.1:1\ncannot connect: Connection refused (os error 111)\n"), "{text}");
    let output = command(&["no-such-name.invalid:1"]).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.code() == Some(3) && text.starts_with("no-such-name.invalid:1\ncannot connect: "), "{text}");
}

#[test]
fn nonsense_is_refused_with_one_line() {
    for (args, words) in [
        (&["localhost"][..], "'localhost' for '<HOST:PORT>': the port is missing: expected HOST:PORT or ADDRESS:PORT"),
        (&["localhost:0"], "nobody listens on port 0"),
        (&["http://localhost:8000/"], "a URL is not an address: write localhost:8000"),
        (&[], "<HOST:PORT>"),
        (&["localhost:1", "--via-admin", "https://localhost"], "expected http://HOST:PORT"),
        (&["localhost:1", "--timeout", "0s"], "at least 1ms"),
        (&["localhost:1", "--count", "0"], "'--count <COUNT>'"),
        (&["localhost:1", "--send", "v3"], "[possible values: v1, v2]"),
        (&["localhost:1", "--client", "me"], "'--client <ADDR>'"),
    ] {
        let output = command(args).output().expect("it runs");
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{args:?}");
        assert!(stderr.starts_with("error: ") && stderr.contains(words) && stderr.lines().count() == 1, "{stderr}");
    }
}

//! `proxy-echo conform` from a user's view: its findings for receivers that keep to the specification and for others,
//! exit codes, and JSON compared with its schema.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

#[path = "common/server.rs"]
mod server;

use server::{DEADLINE, Server};

/// Runs `conform` without its environment variables.
fn conform(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxy-echo"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PROXY_ECHO_")) {
        command.env_remove(name);
    }
    command.arg("conform").args(args).output().expect("it runs")
}

/// The verdicts and the exit code of a run.
struct Results {
    document: Value,
    code: Option<i32>,
}

impl Results {
    fn of(target: SocketAddr, args: &[&str]) -> Results {
        let target = target.to_string();
        let output = conform(&[&[target.as_str(), "--json"], args].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        let document = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        Results { document, code: output.status.code() }
    }

    fn count(&self, name: &str) -> u64 {
        self.document["counts"][name].as_u64().expect("a count")
    }

    /// The names of the cases whose `field` has this `value`.
    fn named(&self, field: &str, value: &str) -> Vec<&str> {
        let cases = self.document["cases"].as_array().expect("a list");
        cases.iter().filter(|case| case[field] == value).map(|case| case["id"].as_str().expect("a name")).collect()
    }

    fn verdict(&self, id: &str) -> &str {
        let cases = self.document["cases"].as_array().expect("a list");
        let case = cases.iter().find(|case| case["id"] == id).unwrap_or_else(|| panic!("{id} was not run"));
        case["verdict"].as_str().expect("a verdict")
    }
}

/// A receiver that passes the first bytes of each connection to `answer`: `None` closes, empty bytes are silence,
/// others are the answer.
fn receiver(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || serve(stream, answer));
        }
    });
    address
}

fn serve(mut stream: TcpStream, answer: impl Fn(&[u8]) -> Option<Vec<u8>>) -> io::Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut bytes = vec![0; 128 * 1024];
    let mut length = 0;
    loop {
        match stream.read(&mut bytes[length..])? {
            0 => return Ok(()),
            count => length += count,
        }
        let Some(words) = answer(&bytes[..length]) else { return Ok(()) };
        stream.write_all(&words)?;
    }
}

const USUAL: [&str; 4] = ["--delivery=together", "--timeout=5s", "--parallel=8", "--shows-client=ends"];

#[test]
fn proxy_echo_misses_nothing() {
    let server = Server::start(&[]);
    let results = Results::of(server.address, &["--strict", "--shows-client=ends", "--timeout=10s", "--parallel=32"]);
    let missed = ["must_missed", "should_missed", "misread", "skipped"];
    let missed: Vec<_> = missed.iter().flat_map(|verdict| results.named("verdict", verdict)).collect();
    assert_eq!(missed, [""; 0]);
    assert_eq!(results.code, Some(0));
    assert!(results.count("passed") > 500, "{}", results.document["counts"]);
    assert_eq!(results.document["versions"], json!([1, 2]));
}

/// This server's decisions where the specification leaves them open. The test shows when one changes.
#[test]
fn what_proxy_echo_does_where_it_may() {
    let server = Server::start(&[]);
    let results = Results::of(server.address, &["--delivery=together", "--timeout=10s"]);
    let cases = results.document["cases"].as_array().expect("a list");
    let refused = cases.iter().filter(|case| case["verdict"] == "observed" && case["outcome"] != "accepted");
    let mut refused: Vec<_> = refused.map(|case| case["id"].as_str().expect("a name")).collect();
    refused.sort_unstable();
    let expected = [
        "two-local-v2",
        "two-v1-v1",
        "two-v1-v2",
        "two-v2-v1",
        "two-v2-v2",
        "v1-unknown-prefix",
        "v1-unknown-tab",
        "v2-crc32c-3-bytes",
        "v2-crc32c-5-bytes",
        "v2-crc32c-empty",
        "v2-crc32c-twice",
        "v2-crc32c-wrong",
        "v2-tlv-1-byte",
        "v2-tlv-2-bytes",
        "v2-tlv-overrun",
        "v2-tlv-overrun-much",
        "v2-tlv-overrun-second",
        "v2-tlv-trailing-2-bytes",
        "v2-tlv-trailing-byte",
        "v2-tlv-unique-id-129",
        "v2-udp4-length-0",
        "v2-udp4-length-11",
        "v2-udp6-length-12",
        "v2-unix-length-0",
        "v2-unix-length-215",
    ];
    assert_eq!(refused, expected);
}

/// Splits a receiver's input into its first line and the rest.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some(bytes.split_at(end + 2))
}

#[test]
fn a_setting_that_cannot_tell_is_refused_before_anything() {
    for (name, address, words) in [
        ("accepts all", receiver(|bytes| Some(bytes.to_vec())), "bytes that are not a header are accepted"),
        ("closes at once", receiver(|_| None), "a valid header is not accepted. Version 1: closed"),
        ("says nothing", receiver(|_| Some(Vec::new())), "a valid header is not accepted. Version 1: silence for"),
    ] {
        // An echo that reads no header sends all bytes back, not only those after the header.
        let output = conform(&[&address.to_string(), "--preset=echo", "--timeout=500ms"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{name}: {error}");
        assert!(error.starts_with("error: this setting cannot tell") && error.contains(words), "{name}: {error}");
        assert_eq!(output.stdout, b"", "{name}");
    }
}

#[test]
fn usage_and_unreachable_receivers_have_codes_of_their_own() {
    // Nobody listens on a port that was just released.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a port");
    let free = free.to_string();
    for (args, code, words) in [
        (&[free.as_str()][..], 3, "is not reached"),
        (&[], 2, "<HOST:PORT>"),
        (&[&free, "--only=v3"], 2, "no case is named 'v3'"),
        (&[&free, "--section=7"], 2, "'7'"),
        (&[&free, "--accepted=("], 2, "not a regular expression"),
        (&[&free, r"--say=\q"], 2, "has an escape other than"),
        (&[&free, "--preset=echo", "--say="], 2, "an echo needs words"),
        (&[&free, "--timeout=0"], 2, "at least 1ms"),
        (&[&free, "--parallel=0"], 2, "must be from 1 to 256"),
    ] {
        let output = conform(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(words), "{args:?}: {error}");
    }
}

/// Reads version 1 only, takes any line for a header, and shows the client that the line names.
fn careless(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.starts_with(b"PROXY ") {
        return None;
    }
    let Some((line, payload)) = split_line(bytes) else { return Some(Vec::new()) };
    let line = String::from_utf8_lossy(line).into_owned();
    let client = line.split_whitespace().nth(2).unwrap_or("nobody");
    Some([format!("client {client}\n").as_bytes(), payload].concat())
}

#[test]
fn a_careless_receiver_is_found_out() {
    let args = ["--preset=echo", "--shows-client", "--delivery=together", "--timeout=300ms", "--section=2.1,2.2"];
    let results = Results::of(receiver(careless), &args);
    assert_eq!((results.code, &results.document["versions"]), (Some(1), &json!([1])));
    for (id, verdict) in [
        ("v1-tcp4", "passed"),
        ("v1-ipv4-256-first-source", "must_missed"),
        ("v1-port-65536-source", "must_missed"),
        ("v1-mixed-6-4", "must_missed"),
        ("v1-unknown", "misread"),
        ("v1-unknown-words", "misread"),
        ("stranger-http", "passed"),
        ("v2-tcp4", "skipped"),
        ("v1-ipv6-mapped", "observed"),
    ] {
        assert_eq!(results.verdict(id), verdict, "{id}");
    }
}

#[test]
fn silence_is_a_result() {
    // Refuses a wrong line by silence, and waits for the end of every line.
    let silent = |bytes: &[u8]| match split_line(bytes) {
        _ if !bytes.starts_with(b"PROXY") => None,
        Some((line, payload)) if line == b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n" => Some(payload.to_vec()),
        _ => Some(Vec::new()),
    };
    let ids = "--only=v1-tcp4,v1-tcp6,v1-tcp5,v1-ends-in-lf,v1-incomplete-address";
    let args = ["--preset=echo", "--delivery=together", "--timeout=300ms", ids];
    let results = Results::of(receiver(silent), &args);
    assert_eq!(results.verdict("v1-tcp4"), "passed");
    assert_eq!(results.verdict("v1-tcp6"), "must_missed");
    // The client is not served, but not closed either.
    assert_eq!(results.verdict("v1-tcp5"), "should_missed");
    assert_eq!(results.verdict("v1-ends-in-lf"), "passed");
    assert_eq!(results.verdict("v1-incomplete-address"), "passed");
    let strict = Results::of(receiver(silent), &[&args[..3], &["--only=v1-tcp4,v1-tcp5", "--strict"]].concat());
    assert_eq!((strict.code, results.code), (Some(1), Some(1)));
    let lenient = Results::of(receiver(silent), &[&args[..3], &["--only=v1-tcp4,v1-tcp5"]].concat());
    assert_eq!(lenient.code, Some(0));
}

#[test]
fn answers_of_any_protocol_are_understood() {
    // Checks only the first field of a version 1 line. Refusals have an answer, and the connection stays open.
    let answers = |accepted: &'static str, refused: &'static str| {
        receiver(move |bytes: &[u8]| {
            let (line, _) = split_line(bytes).unwrap_or((bytes, b""));
            let is_fine = line == b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
            Some(if is_fine { accepted } else { refused }.as_bytes().to_vec())
        })
    };
    for (preset, accepted, refused) in [
        ("http", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("http", "HTTP/1.0 404 Not Found\r\n\r\n", "HTTP/1.0 400 Bad Request\r\n\r\n"),
        ("smtp", "220 mail.example ESMTP\r\n", "421 4.3.0 no\r\n"),
        ("imap", "* OK ready\r\n", "* BYE no\r\n"),
        ("mysql", "J\0\0\0\x0a11.4.2\0", "B\0\0\0\u{7f}"),
    ] {
        // The first byte of the answer is not text.
        let own = ["--rejected=^B"];
        let own: &[&str] = if preset == "mysql" { &own } else { &[] };
        let preset = format!("--preset={preset}");
        let args =
            [&[preset.as_str(), "--delivery=together", "--only=v1-tcp4,v1-tcp5", "--timeout=5s"][..], own].concat();
        let results = Results::of(answers(accepted, refused), &args);
        assert_eq!((results.verdict("v1-tcp4"), results.verdict("v1-tcp5")), ("passed", "passed"), "{preset}");
    }
}

#[test]
fn json_keeps_to_its_schema() {
    let schema = serde_json::from_str(include_str!("../docs/schema/conform-1.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let server = Server::start(&[]);
    let whole = Results::of(server.address, &[&USUAL[..], &["--section=2.2"]].concat());
    let careless =
        Results::of(receiver(careless), &["--preset=echo", "--delivery=together", "--only=v1-tcp4,v1-tcp5,v2-tcp4"]);
    for document in [whole.document, careless.document] {
        let errors: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0]);
    }
    assert!(!validator.is_valid(&json!({ "schema": "conform-1", "cases": [] })), "a schema that takes anything");
}

#[test]
fn reports_for_people_and_for_ci() {
    let address = receiver(careless).to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let (junit, json) = (directory.path().join("junit.xml"), directory.path().join("conform.json"));
    let (junit_arg, json_arg) = (format!("--junit={}", junit.display()), format!("--json={}", json.display()));
    let args = [&address, "--preset=echo", "--only=v1-tcp4,v1-tcp5,v2-tcp4,v1-ipv6-mapped", "--delivery=together"];
    let output = conform(&[&args[..], &[&junit_arg, &json_arg]].concat());
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    for words in [
        "2.1. Human-readable header format (Version 1)",
        "✗ v1-tcp5: MUST missed",
        "section 2.1: TCP5 is no protocol.",
        "expected: it must be refused, and the connection closed",
        "happened: accepted; the answer: \"client 192.0.2.1<LF>proxy-echo conform",
        "sent: 50524f5859205443503520",
        "invalid: the protocol is not TCP4, TCP6 or UNKNOWN at byte 9 (section 2.1)",
        "1 passed, 1 MUST missed, 1 observed, 1 skipped",
        "accepts version 1 only; does not conform",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    let junit = std::fs::read_to_string(junit).expect("a file");
    for words in [
        "<testcase classname=\"v1 lines\" name=\"v1-tcp4\"/>",
        "name=\"v1-tcp5\"><failure message=\"accepted; the answer: &quot;client 192.0.2.1&lt;LF&gt;",
        "name=\"v2-tcp4\"><skipped message=\"version 2 is not accepted here at all\"/>",
    ] {
        assert!(junit.contains(words), "{words} is not in\n{junit}");
    }
    assert!(std::fs::read_to_string(json).expect("a file").starts_with("{\"schema\":\"conform-1\""));
}

#[test]
fn the_cases_are_for_others_to_read() {
    let output = conform(&["--list"]);
    assert!(output.status.success());
    let cases: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut ids: Vec<_> = cases.iter().map(|case| case["id"].as_str().expect("a name")).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() == count && count > 500, "{count} cases, {} names", ids.len());
    for case in &cases {
        let why = case["why"].as_str().expect("a sentence");
        assert!(why.ends_with(['.', ':']) && why.len() > 10, "{case}");
        assert!(case["text"].is_string() != case["hex"].is_string(), "{case}");
    }
}

/// A running `conform --listen` that ends after `count` headers.
struct Listening {
    child: Child,
    address: SocketAddr,
    output: BufReader<ChildStdout>,
}

impl Listening {
    fn start(count: usize, args: &[&str]) -> Listening {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxy-echo"));
        command.args(["conform", "--listen=127.0.0.1:0", "--timeout=10s"]).arg(format!("--count={count}")).args(args);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        let address = line.trim().rsplit(' ').next().and_then(|address| address.parse().ok());
        Listening { child, address: address.unwrap_or_else(|| panic!("{line}")), output }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_nodelay(true).expect("nodelay");
        stream
    }

    fn end(mut self) -> (String, Option<i32>) {
        let text = io::read_to_string(&mut self.output).expect("text");
        (text, self.child.wait().expect("it ends").code())
    }
}

#[test]
fn senders_are_judged_by_what_they_send() {
    for (header, code, words) in [
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n".as_slice(), 0, "✓ #1 127.0.0.1:"),
        (b"PROXY TCP6 ::1 127.0.0.1 56324 443\r\n", 1, "✗ MUST missed, section 2.1: the destination 127.0.0.1 is"),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb",
            0,
            "TCP4 192.0.2.1:56324 ->",
        ),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 0, "version 2, 16 bytes: LOCAL"),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\x11\0\0", 0, "! SHOULD missed, section 2.2: LOCAL with the protocol byte 0x11"),
        (b"GET / HTTP/1.1\r\n\r\n", 1, "✗ MUST missed, section 2: what came is no header"),
    ] {
        let listening = Listening::start(1, &[]);
        listening.connect().write_all(header).expect("it reads");
        let (text, ended) = listening.end();
        assert!(ended == Some(code) && text.contains(words), "{}: {ended:?} {text}", header.escape_ascii());
    }
}

#[test]
fn a_header_in_pieces_is_a_senders_fault() {
    let listening = Listening::start(1, &[]);
    let mut stream = listening.connect();
    stream.write_all(b"PROXY TCP4 192.0.2.1 198.51").expect("it reads");
    // Wait until the kernel shows that the first piece was read: otherwise both could be read at once.
    await_taken(&stream);
    stream.write_all(b".100.2 56324 443\r\n").expect("it reads");
    let (text, code) = listening.end();
    assert!(code == Some(1) && text.contains("section 2: the header came in 2 pieces"), "{text}");
}

/// Waits until the peer has read all bytes sent.
fn await_taken(stream: &TcpStream) {
    let [ours, theirs] = [stream.local_addr(), stream.peer_addr()].map(|address| address.expect("an address").port());
    let end = Instant::now() + DEADLINE;
    loop {
        // "sl local_address rem_address st tx_queue:rx_queue", with ports in hexadecimal.
        let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
        let is_peers = |line: &&str| line.contains(&format!(":{theirs:04X} 0100007F:{ours:04X} "));
        let line = table.lines().find(is_peers).expect("a connection").split_whitespace().nth(4).expect("its queues");
        if line.ends_with(":00000000") {
            return;
        }
        assert!(Instant::now() < end, "what was sent is not read");
        thread::yield_now();
    }
}

#[test]
fn a_sender_is_served_like_by_a_back_end() {
    let listening = Listening::start(3, &["--strict"]);
    drop(listening.connect());
    let header = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for (say, answer) in [("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"), ("hello\n", "hello\n")] {
        let mut stream = listening.connect();
        stream.write_all(&[header, say.as_bytes()].concat()).expect("it reads");
        let mut bytes = vec![0; answer.len()];
        stream.read_exact(&mut bytes).expect("an answer");
        assert_eq!(String::from_utf8_lossy(&bytes), answer);
    }
    listening.connect().write_all(header).expect("it reads");
    let (text, code) = listening.end();
    // The connection without a byte is not judged.
    assert!(
        code == Some(0) && text.contains("3 headers, 0 with a MUST missed") && text.ends_with("\nconforms\n"),
        "{text}"
    );
}

#[test]
fn a_senders_json_keeps_to_its_schema() {
    let schema = serde_json::from_str(include_str!("../docs/schema/conform-sender-1.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let listening = Listening::start(2, &[&format!("--json={}", file.path().display())]);
    listening.connect().write_all(b"PROXY UNKNOWN\r\n").expect("it reads");
    listening.connect().write_all(b"GET / HTTP/1.0\r\n\r\n").expect("it reads");
    assert_eq!(listening.end().1, Some(1));
    let document: Value = serde_json::from_str(&std::fs::read_to_string(file.path()).expect("a file")).expect("JSON");
    let errors: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
    assert_eq!((document["headers"].as_array().map(Vec::len), &document["must_missed"]), (Some(2), &json!(1)));
    assert!(!validator.is_valid(&json!({ "schema": "conform-sender-1" })), "a schema that takes anything");
}

/// The cookbook shows the files that were tested, unchanged.
#[test]
fn the_cookbook_has_the_files_that_were_tested() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/receivers.md")).expect("the page");
    let mut count = 0;
    for part in page.split("<!-- tests/receivers/").skip(1) {
        let (name, rest) = part.split_once(" -->\n```").expect("a file's name, then its text");
        let (_, rest) = rest.split_once('\n').expect("a line");
        let (shown, _) = rest.split_once("\n```\n").expect("the end of the text");
        let file = std::fs::read_to_string(root.join("tests/receivers").join(name)).expect(name);
        assert_eq!(shown, file.trim_end(), "docs/receivers.md and tests/receivers/{name} differ");
        count += 1;
    }
    assert!(count > 25, "{count} files are shown");
    let own = page.lines().find(|line| line.starts_with("| proxy-echo |")).expect("a row of our own");
    assert!(own.contains("| 0 | 0 | 0 | yes | yes | yes | yes | yes | yes | yes |"), "{own}");
}

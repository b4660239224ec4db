//! `proxy-echo check --tls` from a user's view, through real HAProxy and nginx that end TLS, and to servers without
//! TLS.
#![cfg(all(target_os = "linux", feature = "tls"))]

use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

#[path = "common/certificates.rs"]
mod certificates;
#[path = "common/hop.rs"]
mod hop;
#[path = "common/program.rs"]
mod program;
#[path = "common/server.rs"]
mod server;

use certificates::{Authority, self_signed};
use hop::{Hop, carry, nginx, serve};
use server::Server;

/// Long, because the machine may be busy with other tests.
const TIMEOUT: &str = "20s";

fn command(target: SocketAddr, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxy-echo"));
    command.arg("check").arg(target.to_string()).args(args);
    command.env("PROXY_ECHO_CHECK_TIMEOUT", TIMEOUT).stdin(Stdio::null());
    command
}

/// Exit code and words of a check.
fn check(target: SocketAddr, args: &[&str]) -> (i32, String) {
    let output = command(target, args).output().expect("it runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (output.status.code().expect("it ends by itself"), String::from_utf8(output.stdout).expect("text"))
}

/// The only answer as JSON, compared with its schema.
fn answer(target: SocketAddr, args: &[&str]) -> Value {
    let output = command(target, args).arg("--json").output().expect("it runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let schema = serde_json::from_str(include_str!("../docs/schema/check-1.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{report:#}: {errors:?}");
    report["answers"][0].clone()
}

/// A server with an admin port, and that port's URL.
fn server_with_admin(args: &[&str]) -> (Server, String) {
    let mut server = Server::start(&[&["--admin", "127.0.0.1:0"], args].concat());
    let line = server.wait_for(" admin is on ");
    let url = format!("http://{}/", line.split(' ').next_back().expect("an address"));
    (server, url)
}

/// An authority, and a server's certificate signed by it.
struct Ends {
    directory: TempDir,
    authority: Authority,
    certificate: PathBuf,
}

impl Ends {
    fn new() -> Ends {
        let directory = tempfile::tempdir().expect("a directory");
        let authority = Authority::new(directory.path());
        let certificate = authority.sign("echo.test");
        Ends { directory, authority, certificate }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn ca(&self) -> &str {
        text(&self.authority.file)
    }

    /// The options that make a client trust the server.
    fn trusting(&self) -> [&str; 5] {
        ["--tls", "--tls-name", "echo.test", "--tls-ca", self.ca()]
    }

    /// The `bind` options of a HAProxy with this certificate.
    fn bind(&self, more: &str) -> String {
        format!("ssl crt {} {more}", self.certificate.display())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn what_the_ssl_tlv_tells_is_held_against_the_handshake() {
    let ends = Ends::new();
    let client = ends.authority.sign("client.test");
    let (server, url) = server_with_admin(&[]);
    let bind = ends.bind(&format!("ca-file {} verify optional alpn echo", ends.ca().replace(' ', "\\ ")));
    let options = "send-proxy-v2-ssl-cn proxy-v2-options ssl-cipher,cert-sig,cert-key";
    let hop = Hop::start("127.0.0.1", server.address, &bind, options);
    let own = ["--tls-cert", text(&client), "--tls-key", text(&client), "--via-admin", &url, "--alpn", "other,echo"];
    for (version, cipher) in [("1.3", "TLS_AES_256_GCM_SHA384"), ("1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")] {
        let args = [&ends.trusting()[..], &own, &["--tls-version", version]].concat();
        let found = answer(hop.address, &args);
        let tls = &found["tls"];
        assert_eq!(found["finding"], "preserved", "{found:#}");
        let session = ["version", "cipher", "alpn", "client_certificate", "client_name"].map(|name| &tls[name]);
        assert_eq!(json!(session), json!([format!("TLSv{version}"), cipher, "echo", "sent", "client.test"]));
        let certificate = &tls["certificate"];
        assert_eq!(certificate["names"], json!(["echo.test"]));
        assert_eq!(certificate["issuer"], json!(ends.authority.name));
        assert_eq!(certificate["not_after"], "2099-12-31T00:00:00Z");
        let days = certificate["days_left"].as_i64().expect("a number");
        assert!((10_000..40_000).contains(&days), "{days}");
        for (name, told) in [("version", &json!(format!("TLSv{version}"))), ("common_name", &json!("client.test"))] {
            assert_eq!((&tls["told"][name]["verdict"], &tls["told"][name]["told"]), (&json!("same"), told), "{tls:#}");
        }
        assert_eq!(tls["told"]["cipher"]["verdict"], "same", "{tls:#}");
        assert_eq!(tls["told"]["verified"], json!({"verdict": "same", "told": "verified", "negotiated": "sent"}));

        let (code, words) = check(hop.address, &args);
        let cipher = tls["told"]["cipher"]["told"].as_str().expect("text");
        let told = format!(
            "  client's    certificate CN client.test, sent\n  told        version TLSv{version}: right\n  told        cipher \
             {cipher}: right\n  told        CN client.test: right\n  told        certificate verified: right\n"
        );
        assert!(code == 0 && words.contains(&told), "{words}");
        let issuer = &ends.authority.name;
        assert!(words.contains(&format!("  certificate echo.test, by {issuer}, {days} days left, until 2099-12-31\n")));
    }
    // Without a client certificate.
    let found = answer(hop.address, &[&ends.trusting()[..], &["--via-admin", &url]].concat());
    let tls = &found["tls"];
    assert_eq!((&tls["client_certificate"], &found["finding"]), (&json!("asked"), &json!("preserved")), "{found:#}");
    assert_eq!(
        tls["told"]["verified"],
        json!({"verdict": "same", "told": "no certificate", "negotiated": "none sent"})
    );
    assert_eq!(tls["told"]["common_name"], json!({"verdict": "same", "told": "none", "negotiated": "none"}));
    // Without the admin port too.
    let (code, words) = check(hop.address, &ends.trusting());
    assert!(code == 0 && words.contains("  told        unknown, because --via-admin is not given\n"), "{words}");
}

#[test]
fn what_the_header_does_not_tell_is_unknown() {
    let ends = Ends::new();
    let (server, url) = server_with_admin(&[]);
    for (options, because) in [
        ("send-proxy", "a header of version 1 has no TLVs"),
        ("send-proxy-v2", "the header has no SSL TLV (HAProxy: send-proxy-v2-ssl-cn)"),
    ] {
        let hop = Hop::start("127.0.0.1", server.address, &ends.bind(""), options);
        let (code, words) = check(hop.address, &[&ends.trusting()[..], &["--via-admin", &url]].concat());
        assert!(code == 0 && words.contains(&format!("  told        unknown, because {because}\n")), "{words}");
    }
    let hop = Hop::start("127.0.0.1", server.address, &ends.bind(""), "send-proxy-v2-ssl");
    let found = answer(hop.address, &[&ends.trusting()[..], &["--via-admin", &url]].concat());
    assert_eq!(found["tls"]["told"]["version"]["verdict"], "same", "{found:#}");
    let because = "the SSL TLV has no CIPHER (HAProxy: proxy-v2-options ssl-cipher)";
    assert_eq!(found["tls"]["told"]["cipher"], json!({"verdict": "unknown", "because": because}));
}

/// The first hop ends TLS and begins its own session with the second, whose header tells the back end about that
/// session.
#[test]
fn a_hop_with_a_session_of_its_own_is_told_apart() {
    let ends = Ends::new();
    let (server, url) = server_with_admin(&[]);
    let second = Hop::start("127.0.0.4", server.address, &ends.bind("accept-proxy"), "send-proxy-v2-ssl-cn");
    let options = "ssl verify none force-tlsv12 send-proxy";
    let first = Hop::start("127.0.0.1", second.address, &ends.bind(""), options);
    let args = [&ends.trusting()[..], &["--via-admin", &url]].concat();
    let (code, words) = check(first.address, &args);
    assert!(code == 1 && words.contains("  told        version TLSv1.2: wrong, it is TLSv1.3\n"), "{words}");
    assert!(words.contains("preserved, but the back end is told of other TLS than was negotiated\n- "), "{words}");
    assert_eq!(answer(first.address, &args)["finding"], "other_tls");
}

#[test]
fn a_certificate_is_refused_for_its_reason() {
    let ends = Ends::new();
    let server = Server::start(&[]);
    let other = Authority::new(ends.path());
    for (certificate, fault, words) in [
        (ends.authority.sign_until("echo.test", 2001), "expired", "the server's certificate has expired ("),
        (ends.authority.sign("other.test"), "wrong_name", "is for another name: --tls-name gives the right one ("),
        (other.sign("echo.test"), "unknown_issuer", "(self-signed?): --tls-ca names the authority ("),
        (
            self_signed(ends.path(), "echo.test", false),
            "unknown_issuer",
            "(self-signed?): --tls-ca names the authority (",
        ),
        (self_signed(ends.path(), "echo.test", true), "authority", "is an authority's own (CA:TRUE)"),
    ] {
        let hop = Hop::start("127.0.0.1", server.address, &format!("ssl crt {}", certificate.display()), "send-proxy");
        let found = answer(hop.address, &ends.trusting());
        assert_eq!((&found["finding"], &found["tls_fault"]), (&json!("no_tls"), &json!(fault)), "{found:#}");
        let (code, text) = check(hop.address, &ends.trusting());
        assert!(code == 3 && text.contains("\nthe TLS handshake fails: ") && text.contains(words), "{text}");
        // The user may not care.
        let (code, text) = check(hop.address, &["--tls", "--tls-insecure"]);
        assert!(code == 0 && text.contains("  certificate "), "{text}");
        assert_eq!(text.contains(" expired for "), fault == "expired", "{text}");
    }
}

#[test]
fn a_client_certificate_that_is_wanted_or_refused_is_named() {
    let ends = Ends::new();
    let server = Server::start(&[]);
    let ca = ends.ca().replace(' ', "\\ ");
    let hop =
        Hop::start("127.0.0.1", server.address, &ends.bind(&format!("ca-file {ca} verify required")), "send-proxy");
    let stranger = Authority::new(ends.path()).sign("stranger.test");
    let known = ends.authority.sign("client.test");
    for version in ["1.2", "1.3"] {
        let args = [&ends.trusting()[..], &["--tls-version", version]].concat();
        let (code, words) = check(hop.address, &args);
        assert!(code == 3 && words.contains("wants a client's certificate: --tls-cert and --tls-key ("), "{words}");
        assert_eq!(answer(hop.address, &args)["tls_fault"], "certificate_wanted");
        let own = |file: &Path| {
            check(hop.address, &[&args[..], &["--tls-cert", text(file), "--tls-key", text(file)]].concat())
        };
        let (code, words) = own(&stranger);
        assert!(
            code == 3 && words.contains("the server refuses the client's certificate, that of --tls-cert ("),
            "{words}"
        );
        assert_eq!(own(&known).0, 0);
    }
}

/// nginx closes a connection without a certificate only after the handshake, and without an alert.
#[test]
fn nginx_ends_tls_and_asks_for_a_certificate() {
    let ends = Ends::new();
    let server = Server::start(&[]);
    let file = ends.certificate.display();
    let ssl = format!("ssl_certificate {file}; ssl_certificate_key {file};");
    let front = nginx(server.address, "ssl", &ssl);
    let (code, words) = check(front.address, &ends.trusting());
    assert!(code == 0 && words.contains("  TLS         TLSv1.") && words.contains("echo.test, by "), "{words}");

    let ssl = format!("{ssl} ssl_client_certificate '{}'; ssl_verify_client on;", ends.ca());
    let front = nginx(server.address, "ssl", &ssl);
    let (code, words) = check(front.address, &ends.trusting());
    assert!(code == 3 && words.contains("  client's    certificate asked for, none given (--tls-cert)\n"), "{words}");
    assert!(words.contains("\n- the listener asked for the client's certificate and got none: --tls-cert"), "{words}");
    let client = ends.authority.sign("client.test");
    let own = ["--tls-cert", text(&client), "--tls-key", text(&client)];
    assert_eq!(check(front.address, &[&ends.trusting()[..], &own].concat()).0, 0);
}

/// The behaviour of a balancer in front of a TLS back end: the header in clear, then the handshake.
#[test]
fn a_header_goes_before_the_handshake() {
    let ends = Ends::new();
    let server = Server::start(&[]);
    let hop = Hop::start("127.0.0.1", server.address, &ends.bind("accept-proxy"), "send-proxy-v2");
    for version in ["v1", "v2"] {
        let (code, words) = check(hop.address, &[&ends.trusting()[..], &["--send", version]].concat());
        assert!(code == 0 && words.contains("  header      the one that was sent\n"), "{words}");
    }
    let (code, words) = check(hop.address, &ends.trusting());
    assert!(code == 1 && words.contains("wants a header from its clients, and sends one to the server\n"), "{words}");
}

/// Behind a balancer that sends no header, the server says so through TLS as well.
#[test]
fn a_header_that_is_missing_is_missed_behind_tls() {
    let ends = Ends::new();
    let server = Server::start(&[]);
    let hop = Hop::start("127.0.0.1", server.address, &ends.bind(""), "");
    let (code, words) = check(hop.address, &ends.trusting());
    assert!(
        code == 1 && words.contains("\nthe balancer sends no header, and the server closes without one"),
        "{words}"
    );
}

/// A thread that answers the first bytes of a connection with `answer`, and waits for the client to go.
fn answering(answer: &'static [u8]) -> SocketAddr {
    serve(move |mut stream, _| {
        let _ = stream.read(&mut [0; 4096])?;
        stream.write_all(answer)?;
        io::copy(&mut stream, &mut io::sink()).map(|_| ())
    })
}

#[test]
fn what_does_not_speak_tls_is_named() {
    let echo = serve(|stream, _| io::copy(&mut &stream, &mut &stream).map(|_| ()));
    let required = Server::start(&[]);
    let to = required.address;
    // A plain balancer, and the server reflects the header that it sends.
    let plain = serve(move |near, _| carry(&near, to, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"));
    let here = ": the server does not speak TLS on this port: ";
    for (target, fault, words) in [
        (answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "not_tls", [here, "it speaks HTTP\n"].concat()),
        (serve(|mut stream, _| stream.write_all(b"SSH-2.0-x\r\n")), "not_tls", [here, "it speaks SSH\n"].concat()),
        (answering(b"who are you?"), "not_tls", [here, "it answers \"who are you?\"\n"].concat()),
        (echo, "not_tls", [here, "it sends the ClientHello back\n"].concat()),
        (plain, "not_tls", [here, "it answers with a PROXY header\n"].concat()),
        (
            required.address,
            "closed",
            "fails: the connection is closed at the ClientHello; the reason is unknown\n".to_owned(),
        ),
        (
            serve(|_, _| Ok(())),
            "closed",
            "fails: the connection is closed at the ClientHello; the reason is unknown\n".to_owned(),
        ),
        (
            answering(b"\x15\x03\x03\0\x02\x02\x28"),
            "nothing_in_common",
            "share no version of TLS or no cipher (".to_owned(),
        ),
        (answering(b"\x15\x03\x03\0\x02\x02\x70"), "unknown_name", "by: --tls-name gives the right one (".to_owned()),
        (answering(b"\x15\x03\x03\0\x02\x02\x78"), "no_protocol", "takes none of the protocols of --alpn (".to_owned()),
    ] {
        let args = ["--tls", "--tls-insecure", "--alpn", "echo"];
        let (code, text) = check(target, &args);
        assert!(code == 3 && text.contains("\nthe TLS handshake ") && text.contains(&words), "{words}: {text}");
        let found = answer(target, &args);
        assert_eq!((&found["finding"], &found["tls_fault"]), (&json!("no_tls"), &json!(fault)), "{found:#}");
    }
}

/// The servers accept the connection, and the handshake never ends.
#[test]
fn a_handshake_has_a_time_limit() {
    let silent = answering(b"");
    let halfway = answering(b"\x16\x03\x03");
    for (target, timeout, words, advice) in [
        (silent, "300ms", "the server accepts the connection and does not answer the ClientHello\n", 2),
        // The beginning must arrive within this time.
        (halfway, "4s", "the server begins to answer and does not go on\n", 0),
    ] {
        let (code, text) = check(target, &["--tls", "--tls-insecure", "--timeout", timeout]);
        let words = format!("the TLS handshake does not end within {timeout}: {words}");
        assert!(code == 3 && text.contains(&words), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("- ")).count(), advice, "{text}");
    }
}

#[test]
fn a_client_hello_that_reaches_the_server_is_seen_there() {
    let (server, url) = server_with_admin(&[]);
    let hop = Hop::start("127.0.0.1", server.address, "", "");
    for target in [server.address, hop.address] {
        let found = answer(target, &["--tls", "--tls-insecure", "--via-admin", &url]);
        assert_eq!(found["tls_fault"], "passed_through", "{found:#}");
    }
}

/// HAProxy closes without an alert; other servers answer with one.
#[test]
fn plain_text_to_a_port_of_tls_is_told_of() {
    let ends = Ends::new();
    let (server, url) = server_with_admin(&[]);
    let hop = Hop::start("127.0.0.1", server.address, &ends.bind(""), "send-proxy");
    let words = "\nthe listener speaks TLS: it closes on plain text, and answers a ClientHello\n- check it with --tls, or a \
                 listener that takes plain TCP\n";
    for admin in [&[][..], &["--via-admin", &url]] {
        let (code, text) = check(hop.address, admin);
        assert!(code == 3 && text.ends_with(words), "{text}");
    }
}

#[test]
fn options_have_variables_and_are_refused_in_one_line() {
    let ends = Ends::new();
    let server = Server::start(&[]);
    let hop = Hop::start("127.0.0.1", server.address, &ends.bind(""), "send-proxy");
    let variables = [
        ("PROXY_ECHO_CHECK_TLS", "true"),
        ("PROXY_ECHO_CHECK_TLS_NAME", "echo.test"),
        ("PROXY_ECHO_CHECK_TLS_CA", ends.ca()),
    ];
    let output = command(hop.address, &[]).envs(variables).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));

    let certificate = text(&ends.certificate);
    let empty = ends.path().join("empty.pem");
    fs::write(&empty, "").expect("a file");
    for (args, words) in [
        (&["--tls-insecure"][..], "--tls"),
        (&["--tls", "--tls-insecure", "--tls-ca", certificate], "cannot be used with"),
        (&["--tls", "--tls-cert", certificate], "--tls-key"),
        (&["--tls", "--tls-name", "a b"], "neither a name of DNS nor an address"),
        (&["--tls", "--tls-version", "1.1"], "[possible values: 1.2, 1.3]"),
        (&["--tls", "--alpn", ""], "a protocol's name has 1 to 255 bytes"),
        (&["--tls", "--tls-ca", "/nonexistent.pem"], "--tls-ca /nonexistent.pem: "),
        (&["--tls", "--tls-ca", text(&empty)], "it holds no certificate in PEM"),
        // As in a container without authorities.
        (&["--tls"], "this system has no certificate authorities"),
    ] {
        let mut command = command(hop.address, args);
        command.envs([("SSL_CERT_FILE", text(&empty)), ("SSL_CERT_DIR", "/nonexistent")]);
        let output = command.output().expect("it runs");
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{args:?}");
        assert!(stderr.starts_with("error: ") && stderr.contains(words) && stderr.lines().count() == 1, "{stderr}");
    }
}

/// A session that ends in the middle of an answer is a closed connection, not a fault of TLS.
#[test]
fn a_connection_that_is_cut_behind_the_handshake_is_closed() {
    let ends = Ends::new();
    let closing = serve(|mut stream, _| stream.read(&mut [0; 8]).map(|_| ()));
    let hop = Hop::start("127.0.0.1", closing, &ends.bind(""), "send-proxy");
    let found = answer(hop.address, &ends.trusting());
    // Before or after the check's words, depending on the machine's speed.
    assert!(found["finding"].as_str().is_some_and(|finding| finding.starts_with("closed")), "{found:#}");
    assert_eq!(found["tls"]["client_certificate"], "not_asked");
}

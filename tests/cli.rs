//! The command line from a user's view: help, environment, wrong arguments, and the effect of each option on a
//! connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{io, thread};

use rustix::process::Signal;

#[path = "common/client.rs"]
mod client;
#[path = "common/server.rs"]
mod server;

use client::{HEADER, client};
use server::{DEADLINE, Server};

/// Every option with its variable, a value that it accepts (a flag has none) and one that it refuses.
const OPTIONS: &[(&str, &str, &str, &str)] = &[
    ("[PORT]", "PROXY_ECHO_PORT", "0", "65536"),
    ("--listen", "PROXY_ECHO_LISTEN", "127.0.0.1:0", "localhost"),
    ("--admin", "PROXY_ECHO_ADMIN", "127.0.0.1:0", "localhost"),
    ("--admin-host", "PROXY_ECHO_ADMIN_HOST", "echo.example", "http://echo.example:9000"),
    ("--backlog", "PROXY_ECHO_BACKLOG", "16", "0"),
    ("--reuse-port", "PROXY_ECHO_REUSE_PORT", "", "maybe"),
    ("--defer-accept", "PROXY_ECHO_DEFER_ACCEPT", "", "maybe"),
    ("--spin", "PROXY_ECHO_SPIN", "50us", "11ms"),
    ("--recv-buffer", "PROXY_ECHO_RECV_BUFFER", "64KiB", "64XB"),
    ("--send-buffer", "PROXY_ECHO_SEND_BUFFER", "64KiB", "-1"),
    ("--proxy-protocol", "PROXY_ECHO_PROXY_PROTOCOL", "optional", "yes"),
    ("--trust", "PROXY_ECHO_TRUST", "127.0.0.1", "10.0.0.0/33"),
    ("--proxy-version", "PROXY_ECHO_PROXY_VERSION", "1", "3"),
    ("--reflect-header", "PROXY_ECHO_REFLECT_HEADER", "false", "maybe"),
    ("--echo", "PROXY_ECHO_ECHO", "lines", "words"),
    ("--max-line", "PROXY_ECHO_MAX_LINE", "1KiB", "0"),
    ("--max-connections", "PROXY_ECHO_MAX_CONNECTIONS", "10", "0"),
    ("--max-header", "PROXY_ECHO_MAX_HEADER", "4KiB", "100"),
    ("--max-held", "PROXY_ECHO_MAX_HELD", "1GiB", "1KiB"),
    ("--header-timeout", "PROXY_ECHO_HEADER_TIMEOUT", "3s", "0s"),
    ("--first-byte-timeout", "PROXY_ECHO_FIRST_BYTE_TIMEOUT", "1min", "0s"),
    ("--idle-timeout", "PROXY_ECHO_IDLE_TIMEOUT", "0s", "25days"),
    ("--stall-timeout", "PROXY_ECHO_STALL_TIMEOUT", "1min", "0s"),
    ("--drain-delay", "PROXY_ECHO_DRAIN_DELAY", "0s", "1year"),
    ("--drain-timeout", "PROXY_ECHO_DRAIN_TIMEOUT", "0s", "1year"),
    ("--log", "PROXY_ECHO_LOG", "clients", "everything"),
    ("--log-format", "PROXY_ECHO_LOG_FORMAT", "json", "xml"),
];

fn program(args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxy-echo"));
    command.args(args).envs(variables.iter().copied());
    command
}

/// Runs the program until it ends by itself. Returns exit code, standard output, standard error.
fn run(args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut child = program(args, variables)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let (stdout, stderr) = (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
    let stdout = thread::spawn(|| io::read_to_string(stdout).expect("text"));
    let stderr = thread::spawn(|| io::read_to_string(stderr).expect("text"));
    let end = Instant::now() + DEADLINE;
    while child.try_wait().expect("it is our child").is_none() {
        if Instant::now() > end {
            child.kill().expect("it runs");
        }
        thread::yield_now();
    }
    let status = child.wait().expect("it is our child");
    (status.code(), stdout.join().expect("it was read"), stderr.join().expect("it was read"))
}

/// Asserts that the program ends with `code` after one line that begins with "error: " and contains `words`.
fn assert_fails(code: i32, args: &[&str], variables: &[(&str, &str)], words: &str) {
    let (status, stdout, stderr) = run(args, variables);
    let is_clear = stderr.starts_with("error: ") && stderr.contains(words);
    assert!(
        status == Some(code) && stdout.is_empty() && is_clear && stderr.lines().count() == 1,
        "{args:?} {variables:?} should fail by {code} and a line with {words:?}, not {status:?}, {stdout:?} and:\n{stderr}"
    );
}

fn read(stream: &mut TcpStream, expected: &[u8]) {
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

fn assert_echoes(stream: &mut TcpStream) {
    stream.write_all(b"Hello\r\n").expect("the server reads");
    read(stream, b"Hello\r\n");
}

/// Asserts that the server closes the connection, with a reset if it left bytes unread.
fn assert_closed(stream: &mut TcpStream) {
    let end = stream.read(&mut [0]);
    assert!(
        matches!(&end, Ok(0)) || end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
        "{end:?}"
    );
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[test]
fn help_names_every_option_and_its_variable_in_groups() {
    let (status, help, _) = run(&["--help"], &[]);
    assert_eq!(status, Some(0));
    for (option, variable, ..) in OPTIONS {
        assert!(help.contains(option) && help.contains(&format!("[env: {variable}=")), "{option}");
    }
    assert_eq!(help.matches("[env: ").count(), OPTIONS.len());
    let groups = ["\nArguments:\n", "\nOptions:\n", "\nListening:\n", "\nProtocol:\n", "\nLimits:\n", "\nLog:\n"];
    let positions = groups.map(|group| help.find(group).expect(group));
    assert!(positions.is_sorted());
}

/// The version is followed by the commit only if the program is built from a repository.
#[test]
fn the_version_names_the_commit() {
    let (status, version, _) = run(&["--version"], &[]);
    assert_eq!(status, Some(0));
    let commit = version.strip_prefix(concat!("proxy-echo ", env!("CARGO_PKG_VERSION"))).expect("the version");
    let head = Command::new("git").args(["rev-parse", "HEAD"]).output().ok().filter(|output| output.status.success());
    match head.filter(|_| Path::new(".git").exists()) {
        Some(head) => {
            let commit = commit.trim_start_matches(" (").trim_end_matches(")\n");
            assert!(commit.len() >= 4 && head.stdout.starts_with(commit.as_bytes()), "{version}");
        }
        None => assert_eq!(commit, "\n"),
    }
}

#[test]
fn the_manual_page_has_every_option_and_command() {
    let (status, page, _) = run(&["man"], &[]);
    assert_eq!(status, Some(0));
    let page = page.replace("\\-", "-");
    let has = |text: &str| assert!(page.contains(text), "{text}");
    has(".TH proxy-echo 1 ");
    for (option, variable, ..) in OPTIONS {
        has(option.trim_matches(['[', ']']));
        has(variable);
    }
    for command in ["check", "decode", "conform", "man", "completions"] {
        has(&format!(".SH \"COMMAND {}\"", command.to_uppercase()));
    }
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (status, script, _) = run(&["completions", shell], &[]);
        assert_eq!(status, Some(0));
        assert!(script.contains("proxy-protocol") && script.contains("completions"), "{shell}");
    }
}

/// A positional argument of the program would hide the commands.
#[test]
fn zsh_completes_commands_first() {
    let (_, script, _) = run(&["completions", "zsh"], &[]);
    let first = script.lines().find(|line| line.starts_with("\":") || line.contains("_commands\"")).expect("commands");
    assert!(first.contains("_proxy-echo_commands"), "{first}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_standard_error_that_takes_nothing_is_no_reason_to_panic() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("the device");
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxy-echo"));
    assert_eq!(command.arg("--nonsense").stderr(full).status().expect("it runs").code(), Some(2));
}

#[test]
fn bash_completes_commands_and_what_stands_behind_them() {
    let (_, script, _) = run(&["completions", "bash"], &[]);
    for (words, expected) in [
        ("proxy-echo che", "check"),
        ("proxy-echo --echo ", "stream lines"),
        ("proxy-echo check --se", "--send"),
        ("proxy-echo check --send ", "v1 v2"),
        ("proxy-echo decode --sk", "--skip"),
        ("proxy-echo completions z", "zsh"),
    ] {
        let ask = format!(
            "{script}\nIFS=' ' read -ra COMP_WORDS <<< '{words}'; [[ '{words}' != *' ' ]] || COMP_WORDS+=('')\n\
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _proxy__echo proxy-echo \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[*]}}\""
        );
        let output = Command::new("bash").args(["--norc", "-c", &ask]).output().expect("bash runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), expected, "{words}");
    }
}

/// In Kubernetes a Service with this program's name sets `PROXY_ECHO_PORT` to a value that is not a port.
#[test]
fn a_command_has_nothing_to_do_with_the_servers_variables() {
    for &(_, variable, _, bad) in OPTIONS {
        let (status, _, stderr) = run(&["man"], &[(variable, if bad.is_empty() { "bad" } else { bad })]);
        assert_eq!((status, stderr.as_str()), (Some(0), ""), "{variable}");
    }
    assert_fails(2, &["8888", "man"], &[], "'man'");
    assert_fails(2, &["--log", "quiet", "man"], &[], "'man'");
}

#[test]
fn every_option_can_come_from_the_environment_and_an_argument_goes_before_it() {
    for &(option, variable, good, bad) in OPTIONS {
        let listen = match option {
            "[PORT]" | "--listen" => &[][..],
            _ => &["--listen", "127.0.0.1:0"],
        };
        let argument = match (option, good) {
            ("[PORT]", _) => vec![good],
            (_, "") => vec![option],
            _ => vec![option, good],
        };
        assert_fails(2, listen, &[(variable, bad)], option);
        Server::spawn(program(listen, &[(variable, if good.is_empty() { "true" } else { good })])).stop();
        Server::spawn(program(&[listen, &argument].concat(), &[(variable, bad)])).stop();
    }
}

#[test]
fn an_argument_goes_before_a_variable_that_it_excludes() {
    Server::spawn(program(&["--listen", "127.0.0.1:0"], &[("PROXY_ECHO_PORT", "1")])).stop();
    Server::spawn(program(&["0"], &[("PROXY_ECHO_LISTEN", "127.0.0.1:1")])).stop();
}

#[test]
fn variables_do_what_arguments_do() {
    let variables = [
        ("PROXY_ECHO_LISTEN", "127.0.0.1:0,127.0.0.2:0"),
        ("PROXY_ECHO_ECHO", "lines"),
        ("PROXY_ECHO_MAX_LINE", "4B"),
        ("PROXY_ECHO_REFLECT_HEADER", "no"),
        ("PROXY_ECHO_LOG", "quiet"),
    ];
    let mut server = Server::spawn(program(&[], &variables));
    server.wait_for("server is on 127.0.0.2:");
    assert_eq!(server.exchange(&[HEADER, b"abc\nabcd\n"].concat()), b"abc\n");
    assert!(!server.stop().iter().any(|line| line.contains('#')));
}

#[test]
fn an_error_names_the_variable_that_it_came_from() {
    for (variable, value, words) in [
        (
            "PROXY_ECHO_PORT",
            "tcp://10.0.0.1:80",
            "'[PORT]' (from the variable PROXY_ECHO_PORT): expected a port from 0 to 65535; Kubernetes sets this for a \
             Service: enableServiceLinks: false",
        ),
        (
            "PROXY_ECHO_TRUST",
            "10.0.0.0/8 nobody",
            "'--trust <CIDR>' (from the variable PROXY_ECHO_TRUST): 'nobody': expected a network such as 10.0.0.0/8",
        ),
        ("PROXY_ECHO_MAX_LINE", "0", "--max-line (from the variable PROXY_ECHO_MAX_LINE) must be from 1 to "),
        ("PROXY_ECHO_LOG", "loud", "from the variable PROXY_ECHO_LOG"),
    ] {
        assert_fails(2, &[], &[(variable, value)], words);
    }
    let variables = [("PROXY_ECHO_CHECK_COUNT", "0")];
    assert_fails(
        2,
        &["check", "localhost:1"],
        &variables,
        "'--count <COUNT>' (from the variable PROXY_ECHO_CHECK_COUNT): must be from 1 to 100000",
    );
    let argument = &["--max-line", "0"];
    assert_fails(2, argument, &[("PROXY_ECHO_MAX_LINE", "1KiB")], "error: --max-line must be from 1 to ");
}

#[test]
fn an_empty_variable_is_unset() {
    let mut variables: Vec<(&str, &str)> = OPTIONS.iter().map(|&(_, variable, ..)| (variable, "")).collect();
    variables.retain(|&(variable, _)| variable != "PROXY_ECHO_LISTEN");
    variables.push(("PROXY_ECHO_LISTEN", "127.0.0.1:0"));
    let mut server = Server::spawn(program(&[], &variables));
    server.wait_for("server is on 127.0.0.1:");
    server.stop();
}

#[test]
fn addresses_lists_and_times_are_read_as_people_write_them() {
    let listen = "localhost:0, 127.0.0.2:0 127.0.0.3:0";
    let variables = [("PROXY_ECHO_LISTEN", listen), ("PROXY_ECHO_TRUST", "127.0.0.0/8, ::1 10.0.0.0/8")];
    let mut server = Server::spawn(program(&["--idle-timeout", "600", "--header-timeout", "0.5"], &variables));
    for address in ["127.0.0.1:", "127.0.0.2:", "127.0.0.3:"] {
        server.wait_for(&format!("server is on {address}"));
    }
    server.stop();
    let mut server = Server::spawn(program(&["--listen", ":0"], &[]));
    server.wait_for(if has_ipv6() { "server is on [::]:" } else { "server is on 0.0.0.0:" });
    server.stop();
}

#[test]
fn nonsense_is_refused_with_one_line() {
    for (args, words) in [
        (&["--trust", "nobody"][..], "'nobody' for '--trust <CIDR>': expected a network such as 10.0.0.0/8"),
        (&["10k"], "'10k' for '[PORT]': expected a port from 0 to 65535"),
        (&["--header-timeout", "10x"], "expected a time such as 10s, 500ms or 1h30m; a plain number is seconds"),
        (&["--max-held", "1"], "--max-held must be from 262144 to "),
        (&["--recv-buffer", "4GiB"], "--recv-buffer must be from 1 to 2147483647 bytes"),
        (&["--header-timeout", "25days"], "--header-timeout must be whole milliseconds, 24days at most"),
        (&["--stall-timeout", "1us"], "--stall-timeout must be whole milliseconds, 24days at most"),
        (&["--trust", "10.0.0.0/8", "--proxy-protocol", "off"], "--trust"),
        (&["--listen", "127.0.0.1:0", "0"], "a port cannot be used together with --listen"),
        (&["--max-line", "1MiB", "--max-held", "1MiB"], "--max-line must be at most half of --max-held"),
        (&["--max-connections", "4000000000"], "lower --max-connections"),
        (&["--log", "everything"], "[possible values: quiet, clients, connections, lines]"),
        (&["--max-line"], "'--max-line <SIZE>'"),
        (&["--unheard-of"], "'--unheard-of' found (see --help)"),
        (&["--lisen", ":0"], "'--lisen' found (did you mean --listen?)"),
        (&["chek", "localhost:1"], "there is no command 'chek': did you mean check?"),
        (&["serve"], "there is no command 'serve': the commands are check, decode, conform, limits, man, completions"),
        (&["decode", "--json", "header.json"], "--json takes a file after an equals sign: --json=header.json"),
        (&["1", "2"], "'2'"),
    ] {
        assert_fails(2, args, &[], words);
    }
}

#[test]
fn limits_says_what_stands_in_the_way() {
    let (code, words, _) = run(&["limits", "1"], &[]);
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("\nnothing known stands in the way of 1 connection of a server"), "{words}");
    let (code, words, _) = run(&["limits", "1G"], &[]);
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("start 954 of them with --reuse-port"), "{words}");
    let (code, text, _) = run(&["limits", "1G", "--json"], &[]);
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &report["end"], &report["connections"]), (Some(1), &"server".into(), &1_000_000_000.into()));
    assert_fails(2, &["limits", "0"], &[], "must be from 1 to 1000000000");
    assert_fails(2, &["limits"], &[], "<CONNECTIONS>");
}

#[test]
fn an_address_that_cannot_be_listened_on_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    assert_fails(1, &["--listen", &address], &[], &format!("cannot listen on {address}: Address already in use"));
    assert_fails(1, &["--listen", "192.0.2.1:0"], &[], "cannot listen on 192.0.2.1:0: ");
}

#[test]
fn without_an_address_both_families_are_listened_on() {
    let mut server = Server::spawn(program(&["0"], &[]));
    assert!(server.log[0].contains("server is on 0.0.0.0:"), "{:?}", server.log);
    assert_echoes(&mut client(&server));
    if has_ipv6() {
        let port = server.address.port();
        server.wait_for(&format!("server is on [::]:{port}"));
        server.address = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        assert_echoes(&mut client(&server));
        server.wait_for("#2 is accepted, peer [::1]:");
    }
}

#[test]
fn a_port_can_be_shared() {
    let first = Server::start(&["--reuse-port"]);
    let address = first.address.to_string();
    assert_fails(1, &["--listen", &address], &[], "Address already in use");
    Server::spawn(program(&["--listen", &address, "--reuse-port"], &[])).stop();
}

#[test]
#[cfg(target_os = "linux")]
fn a_silent_connection_can_be_left_in_the_kernel() {
    let mut server = Server::start(&["--defer-accept"]);
    let _silent = server.connect();
    let speaking = client(&server);
    let peer = speaking.local_addr().expect("it is connected");
    server.wait_for(&format!("#1 is accepted, peer {peer}"));
}

/// Spinning shows in the CPU time. If other programs have the processor, it shows in one of the next rounds.
#[test]
#[cfg(target_os = "linux")]
fn a_server_that_spins_looks_for_events_and_then_sleeps() {
    let server = Server::start(&["--spin", "10ms"]);
    let mut stream = client(&server);
    let end = Instant::now() + DEADLINE;
    let mut spun = Duration::ZERO;
    while spun < Duration::from_millis(5) {
        assert!(Instant::now() < end, "it spins for {spun:?}");
        let (sleeps, before) = (server.status("voluntary_ctxt_switches"), server.cpu());
        assert_echoes(&mut stream);
        while server.status("voluntary_ctxt_switches") == sleeps {
            assert!(Instant::now() < end, "it does not sleep");
            thread::yield_now();
        }
        spun = server.cpu().saturating_sub(before);
    }
}

#[test]
fn a_peer_that_is_not_trusted_cannot_send_a_header() {
    const REASON: &str = "is gone: peer is not trusted to send a header, 0 bytes in, 0 bytes out, ";
    let mut server = Server::start(&["--trust", "10.0.0.0/8", "--trust", "::1"]);
    let mut stream = server.connect();
    assert_closed(&mut stream);
    assert!(server.story(1)[1].starts_with(REASON));

    let mut server = Server::start(&["--trust", "10.0.0.0/8", "--proxy-protocol", "optional"]);
    server.wait_for("PROXY headers are optional");
    assert_eq!(server.exchange(&[HEADER, b"Hello"].concat()), [HEADER, b"Hello"].concat());
    assert!(!server.story(1).iter().any(|line| line.starts_with("PROXY")));

    let server = Server::start(&["--trust", "10.0.0.0/8,127.0.0.0/8"]);
    assert_echoes(&mut client(&server));
}

#[test]
fn an_ipv4_peer_of_an_ipv6_socket_is_trusted_and_logged_as_ipv4() {
    if has_ipv6() {
        let mut server = Server::spawn(program(&["--listen", "[::]:0", "--trust", "127.0.0.1"], &[]));
        server.address = SocketAddr::from(([127, 0, 0, 1], server.address.port()));
        assert_echoes(&mut client(&server));
        server.wait_for("#1 is accepted, peer 127.0.0.1:");
    }
}

#[test]
fn an_optional_header_is_taken_where_it_comes() {
    let mut server = Server::start(&["--proxy-protocol", "optional"]);
    server.wait_for("PROXY headers are optional: any client can claim any address (name the balancers with --trust)");
    assert_eq!(server.exchange(&[b"PROXY UNKNOWN of old\r\n", HEADER].concat())[22..], *HEADER);
    assert_eq!(server.story(1)[1], "PROXY v1 UNKNOWN");
    for (number, plain) in [&b"Hello"[..], b"PROX", b"\r\n\r\n", b"\r\n\r\n\0\r\nHello"].into_iter().enumerate() {
        assert_eq!(server.exchange(plain), plain);
        assert_eq!(server.story(number as u64 + 2)[1], "no PROXY header");
    }
    assert_eq!(server.exchange(b"PROXY TCP5 "), b"");
    assert!(server.story(6)[1].starts_with("header refused: "));
}

#[test]
fn without_the_protocol_all_is_payload() {
    let server = Server::start(&["--proxy-protocol", "off", "--log", "clients"]);
    assert_eq!(server.exchange(&[HEADER, b"Hello"].concat()), [HEADER, b"Hello"].concat());
    assert!(!server.stop().iter().any(|line| line.contains("PROXY")));
}

#[test]
fn the_header_is_sent_back_only_if_wanted() {
    let server = Server::start(&["--reflect-header", "false"]);
    assert_eq!(server.exchange(HEADER), b"");
    assert_eq!(server.exchange(&[HEADER, HEADER].concat()), HEADER);
}

#[test]
fn an_echo_by_lines_sends_whole_lines_and_at_the_end_the_rest() {
    let server = Server::start(&["--echo", "lines"]);
    let mut stream = client(&server);
    stream.write_all(b"one\ntwo\nthr").expect("the server reads");
    read(&mut stream, b"one\ntwo\n");
    stream.set_nonblocking(true).expect("non-blocking");
    assert_eq!(stream.read(&mut [0]).expect_err("nothing is whole").kind(), ErrorKind::WouldBlock);
    stream.set_nonblocking(false).expect("blocking");
    stream.write_all(b"ee\nfour").expect("the server reads");
    read(&mut stream, b"three\n");
    stream.shutdown(Shutdown::Write).expect("half-close");
    read(&mut stream, b"four");
    assert_closed(&mut stream);
}

#[test]
fn a_line_too_long_ends_the_connection_behind_the_lines_before_it() {
    let mut server = Server::start(&["--echo", "lines", "--max-line", "8B"]);
    let mut stream = client(&server);
    stream.write_all(b"1234567\nunfinished and so on").expect("the server reads");
    read(&mut stream, b"1234567\n");
    assert_eq!(stream.read(&mut [0]).expect("the server closes"), 0);
    drop(stream);
    assert!(server.story(1)[2].starts_with("is gone: line too long, "), "{:?}", server.log);
}

#[test]
fn a_signal_lets_connections_finish_and_no_new_ones_in() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&[]);
        let mut open = client(&server);
        // These connections are in the kernel's queue when the signal comes.
        server.signal(Signal::STOP);
        let mut queued = server.connect();
        server.signal(signal);
        server.signal(Signal::CONT);
        server.wait_for("server is stopping: open connections 2, time limit 30s");
        assert!(TcpStream::connect(server.address).is_err());
        queued.write_all(HEADER).expect("the server reads");
        read(&mut queued, HEADER);
        assert_echoes(&mut open);
        drop((open, queued));
        server.wait_for("server was terminated.");
        assert_eq!(server.ended().code(), Some(0));
    }
}

#[test]
fn a_second_signal_and_the_drain_timeout_end_what_is_left() {
    for (drain_timeout, signals) in [("1h", 2), ("50ms", 1), ("0s", 1)] {
        let mut server = Server::start(&["--drain-timeout", drain_timeout]);
        let mut open = client(&server);
        for _ in 0..signals {
            server.signal(Signal::TERM);
            server.wait_for("server is stopping: ");
        }
        assert_closed(&mut open);
        server.wait_for("#1 is gone: server stopped, 0 bytes in, 42 bytes out, ");
        server.wait_for("server was terminated.");
        assert_eq!(server.ended().code(), Some(0));
    }
}

#[test]
fn an_unfinished_header_has_its_time_however_many_bytes_come() {
    let mut server = Server::start(&["--header-timeout", "200ms", "--idle-timeout", "0s"]);
    let mut silent = server.connect();
    let mut stopped = server.connect();
    stopped.write_all(b"PROXY TCP4 ").expect("the server reads");
    assert_closed(&mut stopped);
    let story = server.story(2);
    assert_eq!(story[1], "header refused: the rest did not come in time at byte 11, in \"PROXY TCP4 \"");
    assert!(story[2].starts_with("is gone: header timeout, 0 bytes in, 0 bytes out, "), "{story:?}");

    let mut slow = server.connect();
    slow.write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\0\xff\xff").expect("the server reads");
    slow.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let end = Instant::now() + DEADLINE;
    while slow.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
        assert!(Instant::now() < end, "each byte brings more time");
        let _ = slow.write_all(b".");
    }
    assert!(server.story(3).last().is_some_and(|gone| gone.starts_with("is gone: header timeout")));

    // The time limit runs from a header's first byte: a silent client is only idle.
    silent.write_all(HEADER).expect("the server reads");
    read(&mut silent, HEADER);
}

#[test]
fn who_says_nothing_and_who_takes_nothing_is_closed() {
    let mut server = Server::start(&["--idle-timeout", "1s"]);
    let mut silent = server.connect();
    let mut spoken = client(&server);
    assert_echoes(&mut spoken);
    assert_closed(&mut silent);
    assert_closed(&mut spoken);
    assert!(server.story(1)[1].starts_with("is gone: idle timeout, 0 bytes in, 0 bytes out, "));
    assert!(server.story(2)[2].starts_with("is gone: idle timeout, 7 bytes in, 49 bytes out, "));

    let mut server = Server::start(&["--stall-timeout", "200ms", "--send-buffer", "4KiB"]);
    let mut stream = client(&server);
    assert!(stream.write_all(&vec![0; 64 << 20]).is_err(), "nothing is read, and all is taken");
    let gone = server.story(1).pop().expect("it was waited for");
    assert!(gone.starts_with("is gone: stall timeout, ") && gone.contains(" bytes unsent, "), "{gone}");
}

#[test]
fn who_is_silent_while_the_server_stops_is_not_said_to_have_idled_too_long() {
    let mut server = Server::start(&["--idle-timeout", "300ms"]);
    let _silent = client(&server);
    server.signal(Signal::TERM);
    assert!(server.ended().success());
    assert!(server.story(1)[2].starts_with("is gone: silent while the server stops, "), "{:?}", server.log);
}

#[test]
fn at_a_terminal_the_server_says_what_it_waits_for_and_how_to_end_it() {
    let (input, mut keyboard) = io::pipe().unwrap();
    let mut command = Command::new("script");
    // `script --return` sometimes looks for the status before there is one. The shell, which Ctrl-C must not end,
    // prints it; `cat` keeps the terminal open until it was read.
    let run = format!("trap : INT; {} --listen 127.0.0.1:0; echo status $?; cat", env!("CARGO_BIN_EXE_proxy-echo"));
    command.args(["--quiet", "--command", &run, "/dev/null"]).stdin(input);
    let mut server = Server::spawn_with_input(command);
    let _open = client(&server);
    keyboard.write_all(b"\x03").unwrap();
    server.wait_for("1 connection open; press Ctrl-C again to end at once, or wait 30s at most");
    keyboard.write_all(b"\x03").unwrap();
    server.wait_for("status 0");
}

//! Several addresses: each gets its share, a failing one is named and takes nothing from the others, and the addresses
//! of a name may change while the load runs.

mod common;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Misdeed, Server, pause, report, run};
use loadtest::cli::OutputArgs;
use loadtest::judge::{self, Verdict};
use loadtest::output;
use loadtest::result::{AddressResult, Report, RunResult};
use proxy_echo_args::json::Json;
use socket2::{Domain, Socket, Type};

const LENIENT: &str = "--warmup 0s --max-lag 1s --max-wait 1";

/// An address that refuses connections: its port is bound, but nobody listens.
fn dead() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

fn opened(result: &RunResult) -> Vec<u64> {
    result.by_address.iter().map(|address| address.connections_opened).collect()
}

fn of(result: &RunResult, address: SocketAddr) -> &AddressResult {
    result.by_address.iter().find(|one| one.address == address.to_string()).unwrap()
}

fn targets(servers: &[Server]) -> String {
    servers.iter().map(|server| server.address.to_string()).collect::<Vec<_>>().join(" ")
}

fn three() -> Vec<Server> {
    (0..3).map(|_| Server::start(Misdeed::None)).collect()
}

#[test]
fn connections_are_spread_over_all_addresses_by_every_command() {
    for load in ["rr", "rr -R 2000", "stream", "idle", "rr -t 3", "rr -R 2000 -t 7"] {
        let servers = three();
        let (command, options) = load.split_once(' ').unwrap_or((load, "-q"));
        let size = if command == "idle" { "" } else { "-s 64" };
        let result =
            run(&format!("{command} {} -c 100 -d 200ms {options} {size} {LENIENT}", targets(&servers))
                .replace("  ", " "));
        assert_eq!(opened(&result), [34, 33, 33], "{load}");
        let counted: u64 = result.by_address.iter().map(|address| address.measured_completed).sum();
        assert_eq!(counted, result.totals.measured_completed, "{load}");
        let mut all = result.by_address[0].latency.clone();
        result.by_address[1..].iter().for_each(|address| all.add(&address.latency));
        // On a busy machine some messages are never sent: they are missing only from the whole result.
        assert_eq!(all.count(), result.latency.count(), "{load}");
        assert_eq!(result.totals.errors(), 0, "{load}: {:?}", result.totals.errors);
    }
}

#[test]
fn connections_that_are_made_anew_take_turns() {
    let servers = three();
    let result = run(&format!("crr {} -c 30 -d 300ms -R 600 {LENIENT}", targets(&servers)));
    let opened = opened(&result);
    assert!(opened.iter().max().unwrap() - opened.iter().min().unwrap() <= 2, "{opened:?}");
}

#[test]
fn a_dead_address_is_named_and_takes_nothing_from_the_others() {
    for load in
        ["rr -c 100 -R 1000", "rr -c 100", "stream -c 100 -s 64", "crr -c 30 -R 300", "crr -c 30", "idle -c 100"]
    {
        let servers = three();
        let (_socket, dead) = dead();
        let (command, options) = load.split_once(' ').unwrap();
        let arguments =
            format!("{command} {} {dead} {} {options} -d 400ms {LENIENT}", servers[0].address, servers[1].address);
        let report = report(&arguments).unwrap();
        assert_eq!(judge::verdict(&report), Verdict::Failed, "{load}");
        let Report::Run(result) = report else { panic!("no run") };
        let gone = of(&result, dead);
        assert!(gone.is_dead() && gone.errors.keys().all(|why| why.contains("refused")), "{load}: {gone:?}");
        for server in &servers[..2] {
            let alive = of(&result, server.address);
            assert_eq!(alive.errors(), 0, "{load}: {alive:?}");
            assert!(command == "crr" || (33..=34).contains(&alive.connections_opened), "{load}: {alive:?}");
            assert!(command == "idle" || alive.measured_completed > 0, "{load}");
        }
        let named = format!("{dead} took no connection");
        assert!(result.notes.iter().any(|note| note.starts_with(&named)), "{load}: {:?}", result.notes);
        assert!(result.verdict.unwrap().details.contains(&named), "{load}");
    }
}

#[test]
fn a_search_names_a_dead_address() {
    let server = Server::start(Misdeed::None);
    let (_socket, dead) = dead();
    let search = format!("search {} {dead} -c 4 -d 60ms --first-rate 500 --precision 0.9", server.address);
    // Also in a probe that is INVALID, as with a bound of 1 ns.
    for lag in [LENIENT, "--warmup 0s --max-lag 1ns --max-wait 1"] {
        let error = report(&format!("{search} {lag}")).unwrap_err();
        assert_eq!(error.verdict(), Verdict::Failed);
        assert!(error.to_string().starts_with(&format!("{dead} took no connection (2 × connect: ")), "{error}");
    }
    // With an SLO that allows errors, the search finds a rate and names the dead address.
    let report = report(&format!("{search} {LENIENT} --slo rate<700")).unwrap();
    assert!([Verdict::Failed, Verdict::Invalid, Verdict::Unknown].contains(&judge::verdict(&report)));
    let Report::Search(search) = report else { panic!("no search") };
    let note = |best: loadtest::result::RunResult| best.notes.iter().any(|note| note.starts_with(&dead.to_string()));
    assert!(search.best.is_none_or(note));
}

#[test]
fn if_all_addresses_fail_all_are_named() {
    let ((_one, one), (_two, two)) = (dead(), dead());
    let error = report(&format!("rr {one} {two} -c 4 -d 100ms {LENIENT}")).unwrap_err().to_string();
    for address in [one, two] {
        assert!(error.contains(&format!("{address} (Connection refused)")), "{error}");
    }
}

#[test]
fn an_address_that_is_slow_or_loses_connections_is_named() {
    let (fast, slow, dying) =
        (Server::start(Misdeed::None), Server::start(Misdeed::Serial), Server::start(Misdeed::Dies));
    let run = |duration| {
        let arguments = format!("rr {} {} {} -c 90 -d {duration} {LENIENT}", fast.address, slow.address, dying.address);
        let Report::Run(result) = report(&arguments).unwrap() else { panic!("no run") };
        result
    };
    // A connection is lost only after hundreds of messages, which take longer on a busy machine.
    let mut results = ["600ms", "2s", "6s", "18s"].into_iter().map(run);
    let result = results.find(|result| of(result, dying.address).connections_lost > 0).expect("no connection lost");
    assert_eq!(of(&result, fast.address).errors(), 0);
    for words in [format!("{} is slow: ", slow.address), format!("{} had ", dying.address)] {
        assert!(result.notes.iter().any(|note| note.starts_with(&words)), "{words}: {:?}", result.notes);
    }
}

#[test]
fn shards_spread_as_one_process_would_and_merge_by_address() {
    let servers = three();
    let directory = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for shard in 1..=3 {
        let file = directory.path().join(shard.to_string());
        // Each address gets 33 or 34 connections: the next shard continues where one ends.
        let load = format!("rr {} -c 100 -R 500 -d 200ms {LENIENT}", targets(&servers));
        let mut part = run(&format!("{load} --shard {shard}/3"));
        // A busy machine may make a part INVALID, which is not tested here.
        part.invalid.clear();
        let outputs = OutputArgs { json: Json::File(file.clone()), quiet: true, ..OutputArgs::default() };
        output::write_all(&Report::Run(Box::new(part)), &outputs, false).unwrap();
        files.push(file.display().to_string());
    }
    let Report::Run(whole) = report(&format!("merge {}", files.join(" "))).unwrap() else { panic!("no run") };
    assert_eq!(opened(&whole), [34, 33, 33]);
    assert_eq!(whole.by_address.iter().map(|one| one.latency.count()).sum::<u64>(), whole.latency.count());
}

#[test]
fn compare_and_search_have_addresses_too() {
    let servers = three();
    let (a, b) = (servers[0].address, servers[1].address);
    let load = format!("-c 4 -d 60ms {LENIENT}");
    let Report::Compare(both) = report(&format!("compare {a} {b} -R 500 --min-pairs 3 --max-pairs 3 {load}")).unwrap()
    else {
        panic!("no comparison")
    };
    // Runs one after the other are added up.
    assert_eq!((opened(&both.a), opened(&both.b)), (vec![12], vec![12]));
    let Report::Search(search) =
        report(&format!("search {a} {b} --slo p50<1s --first-rate 500 --precision 0.9 {load}")).unwrap()
    else {
        panic!("no search")
    };
    assert_eq!(search.best.map(|best| opened(&best)), Some(vec![2, 2]));
}

#[test]
fn families_and_sources_that_do_not_fit_are_refused() {
    for (arguments, words) in [
        ("rr 127.0.0.1:9 --address-family 6", "it has no IPv6 address"),
        ("rr [::1]:9 --address-family 4", "it has no IPv4 address"),
        ("rr 127.0.0.1:9 [::1]:9 --source-ip 127.0.0.0/8", "--source-ip: an address of the target's family"),
        ("rr 127.0.0.1:9 --resolve-every 1ms", "--resolve-every: 100ms to a day"),
    ] {
        let error = report(arguments).unwrap_err();
        assert_eq!(error.verdict(), Verdict::Usage);
        assert!(error.to_string().contains(words), "{arguments}: {error}");
    }
}

/// `loadtest` with `hosts` as its /etc/hosts, in its own mount namespace.
fn with_hosts(hosts: &Path, arguments: &str) -> Command {
    let mut command = Command::new("unshare");
    let script = format!("mount --bind \"$0\" /etc/hosts && exec {} {arguments}", env!("CARGO_BIN_EXE_loadtest"));
    command.args(["--map-root-user", "--mount", "sh", "-c", &script]).arg(hosts);
    command
}

fn read(file: &Path) -> RunResult {
    match output::read_report(file) {
        Ok(Report::Run(result)) => *result,
        other => panic!("no run: {other:?}"),
    }
}

/// Servers on one port of several addresses of this machine. `speaks` says whether their clients send.
fn at_one_port(addresses: &[&str], speaks: bool) -> (u16, Vec<Listener>) {
    'ports: loop {
        let first = Listener::start(&format!("{}:0", addresses[0]), speaks).unwrap();
        let port = first.address.port();
        let mut all = vec![first];
        for address in &addresses[1..] {
            match Listener::start(&format!("{address}:{port}"), speaks) {
                Some(listener) => all.push(listener),
                None => continue 'ports,
            }
        }
        return (port, all);
    }
}

/// An echo server of any bytes.
struct Listener {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Listener {
    fn start(address: &str, speaks: bool) -> Option<Self> {
        let listener = TcpListener::bind(address).ok()?;
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = count.clone();
                thread::spawn(move || {
                    if speaks {
                        // After its first byte, the client knows the connection too.
                        let _ = stream.peek(&mut [0]);
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    std::io::copy(&mut &stream, &mut &stream)
                });
            }
        });
        Some(Listener { address, connections })
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

#[test]
fn every_address_of_a_name_gets_its_share() {
    let (port, _listeners) = at_one_port(&["127.0.0.1", "127.0.0.2", "127.0.0.3"], true);
    let directory = tempfile::tempdir().unwrap();
    let (hosts, file) = (directory.path().join("hosts"), directory.path().join("result"));
    // The last address twice, and one of the other family.
    std::fs::write(&hosts, "127.0.0.3 back\n127.0.0.1 back\n127.0.0.2 back\n127.0.0.3 back\n::1 back\n").unwrap();
    let load =
        format!("rr back:{port} -c 100 -d 200ms -R 500 --address-family 4 {LENIENT} -q --json={}", file.display());
    let out = with_hosts(&hosts, &load).output().unwrap();
    assert!(file.exists(), "{}", String::from_utf8_lossy(&out.stderr));
    let result = read(&file);
    assert_eq!(result.totals.errors(), 0, "{:?}", result.totals.errors);
    assert_eq!(result.addresses, [1, 2, 3].map(|host| format!("127.0.0.{host}:{port}")));
    assert_eq!(opened(&result), [34, 33, 33]);
}

#[test]
fn a_name_that_changes_moves_connections() {
    for load in ["rr -R 500", "rr", "stream -s 64", "crr", "idle"] {
        let is_idle = load == "idle";
        let (port, listeners) = at_one_port(&["127.0.0.1", "127.0.0.2", "127.0.0.3"], !is_idle);
        let directory = tempfile::tempdir().unwrap();
        let (hosts, file) = (directory.path().join("hosts"), directory.path().join("result"));
        std::fs::write(&hosts, "127.0.0.1 back\n127.0.0.2 back\n").unwrap();
        let (command, options) = load.split_once(' ').unwrap_or((load, ""));
        let arguments = format!(
            "{command} back:{port} -c 12 -d 60s --resolve-every 100ms {options} {LENIENT} -q --json={}",
            file.display()
        );
        let child = with_hosts(&hosts, &arguments).stderr(Stdio::piped()).spawn().unwrap();
        let changed = |index: usize| listeners[index].connections();
        let deadline = Instant::now() + Duration::from_secs(30);
        let wait_until = |what: &str, is_so: &dyn Fn() -> bool| {
            while !is_so() {
                assert!(Instant::now() < deadline, "{load}: {what}");
                pause(Duration::from_millis(10));
            }
        };
        wait_until("both are open", &|| changed(0) >= 6 && changed(1) >= 6);
        // Overwrite the file in place, because the namespace has this file mounted.
        std::fs::write(&hosts, "127.0.0.2 back\n127.0.0.3 back\n").unwrap();
        wait_until("the new one has its share", &|| changed(2) >= 6);
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(128 + 15), "{load}: {}", String::from_utf8_lossy(&out.stderr));
        let result = read(&file);
        assert_eq!(result.totals.connections_lost + result.totals.connections_failed, 0, "{load}: {result:?}");
        assert_eq!(result.by_address.iter().map(|one| one.is_gone).collect::<Vec<_>>(), [true, false, false], "{load}");
        // An idle connection may be accepted before the client knows it.
        if !is_idle && command != "crr" {
            let moved: Vec<_> =
                result.by_address.iter().map(|one| (one.connections_opened, one.connections_moved)).collect();
            assert_eq!(moved, [(6, 6), (6, 0), (6, 0)], "{load}");
            assert_eq!(result.totals.connections_alive, 12, "{load}");
        }
    }
}

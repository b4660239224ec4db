//! `--tls`: each kind of load over TLS, resumption, the header in clear before the handshake, and errors.

mod common;
#[path = "common/tls.rs"]
mod front;

use std::fs;
use std::sync::atomic::Ordering;

use common::{Misdeed, Server, report, run};
use front::{Front, Haproxy, Way};
use loadtest::join::{How, join};
use loadtest::result::{Report, RunResult, TlsUse};

/// Options that do not judge the generator's lateness on a busy machine.
const LENIENT: &str = "--warmup 0s --max-lag 10s --max-wait 1";
/// Durations to try until the run was long enough on a busy machine.
const DURATIONS: [&str; 4] = ["200ms", "1s", "5s", "20s"];

fn tls(result: &RunResult) -> &TlsUse {
    result.tls.as_ref().expect("the handshakes of a run by TLS")
}

/// Runs this load, longer each time, until `is_enough`.
fn run_until(load: &str, is_enough: impl Fn(&RunResult) -> bool) -> RunResult {
    let mut last = None;
    for duration in DURATIONS {
        match report(&format!("{load} -d {duration} {LENIENT}")) {
            Ok(Report::Run(result)) if is_enough(&result) => return *result,
            other => last = Some(other),
        }
    }
    panic!("{load}: {last:?}");
}

/// Runs this load, and asserts that messages came back without any error.
fn run_clean(load: &str) -> RunResult {
    let result = run_until(&format!("{load} --timeout 20s"), |result| result.totals.measured_completed > 0);
    let totals = &result.totals;
    assert_eq!((totals.errors(), totals.errors.len()), (0, 0), "{load}: {:?} {:?}", totals.errors, result.failures);
    assert_eq!(totals.bytes_received, totals.bytes_sent, "{load}");
    result
}

#[test]
fn kept_connections_shake_hands_once() {
    let front = Front::start(Way::Echoes);
    let trusted = front.trusted();
    for load in [
        "rr -c 4",
        "rr -c 4 -R 500 --depth 4 --tls-version 1.2",
        "rr -c 2 -t 2 --depth 16 -s 5000 --tls-version 1.3",
        "stream -c 2",
        "stream -c 2 -s 1MiB --depth 4 --tls-version 1.2",
    ] {
        let (command, options) = load.split_once(' ').unwrap();
        let result = run_clean(&format!("{command} {} {options} {trusted} --alpn echo", front.address));
        let (handshakes, opened) = (tls(&result), result.totals.connections_opened);
        assert_eq!((handshakes.full, handshakes.resumed, handshakes.failed), (opened, 0, 0), "{load}");
        assert_eq!(handshakes.handshake_time.count(), opened, "{load}");
        assert_eq!(result.connect_time.count(), opened, "{load}");
        let version = if load.ends_with("1.2") { "TLS 1.2" } else { "TLS 1.3" };
        let agreed: Vec<_> = handshakes.agreed.iter().collect();
        let [(words, &times)] = agreed[..] else { panic!("{load}: {agreed:?}") };
        assert!(
            words.starts_with(&format!("{version}, TLS_")) && words.ends_with("ALPN echo") && times == opened,
            "{load}: {agreed:?}"
        );
    }
}

#[test]
fn idle_connections_stay_alive_and_take_tickets_for_no_payload() {
    let front = Front::start(Way::Echoes);
    let result = run(&format!("idle {} -c 20 -d 200ms --timeout 20s {} {LENIENT}", front.address, front.trusted()));
    let totals = &result.totals;
    assert_eq!((totals.connections_alive, totals.errors(), totals.bytes_received), (20, 0, 0), "{totals:?}");
    assert_eq!(tls(&result).full, 20);
}

#[test]
fn crr_counts_full_and_resumed_handshakes_as_the_server_does() {
    const CONNECTIONS: u64 = 4;
    // Each attempt has its own server, because the server counts handshakes too.
    let attempt = |options: &str, duration: &str| {
        let front = Front::start(Way::Echoes);
        let load = format!("crr {} -c {CONNECTIONS} -d {duration} --timeout 20s {options}", front.address);
        let Report::Run(result) = report(&format!("{load} {} {LENIENT}", front.trusted())).ok()? else { return None };
        (result.totals.measured_completed > 2 * CONNECTIONS).then_some((front, result))
    };
    for (version, resume) in [("1.2", ""), ("1.3", ""), ("1.2", " --tls-resume"), ("1.3", " --tls-resume")] {
        let options = format!("--tls-version {version}{resume}");
        let enough = DURATIONS.iter().find_map(|duration| attempt(&options, duration));
        let (front, result) = enough.unwrap_or_else(|| panic!("{options}: hardly a connection"));
        let handshakes = tls(&result);
        assert_eq!(result.totals.errors(), 0, "{options}: {:?}", result.totals.errors);
        assert_eq!(handshakes.full + handshakes.resumed, result.totals.connections_opened, "{options}");
        let seen = [&front.full, &front.resumed].map(|count| count.load(Ordering::SeqCst));
        assert_eq!([handshakes.full, handshakes.resumed], seen, "{options}");
        if resume.is_empty() {
            assert_eq!(handshakes.resumed, 0, "{options}");
        } else {
            // The connections that began together had no session to resume.
            assert!((1..=CONNECTIONS).contains(&handshakes.full), "{options}: {handshakes:?}");
        }
    }
}

#[test]
fn search_and_compare_speak_tls() {
    let front = Front::start(Way::Echoes);
    let (address, trusted) = (front.address, front.trusted());
    let options = format!("-c 2 -d 60ms --timeout 20s {trusted} {LENIENT}");
    let search = format!("search {address} {options} --first-rate 50 --precision 0.9 --slo p50<10s,errors=0");
    let Report::Search(search) = report(&search).unwrap() else { panic!("a search") };
    assert!(search.steps.iter().all(|step| step.figures.errors == 0), "{search:?}");
    assert_eq!(front.full.load(Ordering::SeqCst), 2 * search.steps.len() as u64, "two connections in each probe");
    let compare = format!("compare {address} {address} {options} --min-pairs 3 --max-pairs 3");
    let Report::Compare(compare) = report(&compare).unwrap() else { panic!("a comparison") };
    for side in [&compare.a, &compare.b] {
        assert_eq!((side.totals.errors(), tls(side).full), (0, 6), "two connections in each of three runs");
    }
}

/// HAProxy reads the header first, then TLS, and forwards the decrypted bytes to a plain echo server.
#[test]
fn the_header_goes_first_in_clear() {
    let (echo, cert) = (Server::start(Misdeed::None), Front::start(Way::Echoes));
    let haproxy = Haproxy::start("accept-proxy", echo.address, &cert.pem);
    for load in ["rr -c 3 --proxy v1", "rr -c 3 --proxy v2 --tlv authority=a.test", "crr -c 3 --proxy v2"] {
        let (command, options) = load.split_once(' ').unwrap();
        let result = run_clean(&format!("{command} {} {options} {}", haproxy.address, cert.trusted()));
        assert_eq!(tls(&result).full, result.totals.connections_opened, "{load}");
    }
}

#[test]
fn why_a_handshake_fails_is_said() {
    let plain = Front::start(Way::IsPlain);
    let [good, expired, another, wants, deaf] =
        [Way::Echoes, Way::IsExpired, Way::IsAnother, Way::WantsCertificate, Way::Ignores].map(Front::start);
    let strange = format!("--tls --tls-name {} --tls-ca {}", front::NAME, expired.pem.display());
    let table = [
        (expired.address, expired.trusted(), "certificate has expired"),
        (another.address, another.trusted(), "certificate is for another name"),
        (good.address, strange, "no trusted authority signed"),
        (plain.address, good.trusted(), "does not speak TLS"),
        (wants.address, format!("{} --tls-version 1.2", wants.trusted()), "wants a client's certificate"),
        (good.address, format!("{} --alpn other", good.trusted()), "none of the protocols of --alpn"),
    ];
    let refused = |address, options: &str, words: &str| {
        let error = report(&format!("rr {address} -c 2 -d 100ms {options} {LENIENT}")).unwrap_err().to_string();
        assert!(error.contains(words) && error.starts_with("cannot connect to"), "{words}: {error}");
    };
    for (address, options, words) in table {
        refused(address, &format!("{options} --timeout 20s"), words);
    }
    refused(deaf.address, &format!("{} --timeout 200ms", good.trusted()), "TLS handshake: timed out");
    // With TLS 1.3 the client's handshake is over by then.
    let load = format!("rr {} -c 2 {} --tls-version 1.3", wants.address, wants.trusted());
    let result = run_until(&load, |result| !result.totals.errors.is_empty());
    let whys: Vec<_> = result.totals.errors.keys().collect();
    assert!(whys.iter().any(|why| why.contains("wants a client's certificate")), "{whys:?}");
    let with = format!("{} --tls-cert {1} --tls-key {1}", wants.trusted(), wants.pem.display());
    run_clean(&format!("rr {} -c 2 {with}", wants.address));
    // With --tls-insecure any certificate is accepted.
    run_clean(&format!("rr {} -c 2 --tls --tls-insecure", expired.address));
}

#[test]
fn failed_handshakes_are_counted_by_reason_and_address() {
    let [good, expired] = [Way::Echoes, Way::IsExpired].map(Front::start);
    let pems = [&good, &expired].map(|front| fs::read_to_string(&front.pem).unwrap()).concat();
    let directory = tempfile::tempdir().unwrap();
    let both = directory.path().join("both.pem");
    fs::write(&both, pems).unwrap();
    let options = format!("-c 4 -d 200ms --timeout 20s --tls --tls-name {} --tls-ca {}", front::NAME, both.display());
    let result = run(&format!("rr {} {} {options} {LENIENT}", good.address, expired.address));
    let handshakes = tls(&result);
    assert_eq!((handshakes.full, handshakes.failed, result.totals.connections_failed), (2, 2, 2), "{result:?}");
    let why = "TLS handshake: the server's certificate has expired";
    assert_eq!(result.totals.errors.get(why), Some(&2), "{:?}", result.totals.errors);
    let [first, second] = &result.by_address[..] else { panic!("two addresses") };
    assert_eq!((first.handshake_time.count(), second.handshake_time.count()), (2, 0));
    assert_eq!((first.errors(), second.errors.get(why)), (0, Some(&2)));
}

#[test]
fn plain_traffic_to_a_tls_port_gets_a_hint() {
    let front = Front::start(Way::Echoes);
    let result = run_until(&format!("rr {} -c 2", front.address), |result| !result.hints.is_empty());
    assert!(
        result.hints.iter().any(|hint| hint.contains("speaks TLS") && hint.contains("--tls")),
        "{:?}",
        result.hints
    );
}

#[test]
fn wrong_bytes_are_found_behind_tls() {
    let front = Front::start(Way::Corrupts);
    let load = format!("rr {} -c 3 {}", front.address, front.trusted());
    let result = run_until(&load, |result| result.totals.errors() > 2);
    assert_eq!((result.totals.verification.corrupted, result.totals.errors()), (3, 3), "{:?}", result.failures);
}

#[test]
fn an_end_without_close_notify_is_told_from_one_with_it() {
    for (way, why) in [
        (Way::Cuts, "connection: closed by the target without close_notify"),
        (Way::Closes, "connection: closed by the target"),
    ] {
        let front = Front::start(way);
        let load = format!("rr {} -c 2 {}", front.address, front.trusted());
        let result = run_until(&load, |result| result.totals.connections_lost == 2);
        let errors: Vec<_> = result.totals.errors.iter().collect();
        assert_eq!(errors, [(&why.to_owned(), &2)], "{way:?}");
        assert_eq!(result.totals.connections_lost, 2, "{way:?}");
        assert!(result.totals.requests_completed >= 20, "what came before counts: {way:?}");
    }
}

#[test]
fn parts_add_their_handshakes() {
    let front = Front::start(Way::Echoes);
    let part = || run(&format!("rr {} -c 2 -d 50ms --timeout 20s {} {LENIENT}", front.address, front.trusted()));
    let whole = join(vec![part(), part()], How::AtTheSameTime);
    let handshakes = tls(&whole);
    assert_eq!((handshakes.full, handshakes.handshake_time.count()), (4, 4));
    assert_eq!(handshakes.agreed.values().sum::<u64>(), 4);
    assert_eq!(whole.by_address[0].handshake_time.count(), 4);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let front = Front::start(Way::Echoes);
    for (options, words) in [
        ("--tls --tls-ca /nonexistent".to_owned(), "--tls-ca /nonexistent"),
        (format!("localhost:{} --tls --tls-insecure", front.address.port()), "several names"),
    ] {
        let error = report(&format!("rr {} {options} {LENIENT}", front.address)).unwrap_err();
        assert_eq!(error.verdict().exit_code(), 2, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

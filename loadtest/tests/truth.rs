//! The reported figures are true.

mod common;

use common::{Misdeed, Server, run};
use loadtest::result::Verification;

fn ms(ns: Option<u64>) -> f64 {
    std::time::Duration::from_nanos(ns.expect("enough samples")).as_secs_f64() * 1e3
}

#[test]
fn counts_equal_the_servers_own() {
    let server = Server::start(Misdeed::None);
    for load in ["-c 8 --depth 4", "-c 3", "-c 5 -t 2", "-c 4 -R 2000", "-c 4 -R 3000 --arrival poisson --depth 2"] {
        let before = server.messages();
        let result = run(&format!("rr {} -d 300ms --warmup 50ms {load}", server.address));
        let totals = &result.totals;
        assert_eq!(totals.errors(), 0, "{load}: {totals:?}");
        assert_eq!(totals.requests_sent, server.messages() - before, "{load}");
        assert_eq!(totals.requests_completed, totals.requests_sent, "{load}");
        assert_eq!(totals.bytes_received, totals.requests_sent * 64, "{load}");
        let in_intervals: u64 = result.intervals.iter().map(|interval| interval.completed).sum();
        assert_eq!(totals.measured_completed, in_intervals, "{load}");
    }
}

#[test]
fn a_connection_for_each_request_is_counted_too() {
    let server = Server::start(Misdeed::None);
    for load in ["-c 4", "-c 4 -R 500", "-c 4 --time-wait"] {
        let before = (server.messages(), server.connections.load(std::sync::atomic::Ordering::SeqCst));
        let result = run(&format!("crr {} -d 300ms --warmup 0s {load}", server.address));
        assert_eq!(result.totals.errors(), 0, "{load}: {:?}", result.totals);
        assert_eq!(result.totals.requests_completed, server.messages() - before.0, "{load}");
        let connections = server.connections.load(std::sync::atomic::Ordering::SeqCst) - before.1;
        assert_eq!(result.totals.connections_opened, connections, "{load}");
    }
}

#[test]
fn a_rate_is_kept_and_all_that_is_due_is_sent() {
    let server = Server::start(Misdeed::None);
    let result = run(&format!("rr {} -c 8 -R 1000 -d 1s --warmup 0s --max-lag 1s --max-wait 1", server.address));
    assert_eq!(result.totals.requests_sent, 1000);
    assert_eq!(result.latency.count(), 1000);
    assert_eq!(result.generator.lag.count(), 1000);
}

/// The server answers nothing for 100 ms of every second, four times in 3.5 s. Of the messages due at a steady rate,
/// 11% fall into that time and wait 0 to 100 ms: 1% waits more than 91 ms.
#[test]
fn open_loop_tells_the_stall_as_arithmetic_says() {
    let server = Server::start(Misdeed::Stalls);
    let result = run(&format!("rr {} -c 20 -R 1000 -d 3500ms --warmup 0s --max-lag 1s --max-wait 1", server.address));
    let (p50, p99) = (ms(result.latency.percentile_ns(50.0)), ms(result.latency.percentile_ns(99.0)));
    assert!(p50 < 30.0, "p50 {p50} ms");
    assert!((80.0..115.0).contains(&p99), "p99 {p99} ms");
    // Twenty connections wait. The other messages are sent late, which their service time does not show.
    let service = ms(result.service_time.percentile_ns(95.0));
    assert!(service < ms(result.latency.percentile_ns(95.0)), "service p95 {service} ms");
}

#[test]
fn closed_loop_hides_the_stall_and_its_correction_does_not() {
    let server = Server::start(Misdeed::Stalls);
    let result = run(&format!("rr {} -c 4 -d 2s --warmup 0s", server.address));
    let corrected = result.latency_corrected.as_ref().expect("closed loop");
    let (seen, told) = (ms(result.latency.percentile_ns(99.0)), ms(corrected.percentile_ns(99.0)));
    assert!(seen < 50.0, "p99 {seen} ms");
    assert!((70.0..115.0).contains(&told), "corrected p99 {told} ms");
}

#[test]
fn verification_tells_what_a_server_did_to_the_bytes() {
    let none = Verification::default();
    let two = 2;
    let table = [
        (Misdeed::None, "--depth 4", none),
        (Misdeed::Corrupts, "--depth 1", Verification { corrupted: two, ..none }),
        (Misdeed::Corrupts, "--depth 8", Verification { corrupted: two, ..none }),
        (Misdeed::DropsMessage, "--depth 4", Verification { lost: two, ..none }),
        (Misdeed::DropsByte, "--depth 1", Verification { lost: two, ..none }),
        (Misdeed::DropsByte, "--depth 4", Verification { lost: two, ..none }),
        (Misdeed::Duplicates, "--depth 1", Verification { duplicated: two, ..none }),
        (Misdeed::Duplicates, "--depth 4", Verification { duplicated: two, ..none }),
        (Misdeed::Crosses, "--depth 1", Verification { crossed: two, ..none }),
        (Misdeed::Crosses, "--depth 1 -R 500", Verification { crossed: two, ..none }),
    ];
    for (misdeed, load, expected) in table {
        let server = Server::start(misdeed);
        let result = run(&format!("rr {} -c 2 -d 200ms --warmup 0s --timeout 300ms {load}", server.address));
        let found = result.totals.verification;
        assert_eq!(found, expected, "{misdeed:?} {load}: {:?}", result.failures);
        assert_eq!(result.failures.len() as u64, found.total(), "{misdeed:?} {load}");
        if misdeed == Misdeed::Crosses {
            assert!(
                result.failures.iter().all(|words| words.contains("the bytes of connection ")),
                "{:?}",
                result.failures
            );
        }
        if misdeed != Misdeed::DropsMessage {
            assert_eq!(result.totals.requests_unanswered, 0, "{misdeed:?} {load}");
        }
    }
}

#[test]
fn a_message_that_never_comes_back_is_counted_not_dropped() {
    let server = Server::start(Misdeed::DropsMessage);
    let result = run(&format!("rr {} -c 3 -d 200ms --warmup 0s --timeout 200ms", server.address));
    assert_eq!(result.totals.requests_unanswered, 3);
    assert_eq!(result.totals.requests_completed + 3, result.totals.requests_sent);
    assert!(result.notes.iter().any(|note| note.contains("3 unanswered")), "{:?}", result.notes);
}

#[test]
fn a_line_that_comes_first_is_no_payload_unless_it_is_told_so() {
    let server = Server::start(Misdeed::SendsLine);
    let load = "-c 3 -d 100ms --warmup 0s --timeout 200ms";
    for (expect, headers, failures) in [("auto", 3, 0), ("yes", 3, 0)] {
        let result = run(&format!("rr {} {load} --expect-reflect {expect}", server.address));
        assert_eq!(result.totals.headers_reflected, headers, "{expect}");
        assert_eq!(result.totals.verification.total(), failures, "{expect}: {:?}", result.failures);
    }
    let result = run(&format!("rr {} {load} --expect-reflect no", server.address));
    assert!(result.totals.verification.total() >= 3, "{:?}", result.failures);
    let silent = Server::start(Misdeed::None);
    let result = run(&format!("rr {} {load} --expect-reflect yes", silent.address));
    assert_eq!(result.totals.verification, Verification { header: 3, ..Verification::default() });
    assert!(result.totals.requests_completed > 0);
}

#[test]
fn large_messages_go_through_in_pieces() {
    let server = Server::start(Misdeed::None);
    for size in ["1KiB", "64KiB", "1MiB"] {
        let result = run(&format!("stream {} -c 2 -d 200ms --warmup 0s --depth 2 -s {size}", server.address));
        assert_eq!(result.totals.errors(), 0, "{size}: {:?}", result.failures);
        assert!(result.totals.requests_completed > 1, "{size}");
        assert_eq!(result.totals.bytes_sent, result.totals.bytes_received, "{size}");
    }
}

#[test]
fn every_size_is_verified() {
    let server = Server::start(Misdeed::None);
    // Sixty-four messages add up to whole messages of the server.
    for size in [1, 2, 7, 8, 63, 65, 1000, 1021] {
        let result =
            run(&format!("rr {} -c 2 -d 50ms --warmup 0s -s {size} --depth 64 --timeout 100ms", server.address));
        assert_eq!(result.totals.verification.total(), 0, "{size}: {:?}", result.failures);
        assert!(result.totals.requests_completed > 0, "{size}");
    }
}

#[test]
fn spinning_and_pinning_change_nothing_in_what_is_counted() {
    let server = Server::start(Misdeed::None);
    let result =
        run(&format!("rr {} -c 2 -R 1000 -d 200ms --warmup 0s --spin --pin --max-lag 1s --max-wait 1", server.address));
    assert_eq!(result.totals.requests_sent, 200);
    assert_eq!(result.totals.errors(), 0);
    assert_eq!(result.environment.pinned.len(), 1);
}

#[test]
fn connects_keep_their_rate() {
    let server = Server::start(Misdeed::None);
    let result = run(&format!("idle {} -c 21 --connect-rate 100 -d 50ms --warmup 0s", server.address));
    assert_eq!(result.totals.connections_alive, 21);
    assert!((0.19..2.0).contains(&result.setup_s), "{} s", result.setup_s);
}

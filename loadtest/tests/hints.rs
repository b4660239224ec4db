//! Hints: for usual mistakes, the result says what to try.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Misdeed, Server, report, run};
use loadtest::result::Report;

/// What a target does with a connection after its first bytes.
#[derive(Clone, Copy)]
enum Habit {
    /// Sends this, and closes.
    Says(&'static [u8]),
    /// Sends back whatever comes, headers too.
    Echoes,
    /// Closes.
    Closes,
}

struct Target {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl Target {
    fn start(habit: Habit) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let target = Target { address, is_over: is_over.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                thread::spawn(move || serve(stream, habit));
            }
        });
        target
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, habit: Habit) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let sent = match habit {
            Habit::Echoes => stream.write_all(&buffer[..count]),
            Habit::Says(words) => stream.write_all(words),
            Habit::Closes => Ok(()),
        };
        if sent.is_err() || !matches!(habit, Habit::Echoes) {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

const LOAD: &str = "-c 3 -d 100ms --warmup 0s --timeout 100ms --max-lag 1s --max-wait 1";

#[test]
fn what_has_a_usual_cause_gets_one_hint() {
    const HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    let table = [
        (Habit::Closes, "rr", "", "never answered: if it wants a PROXY header, give --proxy v1 or --proxy v2"),
        (Habit::Closes, "crr", "", "never answered: if it wants a PROXY header, give --proxy v1 or --proxy v2"),
        (Habit::Closes, "rr", " --proxy v2", "though each began with a PROXY v2 header"),
        (Habit::Echoes, "rr", " --proxy v2", "the target sends the PROXY header back as it was"),
        (Habit::Echoes, "crr", " --proxy v2", "the target sends the PROXY header back as it was"),
        (Habit::Echoes, "rr", " --proxy v1 --expect-reflect no", "the target reflects the header"),
        (Habit::Says(HTTP), "rr", "", "the target speaks HTTP: it answered \"HTTP/1.1 400 Bad Request\""),
        (Habit::Says(HTTP), "rr", " --verify off -s 16", "the target speaks HTTP"),
        (Habit::Says(HTTP), "stream", "", "the target speaks HTTP"),
        (Habit::Says(b"\x15\x03\x01\0\x02\x02\x32"), "rr", "", "the target speaks TLS"),
        (Habit::Says(b"SSH-2.0-OpenSSH_9.2\r\n"), "rr", "", "the target speaks SSH"),
        (Habit::Says(b"-ERR unknown command 'x'\r\n"), "rr", "", "the target speaks Redis or POP3"),
        (Habit::Says(b"Hello, what do you want?\n"), "rr", "", "the target answered in words, \"Hello, what"),
    ];
    for (habit, command, options, expected) in table {
        let target = Target::start(habit);
        let result = run(&format!("{command} {} {LOAD}{options}", target.address));
        let is_expected = |hint: &String| hint.contains(expected);
        assert!(
            result.hints.len() == 1 && result.hints.iter().all(is_expected),
            "{command}{options}, {expected}: {:?} {:?} {:?}",
            result.hints,
            result.totals,
            result.failures
        );
    }
}

#[test]
fn what_is_a_fault_of_the_target_gets_none() {
    for misdeed in [Misdeed::None, Misdeed::Corrupts, Misdeed::DropsByte, Misdeed::Crosses, Misdeed::Dies] {
        let server = Server::start(misdeed);
        let result = run(&format!("rr {} {LOAD}", server.address));
        assert_eq!(result.hints, Vec::<String>::new(), "{misdeed:?}");
    }
    let plain = Target::start(Habit::Echoes);
    let result = run(&format!("rr {} {LOAD}", plain.address));
    assert_eq!((result.hints.len(), result.totals.errors()), (0, 0));
}

#[test]
fn a_search_and_a_comparison_hint_too() {
    let target = Target::start(Habit::Closes);
    let Ok(Report::Compare(result)) =
        report(&format!("compare {0} {0} {LOAD} --min-pairs 3 --max-pairs 3", target.address))
    else {
        panic!("no comparison")
    };
    assert!(result.a.hints.len() == 1 && result.b.hints.len() == 1, "{:?} {:?}", result.a.hints, result.b.hints);
    let Ok(Report::Search(result)) = report(&format!("search {} {LOAD} --first-rate 2", target.address)) else {
        panic!("no search")
    };
    let steps = &result.steps;
    assert!(!steps.is_empty() && steps.iter().all(|step| step.why.contains("give --proxy v1")), "{steps:?}");
}

//! The fault suite: the faults that a server meets in months of running, each beside honest clients.
//!
//! `cargo test --release --test faults` runs it and prints a table. Names filter the rows, as in other tests.
//! `FAULT_HEADERS` is the number of random headers, `SOAK_MINUTES` the length of the soak, `FAULT_SEED` the seed.
//!
//! A row passes only when the honest clients have received every byte, the server has all its descriptors and memory
//! back, and it uses no CPU time at all.

#[path = "../common/admin.rs"]
mod admin;
mod admin_port;
mod beside;
#[path = "../common/client.rs"]
mod client;
mod clock;
mod headers;
mod honest;
mod limits;
#[path = "../common/manager.rs"]
mod manager;
mod network;
mod ordeal;
mod peers;
mod process;
#[path = "../common/program.rs"]
mod program;
#[path = "../common/server.rs"]
mod server;
mod slow;
mod soak;
mod streams;
mod table;

use std::env;
use std::thread;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

use crate::clock::Clocks;
use crate::ordeal::{Bounds, Ordeal, Target};
use crate::server::Server;
use crate::table::Table;

/// Runs a fault, and returns a sentence about what it did.
type Fault = fn(Target) -> String;

fn main() {
    let mut args = Arguments::from_args();
    // One at a time: most rows use all descriptors or processors.
    args.test_threads = Some(1);
    let seed = env::var("FAULT_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().expect("a number"));
    println!("FAULT_SEED={seed}");
    let suite = Suite { table: Table::default(), seed };
    let conclusion = libtest_mimic::run(&args, suite.trials());
    suite.table.print();
    conclusion.exit();
}

#[derive(Clone)]
struct Suite {
    table: Table,
    seed: u64,
}

impl Suite {
    fn trials(&self) -> Vec<Trial> {
        let default = Bounds::default;
        let p99 = |ms| Bounds { p99: Duration::from_millis(ms), ..default() };
        let small = &["--max-held", "16MiB", "--recv-buffer", "8KiB", "--send-buffer", "4KiB"];
        let prompt = || Bounds { newcomer: Duration::from_secs(1), kept_kib: 24 << 10, ..default() };
        let lines = &["--echo", "lines", "--max-line", "1MiB", "--max-held", "16MiB"];
        let full = &["--max-connections", "30", "--backlog", "16"];
        let told = &["--log", "lines", "--echo", "lines"];
        let admin = &["--admin", "127.0.0.1:0", "--log", "quiet"];
        let takers = &["--stall-timeout", "2500ms", "--send-buffer", "512KiB", "--admin", "127.0.0.1:0"];
        vec![
            self.simple("no_fault", &[], default(), no_fault),
            self.simple("slow_headers", &[], default(), slow::headers),
            self.simple("slow_readers", small, Bounds { kept_kib: 24 << 10, ..p99(4000) }, slow::readers),
            self.simple("flood_at_the_limit", &["--max-connections", "600"], default(), limits::flood),
            self.simple("resets", &[], default(), streams::resets),
            self.simple("resets_by_lines", &["--echo", "lines"], default(), streams::resets),
            self.simple("half_closes", &[], default(), streams::half_closes),
            self.simple("half_closes_by_lines", &["--echo", "lines"], default(), streams::half_closes),
            self.simple("urgent_bytes", &[], default(), streams::urgent),
            self.simple("random_headers", &[], default(), headers::random),
            self.simple("splits_everywhere", &[], default(), streams::splits),
            self.simple("descriptors_exhausted", &[], default(), limits::descriptors),
            self.simple("memory_of_1_mib", &["--max-held", "1MiB"], default(), limits::memory),
            self.simple("unfinished_headers", &["--max-held", "16MiB"], prompt(), limits::unfinished_headers),
            self.simple("unfinished_lines", lines, prompt(), limits::unfinished_lines),
            self.simple("silent_connections", &["--max-connections", "1000"], prompt(), limits::silent),
            self.listening("takers_of_a_little", takers, Bounds { kept_kib: 24 << 10, ..p99(1000) }, slow::takers),
            self.listening("headers_of_control_bytes", &["--log", "connections"], p99(1000), headers::control_bytes),
            self.listening("admin_hammered", admin, Bounds { kept_kib: 16 << 10, ..p99(2000) }, admin_port::hammered),
            self.listening("admin_flooded", admin, p99(1000), admin_port::flooded),
            self.listening("foreign_hosts", admin, p99(1000), admin_port::foreign_hosts),
            self.row("manager_not_read", p99(1000), beside::manager_stops),
            self.row("log_file_full", p99(1000), beside::log_full),
            self.row("standard_output_full", p99(1000), beside::output_full),
            self.row("watches_refused", p99(1000), beside::watches_refused),
            self.simple("backlog_overflows", full, Bounds { newcomers: false, ..default() }, limits::backlog),
            self.simple("stopped_and_continued", &[], p99(5000), process::stops),
            self.simple("storms_of_signals", &[], default(), process::signals),
            self.listening("log_not_read", told, Bounds { kept_kib: 24 << 10, ..p99(2000) }, process::log_stopped),
            self.row("time_of_day_jumps", default(), |seed| {
                let clocks = Clocks::new();
                let ordeal = Ordeal::of(clocks.server(&["--log", "lines"], false), seed);
                (ordeal, Box::new(move |server, target| clocks.jump(server, target)))
            }),
            self.row("uptime_of_50_days", default(), |seed| {
                let clocks = Clocks::new();
                let ordeal = Ordeal::of(clocks.server(&["--idle-timeout", "0s"], true), seed);
                (ordeal, Box::new(move |_, target| clocks.wrap(target)))
            }),
            self.network("drops_and_reorders", p99(2000)),
            self.soak("soak", Bounds { kept_kib: 48 << 10, ..p99(2000) }),
        ]
    }

    /// A row with a server with these arguments.
    fn simple(&self, name: &str, args: &'static [&str], bounds: Bounds, fault: Fault) -> Trial {
        let fault = move |server: &mut Server, target| {
            server.forget_log();
            fault(target)
        };
        self.row(name, bounds, move |seed| (Ordeal::new(args, seed), Box::new(fault)))
    }

    /// A row with a fault that reads the log.
    fn listening(
        &self,
        name: &str,
        args: &'static [&str],
        bounds: Bounds,
        fault: fn(&mut Server, Target) -> String,
    ) -> Trial {
        self.row(name, bounds, move |seed| (Ordeal::new(args, seed), Box::new(fault)))
    }

    fn row(&self, name: &str, bounds: Bounds, start: impl FnOnce(u64) -> (Ordeal, Deed) + Send + 'static) -> Trial {
        let (Suite { table, seed }, title) = (self.clone(), name.to_owned());
        Trial::test(name, move || {
            let (mut ordeal, fault) = start(seed);
            let outcome = ordeal.bear(&bounds, fault);
            table.add(&title, &bounds, &ordeal, &outcome);
            ordeal.end();
            Ok(())
        })
    }

    fn soak(&self, name: &'static str, bounds: Bounds) -> Trial {
        let Suite { table, seed } = self.clone();
        Trial::test(name, move || {
            // Without limits on buffers, clients that read nothing would use up the kernel's memory for TCP, and the
            // kernel would drop packets of all connections.
            let buffers = ["--max-held", "32MiB", "--recv-buffer", "32KiB", "--send-buffer", "32KiB"];
            let args = [&buffers[..], &["--admin", "127.0.0.1:0"]].concat();
            let mut ordeal = Ordeal::new(&args, seed);
            let outcome = soak::run(&mut ordeal, &bounds);
            table.add(name, &bounds, &ordeal, &outcome);
            ordeal.end();
            Ok(())
        })
    }

    /// A row that runs in its own network namespace.
    fn network(&self, name: &'static str, bounds: Bounds) -> Trial {
        if network::is_inside() {
            return self.simple(name, &[], bounds, network::drop_and_reorder);
        }
        let table = self.table.clone();
        Trial::test(name, move || {
            table.push(network::run_inside(name));
            Ok(())
        })
    }
}

/// A fault that may read the log.
type Deed = Box<dyn FnOnce(&mut Server, Target) -> String>;

fn no_fault(_: Target) -> String {
    let time = Duration::from_secs(2);
    thread::sleep(time);
    format!("nothing for {time:?}")
}

//! Clocks that jump, simulated by libfaketime between the server and the kernel's clocks.

use std::env::consts::ARCH;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tempfile::NamedTempFile;

use crate::ordeal::{HEADER_TIMEOUT, Target, wait_until};
use crate::peers::{client, connect, rest_of};
use crate::server::Server;

/// The clocks of one server.
pub struct Clocks(NamedTempFile);

impl Clocks {
    pub fn new() -> Self {
        let clocks = Clocks(NamedTempFile::new().expect("a file"));
        clocks.set("+0");
        clocks
    }

    /// The command of a server with these clocks. The monotonic clock jumps only if `with_monotonic`.
    pub fn server(&self, args: &[&str], with_monotonic: bool) -> Command {
        let library = format!("/usr/lib/{ARCH}-linux-gnu/faketime/libfaketime.so.1");
        assert!(Path::new(&library).exists(), "no {library}: apt install faketime");
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxy-echo"));
        command.args(args).env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", self.0.path());
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DISABLE_SHM", "1");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", if with_monotonic { "0" } else { "1" });
        command
    }

    /// Sets the clocks atomically: the server sees the old time or the new one, never half of it.
    fn set(&self, offset: &str) {
        let new = self.0.path().with_extension("new");
        fs::write(&new, offset).expect("a file");
        fs::rename(new, self.0.path()).expect("the same folder");
    }

    /// The time of day jumps ten years ahead and back, again and again.
    pub fn jump(&self, server: &mut Server, target: Target) -> String {
        let mut rng = Rng::with_seed(target.seed);
        let year = |server: &mut Server, rng: &mut Rng| -> u32 {
            let number = rng.u32(..);
            let mut stream = client(target.address, rng);
            stream.write_all(format!("mark {number}\n").as_bytes()).expect("the server reads");
            let line = server.wait_for(&format!("mark {number}<LF>"));
            line[..4].parse().expect("it begins with the year")
        };
        let present = year(server, &mut rng);
        let mut quiet = client(target.address, &mut rng);
        for (offset, years) in [("+3653d", 10), ("+0", 0), ("-3653d", -10), ("+0", 0)].repeat(3) {
            self.set(offset);
            let due = present.saturating_add_signed(years);
            wait_until("the log follows the time of day", || year(server, &mut rng), |year| year.abs_diff(due) <= 1);
        }
        quiet.set_nonblocking(true).expect("non-blocking");
        let error = quiet.read(&mut [0]).expect_err("nothing was said");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        "the time of day, 12 times by 10 years: the log follows, and no time limit is over".to_owned()
    }

    /// 49.7 days pass, after which milliseconds no longer fit into 32 bits. Time limits run across that moment.
    pub fn wrap(&self, target: Target) -> String {
        let mut rng = Rng::with_seed(target.seed);
        let half_header = || {
            let mut stream = connect(target.address);
            stream.write_all(b"PROXY TCP4 1.2.").expect("the server reads");
            stream
        };
        let mut before = half_header();
        client(target.address, &mut rng);
        // In two steps, because the server takes a time over 24.8 days back for a future one. The server's clock began
        // a little before the test's.
        self.set(&format!("+{}", (1u64 << 31) / 1000 - 100));
        assert_eq!(rest_of(&mut before), b"", "its time is over");
        self.set(&format!("+{}", (1u64 << 32) / 1000 - 5));
        let started = Instant::now();
        let mut times = Vec::new();
        while started.elapsed() < Duration::from_secs(5) {
            let start = Instant::now();
            assert_eq!(rest_of(&mut half_header()), b"");
            times.push(start.elapsed());
        }
        // The server counts whole milliseconds, and the first may have begun before the header.
        let slack = Duration::from_millis(20);
        for &time in &times {
            assert!(time + slack >= HEADER_TIMEOUT && time < 2 * HEADER_TIMEOUT, "closed after {times:?}");
        }
        let times: Vec<_> = times.iter().map(|time| format!("{time:.2?}")).collect();
        format!(
            "49.7 days pass, to where 32 bits of milliseconds wrap: headers are given {} across it",
            times.join(" and ")
        )
    }
}

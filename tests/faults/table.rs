//! Prints the figures of all rows as a Markdown table.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::ordeal::{Bounds, Ordeal, Outcome};

/// The rows so far.
#[derive(Clone, Default)]
pub struct Table(Arc<Mutex<Vec<String>>>);

impl Table {
    pub fn add(&self, name: &str, bounds: &Bounds, ordeal: &Ordeal, outcome: &Outcome) {
        let Outcome { did, tally, peak_kib, kib, took } = outcome;
        let mut row = format!("| {}: {did} | {} | ", name.replace('_', " "), tally.messages + tally.newcomers);
        let _ = write!(row, "{} of {} | ", millis(tally.p99), millis(bounds.p99()));
        let newcomer = if bounds.newcomers { millis(tally.slowest_newcomer) } else { "none came".to_owned() };
        let mib = |kib: usize| format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024);
        let memory = format!("{}, {}, {}", mib(ordeal.kib), mib(*peak_kib), mib(*kib));
        let _ = write!(row, "{newcomer} | {} | {memory} | {:.1} s |", ordeal.files, took.as_secs_f64());
        self.push(row);
    }

    pub fn push(&self, row: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(row);
    }

    pub fn print(&self) {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !rows.is_empty() {
            println!(
                "| fault | honest: exchanges | p99, bound | slowest newcomer | files before = after | MiB before, at most, after | time |"
            );
            println!("|---|---|---|---|---|---|---|\n{}\n", rows.join("\n"));
        }
    }
}

fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

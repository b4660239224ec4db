//! `--live`: a line of JSON for each second of the measured time.

use std::io;

use proxy_echo_args::json::Json;
use serde_json::json;

use crate::engine::Second;
use crate::lines::Lines;
use crate::plan::Plan;
use crate::samples::{Samples, percentile_name};

/// The version of the format.
const FORMAT: u32 = 1;
const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

/// The destination of the lines.
#[derive(Debug)]
pub struct Live {
    file: String,
    lines: Lines,
}

impl Live {
    /// Writes to `wanted`; `None` if no lines are wanted.
    ///
    /// # Errors
    ///
    /// Those of [`Lines::open`].
    pub fn open(wanted: &Json) -> io::Result<Option<Self>> {
        let file = match wanted {
            Json::Off => return Ok(None),
            Json::Stdout => "standard output".to_owned(),
            Json::File(path) => path.display().to_string(),
        };
        let lines = Lines::open(wanted);
        let lines = lines.map_err(|error| io::Error::new(error.kind(), format!("--live {file}: {error}")))?;
        Ok(Some(Live { file, lines }))
    }

    /// Writes the line of a `second` of the run with this number, from 1.
    pub fn report(&mut self, plan: &Plan, run: u32, second: &Second) {
        self.lines.write(line(plan, run, second, self.lines.left_out()));
    }

    /// Waits a moment for the last lines. Returns a note if some were not written.
    #[must_use]
    pub fn finish(self) -> Option<String> {
        self.lines.finish().map(|missing| format!("--live {}: {missing}", self.file))
    }
}

fn line(plan: &Plan, run: u32, second: &Second, left_out: u64) -> String {
    let totals = &second.totals;
    let object = json!({
        "format": FORMAT,
        "run": run,
        "second": second.index,
        "length_s": second.length_s,
        "offered_per_s": second.offered_per_s(plan),
        "achieved_per_s": second.achieved_per_s,
        "completed": second.completed,
        "bytes": second.bytes,
        "latency": latency(&second.latency),
        "connections": second.connections,
        "errors": {
            "connections_failed": totals.connections_failed,
            "connections_lost": totals.connections_lost,
            "requests_unanswered": totals.requests_unanswered,
            "verification": totals.verification.total(),
            "reasons": totals.errors,
        },
        "generator": {
            "cpu": second.cpu_mean(),
            "cpu_busiest_thread": second.cpu_busiest(),
        },
        "lines_left_out": left_out,
    });
    format!("{object}\n")
}

fn latency(samples: &Samples) -> serde_json::Value {
    let percentiles =
        PERCENTILES.map(|percentile| (percentile_name(percentile), json!(samples.percentile_ns(percentile))));
    json!({
        "count": samples.count(),
        "percentiles_ns": serde_json::Map::from_iter(percentiles),
        "max_ns": samples.max_ns(),
    })
}

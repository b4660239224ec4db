//! `--live`: a line of JSON for each second of the measured time. A thread of its own writes the lines, so that a slow or
//! absent reader delays nothing: lines that it has no room for are left out and counted.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

use proxy_echo_args::json::Json;
use serde_json::json;

use crate::engine::Second;
use crate::plan::Plan;
use crate::samples::{Samples, percentile_name};

/// Most lines that wait for a slow reader.
const MAX_QUEUED: usize = 64;
/// How long the program waits at its end for a slow reader.
const PATIENCE: Duration = Duration::from_secs(1);
/// The version of the format.
const FORMAT: u32 = 1;
const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

/// Where the lines go.
#[derive(Debug)]
pub struct Live {
    file: String,
    queue: SyncSender<String>,
    /// A word for each line that was written, and the error that ended it.
    written: Receiver<io::Result<()>>,
    lines: u64,
    left_out: u64,
}

impl Live {
    /// Writes to `wanted`; `None` if no lines are wanted.
    ///
    /// # Errors
    ///
    /// If the file cannot be created. A named pipe is opened once it has a reader.
    pub fn open(wanted: &Json) -> io::Result<Option<Self>> {
        let file = match wanted {
            Json::Off => return Ok(None),
            Json::Stdout => "standard output".to_owned(),
            Json::File(path) => path.display().to_string(),
        };
        let named = |error: io::Error| io::Error::new(error.kind(), format!("--live {file}: {error}"));
        let wanted = wanted.clone();
        let open = move || output(&wanted);
        let (queue, lines) = mpsc::sync_channel(MAX_QUEUED);
        let (sender, written) = mpsc::channel();
        let is_file = Path::new(&file).metadata().map_or(true, |metadata| metadata.is_file());
        let opened = if is_file { Some(open().map_err(named)?) } else { None };
        thread::Builder::new().name("live".to_owned()).spawn(move || {
            // Opening a named pipe waits for its reader.
            let result = opened.map_or_else(open, Ok).and_then(|out| write_all(out, &lines, &sender));
            if let Err(error) = result {
                // Nobody asks any more if the program did not wait.
                let _ = sender.send(Err(error));
            }
        })?;
        Ok(Some(Live { file, queue, written, lines: 0, left_out: 0 }))
    }

    /// Writes the line of a `second` of the run with this number, from 1. Never waits.
    pub fn report(&mut self, plan: &Plan, run: u32, second: &Second) {
        self.lines += 1;
        if let Err(TrySendError::Full(_)) = self.queue.try_send(line(plan, run, second, self.left_out)) {
            self.left_out += 1;
        }
    }

    /// Waits a moment for the last lines. Returns a note if some were not written.
    #[must_use]
    pub fn finish(self) -> Option<String> {
        let Live { file, queue, written, lines, .. } = self;
        drop(queue);
        let deadline = Instant::now() + PATIENCE;
        let mut missing = lines;
        let mut why = "its reader is slow".to_owned();
        while let Ok(result) = written.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            match result {
                Ok(()) => missing -= 1,
                Err(error) if error.kind() == ErrorKind::BrokenPipe => "its reader left".clone_into(&mut why),
                Err(error) => why = error.to_string(),
            }
        }
        (missing > 0).then(|| format!("--live {file}: {missing} of {lines} lines were not written: {why}"))
    }
}

fn output(wanted: &Json) -> io::Result<Box<dyn Write + Send>> {
    Ok(match wanted {
        // Opened again, a file behind standard error would be cut off.
        Json::File(path) if path == Path::new("/dev/stderr") => Box::new(io::stderr()),
        Json::File(path) => Box::new(File::create(path)?),
        Json::Off | Json::Stdout => Box::new(io::stdout()),
    })
}

fn write_all(mut out: impl Write, lines: &Receiver<String>, written: &mpsc::Sender<io::Result<()>>) -> io::Result<()> {
    for line in lines {
        out.write_all(line.as_bytes())?;
        out.flush()?;
        let _ = written.send(Ok(()));
    }
    Ok(())
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
            "cpu": second.cpu.iter().sum::<f64>() / second.cpu.len() as f64,
            "cpu_busiest_thread": second.cpu.iter().copied().fold(0.0, f64::max),
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

//! Writes the latency by interval as `HdrHistogram`'s interval log, which its `HistogramLogProcessor` and others read.

use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError, Tag};

use super::{Side, timeline, words};

/// The log's column of maxima is in ms, as the Java implementation writes it. The histograms are in ns.
const MAX_DIVISOR: f64 = 1e6;

/// Writes the intervals of all `sides`, tagged `A` and `B` if there are two.
pub(super) fn write(out: &mut dyn Write, sides: &[Side]) -> io::Result<()> {
    let mut log = IntervalLogWriterBuilder::new();
    log.add_comment("[Histogram log format version 1.3]").with_max_value_divisor(MAX_DIVISOR);
    for Side { letter, name, result, .. } in sides {
        let name = words::plain(name);
        log.add_comment(&format!("[Latency from the scheduled send, in ns; {}]", words::sided(*letter, &name)));
        if result.runs.len() > 1 {
            log.add_comment(&format!("[{} runs, as if one had followed the other at once]", result.runs.len()));
        }
    }
    // A file that was changed by hand may have any text there. Times are then relative to the start.
    let started = sides.first().and_then(|side| humantime::parse_rfc3339_weak(&side.result.started).ok());
    if let Some(started) = started {
        log.with_start_time(started).with_base_time(started);
    }

    let mut lines: Vec<_> = sides
        .iter()
        .flat_map(|side| timeline::place(&side.result.intervals).into_iter().map(|placed| (side.letter, placed)))
        .collect();
    lines.sort_by(|(_, one), (_, other)| one.start_s.total_cmp(&other.start_s));

    let (mut out, mut serializer) = (out, V2DeflateSerializer::new());
    let mut log = log.begin_log_with(&mut out, &mut serializer)?;
    for (letter, placed) in lines {
        let seconds = |value_s| Duration::try_from_secs_f64(value_s).unwrap_or_default();
        let (start, length) = (seconds(placed.start_s), seconds(placed.interval.length_s));
        log.write_histogram(placed.interval.latency.histogram(), start, length, letter.and_then(Tag::new)).map_err(
            |error| match error {
                IntervalLogWriterError::IoError(error) => error,
                error @ IntervalLogWriterError::SerializeError(_) => io::Error::other(error),
            },
        )?;
    }
    Ok(())
}

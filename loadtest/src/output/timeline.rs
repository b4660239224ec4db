//! Puts the intervals of all runs on one time axis; those of each run begin at 0.

use crate::result::Interval;

/// An interval with its place on the axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    /// Its start in s since the start of the first run's measured time, as if the runs had followed each other without
    /// a pause.
    pub start_s: f64,
    /// Whether it is the first of a run.
    pub begins_run: bool,
    /// The interval.
    pub interval: &'a Interval,
}

/// All of `intervals`, in their order.
pub(super) fn place(intervals: &[Interval]) -> Vec<Placed<'_>> {
    let mut offset_s = 0.0;
    let mut end_s = 0.0;
    let mut before_s = f64::INFINITY;
    let mut placed = Vec::with_capacity(intervals.len());
    for interval in intervals {
        let begins_run = interval.start_s <= before_s;
        if begins_run {
            offset_s = end_s;
        }
        let start_s = offset_s + interval.start_s;
        placed.push(Placed { start_s, begins_run, interval });
        before_s = interval.start_s;
        end_s = start_s + interval.length_s;
    }
    placed
}

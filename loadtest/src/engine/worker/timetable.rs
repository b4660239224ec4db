//! The times of a run, and the present phase of a worker.

use crate::plan::Plan;

/// A time that never comes.
pub(super) const NEVER: u64 = u64::MAX;
/// Longest wait for answers after an interrupt, in ns.
const INTERRUPTED_DRAIN_NS: u64 = 1_000_000_000;

/// The phases of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It opens connections.
    Dialing,
    /// It waits for the other workers and for the start.
    Waiting,
    /// It makes the load: warm-up and measured time.
    Running,
    /// It sends no more, and waits for answers.
    Draining,
    Done,
}

/// An event of the timetable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The load begins.
    Start,
    /// The measured time begins.
    Measure,
    /// The interval with this index begins.
    Interval(usize),
    /// The measured time ends.
    End,
    /// No mark is due.
    None,
}

/// The times of a run in ns, by the clock of `Control`.
#[derive(Debug)]
pub(super) struct Timetable {
    pub(super) phase: Phase,
    pub(super) start_ns: u64,
    pub(super) measure_ns: u64,
    pub(super) end_ns: u64,
    /// The time of the next [`Mark`].
    pub(super) next_mark_ns: u64,
    pub(super) is_measuring: bool,
    drain_end_ns: u64,
    warmup_ns: u64,
    duration_ns: u64,
    timeout_ns: u64,
    interval_ns: u64,
    intervals: u64,
}

impl Timetable {
    /// The timetable of `plan`, with `intervals` in its measured time. The start is not known yet.
    pub(super) fn new(plan: &Plan, intervals: usize) -> Self {
        let duration_ns = plan.duration.as_nanos() as u64;
        Timetable {
            phase: Phase::Dialing,
            start_ns: NEVER,
            measure_ns: NEVER,
            end_ns: NEVER,
            next_mark_ns: NEVER,
            is_measuring: false,
            drain_end_ns: NEVER,
            warmup_ns: plan.warmup.as_nanos() as u64,
            duration_ns,
            timeout_ns: plan.timeout.as_nanos() as u64,
            interval_ns: duration_ns.div_ceil(intervals as u64),
            intervals: intervals as u64,
        }
    }

    /// Sets the start of the load.
    pub(super) fn begin_at(&mut self, start_ns: u64) {
        self.start_ns = start_ns;
        self.measure_ns = start_ns + self.warmup_ns;
        self.end_ns = self.measure_ns + self.duration_ns;
        self.next_mark_ns = start_ns;
    }

    /// Passes the mark that is due at `now_ns`. The caller repeats this until no mark is due.
    pub(super) fn pass(&mut self, now_ns: u64) -> Mark {
        match self.phase {
            Phase::Waiting => {
                self.phase = Phase::Running;
                self.next_mark_ns = self.measure_ns;
                Mark::Start
            }
            Phase::Running if now_ns >= self.end_ns => {
                self.end();
                Mark::End
            }
            Phase::Running if !self.is_measuring => {
                self.is_measuring = true;
                Mark::Measure
            }
            Phase::Running => {
                let index = ((now_ns - self.measure_ns) / self.interval_ns).min(self.intervals - 1);
                self.next_mark_ns = (self.measure_ns + (index + 1) * self.interval_ns).min(self.end_ns);
                Mark::Interval(index as usize)
            }
            Phase::Draining => {
                self.phase = Phase::Done;
                Mark::None
            }
            Phase::Dialing | Phase::Done => {
                self.next_mark_ns = NEVER;
                Mark::None
            }
        }
    }

    /// Ends the measured time early.
    pub(super) fn end_early(&mut self, now_ns: u64) {
        self.end_ns = now_ns;
        self.end();
    }

    /// Shortens the remaining waits after an interrupt.
    pub(super) fn hurry(&mut self, now_ns: u64) {
        self.drain_end_ns = self.drain_end_ns.min(now_ns + INTERRUPTED_DRAIN_NS);
        self.next_mark_ns = self.drain_end_ns;
    }

    fn end(&mut self) {
        self.phase = Phase::Draining;
        self.drain_end_ns = self.end_ns + self.timeout_ns;
        self.next_mark_ns = self.drain_end_ns;
    }

    /// The length of the measured time.
    pub(super) fn measured_ns(&self) -> u64 {
        if self.end_ns == NEVER { 0 } else { self.end_ns.saturating_sub(self.measure_ns) }
    }
}

//! Makes a load and measures it: starts the workers, gives them a common start, waits for them, and joins their
//! results.

mod alarm;
mod connection;
mod control;
mod latencies;
mod resolver;
mod schedule;
mod second;
mod server;
mod summary;
mod tally;
mod worker;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime};

use mio::Waker;

use self::control::Control;
use self::resolver::Resolver;
pub use self::second::Second;
use self::second::Seconds;
use self::server::ServerProbe;
use self::summary::{pieces, put_together};
use self::worker::{Outcome, Word, Worker};
use crate::environment::Witness;
use crate::pattern::Pattern;
use crate::plan::{Plan, PlanError};
use crate::result::RunResult;

/// Time from the last connection to the start, so that all workers learn the start in time.
const LEAD_NS: u64 = 5_000_000;
/// Time between two reports of progress and checks for an interrupt.
const PERIOD: Duration = Duration::from_millis(50);

/// The progress of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// A second of the measured time is over. Reported only if the plan asks for it.
    Second(Box<Second>),
    /// This many connections are open.
    Opening(u64),
    /// The load runs.
    Running {
        /// Connections that were opened and not lost.
        alive: u64,
        /// Answered messages.
        completed: u64,
        /// Since the start, warm-up included.
        elapsed: Duration,
    },
}

/// Makes the load of `plan` once. If `interrupt` becomes true, it ends early with the results so far.
///
/// # Errors
///
/// Nothing could be measured.
pub fn run(plan: &Plan, interrupt: &AtomicBool, progress: &mut dyn FnMut(Progress)) -> Result<RunResult, EngineError> {
    let fd_limit = plan.reserve()?;
    let probe = |pid| ServerProbe::new(pid).map_err(|error| EngineError::Server(pid, error));
    let mut server = plan.server_pid.map(probe).transpose()?;
    let mut crew = Crew::start(plan)?;
    crew.await_ready(interrupt, progress)?;
    if let Some(server) = &mut server {
        server.opened();
    }
    let witness = Witness::new();
    let started = crew.begin(plan);
    let _resolver = Resolver::start(plan, &crew.control, &crew.wakers)?;
    let outcomes = crew.await_done(plan, interrupt, server.as_mut(), progress)?;
    let server = server.and_then(ServerProbe::finish);
    Ok(put_together(plan, outcomes, &witness, server, started, fd_limit))
}

/// The workers.
struct Crew {
    control: Arc<Control>,
    wakers: Arc<Vec<Waker>>,
    words: Receiver<Word>,
    outcomes: Vec<Outcome>,
    seconds: Seconds,
    start_ns: u64,
}

impl Crew {
    fn start(plan: &Plan) -> Result<Self, EngineError> {
        let threads = plan.threads as usize;
        let control = Arc::new(Control::new(threads));
        let pattern = Arc::new(Pattern::new(plan.size, plan.connections));
        let shared = Arc::new(plan.clone());
        let (sender, words) = mpsc::channel();
        let mut wakers = Vec::with_capacity(threads);
        let pieces = pieces(plan);
        for index in 0..threads {
            let (plan, pattern, control) = (shared.clone(), pattern.clone(), control.clone());
            let (worker, waker) = Worker::new(plan, pattern, control, sender.clone(), index, pieces)?;
            wakers.push(waker);
            thread::Builder::new().name(format!("worker-{index}")).spawn(move || worker.run())?;
        }
        Ok(Crew {
            control,
            wakers: Arc::new(wakers),
            words,
            outcomes: Vec::with_capacity(threads),
            seconds: Seconds::new(threads),
            start_ns: 0,
        })
    }

    fn wake(&self) {
        for waker in self.wakers.iter() {
            // If waking fails, the worker's own alarm wakes it.
            let _ = waker.wake();
        }
    }

    fn keep(&mut self, outcome: Outcome) {
        self.seconds.end(outcome.index);
        self.outcomes.push(outcome);
    }

    fn look_for(&self, interrupt: &AtomicBool) {
        if interrupt.load(Ordering::Relaxed) && !self.control.is_stopped() {
            self.control.stop();
            self.wake();
        }
    }

    /// Waits until all connections are open or have failed.
    fn await_ready(&mut self, interrupt: &AtomicBool, progress: &mut dyn FnMut(Progress)) -> Result<(), EngineError> {
        let mut ready = 0;
        while ready + self.outcomes.len() < self.wakers.len() {
            match self.words.recv_timeout(PERIOD) {
                Ok(Word::Ready) => ready += 1,
                Ok(Word::Second(worker, second)) => self.seconds.add(worker, *second),
                Ok(Word::Done(outcome)) => self.keep(*outcome),
                Ok(Word::Failed(error)) => return Err(error.into()),
                Err(RecvTimeoutError::Timeout) => progress(Progress::Opening(self.control.opened())),
                Err(RecvTimeoutError::Disconnected) => return Err(EngineError::Lost),
            }
            self.look_for(interrupt);
        }
        Ok(())
    }

    /// Sets the start of the load. Returns its time.
    fn begin(&mut self, plan: &Plan) -> SystemTime {
        let (now, now_ns) = (SystemTime::now(), self.control.now_ns());
        let wait = plan.start_at.and_then(|at| at.duration_since(now).ok()).unwrap_or_default();
        let lead = Duration::from_nanos(LEAD_NS).max(wait);
        self.start_ns = now_ns + lead.as_nanos() as u64;
        self.control.begin(self.start_ns);
        self.wake();
        now + lead + plan.warmup
    }

    /// Waits until all workers are done. Reads the server's resource use at the begin and the end of the measured time.
    fn await_done(
        mut self,
        plan: &Plan,
        interrupt: &AtomicBool,
        mut server: Option<&mut ServerProbe>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Outcome>, EngineError> {
        let measure_ns = self.start_ns + plan.warmup.as_nanos() as u64;
        let mut marks = vec![measure_ns + plan.duration.as_nanos() as u64, measure_ns];
        let mut next_progress_ns = 0;
        while self.outcomes.len() < self.wakers.len() {
            let now_ns = self.control.now_ns();
            if marks.last().is_some_and(|&mark_ns| mark_ns <= now_ns) {
                marks.pop();
                if let Some(server) = &mut server {
                    server.mark(now_ns);
                }
                continue;
            }
            let until_mark = marks.last().map_or(PERIOD, |&mark_ns| Duration::from_nanos(mark_ns - now_ns));
            match self.words.recv_timeout(PERIOD.min(until_mark)) {
                Ok(Word::Done(outcome)) => self.keep(*outcome),
                Ok(Word::Second(worker, second)) => self.seconds.add(worker, *second),
                Ok(Word::Failed(error)) => return Err(error.into()),
                Ok(Word::Ready) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(EngineError::Lost),
            }
            // Waiting took time.
            let now_ns = self.control.now_ns();
            while let Some(mut second) = self.seconds.next() {
                second.connections = self.control.opened();
                progress(Progress::Second(Box::new(second)));
            }
            if interrupt.load(Ordering::Relaxed) && !self.control.is_stopped() {
                marks.retain(|&mark_ns| mark_ns <= now_ns);
                if let Some(server) = &mut server {
                    server.mark(now_ns);
                }
            }
            self.look_for(interrupt);
            if now_ns >= next_progress_ns && now_ns > self.start_ns {
                next_progress_ns = now_ns + PERIOD.as_nanos() as u64;
                progress(Progress::Running {
                    alive: self.control.opened(),
                    completed: self.control.completed(),
                    elapsed: Duration::from_nanos(now_ns - self.start_ns),
                });
            }
        }
        // The workers may be done before this thread notices the end, or may have ended early.
        if let (Some(server), 1) = (server, marks.len()) {
            server.mark(self.control.now_ns());
        }
        Ok(self.outcomes)
    }
}

/// Why nothing could be measured.
#[derive(Debug)]
pub enum EngineError {
    /// The plan is impossible.
    Plan(PlanError),
    /// The system refuses what a worker needs.
    System(io::Error),
    /// The process of `--server-pid` cannot be read.
    Server(u32, io::Error),
    /// A worker ended without a result.
    Lost,
}

impl From<PlanError> for EngineError {
    fn from(error: PlanError) -> Self {
        EngineError::Plan(error)
    }
}

impl From<io::Error> for EngineError {
    fn from(error: io::Error) -> Self {
        EngineError::System(error)
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Plan(error) => error.fmt(f),
            EngineError::System(error) => write!(f, "the system refuses what the load needs: {error}"),
            EngineError::Server(pid, error) => write!(f, "--server-pid {pid}: {error}"),
            EngineError::Lost => write!(f, "a worker ended without a result"),
        }
    }
}

impl std::error::Error for EngineError {}

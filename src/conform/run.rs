//! Runs the cases: first a few to prove that acceptance can be told from refusal, then all, then those that seem missed
//! once more.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use super::Error;
use super::case::{self, Job};
use super::exchange::{Heard, Outcome, exchange};
use super::setting::Setting;
use super::verdict::{Abilities, Judged, judge};
use crate::cli::Delivery;

/// How the cases are run.
pub(super) struct Runner<'a> {
    pub(super) address: SocketAddr,
    pub(super) setting: &'a Setting,
    pub(super) timeout: Duration,
    pub(super) parallel: usize,
}

/// Headers that every receiver of the version accepts.
const VALID: [&str; 2] = ["v1-tcp4", "v2-tcp4"];

/// Inputs of which every receiver must refuse at least one; otherwise acceptance cannot be told from refusal. A
/// receiver that also takes connections without a header may have reasons to answer the others.
const GARBAGE: [&str; 3] = ["stranger-words", "v2-version-3", "v1-tcp4-space-alone"];

impl Runner<'_> {
    /// Proves that the settings can tell acceptance from refusal. Returns the abilities of the receiver.
    pub(super) fn prove(&self) -> Result<Abilities, Error> {
        let all = case::all()?;
        let ask = |id: &str| {
            let found = all.iter().find(|case| case.id == id);
            let case = found.ok_or_else(|| Error::NoCase(id.to_owned()))?.clone();
            let bytes = case.bytes()?;
            Ok::<_, Error>(self.ask_twice(&Job { case, delivery: Delivery::Together, bytes }))
        };
        let mut valid = Vec::new();
        for id in VALID {
            let heard = ask(id)?;
            if let Outcome::Unreachable(error) = &heard.outcome {
                return Err(Error::Unreachable(self.address.to_string(), error.clone()));
            }
            valid.push(heard);
        }
        let versions = [&valid[0], &valid[1]].map(|heard| heard.outcome == Outcome::Accepted);
        if versions == [false; 2] {
            return Err(Error::NothingAccepted(valid[0].to_string(), valid[1].to_string()));
        }
        let mut garbage = Vec::new();
        for id in GARBAGE {
            garbage.push(ask(id)?);
        }
        // If answers show the client, a receiver that read the header differs from one that serves anybody.
        let is_shown = self.setting.shows.is_some() && valid.iter().any(Heard::is_accepted_as_it_is);
        if garbage.iter().all(|heard| heard.outcome == Outcome::Accepted) && !is_shown {
            return Err(Error::EverythingAccepted(garbage[0].to_string()));
        }
        Ok(Abilities { versions, ..Abilities::default() })
    }

    /// Sends a valid header; if it is not accepted, tries again with more time.
    fn ask_twice(&self, job: &Job) -> Heard {
        let heard = exchange(self.address, job, self.setting, self.timeout);
        if judge(job, &heard).is_missed() { exchange(self.address, job, self.setting, 2 * self.timeout) } else { heard }
    }

    /// Runs `jobs`, and returns their verdicts in the same order.
    pub(super) fn run(&self, mut abilities: Abilities, jobs: Vec<Job>) -> Result<Vec<Judged>, Error> {
        // Run the cases that others depend on first, even if they were not selected.
        let all = case::all()?;
        let mut bases: Vec<&str> = jobs.iter().filter_map(|job| Some(job.case.given.as_ref()?.id.as_str())).collect();
        bases.sort_unstable();
        bases.dedup();
        for case in all.iter().filter(|case| bases.contains(&case.id.as_str())) {
            let job = Job { case: case.clone(), delivery: Delivery::Together, bytes: case.bytes()? };
            let heard = self.ask_twice(&job);
            abilities.accepted.insert(case.id.clone(), heard.outcome == Outcome::Accepted);
        }
        let judged = Self::each(jobs, self.parallel, |job| {
            if let Some(reason) = abilities.reason_to_skip(&job.case) {
                return Judged::skipped(job, reason);
            }
            let heard = exchange(self.address, &job, self.setting, self.timeout);
            Judged::new(job, heard)
        });
        // The machine may have been busy, which is not the receiver's fault: retry with fewer at a time and more time.
        Ok(Self::each(judged, self.parallel.div_ceil(4), |judged| {
            if !judged.verdict.is_missed() {
                return judged;
            }
            let heard = exchange(self.address, &judged.job, self.setting, 2 * self.timeout);
            Judged::new(judged.job, heard)
        }))
    }

    /// Does `work` on each of `items` in `parallel` threads, and returns the results in the order of the items. It
    /// begins with the last items, which are slow.
    fn each<T: Send, R: Send>(items: Vec<T>, parallel: usize, work: impl Fn(T) -> R + Sync) -> Vec<R> {
        let count = items.len();
        let queue = Mutex::new(items.into_iter().enumerate().rev());
        let done = Mutex::new(Vec::with_capacity(count));
        // If another thread panicked, the scope reports it.
        let next = || queue.lock().ok()?.next();
        thread::scope(|scope| {
            for _ in 0..parallel.min(count) {
                scope.spawn(|| {
                    while let Some((index, item)) = next() {
                        let result = work(item);
                        if let Ok(mut done) = done.lock() {
                            done.push((index, result));
                        }
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_default();
        done.sort_by_key(|&(index, _)| index);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

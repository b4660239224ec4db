//! Shows the progress of a run, if standard error is a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::engine::Progress;
use crate::plan::{Kind, Plan};

/// A line on the terminal.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// A progress line. It is hidden if `quiet` or if standard error is not a terminal.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let bar = if quiet || !std::io::stderr().is_terminal() { ProgressBar::hidden() } else { ProgressBar::new(0) };
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}");
        Bar(style.map_or(bar.clone(), |style| bar.with_style(style.progress_chars("=> "))))
    }

    /// Returns a function that shows the progress of a run of `plan`.
    pub fn watch(&self, plan: &Plan, what: &str) -> impl FnMut(Progress) + use<> {
        let (bar, kind) = (self.0.clone(), plan.kind);
        let connections = plan.own(plan.connections);
        let whole_ms = (plan.warmup + plan.duration).as_millis() as u64;
        bar.set_prefix(what.to_owned());
        let mut last = (0, 0.0);
        move |progress| match progress {
            Progress::Second(_) => {}
            Progress::Opening(opened) => {
                bar.set_length(connections);
                bar.set_position(opened);
                bar.set_message(format!("{opened} of {connections} connections are open"));
            }
            Progress::Running { alive, completed, elapsed } => {
                let elapsed_s = elapsed.as_secs_f64();
                let rate = (completed - last.0) as f64 / (elapsed_s - last.1).max(1e-3);
                last = (completed, elapsed_s);
                bar.set_length(whole_ms);
                bar.set_position((elapsed.as_millis() as u64).min(whole_ms));
                bar.set_message(match kind {
                    Kind::Idle => format!("{elapsed_s:.1} s, {alive} connections are alive"),
                    _ => format!("{elapsed_s:.1} s, {rate:.0} messages/s"),
                });
            }
        }
    }

    /// Removes the line.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

//! Shows the progress of a run on standard error: as a view in a terminal, as a line now and then elsewhere.

mod view;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use proxy_echo_args::json::Json;

use self::view::View;
use crate::cli::OutputArgs;
use crate::engine::Progress;
use crate::lines::{Lines, STDERR};
use crate::output::has_table;
use crate::plan::Plan;

/// Time between two drawings of the view.
const VIEW_PERIOD: Duration = Duration::from_secs(1);
/// Time between two lines.
const LINE_PERIOD: Duration = Duration::from_secs(5);

/// The place where progress is shown.
#[derive(Debug)]
pub struct Bar {
    output: Output,
    /// The next time to show it.
    next: Instant,
}

#[derive(Debug)]
enum Output {
    None,
    View(ProgressBar),
    Lines(Lines),
}

impl Bar {
    /// Progress in addition to these outputs. Nothing is shown if it is not wanted, if `--live` is in its place, or if
    /// a program reads standard output, which may be mixed with standard error (as in the log of a container).
    #[must_use]
    pub fn new(outputs: &OutputArgs) -> Self {
        let has_place = match &outputs.live {
            Json::Off => true,
            Json::Stdout => false,
            Json::File(path) => path != Path::new(STDERR),
        };
        let is_terminal = io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let output = if outputs.quiet || outputs.no_progress || !has_place {
            Output::None
        } else if is_terminal {
            let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            Output::View(ProgressBar::new(0).with_style(style))
        } else if has_table(outputs) {
            Lines::open(&Json::File(STDERR.into())).map_or(Output::None, Output::Lines)
        } else {
            Output::None
        };
        let wait = if matches!(output, Output::View(_)) { Duration::ZERO } else { LINE_PERIOD };
        Bar { output, next: Instant::now() + wait }
    }

    /// Whether anything is shown.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        !matches!(self.output, Output::None)
    }

    /// Returns a function that shows the progress of a run of `plan`, named `what`.
    pub fn watch(&mut self, plan: &Plan, what: &str) -> impl FnMut(&Progress) {
        let mut view = View::new(plan, what);
        move |progress| {
            view.take(progress);
            let now = Instant::now();
            if now < self.next {
                return;
            }
            match &mut self.output {
                Output::None => {}
                Output::View(bar) => {
                    bar.set_message(view.text());
                    self.next = now + VIEW_PERIOD;
                }
                Output::Lines(lines) => {
                    lines.write(view.line() + "\n");
                    self.next = now + LINE_PERIOD;
                }
            }
        }
    }

    /// Removes the view, or waits a moment for the last lines.
    pub fn finish(&mut self) {
        match std::mem::replace(&mut self.output, Output::None) {
            Output::None => {}
            Output::View(bar) => bar.finish_and_clear(),
            // Lines that were not written do not matter here.
            Output::Lines(lines) => drop(lines.finish()),
        }
    }
}

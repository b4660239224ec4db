//! `rr`, `crr`, `stream`, `idle`: one target, one load, one or more runs.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::CommandError;
use crate::cli::RunArgs;
use crate::engine::{self, Progress};
use crate::join::{self, How};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::plan::{Kind, Plan};
use crate::progress::Bar;
use crate::result::{INTERRUPTED, Report, RunResult};

pub(super) fn run(kind: Kind, args: &RunArgs, interrupt: &AtomicBool) -> Result<Report, CommandError> {
    let mut plan = Plan::new(kind, &args.target, &args.load)?;
    plan.runs = args.runs;
    plan.server_pid = args.server_pid;
    if let Some(text) = &args.shard {
        plan.take_shard(text)?;
    }
    if let Some(text) = &args.start_at {
        plan.begin_at(text)?;
    }
    let mut live = Live::open(&args.output.live).map_err(|error| CommandError::Usage(error.to_string()))?;
    let metrics = args.metrics.map(|address| serve(address, args.output.quiet)).transpose()?;
    let mut bar = Bar::new(&args.output);
    plan.live = live.is_some() || metrics.is_some() || bar.is_shown();
    let mut results = Vec::new();
    for index in 0..plan.runs {
        let what = format!("run {} of {}", index + 1, plan.runs);
        let mut watch = bar.watch(&plan, &what);
        let result = measure_with(&plan, interrupt, &mut |progress| {
            if let (Progress::Second(second), Some(live)) = (&progress, &mut live) {
                live.report(&plan, index + 1, second);
            }
            if let Some(metrics) = &metrics {
                metrics.report(&plan, index + 1, &progress);
            }
            watch(&progress);
        })?;
        results.push(result);
        if interrupt.load(Ordering::Relaxed) {
            break;
        }
    }
    bar.finish();
    let unwritten = live.and_then(Live::finish);
    let is_short = results.len() < plan.runs as usize;
    let mut whole = join::join(results, How::OneAfterTheOther);
    if is_short && whole.cut_short.is_none() {
        whole.cut_short = Some(INTERRUPTED.to_owned());
    }
    whole.notes.extend(unwritten);
    whole.slo = plan.slo.as_ref().map(|slo| slo.judge(&whole));
    Ok(Report::Run(Box::new(whole)))
}

/// Serves metrics, and prints where.
fn serve(address: SocketAddr, is_quiet: bool) -> Result<Metrics, CommandError> {
    let (metrics, address) = Metrics::serve(address).map_err(|error| CommandError::Usage(error.to_string()))?;
    if !is_quiet {
        // Go on even if the line cannot be printed.
        let _ = writeln!(io::stderr(), "metrics are at http://{address}/metrics");
    }
    Ok(metrics)
}

/// Makes one run. `bar` shows its progress under the name `what`.
///
/// # Errors
///
/// The run had no connection.
pub(super) fn measure(
    plan: &Plan,
    bar: &mut Bar,
    what: &str,
    interrupt: &AtomicBool,
) -> Result<RunResult, CommandError> {
    let plan = Plan { live: bar.is_shown(), ..plan.clone() };
    let mut watch = bar.watch(&plan, what);
    measure_with(&plan, interrupt, &mut |progress| watch(&progress))
}

fn measure_with(
    plan: &Plan,
    interrupt: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<RunResult, CommandError> {
    let result = engine::run(plan, interrupt, progress)?;
    if result.totals.connections_opened == 0 && !interrupt.load(Ordering::Relaxed) {
        return Err(CommandError::Failed(format!("cannot connect to {}: {}", plan.target_text(), why(&result))));
    }
    Ok(result)
}

/// Why there was no connection, for each address if there are several.
fn why(result: &RunResult) -> String {
    let of = |errors: &std::collections::BTreeMap<String, u64>| {
        let why = errors.keys().next().map_or("no connection was made", String::as_str);
        why.strip_prefix("connect: ").unwrap_or(why).to_owned()
    };
    if result.by_address.len() < 2 {
        return of(&result.totals.errors);
    }
    let each = result.by_address.iter().map(|address| format!("{} ({})", address.address, of(&address.errors)));
    format!("all its addresses fail: {}", each.collect::<Vec<_>>().join(", "))
}

//! `merge` and `report`: results that were measured earlier.

use std::path::{Path, PathBuf};

use super::CommandError;
use crate::beside::beside;
use crate::cli::{MergeArgs, ReportArgs};
use crate::join::{How, join};
use crate::judge;
use crate::output;
use crate::result::{Beside, Report, RunResult};
use crate::slo::Slo;

/// The most that the starts of shards may differ without a note, as a share of the measured time.
const NOTABLE: f64 = 0.1;

pub(super) fn report(args: &ReportArgs) -> Result<Report, CommandError> {
    let mut reports = args.files.iter().map(|file| reread(file)).collect::<Result<Vec<_>, _>>()?;
    if reports.len() == 1 {
        return Ok(reports.remove(0));
    }
    let mut runs = Vec::with_capacity(reports.len());
    for (name, report) in names(&args.files).into_iter().zip(reports) {
        match report {
            Report::Run(result) => runs.push(Beside { name, result: *result }),
            _ => return Err(CommandError::Usage(format!("{name}: only runs can be shown side by side"))),
        }
    }
    let mut report = Report::Beside(Box::new(beside(runs).map_err(CommandError::Usage)?));
    judge::conclude(&mut report, None);
    Ok(report)
}

/// The files' names without directory and ending, if they are all different; else their paths.
fn names(files: &[PathBuf]) -> Vec<String> {
    let stem = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let stems: Vec<_> = files.iter().map(stem).collect();
    let is_unique = stems.iter().enumerate().all(|(index, stem)| !stems[..index].contains(stem));
    if is_unique { stems } else { files.iter().map(|path| path.display().to_string()).collect() }
}

fn reread(file: &Path) -> Result<Report, CommandError> {
    let mut report = output::read_report(file).map_err(|error| CommandError::Usage(error.to_string()))?;
    // Version 1 of the format had no verdict.
    let is_without = match &report {
        Report::Run(result) => result.verdict.is_none(),
        Report::Compare(result) => result.verdict.is_none(),
        Report::Search(result) => result.verdict.is_none(),
        Report::Beside(result) => result.verdict.is_none(),
    };
    if is_without {
        judge::conclude(&mut report, None);
    }
    Ok(report)
}

pub(super) fn merge(args: &MergeArgs) -> Result<Report, CommandError> {
    let slo =
        args.slo.as_deref().map(Slo::parse).transpose().map_err(|error| CommandError::Usage(error.to_string()))?;
    let mut parts = Vec::with_capacity(args.files.len());
    for file in &args.files {
        let name = file.display().to_string();
        match output::read_report(file).map_err(|error| CommandError::Usage(error.to_string()))? {
            Report::Run(result) => parts.push((name, *result)),
            _ => return Err(CommandError::Usage(format!("{name}: only runs have shards to merge"))),
        }
    }
    check(&parts).map_err(CommandError::Usage)?;
    parts.sort_by_key(|(_, part)| part.shard.map(|shard| shard.index));
    let apart = apart(&parts);
    let mut whole = join(parts.into_iter().map(|(_, part)| part).collect(), How::AtTheSameTime);
    whole.shard = None;
    whole.notes.extend(apart);
    whole.slo = slo.map(|slo| slo.judge(&whole));
    Ok(Report::Run(Box::new(whole)))
}

/// A note about shards that did not begin together, because their loads are added up.
fn apart(parts: &[(String, RunResult)]) -> Option<String> {
    let starts = parts.iter().filter_map(|(_, part)| humantime::parse_rfc3339(&part.started).ok());
    let (first, last) = (starts.clone().min()?, starts.max()?);
    let apart = last.duration_since(first).unwrap_or_default();
    let is_much = apart.as_secs_f64() > parts[0].1.measured_s * NOTABLE;
    is_much
        .then(|| format!("the shards began {:.1} s apart: --start-at makes them begin together", apart.as_secs_f64()))
}

/// Checks that `parts` are all the shards of one measurement, each once and each valid.
///
/// # Errors
///
/// A sentence that says what is wrong.
pub fn check(parts: &[(String, RunResult)]) -> Result<(), String> {
    let Some((first_name, first)) = parts.first() else { return Err("there is nothing to merge".to_owned()) };
    let mut count = None;
    let mut seen: Vec<(u32, &str)> = Vec::new();
    for (name, part) in parts {
        let Some(shard) = part.shard else { return Err(format!("{name}: it is no shard (--shard)")) };
        if *count.get_or_insert(shard.count) != shard.count {
            return Err(format!("{name}: it is one of {}, {first_name} is not", shard.count));
        }
        if part.settings != first.settings {
            return Err(format!("{name}: its settings are not those of {first_name}"));
        }
        if let Some(why) = part.invalid.first() {
            return Err(format!("{name}: it is INVALID: {why}"));
        }
        if let Some(why) = &part.cut_short {
            return Err(format!("{name}: it ended early: {why}"));
        }
        if let Some((_, other)) = seen.iter().find(|(index, _)| *index == shard.index) {
            return Err(format!("{name}: it is shard {}, as {other} is", shard.index));
        }
        seen.push((shard.index, name));
    }
    match (1..=count.unwrap_or(0)).find(|index| !seen.iter().any(|(found, _)| found == index)) {
        Some(missing) => Err(format!("shard {missing} of {} is missing", count.unwrap_or(0))),
        None => Ok(()),
    }
}

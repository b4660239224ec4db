//! The resources that the process uses, read from the kernel.

/// Figures of this process.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(super) struct Process {
    pub(super) resident_bytes: u64,
    pub(super) open_files: u64,
    pub(super) max_files: u64,
    pub(super) cpu_seconds: f64,
}

/// Reads the figures. The caller counts `open_files`.
#[cfg(target_os = "linux")]
pub(super) fn read(open_files: u64) -> Option<Process> {
    use std::time::Duration;
    let process = procfs::process::Process::myself().ok()?;
    let stat = process.stat().ok()?;
    let (max_files, _) = rlimit::Resource::NOFILE.get().ok()?;
    let resident_bytes = stat.rss * procfs::page_size();
    let cpu = Duration::from_millis((stat.utime + stat.stime) * 1000 / procfs::ticks_per_second());
    let cpu_seconds = cpu.as_secs_f64();
    Some(Process { resident_bytes, open_files, max_files, cpu_seconds })
}

/// Other systems do not have them.
#[cfg(not(target_os = "linux"))]
pub(super) fn read(_: u64) -> Option<Process> {
    None
}

/// The number of open files. The kernel walks through all of them to count: ask once, while they are few.
#[cfg(target_os = "linux")]
pub(super) fn count_files() -> usize {
    // One of them is open for the walk itself.
    procfs::process::Process::myself().and_then(|process| process.fd_count()).map_or(0, |count| count.saturating_sub(1))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn count_files() -> usize {
    0
}

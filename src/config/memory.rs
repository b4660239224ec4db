//! How much memory the process may have, as far as the system tells.

use std::fs;
use std::path::Path;

/// Bytes that the process could still take: the least of what its limit of address space, its cgroup and the machine have
/// left. `None` where none of them is known.
pub(super) fn available() -> Option<u64> {
    [address_space(), control_group(), machine()].into_iter().flatten().min()
}

/// What `RLIMIT_AS` leaves.
fn address_space() -> Option<u64> {
    let (limit, _) = rlimit::Resource::AS.get().ok()?;
    if limit == rlimit::INFINITY {
        return None;
    }
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').next().and_then(|pages| pages.parse().ok()).unwrap_or(0);
    // Pages of 4 KiB: where they are larger, more is left than this says.
    Some(limit.saturating_sub(pages * 4096))
}

/// What the control groups of version 2 leave, from the process's own up to the root that it sees.
fn control_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Path::new("/sys/fs/cgroup")
        .join(path)
        .ancestors()
        .take_while(|path| path.starts_with("/sys/fs/cgroup"))
        .filter_map(left)
        .min()
}

fn left(group: &Path) -> Option<u64> {
    let number = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
    // "max" is no number.
    Some(number("memory.max")?.saturating_sub(number("memory.current")?))
}

/// What the kernel can give without swapping.
fn machine() -> Option<u64> {
    let lines = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = lines.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

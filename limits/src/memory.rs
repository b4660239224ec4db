//! How much memory a process may have, as far as the system tells.

use std::path::Path;

use crate::snapshot::soft_limit;

/// Bytes that the process could still take: the least of what its limit of address space, its control groups and the machine
/// have left. `None` if no limit is known. `read` gives a file's text.
pub fn available(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    [address_space(&read), control_group(&read), machine(&read)].into_iter().flatten().min()
}

/// What `RLIMIT_AS` leaves.
fn address_space(read: &impl Fn(&str) -> Option<String>) -> Option<u64> {
    let limit = soft_limit(&read("/proc/self/limits")?, "Max address space").filter(|&limit| limit < u64::MAX)?;
    let pages: u64 = read("/proc/self/statm")?.split(' ').next()?.parse().ok()?;
    // Pages of 4 KiB: where they are larger, less is left than this says.
    Some(limit.saturating_sub(pages * 4096))
}

/// What the control groups of version 2 leave, from the process's own up to the root that it sees.
fn control_group(read: &impl Fn(&str) -> Option<String>) -> Option<u64> {
    let groups = read("/proc/self/cgroup")?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let number = |group: &Path, file| read(group.join(file).to_str()?)?.trim().parse::<u64>().ok();
    // "max" is no number.
    let left = |group: &Path| Some(number(group, "memory.max")?.saturating_sub(number(group, "memory.current")?));
    let group = Path::new("/sys/fs/cgroup").join(path);
    group.ancestors().take_while(|path| path.starts_with("/sys/fs/cgroup")).filter_map(left).min()
}

/// What the kernel can give without swapping.
fn machine(read: &impl Fn(&str) -> Option<String>) -> Option<u64> {
    let text = read("/proc/meminfo")?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

//! How much more memory the process may take.

use std::fmt;
use std::path::Path;

use crate::snapshot::soft_limit;

/// Bytes that the process can still take: the least of what its address space limit, its control groups and the machine have
/// left. `None` if none of them is known. `read` returns a file's text.
pub fn available(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    least(read).map(|(bytes, _)| bytes)
}

/// The same, with what leaves the least.
pub fn least(read: impl Fn(&str) -> Option<String>) -> Option<(u64, Source)> {
    let all = [
        (address_space(&read), Source::AddressSpace),
        (control_group(&read), Source::ControlGroup),
        (machine(&read), Source::Machine),
    ];
    all.into_iter().filter_map(|(bytes, source)| Some((bytes?, source))).min_by_key(|&(bytes, _)| bytes)
}

/// The limit that decides how many bytes are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `RLIMIT_AS`.
    AddressSpace,
    /// A control group of the process.
    ControlGroup,
    /// The kernel, without swapping.
    Machine,
}

impl Source {
    /// Its name for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Source::AddressSpace => "address_space",
            Source::ControlGroup => "control_group",
            Source::Machine => "machine",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::AddressSpace => "the limit on address space (ulimit -v)",
            Source::ControlGroup => "the control group (MemoryMax=)",
            Source::Machine => "the machine (MemAvailable)",
        })
    }
}

/// The rest of `RLIMIT_AS`.
fn address_space(read: &impl Fn(&str) -> Option<String>) -> Option<u64> {
    let limit = soft_limit(&read("/proc/self/limits")?, "Max address space").filter(|&limit| limit < u64::MAX)?;
    let pages: u64 = read("/proc/self/statm")?.split(' ').next()?.parse().ok()?;
    // Assumes pages of 4 KiB. With larger pages, less is left than computed.
    Some(limit.saturating_sub(pages * 4096))
}

/// The least that is left in any control group for memory, from the process's own up to the root that it sees.
fn control_group(read: &impl Fn(&str) -> Option<String>) -> Option<u64> {
    let groups = read("/proc/self/cgroup")?;
    let (root, path, [limit, used]) = memory_group(&groups)?;
    let number = |group: &Path, file| read(group.join(file).to_str()?)?.trim().parse::<u64>().ok();
    // "max" (no limit) does not parse as a number, so such a group is skipped.
    let left = |group: &Path| Some(number(group, limit)?.saturating_sub(number(group, used)?));
    Path::new(root).join(path).ancestors().take_while(|group| group.starts_with(root)).filter_map(left).min()
}

/// The root, path and files of the process's control group for memory: of version 1 if that is in use for memory, otherwise of
/// version 2 (`cgroups(7)`). In a container, the path can be the host's, and the root is then the container's own.
fn memory_group(groups: &str) -> Option<(&'static str, &str, [&'static str; 2])> {
    let of_version_1 = groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let is_memory = fields.next()?.split(',').any(|controller| controller == "memory");
        fields.next().filter(|_| is_memory)
    });
    let (root, path, files) = if let Some(path) = of_version_1 {
        ("/sys/fs/cgroup/memory", path, ["memory.limit_in_bytes", "memory.usage_in_bytes"])
    } else {
        let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
        ("/sys/fs/cgroup", path, ["memory.max", "memory.current"])
    };
    Some((root, path.trim_start_matches('/'), files))
}

/// Memory that the kernel can give without swapping.
fn machine(read: &impl Fn(&str) -> Option<String>) -> Option<u64> {
    let text = read("/proc/meminfo")?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paths, each with its text.
    type Files<'a> = &'a [(&'a str, &'a str)];

    #[test]
    fn the_least_of_all_limits_counts_in_both_versions_of_control_groups() {
        let machine = ("/proc/meminfo", "MemTotal: 9 kB\nMemAvailable:    9000 kB\n");
        let version_1 = ("/proc/self/cgroup", "12:pids:/a\n9:cpuset,memory:/docker/0123\n0::/c\n");
        let version_2 = ("/proc/self/cgroup", "0::/system.slice/echo\n");
        let own_1 = ("/sys/fs/cgroup/memory/docker/0123/memory.limit_in_bytes", "9223372036854771712\n");
        let own_1_used = ("/sys/fs/cgroup/memory/docker/0123/memory.usage_in_bytes", "1000\n");
        let root_1 = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n");
        let root_1_used = ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1500\n");
        let own_2 = ("/sys/fs/cgroup/system.slice/echo/memory.max", "max\n");
        let parent_2 = ("/sys/fs/cgroup/system.slice/memory.max", "8000\n");
        let parent_2_used = ("/sys/fs/cgroup/system.slice/memory.current", "9000\n");
        let space =
            ("/proc/self/limits", "Max address space         12288000             unlimited            bytes\n");
        let pages = ("/proc/self/statm", "1000 10 10\n");
        let cases: [(Files, Option<u64>); 7] = [
            (&[], None),
            (&[machine], Some(9_216_000)),
            (&[machine, version_1, own_1, own_1_used], Some(9_216_000)),
            (&[machine, version_1, own_1, own_1_used, root_1, root_1_used], Some(3500)),
            (&[machine, version_1, root_1, root_1_used], Some(3500)),
            (&[machine, version_2, own_2, parent_2, parent_2_used], Some(0)),
            (&[machine, space, pages], Some(12_288_000 - 4_096_000)),
        ];
        for (files, expected) in cases {
            let read = |path: &str| files.iter().find(|file| file.0 == path).map(|file| file.1.to_owned());
            assert_eq!(available(read), expected, "{files:?}");
        }
    }
}

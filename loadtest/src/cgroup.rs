//! The time that the CPU quota of this process's control groups cost: `cpu.stat` of its own group and of all above it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::result::Throttled;

/// The sum of all groups until now; `None` if no group has these counts.
#[must_use]
pub fn throttled() -> Option<Throttled> {
    throttled_below(Path::new("/"))
}

/// The same, with all paths below `root`.
fn throttled_below(root: &Path) -> Option<Throttled> {
    let read = |path: &Path| fs::read_to_string(path).ok().and_then(|text| parse(&text));
    files(root)
        .iter()
        .filter_map(|path| read(path))
        .reduce(|a, b| Throttled { periods: a.periods + b.periods, time_s: a.time_s + b.time_s })
}

/// The `cpu.stat` files of the process's group and of all above it: the quota of a group throttles its children too,
/// and is counted only in that group.
fn files(root: &Path) -> Vec<PathBuf> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let (groups, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
    let mut found = Vec::new();
    for line in groups.lines() {
        // cgroups(7): hierarchy, controllers, path. Version 2 has number 0 and no controllers.
        let [number, controllers, path] = line.splitn(3, ':').collect::<Vec<_>>()[..] else { continue };
        let is_v2 = number == "0" && controllers.is_empty();
        if !is_v2 && !controllers.split(',').any(|controller| controller == "cpu") {
            continue;
        }
        let Some((inside, mount)) = mounts.lines().find_map(|line| mounted(line, is_v2)) else { continue };
        // A container sees its own group as the root of the mount, but its path as on the host.
        let below = Path::new(path).strip_prefix(inside).unwrap_or(Path::new(""));
        let mount = root.join(mount.trim_start_matches('/'));
        found.extend(below.ancestors().map(|group| mount.join(group).join("cpu.stat")));
    }
    found
}

/// Reads a line of proc(5)'s mountinfo: the mounted group and the mount point, if it is of the CPU's hierarchy.
fn mounted(line: &str, is_v2: bool) -> Option<(&str, &str)> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut words = filesystem.split(' ');
    let is_wanted = match (words.next()?, is_v2) {
        ("cgroup2", true) => true,
        ("cgroup", false) => words.nth(1)?.split(',').any(|option| option == "cpu"),
        _ => false,
    };
    let mut fields = mount.split(' ').skip(3);
    is_wanted.then_some((fields.next()?, fields.next()?))
}

/// Version 2 counts in µs, version 1 in ns.
fn parse(text: &str) -> Option<Throttled> {
    let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    let time_s = of("throttled_usec ").map(|us| us / 1e6).or_else(|| of("throttled_time ").map(|ns| ns / 1e9))?;
    Some(Throttled { periods: of("nr_throttled ")? as u64, time_s })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root directory with the files of `(path, text)`.
    fn fixture(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn version_2_counts_us_of_the_group_and_of_those_above() {
        let root = fixture(&[
            ("proc/self/cgroup", "0::/kubepods.slice/pod1/app\n"),
            ("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"),
            (
                "sys/fs/cgroup/kubepods.slice/pod1/app/cpu.stat",
                "usage_usec 9\nnr_periods 10\nnr_throttled 3\nthrottled_usec 250000\n",
            ),
            ("sys/fs/cgroup/kubepods.slice/pod1/cpu.stat", "nr_throttled 1\nthrottled_usec 500000\n"),
            // The root group has no quota and no such counts.
            ("sys/fs/cgroup/cpu.stat", "usage_usec 9\n"),
        ]);
        assert_eq!(throttled_below(root.path()), Some(Throttled { periods: 4, time_s: 0.75 }));
    }

    #[test]
    fn version_1_counts_ns() {
        let root = fixture(&[
            ("proc/self/cgroup", "4:memory:/docker/ab\n2:cpu,cpuacct:/docker/ab\n0::/\n"),
            (
                "proc/self/mountinfo",
                "31 24 0:27 /docker/ab /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                 32 24 0:28 /docker/ab /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
            ),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.stat", "nr_periods 7\nnr_throttled 5\nthrottled_time 4000000000\n"),
        ]);
        assert_eq!(throttled_below(root.path()), Some(Throttled { periods: 5, time_s: 4.0 }));
    }

    #[test]
    fn without_groups_nothing_is_known() {
        assert_eq!(throttled_below(fixture(&[]).path()), None);
    }
}

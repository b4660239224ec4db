//! Reads the kernel's limits.

use crate::memory;

const PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// The limits of a machine. `None` if one cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The hard limit `RLIMIT_NOFILE`: a process may raise its soft limit up to it.
    pub files_of_process: Option<u64>,
    /// `fs.nr_open`: the highest `RLIMIT_NOFILE` that root may set.
    pub nr_open: Option<u64>,
    /// `fs.file-max` minus the files that all processes have open.
    pub files_left: Option<u64>,
    /// `fs.epoll.max_user_watches`.
    pub epoll_watches: Option<u64>,
    /// `net.core.somaxconn`.
    pub somaxconn: Option<u64>,
    /// The last number of `net.ipv4.tcp_mem`, in pages.
    pub tcp_mem_pages: Option<u64>,
    /// Bytes of memory that the process can still take.
    pub memory_left: Option<u64>,
    /// Connection tracking.
    pub conntrack: Conntrack,
    /// The number of ports in `net.ipv4.ip_local_port_range`.
    pub local_ports: Option<u64>,
}

/// The kernel's table of tracked connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conntrack {
    /// It cannot be read.
    #[default]
    Unknown,
    /// There is no table: the module is not loaded.
    Absent,
    /// The table has room.
    Left {
        /// Entries that are free.
        entries: u64,
        /// Whether any entry is in use. Without a rule that tracks connections, none ever is.
        is_used: bool,
    },
}

impl Limits {
    /// Reads the limits through `read`, which returns the text of the file at a path, or `None` if it cannot be read.
    pub fn read(read: impl Fn(&str) -> Option<String>) -> Self {
        let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
        // The number at `index` of several in one file, counted from 0.
        let nth = |path: &str, index| read(path)?.split_ascii_whitespace().nth(index)?.parse::<u64>().ok();
        Limits {
            files_of_process: read("/proc/self/limits").and_then(|text| hard_limit(&text, "Max open files")),
            nr_open: number("/proc/sys/fs/nr_open"),
            files_left: nth("/proc/sys/fs/file-nr", 2)
                .zip(nth("/proc/sys/fs/file-nr", 0))
                .map(|(most, used)| most.saturating_sub(used)),
            epoll_watches: number("/proc/sys/fs/epoll/max_user_watches"),
            somaxconn: number("/proc/sys/net/core/somaxconn"),
            tcp_mem_pages: nth("/proc/sys/net/ipv4/tcp_mem", 2),
            memory_left: memory::available(&read),
            conntrack: conntrack(&read),
            local_ports: nth(PORTS, 0).zip(nth(PORTS, 1)).and_then(|(first, last)| Some(last.checked_sub(first)? + 1)),
        }
    }
}

/// The soft limit in the line of `/proc/self/limits` that begins with `name`. "unlimited" is `u64::MAX`.
pub(crate) fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    column(limits, name, 0)
}

fn hard_limit(limits: &str, name: &str) -> Option<u64> {
    column(limits, name, 1)
}

fn column(limits: &str, name: &str, index: usize) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_ascii_whitespace().nth(index)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Without the module these files do not exist. Without `/proc` they do not either, and their absence then proves nothing.
fn conntrack(read: &impl Fn(&str) -> Option<String>) -> Conntrack {
    let has_proc = read(PORTS).is_some();
    let [most, used] = ["max", "count"].map(|name| read(&format!("/proc/sys/net/netfilter/nf_conntrack_{name}")));
    let number = |text: &Option<String>| text.as_ref()?.trim().parse::<u64>().ok();
    match (number(&most), number(&used)) {
        // 0 means no limit: net/netfilter/nf_conntrack_core.c.
        (Some(0), _) => Conntrack::Left { entries: u64::MAX, is_used: false },
        (Some(most), Some(used)) => Conntrack::Left { entries: most.saturating_sub(used), is_used: used > 0 },
        _ if has_proc && most.is_none() && used.is_none() => Conntrack::Absent,
        _ => Conntrack::Unknown,
    }
}

//! The resources that a number of connections needs, compared with a machine's limits.

use crate::report::{Limit, Report, Verdict};
use crate::snapshot::{Conntrack, Limits};

/// Kernel memory of one end of an established TCP connection with empty buffers: the socket, its file, inode and dentry,
/// and its epoll entry. Measured as the growth of `Slab` in `/proc/meminfo`, Linux 6.1.
const KERNEL_BYTES: u64 = 4_000;

/// Most connections of one proxy-echo process. It is needed where the limit on open files is "unlimited" or in the billions.
pub const MAX_OF_SERVER: u64 = 1 << 20;

/// Descriptors besides connections that either program reserves: standard streams, epoll, listeners, signals.
pub const RESERVED_FILES: u64 = 64;

/// The backlog that proxy-echo asks for by default; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: u64 = 4096;

/// Most ports that `net.ipv4.ip_local_port_range` can have without those of well-known services.
const MAX_PORTS: u64 = 65_536 - 1024;

/// The size of a page, the unit of `net.ipv4.tcp_mem`. On machines with larger pages the limit is higher than computed.
const PAGE_BYTES: u64 = 4096;

/// A number of connections that one process shall hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    connections: u64,
    end: End,
}

/// The end of the connections that the process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Server,
    /// A client: the number of its own addresses, and of pairs of address and port that it connects to.
    Client {
        pairs: u64,
    },
}

impl End {
    fn name(self) -> &'static str {
        match self {
            End::Server => "server",
            End::Client { .. } => "client",
        }
    }

    /// Memory of the process itself for each connection. Measured with a million connections, proxy-echo with the admin port.
    fn process_bytes(self) -> u64 {
        match self {
            End::Server => 85,
            End::Client { .. } => 130,
        }
    }
}

impl Load {
    /// Connections that one proxy-echo holds.
    #[must_use]
    pub const fn server(connections: u64) -> Self {
        Load { connections, end: End::Server }
    }

    /// Connections that one loadtest opens, from `sources` of its own addresses to `destinations` pairs of address and port.
    #[must_use]
    pub fn client(connections: u64, sources: u64, destinations: u64) -> Self {
        Load { connections, end: End::Client { pairs: sources.saturating_mul(destinations) } }
    }

    /// Compares the load with the limits of `machine`.
    #[must_use]
    pub fn judge(&self, machine: &Limits) -> Report {
        let files = self.connections.saturating_add(RESERVED_FILES);
        let mut limits = vec![
            limit("files_of_process", "open files of a process (ulimit -Hn)", files, machine.files_of_process, || {
                format!("ulimit -n {files} as root; LimitNOFILE={files} in a systemd unit")
            }),
            limit("nr_open", "highest limit on open files (fs.nr_open)", files, machine.nr_open, || {
                format!("sysctl -w fs.nr_open={files}")
            }),
            limit(
                "files_left",
                "files of all processes that are left (fs.file-max)",
                files,
                machine.files_left,
                || {
                    let used_too = files.saturating_mul(2);
                    format!("sysctl -w fs.file-max={used_too}")
                },
            ),
            limit(
                "epoll_watches",
                "epoll watches of a user (fs.epoll.max_user_watches)",
                files,
                machine.epoll_watches,
                || format!("sysctl -w fs.epoll.max_user_watches={files}"),
            ),
        ];
        limits.extend(self.of_end(machine));
        limits.extend([self.buffers(machine), self.memory(machine), self.conntrack(machine)]);
        Report { end: self.end.name(), connections: self.connections, limits }
    }

    /// The limits that apply to one end alone.
    fn of_end(&self, machine: &Limits) -> Vec<Limit> {
        let connections = self.connections;
        match self.end {
            End::Server => {
                let processes = connections.div_ceil(MAX_OF_SERVER);
                let backlog = connections.min(BACKLOG);
                vec![
                    limit("process", "connections of one proxy-echo", connections, Some(MAX_OF_SERVER), || {
                        format!("start {processes} of them with --reuse-port, and ask for what one of them holds")
                    }),
                    limit("backlog", "connections that wait (net.core.somaxconn)", backlog, machine.somaxconn, || {
                        format!("sysctl -w net.core.somaxconn={backlog}, and start the server anew")
                    }),
                ]
            }
            End::Client { pairs } => {
                let have = machine.local_ports.map(|ports| ports.saturating_mul(pairs));
                let command = || {
                    let range = "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"";
                    if pairs.saturating_mul(MAX_PORTS) >= connections {
                        return range.to_owned();
                    }
                    let addresses = connections.div_ceil(MAX_PORTS);
                    format!(
                        "{range}, and loadtest --source-ip with a network of {addresses} addresses or more (ip address add), \
                         or as many ports of the server; to 127.0.0.1 it spreads by itself"
                    )
                };
                vec![limit("ports", "ports for outgoing connections (ip_local_port_range)", connections, have, command)]
            }
        }
    }

    /// Kernel memory for buffers. A buffer is empty unless it has unread bytes, and then takes at least a page.
    fn buffers(&self, machine: &Limits) -> Limit {
        let pages = self.connections;
        let what = "pages of buffers (net.ipv4.tcp_mem)";
        let command = || {
            let [low, pressure] = [pages, pages.saturating_mul(3) / 2];
            format!("sysctl -w net.ipv4.tcp_mem=\"{low} {pressure} {}\"", pages.saturating_mul(2))
        };
        limit("tcp_mem", what, pages, machine.tcp_mem_pages, command)
            .only_if("every connection has bytes in a buffer at the same time")
    }

    fn memory(&self, machine: &Limits) -> Limit {
        let bytes = self.connections.saturating_mul(KERNEL_BYTES + self.end.process_bytes());
        limit("memory", "bytes of memory, the kernel's and the process's", bytes, machine.memory_left, || {
            let buffers = self.connections.saturating_mul(PAGE_BYTES) >> 20;
            format!(
                "a machine or a control group (MemoryMax=) with {} MiB, and {buffers} MiB more if all send at once",
                bytes >> 20
            )
        })
    }

    fn conntrack(&self, machine: &Limits) -> Limit {
        let (name, what) = ("conntrack", "entries of connection tracking that are left (nf_conntrack_max)");
        let most = self.connections.saturating_mul(2);
        let command =
            || format!("sysctl -w net.netfilter.nf_conntrack_max={most}, or a rule with notrack for the port");
        match machine.conntrack {
            Conntrack::Unknown => limit(name, what, self.connections, None, command),
            Conntrack::Absent => limit(name, what, self.connections, Some(u64::MAX), command),
            Conntrack::Left { entries, is_used: true } => limit(name, what, self.connections, Some(entries), command),
            Conntrack::Left { entries, is_used: false } => {
                let limit = limit(name, what, self.connections, Some(entries), command);
                limit.only_if("a firewall rule or NAT tracks these connections; now none is tracked")
            }
        }
    }
}

fn limit(name: &'static str, what: &'static str, need: u64, have: Option<u64>, command: impl Fn() -> String) -> Limit {
    let verdict = match have {
        None => Verdict::Unknown,
        Some(have) if have < need => Verdict::Short,
        Some(_) => Verdict::Enough,
    };
    let command = (verdict != Verdict::Enough).then(command);
    Limit { name, what, need, have, verdict, condition: None, command }
}

impl Limit {
    /// The same limit, met only if `condition` holds, which a snapshot does not show.
    fn only_if(self, condition: &'static str) -> Self {
        match self.verdict {
            Verdict::Short => Limit { verdict: Verdict::Conditional, condition: Some(condition), ..self },
            _ => self,
        }
    }
}

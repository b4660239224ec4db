//! Machines as tables of files of `/proc` and `/sys`, and the limits found on each.

use proxy_echo_limits::{Conntrack, Limits, Load, Report, Verdict, memory};

/// A machine that is large enough for a million connections.
const LARGE: &[(&str, &str)] = &[
    (
        "/proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max open files            1024                 1048576              files     \n\
         Max address space         unlimited            unlimited            bytes     \n",
    ),
    ("/proc/sys/fs/nr_open", "1048576\n"),
    ("/proc/sys/fs/file-nr", "1024\t0\t2100000\n"),
    ("/proc/sys/fs/epoll/max_user_watches", "2100000\n"),
    ("/proc/sys/net/core/somaxconn", "4096\n"),
    ("/proc/sys/net/ipv4/tcp_mem", "750000\t1000000\t1500000\n"),
    ("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ("/proc/meminfo", "MemTotal:       16384000 kB\nMemAvailable:    8192000 kB\n"),
    ("/proc/self/cgroup", "0::/a/b\n"),
];

/// The large machine with some files changed. The text `None` is a file that cannot be read.
fn machine(changes: &[(&str, Option<&str>)]) -> Limits {
    Limits::read(reader(changes))
}

fn reader(changes: &[(&str, Option<&str>)]) -> impl Fn(&str) -> Option<String> {
    move |path| match changes.iter().find(|(changed, _)| *changed == path) {
        Some((_, text)) => text.map(str::to_owned),
        None => LARGE.iter().find(|(known, _)| *known == path).map(|(_, text)| (*text).to_owned()),
    }
}

/// The names of all limits with this verdict.
fn named(report: &Report, verdict: Verdict) -> Vec<&'static str> {
    report.limits.iter().filter(|limit| limit.verdict == verdict).map(|limit| limit.name).collect()
}

#[test]
fn a_snapshot_has_what_the_files_say() {
    let expected = Limits {
        files_of_process: Some(1 << 20),
        nr_open: Some(1 << 20),
        files_left: Some(2_100_000 - 1024),
        epoll_watches: Some(2_100_000),
        somaxconn: Some(4096),
        tcp_mem_pages: Some(1_500_000),
        memory_left: Some(8_192_000 * 1024),
        conntrack: Conntrack::Absent,
        local_ports: Some(28_232),
    };
    assert_eq!(machine(&[]), expected);
    assert_eq!(Limits::read(|_| None), Limits::default());
    assert_eq!(Limits::read(|_| Some("not a number".to_owned())), Limits::default());
}

#[test]
fn each_limit_of_a_server_is_found_alone() {
    const MILLION: Load = Load::server(1_000_000);
    assert!(!MILLION.judge(&machine(&[])).stands_in_the_way());
    for (path, text, name, command) in [
        ("/proc/self/limits", "Max open files 1024 20000 files", "files_of_process", "LimitNOFILE=1000064"),
        ("/proc/sys/fs/nr_open", "1000063", "nr_open", "sysctl -w fs.nr_open=1000064"),
        ("/proc/sys/fs/file-nr", "2000 0 1002063", "files_left", "sysctl -w fs.file-max="),
        ("/proc/sys/fs/epoll/max_user_watches", "1000063", "epoll_watches", "fs.epoll.max_user_watches=1000064"),
        ("/proc/sys/net/core/somaxconn", "128", "backlog", "net.core.somaxconn=4096"),
        ("/proc/meminfo", "MemAvailable: 3000000 kB", "memory", "MemoryMax="),
    ] {
        let report = MILLION.judge(&machine(&[(path, Some(text))]));
        assert_eq!(named(&report, Verdict::Short), [name], "{path}");
        assert!(report.stands_in_the_way());
        let words = report.to_string();
        assert!(words.contains(command), "{words}");
        assert!(words.ends_with("\n1 limit stands in the way of 1000000 connections of a server\n"), "{words}");
    }
    let report = Load::server(1 << 21).judge(&machine(&[]));
    assert!(named(&report, Verdict::Short).contains(&"process") && report.to_string().contains("start 2 of them"));
}

#[test]
fn the_last_connection_that_fits_fits() {
    let least = |connections| {
        let text = format!("Max open files 1024 {} files", connections + 64);
        let at = machine(&[("/proc/self/limits", Some(&text))]);
        let below = machine(&[("/proc/self/limits", Some("Max open files 1024 163 files"))]);
        (
            Load::server(connections).judge(&at).limits[0].verdict,
            Load::server(connections).judge(&below).limits[0].verdict,
        )
    };
    assert_eq!(least(100), (Verdict::Enough, Verdict::Short));
}

#[test]
fn what_the_system_does_not_tell_is_unknown() {
    let all = LARGE.iter().map(|(path, _)| (*path, None)).collect::<Vec<_>>();
    let report = Load::server(1000).judge(&machine(&all));
    assert!(!report.stands_in_the_way());
    assert_eq!(named(&report, Verdict::Enough), ["process"]);
    let words = report.to_string();
    assert!(words.contains("unknown  open files of a process (ulimit -Hn): needed 1064, because"), "{words}");
    assert!(
        words.ends_with("nothing known stands in the way of 1000 connections of a server; unknown: 8\n"),
        "{words}"
    );
}

#[test]
fn connections_may_be_tracked() {
    let with = |most, used| {
        let changes =
            [("/proc/sys/net/netfilter/nf_conntrack_max", most), ("/proc/sys/net/netfilter/nf_conntrack_count", used)];
        let report = Load::server(1000).judge(&machine(&changes));
        report.limits.into_iter().find(|limit| limit.name == "conntrack").expect("it is judged").verdict
    };
    for (most, used, verdict) in [
        (None, None, Verdict::Enough),
        (Some("2000"), Some("1000"), Verdict::Enough),
        (Some("1999"), Some("1000"), Verdict::Short),
        // Connections need no entry if none is tracked.
        (Some("999"), Some("0"), Verdict::Conditional),
        (Some("0"), Some("1000"), Verdict::Enough),
        (Some("999"), None, Verdict::Unknown),
    ] {
        assert_eq!(with(most, used), verdict, "{most:?} {used:?}");
    }
}

#[test]
fn buffers_are_short_only_if_all_of_them_are_used() {
    let report = Load::server(1000).judge(&machine(&[("/proc/sys/net/ipv4/tcp_mem", Some("1 2 999"))]));
    assert_eq!(named(&report, Verdict::Conditional), ["tcp_mem"]);
    assert!(!report.stands_in_the_way());
}

#[test]
fn ports_of_a_client_are_counted_for_each_pair() {
    for (connections, sources, destinations, is_short) in [
        (28_232, 1, 1, false),
        (28_233, 1, 1, true),
        (56_464, 2, 1, false),
        (56_464, 1, 2, false),
        (112_929, 2, 2, true),
        (1_000_000, 36, 1, false),
    ] {
        let report = Load::client(connections, sources, destinations).judge(&machine(&[]));
        assert_eq!(named(&report, Verdict::Short).contains(&"ports"), is_short, "{connections}");
    }
    let words = Load::client(50_000, 1, 1).judge(&machine(&[])).to_string();
    assert!(words.contains("ip_local_port_range=\"1024 65535\"\n"), "more ports are enough: {words}");
    let words = Load::client(1_000_000, 1, 1).judge(&machine(&[])).to_string();
    assert!(words.contains("a network of 16 addresses or more"), "{words}");
}

#[test]
fn json_keeps_to_its_schema() {
    let schema = serde_json::from_str(include_str!("../../docs/schema/limits-1.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let changes = [
        ("/proc/sys/net/ipv4/tcp_mem", Some("1 2 3")),
        ("/proc/sys/fs/nr_open", None),
        ("/proc/self/limits", Some("Max open files 1024 unlimited files")),
    ];
    for load in [Load::server(1_000_000), Load::client(1_000_000, 1, 1)] {
        for machine in [machine(&[]), machine(&changes), Limits::default()] {
            let value: serde_json::Value = serde_json::from_str(&load.judge(&machine).json()).expect("JSON");
            let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:#?} in {value:#}");
        }
    }
    let value: serde_json::Value =
        serde_json::from_str(&Load::server(1).judge(&machine(&changes)).json()).expect("JSON");
    assert_eq!((&value["limits"][0]["have"], &value["limits"][1]["have"]), (&"unlimited".into(), &().into()));
}

#[test]
fn memory_is_the_least_of_machine_group_and_address_space() {
    let limits = "Max address space 1073741824 unlimited bytes";
    let all: [(&str, Option<&str>); 5] = [
        ("/sys/fs/cgroup/a/b/memory.max", Some("max\n")),
        ("/sys/fs/cgroup/a/b/memory.current", Some("1000\n")),
        ("/sys/fs/cgroup/a/memory.max", Some("536870912\n")),
        ("/sys/fs/cgroup/a/memory.current", Some("268435456\n")),
        ("/proc/self/statm", Some("100 1 1 1 0 1 0")),
    ];
    assert_eq!(memory::available(reader(&all)), Some(268_435_456), "the group above");
    assert_eq!(memory::available(reader(&[])), Some(8_192_000 * 1024), "the machine");
    let space = [("/proc/self/limits", Some(limits)), ("/proc/self/statm", Some("100 1 1 1 0 1 0"))];
    assert_eq!(memory::available(reader(&space)), Some(1_073_741_824 - 409_600), "the address space");
    assert_eq!(memory::available(|_| None), None);
}

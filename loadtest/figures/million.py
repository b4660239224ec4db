"""Holds a million connections to one proxy-echo, and shows their cost and the figures of each scene.

All are idle; others come and go; the server is restarted by a passed socket and the old one ends; all speak while the
admin port is asked. Then what one would take instead holds as many as it can. Runs directly where limits and memory
allow it, else in a virtual machine that it makes of Debian's kernel: by KVM where a guest boots with it, else emulated.
A million take 12 GB, and half an hour in an emulated machine."""

import argparse
import json
import os
import resource
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import chart
import load
import scenes
import servers
import tables

# Memory of a connection's two ends, processes included.
BYTES_EACH = 11 << 10
# Memory for a guest's system, and for the alternatives, which take more for a connection.
BASE_BYTES = 1 << 30
SPARE_FILES = 200
TICKS = [factor * 10**power for power in range(2, 7) for factor in (1, 2, 5)]


def arguments():
    parser = argparse.ArgumentParser(prog="loadtest/million", description=__doc__)
    parser.add_argument("--connections", type=int, default=1_000_000, help="[1000000]")
    parser.add_argument("--seconds", type=float, default=20, help="how long a scene takes [20]")
    parser.add_argument(
        "--peers", type=int, default=100_000, help=f"connections of {', '.join(scenes.PEERS)}; 0: none [100000]"
    )
    parser.add_argument("--trace", action="store_true", help="hold each turn of the server against its caps, by strace")
    parser.add_argument("--debug", action="store_true", help="with the debug build, for tests: figures are worthless")
    parser.add_argument("--where", choices=["direct", "vm"], help="[direct where that works]")
    parser.add_argument("--chart", metavar="FILE", type=Path, help="where the chart goes [target/million/million.svg]")
    parser.add_argument("--redraw", action="store_true", help="measure nothing: show the last measurement again")
    options = parser.parse_args()
    if not 1000 <= options.connections <= 1_000_000 or not 0.1 <= options.seconds <= 600 or options.peers > 1_000_000:
        parser.error("connections from 1,000 to 1,000,000, seconds from 0.1 to 600, peers up to 1,000,000")
    return options


def obstacle(options):
    """The reason why the machine cannot run it directly, or None."""
    files = max(options.connections, options.peers) + SPARE_FILES
    try:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, max(hard, files)))
    except (OSError, ValueError):
        return f"{hard:,} open files a process at most, {files:,} are needed"
    return memory_missing(options)


def memory_missing(options, more=0):
    available = int(next(line for line in open("/proc/meminfo") if "MemAvailable" in line).split()[1]) << 10
    needed = memory(options) + more
    return f"{tables.size(available)} of memory, {tables.size(needed)} are needed" if available < needed else None


def memory(options):
    return BASE_BYTES + max(options.connections, 2 * options.peers) * BYTES_EACH


def measure(options, workshop, out):
    if options.trace:
        servers.install_packages({"strace": "strace"})
    used = [servers.SERVERS[name] for name in scenes.PEERS if options.peers]
    servers.install(used)
    programs = workshop.release
    if options.debug:
        programs = programs.parent / "debug"
        subprocess.run(["cargo", "build", "--quiet", "--locked", "--workspace", "--bins"], cwd=servers.ROOT, check=True)
    else:
        workshop.build(used)
    result = out / "scenes.json"
    result.unlink(missing_ok=True)
    why = "it is asked for" if options.where == "vm" else None if options.where == "direct" else obstacle(options)
    flags = ["--trace"] if options.trace else []
    if why:
        import guest

        machine = guest.Guest(out, memory(options) >> 20)
        if missing := memory_missing(options, BASE_BYTES):
            raise SystemExit(f"the virtual machine does not fit: {missing}; --connections for fewer")
        where = "an emulated machine (qemu, no KVM)" if machine.is_emulated else "a virtual machine (KVM)"
        flags += ["--emulated"] if machine.is_emulated else []
    else:
        where = "this machine"
    print(f"in {where}{f': {why}' if why else ''}", flush=True)
    values = {"connections": options.connections, "peers": options.peers, "seconds": options.seconds, "out": result}
    values |= {"programs": programs, "target": workshop.release.parent}
    command = [sys.executable, "-B", str(servers.ROOT / "loadtest/figures/scenes.py"), *flags]
    command += [word for name, value in values.items() for word in (f"--{name}", str(value))]
    if why:
        machine.run(shlex.join(command))
    elif code := os.spawnv(os.P_WAIT, command[0], command):
        raise SystemExit(code)
    if not result.exists():
        raise SystemExit("the scenes did not end")
    found = json.loads(result.read_text())
    if "speaking" not in found:
        raise SystemExit("the scenes did not end")
    if "is_whole" not in found:
        found["problems"].append("the peers did not end")
    return found | {"machine": f"{load.machine()}, in {where}", "versions": workshop.versions(used)}


def report(found):
    """All figures in Markdown, for the docs."""
    quiet, speaking = found["quiet"], found["speaking"]
    count, spoken = quiet["rows"][-1]["open"], speaking["rows"]
    size = tables.size
    rows = [
        [f"{row['open']:,}", *(size(row[end]) for end in ("server", "loadtest", "kernel")), f"{row['per_second']:,.0f}"]
        for row in quiet["rows"]
    ]
    head = ["open", "proxy-echo", "loadtest", "kernel", "connects a second"]
    idle, end, restart, lines = quiet["idle"], quiet["end"], quiet["restart"], speaking["lines"]
    each = (idle["server"] - quiet["before"]) / count
    asked = [
        f"{name} {asking['answers']} times, {asking['longest_s'] * 1e3:,.0f} ms at most"
        for name, asking in speaking["asking"].items()
    ]
    rows_of_scenes = [
        ["idle", f"{size(idle['server'])} resident, {each:.1f} bytes each, {100 * idle['cpu']:.1f}% of a core"],
        ["as many come and go as it carries, 50 at a time", speed(quiet["churn"])],
        [
            "restart by a passed socket: newcomers",
            f"{speed(restart)}; {restart['to_the_new']:,.0f} came to the new server",
        ],
        [
            "SIGTERM",
            f"ended after {end['seconds']:.1f} s, of which {end['drain_s']} s are for draining; {end['cut']:,} cut; "
            f"asked its manager for time {end['asked_for_time']} times",
        ],
        ["admin port on, all open again", f"{size(speaking['server'])} resident, {size(speaking['peak'])} at most"],
        [f"each says a line every {speaking['every_s']:,.0f} s", speed(lines)],
        ["meanwhile the admin port is asked for", "; ".join(asked)],
        ["turns of the loop then, one in 64", turns(speaking["turns"])],
        ["connects a second meanwhile", " … ".join(f"{row['per_second']:,.0f}" for row in spoken[:1] + spoken[-1:])],
        ["connects and segments that the kernel dropped", drops(found["drops"])],
        ["longest wait of one more client", waits(quiet["waits"] | speaking["waits"])],
    ]
    for calls, title in ((quiet["calls"], "quiet"), (speaking["calls"], "admin port on")):
        if calls:
            most = ", ".join(f"{call} {count:,}" for call, count in sorted(calls.items()))
            rows_of_scenes.append([f"most calls in a turn, {title}", most])
    parts = [
        f"{found['machine']}; {found['versions']}.",
        tables.table(head, rows),
        tables.table(["scene", "figures"], rows_of_scenes),
    ]
    if found["peers"]:
        peers = [[name, size(peer["bytes"]), f"{peer['per_second']:,.0f}"] for name, peer in found["peers"].items()]
        parts.append(tables.table(["", "memory for an idle connection", "connects a second"], peers))
    return "\n\n".join(parts)


def speed(figures):
    latency = f"p50 {tables.time(figures['p50_ns'])}, p99 {tables.time(figures['p99_ns'])}"
    return f"{figures['rate']:,.0f} a second, {latency}, at most {tables.time(figures['max_ns'])}"


def turns(buckets):
    """The number of turns, and the bounds that 99% and all of them stay within."""
    whole = buckets[-1][1]
    within = next(float(bound) for bound, count in buckets if count >= 0.99 * whole)
    longest = next(float(bound) for bound, count in buckets if count == whole)
    return f"{whole:,} timed, 99% within {within * 1e3:g} ms, all within {longest * 1e3:g} ms"


def drops(by_scene):
    """The dropped packets, by scene."""
    words = [f"{scene}: {name} {count:,}" for scene, counts in by_scene.items() for name, count in counts.items()]
    return "; ".join(words) or "none"


def waits(longest):
    return "; ".join(f"{scene} {tables.time(seconds * 1e9)}" for scene, seconds in longest.items())


def draw(found):
    rows = found["quiet"]["rows"]

    def curve(key):
        return [(row["open"], row[key]) for row in rows]

    memory_of = {"proxy-echo": curve("server"), "loadtest": curve("loadtest"), "kernel": curve("kernel")}
    bytes_at = [4**power for power in range(10, 20)]

    def short(count):
        """Every second label, so that they do not touch."""
        is_written = round(10 * count / rows[-1]["open"]) % 2 == 0
        return "" if not is_written else f"{count / 1e6:g}M" if count >= 1e6 else f"{count / 1e3:g}k"

    panels = [
        ("memory, by open connections", memory_of, short, tables.size, bytes_at),
        ("connects a second", {"proxy-echo": curve("per_second")}, short, lambda count: f"{count:,.0f}", TICKS),
    ]
    return chart.lines(panels, f"{found['machine']}; loadtest/million", is_linear=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    workshop = servers.Workshop(load.cores()[0])
    out = workshop.release.parent / ("million-debug" if options.debug else "million")
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "million.json"
    if options.redraw:
        found = json.loads(kept.read_text())
    else:
        found = measure(options, workshop, out)
        kept.write_text(json.dumps(found))
    print(f"\n{report(found)}\n")
    svg = options.chart or kept.with_suffix(".svg")
    svg.write_text(draw(found))
    print(f"chart: {svg}")
    for problem in found["problems"]:
        print(f"FAILED: {problem}", file=sys.stderr)
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

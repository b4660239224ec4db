"""Shows how the CPU time for a message grows with connections and with its size, and memory with idle connections.

Installs what is missing and builds everything, as loadtest/compare does; takes about four minutes on two cores."""

import argparse
import json
import signal
import sys
from pathlib import Path

import chart
import load
import servers
import tables

CONNECTIONS = [1, 10, 100, 1000, 10_000, 19_000]
SIZES = [16 * 4**power for power in range(9)]
IDLE = [1000, 5000, 10_000, 19_000]
# The values at which the charts have lines.
TIMES = [factor * 10**power for power in range(2, 9) for factor in (1, 2, 5)]
BYTES = [4**power for power in range(20)]
NAMES = ["proxy-echo", "floor", "tokio"]


def arguments():
    parser = argparse.ArgumentParser(prog="loadtest/scale", description=__doc__)
    parser.add_argument("--only", metavar="NAME,…", default=",".join(NAMES), help=f"[{','.join(NAMES)}]")
    parser.add_argument(
        "--parts", metavar="PART,…", default="connections,sizes,idle", help="the rest stays as it was measured last"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured [5]")
    parser.add_argument("--seconds", type=float, default=0.4, help="how long a run measures [0.4]")
    parser.add_argument("--chart", metavar="FILE", type=Path, help="where the chart goes [target/scale.svg]")
    parser.add_argument("--redraw", action="store_true", help="measure nothing: show the last measurement again")
    options = parser.parse_args()
    names = options.only.split(",")
    options.parts = options.parts.split(",")
    unknown = [part for part in options.parts if part not in works()]
    unknown += [name for name in names if name not in servers.SERVERS]
    if unknown or options.rounds < 1 or not 0.05 <= options.seconds <= 10:
        parser.error(f"there is no {unknown[0]}" if unknown else "rounds from 1, seconds from 0.05 to 10")
    options.servers = [servers.SERVERS[name] for name in names]
    return options


def works():
    """The works, by the quantity that grows, in order."""
    return {
        "connections": [
            load.Work(str(count), f"{short(count)} connections", f"rr -c {count}") for count in CONNECTIONS
        ],
        "sizes": [load.Work(str(size), short(size) + "B", f"rr -c 8 --size {size}B") for size in SIZES],
        "idle": [load.Work(str(count), f"{short(count)} idle", f"idle -c {count}") for count in IDLE],
    }


def measure(options, workshop, generator_core):
    servers.install(options.servers)
    workshop.build(options.servers)
    bench = load.Bench(workshop, generator_core, options.seconds)
    results = {
        kind: bench.rounds(list_of_works, options.servers, lambda _, kind=kind: 1 if kind == "idle" else options.rounds)
        for kind, list_of_works in works().items()
        if kind in options.parts
    }
    return {
        "machine": load.machine(),
        "versions": workshop.versions(options.servers),
        "servers": [server.name for server in options.servers],
        "rounds": options.rounds,
        "results": results,
        "failures": bench.failures,
    }


def curves(measured, kind, figure, factor=lambda _: 1):
    """By server: the measured points and their medians."""
    found = {}
    for name in measured["servers"]:
        by_work = ((int(work), load.median(runs[name], figure)) for work, runs in measured["results"][kind].items())
        found[name] = [(x, value * factor(x)) for x, value in by_work if value is not None]
    return found


def table(measured, kind, figure, write):
    """A table: a row for each server."""
    by_name = curves(measured, kind, figure)
    head = ["", *(short(int(work.name)) for work in works()[kind])]
    rows = [
        [name, *(write(dict(points).get(int(work.name))) for work in works()[kind])] for name, points in by_name.items()
    ]
    return tables.table(head, rows)


def short(count):
    """19k for 19,000, and 64K for 65,536."""
    for letter, factor in (("M", 1 << 20), ("K", 1 << 10), ("k", 1000)):
        if count >= factor and count % factor == 0:
            return f"{count // factor:.0f}{letter}"
    return f"{count:.0f}"


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    server_core, generator_core = load.cores()
    workshop = servers.Workshop(server_core)
    kept = workshop.release.parent / "scale.json"
    if options.redraw:
        measured = json.loads(kept.read_text())
    else:
        measured = measure(options, workshop, generator_core)
        if len(options.parts) < len(works()):
            measured["results"] = json.loads(kept.read_text())["results"] | measured["results"]
        kept.write_text(json.dumps(measured))
    print(f"{measured['machine']}; {measured['versions']}; medians of {measured['rounds']} rounds\n")
    print(
        f"CPU time for a message of 64 B, by connections:\n\n{table(measured, 'connections', 'cpu_ns', tables.time)}\n"
    )
    print(
        f"CPU time for a message, 8 connections, by its bytes:\n\n{table(measured, 'sizes', 'cpu_ns', tables.time)}\n"
    )
    print(f"Memory for an idle connection, by connections:\n\n{table(measured, 'idle', 'rss_bytes', tables.size)}\n")
    by_connections, by_size = curves(measured, "connections", "cpu_ns"), curves(measured, "sizes", "cpu_ns")
    memory = curves(measured, "idle", "rss_bytes", lambda count: count)
    panels = [
        ("CPU time for a message of 64 B, by connections", by_connections, short, tables.time, TIMES),
        ("CPU time for a message, by its bytes", by_size, short, tables.time, TIMES),
        ("memory, by idle connections", memory, short, tables.size, BYTES),
    ]
    svg = options.chart or kept.with_suffix(".svg")
    svg.write_text(chart.lines(panels, f"{measured['machine']}; loadtest/scale"))
    print(f"chart: {svg}")
    for failure in measured["failures"]:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if measured["failures"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

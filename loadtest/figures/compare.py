"""Gives proxy-echo and alternatives the same work, in turn, and shows the CPU time that each needs.

Installs from Debian what is missing (compilers, interpreters, HAProxy), builds everything, and takes under ten minutes
on two cores. Each server is pinned to one core, the load generator to another. Every byte that comes back is verified."""

import argparse
import dataclasses
import json
import signal
import sys
from pathlib import Path

import chart
import load
import servers
import tables

WORKS = [
    load.Work("50", "64 B, 50 connections", "rr -c 50"),
    load.Work("1000", "64 B, 1,000 connections", "rr -c 1000"),
    load.Work("10000", "64 B, 10,000 connections", "rr -c 10000", 2),
    load.Work("depth16", "64 B, 50 × 16 in flight", "rr -c 50 --depth 16"),
    load.Work("16KiB", "16 KiB, 50 connections", "rr -c 50 --size 16KiB"),
    load.Work("256KiB", "256 KiB, 8 connections", "rr -c 8 --size 256KiB"),
    load.Work("churn", "connect, header, 64 B, close", "crr -c 50"),
]
LATENCY = load.Work("latency", "latency at 10,000 messages a second, 50 connections", "rr -c 50 --rate 10000 --spin")
IDLE = load.Work("idle", "10,000 idle connections", "idle -c 10000")
# The servers of --quick.
SHORTER = {"10000": "rr -c 100", "idle": "idle -c 1000"}
# Servers that are close to each other get more rounds; for the others three suffice.
CLOSE = ("floor", "proxy-echo", "tokio")
ROUNDS_OF_OTHERS = 3


def arguments():
    parser = argparse.ArgumentParser(prog="loadtest/compare", description=__doc__)
    known = "; ".join(f"{server.name} ({server.about})" for server in servers.SERVERS.values())
    parser.add_argument("--only", metavar="NAME,…", help="these, and the floor: " + known)
    parser.add_argument("--rounds", type=int, default=7, help=f"for {', '.join(CLOSE)}; the others have at most 3 [7]")
    parser.add_argument("--seconds", type=float, default=0.4, help="how long a run measures [0.4]")
    parser.add_argument(
        "--quick", action="store_true", help="one short round, to see that all works; figures are worthless"
    )
    parser.add_argument("--chart", metavar="FILE", type=Path, help="where the chart goes [target/compare.svg]")
    parser.add_argument("--redraw", action="store_true", help="measure nothing: show the last measurement again")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.2
    names = [name.strip() for name in options.only.split(",")] if options.only else list(servers.SERVERS)
    unknown = [name for name in names if name not in servers.SERVERS]
    if unknown or options.rounds < 1 or not 0.05 <= options.seconds <= 10:
        parser.error(f"no server is called {unknown[0]}" if unknown else "rounds from 1, seconds from 0.05 to 10")
    # Ratios are to the floor.
    options.servers = [server for server in servers.SERVERS.values() if server.name in ("floor", *names)]
    return options


def measure(options, workshop, generator_core):
    servers.install(options.servers)
    workshop.build(options.servers)
    bench = load.Bench(workshop, generator_core, options.seconds)

    def rounds_of(server):
        return options.rounds if server.name in CLOSE else min(options.rounds, ROUNDS_OF_OTHERS)

    works = [*WORKS, LATENCY, IDLE]
    if options.quick:
        works = [dataclasses.replace(work, arguments=SHORTER.get(work.name, work.arguments)) for work in works]
    results = bench.rounds(works[:-1], options.servers, rounds_of)
    results |= bench.rounds(works[-1:], options.servers, lambda _: 1)
    return {
        "machine": load.machine(),
        "versions": workshop.versions(options.servers),
        "servers": [server.name for server in options.servers],
        "results": results,
        "failures": bench.failures,
    }


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    server_core, generator_core = load.cores()
    workshop = servers.Workshop(server_core)
    kept = workshop.release.parent / "compare.json"
    if options.redraw:
        measured = json.loads(kept.read_text())
    else:
        measured = measure(options, workshop, generator_core)
        kept.write_text(json.dumps(measured))
    print(tables.comparison(measured, WORKS))
    svg = options.chart or kept.with_suffix(".svg")
    svg.write_text(chart.comparison(measured, WORKS))
    print(f"chart: {svg}")
    for failure in measured["failures"]:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if measured["failures"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

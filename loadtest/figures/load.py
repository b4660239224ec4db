"""Runs the load generator against a server, in its own process on its own core, and extracts the figures."""

import contextlib
import dataclasses
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time

RUN_LIMIT_S = 60
# The verdict of every closed loop here, because the generator uses its whole core. The server's CPU time is still right.
GENERATOR_WAS_THE_LIMIT = 3


@dataclasses.dataclass(frozen=True)
class Work:
    """A work for a server, as arguments of loadtest."""

    name: str
    title: str
    arguments: str
    # It is measured this many times as long as others, because a round of messages takes long with many connections.
    times_as_long: int = 1


class Bench:
    """A workshop's servers, under load."""

    def __init__(self, workshop, core, seconds):
        self.workshop = workshop
        self.core = core
        self.seconds = seconds
        self.failures = []

    def run(self, server, work):
        """Starts the server, loads it, ends it. Returns the figures, or None if there are none."""
        with self.workshop.running(server) as (address, process):
            command, *arguments = work.arguments.split()
            generator = ["taskset", "-c", str(self.core), str(self.workshop.release / "loadtest"), command, address]
            seconds = self.seconds * work.times_as_long
            times = ["--duration", f"{seconds}s", "--warmup", f"{seconds / 2}s"]
            checks = ["--proxy", "v1", "--expect-reflect", "yes", "--server-pid", str(process.pid)]
            generator += [*arguments, *times, *checks, "--quiet", "--json"]
            with CpuSamples(process.pid) as samples:
                done = subprocess.run(generator, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False)
        if not done.stdout:
            return self._failed(server, work, done.stderr.strip())
        result = json.loads(done.stdout)
        totals = result["totals"]
        counts = {kind: totals[kind] for kind in ("connections_failed", "connections_lost", "requests_unanswered")}
        wrong = {kind: count for kind, count in (counts | totals["verification"]).items() if count}
        if wrong or done.returncode not in (0, GENERATOR_WAS_THE_LIMIT):
            return self._failed(server, work, f"{wrong or done.stderr.strip()}")
        figures, use = result["runs"][0], result["server"]
        completed = totals["measured_completed"]
        if not use:
            return self._failed(server, work, "it ended")
        if command != "idle" and not completed:
            return None  # too slow for so short a run
        cpu_ns = use["cpu_ns_per_request"]
        if server.threads_end and completed:
            cpu_ns = samples.between(result["started"], result["measured_s"]) / completed
        is_valid = not result["invalid"]
        return {
            "cpu_ns": cpu_ns,
            "rate": figures["rate"],
            "p50_ns": figures["p50_ns"] if is_valid else None,
            "p99_ns": figures["p99_ns"] if is_valid else None,
            "rss_bytes": use["rss_per_connection_bytes"],
        }

    def rounds(self, works, servers, rounds_of):
        """Gives each work to all servers in turn, round after round; each server is first in its turn."""
        results = {work.name: {server.name: [] for server in servers} for work in works}
        for work in works:
            started = time.monotonic()
            for index in range(max(map(rounds_of, servers))):
                shift = index % len(servers)
                for server in servers[shift:] + servers[:shift]:
                    if index < rounds_of(server):
                        results[work.name][server.name].append(self.run(server, work))
            print(f"{work.title}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        return results

    def _failed(self, server, work, why):
        self.failures.append(f"{server.name}, {work.title}: {why}")
        return None


class CpuSamples(threading.Thread):
    """Samples a process's CPU time every few milliseconds, ended threads included; loadtest sums up only living threads."""

    def __init__(self, pid):
        super().__init__()
        # The clock of clock_getcpuclockid(3), computed from the process's number as the kernel does.
        self.clock = (~pid << 3) | 2
        self.samples = []
        self.is_over = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.join()

    def run(self):
        with contextlib.suppress(OSError):
            while not self.is_over.wait(0.02):
                self.samples.append((time.time(), time.clock_gettime_ns(self.clock)))

    def between(self, started, length_s):
        """The CPU time in ns during `length` from `start` on."""
        start = datetime.datetime.fromisoformat(started.replace("Z", "+00:00")).timestamp()
        within = [sample for sample in self.samples if start <= sample[0] <= start + length_s]
        (first, cpu_first), (last, cpu_last) = within[0], within[-1]
        return (cpu_last - cpu_first) / (last - first) * length_s


def median(runs, figure):
    """The median of the runs that have this figure, or None."""
    values = [run[figure] for run in runs if run and run[figure] is not None]
    return statistics.median(values) if values else None


def ratios(runs, floor_runs):
    """CPU time in relation to the floor's of the same round, in order of size."""
    return sorted(run["cpu_ns"] / floor["cpu_ns"] for run, floor in zip(runs, floor_runs) if run and floor)


def cores():
    """A core for the server and one for the generator, far apart."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) == 1:
        print("There is only one core: servers and generator share it, and figures are worth little.", file=sys.stderr)
    return allowed[0], allowed[-1]


def machine():
    """The machine of the measurement, in words."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(": ", 1)[1].strip() for line in file if line.startswith("model name")]
    cpu = models[0] if models else platform.machine()
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    return f"{date}, {os.cpu_count()} cores of {cpu}, Linux {platform.release().split('-')[0]}"

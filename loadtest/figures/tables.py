"""Figures as tables, in Markdown, so that the pages can have them as they are."""

import statistics

from load import median, ratios

NOTHING = "–"


def comparison(measured, works):
    """All that was compared."""
    names, results = measured["servers"], measured["results"]
    others = [name for name in names if name != "floor"]
    cpu, spread, rate = [], [], []
    for work in works:
        runs = results[work.name]
        found = {name: ratios(runs[name], runs["floor"]) for name in others}
        cpu.append([work.title, time(median(runs["floor"], "cpu_ns")), *(_middle(found[name]) for name in others)])
        spread.append([work.title, *(_ends(found[name]) for name in others)])
        rate.append([work.title, *(_count(median(runs[name], "rate")) for name in names)])
    latency, idle = results["latency"], results["idle"]
    other = [
        ["p50 at 10,000 messages a second", *(time(median(latency[name], "p50_ns")) for name in names)],
        ["p99", *(time(median(latency[name], "p99_ns")) for name in names)],
        ["memory for an idle connection", *(size(median(idle[name], "rss_bytes")) for name in names)],
    ]
    by_rounds = {}
    for name in names:
        by_rounds.setdefault(len(results[works[0].name][name]), []).append(name)
    rounds = "; ".join(f"{count} of {', '.join(names)}" for count, names in by_rounds.items())
    return "\n\n".join(
        [
            f"{measured['machine']}; {measured['versions']}. Rounds: {rounds}.",
            "CPU time of the server for an operation: the floor's, and the others' to the floor's of the same round (medians):",
            table(["", *names], cpu),
            "The same, from the lowest to the highest round:",
            table(["", *others], spread),
            "Operations a second; where the generator, not the server, is the limit, many are alike:",
            table(["", *names], rate),
            "Latency with 50 connections, and memory with 10,000:",
            table(["", *names], other),
        ]
    )


def table(head, rows):
    """A table of Markdown, with columns as wide as they need."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells):
        first, *rest = zip(cells, widths)
        return "| " + " | ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in rest)]) + " |"

    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return "\n".join([line(head), rule, *map(line, rows)])


def digits(value):
    """Three digits of it."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def time(nanoseconds):
    """A time in its unit."""
    if nanoseconds is None:
        return NOTHING
    for unit, factor in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= factor:
            return f"{digits(nanoseconds / factor)} {unit}"
    return f"{nanoseconds:.0f} ns"


def size(count):
    """Bytes in their unit."""
    if count is None:
        return NOTHING
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{digits(count / factor)} {unit}"
    return f"{count:.0f} B"


def _count(value):
    return NOTHING if value is None else f"{value:,.0f}"


def _middle(values):
    return digits(statistics.median(values)) if values else NOTHING


def _ends(values):
    return f"{digits(values[0])}–{digits(values[-1])}" if values else NOTHING

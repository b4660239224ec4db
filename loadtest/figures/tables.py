"""Figures as tables, in Markdown, so that README can have them as they are."""

from load import median, ratios

NOTHING = "–"


def comparison(measured, works):
    """All that was compared."""
    names, results = measured["servers"], measured["results"]
    cpu, rate = [], []
    for work in works:
        runs = results[work.name]
        floor_ns = median(runs["floor"], "cpu_ns")
        cells = [time(floor_ns)]
        cells += [_ratio(ratios(runs[name], runs["floor"])) for name in names if name != "floor"]
        cpu.append([work.title, *cells])
        rate.append([work.title, *(_count(median(runs[name], "rate")) for name in names)])
    latency = results["latency"]
    other = [
        ["latency at 10,000 messages a second, p50", *(time(median(latency[name], "p50_ns")) for name in names)],
        ["the same, p99", *(time(median(latency[name], "p99_ns")) for name in names)],
        [
            "memory for an idle connection, 10,000 open",
            *(size(median(results["idle"][name], "rss_bytes")) for name in names),
        ],
    ]
    rounds = {name: len(results[works[0].name][name]) for name in names}
    counts = ", ".join(f"{name} {count}" for name, count in rounds.items())
    return "\n\n".join(
        [
            f"{measured['machine']}; {measured['versions']}.",
            "CPU time of the server: the floor's, and the others' in relation to it, round by round: the median (from the "
            f"lowest to the highest). Rounds: {counts}.",
            table(["", *names], cpu),
            "Operations a second; where the generator, not the server, is the limit, many are alike:",
            table(["", *names], rate),
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


def _ratio(values):
    """The median, and the lowest and the highest."""
    if not values:
        return NOTHING
    middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
    if len(values) == 1:
        return digits(middle)
    return f"{digits(middle)} ({digits(values[0])}–{digits(values[-1])})"

"""Charts, drawn as SVG by hand: text and lines that are readable on a light and on a dark page."""

import math
import statistics
from html import escape

from load import median, ratios
from tables import digits, size, time

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #555 }
.title { font-weight: 600; fill: #111 }
.ours { fill: #b3420a; font-weight: 600 }
.grid { stroke: #ddd }
.base { stroke: #888 }
.stick { stroke: #999; stroke-width: 2 }
.dot { fill: #777 }
.c0 { --c: #d9540f } .c1 { --c: #4a78b5 } .c2 { --c: #5b9a3c } .c3 { --c: #9a6fb0 }
path { fill: none; stroke: var(--c); stroke-width: 2 }
circle.c0, circle.c1, circle.c2, circle.c3 { fill: var(--c) }
text.c0, text.c1, text.c2, text.c3 { fill: var(--c); font-weight: 600 }
circle.mine { fill: #d9540f } line.mine { stroke: #d9540f }
@media (prefers-color-scheme: dark) {
  text { fill: #aaa } .title { fill: #eee } .ours { fill: #ff9457 } .grid { stroke: #333 } .base { stroke: #888 }
}
"""


def comparison(measured, works):
    """Draws CPU time in relation to the floor's, one panel for each work, and one for memory."""
    names, results = measured["servers"], measured["results"]
    panels = []
    for work in works:
        runs = results[work.name]
        values = {name: ratios(runs[name], runs["floor"]) for name in names}
        middles = {name: statistics.median(value) if value else None for name, value in values.items()}
        floor = median(runs["floor"], "cpu_ns")
        panels.append(
            (work.title, middles, lambda value, floor=floor: time(floor) if value == 1 else f"{digits(value)}×")
        )
    highest = max((value for _, middles, _ in panels for value in middles.values() if value), default=1)
    memory = {name: median(results["idle"][name], "rss_bytes") for name in names}
    row, width, left, columns = 19, 215, 116, 4
    height = row * len(names) + 48
    parts = [
        _text(
            0,
            14,
            "CPU time of the server for an operation: times the floor’s (logarithmic; shorter is better)",
            "title",
        )
    ]
    scale = _log_scale(0.5, max(highest, 2), 0, width - 70)
    for index, (title, middles, label) in enumerate(panels):
        x, y = left + width * (index % columns), 44 + height * (index // columns)
        parts.append(_sticks(x, y, title, middles, label, scale, 1, row, index % columns == 0))
    x, y = left + width * (len(panels) % columns), 44 + height * (len(panels) // columns)
    bytes_scale = _log_scale(1, max(2, *(value or 1 for value in memory.values())), 0, width - 70)
    parts.append(
        _sticks(x, y, "memory, idle connection", memory, size, bytes_scale, 1, row, len(panels) % columns == 0)
    )
    lines = len(panels) // columns + 1
    parts.append(_text(0, 50 + height * lines, f"{measured['machine']}; loadtest/compare"))
    return _svg(left + width * columns, 58 + height * lines, parts)


def _sticks(x, y, title, values, label, scale, base, row, is_named):
    parts = [
        _text(x, y, title, "title"),
        _line(x + scale(base), y + 8, x + scale(base), y + 10 + row * len(values), "base"),
    ]
    for index, (name, value) in enumerate(values.items()):
        middle = y + 20 + row * index
        mine = " mine" if name.startswith("proxy-echo") else ""
        if is_named:
            parts.append(_text(x - 8, middle + 4, name, "ours" if mine else "", "end"))
        if value is None:
            parts.append(_text(x + scale(base) + 8, middle + 4, "–"))
            continue
        end = scale(max(value, base / 2))
        parts.append(_line(x + scale(base), middle, x + end, middle, "stick" + mine))
        parts.append(f'<circle cx="{x + end:.1f}" cy="{middle}" r="4" class="dot{mine}"/>')
        parts.append(_text(x + max(end, scale(base)) + 8, middle + 4, label(value), "ours" if mine else ""))
    return "".join(parts)


def lines(panels, note, is_linear=False):
    """Draws panels of curves over a logarithmic or linear axis. A panel is a title, curves by name, formats of x and y, ticks of y."""
    width, height, left, gap = 275, 220, 58, 85
    parts = []
    for index, (title, curves, write_x, write_y, ticks) in enumerate(panels):
        x = left + (width + gap) * index
        parts.append(_curves(x, 40, width, height, title, curves, write_x, write_y, ticks, is_linear))
    for index, name in enumerate(panels[0][1]):
        x = left + 110 * index
        parts.append(f'<circle cx="{x}" cy="{height + 88}" r="4" class="c{index}"/>')
        parts.append(_text(x + 8, height + 92, name, f"c{index}"))
    parts.append(_text(left - 4, height + 116, note))
    return _svg((width + gap) * len(panels), height + 126, parts)


def _curves(x, y, width, height, title, curves, write_x, write_y, ticks, is_linear):
    points = [point for curve in curves.values() for point in curve if point[1]]
    if not points:
        return _text(x, y, title, "title")
    xs = sorted({px for px, _ in points})
    low, top = min(py for _, py in points) / 1.3, max(py for _, py in points) * 1.3
    across = _linear_scale(xs[-1], width) if is_linear else _log_scale(xs[0], xs[-1], 0, width)
    up = _log_scale(low, top, height, 0)
    parts = [_text(x - 40, y - 22, title, "title")]
    for tick in ticks:
        if low <= tick <= top:
            parts.append(_line(x, y + up(tick), x + width, y + up(tick), "grid"))
            parts.append(_text(x - 6, y + up(tick) + 4, write_y(tick), "", "end"))
    for before, tick, after in zip([0, *xs], xs, [*xs[1:], math.inf]):
        # Numbers of close neighbours are put on opposite sides.
        is_close = [not is_linear and after < tick * 2, not is_linear and bool(before) and tick < before * 2]
        anchor = "end" if is_close[0] else "start" if is_close[1] else "middle"
        parts.append(_text(x + across(tick), y + height + 18, write_x(tick), "", anchor))
    for index, curve in enumerate(curves.values()):
        drawn = [(x + across(px), y + up(py)) for px, py in curve if py]
        if drawn:
            steps = " L".join(f"{px:.1f} {py:.1f}" for px, py in drawn)
            parts.append(f'<path class="c{index}" d="M{steps}"/>')
        parts += [f'<circle class="c{index}" cx="{px:.1f}" cy="{py:.1f}" r="3"/>' for px, py in drawn]
    return "".join(parts)


def _log_scale(low, high, start, end):
    span = math.log(high / low)
    return lambda value: start + (end - start) * math.log(value / low) / span


def _linear_scale(high, end):
    return lambda value: end * value / high


def _text(x, y, text, kind="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _svg(width, height, parts):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>\n"])

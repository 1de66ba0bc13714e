"""The picture of a run, as SVG: how near jobs come to the ideal, and what a device costs as jobs grow."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Figures = Sequence[Mapping[str, Any]]
_WIDTH, _HEIGHT, _LEFT, _TOP, _PANEL_W, _PANEL_H = 920, 370, 56, 52, 360, 220
_COLOURS = ("#2f6fde", "#d9822b", "#2e9e6b")
_STYLE = """<style>
text { font: 12px sans-serif; fill: #4a5568 } .title { font-weight: 600; fill: #1a202c } .axis { stroke: #cbd5e0 }
.target { stroke: #c53030; stroke-dasharray: 4 3 } .line { fill: none; stroke-width: 2 }
</style>"""


def draw(figures: Figures) -> str:
    """The whole picture."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" role="img">',
        _STYLE,
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        *_share_of_ideal(_LEFT, [one for one in figures if one["baseline"] == "C / (k · L)"]),
        *_growth(_LEFT + _PANEL_W + 100, [one for one in figures if one["topic"] == "growth"]),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _share_of_ideal(left: float, figures: Figures) -> list[str]:
    """One dot for each job with billing: k by colour, those on a slow disk hollow; lines from least to most."""
    drawn = _panel(
        left, "Job with billing: share of C / (k · L)", [f"{share:.1f}" for share in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    )
    drawn.append(_line(left, _y(0.93), left + _PANEL_W, _y(0.93), "target"))
    step = _PANEL_W / (len(figures) + 1)
    for number, figure in enumerate(figures, 1):
        x = left + number * step
        colour = _COLOURS["k = 3" in figure["what"]]
        fill = "white" if "slow" in figure["topic"] else colour
        low, high = (_y(min(1.0, bound(figure["ratios"]))) for bound in (min, max))
        drawn.append(f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" stroke="{colour}"/>')
        y = _y(min(1.0, figure["ratio"]))
        title = escape(f"{figure['topic']}: {figure['what']}: {figure['ratio']:.2f}")
        drawn.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="{colour}"><title>{title}</title></circle>'
        )
        latency, threads = re.findall(r"[LC] = (\d+)", figure["what"])
        at = f"{x + 4:.1f} {_TOP + _PANEL_H + 8:.1f}"
        drawn.append(f'<text transform="translate({at}) rotate(-90)" text-anchor="end">{latency} ms × {threads}</text>')
    keys = (("k = 1", _COLOURS[0], _COLOURS[0]), ("k = 3", _COLOURS[1], _COLOURS[1]), ("slow disk", "white", "#4a5568"))
    for number, (word, fill, colour) in enumerate(keys):
        key = left + number * 80
        drawn.append(f'<circle cx="{key + 5}" cy="{_HEIGHT - 22}" r="4.5" fill="{fill}" stroke="{colour}"/>')
        drawn.append(_text(key + 16, _HEIGHT - 18, word))
    return drawn


def _growth(left: float, figures: Figures) -> list[str]:
    """One line for each part of the work: microseconds a device over the number of devices."""
    series: dict[str, list[tuple[float, float]]] = {}
    for figure in figures:
        part, _, size = figure["what"].partition(", ")
        count = int(re.sub(r"\D", "", size))
        series.setdefault(part, []).append((count, figure["value"]))
    if not series:
        return []
    points = [point for line in series.values() for point in line]
    top = _round_up(max(value for _, value in points))
    smallest, largest = (math.log10(bound(devices for devices, _ in points)) for bound in (min, max))
    drawn = _panel(left, "Growth: microseconds a device", [f"{top * share / 5:g}" for share in range(6)])

    def x_of(devices: float) -> float:
        return left + 16 + (_PANEL_W - 32) * (math.log10(devices) - smallest) / max(largest - smallest, 1)

    for devices in sorted({devices for devices, _ in points}):
        drawn.append(_text(x_of(devices), _TOP + _PANEL_H + 18, f"{devices:,.0f}", "middle"))
    for (part, line), colour in zip(series.items(), _COLOURS, strict=False):
        path = " ".join(f"{x_of(devices):.1f},{_y(value / top):.1f}" for devices, value in line)
        drawn.append(f'<polyline class="line" points="{path}" stroke="{colour}"/>')
        key = left + 110 * list(series).index(part)
        drawn.append(
            f'<line x1="{key}" y1="{_HEIGHT - 22}" x2="{key + 14}" y2="{_HEIGHT - 22}" class="line" stroke="{colour}"/>'
        )
        drawn.append(_text(key + 20, _HEIGHT - 18, part))
    return drawn


def _panel(left: float, title: str, marks: Sequence[str]) -> list[str]:
    """Title and axis; ``marks`` from the bottom to the top."""
    drawn = [f'<text class="title" x="{left}" y="{_TOP - 20}">{escape(title)}</text>']
    for number, mark in enumerate(marks):
        y = _y(number / (len(marks) - 1))
        drawn += [_line(left, y, left + _PANEL_W, y, "axis"), _text(left - 8, y + 4, mark, "end")]
    return drawn


def _y(share: float) -> float:
    return _TOP + _PANEL_H * (1 - share)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _round_up(value: float) -> float:
    """The next of 10, 25, 50, 100, 250, … that is not below it."""
    scale = 10.0 ** math.floor(math.log10(value))
    return next(scale * step for step in (1, 2.5, 5, 10) if value <= scale * step)

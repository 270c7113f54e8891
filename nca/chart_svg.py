"""The line charts of `nca.chart` as SVG, which stays sharp at any size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from nca.chart import COLOURS, FAINT, INK, PAPER, Points, nice_ticks

_LEFT, _RIGHT, _TOP, _BOTTOM, _LINE = 46, 18, 26, 24, 16


def chart_svg(
    title: str,
    lines: Mapping[str, Points],
    *,
    size: tuple[int, int] = (840, 420),
    ink: str = INK,
    paper: str = PAPER,
) -> str:
    """One chart with its legend: an SVG document.

    Args:
        title: above it.
        lines: name -> points (x, y) with x ascending; points that are not finite are left out.
        size: width and height in pixels.
        ink: colour of the text; "currentColor" follows a page's.
        paper: colour of the ground, or "none".
    """
    width, height = size
    lines = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        for name, points in lines.items()
    }
    xs = [x for points in lines.values() for x, _ in points] or [0.0, 1.0]
    ys = [y for points in lines.values() for _, y in points] or [0.0, 1.0]
    x_low, x_high = min(xs), max(xs)
    y_ticks = nice_ticks(min(ys), max(ys))
    y_low, y_high = min(y_ticks + ys), max(y_ticks + ys)
    top = _TOP + _LINE * len(lines)

    def across(x: float) -> float:
        return _LEFT + (x - x_low) / ((x_high - x_low) or 1) * (width - _LEFT - _RIGHT)

    def down(y: float) -> float:
        return height - _BOTTOM - (y - y_low) / ((y_high - y_low) or 1) * (height - top - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11" fill="{ink}">',
        f'<rect width="{width}" height="{height}" fill="{paper}"/>',
        f'<text x="{_LEFT}" y="16" font-size="13">{escape(title)}</text>',
    ]
    for y in y_ticks:
        parts.append(
            f'<path class="level" d="M{_LEFT} {down(y):.1f}H{width - _RIGHT}" stroke="{FAINT}"/>'
        )
        parts.append(f'<text x="{_LEFT - 5}" y="{down(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in nice_ticks(x_low, x_high):
        if x_low <= x <= x_high:
            parts.append(
                f'<text x="{across(x):.1f}" y="{height - 8}" text-anchor="middle">{x:g}</text>'
            )
    for number, (name, points) in enumerate(lines.items()):
        colour, y = COLOURS[number % len(COLOURS)], _TOP + _LINE * number + 4
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points)
        parts.append(f'<path class="key" d="M{_LEFT} {y}h14" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{_LEFT + 20}" y="{y + 4}">{escape(name)}</text>')
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"

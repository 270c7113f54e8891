"""How the time of a training iteration scales, measured and drawn as SVG without dependencies."""

from __future__ import annotations

import math
import os
from dataclasses import replace

from systems import Process, Work, alternate, better_dense

Curve = list[tuple[float, float]]
Panel = tuple[str, dict[str, Curve]]
COLOURS = {"ours": "#0a7d5a", "dense": "#b3541e"}


def measure(rounds: int) -> list[Panel]:
    """Milliseconds per iteration (batch 8, 12 steps) over one thing at a time: four panels."""
    base = Work(steps=12)
    cores = os.cpu_count() or 1
    threads = sorted({n for n in (1, 2, 4, 8, cores) if n <= cores})
    sweeps = {
        "grid side (same lizard)": [(n, replace(base, grid=n)) for n in (48, 72, 128, 192, 256)],
        "living share of 72 x 72, %": [
            (round(100 * s), replace(base, share=s)) for s in (0.02, 0.1, 0.25, 0.5, 1.0)
        ],
        "batch": [(n, replace(base, batch=n)) for n in (1, 2, 4, 8, 16)],
        "threads": [(n, replace(base, threads=n)) for n in threads],
    }
    ours, dense = Process("ours"), better_dense(Work())
    panels = []
    for title, points in sweeps.items():
        curves: dict[str, Curve] = {"ours": [], "dense": []}
        for at, work in points:
            repeats = max(1, rounds // 2)
            # The dense version would need gigabytes on the largest grids.
            systems = [ours, dense] if work.grid <= 128 else [ours]
            seconds = alternate(systems, work, repeats)
            for curve, system in zip(curves.values(), systems, strict=False):
                curve.append((at, seconds[system.name] * 1000))
                print(f"{title:27} {at:5} {system.name:21} {curve[-1][1]:8.1f} ms")
        panels.append((title, curves))
    ours.close()
    dense.close()
    return panels


def draw(panels: list[Panel]) -> str:
    """Side by side, both axes logarithmic, the time axis shared: an SVG document."""
    side, margin, top = 190, 58, 40
    times = [t for _, curves in panels for curve in curves.values() for _, t in curve]
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    width, height = len(panels) * (side + 24) + margin, side + top + 52
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11" fill="#333">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{margin}" y="18" font-size="13">ms per training iteration of 12 steps: '
        f'<tspan fill="{COLOURS["ours"]}">this engine</tspan> and '
        f'<tspan fill="{COLOURS["dense"]}">plain dense PyTorch</tspan></text>',
    ]

    def level(value: float) -> float:
        return top + side * (1 - (math.log10(value) - low) / (high - low))

    for number, (title, curves) in enumerate(panels):
        left = margin + number * (side + 24)
        places = [at for at, _ in curves["ours"]]
        start, stop = math.log(places[0]), math.log(places[-1])

        def across(at: float, left: int = left, start: float = start, stop: float = stop) -> float:
            return left + 10 + (side - 20) * (math.log(at) - start) / ((stop - start) or 1)

        parts.append(
            f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="none" '
            f'stroke="#999"/><text x="{left + side / 2}" y="{top + side + 34}" '
            f'text-anchor="middle">{title}</text>'
        )
        for power in range(low, high + 1):
            y = level(10**power)
            parts.append(f'<path d="M{left} {y}h{side}" stroke="#ddd"/>')
            if not number:
                parts.append(
                    f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{10**power}</text>'
                )
        for at in places:
            parts.append(
                f'<text x="{across(at)}" y="{top + side + 16}" text-anchor="middle">{at}</text>'
            )
        for name, curve in curves.items():
            points = " ".join(f"{across(at):.1f},{level(t):.1f}" for at, t in curve)
            parts.append(
                f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" '
                'stroke-width="2"/>'
            )
            for at, t in curve:
                parts.append(
                    f'<circle cx="{across(at):.1f}" cy="{level(t):.1f}" r="3" '
                    f'fill="{COLOURS[name]}"/>'
                )
    return "\n".join([*parts, "</svg>"]) + "\n"

"""Scores as a table beside Distill's, as a picture of the curves, and in a checkpoint's card.

A checkpoint's `metrics.json` keeps a short form under "scores", which the model card shows, and
all of it under "battery"; `scores.png` beside it holds the curves.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from nca.chart import INK, PAPER, chart, sheet
from nca.checkpoint import card, load_checkpoint
from nca.evaluate import (
    HEALED,
    LARGE,
    Plan,
    Scores,
    Vitals,
    evaluate,
    evaluate_without_target,
)
from nca.files import write_atomic
from nca.healing import HealingMap, healing_map
from nca.zoo import ZooScores, evaluate_kinds, work

CURVES, MAP = PICTURES = "scores.png", "healing.png"  # beside the checkpoint, for its card
_SHOWN = 1.0

# Distill's 30 shipped models on 72 x 72 grids, median of its ten emoji: 96, 200, 1000, half cuts
# and how many healed, the centre square and how many healed.
DISTILL = {
    "growing": (-3.69, -2.31, -1.12, None, "", None, ""),
    "persistent": (-3.34, -3.79, -4.00, -1.75, "3/40", -1.44, "0/10"),
    "regenerating": (-3.00, -3.37, -3.51, -2.41, "19/40", -2.73, "9/10"),
}
_HEAD = ("", "96", "200", "1000", "half cuts", "", "square", "")


def row(scores: list[Scores]) -> tuple[Any, ...]:
    """One or more automata in Distill's columns: medians over them, and how many healed."""
    steps = list(scores[0].growth)
    healed = sum(s.halves_healed for s in scores)
    squares = sum(s.centre < HEALED for s in scores)
    return (
        *(median(s.growth[step] for s in scores) for step in steps),
        median(s.halves for s in scores),
        f"{healed}/{4 * len(scores)}",
        median(s.centre for s in scores),
        f"{squares}/{len(scores)}",
    )


def table(named: dict[str, list[Scores]]) -> str:
    """Rows of automata (name -> one or more scores), Distill's below: plain text."""
    rows = [(name, *row(scores)) for name, scores in named.items()]
    rows += [(f"Distill, {name}", *cells) for name, cells in DISTILL.items()]
    return _aligned([_HEAD, *(tuple(_cell(cell) for cell in cells) for cells in rows)])


def healing_table(named: dict[str, Scores]) -> str:
    """Share of every family's trials that healed, by automaton, in percent: plain text.

    Automata without scores of families are left out; empty when none has any.
    """
    found = {name: scores.healing for name, scores in named.items() if scores.healing}
    families = list(dict.fromkeys(family for healing in found.values() for family in healing))
    rows = [
        (name, *(f"{100 * healing[f].healed:.1f}" if f in healing else "" for f in families))
        for name, healing in found.items()
    ]
    return _aligned([("healed, %", *families), *rows]) if rows else ""


def _aligned(shown: list[tuple[str, ...]]) -> str:
    """Rows of equally many cells as plain text: the first column left, the others right."""
    widths = [max(len(cells[i]) for cells in shown) for i in range(len(shown[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in shown
    ]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else f"{value:.2f}"


def lines(scores: Scores) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """The curves as data: title -> name of the line -> points (step, log10 error).

    Errors above 1 are drawn at 1: an automaton that diverges would compress all other lines.
    """
    last_growth = max(scores.growth)
    grown = [(t, v) for t, v in scores.growth_curve if t <= last_growth]
    later = [(t, v) for t, v in scores.growth_curve if t >= last_growth]
    healing = {name.removeprefix("half-"): how.curve for name, how in scores.damaged.items()}
    if scores.strokes:
        healing["strokes"] = scores.strokes_curve
    parts = {
        "Growth: log10 error by step": {"growth": grown},
        f"Staying, to step {scores.persistence[0]}": {"staying": later},
        "Healing: log10 error by steps since the damage": healing,
    }
    return {
        title: {name: [(t, min(v, _SHOWN)) for t, v in line] for name, line in named.items()}
        for title, named in parts.items()
    }


def curves(scores: Scores) -> Image.Image:
    """Growth, the long run and how damage heals, side by side: RGB, 1200 x 250."""
    charts = [
        chart(title, named, size=(400, 250), guide=HEALED) for title, named in lines(scores).items()
    ]
    return sheet(charts, columns=3)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def map_cells(found: HealingMap) -> Image.Image:
    """A healing map with a pixel for each cell, transparent where there is no body: RGBA."""
    colours = [(*colour, 255) for colour, _ in map_legend(found)]
    palette = torch.tensor([*colours, (0, 0, 0, 0)], dtype=torch.uint8)
    return Image.fromarray(palette[found.levels()].numpy())  # level -1, no body, is the last


def map_legend(found: HealingMap) -> list[tuple[tuple[int, int, int], str]]:
    """The colours of a healing map, RGB, from the worst, and what each means."""
    words = [f"does not heal from radius {found.radii[0]:g}"]
    words += [f"heals up to radius {radius:g}" for radius in found.radii]
    return list(zip(_levels(len(found.radii)), words, strict=True))


def map_picture(found: HealingMap, cell: int = 6) -> Image.Image:
    """A healing map on white above its legend: RGB, every cell of the grid `cell` pixels wide."""
    cells, legend = map_cells(found), map_legend(found)
    width, height = cells.width * cell, cells.height * cell
    page = Image.new("RGB", (max(width, 220), height + 18 * len(legend) + 8), PAPER)
    larger = cells.resize((width, height), Image.Resampling.NEAREST)
    page.paste(larger, mask=larger)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for line, (colour, text) in enumerate(legend):
        y = height + 18 * line
        pen.rectangle((8, y + 3, 20, y + 15), fill=colour)
        pen.text((28, y + 2), text, fill=INK, font=font)
    return page


def _levels(radii: int) -> list[tuple[int, int, int]]:
    """Colours from "never heals" to "heals from the widest hole": red, orange, ..., green."""
    stops = [(0.0, (204, 51, 63)), (0.5, (240, 190, 70)), (1.0, (44, 138, 87))]
    colours = []
    for level in range(radii + 1):
        at = level / radii
        (low, first), (high, last) = stops[:2] if at <= 0.5 else stops[1:]
        mix = (at - low) / (high - low)
        red, green, blue = (round(a + (b - a) * mix) for a, b in zip(first, last, strict=True))
        colours.append((red, green, blue))
    return colours


def score(
    folder: str | Path,
    seed: int = 0,
    plan: Plan | None = None,
    bar: bool = False,
    full: bool = False,
) -> Scores | ZooScores | Vitals:
    """Evaluate the checkpoint in a folder against its own target, or without where it has none.

    An automaton with kinds is scored kind by kind, and by how one becomes another.

    Args:
        folder: a checkpoint folder; without a `target.png`, damaged bodies are compared with the
            same bodies undamaged, and growth is not scored.
        seed: of fire masks and strokes.
        plan: see `nca.evaluate.Plan`.
        bar: show progress on standard error.
        full: without a plan, all families of damage.

    Raises:
        BadInput: not a checkpoint.
    """
    checkpoint = load_checkpoint(folder)
    nca, target, size = checkpoint.nca, checkpoint.target, checkpoint.size
    plan = plan or Plan.for_grid(*size, full=full)
    steps = plan.work_without_target if target is None else plan.work
    kinds = nca.config.kinds if target is not None else 0
    with tqdm(
        total=work(plan, kinds) if kinds else steps, unit="step",
        unit_scale=True, desc="Scoring", disable=not bar, file=sys.stderr, dynamic_ncols=True,
    ) as shown:  # fmt: skip
        if target is None:
            return evaluate_without_target(nca, size, seed, plan, shown.update)
        if kinds:
            return evaluate_kinds(nca, target, seed, plan, shown.update)
        return evaluate(nca, target, seed, plan, shown.update)


def record(folder: str | Path, scores: Scores | ZooScores | Vitals) -> None:
    """Save the scores with their checkpoint: metrics.json, pictures, and a new card.

    The healing map is drawn here, for grids of up to 100 x 100 cells.
    """
    checkpoint = load_checkpoint(folder)
    metrics = checkpoint.metrics | {
        "scores": scores.summary(),
        "battery": scores.model_dump(mode="json"),
    }
    # The pictures first: a card must not refer to a missing file.
    if isinstance(scores, Scores):
        write_atomic(Path(folder) / CURVES, _png(curves(scores)))
    if (
        not isinstance(scores, ZooScores)
        and scores.healing
        and scores.grid[0] * scores.grid[1] <= LARGE
    ):
        found = healing_map(checkpoint.nca, scores.grid, scores.seed)
        write_atomic(Path(folder) / MAP, _png(map_picture(found)))
        metrics["heals"] = {"radius": found.safe_radius(), "share": round(found.share, 3)}
    write_atomic(Path(folder) / "metrics.json", json.dumps(metrics, indent=2).encode())
    there = [path.name for path in Path(folder).iterdir()]
    text = card(checkpoint.info, metrics, pictures=there)
    write_atomic(Path(folder) / "README.md", text.encode())


def recorded(metrics: dict[str, Any]) -> Scores | None:
    """The scores that `record` saved in a checkpoint's metrics; None without valid ones.

    They are validated, because a checkpoint may come from anybody.
    """
    try:
        # As JSON, where the keys of a mapping are always text.
        return Scores.model_validate_json(json.dumps(metrics["battery"]))
    except (KeyError, ValueError, TypeError, RecursionError):
        return None

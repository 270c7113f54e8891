"""What is made of scores: a table beside Distill's, a picture of the curves, a checkpoint's card.

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

from PIL import Image
from tqdm import tqdm

from nca.chart import chart, sheet
from nca.checkpoint import card, load_checkpoint
from nca.config import BadInput
from nca.evaluate import HEALED, Plan, Scores, evaluate
from nca.files import write_atomic

PICTURE = "scores.png"
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
    shown = [_HEAD, *(tuple(_cell(cell) for cell in cells) for cells in rows)]
    widths = [max(len(cells[i]) for cells in shown) for i in range(len(_HEAD))]
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
    """What the curves show: title -> name of the line -> points (step, log10 error).

    Errors above 1 are drawn at 1, or an automaton that breaks down would flatten all the rest.
    """
    last_growth = max(scores.growth)
    grown = [(t, v) for t, v in scores.growth_curve if t <= last_growth]
    later = [(t, v) for t, v in scores.growth_curve if t >= last_growth]
    healing = {name.removeprefix("half-"): wound.curve for name, wound in scores.wounds.items()}
    if scores.strokes:
        healing["strokes"] = scores.strokes_curve
    parts = {
        "Growth: log10 error by step": {"growth": grown},
        f"Staying, to step {scores.persistence[0]}": {"staying": later},
        "Healing: log10 error by steps since the wound": healing,
    }
    return {
        title: {name: [(t, min(v, _SHOWN)) for t, v in line] for name, line in named.items()}
        for title, named in parts.items()
    }


def curves(scores: Scores) -> Image.Image:
    """Growth, the long run and the healing of every wound side by side: RGB, 1200 x 250."""
    charts = [
        chart(title, named, size=(400, 250), guide=HEALED) for title, named in lines(scores).items()
    ]
    return sheet(charts, columns=3)


def picture_bytes(scores: Scores) -> bytes:
    """`curves` as a PNG."""
    buffer = io.BytesIO()
    curves(scores).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def score(folder: str | Path, seed: int = 0, plan: Plan | None = None, bar: bool = False) -> Scores:
    """Evaluate the checkpoint in a folder against its own target.

    Args:
        folder: a checkpoint folder with a `target.png`.
        seed: of fire masks and strokes.
        plan: see `nca.evaluate.Plan`.
        bar: show progress on standard error.

    Raises:
        BadInput: not a checkpoint, or one without a target.
    """
    checkpoint = load_checkpoint(folder)
    if checkpoint.target is None:
        raise BadInput("This checkpoint has no target.png, so there is nothing to compare with.")
    plan = plan or Plan.for_grid(*checkpoint.target.shape[:2])
    with tqdm(
        total=plan.work, unit="step", unit_scale=True, desc="Scoring", disable=not bar,
        file=sys.stderr, dynamic_ncols=True,
    ) as shown:  # fmt: skip
        return evaluate(checkpoint.nca, checkpoint.target, seed, plan, shown.update)


def record(folder: str | Path, scores: Scores) -> None:
    """Keep the scores with their checkpoint: metrics.json, scores.png, and the card anew."""
    checkpoint = load_checkpoint(folder)
    metrics = checkpoint.metrics | {
        "scores": scores.summary(),
        "battery": scores.model_dump(mode="json"),
    }
    # The picture first: a card must not show what is not there.
    write_atomic(Path(folder) / PICTURE, picture_bytes(scores))
    write_atomic(Path(folder) / "metrics.json", json.dumps(metrics, indent=2).encode())
    there = [path.name for path in Path(folder).iterdir()]
    text = card(checkpoint.info, metrics, pictures=there)
    write_atomic(Path(folder) / "README.md", text.encode())


def recorded(metrics: dict[str, Any]) -> Scores | None:
    """The scores that `record` kept in a checkpoint's metrics; None when there are none that fit.

    A stranger's metrics are checked like everything else that comes from outside.
    """
    try:
        # As JSON, where the keys of a mapping are always text.
        return Scores.model_validate_json(json.dumps(metrics["battery"]))
    except (KeyError, ValueError, TypeError, RecursionError):
        return None

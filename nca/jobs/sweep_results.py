"""What came of a sweep: how every automaton grows and heals, as a table and a contact sheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from nca.chart import INK, PAPER
from nca.checkpoint import Checkpoint, load_checkpoint
from nca.damage_shapes import damage
from nca.metrics import log10_loss, read_metrics
from nca.picture import MOST_SCALE
from nca.render import image

STEPS = 200  # it grows for so long, and heals for so long from losing its left half
LIVES = 4
_SIDE, _TEXT, _GAP = 96, 18, 6  # pixels on the sheet
_LAST = 50  # iterations that the loss is averaged over
Table = list[tuple[str, ...]]


@dataclass(frozen=True)
class SweepResult:
    """One automaton of a sweep.

    Attributes:
        name: of the training.
        iteration: updates done.
        seconds: of training; None if unknown.
        loss: log10, mean of the last iterations; None if no metrics were kept.
        grown: log10 RGBA error at step 200, mean over four lives, or over one life of each kind.
        healed: the same 200 steps after the left half was erased.
        states: target, grown and healed, [3, H, W, 4], of the first kind where there are several;
            finer than the cells if it has a decoder.
    """

    name: str
    iteration: int
    seconds: float | None
    loss: float | None
    grown: float
    healed: float
    states: Tensor


@torch.no_grad()
def look_at(folder: Path, name: str) -> SweepResult:
    """Grow, damage and regrow the automaton in a training's folder; BadInput without one."""
    checkpoint, rows = load_checkpoint(folder), read_metrics(folder)
    nca, target = checkpoint.nca, checkpoint.target
    assert target is not None  # a training's folder has one
    count = nca.config.kinds or LIVES
    kinds = range(1, count + 1) if nca.config.kinds else 1
    grown = nca.grow(nca.seed(count, checkpoint.size, kinds), STEPS, seed=0)
    healed = nca.grow(damage(grown, "half-left"), STEPS, seed=0, t0=STEPS)
    last = [row.log10_loss for row in rows[-_LAST:]]
    errors = [log10_loss(float((x[..., :4] - target).square().mean())) for x in (grown, healed)]
    return SweepResult(
        name,
        checkpoint.info.iteration,
        seconds=rows[-1].seconds if rows else None,
        loss=sum(last) / len(last) if last else None,
        grown=errors[0],
        healed=errors[1],
        states=_drawn(checkpoint, torch.stack([grown[0], healed[0]])),
    )


def _drawn(checkpoint: Checkpoint, x: Tensor) -> Tensor:
    """The target and states [N, H, W, C] as pictures, [1 + N, h, w, 4], fine where they can be."""
    target, scale = checkpoint.target_of(1), 1
    if checkpoint.decoder is not None and checkpoint.picture_png is not None:
        scale = min(MOST_SCALE, 2 * -(-_SIDE // max(checkpoint.size)))
        picture = checkpoint.picture_at(scale)
        target = picture[0] if picture is not None and picture.ndim == 4 else picture
    assert target is not None
    return torch.cat([target[None], checkpoint.draw(x, scale)])


def results_table(results: Sequence[SweepResult]) -> Table:
    """Head and rows, the best healed first."""
    rows = [("training", "iterations", "seconds", "loss", "grown", "healed")]
    for found in sorted(results, key=lambda found: found.healed):
        seconds = "" if found.seconds is None else f"{found.seconds:.0f}"
        loss = "" if found.loss is None else f"{found.loss:.2f}"
        scores = (f"{found.grown:.2f}", f"{found.healed:.2f}")
        rows.append((found.name, f"{found.iteration:,}", seconds, loss, *scores))
    return rows


def results_csv(results: Sequence[SweepResult]) -> bytes:
    """The same with all digits, in the order given."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("training", "iterations", "seconds", "loss", "grown", "healed"))
    for r in results:
        writer.writerow((r.name, r.iteration, r.seconds, r.loss, r.grown, r.healed))
    return text.getvalue().encode()


def sheet(results: Sequence[SweepResult], columns: int = 3) -> Image.Image:
    """Target, grown and healed of every automaton below its name, in rows of `columns`: RGB."""
    columns = min(columns, len(results))
    width, height = 3 * (_SIDE + _GAP) + _GAP, _SIDE + _TEXT + _GAP
    rows = -(-len(results) // columns)
    page = Image.new("RGB", (columns * width, rows * height), PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for index, found in enumerate(results):
        left, top = index % columns * width + _GAP, index // columns * height
        pen.text((left, top + 3), _fitted(pen, font, found.name, width - _GAP), INK, font)
        for number, state in enumerate(found.states):
            cells = image(state, background="white").resize((_SIDE, _SIDE), Image.Resampling.BOX)
            page.paste(cells, (left + number * (_SIDE + _GAP), top + _TEXT))
    return page


def _fitted(pen: ImageDraw.ImageDraw, font: object, words: str, width: int) -> str:
    """The end of a name that is too long, where names of a sweep differ."""
    while len(words) > 4 and pen.textlength(words, font) > width:  # type: ignore[arg-type]
        words = f"…{words[2:]}"
    return words

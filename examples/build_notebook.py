"""Writes examples/growing_nca.ipynb and runs it: the cells are below, the outputs are theirs.

    python examples/build_notebook.py

Jupyter is not needed: a cell here prints, and may end in one picture. `run` is also what the test
uses on the notebook as it is on the disk.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NOTEBOOK = HERE / "growing_nca.ipynb"

CELLS = (
    """\
# Growing neural cellular automata, in a minute

The four experiments of [Growing Neural Cellular Automata](https://distill.pub/2020/growing-ca/)
(Mordvintsev, Randazzo, Niklasson and Levin, Distill 2020) with this library: **grow** a picture
from one cell, let it **persist**, let it **regenerate**, **rotate** it.

The picture is tiny and the training short, so that all of it runs in a minute on two cores. With
`SIZE, PADDING = 40, 16` and `recipe("regenerating")` as it stands you get the real thing.""",
    """\
from nca import NCAConfig, TrainConfig, Trainer, damage, emoji_target
from nca.anatomy import cell_kinds_picture, channels_over_time, perception_pictures
from nca.chart import chart, sheet
from nca.evaluate import log10_error, turned
from nca.render import contact_sheet, image

SIZE, PADDING = 10, 3
target = emoji_target("❤️", SIZE, PADDING)
side = len(target)
image(target, scale=12, background="white")""",
    """\
## What a cell perceives

Every cell holds 16 numbers (here 12): red, green, blue, alpha, and hidden ones that mean what
training makes them mean. It sees its own numbers, and how they change from left to right and from
top to bottom: three filters. A small network turns that into an update, the same in every cell, and
at each step only a random half of the cells carry theirs out.""",
    """\
architecture = NCAConfig(channels=12, hidden=(48,))
shared = dict(
    pool_size=64, steps_min=16, steps_max=28, learning_rate=3e-3, schedule="cosine", decay=0.05
)


def train(weights=None, **changes):
    \"\"\"A trained automaton and its losses; `weights` of an earlier one save time.\"\"\"
    trainer = Trainer(architecture, TrainConfig(**(shared | changes)), target)
    if weights is not None:
        trainer.nca.load_state_dict(weights.state_dict())
    losses = [report.loss for report in trainer]
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.4f}")
    return trainer.nca, losses


def score(x, picture=target):
    \"\"\"Median log10 error of some states: -1.5 is a blob, -2 recognisable, -3 good.\"\"\"
    return f"{sorted(log10_error(x, picture))[len(x) // 2]:.2f}\"""",
    """\
## Experiment 1: grow

Every rollout starts from one cell and is compared with the picture after 16 to 28 steps. The
automaton learns to reach the picture. Nothing has told it what to do afterwards.""",
    """\
growing, losses = train(start="seed", batch=4, iterations=200)
life = growing.grow(growing.seed(1, side), 96, seed=1, all_steps=True)[:, 0]
contact_sheet(life[[0, 4, 8, 12, 16, 24, 48, 96]], columns=8, scale=5)""",
    """\
## Experiment 2: what persists, exists

Rollouts now start from a *pool* of states that earlier rollouts ended in; in every batch the worst
one is replaced by a single cell. So the automaton trains on its own old age, and the picture
becomes a place that it stays at.""",
    """\
persistent, more = train(growing, iterations=350)
for steps in (28, 100, 300):
    print(f"step {steps}: growing", score(growing.grow(growing.seed(5, side), steps, seed=1)),
          "persistent", score(persistent.grow(persistent.seed(5, side), steps, seed=1)))
life = persistent.grow(persistent.seed(1, side), 96, seed=1, all_steps=True)[:, 0]
contact_sheet(life[[0, 4, 8, 12, 16, 24, 48, 96]], columns=8, scale=5)""",
    """\
## Experiment 3: regenerate

Three of the eight states of every batch are damaged before their rollout. Now cut the left half
away, and watch.""",
    """\
regenerating, last = train(persistent, iterations=300, damage_count=3,
                           damage_shapes=("circle", "half"))
grown = regenerating.grow(regenerating.seed(5, side), 60, seed=1)
cut = damage(grown, "half-left")
healing = regenerating.grow(cut, 60, seed=1, t0=60, all_steps=True)
for steps in (0, 20, 60):
    print(f"{steps} steps after the cut:", score(healing[steps]))
contact_sheet(healing[[0, 2, 4, 8, 16, 24, 40, 60], 0], columns=8, scale=5)""",
    """\
## Experiment 4: rotate

No cell knows where up is but by its two gradient filters. Turn those, and the same weights grow the
picture turned, without any training.""",
    """\
lives = []
for degrees in (0, 30, 60, 90):
    x = regenerating.grow(regenerating.seed(5, side), 60, seed=1, angle=degrees * 3.14159265 / 180)
    print(f"{degrees:>2} degrees:", score(x, turned(target, degrees)))
    lives.append(x[0])
contact_sheet(lives, columns=4, scale=8)""",
    """\
## A look inside

Above: what the filters make of the target, and which cells are mature (green) or growing (yellow).
Below: alpha and the hidden channels while it grows; red is positive, blue negative.""",
    """\
life = regenerating.grow(regenerating.seed(1, side), 40, seed=1, all_steps=True)[:, 0]
views = [picture for _, picture in perception_pictures(regenerating, target, scale=8)]
sheet([*views, cell_kinds_picture(regenerating, life[12], scale=8)], columns=4)""",
    """\
steps = [0, 5, 10, 20, 40]
channels_over_time(life[steps], steps, scale=2)""",
    """\
from nca.metrics import log10_loss

curves = {"grow": losses, "persist": more, "regenerate": last}
chart("log10 loss", {name: [(i, log10_loss(v)) for i, v in enumerate(line)]
                     for name, line in curves.items()})""",
)


def run(cells: list[str], echo: bool = False) -> list[list[dict[str, Any]]]:
    """Run code cells one after another in one namespace; their outputs, as notebooks keep them."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    return [_outputs(source, scope, echo) for source in cells]


def _outputs(source: str, scope: dict[str, Any], echo: bool) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    value = None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<cell>", "exec"), scope)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), scope)
    if echo:
        print(printed.getvalue(), end="", file=sys.stderr)
    outputs: list[dict[str, Any]] = []
    if text := printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": _lines(text)})
    if value is not None:
        png = base64.b64encode(value._repr_png_()).decode()
        outputs.append({"output_type": "display_data", "metadata": {}, "data": {"image/png": png}})
    return outputs


def notebook(cells: tuple[str, ...]) -> dict[str, Any]:
    """The notebook, format 4.5, executed. A cell that begins with # and a space is text."""
    texts = [is_text(source) for source in cells]
    outputs = iter(run([c for c, text in zip(cells, texts, strict=True) if not text], echo=True))
    made, count = [], 0
    for index, (source, text) in enumerate(zip(cells, texts, strict=True)):
        cell: dict[str, Any] = {"id": f"cell-{index}", "metadata": {}, "source": _lines(source)}
        if text:
            cell["cell_type"] = "markdown"
        else:
            count += 1
            cell |= {"cell_type": "code", "execution_count": count, "outputs": next(outputs)}
        made.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": made,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def is_text(source: str) -> bool:
    """Whether a cell is Markdown: ours begin with a heading."""
    return source.startswith(("# ", "## "))


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))  # beside nca/
    text = json.dumps(notebook(CELLS), indent=1, ensure_ascii=False) + "\n"
    NOTEBOOK.write_text(text, encoding="utf-8")
    print(f"Wrote {NOTEBOOK}", file=sys.stderr)

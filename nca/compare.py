"""Several trainings side by side: settings that differ, losses over time, scores."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nca.chart import Points
from nca.checkpoint import Checkpoint, load_checkpoint
from nca.metrics import Metrics, csv_names, csv_values, read_metrics, thinned
from nca.scorecard import recorded
from nca.wording import plain_text

POINTS = 150  # of a line; each is a mean, so that the noise of single batches does not hide it
_TABLE_ROWS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # shares of the longest training
WIDTH = 60  # characters of a value in a table
Table = list[tuple[str, ...]]  # a head and rows; the first column is names


@dataclass(frozen=True)
class Run:
    """A training, or what it left as a checkpoint.

    Attributes:
        name: for display; one line.
        checkpoint: its newest weights and what they were trained with.
        rows: its metrics, oldest first; empty when they were not kept.
    """

    name: str
    checkpoint: Checkpoint
    rows: list[Metrics] = field(repr=False, default_factory=list)

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting by name, as JSON values."""
        info = self.checkpoint.info.model_dump(mode="json")
        parts = {k: info.pop(k) or {} for k in ("nca", "train", "target")}
        more = parts["target"].pop("more", [])
        if more:
            parts["target"]["emoji"] = "".join((parts["target"]["emoji"] or "", *more))
        plain = {k: info[k] for k in ("recipe", "seed", "iteration")}
        initial = info["initial"] and info["initial"]["title"]
        return plain | {"initial": initial} | parts["nca"] | parts["train"] | parts["target"]

    @property
    def scores(self) -> dict[str, str]:
        """What was measured, by name; empty when the checkpoint was not scored."""
        scores = recorded(self.checkpoint.metrics)
        return scores.summary() if scores else {}


def read_run(folder: Path, name: str | None = None) -> Run:
    """The training in a folder, finished or not; BadInput when there is no checkpoint in it."""
    shown = plain_text(name or folder.resolve().name)[:40]
    return Run(shown, load_checkpoint(folder), read_metrics(folder))


def named_apart(runs: Sequence[Run]) -> list[Run]:
    """The same runs; names that occur twice get numbers."""
    names = [run.name for run in runs]
    seen: dict[str, int] = {}
    found: list[Run] = []
    for run in runs:
        seen[run.name] = seen.get(run.name, 0) + 1
        twice = names.count(run.name) > 1
        name = f"{run.name} {seen[run.name]}" if twice else run.name
        found.append(Run(name, run.checkpoint, run.rows))
    return found


def settings_table(runs: Sequence[Run]) -> Table:
    """The settings in which the runs differ; only the head when they do not."""
    every = [run.settings for run in runs]
    names = dict.fromkeys(name for settings in every for name in settings)
    rows = [("setting", *(run.name for run in runs))]
    for name in names:
        values = [settings.get(name) for settings in every]
        if any(value != values[0] for value in values):
            rows.append((name, *map(_shown, values)))
    return rows


def losses_table(runs: Sequence[Run]) -> Table:
    """log10 of the loss at some iterations, each the mean of the iterations around it."""
    lines = [thinned(run.rows, POINTS) for run in runs]
    last = max((line[-1][0] for line in lines if line), default=0)
    rows = [("iteration", *(run.name for run in runs))]
    for at in dict.fromkeys(max(1, round(last * share)) for share in _TABLE_ROWS):
        cells = [next((v for i, v in line if i >= at), None) for line in lines]
        rows.append((f"{at:,}", *("" if v is None else f"{v:.2f}" for v in cells)))
    return rows if last else rows[:1]


def scores_table(runs: Sequence[Run]) -> Table:
    """The scores of all runs that have any; only the head when none has."""
    every = [run.scores for run in runs]
    names = dict.fromkeys(name for scores in every for name in scores)
    rows = [("score", *(run.name for run in runs))]
    return rows + [(name, *(scores.get(name, "") for scores in every)) for name in names]


def loss_lines(runs: Sequence[Run]) -> dict[str, Points]:
    """Name -> points (iteration, log10 loss) of every run that has metrics, for `nca.chart`."""
    return {run.name: thinned(run.rows, POINTS) for run in runs if run.rows}


def losses_csv(runs: Sequence[Run]) -> bytes:
    """The metrics of all runs as one CSV file: the run's name, then as in `metrics_csv`."""
    text = io.StringIO()
    names = csv_names(row for run in runs for row in run.rows)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("run", *names))
    for run in runs:
        for values in map(csv_values, run.rows):
            writer.writerow((run.name, *values, *[""] * (len(names) - len(values))))
    return text.getvalue().encode()


def plain_table(rows: Table) -> str:
    """A table as text: names to the left, values to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        counts = Counter(value)
        value = ", ".join(name if n == 1 else f"{name} × {n}" for name, n in counts.items())
    text = plain_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"

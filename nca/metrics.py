"""The metrics of a training: lines of JSON that a worker appends, and the same as CSV.

A line is one iteration: `{"iteration":12,"loss":0.0316,"learning_rate":0.002,
"iterations_per_second":9.8,"seconds":1.3}`, and with several kinds also `"kinds":[0.031,0.032]`.
Lines of earlier versions hold only `iteration` and `log10_loss`; they are read, too.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

METRICS = "metrics.jsonl"
METRICS_CSV = "metrics.csv"  # in a finished training's folder and in a checkpoint's zip
_LEAST_LOSS = 1e-12


class Metrics(NamedTuple):
    """One iteration of a training.

    Attributes:
        iteration: updates done, from 1.
        loss: of this iteration, a mean squared error unless the trainer had a loss of its own.
        learning_rate: of this update; None in files of earlier versions.
        iterations_per_second: smoothed; None likewise.
        seconds: of training so far, all runs together; None likewise.
        kinds: the loss of each kind's items in this batch, None for a kind that had none; empty
            where there are no kinds.
    """

    iteration: int
    loss: float
    learning_rate: float | None = None
    iterations_per_second: float | None = None
    seconds: float | None = None
    kinds: tuple[float | None, ...] = ()

    @property
    def log10_loss(self) -> float:
        """`log10_loss` of the loss."""
        return log10_loss(self.loss)

    @classmethod
    def from_values(cls, values: Any) -> Self | None:
        """From a mapping, such as a parsed line; None when it is not one of metrics."""
        try:
            known = values.get("loss") not in (None, "")
            loss = values["loss"] if known else 10 ** float(values["log10_loss"])
            rate, speed, seconds = (_number(values.get(name)) for name in _NUMBERS[2:])
            found = cls(
                int(values["iteration"]),
                float(loss),
                rate,
                speed,
                seconds,
                tuple(map(_number, _kinds(values))),
            )
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            return None
        return found

    def to_line(self) -> bytes:
        """The line of JSON, with its line feed."""
        values = self._asdict() | {"loss": float(f"{self.loss:.5g}")}
        if not self.kinds:
            del values["kinds"]
        return json.dumps(values, separators=(",", ":")).encode() + b"\n"


_NUMBERS = Metrics._fields[:5]


def log10_loss(loss: float) -> float:
    """log10 of a loss, so limited that a perfect or a broken one can still be plotted.

    Of a loss below 1e-12, or one that is not finite, it is -12.
    """
    usable = math.isfinite(loss) and loss > _LEAST_LOSS
    return math.log10(loss) if usable else math.log10(_LEAST_LOSS)


def _number(value: Any) -> float | None:
    return None if value in (None, "") else float(value)


def _kinds(values: Mapping[str, Any]) -> list[Any]:
    """The losses of the kinds in a line's values, or in a row of CSV."""
    columns = (values.get(_column(kind)) for kind in itertools.count(1))
    return values.get("kinds") or list(itertools.takewhile(lambda each: each is not None, columns))


def _column(kind: int) -> str:
    return f"loss_{kind}"


def parse_line(line: bytes) -> Metrics | None:
    """A line of JSON; None when it is incomplete or damaged."""
    if not line.endswith(b"\n"):
        return None
    try:
        return Metrics.from_values(json.loads(line))
    except (ValueError, RecursionError):
        return None


def read_metrics(folder: Path) -> list[Metrics]:
    """The metrics in a training's folder or a checkpoint's, oldest first; empty without any."""
    try:
        found = [*map(parse_line, (folder / METRICS).read_bytes().splitlines(True))]
    except OSError:
        try:
            text = (folder / METRICS_CSV).read_text(encoding="utf-8")
            found = [*map(Metrics.from_values, csv.DictReader(io.StringIO(text)))]
        except (OSError, ValueError, csv.Error):
            return []
    return [metrics for metrics in found if metrics is not None]


def metrics_csv(rows: Iterable[Metrics]) -> bytes:
    """Metrics as CSV, UTF-8, a line per iteration below the names; unknown values are empty.

    Of several kinds, the columns `loss_1`, `loss_2`, ... come last.
    """
    text, rows = io.StringIO(), list(rows)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(csv_names(rows))
    writer.writerows(map(csv_values, rows))
    return text.getvalue().encode()


def csv_names(rows: Iterable[Metrics]) -> list[str]:
    """The names of the columns that `csv_values` fills."""
    kinds = max((len(row.kinds) for row in rows), default=0)
    return [*_NUMBERS, *map(_column, range(1, kinds + 1))]


def csv_values(row: Metrics) -> list[float | None]:
    """The values of a line of CSV, the losses of kinds last."""
    return [*row[:5], *row.kinds]


def thinned(rows: list[Metrics], points: int = 300) -> list[tuple[int, float]]:
    """(iteration, log10 loss), oldest first; means of neighbours when there are too many."""
    result: list[tuple[int, float]] = []
    for start, end in parts(len(rows), points):
        mean = sum(row.log10_loss for row in rows[start:end]) / (end - start)
        result.append((rows[end - 1].iteration, round(mean, 4)))
    return result


def parts(count: int, points: int) -> Iterator[tuple[int, int]]:
    """Start and end of at most `points` parts, about equally long, of a list of `count`."""
    shown = min(count, max(1, points))
    return itertools.pairwise(count * k // shown for k in range(shown + 1)) if shown else iter(())

"""The loss over time: a growing file of JSON lines, written by a worker, read by the page."""

from __future__ import annotations

import math
import os
import threading
from array import array
from pathlib import Path

from nca.files import write_atomic
from nca.metrics import Metrics, log10_loss, parse_line, parts

LINES = 20_000  # a longer training writes every n-th iteration


class MetricsWriter:
    """Appends one line per iteration, see `nca.metrics`.

    Args:
        path: the file; lines after `iteration`, and an incomplete last line, are dropped from it.
        iterations: how many will be done; decides which are written.
        iteration: from which training continues.
    """

    def __init__(self, path: Path, iterations: int, iteration: int = 0) -> None:
        self.path = path
        self._every = -(-iterations // LINES)
        self._lines: list[bytes] = []
        self._last = iteration
        self.cut(iteration)

    def add(self, metrics: Metrics) -> None:
        """Record an iteration; one that is not new means that training was rolled back to it."""
        iteration = metrics.iteration
        rolled_back, self._last = iteration <= self._last, iteration
        if rolled_back:
            self.cut(iteration)
        elif iteration == 1 or iteration % self._every == 0:
            self._lines.append(metrics.to_line())

    def flush(self) -> None:
        """Append the recorded lines to the file."""
        if self._lines:
            with self.path.open("ab") as file:
                file.write(b"".join(self._lines))
            self._lines.clear()

    def cut(self, iteration: int) -> None:
        """Drop everything after `iteration`."""
        self.flush()
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        kept = [line for line in data.splitlines(True) if _iteration(line) <= iteration]
        if len(kept := b"".join(kept)) != len(data):
            write_atomic(self.path, kept)


def _iteration(line: bytes) -> float:
    """The iteration of a line, infinity when the line is damaged."""
    found = parse_line(line)
    return float("inf") if found is None else found.iteration


class MetricsReader:
    """Reads what was appended since the last read; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._guard = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._file = -1
        self._offset = 0
        self._iterations = array("q")
        self._losses = array("f")
        self._kinds: list[array[float]] = []  # of each kind; NaN where a batch had none of it

    def read(self, points: int = 300) -> list[tuple[int, float]]:
        """(iteration, log10 loss), oldest first; means of neighbours when there are too many."""
        with self._guard:
            self._catch_up()
            result: list[tuple[int, float]] = []
            for start, end in parts(len(self._iterations), points):
                mean = sum(self._losses[start:end]) / (end - start)
                result.append((self._iterations[end - 1], round(mean, 4)))
            return result

    def read_kinds(self, points: int = 60) -> list[list[tuple[int, float]]]:
        """The same of every kind's own loss; empty where there are no kinds."""
        with self._guard:
            self._catch_up()
            result: list[list[tuple[int, float]]] = []
            for losses in self._kinds:
                line: list[tuple[int, float]] = []
                for start, end in parts(len(self._iterations), points):
                    known = [loss for loss in losses[start:end] if not math.isnan(loss)]
                    if known:
                        mean = round(sum(known) / len(known), 4)
                        line.append((self._iterations[end - 1], mean))
                result.append(line)
            return result

    def _catch_up(self) -> None:
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._file or status.st_size < self._offset:
                    self._forget()
                    self._file = status.st_ino
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return self._forget()
        data = data[: data.rfind(b"\n") + 1]  # the last line may be incomplete
        self._offset += len(data)
        for line in data.splitlines(True):
            if (found := parse_line(line)) is not None:
                self._iterations.append(found.iteration)
                self._losses.append(found.log10_loss)
                self._add_kinds(found.kinds)

    def _add_kinds(self, losses: tuple[float | None, ...]) -> None:
        if len(losses) != len(self._kinds):  # the first line, or a damaged one
            before = len(self._losses) - 1
            self._kinds = [array("f", [math.nan]) * before for _ in losses]
        for line, loss in zip(self._kinds, losses, strict=True):
            line.append(math.nan if loss is None else log10_loss(loss))

"""What the worker does: train, and put on disk what the page shows and what a resume needs."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch

from nca.checkpoint import (
    save_checkpoint,
    weights_from_bytes,
    weights_to_bytes,
)
from nca.config import BadInput, CheckpointInfo, Limits
from nca.files import write_atomic
from nca.jobs.lock import FileLock
from nca.jobs.metrics import MetricsWriter
from nca.jobs.spec import (
    BATCH,
    DEVICE_LOCKS,
    METRICS,
    POOL,
    PREVIEW,
    PROGRESS,
    RESUME,
    SNAPSHOTS,
    START,
    TARGET,
    JobSpec,
    read_json,
    snapshots,
    to_json,
)
from nca.model import NCA
from nca.render import before_after, contact_sheet, preview_scale, save_picture, save_webp
from nca.resume import load_resume, save_resume
from nca.target import target_from_png
from nca.trainer import IterationReport, Trainer, log10_loss, pick_device

SNAPSHOT_LIMIT = 40
SHEET_ITEMS = 49  # 7 x 7
BATCH_ITEMS = 8
PREVIEW_STEPS = 200
PREVIEW_EVERY = 4  # steps between its frames


class Pace:
    """Something done now and then, never more often than a share of the time allows.

    Args:
        every: seconds between two times, at least.
        share: of all time that it may take, at most.
        clock: seconds.
    """

    def __init__(self, every: float, share: float, clock: Callable[[], float]) -> None:
        self._every, self._share, self._clock = every, share, clock
        self._next = -float("inf")

    def run(self, act: Callable[[], object]) -> None:
        """Do it, if it is time."""
        started = self._clock()
        if started >= self._next:
            act()
            ended = self._clock()
            self._next = ended + max(self._every, (ended - started) / self._share)


def snapshot_iterations(iterations: int) -> set[int]:
    """When weights are kept for the scrubber: evenly, and more often where most happens, early."""
    evenly = (round(iterations * k / 30) for k in range(1, 31))
    early = (round(iterations * share) for share in (0.002, 0.005, 0.01, 0.02))
    return {i for i in (*evenly, *early) if i > 0}


def _cores() -> int:
    """Cores this process may use, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Training:
    """One worker's training, from where its folder stands.

    Args:
        folder: holds job.json and target.png; all else is written here.
        spec: what job.json says.
        stop: asked after every iteration; True ends the run.
        on_report: told of every iteration; for a progress bar.
        on_wait: told, in a sentence, when it has to wait for the device.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        folder: Path,
        spec: JobSpec,
        stop: Callable[[], bool],
        on_report: Callable[[IterationReport], object] = lambda report: None,
        on_wait: Callable[[str], object] = lambda sentence: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.spec, self.stop, self.clock = folder, spec, stop, clock
        self.on_report, self.on_wait = on_report, on_wait
        self.message: str | None = None
        self.loss: float | None = None
        self.speed = 0.0
        # Saving must follow progress closely: what is not saved is lost in a crash (at most 30 s).
        self.saving = Pace(20.0, 0.2, clock)
        self.telling = Pace(1.0, 0.02, clock)
        self.drawing = Pace(3.0, 0.05, clock)
        self.growing = Pace(12.0, 0.08, clock)

    def run(self) -> bool:
        """Train to the end; False when it was asked to stop before. Everything is saved."""
        device, self.message = pick_device(self.spec.device)
        name = device.type if device.type == "cpu" else f"{device.type}-{device.index or 0}"
        lock = FileLock(self.folder.parent / DEVICE_LOCKS / f"{name}.lock")
        if not lock.acquire():
            self._tell_waiting()
            if not lock.acquire(give_up=self.stop):
                return False
        try:
            return self._train(str(device))
        finally:
            lock.release()

    def _train(self, device: str) -> bool:
        spec, folder = self.spec, self.folder
        if device == "cpu":
            torch.set_num_threads(_cores())  # a resume file brings its own count
        target = target_from_png((folder / TARGET).read_bytes())
        resumes = (folder / RESUME).exists()
        start = None if resumes or spec.base is None else self._start()
        self.trainer = trainer = Trainer(
            spec.nca, spec.train, target, device, spec.seed, start=start
        )
        (folder / SNAPSHOTS).mkdir(exist_ok=True)
        if resumes:
            load_resume(trainer, folder / RESUME)
        self.metrics = MetricsWriter(folder / METRICS, spec.train.iterations, trainer.iteration)
        for iteration, path in snapshots(folder):
            if iteration > trainer.iteration:
                path.unlink()
        self.kept = snapshot_iterations(spec.train.iterations)
        self.began, self.began_at = self.clock(), trainer.iteration
        self.before = (read_json(folder / PROGRESS) or {}).get("seconds", 0.0)

        report = None
        while trainer.iteration < spec.train.iterations and not self.stop():
            report = trainer.train_step()
            self._note(report)
            self.on_report(report)
        finished = trainer.iteration >= spec.train.iterations
        self._end(report, finished)
        return finished

    def _note(self, report: IterationReport) -> None:
        """After an iteration: metrics, and whatever is due."""
        self.loss = report.loss if math.isfinite(report.loss) else self.loss
        self.speed = report.iterations_per_second
        self.message = report.message or self.message
        self.metrics.add(report.iteration, log10_loss(report.loss))
        if report.iteration in self.kept:
            self._snapshot(report.iteration)
        self.telling.run(self._tell)
        self.drawing.run(lambda: self._draw(report))
        self.growing.run(self._grow)
        self.saving.run(self._save)

    def _end(self, report: IterationReport | None, finished: bool) -> None:
        """Everything once more, as it is now; what a resume needs comes first."""
        self._save()
        self._tell()
        if report is not None:
            self._draw(report)
        if finished:  # these take seconds, which nobody who asked to stop should wait for
            self._grow()
            self._save(preview=True)

    def _start(self) -> NCA:
        """The automaton that this training begins with."""
        try:
            data = (self.folder / START).read_bytes()
        except FileNotFoundError:
            raise BadInput(
                "The weights that this training begins with are missing; start it again."
            ) from None
        return weights_from_bytes(data, Limits())[0]

    def _info(self) -> CheckpointInfo:
        spec = self.spec
        return CheckpointInfo(
            title=spec.title,
            recipe=spec.recipe,
            seed=spec.seed,
            iteration=self.trainer.iteration,
            nca=spec.nca,
            train=spec.train,
            target=spec.target,
            base=spec.base,
        )

    def _save(self, preview: bool = False) -> None:
        """The resume file first, then the checkpoint, for whoever wants to grow it meanwhile."""
        save_resume(self.trainer, self.folder / RESUME)
        metrics = {"iteration": self.trainer.iteration, "seconds": self._seconds()}
        if self.loss is not None:
            metrics["log10_loss"] = round(log10_loss(self.loss), 4)
        nca, target = self.trainer.nca, self.trainer.target.cpu()
        save_checkpoint(self.folder, nca, self._info(), target, metrics, preview)

    def _snapshot(self, iteration: int) -> None:
        path = self.folder / SNAPSHOTS / f"{iteration:07d}.safetensors"
        write_atomic(path, weights_to_bytes(self.trainer.nca, self._info()))
        # A training that was made longer has snapshots at other places: thin out the densest.
        while len(found := snapshots(self.folder)) > SNAPSHOT_LIMIT:
            gaps = [found[i + 1][0] - found[i - 1][0] for i in range(1, len(found) - 1)]
            found[1 + gaps.index(min(gaps))][1].unlink()

    def _seconds(self) -> float:
        """Seconds of training so far, all runs together, roughly."""
        return round(self.before + self.clock() - self.began, 1)

    def _tell(self) -> None:
        """Where training stands, for the page."""
        self.metrics.flush()
        done, total = self.trainer.iteration, self.spec.train.iterations
        # Measured with everything around an iteration, unlike the trainer's own speed.
        pace = (self.clock() - self.began) / max(1, done - self.began_at)
        progress = {
            "iteration": done,
            "iterations": total,
            "iterations_per_second": round(self.speed, 4),
            "loss": self.loss,
            "seconds_left": round(pace * (total - done), 1),
            "message": self.message,
            "base": self.spec.base and self.spec.base.title,
            "seconds": self._seconds(),
            "device": str(self.trainer.device),
            "threads": torch.get_num_threads(),
        }
        write_atomic(self.folder / PROGRESS, to_json(progress))

    def _tell_waiting(self) -> None:
        progress = read_json(self.folder / PROGRESS) or {}
        progress["message"] = "Waiting until another training has left the device."
        write_atomic(self.folder / PROGRESS, to_json(progress))
        self.on_wait(progress["message"])

    def _draw(self, report: IterationReport) -> None:
        """The pool and the batch as they are."""
        pool = self.trainer.pool
        states = report.after if pool is None else pool.sample(range(min(SHEET_ITEMS, len(pool))))
        save_picture(contact_sheet(states[:SHEET_ITEMS].cpu()), self.folder / POOL)
        before, after = report.before[:BATCH_ITEMS].cpu(), report.after[:BATCH_ITEMS].cpu()
        save_picture(before_after(before, after), self.folder / BATCH)

    @torch.no_grad()
    def _grow(self) -> None:
        """The life of one automaton from its seed, as a moving picture; given up when stopping."""
        nca = self.trainer.nca
        grid = self.trainer.target.shape[0], self.trainer.target.shape[1]
        x, frames = nca.seed(1, grid), []
        for t in range(0, PREVIEW_STEPS, PREVIEW_EVERY):
            frames.append(x[0, ..., :4].cpu())
            x = nca.grow(x, PREVIEW_EVERY, seed=1, t0=t)
            if self.stop():
                return
        scale = preview_scale(grid, most=8)
        save_webp(torch.stack(frames), self.folder / PREVIEW, fps=20, scale=scale)

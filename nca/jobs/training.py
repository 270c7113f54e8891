"""A worker's training loop, and the files it writes for the page and for a resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from nca._compat import keep_compiler_out
from nca.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    weights_from_bytes,
    weights_to_bytes,
)
from nca.config import BadInput, CheckpointInfo, Limits, SharpenConfig
from nca.damage_shapes import damage
from nca.decoder import Decoder
from nca.files import write_atomic
from nca.jobs.check_up import CHECK_UP, CheckUp, check_up, check_up_of
from nca.jobs.lock import FileLock
from nca.jobs.metrics import MetricsWriter
from nca.jobs.progress import Progress, read_progress, write_progress
from nca.jobs.sharpening import expected_seconds, fit_decoder, picture_to_fit
from nca.jobs.spec import (
    BATCH,
    FINE,
    HEALING,
    METRICS,
    POOL,
    PREVIEW,
    RESUME,
    SNAPSHOTS,
    TARGET,
    JobSpec,
    read_initial,
    read_json,
    read_spec,
    snapshot_pictures,
    snapshots,
)
from nca.jobs.threads import thread_count
from nca.metrics import METRICS_CSV, Metrics, log10_loss, metrics_csv, read_metrics
from nca.model import NCA
from nca.render import (
    before_after,
    contact_sheet,
    picture_bytes,
    preview_scale,
    save_picture,
    save_webp,
    side_by_side,
    small_webp,
    to_rgba8,
)
from nca.resume import load_resume, save_resume
from nca.sharpen import SCALE, Sharpener, SharpenReport
from nca.target import target_from_png
from nca.trainer import IterationReport, Trainer, pick_device

SNAPSHOT_LIMIT = 40
SNAPSHOT_PICTURE_BYTES = 64_000  # of one picture, so that 80 of them take 5 MB at most
SNAPSHOT_POOL_COLUMNS = 5
SNAPSHOT_BATCH_ITEMS = 4
SHEET_COLUMNS = 7  # of as many rows, or one for each kind
BATCH_ITEMS = 8
FINE_KINDS = 4  # that are drawn while the decoder is fitted
PREVIEW_STEPS = 200
PREVIEW_EVERY = 4  # steps between its frames
HEALING_STEPS = 120  # of the animation after damage
GROWTH_STEPS = (24, 48, 96, 200)  # at which a snapshot's growth is drawn


class Throttle:
    """Runs an action from time to time, within a share of the time.

    Args:
        every: seconds between two runs, at least.
        share: of all time that the runs may take, at most.
        clock: seconds.
    """

    def __init__(self, every: float, share: float, clock: Callable[[], float]) -> None:
        self._every, self._share, self._clock = every, share, clock
        self._next = -float("inf")

    def run(self, act: Callable[[], object]) -> None:
        """Call `act` if it is due."""
        started = self._clock()
        if started >= self._next:
            act()
            ended = self._clock()
            self._next = ended + max(self._every, (ended - started) / self._share)


def snapshot_iterations(iterations: int) -> set[int]:
    """Iterations of the snapshots: evenly spaced, and more of them early, when most changes."""
    evenly = (round(iterations * k / 30) for k in range(1, 31))
    early = (round(iterations * share) for share in (0.002, 0.005, 0.01, 0.02))
    return {i for i in (*evenly, *early) if i > 0}


class Training:
    """One worker's training, continued from the state of its folder.

    Args:
        folder: holds job.json and target.png; all else is written here.
        spec: what job.json says.
        stop: called after every iteration; True ends the run.
        on_report: called after every iteration; for a progress bar.
        on_notice: called with a sentence that the user should read: another device is used than
            requested, the device is taken, or no decoder can be fitted.
        on_sharpen: called after every iteration of fitting the decoder.
        sharpens: False leaves the decoder to another run, and ends as if stopped before it.
        device_lock: the lock file of a device, from its name; None trains without. One training
            at a time holds it.
        device: where to train, as torch names it; None for what the spec says.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        folder: Path,
        spec: JobSpec,
        stop: Callable[[], bool],
        on_report: Callable[[IterationReport], object] = lambda report: None,
        on_notice: Callable[[str], object] = lambda sentence: None,
        device_lock: Callable[[str], Path | None] = lambda name: None,
        device: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        on_sharpen: Callable[[SharpenReport], object] = lambda report: None,
        sharpens: bool = True,
    ) -> None:
        self.on_sharpen, self.sharpens = on_sharpen, sharpens
        self.sharpening: float | None = None
        self.sharpened: Checkpoint | None = None  # with its decoder, once there is one
        self.folder, self.spec, self.stop, self.clock = folder, spec, stop, clock
        self.device = device or spec.device
        self.on_report, self.on_notice, self.device_lock = on_report, on_notice, device_lock
        self.message: str | None = None
        self.loss: float | None = None
        self.speed = 0.0
        self.check_up: CheckUp | None = None
        # Saving must follow progress closely: what is not saved is lost in a crash.
        self.saving = Throttle(10.0, 0.1, clock)
        self.reporting = Throttle(1.0, 0.02, clock)
        self.drawing = Throttle(3.0, 0.05, clock)
        self.growing = Throttle(12.0, 0.08, clock)

    def run(self) -> bool:
        """Train to the end; False when `stop` ended it early. Everything is saved."""
        device, self.message = pick_device(self.device)
        if self.message:
            self.on_notice(self.message)
        name = device.type if device.type == "cpu" else f"{device.type}-{device.index or 0}"
        path = self.device_lock(name)
        lock = None if path is None else FileLock(path)
        if lock is not None and not self._take(lock):
            return False
        try:
            return self._train(str(device))
        finally:
            if lock is not None:
                lock.release()

    def _take(self, lock: FileLock) -> bool:
        """Wait for the device; False when `stop` ended the wait."""
        try:
            if lock.acquire():
                return True
            self._report_waiting()
            return lock.acquire(give_up=self.stop)
        except OSError:  # the lock only keeps trainings from slowing each other
            return True

    def _train(self, device: str) -> bool:
        spec, folder = self.spec, self.folder
        if device == "cpu":
            torch.set_num_threads(thread_count())  # a resume file sets its own count
        png = (folder / TARGET).read_bytes()
        target = target_from_png(png, kinds=spec.nca.kinds)
        keep_compiler_out()
        resumes = (folder / RESUME).exists()
        initial = None if resumes or spec.initial is None else self._initial()
        self.trainer = trainer = Trainer(
            spec.nca, spec.train, target, device, spec.seed, initial=initial
        )
        (folder / SNAPSHOTS).mkdir(exist_ok=True)
        if resumes:
            load_resume(trainer, folder / RESUME)
        self.metrics = MetricsWriter(folder / METRICS, spec.train.iterations, trainer.iteration)
        for iteration, path in snapshots(folder):
            if iteration > trainer.iteration:
                self._delete_snapshot(iteration, path)
        self.kept = snapshot_iterations(spec.train.iterations)
        self.began, self.began_at = self.clock(), trainer.iteration
        self.warm: tuple[float, int] | None = None  # time and iteration after the first one
        former = read_progress(folder)
        self.before = former.seconds
        if resumes:  # until the next iteration, if there is one
            self.loss, self.speed = former.loss, former.iterations_per_second

        report = None
        while trainer.iteration < spec.train.iterations and not self.stop():
            report = trainer.train_step()
            self._note(report)
            self.on_report(report)
            self.warm = self.warm or (self.clock(), trainer.iteration)
        finished = trainer.iteration >= spec.train.iterations
        return self._end(report, finished)

    def _note(self, report: IterationReport) -> None:
        """Record an iteration: its metrics, and whatever else is due."""
        self.loss = report.loss if math.isfinite(report.loss) else self.loss
        self.speed = report.iterations_per_second
        self.message = report.message or self.message
        self.metrics.add(
            Metrics(
                report.iteration,
                report.loss,
                float(f"{report.learning_rate:.4g}"),
                round(report.iterations_per_second, 2),
                self._seconds(),
                _kind_losses(report, self.spec.nca.kinds),
            )
        )
        if report.iteration in self.kept:
            self._snapshot(report)
        self.reporting.run(self._report)
        self.drawing.run(lambda: self._draw(report))
        self.growing.run(self._grow)
        self.saving.run(self._save)

    def _end(self, report: IterationReport | None, finished: bool) -> bool:
        """Write everything once more; what a resume needs comes first. Whether all is done."""
        again = report is None and finished  # what comes after the last iteration is missing
        if again:
            self.check_up = self._checked_before()
        self._save()
        self._report()
        if report is not None:
            self._draw(report)
        if not finished:
            return False
        if self.check_up is None:  # this takes seconds; after Stop it would only delay the end
            self._grow()
            # Not stopped the second time, or a training that is always stopped would never finish.
            stop = (lambda: False) if again else self.stop
            self.check_up = check_up(self.trainer.nca, self.trainer.target, stop)
            self._save(preview=True)
            write_atomic(self.folder / METRICS_CSV, metrics_csv(read_metrics(self.folder)))
        return self.spec.sharpen == 0 or self._sharpen()

    def _checked_before(self) -> CheckUp | None:
        """What the check found when these iterations were finished; None if it was not made."""
        found = read_json(self.folder / "metrics.json") or {}
        return check_up_of(found) if found.get("iteration") == self.trainer.iteration else None

    def _sharpen(self) -> bool:
        """Fit the decoder if it can be; False when `stop` ended it, or another run is to do it."""
        checkpoint = load_checkpoint(self.folder)
        if checkpoint.decoder is not None:
            return True
        if self.check_up is None:
            return False  # stopped before it was known whether a decoder is of any use
        try:
            picture = picture_to_fit(checkpoint)
        except BadInput as problem:
            self.on_notice(str(problem))
            return True
        if not self.sharpens:
            return False
        nca = checkpoint.nca
        shown = range(1, min(max(1, nca.config.kinds), FINE_KINDS) + 1)
        x = nca.grow(nca.seed(len(shown), checkpoint.size, shown), PREVIEW_STEPS, seed=1)

        def note(sharpener: Sharpener, report: SharpenReport) -> None:
            self.sharpening = report.iteration / report.iterations
            self.on_sharpen(report)
            left = (report.iterations - report.iteration) / report.iterations_per_second
            self.reporting.run(lambda: self._report(left))
            self.drawing.run(lambda: self._draw_fine(nca, sharpener.decoder, x))

        config, seed = SharpenConfig(iterations=self.spec.sharpen), self.spec.seed
        started = self.clock()
        done = fit_decoder(checkpoint, picture, config, seed, stop=self.stop, on_report=note)
        self.before -= self.clock() - started  # the time of a training is without it
        self.sharpening = None
        if done:
            self._report()
            self.sharpened = load_checkpoint(self.folder)
            self._grow()
            self._save(preview=True)
            (self.folder / FINE).unlink(missing_ok=True)
        self._report()
        return done

    def _draw_fine(self, nca: NCA, decoder: Decoder, x: torch.Tensor) -> None:
        """Draw states [K, H, W, C], side by side, with the decoder as it is now."""
        height, width, _ = _tiles(x).shape
        drawn = decoder.draw(nca, x, preview_scale((height, width), most=SCALE))
        save_picture(contact_sheet(_tiles(drawn)[None], 1, clear=True), self.folder / FINE)

    def _initial(self) -> NCA:
        """The automaton whose weights this training begins with."""
        data = read_initial(self.folder)
        if data is None:
            raise BadInput(
                "The weights that this training begins with are missing; start it again."
            )
        return weights_from_bytes(data, Limits())[0]

    def _info(self) -> CheckpointInfo:
        spec = self.spec
        try:
            title = read_spec(self.folder).title  # may have been changed meanwhile
        except BadInput:
            title = spec.title
        return CheckpointInfo(
            title=title,
            recipe=spec.recipe,
            seed=spec.seed,
            iteration=self.trainer.iteration,
            nca=spec.nca,
            train=spec.train,
            target=spec.target,
            initial=spec.initial,
        )

    def _save(self, preview: bool = False) -> None:
        """Save the resume file, then the checkpoint, which can be grown while training runs."""
        save_resume(self.trainer, self.folder / RESUME)
        metrics: dict[str, Any] = {
            "iteration": self.trainer.iteration,
            "seconds": self._seconds(),
        }
        if self.loss is not None:
            metrics["log10_loss"] = round(log10_loss(self.loss), 4)
        if self.check_up is not None:
            metrics[CHECK_UP] = self.check_up.model_dump()
        nca, target = self.trainer.nca, self.trainer.target.cpu()
        save_checkpoint(self.folder, nca, self._info(), target, metrics, preview)

    def _snapshot(self, report: IterationReport) -> None:
        """Save a snapshot: the weights, and small pictures of the pool and the batch."""
        path = self.folder / SNAPSHOTS / f"{report.iteration:07d}.safetensors"
        pool, batch, growth = snapshot_pictures(self.folder, report.iteration)
        sheets = (self._pool_sheet(report, n) for n in range(SNAPSHOT_POOL_COLUMNS, 0, -1))
        write_atomic(pool, _bounded_picture(sheets))
        before, after = report.before.cpu(), report.after.cpu()
        items = range(min(SNAPSHOT_BATCH_ITEMS, len(before)), 0, -1)
        both = (before_after(before[:n], after[:n], clear=True) for n in items)
        write_atomic(batch, _bounded_picture(both))
        write_atomic(growth, self._growth())
        # Last, because a snapshot exists once its weights do.
        write_atomic(path, weights_to_bytes(self.trainer.nca, self._info()))
        # A training that was extended has more snapshots: delete where they are densest.
        while len(found := snapshots(self.folder)) > SNAPSHOT_LIMIT:
            gaps = [found[i + 1][0] - found[i - 1][0] for i in range(1, len(found) - 1)]
            self._delete_snapshot(*found[1 + gaps.index(min(gaps))])

    def _delete_snapshot(self, iteration: int, path: Path) -> None:
        """Delete a snapshot's weights, and its pictures if it has any."""
        path.unlink()
        for picture in snapshot_pictures(self.folder, iteration):
            picture.unlink(missing_ok=True)

    def _seconds(self) -> float:
        """Seconds of training so far, all runs together, roughly."""
        return round(self.before + self.clock() - self.began, 1)

    def _report(self, left: float | None = None) -> None:
        """Write how far training is, for the page; `left` is what the decoder still takes."""
        self.metrics.flush()
        done, total = self.trainer.iteration, self.spec.train.iterations
        fits = self.spec.sharpen and done < total
        fitting = expected_seconds(self.spec.nca.kinds) if fits else 0.0
        expected = self._pace() * (total - done) + fitting if left is None else left
        progress = Progress(
            iteration=done,
            iterations=total,
            iterations_per_second=round(self.speed, 4),
            loss=self.loss,
            seconds_left=round(expected, 1),
            message=self.message,
            initial=self.spec.initial and self.spec.initial.title,
            seconds=self._seconds(),
            device=str(self.trainer.device),
            threads=torch.get_num_threads(),
            sharpening=self.sharpening,
        )
        write_progress(self.folder, progress)

    def _pace(self) -> float:
        """Seconds per iteration, with the time between them, unlike the trainer's own speed.

        Without the first one of this run, in which code is compiled and all pictures are drawn.
        """
        done = self.trainer.iteration
        began, at = self.began, self.began_at
        if self.warm and done > self.warm[1]:
            began, at = self.warm
        return (self.clock() - began) / max(1, done - at)

    def _report_waiting(self) -> None:
        words = "Waiting until another training has left the device."
        write_progress(
            self.folder, read_progress(self.folder).model_copy(update={"message": words})
        )
        self.on_notice(words)

    def _draw(self, report: IterationReport) -> None:
        """Draw the pool and the batch as they are now."""
        save_picture(self._pool_sheet(report, SHEET_COLUMNS), self.folder / POOL)
        before, after = report.before[:BATCH_ITEMS].cpu(), report.after[:BATCH_ITEMS].cpu()
        save_picture(before_after(before, after, clear=True), self.folder / BATCH)

    def _pool_sheet(self, report: IterationReport, columns: int) -> Image.Image:
        """States of the pool, of the last batch where there is none, `columns` by `columns`.

        With several kinds it has a row for each, which begins with the picture of the kind.
        """
        pool, kinds = self.trainer.pool, self.spec.nca.kinds
        if pool is None or kinds < 2:
            shown = columns**2
            states = report.after if pool is None else pool.sample(range(min(shown, len(pool))))
            return contact_sheet(states[:shown].cpu(), columns, clear=True)
        cells = []
        own = pool.kinds_of(range(len(pool)))
        for kind, target in enumerate(self.trainer.target.cpu(), 1):
            states = pool.sample((own == kind).nonzero()[0][:columns])
            empty = states.new_zeros(columns - len(states), *states.shape[1:])
            cells += [target[None], states[..., :4], empty[..., :4]]
        return contact_sheet(torch.cat(cells), columns + 1, clear=True)

    @torch.no_grad()
    def _grow(self) -> None:
        """Animate growth from the seed and healing; given up when `stop` is true."""
        grown = self._animate(self._seeds(), 0, PREVIEW_STEPS, PREVIEW)
        if grown is not None:
            hurt = damage(grown, "half-left")
            self._animate(hurt, PREVIEW_STEPS, HEALING_STEPS, HEALING)

    def _animate(self, x: torch.Tensor, t0: int, steps: int, name: str) -> torch.Tensor | None:
        """Write an animation of states [K, H, W, C], side by side, that grow from step `t0` on.

        Returns:
            The last state; None when `stop` ended it early, and nothing was written.
        """
        fine, frames = self.sharpened, []
        height, width, _ = _tiles(x).shape
        scale = preview_scale((height, width), most=8)
        for t in range(t0, t0 + steps, PREVIEW_EVERY):
            # Drawn at once: the states of many kinds on a large grid would take gigabytes.
            frame = x.cpu()
            frames.append(to_rgba8(_tiles(fine.draw(frame, scale) if fine else frame)))
            x = self.trainer.nca.grow(x, PREVIEW_EVERY, seed=1, t0=t)
            if self.stop():
                return None
        if fine:
            write_atomic(self.folder / name, small_webp(frames, fps=20))
        else:
            save_webp(frames, self.folder / name, fps=20, scale=scale)
        return x

    @torch.no_grad()
    def _growth(self) -> bytes:
        """A row of pictures of how the automaton grows now."""
        x, states = self._seeds(), []
        for t, end in pairwise((0, *GROWTH_STEPS)):
            x = self.trainer.nca.grow(x, end - t, seed=1, t0=t)
            states.append(x.cpu())
        pictures = torch.stack(states, 1).flatten(0, 1)  # a row for each kind
        return _bounded_picture([contact_sheet(pictures, len(states), clear=True)])

    def _seeds(self) -> torch.Tensor:
        """A seed of each kind, [K, H, W, C]."""
        return self.trainer.goal.seeds(self.trainer.nca)


def _tiles(x: torch.Tensor) -> torch.Tensor:
    """The RGBA of states, or of pictures, [K, H, W, C] side by side."""
    return side_by_side(x[..., :4])


def _kind_losses(report: IterationReport, kinds: int) -> tuple[float | None, ...]:
    """The loss of each of several kinds in a batch, None for one that has no item there."""
    losses: list[float | None] = []
    for kind in range(1, kinds + 1 if kinds > 1 else 1):
        own = report.errors[report.kinds == kind]
        losses.append(float(f"{own.mean():.4g}") if len(own) else None)
    return tuple(losses)


def _bounded_picture(pictures: Iterable[Image.Image]) -> bytes:
    """The first of the pictures whose file is small enough; the last one scaled down if none is."""
    picture = None
    for picture in pictures:
        data = picture_bytes(picture)
        if len(data) <= SNAPSHOT_PICTURE_BYTES:
            return data
    assert picture is not None
    while len(data := picture_bytes(picture)) > SNAPSHOT_PICTURE_BYTES:
        picture = picture.reduce(2)
    return data

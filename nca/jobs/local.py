"""Train in a folder in the calling process, without a queue, as the command line does."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from nca.checkpoint import WEIGHTS
from nca.config import BadInput
from nca.files import write_atomic
from nca.jobs.lock import FileLock, LocksUnsupported
from nca.jobs.spec import (
    FULL_DISK,
    INITIAL,
    LOCK,
    PICTURE,
    RESUME,
    SPEC,
    TARGET,
    JobSpec,
    is_disk_full,
    read_initial,
    read_spec,
    state_folder,
)
from nca.jobs.training import Training
from nca.metrics import log10_loss
from nca.sharpen import SharpenReport
from nca.target import target_from_png
from nca.trainer import Diverged, IterationReport

FITTING = "Fitting the decoder"
ROUNDING = 0.02  # largest difference of what is still the same target


def train_in(
    folder: Path,
    spec: JobSpec,
    png: bytes,
    initial: bytes | None = None,
    stop: Callable[[], bool] = lambda: False,
    picture: bytes | None = None,
) -> bool:
    """Train in a folder, or continue the training in it, with a progress bar on stderr.

    Nothing is written beside the folder. Trainings whose folders have the same parent take turns
    on a device.

    Args:
        folder: created when missing; a training in it is continued if its spec differs at most
            in the device and the number of iterations.
        spec: the training.
        png: its target picture, see `nca.jobs.spec.Target`.
        initial: the weights it begins with, a safetensors file, if `spec.initial` names any.
        stop: called after every iteration; True saves and ends.
        picture: the fine picture of what was uploaded or drawn, see `nca.jobs.spec.Target`.

    Returns:
        Whether it is finished, its decoder included if the spec asks for one.

    Raises:
        BadInput: another process trains there, the folder holds a training with other settings,
            training diverged, or the disk is full; what was saved is kept.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(folder, "choose another --out"):
        try:
            prepare(folder, spec, png, initial, picture)
            return _with_progress_bar(folder, spec, stop)
        except Diverged as error:
            raise BadInput(str(error)) from None
        except OSError as error:
            if is_disk_full(error):
                raise BadInput(FULL_DISK) from error
            raise


@contextmanager
def alone_in(folder: Path, otherwise: str) -> Generator[None]:
    """Keep other processes from training in an existing folder meanwhile.

    Args:
        folder: of a training.
        otherwise: what to do if another process trains there, as a part of a sentence.

    Raises:
        BadInput: another process trains there.
    """
    lock = FileLock(folder / LOCK)
    try:
        if not lock.acquire():
            raise BadInput(f"Another process is training in {folder}; {otherwise}.")
    except LocksUnsupported:
        print(
            f"The disk of {folder} cannot lock files; make sure that nothing else trains there.",
            file=sys.stderr,
        )
    try:
        yield
    finally:
        lock.release()


def device_lock(folder: Path, name: str) -> Path | None:
    """The lock file for a device, shared by all trainings with the same parent folder.

    It is in the user's state folder, because the parent folder may not be writable. None when
    the user has no state folder.

    Args:
        folder: of a training.
        name: of the device, fit for a file name.
    """
    state = state_folder()
    if state is None:
        return None
    group = hashlib.sha256(str(folder.parent.resolve()).encode(errors="surrogateescape"))
    return state / "locks" / f"{group.hexdigest()[:16]}-{name}.lock"


def prepare(
    folder: Path,
    spec: JobSpec,
    png: bytes,
    initial: bytes | None,
    picture: bytes | None = None,
) -> None:
    """Write a training's inputs into its folder.

    Args:
        folder: it exists; a training in it may differ at most in device and iterations.
        spec: the training.
        png: its target picture.
        initial: the weights it begins with, if `spec.initial` names any.
        picture: its fine picture, if that is an upload or a drawing.

    Raises:
        BadInput: the folder holds a training with other settings, or a checkpoint that cannot be
            trained further there.
    """
    if (folder / RESUME).exists() and not _continues(folder, spec, png, initial):
        raise BadInput(
            f"{folder} holds a training with other settings or another picture; repeat those, or "
            "choose another --out."
        )
    trained_here = any((folder / name).exists() for name in (SPEC, RESUME))
    if (folder / WEIGHTS).exists() and not trained_here:
        raise BadInput(
            f"{folder} holds a checkpoint, which training there would replace; please choose "
            "another --out."
        )
    write_atomic(folder / SPEC, spec.model_dump_json(indent=2).encode())
    write_atomic(folder / TARGET, png)
    if picture:
        write_atomic(folder / PICTURE, picture)
    if initial:
        write_atomic(folder / INITIAL, initial)


def _continues(folder: Path, spec: JobSpec, png: bytes, initial: bytes | None) -> bool:
    """Whether the job in `folder` differs at most in device, iterations and decoder."""
    plain = [
        job.model_dump(exclude={"device": True, "sharpen": True, "train": {"iterations"}})
        for job in (read_spec(folder), spec)
    ]
    if plain[0] != plain[1] or read_initial(folder) != initial:
        return False
    # Not the bytes: another version of a library may round a pixel otherwise.
    old, new = (target_from_png(p, kinds=spec.nca.kinds) for p in (folder / TARGET, png))
    return old.shape == new.shape and bool((old - new).abs().max() < ROUNDING)


def _with_progress_bar(folder: Path, spec: JobSpec, stop: Callable[[], bool]) -> bool:
    with tqdm(total=spec.train.iterations, unit="it", desc=spec.title, dynamic_ncols=True) as bar:

        def show(report: IterationReport) -> None:
            bar.update(report.iteration - bar.n)
            bar.set_postfix_str(f"log10 loss {log10_loss(report.loss):.2f}", refresh=False)
            if report.message:
                bar.write(report.message, file=sys.stderr)

        def fitting(report: SharpenReport) -> None:
            if bar.total != report.iterations or not bar.desc.startswith(FITTING):
                bar.clear()
                bar.reset(report.iterations)
                bar.set_description(FITTING, refresh=False)
                bar.set_postfix_str("", refresh=False)
            bar.update(report.iteration - bar.n)

        training = Training(
            folder,
            spec,
            stop=stop,
            on_report=show,
            on_notice=lambda words: bar.write(words, file=sys.stderr),
            device_lock=lambda name: device_lock(folder, name),
            on_sharpen=fitting,
        )
        return training.run()

"""Training in a folder by the calling process, without a queue: what the command line does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from nca.config import BadInput
from nca.files import write_atomic
from nca.jobs.lock import FileLock
from nca.jobs.spec import LOCK, RESUME, SPEC, START, TARGET, JobSpec, read_spec
from nca.jobs.training import Training
from nca.trainer import Diverged, IterationReport, log10_loss


def train_in(
    folder: Path, spec: JobSpec, png: bytes, weights: bytes | None, stop: Callable[[], bool]
) -> bool:
    """Train in a folder from where it stands, with a progress bar; what is there is always saved.

    Args:
        folder: made when it is not there; a job of this spec, perhaps for fewer iterations, goes
            on in it.
        spec: the training.
        png: its target picture.
        weights: those it begins with, a safetensors file, when not its own.
        stop: asked after every iteration.

    Returns:
        Whether it came to the end of the spec, and was not stopped.

    Raises:
        BadInput: when another process trains there, or other settings did, or training diverged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    if not lock.acquire():
        raise BadInput(f"Another process is training in {folder}; choose another --out.")
    try:
        if (folder / RESUME).exists() and not _continues(folder, spec, weights):
            raise BadInput(
                f"{folder} holds a training with other settings; repeat those, "
                "or choose another --out."
            )
        write_atomic(folder / SPEC, spec.model_dump_json(indent=2).encode())
        write_atomic(folder / TARGET, png)
        if weights:
            write_atomic(folder / START, weights)
        with tqdm(
            total=spec.train.iterations, unit="it", desc=spec.title, dynamic_ncols=True
        ) as bar:

            def show(report: IterationReport) -> None:
                bar.update(report.iteration - bar.n)
                bar.set_postfix_str(f"log10 loss {log10_loss(report.loss):.2f}", refresh=False)
                if report.message:
                    bar.write(report.message, file=sys.stderr)

            def wait(sentence: str) -> None:
                bar.write(f"{sentence} One at a time trains in {folder.parent}.", file=sys.stderr)

            return Training(folder, spec, stop=stop, on_report=show, on_wait=wait).run()
    except Diverged as error:
        raise BadInput(str(error)) from None
    finally:
        lock.release()


def _continues(folder: Path, spec: JobSpec, weights: bytes | None) -> bool:
    """Whether the job in `folder` is this one but for its device and number of iterations."""
    plain = [
        job.model_dump(exclude={"device": True, "train": {"iterations"}})
        for job in (read_spec(folder), spec)
    ]
    begun = (folder / START).read_bytes() if (folder / START).exists() else None
    return plain[0] == plain[1] and begun == weights

"""What is let into the queue, and the sentences for a disk or a database that does not take it."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Generator
from contextlib import contextmanager

from nca.config import BadInput, Limits
from nca.jobs.spec import FULL_DISK, JobSpec, is_disk_full
from nca.jobs.store import is_locked

BUSY = "The server's database is busy; please try again in a moment."


def check_target(png: bytes, spec: JobSpec, limits: Limits) -> None:
    """Accept only a PNG of the right size, although it comes from our own code."""
    grid = spec.target.grid
    fits = (
        isinstance(png, bytes)
        and len(png) <= limits.upload_bytes
        and png.startswith(b"\x89PNG\r\n\x1a\n")
        and len(png) > 33
        and struct.unpack(">II", png[16:24]) == (grid, grid * max(1, spec.nca.kinds))
    )
    if not fits:
        raise BadInput("The target picture does not fit the settings; please choose it again.")


def check_fine(picture: bytes | None, spec: JobSpec, limits: Limits) -> None:
    """Accept only a fine picture that a checkpoint may keep."""
    if picture is not None:
        from nca.picture import check_picture  # torch takes seconds to import

        if not isinstance(picture, bytes) or len(picture) > limits.checkpoint_bytes:
            raise BadInput("The fine picture is too large; please choose the picture again.")
        grid = spec.target.grid
        check_picture(picture, (grid, grid), spec.nca.kinds)


def check_initial(initial: bytes | None, spec: JobSpec, limits: Limits) -> None:
    """Accept only valid weights of the spec's architecture."""
    if (initial is None) != (spec.initial is None):
        raise BadInput("Please choose again which automaton to begin with.")
    if initial is not None:
        from nca.checkpoint import weights_from_bytes  # torch takes seconds to import

        begun = weights_from_bytes(initial, limits)[0].config
        if begun.kinds and spec.nca.kinds:  # their number may be another
            begun = begun.model_copy(update={"kinds": spec.nca.kinds})
        if begun != spec.nca:
            raise BadInput("A training that begins with a checkpoint keeps its architecture.")


@contextmanager
def explained() -> Generator[None]:
    """Turn errors of a full disk or a locked database into BadInput."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if sentence := explain(error):
            raise BadInput(sentence) from error
        raise


def explain(error: BaseException) -> str | None:
    """The sentence for a full disk or a locked database; None for any other error."""
    if is_disk_full(error):
        return FULL_DISK
    return BUSY if is_locked(error) else None

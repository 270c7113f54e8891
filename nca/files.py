"""Putting files on the disk so that a reader finds the old one or the new one, never a part."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the file at `path` by `data`, completely or not at all, also across a power cut.

    The bytes are written beside it, flushed to the disk and renamed into place. When anything
    fails, the file that was there before is untouched and nothing is left beside it.

    Raises:
        OSError: the folder is missing, not writable or full.
    """
    path = Path(path)
    # Process id and chance together: two writers, also in two containers, never share a name.
    # Cut, so that a long file name does not become too long for the file system.
    beside = path.with_name(f".{path.name[:64]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError):  # name what was to be written, not the file beside it
            error.filename, error.filename2 = str(path), None
        raise
    _sync_folder(path.parent)


def file_title(path: Path) -> str:
    """The name of a file without its ending, as a title, whatever encoding it has."""
    return os.fsencode(path.stem).decode(errors="replace")[:80]


def _sync_folder(folder: Path) -> None:
    """Flush the rename itself; where folders cannot be opened or flushed, it is already safe."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)

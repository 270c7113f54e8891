"""Atomic writes: a reader finds the old file or the new one, never a part of one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the file at `path` by `data`, completely or not at all, also across a power cut.

    The bytes are written to a temporary file in the same folder, flushed to disk and renamed into
    place. If anything fails, the old file is unchanged and the temporary file is removed.

    Raises:
        OSError: the folder is missing, not writable or full.
    """
    path = Path(path)
    # Process id and random digits: two writers, even in two containers, never share a name.
    # A long name is cut, so that it does not become too long for the file system.
    beside = path.with_name(f".{path.name[:64]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError):  # name the requested file, not the temporary one
            error.filename, error.filename2 = str(path), None
        raise
    _sync_folder(path.parent)


def file_title(path: Path) -> str:
    """A title from a file's name without its suffix, in any encoding, at most 80 characters."""
    return os.fsencode(path.stem).decode(errors="replace")[:80]


def _sync_folder(folder: Path) -> None:
    """Flush the rename; on systems that cannot open or flush a folder it is already safe."""
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

"""Atomic writes: a reader finds the old file or the new one, never a part of one."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path


def write_atomic(path: str | os.PathLike[str], data: bytes, mode: int = 0o666) -> None:
    """Replace the file at `path` by `data`, completely or not at all, also across a power cut.

    The bytes are written to a temporary file in the same folder, flushed to disk and renamed into
    place. If anything fails, the old file is unchanged and the temporary file is removed.

    Args:
        path: of the file.
        data: its new content.
        mode: its permissions, from the start, less what the process's umask takes away.

    Raises:
        OSError: the folder is missing, not writable or full.
    """
    path = Path(path)
    # Process id and random digits: two writers, even in two containers, never share a name.
    # A long name is cut, so that it does not become too long for the file system.
    beside = path.with_name(f".{path.name[:64]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(beside, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
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


def own_temp_folder() -> Path:
    """A folder for this user in the machine's temp folder, the same one each time.

    Where something else has its name, such as a folder that another user made, it is a new one.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0  # on Windows the temp folder is the user's
    path = Path(tempfile.gettempdir()) / f"nca-garden-{user}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        about = path.lstat()
        if not path.is_symlink() and (os.name == "nt" or about.st_uid == user):
            path.chmod(0o700)
            return path
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="nca-garden-"))


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

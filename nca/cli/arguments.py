"""Arguments shared by several commands, validated before any work begins."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from nca.config import BadInput


def text(argument: str) -> str:
    """A text argument, read as UTF-8 whatever the terminal's encoding is.

    Python stores bytes it cannot decode as lone surrogates, which other libraries reject.
    """
    return os.fsencode(argument).decode(errors="replace")


def checkpoint_folder(path: Path) -> Path:
    """Return `path` if it is a folder.

    Raises:
        BadInput: it does not exist, or is a file.
    """
    if path.is_dir():
        return path
    if path.exists():
        raise BadInput(f"{path} is a file; please name the folder of a checkpoint.")
    raise BadInput(f"There is no folder {path}; please name the folder of a checkpoint.")


def check_file_out(path: Path, option: str = "--out") -> None:
    """Check that a file can be written at `path`.

    Raises:
        BadInput: its folder is missing or not writable, or `path` is a folder.
    """
    if path.is_dir():
        raise BadInput(f"{path} is a folder; please let {option} name a file.")
    if not path.parent.is_dir():
        raise BadInput(f"There is no folder {path.parent}; please make it, or change {option}.")
    _check_writable(path.parent, option)


def check_folder_out(path: Path, option: str = "--out") -> None:
    """Check that new files can be written in a folder at `path`; creates nothing.

    Raises:
        BadInput: a file is in the way, or the nearest folder that exists is not writable.
    """
    existing = path.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise BadInput(f"{existing} is a file; please change {option}.")
    _check_writable(existing, option)


def check_new_folder_out(path: Path, option: str = "--out") -> None:
    """Check that a folder can be created at `path`, or exists and is empty; creates nothing.

    Raises:
        BadInput: it exists and is not empty, or `check_folder_out` refuses it.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise BadInput(f"{path} is there already; please choose another {option}.")
    check_folder_out(path, option)


def _check_writable(folder: Path, option: str) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadInput(
            f"Nothing can be written in {folder} ({error.strerror}); please change {option}."
        ) from error

"""Arguments that several commands take, judged before any work begins."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from nca.config import BadInput


def text(argument: str) -> str:
    """An argument that is text, as UTF-8, whatever the terminal's encoding is.

    Python keeps bytes that it cannot decode as lone surrogates, which nothing else accepts.
    """
    return os.fsencode(argument).decode(errors="replace")


def checkpoint_folder(path: Path) -> Path:
    """`path`, if it is a folder.

    Raises:
        BadInput: it is not there, or a file.
    """
    if path.is_dir():
        return path
    if path.exists():
        raise BadInput(f"{path} is a file; please name the folder of a checkpoint.")
    raise BadInput(f"There is no folder {path}; please name the folder of a checkpoint.")


def check_file_out(path: Path, option: str = "--out") -> None:
    """Whether a file can be written at `path`.

    Raises:
        BadInput: its folder is missing or not writable, or it is a folder itself.
    """
    if path.is_dir():
        raise BadInput(f"{path} is a folder; please let {option} name a file.")
    if not path.parent.is_dir():
        raise BadInput(f"There is no folder {path.parent}; please make it, or change {option}.")
    _check_writable(path.parent, option)


def check_folder_out(path: Path, option: str = "--out") -> None:
    """Whether there can be a folder at `path` with new files in it; nothing is made.

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
    """Whether a folder can be made at `path`, or is there and empty; nothing is made.

    Raises:
        BadInput: something is there already, or `check_folder_out` refuses.
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

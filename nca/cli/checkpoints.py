"""The checkpoint that an argument names: a folder, a shipped one, or one on the Hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nca.cli.arguments import checkpoint_folder
from nca.config import BadInput

HELP = "a checkpoint folder, a shipped one such as lizard-regenerating, or user/name on the Hub"


@dataclass(frozen=True)
class FoundCheckpoint:
    """Where a checkpoint is.

    Attributes:
        folder: its files.
        name: a short one, for tables.
        own: whether it is a folder that the argument names, which a command may write to.
        repo: `user/name` if it is public on the Hub.
        revision: its commit there.
    """

    folder: Path
    name: str
    own: bool = False
    repo: str | None = None
    revision: str | None = None


def find_checkpoint(text: str) -> FoundCheckpoint:
    """The folder of that name if it exists, else the shipped checkpoint, else the Hub's.

    Args:
        text: a path; a shipped checkpoint's name; or `user/name`, `user/name@revision`. Paths that
            do not exist must not look like the latter: they begin with `.`, `/` or `~`.

    Raises:
        BadInput: there is no such checkpoint, or it cannot be pulled.
    """
    path = Path(text)
    if path.exists():
        return FoundCheckpoint(checkpoint_folder(path), path.resolve().name, own=True)
    if "/" not in text and "\\" not in text:
        return _shipped(text)
    if text.startswith((".", "/", "~")) or "\\" in text:
        return FoundCheckpoint(checkpoint_folder(path), path.name)  # says that there is none
    from nca.hub import Hub, pull

    pulled = pull(Hub(), text, token=None)
    if pulled.note:
        print(pulled.note)
    # A model card may be public: it must not name a private repository.
    public = (None, None) if pulled.private else (pulled.repo_id, pulled.commit)
    return FoundCheckpoint(pulled.folder, pulled.repo_id, False, *public)


def _shipped(name: str) -> FoundCheckpoint:
    from nca.catalog import shipped_folders
    from nca.settings import shipped_checkpoints

    # Compared with the names that exist, never joined to a path.
    for folder in shipped_folders(shipped_checkpoints()):
        if folder.name == name:
            return FoundCheckpoint(folder, name)
    raise BadInput(
        f"There is no folder {name}, and no shipped checkpoint of that name; please name the "
        "folder of a checkpoint, a shipped one such as lizard-regenerating, or user/name."
    )

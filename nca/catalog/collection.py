"""Checkpoints that visitors fetched from the Hub or uploaded: few, small, each with one owner.

Each is in `<home>/collection/<hash of the visitor's key>/<id>/`, a checkpoint folder with an
`about.json`. What was pulled is copied, because the Hub's cache is shared and deletes old files.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nca.checkpoint import FILES, WEIGHTS, load_checkpoint, unzip_checkpoint
from nca.config import BadInput, Limits
from nca.files import write_atomic
from nca.hub import Pulled
from nca.jobs.keys import NOT_YOURS, key_hash
from nca.jobs.spec import read_json, to_json
from nca.preview import PREVIEW
from nca.wording import plain_text

ABOUT = "about.json"
COPIED = tuple(name for name in FILES if name != PREVIEW)


@dataclass(frozen=True)
class CollectionItem:
    """A checkpoint of a visitor's collection.

    Attributes:
        id: 128 bits as hex.
        title: from its metadata.
        origin: `user/name` on the Hub, or a word on where an uploaded one is from.
        uploaded: it is the visitor's own, not somebody's on the Hub.
        folder: a checkpoint folder.
    """

    id: str
    title: str
    origin: str
    uploaded: bool
    folder: Path


class Collection:
    """All visitors' collections. Safe to use from any thread.

    Args:
        home: of the garden.
        limits: on a checkpoint, on a collection, and on the days that it is kept.
    """

    def __init__(self, home: Path, limits: Limits) -> None:
        self.root, self.limits = home / "collection", limits
        self._guard = threading.Lock()

    def items(self, key: str) -> list[CollectionItem]:
        """A visitor's checkpoints, the newest first."""
        return [item for _, item in self._entries(self._owner(key))] if key else []

    def folder(self, key: str, name: str) -> Path:
        """The folder of one of the visitor's checkpoints; BadInput for any other."""
        # Compared with the names that exist, never joined to a path.
        for item in self.items(key):
            if item.id == name:
                return item.folder
        raise BadInput(NOT_YOURS)

    def add_pulled(self, key: str, pulled: Pulled) -> str:
        """Keep a pulled checkpoint; returns its id, the old one if it is there already."""
        owner, source = self._owner(key), f"{pulled.repo_id}@{pulled.commit}"
        if known := self._known(owner, "source", source):
            return known

        def fill(folder: Path) -> str:
            for name in COPIED:
                if (pulled.folder / name).is_file():
                    shutil.copyfile(pulled.folder / name, folder / name)
            return load_checkpoint(folder, self.limits).info.title

        about = {"source": source, "origin": pulled.repo_id, "private": pulled.private}
        return self._add(owner, fill, about)

    def add_upload(self, key: str, data: bytes, origin: str = "Uploaded") -> str:
        """Keep the checkpoint in an uploaded zip; returns its id, the old one if it is there.

        Args:
            key: of the visitor.
            data: of the zip.
            origin: a word on where it is from.

        Raises:
            BadInput: it is invalid.
        """
        owner, digest = self._owner(key), hashlib.sha256(data).hexdigest()
        if known := self._known(owner, "upload", digest):
            return known

        def fill(folder: Path) -> str:
            return unzip_checkpoint(data, folder, self.limits).info.title

        return self._add(owner, fill, {"origin": origin, "upload": digest})

    def public_source(self, folder: Path) -> tuple[str | None, str | None]:
        """The repo and commit that a folder is a copy of; (None, None) when it is not public."""
        about = read_json(folder / ABOUT) or {}
        repo, _, commit = str(about.get("source", "")).partition("@")
        return (repo, commit) if commit and not about.get("private") else (None, None)

    def forget(self, key: str) -> None:
        """Delete all that a visitor keeps here."""
        with self._guard:
            shutil.rmtree(self.root / self._owner(key), ignore_errors=True)

    # ------------------------------------------------------------------ within

    def _owner(self, key: str) -> str:
        return key_hash(key)

    def _known(self, owner: str, field: str, value: str) -> str | None:
        """The id of the checkpoint that is described so, the newest from now on; None without."""
        with self._guard:
            for _, item in self._entries(owner):
                if (read_json(item.folder / ABOUT) or {}).get(field) == value:
                    os.utime(item.folder / ABOUT)
                    return item.id
        return None

    def _add(self, owner: str, fill: Callable[[Path], str], about: dict[str, Any]) -> str:
        """Fill a temporary folder, then move it to the owner's collection; returns its id."""
        beside, name = self.root / f".new-{secrets.token_hex(8)}", secrets.token_hex(16)
        try:
            beside.mkdir(parents=True, mode=0o700)
            title = fill(beside)
            write_atomic(beside / ABOUT, to_json(about | {"title": title}))
            with self._guard:
                (self.root / owner).mkdir(mode=0o700, exist_ok=True)
                beside.rename(self.root / owner / name)
                self._make_room(owner)
        except OSError:
            raise BadInput("The garden's disk is full or not writable; try again later.") from None
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return name

    def _entries(self, owner: str) -> list[tuple[float, CollectionItem]]:
        """An owner's checkpoints with their times, newest first; without those that are too old."""
        entries, oldest = [], time.time() - self.limits.job_days * 86_400
        for folder in (self.root / owner).glob("[0-9a-f]*"):
            try:
                changed = (folder / ABOUT).stat().st_mtime
            except OSError:
                continue
            about = read_json(folder / ABOUT)
            if about and changed > oldest and (folder / WEIGHTS).is_file():
                title, origin = (
                    plain_text(str(about.get(part, "")))[:100] for part in ("title", "origin")
                )
                item = CollectionItem(folder.name, title, origin, "upload" in about, folder)
                entries.append((changed, item))
        return sorted(entries, key=lambda entry: entry[0], reverse=True)

    def _make_room(self, owner: str) -> None:
        """Delete what is too old, and the oldest beyond the limits on number and bytes."""
        now, entries = time.time(), []
        for path in self.root.glob(".new-*"):  # left by a server that was killed
            with suppress(FileNotFoundError):  # another thread has just deleted its own
                if now - path.stat().st_mtime > 3600:
                    shutil.rmtree(path, ignore_errors=True)
        for folder in self.root.glob("[0-9a-f]*"):
            known = self._entries(folder.name)
            mine = known[: self.limits.collection_length] if folder.name == owner else known
            entries += mine
            keep = {item.id for _, item in mine}
            for path in folder.iterdir():
                if path.name not in keep:
                    shutil.rmtree(path, ignore_errors=True)
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)
        size = 0
        for number, (_, item) in enumerate(sorted(entries, key=lambda e: e[0], reverse=True)):
            size += sum(path.stat().st_size for path in item.folder.iterdir())
            most = self.limits.collections_length, self.limits.collections_bytes
            if number >= most[0] or size > most[1]:
                shutil.rmtree(item.folder, ignore_errors=True)

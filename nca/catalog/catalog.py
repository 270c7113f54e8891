"""Which checkpoints a visitor may open, and where each of them is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from nca.catalog.collection import Collection, CollectionItem
from nca.catalog.refs import CheckpointRef, Kind
from nca.checkpoint import WEIGHTS, Checkpoint, load_checkpoint, weights_from_bytes
from nca.config import BadInput, plain_text
from nca.hub import Hub, pull
from nca.hub.client import Token
from nca.jobs import NOT_YOURS, TARGET, JobQueue, JobView, snapshots
from nca.jobs.initial import InitialCheckpoint, initial_checkpoint
from nca.settings import Settings
from nca.target import target_from_png

INDEX = "index.json"  # beside the shipped checkpoints: their names, in order
MINE = "Mine"  # the word on the shelf for what a visitor has trained


@dataclass(frozen=True)
class CatalogEntry:
    """A checkpoint that a visitor may open.

    Attributes:
        ref: its name.
        title: for display.
        folder: where it is.
        note: a word or two on where it comes from.
    """

    ref: CheckpointRef
    title: str
    folder: Path
    note: str = ""


class Catalog:
    """The checkpoints of a garden: shipped, trained here, and fetched from elsewhere.

    The page, the API and the command line ask here, so that one place decides who may open what.
    Names (`ref`) may be text from a stranger. Safe to use from any thread.

    Args:
        settings: of the server.
        queue: its trainings.
    """

    def __init__(self, settings: Settings, queue: JobQueue) -> None:
        self.settings, self.queue = settings, queue
        self.collection = Collection(settings.home, settings.limits)
        self.hub = Hub(cache=settings.home / "hub", limits=settings.limits, space=settings.space)

    # ------------------------------------------------------------------ what there is

    def entries(self, key: str) -> list[CatalogEntry]:
        """What a visitor may open: their trainings, what they fetched, what is shipped."""
        return [*self.trained(key), *self.fetched(key), *self.shipped()]

    def trained(self, key: str) -> list[CatalogEntry]:
        """The visitor's newest trainings that have weights."""
        views = [
            view
            for view in (self.queue.jobs(key) if key else [])
            if (view.folder / WEIGHTS).exists()
        ]
        return [
            CatalogEntry(
                CheckpointRef(Kind.JOB, view.id),
                view.title,
                view.folder,
                "Training" if view.state == "running" else MINE,
            )
            for view in views[: self.settings.limits.jobs_shown]
        ]

    def fetched(self, key: str) -> list[CatalogEntry]:
        """What the visitor pulled or uploaded, newest first."""
        return [_kept(item) for item in self.collection.items(key)]

    def pushable(self, key: str) -> list[CatalogEntry]:
        """What a visitor is asked to push: all that they may open but what others have pushed."""
        uploaded = [_kept(item) for item in self.collection.items(key) if item.uploaded]
        return [*self.trained(key), *uploaded, *self.shipped()]

    def shipped(self) -> list[CatalogEntry]:
        """The checkpoints that come with the garden: in the order of the index, then by name."""
        return [
            CatalogEntry(CheckpointRef(Kind.SHIPPED, folder.name), _title(folder), folder)
            for folder in shipped_folders(self.settings.checkpoints)
        ]

    @staticmethod
    def default(entries: Sequence[CatalogEntry]) -> CatalogEntry | None:
        """What is opened when nothing was chosen: the first shipped one, else the first."""
        shipped = (entry for entry in entries if entry.ref.kind is Kind.SHIPPED)
        return next(shipped, next(iter(entries), None))

    # ------------------------------------------------------------------ opening one

    def folder(self, key: str, ref: CheckpointRef | str) -> Path:
        """The folder of a checkpoint.

        Raises:
            BadInput: there is no such checkpoint, or this visitor may not open it.
        """
        ref = _parsed(ref)
        if ref.kind is Kind.JOB:
            return self.queue.view(key, ref.id).folder
        if ref.kind is Kind.COLLECTION:
            return self.collection.folder(key, ref.id)
        # Compared with the names that exist, never joined to a path.
        for entry in self.shipped():
            if entry.ref == ref:
                return entry.folder
        raise BadInput(NOT_YOURS)

    def load(self, key: str, ref: CheckpointRef | str) -> Checkpoint:
        """A checkpoint, or a snapshot of a training.

        Raises:
            BadInput: this visitor may not open it, or it is invalid.
        """
        ref, limits = _parsed(ref), self.settings.limits
        folder = self.folder(key, ref)
        if not ref.is_snapshot:
            return load_checkpoint(folder, limits)
        path = dict(snapshots(folder)).get(ref.iteration or 0)
        if path is None:
            raise BadInput("This snapshot is no longer kept; please choose another.")
        nca, info = weights_from_bytes(path.read_bytes(), limits)
        # A training may have been renamed since its snapshot was saved.
        info = info.model_copy(update={"title": self.queue.view(key, ref.id).title})
        return Checkpoint(
            nca, info, target_from_png(folder / TARGET, kinds=info.nca.kinds), {}, folder
        )

    def initial(self, key: str, ref: CheckpointRef | str) -> InitialCheckpoint:
        """The checkpoint as the initial one of a training."""
        checkpoint = self.load(key, ref)
        return initial_checkpoint(checkpoint, *self.collection.public_source(checkpoint.folder))

    def job(self, key: str, ref: CheckpointRef | str) -> JobView | None:
        """The training that a name stands for; None for anything else, and when it is gone."""
        try:
            ref = _parsed(ref)
            is_job = ref.kind is Kind.JOB and not ref.is_snapshot
            return self.queue.view(key, ref.id) if is_job else None
        except BadInput:
            return None

    def snapshot(self, key: str, job: str, iteration: float) -> CheckpointRef:
        """The snapshot of a training that is nearest to an iteration.

        Raises:
            BadInput: there is none, or the training is not this visitor's.
        """
        ref = CheckpointRef(Kind.JOB, str(job))
        iterations = [number for number, _ in snapshots(self.folder(key, ref))]
        if not iterations or not isinstance(iteration, int | float):
            raise BadInput("There is nothing to look back at yet.")
        return replace(ref, iteration=min(iterations, key=lambda number: abs(number - iteration)))

    # ------------------------------------------------------------------ fetching

    def fetch(self, key: str, name: str, token: Token = False) -> tuple[CheckpointRef, str]:
        """Pull a checkpoint from the Hub into a visitor's collection.

        Args:
            key: of the visitor.
            name: `user/name` or `user/name@revision`.
            token: of the visitor, for private and gated repos; False for none.

        Returns:
            Its name here, and a sentence for the visitor, which may be empty.

        Raises:
            BadInput: it cannot be fetched, or is invalid.
        """
        with ExitStack() as stack:
            hub = self.hub
            if token:  # what only this visitor may see must not be in the shared cache
                cache = stack.enter_context(TemporaryDirectory())
                hub = replace(hub, cache=Path(cache))
            pulled = pull(hub, str(name or ""), token=token)
            id = self.collection.add_pulled(key, pulled)
            return CheckpointRef(Kind.COLLECTION, id), pulled.note or ""

    def upload(
        self, key: str, zipped: str | Path | bytes | None, origin: str = "Uploaded"
    ) -> CheckpointRef:
        """Take a checkpoint zip, or the file that holds it, into a visitor's collection.

        Args:
            key: of the visitor.
            zipped: the zip's bytes, or its path.
            origin: a word on where it is from, for the shelf.

        Raises:
            BadInput: it is too large, or not the zip of a valid checkpoint.
        """
        limit = self.settings.limits.zip_bytes
        is_data = isinstance(zipped, bytes)
        if not zipped or (len(zipped) if is_data else Path(zipped).stat().st_size) > limit:
            raise BadInput("Please upload the zip of one checkpoint.")
        data = zipped if is_data else Path(zipped).read_bytes()
        return CheckpointRef(Kind.COLLECTION, self.collection.add_upload(key, data, origin))

    def forget(self, key: str) -> None:
        """Delete what a visitor fetched or uploaded."""
        self.collection.forget(key)


def shipped_folders(root: Path) -> list[Path]:
    """The checkpoints in a folder of shipped ones: in the order of its index, then by name."""
    if not root.is_dir():
        return []
    order = {name: position for position, name in enumerate(_index(root))}
    folders = [path.parent for path in root.glob(f"*/{WEIGHTS}")]
    return sorted(folders, key=lambda folder: (order.get(folder.name, len(order)), folder.name))


def _kept(item: CollectionItem) -> CatalogEntry:
    ref = CheckpointRef(Kind.COLLECTION, item.id)
    return CatalogEntry(ref, item.title, item.folder, item.origin or "Uploaded")


def _parsed(ref: CheckpointRef | str) -> CheckpointRef:
    return ref if isinstance(ref, CheckpointRef) else CheckpointRef.parse(ref)


def _index(root: Path) -> list[str]:
    """The names in the index, in order; none when there is no index."""
    try:
        names = json.loads((root / INDEX).read_text(encoding="utf-8"))["order"]
        return [str(name) for name in names]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _title(folder: Path) -> str:
    """The title its config gives, or the folder's name."""
    try:
        title = json.loads((folder / "config.json").read_text(encoding="utf-8"))["title"]
    except (OSError, ValueError, KeyError, TypeError):
        title = None
    return plain_text(str(title))[:80] if title else folder.name

"""The row of automata to choose from: shipped, trained, and fetched from elsewhere."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from nca.catalog.collection import Collection, Kept
from nca.checkpoint import Checkpoint, load_checkpoint, weights_from_bytes
from nca.config import BadInput, plain_text
from nca.jobs import NOT_YOURS, TARGET, JobQueue, JobView, snapshots
from nca.jobs.initial import InitialCheckpoint, initial_checkpoint
from nca.settings import Settings
from nca.target import target_from_png
from nca.ui.markup import count, data_uri


@dataclass(frozen=True)
class Item:
    """A checkpoint on the shelf.

    Attributes:
        name: "shipped:lizard", "job:<id>" or "kept:<id>".
        title: for people.
        folder: where it is.
        note: a word or two on where it comes from.
    """

    name: str
    title: str
    folder: Path
    note: str = ""


class Shelf:
    """Which checkpoints a visitor may grow, and where each of them is."""

    def __init__(self, settings: Settings, queue: JobQueue, collection: Collection) -> None:
        self.settings, self.queue, self.collection = settings, queue, collection

    def items(self, key: str) -> list[Item]:
        """What a visitor finds on the shelf, their own in front."""
        mine = self.queue.jobs(key) if key else []
        return [
            *grown(mine)[: self.settings.limits.jobs_shown],
            *fetched(self.collection.mine(key)),
            *shipped(self.settings.checkpoints),
        ]

    def folder(self, key: str, name: str) -> Path:
        """The folder of a checkpoint; BadInput when this visitor may not use it."""
        kind, _, rest = str(name).partition("@")[0].partition(":")
        if kind == "job":
            return self.queue.view(key, rest).folder
        if kind == "kept":
            return self.collection.folder(key, rest)
        # Compared with what is there, never joined to a path.
        for item in shipped(self.settings.checkpoints):
            if item.name == name:
                return item.folder
        raise BadInput(NOT_YOURS if name else "Please choose an automaton first.")

    def load(self, key: str, name: str) -> Checkpoint:
        """A checkpoint, or `job:<id>@<iteration>`, a snapshot of a training.

        Raises:
            BadInput: this visitor may not use it, or it is not sound.
        """
        folder, limits = self.folder(key, name), self.settings.limits
        if not is_snapshot(name):
            return load_checkpoint(folder, limits)
        kept = {f"{number}": path for number, path in snapshots(folder)}
        path = kept.get(name.partition("@")[2])
        if path is None:
            raise BadInput("This snapshot is no longer kept; please choose another.")
        nca, info = weights_from_bytes(path.read_bytes(), limits)
        return Checkpoint(nca, info, target_from_png(folder / TARGET), {}, folder)

    def start(self, key: str, name: str) -> InitialCheckpoint:
        """What a training begins with when it begins with this checkpoint."""
        checkpoint = self.load(key, name)
        return initial_checkpoint(checkpoint, *self.collection.public_source(checkpoint.folder))

    def job(self, key: str, name: str) -> JobView | None:
        """The training that a name stands for; None for anything else, and when it is gone."""
        kind, _, job = str(name).partition(":")
        try:
            return self.queue.view(key, job) if kind == "job" else None
        except BadInput:
            return None


def is_snapshot(name: str) -> bool:
    """Whether a name stands for a training as it was: `job:<id>@<iteration>`."""
    return "@" in str(name)


def when(name: str) -> str:
    """When a snapshot was, in words."""
    number = int(name.partition("@")[2])
    return f"after {count(number)} iterations" if number > 1 else "after its first iteration"


def labels(items: Sequence[Item]) -> list[tuple[str, str]]:
    """The shelf for a selector: words for people and the name."""
    return [(f"{item.title} · {item.note or 'shipped'}", item.name) for item in items]


def shipped(folder: Path) -> list[Item]:
    """The checkpoints that come with the garden, by name, those that heal in front."""
    if not folder.is_dir():
        return []
    found = [path.parent for path in folder.glob("*/model.safetensors")]
    found.sort(key=lambda path: (not path.name.endswith("-regenerating"), path.name))
    return [Item(f"shipped:{path.name}", _title(path), path) for path in found]


def grown(views: Sequence[JobView]) -> list[Item]:
    """The visitor's trainings that have weights, newest first."""
    ready = [view for view in views if (view.folder / "model.safetensors").exists()]
    return [
        Item(f"job:{v.id}", v.title, v.folder, "Training" if v.state == "running" else "Mine")
        for v in ready
    ]


def fetched(kept: Sequence[Kept]) -> list[Item]:
    """What the visitor pulled or uploaded, newest first."""
    return [Item(f"kept:{k.id}", k.title, k.folder, k.origin or "Uploaded") for k in kept]


def default(items: Sequence[Item]) -> str:
    """What is on the stage at first: the lizard that heals, or the first there is."""
    names = [item.name for item in items]
    lizards = [name for name in names if "lizard" in name and "regenerating" in name]
    lizards += [name for name in names if "lizard" in name]
    return next(iter([*lizards, *names]), "")


def build(elem_id: str) -> gr.HTML:
    """The row; a click triggers `select`, `.name`."""
    return gr.HTML(
        "",
        js_on_load="""
          element.addEventListener('click', (event) => {
            const button = event.target.closest('button');
            if (button) trigger('select', {name: button.dataset.name});
          });
          // What is chosen shall be in sight, however long the row is.
          watch('value', () => requestAnimationFrame(() => {
            const row = element.querySelector('.shelf');
            const chosen = row?.querySelector('[aria-pressed=true]');
            if (chosen) row.scrollLeft =
              chosen.offsetLeft - row.offsetLeft - (row.clientWidth - chosen.offsetWidth) / 2;
          }));""",
        elem_id=elem_id,
        apply_default_css=False,
    )


def show(items: Sequence[Item], chosen: str) -> str:
    """The row as HTML."""
    if not items:
        return (
            '<div class="empty"><strong>Nothing to grow yet</strong>'
            "Train an automaton on the first tab; it appears here as soon as it has begun.</div>"
        )
    buttons = []
    for item in items:
        target = item.folder / TARGET
        image = ""
        if target.exists():
            uri = data_uri(target.read_bytes(), "image/png")
            image = f'<img class="cells" src="{uri}" alt="">'
        pressed = "true" if item.name == chosen else "false"
        buttons.append(
            f'<button type="button" data-name="{html.escape(item.name)}" aria-pressed="{pressed}">'
            f"{image}<span>{html.escape(item.title)}<small>{html.escape(item.note)}</small></span>"
            "</button>"
        )
    return f'<div class="shelf" role="group" aria-label="Automata">{"".join(buttons)}</div>'


def _title(folder: Path) -> str:
    """The title its config gives, or the folder's name."""
    try:
        title = json.loads((folder / "config.json").read_text(encoding="utf-8"))["title"]
    except (OSError, ValueError, KeyError, TypeError):
        title = None
    return plain_text(str(title))[:80] if title else folder.name

"""What a training begins with: a new automaton, or a checkpoint from the shelf."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import gradio as gr

from nca.catalog import Catalog, CheckpointRef
from nca.jobs.initial import InitialCheckpoint
from nca.target import target_to_png
from nca.ui import shelf
from nca.ui.components import Chosen
from nca.ui.markup import count, picture
from nca.ui.train import settings_form as form
from nca.ui.visitor import key_of

NEW = ""
FRESH = ("A new automaton, which knows nothing yet", NEW)


@dataclass(frozen=True)
class Beginning:
    """The components; `asked` in the order that `Handlers.read` takes their values.

    Attributes:
        chosen: the checkpoint's name on the shelf, `NEW` for none.
        keep: whether its own picture is trained on.
        about: what is chosen, in a picture and words.
    """

    chosen: Chosen
    keep: gr.Checkbox
    about: gr.HTML

    @property
    def asked(self) -> list[Any]:
        """What says where a training begins."""
        return [self.chosen, self.keep]


def build() -> Beginning:
    """Lay out the selector and what is shown of the choice."""
    chosen = Chosen(
        [FRESH], value=NEW, label="Begin with", filterable=False, interactive=True,
        elem_id="begin-with",
    )  # fmt: skip
    about = gr.HTML("", elem_id="begun")
    keep = gr.Checkbox(
        False, label="Train on its own picture", visible=False, elem_id="keep-picture"
    )
    return Beginning(chosen, keep, about)


class Handlers:
    """What happens when a beginning is chosen; methods return what their outputs show."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def read(self, stored: Any, name: str | None) -> InitialCheckpoint | None:
        """What a training begins with, None for a new automaton.

        Raises:
            BadInput: there is no such checkpoint, or it is not this visitor's.
        """
        return self.catalog.initial(key_of(stored), name) if name else None

    def choices(self, stored: Any) -> Any:
        """The shelf as it is now; what was chosen stays."""
        return gr.update(choices=[FRESH, *shelf.choices(self.catalog.entries(key_of(stored)))])

    def choose(self, stored: Any, name: str | None, recipe: str, keep: bool = False) -> list[Any]:
        """Updates of about, keep, the form of the picture and the architecture's fields."""
        start = self.read(stored, name)
        keep = bool(keep and start and start.checkpoint.target is not None)
        offered = start is not None and start.checkpoint.target is not None
        return [
            show(start) if start else "",
            gr.update(value=keep, visible=offered),
            hidden(keep),
            *form.architecture(recipe, start.nca if start else None),
        ]

    def further(self, stored: Any, name: str, recipe: str) -> list[Any]:
        """The same for a checkpoint that is to be trained further on its own picture."""
        items = self.catalog.entries(key_of(stored))
        named = [FRESH, *shelf.choices(items)]
        if name not in (str(item.ref) for item in items):  # a snapshot is not on the shelf
            title = self.catalog.load(key_of(stored), name).info.title
            named.append((f"{title} · {shelf.snapshot_words(CheckpointRef.parse(name))}", name))
        chosen = gr.update(choices=named, value=name)
        return [chosen, *self.choose(stored, name, recipe, keep=True)]


def hidden(keep: bool) -> dict[str, Any]:
    """An update that hides the form of the picture when none is asked for."""
    return gr.update(visible="hidden" if keep else True)


def show(start: InitialCheckpoint) -> str:
    """What is begun with: its picture, and what it brings along."""
    nca, target = start.nca, start.checkpoint.target
    image = "" if target is None else picture(target_to_png(target), "", "image/png", "checker")
    words = (
        f"has {count(start.source.iteration)} iterations behind it. Its {nca.channels} channels "
        "and its network stay as they are; what it has learned is where this training begins."
    )
    return (
        f'<div class="begun">{image}<p class="note"><strong>{html.escape(start.source.title)}'
        f"</strong> {words}</p></div>"
    )

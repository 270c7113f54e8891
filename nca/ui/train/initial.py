"""What a training starts from: a new automaton, or an initial checkpoint from the shelf."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import gradio as gr

from nca.catalog import Catalog, CheckpointRef
from nca.jobs.initial import InitialCheckpoint
from nca.target import target_to_png
from nca.ui import shelf
from nca.ui.components import VisitorDropdown
from nca.ui.markup import arranged, count, picture

NEW = ""
NEW_CHOICE = ("A new automaton, not trained yet", NEW)


@dataclass(frozen=True)
class InitialFields:
    """The components.

    Attributes:
        selector: the initial checkpoint's name, `NEW` for none.
        own_picture: whether to train on the checkpoint's own picture.
        about: a picture and a description of the initial checkpoint.
        described: its name.
    """

    selector: VisitorDropdown
    own_picture: gr.Checkbox
    about: gr.HTML
    described: gr.Textbox

    @property
    def inputs(self) -> list[Any]:
        """The components that say what a training starts from."""
        return [self.selector, self.own_picture]


def build_about() -> dict[str, Any]:
    """Lay out the description of the initial checkpoint; returns components by field."""
    about = gr.HTML("", elem_id="begun")
    own_picture = gr.Checkbox(
        False, label="Train on its own picture", visible=False, elem_id="keep-picture"
    )
    return {"about": about, "own_picture": own_picture}


def build_selector() -> dict[str, Any]:
    """Lay out the selector; returns components by field."""
    selector = VisitorDropdown(
        [NEW_CHOICE], value=NEW, label="Begin with", filterable=False, interactive=True,
        elem_id="begin-with",
    )  # fmt: skip
    return {"selector": selector, "described": gr.Textbox(NEW, visible=False)}


def initial(catalog: Catalog, key: str, name: str | None) -> InitialCheckpoint | None:
    """The initial checkpoint with a name from the selector; None for a new automaton.

    Raises:
        BadInput: there is no such checkpoint, or it is not this visitor's.
    """
    return catalog.initial(key, name) if name else None


def choices(catalog: Catalog, key: str, name: str = NEW) -> list[tuple[str, str]]:
    """What can be chosen now; includes `name`, which may be a snapshot not on the shelf."""
    listed = [NEW_CHOICE, *shelf.choices(catalog.entries(key))]
    if name not in (value for _, value in listed):
        title = catalog.load(key, name).info.title
        listed.append((f"{title} · {shelf.snapshot_words(CheckpointRef.parse(name))}", name))
    return listed


def initial_html(checkpoint: InitialCheckpoint) -> str:
    """The initial checkpoint: its picture and its description."""
    nca, target = checkpoint.nca, checkpoint.checkpoint.target
    png = b"" if target is None else arranged(target_to_png(target))
    image = picture(png, "", "image/png", "checker") if png else ""
    words = (
        f"was trained for {count(checkpoint.source.iteration)} iterations. This training begins "
        f"with its weights and keeps its architecture, with {nca.channels} channels."
    )
    title = html.escape(checkpoint.source.title)
    return f'<div class="begun">{image}<p class="note"><strong>{title}</strong> {words}</p></div>'

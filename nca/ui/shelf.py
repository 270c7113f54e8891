"""The row of automata to choose from: those that are shipped and those of the visitor."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from nca.jobs import TARGET, JobView
from nca.ui.markup import data_uri

MOST = 24


@dataclass(frozen=True)
class Item:
    """A checkpoint on the shelf.

    Attributes:
        name: "shipped:lizard" or "job:<id>".
        title: for people.
        folder: where it is.
    """

    name: str
    title: str
    folder: Path


def shipped(folder: Path) -> list[Item]:
    """The checkpoints that come with the garden, by name."""
    if not folder.is_dir():
        return []
    found = sorted(path.parent for path in folder.glob("*/model.safetensors"))
    return [Item(f"shipped:{path.name}", _title(path), path) for path in found]


def grown(views: Sequence[JobView]) -> list[Item]:
    """The visitor's trainings that have weights, newest first."""
    ready = [view for view in views if (view.folder / "model.safetensors").exists()]
    return [Item(f"job:{view.id}", view.title, view.folder) for view in ready[:MOST]]


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
          });""",
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
        mine = "Mine" if item.name.startswith("job:") else ""
        buttons.append(
            f'<button type="button" data-name="{html.escape(item.name)}" aria-pressed="{pressed}">'
            f"{image}<span>{html.escape(item.title)}</span><small>{mine}</small></button>"
        )
    return f'<div class="shelf" role="group" aria-label="Automata">{"".join(buttons)}</div>'


def _title(folder: Path) -> str:
    """The title its config gives, or the folder's name."""
    try:
        title = json.loads((folder / "config.json").read_text())["title"]
    except (OSError, ValueError, KeyError, TypeError):
        title = None
    return str(title)[:80] if title else folder.name

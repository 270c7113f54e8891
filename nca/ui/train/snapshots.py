"""Looking back: a slider over the snapshots of a training shows how it grew at the time."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import gradio as gr

from nca.catalog import Catalog
from nca.render import contact_sheet
from nca.ui import shelf
from nca.ui.markup import figure, picture
from nca.ui.visitor import key_of

STEPS = (24, 48, 96, 200)  # of the life that is shown


@dataclass(frozen=True)
class Past:
    """The components.

    Attributes:
        box: around all of them.
        when: the slider, in iterations.
        life: how it grew.
        grow: the button that opens it on the Grow tab.
    """

    box: gr.Column
    when: gr.Slider
    life: gr.HTML
    grow: gr.Button

    @property
    def outputs(self) -> list[Any]:
        """What `update` updates."""
        return [self.box, self.when, self.life]


def build() -> Past:
    """Lay it out; it shows once there is something to look back at."""
    with gr.Column(visible=False, elem_id="past") as box:
        when = gr.Slider(
            0, 1, 0, step=1, label="Look back: how it grew after so many iterations", buttons=[],
            elem_id="past-when",
        )  # fmt: skip
        life = gr.HTML("", elem_id="past-life")
        grow = gr.Button("Grow it as it was then", size="sm", elem_id="past-grow")
    return Past(box, when, life, grow)


def update(kept: Sequence[int], before: Sequence[int]) -> list[Any]:
    """Updates of box, slider and picture for snapshots at the iterations `kept`.

    Args:
        kept: what there is, ascending.
        before: what the page knows already; the slider stays where it is held then.
    """
    if list(kept) == list(before):
        return [gr.skip()] * 3
    if len(kept) < 2:
        return [gr.update(visible=False), gr.skip(), ""]
    span: dict[str, Any] = {"minimum": kept[0], "maximum": kept[-1]}
    if len(before) > 1:
        return [gr.skip(), gr.update(**span), gr.skip()]
    return [gr.update(visible=True), gr.update(**span, value=kept[-1]), ""]


class Handlers:
    """What happens when the slider moves; methods return what their outputs show."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def show(self, stored: Any, job: str, iteration: float) -> str:
        """The life of that snapshot, as a row of pictures."""
        ref = self.catalog.snapshot(key_of(stored), job, iteration)
        loaded = self.catalog.load(key_of(stored), ref)
        x, states = loaded.nca.seed(1, loaded.size), []
        for t, end in pairwise((0, *STEPS)):
            x = loaded.nca.grow(x, end - t, seed=1, t0=t)
            states.append(x[0])
        file = io.BytesIO()
        contact_sheet(states, columns=len(STEPS)).save(file, "PNG")
        then = shelf.snapshot_words(ref)
        steps = ", ".join(map(str, STEPS[:-1]))
        words = f"{then.capitalize()}, at {steps} and {STEPS[-1]} steps"
        image = picture(file.getvalue(), f"How it grew {then}", "image/png")
        return f'<div class="panel">{figure(image, words)}</div>'

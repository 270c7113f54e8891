"""A slider over the snapshots of a training that shows how the automaton grew at each."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import gradio as gr

from nca.catalog import Catalog
from nca.jobs import snapshot_pictures
from nca.render import contact_sheet
from nca.ui import shelf
from nca.ui.context import Updates
from nca.ui.markup import figure, file_figure, picture

STEPS = (24, 48, 96, 200)  # at which the growth is shown


@dataclass(frozen=True)
class SnapshotFields:
    """The components.

    Attributes:
        box: the container of them all.
        slider: over the iterations.
        pictures: the snapshot's pictures.
        grow: the button that opens the snapshot on the Grow tab.
    """

    box: gr.Column
    slider: gr.Slider
    pictures: gr.HTML
    grow: gr.Button

    @property
    def outputs(self) -> list[Any]:
        """The components that `update` changes."""
        return [self.box, self.slider, self.pictures]


def build() -> SnapshotFields:
    """Lay it out, hidden until there are at least two snapshots."""
    with gr.Column(visible=False, elem_id="past") as box:
        slider = gr.Slider(
            0, 1, 0, step=1, label="Look back: how it grew after so many iterations", buttons=[],
            elem_id="past-when",
        )  # fmt: skip
        pictures = gr.HTML("", elem_id="past-life")
        grow = gr.Button("Play this version", size="sm", elem_id="past-grow")
    return SnapshotFields(box, slider, pictures, grow)


def update(
    fields: SnapshotFields, iterations: Sequence[int], known: Sequence[int] | None
) -> Updates:
    """Updates for the snapshots that exist now.

    Args:
        fields: the components.
        iterations: of the snapshots, ascending.
        known: iterations that the page offers already: the slider then keeps its value. None when
            another job was shown.
    """
    if known is not None and list(iterations) == list(known):
        return {}
    if len(iterations) < 2:
        return {fields.box: gr.update(visible=False), fields.pictures: ""}
    span: dict[str, Any] = {"minimum": iterations[0], "maximum": iterations[-1]}
    if known and len(known) > 1:
        return {fields.slider: gr.update(**span)}
    return {
        fields.box: gr.update(visible=True),
        fields.slider: gr.update(**span, value=iterations[-1]),
        fields.pictures: "",
    }


def snapshot_html(catalog: Catalog, key: str, job: str, iteration: float) -> str:
    """The snapshot nearest to an iteration: its growth in a row, its pool and a batch.

    Raises:
        BadInput: there is none, or the training is not this visitor's.
    """
    ref = catalog.snapshot(key, job, iteration)
    loaded = catalog.load(key, ref)
    x, states = loaded.nca.seed(1, loaded.size), []
    for t, end in pairwise((0, *STEPS)):
        x = loaded.nca.grow(x, end - t, seed=1, t0=t)
        states.append(x[0])
    file = io.BytesIO()
    contact_sheet(states, columns=len(STEPS)).save(file, "PNG")
    then = shelf.snapshot_words(ref)
    steps = ", ".join(map(str, STEPS[:-1]))
    words = f"{then.capitalize()}, at {steps} and {STEPS[-1]} steps"
    life = figure(picture(file.getvalue(), f"How it grew {then}", "image/png"), words)
    pool_file, batch_file = snapshot_pictures(loaded.folder, ref.iteration or 0)
    pool = file_figure(pool_file, f"Practice pool {then}", f"Contact sheet of the pool {then}")
    batch = file_figure(
        batch_file,
        f"A batch {then}: as it started above, as it ended below",
        f"Batch before and after the rollout, {then}",
    )
    sheets = f'<div class="two">{pool}{batch}</div>' if pool or batch else ""
    return f'<div class="panel">{life}{sheets}</div>'

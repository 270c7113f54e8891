"""Looking back at a training: a film of how the automaton grew at each of its snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import gradio as gr

from nca.catalog import Catalog, CheckpointRef, Kind
from nca.config import BadInput
from nca.jobs import snapshot_pictures, snapshots
from nca.render import contact_sheet, picture_bytes
from nca.ui import shelf
from nca.ui.components import script
from nca.ui.context import Updates
from nca.ui.markup import data_uri, file_figure

STEPS = (24, 48, 96, 200)  # at which the growth is shown
_TEMPLATE = """
  <div class="lookback">
    <h3>Look back: how it learned</h3>
    <img hidden alt="How it grew then" class="cells ground">
    <div class="reel"><button type="button" class="play">▶ Play</button>
      <input type="range" min="0" max="0" value="0" aria-label="Snapshot"></div>
    <output></output>
  </div>"""


class SnapshotFilm(gr.HTML):
    """A scrubber over the snapshots of a training, with Play.

    `submit` asks for the pictures, `select` says with `.iteration` which snapshot is shown.

    Args:
        count: how many snapshots there are.
        frames: the pictures, see `frames`; empty until they are asked for.
        **more: whatever `gr.HTML` takes.
    """

    def __init__(
        self, *, count: int = 0, frames: Sequence[dict[str, Any]] = (), **more: Any
    ) -> None:
        super().__init__(
            None,
            html_template=_TEMPLATE,
            js_on_load=script("train/film.js"),
            apply_default_css=False,
            count=count,
            frames=list(frames),
            **more,
        )
        # As in `NCAPlayer`: gr.HTML treats a missing attribute as an event.
        self.count, self.frames = count, list(frames)


@dataclass(frozen=True)
class SnapshotFields:
    """The components.

    Attributes:
        box: the container of them all.
        film: the pictures, the scrubber and Play.
        iteration: of the snapshot that is shown; 0 for the newest.
        pictures: the snapshot's pool and batch.
        grow: the button that opens the snapshot on the Grow tab.
    """

    box: gr.Column
    film: SnapshotFilm
    iteration: gr.Number
    pictures: gr.HTML
    grow: gr.Button

    @property
    def outputs(self) -> list[Any]:
        """The components that `update` changes."""
        return [self.box, self.film, self.iteration, self.pictures]


def build() -> SnapshotFields:
    """Lay it out, hidden until there are at least two snapshots."""
    with gr.Column(visible=False, elem_id="past", min_width=280) as box:
        film = SnapshotFilm(elem_id="past-film")
        iteration = gr.Number(0, visible=False, precision=0)
        pictures = gr.HTML("", elem_id="past-life")
        grow = gr.Button("Play this version", size="sm", elem_id="past-grow")
    return SnapshotFields(box, film, iteration, pictures, grow)


def update(
    fields: SnapshotFields, iterations: Sequence[int], known: Sequence[int] | None
) -> Updates:
    """Updates for the snapshots that exist now.

    Args:
        fields: the components.
        iterations: of the snapshots, ascending.
        known: iterations that the page offers already; None when another job was shown.
    """
    if known is not None and list(iterations) == list(known):
        return {}
    updates: Updates = {fields.box: gr.update(visible=len(iterations) > 1)}
    if known is None:
        updates |= {fields.iteration: iterations[-1] if iterations else 0, fields.pictures: ""}
        return updates | {fields.film: gr.update(count=len(iterations), frames=[])}
    return updates | {fields.film: gr.update(count=len(iterations))}


def frames(catalog: Catalog, key: str, job: str) -> list[dict[str, Any]]:
    """The pictures of a training's snapshots, oldest first: iteration, words, data URL.

    Raises:
        BadInput: the training is not this visitor's.
    """
    ref = CheckpointRef(Kind.JOB, str(job))
    folder = catalog.folder(key, ref)
    shown = []
    for iteration, _ in snapshots(folder):
        try:
            picture = snapshot_pictures(folder, iteration)[2].read_bytes()
        except OSError:  # of an earlier version
            try:
                picture = _drawn(catalog, key, CheckpointRef(Kind.JOB, ref.id, iteration))
            except BadInput:  # deleted meanwhile
                continue
        then = shelf.snapshot_words(CheckpointRef(Kind.JOB, ref.id, iteration))
        words = f"{then[:1].upper()}{then[1:]}, at {', '.join(map(str, STEPS[:-1]))}"
        shown.append(
            {
                "iteration": iteration,
                "words": f"{words} and {STEPS[-1]} steps",
                "src": data_uri(picture),
            }
        )
    return shown


def _drawn(catalog: Catalog, key: str, ref: CheckpointRef) -> bytes:
    """A snapshot's growth in a row of pictures, as a worker draws it."""
    loaded = catalog.load(key, ref)
    x, states = loaded.nca.seed(1, loaded.size), []
    for t, end in pairwise((0, *STEPS)):
        x = loaded.nca.grow(x, end - t, seed=1, t0=t)
        states.append(x[0])
    return picture_bytes(contact_sheet(states, len(STEPS), clear=True))


def snapshot_html(catalog: Catalog, key: str, job: str, iteration: float) -> str:
    """Pool and batch of the snapshot nearest to an iteration; empty where none were kept.

    Raises:
        BadInput: there is none, or the training is not this visitor's.
    """
    ref = catalog.snapshot(key, job, iteration)
    then, folder = shelf.snapshot_words(ref), catalog.folder(key, ref)
    pool_file, batch_file, _ = snapshot_pictures(folder, ref.iteration or 0)
    pool = file_figure(pool_file, "Practice pool then", f"Contact sheet of the pool {then}")
    batch = file_figure(
        batch_file,
        "A batch then: before above, after below",
        f"Batch before and after the rollout, {then}",
    )
    return f'<div class="panel two">{pool}{batch}</div>' if pool or batch else ""

"""The Inspect tab: one life of a checkpoint, step by step, and how its automaton works."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import gradio as gr

from nca.catalog import Catalog
from nca.checkpoint import WEIGHTS
from nca.config import BadInput
from nca.damage_shapes import HALVES
from nca.evaluate import Plan, evaluate
from nca.jobs import JobView
from nca.life import Life, Lives, live
from nca.scorecard import recorded
from nca.ui import shelf
from nca.ui.events import LIVES, changes, listen
from nca.ui.inspect import life_views as views
from nca.ui.inspect import model_views as rule_views
from nca.ui.markup import count, note
from nca.ui.visitor import key_of

LENGTH = 300  # steps of a life
MOST_WORK = 5e11  # multiplications of a life in which every cell lives: about half a minute
SCORING = 60.0  # seconds a visitor may wait for scores
# A fifth of the yardstick's work, about four seconds for an emoji.
PLAN = Plan(
    lives=4, growth=(96, 200), strokes=8, angles=(0,), persistence=1000, persistence_lives=1
)
WOUNDS = {"No wound": ""} | {
    **{f"{half.removeprefix('half-').capitalize()} half": half for half in HALVES},
    "Centre": "centre", "Circle": "circle",
}  # fmt: skip


@dataclass(frozen=True)
class InspectTab:
    """What the page needs of this tab: its handlers, and in- and outputs of `Handlers.open`."""

    handlers: Handlers
    inputs: list[Any]
    outputs: list[Any]


def build(catalog: Catalog, visitor: gr.BrowserState) -> InspectTab:
    """Lay out the tab and attach its handlers."""
    handlers = Handlers(catalog)
    seen = gr.State(None, time_to_live=3600)
    with gr.Column(elem_id="inspect-tab"):
        choices = shelf.build("inspect-shelf")
        with gr.Row(elem_id="inspect-told"):
            told = gr.HTML("")
            newest = gr.Button("Show its newest weights", size="md", visible=False)
        with gr.Row(elem_id="inspect-life"):
            step = gr.Slider(
                0, LENGTH, 60, step=1, precision=0, label="Step", buttons=[], scale=4,
                min_width=280, elem_id="inspect-step",
            )  # fmt: skip
            wound = gr.Dropdown(
                list(WOUNDS.items()), value="", label=f"Wounded at step {LENGTH // 2}", scale=2,
                min_width=150, filterable=False, elem_id="inspect-wound",
            )  # fmt: skip
            seed = gr.Number(
                1, label="Seed", precision=0, minimum=0, maximum=2**32 - 1, scale=1,
                min_width=130, elem_id="inspect-seed",
            )  # fmt: skip
        stage = views.stage_box("inspect-stage")
        traces = views.charts_box("inspect-traces")
        strips = gr.HTML("", elem_id="inspect-strips")
        curves = gr.HTML("", elem_id="inspect-curves")
        score = gr.Button("Score it now", visible=False, elem_id="inspect-score")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                perceived = gr.HTML("", elem_id="inspect-perceived")
                ranges = gr.HTML("", elem_id="inspect-ranges")
            with gr.Column(min_width=320):
                weights = gr.HTML("", elem_id="inspect-weights")

    life = [seen, told, newest, stage, traces, strips, ranges]
    shown = [*life, choices, perceived, weights, curves, score]
    asked = [visitor, seen, step, seed, wound]
    heavy: dict[str, Any] = LIVES | {"show_progress": "minimal", "show_progress_on": stage}
    listen(choices.select, handlers.pick, asked, shown, **heavy)
    listen(newest.click, handlers.again, asked, shown, **heavy)
    listen(
        changes([seed, wound]), handlers.relive, asked, life, trigger_mode="always_last", **heavy
    )
    listen(
        step.change, handlers.look, asked[:3], stage, trigger_mode="always_last",
        concurrency_limit=4,
    )  # fmt: skip
    listen(stage.cell, handlers.follow, asked[:3], [seen, stage, traces], concurrency_limit=4)
    listen(traces.seek, handlers.seek, None, step)
    listen(
        score.click, handlers.score, [visitor, seen], [curves, score], trigger_mode="once",
        concurrency_limit=1, show_progress="full", show_progress_on=curves,
    )  # fmt: skip
    return InspectTab(handlers, asked, shown)


class Handlers:
    """What happens when something is pressed; each method returns what its outputs show.

    The session remembers what the page shows: `name` of the checkpoint, `stamp` of its weights,
    `seed` and `wound` of the life, chosen `cells`.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog, self.lives = catalog, Lives()

    def open(
        self, stored: Any, seen: dict[str, Any] | None, step: int, seed: int, wound: str, grown: str
    ) -> Any:
        """When the tab is opened: what it showed, else what grows on the other tab, or any."""
        items = self.catalog.entries(key_of(stored))
        there = {str(entry.ref) for entry in items}
        first = Catalog.default(items)
        wanted = ((seen or {}).get("name"), grown, str(first.ref) if first else "")
        name = next((name for name in wanted if name in there), "")
        if not name or (
            seen and name == seen["name"] and self._stamp(stored, name) == seen["stamp"]
        ):
            return [*[gr.skip()] * 7, shelf.shelf_html(items, name), *[gr.skip()] * 4]
        return self._choose(stored, name, step, seed, wound)

    def pick(
        self,
        stored: Any,
        seen: dict[str, Any] | None,
        step: int,
        seed: int,
        wound: str,
        event: gr.EventData,
    ) -> list[Any]:
        """A checkpoint of the shelf was clicked."""
        return self._choose(stored, str(event.name), step, seed, wound)

    def again(
        self, stored: Any, seen: dict[str, Any] | None, step: int, seed: int, wound: str
    ) -> list[Any]:
        """The same checkpoint, as it is now."""
        return self._choose(stored, _chosen(seen)["name"], step, seed, wound)

    def relive(
        self, stored: Any, seen: dict[str, Any] | None, step: int, seed: int, wound: str
    ) -> Any:
        """Another life of the same automaton."""
        if not seen:  # the form was filled before anything was chosen
            return gr.skip()
        return self._relive(stored, seen | {"seed": seed, "wound": wound}, step)

    def look(self, stored: Any, seen: dict[str, Any] | None, step: int) -> Any:
        """Another step of the same life."""
        if not seen:
            return gr.skip()
        return views.stage(self._life(stored, seen), step, seen["cells"])

    def seek(self, event: gr.EventData) -> int:
        """A step was chosen in a chart; the slider moves there, and the picture with it."""
        return _whole(event.step, LENGTH, "a step")

    def follow(
        self, stored: Any, seen: dict[str, Any] | None, step: int, event: gr.EventData
    ) -> list[Any]:
        """A cell was chosen: its traces join the others, or go if they are there already."""
        seen = _chosen(seen)
        life = self._life(stored, seen)
        height, width = life.size
        cell = _whole(event.row, height - 1, "a row"), _whole(event.column, width - 1, "a column")
        cells = [other for other in seen["cells"] if other != cell]
        if cell not in seen["cells"]:
            cells = [*cells, cell][-views.MOST_CELLS :]
        shown = [views.stage(life, step, cells), views.traces(life, step, cells)]
        return [seen | {"cells": cells}, *shown]

    def score(
        self, stored: Any, seen: dict[str, Any] | None, progress: gr.Progress = gr.Progress()
    ) -> list[Any]:
        """Run the short battery now."""
        name = _chosen(seen)["name"]
        loaded = self.catalog.load(key_of(stored), name)
        if loaded.target is None:
            raise BadInput("This automaton came without its picture, so it cannot be scored.")
        until, done = time.monotonic() + SCORING, 0

        def tell(steps: int) -> None:
            nonlocal done
            done += steps
            progress(done / PLAN.work, desc="Growing and wounding it")
            if time.monotonic() > until:
                raise BadInput(
                    "This automaton is too large to be scored here; download its checkpoint and "
                    "run python -m nca evaluate on it."
                )

        scores = evaluate(loaded.nca, loaded.target, 0, PLAN, tell)
        return [rule_views.curves(scores), gr.update(visible=False)]

    # ------------------------------------------------------------------ within

    def _choose(self, stored: Any, name: str, step: int, seed: int, wound: str) -> list[Any]:
        """Everything about a checkpoint, and a life of it."""
        seen = {"name": name, "seed": seed, "wound": wound, "cells": []}
        life = self._relive(stored, seen, step)
        loaded = self.catalog.load(key_of(stored), name)
        scores = recorded(loaded.metrics)
        target = loaded.target
        if target is None:
            target = self._life(stored, life[0]).state(LENGTH // 2 - 1)[..., :4]
        return [
            *life,
            shelf.shelf_html(self.catalog.entries(key_of(stored)), name),
            rule_views.perceived(loaded.nca, target),
            rule_views.weights(loaded.nca),
            rule_views.curves(scores) if scores else rule_views.unscored(loaded.target is not None),
            gr.update(visible=scores is None and loaded.target is not None),
        ]

    def _relive(self, stored: Any, seen: dict[str, Any], step: int) -> list[Any]:
        """All views of a life, with the newest weights that there are."""
        seen = seen | {
            "stamp": self._stamp(stored, seen["name"]),
            "seed": _whole(seen["seed"], 2**32 - 1, "a seed"),
        }
        life, view = self._life(stored, seen), self.catalog.job(key_of(stored), seen["name"])
        return [
            seen,
            _told(view, views.wild(life.ranges)),
            gr.update(visible=bool(view and view.active)),
            views.stage(life, step, seen["cells"]),
            views.traces(life, step, seen["cells"]),
            views.strips(life),
            views.ranges(life.ranges),
        ]

    def _stamp(self, stored: Any, name: str) -> int:
        """Which weights a checkpoint has now."""
        try:
            return (self.catalog.folder(key_of(stored), name) / WEIGHTS).stat().st_mtime_ns
        except OSError:
            raise BadInput("This training has no weights yet; try again in a moment.") from None

    def _life(self, stored: Any, seen: dict[str, Any]) -> Life:
        """The life that the page shows, grown anew if nobody looked at it for long."""
        key, name = key_of(stored), seen["name"]
        self.catalog.folder(key, name)  # what is kept of a life is only for whom the checkpoint is
        seed, wound = seen["seed"], seen["wound"]

        def make() -> Life:
            loaded = self.catalog.load(key, name)
            height, width = loaded.size
            weights = sum(p.numel() for p in loaded.nca.parameters())
            if height * width * weights * LENGTH > MOST_WORK:
                raise BadInput("This automaton is too large to be looked at here; grow it instead.")
            return live(loaded.nca, loaded.size, LENGTH, seed, wound or None)

        return self.lives.get((name, seen["stamp"], seed, wound), make)


def _chosen(seen: dict[str, Any] | None) -> dict[str, Any]:
    if not seen:
        raise BadInput("Please choose an automaton first.")
    return seen


def _told(view: JobView | None, wild: str) -> str:
    """What to know of this automaton: that it still trains, or that its values are wild."""
    words = note(wild, "refusal")
    if view and view.active:
        words += note(f"{view.title} still trains, at iteration {count(view.iteration)}.")
    return words


def _whole(value: Any, most: int, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise BadInput(f"Please choose {what} from 0 to {most}.")
    return value

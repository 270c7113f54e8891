"""The tab How it works: a story, and below it one life of any checkpoint, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from nca.anatomy import Cell
from nca.checkpoint import WEIGHTS
from nca.config import BadInput
from nca.damage_shapes import HALVES, SHAPES
from nca.evaluate import Plan, evaluate
from nca.healing import healing_map
from nca.jobs import JobView
from nca.life import Life, live
from nca.scorecard import recorded
from nca.ui import shelf
from nca.ui.context import PageContext, Updates
from nca.ui.events import LIVES, changes, listen
from nca.ui.inspect import life_views, model_views, story
from nca.ui.inspect.cache import LifeCache
from nca.ui.markup import count, note
from nca.ui.visitor import key_of

ID, TITLE = "inspect", "How it works"
LENGTH = 300  # steps of a life
MOST_WORK = 5e11  # multiplications of one life if every cell is alive: about half a minute
SCORING = 60.0  # seconds a visitor may have to wait for scores
# A fifth of the full battery's work, about four seconds for an emoji.
PLAN = Plan(
    lives=4, growth=(96, 200), strokes=8, angles=(0,), persistence=1000, persistence_lives=1
)
# The automaton that these views showed before the page was loaded again, see first_screen.js; then
# the fold is opened, once its tab has been rendered.
KEPT = "(...inputs) => [...inputs.slice(0, -1), window.ncaFirst?.experts ?? inputs.at(-1)]"
OPEN_AGAIN = """async () => {
  for (let tries = 0; window.ncaFirst?.experts && tries < 100; tries++) {
    const fold = document.querySelector('#inspect-fold button');
    if (fold) return fold.click();
    await new Promise((done) => setTimeout(done, 50));
  }
}"""
DAMAGE = {"No damage": ""} | {
    (f"{name.removeprefix('half-')} half" if name in HALVES else name).capitalize(): name
    for name in SHAPES
}


@dataclass(frozen=True)
class ShownLife:
    """The life that the page shows; kept in the session.

    Attributes:
        name: of the checkpoint.
        modified: when its weights were written, in nanoseconds.
        seed: of the fire masks.
        damage: shape of the damage; empty for none.
        cells: the clicked cells, (row, column).
    """

    name: str
    modified: int
    seed: int
    damage: str
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class InspectTab:
    """The components.

    Attributes:
        fold: the accordion that holds all of them; closed at first.
        shelf: the checkpoints to choose from.
        about: a note on the automaton.
        newest: the button that shows its newest weights.
        step: the slider over the steps of the life.
        damage: the shape of the damage.
        seed: of the fire masks.
        stage: one step; a click on a cell adds its traces.
        traces: of the followed cells.
        strips: the hidden channels over time.
        curves: error after damage, while growing and in the long run.
        score: the button that measures these curves.
        map: where the body heals.
        draw_map: the button that computes this map.
        perceived: the target through the filters.
        ranges: the range of each channel.
        weights: the weights of every layer.
        life: which life the page shows, `ShownLife` or None.
    """

    fold: gr.Accordion
    shelf: gr.HTML
    about: gr.HTML
    newest: gr.Button
    step: gr.Slider
    damage: gr.Dropdown
    seed: gr.Number
    stage: gr.HTML
    traces: gr.HTML
    strips: gr.HTML
    curves: gr.HTML
    score: gr.Button
    map: gr.HTML
    draw_map: gr.Button
    perceived: gr.HTML
    ranges: gr.HTML
    weights: gr.HTML
    life: gr.State

    @property
    def inputs(self) -> list[Any]:
        """The components that say which life to show, and which step of it."""
        return [self.life, self.step, self.seed, self.damage]

    @property
    def life_outputs(self) -> list[Any]:
        """The components that change with the life."""
        return [
            self.life, self.about, self.newest, self.stage, self.traces, self.strips, self.ranges,
        ]  # fmt: skip

    @property
    def outputs(self) -> list[Any]:
        """The components that change with the checkpoint."""
        return [
            *self.life_outputs, self.shelf, self.perceived, self.weights, self.curves, self.score,
            self.map, self.draw_map,
        ]  # fmt: skip


def build(context: PageContext) -> Callable[[], None]:
    """Lay out the tab and attach its handlers."""
    tab, visitor = lay_out(), context.visitor
    handlers = Handlers(context, tab)
    inputs = [visitor, *tab.inputs]
    shown_on = [tab.about, tab.stage]
    playing: dict[str, Any] = LIVES | {"show_progress": "minimal", "show_progress_on": shown_on}
    listen(
        tab.fold.expand, handlers.open, [*inputs, context.chosen], tab.outputs, js=KEPT, **playing
    )
    context.loaded.then(None, js=OPEN_AGAIN, api_visibility="private")
    listen(context.items[ID].select, handlers.reopen, inputs, tab.outputs, **LIVES)
    listen(tab.shelf.select, handlers.pick, inputs, tab.outputs, **playing)
    listen(tab.newest.click, handlers.show_newest, inputs, tab.outputs, **playing)
    listen(
        changes([tab.seed, tab.damage]), handlers.show_another_life, inputs, tab.outputs,
        trigger_mode="always_last", **playing,
    )  # fmt: skip
    listen(
        tab.step.change, handlers.show_step, [visitor, tab.life, tab.step], tab.stage,
        trigger_mode="always_last", concurrency_limit=4,
    )  # fmt: skip
    listen(
        tab.stage.cell, handlers.follow_cell, [visitor, tab.life, tab.step],
        [tab.life, tab.stage, tab.traces], concurrency_limit=4,
    )  # fmt: skip
    listen(tab.traces.seek, handlers.seek, None, tab.step)
    listen(
        tab.score.click, handlers.score, [visitor, tab.life], [tab.curves, tab.score],
        trigger_mode="once", concurrency_limit=1, show_progress="full",
        show_progress_on=tab.curves,
    )  # fmt: skip
    listen(
        tab.draw_map.click, handlers.draw_map, [visitor, tab.life], [tab.map, tab.draw_map],
        trigger_mode="once", concurrency_limit=1, show_progress="full", show_progress_on=tab.map,
    )  # fmt: skip
    return lambda: None


def lay_out() -> InspectTab:
    """Create the components; call it within the page's Blocks."""
    life = gr.State(None, time_to_live=3600)
    story.build()
    with (
        gr.Accordion(
            "For experts: any automaton, step by step", open=False, elem_id="inspect-fold"
        ) as fold,
        gr.Column(elem_id="inspect-tab"),
    ):
        shelf_row = shelf.build("inspect-shelf")
        with gr.Row(elem_id="inspect-about"):
            about = gr.HTML("")
            newest = gr.Button("Show its newest weights", size="md", visible=False)
        with gr.Row(elem_id="inspect-life"):
            step = gr.Slider(
                0, LENGTH, 60, step=1, precision=0, label="Step", buttons=[], scale=4,
                min_width=280, elem_id="inspect-step",
            )  # fmt: skip
            damage = gr.Dropdown(
                list(DAMAGE.items()), value="", label=f"Damaged at step {LENGTH // 2}", scale=2,
                min_width=150, filterable=False, elem_id="inspect-damage",
            )  # fmt: skip
            seed = gr.Number(
                1, label="Seed", precision=0, minimum=0, maximum=2**32 - 1, scale=1,
                min_width=130, elem_id="inspect-seed",
            )  # fmt: skip
        stage = life_views.stage_box("inspect-stage")
        traces = life_views.charts_box("inspect-traces")
        strips = gr.HTML("", elem_id="inspect-strips")
        curves = gr.HTML("", elem_id="inspect-curves")
        score = gr.Button("Score it now", visible=False, elem_id="inspect-score")
        map_box = gr.HTML("", elem_id="inspect-map")
        draw_map = gr.Button("Show where it heals", visible=False, elem_id="inspect-draw-map")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                perceived = gr.HTML("", elem_id="inspect-perceived")
                ranges = gr.HTML("", elem_id="inspect-ranges")
            with gr.Column(min_width=320):
                weights = gr.HTML("", elem_id="inspect-weights")
    return InspectTab(
        fold, shelf_row, about, newest, step, damage, seed, stage, traces, strips, curves, score,
        map_box, draw_map, perceived, ranges, weights, life,
    )  # fmt: skip


class Handlers:
    """The tab's event handlers; methods return updates by component."""

    def __init__(self, context: PageContext, tab: InspectTab) -> None:
        self.catalog, self.tab, self.lives = context.catalog, tab, LifeCache()

    def open(
        self, stored: Any, shown: ShownLife | None, step: int, seed: int, damage: str, chosen: str
    ) -> Updates:
        """The fold was opened: show its last checkpoint, else the Grow tab's, else any."""
        entries = self.catalog.entries(key_of(stored))
        names = {str(entry.ref) for entry in entries}
        first = self.catalog.default(entries)
        wanted = (shown and shown.name, chosen, first and str(first.ref))
        name = next((name for name in wanted if name in names), "") or ""
        known = {self.tab.shelf: shelf.shelf_html(entries, name)}
        if not name:
            return known
        if shown and name == shown.name and self._modified(stored, name) == shown.modified:
            return known | self._trains(stored, shown)  # it may have been stopped or resumed
        return self._choose(stored, name, step, seed, damage, shown)

    def reopen(
        self, stored: Any, shown: ShownLife | None, step: int, seed: int, damage: str
    ) -> Updates:
        """The tab was opened again: newest weights and shelf, if the fold was ever opened."""
        if shown is None:
            return gr.skip()
        return self.open(stored, shown, step, seed, damage, "")

    def pick(
        self,
        stored: Any,
        shown: ShownLife | None,
        step: int,
        seed: int,
        damage: str,
        event: gr.EventData,
    ) -> Updates:
        """A checkpoint of the shelf was clicked."""
        return self._choose(stored, str(event.name), step, seed, damage, shown)

    def show_newest(
        self, stored: Any, shown: ShownLife | None, step: int, seed: int, damage: str
    ) -> Updates:
        """Show the same checkpoint with its newest weights."""
        return self._choose(stored, _shown(shown).name, step, seed, damage, shown)

    def show_another_life(
        self, stored: Any, shown: ShownLife | None, step: int, seed: int, damage: str
    ) -> Updates:
        """Show another life of the same automaton, with its newest weights."""
        if shown is None:  # the form was changed before a checkpoint was chosen
            return gr.skip()
        another = self._life_of(stored, shown.name, seed, damage, shown.cells)
        if another.modified != shown.modified:  # its weights are newer than those that are shown
            return self._choose(stored, shown.name, step, seed, damage, shown)
        return self._show(stored, another, step)

    def show_step(self, stored: Any, shown: ShownLife | None, step: int) -> Any:
        """Show another step of the same life."""
        if shown is None:
            return gr.skip()
        return life_views.stage(self._live(stored, shown), step, shown.cells)

    def seek(self, event: gr.EventData) -> int:
        """A step was clicked in a chart: move the slider there, which also changes the picture."""
        return _whole(event.step, LENGTH, "a step")

    def follow_cell(
        self, stored: Any, shown: ShownLife | None, step: int, event: gr.EventData
    ) -> Updates:
        """A cell was clicked: add its traces, or remove them if they are shown already."""
        shown = _shown(shown)
        life = self._live(stored, shown)
        height, width = life.size
        cell = _whole(event.row, height - 1, "a row"), _whole(event.column, width - 1, "a column")
        cells = tuple(other for other in shown.cells if other != cell)
        if cell not in shown.cells:
            cells = (*cells, cell)[-life_views.MOST_CELLS :]
        return {
            self.tab.life: replace(shown, cells=cells),
            self.tab.stage: life_views.stage(life, step, cells),
            self.tab.traces: life_views.traces(life, step, cells),
        }

    def score(
        self, stored: Any, shown: ShownLife | None, progress: gr.Progress = gr.Progress()
    ) -> Updates:
        """Run the short battery now."""
        loaded = self.catalog.load(key_of(stored), _shown(shown).name)
        target = loaded.target_of(1)
        if target is None:
            raise BadInput("This automaton came without its picture, so it cannot be scored.")
        in_time, done = _deadline(), 0

        def report(steps: int) -> None:
            nonlocal done
            done += steps
            progress(done / PLAN.work, desc="Growing and damaging it")
            in_time()

        scores = evaluate(loaded.nca, target, 0, PLAN, report)
        return {
            self.tab.curves: model_views.curves(scores),
            self.tab.score: gr.update(visible=False),
        }

    def draw_map(
        self, stored: Any, shown: ShownLife | None, progress: gr.Progress = gr.Progress()
    ) -> Updates:
        """Cut holes all over the grown body and see which heal."""
        loaded, in_time = self.catalog.load(key_of(stored), _shown(shown).name), _deadline()
        size = loaded.size

        def report(done: int, total: int) -> None:
            progress(done / total, desc="Cutting holes")
            in_time()

        found = healing_map(loaded.nca, size, progress=report)
        return {
            self.tab.map: model_views.healing_map(found),
            self.tab.draw_map: gr.update(visible=False),
        }

    # ------------------------------------------------------------------ helpers

    def _choose(
        self, stored: Any, name: str, step: int, seed: int, damage: str, before: ShownLife | None
    ) -> Updates:
        """Show everything about a checkpoint, and a life of it."""
        loaded = self.catalog.load(key_of(stored), name)
        height, width = loaded.size
        clicked = before.cells if before and before.name == name else ()
        cells = tuple(cell for cell in clicked if cell[0] < height and cell[1] < width)
        shown = self._life_of(stored, name, seed, damage, cells)
        updates = self._show(stored, shown, step)
        scores, target = recorded(loaded.metrics), loaded.target_of(1)
        if target is None:
            target = self._live(stored, shown).state(LENGTH // 2 - 1)[..., :4]
        has_target = loaded.target is not None
        return {
            **updates,
            self.tab.shelf: shelf.shelf_html(self.catalog.entries(key_of(stored)), name),
            self.tab.perceived: model_views.perceived(loaded.nca, target),
            self.tab.weights: model_views.weights(loaded.nca),
            self.tab.curves: (
                model_views.curves(scores) if scores else model_views.unscored(has_target)
            ),
            self.tab.score: gr.update(visible=scores is None and has_target),
            self.tab.map: "",
            self.tab.draw_map: gr.update(visible=True),
        }

    def _life_of(
        self, stored: Any, name: str, seed: int, damage: str, cells: tuple[Cell, ...]
    ) -> ShownLife:
        """The life to show, with the checkpoint's newest weights."""
        modified = self._modified(stored, name)
        return ShownLife(name, modified, _whole(seed, 2**32 - 1, "a seed"), damage, cells)

    def _show(self, stored: Any, shown: ShownLife, step: int) -> Updates:
        """All views of a life."""
        life = self._live(stored, shown)
        return {
            self.tab.life: shown,
            **self._trains(stored, shown),
            self.tab.stage: life_views.stage(life, step, shown.cells),
            self.tab.traces: life_views.traces(life, step, shown.cells),
            self.tab.strips: life_views.strips(life),
            self.tab.ranges: life_views.ranges(life.ranges),
        }

    def _trains(self, stored: Any, shown: ShownLife) -> Updates:
        """The note on an automaton, and the button for newer weights while it trains."""
        view = self.catalog.job(key_of(stored), shown.name)
        return {
            self.tab.about: _about(view, life_views.wild(self._live(stored, shown).ranges)),
            self.tab.newest: gr.update(visible=bool(view and view.active)),
        }

    def _modified(self, stored: Any, name: str) -> int:
        """When a checkpoint's weights were written, in nanoseconds."""
        try:
            return (self.catalog.folder(key_of(stored), name) / WEIGHTS).stat().st_mtime_ns
        except OSError:
            raise BadInput("This training has no weights yet; try again in a moment.") from None

    def _live(self, stored: Any, shown: ShownLife) -> Life:
        """The life that the page shows, computed again when it is no longer in the cache."""
        key = key_of(stored)
        # The cache is shared: check that this visitor may open the checkpoint.
        self.catalog.folder(key, shown.name)

        def make() -> Life:
            loaded = self.catalog.load(key, shown.name)
            height, width = loaded.size
            weights = sum(p.numel() for p in loaded.nca.parameters())
            if height * width * weights * LENGTH > MOST_WORK:
                raise BadInput("This automaton is too large to be looked at here; grow it instead.")
            return live(loaded.nca, loaded.size, LENGTH, shown.seed, shown.damage or None)

        return self.lives.get((shown.name, shown.modified, shown.seed, shown.damage), make)


def _shown(shown: ShownLife | None) -> ShownLife:
    if shown is None:
        raise BadInput("Please choose an automaton first.")
    return shown


def _about(view: JobView | None, wild: str) -> str:
    """A note on this automaton: that it still trains, or that its values are too large."""
    words = note(wild, "refusal")
    if view and view.active:
        words += note(f"{view.title} still trains, at iteration {count(view.iteration)}.")
    return words


def _whole(value: Any, most: int, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise BadInput(f"Please choose {what} from 0 to {most}.")
    return value


def _deadline() -> Callable[[], None]:
    """Called from time to time, it raises BadInput once a visitor has waited for too long."""
    until = time.monotonic() + SCORING

    def in_time() -> None:
        if time.monotonic() > until:
            raise BadInput(
                "This automaton is too large to be scored here; download its checkpoint and "
                "run python -m nca evaluate on it."
            )

    return in_time

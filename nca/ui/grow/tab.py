"""The Grow tab: run a checkpoint in the visitor's browser, damage it, download what it did.

The automaton runs in the page. The server sends its weights, and newer ones while it still trains.
The server also makes the films: the page sends a recording of what was just shown, and the server
computes those states again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from nca.catalog import CheckpointRef, Kind
from nca.checkpoint import WEIGHTS, read_info, save_checkpoint, zip_checkpoint
from nca.config import BadInput
from nca.jobs import JobView
from nca.jobs.check_up import ALIKE, check_up_of
from nca.jobs.sharpening import picture_to_fit
from nca.jobs.spec import read_json
from nca.player import NCAPlayer, export_html, player_model, player_pair
from nca.ui import shelf
from nca.ui.components import VisitorDropdown
from nca.ui.context import Opener, PageContext, Updates, Values
from nca.ui.downloads import SAVE_FILE, cached, file_name
from nca.ui.events import PLAYING, listen, newest
from nca.ui.first_screen import served
from nca.ui.grow import films
from nca.ui.markup import count, note
from nca.ui.visitor import key_of
from nca.zoo import check_together

ID, TITLE = "grow", "Grow"
EVERY = 3  # seconds between polls of a training whose weights are updated in the player
HOW = (
    "Drag across it to damage it and watch it heal. A double click or tap plants a second seed. "
    "The slider under Play goes back in time."
)
NOTHING = ("none", "")
MOST_CHILDREN = 20_000  # characters: there are 255 kinds at most
# What played before the page was loaded again, see first_screen.js.
KEPT = "(visitor, chosen, weights) => [visitor, window.ncaFirst?.kept ?? chosen, weights]"
STOP_TIMER = "() => ({__type__: 'update', active: false})"  # without asking the server

_READ_ONLY = (
    "Only your own trainings can be drawn fine here. Train this one further: it becomes yours, "
    "and is drawn fine at the end."
)


@dataclass(frozen=True)
class ShownWeights:
    """Which weights the page shows; kept in the session to detect newer ones.

    Attributes:
        name: of the checkpoint.
        modified: when its weights were written, in nanoseconds.
    """

    name: str
    modified: int


@dataclass(frozen=True)
class GrowTab:
    """The components.

    Attributes:
        chosen: the name of the checkpoint in the player.
        shelf: the checkpoints to choose from.
        about: a sentence about the training whose weights are shown.
        player: the automaton.
        beside: another checkpoint on the same grid; empty for none.
        paired: the one that is there already.
        film: the form of a film.
        page: the button that downloads the player.
        checkpoint: the button that downloads the checkpoint.
        further: the button that trains the checkpoint further.
        fine: the button that fits a decoder; shown where there is none.
        file: the download.
        children: the crossed kinds that the visitor keeps, as JSON text; filled in by the page.
        weights: which weights the page shows, `ShownWeights`.
        timer: polls for newer weights.
    """

    chosen: gr.Textbox
    shelf: gr.HTML
    about: gr.HTML
    player: NCAPlayer
    beside: VisitorDropdown
    paired: gr.Textbox
    film: films.FilmForm
    page: gr.Button
    checkpoint: gr.Button
    further: gr.Button
    fine: gr.Button
    file: gr.DownloadButton
    children: gr.Textbox
    weights: gr.State
    timer: gr.Timer

    @property
    def outputs(self) -> list[Any]:
        """The components that change with the checkpoint."""
        return [self.chosen, self.shelf, *self.weight_outputs]

    @property
    def weight_outputs(self) -> list[Any]:
        """The components that change with the weights."""
        return [
            self.player, self.weights, self.timer, self.about, self.fine, self.beside, self.paired,
        ]  # fmt: skip


def build(context: PageContext) -> Callable[[], None]:
    """Lay out the tab and attach its handlers."""
    tab, visitor = lay_out(context), context.visitor
    handlers = Handlers(context, tab)
    listen(
        context.items[ID].select, handlers.open, [visitor, tab.chosen, tab.weights], tab.outputs,
        **PLAYING,
    )  # fmt: skip
    listen(
        context.loaded.then, handlers.welcome, [visitor, tab.chosen, tab.weights], tab.outputs,
        js=KEPT, **PLAYING,
    )  # fmt: skip
    listen(
        tab.shelf.select, newest(handlers.pick), visitor, tab.outputs, trigger_mode="multiple",
        **PLAYING,
    )  # fmt: skip
    listen(
        tab.beside.input, handlers.together, [visitor, tab.chosen, tab.beside, tab.paired],
        tab.outputs,
        **PLAYING,
    )  # fmt: skip
    listen(
        tab.timer.tick, handlers.follow, [visitor, tab.chosen, tab.weights], tab.weight_outputs,
        quiet=True, trigger_mode="once", concurrency_limit=4,
    )  # fmt: skip
    listen(
        tab.fine.click, handlers.sharpen, [visitor, tab.chosen],
        [tab.fine, tab.about, tab.timer], trigger_mode="once",
    )  # fmt: skip
    films.attach(tab.film, context, tab.player, tab.chosen, handlers.film_file)
    once: dict[str, Any] = {"trigger_mode": "once", "show_progress": "minimal"} | PLAYING
    children = tab.player.children_js()
    with_children = f"(visitor, chosen, beside) => [visitor, chosen, beside, {children}]"
    downloads = [
        listen(
            tab.page.click, handlers.player, [visitor, tab.chosen, tab.beside, tab.children],
            tab.file, show_progress_on=tab.page, js=with_children, **once,
        ),
        listen(
            tab.checkpoint.click, handlers.package, [visitor, tab.chosen], tab.file,
            show_progress_on=tab.checkpoint, **once,
        ),
    ]  # fmt: skip
    for download in downloads:
        download.success(None, tab.file, None, js=SAVE_FILE % "file", api_visibility="private")
    context.openers[ID] = Opener(
        lambda values, name: handlers.choose(values[visitor], name), [], tab.outputs, PLAYING
    )

    def connect() -> None:
        context.open_on("train", tab.further.click, handlers.current, [tab.chosen])
        for id, item in context.items.items():
            if id != ID:
                item.select(None, None, tab.timer, js=STOP_TIMER, api_visibility="private")

    return connect


def lay_out(context: PageContext) -> GrowTab:
    """Create the components; call it within the page's Blocks."""
    weights = gr.State(None, time_to_live=3600)
    timer = gr.Timer(EVERY, active=False)
    with gr.Column(elem_id="grow-tab"):
        shelf_row = shelf.build("shelf")
        gr.HTML(note(HOW), elem_classes="beyond")
        about = gr.HTML("", elem_id="watching", elem_classes="beyond")
        player = NCAPlayer(adopt=served.ADOPT, kit=served.KIT)
        with gr.Row(elem_id="take-away", elem_classes="beyond"):
            save = films.button()
            page = gr.Button("Player (HTML)", size="md", min_width=60, elem_id="download-player")
            checkpoint = gr.Button("Checkpoint", size="md", min_width=60, elem_id="download-zip")
            further = gr.Button(
                "Train it further", size="md", min_width=60, elem_id="train-further"
            )
            fine = gr.Button(
                "Draw it fine", size="md", min_width=60, visible=False, elem_id="draw-fine"
            )
        with gr.Column(elem_classes="beyond"):
            beside = VisitorDropdown(
                [NOTHING], value="", label="Another automaton on the same grid", visible=False,
                info="A kind for each: plant both, or paint the genes of one into the other.",
                filterable=False, elem_id="beside",
            )  # fmt: skip
            film = films.lay_out(save)
    file = gr.DownloadButton(visible="hidden", elem_id="file")
    return GrowTab(
        context.chosen, shelf_row, about, player, beside, gr.Textbox("", visible=False), film,
        page, checkpoint, further, fine, file, gr.Textbox("", visible=False), weights, timer,
    )  # fmt: skip


class Handlers:
    """The tab's event handlers; methods return updates by component."""

    def __init__(self, context: PageContext, tab: GrowTab) -> None:
        self.catalog, self.limits, self.tab = context.catalog, context.settings.limits, tab
        self.queue = context.queue

    # ------------------------------------------------------------------ choosing

    def open(self, stored: Any, chosen: str, weights: ShownWeights | None) -> Updates:
        """The tab was opened: update the shelf and, the first time, start an automaton.

        Gradio opens the first tab while the page loads, before `welcome`.
        """
        if not key_of(stored):
            return gr.skip()
        # "Grow it" sets the session's value first; but a page can outlive its session.
        name = weights.name if weights else chosen
        entries = self.catalog.entries(key_of(stored))
        first = None if name else self.catalog.default(entries)
        if first:
            return self.choose(stored, str(first.ref))
        view = self.catalog.job(key_of(stored), name)
        return {
            self.tab.shelf: shelf.shelf_html(entries, name),
            self.tab.timer: gr.update(active=bool(view and view.active)),
            self.tab.about: _about(name, view),
        }

    def welcome(
        self, stored: Any, chosen: str, weights: ShownWeights | None, request: gr.Request
    ) -> Updates:
        """The page was opened: as `open`, but leave the player to a checkpoint named in the URL.

        Where the page was loaded again, `chosen` is what played, and goes on.
        """
        if "checkpoint" in request.query_params:
            return {self.tab.shelf: shelf.shelf_html(self.catalog.entries(key_of(stored)), chosen)}
        if chosen and key_of(stored) and chosen != (weights.name if weights else ""):
            with suppress(BadInput):  # it may have been deleted meanwhile
                return self.choose(stored, chosen)
            chosen = ""
        return self.open(stored, chosen, weights)

    def pick(self, stored: Any, event: gr.EventData) -> Updates:
        """A checkpoint of the shelf was clicked."""
        return self.choose(stored, str(event.name))

    def choose(self, stored: Any, name: str) -> Updates:
        """Load a checkpoint into the player, where it starts to grow."""
        model, weights, view = self._model(stored, name)
        return {
            self.tab.chosen: name,
            self.tab.shelf: shelf.shelf_html(self.catalog.entries(key_of(stored)), name),
            self.tab.player: NCAPlayer.show(model),
            self.tab.beside: self._others(stored, name),
            self.tab.paired: "",
            self.tab.weights: weights,
            self.tab.timer: gr.update(active=bool(view and view.active)),
            self.tab.about: _about(name, view),
            self.tab.fine: _offer(name, model, view),
        }

    def together(self, stored: Any, chosen: str, other: str | None, paired: str) -> Updates:
        """Put another checkpoint on the same grid, or take it away again.

        Raises:
            BadInput: its settings are others.
        """
        if (other or "") == paired:  # Gradio also calls when the dropdown is left unchanged
            return gr.skip()
        if not other:
            return self.choose(stored, chosen)
        key = key_of(stored)
        pair = player_pair(self.catalog.load(key, chosen), self.catalog.load(key, other))
        # A training that goes on would replace its half of the weights only.
        stopped = gr.update(active=False)
        return {
            self.tab.player: NCAPlayer.show(pair),
            self.tab.timer: stopped,
            self.tab.paired: other,
        }

    def _others(self, stored: Any, name: str) -> Any:
        """An update of the choice of another automaton: those that `together` takes."""
        key = key_of(stored)
        choices: list[tuple[str, str]] = [NOTHING]
        own = read_info(self.catalog.folder(key, name)).nca
        entries = self.catalog.entries(key)
        for entry in (entry for entry in entries if str(entry.ref) != name):
            with suppress(BadInput):
                check_together(own, read_info(entry.folder).nca)
                choices.append((entry.title, str(entry.ref)))
        return gr.update(choices=choices, value="", visible=len(choices) > 1)

    def follow(self, stored: Any, chosen: str, weights: ShownWeights | None) -> Updates:
        """Send a training's newest weights to the running player."""
        view = self.catalog.job(key_of(stored), chosen)
        active = view is not None and view.active
        updates = {
            self.tab.timer: gr.update(active=active),
            self.tab.about: _about(chosen, view),
        }
        if view is None or weights == _weights(chosen, view.folder):
            only_shown = active and view is not None and view.iteration < view.iterations
            return gr.skip() if only_shown else updates
        model, weights, _ = self._model(stored, chosen)
        return {
            self.tab.player: NCAPlayer.refresh(model),
            self.tab.weights: weights,
            self.tab.fine: _offer(chosen, model, view),
            **updates,
        }

    def sharpen(self, stored: Any, chosen: str) -> Updates:
        """Fit a decoder to one of the visitor's own trainings, in the queue.

        Raises:
            BadInput: it is not one, has not finished, or a decoder cannot be fitted to it.
        """
        key, ref = key_of(stored), CheckpointRef.parse(chosen)
        if ref.is_snapshot:
            raise BadInput("An earlier version is not drawn fine; please choose the training.")
        if ref.kind is not Kind.JOB:
            raise BadInput(_READ_ONLY)
        loaded = self.catalog.load(key, ref)
        picture_to_fit(loaded)
        self.queue.sharpen(key, ref.id)
        view = self.queue.view(key, ref.id)
        return {
            self.tab.fine: gr.update(visible=False),
            self.tab.about: _about(chosen, view),
            self.tab.timer: gr.update(active=True),
        }

    def current(self, values: Values) -> str:
        """The name of the checkpoint in the player; BadInput when there is none."""
        return str(CheckpointRef.parse(values[self.tab.chosen]))

    # ------------------------------------------------------------------ downloads

    def film_file(self, stored: Any, chosen: str, what: str, data: bytes) -> tuple[str, str]:
        """Write a film, named after the title and what it shows; returns its path and name."""
        path = self._file(stored, chosen, data, what, "-")
        return path, Path(path).name

    def player(
        self, stored: Any, chosen: str, beside: str | None = None, children: str = ""
    ) -> str:
        """The automata with their player, and the kinds crossed in it, as one HTML file."""
        key = key_of(stored)
        loaded = self.catalog.load(key, chosen)
        try:
            kept = json.loads(str(children or "[]")[:MOST_CHILDREN])
        except (ValueError, RecursionError):
            kept = [()]  # which `export_html` refuses
        other = self.catalog.load(key, beside) if beside else None
        home = self.catalog.hub.home
        data = export_html(loaded, home=home, children=kept, beside=other).encode()
        return self._file(stored, chosen, data, "html")

    def package(self, stored: Any, chosen: str) -> str:
        """The checkpoint folder as a zip."""
        loaded = self.catalog.load(key_of(stored), chosen)
        if not CheckpointRef.parse(chosen).is_snapshot:
            return self._file(stored, chosen, zip_checkpoint(loaded.folder), "zip")
        with tempfile.TemporaryDirectory() as folder:  # a snapshot is a weights file only
            save_checkpoint(folder, loaded.nca, loaded.info, loaded.target, preview=False)
            return self._file(stored, chosen, zip_checkpoint(folder), "zip")

    # ------------------------------------------------------------------ helpers

    def _model(self, stored: Any, name: str) -> tuple[dict[str, Any], ShownWeights, JobView | None]:
        """The player's model, which weights it has, and the job if the checkpoint is a training."""
        key = key_of(stored)
        view, folder = self.catalog.job(key, name), self.catalog.folder(key, name)
        # Before reading, so that weights written meanwhile are sent at the next poll.
        weights = _weights(name, folder)
        model = player_model(
            self.catalog.load(key, name),
            title=view.title if view else None,
            series=view.id if view else None,
        )
        return model | {"checkpoint": name}, weights, view

    def _file(
        self, stored: Any, chosen: str, data: bytes, suffix: str, joined_by: str = "."
    ) -> str:
        """Write a download, named after the checkpoint's title; returns its path."""
        titles = {entry.ref: entry.title for entry in self.catalog.entries(key_of(stored))}
        title = titles.get(CheckpointRef.parse(chosen).newest, "") if chosen else ""
        return cached(self.tab.file, f"{file_name(title)}{joined_by}{suffix}", data)


def _weights(name: str, folder: Path) -> ShownWeights:
    try:
        return ShownWeights(name, (folder / WEIGHTS).stat().st_mtime_ns)
    except OSError:
        return ShownWeights(name, 0)


def _offer(name: str, model: dict[str, Any], view: JobView | None) -> Any:
    """An update of the button that fits a decoder, to a training of one's own that has ended."""
    if view is None or view.active or CheckpointRef.parse(name).is_snapshot:
        return gr.update(visible=False)
    checked = check_up_of(read_json(view.folder / "metrics.json") or {})
    alike = checked is None or checked.grown <= ALIKE
    return gr.update(visible=alike and model["decoder"] is None)


def _about(name: str, view: JobView | None) -> str:
    """A sentence about the training or the snapshot that is shown."""
    if name and (then := shelf.snapshot_words(CheckpointRef.parse(name))):
        return note(f"As it was {then}.")
    if view is None or not view.active:
        return ""
    if view.sharpening is not None:
        return note(f"{view.title} learns to be drawn fine: {view.sharpening:.0%}.")
    if view.iteration == view.iterations:
        where = "waits in the queue for it" if view.state == "queued" else "is being prepared"
        return note(f"{view.title} will be drawn fine; it {where}.")
    return note(
        f"{view.title} still trains, at iteration {count(view.iteration)}. "
        "Its newest weights flow into what you see."
    )

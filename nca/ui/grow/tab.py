"""The Grow tab: a checkpoint lives in the visitor's browser, is wounded, heals, and is downloaded.

The automaton runs in the page. The server sends its weights, newer ones while it still trains, and
makes films: the page sends a recording of what was just seen, which is computed again here.
"""

from __future__ import annotations

import re
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import emoji
import gradio as gr

from nca.catalog import Catalog, CatalogEntry, CheckpointRef
from nca.checkpoint import WEIGHTS, save_checkpoint, zip_checkpoint
from nca.jobs import JobView
from nca.player import NCAPlayer, export_html, player_model, replay
from nca.render import animation_bytes
from nca.settings import Settings
from nca.ui import shelf
from nca.ui.events import PLAYING, listen
from nca.ui.markup import count, note
from nca.ui.visitor import key_of

FORMATS = {"GIF": "gif", "WebP": "webp", "APNG": "apng", "MP4": "mp4"}
SUFFIXES = {"apng": "png"}
SIDE = 432  # of a downloaded film, in pixels; roughly, because every cell becomes a square
EVERY = 3  # seconds between looks at a training whose weights flow into the canvas
REST = "() => ({__type__: 'update', active: false})"  # stops the timer, without asking the server


@dataclass(frozen=True)
class GrowTab:
    """What the page needs of this tab.

    Attributes:
        chosen: the name of the checkpoint in the player.
        seen: which weights the page has, in the session.
        timer: looks for newer ones.
        further: the button that trains it further.
        outputs: of `Handlers.choose`, for whoever opens the tab.
    """

    handlers: Handlers
    chosen: gr.Textbox
    seen: gr.State
    timer: gr.Timer
    further: gr.Button
    outputs: list[Any]


def build(settings: Settings, catalog: Catalog, visitor: gr.BrowserState) -> GrowTab:
    """Lay out the tab and attach its handlers."""
    chosen = gr.Textbox("", visible=False)
    recording = gr.Textbox("", visible=False, elem_id="recording")
    seen = gr.State(None, time_to_live=3600)
    timer = gr.Timer(EVERY, active=False)
    with gr.Column(elem_id="grow-tab"):
        choices = shelf.build("shelf")
        told = gr.HTML("", elem_id="watching")
        player = NCAPlayer()
        with gr.Row(elem_id="take-away"):
            films = [
                gr.Button(label, size="md", min_width=60, elem_id=f"download-{kind}")
                for label, kind in FORMATS.items()
            ]
            page = gr.Button("Player (HTML)", size="md", min_width=60, elem_id="download-player")
            zipped = gr.Button("Checkpoint", size="md", min_width=60, elem_id="download-zip")
        further = gr.Button("Train it further", elem_id="train-further")
        gr.HTML(
            '<p class="note">A film shows what you just saw, wounds and all: the last '
            f"{settings.limits.export_frames} steps. The player is a page of its own and works "
            "without a network.</p>"
        )
    file = gr.DownloadButton(visible="hidden", elem_id="file")

    handlers = Handlers(settings, catalog, keeper(file))
    shown = [chosen, choices, player, seen, timer, told]
    listen(choices.select, handlers.pick, visitor, shown, **PLAYING)
    listen(
        timer.tick, handlers.follow, [visitor, chosen, seen], shown[2:], quiet=True,
        trigger_mode="once", concurrency_limit=4,
    )  # fmt: skip
    seen_now = f"(visitor, chosen) => [visitor, chosen, ({player.recording_js()})()]"
    making: dict[str, Any] = {"trigger_mode": "once", "show_progress": "minimal"} | PLAYING
    films_made = [
        listen(
            button.click, handlers.export(kind), [visitor, chosen, recording], file,
            js=seen_now, show_progress_on=button, **making,
        )
        for button, kind in zip(films, FORMATS.values(), strict=True)
    ]  # fmt: skip
    folders_made = [
        listen(
            button.click, handler, [visitor, chosen], file, show_progress_on=button, **making
        )
        for button, handler in ((page, handlers.player), (zipped, handlers.package))
    ]  # fmt: skip
    save = "() => setTimeout(() => document.querySelector('#file').click(), 100)"
    for made in films_made + folders_made:
        made.success(None, file, None, js=save, api_visibility="private")
    return GrowTab(handlers, chosen, seen, timer, further, shown)


class Handlers:
    """What happens when something is pressed; each method returns what its outputs show."""

    def __init__(
        self, settings: Settings, catalog: Catalog, keep: Callable[[str, bytes], str]
    ) -> None:
        self.settings, self.catalog, self.keep = settings, catalog, keep

    # ------------------------------------------------------------------ choosing

    def open(self, stored: Any, chosen: str, seen: dict[str, Any] | None) -> Any:
        """When the tab is opened: the shelf as it is now and, the first time, something growing."""
        # The session knows first what "Grow it" chose; the page may outlive the session.
        name = (seen or {}).get("name") or chosen
        items = self._items(stored)
        first = None if name else Catalog.default(items)
        if first:
            return self.choose(stored, str(first.ref))
        view = self._job(stored, name)
        row, timer = shelf.shelf_html(items, name), gr.update(active=bool(view and view.active))
        return [gr.skip(), row, gr.skip(), gr.skip(), timer, _told(name, view)]

    def pick(self, stored: Any, event: gr.EventData) -> list[Any]:
        """A checkpoint of the shelf was clicked."""
        return self.choose(stored, str(event.name))

    def choose(self, stored: Any, name: str) -> list[Any]:
        """Put a checkpoint into the player, where it begins to grow."""
        model, seen, view = self._model(stored, name)
        timer = gr.update(active=bool(view and view.active))
        row = shelf.shelf_html(self._items(stored), name)
        return [name, row, NCAPlayer.show(model), seen, timer, _told(name, view)]

    def follow(self, stored: Any, chosen: str, seen: dict[str, Any] | None) -> Any:
        """The newest weights of a training, into the automaton that lives in the canvas."""
        view = self._job(stored, chosen)
        timer = gr.update(active=bool(view and view.active))
        if view is None or seen == _seen(chosen, view.folder):
            if view and view.active:
                return gr.skip()
            return [gr.skip(), gr.skip(), timer, _told(chosen, view)]
        model, seen, _ = self._model(stored, chosen)
        return [NCAPlayer.refresh(model), seen, timer, _told(chosen, view)]

    # ------------------------------------------------------------------ taking away

    def export(self, kind: str) -> Any:
        """The handler that makes a film of what was just seen."""

        def make(stored: Any, chosen: str, recording: str) -> str:
            limits = self.settings.limits
            frames = replay(recording or "null", limits=limits)
            scale = max(1, min(16, SIDE // max(frames.shape[1:3])))
            data = animation_bytes(frames, kind, fps=25, scale=scale, limits=limits)
            return self._file(stored, chosen, data, SUFFIXES.get(kind, kind))

        return make

    def player(self, stored: Any, chosen: str) -> str:
        """The automaton with its player as one HTML file."""
        data = export_html(self.catalog.load(key_of(stored), chosen)).encode()
        return self._file(stored, chosen, data, "html")

    def package(self, stored: Any, chosen: str) -> str:
        """The checkpoint folder as a zip."""
        loaded = self.catalog.load(key_of(stored), chosen)
        if not CheckpointRef.parse(chosen).is_snapshot:
            return self._file(stored, chosen, zip_checkpoint(loaded.folder), "zip")
        with tempfile.TemporaryDirectory() as folder:  # a snapshot is weights alone
            save_checkpoint(folder, loaded.nca, loaded.info, loaded.target, preview=False)
            return self._file(stored, chosen, zip_checkpoint(folder), "zip")

    # ------------------------------------------------------------------ within

    def _items(self, stored: Any) -> list[CatalogEntry]:
        return self.catalog.entries(key_of(stored))

    def _job(self, stored: Any, name: str) -> JobView | None:
        """The training that a name stands for; None for anything else, and when it is gone."""
        return self.catalog.job(key_of(stored), name)

    def _model(
        self, stored: Any, name: str
    ) -> tuple[dict[str, Any], dict[str, Any], JobView | None]:
        """What the player shows, what the session notes of it, and the training if it is one."""
        view, folder = self._job(stored, name), self.catalog.folder(key_of(stored), name)
        seen = _seen(name, folder)  # before reading: what is written meanwhile is sent next time
        loaded = self.catalog.load(key_of(stored), name)
        model = player_model(
            loaded, title=view.title if view else None, series=view.id if view else None
        )
        return model, seen, view

    def _file(self, stored: Any, chosen: str, data: bytes, suffix: str) -> str:
        titles = {entry.ref: entry.title for entry in self._items(stored)}
        title = titles.get(CheckpointRef.parse(chosen).newest, "")
        return self.keep(f"{file_name(title)}.{suffix}", data)


def _seen(name: str, folder: Path) -> dict[str, Any]:
    """Which weights: compared with what is there later."""
    try:
        stamp = (folder / WEIGHTS).stat().st_mtime_ns
    except OSError:
        stamp = 0
    return {"name": name, "stamp": stamp}


def _told(name: str, view: JobView | None) -> str:
    """A sentence about a training that is being watched, or looked back at."""
    if name and (then := shelf.snapshot_words(CheckpointRef.parse(name))):
        return note(f"As it was {then}.")
    if view is None or not view.active:
        return ""
    return note(
        f"{view.title} still trains, at iteration {count(view.iteration)}. "
        "Its newest weights flow into what you see."
    )


def keeper(file: gr.DownloadButton) -> Callable[[str, bytes], str]:
    """How a download reaches the visitor: in Gradio's cache for an hour, under a secret address."""

    def keep(name: str, data: bytes) -> str:
        path = Path(file.GRADIO_CACHE, secrets.token_hex(16), name)
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        return str(path)

    return keep


def file_name(title: str) -> str:
    """A title as a file name every system takes: emoji by their names."""
    plain = emoji.demojize(title, delimiters=(" ", " "))
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:60] or "automaton"

"""The Grow tab: a checkpoint grows from its seed, is wounded, heals, and is downloaded.

The automaton runs on the server and the page shows a film of it. What a handler keeps between two
events is one `Run`; a live player in the page can take over `stage` and hand in the same events.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import emoji
import gradio as gr

from nca.checkpoint import load_checkpoint, zip_checkpoint
from nca.config import BadInput
from nca.render import animation_bytes, to_rgba8
from nca.settings import Settings
from nca.ui import shelf
from nca.ui.listen import listen
from nca.ui.markup import count, picture
from nca.ui.pictures import film
from nca.ui.run import Run
from nca.ui.shelf import Shelf
from nca.ui.visitor import key_of

STEPS = 200
WOUNDS = {
    "Left half": "half-left", "Right half": "half-right", "Top half": "half-top",
    "Bottom half": "half-bottom", "Centre": "centre", "Random circle": "circle",
}  # fmt: skip
FORMATS = {"GIF": "gif", "WebP": "webp", "APNG": "apng", "MP4": "mp4"}
SUFFIXES = {"apng": "png"}
SIDE = 432  # of a downloaded film, in pixels; roughly, because every cell becomes a square
HEAVY: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "heavy"}


@dataclass(frozen=True)
class GrowTab:
    """What the page needs of this tab.

    Attributes:
        chosen: the name of the checkpoint on the stage.
        shelf: the row of checkpoints.
        outputs: of `Handlers.choose`, for whoever opens the tab.
    """

    handlers: Handlers
    chosen: gr.Textbox
    run: gr.State
    steps: gr.Slider
    seed: gr.Number
    outputs: list[Any]


def build(settings: Settings, row: Shelf, visitor: gr.BrowserState) -> GrowTab:
    """Lay out the tab and attach its handlers."""
    chosen = gr.Textbox("", visible=False)
    run = gr.State(None, time_to_live=3600)
    choices = shelf.build("shelf")
    with gr.Row(equal_height=False):
        with gr.Column(scale=6, min_width=320):
            stage = gr.HTML(
                EMPTY_STAGE, elem_id="stage", js_on_load=STAGE_SCRIPT, apply_default_css=False
            )
        with gr.Column(scale=5, min_width=320):
            with gr.Row():
                grow = gr.Button("Grow", variant="primary", min_width=120, elem_id="grow")
                again = gr.Button("Start again", min_width=120, elem_id="again")
            steps = gr.Slider(
                10, settings.limits.export_frames, STEPS, step=10, label="Steps", buttons=[],
                info="How far it grows with each press", elem_id="steps",
            )  # fmt: skip
            gr.HTML('<div class="steps"><h2>Wound it</h2></div>')
            gr.HTML(
                '<p class="note">Erase a part, or click a spot in the picture. '
                "Then let it grow on.</p>"
            )
            with gr.Row():
                wounds = [
                    gr.Button(label, size="sm", min_width=100, elem_id=f"wound-{shape}")
                    for label, shape in WOUNDS.items()
                ]
            radius = gr.Slider(
                0.05, 0.6, 0.2, step=0.05, label="Radius of spots and circles", buttons=[],
                info="As a share of half the picture", elem_id="radius",
            )  # fmt: skip
            gr.HTML('<div class="steps"><h2>Take it with you</h2></div>')
            with gr.Row():
                films = [
                    gr.Button(label, size="sm", min_width=70, elem_id=f"download-{kind}")
                    for label, kind in FORMATS.items()
                ]
                zipped = gr.Button("Checkpoint", size="sm", min_width=110, elem_id="download-zip")
            file = gr.DownloadButton(visible="hidden", elem_id="file")
            with gr.Accordion("Random seed", open=False):
                seed = gr.Number(
                    1, label="Seed", precision=0, minimum=0, maximum=2**32 - 1, elem_id="seed",
                    info="Decides which cells act when; it counts from the next Start again",
                )  # fmt: skip
    handlers = Handlers(settings, row, keeper(file))
    shown = [chosen, choices, stage, run, grow]
    here = [visitor, chosen, run]
    progress: dict[str, Any] = {"show_progress": "minimal", "show_progress_on": stage} | HEAVY

    listen(choices.select, handlers.pick, [visitor, steps, seed], shown, **progress)
    listen(grow.click, handlers.grow, [*here, steps, seed], shown[2:], **progress)
    listen(again.click, handlers.again, [*here, seed], shown[2:], **HEAVY)
    for button, shape in zip(wounds, WOUNDS.values(), strict=True):
        listen(button.click, handlers.wound(shape), [*here, radius, seed], shown[2:], **HEAVY)
    listen(stage.select, handlers.spot, [*here, radius, seed], shown[2:], **HEAVY)
    save = "() => setTimeout(() => document.querySelector('#file').click(), 100)"
    for button, kind in zip(films, FORMATS.values(), strict=True):
        done = listen(button.click, handlers.export(kind), here, file, **progress)
        done.success(None, file, None, js=save, api_visibility="private")
    done = listen(zipped.click, handlers.package, [visitor, chosen], file)
    done.success(None, file, None, js=save, api_visibility="private")
    return GrowTab(handlers, chosen, run, steps, seed, shown)


EMPTY_STAGE = '<div class="stage"><div class="empty">Choose an automaton above.</div></div>'
STAGE_SCRIPT = """
  element.addEventListener('click', (event) => {
    const image = event.target.closest('img');
    if (!image) return;
    const box = image.getBoundingClientRect();
    trigger('select', {
      x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height,
    });
  });"""


class Handlers:
    """What happens when something is pressed; each method returns what its outputs show."""

    def __init__(self, settings: Settings, row: Shelf, keep: Callable[[str, bytes], str]) -> None:
        self.settings, self.row, self.keep = settings, row, keep

    # ------------------------------------------------------------------ choosing

    def open(self, stored: Any, chosen: str, run: Run | None, steps: float, seed: float) -> Any:
        """When the tab is opened: the shelf as it is now and, the first time, something growing."""
        if run is not None:
            return [gr.skip(), self._shelf(stored, run.name), gr.skip(), gr.skip(), gr.skip()]
        name = chosen or shelf.default(self._items(stored))
        if not name:
            return [gr.skip(), self._shelf(stored, ""), gr.skip(), gr.skip(), gr.skip()]
        return self.choose(stored, name, steps, seed)

    def pick(self, stored: Any, steps: float, seed: float, event: gr.EventData) -> list[Any]:
        """A checkpoint of the shelf was clicked."""
        return self.choose(stored, str(event.name), steps, seed)

    def choose(self, stored: Any, name: str, steps: float, seed: float) -> list[Any]:
        """Put a checkpoint on the stage and let it grow."""
        run = self._begin(stored, name, seed)
        return [name, self._shelf(stored, name), *self._grown(run, steps)]

    # ------------------------------------------------------------------ living

    def grow(
        self, stored: Any, chosen: str, run: Run | None, steps: float, seed: float
    ) -> list[Any]:
        """Go on from where it is."""
        return self._grown(run or self._begin(stored, chosen, seed), steps)

    def again(self, stored: Any, chosen: str, run: Run | None, seed: float) -> list[Any]:
        """Back to the seed, with the newest weights."""
        run = self._begin(stored, chosen, seed)
        return [self._still(run), run, gr.update(value="Grow")]

    def wound(self, shape: str) -> Any:
        """The handler that erases a part."""

        def erase(stored: Any, chosen: str, run: Run | None, radius: float, seed: float) -> Any:
            run = run or self._begin(stored, chosen, seed)
            run.wound(shape, None, radius if shape == "circle" else None)
            return [self._still(run), run, gr.update(value="Grow on")]

        return erase

    def spot(
        self,
        stored: Any,
        chosen: str,
        run: Run | None,
        radius: float,
        seed: float,
        event: gr.EventData,
    ) -> list[Any]:
        """Erase where the picture was clicked."""
        try:
            x, y = float(event.x), float(event.y)
        except (TypeError, ValueError, AttributeError, KeyError):
            raise BadInput("Please click inside the picture.") from None
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise BadInput("Please click inside the picture.")
        run = run or self._begin(stored, chosen, seed)
        run.wound("circle", (2 * x - 1, 2 * y - 1), radius)
        return [self._still(run), run, gr.update(value="Grow on")]

    # ------------------------------------------------------------------ taking away

    def export(self, kind: str) -> Any:
        """The handler that makes a film of the last steps."""

        def make(stored: Any, chosen: str, run: Run | None) -> Any:
            if run is None or run.t == run.past_t:
                raise BadInput("There is nothing to download yet; let it grow first.")
            frames = run.replay()
            scale = max(1, min(16, SIDE // max(frames.shape[1:3])))
            data = animation_bytes(frames, kind, fps=25, scale=scale, limits=self.settings.limits)
            return self._file(stored, chosen, data, SUFFIXES.get(kind, kind))

        return make

    def package(self, stored: Any, chosen: str) -> Any:
        """The checkpoint folder as a zip."""
        folder = self._folder(stored, chosen)
        load_checkpoint(folder, self.settings.limits)
        return self._file(stored, chosen, zip_checkpoint(folder), "zip")

    # ------------------------------------------------------------------ within

    def _items(self, stored: Any) -> list[shelf.Item]:
        return self.row.items(key_of(stored))

    def _shelf(self, stored: Any, chosen: str) -> str:
        return shelf.show(self._items(stored), chosen)

    def _folder(self, stored: Any, name: str) -> Path:
        """The folder of a checkpoint that this visitor may use."""
        return self.row.folder(key_of(stored), name)

    def _begin(self, stored: Any, name: str, seed: float) -> Run:
        loaded = load_checkpoint(self._folder(stored, name), self.settings.limits)
        if seed is None or not 0 <= seed < 2**32:
            raise BadInput("Please choose a seed from 0 to 4294967295.")
        memory = self.settings.limits.export_frames - 1
        return Run(loaded.nca, int(seed), memory, loaded.nca.seed(1, loaded.size), name=name)

    def _grown(self, run: Run, steps: float) -> list[Any]:
        most = self.settings.limits.export_frames
        if steps is None or not 1 <= steps <= most:
            raise BadInput(f"Please choose 1 to {most} steps.")
        frames = run.grow(int(steps))
        # Half of the frames of a long stretch are enough to look at.
        shown = frames if len(frames) <= 150 else frames[len(frames) % 2 :: 2]
        return [self._stage(run, film(shown, hold=250)), run, gr.update(value="Grow on")]

    def _still(self, run: Run) -> str:
        return self._stage(run, film(to_rgba8(run.x)))

    def _stage(self, run: Run, data: bytes) -> str:
        words = f"The automaton at step {run.t}"
        return (
            f'<div class="stage">{picture(data, words)}<div class="counter">'
            f"<span>Step <b>{count(run.t)}</b></span>"
            f"<span>{100 * run.alive:.0f} % of the cells alive</span></div></div>"
        )

    def _file(self, stored: Any, chosen: str, data: bytes, suffix: str) -> str:
        titles = {item.name: item.title for item in self._items(stored)}
        return self.keep(f"{file_name(titles.get(chosen, ''))}.{suffix}", data)


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

"""Save a film: what of this life, how it looks, and where it goes.

The page sends a recording of the part that was asked for; the server computes those states again
and writes the file. The page then shows it, saves it, and on a phone offers the share sheet.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from nca.checkpoint import Checkpoint
from nca.config import BadInput, Limits, checked
from nca.film import STILL, FilmConfig, film_bytes, sample, scale_for
from nca.player import NCAPlayer, player_model, read_recording
from nca.player.replays import MAX_PIXELS, Recording, replay_states
from nca.render import to_rgba8
from nca.ui.components import script
from nca.ui.context import PageContext, Updates
from nca.ui.events import PLAYING, listen
from nca.ui.visitor import key_of
from nca.wording import size_text

FILMED_STEPS = 6000  # as in web/run.js
SAVE = "Save a film"
PARTS = {
    "loop": "Grow, damage, heal", "damage": "The last damage", "life": "The whole life",
    "last": "The last seconds",
}  # fmt: skip
_NAMES = {"loop": "grows-and-heals", "damage": "heals", "life": "whole-life", "last": "last"}
FORMATS = {
    "GIF": "gif", "WebP": "webp", "APNG": "apng", "MP4": "mp4", "WebM": "webm",
    "Picture (PNG)": "png", "Picture (SVG)": "svg",
}  # fmt: skip
_SUFFIXES = {"apng": "png"}
GROUNDS = {"Transparent": "transparent", "White": "#ffffff", "Black": "#000000", "Colour": "colour"}
_REPORT_EVERY = 40  # steps
_FINE_PIXELS = 30_000_000  # of all frames of a film that a decoder draws


@dataclass(frozen=True)
class FilmForm:
    """The components.

    Attributes:
        save: the button; shows the progress.
        part: which part of the life, a key of `PARTS`.
        seconds: of the part "last".
        format: of the file.
        side: pixels.
        ground: behind the cells, a value of `GROUNDS`.
        colour: the ground when `ground` is "colour".
        speed: 1 is 20 steps per second.
        cut_still: leave out rests.
        recording: filled in by the page.
        result: the film, with buttons to save and share it.
    """

    save: gr.Button
    part: gr.Radio
    seconds: gr.Slider
    format: gr.Radio
    side: gr.Radio
    ground: gr.Radio
    colour: gr.ColorPicker
    speed: gr.Slider
    cut_still: gr.Checkbox
    recording: gr.Textbox
    result: gr.HTML


def button() -> gr.Button:
    """The button that makes a film."""
    return gr.Button(SAVE, variant="primary", min_width=120, elem_id="save-film")


def lay_out(save: gr.Button) -> FilmForm:
    """Create the form of the button."""
    recording = gr.Textbox("", visible=False, elem_id="recording")
    with gr.Accordion("Film: part, format, size, ground", open=False, elem_id="film-form"):
        part = gr.Radio(
            [(label, name) for name, label in PARTS.items()], value="loop", label="What it shows",
            elem_id="film-part",
        )  # fmt: skip
        seconds = gr.Slider(
            2, 60, value=10, step=1, label="Seconds, at 20 steps a second", visible=False,
            elem_id="film-seconds",
        )  # fmt: skip
        kind = gr.Radio(list(FORMATS.items()), value="gif", label="Format", elem_id="film-format")
        with gr.Row():
            side = gr.Radio(
                [512, 720, 1080], value=512, label="Pixels, at most", min_width=240,
                elem_id="film-side",
            )  # fmt: skip
            ground = gr.Radio(
                list(GROUNDS.items()), value="transparent", label="Ground", min_width=240,
                info="MP4 has no transparency: white there.", elem_id="film-ground",
            )  # fmt: skip
            colour = gr.ColorPicker(
                "#d9eedd", label="Colour of the ground", visible=False, min_width=160,
                elem_id="film-colour",
            )  # fmt: skip
        with gr.Row():
            speed = gr.Slider(
                0.5, 10, value=3, step=0.5, label="Speed", min_width=240,
                info="1 is 20 steps a second. A long life plays faster, in 20 seconds.",
                elem_id="film-speed",
            )  # fmt: skip
            cut = gr.Checkbox(
                True, label="Leave out rests, where nothing moves", min_width=240,
                elem_id="film-cut",
            )  # fmt: skip
    result = gr.HTML(
        "", js_on_load=script("grow/film_result.js"), elem_id="film", apply_default_css=False
    )
    return FilmForm(save, part, seconds, kind, side, ground, colour, speed, cut, recording, result)


def attach(
    form: FilmForm,
    context: PageContext,
    player: NCAPlayer,
    chosen: gr.Textbox,
    write: Callable[[Any, str, str, bytes], tuple[str, str]],
) -> None:
    """Attach the handlers.

    Args:
        form: the components.
        context: of the page.
        player: whose life is filmed.
        chosen: the name of the checkpoint in it.
        write: from the visitor, the checkpoint's name, what the file shows with its suffix, and
            its bytes: the file's path and name.
    """
    shown_on = ((form.part, "last", form.seconds), (form.ground, "colour", form.colour))
    for field, on, shown in shown_on:
        field.change(
            None, field, shown, api_visibility="private",
            js=f"(value) => ({{__type__: 'update', visible: value === '{on}'}})",
        )  # fmt: skip
    maker = _Maker(form, context, write)
    inputs = [
        context.visitor, chosen, form.recording, form.part, form.seconds, form.format, form.side,
        form.ground, form.colour, form.speed, form.cut_still,
    ]  # fmt: skip
    # A picture is what is seen now, whatever a film would show.
    still = f"{json.dumps(STILL)}.includes"
    record = (
        f"(visitor, chosen, _, part, seconds, ...look) => {{ if ({still}(look[0])) part = 'life'; "
        f"return [visitor, chosen, ({player.film_js()})(part, seconds), part, seconds, ...look]; }}"
    )
    form.format.change(
        None, form.format, form.part, api_visibility="private",
        js=f"(format) => ({{__type__: 'update', visible: !{still}(format)}})",
    )  # fmt: skip
    listen(
        form.save.click, maker.make, inputs, [form.save, form.result], js=record,
        trigger_mode="once", **PLAYING,
    )  # fmt: skip


class _Maker:
    """The handler."""

    def __init__(
        self,
        form: FilmForm,
        context: PageContext,
        write: Callable[[Any, str, str, bytes], tuple[str, str]],
    ) -> None:
        self.form, self.write = form, write
        self.catalog, self.limits = context.catalog, context.settings.limits

    def make(
        self, stored: Any, chosen: str, sent: str, part: str, seconds: float, *look: Any
    ) -> Iterator[Updates]:
        """Make the film; meanwhile the button says how far it is."""
        save = self.form.save
        try:
            if part not in PARTS:
                raise BadInput("Please choose what the film shows.")
            config = film_config(*look)
            if sent == "null" and part == "damage":
                raise BadInput("There is no damage to show yet. Drag across it first.")
            recording = read_recording(sent or "null", self.limits, FILMED_STEPS)
            frames: list[np.ndarray] = []
            fine = self._fine(stored, chosen, recording, config)
            for done in _collect(recording, config, frames, self.limits, fine):
                yield {save: gr.update(value=f"Computing, {done:.0%}", interactive=False)}
            yield {save: gr.update(value="Writing the file", interactive=False)}
            data = film_bytes(frames, config)
            what = _what(part, seconds, recording.t1, config)
            path, name = self.write(stored, chosen, what, data)
            shown = _shown(path, name, config, len(data), frames[-1].shape)
        except Exception:
            # An older film below a refusal would be taken for what was asked for.
            yield {save: gr.update(value=SAVE, interactive=True), self.form.result: ""}
            raise
        yield {save: gr.update(value=SAVE, interactive=True), self.form.result: shown}

    def _fine(
        self, stored: Any, chosen: str, recording: Recording, config: FilmConfig
    ) -> Checkpoint | None:
        """The checkpoint whose decoder drew what was seen; None when the cells were shown."""
        if not recording.fine or config.format == "svg":
            return None
        with suppress(BadInput):  # it may be gone: then the film shows the cells
            checkpoint = self.catalog.load(key_of(stored), chosen)
            versions = {recording.version, *(e[2] for e in recording.events if e[1] == "model")}
            if checkpoint.decoder and versions == {player_model(checkpoint)["version"]}:
                return checkpoint
        return None


def film_config(*look: Any) -> FilmConfig:
    """The form's values, in the order of its components; BadInput when one does not fit."""
    names = ("format", "side", "ground", "colour", "speed", "cut_still")
    values = dict(zip(names, look, strict=True))
    colour = values.pop("colour")
    if values["ground"] == "colour":
        values["ground"] = _hex(colour)
    return checked(FilmConfig, values)


def _hex(colour: Any) -> str:
    """What Gradio's picker sends, "#rrggbb" or "rgba(r, g, b, a)", as "#rrggbb"."""
    numbers = re.findall(r"[\d.]+", str(colour)) if str(colour).startswith("rgb") else []
    if len(numbers) < 3:
        return str(colour)
    return "#" + "".join(f"{min(255, round(float(number))):02x}" for number in numbers[:3])


def _collect(
    recording: Recording,
    config: FilmConfig,
    frames: list[np.ndarray],
    limits: Limits,
    fine: Checkpoint | None,
) -> Iterator[float]:
    """Compute the run again and append the frames to show; yields the share that is done.

    With a checkpoint in `fine`, its decoder draws them.
    """
    first = recording.t0 if recording.start is None else recording.start
    most = MAX_PIXELS // (recording.height * recording.width)
    wanted = sample(first, recording.t1, config, min(most, limits.export_frames))
    length = max(1, recording.t1 - recording.t0)
    size = recording.height, recording.width
    scale = _fine_scale(size, config.side, len(wanted)) if fine else 1
    angle, events = recording.angle, [e for e in recording.events if e[1] == "angle"]
    for number, state in enumerate(replay_states(recording, limits=limits)):
        step = recording.t0 + number
        if number % _REPORT_EVERY == 0:
            yield number / length
        while events and events[0][0] <= step:
            angle = float(events.pop(0)[2])
        if step not in wanted:
            continue
        drawn = fine.draw(state, scale, angle) if fine and scale > 1 else state
        frames += [to_rgba8(drawn[0])] * wanted.count(step)


def _fine_scale(size: tuple[int, int], side: int, frames: int) -> int:
    """Pixels per cell that a decoder draws: an even number, fewer for a long film; 1 for none."""
    fits = int((_FINE_PIXELS / (frames * size[0] * size[1])) ** 0.5)
    return max(1, min(16, scale_for(size, side), fits) // 2 * 2)


def _what(part: str, seconds: float, step: int, config: FilmConfig) -> str:
    """What the file shows, for its name, and its suffix."""
    suffix = _SUFFIXES.get(config.format, config.format)
    if config.format in STILL:
        return f"{'grown' if part == 'loop' else f'step-{step}'}.{suffix}"
    words = f"last-{round(seconds)}-seconds" if part == "last" else _NAMES[part]
    return f"{words}.{suffix}"


def _shown(path: str, name: str, config: FilmConfig, size: int, shape: tuple[int, ...]) -> str:
    """The film on the page, with a link and a button; film_result.js saves it or shares it."""
    url, name = html.escape(f"gradio_api/file={path}"), html.escape(name)
    scale = scale_for(shape[:2], config.side)
    if config.format in ("mp4", "webm"):
        film = f'<video src="{url}" autoplay loop muted playsinline controls></video>'
    else:
        film = f'<img src="{url}" alt="The film">'
    about = f"{shape[1] * scale} × {shape[0] * scale} pixels, {size_text(size)}"
    return (
        f'<div class="film" role="status">{film}<div><strong>{name}</strong><p>{about}</p>'
        f'<a class="act" href="{url}" download="{name}">Download</a>'
        '<button type="button" class="act" data-share hidden>Share</button></div></div>'
    )

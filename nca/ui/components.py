"""Input components: an upload, a drawing pad, a row of emoji, a dropdown.

Gradio's image components decode with Pillow inside the server, before a handler can refuse the
file, and its image editor never frees what it receives. The upload and the drawing pad here pass
on bytes, which `nca.target` decodes in a process of its own.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from torch import Tensor

from nca.config import BadInput, TargetConfig, checked
from nca.target import make_target, target_to_png
from nca.ui.markup import data_uri

COLOURS = {
    "#1f2430": "black", "#ffffff": "white", "#d9473f": "red", "#f08c2e": "orange",
    "#f5cf3d": "yellow", "#5aa845": "green", "#2c6e49": "dark green", "#3fa7d6": "sky blue",
    "#3557a5": "blue", "#8e5bb5": "purple", "#f29dba": "pink", "#8a5a3b": "brown",
}  # fmt: skip


class PictureFile(gr.Image):
    """An upload or a pasted picture, as the path of the file that the visitor sent."""

    def get_block_name(self) -> str:
        """The page renders it as Gradio's own Image."""
        return "image"

    def preprocess(self, payload: Any) -> str | None:
        """The path, checked by Gradio to lie in its upload folder; None without a picture."""
        return None if payload is None else payload.path


class VisitorDropdown(gr.Dropdown):
    """A dropdown whose choices belong to one visitor; the handlers validate the value.

    Gradio would compare it with choices that it loses when the server restarts.
    """

    def get_block_name(self) -> str:
        """The page renders it as Gradio's own Dropdown."""
        return "dropdown"

    def preprocess(self, payload: Any) -> str | None:
        """The value as the visitor sent it, not validated."""
        return payload if isinstance(payload, str) else None


def script(name: str) -> str:
    """A script in this folder, for `js_on_load`, with comments and indentation removed."""
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    return re.sub(r"^\s*//.*\n|^\s+", "", text, flags=re.MULTILINE)


def drawing_pad(elem_id: str) -> gr.HTML:
    """A canvas with brush, eraser, colours and undo; its value is the drawing as a data URL.

    The value is an empty string while nothing is drawn. `drawing_bytes` decodes it.
    """
    swatches = "".join(
        f'<button type="button" class="swatch" style="--colour:{code}" data-colour="{code}" '
        f'title="{name}" aria-label="Colour {name}"></button>'
        for code, name in COLOURS.items()
    )
    return gr.HTML(
        value="",
        html_template=f"""
          <div class="pad">
            <canvas width="256" height="256" role="img" aria-label="Drawing canvas"></canvas>
            <div class="tools">
              <div class="swatches" role="group" aria-label="Colours">{swatches}</div>
              <label>Brush <input type="range" class="size" min="4" max="64" value="20"
                aria-label="Brush size"></label>
              <div class="actions">
                <button type="button" class="erase" aria-pressed="false">Eraser</button>
                <button type="button" class="undo">Undo</button>
                <button type="button" class="clear">Clear</button>
              </div>
            </div>
          </div>""",
        js_on_load=script("train/drawing_pad.js"),
        elem_id=elem_id,
        apply_default_css=False,
    )


def drawing_bytes(value: Any) -> bytes | None:
    """The encoded picture in a drawing pad's value; None when nothing was drawn.

    Raises:
        BadInput: it is not a value that the pad sends.
    """
    if not value:
        return None
    head, _, data = str(value).partition(",")
    try:
        if head != "data:image/png;base64" or len(data) > 2**21:
            raise ValueError
        return base64.b64decode(data, validate=True)
    except (ValueError, binascii.Error):
        raise BadInput("This drawing cannot be read; please clear it and draw again.") from None


def emoji_row(emoji: Iterable[str], elem_id: str) -> gr.HTML:
    """A button per emoji, drawn as in the target; a click triggers `select` with `.emoji`."""
    buttons = []
    for symbol in emoji:
        # Images instead of text, because not every computer has a font with these emoji.
        png = _icon(make_target(checked(TargetConfig, {"emoji": symbol, "size": 32})))
        buttons.append(
            f'<button type="button" data-emoji="{html.escape(symbol)}" '
            f'aria-label="Use {html.escape(symbol)}">'
            f'<img src="{data_uri(png, "image/png")}" alt="" width="26" height="26"></button>'
        )
    return gr.HTML(
        html_template=f'<div class="picker" role="group" aria-label="Pick an emoji">'
        f"{''.join(buttons)}</div>",
        js_on_load="""
          element.addEventListener('click', (event) => {
            const button = event.target.closest('button');
            if (button) trigger('select', {emoji: button.dataset.emoji});
          });""",
        elem_id=elem_id,
        apply_default_css=False,
    )


def _icon(target: Tensor) -> bytes:
    """A target without its padding, as a PNG."""
    rows, columns = np.nonzero(target[..., 3].numpy())
    inside = target[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return target_to_png(inside)

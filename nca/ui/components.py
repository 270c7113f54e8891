"""Input components: an upload, a drawing pad, buttons with pictures, a dropdown, a slider.

Gradio's image components decode with Pillow inside the server, before a handler can refuse the
file, and its image editor never frees what it receives. The upload and the drawing pad here pass
on data URLs, whose bytes `nca.target` decodes in a process of its own.
"""

from __future__ import annotations

import base64
import binascii
import re
import urllib.parse
from pathlib import Path
from typing import Any

import gradio as gr

from nca.config import BadInput
from nca.player import drawing_pad as pad


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


class Slider(gr.Slider):
    """A slider whose handlers validate the value.

    While a number is typed its beginning may be out of range, such as the 1 of 16; Gradio would
    show an error of its own.
    """

    def get_block_name(self) -> str:
        """The page renders it as Gradio's own Slider."""
        return "slider"

    def preprocess(self, payload: Any) -> Any:
        """The number as the visitor sent it, in any range; None for anything else."""
        is_number = isinstance(payload, int | float) and not isinstance(payload, bool)
        return payload if is_number else None


def script(name: str) -> str:
    """A script in this folder, for `js_on_load`, with comments and indentation removed."""
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    return re.sub(r"^\s*//.*\n|^\s+", "", text, flags=re.MULTILINE)


def drawing_pad(elem_id: str) -> gr.HTML:
    """A canvas with brush, eraser, colours and undo; its value is the drawing as a data URL.

    The value is an empty string while nothing is drawn. `drawing_bytes` decodes it.
    """
    return gr.HTML(
        value="",
        html_template=pad.markup(),
        js_on_load=pad.script(),
        elem_id=elem_id,
        apply_default_css=False,
    )


def picture_field(elem_id: str) -> gr.HTML:
    """An upload: choose, drop or paste; the browser shrinks the picture and turns it upright.

    The value is a data URL with the file's name, an empty string without a picture. `upload_bytes`
    and `upload_name` read it. A file that the browser cannot open changes nothing; a sentence in
    the field says why.
    """
    return gr.HTML(
        value="",
        html_template="""
          <div class="upload">
            <label class="zone"><input type="file" accept="image/*,.heic,.heif"
              aria-label="Choose a picture"><img hidden alt="Your picture">
              <span><b>Choose a picture</b>, drop it here, or paste it</span></label>
            <button type="button" class="clear" aria-label="Remove the picture" hidden>✕</button>
            <p class="refusal" role="status"></p>
          </div>""",
        js_on_load=script("train/picture_field.js"),
        elem_id=elem_id,
        apply_default_css=False,
    )


def upload_name(value: Any) -> str:
    """The name of the file in an upload's value, without its ending; empty when it has none."""
    found = re.match(r"data:[^;,]*;name=([^;,]{1,900});", str(value or ""))
    name = urllib.parse.unquote(found[1], errors="replace") if found else ""
    return re.sub(r"\.\w{1,5}$", "", re.split(r"[/\\]", name)[-1]).strip()


def upload_bytes(value: Any) -> bytes | None:
    """The encoded picture in an upload's value; None without one.

    Raises:
        BadInput: it is not a value that the field sends.
    """
    return _data(value, r"data:image/[\w.+-]+(;name=[^;,]*)?;base64", "choose it again")


def drawing_bytes(value: Any) -> bytes | None:
    """The encoded picture in a drawing pad's value; None when nothing was drawn.

    Raises:
        BadInput: it is not a value that the pad sends.
    """
    return _data(value, "data:image/png;base64", "clear it and draw again")


def _data(value: Any, head: str, remedy: str) -> bytes | None:
    """The bytes of a data URL that begins with the pattern `head`."""
    if not value:
        return None
    start, _, data = str(value).partition(",")
    try:
        if not re.fullmatch(head, start) or len(data) > 2**21:
            raise ValueError
        return base64.b64decode(data, validate=True)
    except (ValueError, binascii.Error):
        raise BadInput(f"This picture cannot be read; please {remedy}.") from None


def picture_buttons(elem_id: str, value: str = "") -> gr.HTML:
    """Buttons as HTML; a click triggers `select` with the button's `data-` attributes.

    Where the buttons have `aria-pressed`, the one that was clicked becomes the pressed one; within
    an element with `data-several` it is pressed or released, and the others stay.
    """
    return gr.HTML(
        value,
        js_on_load="""
          element.addEventListener('click', (event) => {
            const button = event.target.closest('button');
            if (!button) return;
            const pressed = button.getAttribute('aria-pressed');
            if (pressed && button.closest('[data-several]'))
              button.setAttribute('aria-pressed', String(pressed === 'false'));
            else if (pressed) element.querySelectorAll('[aria-pressed]')
              .forEach((other) => other.setAttribute('aria-pressed', String(other === button)));
            trigger('select', {...button.dataset});
          });""",
        elem_id=elem_id,
        apply_default_css=False,
    )

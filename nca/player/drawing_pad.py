"""The drawing pad, on the page and on a static site: its HTML and its script."""

from __future__ import annotations

import re

from nca.player.bundle import HERE

COLOURS = {
    "#1f2430": "black", "#ffffff": "white", "#d9473f": "red", "#f08c2e": "orange",
    "#f5cf3d": "yellow", "#5aa845": "green", "#2c6e49": "dark green", "#3fa7d6": "sky blue",
    "#3557a5": "blue", "#8e5bb5": "purple", "#f29dba": "pink", "#8a5a3b": "brown",
}  # fmt: skip


def markup() -> str:
    """A transparent canvas, a brush, an eraser, colours and undo."""
    swatches = "".join(
        f'<button type="button" class="swatch" style="--colour:{code}" data-colour="{code}" '
        f'title="{name}" aria-label="Colour {name}"></button>'
        for code, name in COLOURS.items()
    )
    return f"""
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
      </div>"""


def script() -> str:
    """What makes it draw: the body of a function of (element, props, trigger, watch).

    After each stroke `props.value` is the drawing as a data URL, an empty string when nothing is
    drawn, and trigger("change") is called. The function given to watch("value", ...) is to be
    called when `props.value` was emptied from outside.
    """
    text = (HERE / "drawing_pad.js").read_text(encoding="utf-8")
    return re.sub(r"^\s*//.*\n|^\s+", "", text, flags=re.MULTILINE)

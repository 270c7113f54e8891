"""The picture to grow: emoji, upload or drawing, shown exactly as it will be trained on."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import gradio as gr
from torch import Tensor

from nca.config import BadInput, Limits, TargetConfig, checked
from nca.target import PICKER, make_target, noto_available, target_to_png
from nca.ui.components import PictureFile, drawing_bytes, drawing_pad, emoji_row
from nca.ui.events import changes, listen
from nca.ui.markup import figure, note, picture

DEFAULT = checked(TargetConfig, {"emoji": PICKER[0]})


@dataclass(frozen=True)
class Source:
    """The components of the form; `inputs` in the order that `read` takes their values."""

    inputs: list[Any]
    preview: gr.HTML
    refusal: gr.HTML


def build(limits: Limits) -> Source:
    """Lay out the form and keep its preview up to date."""
    tabs, kind = {}, gr.Textbox("emoji", visible=False, elem_id="source")
    with gr.Tabs():
        with gr.Tab("Emoji") as tabs["emoji"]:
            emoji = gr.Textbox(
                DEFAULT.emoji, label="Type, paste or pick one emoji", max_lines=1, max_length=200,
                elem_id="emoji",
            )  # fmt: skip
            row = emoji_row(PICKER, "emoji-row")
            style = gr.Radio(
                [("Twemoji", "twemoji"), ("Noto", "noto")],
                value="twemoji",
                label="Drawn by",
                visible=noto_available(),
                elem_id="style",
            )
        with gr.Tab("Upload") as tabs["upload"]:
            upload = PictureFile(
                type="filepath",
                image_mode=None,
                sources=["upload", "clipboard"],
                height=230,
                label=f"PNG, JPEG, WebP or GIF, at most {limits.upload_bytes >> 20} MB",
                elem_id="upload",
                buttons=[],
            )
            background = gr.Radio(
                [("Keep", "keep"), ("Remove an even one", "transparent")],
                value="keep",
                label="Background",
                elem_id="background",
            )
            crop = gr.Checkbox(DEFAULT.crop, label="Crop to what is not transparent")
        with gr.Tab("Draw") as tabs["draw"]:
            drawing = drawing_pad("drawing")
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=150):
            preview = gr.HTML(show(make_target(DEFAULT), DEFAULT), elem_id="target")
        with gr.Column(scale=5, min_width=150):
            size = gr.Slider(
                8,
                128,
                DEFAULT.size,
                step=1,
                label="Size in cells",
                min_width=130,
                buttons=[],
                elem_id="size",
            )
            padding = gr.Slider(
                0, 64, DEFAULT.padding, step=1, label="Padding around it",
                min_width=130, buttons=[], elem_id="padding",
            )  # fmt: skip
    refusal = gr.HTML("", elem_id="refusal")
    source = Source(
        [kind, emoji, style, upload, drawing, size, padding, crop, background], preview, refusal
    )

    def look(*values: Any) -> tuple[Any, str]:
        try:
            config, target = read(limits, *values)
        except BadInput as problem:
            given = values[0] == "emoji" or values[3 if values[0] == "upload" else 4]
            return gr.skip(), note(str(problem), "refusal" if given else "note")
        return show(target, config), ""

    def pick(event: gr.EventData) -> str:
        return str(event.emoji)[:64]

    for name, tab in tabs.items():
        # In the page alone, so that it survives a restart of the server.
        tab.select(None, None, kind, js=f"() => '{name}'", api_visibility="private")
    listen(row.select, pick, None, emoji)
    listen(
        changes(source.inputs), look, source.inputs, [preview, refusal],
        trigger_mode="always_last",
    )  # fmt: skip
    return source


def read(
    limits: Limits,
    kind: str,
    emoji: str,
    style: str,
    upload: str | None,
    drawing: str | None,
    size: float,
    padding: float,
    crop: bool,
    background: str,
) -> tuple[TargetConfig, Tensor]:
    """The form's values as a target; raises BadInput with what is wrong with them."""
    # A drawing's empty surroundings mean nothing: it is always cropped.
    values: dict[str, Any] = {"size": size, "padding": padding, "crop": crop or kind == "draw"}
    picture: bytes | str | None = None
    if kind == "emoji":
        values |= {"kind": "emoji", "emoji": (emoji or "").strip()[:64], "style": style}
    else:
        values |= {"kind": "image", "background": background}
        picture = upload if kind == "upload" else drawing_bytes(drawing)
        if not picture:
            verb = "upload" if kind == "upload" else "draw"
            raise BadInput(f"Please {verb} a picture first.")
    config = checked(TargetConfig, values)
    return config, make_target(config, picture, limits)


def show(target: Tensor, config: TargetConfig) -> str:
    """The target, its cells as squares, with its measures."""
    grid = config.grid
    words = f"{grid} × {grid} cells, the picture {config.size}"
    image = picture(target_to_png(target), "The target at training size", "image/png", "checker")
    return f'<div class="panel">{figure(image, html.escape(words))}</div>'


def title(config: TargetConfig, kind: str) -> str:
    """What to call a training of it."""
    return config.emoji or {"draw": "Drawing", "upload": "Picture"}.get(kind, "Automaton")

"""The form for the target: emoji, upload or drawing, shown exactly as it will be trained on."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from nca.config import BadInput, Limits, TargetConfig, checked
from nca.jobs import Target
from nca.target import PICKER, noto_available
from nca.ui.components import PictureFile, drawing_bytes, drawing_pad, emoji_row
from nca.ui.context import Updates, Values, named_values
from nca.ui.events import changes, listen
from nca.ui.markup import figure, note, picture

DEFAULT = checked(TargetConfig, {"emoji": PICKER[0]})
TITLES = {"draw": "Drawing", "upload": "Picture"}  # of trainings without an emoji


class TargetForm(NamedTuple):
    """What the visitor filled in.

    Attributes:
        source: "emoji", "upload" or "draw".
        emoji: one emoji.
        style: the emoji set, "twemoji" or "noto".
        upload: the path of a file.
        drawing: the value of a drawing pad.
        size: longest side of the picture, in cells.
        padding: empty cells on each side.
        crop: whether to trim the transparent borders of an upload.
        background: "keep", or "transparent" to remove a plain one.
    """

    source: str
    emoji: str
    style: str
    upload: str | None
    drawing: str | None
    size: float
    padding: float
    crop: bool
    background: str

    @property
    def missing(self) -> bool:
        """Whether no picture has been given yet."""
        if self.source == "emoji":
            return False
        return not (self.upload if self.source == "upload" else self.drawing)


@dataclass(frozen=True)
class TargetFields:
    """The components: one for each field of `TargetForm`, and the preview."""

    source: gr.Textbox
    emoji: gr.Textbox
    style: gr.Radio
    upload: PictureFile
    drawing: gr.HTML
    size: gr.Slider
    padding: gr.Slider
    crop: gr.Checkbox
    background: gr.Radio
    preview: gr.HTML
    refusal: gr.HTML

    @property
    def inputs(self) -> list[Any]:
        """The components that `form` reads."""
        return [getattr(self, name) for name in TargetForm._fields]

    def form(self, values: Values) -> TargetForm:
        """What the visitor filled in, from values by component."""
        return TargetForm(**named_values(TargetForm._fields, self, values))


def build(limits: Limits) -> TargetFields:
    """Lay out the form and keep its preview up to date."""
    tabs, source = {}, gr.Textbox("emoji", visible=False, elem_id="source")
    with gr.Tabs():
        with gr.Tab("Emoji") as tabs["emoji"]:
            emoji = gr.Textbox(
                DEFAULT.emoji, label="Type, paste or pick one emoji", max_lines=1, max_length=200,
                elem_id="emoji",
            )  # fmt: skip
            picker = emoji_row(PICKER, "emoji-row")
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
                [("Keep", "keep"), ("Remove plain background", "transparent")],
                value="keep",
                label="Background",
                elem_id="background",
            )
            crop = gr.Checkbox(DEFAULT.crop, label="Trim empty borders")
        with gr.Tab("Draw") as tabs["draw"]:
            drawing = drawing_pad("drawing")
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=150):
            preview = gr.HTML(preview_html(Target.make(DEFAULT)), elem_id="target")
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
    fields = TargetFields(
        source, emoji, style, upload, drawing, size, padding, crop, background, preview, refusal
    )

    def update_preview(values: Values) -> Updates:
        form = fields.form(values)
        try:
            target = read(limits, form)
        except BadInput as problem:
            return {refusal: note(str(problem), "note" if form.missing else "refusal")}
        return {preview: preview_html(target), refusal: ""}

    def pick(event: gr.EventData) -> str:
        return str(event.emoji)[:64]

    for name, tab in tabs.items():
        # In JavaScript only, so that it works after a restart of the server too.
        tab.select(None, None, source, js=f"() => '{name}'", api_visibility="private")
    listen(picker.select, pick, None, emoji)
    listen(
        changes(fields.inputs), update_preview, set(fields.inputs), [preview, refusal],
        trigger_mode="always_last",
    )  # fmt: skip
    return fields


def read(limits: Limits, form: TargetForm) -> Target:
    """The form as a target; raises BadInput that says what is wrong with it."""
    # The empty area around a drawing has no meaning, so a drawing is always cropped.
    crop = form.crop or form.source == "draw"
    config: dict[str, Any] = {"size": form.size, "padding": form.padding, "crop": crop}
    if form.source == "emoji":
        emoji = (form.emoji or "").strip()[:64]
        return Target.make(config | {"kind": "emoji", "emoji": emoji, "style": form.style})
    picture = form.upload if form.source == "upload" else drawing_bytes(form.drawing)
    if not picture:
        verb = "upload" if form.source == "upload" else "draw"
        raise BadInput(f"Please {verb} a picture first.")
    config |= {"kind": "image", "background": form.background}
    return Target.make(config, picture, TITLES.get(form.source), limits)


def preview_html(target: Target) -> str:
    """The target, each cell drawn as a square, with its size."""
    grid = target.config.grid
    words = f"Picture {target.config.size} cells, grid {grid} × {grid}"
    image = picture(target.png, "The target at training size", "image/png", "checker")
    return f'<div class="panel">{figure(image, html.escape(words))}</div>'

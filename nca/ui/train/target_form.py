"""The form for the target: emoji, upload or drawing, shown as cells and as it will look.

One automaton can also be trained on several of them; `several` has those chosen so far.
"""

from __future__ import annotations

import html
import io
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import torch
from PIL import Image

from nca.config import BadInput, Limits, TargetConfig, checked
from nca.emoji import PICKER, noto_available
from nca.jobs import Target
from nca.picture import at_scale, make_picture, most_scale, picture_from_png, picture_to_png
from nca.target import (
    DecodedPicture,
    decode_picture,
    suggested_size,
    target_from_png,
    target_to_png,
)
from nca.ui.components import (
    Slider,
    drawing_bytes,
    drawing_pad,
    picture_buttons,
    picture_field,
    upload_bytes,
    upload_name,
)
from nca.ui.context import Updates, Values, named_values
from nca.ui.events import changes, listen, newest, toast
from nca.ui.markup import figure, note, picture
from nca.ui.train import emoji_search, several

DEFAULT = checked(TargetConfig, {"emoji": PICKER[0]})
NO_TARGET = '<div class="empty"><strong>No target</strong>Please choose another picture.</div>'
ANOTHER, ADD = "Add another picture", "Add this picture"
BACKGROUNDS = {"keep": "Keep the background", "transparent": "Remove it"}


class TargetForm(NamedTuple):
    """What the visitor filled in.

    Attributes:
        source: "emoji", "upload" or "draw".
        emoji: one emoji.
        style: the emoji set, "twemoji" or "noto".
        upload: the value of an upload.
        drawing: the value of a drawing pad.
        size: longest side of the picture, in cells.
        padding: empty cells on each side.
        crop: whether to trim the transparent borders of an upload.
        background: "keep", or "transparent" to remove a plain one.
        title: of the training; empty for the usual one.
        several: the pictures that one automaton is to learn, see `several.py`; empty for one.
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
    title: str
    several: str = ""

    @property
    def missing(self) -> bool:
        """Whether no picture has been given yet."""
        if self.source == "emoji":
            return False
        return not (self.upload if self.source == "upload" else self.drawing)

    @property
    def trims(self) -> bool:
        """Whether empty borders are trimmed; those of a drawing have no meaning."""
        return bool(self.crop) or self.source == "draw"

    @property
    def picture(self) -> several.Chosen:
        """The one that is chosen now, as one of several."""
        values = {"emoji": (self.emoji or "").strip()[:64], "upload": self.upload}
        value = values.get(self.source, self.drawing)
        return checked(
            several.Chosen,
            {"source": self.source, "value": value, "background": self.background or "keep"},
        )

    def with_picture(self, one: several.Chosen) -> TargetForm:
        """The same form with one of several as its only picture."""
        name = {"draw": "drawing"}.get(one.source, one.source)
        usual = {"source": one.source, "background": one.background, "title": "", "several": ""}
        return self._replace(**usual, **{name: one.value})


@dataclass(frozen=True)
class TargetFields:
    """The components: one for each field of `TargetForm`, and those below.

    Attributes:
        search: where emoji are searched or pasted.
        grid: the emoji to pick.
        backgrounds: the picture with and without its background, where that can be removed.
        preview: the target.
        advice: what would suit the picture better.
        refusal: what is wrong with the picture.
        another: the button that adds a picture for the same automaton.
    """

    source: gr.Textbox
    emoji: gr.Textbox
    style: gr.Radio
    upload: gr.HTML
    drawing: gr.HTML
    size: Slider
    padding: Slider
    crop: gr.Checkbox
    background: gr.Textbox
    title: gr.Textbox
    several: gr.Textbox
    search: gr.Textbox
    grid: gr.HTML
    backgrounds: gr.HTML
    preview: gr.HTML
    advice: gr.HTML
    refusal: gr.HTML
    another: gr.Button

    @property
    def inputs(self) -> list[Any]:
        """The components that `form` reads."""
        return [getattr(self, name) for name in TargetForm._fields]

    def form(self, values: Values) -> TargetForm:
        """What the visitor filled in, from values by component."""
        return TargetForm(**named_values(TargetForm._fields, self, values))


def build_sources() -> dict[str, Any]:
    """Lay out emoji, upload and drawing; returns components by field."""
    tabs, source = {}, gr.Textbox("emoji", visible=False, elem_id="source")
    emoji = gr.Textbox(DEFAULT.emoji, visible=False, elem_id="emoji")
    background = gr.Textbox("keep", visible=False, elem_id="background")
    with gr.Tabs():
        with gr.Tab("Emoji") as tabs["emoji"]:
            search = gr.Textbox(
                "", placeholder="Search by name, or paste an emoji", show_label=False,
                label="Search by name, or paste an emoji", max_lines=1, max_length=200,
                elem_id="emoji-search", container=False,
            )  # fmt: skip
            grid = picture_buttons("emoji-row")  # filled after the page has loaded
        with gr.Tab("Upload") as tabs["upload"]:
            upload = picture_field("upload")
            backgrounds = picture_buttons("backgrounds")
        with gr.Tab("Draw") as tabs["draw"]:
            drawing = drawing_pad("drawing")
    refusal = gr.HTML("", elem_id="refusal")
    another = gr.Button(ANOTHER, size="sm", elem_id="another")
    chosen = gr.Textbox("", visible=False, elem_id="several")
    for name, tab in tabs.items():
        # In JavaScript only, so that it works after a restart of the server too.
        tab.select(None, None, source, js=f"() => '{name}'", api_visibility="private")
    return {
        "source": source, "emoji": emoji, "background": background, "search": search,
        "grid": grid, "upload": upload, "backgrounds": backgrounds, "drawing": drawing,
        "refusal": refusal, "another": another, "several": chosen,
    }  # fmt: skip


def build_preview() -> dict[str, Any]:
    """Lay out the target and what would suit it better; returns components by field."""
    preview = picture_buttons("target")  # filled after the page has loaded
    return {"preview": preview, "advice": picture_buttons("advice")}


def build_details() -> dict[str, Any]:
    """Lay out size, title and the like; returns components by field."""
    with gr.Row():
        size = Slider(
            8, 128, DEFAULT.size, step=1, label="Size in cells", min_width=130, buttons=[],
            elem_id="size",
        )  # fmt: skip
        padding = Slider(
            0, 64, DEFAULT.padding, step=1, label="Padding around it", min_width=130, buttons=[],
            elem_id="padding",
        )  # fmt: skip
    with gr.Row():
        title = gr.Textbox(
            "", label="Title", placeholder="Of the picture", max_lines=1,
            max_length=80, elem_id="title", min_width=130,
        )  # fmt: skip
        style = gr.Radio(
            [("Twemoji", "twemoji"), ("Noto", "noto")], value="twemoji", label="Emoji drawn by",
            visible=noto_available(), elem_id="style", min_width=130,
        )  # fmt: skip
    crop = gr.Checkbox(DEFAULT.crop, label="Trim empty borders of an upload")
    return {"size": size, "padding": padding, "title": title, "style": style, "crop": crop}


def first_look() -> tuple[str, str]:
    """The grid of emoji and the preview of the first one, left out of the page's own HTML."""
    grid = emoji_search.grid_html(emoji_search.FIRST, PICKER[0])
    return grid, preview_html(Target.make(DEFAULT))


def attach(fields: TargetFields, limits: Limits, loaded: Any) -> Any:
    """Keep the grid and the preview up to date; returns the event of the preview.

    Args:
        fields: the components.
        limits: on pictures.
        loaded: the event after the page has loaded.
    """

    def search(text: str, chosen: str, several_text: str) -> Updates:
        try:
            found = emoji_search.chosen_emoji(text)
            if found and several_text:
                if found not in several.emoji_of(several_text):
                    several_text = several.toggle(several_text, found)
                shown = emoji_search.grid_html(first(found), several.emoji_of(several_text))
                return {fields.several: several_text, fields.grid: shown, fields.refusal: ""}
        except BadInput as problem:
            return {fields.refusal: note(str(problem), "refusal")}
        if found:
            shown = {fields.grid: emoji_search.grid_html(first(found), found)}
            return {fields.emoji: found, fields.refusal: "", **shown}
        return {fields.grid: grid(text, chosen, several_text), fields.refusal: ""}

    def first(found: str) -> list[str]:
        return [found, *(symbol for symbol in emoji_search.FIRST if symbol != found)]

    def grid(text: str, chosen: str, several_text: str) -> str:
        symbols = emoji_search.search((text or "")[:100])
        pressed = several.emoji_of(several_text) if several_text else chosen
        return emoji_search.grid_html(symbols, pressed)

    def look(values: Values) -> Updates:
        form = fields.form(values)
        try:
            decoded = None if form.several and form.missing else decode(limits, form)
            return {
                fields.preview: shown_html(limits, form, decoded),
                fields.backgrounds: backgrounds_html(limits, form, decoded),
                fields.advice: "" if form.several else advice_html(form, decoded),
                fields.refusal: "",
                fields.another: gr.update(
                    value=ADD if form.several else ANOTHER,
                    visible=not form.several or form.source != "emoji",
                ),
            }
        except BadInput as problem:
            words, kind = str(problem), "note" if form.missing else "refusal"
            updates = {fields.refusal: note(words, kind), fields.advice: "", fields.backgrounds: ""}
            if form.several:
                return updates
            if form.missing:  # nothing given yet, or removed again
                return updates | {fields.preview: emoji_html(limits, form)}
            # The target of another picture beside one that cannot be used would mislead.
            return updates | {fields.preview: NO_TARGET}

    def add(values: Values) -> Updates:
        """Add the picture that is chosen now; the first time, to none."""
        form = fields.form(values)
        read(limits, form._replace(several=""))  # refuses what cannot be used
        chosen = several.add(form.several or several.NONE, form.picture)
        updates: Updates = {fields.several: chosen, fields.background: "keep"}
        if form.source == "emoji":
            updates[fields.grid] = grid(values[fields.search], form.emoji, chosen)
        return updates | {fields.upload: "", fields.drawing: ""}

    def change(values: Values, event: gr.EventData) -> Updates:
        """Remove one of several pictures, or go back to one picture."""
        chosen = values[fields.several]
        if getattr(event, "one", None):
            chosen = ""
        elif (place := getattr(event, "remove", None)) is not None:
            chosen = several.remove(chosen, place)
        pressed = grid(values[fields.search], values[fields.emoji], chosen)
        return {fields.several: chosen, fields.grid: pressed}

    def pick(values: Values, event: gr.EventData) -> Updates:
        symbol, chosen = str(event.emoji)[:64], values[fields.several]
        if not chosen:
            return {fields.emoji: symbol}
        try:
            return {fields.several: several.toggle(chosen, symbol)}
        except BadInput as refusal:
            toast(str(refusal), "Please note", warning=True)
            # The button looks pressed: the grid again, with a comment that makes it a change.
            shown = grid(values[fields.search], values[fields.emoji], chosen)
            return {fields.grid: f"{shown}<!-- {time.monotonic_ns()} -->"}

    def choose_background(event: gr.EventData) -> str:
        return str(event.name)[:20]

    listen(
        fields.search.change, search, [fields.search, fields.emoji, fields.several],
        [fields.emoji, fields.several, fields.grid, fields.refusal], trigger_mode="always_last",
    )  # fmt: skip
    listen(loaded.then, first_look, None, [fields.grid, fields.preview])
    listen(
        fields.grid.select, newest(pick), {fields.several, fields.search, fields.emoji},
        [fields.emoji, fields.several, fields.grid], trigger_mode="multiple",
    )  # fmt: skip
    listen(
        fields.another.click, add, {*fields.inputs, fields.search},
        [fields.several, fields.grid, fields.background, fields.upload, fields.drawing],
        trigger_mode="once",
    )  # fmt: skip
    listen(
        fields.preview.select, change, {fields.several, fields.search, fields.emoji},
        [fields.several, fields.grid],
    )  # fmt: skip
    listen(fields.upload.upload, lambda: "keep", None, fields.background)
    listen(
        fields.backgrounds.select, newest(choose_background), None, fields.background,
        trigger_mode="multiple",
    )  # fmt: skip
    return listen(
        changes(component for component in fields.inputs if component is not fields.title), look,
        set(fields.inputs),
        [fields.preview, fields.backgrounds, fields.advice, fields.refusal, fields.another],
        trigger_mode="always_last",
    )  # fmt: skip


def decode(limits: Limits, form: TargetForm) -> DecodedPicture | None:
    """The upload or the drawing; None for an emoji.

    Raises:
        BadInput: there is none yet, or it cannot be read.
    """
    if form.source == "emoji":
        return None
    uploads = form.source == "upload"
    data = upload_bytes(form.upload) if uploads else drawing_bytes(form.drawing)
    if not data:
        raise BadInput(f"Please {'upload' if uploads else 'draw'} a picture first.")
    return decode_picture(data, form.trims, limits)


def read(
    limits: Limits,
    form: TargetForm,
    decoded: DecodedPicture | None = None,
    drawings: int = 0,
    fine: bool = False,
) -> Target:
    """The form as a target; raises BadInput that says what is wrong with it.

    Args:
        limits: on pictures.
        form: what the visitor filled in.
        decoded: the picture, where `decode` was called already.
        drawings: how many drawings the visitor has trained on; the next one gets a number.
        fine: also make the fine picture, which the training's decoder needs.
    """
    if form.several:
        return _read_several(limits, form, fine)
    config: dict[str, Any] = {"size": form.size, "padding": form.padding, "crop": form.trims}
    given = " ".join(str(form.title or "").split())
    if form.source == "emoji":
        symbol = (form.emoji or "").strip()[:64]
        config |= {"kind": "emoji", "emoji": symbol, "style": form.style}
        return Target.make(config, title=given or emoji_search.title_of(symbol) or None)
    if form.source == "upload":
        usual, background = upload_name(form.upload) or "Picture", form.background
    else:
        usual, background = f"Drawing {drawings + 1}" if drawings else "Drawing", "keep"
    config |= {"kind": "image", "background": background}
    picture = decoded or decode(limits, form)
    return Target.make(config, picture, (given or usual)[:80], limits, fine)


def _read_several(limits: Limits, form: TargetForm, fine: bool) -> Target:
    """Several pictures, a kind of one automaton for each; emoji need no fine ones, see `Target`."""
    chosen = several.parse(form.several)
    if len(chosen) < 2:
        raise BadInput(several.ONE_MORE)
    if form.source != "emoji" and not form.missing:
        raise BadInput(f"Please press “{ADD}” first, or remove it: it is not one of them yet.")
    each = [read(limits, form.with_picture(one), fine=fine) for one in chosen]
    emoji = [one.value for one in chosen if one.source == "emoji"]
    config = each[0].config
    if len(emoji) == len(chosen):
        config = config.model_copy(update={"more": tuple(emoji[1:])})
    else:
        config = config.model_copy(update={"kind": "image", "emoji": None})
    names = [one.short_name for one in chosen]
    usual = "".join(names) if len(emoji) == len(chosen) else ", ".join(names)
    title = " ".join(str(form.title or "").split()) or usual
    targets = torch.stack([target_from_png(target.png) for target in each])
    own = _fine_pictures(each, limits) if fine and config.kind == "image" else None
    return Target(config, target_to_png(targets), title[:80], len(each), own)


def _fine_pictures(each: list[Target], limits: Limits) -> bytes:
    """The fine pictures of targets with one picture each, as one `picture.png`."""
    side = each[0].config.grid
    size, scale = (side, side), most_scale(side, len(each))
    pictures = [
        picture_from_png(one.picture, size) if one.picture else make_picture(one.config)
        for one in each
    ]
    column = torch.stack([at_scale(picture, size, scale) for picture in pictures])
    return picture_to_png(column, size, limits)


def shown_html(limits: Limits, form: TargetForm, decoded: DecodedPicture | None) -> str:
    """The target, or all of several pictures."""
    if not form.several:
        return preview_html(read(limits, form, decoded))
    chosen = several.parse(form.several)
    return several.tray_html(chosen, [read(limits, form.with_picture(one)).png for one in chosen])


def emoji_html(limits: Limits, form: TargetForm) -> str:
    """The emoji's target, shown while there is no upload or drawing."""
    try:
        return preview_html(read(limits, form._replace(source="emoji")))
    except BadInput:
        return NO_TARGET


def preview_html(target: Target) -> str:
    """The target's cells, enlarged, and the whole grid as it will look when it has grown."""
    with Image.open(io.BytesIO(target.png)) as image:
        rows, columns = np.nonzero(np.asarray(image.convert("RGBA"))[..., 3])
    grid, size = target.config.grid, target.config.size
    side = int(max(np.ptp(rows), np.ptp(columns))) + 1
    # The square around the visible part, within the grid.
    left, top = (
        int(min(max(0, (values.min() + values.max() + 1 - side) // 2), grid - side))
        for values in (columns, rows)
    )
    # One data URL for both pictures: a style property on what holds them.
    whole = picture(target.png, "The target on its whole grid", "image/png", "ground")
    style = f"--grid:{grid};--side:{side};--left:{left};--top:{top}"
    cells = (
        f'<div class="zoom ground" style="{style}">'
        f"{picture(target.png, 'The cells of the target', 'image/png')}</div>"
    )
    moved = max(abs(left + side / 2 - grid / 2), abs(top + side / 2 - grid / 2))
    words = f"Grid {grid} × {grid}, as it will look"
    if target.config.padding and moved >= 2:
        words += "; shifted so that the first cell lies inside it"
    return (
        '<div class="panel two">'
        f"{figure(whole, html.escape(words))}{figure(cells, f'Its {size} cells')}</div>"
    )


def backgrounds_html(limits: Limits, form: TargetForm, decoded: DecodedPicture | None) -> str:
    """The upload with and without its background, as buttons; empty where it has no plain one."""
    if decoded is None or form.source != "upload" or not decoded.plain_background:
        return ""
    buttons = []
    for name, label in BACKGROUNDS.items():
        try:
            target = read(limits, form._replace(background=name, several=""), decoded)
        except BadInput:  # nothing is left without it
            return ""
        pressed = "true" if form.background == name else "false"
        buttons.append(
            f'<button type="button" data-name="{name}" aria-pressed="{pressed}">'
            f"{picture(target.png, '', 'image/png', 'checker')}<span>{label}</span></button>"
        )
    return f'<div class="pair" role="group" aria-label="Background">{"".join(buttons)}</div>'


def advice_html(form: TargetForm, decoded: DecodedPicture | None) -> str:
    """Buttons with what would suit the picture better: more cells, or the recipe for photos."""
    if decoded is None:
        return ""
    background, buttons = form.background if form.source == "upload" else "keep", []
    size = suggested_size(decoded, form.trims, background)
    if size > form.size:
        buttons.append(
            f"<p>Its details are lost at {form.size:.0f} cells. "
            f'<button type="button" data-size="{size}">Try {size} cells</button></p>'
        )
    fills = decoded.opaque and background == "keep"
    if fills and decoded.one_colour:
        buttons.append("<p>It has one colour all over, so that there is little to see.</p>")
    elif fills and form.padding and decoded.squarish:
        plain = ". Remove its background, or use Photo, which is made for that."
        words = plain if decoded.plain_background else ", and Photo is made for that."
        buttons.append(
            f"<p>It fills its frame to the edges{words} "
            '<button type="button" data-recipe="photo">Use Photo</button></p>'
        )
    return "".join(buttons)

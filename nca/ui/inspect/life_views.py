"""The experts' views of one life, as HTML; each comes with a one-sentence explanation."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from typing import Any

import gradio as gr
import torch
from PIL import Image

from nca.anatomy import (
    HUGE,
    KINDS,
    Cell,
    ChannelRange,
    cell_kinds,
    cell_kinds_picture,
    channel_name,
    channel_pictures,
    channel_strips,
    fire_pictures,
    usual_cells,
)
from nca.life import Life
from nca.render import image, picture_bytes
from nca.ui.components import script
from nca.ui.markup import count, figure, picture

MOST_CELLS = 3  # chosen by the visitor, besides the default three
COLUMNS = 11  # steps shown in the strips
ON_WHITE = "on-white"  # the class of what is drawn on white; dark mode inverts it
NOTHING = (
    '<div class="empty"><strong>One life, step by step</strong>'
    "Choose an automaton: it is grown here from its seed, and you can stop at any step.</div>"
)
_RGBA = ("#d9473f", "#2c8a57", "#3f6fd1", "currentColor")


def stage_box(elem_id: str) -> gr.HTML:
    """The component for `stage`. A click on a cell triggers `cell` with `.row` and `.column`."""
    return gr.HTML(
        NOTHING,
        js_on_load=script("inspect/state_picture.js"),
        elem_id=elem_id,
        apply_default_css=False,
    )


def charts_box(elem_id: str) -> gr.HTML:
    """The component for `traces`; its script draws every `<line-charts>` of the page.

    A click on a chart triggers `seek` with `.step`.
    """
    return gr.HTML(
        "", js_on_load=script("inspect/charts.js"), elem_id=elem_id, apply_default_css=False
    )


# ---------------------------------------------------------------------------- one step


def stage(life: Life, t: int, chosen: Sequence[Cell]) -> str:
    """One step: the picture, which cells are alive and which fire, every channel."""
    x, config = life.state(t), life.nca.config
    height, width = life.size
    kinds = cell_kinds(life.nca, x)
    mature, growing = (count(int((kinds == kind).sum())) for kind in (2, 1))
    keys = "".join(
        f'<span><i class="on-white" style="background:{KINDS[kind]}"></i>{kind}</span>'
        for kind in ("mature", "growing")
    )
    living = figure(
        pixels(cell_kinds_picture(life.nca, x, 1), "Mature and growing cells", ON_WHITE),
        f'<span class="keys">{keys}</span>',
    )
    fires = "".join(
        figure(pixels(shown, f"Cells that fire at a rate of {rate}", f"fires {ON_WHITE}"), rate)
        for rate, shown in fire_pictures(life.size, t, life.seed, scale=1)
    )
    channels = "".join(
        figure(pixels(shown, f"Channel {name}", ON_WHITE), name)
        for name, shown in channel_pictures(x[life.box])
    )
    return f"""
    <div class="stage">
      <figure class="whole">
        <button type="button" class="life" data-rows="{height}" data-columns="{width}"
          aria-label="The automaton. Arrow keys move a crosshair, Enter follows the cell there.">
          {pixels(image(x), "", "checker")}<span class="marks">{_marks(life, chosen)}</span>
          <i class="cursor" hidden></i>
        </button>
        <figcaption>Step {t} of {life.steps}: {mature} mature and {growing} growing cells.
          Click a cell to follow it.</figcaption>
      </figure>
      <div class="around">
        <h3>Which cells live, which fire</h3>
        <p>A cell is mature when its alpha is above {config.alive_threshold:g}, and growing when
          only a neighbour's is. At every step a random part of the cells fires, that is, updates:
          here {config.fire_rate:.0%}, the fire rate. The marked cells fire at this step, at three
          rates.</p>
        <div class="row four">{living}{fires}</div>
        <h3>Every channel at this step</h3>
        <p>Red, green, blue and alpha make the picture; the hidden channels pass information
          between cells. Orange is above zero, blue below.</p>
        <div class="row eight">{channels}</div>
      </div>
    </div>"""


def _marks(life: Life, chosen: Sequence[Cell]) -> str:
    """Numbered marks on the followed cells."""
    height, width = life.size
    return "".join(
        f'<i style="left:{(column + 0.5) / width:.2%};top:{(row + 0.5) / height:.2%}">{number}</i>'
        for number, (_, (row, column)) in enumerate(followed(life, chosen), 1)
    )


def followed(life: Life, chosen: Sequence[Cell]) -> list[tuple[str, Cell]]:
    """The cells whose traces are shown: centre, midway and edge of the body, then the chosen."""
    grown = life.state(life.damaged_at - 1 if life.damaged_at else life.steps)
    names: dict[Cell, str] = {}
    for name, cell in usual_cells(life.nca, grown).items():
        names.setdefault(cell, name)  # in a small body two of them may coincide
    for cell in chosen:
        names.setdefault(cell, "chosen")
    return [(name, cell) for cell, name in names.items()]


# ---------------------------------------------------------------------------- over time


def traces(life: Life, t: int, chosen: Sequence[Cell]) -> str:
    """Every channel of the followed cells, plotted over the steps."""
    hues = [f"hsl({round(280 + index * 137.5) % 360} 55% 52%)" for index in range(28)]
    series = [
        (channel_name(i), *((_RGBA[i], 2.2) if i < 4 else (hues[i - 4], 1.2)))
        for i in range(life.nca.config.channels)
    ]
    charts = [
        {
            "title": f"{number} \u00b7 {name}, row {row}, column {column}",
            "x": life.kept,
            "lines": [[short(v) for v in line] for line in life.trace(row, column).T.tolist()],
        }
        for number, (name, (row, column)) in enumerate(followed(life, chosen), 1)
    ]
    return section(
        "Channels of single cells",
        "Every cell runs the same rule. Its values settle as the body does, and change again "
        "after damage. Click a name to hide its line, double-click it (or hold Shift) to see it "
        "alone; click in a chart to go to that step.",
        line_charts(
            name="traces",
            series=series,
            charts=charts,
            at=t,
            cut=life.damaged_at,
            seek="#inspect-step",
        ),  # fmt: skip
    )


def strips(life: Life) -> str:
    """Alpha and every hidden channel at some steps, denser while it grows and heals."""
    steps = _telling_steps(life)
    states = torch.stack([life.state(step)[life.box] for step in steps])
    head = "".join(f"<span>{step}</span>" for step in steps)
    rows = "".join(
        f'<div class="strip"><span><b>{name}</b> \u00b1{number(limit)}</span>'
        f"{pixels(shown, f'Channel {name} over time', ON_WHITE)}</div>"
        for name, limit, shown in channel_strips(states)
    )
    cut = f"; it is damaged at step {life.damaged_at}" if life.damaged_at else ""
    return section(
        "Hidden channels over time",
        "Training does not say what the hidden channels hold. Many come to differ between parts "
        f"of the body, and so tell a cell where it is{cut}.",
        '<div class="strips" tabindex="0" role="group" aria-label="Channels over time">'
        f'<div class="strip head"><span>step</span><div>{head}</div></div>{rows}</div>',
    )


def _telling_steps(life: Life) -> list[int]:
    """Steps to show, with growing gaps after the seed and again after the damage."""

    def spread(first: int, last: int, number: int) -> list[int]:
        shares = [(i / (number - 1)) ** 1.6 for i in range(number)]
        return [first + round((last - first) * share) for share in shares]

    if life.damaged_at is None:
        return spread(0, life.steps, COLUMNS)
    before = spread(0, life.damaged_at - 1, COLUMNS // 2)
    return before + spread(life.damaged_at, life.steps, COLUMNS - len(before))


def ranges(reaches: Sequence[ChannelRange]) -> str:
    """The range of each channel's values, with a warning when it is too large."""
    sizes = [abs(v) for r in reaches for v in (r.low, r.high) if math.isfinite(v)]
    most = max([1.0, *sizes])

    def share(value: float) -> float:
        # A square root, so that small ranges stay visible beside large ones.
        at = math.copysign(math.sqrt(min(1.0, abs(value) / most)), value)
        return 50 + 50 * (at if math.isfinite(at) else 1)

    rows = "".join(
        f'<tr class="{"odd" if r.flagged else ""}"><th scope="row">{r.name}</th>'
        f"<td>{number(r.low)}</td><td class='reach'><i style='left:{share(r.low):.1f}%;"
        f"right:{100 - share(r.high):.1f}%'></i></td><td>{number(r.high)}</td></tr>"
        for r in reaches
    )
    return section(
        "Range of each channel",
        _verdict(reaches),
        f'<table class="ranges"><thead><tr><th>channel</th><th>lowest</th><th></th><th>highest'
        f"</th></tr></thead><tbody>{rows}</tbody></table>",
    )


def wild(reaches: Sequence[ChannelRange]) -> str:
    """A warning about values that are too large; empty when there are none."""
    odd = [r for r in reaches if r.flagged]
    if not odd:
        return ""
    worst = max(odd, key=lambda r: _size(r))
    extent = "is no longer a number" if not math.isfinite(_size(worst)) else (
        f"runs from {number(worst.low)} to {number(worst.high)}"
    )  # fmt: skip
    return (
        f"Take care: {worst.name} {extent}. An automaton with values beyond {HUGE:g} may be close "
        "to diverging, and may look different on another machine."
    )


def _verdict(reaches: Sequence[ChannelRange]) -> str:
    low, high = min(r.low for r in reaches), max(r.high for r in reaches)
    if wild(reaches):
        return f"The channels in red go beyond {HUGE:g}: the automaton may be close to diverging."
    return (
        f"Over the whole life every value is between {number(low)} and {number(high)}. Nothing "
        f"but training limits them; beyond {HUGE:g} the automaton may be close to diverging."
    )


def _size(reach: ChannelRange) -> float:
    size = max(abs(reach.low), abs(reach.high))
    return size if math.isfinite(size) else math.inf


# ---------------------------------------------------------------------------- helpers


def section(title: str, lesson: str, content: str) -> str:
    """A view with its heading and explanation, both plain text; the content is HTML."""
    lesson = html.escape(lesson)
    return f'<section class="view"><h2>{title}</h2><p>{lesson}</p>{content}</section>'


def line_charts(**data: Any) -> str:
    """Charts that the page draws; charts.js documents the data."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return f'<line-charts data-charts="{html.escape(text)}"></line-charts>'


def pixels(shown: Image.Image, alt: str, css: str = "") -> str:
    """A picture with one pixel per cell, which the page enlarges."""
    return picture(picture_bytes(shown), alt, css=css)


def short(value: float) -> float | None:
    """Rounded to three digits, enough for a chart; None for a value that JSON cannot hold."""
    return float(f"{value:.3g}") if math.isfinite(value) else None


def number(value: float) -> str:
    """Three digits, as text."""
    if not math.isfinite(value):
        return "not a number"
    whole = 100 <= abs(value) < 1e6
    return (count(round(value)) if whole else f"{value:.3g}").replace("-", "\u2212")

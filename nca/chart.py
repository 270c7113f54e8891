"""Line charts drawn with Pillow, for model cards and other places without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Points = Sequence[tuple[float, float]]
COLOURS = (
    "#3557a5", "#d9473f", "#2c8a57", "#e08a1e", "#8e5bb5", "#1f9bb0", "#a0522d", "#d4649a",
    "#7a8ed0", "#f0a59f", "#8fc7a8", "#f3c88c", "#c9afdf", "#93d3dd", "#6b7280", "#1f2430",
)  # fmt: skip
INK, FAINT, PAPER = "#1f2430", "#d9dce3", "#ffffff"
_LEFT, _TOP, _BOTTOM, _RIGHT = 46, 26, 24, 18  # margins for the numbers and the title
_LINE = 15  # of the legend
_LARGER = 2  # drawn larger and reduced, because Pillow's lines are not antialiased


def chart(
    title: str,
    lines: Mapping[str, Points],
    *,
    size: tuple[int, int] = (420, 250),
    guide: float | None = None,
    marks: Mapping[str, float] | None = None,
) -> Image.Image:
    """One chart with its legend, RGB.

    Args:
        title: above it.
        lines: name -> points (x, y) with x ascending; points that are not finite are left out.
        size: width and height in pixels.
        guide: a level drawn as a thin line across, for instance a pass mark.
        marks: name -> x of thin upright lines.
    """
    width, height = size
    picture = Image.new("RGB", (width * _LARGER, height * _LARGER), PAPER)
    pen = ImageDraw.Draw(picture)
    lines = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        for name, points in lines.items()
    }
    xs = [x for points in lines.values() for x, _ in points] or [0.0, 1.0]
    ys = [y for points in lines.values() for _, y in points] or [0.0, 1.0]
    ys += [] if guide is None else [guide]
    x_low, x_high = min(xs), max(xs)
    legend = _legend(pen, list(lines), width) if len(lines) > 1 else []
    top = _TOP + (_LINE * (legend[-1][1] + 1) if legend else 0)
    y_ticks = nice_ticks(min(ys), max(ys))
    y_low, y_high = min(y_ticks + ys), max(y_ticks + ys)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / ((x_high - x_low) or 1)
        up = (y - y_low) / ((y_high - y_low) or 1)
        return (
            (_LEFT + across * (width - _LEFT - _RIGHT)) * _LARGER,
            (height - _BOTTOM - up * (height - top - _BOTTOM)) * _LARGER,
        )

    def text(x: float, y: float, words: str, anchor: str, colour: str = INK) -> None:
        pen.text((x, y), words, fill=colour, font=_font(), anchor=anchor)

    for y in y_ticks:
        pen.line([place(x_low, y), place(x_high, y)], FAINT, _LARGER)
        text(place(x_low, y)[0] - 5 * _LARGER, place(x_low, y)[1], f"{y:g}", "rm")
    for x in nice_ticks(x_low, x_high):
        if x_low <= x <= x_high:
            text(place(x, y_low)[0], place(x, y_low)[1] + 5 * _LARGER, f"{x:g}", "mt")
    for name, x in (marks or {}).items():
        pen.line([place(x, y_low), place(x, y_high)], FAINT, _LARGER)
        text(place(x, y_high)[0] + 3 * _LARGER, place(x, y_high)[1], name, "lt", "#8b90a0")
    if guide is not None:
        pen.line([place(x_low, guide), place(x_high, guide)], "#8b90a0", _LARGER)
    text(_LEFT * _LARGER, 4 * _LARGER, title, "lt")
    for index, points in enumerate(lines.values()):
        path = [place(x, y) for x, y in points]
        if len(path) > 1:
            pen.line(path, COLOURS[index % len(COLOURS)], 2 * _LARGER, joint="curve")
    for index, (across, line, name) in enumerate(legend):
        x, y = across * _LARGER, (_TOP + line * _LINE) * _LARGER
        stroke = [(x, y), (x + 12 * _LARGER, y)]
        pen.line(stroke, COLOURS[index % len(COLOURS)], 3 * _LARGER)
        text(x + 16 * _LARGER, y, name, "lm")
    return picture.resize(size, Image.Resampling.LANCZOS)


def sheet(pictures: Sequence[Image.Image], columns: int = 2) -> Image.Image:
    """Pictures of one size side by side, in rows of `columns`, on white: RGB or RGBA."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (width * min(columns, len(pictures)), height * rows), PAPER)
    for index, picture in enumerate(pictures):
        at = (index % columns * width, index // columns * height)
        page.paste(picture, at, picture if picture.mode == "RGBA" else None)
    return page


def smooth(points: Points, share: float = 0.04) -> list[tuple[float, float]]:
    """The points with every y replaced by a mean of its neighbours', weighted by a Gaussian.

    Args:
        points: (x, y) with x ascending.
        share: standard deviation of the Gaussian, relative to the number of points.
    """
    if len(points) < 3:
        return list(points)
    x, y = np.array(points, float).T
    at = np.arange(len(points))
    weights = np.exp(-0.5 * ((at[:, None] - at) / max(1.0, share * len(points))) ** 2)
    means = weights @ y / weights.sum(1)
    return list(zip(x.tolist(), means.tolist(), strict=True))


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, at most about `most` of them."""
    if high <= low:
        return [low]
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _legend(pen: ImageDraw.ImageDraw, names: list[str], width: int) -> list[tuple[int, int, str]]:
    """Position of each name: (pixels from the left, line, name), as many per line as fit."""
    places, across, line = [], _LEFT, 0
    for name in names:
        room = round(pen.textlength(name, font=_font()) / _LARGER) + 26
        if across > _LEFT and across + room > width:
            across, line = _LEFT, line + 1
        places.append((across, line, name))
        across += room
    return places


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(11 * _LARGER)

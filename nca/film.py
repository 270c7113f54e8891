"""A film of a run, ready to be posted: which frames, in which order, how large, on which ground.

`nca.render` writes the file. A film begins with the grown picture, because its first frame is what
others show as its thumbnail; long rests are cut; the last second is held.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from nca.config import BadInput
from nca.render import animation_bytes, image, picture_bytes

FPS = 25
PACE = 20  # steps per second at speed 1, the player's default
SECONDS = 20  # of the longest film before its end is held; longer runs are shown faster
STILL = ("png", "svg")
_STILL_FRAMES = 10  # how much of a rest is kept
_STILL_CHANGE = 12  # of 255: a change of a grown cell that nobody notices
_STILL_CELLS = 2  # so many cells may change by more while it rests
_HELD_FRAMES = FPS
# The most pixels that each encoder gets, in frames that differ; it must neither take all memory
# nor minutes. A longer film has fewer frames per second, never smaller ones.
_MOST_PIXELS = {
    "gif": 200e6, "webp": 120e6, "apng": 60e6, "mp4": 600e6, "webm": 250e6,
}  # fmt: skip


class FilmConfig(BaseModel):
    """How a film looks."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal["gif", "webp", "apng", "mp4", "webm", "png", "svg"] = Field(
        "gif", description="png and svg are the last frame alone"
    )
    side: Literal[512, 720, 1080] = Field(
        512, description="pixels of the longer side at most; each cell gets a whole number of them"
    )
    ground: str = Field(
        "transparent", pattern=r"^(transparent|#[0-9a-fA-F]{6})$", description="behind the cells"
    )
    speed: float = Field(3, ge=0.25, le=10, description="1 is 20 steps per second")
    cut_still: bool = Field(True, description="leave out most of a rest")


def sample(first: int, last: int, config: FilmConfig, most_frames: int) -> list[int]:
    """The steps to show, one a frame, from `first` to `last`; only `last` for a still picture."""
    if config.format in STILL:
        return [last]
    most = max(2, min(SECONDS * FPS, most_frames))
    step = max(config.speed * PACE / FPS, (last - first) / (most - 1))
    count = int((last - first) / step) + 1
    steps = [first + int(index * step) for index in range(count)]
    return steps if steps[-1] == last else [*steps, last]


def film_bytes(frames: Sequence[np.ndarray], config: FilmConfig) -> bytes:
    """Write the film.

    Args:
        frames: in order, each uint8 [H, W, 4], straight alpha.
        config: how it looks. MP4 cannot be transparent and is white then.

    Raises:
        BadInput: there are no frames, or packages are missing that MP4 and WebM need.
    """
    if not len(frames):
        raise BadInput("There are no frames yet; please let it grow first.")
    cells = np.stack(frames)
    scale = scale_for(cells.shape[1:3], config.side)
    if config.format == "svg":
        return svg_bytes(cells[-1], config.ground, scale)
    cells = on_ground(cells, config.ground)
    if config.format == "png":
        return picture_bytes(image(cells[-1], scale), "PNG")
    cells = arrange(cells, config.cut_still)
    pixels = len(cells) * cells[0, ..., 0].size * scale**2
    every = max(1, int(np.ceil(pixels / _MOST_PIXELS[config.format])))
    # Encoders store equal neighbours as one frame that lasts longer.
    cells = cells[np.arange(len(cells)) // every * every]
    return animation_bytes(cells, config.format, fps=FPS, scale=scale, most_pixels=None)


def scale_for(size: Sequence[int], side: int) -> int:
    """Pixels per cell of a grid [H, W] in a picture of at most `side` pixels."""
    return max(1, side // max(size))


def arrange(cells: np.ndarray, cut_still: bool = True) -> np.ndarray:
    """Frames [T, H, W, 4] in the order of the film: the grown one, all or most, the end held."""
    kept = cells[_moving(cells)] if cut_still else cells
    return np.concatenate([kept[-1:], kept, kept[-1:].repeat(_HELD_FRAMES, 0)])


def _moving(cells: np.ndarray) -> list[int]:
    """The frames without all but the first `_STILL_FRAMES` of every rest."""
    chosen, rested = [0], 0
    for index in range(1, len(cells)):
        change = np.abs(cells[index].astype(np.int16) - cells[chosen[-1]]).max(-1)
        rested = rested + 1 if (change > _STILL_CHANGE).sum() <= _STILL_CELLS else 0
        if rested <= _STILL_FRAMES:
            chosen.append(index)
    return chosen


def on_ground(cells: np.ndarray, ground: str) -> np.ndarray:
    """Frames uint8 [..., 4] on a colour, opaque; as they are on a transparent ground."""
    if ground == "transparent":
        return cells
    colour = np.array([int(ground[at : at + 2], 16) for at in (1, 3, 5)], np.float32)
    drawn = np.full_like(cells, 255)
    for frame, straight in zip(drawn, cells, strict=True):  # one at a time, as floats
        alpha = straight[..., 3:] / np.float32(255)
        frame[..., :3] = straight[..., :3] * alpha + colour * (1 - alpha) + 0.5
    return drawn


UNSEEN = 5  # of 255: what is fainter would only be in the way of those who edit the drawing


def svg_bytes(cells: np.ndarray, ground: str, scale: int) -> bytes:
    """One frame uint8 [H, W, 4] as an SVG of squares; equal neighbours in a row are one."""
    height, width = cells.shape[:2]
    size = f'width="{width * scale}" height="{height * scale}" viewBox="0 0 {width} {height}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} shape-rendering="crispEdges">']
    if ground != "transparent":
        parts.append(f'<path fill="{ground}" d="M0 0h{width}v{height}H0z"/>')
    for y in range(height):
        for start, end, (red, green, blue, alpha) in _runs(cells[y]):
            if alpha < UNSEEN:
                continue
            opacity = "" if alpha == 255 else f' opacity="{alpha / 255:.3g}"'
            fill = f"#{red:02x}{green:02x}{blue:02x}"
            parts.append(
                f'<path fill="{fill}"{opacity} d="M{start} {y}h{end - start}v1H{start}z"/>'
            )
    return "\n".join([*parts, "</svg>\n"]).encode()


def _runs(row: np.ndarray) -> Iterator[tuple[int, int, list[int]]]:
    """Start, end and colour of the runs of equal visible cells of a row [W, 4]."""
    changes = np.flatnonzero((row[1:] != row[:-1]).any(-1)) + 1
    edges = [0, *changes.tolist(), len(row)]
    for start, end in zip(edges, edges[1:], strict=False):
        colour = row[start].tolist()
        if colour[3]:
            yield start, end, colour

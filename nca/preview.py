"""A checkpoint's animation, `preview.gif`: small enough for a model card and a Hub repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nca.config import CheckpointInfo
from nca.damage_shapes import damage
from nca.decoder import Decoder
from nca.engine import rollout
from nca.files import write_atomic
from nca.model import NCA
from nca.render import animation_bytes, preview_scale, side_by_side, to_rgba8
from nca.state import repaint

PREVIEW = "preview.gif"
PREVIEW_BYTES = 1_000_000
_FPS = 25
_GROWN = 160  # steps of growth, and of healing
_MOST_KINDS = 16  # shown; an untrusted checkpoint may have 255, whose film would fill the memory
_SOLID = 128  # alpha from which a GIF shows a cell
_FADED = 96  # alpha below which a visible cell becomes transparent again


def save_preview(
    folder: str | Path,
    nca: NCA,
    info: CheckpointInfo,
    size: tuple[int, int],
    decoder: Decoder | None = None,
) -> None:
    """Draw `preview.gif` into a checkpoint folder, at most `PREVIEW_BYTES` long.

    Args:
        folder: of the checkpoint; it exists.
        nca: the automaton.
        info: if it was trained with damage, the preview also erases its left half and heals it.
        size: height and width of the grid.
        decoder: draws the frames finer than their cells; those of several kinds stay cells.
    """
    frames = preview_frames(nca, info, size)
    draw = partial(decoder.draw, nca) if decoder is not None and nca.config.kinds < 2 else None
    write_atomic(Path(folder) / PREVIEW, preview_bytes(frames, draw=draw))


@torch.no_grad()
def preview_frames(nca: NCA, info: CheckpointInfo, size: tuple[int, int]) -> Tensor | np.ndarray:
    """The frames, float32 [T, H, W, C]: growth and, if trained with damage, healing.

    Several kinds, at most 16, grow side by side; then each is repainted as the next one. Their
    frames are drawn already: uint8 [T, H, W, 4].
    """
    if nca.config.kinds > 1:
        return _kinds(nca, size)
    x, shown = nca.seed(1, size), range(0, _GROWN + 1, 2)
    frames = [rollout(nca, x, _GROWN, seed=1, keep=shown)[:, 0]]
    if info.train is not None and info.train.damage_count:
        cut = damage(frames[0][-1:], "half-left")
        healing = rollout(nca, cut, _GROWN, seed=1, t0=_GROWN, keep=shown)[:, 0]
        frames += [healing[:1].repeat(12, 1, 1, 1), healing]
    held = frames[-1][-1:].repeat(25, 1, 1, 1)
    return torch.cat([*frames, held])


def _kinds(nca: NCA, size: tuple[int, int]) -> np.ndarray:
    """Growth of all kinds, and how each becomes the next, as in `preview_frames`."""
    count = min(nca.config.kinds, _MOST_KINDS)
    kinds = torch.arange(1, count + 1)
    x, frames = nca.seed(count, size, kinds.tolist()), []
    for t in range(0, 2 * _GROWN, 2):
        if t == _GROWN:
            frames += [frames[-1]] * 12
            x = repaint(x, kinds % count + 1)
        x = nca.grow(x, 2, seed=1, t0=t)
        frames.append(to_rgba8(side_by_side(x[..., :4])))
    return np.stack(frames + [frames[-1]] * 25)


def preview_bytes(
    frames: Tensor | np.ndarray,
    most: int = PREVIEW_BYTES,
    draw: Callable[[Any, int], Tensor] | None = None,
) -> bytes:
    """Frames [T, H, W, C >= 4] as a GIF of 25 frames per second and at most `most` bytes.

    Invisible changes of colour are dropped first. If that is not enough, larger changes are
    dropped, then the scale is reduced, then frames are dropped and the others last longer. A
    single frame is written at scale 1 even if it is larger than `most`.

    Args:
        frames: states, or pictures of one pixel per cell.
        most: bytes.
        draw: (states, pixels per cell) -> pictures; None enlarges every cell to a square.
    """
    height, width = frames.shape[1:3]
    data, drawn, rgba = b"", 0, np.empty(0, np.uint8)
    for tolerance, scale, every in _attempts(preview_scale((height, width), most=4), len(frames)):
        pixels = scale if draw else 1
        if pixels != drawn:
            rgba, drawn = to_rgba8(draw(frames, scale) if draw else frames), pixels
        thinned = steady(rgba[::every], tolerance).repeat(every, 0)[: len(rgba)]
        data = animation_bytes(thinned, "gif", fps=_FPS, scale=scale // pixels)
        if len(data) <= most:
            break
    return data


def _attempts(scale: int, frames: int) -> Iterator[tuple[int, int, int]]:
    """(tolerance, pixels per cell, n to keep every n-th frame), best quality first."""
    yield 4, scale, 1
    yield 8, scale, 1
    for smaller in range(scale - 1, 1, -1):
        yield 12, smaller, 1
    yield 12, min(scale, 2), 2
    every = 2
    while every < 2 * frames:
        yield 16, 1, every
        every *= 2


def steady(rgba: np.ndarray, tolerance: int) -> np.ndarray:
    """Frames without changes that are too small to see, uint8 [T, H, W, 4], straight alpha.

    A visible cell keeps its colour until a channel has moved by more than `tolerance` of 255, and
    stays visible until its alpha falls below 96; alpha is 0 or 255, as a GIF shows it.
    """
    held = np.zeros_like(rgba[0])
    frames = []
    for frame in rgba:
        was_solid = held[..., 3] > 0
        solid = frame[..., 3] >= np.where(was_solid, _FADED, _SOLID)
        moved = np.abs(frame[..., :3].astype(np.int16) - held[..., :3]).max(-1) > tolerance
        held = np.where((was_solid & ~moved)[..., None], held, frame)
        held[..., 3] = np.where(solid, 255, 0)
        frames.append(held)
    return np.stack(frames)

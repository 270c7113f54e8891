"""The endpoint that grows an automaton and renders it as a GIF."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from nca.catalog import Catalog
from nca.config import BadInput
from nca.damage_shapes import check_shape
from nca.damage_shapes import damage as damaged
from nca.evaluate import log10_error
from nca.model import NCA
from nca.picture import MOST_SCALE
from nca.render import animation_bytes, fitting_scale, to_rgba8
from nca.settings import Settings
from nca.ui.api import values

CHUNK = 16  # states held in memory at a time: a state is much larger than its frame


class Growing:
    """`grow`. Clients see this signature and docstring."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self.settings, self.catalog = settings, catalog

    def grow(
        self,
        checkpoint: str,
        steps: int = 200,
        seed: int = 1,
        damage: str = "",
        damage_at: int = 100,
        key: str = "",
        scale: int = 4,
        fine: bool = False,
        kind: int = 1,
    ) -> dict[str, Any]:
        """Grow an automaton from one cell, damage it if asked, and return the growth as a GIF.

        Args:
            checkpoint: a name from list_checkpoints, train or pull.
            steps: 1 to 600.
            seed: of the fire masks, which decide which cells update at which step.
            damage: empty for none, or the shape of the cells to erase: half-left, half-right,
                half-top, half-bottom, centre, circle, stroke, swipe, swipes, hole, cut, limb,
                scrub, scatter.
            damage_at: the damage is applied just before this step.
            key: the visitor's key, needed for their own checkpoints.
            scale: pixels per cell, 1 to 16; fewer where the GIF would be too large.
            fine: draw it finer than its cells, if it has a decoder; the GIF is larger.
            kind: which of its pictures grows, from 1, if it was trained on several.

        Returns:
            gif as base64, one frame per step; alive, the share of living cells in the last state;
            log10_error of the last state against the target it was trained on, or None.
        """
        most = self.settings.limits.export_frames
        steps = values.whole(steps, 1, most, "steps")
        seed = values.whole(seed, 0, 2**32 - 1, "seed")
        scale = values.whole(scale, 1, MOST_SCALE, "scale")
        fine, kind = values.flag(fine, "fine"), values.whole(kind, 1, 255, "kind")
        shape, cut = values.text(damage, "damage"), steps
        if shape:
            check_shape(shape)
            cut = values.whole(damage_at, 0, steps, "damage_at")
        ref = values.checkpoint(checkpoint, self.catalog)
        loaded = self.catalog.load(values.key_or_none(key), ref)
        x, draw, drawn = loaded.nca.seed(1, loaded.size, kind), _cells, 1
        if fine and loaded.decoder is not None:
            drawn = scale = fitting_scale(steps * x[0, ..., 0].numel(), scale)
            draw = partial(loaded.draw, scale=drawn)
        x, frames = _life(loaded.nca, x, seed, (cut, steps), shape, draw)
        film = animation_bytes(
            frames[-most:], "gif", fps=25, scale=scale // drawn, limits=self.settings.limits
        )
        target = loaded.target_of(kind)
        error = None if target is None else log10_error(x, target)[0]
        alive = float((x[..., 3] > loaded.nca.config.alive_threshold).float().mean())
        gif = base64.b64encode(film).decode()
        return {"steps": steps, "alive": alive, "log10_error": error, "gif": gif}


def moments(gif: str) -> tuple[str, str]:
    """Five moments of a film beside each other, for a language model, and a sentence about them.

    Args:
        gif: as `grow` returns it.

    Returns:
        A PNG in base64, the sentence.
    """
    with Image.open(io.BytesIO(base64.b64decode(gif))) as film:
        last = getattr(film, "n_frames", 1) - 1
        chosen = sorted({round(last * part / 4) for part in range(5)})
        strip = Image.new("RGB", (film.width * len(chosen), film.height), "white")
        for place, number in enumerate(chosen):
            film.seek(number)
            frame = film.convert("RGBA")
            strip.paste(frame, (place * film.width, 0), frame)
    buffer = io.BytesIO()
    strip.save(buffer, "PNG")
    words = f"The image shows {len(chosen)} moments, evenly spaced from the first to the last step."
    return base64.b64encode(buffer.getvalue()).decode(), words


def _cells(x: Tensor) -> Tensor:
    """A pixel per cell."""
    return x


def _life(
    nca: NCA,
    x: Tensor,
    seed: int,
    stops: tuple[int, int],
    shape: str,
    draw: Callable[[Tensor], Tensor],
) -> tuple[Tensor, np.ndarray]:
    """Return the last state [1, H, W, C] and one frame per step, uint8 [T, h, w, 4].

    `x` grows until step `stops[0]`, is damaged if `shape` is not empty, and grows until `stops[1]`.
    `draw` makes pictures [B, h, w, 4] of states.
    """
    frames, t = [], 0
    for life, stop in enumerate(stops):
        if shape and life == 1:
            x = damaged(x, shape, seed=t)
        while t < stop:
            n = min(CHUNK, stop - t)
            states = nca.grow(x, n, seed, t0=t, all_steps=True)
            frames.append(to_rgba8(draw(states[:-1, 0])))
            x, t = states[-1], t + n
    if not bool(x.isfinite().all()):
        raise BadInput("This automaton grew beyond all bounds.")
    return x, np.concatenate([*frames, to_rgba8(draw(x))])

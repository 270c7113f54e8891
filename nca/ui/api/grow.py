"""The endpoint that grows and films an automaton."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from torch import Tensor

from nca.catalog import Catalog
from nca.config import BadInput
from nca.damage_shapes import damage
from nca.evaluate import log10_error
from nca.model import NCA
from nca.render import animation_bytes, to_rgba8
from nca.settings import Settings
from nca.ui.api import values

CHUNK = 16  # states in memory at a time; they are large, frames are small
WOUNDS = ("half-left", "half-right", "half-top", "half-bottom", "centre", "circle")


class Growing:
    """`grow`. Its signature and docstring are what a client is shown."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self.settings, self.catalog = settings, catalog

    def grow(
        self,
        checkpoint: str,
        steps: int = 200,
        seed: int = 1,
        wound: str = "",
        wound_at: int = 100,
        key: str = "",
    ) -> dict[str, Any]:
        """Grow an automaton from one cell, wound it if asked to, and film it.

        Args:
            checkpoint: a name from list_checkpoints, train or pull.
            steps: 1 to 600.
            seed: decides which cells act when.
            wound: nothing, half-left, half-right, half-top, half-bottom, centre or circle.
            wound_at: the step before which the wound is cut.
            key: of the visitor, for checkpoints that are theirs.

        Returns:
            gif as base64, one frame per step; alive, the share of living cells; log10_error
            against the picture it was trained on, or None.
        """
        most = self.settings.limits.export_frames
        steps = values.whole(steps, 1, most, "steps")
        seed = values.whole(seed, 0, 2**32 - 1, "seed")
        wound = values.text(wound, "wound")
        if wound and wound not in WOUNDS:
            raise BadInput(f"Please choose a wound from {', '.join(WOUNDS)}.")
        cut = values.whole(wound_at, 0, steps, "wound_at") if wound else steps
        ref = values.checkpoint(checkpoint, self.catalog)
        loaded = self.catalog.load(values.key_or_none(key), ref)
        x, frames = _life(loaded.nca, loaded.nca.seed(1, loaded.size), seed, (cut, steps), wound)
        film = animation_bytes(
            frames[-most:], "gif", fps=25, scale=4, limits=self.settings.limits
        )  # fmt: skip
        error = None if loaded.target is None else log10_error(x, loaded.target)[0]
        alive = float((x[..., 3] > loaded.nca.config.alive_threshold).float().mean())
        gif = base64.b64encode(film).decode()
        return {"steps": steps, "alive": alive, "log10_error": error, "gif": gif}


def _life(
    nca: NCA, x: Tensor, seed: int, stops: tuple[int, int], wound: str
) -> tuple[Tensor, np.ndarray]:
    """The last state [1, H, W, C], and a frame per step, uint8 [T, H, W, 4].

    It grows to the first stop, is wounded if there is a wound, and grows to the second.
    """
    frames, t = [], 0
    for life, stop in enumerate(stops):
        if wound and life == 1:
            x = damage(x, wound, seed=t)
        while t < stop:
            n = min(CHUNK, stop - t)
            states = nca.grow(x, n, seed, t0=t, all_steps=True)
            frames.append(to_rgba8(states[:-1, 0]))
            x, t = states[-1], t + n
    if not bool(x.isfinite().all()):
        raise BadInput("This automaton grew beyond all bounds.")
    return x, np.concatenate([*frames, to_rgba8(x)])

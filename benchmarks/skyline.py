"""A picture that fills its frame: a city at sunset, mirrored in water."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def skyline(size: int) -> Tensor:
    """An opaque target without padding, float32 [size, size, 4] in [0, 1]."""
    return _drawn(*np.mgrid[0:size, 0:size] / (size - 1))


def fine_skyline(size: int, scale: int) -> Tensor:
    """The same with `scale` x `scale` pixels per cell, float32 [scale * size, scale * size, 4]."""
    at = ((np.arange(size * scale) + 0.5) / scale - 0.5).clip(0, size - 1) / (size - 1)
    return _drawn(*np.meshgrid(at, at, indexing="ij"))


def _drawn(y: np.ndarray, x: np.ndarray) -> Tensor:
    """The picture at points y, x in [0, 1], both [H, W], on a regular grid of rows."""
    rows, shape = y[:, 0], y.shape
    zenith, horizon = np.array([0.16, 0.14, 0.38]), np.array([1.0, 0.55, 0.25])
    shore = 0.62
    picture = zenith + (horizon - zenith) * np.clip(y / shore, 0, 1)[..., None] ** 1.5
    picture[np.hypot(x - 0.34, y - 0.46) < 0.11] = (1.0, 0.86, 0.45)
    draw, left = np.random.default_rng(7), 0.0
    while left < 1:
        width, height = draw.uniform(0.06, 0.14), draw.uniform(0.12, 0.42)
        house = (x >= left) & (x < left + width) & (y > shore - height) & (y <= shore)
        picture[house] = np.array([0.10, 0.08, 0.16]) + draw.uniform(0, 0.06)
        left += width
    # The row as far above the shore as this one is below it.
    above = np.abs((2 * shore - rows)[:, None] - rows).argmin(1)
    water = picture[above] * 0.55 + np.array([0.05, 0.07, 0.16])
    picture[y > shore] = water[y > shore]
    rgba = np.concatenate([picture.clip(0, 1), np.ones((*shape, 1))], axis=-1)
    return torch.from_numpy(rgba).float()

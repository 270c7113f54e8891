"""A picture that fills its frame: a city at sunset, mirrored in water."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def skyline(size: int) -> Tensor:
    """An opaque target without padding, float32 [size, size, 4] in [0, 1]."""
    y, x = np.mgrid[0:size, 0:size] / (size - 1)
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
    above = np.clip(((2 * shore - y[:, 0]) * (size - 1)).round().astype(int), 0, size - 1)
    water = picture[above] * 0.55 + np.array([0.05, 0.07, 0.16])
    picture[y > shore] = water[y > shore]
    rgba = np.concatenate([picture.clip(0, 1), np.ones((size, size, 1))], axis=-1)
    return torch.from_numpy(rgba).float()

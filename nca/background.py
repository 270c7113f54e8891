"""A plain background of a picture: found along its border, and made transparent."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from nca.config import BadInput

_TOLERANCE = 0.12  # of a background: above JPEG noise and vignettes, below a subject's contrast


def without_background(rgba: np.ndarray) -> np.ndarray:
    """An opaque picture with the uniform region along its border made transparent, edges soft.

    Args:
        rgba: float [H, W, 4], premultiplied. If it is partly transparent already, it is returned
            unchanged.

    Raises:
        BadInput: the border is not nearly of one colour.
    """
    if rgba[..., 3].min() < 0.98:
        return rgba
    rgb = rgba[..., :3]
    colour = border_colour(rgb)
    if colour is None:
        raise BadInput(
            "The border of this picture is not of one colour; please choose to keep the background."
        )
    distance = np.abs(rgb - colour).max(-1)
    outside = _connected_to_border(distance < _TOLERANCE)
    # A pixel on the edge is a mixture of the background and what lies beside it: its share of
    # the subject is its distance from the background, relative to the farthest neighbour's.
    both = torch.from_numpy(np.stack([outside.astype(np.float32), distance]))[None]
    near, farthest = F.max_pool2d(both, 3, stride=1, padding=1)[0].numpy()
    alpha = np.where(near > 0, distance / np.maximum(farthest, 1e-6), 1)[..., None]
    alpha[outside] = 0
    rgb = (rgb - (1 - alpha) * colour).clip(0, alpha)
    return np.concatenate([rgb, alpha], -1).astype(np.float32)


def border_colour(rgb: np.ndarray) -> np.ndarray | None:
    """The colour of a picture's border, float [3]; None when it is not nearly uniform.

    Args:
        rgb: float [H, W, 3] in [0, 1].
    """
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    colour = np.median(border, 0)
    uniform = (np.abs(border - colour).max(-1) < _TOLERANCE).mean() >= 0.8
    return colour if uniform else None


def _connected_to_border(open_: np.ndarray) -> np.ndarray:
    """Pixels of a bool [H, W] that a path of True pixels connects to the border."""
    reached = open_.copy()
    reached[1:-1, 1:-1] = False
    # Sweeps along whole rows and columns in turn. A path with more turns than this is a maze,
    # not a background; the bound keeps such a picture from taking minutes.
    for _ in range(40):
        before = reached.sum()
        for axis in (0, 1):
            free = open_.swapaxes(0, axis)
            # Pixels of a column with no barrier between them have the same number.
            run = np.cumsum(~free, 0) * free.shape[1] + np.arange(free.shape[1])
            hit = np.zeros(run.max() + 1, bool)
            hit[run[reached.swapaxes(0, axis)]] = True
            reached = (hit[run] & free).swapaxes(0, axis)
        if reached.sum() == before:
            break
    return reached


def cropped(rgba: np.ndarray) -> np.ndarray:
    """The part of a picture, float [H, W, 4], that is not transparent.

    Raises:
        BadInput: all of it is.
    """
    seen = rgba[..., 3] > 0.03
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    if not len(rows):
        raise BadInput("Nothing is left without the background; please choose to keep it.")
    return rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

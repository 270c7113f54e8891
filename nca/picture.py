"""The fine picture of a target: the same drawing on the same grid, several pixels a cell.

It is float32 [k * H, k * W, 4], premultiplied RGBA in [0, 1], where [H, W, 4] is the target and k a
whole number: the k x k pixels of a cell are what that cell stands for. Of an automaton with kinds
it is one picture for each, [kinds, k * H, k * W, 4]. `nca.sharpen` fits decoders to it; a
checkpoint keeps it as `picture.png`, several pictures one below the other.
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from nca.config import BadInput, Limits, TargetConfig
from nca.state import visible
from nca.target import Picture, aligned_pixels, one_by_one, target_to_png

PICTURE = "picture.png"
PICTURE_SIDE = 1024  # pixels: the longest side of a fine picture
PIXELS = 4 * PICTURE_SIDE**2  # of the pictures of all kinds together
MOST_SCALE = 16  # pixels per cell
NO_PICTURE = (
    "The fine picture of this checkpoint is not known, so there is nothing to fit a decoder to; "
    "please train it again from its emoji or picture."
)


def make_picture(
    config: TargetConfig,
    picture: Picture | list[Picture] | None = None,
    limits: Limits | None = None,
) -> Tensor:
    """The fine picture of what `make_target` draws: float32 [k * grid, k * grid, 4].

    With `config.more`, or several pictures, it is one for each: [K, k * grid, k * grid, 4].

    k is the largest for which a picture has at most 1,024 pixels a side and all together have at
    most four times 1,024 x 1,024, 16 at most. Emoji are drawn at that size from their SVG.

    >>> from nca import TargetConfig
    >>> from nca.picture import make_picture
    >>> make_picture(TargetConfig(emoji="🌵", size=16, padding=4)).shape
    torch.Size([384, 384, 4])

    Args:
        config: what to draw, how large.
        picture: for kind "image", a file's bytes or path, or a decoded drawing; or a list of such.
        limits: on the upload.

    Raises:
        BadInput: the emoji or the picture cannot be used.
    """
    each = one_by_one(config, picture)
    scale = most_scale(config.grid, len(each))
    if each:
        return torch.stack([aligned_pixels(own, scale, one, limits) for own, one in each])
    assert not isinstance(picture, list)
    return aligned_pixels(config, scale, picture, limits)


def most_scale(side: int, kinds: int = 0) -> int:
    """Pixels per cell of the fine picture of a grid with `side` cells, for so many kinds."""
    together = math.isqrt(PIXELS // (max(1, kinds) * side**2))
    return max(1, min(MOST_SCALE, PICTURE_SIDE // side, together))


def check_scale(scale: int) -> None:
    """Raise BadInput unless `scale` is a number of pixels per cell that can be drawn."""
    if isinstance(scale, bool) or not isinstance(scale, int) or not 1 <= scale <= MOST_SCALE:
        raise BadInput(f"Please choose a whole number of pixels per cell from 1 to {MOST_SCALE}.")


def at_scale(picture: Tensor, size: tuple[int, int], scale: int) -> Tensor:
    """A fine picture at another number of pixels per cell: float32 [scale * H, scale * W, 4].

    Args:
        picture: float32 [k * H, k * W, 4], premultiplied; or several, [K, k * H, k * W, 4].
        size: H, W of the grid.
        scale: pixels per cell, 1 to 16.
    """
    check_scale(scale)
    height, width = size[0] * scale, size[1] * scale
    if picture.shape[-3:-1] == (height, width):
        return picture
    if picture.ndim == 4:
        return torch.stack([at_scale(one, size, scale) for one in picture])
    planes = picture.permute(2, 0, 1)[None]
    if picture.shape[0] % height == 0:
        small = F.avg_pool2d(planes, picture.shape[0] // height)
    else:
        small = F.interpolate(
            planes, (height, width), mode="bicubic", align_corners=False, antialias=True
        )
    return visible(small[0].permute(1, 2, 0))


def picture_to_png(picture: Tensor, size: tuple[int, int], limits: Limits | None = None) -> bytes:
    """A fine picture as a PNG, 8 bits, straight alpha, as large as fits in a checkpoint's file.

    Args:
        picture: float32 [k * H, k * W, 4], premultiplied; several, [K, k * H, k * W, 4], are put
            one below the other.
        size: H, W of the grid.
        limits: `checkpoint_bytes` is the most that the file may have; a photograph is kept at
            fewer pixels per cell.

    Raises:
        BadInput: the picture does not fit the grid.
    """
    most = (limits or Limits()).checkpoint_bytes
    scale = scale_of(picture, size)
    for smaller in range(scale, 0, -1):
        png = target_to_png(at_scale(picture, size, smaller))
        if len(png) <= most:
            return png
    raise BadInput("This picture is too large for a checkpoint.")


def scale_of(picture: Tensor, size: tuple[int, int]) -> int:
    """Pixels per cell of a fine picture on a grid of H x W cells; BadInput when it does not fit."""
    count = len(picture) if picture.ndim == 4 else 1
    return _scale_of(picture.shape[-2], count * picture.shape[-3], size, count)


def _scale_of(width: int, height: int, size: tuple[int, int], count: int) -> int:
    """Pixels per cell of a column of so many pictures; BadInput when it does not fit."""
    scale = width // size[1]
    if max(width, height / count) > PICTURE_SIDE or not 1 <= scale <= MOST_SCALE:
        raise BadInput(f"The fine picture must have at most {PICTURE_SIDE} pixels a side.")
    if (height, width) != (count * scale * size[0], scale * size[1]):
        whole = "The fine picture does not have a whole number of pixels per cell"
        raise BadInput(f"{whole} for each of {count} kinds." if count > 1 else f"{whole}.")
    if width * height > PIXELS:
        raise BadInput("The fine pictures have too many pixels together.")
    return scale


def check_picture(png: bytes, size: tuple[int, int], kinds: int = 0) -> int:
    """Pixels per cell of an untrusted `picture.png`, from its header alone.

    Raises:
        BadInput: not a PNG, or of a size that does not fit the grid, once for each kind.
    """
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            width, height = image.size
            clear = image.has_transparency_data
    except Exception:  # Pillow's readers raise almost anything on damaged files
        raise BadInput("This checkpoint's fine picture is not a PNG that can be read.") from None
    if not clear:
        raise BadInput("This checkpoint's fine picture is not a PNG with transparency.")
    return _scale_of(width, height, size, max(1, kinds))


def picture_from_png(png: bytes | Path, size: tuple[int, int], kinds: int = 0) -> Tensor:
    """The picture that `picture_to_png` wrote, at the scale it has: float32 [k * H, k * W, 4].

    Of an automaton with kinds it is [kinds, k * H, k * W, 4].

    Raises:
        BadInput: as `check_picture`, or the pixels are damaged.
    """
    png = png if isinstance(png, bytes) else png.read_bytes()
    check_picture(png, size, kinds)
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            straight = np.asarray(image.convert("RGBA"), np.float32) / np.float32(255)
    except Exception:
        raise BadInput("This checkpoint's fine picture is damaged; download it again.") from None
    straight[..., :3] *= straight[..., 3:]
    picture = torch.from_numpy(straight)
    return picture.view(kinds, -1, *picture.shape[1:]) if kinds else picture

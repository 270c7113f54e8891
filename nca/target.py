"""Targets: an emoji, a drawing or an uploaded picture on a padded grid.

A target is float32 [size + 2 * padding, size + 2 * padding, 4], premultiplied RGBA in [0, 1]. Every
limit on pictures is enforced here and in the decoding process of `nca.decode`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nca.background import border_colour, cropped, without_background
from nca.config import BadInput, Limits, TargetConfig, whole_number
from nca.decode import decode_apart, shrink
from nca.emoji import draw_noto, draw_twemoji, one_emoji
from nca.wording import pixels_text

Picture: TypeAlias = "bytes | str | Path | np.ndarray | Image.Image | DecodedPicture"

_LARGEST_GRID = 256
_LARGEST_TARGET = 64 * _LARGEST_GRID**2  # pixels of the pictures of all kinds together
_MOST_CELLS = 1024  # of a target's size and padding in the library; more would fill the memory
_SUPERSAMPLE = 8  # the edges of emoji are ten times more exact than without it
_SIZES = (40, 56, 80, 112)  # that `suggested_size` chooses from
_LOST = 0.29  # of a picture's contrast, at most, when it is drawn in so many cells
_REFERENCE = 256  # cells of the drawing that it is compared with


@dataclass(frozen=True)
class DecodedPicture:
    """A picture that `decode_picture` has read.

    Attributes:
        pixels: uint8 [H, W, 4], premultiplied RGBA.
    """

    pixels: np.ndarray

    @property
    def opaque(self) -> bool:
        """Whether no pixel is transparent."""
        return bool(self.pixels[..., 3].min() >= 250)

    @property
    def one_colour(self) -> bool:
        """Whether hardly anything in it can be told apart, as in a white drawing on white."""
        return bool(np.ptp(self.pixels.reshape(-1, 4), axis=0).max() < 24)

    @property
    def squarish(self) -> bool:
        """Whether it covers at least half of the square around it."""
        height, width, _ = self.pixels.shape
        return 2 * min(height, width) >= max(height, width)

    @property
    def plain_background(self) -> bool:
        """Whether it is opaque and its border is of one colour, so that it can be removed."""
        return self.opaque and border_colour(self.pixels[..., :3] / np.float32(255)) is not None


def make_target(
    config: TargetConfig,
    picture: Picture | list[Picture] | None = None,
    limits: Limits | None = None,
) -> Tensor:
    """The target a configuration describes: float32 [grid, grid, 4], premultiplied, in [0, 1].

    With `config.more`, or several pictures, it is one for each: [K, grid, grid, 4].

    The values are exactly those that `target.png` of a checkpoint holds, so that a job resumed
    from that file trains on the same bits.

    Args:
        config: what to draw, how large.
        picture: for kind "image", a file's bytes or path, or a decoded drawing; or a list of such.
        limits: on the upload.

    Raises:
        BadInput: the emoji or the picture cannot be used.
    """
    if each := one_by_one(config, picture):
        return torch.stack([make_target(own, one, limits) for own, one in each])
    assert not isinstance(picture, list)
    if config.kind == "emoji":
        target = emoji_target(config.emoji or "", config.size, config.padding, config.style)
    elif picture is None:
        raise BadInput("Please upload or draw a picture first.")
    else:
        target = image_target(
            picture, config.size, config.padding, config.crop, config.background, limits
        )
    return target_from_png(target_to_png(target))


def one_by_one(
    config: TargetConfig, picture: Picture | list[Picture] | None
) -> list[tuple[TargetConfig, Picture | None]]:
    """The config and picture of each of several pictures; empty where there is a single one.

    Raises:
        BadInput: they are more than one automaton can hold, or the list is empty.
    """
    count = len(picture) if isinstance(picture, list) else 1 + len(config.more)
    if count * config.grid**2 > _LARGEST_TARGET:
        raise BadInput(
            f"{count} pictures of {config.grid} x {config.grid} cells are more than one automaton "
            "can hold; please use fewer, or smaller ones."
        )
    if config.kind == "emoji" and config.more:
        one = config.model_copy(update={"more": ()})
        symbols = (config.emoji, *config.more)
        return [(one.model_copy(update={"emoji": symbol}), None) for symbol in symbols]
    if not isinstance(picture, list):
        return []
    if not picture:
        raise BadInput("Please upload or draw a picture first.")
    return [(config, one) for one in picture]


def emoji_target(emoji: str, size: int = 40, padding: int = 16, style: str = "twemoji") -> Tensor:
    """Draw one emoji: float32 [size + 2p, size + 2p, 4], premultiplied RGBA in [0, 1].

    Joined sequences, flags, skin tones and keycaps are single emoji; white space around it
    and missing variation selectors do not matter.

    >>> from nca import emoji_target
    >>> emoji_target("🦎", size=40, padding=16).shape
    torch.Size([72, 72, 4])

    Args:
        emoji: exactly one emoji.
        size: side of the drawn square, in cells.
        padding: empty cells on each side.
        style: "twemoji" (always there) or "noto" (a system font, see `nca.emoji.noto_available`).

    Raises:
        BadInput: not exactly one emoji, one the style does not draw, an unknown style, or a size
            or padding out of range.
    """
    size, padding = _checked_sides(size, padding)
    cells = _emoji_pixels(emoji, size, style, _SUPERSAMPLE)
    return torch.from_numpy(_over_the_seed(_on_grid(cells, size, padding)))


def image_target(
    picture: Picture,
    size: int = 40,
    padding: int = 16,
    crop: bool = True,
    background: str = "keep",
    limits: Limits | None = None,
) -> Tensor:
    """A picture as float32 [size + 2p, size + 2p, 4], premultiplied RGBA in [0, 1].

    Its longest side becomes `size` cells, its proportions stay, and it is centred.

    >>> import numpy as np
    >>> from nca import image_target
    >>> drawing = np.zeros((100, 50, 4), np.uint8)
    >>> drawing[:, :] = (255, 0, 0, 255)
    >>> target = image_target(drawing, size=8, padding=2)
    >>> target.shape
    torch.Size([12, 12, 4])
    >>> target[6, :, 3].tolist()  # four cells wide
    [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]

    Args:
        picture: bytes or path of a PNG, JPEG, WebP or GIF (the first frame), decoded in a process
            of its own; or a decoded drawing: a Pillow image or uint8 [H, W], [H, W, 3 or 4].
        size: longest side, in cells.
        padding: empty cells on each side.
        crop: first crop to what is not transparent.
        background: "keep", or "transparent" to remove a uniform background of an opaque picture.
        limits: on uploads and on the decoding process.

    Raises:
        BadInput: the picture cannot be read, is too large or shows nothing, its border is not
            uniform enough to be removed, or the size or padding is out of range.
    """
    size, padding = _checked_sides(size, padding)
    rgba = _opened(picture, crop, background, limits)
    return torch.from_numpy(_over_the_seed(_on_grid(_image_pixels(rgba, size), size, padding)))


def aligned_pixels(
    config: TargetConfig, scale: int, picture: Picture | None = None, limits: Limits | None = None
) -> Tensor:
    """What `make_target` draws with `scale` x `scale` pixels per cell, each cell in its place.

    Args:
        config: what to draw, how large.
        scale: pixels per cell.
        picture: for kind "image".
        limits: on the upload.

    Returns:
        Premultiplied RGBA in [0, 1], float32 [scale * grid, scale * grid, 4].

    Raises:
        BadInput: the emoji or the picture cannot be used.
    """
    size, padding = config.size, config.padding
    if config.kind == "emoji":
        # The drawing is antialiased already: less supersampling than for cells is enough.
        fine = _emoji_pixels(config.emoji or "", size * scale, config.style, 2)
        cells = _emoji_pixels(config.emoji or "", size, config.style, _SUPERSAMPLE)
    elif picture is None:
        raise BadInput("Please upload or draw a picture first.")
    else:
        rgba = _opened(picture, config.crop, config.background, limits)
        cells = _image_pixels(rgba, size)
        fine = _resize(rgba, cells.shape[1] * scale, cells.shape[0] * scale)
    # Placed as the cells are, whose rounding decides.
    top, left = (padding + (size - side) // 2 for side in cells.shape[:2])
    grid = np.zeros((config.grid * scale, config.grid * scale, 4), np.float32)
    place = slice(top * scale, top * scale + fine.shape[0])
    grid[place, left * scale : left * scale + fine.shape[1]] = fine
    down, right = _shift_over_the_seed(_on_grid(cells, size, padding))
    return torch.from_numpy(np.roll(_clipped(grid), (down * scale, right * scale), (0, 1)))


def decode_picture(
    picture: Picture, crop: bool = True, limits: Limits | None = None
) -> DecodedPicture:
    """Read a picture once, for several calls of `image_target` and for `suggested_size`.

    Args:
        picture: as for `image_target`.
        crop: crop to what is not transparent.
        limits: on uploads and on the decoding process.

    Raises:
        BadInput: the picture cannot be read, is too large or shows nothing.
    """
    limits = limits or Limits()
    if isinstance(picture, DecodedPicture):
        return picture
    if isinstance(picture, np.ndarray | Image.Image):
        return DecodedPicture(_from_drawing(picture, crop, limits))
    if not isinstance(picture, bytes | str | Path):
        raise BadInput(
            "Please give the picture as a path, as a file's bytes or as a drawing, not "
            f"{type(picture).__name__}."
        )
    return DecodedPicture(decode_apart(picture, crop, limits))


def suggested_size(picture: DecodedPicture, crop: bool = True, background: str = "keep") -> int:
    """The smallest of a few sizes, in cells, at which the picture keeps its details.

    What is lost at a size is the root mean square difference between the picture at 256 cells and
    at that size, relative to the picture's own standard deviation.

    Raises:
        BadInput: the background cannot be removed.
    """
    reference = _image_pixels(_opened(picture, crop, background), _REFERENCE)
    height, width, _ = reference.shape
    # The edge is soft where a background was removed, and nobody misses its details.
    inner = tuple(slice(side // 32, side - side // 32) for side in (height, width))
    # An even picture has no details, however large its noise is in comparison.
    contrast = max(0.01, float(reference[inner].var((0, 1)).mean()))
    for size in _SIZES:
        drawn = _resize(_image_pixels(reference, size), width, height)
        if np.square(drawn - reference)[inner].mean() <= _LOST**2 * contrast:
            return size
    return _SIZES[-1]


def target_to_png(target: Tensor) -> bytes:
    """A target as a PNG: 8 bits, straight alpha, one pixel per cell, padding included.

    Args:
        target: float [H, W, 4], premultiplied RGBA in [0, 1]; several, [K, H, W, 4], are put one
            below the other.
    """
    pictures = target.reshape(-1, *target.shape[-3:]).detach().cpu()
    buffer = io.BytesIO()
    column = np.concatenate([_straight8(picture) for picture in pictures])
    Image.fromarray(column, "RGBA").save(buffer, "PNG")
    return buffer.getvalue()


def _straight8(picture: Tensor) -> np.ndarray:
    """A premultiplied picture [H, W, 4] with straight alpha: uint8 [H, W, 4]."""
    x = picture.double().clamp(0, 1).numpy()
    alpha = np.round(x[..., 3:] * 255)
    # Divided by the alpha that will be read back, so that the product is as near as 8 bits allow.
    colour = np.round(255 * 255 * x[..., :3] / np.maximum(alpha, 1))
    rgba = np.concatenate([np.where(alpha > 0, colour.clip(0, 255), 0), alpha], -1)
    return rgba.astype(np.uint8)


def target_from_png(
    png: bytes | str | Path, limits: Limits | None = None, kinds: int = 0
) -> Tensor:
    """The target that `target_to_png` wrote: float32 [H, W, 4], premultiplied RGBA in [0, 1].

    Of an automaton with kinds it is [kinds, H, W, 4].

    Any PNG with transparency is read, because programs that optimise PNGs rewrite them losslessly
    with a palette or as grey.

    Raises:
        BadInput: not a PNG with transparency, damaged, larger than 256 x 256, or not one picture
            for each kind.
    """
    most = (limits or Limits()).checkpoint_bytes
    refusal = BadInput("This target is not a PNG with transparency of at most 256 x 256 pixels.")
    if not isinstance(png, bytes):
        try:
            with open(png, "rb") as file:
                png = file.read(most + 1)
        except (OSError, ValueError):
            raise BadInput("The target picture cannot be opened.") from None
    if len(png) > most:
        raise refusal
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            sides = image.width, image.height / max(1, kinds)
            if max(sides) > _LARGEST_GRID or not image.has_transparency_data:
                raise refusal
            if image.width * image.height > _LARGEST_TARGET:
                raise BadInput("This target's pictures have too many pixels together.")
            if sides[1] % 1:
                raise BadInput(f"This target does not hold {kinds} pictures, one for each kind.")
            straight = np.asarray(image.convert("RGBA"), np.float32) / np.float32(255)
    except BadInput:
        raise
    except Exception:  # Pillow's readers raise almost anything on damaged files
        raise refusal from None
    straight[..., :3] *= straight[..., 3:]
    target = torch.from_numpy(straight)
    return target.view(kinds, -1, *target.shape[1:]) if kinds else target


def _checked_sides(size: int, padding: int) -> tuple[int, int]:
    """Size and padding of a target; BadInput unless both are whole numbers in range."""
    size = whole_number("size", size, 1, _MOST_CELLS)
    return size, whole_number("padding", padding, 0, _MOST_CELLS)


def _emoji_pixels(emoji: str, size: int, style: str, supersample: int) -> np.ndarray:
    """One emoji of `size` pixels a side, float [size, size, 4], premultiplied."""
    symbol = one_emoji(emoji)
    if style == "twemoji":
        return draw_twemoji(symbol, size, supersample)
    if style == "noto":
        return _resize(draw_noto(symbol), size, size)
    raise BadInput("Please choose the emoji style twemoji or noto.")


def _opened(
    picture: Picture, crop: bool, background: str, limits: Limits | None = None
) -> np.ndarray:
    """A picture as `image_target` reads it, bounded in size: float [H, W, 4], premultiplied."""
    rgba = decode_picture(picture, crop, limits).pixels.astype(np.float32) / 255
    if background == "transparent":
        rgba = without_background(rgba)
        return cropped(rgba) if crop else rgba
    if background != "keep":
        raise BadInput("Please choose to keep the background or to make it transparent.")
    return rgba


def _image_pixels(rgba: np.ndarray, size: int) -> np.ndarray:
    """A picture resized so that its longest side has `size` pixels."""
    height, width, _ = rgba.shape
    scale = size / max(height, width)
    return _resize(rgba, max(1, round(width * scale)), max(1, round(height * scale)))


def _from_drawing(picture: np.ndarray | Image.Image, crop: bool, limits: Limits) -> np.ndarray:
    """A decoded drawing, bounded in size: uint8 [H, W, 4], premultiplied."""
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or not (
            picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (3, 4))
        ):
            raise BadInput("Please give the drawing as 8-bit grey, RGB or RGBA pixels.")
        height, width = picture.shape[:2]
    else:
        width, height = picture.size
    if height * width == 0:
        raise BadInput("This drawing is empty; please draw something first.")
    if height * width > limits.upload_pixels:
        most = pixels_text(limits.upload_pixels)
        raise BadInput(f"This drawing has too many pixels; please keep it below {most}.")
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    small = shrink(picture.copy(), crop)
    if small is None:
        raise BadInput("This drawing is completely transparent; please draw something first.")
    return np.asarray(small)


def _resize(rgba: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize float [H, W, 4]; premultiplied, so that no colour of transparent pixels bleeds in."""
    smaller = width <= rgba.shape[1]
    method = Image.Resampling.LANCZOS if smaller else Image.Resampling.BICUBIC
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(rgba[..., c])).resize((width, height), method)
        )
        for c in range(4)
    ]
    return np.stack(planes, -1)


def _on_grid(cells: np.ndarray, size: int, padding: int) -> np.ndarray:
    """Place cells, float [h, w, 4], in the middle of an empty grid and clip them to a target."""
    height, width, _ = cells.shape
    top, left = padding + (size - height) // 2, padding + (size - width) // 2
    target = np.zeros((size + 2 * padding, size + 2 * padding, 4), np.float32)
    target[top : top + height, left : left + width] = cells
    target = _clipped(target)
    if target[..., 3].max() < 0.5:
        raise BadInput("Hardly anything of this picture is visible; please use a bolder one.")
    return target


def _clipped(rgba: np.ndarray) -> np.ndarray:
    """Premultiplied RGBA with alpha in [0, 1] and colours from 0 to alpha.

    Resampling filters overshoot; a colour above its alpha would be brighter than white.
    """
    alpha = rgba[..., 3:].clip(0, 1)
    return np.concatenate([rgba[..., :3].clip(0, alpha), alpha], -1)


def _over_the_seed(target: np.ndarray) -> np.ndarray:
    """The target shifted as little as needed for it to cover the seed in the grid's centre."""
    return np.roll(target, _shift_over_the_seed(target), (0, 1))


def _shift_over_the_seed(target: np.ndarray) -> tuple[int, int]:
    """By how many cells down and to the right a target must be shifted to cover the seed.

    If the target is empty there, training first learns to make the seed vanish, and a dead grid
    gives no gradient to learn anything else. The Twemoji lizard is empty in the middle, for one.
    """
    alpha = target[..., 3]
    height, width = alpha.shape
    if alpha[height // 2, width // 2] >= 0.9:
        return 0, 0
    padded = np.pad(alpha, 1)
    inner = np.min([padded[i : i + height, j : j + width] for i in range(3) for j in range(3)], 0)
    rows, columns = np.nonzero(alpha)
    for solid in (inner, alpha):  # a cell with visible neighbours, or else any visible one
        spots = np.argwhere(solid >= 0.5)
        moves = np.array([height // 2, width // 2]) - spots
        fits = (
            (moves[:, 0] + rows.min() >= 0)
            & (moves[:, 0] + rows.max() < height)
            & (moves[:, 1] + columns.min() >= 0)
            & (moves[:, 1] + columns.max() < width)
        )
        if fits.any():
            moves = moves[fits]
            down, right = moves[np.square(moves).sum(1).argmin()]
            return int(down), int(right)
    raise BadInput(
        "The middle of this picture is empty, and a seed needs something to grow on; "
        "please use more padding."
    )

"""GIF files with one palette for all frames, where each frame holds only what changed.

Pillow compresses the pixels; the blocks around them are written here. Pillow's own writer stores
every frame whole when visible pixels become transparent again, as they always do at the border of
an automaton, and repeats the palette in every frame: together twice the bytes.
"""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

CLEAR = 255  # the palette entry that means transparent
_KEEP, _ERASE = 1, 2  # what a viewer does with a frame's rectangle before it draws the next


def to_palette(rgba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames with one shared palette of at most 255 colours, without dithering.

    Args:
        rgba: uint8 [T, H, W, 4], straight.

    Returns:
        Indices uint8 [T, H, W], 255 where alpha is below 128; the palette, uint8 [256, 3].
    """
    solid = rgba[..., 3] >= 128
    palette = np.zeros((256, 3), np.uint8)
    present = _present(rgba, solid, 8)
    bits = 8 if np.count_nonzero(present) <= CLEAR else 6
    if bits == 8:  # few colours: the palette is exact
        colours = _unpack(np.flatnonzero(present), 8)
        palette[: len(colours)] = colours
        table = np.cumsum(present, dtype=np.uint8) - np.uint8(1)
    else:  # chosen from a sample, looked up in 6 bits per channel
        thin = max(1, np.count_nonzero(solid) // 20_000)
        sample = np.concatenate([f[s][::thin, :3] for f, s in zip(rgba, solid, strict=True)])
        # A few rounds of k-means lower the error by a quarter; run to the end they take seconds.
        rounds = len(sample) // 100
        quantised = Image.fromarray(sample[None]).quantize(CLEAR, kmeans=rounds)
        colours = np.array(quantised.getpalette(), np.uint8).reshape(-1, 3)[:CLEAR]
        # The most frequent colour, such as a plain ground, stays what it is.
        keys, counts = np.unique(_pack(sample, 8), return_counts=True)
        often = _unpack(keys[counts.argmax()][None], 8)
        colours[_nearest(often, colours)] = often
        palette[: len(colours)] = colours
        used = np.flatnonzero(_present(rgba, solid, 6))
        table = np.zeros(1 << 18, np.uint8)
        table[used] = _nearest(_unpack(used, 6) * 4 + 2, colours)
    indices = np.full(solid.shape, CLEAR, np.uint8)
    for index, frame, where in zip(indices, rgba, solid, strict=True):
        index[where] = table[_pack(frame[where], bits)]
    return indices, palette


def gif_bytes(indices: np.ndarray, palette: np.ndarray, hundredths: int, scale: int = 1) -> bytes:
    """An animated GIF89a that loops forever.

    Args:
        indices: uint8 [T, H, W], T >= 1; `CLEAR` is transparent.
        palette: uint8 [256, 3].
        hundredths: duration of a frame in 1/100 s; consecutive equal frames become one.
        scale: every pixel becomes a square of this side.
    """
    _, height, width = indices.shape
    size = struct.pack("<HH", width * scale, height * scale)
    parts = [b"GIF89a", size, b"\xf7\0\0", palette.tobytes(), b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0"]
    canvas = np.full((height, width), CLEAR, np.uint8)  # what a viewer shows before the frame
    starts = [0, *(np.flatnonzero((indices[1:] != indices[:-1]).any((1, 2))) + 1), len(indices)]
    for start, end in zip(starts, starts[1:], strict=False):
        frame, following = indices[start], indices[min(end, len(indices) - 1)]
        changed = frame != canvas
        # A frame cannot make a pixel transparent. So the rectangle of the frame before covers all
        # such pixels, and a viewer erases that rectangle before it draws the next frame.
        erased = (frame != CLEAR) & (following == CLEAR)
        top, bottom, left, right = _bounds(changed | erased)
        box = np.s_[top:bottom, left:right]
        drawn = np.where(changed[box], frame[box], CLEAR).astype(np.uint8)
        canvas = frame.copy()
        disposal = _KEEP
        if erased.any():
            disposal = _ERASE
            canvas[box] = CLEAR
        lasts = min(hundredths * int(end - start), 0xFFFF)
        parts.append(b"!\xf9\4" + struct.pack("<BHBB", disposal << 2 | 1, lasts, CLEAR, 0))
        corner = (left * scale, top * scale, (right - left) * scale, (bottom - top) * scale)
        parts.append(b"," + struct.pack("<HHHHB", *corner, 0))
        pixels = Image.fromarray(drawn.repeat(scale, 0).repeat(scale, 1))
        parts.append(b"\x08" + pixels.tobytes("gif", ("L", 8, 0)) + b"\0")
    return b"".join(parts) + b";"


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of the true part of [H, W]; of the first pixel when none is."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0, 1, 0, 1
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _present(rgba: np.ndarray, solid: np.ndarray, bits: int) -> np.ndarray:
    """For every colour of so many bits per channel whether a solid pixel has it."""
    present = np.zeros(1 << (3 * bits), bool)
    for frame, where in zip(rgba, solid, strict=True):
        present[_pack(frame[where], bits)] = True
    return present


def _pack(pixels: np.ndarray, bits: int) -> np.ndarray:
    red, green, blue = (pixels[:, :3] >> (8 - bits)).astype(np.uint32).T
    return (red << (2 * bits)) | (green << bits) | blue


def _unpack(code: np.ndarray, bits: int) -> np.ndarray:
    return (code[:, None] >> (2 * bits, bits, 0)) & ((1 << bits) - 1)


def _nearest(colours: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """For each of [N, 3] the index of the nearest palette entry."""
    ours, theirs = colours.astype(np.float32), palette.astype(np.float32)
    length = (theirs**2).sum(1)
    found = np.empty(len(ours), np.uint8)
    for start in range(0, len(ours), 16384):  # a bounded distance matrix at a time
        part = slice(start, start + 16384)
        found[part] = (length - 2 * ours[part] @ theirs.T).argmin(1)
    return found

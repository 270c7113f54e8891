"""Check a small GIF or PNG by its structure, without decoding pixels."""

from __future__ import annotations

import struct

SIDE = 1024  # pixels
FRAMES = 1000
_PNG = b"\x89PNG\r\n\x1a\n"


def is_small_picture(data: bytes) -> bool:
    """Whether an untrusted picture is safe for a browser: PNG or GIF, at most SIDE x SIDE.

    A GIF has at most FRAMES frames, each within its screen, and nothing after its end.
    """
    try:
        if data[:6] in (b"GIF87a", b"GIF89a"):
            return _small_gif(data)
        if data[:8] == _PNG and data[8:16] == b"\0\0\0\x0dIHDR":
            return all(1 <= side <= SIDE for side in struct.unpack(">II", data[16:24]))
    except (IndexError, struct.error):
        pass
    return False


def _small_gif(data: bytes) -> bool:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    if not (1 <= width <= SIDE and 1 <= height <= SIDE):
        return False
    at, frames = 13 + _palette(flags), 0
    while data[at] != 0x3B:
        if data[at] == 0x21:  # an extension: its label, then sub-blocks
            at = _after_blocks(data, at + 2)
        elif data[at] == 0x2C:
            left, top, wide, high, flags = struct.unpack_from("<HHHHB", data, at + 1)
            frames += 1
            if frames > FRAMES or left + wide > width or top + high > height:
                return False
            at = _after_blocks(data, at + 11 + _palette(flags))  # past the code size
        else:
            return False
    return frames > 0 and at + 1 == len(data)


def _palette(flags: int) -> int:
    return 3 << (flags % 8 + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += data[at] + 1
    return at + 1

"""Decode untrusted pictures in a child process, which may crash or be exploited.

The parent's and the child's code are both in this file. `decode_apart` runs the file as a script
and reads its output. The script gets one open file, a few numbers, limited memory and time and
almost no environment, and is never reused. It must start fast and run without the package, so it
imports only the standard library and Pillow.
"""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from nca.config import Limits

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
_SIGNATURE = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF....WEBP|GIF8[79]a", re.DOTALL)
_PROFILE_BYTES = 4 << 20  # a colour profile larger than this is ignored, like a damaged one
_BLANK_FRAMES = 100  # of an animation, searched for one that shows something
SIDE = 512  # a longer picture is reduced so that its longest side is SIDE to 2 * SIDE
OPAQUE_ENOUGH = 8  # alpha, of 255, from which a pixel counts as content when cropping

_REFUSED = 3  # exit status of the child when it prints a key of `_SENTENCES`
_SENTENCES = {
    "format": "This file is not a picture that can be read; please use PNG, JPEG, WebP or GIF.",
    "pixels": "This picture is too large; please use one of at most {most}.",
    "broken": "This picture is damaged or incomplete; please save it again or use another one.",
    "hidden": "This picture is completely transparent; please use one that shows something.",
    "costly": "This picture takes too long to read; please save it as a smaller PNG.",
}


def shrink(image: Image, crop: bool) -> Image | None:
    """A picture of any mode as premultiplied sRGB (mode "RGBa") of bounded size.

    It is rotated as its EXIF orientation says, converted from its colour profile to sRGB and, if
    `crop`, cropped to what is not transparent. Then it is reduced by a whole factor, each pixel
    the mean of a block, so that both sides are less than 2 * SIDE. None when nothing is visible.
    """
    image.draft(None, (2 * SIDE, 2 * SIDE))  # decodes a large JPEG at 1/2, 1/4 or 1/8
    pixels, alpha = _split_alpha(image)
    turn = _turn(image)
    image = _to_srgb(pixels, image.info.get("icc_profile"))
    if alpha is not None:
        content = [255 * (value >= OPAQUE_ENOUGH) for value in range(256)]
        seen = alpha.point(content).getbbox()
        if seen is None:
            return None
        image.putalpha(alpha)
        image = (image.crop(seen) if crop else image).convert("RGBa")
    factor = max(image.size) // SIDE
    if factor > 1:
        image = image.reduce(factor)
    if image.mode == "RGB":  # opaque, so that premultiplied and straight are the same
        image = image.convert("RGBA").convert("RGBa")
    return image if turn is None else image.transpose(turn)


def _split_alpha(image: Image) -> tuple[Image, Image | None]:
    """The picture in mode L, RGB or CMYK, and its alpha, mode L; None when it is opaque."""
    raw_mode = _raw_mode(image)
    low_bytes = _low_bytes(image) if raw_mode == "RGB;16B" else None
    image.load()
    key = image.info.get("transparency")
    alpha = None
    # A PNG gives its transparent colour at its own bit depth, but Pillow compares it with pixels
    # already scaled to 8 bits. For other depths the comparison is made here.
    if isinstance(key, int) and raw_mode in ("1", "L;2", "L;4", "L", "I;16B"):
        if raw_mode == "I;16B":
            alpha = _differs_16(image, key)
        else:
            depth = {"1": 1, "L;2": 2, "L;4": 4}.get(raw_mode, 8)
            most = 2**depth - 1
            alpha = _differs([image.convert("L")], [(key & most) * 255 // most])
    elif isinstance(key, tuple) and low_bytes is not None:
        high, low = [value >> 8 for value in key], [value & 255 for value in key]
        alpha = _differs([*image.split(), *low_bytes.split()], [*high, *low])
    if alpha is not None:
        image.info.pop("transparency")
    if image.mode.startswith("I;16"):
        image = image.convert("I")
    if image.mode in ("I", "F"):  # 16 bits per pixel, which convert("L") would clip
        image = image.point(lambda value: value * (1 / 257)).convert("L")
    if alpha is None and (image.mode[-1] in "Aa" or "transparency" in image.info):
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB"), alpha


def _raw_mode(image: Image) -> str:
    """Pillow's name for the pixel layout in the file of a picture that is not yet loaded."""
    tile = getattr(image, "tile", None)
    if not tile:
        return ""
    mode = tile[0][3]
    return str(mode[0] if isinstance(mode, tuple) and mode else mode)


def _low_bytes(image: Image) -> Image:
    """The low bytes of a PNG of 16-bit RGB, mode RGB; Pillow itself reads the high bytes only."""
    from PIL import Image as images

    file: BinaryIO = image.fp  # pyright: ignore[reportAttributeAccessIssue]
    file.seek(0)
    with images.open(io.BytesIO(file.read()), formats=("PNG",)) as again:
        again.tile = [tile._replace(args="RGB;16L") for tile in again.tile]
        again.load()
        return again.copy()


def _differs(bands: list[Image], key: list[int]) -> Image:
    """A mask, mode L: 255 where any of the 8-bit bands differs from its value in `key`, else 0."""
    from PIL import ImageChops

    masks = [
        band.point([255 * (value != number) for value in range(256)])
        for band, number in zip(bands, key, strict=True)
    ]
    mask = masks[0]
    for other in masks[1:]:
        mask = ImageChops.lighter(mask, other)
    return mask


def _differs_16(image: Image, key: int) -> Image:
    """A mask, mode L: 255 where a picture of 16-bit grey differs from `key`, else 0."""
    from PIL import ImageMath

    return ImageMath.lambda_eval(
        lambda given: given["convert"]((given["image"] != key) * 255, "L"), image=image.convert("I")
    )


def _to_srgb(image: Image, profile: bytes | None) -> Image:
    """A picture in mode L, RGB or CMYK as sRGB, mode RGB; a damaged profile is ignored."""
    if profile and len(profile) <= _PROFILE_BYTES:
        from PIL import ImageCms

        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            space: str = source.profile.xcolor_space  # pyright: ignore[reportAttributeAccessIssue]
            if image.mode == "L" and space.strip() == "RGB":
                image = image.convert("RGB")
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB")


def _turn(image: Image) -> Any:
    """The method for `Image.transpose` that undoes the EXIF orientation, or None."""
    try:
        orientation: int = image.getexif().get(0x0112, 1)
    except Exception:  # damaged EXIF data is no reason to refuse the picture
        return None
    return {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.get(orientation)


def decode_apart(picture: bytes | str | Path, crop: bool, limits: Limits) -> np.ndarray:
    """Decode a PNG, JPEG, WebP or GIF in a child process.

    For an animation, the result is the first frame that shows something.

    Args:
        picture: the file's bytes, or its path.
        crop: crop to what is not transparent.
        limits: bytes and pixels of the upload, memory and seconds of the child.

    Returns:
        uint8 [H, W, 4], premultiplied, both sides at most 2 * SIDE.

    Raises:
        BadInput: the file is not such a picture, is too large or damaged, or shows nothing.
    """
    import numpy as np

    from nca.config import BadInput
    from nca.wording import pixels_text

    try:
        status, said = _ask_child(picture, crop, limits)
    except OSError:
        raise BadInput("The picture cannot be read just now; please try again.") from None
    head, _, pixels = said.partition(b"\n")
    # An exploited child may print anything: accept only output that is consistent.
    if status == 0 and (size := re.fullmatch(rb"(\d{1,4}) (\d{1,4})", head)):
        width, height = map(int, size.groups())
        if 0 < width <= 2 * SIDE and 0 < height <= 2 * SIDE and len(pixels) == width * height * 4:
            return np.frombuffer(pixels, np.uint8).reshape(height, width, 4)
    word = head.decode("ascii", "replace") if status == _REFUSED else "costly"
    sentence = _SENTENCES.get(word, _SENTENCES["broken"])
    raise BadInput(sentence.format(most=pixels_text(limits.upload_pixels)))


def _ask_child(picture: bytes | str | Path, crop: bool, limits: Limits) -> tuple[int | None, bytes]:
    """Run the child; its exit status (None when it took too long) and its output."""
    import subprocess
    import tempfile

    import PIL

    # Files, not pipes: nothing has to feed and drain them, and the child's limit on file sizes
    # bounds what it can write.
    with tempfile.TemporaryFile() as answer, _open(picture, limits.upload_bytes) as question:
        # -I: nothing from the environment or the working folder is imported. -S: it starts
        # faster, but finds Pillow only through the folder that is passed to it.
        command = [sys.executable, "-I", "-S", __file__, str(Path(PIL.__file__).parents[1])]
        numbers = limits.upload_pixels, limits.decode_bytes, limits.decode_seconds, int(crop)
        child = subprocess.Popen(
            [*command, *map(str, numbers)],
            stdin=question,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _NEEDED_TO_START if name in os.environ},
        )
        try:
            status = child.wait(limits.decode_seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            child.kill()
            child.wait()
        answer.seek(0)
        return status, answer.read(_most_bytes() + 1)


_NEEDED_TO_START = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")


def _most_bytes() -> int:
    return 20 + 4 * (2 * SIDE) ** 2


def _open(picture: bytes | str | Path, most: int) -> BinaryIO:
    """Open the picture as a real file that a child can inherit, after a check of its size."""
    import stat
    import tempfile

    from nca.config import BadInput
    from nca.wording import size_text

    if isinstance(picture, bytes):
        size = len(picture)
    else:
        try:
            found = os.stat(picture)
        except (OSError, ValueError):
            raise BadInput("The picture file cannot be opened; please choose it again.") from None
        if not stat.S_ISREG(found.st_mode):  # a pipe or a device could be read for ever
            raise BadInput("The picture must be a file; please choose another one.")
        size = found.st_size
    if size == 0:
        raise BadInput("This picture file is empty; please choose another one.")
    if size > most:
        text = f"This file is too large; please use a picture of at most {size_text(most)}."
        raise BadInput(text)
    if not isinstance(picture, bytes):
        try:
            return open(picture, "rb")
        except OSError:
            raise BadInput("The picture file cannot be opened; please choose it again.") from None
    file = tempfile.TemporaryFile()
    file.write(picture)
    file.seek(0)
    return file


def _main(folder: str, pixels: str, memory: str, seconds: str, crop: str) -> int:
    """Run the child: picture on standard input; size, newline and pixels on standard output.

    When it refuses the picture, it prints a key of `_SENTENCES` instead.
    """
    _limit_itself(int(memory), float(seconds))
    sys.path.append(folder)
    try:
        image = _read(sys.stdin.buffer, int(pixels), crop == "1")
    except _Refused as refused:
        sys.stdout.write(str(refused))
        return _REFUSED
    sys.stdout.buffer.write(b"%d %d\n" % image.size + image.tobytes())
    return 0


class _Refused(Exception):
    """The picture is refused; the message is a key of `_SENTENCES`."""


def _read(file: BinaryIO, pixels: int, crop: bool) -> Any:
    import importlib
    import warnings

    from PIL import Image

    for name in ("Png", "Jpeg", "WebP", "Gif"):  # else Pillow imports its forty plugins
        importlib.import_module(f"PIL.{name}ImagePlugin")
    from PIL import PngImagePlugin

    # Pillow compares every size it is about to allocate with this, frames of a GIF included.
    Image.MAX_IMAGE_PIXELS = pixels
    PngImagePlugin.MAX_TEXT_CHUNK = _PROFILE_BYTES  # also the limit of a colour profile
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    data = file.read()
    if not _SIGNATURE.match(data):
        raise _Refused("format")
    try:
        image = Image.open(io.BytesIO(_without_text(data)), formats=FORMATS)
        for frame in range(min(getattr(image, "n_frames", 1), _BLANK_FRAMES)):
            if frame:
                image.seek(frame)
            small = shrink(image if frame == 0 else image.copy(), crop)
            if small is not None:
                return small
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise _Refused("pixels") from None
    except MemoryError:
        raise _Refused("costly") from None
    except Exception:
        raise _Refused("broken") from None
    raise _Refused("hidden")


def _without_text(data: bytes) -> bytes:
    """A PNG without its text chunks and any too large colour profile; other formats unchanged.

    Pillow refuses pictures with long texts, and some programs write megabytes of them.
    """
    if not data.startswith(b"\x89PNG"):
        return data
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if kind not in (b"tEXt", b"zTXt", b"iTXt") and not (
            kind == b"iCCP" and _is_too_large(data[at + 8 : end - 4])
        ):
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def _is_too_large(iccp: bytes) -> bool:
    """Whether the colour profile in an iCCP chunk is longer than allowed, or damaged."""
    import zlib

    try:
        packed = iccp[iccp.index(b"\0") + 2 :]
        unpacker = zlib.decompressobj()
        return len(unpacker.decompress(packed, _PROFILE_BYTES + 1)) > _PROFILE_BYTES
    except (ValueError, zlib.error):
        return True


def _limit_itself(memory: int, seconds: float) -> None:
    try:
        import resource
    except ImportError:  # Windows: the parent's timeout still applies
        return
    bounds = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: int(seconds) + 1,
        resource.RLIMIT_FSIZE: _most_bytes(),
        resource.RLIMIT_CORE: 0,
    }
    for what, bound in bounds.items():
        try:
            resource.setrlimit(what, (bound, bound))
        except (OSError, ValueError):  # not every system has every limit
            pass


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))

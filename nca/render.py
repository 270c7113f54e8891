"""States as pictures and animations.

States are torch or numpy float [..., H, W, C >= 4] whose first channels are premultiplied RGBA; or,
where frames are already drawn, uint8 [..., H, W, 4], straight RGBA.
"""

from __future__ import annotations

import io
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nca.config import BadInput, Limits, whole_number
from nca.files import write_atomic
from nca.gif import gif_bytes, to_palette

States: TypeAlias = "Tensor | np.ndarray | Sequence[Tensor] | Sequence[np.ndarray]"
Format = Literal["gif", "webp", "apng", "mp4", "webm"]
Background = Literal["white"] | None

GIF_FPS = (20, 25, 50)  # delays are multiples of 10 ms, and browsers slow down anything shorter
_MOST_PIXELS = 60_000_000  # of a whole animation after enlarging; a larger one gets a smaller scale


def to_rgba8(states: States) -> np.ndarray:
    """States as uint8 [..., H, W, 4], straight alpha; uint8 RGBA passes through.

    Alpha is clipped to [0, 1] and colour divided by it; where alpha rounds to 0, all is 0.
    """
    return _each(states, _straight)


def to_rgb8(states: States, background: float = 1.0) -> np.ndarray:
    """States on a grey background in [0, 1], white by default: uint8 [..., H, W, 3].

    A cell is drawn as `clip(rgb + background * (1 - alpha))`.
    """
    return _each(states, lambda x: _on_background(x, background))


def _each(states: States, draw: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Apply `draw` to one [H, W, C] at a time, so that a long run is not copied as floats."""
    if isinstance(states, Sequence) or states.ndim > 3:
        return np.stack([_each(state, draw) for state in states])
    return draw(_array(states))


def _straight(x: np.ndarray) -> np.ndarray:
    if x.dtype == np.uint8:
        return x
    alpha = _unit(x[..., 3:])
    shown = alpha >= 0.5 / 255
    colour = _unit(x[..., :3] / np.where(shown, alpha, 1))
    rgba = np.concatenate([colour, alpha], -1) * shown
    return (rgba * 255 + 0.5).astype(np.uint8)


def _on_background(x: np.ndarray, background: float) -> np.ndarray:
    if x.dtype == np.uint8:
        x = x / np.float32(255)
        x[..., :3] *= x[..., 3:]
    rgb = x[..., :3] + np.float32(background) * (1 - _unit(x[..., 3:]))
    return (_unit(rgb) * 255 + 0.5).astype(np.uint8)


def _unit(x: np.ndarray) -> np.ndarray:
    """Clipped to [0, 1], NaN to 0."""
    return np.fmin(np.fmax(x, np.float32(0)), np.float32(1))


def preview_scale(size: tuple[int, int], most: int) -> int:
    """Pixels per cell, at most `most`, for a preview of about 288 pixels of a grid [H, W]."""
    return min(most, max(1, 288 // max(size)))


def fitting_scale(cells: int, scale: int) -> int:
    """`scale` pixels per cell, or fewer where a film would take too much memory.

    Args:
        cells: of all frames together.
        scale: wanted.
    """
    return max(1, min(scale, int((_MOST_PIXELS / max(1, cells)) ** 0.5)))


def upscale(frames: np.ndarray, scale: int) -> np.ndarray:
    """Frames [..., H, W, channels] enlarged `scale` times, every cell a square."""
    return frames if scale == 1 else frames.repeat(scale, -3).repeat(scale, -2)


def image(state: States, scale: int = 1, background: Background = None) -> Image.Image:
    """One state [H, W, C >= 4] as an RGBA picture, or as RGB on white."""
    pixels = to_rgba8(state) if background is None else to_rgb8(state)
    return Image.fromarray(upscale(pixels, scale))


def contact_sheet(
    states: States, columns: int = 7, gap: int = 1, scale: int = 1, clear: bool = False
) -> Image.Image:
    """States [N, H, W, C >= 4] in rows of `columns`, `gap` pixels between them.

    RGB on white, or RGBA if `clear`.
    """
    return _sheet(to_rgba8(states) if clear else to_rgb8(states), columns, gap, scale)


def _sheet(cells: np.ndarray, columns: int, gap: int, scale: int) -> Image.Image:
    cells = upscale(cells, scale)
    count, height, width, channels = cells.shape
    rows = -(-count // columns)
    shape = rows * (height + gap), columns * (width + gap), channels
    sheet = np.full(shape, 255 if channels == 3 else 0, np.uint8)
    for index, cell in enumerate(cells):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = cell
    return Image.fromarray(sheet[: sheet.shape[0] - gap, : sheet.shape[1] - gap])


def side_by_side(x: Tensor) -> Tensor:
    """Pictures [K, H, W, C] as one, [rows * H, columns * W, C], as near to a square as may be."""
    columns = math.ceil(math.sqrt(len(x)))
    rows = -(-len(x) // columns)
    padded = torch.cat([x, x.new_zeros(rows * columns - len(x), *x.shape[1:])])
    height, width = x.shape[1:3]
    grid = padded.view(rows, columns, height, width, -1).transpose(1, 2)
    return grid.reshape(rows * height, columns * width, -1)


def before_after(
    before: States, after: States, gap: int = 1, scale: int = 1, clear: bool = False
) -> Image.Image:
    """A batch [N, H, W, C >= 4] before a rollout in one row, after it in the row below.

    RGB on white, or RGBA if `clear`.
    """
    draw = to_rgba8 if clear else to_rgb8
    both = np.concatenate([draw(before), draw(after)])
    return _sheet(both, len(both) // 2, gap, scale)


def save_picture(picture: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a picture losslessly, atomically: WebP, or PNG if the path says so."""
    write_atomic(path, picture_bytes(picture, "PNG" if Path(path).suffix == ".png" else "WEBP"))


def picture_bytes(picture: Image.Image, format: Literal["WEBP", "PNG"] = "WEBP") -> bytes:
    """The lossless file that `save_picture` would write."""
    buffer = io.BytesIO()
    options = {"lossless": True, "exact": True, "quality": 20, "method": 0}
    picture.save(buffer, format, **(options if format == "WEBP" else {}))
    return buffer.getvalue()


def save_animation(
    frames: States,
    path: str | os.PathLike[str],
    format: Format | None = None,
    *,
    fps: int = 25,
    scale: int = 4,
    background: Background = None,
    limits: Limits | None = None,
) -> None:
    """Write frames as an animation that loops forever, atomically.

    Args:
        frames: [T, H, W, C >= 4], float premultiplied states or uint8 straight RGBA.
        path: where to.
        format: "gif", "webp", "apng" (both exact, with true alpha), "mp4" (H.264, on white) or
            "webm" (VP9, with alpha); None takes the path's suffix.
        fps: 20, 25 or 50 for GIF, 1 to 60 for the others.
        scale: every cell becomes a square of this side, or a smaller one where many large frames
            would take too much memory.
        background: None keeps transparency, "white" does not; MP4 has none in any case.
        limits: the greatest number of frames.

    Raises:
        BadInput: no frames or too many, or an unknown format, fps or scale.
    """
    kind = format or Path(path).suffix.removeprefix(".").lower()
    kind = "apng" if kind == "png" else kind
    data = animation_bytes(frames, kind, fps=fps, scale=scale, background=background, limits=limits)
    write_atomic(path, data)


def animation_bytes(
    frames: States,
    format: str,
    *,
    fps: int = 25,
    scale: int = 4,
    background: Background = None,
    limits: Limits | None = None,
    most_pixels: float | None = _MOST_PIXELS,
) -> bytes:
    """The file `save_animation` would write, as bytes.

    `most_pixels` is of the whole animation: above, the scale is reduced. None sets no limit.
    """
    check_animation(len(frames), format, fps=fps, scale=scale, limits=limits)
    if background not in (None, "white"):
        raise BadInput('Please let the background be "white", or None for a transparent one.')
    first = frames[0]
    if first.ndim != 3 or first.shape[-1] < 4:
        whole = [len(frames), *first.shape]
        raise BadInput(
            f"The frames must be [time, height, width, at least 4 channels], not {whole}; "
            "of a batch, take one item."
        )
    rgba = to_rgba8(frames)
    if background == "white" and format != "mp4":
        opaque = np.full_like(rgba, 255)
        opaque[..., :3] = to_rgb8(frames)
        rgba = opaque
    if most_pixels is not None:
        # Fewer pixels per cell, rather than a refusal or a server that runs out of memory.
        scale = max(1, min(scale, int((most_pixels / (rgba.size / 4)) ** 0.5)))
    return _ENCODERS[format](to_rgb8(frames) if format == "mp4" else rgba, fps, scale)


def check_animation(
    frames: int, format: str, *, fps: int = 25, scale: int = 4, limits: Limits | None = None
) -> None:
    """Whether so many frames can be saved in this way, before they are grown.

    Raises:
        BadInput: no frames or too many, an unknown format, fps or scale, or MP4 without the
            packages that write it.
    """
    if format not in _ENCODERS:
        raise BadInput(f"Please choose one of the formats {', '.join(_ENCODERS)}.")
    if format in _NAMES and not (find_spec("imageio") and find_spec("imageio_ffmpeg")):
        raise BadInput(
            f"{_NAMES[format]} needs more packages: pip install 'nca-garden[app]'; or choose GIF, "
            "WebP or APNG."
        )
    if format == "gif" and fps not in GIF_FPS:
        raise BadInput("A GIF plays at 20, 25 or 50 frames per second; please choose one of them.")
    whole_number("fps", fps, 1, 60)
    whole_number("scale", scale, 1, 64)
    most = (limits or Limits()).export_frames
    if frames == 0:
        raise BadInput("There are no frames yet; please let it grow first.")
    if frames > most:
        raise BadInput(f"An animation has at most {most} frames; please choose fewer.")


def save_gif(frames: States, path: str | os.PathLike[str], **options: Any) -> None:
    """`save_animation` as GIF: alpha of a half and more is solid, 255 colours for all frames.

    >>> from nca import NCA, NCAConfig, save_gif
    >>> nca = NCA(NCAConfig())
    >>> states = nca.grow(nca.seed(batch=1, size=24), steps=8, seed=0, all_steps=True)
    >>> save_gif(states[:, 0], "growing.gif", fps=20, scale=4)
    """
    save_animation(frames, path, "gif", **options)


def save_webp(frames: States, path: str | os.PathLike[str], **options: Any) -> None:
    """`save_animation` as lossless WebP: exactly the frames, with true alpha."""
    save_animation(frames, path, "webp", **options)


def small_webp(frames: States, fps: int) -> bytes:
    """Frames [T, H, W, C >= 4] as a WebP that is not exact, a fifth as long as one that is."""
    pictures = _Pictures(to_rgba8(frames), 1)
    return pictures.save("WEBP", 1000 / fps, quality=60, alpha_quality=30, method=2)


def save_apng(frames: States, path: str | os.PathLike[str], **options: Any) -> None:
    """`save_animation` as animated PNG: exactly the frames, with true alpha."""
    save_animation(frames, path, "apng", **options)


def save_mp4(frames: States, path: str | os.PathLike[str], **options: Any) -> None:
    """`save_animation` as MP4 (H.264, yuv420p, even sides), on white."""
    save_animation(frames, path, "mp4", **options)


def _gif(rgba: np.ndarray, fps: int, scale: int) -> bytes:
    return gif_bytes(*to_palette(rgba), 100 // fps, scale)


def _webp(rgba: np.ndarray, fps: int, scale: int) -> bytes:
    pictures = _Pictures(rgba, scale)
    return pictures.save("WEBP", 1000 / fps, lossless=True, exact=True, quality=20, method=0)


def _apng(rgba: np.ndarray, fps: int, scale: int) -> bytes:
    # Disposal 0, blend 0: a frame's pixels, transparent ones included, replace what was there.
    return _Pictures(rgba, scale).save("PNG", 1000 / fps, disposal=0, blend=0, compress_level=6)


def _mp4(rgb: np.ndarray, fps: int, scale: int) -> bytes:
    quality = "-crf 14 -preset veryfast -tune animation -movflags +faststart"
    return _video(rgb, fps, scale, "mp4", "libx264", "yuv420p", quality)


def _webm(rgba: np.ndarray, fps: int, scale: int) -> bytes:
    # Alternate reference frames cannot have alpha.
    quality = "-crf 24 -b:v 0 -deadline realtime -cpu-used 6 -row-mt 1 -auto-alt-ref 0"
    return _video(rgba, fps, scale, "webm", "libvpx-vp9", "yuva420p", quality)


def _video(
    frames: np.ndarray, fps: int, scale: int, kind: str, codec: str, pixels: str, quality: str
) -> bytes:
    """Frames [T, H, W, 3 or 4] through ffmpeg."""
    import imageio.v2 as imageio

    # The encoders need even sides; an odd one gets a white, or clear, row or column.
    even = [(0, frames.shape[1] * scale % 2), (0, frames.shape[2] * scale % 2), (0, 0)]
    filling = 255 if frames.shape[-1] == 3 else 0
    # The encoder writes only to a named file; a private folder keeps it from other users.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"film.{kind}")
        film: Any = imageio.get_writer(
            path,
            format="FFMPEG",  # pyright: ignore[reportArgumentType]
            mode="I",
            fps=fps,
            codec=codec,
            pixelformat=pixels,
            macro_block_size=2,
            quality=None,
            ffmpeg_log_level="error",
            output_params=quality.split(),
        )
        with film:
            for frame in frames:
                film.append_data(np.pad(upscale(frame, scale), even, constant_values=filling))
        return path.read_bytes()


_NAMES = {"mp4": "MP4", "webm": "WebM"}
_ENCODERS = {"gif": _gif, "webp": _webp, "apng": _apng, "mp4": _mp4, "webm": _webm}


class _Pictures:
    """Frames uint8 [T, H, W, 4] as Pillow images, enlarged while they are iterated.

    Not a generator, because Pillow iterates more than once for some formats.
    """

    def __init__(self, frames: np.ndarray, scale: int):
        self.frames, self.scale = frames, scale

    def __iter__(self) -> Iterator[Image.Image]:
        for frame in self.frames:
            yield Image.fromarray(upscale(frame, self.scale))

    def save(self, format: str, duration: float, **options: Any) -> bytes:
        buffer = io.BytesIO()
        first = next(iter(self))
        rest = _Pictures(self.frames[1:], self.scale)
        first.save(
            buffer,
            format,
            save_all=True,
            append_images=rest,
            duration=round(duration),
            loop=0,
            **options,
        )
        return buffer.getvalue()


def _array(state: Tensor | np.ndarray) -> np.ndarray:
    """One state's first four channels in numpy, uint8 or float32."""
    if isinstance(state, Tensor):
        state = state[..., :4].detach().cpu()
        state = (state if state.element_size() == 1 else state.float()).numpy()
    return state if state.dtype == np.uint8 else state[..., :4].astype(np.float32, copy=False)

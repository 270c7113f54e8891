"""GIF files, read back by two decoders and block by block."""

import io
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from nca.gif import CLEAR, gif_bytes

pytestmark = pytest.mark.quick


def film(kind, frames=40, side=14):
    """Indices uint8 [T, side, side] whose visible part changes in a way that is hard to draw."""
    draw = np.random.default_rng(3)
    colours = draw.integers(0, CLEAR, (frames, side, side), np.uint8)
    if kind == "every pixel comes and goes":
        return np.where(draw.random(colours.shape) < 0.5, CLEAR, colours).astype(np.uint8)
    still = colours[:1].repeat(frames, 0)
    if kind == "nothing changes":
        return still
    if kind == "nothing is there":
        return np.full_like(still, CLEAR)
    if kind == "two far corners":  # one is erased while the other is drawn
        still[10:20, 0, 0] = still[15:30, -1, -1] = CLEAR
        return still
    assert kind == "it is cut and grows back"
    for t in range(frames):
        still[t, :, : max(0, 10 - t % 20)] = CLEAR
        still[t, 7, 7] = t
    return still


KINDS = [
    "every pixel comes and goes",
    "nothing changes",
    "nothing is there",
    "two far corners",
    "it is cut and grows back",
]


def blocks(data):
    """Length of the palette, then for each frame: its rectangle and whether it has a palette."""
    flags, at, found = data[10], 13, []
    palette = 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    at += palette
    while data[at] != 0x3B:
        if data[at] == 0x2C:
            left, top, width, height = np.frombuffer(data[at + 1 : at + 9], "<u2").tolist()
            found.append(((left, top, width, height), bool(data[at + 9] & 0x80)))
            assert not found[-1][1]
            at += 11
        else:
            assert data[at] == 0x21
            at += 2
        while data[at]:
            at += data[at] + 1
        at += 1
    assert at == len(data) - 1
    return palette, found


@pytest.mark.parametrize("kind", KINDS)
def test_two_decoders_see_exactly_the_frames(kind, tmp_path):
    indices = film(kind)
    palette = np.random.default_rng(1).integers(0, 256, (256, 3), np.uint8)
    data = gif_bytes(indices, palette, 4, scale=2)
    expected = np.concatenate([palette[indices], np.full((*indices.shape, 1), 255, np.uint8)], -1)
    expected[indices == CLEAR] = 0
    expected = expected.repeat(2, 1).repeat(2, 2)

    shown = []
    with Image.open(io.BytesIO(data)) as gif:
        assert gif.info["loop"] == 0
        for index in range(gif.n_frames):
            gif.seek(index)
            shown += [np.asarray(gif.convert("RGBA"))] * (gif.info["duration"] // 40)
    shown = np.stack(shown)
    shown[shown[..., 3] == 0] = 0
    assert np.array_equal(shown, expected)

    path = tmp_path / "film.gif"
    path.write_bytes(data)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-r", "25"]
    raw = subprocess.check_output([*command, "-pix_fmt", "rgba", "-f", "rawvideo", "-"])
    other = np.frombuffer(raw, np.uint8).reshape(-1, *expected.shape[1:]).copy()
    other[other[..., 3] == 0] = 0
    # It gives the last frame once, however long it lasts.
    assert np.array_equal(other, expected[: len(other)])
    assert np.array_equal(other[-1], expected[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_one_palette_for_all_frames(kind):
    palette, frames = blocks(gif_bytes(film(kind), np.zeros((256, 3), np.uint8), 4))
    assert palette == 768 and frames


def test_a_frame_holds_only_what_changed():
    indices = np.full((3, 20, 20), CLEAR, np.uint8)
    indices[:, 5:15, 5:15] = 7
    indices[1:, 8, 9:11] = 3
    indices[2, 6, 6] = CLEAR  # so the second frame covers it too, to erase it
    _, frames = blocks(gif_bytes(indices, np.zeros((256, 3), np.uint8), 4, scale=3))
    assert [rectangle for rectangle, _ in frames] == [
        (15, 15, 30, 30),
        (18, 18, 15, 9),
        (18, 18, 15, 9),
    ]

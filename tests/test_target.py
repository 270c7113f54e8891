"""Targets: emoji, pictures of every kind, and everything that must be refused in one sentence."""

import io
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch
from PIL import Image, ImageDraw

from nca import decode
from nca.config import BadInput, Limits, TargetConfig
from nca.emoji import PICKER, noto_available
from nca.files import write_atomic
from nca.target import emoji_target, image_target, make_target, target_from_png, target_to_png

pytestmark = pytest.mark.quick

SEQUENCES = ["👨‍👩‍👧‍👦", "🇩🇪", "🇯🇵", "🏳️‍🌈", "👍", "👍🏽", "#️⃣", "1️⃣", "❤️", "❤️‍🔥", "👩🏽‍🚀"]


def encode(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def assert_valid(target, grid=72):
    assert target.shape == (grid, grid, 4) and target.dtype == torch.float32
    assert target.min() >= 0 and target.max() <= 1
    assert (target[..., :3] <= target[..., 3:]).all()


def extent(target):
    """(left, top, right, bottom) of what is visible, in cells."""
    rows, columns = torch.where(target[..., 3] > 0.02)
    return columns.min().item(), rows.min().item(), columns.max().item(), rows.max().item()


# Emoji


def test_sequences_are_different_pictures():
    targets = [emoji_target(symbol) for symbol in SEQUENCES]
    for target in targets:
        assert_valid(target)
        assert target[..., 3].sum() > 200
    for index, target in enumerate(targets):
        assert all((target - other).abs().max() > 0.1 for other in targets[:index])


@pytest.mark.parametrize(
    ("typed", "same"), [("❤", "❤️"), ("❤︎", "❤️"), (" 🦎\n", "🦎"), ("😀\ufe0f", "😀"), ("1⃣", "1️⃣")]
)
def test_spaces_and_selectors_do_not_matter(typed, same):
    assert torch.equal(emoji_target(typed), emoji_target(same))


def test_picker_is_drawable_and_starts_like_the_article():
    assert "".join(PICKER[:10]) == "🦎😀💥👁🐠🦋🐞🕸🥨🎄" and len(set(PICKER)) == len(PICKER)
    for symbol in PICKER:
        assert emoji_target(symbol, size=16, padding=8)[..., 3].sum() > 40


def test_size_and_padding():
    target = emoji_target("🐞", size=20, padding=3)
    assert_valid(target, 26)
    left, top, right, bottom = extent(target)
    assert min(left, top) >= 3 and max(right, bottom) < 23 and max(right - left, bottom - top) > 16


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "Please type one emoji, or pick one from the row."),
        (" \t", "Please type one emoji, or pick one from the row."),
        ("ab", "Please type exactly one emoji; “ab” is not one."),
        ("1", "Please type exactly one emoji; “1” is not one."),
        ("🦎🦋", "Please type exactly one emoji; “🦎🦋” holds 2."),
        ("🦎 lizard", "Please type only the emoji; “🦎 lizard” holds something else as well."),
        ("\x00../etc" * 9, "Please type exactly one emoji; “?../etc?../etc?.…” is not one."),
        ("\U0001faeb", "Twemoji has no picture of \U0001faeb yet; please choose another emoji."),
    ],
)
def test_not_one_emoji(typed, sentence):
    with pytest.raises(BadInput) as error:
        emoji_target(typed)
    assert str(error.value) == sentence


@pytest.mark.parametrize("flag", ["🇨🇶", "🇦🇦", "🇿🇿"])
def test_noto_has_no_question_marks_for_flags_it_does_not_know(flag):
    if not noto_available():
        pytest.skip("the font is not installed here")
    with pytest.raises(BadInput, match="Noto has no picture|exactly one emoji"):
        emoji_target(flag, style="noto")
    assert emoji_target("🇳🇿", style="noto")[..., 3].max() > 0.9


@pytest.mark.parametrize(
    "around",
    ["\u200b", "\ufeff", "\u200e", "\u200f", "\u2066", "\u00ad", "\u200d", "\u034f", " \u2060\n"],
)
@pytest.mark.parametrize("emoji", ["🦎", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👩‍👩‍👧", "1️⃣"])
def test_invisible_characters_around_an_emoji(emoji, around):
    drawn = emoji_target(emoji, size=16, padding=6)
    for typed in (around + emoji, emoji + around, around * 3 + emoji + around):
        assert torch.equal(emoji_target(typed, size=16, padding=6), drawn)
    with pytest.raises(BadInput, match="type one emoji"):
        emoji_target(around)


def test_unknown_style():
    with pytest.raises(BadInput, match="style twemoji or noto"):
        emoji_target("🦎", style="windows")


def test_noto_is_drawn_or_says_what_to_do():
    if noto_available():
        lizard = emoji_target("🦎", style="noto")
        assert_valid(lizard)
        assert (lizard - emoji_target("🦎")).abs().max() > 0.3
        family, man = emoji_target("👨‍👩‍👧‍👦", style="noto"), emoji_target("👨", style="noto")
        assert (family - man).abs().max() > 0.3
    else:
        with pytest.raises(BadInput, match="fonts-noto-color-emoji"):
            emoji_target("🦎", style="noto")


# Pictures


def quarters(mode="RGB"):
    """Red, green, blue and white quarters, 64 x 32."""
    image = Image.new("RGB", (64, 32), "white")
    for box, colour in (
        ((0, 0, 31, 15), "red"),
        ((32, 0, 63, 15), "lime"),
        ((0, 16, 31, 31), "blue"),
    ):
        ImageDraw.Draw(image).rectangle(box, fill=colour)
    return image.convert(mode)


@pytest.mark.parametrize(
    "data",
    [
        encode(quarters()),
        encode(quarters("RGBA")),
        encode(quarters().quantize(8)),
        encode(quarters().quantize(8), "GIF"),
        encode(quarters(), "JPEG", quality=95, subsampling=0),
        encode(quarters("CMYK"), "JPEG", quality=95, subsampling=0),
        encode(quarters(), "WEBP", lossless=True),
    ],
    ids=["png", "rgba", "palette", "gif", "jpeg", "cmyk", "webp"],
)
def test_formats_and_modes(data, tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(data)
    target = image_target(path, size=40, padding=4)
    assert_valid(target, 48)
    assert extent(target) == (4, 14, 43, 33)  # 40 x 20, centred
    for (row, column), colour in {
        (18, 12): (1, 0, 0, 1),
        (18, 36): (0, 1, 0, 1),
        (30, 12): (0, 0, 1, 1),
        (30, 36): (1, 1, 1, 1),
    }.items():
        assert (target[row, column] - torch.tensor(colour)).abs().max() < 0.03
    assert target[0, 0].abs().max() == 0


def test_sixteen_bit_grey_is_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(64, 0)
    target = image_target(encode(Image.fromarray(ramp)), size=32, padding=0)
    expected = torch.linspace(0.5 / 32, 31.5 / 32, 32)
    assert (target[16, :, 0] - expected).abs().max() < 0.02


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation):
    upright = quarters().resize((64, 64))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what the camera did, inverse of the note
    stored = upright if orientation == 1 else upright.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Without the child: eight starts would only repeat themselves.
    opened = Image.open(io.BytesIO(encode(stored, exif=exif)))
    shown = np.asarray(decode.shrink(opened, crop=False))
    assert np.array_equal(shown[..., :3], np.asarray(upright))


def test_no_dark_fringe():
    """White on transparent black must stay white at any size."""
    image = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(image).ellipse((20, 20, 180, 180), fill="white")
    target = image_target(image, size=37)
    assert_valid(target, 69)
    partly = (target[..., 3] > 0.05) & (target[..., 3] < 0.95)
    assert partly.sum() > 20
    assert (target[..., :3] - target[..., 3:]).abs().max() < 1 / 255


def test_crop():
    image = Image.new("RGBA", (100, 100))
    image.paste("red", (10, 20, 30, 30))
    assert extent(image_target(image, crop=True, padding=0, size=40)) == (0, 10, 39, 29)
    left, top, right, bottom = extent(image_target(image, crop=False, padding=0, size=40))
    assert 8 <= right - left + 1 <= 10 and 4 <= bottom - top + 1 <= 6


def test_a_small_thing_on_a_large_picture_stays_sharp():
    image = Image.new("RGBA", (2000, 2000))
    image.paste("red", (1600, 1000, 1640, 1040))
    image.paste("blue", (1610, 1010, 1630, 1030))
    target = image_target(encode(image), padding=0)
    assert target[5, 5].tolist() == [1, 0, 0, 1] and target[20, 20].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("size", [(1, 1000), (1000, 1), (1, 1)])
def test_thin_pictures(size):
    target = image_target(encode(Image.new("RGB", size, "red")))
    assert_valid(target)
    assert target[..., 3].max() == 1


def test_background_becomes_transparent_with_soft_edges():
    image = Image.new("RGB", (1200, 900), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((300, 300, 900, 700), fill=(180, 20, 20))
    draw.ellipse((500, 450, 700, 550), fill="white")  # enclosed: stays
    target = image_target(encode(image.resize((300, 225), Image.Resampling.LANCZOS)), size=40,
                          padding=0, background="transparent")  # fmt: skip
    assert_valid(target, 40)
    left, top, right, bottom = extent(target)
    assert (left, right) == (0, 39) and 25 <= bottom - top + 1 <= 29
    assert target[20, 20].min() > 0.98
    assert target[top, 0, 3] == 0
    edge = target[(target[..., 3] > 0.2) & (target[..., 3] < 0.9)]
    straight = edge[:, :3] / edge[:, 3:]
    assert len(edge) > 10 and straight[:, 1].max() < 0.4  # dark red, no white halo


def test_background_that_is_not_even_is_refused():
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    with pytest.raises(BadInput, match="please choose to keep the background"):
        image_target(noise, background="transparent")
    with pytest.raises(BadInput, match="Nothing is left"):
        image_target(Image.new("RGB", (50, 50), "green"), background="transparent")


def test_a_maze_takes_no_minutes():
    maze = np.full((1000, 1000), 255, np.uint8)
    maze[1:-1:2, 1:-1] = 0
    maze[1:-1:4, -2], maze[3:-1:4, 1] = 255, 255
    start = time.perf_counter()
    image_target(maze, background="transparent", crop=False)
    assert time.perf_counter() - start < 8


def test_drawings():
    rgba = np.zeros((30, 60, 4), np.uint8)
    rgba[10:20, 10:50] = (0, 0, 255, 255)
    target = image_target(rgba, size=40, padding=0)
    assert extent(target) == (0, 15, 39, 24)
    assert torch.equal(target, image_target(Image.fromarray(rgba), size=40, padding=0))
    assert torch.equal(target, image_target(encode(Image.fromarray(rgba)), size=40, padding=0))


@pytest.mark.parametrize(
    ("drawing", "sentence"),
    [
        (np.zeros((9, 9, 4), np.uint8), "This drawing is completely transparent"),
        (np.zeros((9, 0, 4), np.uint8), "This drawing is empty"),
        (np.zeros((9, 9, 4), np.float32), "8-bit grey, RGB or RGBA"),
        (np.zeros((9, 9, 9, 4), np.uint8), "8-bit grey, RGB or RGBA"),
        (np.zeros((9, 9, 2), np.uint8), "8-bit grey, RGB or RGBA"),
        (np.zeros((5000, 5000), np.uint8), "This drawing has too many pixels"),
    ],
)
def test_bad_drawings(drawing, sentence):
    with pytest.raises(BadInput, match=sentence):
        image_target(drawing)


# Hostile files


NOT_READ = "This file is not a picture that can be read; please use PNG, JPEG, WebP or GIF."
DAMAGED = "This picture is damaged or incomplete; please save it again or use another one."
BOMB = encode(Image.new("1", (20_000, 20_000)), compress_level=1)
LARGE = "This picture is too large; please use one of at most 16 megapixels."
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8))


def wide_webp():
    """A small animated WebP whose header claims a canvas of 9000 x 8000."""
    other = [Image.new("RGBA", (8, 8), "blue")]
    data = bytearray(
        encode(Image.new("RGBA", (8, 8), "red"), "WEBP", save_all=True, append_images=other)
    )
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = struct.pack("<I", 8999)[:3] + struct.pack("<I", 7999)[:3]
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "This picture file is empty; please choose another one."),
        (b"only text, renamed", NOT_READ),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', NOT_READ),
        (b"SIMPLE  =                    T".ljust(2880), NOT_READ),
        (encode(quarters(), "BMP"), NOT_READ),
        (encode(quarters(), "TIFF"), NOT_READ),
        (encode(NOISE)[:9000], DAMAGED),
        (encode(NOISE, "JPEG")[:2000], DAMAGED),
        (encode(NOISE, "WEBP")[:2000], DAMAGED),
        (BOMB, LARGE),
        (encode(Image.new("L", (4001, 4000)), "JPEG"), LARGE),
        (wide_webp(), LARGE),
        (encode(Image.new("RGBA", (9, 9))), "This picture is completely transparent; "
                                            "please use one that shows something."),
        (bytes(5 * 2**20 + 1), "This file is too large; please use a picture of at most 5 MB."),
    ],
    ids="empty text svg fits bmp tiff png jpeg webp bomb large wide clear bytes".split(),
)  # fmt: skip
def test_refused_quickly_in_one_sentence(data, sentence, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    start = time.perf_counter()
    with pytest.raises(BadInput) as error:
        image_target(path)
    assert str(error.value) == sentence
    assert time.perf_counter() - start < 1 or os.getloadavg()[0] > 2


def test_refusal_of_a_bomb_takes_little_memory(tmp_path):
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(BOMB)
    # ru_maxrss counts what a process was before exec, so a small one has to start the child.
    starter = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[2:], stdin=open(sys.argv[1]), stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    folder = str(Path(PIL.__file__).parents[1])
    child = [sys.executable, "-I", "-S", decode.__file__, folder, "16000000", str(2**30), "10", "1"]
    peak = subprocess.check_output([sys.executable, "-I", "-c", starter, str(bomb), *child])
    assert int(peak) < 150 * 1024


def test_first_frame_of_a_long_gif():
    one = encode(Image.new("RGB", (4, 4), "red").quantize(2), "GIF")
    frame = one[13 + 3 * 2 ** ((one[10] & 7) + 1) : -1]  # after the header and its palette
    data = one[:-1] + 9_999 * frame + one[-1:]
    assert Image.open(io.BytesIO(data)).n_frames == 10_000
    start = time.perf_counter()
    target = image_target(data)
    assert target[36, 36].tolist() == [1, 0, 0, 1]
    assert time.perf_counter() - start < 1 or os.getloadavg()[0] > 2


def test_time_and_memory_of_the_child_end():
    data = encode(Image.new("RGB", (3000, 3000), "red"))
    for limits in (Limits(decode_seconds=0.01), Limits(decode_bytes=64 * 2**20)):
        with pytest.raises(BadInput, match="takes too long to read|damaged"):
            image_target(data, limits=limits)


def test_the_child_sees_no_secrets(monkeypatch, tmp_path):
    """A stand-in for the script prints its environment where a picture should be."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    spy, seen = tmp_path / "spy.py", tmp_path / "seen"
    spy.write_text(f"import os; open({str(seen)!r}, 'w').write(repr(dict(os.environ)))")
    monkeypatch.setattr(decode, "__file__", str(spy))
    with pytest.raises(BadInput):
        image_target(b"anything")
    assert "hf_secret" not in seen.read_text()


@pytest.mark.parametrize("answer", ["9999 9999\\n", "2 2\\nxx", "-1 4\\n", "2 2", ""])
def test_a_lying_child_is_not_believed(answer, monkeypatch, tmp_path):
    spy = tmp_path / "spy.py"
    spy.write_text(f"print('{answer}', end='')")
    monkeypatch.setattr(decode, "__file__", str(spy))
    with pytest.raises(BadInput):
        image_target(b"anything")


@pytest.mark.parametrize("path", ["/dev/zero", "/", "/no/such/file", "bad\0name"])
def test_paths_that_are_no_files(path):
    with pytest.raises(BadInput):
        image_target(path)


# Together, and on the disk


def test_make_target_is_what_the_png_holds(tmp_path):
    for config, picture in (
        (TargetConfig(emoji="🦋"), None),
        (TargetConfig(kind="image", size=20, padding=5), encode(NOISE)),
    ):
        target = make_target(config, picture)
        assert_valid(target, config.grid)
        png = target_to_png(target)
        assert torch.equal(target_from_png(png), target)
        assert target_to_png(target_from_png(png)) == png
        (tmp_path / "target.png").write_bytes(png)
        assert torch.equal(target_from_png(tmp_path / "target.png"), target)
    change = make_target(TargetConfig(emoji="🦋")) - emoji_target("🦋")
    assert change.abs().max() < 0.505 / 255


def test_make_target_without_its_picture():
    with pytest.raises(BadInput, match="upload or draw a picture first"):
        make_target(TargetConfig(kind="image"))
    with pytest.raises(BadInput, match="type one emoji"):
        make_target(TargetConfig(kind="emoji"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "size as a whole number"),
        ({"size": 12.5}, "size as a whole number"),
        ({"size": 10**6}, "from 1 to 1,024"),
        ({"padding": -1}, "padding as a whole number"),
    ],
)
def test_sides_out_of_range_are_refused(options, words):
    with pytest.raises(BadInput, match=words):
        emoji_target("🦎", **options)
    with pytest.raises(BadInput, match=words):
        image_target(np.full((8, 8, 3), 255, np.uint8), **options)


@pytest.mark.parametrize("picture", [None, 0, ["a.png"]])
def test_what_is_no_picture_is_refused(picture):
    with pytest.raises(BadInput, match="path, as a file's bytes or as a drawing"):
        image_target(picture)


def optimised(image, **options):
    """A PNG as optimisers write it: a palette or grey, with a tRNS chunk instead of alpha."""
    png = encode(image, **options)
    assert b"tRNS" in png and Image.open(io.BytesIO(png)).mode != "RGBA"
    return png


def test_targets_that_were_optimised_losslessly():
    """The same pixels as the RGBA file, whichever of PNG's forms they are in."""
    straight = np.zeros((6, 5, 4), np.uint8)
    straight[1:4, 1:3], straight[4, 4] = (200, 60, 40, 255), (10, 90, 250, 128)
    whole = target_from_png(encode(Image.fromarray(straight)))
    palette = Image.new("P", (5, 6), 0)
    palette.putpalette([0, 0, 0, 200, 60, 40, 10, 90, 250])
    palette.paste(1, (1, 1, 3, 4))
    palette.putpixel((4, 4), 2)
    for bits in (2, 4, 8):
        small = optimised(palette, bits=bits, transparency=bytes([0, 255, 128]))
        assert torch.equal(target_from_png(small), whole), bits
    two = palette.point([0, 1, 0] + [0] * 253)
    one_bit = optimised(two, bits=1, transparency=bytes([0, 255]))
    straight[4, 4] = 0
    assert torch.equal(target_from_png(one_bit), target_from_png(encode(Image.fromarray(straight))))
    grey = np.zeros((6, 5), np.uint8)
    grey[2:4] = 170
    seen = target_from_png(optimised(Image.fromarray(grey), transparency=0))
    assert seen.shape == (6, 5, 4) and bool((seen[..., 3] == torch.from_numpy(grey > 0)).all())
    assert bool((seen[2:4] == torch.tensor([170 / 255] * 3 + [1.0])).all())


def test_so_many_pictures_that_they_would_fill_the_memory():
    png = target_to_png(torch.zeros(65, 256, 256, 4))
    with pytest.raises(BadInput, match="too many pixels together"):
        target_from_png(png, kinds=65)
    config = TargetConfig(emoji="🦎", more=("🐠",) * 64, size=128, padding=64)
    with pytest.raises(BadInput, match="65 pictures of 256 x 256 cells"):
        make_target(config)


def test_every_8_bit_colour_survives_the_png():
    alpha, colour = np.mgrid[1:256, 0:256]
    straight = np.stack([colour, colour[:, ::-1], colour // 2, alpha], -1).astype(np.uint8)
    png = encode(Image.fromarray(straight))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(target_to_png(target_from_png(png))))),
                          straight)  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [b"", b"text", encode(Image.new("RGBA", (257, 9))), encode(quarters()),
     encode(quarters(), "GIF"), target_to_png(torch.rand(40, 40, 4))[:900], bytes(2**20 + 1)],
    ids="empty text large opaque gif truncated bytes".split(),
)  # fmt: skip
def test_bad_target_pngs(data):
    with pytest.raises(BadInput):
        target_from_png(data)


def test_write_atomic(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"one")
    write_atomic(str(path), b"two")
    assert path.read_bytes() == b"two" and os.listdir(tmp_path) == ["file"]
    write_atomic(path, b"two", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600 or os.name == "nt"
    with pytest.raises(TypeError):
        write_atomic(path, "not bytes")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_atomic(tmp_path / "folder", b"three")
    with pytest.raises(OSError):
        write_atomic(tmp_path / "missing" / "file", b"three")
    assert path.read_bytes() == b"two" and sorted(os.listdir(tmp_path)) == ["file", "folder"]

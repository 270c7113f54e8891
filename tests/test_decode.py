"""Pictures as people have them: every depth of PNG, colour profiles, notes, animations, rubbish."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from nca.config import BadInput, Limits
from nca.decode import _read, _Refused, decode_apart

LIMITS = Limits()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth, colour, rows, *notes):
    """A PNG from packed rows of bytes, with chunks between its header and its pixels."""
    width = len(rows[0]) * 8 // (depth * {0: 1, 2: 3, 4: 2, 6: 4}[colour])
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [chunk(b"IHDR", header), *notes, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def decoded(data, crop=False):
    """uint8 [H, W, 4], premultiplied, by the process that decodes uploads."""
    return decode_apart(data, crop, LIMITS)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("position", ["lowest", "between", "highest"])
def test_a_transparent_grey_of_any_depth(depth, position):
    """Every grey that the depth has in one picture; one of them is transparent, and only it."""
    most = 2**depth - 1
    key = {"lowest": 0, "between": most // 3 + (depth > 8), "highest": most}[position]
    greys = np.arange(most + 1) if depth <= 8 else np.array([*range(0, most, 997), key, most])
    greys = np.append(greys, key).repeat(8 if depth < 8 else 1)
    if depth == 16:
        row = greys.astype(">u2").tobytes()
    else:
        bits = (greys[:, None] >> np.arange(depth - 1, -1, -1)) & 1
        row = np.packbits(bits.astype(np.uint8)).tobytes()
    seen = decoded(png(depth, 0, [row] * 8, chunk(b"tRNS", struct.pack(">H", key))))[0]
    np.testing.assert_array_equal(seen[:, 3], np.where(greys == key, 0, 255))
    expected = np.round(greys * 255 / most) * (greys != key)
    np.testing.assert_allclose(seen[:, 0].astype(float), expected, atol=1)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour(depth):
    """Colours that differ from the key in one channel only, in 16 bits by its low byte only."""
    key = [0x80, 0x40, 0xFF] if depth == 8 else [0x8000, 0x40FF, 0xFF10]
    colours = [key, *([v - (c == i) for c, v in enumerate(key)] for i in range(3)), [0, 0, 0]]
    row = np.repeat(colours, 8, 0).astype(np.uint8 if depth == 8 else ">u2").tobytes()
    note = chunk(b"tRNS", struct.pack(">3H", *key))
    seen = decoded(png(depth, 2, [row] * 8, note))[0, ::8]
    assert seen[:, 3].tolist() == [0, 255, 255, 255, 255]
    high = np.array(colours[1:]) >> (depth - 8)
    np.testing.assert_array_equal(seen[1:, :3], high)


def test_a_drawing_with_a_transparent_colour_in_the_palette():
    picture = Image.new("P", (16, 16), 1)
    picture.putpalette([255, 0, 0, 0, 128, 0, 0, 0, 255])
    picture.paste(2, (4, 4, 12, 12))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=bytes([255, 0, 100]))
    seen = decoded(buffer.getvalue())
    assert seen[0, 0].tolist() == [0, 0, 0, 0] and seen[8, 8].tolist() == [0, 0, 100, 100]


def profile(gamma=2.2, primaries=((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))):
    """A small matrix profile, those of Adobe RGB unless told otherwise, white D50 as ICC has it."""
    x, y = np.array(primaries).T
    columns = np.stack([x / y, np.ones(3), (1 - x - y) / y])
    d65, d50 = np.array([0.9505, 1, 1.0891]), np.array([0.9642, 1, 0.8249])
    columns = columns * np.linalg.solve(columns, d65)
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    adapt = np.linalg.inv(bradford) @ np.diag(bradford @ d50 / (bradford @ d65)) @ bradford
    columns = adapt @ columns

    def fixed(values):
        return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = {b"wtpt": b"XYZ " + bytes(4) + fixed(d50), b"cprt": b"text" + bytes(4) + b"none\0"}
    tags[b"desc"] = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    for name, column in zip((b"r", b"g", b"b"), columns.T, strict=True):
        tags[name + b"XYZ"] = b"XYZ " + bytes(4) + fixed(column)
        tags[name + b"TRC"] = curve
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += name + struct.pack(">II", at + len(body), len(value))
        body += value
    head = struct.pack(
        ">I4sI4s4s4s", at + len(body), bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + fixed(d50) + bytes(48)
    return head + table + body


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_of_a_profile_become_srgb(format, mode):
    if (format, mode) == ("JPEG", "RGBA"):
        pytest.skip("JPEG has no transparency")
    picture = Image.new("RGB", (32, 32), (200, 60, 40)).convert(mode)
    buffer = io.BytesIO()
    options = {"JPEG": {"quality": 100}, "WEBP": {"lossless": True}}.get(format, {})
    picture.save(buffer, format, icc_profile=profile(), **options)
    seen = decoded(buffer.getvalue())[16, 16].astype(int)
    np.testing.assert_allclose(seen, [231, 57, 34, 255], atol=4)


def test_a_profile_of_grey_and_of_a_palette():
    grey = Image.new("L", (32, 32), 100)
    palette = Image.new("RGB", (32, 32), (200, 60, 40)).quantize(4)
    for picture, expected in ((grey, None), (palette, [231, 57, 34])):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", icc_profile=profile())
        seen = decoded(buffer.getvalue())[16, 16, :3].astype(int)
        if expected is None:  # a profile of colours says nothing about where grey lies
            assert np.ptp(seen) <= 1
        else:
            np.testing.assert_allclose(seen, expected, atol=4)


@pytest.mark.parametrize(
    "bad", [b"", b"rubbish", profile()[:200], profile().replace(b"acsp", b"xxxx")]
)
def test_a_bad_profile_counts_as_none(bad):
    note = chunk(b"iCCP", b"icc\0\0" + zlib.compress(bad))
    data = png(8, 2, [bytes([200, 60, 40] * 16)] * 16, note)
    assert decoded(data)[8, 8].tolist() == [200, 60, 40, 255]


def test_the_srgb_profile_changes_nothing():
    picture = Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3))
    buffer = io.BytesIO()
    picture.save(
        buffer,
        "PNG",
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    )
    np.testing.assert_allclose(
        decoded(buffer.getvalue())[..., :3].astype(int), np.asarray(picture), atol=1
    )


@pytest.mark.parametrize(
    "note",
    [
        chunk(b"tEXt", b"prompt\0" + b"x" * 3_000_000),
        chunk(b"zTXt", b"prompt\0\0" + zlib.compress(bytes(50_000_000))),
        chunk(b"iTXt", b"prompt\0\1\0\0\0" + zlib.compress(bytes(50_000_000))),
        chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(50_000_000))),
        chunk(b"iCCP", b"icc\0\0rubbish"),
    ],
    ids=["text", "packed text", "packed unicode text", "endless profile", "damaged profile"],
)
def test_long_notes_before_the_pixels(note):
    assert decoded(png(8, 2, [bytes([255, 0, 0] * 16)] * 16, note))[8, 8].tolist() == [
        255,
        0,
        0,
        255,
    ]


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_that_shows_something(format):
    frames = [Image.new("RGBA", (32, 32)) for _ in range(3)]
    frames[2].paste((0, 0, 255, 255), (8, 8, 24, 24))
    buffer = io.BytesIO()
    options = {"lossless": True} if format == "WEBP" else {"disposal": 2} if format == "GIF" else {}
    frames[0].save(buffer, format, save_all=True, append_images=frames[1:], duration=100, **options)
    np.testing.assert_allclose(
        decoded(buffer.getvalue())[16, 16].astype(int), [0, 0, 255, 255], atol=3
    )


@pytest.mark.parametrize(
    "data", [b"RIFF\x24\0\0\0WAVEfmt ", b"\x89PNX", b"GIF8", b"%PDF-1.7", b"x"]
)
def test_what_is_no_picture_is_called_so(data):
    with pytest.raises(BadInput, match="use PNG, JPEG, WebP or GIF"):
        decoded(data)


def samples():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 7, 4), np.uint8))
    for format in ("PNG", "GIF", "WEBP", "JPEG"):
        buffer = io.BytesIO()
        picture.convert("RGB" if format == "JPEG" else "RGBA").save(buffer, format)
        yield buffer.getvalue()
    yield png(
        2,
        0,
        [b"\x1b"] * 4,
        chunk(b"tRNS", b"\0\3"),
        chunk(b"iCCP", b"i\0\0" + zlib.compress(profile())),
    )
    yield png(16, 2, [bytes(range(12))] * 4, chunk(b"tRNS", bytes(range(6))))


SAMPLES = list(samples())


@given(st.sampled_from(SAMPLES), st.data())
def test_damaged_pictures_are_read_or_refused(sample, data):
    """Bytes changed, cut out or doubled anywhere: the child ends with a picture or with a word."""
    damaged = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(damaged)))
        length = data.draw(st.integers(0, 8))
        damaged[at : at + length] = data.draw(st.binary(max_size=8))
    try:
        image = _read(io.BytesIO(bytes(damaged)), LIMITS.upload_pixels, crop=False)
    except _Refused as refused:
        assert str(refused) in ("format", "pixels", "broken", "hidden", "costly")
    else:
        assert image.mode == "RGBa" and 0 < max(image.size) <= 1024

"""Pictures and films, read back pixel by pixel."""

import io

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

from nca.config import BadInput, Limits
from nca.gif import to_palette
from nca.render import (
    animation_bytes,
    before_after,
    contact_sheet,
    image,
    save_animation,
    save_apng,
    save_gif,
    save_mp4,
    save_picture,
    save_webp,
    to_rgb8,
    to_rgba8,
    upscale,
)

pytestmark = pytest.mark.quick


def disc(colour=(1.0, 0.5, 0.0), side=16):
    """A soft disc, float32 [side, side, 6], premultiplied, with two hidden channels."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    centre = (side - 1) / 2
    alpha = (side / 2 - ((x - centre) ** 2 + (y - centre) ** 2).sqrt()).clamp(0, 1)
    state = torch.full((side, side, 6), -7.0)
    state[..., :3] = torch.tensor(colour) * alpha[..., None]
    state[..., 3] = alpha
    return state


def run(frames=12, colours=False):
    """A disc that shimmers, loses its left half at frame 4 and gets it back at frame 8."""
    states = []
    for t in range(frames):
        state = disc((1.0, 0.5, t / frames)).clone()
        if colours:
            shade = torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(t))
            state[..., :3] = shade * state[..., 3:4]
        if 4 <= t < 8:
            state[:, :8] = 0
        states.append(state)
    return torch.stack(states)


def read(path, fps=25):
    """Frames uint8 [T, H, W, 4] as a viewer shows them; joined equal frames apart again."""
    shown = []
    with Image.open(path) as film:
        assert film.info.get("loop", 0) == 0
        for index in range(film.n_frames):
            film.seek(index)
            film.load()
            lasts = round(film.info["duration"] * fps / 1000)
            shown += [np.asarray(film.convert("RGBA"))] * lasts
    return np.stack(shown)


def test_straight_alpha():
    state = torch.tensor([[[0.25, 0.5, 0.0, 0.5], [2.0, 2.0, -1.0, 1.5], [0.3, 0.0, 0.0, 0.0]]])
    nan = torch.full((1, 1, 4), float("nan"))
    pixels = to_rgba8(torch.cat([state, nan], 1))
    assert pixels.tolist() == [[[128, 255, 0, 128], [255, 255, 0, 255], [0, 0, 0, 0], [0, 0, 0, 0]]]
    assert np.array_equal(to_rgba8(pixels), pixels)


def test_on_white():
    state = torch.tensor([[[0.25, 0.5, 0.0, 0.5], [1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, -3.0]]])
    assert to_rgb8(state).tolist() == [[[191, 255, 128], [255, 0, 0], [255, 255, 255]]]
    assert to_rgb8(state, background=0).tolist() == [[[64, 128, 0], [255, 0, 0], [0, 0, 0]]]
    assert to_rgb8(to_rgba8(disc())).astype(int) == pytest.approx(to_rgb8(disc()), abs=1)


@pytest.mark.parametrize("kind", [torch.stack, list, lambda s: [x.numpy() for x in s],
                                  lambda s: torch.stack(s).double().numpy()])  # fmt: skip
def test_any_kind_of_frames(kind):
    states = list(run(3))
    assert np.array_equal(to_rgba8(kind(states)), np.stack([to_rgba8(s) for s in states]))


def test_upscale_draws_squares():
    pixels = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    large = upscale(pixels, 3)
    assert large.shape == (6, 9, 4) and np.array_equal(large[1::3, 1::3], pixels)
    assert (large[:3, :3] == pixels[0, 0]).all()


@pytest.mark.parametrize("colours", [False, True], ids=["few colours", "many"])
def test_gif_shows_exactly_the_palette_frames(colours, tmp_path):
    states = run(colours=colours)
    save_gif(states, tmp_path / "run.gif", scale=3)
    rgba = to_rgba8(states)
    indices, palette = to_palette(rgba)
    expected = np.where((indices == 255)[..., None], 0, 255).repeat(4, -1)
    expected[..., :3] = np.where((indices == 255)[..., None], 0, palette[indices])
    shown = read(tmp_path / "run.gif").copy()
    shown[shown[..., 3] == 0] = 0
    assert np.array_equal(shown, upscale(expected, 3))
    assert (shown[5, :, :24, 3] == 0).all() and (shown[5, :, 24:, 3] > 0).any()
    solid = rgba[..., 3] >= 128
    assert np.array_equal(solid, indices != 255)
    error = np.abs(palette[indices][solid].astype(int) - rgba[..., :3][solid])
    assert error.max() == 0 if not colours else error.mean() < 14


def test_exactly_255_colours_stay_exact():
    rgba = np.zeros((1, 16, 16, 4), np.uint8)
    rgba[0, ..., 0].flat = range(256)
    rgba[..., 3] = 255
    rgba[0, 0, 0] = 0
    indices, palette = to_palette(rgba)
    assert indices[0, 0, 0] == 255 and np.array_equal(palette[indices][0, ..., 0].flat[1:],
                                                      range(1, 256))  # fmt: skip


@pytest.mark.parametrize("ground", [(255, 255, 255), (217, 238, 221)])
def test_a_plain_ground_stays_exactly_its_colour(ground):
    rgba = np.random.default_rng(0).integers(0, 256, (2, 60, 60, 4), np.uint8)
    rgba[..., 3] = 255
    rgba[:, :, 24:, :3] = ground
    indices, palette = to_palette(rgba)
    assert (palette[indices][:, :, 24:] == ground).all()


def test_empty_frames_make_a_gif():
    shown = read(io.BytesIO(animation_bytes(torch.zeros(3, 8, 8, 4), "gif")))
    assert shown.shape == (3, 32, 32, 4) and (shown[..., 3] == 0).all()


@pytest.mark.parametrize(("save", "name"), [(save_webp, "run.webp"), (save_apng, "run.png")])
def test_lossless_films_are_exact(save, name, tmp_path):
    states = run()
    save(states, tmp_path / name, scale=2)
    assert np.array_equal(read(tmp_path / name), upscale(to_rgba8(states), 2))


def test_white_background(tmp_path):
    states = run(3)
    save_animation(states, tmp_path / "run.webp", background="white", scale=1)
    shown = read(tmp_path / "run.webp")
    assert (shown[..., 3] == 255).all() and np.array_equal(shown[..., :3], to_rgb8(states))


def test_mp4(tmp_path):
    states = run()[:, :15, :13]  # odd sides
    save_mp4(states, tmp_path / "run.mp4", scale=5, fps=30)
    with imageio.get_reader(tmp_path / "run.mp4") as film:
        frames = np.stack([film.get_data(t) for t in range(film.count_frames())])
        assert film.get_meta_data()["fps"] == 30
    assert frames.shape == (12, 76, 66, 3)
    expected = upscale(to_rgb8(states), 5)
    middles = frames[:, 2:75:5, 2:65:5].astype(int) - expected[:, 2::5, 2::5]
    assert np.abs(middles).mean() < 6
    assert frames[5, :, :38].min() > 240  # erased is white


def test_frames_per_second():
    assert Image.open(io.BytesIO(animation_bytes(run(2), "gif", fps=50))).info["duration"] == 20
    for options, sentence in (
        ({"format": "gif", "fps": 30}, "20, 25 or 50"),
        ({"format": "webp", "fps": 0}, "1 to 60"),
        ({"format": "webp", "scale": 0}, "scale"),
        ({"format": "webp", "scale": 2.5}, "scale"),
        ({"format": "webp", "fps": "25"}, "fps"),
        ({"format": "webp", "background": "black"}, "background"),
        ({"format": "exe"}, "formats gif, webp, apng, mp4"),
    ):
        with pytest.raises(BadInput, match=sentence):
            animation_bytes(run(2), **options)


def test_number_of_frames_is_bounded(tmp_path):
    with pytest.raises(BadInput, match="at most 5 frames"):
        save_gif(run(6), tmp_path / "run.gif", limits=Limits(export_frames=5))
    with pytest.raises(BadInput, match="no frames yet"):
        save_gif([], tmp_path / "run.gif")
    assert not list(tmp_path.iterdir())


def test_scale_gives_way_to_memory():
    film = Image.open(io.BytesIO(animation_bytes(np.zeros((300, 200, 200, 4), np.uint8), "gif",
                                                 scale=16)))  # fmt: skip
    assert film.size == (400, 400)


def test_contact_sheet():
    states = run(9)
    sheet = np.asarray(contact_sheet(states, columns=4, gap=2, scale=2))
    assert sheet.shape == (3 * 34 - 2, 4 * 34 - 2, 3)
    assert np.array_equal(sheet[34:66, 34:66], upscale(to_rgb8(states[5]), 2))
    assert (sheet[32:34] == 255).all() and (sheet[68:, 34:] == 255).all()


def test_before_after():
    states = run(6)
    both = np.asarray(before_after(states[:3], states[3:], gap=1))
    assert both.shape == (33, 50, 3)
    assert np.array_equal(both[:16, 17:33], to_rgb8(states[1]))
    assert np.array_equal(both[17:, 17:33], to_rgb8(states[4]))


def test_saved_pictures_are_exact(tmp_path):
    for picture in (image(disc(), scale=3), image(disc(), background="white")):
        for name in ("picture.webp", "picture.png"):
            save_picture(picture, tmp_path / name)
            assert np.array_equal(np.asarray(Image.open(tmp_path / name)), np.asarray(picture))
    assert image(disc(), scale=3).size == (48, 48) and image(disc()).mode == "RGBA"

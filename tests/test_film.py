"""A film to be posted: its frames, its size, its ground."""

import io
import xml.etree.ElementTree as ET

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from nca.config import BadInput
from nca.film import FilmConfig, arrange, film_bytes, on_ground, sample, scale_for

pytestmark = pytest.mark.quick

SIDE = 12


def grown(frames: int = 40) -> list[np.ndarray]:
    """A red square that grows by a row a frame until it fills the grid, then rests."""
    cells = np.zeros((frames, SIDE, SIDE, 4), np.uint8)
    for t in range(frames):
        cells[t, : t + 1] = (200, 30, 20, 255)
        cells[t, 0, 0, 3] = 100  # without any soft cell libwebp declares the whole film opaque
    return list(cells)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_steps_are_sampled_at_the_speed_and_long_runs_in_twenty_seconds():
    config = FilmConfig(speed=1.25)
    assert sample(5, 9, config, 1000) == [5, 6, 7, 8, 9]
    assert sample(0, 100, FilmConfig(speed=5), 1000) == list(range(0, 101, 4))
    assert sample(0, 3, FilmConfig(speed=0.625), 1000) == [0, 0, 1, 1, 2, 2, 3]
    steps = sample(0, 6000, config, 10_000)
    assert 499 <= len(steps) <= 501 and steps[0] == 0 and steps[-1] == 6000
    assert len(sample(0, 6000, config, 50)) <= 51
    assert sample(7, 300, FilmConfig(format="png"), 1000) == [300]
    assert sample(3, 3, config, 1000) == [3]


def test_the_grown_picture_comes_first_rests_are_cut_and_the_end_is_held():
    cells = np.stack(grown())
    order = arrange(cells)
    assert (order[0] == cells[-1]).all() and (order[1:13] == cells[:12]).all()
    assert len(order) == 1 + 12 + 10 + 25 and (order[-25:] == cells[-1]).all()
    assert len(arrange(cells, cut_still=False)) == 1 + 40 + 25
    # What changes too slowly to be seen from frame to frame still counts, once it adds up.
    slow = np.full((60, SIDE, SIDE, 4), 255, np.uint8)
    slow[..., 0] -= np.arange(60, dtype=np.uint8)[:, None, None] * 3
    assert len(arrange(slow)) > 50


@pytest.mark.parametrize("kind", ["gif", "webp", "apng"])
def test_the_thumbnail_of_every_picture_format_is_the_grown_picture(kind):
    film = opened(film_bytes(grown(), FilmConfig(format=kind, side=512)))
    scale = scale_for((SIDE, SIDE), 512)
    assert film.size == (SIDE * scale, SIDE * scale) == (504, 504)
    first = np.asarray(film.convert("RGBA"))
    assert (first[:, 50:, 3] == 255).all()
    film.seek(1)
    assert (np.asarray(film.convert("RGBA"))[-1, :, 3] == 0).all()  # the first row alone


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_videos_have_the_ground(kind, tmp_path):
    path = tmp_path / f"x.{kind}"
    path.write_bytes(film_bytes(grown(), FilmConfig(format=kind, ground="#0000ff")))
    with imageio.get_reader(path) as film:
        frames = [frame for frame in film]
    assert len(frames) == 48 and frames[1].shape == (504, 504, 3)
    red, green, blue = frames[1][-20, 250].astype(int)
    assert blue > 220 and red < 40 and green < 40


def test_a_ground_is_mixed_with_alpha():
    cells = np.array([[[[200, 100, 0, 128], [9, 9, 9, 0]]]], np.uint8)
    assert on_ground(cells, "#ffffff").tolist() == [[[[227, 177, 127, 255], [255] * 4]]]
    assert on_ground(cells, "transparent") is cells


def test_still_pictures_are_the_last_frame():
    frames = [*grown(4), np.zeros((SIDE, SIDE, 4), np.uint8)]
    frames[-1][2, 3:5] = (1, 2, 3, 255)
    frames[-1][7, 7] = (9, 8, 7, 51)
    frames[-1][0, 0] = (255, 0, 255, 4)  # not to be seen, and no shape of its own
    picture = opened(film_bytes(frames, FilmConfig(format="png", side=720)))
    assert picture.size == (720, 720) and picture.getpixel((4 * 60 + 1, 2 * 60 + 1)) == (
        1,
        2,
        3,
        255,
    )
    for ground, count in (("transparent", 2), ("#102030", 3)):
        root = ET.fromstring(film_bytes(frames, FilmConfig(format="svg", ground=ground)))
        paths = root.findall("{http://www.w3.org/2000/svg}path")
        assert len(paths) == count and root.get("viewBox") == "0 0 12 12"
        assert paths[-2].get("d") == "M3 2h2v1H3z" and paths[-2].get("fill") == "#010203"
        assert paths[-1].get("opacity") == "0.2"


def test_a_long_film_has_fewer_frames_not_smaller_ones(monkeypatch):
    monkeypatch.setattr("nca.film._MOST_PIXELS", {"apng": 504 * 504 * 10})
    film = opened(film_bytes(grown(), FilmConfig(format="apng")))
    assert film.size == (504, 504) and film.n_frames <= 11


def test_what_does_not_fit_is_refused():
    with pytest.raises(BadInput, match="no frames"):
        film_bytes([], FilmConfig())
    for wrong in ({"format": "bmp"}, {"side": 5000}, {"ground": "red"}, {"speed": 0}, {"x": 1}):
        with pytest.raises(ValueError):
            FilmConfig.model_validate(wrong)

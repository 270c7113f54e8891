import math

import numpy as np
import pytest

from nca.chart import COLOURS, chart, nice_ticks, sheet

pytestmark = pytest.mark.quick


def rgb(code):
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)])


def where(picture, code):
    """Rows and columns of the pixels of about that colour."""
    near = np.abs(np.asarray(picture, int) - rgb(code)).max(-1) < 24
    return np.nonzero(near)


def test_a_rising_line_rises():
    picture = chart("rise", {"a": [(0, 0.0), (10, 1.0)]}, size=(300, 200))
    assert picture.size == (300, 200) and picture.mode == "RGB"
    rows, columns = where(picture, COLOURS[0])
    left, right = rows[columns < 80].mean(), rows[columns > 240].mean()
    assert left > right + 60  # pictures count rows from the top


def test_lines_keep_to_the_plot_and_the_legend_above_it():
    names = [f"hidden {i}" for i in range(14)]
    lines = {name: [(0, float(i)), (5, float(-i))] for i, name in enumerate(names)}
    picture = chart("many", lines, size=(420, 250))
    assert picture.size == (420, 250)
    for code in COLOURS[:14]:
        assert len(where(picture, code)[0]) > 10  # every line has its own colour


@pytest.mark.parametrize(
    "points", [[], [(0, 1.0)], [(0, 1.0), (1, 1.0)], [(0, math.nan), (1, math.inf), (2, 3.0)]]
)
def test_too_few_or_broken_points_are_no_error(points):
    assert chart("odd", {"a": points}, guide=-2.5, marks={"now": 0}).size == (420, 250)


def test_ticks_are_round_and_enclose():
    assert nice_ticks(0, 1000) == [0, 200, 400, 600, 800, 1000]
    assert nice_ticks(-3.94, -1.2) == [-4, -3, -2, -1]
    assert nice_ticks(2, 2) == [2]
    for low, high in ((-12, 12), (0.001, 0.0034), (-1700, 1000)):
        ticks = nice_ticks(low, high)
        assert ticks[0] <= low and ticks[-1] >= high and 2 <= len(ticks) <= 8


def test_sheet_puts_pictures_in_rows():
    one = chart("a", {"a": [(0, 0), (1, 1)]}, size=(100, 80))
    assert sheet([one] * 3, columns=2).size == (200, 160)
    assert sheet([one], columns=3).size == (100, 80)

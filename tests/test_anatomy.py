import math

import numpy as np
import pytest
import torch

from nca.anatomy import (
    KINDS,
    cell_kinds,
    cell_kinds_picture,
    channel_name,
    channel_pictures,
    channel_strips,
    channels_over_time,
    diverging,
    fire_pictures,
    perception,
    perception_pictures,
    usual_cells,
    value_ranges,
    weight_pictures,
)
from nca.config import NCAConfig
from nca.model import NCA

pytestmark = pytest.mark.quick


def disc(size=12):
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    target = torch.zeros(size, size, 4)
    target[(y - 6) ** 2 + (x - 6) ** 2 < 9] = torch.tensor([1.0, 0.5, 0.0, 1.0])
    return target


def lively(**changes):
    nca = NCA(NCAConfig(channels=6, hidden=(8,), **changes))
    torch.nn.init.normal_(nca.layers[-1].weight, std=0.1, generator=torch.manual_seed(0))
    return nca


def state(nca, target):
    x = torch.zeros(*target.shape[:2], nca.config.channels)
    x[..., :4] = target
    return x


def test_perception_shows_edges_and_their_direction():
    seen = dict(perception(NCA(NCAConfig(channels=6, laplacian="nine_point")), disc()))
    assert list(seen) == ["identity", "Sobel x", "Sobel y", "Laplacian"]
    np.testing.assert_array_equal(seen["identity"], disc().numpy())
    # Alpha rises to the right at the left rim, falls at the right rim, and is flat inside.
    assert seen["Sobel x"][6, 3, 3] > 0.2 and seen["Sobel x"][6, 9, 3] < -0.2
    assert seen["Sobel y"][3, 6, 3] > 0.2 and seen["Sobel y"][9, 6, 3] < -0.2
    for name in ("Sobel x", "Sobel y", "Laplacian"):
        assert np.abs(seen[name][6, 6]).max() < 1e-6
    turned = dict(perception(NCA(NCAConfig(channels=6)), disc(), angle=math.pi / 2))
    np.testing.assert_allclose(turned["Sobel x"], -seen["Sobel y"], atol=1e-6)
    names = [name for name, _ in perception(NCA(NCAConfig(perception="learned")), disc())]
    assert names[0] == "trained identity"


def test_perception_pictures():
    pictures = dict(perception_pictures(NCA(NCAConfig(channels=6)), disc(), scale=2))
    assert all(p.size == (24, 24) for p in pictures.values())
    assert pictures["identity"].getpixel((12, 12)) == (255, 128, 0, 255)
    assert pictures["identity"].getpixel((0, 0)) == (0, 0, 0, 0)
    left, right = (pictures["Sobel x"].getpixel((x, 12)) for x in (6, 18))
    assert left[0] > left[2] and right[2] > right[0]  # red is a rise, blue a fall


def test_fire_masks_are_nested_and_as_dense_as_they_say():
    pictures = fire_pictures((64, 64), t=3, seed=5, scale=1)
    assert [name for name, _ in pictures] == ["25%", "50%", "75%"]
    masks = [np.asarray(p)[..., 0] < 128 for _, p in pictures]
    for mask, share in zip(masks, (0.25, 0.5, 0.75), strict=True):
        assert mask.mean() == pytest.approx(share, abs=0.03)
    assert (masks[0] <= masks[1]).all() and (masks[1] <= masks[2]).all()
    later = np.asarray(fire_pictures((64, 64), t=4, seed=5, scale=1)[1][1])[..., 0] < 128
    assert (later != masks[1]).mean() > 0.3


def test_cells_are_mature_growing_or_empty():
    nca = NCA(NCAConfig(channels=6))
    kinds = cell_kinds(nca, nca.seed(1, 8)[0])
    assert kinds[4, 4] == 2 and (kinds == 1).sum() == 8 and (kinds == 0).sum() == 55
    picture = cell_kinds_picture(nca, nca.seed(1, 8)[0], scale=2)
    seen = {"#{:02x}{:02x}{:02x}".format(*c) for _, c in picture.getcolors()}
    assert picture.size == (16, 16) and seen == set(KINDS.values())
    faint = nca.seed(1, 8)[0] * 0.05  # below the threshold nobody lives
    assert not cell_kinds(nca, faint).any()


def test_diverging_colours():
    colours = diverging(torch.tensor([-2.0, 0.0, 1.0, math.nan, math.inf]))
    assert colours[0].tolist() == [26, 107, 224] and colours[1].tolist() == [255] * 3
    assert colours[2, 0] > colours[2, 2] > 100  # half of the full red
    assert colours[3].tolist() == colours[4].tolist() == [0, 0, 0]
    assert diverging(np.zeros(3)).tolist() == [[255] * 3] * 3
    assert (diverging(np.array([5.0]), limit=1) == diverging(np.array([1.0]), limit=1)).all()


def test_hidden_channels_over_time():
    nca = lively()
    states = nca.grow(nca.seed(1, 12), 6, 1, all_steps=True)[::3, 0]
    picture = channels_over_time(states, [0, 3, 6], scale=2)
    assert picture.size == (74 + 3 * 26, 16 + 3 * 26)  # 3 steps; alpha and two hidden channels
    seed = picture.crop((74, 16, 74 + 24, 16 + 24))
    assert seed.getpixel((12, 12))[0] > seed.getpixel((12, 12))[2]  # alpha 1 is red
    assert seed.getpixel((2, 2)) == (255, 255, 255)
    broken = states.clone()
    broken[1, 0, 0, 4] = math.nan
    assert channels_over_time(broken, [0, 3, 6]).size == (74 + 3 * 14, 16 + 3 * 14)


def test_usual_cells_are_centre_midway_and_edge():
    nca = NCA(NCAConfig(channels=6))
    assert usual_cells(nca, state(nca, disc())) == {
        "centre": (6, 6), "midway": (6, 7), "edge": (6, 8),
    }  # fmt: skip
    ring = disc()
    ring[6] = 0  # nothing in the seed's row
    cells = usual_cells(nca, state(nca, ring))
    assert ring[cells["edge"]][3] == 1
    assert usual_cells(nca, torch.zeros(12, 12, 6))["edge"] == (6, 11)


def test_ranges_flag_what_is_out_of_hand():
    states = torch.zeros(3, 4, 4, 6)
    states[1, 2, 2] = torch.tensor([0.5, -0.25, 0, 1, -1700.0, math.nan])
    red, green, *_, alpha, fourth, fifth = value_ranges(states)
    assert (red.low, red.high, red.flagged) == (0, 0.5, False) and green.low == -0.25
    assert alpha.name == "alpha" and not alpha.flagged
    assert fourth.name == channel_name(4) == "hidden 1" and fourth.low == -1700
    assert fourth.flagged and fifth.flagged


def test_weights_as_pictures():
    pictures = dict(weight_pictures(lively(), scale=2))
    assert {n: p.size for n, p in pictures.items()} == {
        "layer 1: 18 to 8": (36, 16), "layer 2: 8 to 6": (16, 12),
    }  # fmt: skip
    nca = lively()
    nca.layers[1].weight.data.zero_()
    nca.layers[1].weight.data[2, 5] = -3
    pixels = np.asarray(dict(weight_pictures(nca, scale=1))["layer 2: 8 to 6"])
    assert pixels[2, 5].tolist() == [26, 107, 224] and (pixels == 255).all(-1).sum() == 47
    trained = dict(weight_pictures(lively(perception="learned"), scale=1))
    assert [p.size for n, p in trained.items() if n.startswith("trained")] == [(48, 24)]


def test_channels_side_by_side_and_one_by_one():
    states = torch.zeros(3, 4, 5, 6)
    states[1, 2, 3, 4] = -2.0
    states[2, :, :, 4] = 1.0
    strips = channel_strips(states, scale=2, gap=1)
    assert [name for name, _, _ in strips] == ["alpha", "hidden 1", "hidden 2"]
    _, limit, strip = strips[1]
    assert strip.size == (3 * 11, 8) and 1 < limit < 2  # one value in a hundred may exceed it
    assert strip.getpixel((11 + 6, 4)) == (26, 107, 224) and strip.getpixel((0, 0)) == (255,) * 3
    assert strips[2][1] == 1 and strips[2][2].getcolors() == [(33 * 8, (255, 255, 255))]
    pictures = dict(channel_pictures(states[2]))
    assert len(pictures) == 6 and pictures["hidden 1"].getcolors() == [(20, (232, 89, 13))]

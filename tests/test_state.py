import pytest
import torch

from nca.config import BadInput
from nca.state import SHAPES, damage, to_rgb


def test_halves_take_exactly_half():
    x = torch.ones(1, 6, 8, 5)
    assert damage(x, "half-left")[0, :, :, 0].sum(0).tolist() == [0] * 4 + [6] * 4
    assert damage(x, "half-right")[0, :, :, 0].sum(0).tolist() == [6] * 4 + [0] * 4
    assert damage(x, "half-top")[0, :, :, 4].sum(1).tolist() == [0] * 3 + [8] * 3
    assert damage(x, "half-bottom")[0, :, :, 4].sum(1).tolist() == [8] * 3 + [0] * 3


def test_centre_square_is_16_on_72():
    x = damage(torch.ones(1, 72, 72, 4), "centre")
    assert x[0, 28:44, 28:44].sum() == 0
    assert (x[..., 0] == 0).sum() == 16 * 16


def test_circle_at_a_spot():
    x = damage(torch.ones(2, 40, 40, 4), "circle", centre=(0.5, -0.5), radius=0.25)
    gone = x[0, :, :, 0] == 0
    rows, columns = gone.nonzero().unbind(1)
    assert torch.equal(x[0], x[1])
    assert abs(columns.float().mean() - 29.5) < 0.5 and abs(rows.float().mean() - 9.5) < 0.5
    assert abs(gone.sum() - torch.pi * 5**2) < 8


@pytest.mark.parametrize("shape", ["circle", "stroke"])
def test_random_damage_differs_per_item_and_repeats_per_seed(shape):
    x = torch.ones(4, 32, 32, 4)
    first = damage(x, shape, seed=1)
    assert torch.equal(first, damage(x, shape, seed=1))
    assert not torch.equal(first, damage(x, shape, seed=2))
    assert not torch.equal(first[0], first[1])
    assert 0 < (first == 0).float().mean() < 0.5
    assert torch.equal(x, torch.ones_like(x))


def test_unknown_damage_names_the_known():
    with pytest.raises(BadInput, match="half-left"):
        damage(torch.ones(1, 4, 4, 4), "axe")
    assert len(SHAPES) == len(set(SHAPES))


def test_display_on_white_and_black():
    x = torch.tensor([[0.25, 0.0, 0.0, 0.5], [2.0, -1.0, 0.0, 3.0]])
    assert to_rgb(x).tolist() == [[0.75, 0.5, 0.5], [1.0, 0.0, 0.0]]
    assert to_rgb(x, background=0.0).tolist() == [[0.25, 0.0, 0.0], [1.0, 0.0, 0.0]]

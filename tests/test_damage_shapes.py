"""Which cells a damage shape erases."""

import pytest
import torch

from nca.config import BadInput, TrainConfig
from nca.damage_shapes import ALIVE, DRAWN, HELD_OUT, SHAPES, damage, drawn_damage, erase

pytestmark = pytest.mark.quick


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


RANDOM = [name for name in SHAPES if not name.startswith("half") and name != "centre"]


@pytest.mark.parametrize("shape", RANDOM)
def test_random_damage_differs_per_item_and_repeats_per_seed(shape):
    x = torch.ones(4, 32, 32, 4)
    first = damage(x, shape, seed=1)
    assert torch.equal(first, damage(x, shape, seed=1))
    assert not torch.equal(first, damage(x, shape, seed=2))
    assert not torch.equal(first[0], first[1])
    assert 0 < (first == 0).float().mean() < 0.9
    assert torch.equal(x, torch.ones_like(x))


def test_unknown_damage_names_the_known():
    with pytest.raises(BadInput, match="half-left"):
        damage(torch.ones(1, 4, 4, 4), "axe")


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ([], {}, "no damage called"),
        ("hole", {"radius": float("nan")}, "radius as a number"),
        ("hole", {"radius": -1}, "radius as a number"),
        ("circle", {"centre": (0.5,)}, "two numbers"),
        ("circle", {"centre": (0, "left")}, "two numbers"),
        ("swipes", {"count": 2.5}, "count as a whole number from 1"),
        ("swipe", {"seed": 2**64}, "seed as a whole number"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(shape, options, words):
    with pytest.raises(BadInput, match=words):
        damage(torch.ones(1, 8, 8, 4), shape, **options)


def test_drawn_damage_takes_at_least_one_step():
    with pytest.raises(BadInput, match="steps as a whole number"):
        drawn_damage(torch.ones(1, 8, 8, 4), "swipe", 0)


def body_of(size=72):
    """A disc of 18 cells in radius, off the middle."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    x = torch.zeros(1, size, size, 5)
    x[0, (rows - 30) ** 2 + (columns - 40) ** 2 <= 18**2] = 1
    return x


def erased(shape, seed=0, **options):
    """Share of the body that is erased."""
    x = body_of()
    return 1 - float(damage(x, shape, seed=seed, **options).sum() / x.sum())


@pytest.mark.parametrize(
    ("shape", "low", "high"),
    [("cut", 0.24, 0.76), ("limb", 0.04, 0.26), ("scatter", 0.28, 0.82), ("hole", 0.01, 0.26)],
)
def test_how_much_of_the_body_goes(shape, low, high):
    shares = [erased(shape, seed) for seed in range(60)]
    assert low <= min(shares) and max(shares) <= high and max(shares) > min(shares) + 0.1


@pytest.mark.parametrize("shape", ["swipe", "swipes", "hole", "scrub", "hold"])
def test_free_hand_damage_goes_through_the_body(shape):
    assert all(0 < erased(shape, seed) < 0.95 for seed in range(60))
    wide = [erased("swipe", seed, radius=7) for seed in range(60)]
    narrow = [erased("swipe", seed, radius=2) for seed in range(60)]
    assert all(a > b for a, b in zip(wide, narrow, strict=True))


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_states_without_a_body_and_of_odd_sizes(shape):
    for size in ((1, 1), (3, 7), (16, 5)):
        x = torch.zeros(2, *size, 4)
        assert torch.equal(damage(x, shape), x)
        x[..., 3] = ALIVE / 2
        assert damage(x, shape, seed=3).shape == x.shape
    assert damage(body_of().double(), shape).dtype == torch.float64


def test_what_is_held_out_cannot_be_trained_on():
    for shape in HELD_OUT:
        assert shape in SHAPES
        with pytest.raises(ValueError):
            TrainConfig(damage_shapes=(shape,))


@pytest.mark.parametrize("shape", sorted(DRAWN))
def test_what_is_drawn_step_by_step_is_what_is_erased_at_once(shape):
    x = torch.cat([body_of(), body_of().flip(1)])
    for steps in (1, 7, 60):
        masks = drawn_damage(x, shape, steps, seed=5)
        # A path through the body may begin beyond the grid.
        assert len(masks) == steps and sum(bool(mask[1].any()) for mask in masks) > steps / 2
        assert torch.equal(erase(x, torch.stack(masks).any(0)), damage(x, shape, seed=5))
    first = masks[0].sum()
    assert shape == "hold" or first < torch.stack(masks).any(0).sum() / 2


def test_only_what_is_drawn_can_be_drawn():
    with pytest.raises(BadInput, match="swipe"):
        drawn_damage(body_of(), "cut", 5)


def test_the_number_of_swipes_can_be_given():
    x = body_of()
    one = (damage(x, "swipes", radius=2, count=1) == 0).sum()
    assert one < (damage(x, "swipes", radius=2, count=5) == 0).sum()


def test_an_unknown_shape_is_not_repeated_at_length():
    with pytest.raises(BadInput) as refusal:
        damage(torch.ones(1, 8, 8, 4), "\x1b[31m" + "axe" * 999)
    assert "called '[31maxeaxe" in str(refusal.value) and len(str(refusal.value)) < 300


def test_states_that_cannot_be_damaged_are_refused():
    for x in (torch.zeros(8, 8, 16), torch.zeros(1, 8, 8, 3), None):
        with pytest.raises(BadInput, match="must be .batch, height, width, channels., not"):
            damage(x, "half-left")

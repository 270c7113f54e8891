"""Every engine against the dense oracle: values and gradients, in float64."""

from __future__ import annotations

import ctypes

import pytest
import torch

from nca.config import NCAConfig
from nca.engine import _handoff, choose, dense, sparse
from nca.fire import fire_mask, item_seeds
from nca.model import NCA

SMALL = {"channels": 6, "hidden": (12,)}
T0 = 3


def restless(config: NCAConfig, scale: float = 0.5, dtype: torch.dtype = torch.float64) -> NCA:
    """An automaton with random weights, wild enough that cells come alive and die."""
    nca = NCA(config, init_seed=1).to(dtype)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in nca.layers:
            if layer.bias is not None:
                layer.bias.copy_(0.05 * torch.randn(layer.bias.shape, generator=draw))
        last = nca.layers[-1].weight
        last.copy_(scale * torch.randn(last.shape, generator=draw) / last.shape[1] ** 0.5)
        if config.perception == "learned":
            nca.filters.add_(0.02 * torch.randn(nca.filters.shape, generator=draw).to(dtype))
    return nca


def differentiate(engine, nca, x, steps, keep=None, angle=0.0, seed=5):
    """States, and gradients of a random function of them: {name: tensor}."""
    x = x.clone().requires_grad_()
    nca.zero_grad()
    states = engine.rollout(nca, x, steps, item_seeds(seed, len(x)), T0, keep, angle)
    draw = torch.Generator().manual_seed(9)
    weigh = torch.randn(states.shape, generator=draw, dtype=torch.float64).to(states)
    (states * weigh).sum().backward()
    results = {"states": states.detach(), "x": x.grad}
    for name, parameter in nca.named_parameters():
        results[name] = parameter.grad.clone()
    return results


def assert_equal(ours, right, tolerance=1e-9):
    """What `differentiate` gave for one engine equals what it gave for the other."""
    assert right.keys() == ours.keys()
    for name, expected in right.items():
        assert ours[name].shape == expected.shape, name
        scale = max(1e-12, expected.abs().max().item())
        assert (ours[name] - expected).abs().max().item() <= tolerance * scale, name


def assert_same(nca, x, steps, keep=None, angle=0.0, tolerance=1e-9):
    """sparse equals dense, states and gradients; returns the states."""
    right = differentiate(dense, nca, x, steps, keep, angle)
    assert_equal(differentiate(sparse, nca, x, steps, keep, angle), right, tolerance)
    return right["states"]


def living(states: torch.Tensor) -> list[int]:
    """How many cells are above the threshold, for each state."""
    return [int((state[..., 3] > 0.1).sum()) for state in states]


@pytest.mark.parametrize("alive_mask", ["pre_post", "post"])
@pytest.mark.parametrize("padding", ["zero", "circular"])
@pytest.mark.parametrize("fire_rate", [0.5, 1.0])
def test_growth_from_a_seed(fire_rate, padding, alive_mask):
    """Past step 20, where the ring around the living has mattered many times."""
    config = NCAConfig(**SMALL, fire_rate=fire_rate, padding=padding, alive_mask=alive_mask)
    nca = restless(config)
    states = assert_same(nca, nca.seed(3, (14, 11)).double(), 25, keep=range(26))
    alive = living(states)
    assert alive[0] == 3 and alive[-1] > 60
    above = states[..., 3] > 0.1
    assert (above[:-1] & ~above[1:]).any(), "no cell died"


@pytest.mark.parametrize(
    "settings",
    [
        {"laplacian": "nine_point", "step_size": 0.7},
        {"laplacian": "five_point", "padding": "circular"},
        {"perception": "learned"},
        {"perception": "learned", "laplacian": "five_point", "padding": "circular"},
        {"bias": False, "out_bias": False},
        {"hidden": (20, 17), "out_bias": False},
        {"channels": 20, "hidden": (40, 24, 9, 33)},
        {"channels": 17, "perception": "learned", "laplacian": "nine_point"},
        {"channels": 4, "hidden": (1,), "alive_mask": "post", "alive_threshold": 0.0},
        {"seed_hidden": False, "fire_rate": 0.2, "alive_threshold": 0.3},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_architectures(settings):
    nca = restless(NCAConfig(**{**SMALL, **settings}), scale=1.0)
    states = assert_same(nca, nca.seed(2, (12, 15)).double(), 22, keep=(0, 5, 21, 22))
    assert living(states)[-1] != living(states)[0]


def test_rotated_senses():
    nca = restless(NCAConfig(**SMALL, perception="learned"))
    turned = assert_same(nca, nca.seed(1, 12).double(), 20, angle=0.7)
    straight = assert_same(nca, nca.seed(1, 12).double(), 20)
    assert (turned - straight).abs().max() > 0.01


@pytest.mark.parametrize("alive_mask", ["pre_post", "post"])
@pytest.mark.parametrize("padding", ["zero", "circular"])
def test_states_from_outside(padding, alive_mask):
    """Values where nothing lives are perceived, then zeroed, and have gradients."""
    nca = restless(NCAConfig(**SMALL, padding=padding, alive_mask=alive_mask))
    x = 0.06 * torch.randn(2, 9, 13, 6, generator=torch.Generator().manual_seed(1)).double()
    alive = torch.nn.functional.max_pool2d(x[..., 3], 3, 1, 1) > 0.1
    assert 0 < alive.float().mean() < 1 and (x[~alive] != 0).all()
    assert_same(nca, x, 6, keep=(1, 6))


def test_the_ring_decides():
    """A cell outside `pre` may keep its neighbour alive: skipping on 3 x 3 would be seen here."""
    config = NCAConfig(**SMALL, fire_rate=1.0)
    nca = restless(config)
    x = nca.seed(1, (14, 11)).double()
    states = assert_same(nca, x, 30, keep=range(31))
    with torch.no_grad():
        different = 0
        for t, state in enumerate(states[:-1]):
            fires = fire_mask(14, 11, T0 + t, item_seeds(5, 1), 1.0, "cpu")[..., None]
            pre = nca.alive(state)[..., None]
            grown = state + nca.update(nca.perceive(state)) * fires * pre
            different += int((grown * nca.alive(grown)[..., None] * pre != states[t + 1]).any())
    assert different > 0


def test_dying_out():
    nca = restless(NCAConfig(**SMALL))
    with torch.no_grad():
        nca.layers[-1].weight.zero_()
        nca.layers[-1].bias.copy_(torch.tensor([0.1, 0.1, 0.1, -0.3, 0.1, 0.1]))
    states = assert_same(nca, nca.seed(2, 9).double(), 20, keep=range(21))
    assert living(states)[0] == 2 and living(states)[-1] == 0
    assert states[-1].abs().max() == 0


@pytest.mark.parametrize("alive_mask", ["pre_post", "post"])
def test_empty_grid(alive_mask):
    nca = restless(NCAConfig(**SMALL, alive_mask=alive_mask))
    with torch.no_grad():
        nca.layers[-1].bias.zero_()
        nca.layers[-1].weight[3] = 0
    assert_same(nca, torch.zeros(2, 8, 8, 6, dtype=torch.float64), 5)


def test_life_from_nothing():
    """With the mask after the update only, a bias may bring an empty grid to life."""
    nca = restless(NCAConfig(**SMALL, alive_mask="post"))
    with torch.no_grad():
        nca.layers[-1].bias[3] = 0.5
        nca.layers[-1].weight.mul_(0.1)
    states = assert_same(nca, torch.zeros(1, 8, 9, 6, dtype=torch.float64), 4, keep=range(5))
    assert living(states)[0] == 0 and living(states)[1] > 0


@pytest.mark.parametrize("padding", ["zero", "circular"])
def test_everything_alive(padding):
    nca = restless(NCAConfig(**SMALL, padding=padding), scale=0.05)
    x = torch.rand(2, 10, 12, 6, generator=torch.Generator().manual_seed(2)).double() + 0.5
    states = assert_same(nca, x, 12, keep=(3, 12))
    assert living(states) == [240, 240]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (2, 2), (3, 19)])
@pytest.mark.parametrize("padding", ["zero", "circular"])
def test_tiny_grids(padding, size):
    nca = restless(NCAConfig(**SMALL, padding=padding))
    assert_same(nca, nca.seed(1, size).double(), 8, keep=(0, 4, 8))


def test_no_steps():
    nca = restless(NCAConfig(**SMALL))
    x = nca.seed(2, 8).double().requires_grad_()
    states = sparse.rollout(nca, x, 0, item_seeds(0, 2))
    assert torch.equal(states[0], x)
    states.sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


def test_long_growth_in_float32():
    """The promise of the design: max|d| < 1e-4 * max(1, max|x|) after 200 steps."""
    nca = restless(NCAConfig(hidden=(64,), out_bias=False), scale=0.1, dtype=torch.float32)
    with torch.no_grad():
        right = dense.rollout(nca, nca.seed(1, 32), 200, item_seeds(1, 1))
        ours = sparse.rollout(nca, nca.seed(1, 32), 200, item_seeds(1, 1))
    assert living(right)[0] > 15
    assert (right - ours).abs().max() < 1e-4 * max(1.0, right.abs().max().item())


def test_same_bits_whatever_the_threads():
    nca = restless(NCAConfig(hidden=(32,)), dtype=torch.float32)
    x = nca.seed(5, (20, 17))
    threads = torch.get_num_threads()
    runs = []
    try:
        for count in (1, 2, 2, 3):
            torch.set_num_threads(count)
            runs.append(differentiate(sparse, nca, x, 40))
    finally:
        torch.set_num_threads(threads)
    assert living(runs[0]["states"])[0] > 50
    for other in runs[1:]:
        assert all(torch.equal(value, other[name]) for name, value in runs[0].items())


def test_a_thread_without_an_item_helps(monkeypatch):
    """One item on two threads: they share its rows, and all stays what the oracle gives."""
    offers, new_offer = [], _handoff.new_offer
    monkeypatch.setattr(_handoff, "new_offer", lambda: offers.append(new_offer()) or offers[-1])
    # Who waits here keeps the core, or on a busy machine the helper might always come too late.
    nothing = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p).value
    monkeypatch.setattr(_handoff, "yield_address", lambda: nothing)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    nca = restless(NCAConfig(perception="learned", padding="circular"), scale=0.1)
    x = torch.rand(1, 40, 41, 16, generator=torch.Generator().manual_seed(3)).double()
    right = differentiate(dense, nca, x, 30)
    assert living(right["states"])[-1] > 1000
    for _ in range(50):
        offers.clear()
        assert_equal(differentiate(sparse, nca, x, 30), right)
        if len(offers) == 2 and all(offer.slots[_handoff.DONE] > 0 for offer in offers):
            return
    raise AssertionError("nobody ever helped")


def test_not_a_number_is_not_hidden():
    nca = restless(NCAConfig(**SMALL))
    with torch.no_grad():
        nca.layers[0].weight[0, 0] = torch.nan
    states = sparse.rollout(nca, nca.seed(1, 9).double(), 3, item_seeds(0, 1))
    assert states.isnan().any()


def test_gradients_only_where_asked():
    nca = restless(NCAConfig(**SMALL))
    x = nca.seed(1, 9).double()
    nca.layers[0].weight.requires_grad_(False)
    sparse.rollout(nca, x, 4, item_seeds(0, 1)).sum().backward()
    assert nca.layers[0].weight.grad is None and nca.layers[1].weight.grad is not None
    with torch.no_grad():
        assert not sparse.rollout(nca, x, 4, item_seeds(0, 1)).requires_grad


def test_strided_states_and_other_types():
    nca = restless(NCAConfig(**SMALL))
    x = nca.seed(1, (9, 9)).double().permute(0, 2, 1, 3)
    assert_same(nca, x, 9)
    half = nca.to(torch.bfloat16)
    y = half.seed(1, 9)
    seeds = item_seeds(0, 1)
    assert torch.equal(sparse.rollout(half, y, 3, seeds), dense.rollout(half, y, 3, seeds))


def test_the_default_on_a_cpu():
    assert choose(NCAConfig(), "cpu") is sparse
    nca = restless(NCAConfig(**SMALL))
    x = nca.seed(2, 10).double()
    every = nca.grow(x, 12, seed=3, t0=2, all_steps=True)
    last = nca.grow(x, 12, seed=3, t0=2)
    assert torch.equal(every[0], x) and torch.equal(every[-1], last)

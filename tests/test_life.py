import math

import pytest
import torch

from nca.anatomy import value_ranges
from nca.damage_shapes import damage
from nca.life import Life, live
from nca.ui.inspect.cache import LifeCache
from tests.test_anatomy import lively

pytestmark = pytest.mark.quick


def grown(nca, size, steps, shape=None, seed=5):
    """Every state [T, H, W, C] by `nca.grow`, damaged at half of the life."""
    if shape is None:
        return nca.grow(nca.seed(1, size), steps, seed, all_steps=True)[:, 0]
    middle = steps // 2
    before = nca.grow(nca.seed(1, size), middle, seed, all_steps=True)[:, 0]
    cut = damage(before[-1:], shape, seed=seed)
    return torch.cat([before[:-1], nca.grow(cut, steps - middle, seed, middle, True)[:, 0]])


@pytest.mark.parametrize("shape", [None, "half-left", "circle"])
@pytest.mark.parametrize("most", [2**27, 9000])  # every step is kept, every fourth
def test_a_life_is_what_grow_grows(shape, most):
    nca, size = lively(), (10, 13)
    states = grown(nca, size, 21, shape)
    life = live(nca, size, 21, seed=5, shape=shape, most_bytes=most)
    assert (len(life.kept) == 22) == (most == 2**27) and life.kept[-1] == 21
    assert life.damaged_at == (10 if shape else None)
    for t in range(22):
        assert torch.equal(life.state(t), states[t]), t
    assert torch.equal(life.state(-3), states[0]) and torch.equal(life.state(99), states[21])
    kept = states[list(life.kept)]
    for row, column in ((5, 6), (5, 7), (0, 0)):
        assert torch.equal(life.trace(row, column), kept[:, row, column])
    assert list(life.ranges) == value_ranges(kept)


def test_a_life_keeps_only_what_lived():
    nca = lively()
    life = live(nca, (64, 64), 8)
    everything = grown(nca, 64, 8, seed=0)
    assert life.nbytes < everything.nbytes / 4
    rows, columns = life.box
    assert everything[:, rows, columns].count_nonzero() == everything.count_nonzero()
    assert everything[:, rows, columns.start].any() and everything[:, rows.stop - 1].any()


def test_a_life_that_breaks_down_is_told():
    nca = lively()
    nca.layers[-1].weight.data.mul_(1e4)
    life = live(nca, (12, 12), 20)
    assert any(r.flagged for r in life.ranges)
    assert not math.isfinite(float(life.state(20).sum()))


def test_the_cache_drops_the_least_recently_used_life():
    nca, made = lively(), []

    def get(name: str) -> Life:
        return lives.get(name, lambda: made.append(name) or live(nca, (10, 10), 4))

    one = live(nca, (10, 10), 4).nbytes
    lives = LifeCache(most_bytes=2 * one)
    assert get("a") is get("a")
    get("b")
    get("a")
    get("c")  # now b goes
    get("a")
    get("b")
    assert made == ["a", "b", "c", "b"]
    lives = LifeCache(most_bytes=1)
    assert get("large") is get("large")

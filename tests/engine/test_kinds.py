"""Cells of several kinds: how kinds are inherited, and the sparse engine against the oracle."""

from __future__ import annotations

import pytest
import torch

from nca.config import BadInput, NCAConfig, checked
from nca.engine import choose, dense, rollout, sparse
from nca.fire import item_seeds
from nca.model import NCA
from nca.state import repaint
from tests.engine.test_engines import assert_equal, differentiate, living, restless

pytestmark = pytest.mark.quick
SMALL = {"channels": 7, "hidden": (12,), "kinds": 3}


def varied(**settings) -> NCA:
    """A restless automaton whose genes differ strongly."""
    nca = restless(NCAConfig(**SMALL | settings), scale=0.3)
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        nca.genes.copy_(0.5 * torch.randn(nca.genes.shape, generator=draw))
    return nca


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"padding": "circular", "alive_mask": "post", "channels": 9},
        {"perception": "learned", "hidden": (20, 17), "bias": False, "fire_rate": 1.0},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_several_kinds_on_one_grid(settings):
    """Growth past step 20 from seeds of three kinds, two that meet, and a wound."""
    nca = varied(**settings)
    x = nca.seed(3, (14, 11), kind=(1, 2, 3)).double()
    x[0, 3, 3] = x[1, 7, 5]
    keep = range(1, 23)
    right = differentiate(dense, nca, x, 22, keep)
    assert_equal(differentiate(sparse, nca, x, 22, keep), right)
    assert right["x"][..., -1].abs().max() == 0, "a kind has no gradient"
    last = right["states"][-1]
    assert living(right["states"])[-1] > 60
    assert {1, 2} <= set(last[0, ..., -1].unique().tolist()), "a border between two kinds"
    assert set(last[2, ..., -1].unique().tolist()) == {0, 3}
    # The same again from the border between the two, cut and then half repainted.
    wounded = last.clone()
    wounded[:, :, 4:6] = 0
    wounded = repaint(wounded, 3, torch.arange(14)[None, :, None].expand(1, 14, 11) > 8)
    again = differentiate(dense, nca, wounded, 5)
    assert_equal(differentiate(sparse, nca, wounded, 5), again)
    assert right["genes"].abs().sum(1).min() > 0


def test_states_that_know_no_kinds():
    """Living cells of kind 0 have genes of 0, and both engines agree on who inherits what."""
    nca = varied()
    x = 0.3 * torch.randn(2, 9, 13, 7, generator=torch.Generator().manual_seed(1)).double()
    x[..., -1] = (x[..., -1] > 0.2) * 2.0
    right = differentiate(dense, nca, x, 6, keep=(1, 6))
    assert_equal(differentiate(sparse, nca, x, 6, keep=(1, 6)), right)


def test_without_genes_it_is_the_automaton_without_kinds():
    nca = varied()
    with torch.no_grad():
        nca.genes.zero_()
    plain = NCA(NCAConfig(channels=6, hidden=(12,))).double()
    plain.load_state_dict({k: v for k, v in nca.state_dict().items() if k != "genes"})
    with torch.no_grad():
        ours = sparse.rollout(nca, nca.seed(2, 12, kind=(3, 1)).double(), 24, item_seeds(5, 2))
        theirs = sparse.rollout(plain, plain.seed(2, 12).double(), 24, item_seeds(5, 2))
    assert torch.equal(ours[..., :-1], theirs) and living(theirs)[0] > 40
    alive = theirs[0, ..., 3] > 0.1
    assert (ours[0, 0, ..., -1][alive[0]] == 3).all() and (ours[0, 1, ..., -1][alive[1]] == 1).all()


@pytest.mark.parametrize("engine", [dense, sparse])
def test_a_new_cell_takes_the_kind_of_its_brightest_neighbour(engine):
    nca = NCA(NCAConfig(**SMALL))  # untrained: nothing but kinds changes
    x = torch.zeros(1, 5, 7, 7)
    x[0, 2, 1, 3], x[0, 2, 1, -1] = 0.5, 1
    x[0, 2, 3, 3], x[0, 2, 3, -1] = 0.9, 2
    x[0, 2, 5, 3], x[0, 2, 5, -1] = 0.9, 3
    kinds = engine.rollout(nca, x, 1, item_seeds(0, 1))[-1, 0, ..., -1]
    assert kinds.int().tolist() == [
        [0, 0, 0, 0, 0, 0, 0],
        [1, 1, 2, 2, 2, 3, 3],  # among equals the first in reading order
        [1, 1, 2, 2, 2, 3, 3],
        [1, 1, 2, 2, 2, 3, 3],
        [0, 0, 0, 0, 0, 0, 0],
    ]


def test_what_dies_loses_its_kind():
    nca = varied()
    with torch.no_grad():
        nca.layers[-1].weight.zero_()
        nca.layers[-1].bias.copy_(torch.tensor([0.1, 0.1, 0.1, -0.3, 0.1, 0.1]))
    states = rollout(nca, nca.seed(2, 9, kind=2).double(), 20, keep=(5, 20))
    assert states[0, ..., -1].max() == 2 and states[1].abs().max() == 0


def test_a_config_without_kinds_is_written_as_before():
    assert "kinds" not in NCAConfig().model_dump() and "kinds" not in NCAConfig().model_dump_json()
    config = NCAConfig(kinds=2)
    assert NCAConfig.model_validate_json(config.model_dump_json()) == config
    assert choose(config, "cpu") is sparse
    with pytest.raises(BadInput, match="fifth channel"):
        checked(NCAConfig, {"channels": 4, "kinds": 2})


def test_kinds_that_do_not_exist():
    nca = NCA(NCAConfig(kinds=2))
    with pytest.raises(BadInput, match="no kind 3; this automaton has kinds 1 to 2"):
        nca.seed(1, 8, kind=3)
    with pytest.raises(BadInput, match="one kind, or 2, one for each item"):
        nca.seed(2, 8, kind=(1, 2, 1))
    with pytest.raises(BadInput, match="no kind 2; this automaton has no kinds"):
        NCA(NCAConfig()).seed(1, 8, kind=2)
    with pytest.raises(BadInput, match="whole numbers from 0 to 2, and 1.5 is none"):
        nca.grow(nca.seed(1, 8) * 1.5, 1)

"""The public rollout: differentiable, equal to the oracle, and clear about what does not fit."""

import doctest

import pytest
import torch

import nca.engine
from nca import NCA, BadInput, NCAConfig, rollout
from nca.engine import dense
from nca.fire import item_seeds


@pytest.fixture
def automaton():
    torch.manual_seed(0)
    made = NCA(NCAConfig(channels=6, hidden=(10,), laplacian="five_point", fire_rate=0.6)).double()
    torch.nn.init.normal_(made.layers[-1].weight, std=0.05)
    return made


def test_values_and_gradients_are_the_oracles(automaton):
    x = torch.rand(3, 9, 11, 6, dtype=torch.float64)
    results = []
    for run in (
        lambda x: rollout(automaton, x, 7, seed=5, t0=3, keep=(0, 4, 7), angle=0.3),
        lambda x: dense.rollout(automaton, x, 7, item_seeds(5, 3), 3, (0, 4, 7), 0.3),
    ):
        automaton.zero_grad()
        start = x.clone().requires_grad_()
        states = run(start)
        (states[..., :4] ** 2 * torch.arange(1, 4).view(3, 1, 1, 1, 1)).sum().backward()
        results.append([states, start.grad, *(p.grad for p in automaton.parameters())])
    for ours, oracle in zip(*results, strict=True):
        torch.testing.assert_close(ours, oracle, rtol=1e-10, atol=1e-12)
    assert torch.equal(rollout(automaton, x, 7, seed=5), automaton.grow(x, 7, seed=5))


@pytest.mark.parametrize("mask", ["pre_post", "post"])
def test_damage_while_it_lives_is_the_oracles_forward_and_backward(mask):
    torch.manual_seed(1)
    config = NCAConfig(channels=6, hidden=(10,), laplacian="nine_point", alive_mask=mask)
    nca = NCA(config).double()
    torch.nn.init.normal_(nca.layers[-1].weight, std=0.1)
    x = torch.rand(2, 9, 11, 6, dtype=torch.float64)
    cells = torch.rand(3, 2, 9, 11) < 0.5
    erased = {0: cells[0], 3: cells[1], 4: cells[2][:1]}

    def slowly(start):
        """Step by step; the event at a step acts on the state before that step."""
        kept, state = [], start
        for step in range(7):
            if step in (3, 5):
                kept.append(state)
            if step in erased:
                state = state * (~erased[step])[..., None]
            state = nca.step(state, 2 + step, item_seeds(5, 2))
        return torch.stack([*kept, state])

    results = []
    for run in (
        lambda start: rollout(nca, start, 7, seed=5, t0=2, keep=(3, 5, 7), erased=erased),
        slowly,
    ):
        nca.zero_grad()
        start = x.clone().requires_grad_()
        states = run(start)
        (states[..., :4] ** 2 * torch.arange(1, 4).view(3, 1, 1, 1, 1)).sum().backward()
        results.append([states, start.grad, *(p.grad.clone() for p in nca.parameters())])
    for ours, oracle in zip(*results, strict=True):
        torch.testing.assert_close(ours, oracle, rtol=1e-10, atol=1e-12)
    assert (results[0][1] == 0)[cells[0]].all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            dict(x=torch.zeros(1, 8, 8, 5)),
            r"must be \[batch, height, width, 6\], not \[1, 8, 8, 5\]",
        ),
        (dict(x=torch.zeros(8, 8, 6)), r"not \[8, 8, 6\]"),
        (dict(x=torch.zeros(0, 8, 8, 6)), "must be"),
        (dict(x=torch.zeros(1, 8, 8, 6)), "float32 on cpu, the automaton is torch.float64"),
        (dict(steps=-1), "steps as a whole number"),
        (dict(steps=1.5), "steps as a whole number"),
        (dict(t0=-3), "t0 as a whole number"),
        (dict(keep=(3, 1)), "ascending steps from 0 to 4"),
        (dict(keep=(5,)), "ascending"),
        (dict(keep=()), "ascending"),
        (dict(keep=3), "ascending"),
        (dict(keep=(1.0,)), "ascending"),
        (dict(t0=2**63), "t0 as a whole number"),
        (dict(angle=float("inf")), "angle as a number of radians, not inf"),
        (dict(angle="left"), "angle as a number"),
        (dict(erased={0: [[True]]}), "as bool"),
        (dict(erased={4: torch.zeros(1, 8, 8, dtype=torch.bool)}), "after 0 to 3 steps, not 4"),
        (dict(erased={0: torch.zeros(1, 8, 8)}), "as bool"),
        (dict(erased={1.0: torch.zeros(1, 8, 8, dtype=torch.bool)}), "after 0 to 3 steps, not 1.0"),
        (dict(erased=[1]), "erased as a dict, not list"),
        (dict(erased={0: torch.zeros(1, 7, 8, dtype=torch.bool)}), r"\[1, 8, 8\]"),
        (dict(seed=[1, 2]), "seed"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(automaton, change, words):
    options = dict(x=torch.zeros(1, 8, 8, 6, dtype=torch.float64), steps=4) | change
    with pytest.raises((BadInput, ValueError), match=words):
        rollout(automaton, options.pop("x"), options.pop("steps"), **options)


def test_the_example_of_the_docstring_runs():
    found = doctest.DocTestFinder().find(nca.engine.rollout, "rollout", globs={})
    assert doctest.DocTestRunner().run(found[0]).failed == 0

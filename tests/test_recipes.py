"""Each recipe's own way, seen in what a Trainer made from it does."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nca.config import BadInput, NCAConfig, TargetConfig, TrainConfig
from nca.goal import Goal
from nca.recipes import RECIPES, recipe, recipes_table
from nca.target import image_target
from nca.trainer import Trainer


def square(size=12):
    target = torch.zeros(size, size, 4)
    target[3:-3, 3:-3] = torch.tensor([1.0, 0.2, 0.1, 1.0])
    return target


def several(kinds):
    """The square, or with kinds one for each, [K, H, W, 4]."""
    return square().expand(kinds, -1, -1, -1) if kinds else square()


def trainer(name, target=None, train=None, **nca):
    """The recipe on a small grid with a small pool; `train` and `nca` replace single settings."""
    found = recipe(name)
    small = {"pool_size": min(found.train.pool_size, 2 * found.train.batch), "iterations": 50}
    return Trainer(
        NCAConfig(**(found.nca.model_dump() | nca)),
        TrainConfig(**(found.train.model_dump() | small | (train or {}))),
        several(found.nca.kinds) if target is None else target,
    )


def lively(t):
    """Weights that do something, so that every step's state is another."""
    draw = torch.Generator().manual_seed(0)
    for p in t.nca.parameters():
        torch.nn.init.normal_(p, std=0.05, generator=draw)
    return t


class Watched:
    """The trainer's engine, which also keeps every step of its rollouts."""

    def __init__(self, engine):
        self.engine, self.rollouts = engine, []

    def rollout(self, nca, x, steps, seeds, **options):
        with torch.no_grad():
            states = self.engine.rollout(nca, x, steps, seeds, keep=range(steps + 1))
        self.rollouts.append((states, steps, options["keep"]))
        return self.engine.rollout(nca, x, steps, seeds, **options)


def watched(t):
    t.engine = Watched(t.engine)
    return t


def shown(t, shares):
    """Pool states that show the target at these shares of its brightness."""
    states = torch.zeros(len(shares), 12, 12, t.nca.config.channels)
    states[..., :4] = square() * torch.tensor(shares).view(-1, 1, 1, 1)
    return states


def errors(states):
    return (states[..., :4] - square()).square().mean(dim=(1, 2, 3))


@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_says_what_it_is(name):
    found = recipe(name)
    assert found.name == name and found.summary.endswith(".") and found.source
    assert trainer(name).train_step().iteration == 1


def test_another_name_is_refused_with_those_there_are():
    with pytest.raises(BadInput, match="studying-growth"):
        recipe("nope")


def test_the_readme_lists_all():
    """What `python -c "import nca.recipes as r; print(r.recipes_table())"` prints."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert recipes_table() in readme


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("growing", 48 * 128 + 128 + 128 * 16 + 16),
        ("cax", 48 * 128 + 128 + 128 * 16 + 16),
        ("jax-nca", 60 * 64 + 64 + 64 * 64 + 64 + 64 * 20),
        ("pytorch-blog", 64 * 128 + 128 + 128 * 16),
        ("studying-growth", 96 * 128 + 128 + 128 * 32 + 32),
    ],
)
def test_sizes(name, parameters):
    assert sum(p.numel() for p in trainer(name).nca.parameters()) == parameters


def test_quick_learns_from_a_seed_and_a_damaged_state_each_time():
    t = lively(trainer("quick", train={"pool_size": 4, "steps_min": 4, "steps_max": 4}))
    t.pool.commit(range(4), shown(t, [1.0, 1.0, 1.0, 1.0]))
    erased, drawn = set(), 0
    for draw in range(24):
        indices, _, x, later = t._start(np.random.default_rng(draw))
        assert len(indices) == 2 and torch.equal(x[0], t.seeds[0])
        whole = shown(t, [1.0])[0]
        kept = x[1].ne(0).any(-1)
        assert torch.equal(x[1][kept], whole[kept])
        erased.add(int(kept.sum()))
        # What is drawn while it lives comes during the rollout, on the damaged item alone.
        assert not later or torch.equal(x[1], whole)
        assert all(cells[1].any() and not cells[0].any() for cells in later.values())
        drawn += bool(later)
    assert len(erased) > 2 and 0 < drawn < 12


def test_growing_never_uses_a_pool():
    t = lively(trainer("growing", train={"steps_min": 4, "steps_max": 4}))
    assert t.pool is None
    for _ in range(2):
        before = t.train_step().before
        assert torch.equal(before, t.nca.seed(8, 12))


def test_persistent_goes_on_from_its_own_states_and_is_never_damaged():
    t = lively(trainer("persistent", train={"pool_size": 8, "steps_min": 4, "steps_max": 4}))
    first = t.train_step().after
    second = t.train_step().before
    assert torch.equal(second[0], t.seeds[0])  # the worst began anew
    grown = {state.numpy().tobytes() for state in first}
    assert sum(state.numpy().tobytes() in grown for state in second[1:]) == 7


def test_regenerating_damages_the_best_three_of_eight():
    t = trainer("regenerating", train={"pool_size": 8, "steps_min": 1, "steps_max": 1})
    shares = [0.9, 0.2, 0.5, 0.8, 0.3, 0.7, 0.4, 0.6]
    t.pool.commit(range(8), shown(t, shares))
    before = t.train_step().before
    alpha = before[..., 3].sum(dim=(1, 2))
    whole = 36 * torch.tensor([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    torch.testing.assert_close(alpha[1:5], whole[:4])
    assert (alpha[5:] <= whole[4:] + 1e-4).all() and (alpha[5:] < whole[4:] - 0.1).any()


def test_cax_returns_the_state_of_the_random_step_to_the_pool():
    t = watched(lively(trainer("cax", train={"pool_size": 8})))
    assert t.seeds[0][6, 6].tolist() == [0, 0, 0, 1] + [0] * 12
    report = t.train_step()
    states, steps, keep = t.engine.rollouts[0]
    assert report.steps == 128 and steps == max(keep)  # what nobody looks at is not run
    assert 64 <= min(keep) and max(keep) < 128 and len(keep) > 1
    pooled = t.pool.sample(range(8))
    found = set()
    for item, state in enumerate(report.after):
        same = [
            s for s in range(64, steps + 1) if torch.allclose(states[s, item], state, atol=1e-5)
        ]
        assert same, "an item is not from any step that may be judged"
        assert any(torch.equal(state, kept) for kept in pooled)
        found.update(same)
    assert len(found) > 1  # each item has its own step
    judged = errors(report.after)
    assert report.loss == pytest.approx(float(judged.mean()), rel=1e-4)
    assert t.config.learning_rate_at(1000) == pytest.approx(1.1e-3)
    assert t.config.learning_rate_at(5000) == pytest.approx(2e-4)


def test_cax_clips_the_whole_gradient_at_one():
    t = lively(trainer("cax", train={"steps_min": 64, "steps_max": 64}))
    t.goal = Goal(t.target, loss=lambda states: 1e6 * states[..., :4].square().mean((2, 3, 4)))
    t.train_step()
    norms = torch.stack([p.grad.norm() for p in t.nca.parameters()])
    assert float(norms.norm()) == pytest.approx(1, rel=1e-3)


def test_jax_nca_averages_over_the_last_eight_and_fires_every_cell():
    t = watched(lively(trainer("jax-nca", train={"steps_min": 64, "steps_max": 64})))
    report = t.train_step()
    states, steps, keep = t.engine.rollouts[0]
    assert list(keep) == list(range(57, 65))
    expected = torch.stack([errors(states[s]) for s in range(57, 65)]).mean()
    assert report.loss == pytest.approx(float(expected), rel=1e-4)
    # Without chance, lives that begin alike stay alike.
    assert torch.equal(states[-1, 0], states[-1, 1])
    norms = torch.stack([p.grad.norm() for p in t.nca.parameters()])
    assert float(norms.norm()) == pytest.approx(1, rel=1e-3)
    assert {t.config.learning_rate_at(i) for i in (0, 99_999)} == {2e-4}


def test_jax_nca_renews_any_item_and_damages_others():
    """Its options: a seed in place of a random item, and damage at the other end of the batch."""
    options = {"pool_size": 8, "steps_min": 8, "steps_max": 8, "damage_count": 3}
    t = trainer("jax-nca", train=options)
    shares = [0.9, 0.2, 0.5, 0.8, 0.3, 0.7, 0.4, 0.6]
    renewed = set()
    for _ in range(12):
        t.pool.commit(range(8), shown(t, shares))
        before = t.train_step().before
        assert torch.equal(before[0], t.seeds[0])
        left = {round(float(state[..., 3].max()), 1) for state in before[1:]}
        renewed |= set(shares) - left
        untouched = before[1:5, ..., 3].sum(dim=(1, 2)) / 36
        assert all(min(abs(float(u) - s) for s in shares) < 1e-3 for u in untouched)
    assert len(renewed) > 3  # not only the worst


def test_jax_blog_runs_128_steps_with_one_damaged_in_four():
    t = watched(trainer("jax-blog", train={"pool_size": 4}))
    t.pool.commit(range(4), shown(t, [0.9, 0.2, 0.5, 0.7]))
    before = t.train_step().before
    assert len(before) == 4 and t.engine.rollouts[0][1] == 128
    assert torch.equal(before[0], t.seeds[0])
    torch.testing.assert_close(before[1:3, ..., 3].sum(dim=(1, 2)), 36 * torch.tensor([0.5, 0.7]))
    # the best one is cut by a circle: inside all is gone, outside nothing
    best = before[3, ..., :4]
    kept = best.ne(0).any(-1)
    torch.testing.assert_close(best[kept], (square() * 0.9)[kept])


def test_pytorch_blog_masks_after_the_update_only_and_above_a_fifth():
    nca = trainer("pytorch-blog", fire_rate=1.0).nca
    with torch.no_grad():
        for p in nca.parameters():
            p.zero_()
    x = torch.zeros(1, 12, 12, 16)
    x[0, 3, 3, 3], x[0, 8, 8, 3] = 0.19, 0.21
    alive = nca.step(x, 0)[0, ..., 3] > 0
    assert alive.nonzero().tolist() == [[8, 8]]
    # A cell that rises by itself far from all life lives: nothing asks how it was before.
    config = nca.config.model_copy(update={"out_bias": True})
    risen = type(nca)(config)
    with torch.no_grad():
        risen.layers[-1].bias[3] = 0.3
    assert (risen.step(torch.zeros(1, 12, 12, 16), 0)[..., 3] > 0).all()
    usual = type(nca)(NCAConfig(fire_rate=1.0))
    with torch.no_grad():
        usual.layers[-1].bias[3] = 0.3
    assert not usual.step(torch.zeros(1, 12, 12, 16), 0).any()


def test_pytorch_blog_always_has_a_seed_and_damages_three():
    t = trainer("pytorch-blog", train={"pool_size": 8, "steps_min": 65, "steps_max": 75})
    t.pool.commit(range(8), shown(t, [0.5] * 8))
    before = t.train_step().before
    assert sum(torch.equal(state, t.seeds[0]) for state in before) == 1
    alpha = before[..., 3].sum(dim=(1, 2))
    torch.testing.assert_close(alpha[1:5], torch.full((4,), 18.0))
    assert (alpha[5:] < 18).any()


def test_studying_growth_renews_what_turned_out_worst():
    """15 % of 8, rounded down, become seeds once they were judged; the batch itself is as drawn."""
    t = lively(trainer("studying-growth", train={"pool_size": 8, "steps_min": 64}))
    report = t.train_step()
    pooled = t.pool.sample(range(8))
    seeds = [bool(torch.equal(state, t.seeds[0])) for state in pooled]
    assert sum(seeds) == 1
    worst = report.after[errors(report.after).argmax()]
    kept = [state for state, seed in zip(pooled, seeds, strict=True) if not seed]
    assert not any(torch.equal(worst, state) for state in kept)
    others = [a for a in report.after if not torch.equal(a, worst)]
    assert len(others) == 7 and all(any(torch.equal(a, k) for k in kept) for a in others)
    at = t.config.learning_rate_at
    assert [at(i) for i in (2999, 3000, 6000, 9000)] == pytest.approx([2e-3, 4e-4, 8e-5, 1.6e-5])


def test_studying_growth_pulls_weights_towards_zero():
    def drawn(decay):
        t = lively(trainer("studying-growth", train={"weight_decay": decay, "steps_min": 64}))
        for _ in range(3):
            t.train_step()
        return np.linalg.norm([float(p.detach().norm()) for p in t.nca.parameters()])

    assert recipe("studying-growth").train.weight_decay == 3e-5
    assert drawn(0.1) < drawn(0.0)


@pytest.mark.long
def test_photo_learns_and_holds_a_full_frame():
    """An opaque picture without an empty cell, grown from one cell and still there much later."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 8), torch.linspace(0, 1, 8), indexing="ij")
    target = torch.stack([0.2 + 0.7 * y, 0.5 * x, 0.8 - 0.6 * y, torch.ones(8, 8)], -1)
    small = {"iterations": 400, "pool_size": 32, "steps_min": 12, "steps_max": 24}
    t = trainer("photo", target, small, channels=12, hidden=(48,))
    for report in t:
        assert report.message is None
    plain = float((target - target.mean(dim=(0, 1))).square().mean())  # the best single colour
    for steps in (32, 500):
        grown = t.nca.grow(t.nca.seed(4, 8), steps, 1)
        assert (grown[..., 3] > 0.5).all()
        assert float((grown[..., :4] - target).square().mean()) < 0.2 * plain


def test_photo_takes_pictures_of_128_cells_that_fill_the_frame():
    found = recipe("photo")
    made = TargetConfig(kind="image", size=128, padding=0)
    assert made.grid == 128 and found.nca.padding == "zero"
    picture = np.full((200, 200, 3), 128, np.uint8)
    picture[:100] = (250, 120, 60)
    target = image_target(picture, made.size, made.padding)
    assert target.shape == (128, 128, 4) and target[..., 3].min() == 1


@pytest.mark.parametrize("name", ["studying-growth", "jax-nca", "pytorch-blog"])
def test_what_recipes_added_resumes_bit_for_bit(name):
    """Seeds given after judging, items in the order they were drawn, weight decay."""

    def fresh():
        return lively(trainer(name, train={"steps_min": 8, "steps_max": 12}))

    whole, first, second = fresh(), fresh(), fresh()
    losses = [whole.train_step().loss for _ in range(6)]
    begun = [first.train_step().loss for _ in range(3)]
    second.load_state_dict(first.state_dict())
    assert begun + [second.train_step().loss for _ in range(3)] == losses
    for name, value in whole.nca.state_dict().items():
        assert torch.equal(value, second.nca.state_dict()[name])

"""Trials of damage and the healing map, on automata whose answer is known."""

import pytest
import torch

from nca.config import NCAConfig
from nca.damage_shapes import HELD_OUT, damage
from nca.fire import item_seeds
from nca.healing import ALL_FAMILIES, BODIES, FAMILIES, Family, heal, healing_map, work
from nca.model import NCA

TINY = NCAConfig(channels=6, hidden=(8,))
SIZE = (16, 16)


def idle():
    """Never changes anything: what is erased stays erased."""
    return NCA(TINY)


def filler(fire_rate=1.0):
    """Drives RGB to 0 and alpha towards 1 wherever anything lives, so it fills the whole grid."""
    nca = NCA(NCAConfig(channels=6, hidden=(8,), fire_rate=fire_rate))
    with torch.no_grad():
        nca.layers[0].weight[0, 3] = 1.0  # hidden 0 sees alpha
        nca.layers[-1].weight[3, 0] = -0.5
        nca.layers[-1].bias[3] = 0.5
    return nca


def test_what_never_changes_never_heals():
    found = heal(idle(), (8, 8), trials=8, steps=40, families=["hole"])["hole"]
    # The only cell is gone: alpha 1 in 8 x 8 x 4 numbers.
    assert found.median == found.worst_tenth == pytest.approx(-2.408, abs=1e-3)
    assert found.healed == 0 and found.recovery is None


def test_a_body_that_died_by_itself_has_not_healed():
    nca = NCA(TINY)
    with torch.no_grad():
        nca.layers[-1].bias[3] = -0.5  # alpha falls below the threshold
    found = heal(nca, SIZE, trials=4, steps=20, families=["limb"])["limb"]
    assert found.healed == 0 and found.median == 12


def test_what_fills_the_grid_heals_every_family():
    # From the middle, 16 steps fill a grid of 16; the youngest body is 30 steps old.
    scores = heal(filler(), SIZE, trials=8, steps=60, families=tuple(ALL_FAMILIES))
    assert scores.keys() == ALL_FAMILIES.keys()
    for name, score in scores.items():
        assert score.trials == 8 and score.healed == 1, name
        assert score.median <= score.worst_tenth < -2.5
        assert 20 <= score.recovery <= 60 and score.recovery % 20 == 0
        assert score.held_out == ALL_FAMILIES[name].held_out


def test_a_score_is_that_of_the_automaton_run_by_hand():
    nca, trials = filler(0.5), 5
    found = heal(nca, SIZE, seed=3, trials=trials, steps=20, families=["cut"])["cut"]
    seeds = item_seeds(30_000, trials)
    bodies = nca.grow(nca.seed(trials, SIZE), 200, seeds)
    later = nca.grow(damage(bodies, "cut", seed=30_001), 20, seeds, t0=200)
    rest = nca.grow(bodies, 20, seeds, t0=200)
    errors = (later - rest)[..., :4].double().square().mean((1, 2, 3)).clamp(1e-12).log10()
    assert found.median == pytest.approx(float(errors.median()), abs=2e-3)


def test_equal_seeds_give_equal_scores_and_others_do_not():
    nca = NCA(TINY)
    torch.nn.init.normal_(nca.layers[-1].weight, std=0.1, generator=torch.manual_seed(0))
    options = dict(trials=6, steps=20, families=["swipe", "drawn swipe"])
    first = heal(nca, SIZE, seed=1, **options)
    assert heal(nca, SIZE, seed=1, **options) == first
    assert heal(nca, SIZE, seed=2, **options) != first


@pytest.mark.parametrize("trials", [1, 7, BODIES + 3])
def test_progress_adds_up_to_the_work(trials):
    names, done = tuple(ALL_FAMILIES), []
    heal(idle(), (8, 8), trials=trials, steps=30, families=names, progress=done.append)
    assert sum(done) == work(names, trials, 30)


def test_half_of_the_families_are_never_trained_on():
    held_out = [name for name, family in FAMILIES.items() if family.held_out]
    assert len(held_out) >= len(FAMILIES) / 2
    assert {family.shape for family in ALL_FAMILIES.values()} >= set(HELD_OUT)
    assert Family("swipe", ages=(30, 60)).at == (30, 40, 50, 60)
    assert Family("swipe").at == (200,)


def test_the_map_of_what_never_heals_and_of_what_always_does():
    dead = healing_map(idle(), (7, 7), radii=(1, 2), spacing=1)
    assert dead.spots.tolist() == [[3, 3]]
    assert not dead.healed.any() and dead.share == 0 and dead.safe_radius() == 0
    assert dead.levels()[3, 3] == 0 and (dead.levels() == -1).sum() == 48
    told = []
    whole = healing_map(
        filler(), (12, 12), radii=(1, 2, 3), age=40, steps=40,
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert len(whole.spots) == 36 and whole.share == 1 and whole.safe_radius() == 3
    assert (whole.levels() == 3).all()
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_body_that_dies_by_itself_has_no_map_of_healing():
    """Nothing is left of it, damaged or not: they are equal, and nothing healed."""
    fading = idle()
    with torch.no_grad():
        fading.layers[-1].bias[3] = -0.01
    assert not healing_map(fading, (7, 7), radii=(1, 2), spacing=1, age=40, steps=200).healed.any()


def test_a_wide_hole_takes_longer_than_a_small_one():
    """One step brings back a hole of a cell and its neighbours, not the middle of a wide one."""
    found = healing_map(filler(), (8, 24), radii=(1, 4), age=60, steps=1)
    small, wide = found.healed.double().mean(0).tolist()
    assert small == 1 and wide < 0.5
    assert set(found.heals_up_to.tolist()) <= {1, 2} and found.safe_radius() == 1

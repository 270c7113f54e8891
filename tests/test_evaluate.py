import json
import math
from dataclasses import replace

import pytest
import torch

from nca.config import NCAConfig
from nca.damage_shapes import damage
from nca.evaluate import (
    CEILING,
    CUTS,
    FLOOR,
    Plan,
    Scores,
    Vitals,
    evaluate,
    evaluate_without_target,
    log10_error,
    turned,
)
from nca.fire import item_seeds
from nca.healing import ALL_FAMILIES, FAMILIES
from nca.model import NCA

SMALL = Plan(
    lives=3, growth=(4, 8, 12), damage_at=8, healing=6, strokes=5, turned_for=8, persistence=40,
    persistence_lives=2, every=2,
)  # fmt: skip
TINY = NCAConfig(channels=6, hidden=(8,))


def idle(size=(12, 12)):
    """An automaton that never changes anything, and the picture that its seed is."""
    nca = NCA(TINY)
    return nca, nca.seed(1, size)[0, ..., :4]


def drifting(speed):
    """Alpha grows by `speed` each step wherever anything lives, in every cell that fires."""
    nca = NCA(TINY)
    with torch.no_grad():
        nca.layers[-1].bias[3] = speed
    return nca


def random_nca(**changes):
    nca = NCA(NCAConfig(channels=6, hidden=(8,), **changes))
    torch.nn.init.normal_(nca.layers[-1].weight, std=0.1, generator=torch.manual_seed(0))
    return nca


def test_an_automaton_that_is_its_target_and_stays():
    nca, target = idle()
    scores = evaluate(nca, target, plan=SMALL)
    assert scores.growth == {4: FLOOR, 8: FLOOR, 12: FLOOR}
    assert scores.persistence == (40, FLOOR)
    assert scores.rotation[0] == scores.rotation[90] == FLOOR  # one cell, turned about itself
    # By 30 degrees a neighbour's place falls at (0.866, 0.5), where the cell still has a share.
    share = (1 - math.cos(math.pi / 6)) * (1 - 0.5)
    assert scores.rotation[30] == pytest.approx(math.log10(4 * share**2 / 576), abs=1e-3)
    assert scores.other_grid == (16, 16, FLOOR)
    # The seed is at (6, 6): cuts of the left and the top spare it, the others erase one cell of
    # alpha 1, and what is gone stays gone: a squared error of 1 in 12 x 12 x 4 numbers.
    gone = pytest.approx(math.log10(1 / 576), abs=1e-4)
    for shape, expected in {
        "half-left": FLOOR, "half-top": FLOOR, "half-right": gone, "half-bottom": gone,
        "centre": gone,
    }.items():  # fmt: skip
        assert scores.damaged[shape].score == expected
        assert scores.damaged[shape].curve[0] == (0, expected)
        assert scores.damaged[shape].curve[-1][0] == 6
    assert scores.damaged["half-left"].healed == 1 and scores.damaged["centre"].healed == 1
    assert scores.halves_healed == 4 and scores.halves == pytest.approx((FLOOR - 2.7604) / 2, 1e-3)


def test_seeds_that_die_at_birth_are_counted():
    """One cell with an alpha of 1 loses 0.95 when it fires: all but those that never fire die."""
    plan = Plan(**{**SMALL.__dict__, "births": 400, "born_by": 2})
    nca = drifting(-0.95)
    born = evaluate(nca, torch.zeros(12, 12, 4), plan=plan).born
    assert born == pytest.approx(0.25, abs=0.08)  # a half of a half
    assert evaluate(idle()[0], idle()[1], plan=plan).born == 1


def test_an_automaton_that_dies():
    """Its alpha falls below the threshold after some steps; then only the target counts."""
    nca = drifting(-0.5)
    target = torch.zeros(12, 12, 4)
    target[2:8, 2:8] = torch.tensor([0.5, 0, 0, 1.0])
    scores = evaluate(nca, target, plan=SMALL)
    dead = pytest.approx(math.log10(36 * 1.25 / 576), abs=1e-4)
    assert scores.growth[12] == dead and scores.persistence[1] == dead
    assert all(scores.damaged[shape].score == dead for shape in CUTS)
    assert scores.halves_healed == 0 and scores.strokes_healed == 0
    assert all(score == dead for score in scores.strokes)
    assert scores.other_grid[2] == dead  # per cell of the own grid, not diluted


def test_an_automaton_that_explodes_still_has_a_score():
    nca = drifting(1e30)
    nca.layers[-1].bias.data[0] = math.inf
    scores = evaluate(nca, torch.zeros(12, 12, 4), plan=SMALL)
    assert scores.growth[12] == CEILING and scores.persistence[1] == CEILING
    assert "Infinity" not in scores.model_dump_json() and "NaN" not in scores.model_dump_json()


def test_scores_are_those_of_the_automaton_run_by_hand():
    """Growth, a cut and a stroke, each followed with the public functions only."""
    nca, target = random_nca(), torch.rand(12, 12, 4, generator=torch.Generator().manual_seed(1))
    scores = evaluate(nca, target, seed=7, plan=SMALL)
    lives = item_seeds(7, 3)
    at8 = nca.grow(nca.seed(3, 12), 8, 7)

    def mean_square(x):
        return (x[..., :4] - target).square().mean(dim=(1, 2, 3)).log10()

    assert scores.growth[8] == pytest.approx(float(mean_square(at8).median()), abs=1e-3)
    healed = nca.grow(damage(at8, "half-top"), 6, 7, t0=8)
    assert scores.damaged["half-top"].score == pytest.approx(
        float(mean_square(healed).median()), abs=1e-3
    )
    turns = [0, 1, 2, 0, 1]
    stroked = nca.grow(damage(at8[turns], "stroke", seed=7), 6, lives[turns], t0=8)
    assert scores.strokes == pytest.approx(mean_square(stroked).tolist(), abs=1e-3)


def test_the_same_seed_gives_the_same_scores_and_they_survive_json():
    nca, target = random_nca(), torch.rand(12, 12, 4, generator=torch.Generator().manual_seed(1))
    first = evaluate(nca, target, seed=3, plan=SMALL)
    assert evaluate(nca, target, seed=3, plan=SMALL) == first
    assert evaluate(nca, target, seed=4, plan=SMALL) != first
    assert Scores.model_validate_json(json.dumps(first.model_dump(mode="json"))) == first


def test_progress_adds_up_to_the_work():
    nca, target = idle()
    for change in ({}, {"angles": (90,), "persistence": 12}, {"trials": 3, "late": (20, 30)}):
        plan = Plan(**{**SMALL.__dict__, **change})
        steps = []
        evaluate(nca, target, plan=plan, progress=steps.append)
        assert sum(steps) == plan.work


def test_a_large_frame_is_scored_on_half_as_many_lives():
    assert Plan.for_grid(72, 72) == Plan.for_grid(100, 100) == Plan(trials=200)
    large = Plan.for_grid(128, 128)
    assert large.lives == 4 and large.strokes == 20 and large.growth == Plan().growth
    assert large.trials == 8 and large.work < 0.1 * Plan(trials=200).work
    assert set(Plan.for_grid(72, 72, full=True).families) == set(ALL_FAMILIES)


def test_turned_senses_grow_the_turned_picture():
    """A quarter turn maps the grid onto itself, so growth with turned senses is exact there."""
    nca = random_nca(fire_rate=1.0)
    straight = nca.grow(nca.seed(1, 13), 6)[0]
    for angle in (90, 180, 270):
        grown = nca.grow(nca.seed(1, 13), 6, angle=math.radians(angle))[0]
        torch.testing.assert_close(turned(straight, angle), grown, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(straight, grown, atol=1e-2)
    torch.testing.assert_close(turned(straight, 360), straight)


def test_turned_is_about_the_seed_and_counter_clockwise():
    picture = torch.zeros(8, 8, 4)
    picture[4, 4] = 1  # where the seed is
    picture[4, 6] = 0.5  # to its right
    up = turned(picture, 90)
    assert up[4, 4, 0] == pytest.approx(1) and up[2, 4, 0] == pytest.approx(0.5)
    assert up.sum() == pytest.approx(6)


def test_late_steps_and_families_of_damage_are_scored():
    nca, target = idle((8, 8))
    plan = Plan(**{**SMALL.__dict__, "trials": 3, "healing_for": 20, "late": (4, 20, 30)})
    scores = evaluate(nca, target, plan=plan)
    assert scores.late == {20: FLOOR, 30: FLOOR}  # 4 is before the last growth score
    assert scores.healing.keys() == FAMILIES.keys()
    shown = scores.summary()
    assert shown["at step 20"] == "-12.00"
    assert "% of 3, worst tenth above -" in shown["scatter, healed (never trained on)"]
    assert "% of 3, worst tenth above -" in shown["swipe, healed"]
    assert Scores.model_validate_json(scores.model_dump_json()) == scores


def test_error_by_hand():
    x = torch.zeros(2, 5, 4, 6)
    target = torch.zeros(5, 4, 4)
    x[1, 0, 0, :4] = 2.0
    x[1, ..., 4:] = 99.0  # hidden channels do not count
    assert log10_error(x, target) == [FLOOR, pytest.approx(math.log10(16 / 80), abs=1e-4)]
    assert log10_error(x[1:], target, cells=2) == [pytest.approx(math.log10(2), abs=1e-4)]


def test_without_a_target_lives_are_counted():
    dying, spreading = drifting(-0.11), drifting(0.3)
    found = evaluate_without_target(dying, (12, 12), plan=SMALL)
    assert found.survival[4] == 1 and found.survival[40] == 0 and found.living[40] == 0
    found = evaluate_without_target(spreading, (12, 12), plan=SMALL)
    assert found.survival[40] == 1 and found.living[4] < found.living[8] < found.living[40] == 1
    assert found.healing == {} and Vitals.model_validate_json(found.model_dump_json()) == found


def test_work_without_a_target_adds_up():
    plan = replace(SMALL, late=(20, 50), births=7, trials=5, healing_for=20, families=("limb",))
    done = []
    evaluate_without_target(random_nca(), (16, 16), plan=plan, progress=done.append)
    assert sum(done) == plan.work_without_target

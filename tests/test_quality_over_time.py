import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nca import evaluate
from nca.config import NCAConfig, TrainConfig
from nca.recipes import recipe
from nca.target import emoji_target

PATH = Path(__file__).parents[1] / "benchmarks" / "quality_over_time.py"


@pytest.fixture(scope="module")
def quality():
    spec = importlib.util.spec_from_file_location("quality_over_time", PATH)
    sys.path.insert(0, str(PATH.parent))  # as when it is run as a script
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_a_bar_is_reached_where_every_score_stays_under_it(quality):
    points = [{"seconds": s, "96": score} for s, score in ((1, -1), (2, -2.5), (3, -1.9))]
    points += [{"seconds": s, "96": score} for s, score in ((4, -2.1), (5, -3))]
    assert quality.reached(points, {"96": -2.0}) == 4
    assert quality.reached(points, {"96": -3.5}) == math.inf


def test_every_arm_is_a_training(quality):
    for arms in quality.SUITES.values():
        for arm in arms.values():
            TrainConfig.model_validate(recipe(arm.recipe).train.model_dump() | arm.changes)


def test_an_arm_that_begins_with_a_checkpoint(quality):
    arm = quality.SUITES["stem"]["its genes alone"]
    train = TrainConfig.model_validate(recipe("quick").train.model_dump() | arm.changes)
    trainer = arm.start(train, emoji_target("🐢", 8, 4), 0)
    assert trainer.nca.config.kinds == 1 and trainer.nca.config.hidden == (256,)
    assert [name for name, p in trainer.nca.named_parameters() if p.requires_grad] == ["genes"]


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        "noise on the weights",
        "running mean of the weights",
        "turned by any angle",
        "damage that did not heal again",
        "a second look at what heals",
    ],
)
def test_a_short_run_and_its_table(quality, name, monkeypatch):
    arm = replace(quality.SUITES["healing"][name], seconds=0.5)
    arm = replace(arm, changes={"steps_min": 4, "steps_max": 6, "pool_size": 12})
    monkeypatch.setitem(quality.SUITES["healing"], name, arm)
    found = quality.run("healing", name, "🐞", 0, 8)
    assert found["points"][-1]["iteration"] > 0 and found["broke"] == 0
    text = quality.table([found])
    assert f"| {name} | 1 |" in text and len(text.splitlines()) == 3


def test_turned_pictures_are_drawn_and_lie_as_the_battery_expects(quality):
    straight, a_third, two_thirds = quality.turns("🦎", 12, 4, parts=3)
    expected = evaluate.turned(straight, 30)
    assert (a_third - expected).square().mean() < 0.3 * (a_third - straight).square().mean()
    # Sharper than the straight one turned, whose colours ran.
    blurred = evaluate.turned(straight, 60)
    assert (
        two_thirds[1:].sub(two_thirds[:-1]).abs().sum() > blurred[1:].sub(blurred[:-1]).abs().sum()
    )


def test_a_turned_pool_keeps_every_angle_apart(quality):
    nca, train = NCAConfig(channels=4, hidden=(4,)), recipe("quick").train
    train = train.model_copy(update={"steps_min": 1, "steps_max": 1, "pool_size": 6})
    trainer = quality.Turned(nca, train, quality.turns("🐞", 8, 2, parts=3), seed=1)
    for sector in (0, 1, 2):
        trainer.pool.sector = sector
        trainer.pool.commit(np.arange(2), torch.full((2, *trainer.pool.shape), float(sector + 1)))
    for sector in (0, 1, 2):
        trainer.pool.sector = sector
        assert trainer.pool.sample(np.arange(2)).unique().tolist() == [sector + 1]


def test_damage_that_did_not_heal_comes_again_and_one_that_heals_is_watched(quality):
    target = emoji_target("🐞", 8, 4)
    nca, train = NCAConfig(channels=6, hidden=(8,)), recipe("quick").train
    train = train.model_copy(update={"steps_min": 8, "steps_max": 8, "pool_size": 4})
    retried = quality.Retried(nca, train, target, seed=1)
    damaged = [retried.train_step().before[-1] for _ in range(12)]
    assert any((a == b).all() for i, a in enumerate(damaged) for b in damaged[:i])
    watched = quality.Watched(nca, train, target, seed=1)
    first, second = watched.train_step(), watched.train_step()
    assert torch.equal(second.before[-1], first.after[-1])
    assert watched.healing is None

import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nca.config import TrainConfig
from nca.recipes import recipe

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


@pytest.mark.parametrize("name", ["noise on the weights", "running mean of the weights"])
def test_a_short_run_and_its_table(quality, name, monkeypatch):
    arm = replace(quality.SUITES["healing"][name], seconds=0.5)
    arm = replace(arm, changes={"steps_min": 4, "steps_max": 6, "pool_size": 4})
    monkeypatch.setitem(quality.SUITES["healing"], name, arm)
    found = quality.run("healing", name, "🐞", 0, 8)
    assert found["points"][-1]["iteration"] > 0 and found["broke"] == 0
    text = quality.table([found])
    assert f"| {name} | 1 |" in text and len(text.splitlines()) == 3

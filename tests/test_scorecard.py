import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from nca.checkpoint import load_checkpoint, save_checkpoint
from nca.cli import main
from nca.config import CheckpointInfo, NCAConfig
from nca.evaluate import Plan, evaluate
from nca.healing import healing_map
from nca.model import NCA
from nca.scorecard import (
    DISTILL,
    curves,
    healing_table,
    map_picture,
    record,
    recorded,
    row,
    score,
    table,
)

SMALL = Plan(
    lives=2, growth=(4, 8, 12), damage_at=8, healing=6, strokes=3, turned_for=8, persistence=20,
    every=2,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    nca = NCA(NCAConfig(channels=6, hidden=(8,)))
    target = nca.seed(1, 12)[0, ..., :4]
    info = CheckpointInfo(title="dot", recipe="growing")
    return save_checkpoint(tmp_path / "dot", nca, info, target, {"seconds": 3}, preview=False)


def test_scores_are_kept_with_the_checkpoint(folder):
    scores = score(folder, seed=5, plan=SMALL)
    record(folder, scores)
    checkpoint = load_checkpoint(folder)
    assert checkpoint.metrics["seconds"] == 3  # what was there stays
    assert recorded(checkpoint.metrics) == scores
    card = (folder / "README.md").read_text()
    assert "| log10 error at step 8 | -12.00 |" in card and "# dot" in card
    assert card.count("](scores.png)") == 1
    assert (folder / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "metrics.json").stat().st_size < 100_000


def test_foreign_metrics_are_refused_quietly():
    for metrics in ({}, {"battery": None}, {"battery": {"growth": "x"}}, {"battery": [[]]}):
        assert recorded(metrics) is None


def test_a_checkpoint_without_a_target_is_scored_by_what_needs_none(tmp_path, capsys):
    nca = NCA(NCAConfig(channels=6, hidden=(8,)))
    bare = save_checkpoint(tmp_path / "bare", nca, preview=False)
    plan = replace(SMALL, births=10, late=(15,), trials=4, families=("hole",), healing_for=20)
    found = score(bare, seed=5, plan=plan)
    assert found.born == 1 and found.survival == {4: 1, 8: 1, 12: 1, 15: 1, 20: 1}
    assert found.living[20] == round(1 / 72**2, 4)
    # The one cell is gone, alpha 1 in 72 x 72 x 4 numbers.
    assert found.healing["hole"].median == pytest.approx(-4.317, abs=1e-3)
    record(bare, found)
    checkpoint = load_checkpoint(bare)
    assert recorded(checkpoint.metrics) is None  # there is nothing to draw curves of
    card = (bare / "README.md").read_text()
    assert "| lives at step 12 | 100 %, on 0.02 % of the grid |" in card
    assert "| hole, healed | 100 % of 4, worst tenth above -4.32 |" in card
    assert "](healing.png)" in card and "scores.png" not in card
    assert checkpoint.metrics["heals"]["radius"] == 7  # so small an error counts as healed


def test_table_has_medians_and_counts(folder):
    idle = score(folder, plan=SMALL)
    dead = evaluate(NCA(NCAConfig(channels=6, hidden=(8,))), torch.ones(12, 12, 4), plan=SMALL)
    assert row([idle])[4:] == ("4/4", -2.7604, "1/1")
    both = row([idle, dead])
    assert both[4] == "4/8" and both[6] == "1/2"
    assert both[0] == pytest.approx((idle.growth[4] + dead.growth[4]) / 2)
    text = table({"dot": [idle]})
    assert text.splitlines()[1].startswith("dot ") and "-12.00" in text.splitlines()[1]
    assert "Distill, regenerating" in text and "19/40" in text
    assert len(text.splitlines()) == 2 + len(DISTILL)


def test_curves_are_drawn(folder):
    scores = score(folder, plan=SMALL)
    picture = curves(scores)
    assert picture.size == (1200, 250)
    assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 20


def test_the_healing_map_is_drawn_and_kept(folder):
    record(folder, score(folder, plan=Plan(**{**SMALL.__dict__, "trials": 2, "healing_for": 4})))
    assert (folder / "README.md").read_text().count("](healing.png)") == 1
    assert Image.open(folder / "healing.png").size == (220, 12 * 6 + 18 * 5 + 8)
    scores = recorded(load_checkpoint(folder).metrics)
    head, line = healing_table(
        {"dot": scores, "old": scores.model_copy(update={"healing": {}})}
    ).splitlines()
    assert "swipe" in head and line.split()[:2] == ["dot", "100.0"]
    heals = load_checkpoint(folder).metrics["heals"]
    assert heals["radius"] in (0, 2, 3, 5, 7) and 0 <= heals["share"] <= 1
    nca = NCA(NCAConfig(channels=6, hidden=(8,)))
    picture = map_picture(healing_map(nca, (7, 7), radii=(1, 2), spacing=1, age=1, steps=1), cell=4)
    red, paper = (204, 51, 63), (255, 255, 255)  # one cell lives, and never heals
    assert picture.getpixel((3 * 4 + 1, 3 * 4 + 1)) == red and picture.getpixel((1, 1)) == paper


def test_the_command(folder, monkeypatch, capsys):
    """JSON alone on standard output, progress on standard error."""
    monkeypatch.setattr("nca.scorecard.score", partial(score, plan=SMALL))
    assert main(["evaluate", str(folder), "--json", "--write"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert "Scoring" in said.err and found["growth"]["12"] == -12 and len(found["strokes"]) == 3
    assert recorded(load_checkpoint(folder).metrics).model_dump(mode="json") == found

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from nca.checkpoint import FILES, load_checkpoint, save_checkpoint
from nca.config import CheckpointInfo, NCAConfig
from nca.evaluate import Plan, Recovery, evaluate, log10_error
from nca.fire import item_seeds
from nca.model import NCA
from nca.recipes import recipe
from nca.scorecard import recorded
from nca.target import target_from_png
from nca.zoo import ZooScores

ROOT = Path(__file__).parents[1]
PATH = ROOT / "benchmarks" / "grow_garden.py"
SMALL = Plan(
    lives=1, growth=(96, 200, 1000), damage_at=200, healing=2, strokes=2, turned_for=2,
    persistence=1000, every=100,
)  # fmt: skip


@pytest.fixture(scope="module")
def grow_garden():
    spec = importlib.util.spec_from_file_location("grow_garden", PATH)
    sys.path.insert(0, str(PATH.parent))  # as when it is run as a script
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def still():
    """An automaton that is its own target, and its scores."""
    nca = NCA(NCAConfig(channels=4, hidden=(4,)))
    target = nca.seed(1, 8)[0, ..., :4]
    return nca, target, evaluate(nca, target, plan=SMALL)


def test_ten_emoji_every_kind_of_lizard_and_a_frame(grow_garden):
    names = [name for name, *_ in grow_garden.GARDEN]
    assert len(names) == len(set(names)) == 17 and set(grow_garden.SEEDS) <= set(names)
    assert sum(name.endswith("-regenerating") for name in names) == 10
    assert {n for n in names if n.startswith("lizard")} == {
        f"lizard-{k}" for k in ("regenerating", "growing", "persistent", "cax", "jax-blog",
                                "pytorch-blog")
    }  # fmt: skip
    for name, emoji, kind, iterations in grow_garden.GARDEN:
        spec, png = grow_garden.job(emoji, kind, name, iterations, "cpu", seed=3)
        assert spec.seed == 3
        earlier = kind == grow_garden.EARLIER
        assert spec.target.grid == (128 if kind == "photo" else 72)
        assert spec.recipe == ("quick" if earlier else kind)
        grown = target_from_png(png, kinds=spec.nca.kinds)
        assert grown.shape[-2] == spec.target.grid and spec.nca.kinds == (10 * (kind == "zoo"))
        assert bool((grown[..., 3] == 1).all()) == (kind == "photo")
        assert iterations or not (earlier or kind == "zoo")
        if name.endswith("-regenerating"):
            assert earlier or kind == "hardy"
            old = NCAConfig(laplacian="nine_point")
            assert spec.nca == (old if earlier else recipe("hardy").nca)


def test_what_is_shipped_is_what_was_scored_and_heals(grow_garden):
    for name, *_ in grow_garden.GARDEN:
        if name == "zoo":
            continue  # see below
        checkpoint = load_checkpoint(ROOT / "checkpoints" / name)
        scores = recorded(checkpoint.metrics)
        assert scores and scores.born == 1 and (scores.grid == checkpoint.target.shape[:2])
        assert scores.lives == Plan.for_grid(*scores.grid).lives
        x = checkpoint.nca.seed(scores.lives, scores.grid)
        x = checkpoint.nca.grow(x, 96, item_seeds(scores.seed, scores.lives))
        errors = log10_error(x, checkpoint.target)
        # Sums in another order, as on another processor, do not change who is who.
        assert median(errors) == pytest.approx(scores.growth[96], abs=0.1), name
        if name.endswith("-regenerating"):
            assert grow_garden.meets_bar([scores]) and scores.strokes_healed == 20, name


def test_the_shipped_zoo_is_what_was_scored():
    checkpoint = load_checkpoint(ROOT / "checkpoints/zoo")
    nca = checkpoint.nca
    scores = ZooScores.model_validate_json(json.dumps(checkpoint.metrics["battery"]))
    assert len(scores.kinds) == nca.config.kinds == len(checkpoint.kind_names) == 10
    assert sum(p.numel() for p in nca.parameters()) <= 36_000 and len(scores.morphs) == 90
    for kind, own in enumerate(scores.kinds, 1):
        x = nca.grow(nca.seed(own.lives, own.grid, kind), 96, item_seeds(own.seed, own.lives))
        errors = log10_error(x, checkpoint.target_of(kind))
        assert median(errors) == pytest.approx(own.growth[96], abs=0.1), kind
        assert own.born == 1, kind


def test_shipping_leaves_training_behind_and_is_found_done(grow_garden, still, tmp_path):
    nca, target, scores = still
    other, _ = grow_garden.job("🦎", "growing", "dot", 7, "cpu")
    spec = other.model_copy(update={"nca": nca.config})
    run, folder = tmp_path / "runs" / "lizard-growing", tmp_path / "out" / "lizard-growing"
    info = CheckpointInfo(title="dot", iteration=7)
    save_checkpoint(run, nca, info, target, {"seconds": 1}, preview=False)
    (run / "resume.safetensors").write_bytes(b"large")
    assert not grow_garden.done(folder, spec)
    for _ in range(2):  # a second time replaces the first
        grow_garden.shipped(run, folder, scores)
        assert {p.name for p in folder.iterdir()} <= {*FILES, "scores.png", "healing.png"}
        assert recorded(load_checkpoint(folder).metrics) == scores
    assert grow_garden.done(folder, spec)
    longer = spec.model_copy(update={"train": spec.train.model_copy(update={"iterations": 8})})
    assert not grow_garden.done(folder, longer) and not grow_garden.done(folder, other)
    assert "lizard-growing" in grow_garden.report(tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["lizard-growing"]


def test_the_bar_is_distill_s_regenerating_row_in_every_column(grow_garden, still):
    _, _, scores = still

    def like(early, middle, late, half, square):
        damaged = {n: Recovery(score=half, healed=0, curve=()) for n in scores.damaged}
        damaged["centre"] = Recovery(score=square, healed=0, curve=())
        growth = {96: early, 200: middle, 1000: late}
        return scores.model_copy(update={"growth": growth, "damaged": damaged})

    assert grow_garden.meets_bar([like(-3.1, -3.4, -3.6, -2.6, -2.8)])
    for column in range(5):
        worse = [-3.1, -3.4, -3.6, -2.6, -2.8]
        worse[column] += 0.3
        assert not grow_garden.meets_bar([like(*worse)])
    # A median that suffices, of which too few healed: 1 of 3 squares is fewer than 9 of 10.
    good, bad = like(-4, -4, -4, -3, -2.8), like(-4, -4, -4, -3, -2.4)
    assert not grow_garden.meets_bar([good, good, bad])


@pytest.mark.parametrize("module", ["nca.cli.evaluate", "nca.jobs.zero", "nca.recipes"])
def test_torch_is_not_loaded(module):
    """To build the command line, and on ZeroGPU before its package has changed torch."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

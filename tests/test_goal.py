"""What training wants: one picture, one for each kind, or a loss of the caller's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nca.config import BadInput, NCAConfig, TrainConfig, checked
from nca.goal import Goal
from nca.pool import Pool
from nca.recipes import recipe
from nca.resume import load_resume, save_resume
from nca.target import emoji_target
from nca.trainer import Trainer

SMALL = {"channels": 9, "hidden": (16,), "kinds": 2}
PICTURES = [emoji_target(symbol, size=8, padding=2) for symbol in "🌵🐠"]
SHORT = {"batch": 4, "pool_size": 10, "steps_min": 12, "steps_max": 16}


def trainer(seed=0, **settings) -> Trainer:
    zoo = recipe("zoo").train.model_dump() | SHORT | {"reseed_count": 2, "damage_count": 2}
    return Trainer(
        NCAConfig(**SMALL), checked(TrainConfig, zoo | settings), Goal(PICTURES), "cpu", seed
    )


def test_every_kind_has_its_share():
    pool = Pool(torch.zeros(3, 5, 5, 8), 20)
    draw = np.random.default_rng(0)
    for _ in range(20):
        drawn = pool.draw(draw, 7)
        assert len(set(drawn)) == 7
        assert sorted(np.bincount(pool.kinds_of(drawn))[1:]) == [2, 2, 3]
    assert {pool.draw_other(draw, 2) % 3 for _ in range(30)} == {0, 2}
    seeds = trainer().seeds
    assert seeds[:, 6, 6, -1].tolist() == [1, 2] and seeds[..., -1].sum() == 3


def test_both_pictures_are_learned():
    t = trainer(
        start="seed", reseed_count=0, damage_count=0, damage_shapes=("hole",),
        birth_alpha=0, steps_min=20, steps_max=24, iterations=50,
    )  # fmt: skip
    errors = []
    for report in t:
        assert report.kinds.sort().values.tolist() == [1, 1, 2, 2]
        held = report.after[..., -1].flatten(1).amax(1)
        assert ((held == report.kinds) | (held == 0)).all()
        errors.append([report.errors[report.kinds == kind].mean() for kind in (1, 2)])
    by_kind = torch.tensor(errors)
    assert (by_kind[-5:].mean(0) < 0.9 * by_kind[:5].mean(0)).all()


def test_a_mutation_begins_as_a_body_of_the_other_kind():
    t = trainer(damage_shapes=("mutation",), damage_count=1, reseed_count=1)
    cells = torch.arange(12) % 2 == 0
    for i in range(len(t.pool)):  # kind 1 fills even columns, kind 2 odd ones
        x = torch.zeros(1, 12, 12, 9)
        x[:, :, cells if i % 2 == 0 else ~cells] = 0.5
        x[..., -1] = (x[..., 3] > 0) * (i % 2 + 1)
        t.pool.commit([i], x)
    for number in range(8):
        _, kinds, x, _ = t._start(np.random.default_rng(number))
        for body, kind in zip(x[1:], kinds[1:].tolist(), strict=True):
            own = body[0, 0 if kind == 1 else 1, -1] == kind
            mutant = body[0, 1 if kind == 1 else 0, -1] == kind
            assert body[..., -1].max() == kind and bool(mutant) == (not own)
        assert x[-1][0, 1 if kinds[-1] == 1 else 0, -1] == kinds[-1]


def test_resume_is_exact(tmp_path):
    whole, first, second = trainer(), trainer(), trainer()
    losses = [whole.train_step().loss for _ in range(4)]
    begun = [first.train_step().loss for _ in range(2)]
    save_resume(first, tmp_path / "resume")
    load_resume(second, tmp_path / "resume")
    assert begun + [second.train_step().loss for _ in range(2)] == losses
    with pytest.raises(BadInput, match="other settings"):
        load_resume(trainer(seed=1), tmp_path / "resume")


def test_a_loss_of_the_callers_own_sees_the_kinds():
    def second_kind_only(states):  # [S, B, H, W, C] -> [S, B]
        return (states[..., 3] * (states[..., -1] == 2)).mean((-2, -1)) + 1e-3

    t = Trainer(NCAConfig(**SMALL), TrainConfig(**SHORT), PICTURES[0], loss=second_kind_only)
    report = t.train_step()
    assert ((report.errors > 1e-3) == (report.kinds == 2)).all()


def test_what_does_not_fit_together():
    config, train = NCAConfig(**SMALL), TrainConfig(**SHORT)
    with pytest.raises(BadInput, match="is 1 picture and the automaton has 2 kinds; please give"):
        Trainer(config, train, PICTURES[0])
    with pytest.raises(BadInput, match="are 2 pictures and the automaton has no kinds"):
        Trainer(NCAConfig(), train, torch.stack(PICTURES))
    with pytest.raises(BadInput, match="all of one size"):
        Goal([PICTURES[0], emoji_target("🐠", size=8, padding=3)])
    for wrong in (
        PICTURES[0].numpy(),
        PICTURES[0][..., :3],
        2 * PICTURES[0],
        torch.zeros(0, 8, 8, 4),
    ):
        with pytest.raises(BadInput, match="target"):
            Goal(wrong)
    with pytest.raises(BadInput, match="at least two kinds"):
        Trainer(NCAConfig(), recipe("zoo").train, PICTURES[0])
    with pytest.raises(BadInput, match="let pool_size be at least 2"):
        Trainer(config, TrainConfig(batch=1, pool_size=1), Goal(PICTURES))
    with pytest.raises(BadInput, match="mutation needs the pool"):
        checked(TrainConfig, {"start": "seed", "damage_shapes": ["mutation"]})

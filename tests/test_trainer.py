import copy
import json
import math

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from nca.checkpoint import METADATA
from nca.config import BadInput, NCAConfig, TrainConfig
from nca.engine import rollout
from nca.fire import item_seeds
from nca.goal import Goal
from nca.metrics import log10_loss
from nca.pool import Pool
from nca.recipes import RECIPES, recipe
from nca.resume import load_resume, save_resume
from nca.trainer import Diverged, Trainer, pick_device

TINY = NCAConfig(channels=6, hidden=(16,))
QUICK = dict(batch=4, pool_size=12, steps_min=8, steps_max=12, iterations=20)


def square(size=12):
    target = torch.zeros(size, size, 4)
    target[3:-3, 3:-3] = torch.tensor([1.0, 0.2, 0.1, 1.0])
    return target


def trainer(target=None, seed=0, nca=TINY, initial=None, loss=None, **changes):
    target = square() if target is None else target
    config = TrainConfig(**{**QUICK, "start": "pool", **changes})
    return Trainer(nca, config, target, seed=seed, initial=initial, loss=loss)


def weights(t):
    return {k: v.clone() for k, v in t.nca.state_dict().items()}


def test_a_device_that_is_not_here_is_replaced_with_a_sentence():
    assert pick_device("cpu") == pick_device(torch.device("cpu")) == (torch.device("cpu"), None)
    for device in ("mps", *([] if torch.cuda.is_available() else ["cuda", "cuda:3"])):
        device, sentence = pick_device(device)
        assert device == torch.device("cpu") and sentence.endswith("training on the CPU.")


def test_it_learns():
    reports = list(trainer(iterations=150, learning_rate=5e-3))
    assert [r.iteration for r in reports] == list(range(1, 151))
    first, last = (sum(r.loss for r in part) for part in (reports[:15], reports[-15:]))
    assert last < 0.5 * first
    assert reports[-1].iterations_per_second > 0 and reports[-1].alive > 0
    assert reports[0].before.shape == reports[0].after.shape == (4, 12, 12, 6)
    assert {r.steps for r in reports} == set(range(8, 13))


def test_same_seed_same_run_other_seed_other_run():
    one, two, other = (list(trainer(seed=s, iterations=5)) for s in (1, 1, 2))
    assert [r.loss for r in one] == [r.loss for r in two]
    assert [r.loss for r in one] != [r.loss for r in other]


@pytest.mark.parametrize(("start", "optimiser"), [("pool", "adam"), ("seed", "adam"),
                                                  ("pool", "muon")])  # fmt: skip
def test_resume_is_bit_identical(tmp_path, start, optimiser):
    changes = dict(start=start, damage_count=2, damage_shapes=("circle", "half", "stroke"))
    changes |= dict(optimiser=optimiser, reseed_kept=0.5)
    whole = trainer(**changes)
    losses = [r.loss for r in whole]

    first = trainer(**changes)
    begun = [first.train_step().loss for _ in range(10)]
    save_resume(first, tmp_path / "resume.safetensors")
    second = trainer(**changes)
    load_resume(second, tmp_path / "resume.safetensors")
    assert second.iteration == 10
    assert begun + [r.loss for r in second] == losses
    for name, value in weights(whole).items():
        assert torch.equal(value, second.nca.state_dict()[name])
    if start == "pool":
        everything = range(len(whole.pool))
        assert torch.equal(whole.pool.sample(everything), second.pool.sample(everything))


def test_resume_refuses_what_is_not_its_own(tmp_path):
    path = tmp_path / "resume.safetensors"
    save_resume(trainer(), path)
    strangers = (trainer(seed=1), trainer(batch=3), trainer(target=square() * 0.5))
    for stranger in (*strangers, trainer(loss=squared_error)):
        with pytest.raises(BadInput, match="other settings"):
            load_resume(stranger, path)
    load_resume(trainer(iterations=40), path)  # longer is fine
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(BadInput, match="damaged"):
        load_resume(trainer(), path)


def test_a_resume_file_from_before_there_was_a_choice_of_optimisers(tmp_path):
    """Its moments were called adam, it held no losses, its settings lacked what came later."""
    path = tmp_path / "resume.safetensors"
    whole, first = trainer(), trainer()
    losses = [r.loss for r in whole]
    begun = [first.train_step().loss for _ in range(10)]
    save_resume(first, path)
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()[METADATA])
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    del about["losses"]
    for later in ("optimiser", "reseed_kept"):
        del about["fits"]["train"][later]
    old = {k.replace("moments.", "adam."): v for k, v in tensors.items()}
    save_file(old, path, {METADATA: json.dumps(about)})
    second = trainer()
    load_resume(second, path)
    assert begun + [r.loss for r in second] == losses


def squared_error(states):
    return (states[..., :4] - square()).square().mean(dim=(2, 3, 4))


@pytest.mark.parametrize("loss_at", ["last", "random", "mean_last"])
def test_a_loss_of_ones_own_judges_like_the_trainers(loss_at):
    """The squared error given as a loss is the same training, bit for bit, its pool included."""
    changes = dict(loss_at=loss_at, loss_window=3, damage_count=1, iterations=8)
    ours, own = trainer(**changes), trainer(loss=squared_error, **changes)
    for one, two in zip(ours, own, strict=True):
        assert one.scalars() | {"iterations_per_second": 0} == (
            two.scalars() | {"iterations_per_second": 0}
        )
    for name, value in weights(ours).items():
        assert torch.equal(value, own.nca.state_dict()[name])
    assert torch.equal(ours.pool.sample(range(12)), own.pool.sample(range(12)))


def test_a_loss_of_ones_own_is_learned_and_sorts_the_pool():
    shapes = []

    def half_alive(states):
        shapes.append((tuple(states.shape), states.requires_grad))
        return (states[..., 3].mean((-2, -1)) - 0.5).square() + 1e-6

    t = trainer(loss=half_alive, loss_at="mean_last", loss_window=3, iterations=60)
    losses = [report.loss for report in t]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    assert shapes[:2] == [((1, 4, 12, 12, 6), False), ((3, 4, 12, 12, 6), True)]


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda states: 0.5, "return a tensor, not float"),
        (lambda states: states.mean(), r"states \[1, 4, 12, 12, 6\] a float tensor \[1, 4\]"),
        (lambda states: states.argmax(-1)[..., 0, 0], r"not torch.int64 \[1, 4\]"),
        (lambda states: states.detach().mean((2, 3, 4)), "has no gradient"),
    ],
)
def test_a_loss_that_cannot_be_used_is_refused_in_a_sentence(loss, words):
    t = trainer(loss=loss)
    with pytest.raises(BadInput, match=words):
        t.train_step()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (torch.zeros(12, 12, 3), r"must be RGBA, \[height, width, 4\], not \[12, 12, 3\]"),
        (torch.zeros(4, 12, 12), "must be RGBA"),
        (torch.zeros(1, 12, 12, 4), "must be RGBA"),
        (torch.zeros(12, 12, 4, dtype=torch.uint8), "floats in .0, 1., not torch.uint8"),
        (torch.full((12, 12, 4), 255.0), r"in \[0, 1\], not 255 to 255"),
        (torch.full((12, 12, 4), math.nan), r"in \[0, 1\], not nan"),
        (torch.tensor([1.0, 0, 0, 0.5]).expand(12, 12, 4), "must be premultiplied"),
        (np.zeros((12, 12, 4), np.float32), "as a tensor, not ndarray"),
    ],
)
def test_a_target_that_does_not_fit_is_refused_in_a_sentence(target, words):
    with pytest.raises(BadInput, match=words):
        trainer(target=target)


def test_arguments_that_do_not_fit_are_refused_in_a_sentence():
    train = TrainConfig(**QUICK)
    with pytest.raises(BadInput, match="an NCAConfig and a TrainConfig"):
        Trainer(recipe("quick"), train, square())
    for device in ("tpu", "banana", "cuda:x"):
        with pytest.raises(BadInput, match="device be auto, cpu, cuda"):
            Trainer(TINY, train, square(), device)
    for seed in (-1, 2**32, 0.5):
        with pytest.raises(BadInput, match="seed as a whole number from 0 to"):
            Trainer(TINY, train, square(), seed=seed)


@pytest.mark.parametrize(
    ("given", "words"), [({"loss": 5}, "not int"), ({"initial": 5}, "not int")]
)
def test_what_is_no_loss_and_no_automaton(given, words):
    with pytest.raises(BadInput, match=words):
        trainer(**given)


def test_growing_never_leaves_the_seed():
    t = trainer(start="seed", iterations=6)
    assert t.pool is None
    for report in t:
        assert torch.equal(report.before, t.nca.seed(4, 12))


def test_pool_gets_a_seed_for_the_worst_and_damage_for_the_best():
    t = trainer(pool_size=4, damage_count=1, damage_shapes=("half",), steps_min=1, steps_max=1)
    states = torch.zeros(4, 12, 12, 6)
    for item, share in enumerate((0.9, 0.1, 0.5, 0.7)):  # share of the target they show
        states[item, ..., :4] = square() * share
    t.pool.commit(range(4), states)
    before = t.train_step().before
    assert torch.equal(before[0], t.seeds[0])  # 0.1 was the worst
    for row, share in ((1, 0.5), (2, 0.7)):
        torch.testing.assert_close(before[row, ..., :4], square() * share)
    best = square() * 0.9
    kept = before[3, ..., :4] != 0
    assert torch.equal(before[3, ..., :4][kept], best[kept])
    assert kept.sum() == (best != 0).sum() / 2


def test_no_damage_kills():
    """Half of the halves would take a seed's only cell, and the centre always does."""
    t = trainer(damage_count=4, damage_shapes=("half", "centre", "circle"), learning_rate=1e-7)
    for report in t:
        assert (report.before[..., 3] > 0.1).flatten(1).any(1).all()


def test_a_seed_for_any_item_stays_in_front_of_the_worst():
    t = trainer(reseed="random", damage_items="best", damage_count=1)
    states = torch.zeros(12, 12, 12, 6)
    states[..., :4] = -9.0  # worse than any seed
    states[..., 3] = 9.0
    t.pool.commit(range(12), states)
    before = t.train_step().before
    assert torch.equal(before[0], t.seeds[0])
    assert not any(torch.equal(item, t.seeds[0]) for item in before[1:])


def test_late_in_training_few_seeds_enter_the_pool():
    """All do at first; at the end of a training that keeps none, their places stay as they were."""
    t = trainer(pool_size=4, steps_min=8, steps_max=8, reseed_kept=0.0, iterations=1000)
    states = torch.zeros(4, 12, 12, 6)
    for item, share in enumerate((0.9, 0.1, 0.5, 0.7)):
        states[item, ..., :4] = square() * share
    t.pool.commit(range(4), states)
    t.iteration = 999
    report = t.train_step()
    assert torch.equal(report.before[0], t.seeds[0])
    assert torch.equal(t.pool.sample([1])[0], states[1])
    for item in (0, 2, 3):  # the others are what grew from them
        assert any(torch.equal(t.pool.sample([item])[0], grown) for grown in report.after[1:])

    t.iteration = 0
    report = t.train_step()
    pool = t.pool.sample(range(4))
    assert all(any(torch.equal(grown, kept) for kept in pool) for grown in report.after)


def test_training_begins_with_another_automaton():
    parent = trainer(iterations=3)
    list(parent)
    child = trainer(target=square() * 0.5, initial=parent.nca)
    for name, value in weights(parent).items():
        assert torch.equal(child.nca.state_dict()[name], value)
    before = weights(parent)
    child.train_step()
    for name, value in before.items():
        assert torch.equal(parent.nca.state_dict()[name], value)  # a copy was trained
    with pytest.raises(BadInput, match="another architecture"):
        trainer(nca=NCAConfig(channels=8, hidden=(16,)), initial=parent.nca)


def test_random_loss_step_returns_that_state():
    """With one possible step the pool holds the state of that step, not of the last one."""
    t = trainer(loss_at="random", loss_window=1, steps_min=8, steps_max=8, pool_size=4)
    for p in t.nca.parameters():
        torch.nn.init.normal_(p, std=0.1, generator=torch.Generator().manual_seed(0))
    seen = []
    rollout = t.engine.rollout

    class Recorder:
        def rollout(self, nca, x, steps, seeds, **options):
            seen.append((nca.grow(x, 8, seeds, all_steps=True), options["keep"]))
            return rollout(nca, x, steps, seeds, **options)

    t.engine = Recorder()
    after = t.train_step().after
    states, keep = seen[0]
    assert keep == [7]
    torch.testing.assert_close(after, states[7])
    assert not torch.allclose(after, states[8])


def test_damage_drawn_during_a_rollout_is_the_rollout_with_damage():
    """What the trainer reports is what `nca.rollout` grows from the same start and damage."""
    options = dict(damage_count=1, damage_shapes=("swipe",), damage_drawn=1.0, pool_size=4, batch=2)
    t = trainer(square(40), steps_min=24, steps_max=24, **options)
    for p in t.nca.parameters():
        torch.nn.init.normal_(p, std=0.05, generator=torch.Generator().manual_seed(0))
    body = torch.zeros(4, 40, 40, 6)
    body[:, 5:-5, 5:-5] = 0.5  # more than any swipe erases
    t.pool.commit(range(4), body)
    nca = copy.deepcopy(t.nca)
    draw = np.random.default_rng((0, 0, 0))
    _, _, x, erased = t._start(draw)
    assert 1 <= len(erased) <= 8 and max(erased) < 12 and any(c.any() for c in erased.values())
    draw.integers(24, 25)
    seeds = item_seeds(int(draw.integers(2**32)), 2)
    report = t.train_step()
    assert torch.equal(report.before, x)
    expected = rollout(nca, x, 24, seed=seeds.tolist(), erased=erased)
    torch.testing.assert_close(report.after, expected.detach())
    assert not torch.allclose(report.after, nca.grow(x, 24, seeds))


def test_seeds_that_come_close_to_dying_are_punished():
    t = trainer(birth_alpha=0.5, reseed_count=1)
    early = torch.zeros(2, 4, 3, 3, 6)
    early[0, 0, 1, 1, 3], early[1, 0, 1, 1, 3] = 0.9, 0.2  # by 0.3 too little at the second look
    early[:, 1:, ..., 3] = 0.1  # the others are no seeds
    early.requires_grad_()
    loss = t._near_death(early)
    assert float(loss.detach()) == pytest.approx(0.15)
    loss.backward()
    assert early.grad.nonzero().tolist() == [[1, 0, 1, 1, 3]] and early.grad.sum() == -0.5
    assert t._near_death(early[:0]) == 0
    assert t._birth_steps(5) == [1, 2, 3, 4] and trainer()._birth_steps(5) == []
    assert trainer(birth_alpha=0.5, reseed="worst_after")._birth_steps(5) == []
    assert trainer(birth_alpha=0.5, start="seed")._birth_steps(5) == [1, 2, 3, 4]


def test_a_training_that_punishes_them_reports_the_picture_s_error():
    losses = [trainer(birth_alpha=alpha).train_step().loss for alpha in (0.0, 1.0)]
    assert losses[0] == losses[1]


def test_mean_of_the_last_steps():
    t = trainer(loss_at="mean_last", loss_window=3, steps_min=8, steps_max=8)
    for p in t.nca.parameters():
        torch.nn.init.normal_(p, std=0.1, generator=torch.Generator().manual_seed(0))
    before = weights(t)
    report = t.train_step()
    fresh = trainer(loss_at="mean_last", loss_window=3, steps_min=8, steps_max=8)
    fresh.nca.load_state_dict(before)
    draws = []
    real = fresh.engine.rollout

    class Recorder:
        def rollout(self, nca, x, steps, seeds, **options):
            draws.append(nca.grow(x, steps, seeds, all_steps=True))
            return real(nca, x, steps, seeds, **options)

    fresh.engine = Recorder()
    fresh.train_step()
    expected = (draws[0][6:9, ..., :4] - square()).square().mean()
    assert report.loss == pytest.approx(float(expected), rel=1e-5)


def test_gradient_rules():
    def update(**changes):
        t = trainer(iterations=1, **changes)
        t.train_step()
        return {n: p.grad for n, p in t.nca.named_parameters()}

    for g in update(gradient="normalise_each").values():
        assert g.norm() == pytest.approx(1, abs=1e-3) or g.norm() == 0
    together = torch.stack([g.norm() for g in update(gradient="normalise_all").values()]).norm()
    assert together == pytest.approx(1, abs=1e-3)
    raw = torch.stack([g.norm() for g in update(gradient="none").values()]).norm()
    clipped = torch.stack(
        [g.norm() for g in update(gradient="clip", clip=float(raw) / 2).values()]
    ).norm()
    assert clipped == pytest.approx(float(raw) / 2, rel=1e-3)


def test_not_a_number_is_rolled_back_and_never_enters_the_pool():
    t = trainer(iterations=60)
    for _ in range(55):
        t.train_step()
    good = t.state_dict()
    with torch.no_grad():
        t.nca.layers[0].weight[0, 0] = math.nan
    report = t.train_step()
    assert "broke down" in report.message and "iteration 50" in report.message
    assert t.iteration == 50 and t.attempt == 1
    assert all(v.isfinite().all() for v in t.nca.state_dict().values())
    assert t.pool.sample(range(12)).isfinite().all()
    healthy = t.train_step()
    assert healthy.learning_rate == t.config.learning_rate / 2
    assert good["iteration"] == 55


def test_a_loss_that_runs_away_is_rolled_back():
    t = trainer(iterations=200, learning_rate=1e-3)
    for _ in range(115):
        t.train_step()
    with torch.no_grad():
        t.nca.layers[-1].weight.normal_(std=0.3, generator=torch.Generator().manual_seed(0))
    messages = [t.train_step().message for _ in range(11)]
    told = next(m for m in messages if m)
    assert "broke down" in told and t.attempt == 1
    assert 50 <= t.iteration < 115 and t._rise() < 0.15


@pytest.mark.long
def test_a_loss_that_rises_slowly_is_rolled_back_to_the_best():
    t = trainer(iterations=2000, learning_rate=1e-6, steps_min=4, steps_max=6)
    for _ in range(100):
        t.train_step()
    best, kept = t._level(), t.target
    for i in range(300):  # the target moves away from what is grown, too slowly for 60 iterations
        t.goal = Goal(kept + (1 - kept) * i / 400)
        told = t.train_step().message
        if told:
            break
        assert t._rise() < 0.3
    assert told and t.attempt == 1
    assert t.iteration < 100 + i - 50 and t._level() < best + 0.2


def test_damage_that_now_and_then_does_not_heal_is_no_reason_for_a_rollback():
    t = trainer(iterations=200, learning_rate=1e-5)
    for i in range(130):
        kept = t.target
        if i > 60 and i % 3:  # two of three losses are far larger
            t.goal = Goal((1 - kept[..., 3:]).repeat(1, 1, 4))
        assert t.train_step().message is None
        t.goal = Goal(kept)
    losses = sorted(t._losses)
    assert losses[-1] - losses[0] > 0.5 and t.attempt == 0


def test_three_rollbacks_then_a_plain_message():
    t = trainer(nca=NCAConfig(channels=6, hidden=(16,), step_size=4.0))

    def break_it():
        with torch.no_grad():
            t.nca.layers[-1].weight.fill_(math.inf)

    for _ in range(3):
        break_it()
        assert "broke down" in t.train_step().message
    good = weights(t)
    break_it()
    with pytest.raises(Diverged, match="smaller learning rate"):
        t.train_step()
    assert all(torch.equal(value, good[name]) for name, value in weights(t).items())


def test_a_dead_pool_is_a_collapse():
    t = trainer(iterations=200, reseed_count=0)
    empty = torch.zeros(12, 12, 12, 6)
    t.pool.commit(range(12), empty)
    messages = [t.train_step().message for _ in range(50)]
    assert messages[:-1] == [None] * 49
    assert "broke down" in messages[-1]


def test_pool_is_lossless_and_copies_are_safe():
    draw = torch.Generator().manual_seed(0)
    seed = torch.zeros(5, 6, 4)
    pool = Pool(seed, 7)
    x = torch.randn(3, 5, 6, 4, generator=draw) * (torch.rand(3, 5, 6, 1, generator=draw) < 0.3)
    copy = list(pool.items)
    pool.commit([1, 6, 2], x)
    assert torch.equal(pool.sample([1, 6, 2]), x)
    assert pool.sample([0]).eq(0).all() and all(len(cells) == 0 for cells, _ in copy)
    again = Pool(seed, 7)
    again.load_state_dict(pool.state_dict())
    assert torch.equal(again.sample(range(7)), pool.sample(range(7)))
    with pytest.raises(ValueError, match="does not fit"):
        Pool(seed, 8).load_state_dict(pool.state_dict())


def test_learning_rate_schedules():
    at = TrainConfig(schedule="step", milestones=(10, 20)).learning_rate_at
    assert [at(0), at(9), at(10), at(25)] == pytest.approx([2e-3, 2e-3, 2e-4, 2e-5])
    at = TrainConfig(schedule="linear", decay_over=100).learning_rate_at
    assert [at(0), at(50), at(100), at(500)] == pytest.approx([2e-3, 1.1e-3, 2e-4, 2e-4])
    at = TrainConfig(schedule="cosine", iterations=100, decay=0.5).learning_rate_at
    assert [at(0), at(50), at(100)] == pytest.approx([2e-3, 1.5e-3, 1e-3])
    assert TrainConfig(schedule="constant").learning_rate_at(10**6) == 2e-3


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains(name):
    found = recipe(name)
    update = dict(iterations=2, steps_min=4, steps_max=6, pool_size=12)
    small, kinds = found.train.model_copy(update=update), found.nca.kinds
    reports = list(Trainer(found.nca, small, Goal([square()] * kinds) if kinds else square()))
    assert len(reports) == 2 and all(math.isfinite(r.loss) for r in reports)


def test_distill_recipes():
    """What tells the three apart, and what they share, as in the article's own code."""
    assert sum(p.numel() for p in Trainer(recipe("growing").nca, QUICKEST, square())
               .nca.parameters()) == 8336  # fmt: skip
    assert recipe("growing").train.start == "seed"
    assert recipe("persistent").train.damage_count == 0
    assert recipe("regenerating").train.damage_count == 3
    for name in ("growing", "persistent", "regenerating"):
        train = recipe(name).train
        assert (train.steps_min, train.steps_max, train.iterations) == (64, 95, 8000)
        assert train.learning_rate_at(1999) == 2e-3
        assert train.learning_rate_at(2000) == pytest.approx(2e-4)
    with pytest.raises(BadInput, match="regenerating"):
        recipe("nonsense")


QUICKEST = TrainConfig(batch=1, pool_size=1)


def test_log10_loss_is_always_plottable():
    assert log10_loss(0.01) == -2
    assert json.dumps([log10_loss(v) for v in (0.0, math.nan, math.inf)]) == "[-12.0, -12.0, -12.0]"

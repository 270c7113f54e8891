"""The initial weights of `quick`."""

import base64

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector

from nca import NCA, NCAConfig, TargetConfig, Trainer, emoji_target, recipe
from nca.card import card
from nca.config import CheckpointInfo, InitialSource
from nca.jobs import JobSpec, Target
from nca.pretrained import pretrained
from nca.ui.train import in_browser

QUICK = recipe("quick")


def begun(nca=QUICK.nca, initial=None, seed=3, **changes):
    train = QUICK.train.model_copy(update={"pool_size": 16, **changes})
    target = emoji_target("🐢", size=24, padding=6)  # they are the lizard's
    return Trainer(nca, train, target, "cpu", seed=seed, initial=initial)


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_quick_begins_with_them_and_never_changes_them():
    assert QUICK.train.initial_weights == "pretrained"
    trainer, before = begun(), [p.clone() for p in pretrained(QUICK.nca).parameters()]
    assert same(trainer.nca, pretrained(QUICK.nca))
    trainer.train_step()
    now = pretrained(QUICK.nca).parameters()
    assert all(torch.equal(p, q) for p, q in zip(before, now, strict=True))


def test_random_weights_when_asked_to():
    assert same(begun(initial_weights="random").nca, NCA(QUICK.nca, init_seed=3))


@pytest.mark.parametrize(
    "other",
    [{"channels": 12}, {"hidden": (128,)}, {"laplacian": "five_point"}, {"out_bias": False}],
    ids=str,
)
def test_random_weights_and_a_sentence_for_another_network(other):
    nca = NCAConfig.model_validate(QUICK.nca.model_dump() | other)
    trainer = begun(nca)
    assert same(trainer.nca, NCA(nca, init_seed=3))
    assert "began with random weights" in trainer.train_step().message
    assert trainer.train_step().message is None


def test_other_settings_of_the_architecture_keep_them():
    other = {"fire_rate": 1.0, "alive_mask": "post", "padding": "circular", "step_size": 0.5}
    trainer = begun(NCAConfig.model_validate(QUICK.nca.model_dump() | other))
    assert same(trainer.nca, pretrained(QUICK.nca)) and trainer.train_step().message is None


def test_an_initial_checkpoint_comes_first():
    own = NCA(QUICK.nca, init_seed=5)
    assert same(begun(initial=own).nca, own)


def test_the_model_card_says_so():
    def row(trainer, **more):
        about = CheckpointInfo(nca=trainer.nca.config, train=trainer.config, **more)
        return "began with | pretrained weights" in card(about, {})

    assert row(begun())
    assert not row(begun(initial_weights="random"))
    assert not row(begun(NCAConfig(channels=12)))
    assert not row(begun(), initial=InitialSource(title="Old one", iteration=70))


def test_a_picture_is_learned_sooner_from_them():
    def loss(weights):
        trainer = begun(seed=4, initial_weights=weights, iterations=60)
        return sum([report.loss for report in trainer][-20:])

    assert loss("pretrained") < 0.8 * loss("random")


def test_a_training_in_the_browser_begins_with_them_too():
    target = Target.make(TargetConfig(emoji="🐢", size=12, padding=4))
    begin = in_browser.begin(JobSpec.from_recipe("quick", target), target, None)["begin"]
    sent = np.frombuffer(base64.b64decode(begin["weights"]), "<f4")
    assert np.array_equal(sent, parameters_to_vector(begun().nca.parameters()).detach())
    other = JobSpec.from_recipe("quick", target, changes={"channels": 12})
    assert in_browser.begin(other, target, None)["begin"]["weights"] is None

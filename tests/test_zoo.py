"""Scores of an automaton with kinds."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from nca.checkpoint import load_checkpoint, save_checkpoint, save_fine
from nca.cli import main
from nca.config import BadInput, CheckpointInfo, NCAConfig, SharpenConfig, TargetConfig
from nca.evaluate import Plan, log10_error
from nca.jobs.lock import FileLock
from nca.jobs.sharpening import SHARPENING, known_picture
from nca.jobs.spec import LOCK, POOL
from nca.metrics import read_metrics
from nca.model import NCA
from nca.picture import PICTURE, check_picture, most_scale
from nca.player.models import nca_from_player, player_model
from nca.preview import save_preview
from nca.resume import save_sharpening
from nca.scorecard import record, score
from nca.sharpen import Sharpener
from nca.state import repaint
from nca.target import make_target, target_to_png
from nca.zoo import ZooScores, check_together, cross, together, work
from tests.player.player_zoo import zoo_model

ROOT = Path(__file__).parents[1]
PLAN = Plan(
    lives=2, births=4, born_by=2, growth=(4, 8), damage_at=4, healing=4, strokes=0, angles=(0,),
    turned_for=4, late=(), persistence=8, persistence_lives=1, every=4, trials=2,
    families=("swipe",), healing_for=4,
)  # fmt: skip


def test_every_kind_is_scored_against_its_own_picture(tmp_path):
    """An untrained automaton stays a seed: the kind whose picture that is scores best."""
    nca = NCA(NCAConfig(channels=8, hidden=(8,), kinds=2))
    targets = torch.zeros(2, 12, 12, 4)
    targets[0, 5:8, 5:8, 3] = 0.9
    targets[1, 6, 6, 3] = 1
    save_checkpoint(tmp_path, nca, target=targets, preview=False)
    assert torch.allclose(load_checkpoint(tmp_path).target, targets, atol=1 / 255)
    assert load_checkpoint(tmp_path).size == (12, 12)
    found = score(tmp_path, plan=PLAN)
    assert isinstance(found, ZooScores)
    first, second = found.kinds
    assert first.growth[8] > -2 and second.growth[8] == -12
    sent = player_model(load_checkpoint(tmp_path))
    assert sent["kinds"] == [] and len(set(sent["faces"])) == 2
    assert all(face.startswith("data:image/png;base64,") for face in sent["faces"])
    assert found.morphs == ((1, 2, -12.0), (2, 1, first.growth[8])) and found.morphed == 1
    assert found.beside == (first.growth[8], -12)
    record(tmp_path, found)
    card = (tmp_path / "README.md").read_text()
    assert "1 of 2 below -2.5" in card
    assert ZooScores.model_validate(load_checkpoint(tmp_path).metrics["battery"]) == found


def test_progress_adds_up():
    from nca.zoo import evaluate_kinds

    nca = NCA(NCAConfig(channels=8, hidden=(8,), kinds=3))
    done = []
    evaluate_kinds(nca, torch.zeros(3, 9, 9, 4), plan=PLAN, progress=done.append)
    assert sum(done) == work(PLAN, 3)


def train(folder, *options) -> int:
    """`nca train`, on a tiny grid, in this process."""
    small = ["--size", "8", "--padding", "2", "--device", "cpu", "--recipe", "zoo"]
    for setting in (
        "hidden=[8]", "batch=2", "pool_size=4", "reseed_count=1", "damage_count=1",
        "steps_min=4", "steps_max=4",
    ):  # fmt: skip
        small += ["--set", setting]
    return main(["train", *small, *options, "--out", str(folder)])


def test_a_zoo_is_trained_by_one_command(tmp_path):
    folder, emoji = tmp_path / "zoo", ["--emoji", "🦎", "--emoji", "🐠"]
    assert train(folder, *emoji, "--iterations", "2") == 0
    assert train(folder, *emoji, "--iterations", "3") == 0, "the same command goes on"
    saved = load_checkpoint(folder)
    assert saved.nca.config.kinds == 2 and saved.target.shape == (2, 12, 12, 4)
    film = tmp_path / "fish.gif"
    assert main(["grow", str(folder), "--kind", "2", "--steps", "2", "--out", str(film)]) == 0
    assert main(["grow", str(folder), "--kind", "3", "--steps", "2", "--out", str(film)]) == 2
    assert saved.kind_names == ["🦎", "🐠"] and saved.info.title == "🦎🐠"
    assert saved.info.iteration == 3 and (folder / "preview.gif").is_file()
    assert all(len(row.kinds) == 2 for row in read_metrics(folder))
    with Image.open(folder / POOL) as sheet:  # a row for each kind, the picture first
        assert sheet.size == (8 * 13 - 1, 2 * 13 - 1)
    sent = player_model(saved)
    assert sent["kinds"] == ["🦎", "🐠"] and sent["faces"] == []
    again = nca_from_player(sent).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in saved.nca.state_dict().items())


def test_a_new_picture_begins_with_the_rule_of_a_zoo(tmp_path, capsys):
    torch.manual_seed(0)
    zoo = wild(3, hidden=(8,), kinds=3)
    save_checkpoint(tmp_path / "zoo", zoo, target=torch.rand(3, 12, 12, 4).sort(-1).values)
    small = ["--size", "8", "--padding", "2", "--device", "cpu", "--iterations", "2"]
    for setting in ("batch=2", "pool_size=4", "steps_min=4", "steps_max=4"):
        small += ["--set", setting]
    small += ["--from", str(tmp_path / "zoo"), "--emoji", "🐳"]
    genes = ["--set", "train_only=genes", "--out", str(tmp_path / "whale")]
    assert main(["train", *small, *genes]) == 0
    whale = load_checkpoint(tmp_path / "whale").nca
    assert whale.config.kinds == 1
    for name, value in whale.state_dict().items():
        assert torch.equal(value, zoo.state_dict()[name]) == (name != "genes"), name
    moved = (whale.genes - zoo.with_kinds(1).genes).detach().abs().max()
    assert 0 < float(moved) < 0.1, "from the mean, by two updates"
    assert main(["train", *small, "--out", str(tmp_path / "all")]) == 0
    first = load_checkpoint(tmp_path / "all").nca.state_dict()["layers.0.weight"]
    assert not torch.equal(first, zoo.state_dict()["layers.0.weight"])
    alone = ["--emoji", "🐳", "--set", "train_only=genes", "--out", str(tmp_path / "alone")]
    assert main(["train", *alone]) == 2
    assert "This automaton has no genes; please begin with one" in capsys.readouterr().err


def test_as_many_pictures_as_kinds(tmp_path, capsys):
    assert train(tmp_path / "a", "--emoji", "🦎", "--emoji", "🐠", "--set", "kinds=5") == 2
    assert "has 5 kinds and there are 2 pictures; please give one" in capsys.readouterr().err
    assert train(tmp_path / "b", "--emoji", "🦎") == 2
    assert "please give at least two pictures" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_child_has_the_genes_of_two_kinds():
    nca = NCA(NCAConfig(channels=8, hidden=(8,), kinds=2))
    child = cross(cross(nca, 1, 2, 0.25), 2, 3)
    first, second = nca.genes.double()
    mixed = (0.75 * first + 0.25 * second).float()
    assert child.config.kinds == 4 and torch.equal(child.genes[:2], nca.genes)
    assert torch.equal(child.genes[2], mixed)
    again = cross(child, 1, 1, kind=3)
    assert again.config.kinds == 4 and torch.equal(again.genes[2], nca.genes[0])
    state = nca.seed(1, 12, [2])
    assert torch.equal(child.grow(state, 4, 1), nca.grow(state, 4, 1))
    for bad, said in (
        ((nca, 1, 3), "no kind 3; this automaton has kinds 1 to 2"),
        ((nca, 1, 2, 1.5), "from 0 to 1, not 1.5"),
        ((nca, 1, 2, "half"), "from 0 to 1, not 'half'"),
        ((NCA(NCAConfig(channels=8, hidden=(8,))), 1, 2), "nothing to cross"),
    ):
        with pytest.raises(BadInput, match=said):
            cross(*bad)


def test_repainting_needs_states_and_as_many_kinds():
    x = NCA(NCAConfig(channels=6, kinds=2)).seed(2, 8)
    wrong = ([1, 2, 1], -1, 1.5, math.nan, 256, "3", None, 2**70)
    for states, kind in (([0.0], 1), (x[0], 1), *((x, kind) for kind in wrong)):
        with pytest.raises(BadInput):
            repaint(states, kind)


@pytest.mark.parametrize("kinds", [1, 2])
def test_a_decoder_is_fitted_to_the_picture_of_each_kind(tmp_path, kinds, capsys):
    made = TargetConfig(emoji="🌵", more=("🐠",) * (kinds - 1), size=8, padding=2)
    nca = NCA(NCAConfig(channels=6, hidden=(4,), kinds=kinds))
    target = make_target(made) if kinds > 1 else make_target(made)[None]
    info = CheckpointInfo(target=made)
    folder = save_checkpoint(tmp_path / "emoji", nca, info, target, preview=False)
    picture = known_picture(load_checkpoint(folder))
    assert picture.shape == (kinds, 192, 192, 4)
    # A fitting that was stopped with other settings is given up, and that is said.
    other = Sharpener(nca, picture, (12, 12), SharpenConfig(iterations=5))
    save_sharpening(other, folder / SHARPENING)
    # While a training goes on here, it would replace what the decoder is fitted to.
    lock = FileLock(folder / LOCK)
    assert lock.acquire() and main(["sharpen", str(folder), "--iterations", "2"]) == 2
    assert "is training in" in capsys.readouterr().err and (folder / SHARPENING).exists()
    lock.release()
    assert main(["sharpen", str(folder), "--iterations", "2"]) == 0
    assert "other settings or weights; a new one begins" in capsys.readouterr().err
    found = load_checkpoint(folder)
    assert found.decoder is not None and found.picture.shape == (kinds, 96, 96, 4)
    assert (found.picture_at(16) - picture).abs().max() < 0.01
    with Image.open(folder / PICTURE) as column:
        assert column.size == (192, 192 * kinds)
    save_preview(folder, nca, info, (12, 12), found.decoder)

    # Pictures of one's own are given in the order of the kinds.
    photos = CheckpointInfo(target=TargetConfig(kind="image", size=8, padding=2))
    own = save_checkpoint(tmp_path / "own", nca, photos, target, preview=False)
    capsys.readouterr()
    assert main(["sharpen", str(own)]) == 2
    assert "fine picture of this checkpoint is not known" in capsys.readouterr().err
    words = []
    for kind, one in enumerate(picture, 1):
        (tmp_path / f"{kind}.png").write_bytes(target_to_png(one[32:160, 32:160]))
        words += ["--picture", str(tmp_path / f"{kind}.png")]
    assert main(["sharpen", str(own), "--iterations", "1", *words]) == 0
    assert main(["sharpen", str(own), "--iterations", "1", *words, *words[:2]]) == 2
    assert "Please give one fine picture" in capsys.readouterr().err
    if kinds == 2:
        backwards = [*words[2:], *words[:2]]
        assert main(["sharpen", str(own), "--iterations", "1", *backwards]) == 2
        assert "something else" in capsys.readouterr().err


def test_fine_pictures_that_do_not_fit_the_kinds_are_refused(tmp_path):
    nca = NCA(NCAConfig(channels=6, hidden=(4,), kinds=2))
    made = TargetConfig(emoji="🌵", more=("🐠",), size=8, padding=2)
    folder = save_checkpoint(
        tmp_path, nca, CheckpointInfo(target=made), make_target(made), {}, False
    )
    for width, height in ((12, 12), (12, 36), (12, 25), (24, 24), (1200, 2400)):
        Image.new("RGBA", (width, height)).save(folder / PICTURE)
        with pytest.raises(BadInput, match="whole number of pixels|at most 1024 pixels"):
            load_checkpoint(folder)
    Image.new("RGBA", (24, 48)).save(folder / PICTURE)
    assert load_checkpoint(folder).picture_at(2).shape == (2, 24, 24, 4)
    Image.new("LA", (256, 256 * 80)).save(folder / PICTURE, compress_level=1)
    with pytest.raises(BadInput, match="too many pixels together"):
        check_picture((folder / PICTURE).read_bytes(), (16, 16), 80)
    for count in (1, 3):
        with pytest.raises(BadInput, match="fine picture"):
            save_fine(folder, nca, (12, 12), picture=torch.zeros(count, 12, 12, 4))
        with pytest.raises(BadInput, match="one fine picture for each of 2 kinds"):
            Sharpener(nca, torch.zeros(count, 12, 12, 4), (12, 12))
    many = NCA(NCAConfig(channels=6, hidden=(4,), kinds=255))
    with pytest.raises(BadInput, match="255 kinds on 40 x 40 cells are too many for one decoder"):
        Sharpener(many, torch.zeros(255, 40, 40, 4), (40, 40))
    assert [most_scale(72, kinds) for kinds in (0, 1, 10, 255)] == [14, 14, 8, 1]
    assert [SharpenConfig().iterations_for(kinds) for kinds in (0, 1, 4)] == [3000, 3000, 6000]


def test_copies_keep_double_precision():
    nca = NCA(NCAConfig(channels=8, hidden=(8,), kinds=2)).double()
    for other in (cross(nca, 1, 2, 0.3), nca.with_kinds(3), together(nca, nca)):
        assert {p.dtype for p in other.parameters()} == {torch.float64}
    genes = nca.genes.detach()
    assert torch.equal(cross(nca, 1, 2, 0.3).genes[2], 0.7 * genes[0] + 0.3 * genes[1])


def test_genes_of_another_width_are_refused(tmp_path):
    nca = NCA(NCAConfig(channels=8, hidden=(8,), kinds=2))
    save_checkpoint(tmp_path, nca, target=torch.zeros(2, 12, 12, 4), preview=False)
    path = tmp_path / "model.safetensors"
    with safe_open(path, "pt") as file:
        metadata, weights = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    save_file(weights | {"genes": torch.zeros(2, 9)}, path, metadata)
    with pytest.raises(BadInput, match="do not fit the architecture that it names"):
        load_checkpoint(tmp_path)
    save_file(weights | {"genes": torch.zeros(3, 8)}, path, metadata)
    with pytest.raises(BadInput, match="do not fit the architecture that it names"):
        load_checkpoint(tmp_path)
    sent = player_model(nca, 12)
    with pytest.raises(BadInput, match="do not fit the automaton that it names"):
        nca_from_player(sent | {"config": sent["config"] | {"kinds": 3}})
    with pytest.raises(BadInput, match="no kind 3; this automaton has kinds 1 to 2"):
        nca.seed(kind=3)


def wild(seed: int, **values) -> NCA:
    """An automaton with random weights and biases."""
    nca, draw = NCA(NCAConfig(**({"channels": 8} | values))), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in nca.parameters():
            parameter.normal_(std=0.3, generator=draw)
    return nca


@pytest.mark.parametrize(
    ("values", "others"),
    [
        ({"hidden": (8,)}, {"hidden": (12,), "laplacian": "nine_point"}),
        ({"hidden": (8, 6)}, {"hidden": (10, 8), "out_bias": False}),
        ({"hidden": (8,), "channels": 9, "kinds": 2}, {"hidden": (8,)}),
    ],
)
def test_two_automata_live_on_one_grid_as_alone(values, others):
    first, second = wild(1, **values), wild(2, **others)
    both = together(first, second)
    count = max(1, first.config.kinds)
    assert both.config.kinds == count + 1
    for nca, kind in ((first, 1), (second, 1)):
        own = kind + (count if nca is second else 0)
        filters, channels = nca.config.filters, nca.config.rule_channels
        seen = torch.randn(5, filters, channels)
        more = both.config.filters - filters, both.config.rule_channels - channels
        padded = F.pad(seen, (0, more[1], 0, more[0])).flatten(1)
        kinds = torch.full((5,), kind if nca.config.kinds else 0)
        change = both.update(padded, torch.full((5,), own))
        assert (
            torch.allclose(change[:, :channels], nca.update(seen.flatten(1), kinds), atol=1e-5)
            and not change[:, channels:].any()
        )


def test_two_automata_grow_as_alone():
    first = zoo_model(NCAConfig(channels=8, hidden=(20,)), seed=1)
    second = zoo_model(NCAConfig(channels=11, hidden=(24,)), seed=2)
    both = together(first, second)
    alone = [nca.grow(nca.seed(1, 16), 6, 5) for nca in (first, second)]
    for kind, grown in enumerate(alone, 1):
        found = both.grow(both.seed(1, 16, kind), 6, 5)
        assert torch.allclose(found[..., : grown.shape[-1]], grown, atol=1e-4)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({}, {"fire_rate": 1.0}, "differ in fire rate, 0.5 and 1.0; please choose two of equal"),
        ({}, {"hidden": (64, 64)}, "differ in hidden layers, 1 and 2; please choose two of equal"),
        ({"laplacian": "nine_point"}, {"laplacian": "five_point"}, "differ in the Laplacian"),
        ({"perception": "learned"}, {"perception": "learned"}, "learned filters"),
        ({"channels": 32}, {"channels": 8}, "leaves none for the kind"),
        ({"hidden": (600,)}, {"hidden": (600,)}, "too wide together"),
    ],
)
def test_two_automata_that_cannot_share_a_grid(first, second, said):
    with pytest.raises(BadInput, match=said):
        together(NCA(NCAConfig(**first)), NCA(NCAConfig(**second)))


def test_any_two_of_the_shipped_emoji_share_a_grid():
    loaded = [load_checkpoint(folder) for folder in ROOT.glob("checkpoints/*-regenerating")]
    assert len(loaded) == 10
    for first, second in combinations(loaded, 2):
        check_together(first.nca.config, second.nca.config)
    widest = sorted(loaded, key=lambda each: each.nca.config.hidden)[-2:]
    both = together(*(each.nca for each in widest))
    assert both.config.hidden[0] > 512
    for kind, alone in enumerate(widest, 1):
        grown = both.grow(both.seed(1, alone.size, kind), 120, seed=1)
        assert log10_error(grown, alone.target)[0] < -4.5

"""A training as a command or as Python: both train the same again."""

import shlex

import pytest
import torch

from nca.checkpoint import load_checkpoint
from nca.cli import main
from nca.config import InitialSource
from nca.jobs.as_code import as_command, as_python
from nca.jobs.spec import JobSpec, Target, read_spec
from nca.target import target_from_png

TINY = dict(
    iterations=2, batch=2, pool_size=4, steps_min=4, steps_max=6, hidden=[8, 8], channels=6,
    damage_count=1, damage_shapes=["half", "circle"], damage_items="random",
)  # fmt: skip


def spec(**options):
    target = Target.make({"emoji": "🦎", "size": 10, "padding": 3}, title="🦎")
    return JobSpec.from_recipe("quick", target, changes=TINY, **options)


def test_both_train_the_same_again_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = spec(seed=7, device="cpu")
    words = shlex.split(as_command(job))
    assert words[:3] == ["python", "-m", "nca"]
    assert main(words[3:]) == 0
    assert read_spec(tmp_path / "runs/again") == job
    first = load_checkpoint("runs/again").nca.state_dict()
    exec(compile(as_python(job), "copied.py", "exec"), {})
    second = load_checkpoint("runs/again").nca.state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_picture_of_ones_own_comes_from_the_checkpoint(tmp_path, monkeypatch):
    """The cells that `target.png` holds are trained on again."""
    monkeypatch.chdir(tmp_path)
    drawn = spec()
    made = drawn.target.model_copy(update={"kind": "image", "emoji": None})
    job = drawn.model_copy(update={"target": made, "recipe": None})
    png = Target.make({"emoji": "🦎", "size": 10, "padding": 3}).png
    (tmp_path / "target.png").write_bytes(png)
    assert main(shlex.split(as_command(job))[3:]) == 0
    cells, expected = map(target_from_png, (tmp_path / "runs/again/target.png", png))
    torch.testing.assert_close(cells, expected, atol=1.01 / 255, rtol=0)
    again = read_spec(tmp_path / "runs/again")
    assert (again.nca, again.train, again.target.grid) == (job.nca, job.train, made.grid)
    exec(compile(as_python(job), "copied.py", "exec"), found := {})
    assert torch.equal(found["target"], expected) and found["nca"] == job.nca


@pytest.mark.parametrize("public", [False, True])
def test_an_initial_checkpoint_is_named_if_it_is_public(public):
    shown = dict(repo="ann/lizard", revision="a" * 40) if public else {}
    source = InitialSource(title="Old\nlizard", iteration=70, **shown)
    job = spec().model_copy(update={"initial": source})
    name = f"ann/lizard@{'a' * 40}" if public else "runs/first"
    opened = f"NCA.from_pretrained({name!r})" if public else f"load_checkpoint({name!r})"
    assert f"--from {name}" in as_command(job) and opened in as_python(job)
    names = as_python(job).splitlines()[0]
    assert ("load_checkpoint" in names, ", NCA," in names.replace("import ", ", ")) == (
        not public, public,
    )  # fmt: skip
    assert "channels" not in as_command(job)  # it keeps its architecture
    compile(as_python(job), "copied.py", "exec")

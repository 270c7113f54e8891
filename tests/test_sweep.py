"""`nca sweep`: many trainings from one command, stopped and continued, and what comes of them."""

import csv
import json
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image

from nca.checkpoint import load_checkpoint, save_checkpoint
from nca.cli import main
from nca.config import NCAConfig, TargetConfig
from nca.jobs.executor import LocalProcess
from nca.jobs.lock import FileLock
from nca.jobs.progress import read_result
from nca.jobs.spec import LOCK, Target, read_spec
from nca.jobs.sweep import SweepRun, plan, run_all
from nca.jobs.sweep_results import look_at, sheet
from nca.metrics import read_metrics
from nca.model import NCA

TINY = (
    "--size 10 --padding 3 --iterations 3 --set hidden=[8] --set channels=6 --set batch=3 "
    "--set pool_size=8 --set steps_min=6 --set steps_max=9 --device cpu"
).split()


@pytest.mark.long
def test_a_sweep_trains_all_and_goes_on(tmp_path, capsys):
    out = tmp_path / "runs"
    command = ["sweep", "--emoji", "🐞", "--emoji", "🦎", "--jobs", "2", "--out", str(out), *TINY]
    assert main(command) == 0
    said, names = capsys.readouterr().out, ["lady_beetle", "lizard"]
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == names
    for name in names:
        assert re.search(rf"^{name} +3 +[\d.]+ +-[\d.]+ +-[\d.]+ +-[\d.]+$", said, re.MULTILINE)
    with (out / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["training"] for row in rows] == names and float(rows[0]["healed"]) < 0
    lines = (out / "losses.csv").read_text().splitlines()
    assert lines[0] == "run,iteration,loss,learning_rate,iterations_per_second,seconds"
    assert len(lines) == 1 + 2 * 3 and all(line.count(",") == 5 for line in lines)
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.size == (2 * 312, 120)

    # One has not finished: only that one is trained when the command is repeated.
    (out / "lady_beetle" / "result.json").unlink()
    weights = [out / name / "model.safetensors" for name in names]
    before = [path.stat().st_mtime_ns for path in weights]
    assert main(command) == 0
    after = [path.stat().st_mtime_ns for path in weights]
    assert before[0] != after[0] and before[1] == after[1]
    assert read_result(out / "lady_beetle").outcome == "finished"
    assert [row.iteration for row in read_metrics(out / "lady_beetle")] == [1, 2, 3]

    # With other settings the finished ones would not be what the table says.
    assert main([*command, "--set", "channels=7"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_a_sweep_of_pictures_whose_decoders_may_come_later(tmp_path):
    Image.new("RGB", (30, 20), "red").save(tmp_path / "mug.png")
    image = ["--image", str(tmp_path / "mug.png"), "--no-sharpen"]
    assert main(["sweep", *image, "--out", str(tmp_path / "runs"), *TINY]) == 0
    folder = tmp_path / "runs/mug"
    found = load_checkpoint(folder)
    assert found.info.target.kind == "image" and found.target[8, 8].tolist() == [1, 0, 0, 1]
    spec = read_spec(folder)
    assert SweepRun("mug", folder, spec, b"").finished
    assert not SweepRun("mug", folder, spec.model_copy(update={"sharpen": 9}), b"").finished


def test_what_a_sweep_leaves_out_and_does_otherwise_is_said(tmp_path, capsys):
    out = tmp_path / "runs"
    command = ["sweep", "--no-sharpen", "--out", str(out), *TINY]
    assert main([*command, "--emoji", "🐞"]) == 0
    written = out / "lady_beetle/progress.json"
    about = json.loads(written.read_text()) | {"message": "Trained on the CPU."}
    written.write_text(json.dumps(about))
    said = capsys.readouterr()
    assert "3/3" in said.err and "earlier sweeps" not in said.out
    assert main([*command, "--emoji", "🐞", "--iterations", "2"]) == 0
    said = capsys.readouterr()
    assert "2/2" in said.err and "lady_beetle: Trained on the CPU." in said.err
    assert "lady_beetle: It was already trained for 3 iterations, more than were" in said.err
    assert main([*command, "--emoji", "🦎"]) == 0
    assert "leave out 1 of earlier sweeps: lady_beetle." in capsys.readouterr().out


def test_an_automaton_of_several_kinds_is_looked_at_kind_by_kind(tmp_path):
    nca = NCA(NCAConfig(channels=6, hidden=(4,), kinds=2))
    pictures = torch.zeros(2, 8, 8, 4)
    pictures[1, 2:6, 2:6] = 1
    save_checkpoint(tmp_path / "zoo", nca, target=pictures, preview=False)
    found = look_at(tmp_path / "zoo", "zoo")
    assert found.states.shape == (3, 8, 8, 4) and torch.equal(found.states[0], pictures[0])
    grown = nca.grow(nca.seed(2, 8, (1, 2)), 200, seed=0)[..., :4]
    assert found.grown == pytest.approx(float((grown - pictures).square().mean().log10()))
    assert sheet([found]).size == (312, 120)


def test_every_target_setting_and_seed_has_a_name_of_its_own(tmp_path):
    targets = [Target(TargetConfig(emoji=e), b"", e) for e in "🦎🐞"]
    varied = {"recipe": ["quick", "growing"], "hidden": [[64], [32, 32]]}
    runs = plan(tmp_path, targets, varied, [5, 6], recipe="quick", changes={"iterations": 7})
    assert len(runs) == 2 * 2 * 2 * 2 == len({run.folder for run in runs})
    run = {run.name: run for run in runs}["lizard-recipe=growing-hidden=32,32-seed=6"]
    assert run.folder == tmp_path / run.name and run.spec.train.start == "seed"
    assert (run.spec.nca.hidden, run.spec.seed, run.spec.train.iterations) == ((32, 32), 6, 7)


def test_every_picture_has_a_folder_whatever_it_is_called(tmp_path):
    first, second = (Target.make(TargetConfig(emoji=emoji, size=8, padding=2)) for emoji in "🦎🐞")
    named = [(first, "cat"), (second, "cat"), (first, "猫"), (second, "犬"), (first, "../é%"),
             (second, "猫" * 60)]  # fmt: skip
    targets = [replace(target, title=title) for target, title in named]
    runs = plan(tmp_path, targets, {}, [0], recipe="quick", changes={})
    names = [run.name for run in runs]
    assert names == ["cat", "cat-2", "猫", "犬", "é", "猫" * 20]
    for run in runs:
        run.folder.mkdir()


def test_a_sweep_waits_for_what_another_process_still_trains(tmp_path):
    """As the worker of a sweep that was killed a moment ago."""
    target = Target.make(TargetConfig(emoji="🦎", size=8, padding=2))
    changes = {"iterations": 2, "batch": 2, "pool_size": 4, "damage_count": 1, "steps_min": 4,
               "steps_max": 6}  # fmt: skip
    runs = plan(tmp_path, [target], {}, [0, 1], recipe="quick", changes=changes, sharpen=0)
    held, said, finished = FileLock(runs[0].folder / LOCK), [], []

    def look() -> None:
        finished.append([run.finished for run in runs])
        if said:
            held.release()

    assert held.acquire()
    executor = LocalProcess(("cpu",))
    try:
        assert run_all(runs, executor, "cpu", 1, lambda: False, look, said.append)
    finally:
        executor.close()
    assert all(run.finished for run in runs) and [False, True] in finished
    assert len(said) == 1 and f"Another process trains in {runs[0].folder}" in said[0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--vary damage_count=1,2", "Please choose pictures"),
        ("--emoji 🦎 --vary batch", "write --vary as NAME=A,B"),
        ("--emoji 🦎 --vary batch=2 --vary batch=3", "batch is given twice"),
        ("--emoji 🦎 --vary iterations=4,5", "iterations is given twice"),
        ("--from lizard-regenerating", "--size says how a picture is drawn"),
        ("--emoji 🦎 --vary reseed_count=-1", "reseed_count: it must be a whole number"),
        ("--emoji 🦎 --vary wings=1,2", "no setting called wings"),
        ("--emoji 🦎 --vary recipe=quick,magic", "no recipe called 'magic'"),
        ("--emoji 🦎 --vary seed=1,2", "seed is not a setting; please use --seeds"),
        ("--emoji 🦎 --set recipe=growing", "recipe is not a setting; please use --recipe"),
        ("--emoji 🦎 --vary size=8,9", "size is not a setting; please use --size"),
        ("--emoji 🦎 --emoji 🦎", "would be called lizard"),
        ("--emoji 🦎 --vary reseed_count=1,1", "each value once"),
        ("--emoji 🦎 --seeds 600", "more than 500"),
        ("--emoji 🦎 --jobs 0", "1 to 64 --jobs"),
        ("--emoji 🦎 --seeds 0", "1 to 1000 --seeds"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_starts(words, sentence, tmp_path, capsys):
    assert main(["sweep", "--out", str(tmp_path / "x"), *words.split(), *TINY]) == 2
    said = capsys.readouterr().err.strip()
    assert sentence in said and said.endswith(".") and "\n" not in said
    assert not (tmp_path / "x").exists()

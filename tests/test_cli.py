"""The command line and the README's examples, run as a person would run them."""

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from nca.checkpoint import load_checkpoint
from nca.cli import main
from nca.jobs.local import device_lock
from nca.jobs.lock import FileLock

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TINY = (
    "--size 10 --padding 3 --iterations 3 --set hidden=[8] --set channels=6 --set batch=3 "
    "--set pool_size=8 --set steps_min=6 --set steps_max=9"
).split()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "lizard"
    assert main(["train", "--emoji", "🦎", "--out", str(folder), *TINY]) == 0
    return folder


def test_train_makes_a_checkpoint(trained):
    loaded = load_checkpoint(trained)
    assert loaded.info.iteration == 3 and loaded.info.title == "🦎"
    assert loaded.info.nca.hidden == (8,) and loaded.size == (16, 16)
    assert (trained / "preview.gif").is_file()


def test_train_goes_on_and_refuses_other_settings(trained, capsys):
    longer = [*TINY, "--iterations", "5"]
    assert main(["train", "--emoji", "🦎", "--out", str(trained), *longer]) == 0
    assert load_checkpoint(trained).info.iteration == 5
    assert main(["train", "--emoji", "🐞", "--out", str(trained), *longer]) == 2
    assert "other settings" in capsys.readouterr().err
    assert load_checkpoint(trained).info.iteration == 5


def test_interrupt_saves_and_the_same_command_goes_on(tmp_path):
    command = [sys.executable, "-m", "nca", "train", "--emoji", "🐞", "--out", str(tmp_path / "b")]
    command += [*TINY, "--iterations", "100000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        while "it/s" not in (line := process.stderr.readline()) and line:
            pass  # tqdm redraws its line with \r; universal newlines make lines of that
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130 and "Traceback" not in rest
    done = load_checkpoint(tmp_path / "b").info.iteration
    assert 0 < done < 100_000


def test_a_second_training_on_the_same_device_says_that_it_waits(tmp_path):
    path = device_lock(tmp_path / "b", "cpu")
    assert path is not None
    other = FileLock(path)
    assert other.acquire()
    command = [sys.executable, "-m", "nca", "train", "--emoji", "🐞", "--out", str(tmp_path / "b")]
    command += [*TINY, "--device", "cpu"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        while "Waiting until" not in (line := process.stderr.readline()):
            assert line  # it ended without a word
        other.release()
        process.stderr.read()
        assert process.wait() == 0
    assert load_checkpoint(tmp_path / "b").info.iteration == 3


@pytest.mark.parametrize("suffix", ["gif", "webp", "apng", "mp4"])
def test_grow_films(trained, tmp_path, suffix):
    out = tmp_path / f"film.{suffix}"
    arguments = ["grow", str(trained), "--steps", "20", "--damage", "half-left@10"]
    assert main([*arguments, "--out", str(out)]) == 0
    if suffix == "mp4":
        assert out.read_bytes()[4:8] == b"ftyp"
        return
    with Image.open(out) as film:
        assert film.size == (64, 64)
        film.seek(min(9, film.n_frames - 1))  # equal frames may be joined
        assert film.convert("RGBA").getchannel("A").getextrema()[1] == 255


def test_grow_shows_the_wound_at_its_step(trained, tmp_path):
    out = tmp_path / "film.webp"
    arguments = ["grow", str(trained), "--steps", "3", "--damage", "half-left@2", "--scale", "1"]
    assert main([*arguments, "--samples", "2", "--out", str(out)]) == 0
    with Image.open(out) as film:
        assert film.size == (32, 16)
        shown = []
        for frame in range(film.n_frames):
            film.seek(frame)
            shown.append(film.convert("RGBA").getchannel("A").crop((0, 0, 8, 16)).getbbox())
    assert shown[-2] is None  # the left half of the first sample, at the step of the cut


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("train --emoji ab --out {tmp}/x", "exactly one emoji"),
        ("train --emoji 🦎🐞 --out {tmp}/x", "exactly one emoji"),
        ("train --image {tmp}/none.png --out {tmp}/x", "cannot be opened"),
        ("train --emoji 🦎 --recipe magic --out {tmp}/x", "regenerating"),
        ("train --emoji 🦎 --set channels=99 --out {tmp}/x", "channels"),
        ("train --emoji 🦎 --set wings=2 --out {tmp}/x", "wings"),
        ("train --emoji 🦎 --set batch --out {tmp}/x", "NAME=VALUE"),
        ("train --emoji 🦎 --size 4000 --out {tmp}/x", "size"),
        ("grow {tmp} --out {tmp}/a.gif", "not an NCA Garden checkpoint"),
        ("grow {trained} --out {tmp}/a.bmp", ".gif"),
        ("grow {trained} --steps 100000 --out {tmp}/a.gif", "frames"),
        ("grow {trained} --damage axe@3 --out {tmp}/a.gif", "half-left"),
        ("grow {trained} --damage half-left@999 --out {tmp}/a.gif", "SHAPE@STEP"),
        ("grow {trained} --fps 17 --out {tmp}/a.gif", "20, 25 or 50"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, trained, tmp_path, capsys):
    words = arguments.format(tmp=tmp_path, trained=trained).split()
    assert main(words) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert sentence in said and said.endswith(".")
    assert not (tmp_path / "x").exists() and not (tmp_path / "a.gif").exists()


def test_readme_commands(tmp_path, monkeypatch):
    """Each command of the README, with a tiny training in place of the long one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    commands = re.findall(r"^python -m nca (.+)$", README, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        words = shlex.split(command)
        assert main([*words, *(TINY if words[0] == "train" else [])]) == 0, command
    assert (tmp_path / "lizard.gif").is_file() and (tmp_path / "lizard.mp4").is_file()


def test_readme_library_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        if "gradio_client" in block:
            continue  # needs a server; tests/ui/test_mcp_api.py runs it
        exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "runs" / "healing.gif").is_file()

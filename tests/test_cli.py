"""The command line and the README's examples, run as a person would run them."""

import io
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from nca import __version__
from nca.checkpoint import load_checkpoint, save_fine, zip_checkpoint
from nca.cli import grow, main
from nca.config import DecoderConfig, NCAConfig, TrainConfig
from nca.damage_shapes import SHAPES
from nca.decoder import Decoder
from nca.decoder_file import DECODER
from nca.files import write_atomic
from nca.jobs.local import device_lock
from nca.jobs.lock import FileLock
from nca.recipes import RECIPES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LIZARD = json.loads((ROOT / "checkpoints/lizard-regenerating/metrics.json").read_text())["battery"]
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
    with zipfile.ZipFile(io.BytesIO(zip_checkpoint(trained))) as archive:
        lines = archive.read("metrics.csv").decode().splitlines()
    assert lines[0].startswith("iteration,loss,learning_rate") and len(lines) == 4
    assert lines == (trained / "metrics.csv").read_text().splitlines()


def test_train_goes_on_and_refuses_other_settings(trained, capsys):
    longer = [*TINY, "--iterations", "5"]
    before = load_checkpoint(trained)
    decoder = Decoder(DecoderConfig(), before.nca.config)
    save_fine(trained, before.nca, before.size, decoder)
    assert main(["train", "--emoji", "🦎", "--out", str(trained), *longer]) == 0
    assert load_checkpoint(trained).info.iteration == 5
    said = capsys.readouterr().out
    assert "already" not in said and "Its decoder was fitted to earlier weights" in said
    (trained / DECODER).unlink()
    assert main(["train", "--emoji", "🦎", "--out", str(trained), *TINY, "--iterations", "4"]) == 0
    assert "already trained for 5 iterations, more than were asked" in capsys.readouterr().out
    assert main(["train", "--emoji", "🐞", "--out", str(trained), *longer]) == 2
    assert "other settings" in capsys.readouterr().err
    assert load_checkpoint(trained).info.iteration == 5


def test_train_refuses_another_picture_in_the_same_file(tmp_path, capsys):
    picture, out = tmp_path / "mug.png", tmp_path / "mug"
    command = ["train", "--image", str(picture), "--out", str(out), "--no-sharpen", *TINY]
    for colour, longer, code in (("red", "2", 0), ("red", "3", 0), ("blue", "4", 2)):
        Image.new("RGBA", (20, 20), colour).save(picture)
        assert main([*command, "--iterations", longer]) == code
    assert "or another picture" in capsys.readouterr().err
    kept = load_checkpoint(out)
    assert kept.info.iteration == 3 and kept.target[5, 5].tolist() == [1, 0, 0, 1]


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


@pytest.mark.long
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


def test_help_lists_every_shape_of_damage():
    assert sorted(grow.DAMAGES) == sorted(SHAPES)


def test_grow_shows_the_damage_at_its_step(trained, tmp_path):
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
    # Steps 0, 2 and 3: the last is shown whatever the distance of the frames.
    assert main([*arguments, "--every", "2", "--damage", "half-left@3", "--out", str(out)]) == 0
    with Image.open(out) as film:
        assert film.n_frames == 3
        film.seek(2)
        assert film.convert("RGBA").getchannel("A").crop((0, 0, 8, 16)).getbbox() is None


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
        ("train --emoji 🦎 --set chanels=8 --out {tmp}/x", "write channels, if you meant"),
        ("train --emoji 🦎 --set hidden=64 --out {tmp}/x", "a list of 1 to 4 values"),
        ("train --emoji 🦎 --set hidden=" + "[" * 9999 + " --out {tmp}/x", "a list of 1 to 4"),
        ("train --emoji 🦎 --device tpu --out {tmp}/x", "device: it must be auto, cpu, cuda,"),
        ("train --emoji 🦎 --seed -1 --out {tmp}/x", "seed: it must be a whole number"),
        ("train --emoji 🦎 --out {tmp}/file", "is a file; please change --out"),
        ("train --emoji 🦎 --out {tmp}/file/x", "is a file; please change --out"),
        ("train --from nosuch --out {tmp}/x", "There is no folder nosuch"),
        ("train --from {trained}/model.safetensors --out {tmp}/x", "name the folder"),
        ("train --emoji 🦎 --background transparent --out {tmp}/x", "--background is for --image"),
        ("train --emoji 🦎 --no-crop --out {tmp}/x", "--no-crop is for --image; please leave it"),
        ("train --image mug.png --style noto --out {tmp}/x", "--style is for --emoji"),
        ("train --from a/b --set batch=0 --out {tmp}/x", "batch"),  # before the Hub is asked
        ("train --from a/b --out {tmp}/file", "is a file"),
        ("pull a/b --out {tmp}/file", "is there already"),
        ("pull a/b --out {tmp}/file/x", "is a file; please change --out"),
        ("push {tmp}/nosuch a/b", "There is no folder {tmp}/nosuch"),
        ("evaluate {tmp}/nosuch", "There is no folder {tmp}/nosuch"),
        ("evaluate {trained} --seed -1", "seed: it must be a whole number from 0"),
        ("grow {tmp} --out {tmp}/a.gif", "not an NCA Garden checkpoint"),
        ("grow nosuch --out {tmp}/a.gif", "There is no folder nosuch"),
        ("grow {trained}/model.safetensors --out {tmp}/a.gif", "is a file; please name the folder"),
        ("grow {trained} --samples 17 --out {tmp}/a.gif", "samples: it must be a whole number"),
        ("grow {trained} --every 0 --out {tmp}/a.gif", "every: it must be"),
        ("grow {trained} --angle nan --out {tmp}/a.gif", "angle: it must be a number"),
        ("grow {trained} --out {tmp}/a.bmp", ".gif"),
        ("grow {trained} --steps 100000 --out {tmp}/a.gif", "frames"),
        ("grow {trained} --damage axe@3 --out {tmp}/a.gif", "half-left"),
        ("grow {trained} --damage half-left@999 --out {tmp}/a.gif", "SHAPE@STEP"),
        ("grow {trained} --damage half-left@" + "0" * 5000 + " --out {tmp}/a.gif", "SHAPE@STEP"),
        ("train --emoji 🦎 --out {shipped}", "holds a checkpoint, which training there would"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, trained, tmp_path, capsys):
    (tmp_path / "file").touch()
    shutil.copytree(ROOT / "checkpoints/lizard-growing", shipped := tmp_path / "lizard")
    before = {path.name: path.read_bytes() for path in shipped.iterdir()}
    words = arguments.format(tmp=tmp_path, trained=trained, shipped=shipped).split()
    assert main(words) == 2
    (shipped / "worker.lock").unlink(missing_ok=True)
    assert {path.name: path.read_bytes() for path in shipped.iterdir()} == before
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert sentence.format(tmp=tmp_path) in said and said.endswith(".")
    assert not (tmp_path / "x").exists() and not (tmp_path / "a.gif").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--fps 17 --out {tmp}/a.gif", "20, 25 or 50"),
        ("--fps 61 --out {tmp}/a.webp", "fps: it must be a whole number from 1 to 60"),
        ("--scale 32 --out {tmp}/a.gif", "scale: it must be a whole number from 1 to 16"),
        ("--damage haf-left@20 --out {tmp}/a.gif", "half-left"),
        ("--out {tmp}/missing/a.gif", "There is no folder"),
        ("--out {tmp}/folder.gif", "is a folder"),
        ("--out /proc/a.gif", "Nothing can be written in /proc"),
    ],
)
def test_nothing_grows_for_a_film_that_cannot_be_saved(
    options, sentence, trained, tmp_path, capsys
):
    (tmp_path / "folder.gif").mkdir()
    assert main(["grow", str(trained), *options.format(tmp=tmp_path).split()]) == 2
    said = capsys.readouterr().err.strip()
    assert sentence in said and ".tmp" not in said
    assert "Growing" not in said  # what the progress bar begins with


def test_errors_name_the_file_that_was_asked_for(tmp_path, trained, capsys):
    """The checkpoint's folder vanishes below a file that is written beside and then renamed."""
    with pytest.raises(OSError) as error:
        write_atomic(tmp_path / "missing" / "file", b"")
    assert error.value.filename == str(tmp_path / "missing" / "file")
    assert ".tmp" not in str(error.value)


def test_recipes_are_listed_with_their_sources_and_scores(capsys):
    assert main(["recipes"]) == 0
    said = capsys.readouterr().out
    for name in RECIPES:
        assert re.search(rf"^{re.escape(name)} ", said, re.MULTILINE)
    growth = " / ".join(f"{v:.2f}" for v in LIZARD["growth"].values())
    assert "Distill 2020" in said and f"lizard-regenerating: {growth}" in said
    assert main(["recipes", "cax"]) == 0
    said = capsys.readouterr().out
    assert 'loss_at="random"' in said and "seed_hidden=false" in said and "batch=" not in said


def test_every_setting_is_listed_with_its_range(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", "--help-settings"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    for name in (*NCAConfig.model_fields, *TrainConfig.model_fields):
        assert re.search(rf"^  {name} +\S", said, re.MULTILINE), name
    assert re.search(r"channels +a whole number from 4 to 32; default 16", said)
    assert re.search(r"optimiser +adam or muon; default \"adam\"", said)
    assert re.search(r"hidden +a list of 1 to 4 values, .* default \[128\]", said)


def test_a_shipped_checkpoint_needs_no_path(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "a.gif"
    assert main(["grow", "lizard-regenerating", "--steps", "2", "--out", str(out)]) == 0
    assert out.is_file()
    assert main(["evaluate", "lizard-regenerating", "--write"]) == 2
    assert "not a folder of yours" in capsys.readouterr().err
    spec = [*"train --from lizard-growing --iterations 1 --set batch=99 --out x".split()]
    assert main(spec) == 2  # found, and refused for its batch alone
    assert "batch" in capsys.readouterr().err


def test_trainings_are_compared(trained, tmp_path, capsys):
    other = tmp_path / "other"
    assert main(["train", "--emoji", "🦎", "--out", str(other), *TINY, "--set", "batch=2"]) == 0
    svg, png, table = (tmp_path / name for name in ("a.svg", "a.png", "a.csv"))
    arguments = ["compare", str(trained), str(other), "lizard-regenerating", "--csv", str(table)]
    assert main([*arguments, "--plot", str(svg)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^batch +3 +2 +2$", said, re.MULTILINE)
    assert "step_size" not in said  # equal in all
    assert "log10 of the loss" in said and "No losses were kept with lizard-regenerating" in said
    assert re.search(rf"log10 error at step 200 .*{LIZARD['growth']['200']:.2f}", said)
    lines = table.read_text().splitlines()
    assert lines[0].startswith("run,iteration,loss") and lines[-1].startswith("other,3,")
    drawn = ElementTree.fromstring(svg.read_text())
    assert len(drawn.findall("{*}polyline")) == 2 and "other" in "".join(drawn.itertext())
    assert main(["compare", str(trained), str(other), "--plot", str(png)]) == 0
    with Image.open(png) as picture:
        assert picture.size == (840, 420)
    capsys.readouterr()
    assert main(["compare", "eye-regenerating", "ladybug-regenerating", "zoo"]) == 0
    rows = dict(re.findall(r"^(\w+) +(.*)$", capsys.readouterr().out, re.MULTILINE))
    assert rows["emoji"].split() == ["👁", "🐞", "🦎😀💥👁🐠🦋🐞🕸🥨🎄"] and "more" not in rows
    assert rows["kinds"].split() == ["–", "–", "10"]
    shapes = re.split(r"  +", rows["damage_shapes"])
    assert shapes[0] == shapes[1] != shapes[2] and "swipe × " in shapes[0]
    assert main(["compare", str(trained)]) == 2
    assert main(["compare", str(trained), str(other), "--plot", "a.pdf"]) == 2
    capsys.readouterr()
    # Nothing is printed or written before all can be; of several, the one that is wrong is named.
    nothing = tmp_path / "nothing"
    shipped = ["lizard-regenerating", "lizard-cax"]
    assert main(["compare", *shipped, "--csv", str(nothing)]) == 2
    said = capsys.readouterr()
    assert "keeps its losses" in said.err and not said.out and not nothing.exists()
    nothing.mkdir()
    (nothing / "model.safetensors").write_bytes(b"?")
    assert main(["compare", str(trained), str(nothing)]) == 2
    assert f"{nothing}: This is not an NCA Garden checkpoint" in capsys.readouterr().err


def test_readme_commands(tmp_path, monkeypatch):
    """Each command of the README, with a tiny training in place of the long one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    commands = re.findall(r"^python -m nca (.+)$", README, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        words = shlex.split(command, comments=True)
        if words == ["evaluate", "runs/zoo"]:
            continue  # half a minute; tests/test_zoo.py scores kinds with a smaller battery
        tiny = [*TINY] if words[0] in ("train", "sweep") else []
        if "zoo" in words:  # whose batch has four seeds and six damaged states
            tiny += ["--set", "reseed_count=1", "--set", "damage_count=1"]
        assert main([*words, *tiny]) == 0, command
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


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"nca-garden {__version__}\n"

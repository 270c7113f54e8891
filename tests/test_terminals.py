"""The command line in terminals, pipes and on disks of other kinds than the usual."""

import ast
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from nca.checkpoint import load_checkpoint
from nca.cli import main
from tests.hub_server import HubServer
from tests.test_cli import TINY

ROOT = Path(__file__).parents[1]
LIZARD = str(ROOT / "checkpoints" / "lizard-regenerating")


def command(*words, **environment):
    """`python -m nca` in a process of its own; arguments may be bytes."""
    return subprocess.run(
        [sys.executable, "-m", "nca", *words],
        env=os.environ | environment, cwd=ROOT, capture_output=True, timeout=300,
    )  # fmt: skip


@pytest.mark.long
def test_a_terminal_that_is_not_utf_8(tmp_path):
    film = tmp_path / "film-🦎.gif"
    words = ["grow", LIZARD, "--steps", "3", "--out", str(film)]
    done = command(*words, PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and film.is_file(), done.stderr
    assert b"film-\\U0001f98e.gif" in done.stdout
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    out = tmp_path / "a"
    done = command("train", "--emoji", "🦎", "--out", str(out), *TINY, **ascii_only)
    assert done.returncode == 0 and load_checkpoint(out).info.title == "🦎", done.stderr


@pytest.mark.long
def test_file_names_that_are_not_utf_8(tmp_path):
    picture = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Image.new("RGB", (9, 9), "red").save(tmp_path / "red.png")
    os.rename(tmp_path / "red.png", picture)
    out = os.fsencode(tmp_path) + b"/o\xff"
    done = command("train", "--image", picture, "--out", out, *TINY)
    assert done.returncode == 0 and b"Saved in" in done.stdout, done.stderr
    assert load_checkpoint(Path(os.fsdecode(out))).info.title == "caf\ufffd"


def test_hints_can_be_pasted(tmp_path, capsys):
    out = tmp_path / "sp ace" / "it's"
    assert main(["train", "--emoji", "🦎", "--out", str(out), *TINY]) == 0
    hint = capsys.readouterr().out.partition("python -m nca ")[2]
    assert shlex.split(hint)[:2] == ["grow", str(out)]


@pytest.mark.long
def test_nothing_is_said_of_a_pipe_that_was_closed(tmp_path):
    ours = [sys.executable, "-m", "nca", "grow", LIZARD, "--steps", "2", "--out"]
    process = subprocess.Popen(
        [*ours, str(tmp_path / "a.gif")], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()  # as `| true` does
    said = process.stderr.read().decode()
    assert process.wait() == 141 and (tmp_path / "a.gif").is_file()
    assert "pipe" not in said.lower() and "Traceback" not in said and "Exception" not in said


def test_an_absent_hub_is_met_at_once_and_quietly(tmp_path):
    for words in (["list"], ["pull", "a/b", "--out", str(tmp_path / "x")]):
        start = time.monotonic()
        done = command(*words, HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_CACHE=str(tmp_path))
        said = done.stderr.decode().strip()
        assert done.returncode == 2 and "cannot be reached" in said, said
        assert len(said.splitlines()) == 1 and time.monotonic() - start < 40


def test_strangers_do_not_write_to_the_terminal(tmp_path):
    card = {"library_name": "nca-garden", "tags": ["growing-nca"]}
    card["model_name"] = "\x1b]0;pwned\x07\x1b[31mred\u202e\nsecond"
    with HubServer() as server:
        text = f"---\n{json.dumps(card)}\n---\n"  # YAML that is JSON
        server.repo("ann/dot").commit({"README.md": text.encode()})
        done = command("list", "--endpoint", server.endpoint)
    said = done.stdout.decode()
    assert done.returncode == 0 and "ann/dot" in said and "pwned" in said
    assert all(character == "\n" or character.isprintable() for character in said), said
    assert len(said.splitlines()) == 1


def _is_text(call):
    """Whether a call opens a file, or talks to a process, as text."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    given = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
    if name != "open":
        return name in ("read_text", "write_text") or given.get("text") is True
    values = [getattr(argument, "value", None) for argument in call.args]
    # `open(path, mode)` or `path.open(mode)`; others, such as `Image.open(file)`, have no mode.
    mode = given.get("mode", next((v for v in values if v in ("r", "w", "a", "x")), None))
    return mode is not None or (isinstance(call.func, ast.Name) and len(call.args) == 1)


def test_files_are_read_and_written_in_a_named_encoding():
    """In the source: left out, it is the locale's, which is not UTF-8 everywhere."""
    folders = (ROOT / name for name in ("nca", "benchmarks", "examples"))
    for path in [ROOT / "app.py", *(file for folder in folders for file in folder.rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _is_text(node):
                named = any(word.arg == "encoding" for word in node.keywords)
                assert named, f"{path.relative_to(ROOT)}:{node.lineno}"

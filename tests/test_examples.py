"""Each public name has an example in its docstring, and the examples run."""

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import nca

ROOT = Path(__file__).parents[1]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", nca.__all__)
def test_the_example_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    thing = getattr(nca, name)
    finder = doctest.DocTestFinder(recurse=False)
    (found,) = finder.find(thing, name, sys.modules[thing.__module__], globs={})
    assert found.examples, f"nca.{name} has no example"
    result = doctest.DocTestRunner(optionflags=OPTIONS).run(found)
    assert result.failed == 0, capsys.readouterr().out


@pytest.mark.long
def test_the_reference_is_built_with_every_public_name(tmp_path):
    """`make docs`, and nothing that it could not resolve."""
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "build_api.py", tmp_path],
        check=True, capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert "does not resolve" not in done.stderr
    page = (tmp_path / "nca.html").read_text("utf-8")
    for name in nca.__all__:
        assert f'<section id="{name}">' in page, name
    written = {path.stem for path in (tmp_path / "nca").iterdir()}
    assert "fire" in written and "ui" not in written

"""Imports point one way, dependencies are used where they may be, the README is true."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[1]
# Lowest first. A module imports only from its own layer and from those below.
LAYERS = (
    ("wording", "_compat"),
    ("config", "files", "logs", "chart", "chart_svg", "gif", "metrics", "untrusted"),
    ("fire", "state", "damage_shapes", "decode", "background", "emoji", "target"),
    ("picture",),
    ("model", "losses"),
    ("pretrained",),
    ("goal",),
    ("decoder",),
    ("decoder_file",),
    ("engine",),
    ("pool", "optimiser"),
    ("trainer",),
    ("sharpen",),
    ("recipes", "healing", "render"),
    ("scores",),
    ("evaluate",),
    ("zoo",),
    ("card", "anatomy", "film", "life", "preview"),
    ("checkpoint",),
    ("resume", "scorecard", "foreign"),
    ("compare",),
    ("hub",),
    ("jobs",),
    ("settings",),
    ("player",),
    ("catalog",),
    ("ui", "cli"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
ALLOWED_IN = {
    "gradio": {"app.py", "nca/ui", "nca/player"},
    "huggingface_hub": {"nca/hub"},
    "spaces": {"nca/jobs/zero.py"},
    "subprocess": {"nca/jobs", "nca/decode.py"},
    "multiprocessing": {"nca/jobs", "nca/decode.py"},
}
SOURCES = [ROOT / "app.py", *sorted((ROOT / "nca").rglob("*.py"))]


def imports(path, top_level_only=False):
    """Names of the modules that a file imports; `if TYPE_CHECKING` and functions count too."""
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where things live"
            yield node.module
            if node.module == "nca":
                yield from (f"nca.{alias.name}" for alias in node.names)


def top_level(path):
    parts = path.relative_to(ROOT / "nca").with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if p.parent != ROOT], ids=lambda p: str(p.relative_to(ROOT))
)
def test_imports_point_one_way(path):
    if top_level(path) in ("__init__", "__main__"):
        return
    for name in imports(path, top_level_only=True):
        if name.startswith("nca."):
            other = name.split(".")[1]
            assert LEVEL[other] <= LEVEL[top_level(path)], f"{path.name} must not import {name}"


def test_dependencies_are_imported_only_where_allowed():
    for path in SOURCES:
        here = path.relative_to(ROOT).as_posix()
        for name in imports(path):
            allowed = ALLOWED_IN.get(name.split(".")[0])
            assert allowed is None or any(here.startswith(a) for a in allowed), f"{here}: {name}"


def test_what_is_imported_is_asked_for():
    """Not left to what other packages happen to install; Triton comes with torch where it can."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [project["dependencies"], *(extras[name] for name in ("app", "zerogpu", "ray"))]
    known = {canonicalize_name(Requirement(line).name) for lines in asked for line in lines}
    known |= {"nca", "triton"}
    for path in SOURCES:
        found = {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names
        found = {canonicalize_name({"PIL": "pillow"}.get(name, name)) for name in found}
        assert found <= known, f"{path.relative_to(ROOT)}: {found - known}"


def test_no_pickle_in_the_source():
    for path in SOURCES:
        assert not re.search(r"torch\.load\(|\bpickle\b(?! |\.\")", path.read_text()), path


def test_the_public_names_are_there():
    import nca

    for name in nca.__all__:
        assert getattr(nca, name).__doc__
    with pytest.raises(AttributeError):
        _ = nca.nonsense


def test_requirements_pin_what_the_project_asks_for():
    """requirements.txt pins the core and the page, tests/requirements.txt the extra `dev`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["app"], *extras["zerogpu"]]
    for python, version in (("3.11", "2.13.0"), ("3.12", "2.11.0"), ("3.14", "2.13.0")):
        pins = pinned("requirements.txt", python)
        assert_pinned(pins, asked)
        assert pins["torch"] == version
        assert_pinned(pinned("tests/requirements.txt", python), extras["dev"][1:])
    assert torch.__version__.startswith(pinned("requirements.txt")["torch"])
    assert extras["dev"][0] == "nca-garden[app]"


def pinned(name, python=None):
    """The pins of a requirements file for a version of Python, this one when it is None."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line]
    where = {"python_version": python} if python else {}
    fits = [r for r in found if r.marker is None or r.marker.evaluate(where)]
    names = [canonicalize_name(r.name) for r in fits]
    assert len(names) == len(set(names)), "two pins of one package"
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in fits}


def assert_pinned(pins, asked):
    asked = {canonicalize_name(r.name): r.specifier for r in map(Requirement, asked)}
    assert pins.keys() == asked.keys()
    for name, version in pins.items():
        assert version in asked[name], f"{name}=={version} is not {asked[name]}"


def test_the_readme_tree_is_the_tree_on_disk():
    text = (ROOT / "README.md").read_text()
    tree = re.search(r"```text\n(.*?)```", text, re.DOTALL)[1]
    folder, named = [], set()
    for line in tree.splitlines():
        indent, name = re.match(r"( *)(\S+)", line).groups()
        folder = [*folder[: len(indent) // 2], name.rstrip("/")]
        named.add("/".join(folder))
        assert (ROOT / "/".join(folder)).exists(), f"README names {'/'.join(folder)}"
    modules = {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "nca").iterdir()
        if (p.suffix == ".py" and not p.name.startswith("__")) or (p / "__init__.py").exists()
    }
    assert modules <= named, f"README does not name {modules - named}"


def test_images_of_the_readme_exist():
    for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / name).is_file(), name


def test_files_that_the_documents_name_exist():
    for name in ("CONTRIBUTING.md", "SECURITY.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        paths = re.findall(r"`((?:nca|tests|benchmarks|checkpoints|docs)/[\w./-]*)`", text)
        for path in paths:
            assert (ROOT / path).exists(), f"{name} names {path}"

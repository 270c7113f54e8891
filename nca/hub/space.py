"""What a Space of the garden consists of: the project's files and no others, and its settings."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from nca.config import BadInput
from nca.wording import size_text

TOP = (
    "app.py requirements.txt packages.txt README.md LICENSE Makefile pyproject.toml .gitignore "
    "CHANGELOG.md CITATION.cff CONTRIBUTING.md SECURITY.md"
).split()
NEEDED = ("app.py", "requirements.txt", "README.md", "nca/__init__.py")
FOLDERS = ("nca", "checkpoints", "tests", "benchmarks", "examples", "docs")
SUFFIXES = frozenset(
    ".py .js .mjs .ts .html .css .wasm .wat .c .h .glsl .json .toml .txt .md .ipynb .svg .png .gif "
    ".webp .safetensors".split()
)
SKIPPED = ("__pycache__", "node_modules", "build", "dist", "runs")
FILE_BYTES = 10 * 2**20
PACKAGE = Path(__file__).parents[1]
PACKAGED = PACKAGE / "_space"  # in a wheel: the files of TOP that a Space needs
THUMBNAIL = "docs/grow.png"  # for link previews
ZERO = "zero-a10g"  # ZeroGPU, by its name on the Hub
# Binary files, which the Hub accepts only in its large-file storage.
LARGE_FILES = (".gif", ".png", ".safetensors", ".wasm", ".webp")
ATTRIBUTES = "".join(f"*{end} filter=lfs diff=lfs merge=lfs -text\n" for end in LARGE_FILES)
SITE_README = """---
title: NCA Garden
emoji: 🦎
colorFrom: green
colorTo: blue
sdk: static
pinned: false
tags:
- growing-nca
- neural-cellular-automata
- nca-garden
---
Pictures that grow from one cell, heal, and are trained in the visitor's own browser. Made by
`python -m nca export-site`.
"""


def belongs(path: str) -> bool:
    """Whether a path, relative and with slashes, is part of the project."""
    pure = PurePosixPath(path)
    if len(pure.parts) == 1:
        return path in TOP
    beside = any(part in SKIPPED or part.startswith(".") for part in pure.parts)
    return pure.parts[0] in FOLDERS and pure.suffix in SUFFIXES and not beside


def project_folder() -> Path | None:
    """The project's folder: the working folder if it is a checkout, else None in a wheel.

    None stands for the installed package, which holds all that a Space needs.
    """
    here = Path()
    is_checkout = all((here / name).is_file() for name in NEEDED)
    return None if PACKAGED.is_dir() and not is_checkout else here


def space_files(root: Path | None) -> dict[str, bytes]:
    """The files of a Space by path: the project's and .gitattributes.

    Links are not followed.

    Args:
        root: a checkout of the project, or None for the installed package.

    Raises:
        BadInput: `root` is not a checkout of the project, its README is not that of a Space, or a
            file is too large.
    """
    files = {}
    for name, path in (_installed() if root is None else _in_checkout(root)).items():
        if path.stat().st_size > FILE_BYTES:
            raise BadInput(f"{name} is larger than {size_text(FILE_BYTES)}; move it elsewhere.")
        files[name] = path.read_bytes()
    if missing := [name for name in NEEDED if name not in files]:
        raise BadInput(
            f"{(root or PACKAGE).absolute()} is not a checkout of NCA Garden: it has no "
            f"{missing[0]}; please name the folder of one."
        )
    front = files["README.md"].decode(errors="replace").split("---\n")
    if len(front) < 3 or front[0] or "sdk: gradio" not in front[1]:
        raise BadInput("README.md does not begin with the settings of a Gradio Space.")
    files[".gitattributes"] = ATTRIBUTES.encode()  # for whoever clones the Space and pushes to it
    return files


def space_readme(text: str, page: str, hardware: str | None, files: Collection[str]) -> str:
    """The README of a Space: its settings as they fit there, without pictures that are missing.

    Args:
        text: the project's README.
        page: the address of the Space.
        hardware: what it runs on, None when the Hub's default.
        files: the Space's other files.
    """
    _, front, body = text.split("---\n", 2)
    lines = [
        line
        for line in front.splitlines()
        if line.partition(":")[0] not in ("suggested_hardware", "thumbnail")
    ]
    if hardware and hardware != ZERO:  # ZeroGPU is none of the values that this setting knows
        lines.append(f"suggested_hardware: {hardware}")
    if THUMBNAIL in files:
        lines.append(f"thumbnail: {page}/resolve/main/{THUMBNAIL}")
    kept = [
        line
        for line in body.splitlines()
        if not (picture := re.fullmatch(r"!\[[^]]*\]\(([^):]+)\)", line)) or picture[1] in files
    ]
    return "\n".join(["---", *lines, "---", *kept]) + "\n"


def _in_checkout(root: Path) -> dict[str, Path]:
    """The project's files in a checkout, by their path in it."""
    paths = [root / name for name in TOP]
    for folder in FOLDERS:
        paths += sorted((root / folder).rglob("*"))
    named = {path.relative_to(root).as_posix(): path for path in paths}
    return {
        name: path
        for name, path in named.items()
        if belongs(name) and path.is_file() and not _through_link(root, path)
    }


def _installed() -> dict[str, Path]:
    """The project's files in the installed package, by their path in a checkout."""
    found = {}
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        inside = path.relative_to(PACKAGE)
        match inside.parts[0]:
            case "_space":
                name = inside.relative_to("_space").as_posix()
            case "shipped":
                name = ("checkpoints" / inside.relative_to("shipped")).as_posix()
            case _:
                name = f"nca/{inside.as_posix()}"
        if belongs(name):
            found[name] = path
    return found


def _through_link(root: Path, path: Path) -> bool:
    inside = (path, *path.parents)
    return any(part.is_symlink() for part in inside[: inside.index(root)])

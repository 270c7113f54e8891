"""Which files of a checkout belong to a Space: those of the project and no others."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from nca.config import BadInput

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
# Binary files, which the Hub accepts only in its large-file storage.
LARGE_FILES = (".gif", ".png", ".safetensors", ".wasm", ".webp")
ATTRIBUTES = "".join(f"*{end} filter=lfs diff=lfs merge=lfs -text\n" for end in LARGE_FILES)


def belongs(path: str) -> bool:
    """Whether a path, relative and with slashes, is part of the project."""
    pure = PurePosixPath(path)
    if len(pure.parts) == 1:
        return path in TOP
    beside = any(part in SKIPPED or part.startswith(".") for part in pure.parts)
    return pure.parts[0] in FOLDERS and pure.suffix in SUFFIXES and not beside


def space_files(root: Path) -> dict[str, bytes]:
    """The files of the project at `root`, by path, and a Space's .gitattributes.

    Links are not followed.

    Raises:
        BadInput: `root` is not a checkout of the project, its README is not that of a Space, or a
            file is too large.
    """
    paths = [root / name for name in TOP]
    for folder in FOLDERS:
        paths += sorted((root / folder).rglob("*"))
    files = {}
    for path in paths:
        name = path.relative_to(root).as_posix()
        if not belongs(name) or not path.is_file() or _through_link(root, path):
            continue
        if path.stat().st_size > FILE_BYTES:
            raise BadInput(f"{name} is larger than {FILE_BYTES // 2**20} MB; move it elsewhere.")
        files[name] = path.read_bytes()
    if missing := [name for name in NEEDED if name not in files]:
        raise BadInput(
            f"{root.absolute()} is not a checkout of NCA Garden: it has no {missing[0]}; please "
            "name the folder of one."
        )
    front = files["README.md"].decode(errors="replace").split("---\n")
    if len(front) < 3 or front[0] or "sdk: gradio" not in front[1]:
        raise BadInput("README.md does not begin with the settings of a Gradio Space.")
    files[".gitattributes"] = ATTRIBUTES.encode()  # for whoever clones the Space and pushes to it
    return files


def _through_link(root: Path, path: Path) -> bool:
    inside = (path, *path.parents)
    return any(part.is_symlink() for part in inside[: inside.index(root)])

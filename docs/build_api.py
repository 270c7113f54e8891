"""Builds the library's API reference as HTML pages from its docstrings: `make docs`.

`python docs/build_api.py FOLDER` writes them to FOLDER instead of build/docs.
"""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module
from pathlib import Path

import pdoc
import pdoc.render

ROOT = Path(__file__).parents[1]
APPLICATION = {"__main__", "cli", "ui"}  # programs: --help and the page explain them


def main(folder: Path) -> None:
    """Write one page for `nca`, with its public names, and one for each of its modules."""
    sys.path.insert(0, str(ROOT))
    nca = import_module("nca")
    names = [module.name for module in pkgutil.iter_modules(nca.__path__)]
    modules = ["nca", *(f"nca.{name}" for name in names if name not in APPLICATION)]
    for module in map(import_module, modules):
        for name in getattr(
            module, "__all__", ()
        ):  # pdoc finds what loads on first use once it has
            setattr(module, name, getattr(module, name))
    pdoc.render.configure(docformat="google", footer_text=f"NCA Garden {nca.__version__}")
    pdoc.pdoc(*modules, output_directory=folder)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "docs"
    main(target)
    print(f"Wrote {target / 'index.html'}")

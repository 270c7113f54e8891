"""The player's JavaScript modules as one script, without a bundler.

The modules share one scope: imports, the keyword `export` and whole-line comments are removed.
They must therefore have no default exports, no renamed imports and no top-level name twice.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
FOLDERS = ("web", "train")  # of the modules; their names differ
_IMPORT = re.compile(r"^import\s[^;]*;\n", re.MULTILINE)
_IMPORTED = re.compile(r'^import\s[^;]*?from "(?:\./|\.\./web/)([\w-]+)\.js";', re.MULTILINE)
_EXPORT = re.compile(r"^export\s+(?=(async |function|const|class|let))", re.MULTILINE)
_COMMENT = re.compile(r"^\s*//.*\n", re.MULTILINE)
_PUBLIC = re.compile(r"^export\s+(?:async\s+)?(?:function|const|class|let)\s+(\w+)", re.MULTILINE)

# As a script element, because a page's policy may allow inline scripts but no `eval`.
_UNPACK = """(async () => {
if (typeof DecompressionStream === "undefined") {
document.querySelector(".nca-player").textContent = "This player needs a newer browser.";
}
const bytes = Uint8Array.from(atob("%s"), (c) => c.charCodeAt(0));
const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
const element = document.createElement("script");
element.textContent = `globalThis.ncaKit = ${await new Response(stream).text()}`;
document.head.append(element);
return globalThis.ncaKit;
})()"""


@cache
def wasm_base64(name: str = "nca") -> str:
    """A built WebAssembly module, "nca" or "nca-relaxed", as base64."""
    return base64.b64encode((HERE / "wasm" / f"{name}.wasm").read_bytes()).decode()


def modules(name: str = "player") -> list[str]:
    """The modules that `name` needs, in import order: each after all it imports, itself last."""
    order: list[str] = []

    def add(module: str) -> None:
        if module not in order:
            for other in _IMPORTED.findall(_source(module)):
                add(other)
            order.append(module)

    add(name)
    return order


def _find(file: str) -> Path | None:
    """A file of one of the folders, by its name."""
    return next((path for at in FOLDERS if (path := HERE / at / file).is_file()), None)


def _source(module: str) -> str:
    path = _find(f"{module}.js")
    if path is None:
        raise ValueError(f"there is no module {module}.js in nca/player")
    return path.read_text(encoding="utf-8")


def _style(name: str) -> str:
    """The sheets that all share and that of this name, as a template literal."""
    sheets = [_find("base.css"), _find(f"{name}.css")]
    text = "".join(sheet.read_text(encoding="utf-8") for sheet in sheets if sheet)
    return _literal(re.sub(r"/\*.*?\*/\n?", "", text, flags=re.DOTALL))


# What modules may use without an import, by name; the functions take the bundled module's name.
_CONSTANTS: dict[str, Callable[[str], str]] = {
    "WASM": lambda name: f'"{wasm_base64()}"',
    "RELAXED_WASM": lambda name: f'"{wasm_base64("nca-relaxed")}"',
    "WORKER": lambda name: _literal(script("worker")),
    "STYLE": lambda name: _style(name if name == "story" else "player"),
    "LIVE_STYLE": lambda name: _style("live"),
}


@cache
def script(name: str = "player") -> str:
    """A JavaScript expression: an object with all exports of the modules and their constants.

    Args:
        name: the module to bundle with all that it imports.
    """
    parts, names = [], []
    for module in modules(name):
        source = _source(module)
        names += _PUBLIC.findall(source)
        parts.append(_COMMENT.sub("", _EXPORT.sub("", _IMPORT.sub("", source))))
    # Indentation is a ninth of the size, and the HTML templates do not need theirs either.
    body = re.sub(r"\n\s*", "\n", "".join(parts))
    used = [constant for constant in _CONSTANTS if re.search(rf"\b{constant}\b", body)]
    head = "".join(f"const {each} = {_CONSTANTS[each](name)};\n" for each in used)
    names += used
    return f'(() => {{\n"use strict";\n{head}{body}return {{ {", ".join(names)} }};\n}})()'


@cache
def packed_script() -> str:
    """JavaScript for a promise of `script()`: the same compressed, less than half as long.

    Browsers unpack it since 2023 (Chrome 80, Safari 16.4, Firefox 113).
    """
    packed = base64.b64encode(zlib.compress(script().encode(), 9)).decode()
    return _UNPACK % packed


def _literal(text: str) -> str:
    """`text` as a JavaScript template literal."""
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`").replace("${", "\\${") + "`"

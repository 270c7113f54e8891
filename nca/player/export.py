"""The player and one automaton as a single HTML file: runs from disk, offline and in a sandbox."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca.config import NCAConfig, checked
from nca.player.bundle import packed_script
from nca.player.models import checked_children, halved, player_model, player_pair

if TYPE_CHECKING:
    from nca.checkpoint import Checkpoint

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="NCA Garden">
<link rel="icon" href="data:,">
<title>%(title)s</title>
<style>
:root { color-scheme: light dark; }
body { margin: 0; padding: max(16px, 3vmin); min-height: 100vh; box-sizing: border-box;
  background: light-dark(#f4f6f3, #0e1210); color: light-dark(#1d2521, #e8ede9);
  font: 15px/1.5 system-ui, sans-serif; display: grid; align-content: center; }
h1 { font-size: 20px; font-weight: 600; letter-spacing: -.01em; margin: 0; }
header, footer { width: 100%%; max-width: 920px; margin: 0 auto; }
header { margin-bottom: 14px; }
p { margin: 2px 0 0; color: light-dark(#66706a, #98a49d); font-size: 14px; }
footer { margin-top: 16px; }
a { color: inherit; }
.bare body { padding: 0; display: block; }
.bare header { display: none; }
.bare .credit { display: none; }
.bare footer { position: fixed; right: 6px; bottom: 4px; width: auto; margin: 0; line-height: 1; }
.bare footer p { font-size: 12px; padding: 3px 7px; border-radius: 6px;
  background: light-dark(#fffc, #000b); color: light-dark(#47504b, #c3ccc7); }
</style>
</head>
<body>
<header><h1>%(title)s</h1><p>Grown from one cell. Drag to damage it, double-click to plant a
seed.</p></header>
<main class="nca-player"></main>
<footer><p class="credit">%(credit)s</p><p class="home">%(home)s</p></footer>
<script type="application/json" id="model">%(model)s</script>
<script type="module">
const kit = await %(script)s;
const bare = %(bare)s || new URLSearchParams(location.search).has("bare");
document.documentElement.classList.toggle("bare", bare);
kit.mountPlayer(document.querySelector(".nca-player"), {
  model: JSON.parse(document.getElementById("model").textContent),
  bare,
}).then(({ ui }) => {
  if (bare) ui.stage.style.cssText = "max-width: 100vh; border: 0; border-radius: 0";
});
</script>
</body>
</html>
"""
_CREDIT = "A neural cellular automaton from NCA Garden."
_HOME = "Grow your own in NCA Garden"
_TWEMOJI = " The picture is from Twemoji, by Twitter and contributors, CC-BY 4.0."


def page(
    model: dict[str, Any], credit: str = _CREDIT, bare: bool = False, home: str | None = None
) -> str:
    """A `player_model` as a complete HTML page.

    Args:
        model: from `player_model`.
        credit: shown below it.
        bare: show the picture without controls; `?bare` in its address does the same.
        home: address of a garden, linked to; None for no link.
    """
    address = html.escape(home or "")
    link = f'<a href="{address}" target="_blank" rel="noopener">{_HOME}</a>'
    data = json.dumps(model, separators=(",", ":")).replace("<", "\\u003c")
    return _PAGE % {
        "title": html.escape(str(model["title"])),
        "credit": html.escape(credit),
        "bare": "true" if bare else "false",
        "home": link if home else "",
        "model": data,
        "script": packed_script(),
    }


def export_html(
    source: Checkpoint | str | Path,
    bare: bool = False,
    home: str | None = None,
    children: Sequence[Sequence[float]] = (),
    beside: Checkpoint | None = None,
) -> str:
    """A checkpoint, or the folder of one, as one self-contained HTML file.

    Its weights are rounded to float16. A shipped emoji takes about 80 kB, 140 with its decoder; the
    zoo, a larger network, 185.

    Args:
        source: the checkpoint, or its folder.
        bare: show the picture without controls; `?bare` in the file's address does the same.
        home: address of a garden, linked to; None for no link.
        beside: another checkpoint on the same grid.
        children: kinds that are crossed of others, as `nca.cross` takes them: first, second, share.

    Raises:
        BadInput: the folder is not a checkpoint, there are no such kinds to cross, or the settings
            of the two differ.
    """
    from nca.checkpoint import Checkpoint, load_checkpoint

    checkpoint = source if isinstance(source, Checkpoint) else load_checkpoint(source)
    made = checkpoint.info.target
    emoji = made is not None and made.kind == "emoji" and made.style == "twemoji"
    credit = _CREDIT + (_TWEMOJI if emoji else "")
    model = player_model(checkpoint) if beside is None else player_pair(checkpoint, beside)
    if children:
        model["children"] = checked_children(checked(NCAConfig, model["config"]), children)
    return page(halved(model), credit, bare, home)

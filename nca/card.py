"""The model card: the README.md of a checkpoint, on disk and on the Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from nca.config import CheckpointInfo
from nca.pretrained import pretrained

LIBRARY = "nca-garden"
# The library's name is a tag too: every Hub can filter lists by tag, but only some by library.
TAGS = ("growing-nca", "neural-cellular-automata", LIBRARY)
LICENCES = ("cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0", "ofl-1.1", "mit", "apache-2.0", "other")
_CREDITS = {
    "twemoji": "The picture is from Twemoji, by Twitter and contributors, CC-BY 4.0.",
    "noto": "The picture is from Noto Color Emoji, by Google, under the SIL Open Font License 1.1.",
}
_PICTURES = {
    "preview.gif": "It grows from one cell",
    "target.png": "The picture it was trained on",
}
_STYLE_LICENCES = {"twemoji": "cc-by-4.0", "noto": "ofl-1.1"}


def picture_licence(info: CheckpointInfo) -> str:
    """The licence that follows from the target's source; "other" when the source is unknown."""
    made = info.target
    return _STYLE_LICENCES[made.style] if made and made.kind == "emoji" else "other"


def card(
    info: CheckpointInfo,
    metrics: dict[str, Any],
    repo_id: str | None = None,
    licence: str | None = None,
    space: str | None = None,
    pictures: Collection[str] = ("preview.gif", "target.png"),
) -> str:
    """The model card, Markdown with the Hub's front matter.

    Args:
        info: the checkpoint's metadata.
        metrics: its `metrics.json`; the card shows `scores`.
        repo_id: `user/name` of the repo that the card is for; None for a local folder.
        licence: of the picture, one of LICENCES; None derives it from the target.
        space: `user/name` of a Space that can open the checkpoint; None leaves out the link.
        pictures: names of the picture files that exist; the card shows no others.
    """
    c, made, initial = info.nca, info.target, info.initial
    size = made.grid if made else 72
    load = f'NCA.from_pretrained("{repo_id or "path/to/this/folder"}")'
    lines = [
        "---",
        f"library_name: {LIBRARY}",
        f"license: {licence or picture_licence(info)}",
        # As JSON, which is YAML too: a title may hold colons, quotes and emoji.
        f"model_name: {json.dumps(_one_line(info.title), ensure_ascii=False)}",
        *([f"base_model: {json.dumps(initial.repo)}"] if initial and initial.repo else []),
        "pipeline_tag: unconditional-image-generation",
        "tags:",
        *(f"- {tag}" for tag in TAGS),
        *(_model_index(info, metrics) if repo_id else []),
        "---",
        f"# {_escaped(info.title)}",
        "",
        *(f"![{text}]({name})" for name, text in _PICTURES.items() if name in pictures),
        "",
        "A neural cellular automaton, grown with NCA Garden. Every cell follows the same small "
        f"network ({c.channels} channels, {c.filters} filters, hidden layers {list(c.hidden)}).",
        "",
        "```python",
        "from nca import NCA",
        "",
        f"nca = {load}",
        f"x = nca.grow(nca.seed(1, {size}), steps=200, seed=1)",
        "```",
        "",
    ]
    if repo_id and space:
        link = f"https://huggingface.co/spaces/{space}?checkpoint={repo_id}"
        lines += [f"[Grow it, damage it and watch it heal in your browser]({link}).", ""]
    lines += [
        "| | |",
        "|---|---|",
        f"| recipe | {_escaped(info.recipe or 'own settings')} |",
        f"| iterations | {info.iteration} |",
    ]
    if initial is not None:
        origin = _escaped(initial.title)
        if initial.repo:
            origin += f" of [{initial.repo}](https://huggingface.co/{initial.repo})"
        lines.append(f"| began with | {origin}, {initial.iteration} iterations |")
    elif info.train and info.train.initial_weights == "pretrained" and pretrained(c):
        lines.append("| began with | pretrained weights, those of a zoo of ten emoji |")
    if made is not None:
        emoji = "".join((made.emoji or "", *made.more))
        what = _escaped(emoji) if made.kind == "emoji" else "a picture"
        lines.append(f"| target | {what}, {made.size} cells and {made.padding} of padding |")
    scores = metrics.get("scores")
    for name, value in scores.items() if isinstance(scores, dict) else ():
        lines.append(f"| {_escaped(name)} | {_escaped(_score(value))} |")
    if "scores.png" in pictures:
        lines += ["", "![How it grows, lives on and heals](scores.png)"]
    if "healing.png" in pictures:
        lines += ["", "![Where it heals, by the radius of the hole](healing.png)"]
    if made and made.kind == "emoji":
        lines += ["", _CREDITS[made.style]]
    return "\n".join(lines) + "\n"


def _model_index(info: CheckpointInfo, metrics: dict[str, Any]) -> list[str]:
    """The scores as the Hub reads them, lines of front matter; none without scores.

    `benchmarks/eval.yaml` describes them. A score that begins with no number is left out.
    """
    scores, made = metrics.get("scores"), info.target
    found: list[dict[str, Any]] = []
    for name, value in scores.items() if isinstance(scores, dict) else ():
        if number := re.match(r"-?\d+(\.\d+)?", str(value)):
            share = str(value)[number.end() :].startswith(" %")
            kind = "percentage" if share else "log10_rgba_mse"
            found.append({"type": kind, "name": _one_line(str(name)), "value": float(number[0])})
    if not found:
        return []
    of = f" on {made.grid} x {made.grid} cells" if made else ""
    result = {
        "task": {"type": "unconditional-image-generation", "name": "Growing and healing"},
        "dataset": {"type": f"{LIBRARY}-battery", "name": f"NCA Garden's battery{of}"},
        "metrics": found,
    }
    index = [{"name": _one_line(info.title), "results": [result]}]
    return [f"model-index: {json.dumps(index, ensure_ascii=False)}"]  # JSON is YAML


def _score(value: Any) -> str:
    """A score as text for a table cell; several scores are joined with commas."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return str(value)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """Text as Markdown that shows exactly this text: no markup, links, table cells or HTML."""
    return re.sub(r"([\\`*_\[\]<>|#~!])", r"\\\1", _one_line(text)[:200])

"""A static site: the player, a shelf of automata and the browser trainer, without any server."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch.nn.utils import parameters_to_vector

from nca.checkpoint import load_checkpoint
from nca.config import BadInput, TargetConfig
from nca.files import write_atomic
from nca.player import drawing_pad
from nca.player.bundle import HERE, script
from nca.player.models import player_model
from nca.pretrained import pretrained
from nca.recipes import recipe
from nca.target import aligned_pixels, target_to_png

EMOJI = tuple("🦎🦋🐞🐠🌵🍄🌻🐙🦉🍓🚀🥨👁🎈🐌🐳🍉🌈")
WEIGHTS = "pretrained.f32"  # that a training begins with
ART = 160  # pixels: the longest side of the emoji's pictures, of 40 cells
PARTS = ("checkpoints", "emoji")  # folders of the site
MARK = ".nca-garden-site"  # names a folder that may be written again


def write_site(folder: str | Path, files: dict[str, bytes]) -> None:
    """Write a site into a folder; what an earlier one left there goes.

    Args:
        folder: created when missing; must be empty or hold a site.
        files: from `site_files`.

    Raises:
        BadInput: the folder holds other files.
    """
    folder = Path(folder)
    check_site_folder(folder)
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / path, data)
    for part in PARTS:
        for path in (folder / part).iterdir():
            if f"{part}/{path.name}" not in files:
                path.unlink()


def check_site_folder(folder: Path) -> None:
    """Raise BadInput unless the folder is missing, empty or holds a site."""
    if folder.is_file():
        raise BadInput(f"Please choose a folder for the site; {folder} is a file.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise BadInput(f"Please choose an empty folder for the site; {folder} holds other files.")


def site_files(checkpoints: Sequence[Path], emoji: Sequence[str] = EMOJI) -> dict[str, bytes]:
    """The site's files by path.

    Args:
        checkpoints: folders of the automata on the shelf, the first of which is shown at once.
        emoji: offered for training, with their art.

    Raises:
        BadInput: there is no checkpoint, or one is damaged.
    """
    if not checkpoints:
        raise BadInput("Please name at least one checkpoint for the site.")
    code = f"globalThis.ncaSite = {script('site')};"
    files: dict[str, bytes] = {MARK: b"", "site.js": code.encode()}
    shelf, art = [], []
    for path in checkpoints:
        model = player_model(load_checkpoint(path))
        # Without what an address would take for something else, and each name once.
        name = plain = re.sub(r"[^\w-]+", "-", path.resolve().name).strip("-") or "checkpoint"
        for number in itertools.count(2):
            if f"checkpoints/{name}.json" not in files:
                break
            name = f"{plain}-{number}"
        files[f"checkpoints/{name}.json"] = json.dumps(model).encode()
        shelf.append({"name": name, "title": model["title"]})
    for number, each in enumerate(emoji):
        name = f"emoji/{number}.png"
        files[name] = _art(each)
        art.append({"emoji": each, "file": name})
    quick = recipe("quick")
    site = {
        "shelf": shelf,
        "emoji": art,
        "recipe": {
            "name": quick.name,
            "nca": quick.nca.model_dump(mode="json"),
            "train": quick.train.model_dump(mode="json"),
            "weights": WEIGHTS,
        },
    }
    begun = pretrained(quick.nca)
    assert begun is not None
    weights = parameters_to_vector(begun.parameters()).detach().numpy()
    files[WEIGHTS] = weights.astype("<f4").tobytes()
    text = (HERE / "train" / "site.html").read_text(encoding="utf-8")
    data = json.dumps(site, ensure_ascii=False).replace("<", "\\u003c")
    parts = {"pad": drawing_pad.markup(), "draws": drawing_pad.script(), "site": data}
    for name, part in parts.items():
        text = text.replace(f"%({name})s", part)
    files["index.html"] = text.encode()
    return files


def _art(emoji: str) -> bytes:
    """An emoji's picture, straight RGBA, as a PNG."""
    png = target_to_png(aligned_pixels(TargetConfig(emoji=emoji), ART // 40))
    with Image.open(io.BytesIO(png)) as image:
        cropped = image.crop(image.getchannel("A").getbbox())
    buffer = io.BytesIO()
    cropped.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()

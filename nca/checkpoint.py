"""Checkpoints: a folder that is also a Hub repo, written atomically and read strictly.

The safetensors file holds the weights and, in its metadata, everything that must match them, such
as the architecture. No pickle anywhere.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from nca.card import card
from nca.config import BadInput, CheckpointInfo, Limits
from nca.decoder import Decoder, enlarged
from nca.decoder_file import DECODER, decoder_from_bytes, decoder_to_bytes
from nca.files import write_atomic
from nca.metrics import METRICS_CSV, metrics_csv, read_metrics
from nca.model import NCA, check_states
from nca.picture import PICTURE, at_scale, check_picture, picture_from_png, picture_to_png
from nca.preview import PREVIEW, save_preview
from nca.target import target_from_png, target_to_png
from nca.untrusted import in_range, parse, shapes
from nca.wording import size_text

WEIGHTS = "model.safetensors"
FINE = (DECODER, PICTURE)  # only where there is a decoder, or the fine picture is known
FILES = (WEIGHTS, "config.json", "README.md", "target.png", PREVIEW, "metrics.json", *FINE)
METADATA = "nca_garden"
NOT_OURS = "This is not an NCA Garden checkpoint"
NOT_A_ZIP = f"{NOT_OURS}: the file is not a zip that can be read."
ZIP_DIRECTORY_BYTES = 2**16  # a checkpoint's zip has a few hundred


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint folder.

    Attributes:
        nca: the automaton, on the CPU.
        info: architecture, recipe, how the target was made.
        target: premultiplied RGBA, float32 [H, W, 4], or None when the folder has none; of an
            automaton with kinds one picture for each, [kinds, H, W, 4].
        metrics: the content of `metrics.json`; empty when nothing was measured.
        folder: where it was read from.
        decoder: draws the states finer than their cells; None when there is none, or when it
            was fitted to other weights than these.
        picture_png: the file of the fine picture, or None.

    >>> from nca import NCA, NCAConfig, emoji_target, load_checkpoint, save_checkpoint
    >>> target = emoji_target("🌵", size=16, padding=4)
    >>> saved = save_checkpoint("cactus", NCA(NCAConfig()), target=target, preview=False)
    >>> checkpoint = load_checkpoint("cactus")
    >>> checkpoint.size
    (24, 24)
    >>> checkpoint.target.shape
    torch.Size([24, 24, 4])
    """

    nca: NCA
    info: CheckpointInfo
    target: Tensor | None
    metrics: dict[str, Any]
    folder: Path
    decoder: Decoder | None = None
    picture_png: bytes | None = field(default=None, repr=False)

    @property
    def picture(self) -> Tensor | None:
        """The fine picture at 8 pixels per cell, float32 [8 * H, 8 * W, 4], premultiplied.

        Of an automaton with kinds one for each, [kinds, 8 * H, 8 * W, 4]. None when the folder has
        none; BadInput when its file is damaged.
        """
        return self.picture_at(8)

    def picture_at(self, scale: int) -> Tensor | None:
        """`picture` at another number of pixels per cell, 1 to 16."""
        if self.picture_png is None:
            return None
        picture = picture_from_png(self.picture_png, self.size, self.nca.config.kinds)
        return at_scale(picture, self.size, scale)

    def draw(self, x: Tensor, scale: int = 8, angle: float = 0.0) -> Tensor:
        """States as pictures: premultiplied RGBA in [0, 1], float32 [B, s * H, s * W, 4].

        Without a decoder every cell is a square.

        >>> from nca import load_checkpoint
        >>> checkpoint = load_checkpoint("checkpoints/lizard-regenerating")
        >>> x = checkpoint.nca.grow(checkpoint.nca.seed(batch=1, size=72), steps=20, seed=1)
        >>> checkpoint.draw(x, scale=8).shape
        torch.Size([1, 576, 576, 4])

        Args:
            x: states, float [B, H, W, C].
            scale: pixels per cell, 1 to 16.
            angle: radians by which the perception filters were rotated.

        Raises:
            BadInput: the states are not of this automaton, or the scale is out of range.
        """
        check_states(self.nca, x)
        if self.decoder is None:
            return enlarged(x, scale)
        return self.decoder.draw(self.nca, x, scale, angle)

    @property
    def kind_names(self) -> list[str]:
        """The emoji of each kind; empty where there are no kinds, or they are other pictures."""
        made, kinds = self.info.target, self.nca.config.kinds
        names = [made.emoji, *made.more] if made and made.emoji else []
        return [str(name) for name in names] if len(names) == kinds else []

    def target_of(self, kind: int = 1) -> Tensor | None:
        """The picture of one kind, float32 [H, W, 4]; the one picture where there are no kinds."""
        if self.target is None or self.target.ndim == 3:
            return self.target
        return self.target[kind - 1]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the grid it was trained on; (72, 72) when they are unknown."""
        if self.target is not None:
            height, width = self.target.shape[-3:-1]
            return height, width
        grid = self.info.target.grid if self.info.target else 72
        return grid, grid


# ---------------------------------------------------------------------------- weights


def weights_to_bytes(nca: NCA, info: CheckpointInfo) -> bytes:
    """The weights as safetensors, with `info` in the metadata.

    Raises:
        ValueError: a weight is not finite; such a model is never written.
    """
    weights = {k: v.detach().float().cpu().contiguous() for k, v in nca.state_dict().items()}
    if not all(bool(v.isfinite().all()) for v in weights.values()):
        raise ValueError("weights that are not finite are not saved")
    return to_safetensors(weights, {METADATA: info.model_dump_json()})


def weights_from_bytes(data: bytes, limits: Limits) -> tuple[NCA, CheckpointInfo]:
    """The automaton in an untrusted safetensors file, and its metadata.

    Size, metadata, exact names, shapes, dtype float32 and finite values in range are all checked
    before the automaton is built. Raises BadInput, which says what does not fit.
    """
    if len(data) > limits.checkpoint_bytes:
        raise BadInput(
            f"{NOT_OURS}: its weights are larger than {size_text(limits.checkpoint_bytes)}."
        )
    info, weights = parse(
        data, METADATA, CheckpointInfo,
        misfit="This checkpoint does not fit this garden.",
        damaged=f"{NOT_OURS}: {WEIGHTS} is damaged or was written by another program.",
    )  # fmt: skip
    with torch.device("meta"):
        expected = shapes(NCA(info.nca))
    if {k: v.shape for k, v in weights.items()} != expected:
        raise BadInput("This checkpoint's weights do not fit the architecture that it names.")
    if not in_range(weights, torch.float32, limits.weight_abs):
        raise BadInput("This checkpoint's weights are not finite float32 numbers in range.")
    nca = NCA(info.nca)
    nca.load_state_dict(weights)
    return nca, info


def read_info(folder: str | Path) -> CheckpointInfo:
    """A checkpoint's metadata, from the header of its weights file; nothing else is read.

    Raises:
        BadInput: there is no such file, or its metadata cannot be read.
    """
    try:
        with safe_open(Path(folder) / WEIGHTS, framework="pt") as weights:
            return CheckpointInfo.model_validate_json((weights.metadata() or {})[METADATA])
    except (OSError, SafetensorError, ValueError, KeyError):
        raise BadInput(f"{NOT_OURS}: the metadata of {WEIGHTS} cannot be read.") from None


# ---------------------------------------------------------------------------- folders


def save_checkpoint(
    folder: str | Path,
    nca: NCA,
    info: CheckpointInfo | None = None,
    target: Tensor | None = None,
    metrics: dict[str, Any] | None = None,
    preview: bool = True,
    decoder: Decoder | None = None,
    picture: Tensor | None = None,
) -> Path:
    """Write a checkpoint folder, each file atomically, the weights first.

    A decoder that is in the folder already stays, but `load_checkpoint` leaves it out unless it
    was fitted to these weights.

    Args:
        folder: created when missing.
        nca: the automaton.
        info: its metadata; the architecture in it is replaced by that of `nca`.
        target: premultiplied RGBA, float32 [H, W, 4], or [kinds, H, W, 4].
        metrics: anything JSON can hold.
        preview: also draw `preview.gif`, which takes a few seconds; fine where there is a decoder.
        decoder: fitted to `nca`.
        picture: the fine picture, premultiplied RGBA, float32 [k * H, k * W, 4], or
            [kinds, k * H, k * W, 4].

    Returns:
        The folder.

    Raises:
        BadInput: the target or the metrics cannot be saved; nothing is written then.
        ValueError: a weight is not finite; nothing is written then.

    >>> from nca import NCA, NCAConfig, save_checkpoint
    >>> folder = save_checkpoint("untrained", NCA(NCAConfig()), preview=False)
    >>> sorted(path.name for path in folder.iterdir())
    ['README.md', 'config.json', 'metrics.json', 'model.safetensors']
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    info = (info or CheckpointInfo()).model_copy(update={"nca": nca.config})
    files = {
        WEIGHTS: weights_to_bytes(nca, info),
        "config.json": info.model_dump_json(indent=2).encode(),
    }
    if target is not None:
        _check_target(target, nca.config.kinds)
        files["target.png"] = target_to_png(target)
    files["metrics.json"] = _json(metrics or {})
    for name, data in files.items():  # written when all of them could be made
        write_atomic(folder / name, data)
    size = (72, 72) if target is None else (target.shape[-3], target.shape[-2])
    save_fine(folder, nca, size, decoder, picture)
    if preview:
        save_preview(folder, nca, info, size, decoder or _kept_decoder(folder, nca))
    there = [path.name for path in folder.iterdir()]
    write_atomic(folder / "README.md", card(info, metrics or {}, pictures=there).encode())
    return folder


def _json(values: dict[str, Any]) -> bytes:
    try:
        return json.dumps(values, indent=2).encode()
    except (TypeError, ValueError, RecursionError):
        raise BadInput("The metrics of a checkpoint must be values that JSON can hold.") from None


def _check_target(target: Tensor, kinds: int) -> None:
    """Raise BadInput unless a target is [H, W, 4], or [kinds, H, W, 4]."""
    count = len(target) if target.ndim == 4 else 1
    if target.ndim not in (3, 4) or target.shape[-1] != 4 or count != max(1, kinds):
        wanted = f"[{kinds}, height, width, 4]" if kinds > 1 else "[height, width, 4]"
        raise BadInput(f"The target must be {wanted}, not {list(target.shape)}.")


def save_fine(
    folder: str | Path,
    nca: NCA,
    size: tuple[int, int],
    decoder: Decoder | None = None,
    picture: Tensor | None = None,
) -> None:
    """Add a decoder, or the fine picture of a target of H x W cells, to a checkpoint's folder."""
    if picture is not None:
        png = picture_to_png(picture, size)
        check_picture(png, size, nca.config.kinds)
        write_atomic(Path(folder) / PICTURE, png)
    if decoder is not None:
        write_atomic(Path(folder) / DECODER, decoder_to_bytes(decoder, nca))


def retitle(folder: str | Path, title: str, limits: Limits | None = None) -> None:
    """Change the title in a checkpoint folder; nothing happens where there is no checkpoint."""
    if (Path(folder) / WEIGHTS).is_file():
        found = load_checkpoint(folder, limits)
        info = found.info.model_copy(update={"title": title})
        save_checkpoint(folder, found.nca, info, found.target, found.metrics, preview=False)


def load_checkpoint(folder: str | Path, limits: Limits | None = None) -> Checkpoint:
    """Read and check a checkpoint folder.

    Args:
        folder: as `save_checkpoint` writes it.
        limits: on its files and weights.

    Raises:
        BadInput: it is not a checkpoint, or a part of it is invalid.

    >>> from nca import NCA, NCAConfig, load_checkpoint, save_checkpoint
    >>> folder = save_checkpoint("small", NCA(NCAConfig(channels=8)), preview=False)
    >>> nca = load_checkpoint(folder).nca
    >>> nca.grow(nca.seed(batch=1, size=16), steps=4, seed=0).shape
    torch.Size([1, 16, 16, 8])
    """
    folder, limits = Path(folder), limits or Limits()
    data = _read(folder / WEIGHTS, limits.checkpoint_bytes)
    if data is None:
        if not folder.is_dir():
            raise BadInput(f"There is no checkpoint folder {folder.name}; please check its path.")
        raise BadInput(f"{NOT_OURS}: it has no {WEIGHTS}.")
    nca, info = weights_from_bytes(data, limits)
    png = _read(folder / "target.png", limits.checkpoint_bytes)
    text = _read(folder / "metrics.json", limits.checkpoint_bytes)
    try:
        metrics = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        metrics = None
    if not isinstance(metrics, dict):
        raise BadInput("This checkpoint's metrics.json is damaged; download it again.")
    data = _read(folder / DECODER, limits.checkpoint_bytes)
    decoder = None if data is None else decoder_from_bytes(data, nca, limits)
    target = None if png is None else target_from_png(png, kinds=info.nca.kinds)
    fine = _read(folder / PICTURE, limits.checkpoint_bytes)
    checkpoint = Checkpoint(nca, info, target, metrics, folder, decoder, fine)
    if fine is not None:
        # Its pixels are decoded only when they are needed.
        check_picture(fine, checkpoint.size, info.nca.kinds)
    return checkpoint


def _kept_decoder(folder: Path, nca: NCA) -> Decoder | None:
    """The decoder in a folder, if it is sound and was fitted to these weights."""
    try:
        data = _read(folder / DECODER, Limits().checkpoint_bytes)
        return None if data is None else decoder_from_bytes(data, nca, Limits())
    except BadInput:
        return None


def _read(path: Path, limit: int) -> bytes | None:
    """The bytes of a regular file, None when there is none; BadInput when it exceeds `limit`."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BadInput(f"This checkpoint's {path.name} is larger than {size_text(limit)}.")
    return data


def zip_checkpoint(folder: str | Path) -> bytes:
    """The files of a checkpoint folder as a zip archive, and its metrics as CSV if it has any."""
    rows = read_metrics(Path(folder))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in FILES:
            if (Path(folder) / name).is_file():
                archive.write(Path(folder) / name, name)
        if rows:
            archive.writestr(METRICS_CSV, metrics_csv(rows))
    return buffer.getvalue()


def unzip_checkpoint(data: bytes, folder: str | Path, limits: Limits | None = None) -> Checkpoint:
    """Unpack an uploaded checkpoint zip into `folder` and load it with the usual checks.

    Only files that belong to a checkpoint are read, from the folder of the zip that holds its one
    weights file, at any depth; no file is read beyond its limit. The preview is left out, because
    it would be shown although it was not made here.

    Raises:
        BadInput: it is not the zip of a valid checkpoint; nothing is written then.
    """
    limits = limits or Limits()
    if len(data) > limits.zip_bytes:
        raise BadInput(f"{NOT_OURS}: the zip is larger than {size_text(limits.zip_bytes)}.")
    if not 0 <= _directory_bytes(data) < ZIP_DIRECTORY_BYTES:
        raise BadInput(NOT_A_ZIP)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = _read_members(archive, limits)
    except BadInput:
        raise
    except Exception:  # zipfile and its decompressors raise almost anything on damaged files
        raise BadInput(NOT_A_ZIP) from None
    with tempfile.TemporaryDirectory() as trial:
        for name, part in files.items():
            (Path(trial) / name).write_bytes(part)
        _ = load_checkpoint(trial, limits).picture_at(1)  # decoded once, to refuse a damaged one
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(files, key=lambda name: name == WEIGHTS):
        write_atomic(folder / name, files[name])
    return load_checkpoint(folder, limits)


def _directory_bytes(data: bytes) -> int:
    """The bytes of a zip's central directory, which zipfile reads whole; -1 when it has none."""
    end = data.rfind(b"PK\5\6")
    if end < 0:
        return -1
    length = int.from_bytes(data[end + 12 : end + 16], "little")
    # Programs that stream a zip also write a Zip64 end record, whatever its size.
    locator = data[max(0, end - 20) : end]
    if locator.startswith(b"PK\6\7"):
        at = int.from_bytes(locator[8:16], "little")
        if data[at : at + 4] != b"PK\6\6":
            return -1
        return int.from_bytes(data[at + 40 : at + 48], "little")
    return length


def _read_members(archive: zipfile.ZipFile, limits: Limits) -> dict[str, bytes]:
    """The files of the one checkpoint in a zip: name -> content, read to a byte over the limit."""
    found: dict[str, dict[str, zipfile.ZipInfo]] = {}
    for entry in archive.infolist():
        # Some programs write back slashes, a leading ./ or the whole path they were called with.
        parts = [part for part in re.split(r"[/\\]", entry.filename) if part not in ("", ".")]
        if not parts or parts[-1] not in FILES or parts[-1] == PREVIEW or parts[0] == "__MACOSX":
            continue
        outer = "/".join(parts[:-1])
        members = found.setdefault(outer, {})
        if parts[-1] in members:
            raise BadInput(f"{NOT_OURS}: the zip holds {parts[-1]} more than once.")
        members[parts[-1]] = entry
    checkpoints = [members for members in found.values() if WEIGHTS in members]
    if not checkpoints:
        raise BadInput(f"{NOT_OURS}: the zip has no {WEIGHTS}.")
    if len(checkpoints) > 1:
        raise BadInput(
            f"This zip holds {len(checkpoints)} checkpoints; please zip the folder of one."
        )
    members = checkpoints[0]
    if any(entry.flag_bits & 1 for entry in members.values()):
        raise BadInput("This zip is protected by a password; please zip the folder without one.")
    files = {}
    for name, entry in members.items():
        with archive.open(entry) as file:
            files[name] = file.read(limits.checkpoint_bytes + 1)
    return files

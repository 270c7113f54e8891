"""An automaton as the player receives it: one JSON object, about 45 kB for 8,336 weights."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from nca.config import BadInput, Limits, NCAConfig, checked
from nca.decoder import Decoder
from nca.fire import threshold
from nca.model import NCA
from nca.target import target_to_png
from nca.zoo import together

if TYPE_CHECKING:
    from nca.checkpoint import Checkpoint

MAX_SIDE = 256  # cells: side of the largest grid in the player and in replays on the server
UNSCORED_BRUSH = 3  # radius in cells; most automata trained on damage heal this
NO_CHILDREN = "The crossed kinds do not fit this automaton; please cross them again."
NO_MODEL = "The recording names an automaton that did not come with it; play it again."


def player_model(
    source: Checkpoint | NCA,
    size: int | tuple[int, int] | None = None,
    title: str | None = None,
    series: str | None = None,
) -> dict[str, Any]:
    """The value of the player's `model` prop: a JSON object.

    The weights are one base64 block of little-endian float32: filters [K, C, 3, 3], then weight
    [out, in] and bias of each layer, first to last, absent biases as zeros, then the genes
    [kinds, hidden]. `version` is a hash of config and weights: recordings refer to the automaton
    by it.

    Args:
        source: a loaded checkpoint, or an automaton.
        size: side, or (H, W), of the initial grid; when None the checkpoint's own, else 72.
        title: shown in the player; the checkpoint's own when None.
        series: a job's id: newer weights of the same series replace those of the running
            automaton; any other model starts from a seed.

    `kinds` names the kinds, where the checkpoint's emoji say what they are; else `faces` holds a
    picture of each, as a data URL.

    `decoder`, where the checkpoint has one, is what the player draws it with; see
    `player_decoder`. `brush` is the eraser's initial radius in cells.
    """
    nca: NCA = source if isinstance(source, NCA) else source.nca
    if size is None:
        size = 72 if isinstance(source, NCA) else source.size
    if title is None:
        title = "automaton" if isinstance(source, NCA) else source.info.title
    height, width = (size, size) if isinstance(size, int) else size
    weights = b"".join(_flat(part) for part in _parts(nca))
    config = nca.config.model_dump(mode="json")
    version = hashlib.sha256(nca.config.model_dump_json().encode() + weights).hexdigest()[:16]
    metrics = {} if isinstance(source, NCA) else source.metrics
    return {
        "brush": _brush(metrics),
        "version": version,
        "title": title,
        "series": series,
        "height": min(height, MAX_SIDE),
        "width": min(width, MAX_SIDE),
        "config": config,
        "kinds": [] if isinstance(source, NCA) else source.kind_names,
        "faces": [] if isinstance(source, NCA) else _faces(source),
        "fire_threshold": threshold(nca.config.fire_rate),
        "weights": base64.b64encode(weights).decode(),
        "decoder": None if isinstance(source, NCA) else player_decoder(source.decoder),
    }


def halved(model: dict[str, Any]) -> dict[str, Any]:
    """A `player_model` with weights rounded to float16, which `half` says: half as many bytes.

    Of shipped automata this changes scores (log10 of the mean squared error) by less than 0.02.
    One with weights beyond the range of float16 is returned as it is.
    """
    numbers = np.frombuffer(base64.b64decode(model["weights"]), "<f4")
    if np.abs(numbers).max() > np.finfo(np.float16).max:
        return model
    weights = base64.b64encode(numbers.astype("<f2").tobytes()).decode()
    return model | {"weights": weights, "half": True}


def player_pair(first: Checkpoint, second: Checkpoint) -> dict[str, Any]:
    """A `player_model` of two automata on one grid, a kind or more for each, with room for both.

    Raises:
        BadInput: their settings differ, see `nca.together`.
    """
    nca = together(first.nca, second.nca)
    side = min(MAX_SIDE, max(*first.size, *second.size) * 16 // 9)  # 72 becomes 128
    title = f"{first.info.title}, {second.info.title}"
    names = [name for each in (first, second) for name in _kind_names(each)]
    faces = [face for each in (first, second) for face in _faces(each, also_one=True)]
    # Genes of two automata do not mix: each silences the other's network.
    return player_model(nca, side, title) | {
        "kinds": names,
        "faces": faces,
        "crosses": False,
    }


def _faces(checkpoint: Checkpoint, also_one: bool = False) -> list[str]:
    """A picture of each kind as a data URL, an empty text where it has a name; or no such list.

    Args:
        checkpoint: whose pictures they are.
        also_one: also of an automaton without kinds.
    """
    count = max(1, checkpoint.nca.config.kinds)
    if count == 1 and not also_one:
        return []
    target, named = checkpoint.target, any(_kind_names(checkpoint))
    if named or target is None:
        return [""] * count if also_one else []
    pngs = (target_to_png(one) for one in target.reshape(count, *target.shape[-3:]))
    return [f"data:image/png;base64,{base64.b64encode(png).decode()}" for png in pngs]


def _kind_names(checkpoint: Checkpoint) -> list[str]:
    """The emoji of each kind, of one where there are no kinds; empty texts for other pictures."""
    made, count = checkpoint.info.target, max(1, checkpoint.nca.config.kinds)
    alone = [made.emoji or ""] if made and count == 1 else []
    return checkpoint.kind_names or alone or [""] * count


def player_decoder(decoder: Decoder | None) -> dict[str, Any] | None:
    """A decoder as the player receives it: its architecture, and its weights as base64 of float16.

    Weight [out, in] and bias of each layer, first to last, then the patches.
    """
    if decoder is None:
        return None
    parts = [*decoder.parameters()]
    # In the order of registration, `basis` comes first.
    ordered = [part for part in parts if part is not decoder.basis] + [decoder.basis]
    halves = b"".join(p.detach().cpu().numpy().astype("<f2").tobytes() for p in ordered)
    c = decoder.config
    return {
        "hidden": list(c.hidden),
        "patches": c.patches,
        "waves": c.waves,
        "weights": base64.b64encode(halves).decode(),
    }


def _brush(metrics: Mapping[str, Any]) -> int:
    """The brush's initial radius in cells: the largest that the automaton heals, 2 to 5.

    Args:
        metrics: the checkpoint's; has "heals" when it was scored (`nca.scorecard.record`).
    """
    heals = metrics.get("heals")
    radius = heals.get("radius") if isinstance(heals, Mapping) else None
    if not isinstance(radius, int | float) or not math.isfinite(radius):
        return UNSCORED_BRUSH
    return round(min(max(radius, 2), 5))


def checked_children(config: NCAConfig, children: Any) -> list[tuple[int, int, float]]:
    """Kinds that are crossed of others, each as (first, second, share); BadInput if they cannot be.

    Args:
        config: of the automaton.
        children: in the order of the kinds that they become, after the automaton's own.
    """
    try:
        found = [(int(a), int(b), float(share)) for a, b, share in children]
    except (TypeError, ValueError):
        raise BadInput(NO_CHILDREN) from None
    for kind, (first, second, share) in enumerate(found, config.kinds + 1):
        if not (1 <= min(first, second) <= max(first, second) < kind <= 255 and 0 <= share <= 1):
            raise BadInput(NO_CHILDREN)
    return found


def nca_from_player(sent: Any, limits: Limits | None = None) -> NCA:
    """The automaton in a `player_model` sent by a browser, completely validated.

    Raises:
        BadInput: it is not a model, is too large, or its weights are out of range.
    """
    limits = limits or Limits()
    if not isinstance(sent, Mapping) or not isinstance(sent.get("weights"), str):
        raise BadInput(NO_MODEL)
    config = checked(NCAConfig, sent.get("config"))
    with torch.device("meta"):
        count = sum(part.numel() for part in _parts(NCA(config)))
    encoded, kind = sent["weights"], np.dtype("<f2" if sent.get("half") is True else "<f4")
    length = kind.itemsize * count
    if 4 * count > limits.checkpoint_bytes or len(encoded) != -(-length // 3) * 4:
        raise BadInput("The recording's weights do not fit the automaton that it names.")
    try:
        data = base64.b64decode(encoded, validate=True)
        numbers = torch.from_numpy(np.frombuffer(data, kind).astype(np.float32))
    except (binascii.Error, ValueError):
        raise BadInput("The recording's weights are damaged; play it again.") from None
    if numbers.numel() != count or not bool((numbers.abs() <= limits.weight_abs).all()):
        raise BadInput("The recording's weights are not finite numbers in range.")
    nca = NCA(config)
    with torch.no_grad():
        at = nca.filters.numel()
        if config.perception == "learned":
            _fill(nca.filters, numbers, 0)
        for layer in _linears(nca):
            at = _fill(layer.weight, numbers, at)
            if layer.bias is None:
                at += layer.out_features
            else:
                at = _fill(layer.bias, numbers, at)
        if nca.genes is not None:
            _fill(nca.genes, numbers, at)
    return nca


def _parts(nca: NCA) -> list[Tensor]:
    """Filters, then weight and bias of each layer, zeros where a layer has no bias; then genes."""
    parts: list[Tensor] = [nca.filters]
    for layer in _linears(nca):
        absent = layer.weight.new_zeros(layer.out_features)
        parts += [layer.weight, absent if layer.bias is None else layer.bias]
    return parts if nca.genes is None else [*parts, nca.genes]


def _linears(nca: NCA) -> list[nn.Linear]:
    return cast("list[nn.Linear]", list(nca.layers))


def _flat(part: Tensor) -> bytes:
    return part.detach().float().cpu().contiguous().numpy().astype("<f4").tobytes()


def _fill(into: Tensor, numbers: Tensor, at: int) -> int:
    into.copy_(numbers[at : at + into.numel()].view_as(into))
    return at + into.numel()

"""Resume files: one safetensors file with weights, moments, pool and counters of a training.

The fitting of a decoder has one of its own, which is much smaller.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from nca.checkpoint import METADATA
from nca.config import BadInput, NCAConfig, TrainConfig
from nca.decoder_file import fingerprint
from nca.files import write_atomic
from nca.sharpen import Sharpener
from nca.trainer import Trainer


def save_resume(trainer: Trainer, path: str | Path) -> None:
    """Write everything that `trainer` needs to go on, as one safetensors file, atomically."""
    state = trainer.state_dict()
    tensors = {f"weights.{k}": v for k, v in state["weights"].items()}
    for number, moments in state["moments"].items():
        tensors |= {f"moments.{number}.{k}": v for k, v in moments.items()}
    if trainer.pool is not None:
        tensors |= {f"pool.{k}": v for k, v in trainer.pool.state_dict().items()}
    about = {k: state[k] for k in ("iteration", "attempt", "dead", "losses", "best")}
    about |= {"threads": torch.get_num_threads(), "fits": _fingerprint(trainer)}
    tensors = {k: v.cpu().contiguous() for k, v in tensors.items()}
    write_atomic(Path(path), to_safetensors(tensors, {METADATA: json.dumps(about)}))


def load_resume(trainer: Trainer, path: str | Path) -> None:
    """Load a resume file into `trainer`, made with the same configs, target and seed.

    On the CPU the thread count is set to the recorded one, because sums depend on it.

    Raises:
        BadInput: the file is damaged or belongs to another training.
    """
    data = Path(path).read_bytes()
    try:
        length = int.from_bytes(data[:8], "little")
        about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][METADATA])
        tensors = parse_safetensors(data)
    except (SafetensorError, ValueError, KeyError):
        raise BadInput("The resume file is damaged; start this training again.") from None
    if not _fits(about["fits"], trainer):
        raise BadInput("The resume file belongs to a training with other settings.")
    if trainer.device.type == "cpu":
        torch.set_num_threads(about["threads"])
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "moments": {}, "pool": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        # Files from before there was a choice of optimisers call all moments "adam".
        parts["moments" if part == "adam" else part][rest] = value
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["moments"].items():
        number, _, moment = name.partition(".")
        moments.setdefault(int(number), {})[moment] = value
    if trainer.pool is not None:
        trainer.pool.load_state_dict(parts["pool"])
    trainer.load_state_dict(
        {
            "weights": parts["weights"],
            "moments": moments,
            "pool": None if trainer.pool is None else trainer.pool.items,
            **{k: about[k] for k in ("iteration", "attempt", "dead")},
            "losses": about.get("losses", []),
            "best": about.get("best", math.inf),  # older files have none
        }
    )


def _fits(saved: dict[str, Any], trainer: Trainer) -> bool:
    """Whether a fingerprint matches this trainer; settings missing in it have their defaults."""
    saved = {**saved, "nca": NCAConfig.model_validate(saved["nca"]).model_dump(mode="json")}
    now = _fingerprint(trainer)
    defaults = TrainConfig().model_dump(mode="json", exclude={"iterations"})
    return {**saved, "train": defaults | saved["train"]} == now


def _fingerprint(trainer: Trainer) -> dict[str, Any]:
    """What must be equal to resume the same training; the number of iterations may differ."""
    target = trainer.target.cpu().numpy()
    own = {} if trainer.loss is None else {"loss": "own"}  # absent in files of earlier versions
    return own | {
        "nca": trainer.nca.config.model_dump(mode="json"),
        "train": trainer.config.model_dump(mode="json", exclude={"iterations"}),
        "seed": trainer.seed,
        "target": f"{np.abs(target).sum(dtype=np.float64):.6f} {target.shape}",
    }


def save_sharpening(sharpener: Sharpener, path: str | Path) -> None:
    """Write everything that `sharpener` needs to go on, as one safetensors file, atomically."""
    tensors = {k: v.cpu().contiguous() for k, v in sharpener.state_dict().items()}
    fits = json.dumps(_sharpening(sharpener))
    write_atomic(Path(path), to_safetensors(tensors, {METADATA: fits}))


def load_sharpening(sharpener: Sharpener, path: str | Path) -> bool:
    """Load such a file, if it belongs to the same automaton, picture and settings.

    Returns:
        Whether it did. A file of another fitting, or a damaged one, changes nothing.
    """
    data = Path(path).read_bytes()
    try:
        length = int.from_bytes(data[:8], "little")
        fits = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][METADATA])
        if fits != _sharpening(sharpener):
            return False
        sharpener.load_state_dict(parse_safetensors(data))
    except (SafetensorError, ValueError, KeyError):
        return False
    return True


def _sharpening(sharpener: Sharpener) -> dict[str, Any]:
    """What must be equal to go on fitting the same decoder."""
    return {
        "automaton": fingerprint(sharpener.nca),
        "config": sharpener.config.model_dump(mode="json"),
        "seed": sharpener.seed,
        "picture": f"{float(sharpener.coarse.double().abs().sum()):.4f} {sharpener.size}",
    }

"""Reads safetensors files that anybody may have written: metadata, names, shapes, values."""

from __future__ import annotations

import json
from typing import TypeVar

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from torch import Tensor, nn

from nca.config import BadInput
from nca.wording import explain

_M = TypeVar("_M", bound=BaseModel)
Weights = dict[str, Tensor]


def parse(data: bytes, key: str, model: type[_M], misfit: str, damaged: str) -> tuple[_M, Weights]:
    """What a file says about itself, and its tensors by name.

    Args:
        data: of the file; the caller has bounded its length.
        key: of the JSON in the file's metadata.
        model: what that JSON must be.
        misfit: the sentence for JSON that is not a valid `model`; the reason is added.
        damaged: the sentence for a file that cannot be read.

    Raises:
        BadInput: with one of the sentences.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length])["__metadata__"][key]
        return model.model_validate_json(metadata), parse_safetensors(data)
    except ValidationError as error:
        raise BadInput(f"{misfit} {explain(error, model)}") from None
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        raise BadInput(damaged) from None


def shapes(module: nn.Module) -> dict[str, torch.Size]:
    """The shape of each of a module's tensors; build it under `torch.device("meta")`."""
    return {name: value.shape for name, value in module.state_dict().items()}


def in_range(weights: Weights, dtype: torch.dtype, most: float) -> bool:
    """Whether all weights have this dtype, are finite, and are at most `most` from 0."""
    return all(v.dtype == dtype and bool(v.abs().max() <= most) for v in weights.values())

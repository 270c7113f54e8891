"""Read untrusted files: bounded, without running code, only finite arrays of known types."""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from torch import Tensor

from nca.checkpoint import METADATA
from nca.config import BadInput, Limits
from nca.wording import size_text

MOST_ARRAYS = 24  # five layers with biases, and filters
MOST_DIMENSIONS = 4
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read_file(path: Path, limits: Limits) -> bytes:
    """The bytes of a regular file.

    Raises:
        BadInput: there is none, or it is larger than a file of a checkpoint may be.
    """
    if not path.is_file():
        what = f"{path} is a folder" if path.is_dir() else f"There is no file {path}"
        raise BadInput(f"{what}; please name the file to import.")
    with path.open("rb") as file:
        data = file.read(limits.checkpoint_bytes + 1)
    if len(data) > limits.checkpoint_bytes:
        raise BadInput(f"{path.name} is larger than {size_text(limits.checkpoint_bytes)}.")
    return data


def read_arrays(data: bytes, kind: str, limits: Limits) -> dict[str, Tensor]:
    """Names and arrays of a `.safetensors` or `.npz`, as float64.

    Raises:
        BadInput: the file is damaged or too large when unpacked, or an array does not hold finite
            floats in range.
    """
    arrays = _safetensors(data) if kind == ".safetensors" else _npz(data, limits)
    if not arrays:
        raise BadInput(f"This {kind} file holds no arrays.")
    for name, value in arrays.items():
        if value.dtype not in _FLOATS:
            raise BadInput(
                f"{_shown(name)} is not floating point of 16 bits or more; please save the weights "
                "alone, without counters or the state of a random generator."
            )
        if value.dim() > MOST_DIMENSIONS or not value.numel():
            raise BadInput(f"{_shown(name)} has the shape {tuple(value.shape)}, as no layer has.")
        if not value.double().abs().max() <= limits.weight_abs:
            raise BadInput(f"{_shown(name)} is not finite and in range.")
    return {name: value.double() for name, value in arrays.items()}


def _shown(name: str) -> str:
    """An untrusted name, cut and quoted for a sentence."""
    return f"The array {name[:60]!r}"


def _safetensors(data: bytes) -> dict[str, Tensor]:
    try:
        header: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        named = {str(name): value for name, value in header.items() if name != "__metadata__"}
        metadata = header.get("__metadata__") or {}
        ours = METADATA in metadata
        few = len(named) <= MOST_ARRAYS
        arrays = parse_safetensors(data) if few and not ours else {}
    # Types that torch lacks raise KeyError; a header that is not a mapping, AttributeError.
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadInput("This .safetensors file is damaged; please save it again.") from None
    if ours:
        raise BadInput("This is a checkpoint of NCA Garden; use its folder as it is.")
    if not few:
        raise BadInput(f"This file holds more than {MOST_ARRAYS} arrays, so it is something else.")
    return arrays


def _npz(data: bytes, limits: Limits) -> dict[str, Tensor]:
    arrays: dict[str, Tensor] = {}
    left = limits.checkpoint_bytes
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ARRAYS:
                raise BadInput(
                    f"This file holds more than {MOST_ARRAYS} arrays, so it is something else."
                )
            for entry in entries:
                with archive.open(entry) as file:
                    unpacked = file.read(left + 1)
                left -= len(unpacked)
                if left < 0:
                    size = size_text(limits.checkpoint_bytes)
                    raise BadInput(f"This .npz file is larger than {size} when unpacked.")
                name = entry.filename.removesuffix(".npy")
                if name in arrays:
                    raise BadInput(f"{_shown(name)} is in the file more than once.")
                arrays[name] = _npy(unpacked, name)
    except BadInput:
        raise
    except Exception:  # zipfile and its decompressors raise almost anything on damaged files
        raise BadInput("This .npz file is damaged; please save it with numpy.savez.") from None
    return arrays


def _npy(data: bytes, name: str) -> Tensor:
    """One array; its length is compared with its header before anything is allocated."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, columns_first, dtype = read[version](file)
    if dtype.hasobject:
        raise BadInput(f"{_shown(name)} holds Python objects, which are not read.")
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise BadInput(f"{_shown(name)} is not of type float16, float32 or float64.")
    body = data[file.tell() :]
    if math.prod(shape) * dtype.itemsize != len(body):
        raise ValueError("the header does not fit the data")
    values = np.frombuffer(body, dtype).reshape(shape, order="F" if columns_first else "C")
    return torch.from_numpy(np.array(values, np.float64, order="C"))

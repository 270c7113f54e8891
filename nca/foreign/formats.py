"""Read the rule in a file of Distill, PyTorch or CAX.

Distill's models and the program that runs them, public/ca.js of distillpub/post--growing-ca, are
under the Apache Licence 2.0. CAX is maxencefaldor/cax; this module reads version 0.3.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from itertools import pairwise, permutations
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor

from nca.config import BadInput
from nca.foreign.rule import FILTERS, Columns, Rule, bank_columns

Layer = tuple[Tensor, Tensor | None]
_USUAL = ("identity", "sobel_x", "sobel_y")
_USUAL_OF_CAX = ("identity", "sobel_y", "sobel_x")
_MOST_LAYERS = 5

# ---------------------------------------------------------------------------- Distill


class _DistillLayer(BaseModel):
    """One of the two layers of a published JSON model."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    data_b64: str
    in_ch: int = Field(ge=1, le=4096)
    out_ch: int = Field(ge=1, le=4096)
    weight_scale: float = Field(gt=0)
    bias_scale: float = Field(gt=0)
    type: Literal["uint8"]

    def layer(self) -> Layer:
        """Weight and bias: rows of the data are inputs, the last row is the bias."""
        data = base64.b64decode(self.data_b64, validate=True)
        if len(data) != (self.in_ch + 1) * self.out_ch:
            raise ValueError("the data do not fit in_ch and out_ch")
        rows = torch.frombuffer(bytearray(data), dtype=torch.uint8).double() / 255 - 0.5
        rows = rows.view(self.in_ch + 1, self.out_ch)
        return rows[:-1].T * self.weight_scale, rows[-1] * self.bias_scale


def from_distill(data: bytes) -> Rule:
    """One of the article's published models: two layers of 8-bit weights in JSON.

    Raises:
        BadInput: anything else.
    """
    try:
        parsed = TypeAdapter(list[_DistillLayer]).validate_python(json.loads(data))
        layers = [layer.layer() for layer in parsed]
    except (ValidationError, ValueError, binascii.Error, RecursionError):
        raise BadInput(
            "This .json file is not a model as the Distill article publishes them: a list of two "
            "layers with data_b64, in_ch, out_ch, weight_scale, bias_scale and the type uint8."
        ) from None
    if len(layers) != 2 or layers[0][0].shape != (
        layers[1][0].shape[1],
        3 * layers[1][0].shape[0],
    ):
        raise BadInput("The layers in this .json file do not fit together as Distill's do.")
    bank = torch.stack([FILTERS[name] for name in _USUAL])
    columns = {"filter": bank_columns(len(layers[1][0]), bank, "filter")}
    return Rule("Distill's JSON", layers, columns)


# ---------------------------------------------------------------------------- PyTorch


def from_pytorch(arrays: dict[str, Tensor], filters: tuple[str, ...] | None) -> Rule:
    """A state dict: `*.weight` [out, in] or [out, in, 1, 1], `*.bias` [out], and 3x3 filters.

    Filters, if there are any, are depthwise [n, 1, 3, 3], or shared by all channels: [K, 1, 3, 3],
    [K, 3, 3] or single ones [3, 3]. If one is missing, it is the identity and comes first, as in
    torch.cat([x, ...]). Of several arrays the identity comes first and a Laplacian last, as in
    published systems; the others are in the order of their names, which is all that a file keeps.

    Raises:
        BadInput: an array is none of these, or the layers do not fit together.
    """
    weights: dict[str, Tensor] = {}
    kernels: dict[str, Tensor] = {}
    biases: dict[str, Tensor] = {}
    for name, value in arrays.items():
        stem, shape = name.removesuffix("weight"), tuple(value.shape)
        if name.endswith("bias") and len(shape) == 1:
            biases[name.removesuffix("bias")] = value
        elif name.endswith("weight") and (
            len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1))
        ):
            weights[stem] = value.flatten(1)
        elif len(shape) in (2, 3) and shape[-2:] == (3, 3):
            kernels[stem] = value.reshape(-1, 3, 3)
        elif len(shape) == 4 and shape[1:] == (1, 3, 3):
            kernels[stem] = value[:, 0]
        else:
            raise _no_place(name, value)
    layers = _chain(weights, biases)
    columns, bias = _columns(layers, kernels, biases, filters, _USUAL)
    _all_taken(biases)
    return Rule("PyTorch", layers, columns, perception_bias=bias)


# ---------------------------------------------------------------------------- CAX


def is_cax(arrays: dict[str, Tensor]) -> bool:
    """Whether weights are named "kernel", as in JAX."""
    return any(_jax_name(name).endswith("kernel") for name in arrays)


def from_cax(arrays: dict[str, Tensor], filters: tuple[str, ...] | None) -> Rule:
    """CAX's growing example: `nnx.state(cs, nnx.Param)`, flattened into names.

    Kernels are [1, 1, in, out] or [in, out], the perception's [3, 3, 1, C * K], channel by channel.
    RGBA are the last four channels, and only alpha is 1 in the seed. A dropout layer decides which
    cells fire and scales up their updates. If the perception's kernel is missing, it is that of the
    example: identity and the two gradients, along y first.

    Raises:
        BadInput: an array is none of these, or the layers do not fit together.
    """
    weights: dict[str, Tensor] = {}
    kernels: dict[str, Tensor] = {}
    biases: dict[str, Tensor] = {}
    for name, value in arrays.items():
        jax_name, shape = _jax_name(name), tuple(value.shape)
        stem = jax_name.removesuffix("kernel")
        if jax_name.endswith("bias") and len(shape) == 1:
            biases[jax_name.removesuffix("bias")] = value
        elif not jax_name.endswith("kernel"):
            raise _no_place(name, value)
        elif len(shape) == 2 or (len(shape) == 4 and shape[:2] == (1, 1)):
            weights[stem] = value.reshape(shape[-2:]).T
        elif len(shape) == 4 and shape[:3] == (3, 3, 1):
            kernels[stem] = value[:, :, 0].permute(2, 0, 1)
        else:
            raise _no_place(name, value)
    if len(weights) + len(kernels) + len(biases) != len(arrays):
        raise BadInput("Two arrays of this file have the same name.")
    layers = _chain(weights, biases)
    columns, bias = _columns(layers, kernels, biases, filters, _USUAL_OF_CAX)
    _all_taken(biases)
    channels = len(layers[-1][0])
    return Rule(
        "CAX",
        layers,
        {"channel": columns["channel"]} if "channel" in columns else columns,
        rgba=(channels - 4, channels - 3, channels - 2, channels - 1),
        dropout=True,
        cell={"seed_hidden": False},
        perception_bias=bias,
    )


def _jax_name(name: str) -> str:
    """A flattened name without the suffix that some versions of Flax add."""
    return re.sub(r"[./](raw_)?value$", "", name)


# ---------------------------------------------------------------------------- layers


def _chain(weights: dict[str, Tensor], biases: dict[str, Tensor]) -> list[Layer]:
    """The layers, first to last, with their biases, which are taken out of `biases`.

    In the order of their names if their shapes fit, else in the only order in which they do.
    """
    if not 2 <= len(weights) <= _MOST_LAYERS:
        raise BadInput(
            f"This file has {len(weights)} layers (1x1 convolutions or linear layers); an "
            f"automaton has 2 to {_MOST_LAYERS}."
        )

    def fits(order: tuple[str, ...]) -> bool:
        last = len(weights[order[-1]])
        chained = all(len(weights[a]) == weights[b].shape[1] for a, b in pairwise(order))
        return chained and weights[order[0]].shape[1] % last == 0

    named = tuple(sorted(weights, key=_natural))
    found = [order for order in permutations(named) if fits(order)]
    if named not in found and len(found) != 1:
        shapes = ", ".join(str(tuple(weights[name].shape)) for name in named)
        raise BadInput(f"These layers do not follow each other in one way: {shapes}.")
    layers: list[Layer] = []
    for name in named if named in found else found[0]:
        bias = biases.pop(name, None)
        if bias is not None and len(bias) != len(weights[name]):
            raise BadInput(f"The bias of {name[:60]!r} does not fit its weight.")
        layers.append((weights[name], bias))
    return layers


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts layers.10 behind layers.9."""
    # Numbers, every second part, by their length and then as text: int() refuses 5,000 digits.
    parts = re.split(r"0*(\d+)", name)
    return [(len(part) if place % 2 else 0, part) for place, part in enumerate(parts)]


def _no_place(name: str, value: Tensor) -> BadInput:
    return BadInput(
        f"The array {name[:60]!r} of shape {tuple(value.shape)} is not part of an automaton of "
        "1x1 layers behind 3x3 depthwise filters; please save only its weights."
    )


def _all_taken(biases: dict[str, Tensor]) -> None:
    for name, value in biases.items():
        raise _no_place(f"{name}bias", value)


# ---------------------------------------------------------------------------- perception


def _columns(
    layers: list[Layer],
    kernels: dict[str, Tensor],
    biases: dict[str, Tensor],
    filters: tuple[str, ...] | None,
    usual: tuple[str, ...],
) -> tuple[dict[str, Columns], Tensor | None]:
    """The possible meanings of the first layer's inputs, and the bias that is added to them.

    Args:
        layers: of the file.
        kernels: its filters, name -> [n, 3, 3].
        biases: what is left of its biases; those of filters are taken out.
        filters: the names of the filters, if the caller gives them.
        usual: the names of the filters otherwise.
    """
    inputs, channels = layers[0][0].shape[1], len(layers[-1][0])
    if kernels and filters is not None:
        raise BadInput("This file has filters of its own; please leave out --filters.")
    if not kernels:
        bank = _named_bank(filters or usual, inputs, channels, filters is None)
        return {order: bank_columns(channels, bank, order) for order in ("channel", "filter")}, None
    names = sorted(kernels, key=lambda name: (_place(kernels[name]), _natural(name)))
    count = sum(len(kernels[name]) for name in names)
    if count in (inputs, inputs - channels) and all(
        len(k) % channels == 0 for k in kernels.values()
    ):
        return _depthwise(names, kernels, biases, channels, count < inputs)
    bank = torch.cat([kernels[name] for name in names])
    if count == inputs // channels - 1:
        bank = torch.cat([FILTERS["identity"][None], bank])
    if len(bank) != inputs // channels:
        raise BadInput(
            f"The filters of this file do not fit its first layer, which has {inputs} inputs for "
            f"{channels} channels."
        )
    return {order: bank_columns(channels, bank, order) for order in ("channel", "filter")}, None


def _place(filters: Tensor) -> int:
    """0 for the identity, 2 for what no quarter turn changes, a Laplacian, and 1 for others."""
    if torch.equal(filters, FILTERS["identity"].expand_as(filters)):
        return 0
    return 2 if torch.allclose(filters, filters.rot90(1, (-2, -1))) else 1


def _named_bank(names: tuple[str, ...], inputs: int, channels: int, ask: bool) -> Tensor:
    if unknown := [name for name in names if name not in FILTERS]:
        raise BadInput(f"There is no filter {unknown[0][:40]!r}; choose from {', '.join(FILTERS)}.")
    if len(names) * channels != inputs:
        per_channel = inputs // channels
        raise BadInput(
            f"The first layer has {inputs} inputs, {per_channel} filters for each of {channels} "
            f"channels; please name {'them' if ask else 'so many'} with --filters, in the file's "
            f"order, from {', '.join(FILTERS)}."
        )
    return torch.stack([FILTERS[name] for name in names])


def _depthwise(
    names: list[str],
    kernels: dict[str, Tensor],
    biases: dict[str, Tensor],
    channels: int,
    identity: bool,
) -> tuple[dict[str, Columns], Tensor | None]:
    """The columns of concatenated grouped convolutions, each ordered channel by channel."""
    blocks = [kernels[name] for name in names]
    added = [_bias_of(name, biases, len(kernels[name])) for name in names]
    if identity:
        blocks.insert(0, FILTERS["identity"].expand(channels, 3, 3))
        added.insert(0, torch.zeros(channels, dtype=torch.float64))
    of_channel = [torch.arange(channels).repeat_interleave(len(b) // channels) for b in blocks]
    order = "channel" if len(blocks) == 1 else "filter"
    columns = {order: Columns(torch.cat(of_channel), torch.cat(blocks))}
    bias = torch.cat(added)
    return columns, bias if bool(bias.any()) else None


def _bias_of(name: str, biases: dict[str, Tensor], count: int) -> Tensor:
    bias = biases.pop(name, None)
    if bias is None:
        return torch.zeros(count, dtype=torch.float64)
    if len(bias) != count:
        raise BadInput(f"The bias of {name[:60]!r} does not fit its filters.")
    return bias

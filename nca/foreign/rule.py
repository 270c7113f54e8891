"""A rule from another program, in any layout, and the NCA with the same rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nca.config import BadInput, Laplacian, Limits, NCAConfig, checked
from nca.model import NCA, fixed_filters

FILTERS: dict[str, Tensor] = {
    "identity": fixed_filters()[0].double(),
    "sobel_x": fixed_filters()[1].double(),
    "sobel_y": fixed_filters()[2].double(),
    "nine_point": fixed_filters("nine_point")[3].double(),
    "five_point": fixed_filters("five_point")[3].double(),
}
_CLOSE = 1e-6  # of a filter's largest value: tolerance for float32 rounding
_MOST_LEARNED = 4  # filters per channel of an NCA


@dataclass(frozen=True)
class Columns:
    """What the inputs of the first layer are: one 3x3 filter over one channel each.

    Attributes:
        channels: int64 [N], the channel in the file.
        kernels: float64 [N, 3, 3], as torch.conv2d applies them.
    """

    channels: Tensor
    kernels: Tensor


@dataclass(frozen=True)
class Rule:
    """An automaton as a file describes it, in float64.

    Attributes:
        made_by: what the file is, for the model card.
        layers: weight [out, in] and bias [out] or None, first to last.
        columns: the columns for each possible order, "channel", "filter" or both.
        rgba: which channels of the file are red, green, blue and alpha.
        dropout: the update of a firing cell is scaled by 1 / fire rate, as by a dropout layer.
        cell: fields of `NCAConfig` that the other program decides.
        perception_bias: float64 [N], added to the columns.
    """

    made_by: str
    layers: list[tuple[Tensor, Tensor | None]]
    columns: dict[str, Columns]
    rgba: tuple[int, int, int, int] = (0, 1, 2, 3)
    dropout: bool = False
    cell: dict[str, Any] = field(default_factory=dict[str, Any])
    perception_bias: Tensor | None = None

    @property
    def channels(self) -> int:
        """How many channels a cell has."""
        return len(self.layers[-1][0])


def bank_columns(channels: int, bank: Tensor, order: str) -> Columns:
    """Columns where the same filters apply to every channel.

    Args:
        channels: C.
        bank: float64 [K, 3, 3].
        order: "channel" (column = channel * K + filter) or "filter" (filter * C + channel).
    """
    of_channel, of_filter = torch.arange(channels), torch.arange(len(bank))
    if order == "channel":
        pairs = torch.cartesian_prod(of_channel, of_filter)
        return Columns(pairs[:, 0], bank[pairs[:, 1]])
    pairs = torch.cartesian_prod(of_filter, of_channel)
    return Columns(pairs[:, 1], bank[pairs[:, 0]])


def build(rule: Rule, columns: Columns, cell: dict[str, Any], limits: Limits) -> NCA:
    """The NCA with the same steps as the rule, rounded to float32 once.

    Args:
        rule: what the file says.
        columns: one of `rule.columns`.
        cell: fields of `NCAConfig` besides those that follow from the weights.
        limits: on the weights.

    Raises:
        BadInput: it has more channels, layers or filters than an NCA, or a value out of range.
    """
    checked(NCAConfig, cell)
    layers = list(rule.layers)
    values = cell | {
        "channels": rule.channels,
        "hidden": [len(weight) for weight, _ in layers[:-1]],
        "bias": rule.perception_bias is not None or any(b is not None for _, b in layers[:-1]),
        "out_bias": layers[-1][1] is not None,
    }
    try:
        config = checked(NCAConfig, values)
    except BadInput as error:
        raise BadInput(f"This automaton does not fit this garden. {error}") from None
    if rule.perception_bias is not None:
        weight, bias = layers[0]
        seen = weight @ rule.perception_bias
        layers[0] = (weight, seen if bias is None else seen + bias)
    # Red, green, blue and alpha come first here; `here` says where a channel of the file goes.
    there = torch.tensor([*rule.rgba, *(c for c in range(rule.channels) if c not in rule.rgba)])
    here = torch.empty_like(there).scatter_(0, there, torch.arange(len(there)))
    columns = Columns(here[columns.channels], columns.kernels)
    weight, bias = layers[-1]
    layers[-1] = (weight[there], None if bias is None else bias[there])
    if rule.dropout:
        # As by dropout: updates are scaled up, so that their mean is that of all cells firing.
        scale = 1 / config.fire_rate
        weight, bias = layers[-1]
        layers[-1] = (weight * scale, None if bias is None else bias * scale)
    found = _laplacian(columns.kernels)
    if found is None:
        first, bank = _learned(layers[0][0], columns, rule.channels)
        config = config.model_copy(
            update={"perception": "learned", "laplacian": "nine_point" if len(bank) > 3 else "none"}
        )
    else:
        first, bank = _folded(layers[0][0], columns, rule.channels, found), None
        config = config.model_copy(update={"laplacian": found})
    layers[0] = (first, layers[0][1])
    weights = {} if bank is None else {"filters": bank}
    for number, (weight, bias) in enumerate(layers):
        weights[f"layers.{number}.weight"] = weight
        last = number == len(layers) - 1
        if config.out_bias if last else config.bias:
            weights[f"layers.{number}.bias"] = (
                weight.new_zeros(len(weight)) if bias is None else bias
            )
    if not all(value.abs().max() <= limits.weight_abs for value in weights.values()):
        raise BadInput("The weights of this file are not finite and in range.")
    nca = NCA(config)
    nca.load_state_dict({name: value.float() for name, value in weights.items()})
    return nca


def _bank(laplacian: Laplacian) -> Tensor:
    return fixed_filters(laplacian).double()


def _coefficients(kernels: Tensor, laplacian: Laplacian) -> Tensor:
    """Least-squares coefficients of each kernel over the filters of the bank: [N, K]."""
    basis = _bank(laplacian).flatten(1).T
    found = torch.linalg.lstsq(basis, kernels.flatten(1).T).solution.T
    # Rounding errors would only turn zeros into small weights.
    return found.where(found.abs() > _CLOSE * found.abs().amax(1, keepdim=True), 0.0)


def _laplacian(kernels: Tensor) -> Laplacian | None:
    """The Laplacian of the bank whose weighted sums these kernels are; None when there is none."""
    banks: tuple[Laplacian, ...] = ("none", "five_point", "nine_point")
    for laplacian in banks:
        sums = (_coefficients(kernels, laplacian) @ _bank(laplacian).flatten(1)).view_as(kernels)
        if bool(((sums - kernels).abs() <= _CLOSE * kernels.abs().max()).all()):
            return laplacian
    return None


def _folded(weight: Tensor, columns: Columns, channels: int, laplacian: Laplacian) -> Tensor:
    """The first layer for the fixed bank, filter by filter: float64 [out, K * C]."""
    shares = _coefficients(columns.kernels, laplacian)  # [N, K]
    first = weight.new_zeros(len(weight), shares.shape[1], channels)
    for column, channel in enumerate(columns.channels.tolist()):
        first[:, :, channel] += weight[:, column, None] * shares[column]
    return first.flatten(1)


def _learned(weight: Tensor, columns: Columns, channels: int) -> tuple[Tensor, Tensor]:
    """The first layer and the filters of a learned perception: [out, K * C] and [K, C, 3, 3]."""
    own = [(columns.channels == channel).nonzero()[:, 0].tolist() for channel in range(channels)]
    filters = max(3, *map(len, own))
    if filters > _MOST_LEARNED:
        raise BadInput(
            f"This automaton sees {filters} learned filters of a channel; at most "
            f"{_MOST_LEARNED} are possible here."
        )
    bank = weight.new_zeros(filters, channels, 3, 3)
    first = weight.new_zeros(len(weight), filters, channels)
    for channel, places in enumerate(own):
        for number, column in enumerate(places):
            bank[number, channel] = columns.kernels[column]
            first[:, number, channel] = weight[:, column]
    return first.flatten(1), bank

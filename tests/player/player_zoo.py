"""Small automata with made-up weights that grow from a seed, fill their grid and settle.

Layer one passes relu(x) and relu(-x) of every channel beside random views of the perception, the
last layer pulls each channel back and adds a little of the rest: contracting, so two engines stay
together as they do on trained automata.
"""

from __future__ import annotations

import torch

from nca.config import NCAConfig
from nca.model import NCA


def zoo_model(config: NCAConfig, seed: int = 0, pull: float = 0.15) -> NCA:
    nca = NCA(config)
    draw = torch.Generator().manual_seed(seed)
    c = config.rule_channels

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw)

    with torch.no_grad():
        if config.perception == "learned":
            nca.filters += 0.05 * normal(*nca.filters.shape)
        first, *middle, last = nca.layers
        fan = first.in_features
        first.weight.copy_(normal(*first.weight.shape) * 0.6 / fan**0.5)
        for channel in range(c):
            for sign, row in ((1.0, channel), (-1.0, c + channel)):
                first.weight[row] = 0
                first.weight[row, channel] = sign
        for layer in middle:
            layer.weight.copy_(normal(*layer.weight.shape) * 0.02)
            layer.weight += torch.eye(*layer.weight.shape)
        last.weight.copy_(normal(*last.weight.shape) * 0.5 / last.in_features)
        for channel in range(c):
            last.weight[channel, channel] -= pull
            last.weight[channel, c + channel] += pull
        for layer in nca.layers[:-1]:
            if layer.bias is not None:
                layer.bias.copy_(0.1 * normal(*layer.bias.shape))
        if last.bias is not None:
            last.bias.copy_(0.6 * pull * normal(c))
            last.bias[3] = pull / config.step_size
        elif first.bias is not None:  # a hidden unit that is always 1 stands in for the bias
            first.weight[2 * c] = 0
            first.bias[2 * c] = 1
            for layer in middle:
                layer.bias[2 * c] = 0
            last.weight[3, 2 * c] = 2 * pull
        else:  # no constant anywhere: alpha hardly fades and spreads along its own gradient
            last.weight[3] = 0
            last.weight[3, 3] = -0.01
            for unit, (row, sign) in enumerate(((c, 1), (c, -1), (2 * c, 1), (2 * c, -1))):
                first.weight[2 * c + unit] = 0
                first.weight[2 * c + unit, row + 3] = sign
                last.weight[3, 2 * c + unit] = 0.35
        last.weight /= config.step_size
        if nca.genes is not None:
            nca.genes.copy_(0.3 * normal(*nca.genes.shape))
    return nca

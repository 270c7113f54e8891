"""Pretrained initial weights, from which a picture is learned sooner than from random ones.

They are those of the shipped zoo, which grows, keeps and heals ten emoji, with the mean of its
genes as the bias: how to grow and to heal is much the same whatever the picture is. A file of their
own, so that a later zoo changes no training. `python benchmarks/pretrained.py` writes it again.

Recipes name the architecture, and are read where torch must not be imported yet.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nca.config import NCAConfig

if TYPE_CHECKING:
    from torch import Tensor

    from nca.model import NCA

# The zoo's, without the channel that holds the kind.
ARCHITECTURE = NCAConfig(channels=19, hidden=(256,), laplacian="nine_point")
WEIGHTS = Path(__file__).with_name("pretrained.safetensors")
# What the weights depend on; other settings, such as the fire rate, may differ from the recipe's.
_NETWORK = ("channels", "hidden", "perception", "laplacian", "bias", "out_bias", "kinds")
NONE_FIT = (
    "Pretrained weights fit only 19 channels, one hidden layer of 256, Sobel filters with the "
    "nine-point Laplacian, and biases; this training began with random weights."
)


def pretrained(config: NCAConfig) -> NCA | None:
    """A new automaton with the pretrained weights; None where its network is another."""
    if any(getattr(config, name) != getattr(ARCHITECTURE, name) for name in _NETWORK):
        return None
    from nca.model import NCA

    nca = NCA(config)
    nca.load_state_dict(_weights())
    return nca


@cache
def _weights() -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(WEIGHTS)

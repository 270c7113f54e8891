"""Pretrained initial weights, from which a picture is learned sooner than from random ones.

They are those of the shipped zoo, which grows, keeps and heals ten emoji, with the mean of its
genes as the bias: how to grow and to heal is much the same whatever the picture is. A file of their
own, so that a later zoo changes no training. `python benchmarks/pretrained.py` writes it again.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from safetensors.torch import load_file

from nca.config import NCAConfig
from nca.model import NCA

# The only one that has some; the zoo's, without the channel that holds the kind.
ARCHITECTURE = NCAConfig(channels=19, hidden=(256,), laplacian="nine_point")
WEIGHTS = Path(__file__).with_name("pretrained.safetensors")


def pretrained(config: NCAConfig) -> NCA | None:
    """`pretrained_nca` where this is its architecture; None for another."""
    return pretrained_nca() if config == ARCHITECTURE else None


@cache
def pretrained_nca() -> NCA:
    """The automaton with the pretrained weights. There is one; do not change it."""
    nca = NCA(ARCHITECTURE)
    nca.load_state_dict(load_file(WEIGHTS))
    return nca

"""Write the initial weights of `quick`, nca/pretrained.safetensors, from the shipped zoo.

    python benchmarks/pretrained.py

Its rule stays; the mean of the genes of its kinds becomes part of the first bias. A picture is
learned as soon from them as from the zoo with a gene of its own (quality_over_time.py stem).
"""
# ruff: noqa: E402

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, beside nca/

from nca.checkpoint import load_checkpoint
from nca.pretrained import WEIGHTS

ZOO = Path(__file__).parents[1] / "checkpoints" / "zoo"


def main() -> None:
    """Write the file."""
    weights = load_checkpoint(ZOO).nca.state_dict()
    weights["layers.0.bias"] += weights.pop("genes").mean(dim=0)
    save_file(weights, WEIGHTS)


if __name__ == "__main__":
    main()

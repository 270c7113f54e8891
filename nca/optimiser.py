"""The update of the weights: Adam for all of them, or Muon for the matrices.

Muon (Jordan et al. 2024) replaces the averaged gradient of a weight matrix by the nearest
orthogonal matrix, so that all its directions learn equally fast. Adam updates biases and filters.
With the scaling of Liu et al. 2025 the updates of Muon are as large as those of Adam, so that one
learning rate serves both.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from nca.config import BadInput, TrainConfig

Moments = dict[int, dict[str, Tensor]]  # parameter index -> its optimiser's state


class Optimiser:
    """Updates parameters by their gradients.

    Args:
        parameters: of the automaton, always in the same order.
        config: which optimiser, and its weight decay.

    Raises:
        BadInput: the optimiser is Muon and this torch is older than 2.9, which has none.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], config: TrainConfig) -> None:
        self.parameters = list(parameters)
        matrices = [p for p in self.parameters if p.ndim == 2 and config.optimiser == "muon"]
        others = [p for p in self.parameters if not any(p is m for m in matrices)]
        self._parts: list[torch.optim.Optimizer] = []
        if matrices:
            if not hasattr(torch.optim, "Muon"):
                raise BadInput(
                    f"Muon needs torch 2.9 or newer, and this is torch {torch.__version__}; please "
                    "upgrade torch, or train with --set optimiser=adam."
                )
            self._parts.append(
                torch.optim.Muon(
                    matrices, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
                )
            )
        if others:
            self._parts.append(torch.optim.Adam(others, eps=1e-7, weight_decay=config.weight_decay))

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for part in self._parts:
            part.zero_grad()

    def step(self, rate: float) -> None:
        """One update with the learning rate `rate`."""
        for part in self._parts:
            part.param_groups[0]["lr"] = rate
            part.step()

    def state_dict(self) -> Moments:
        """Copies of the moments, by the index of their parameter."""
        return {
            number: {name: value.clone() for name, value in part.state[p].items()}
            for number, p in enumerate(self.parameters)
            for part in self._parts
            if p in part.state
        }

    def load_state_dict(self, saved: Moments) -> None:
        """Load copies of what `state_dict` returned."""
        for part in self._parts:
            mine = part.param_groups[0]["params"]
            numbers = [n for n, p in enumerate(self.parameters) if any(p is m for m in mine)]
            # Torch numbers each optimiser's parameters from 0, and moves moments to their device.
            moments = {
                own: {name: value.clone() for name, value in saved[number].items()}
                for own, number in enumerate(numbers)
                if number in saved
            }
            groups = part.state_dict()["param_groups"]
            part.load_state_dict({"state": moments, "param_groups": groups})

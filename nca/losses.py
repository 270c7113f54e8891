"""How training judges states: by their error against a picture, or by a custom loss.

A loss is a callable on the judged states of a rollout, float32 [K, B, H, W, C] (K steps, ascending;
B batch items), that returns one number per state, [K, B].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from nca.config import BadInput

Loss: TypeAlias = Callable[[Tensor], Tensor]

_ROUNDING = 1e-3  # by how much a target may leave its range: half of what 8 bits can hold


def picture_error(states: Tensor, target: Tensor) -> Tensor:
    """RGBA mean squared error of each state: float [K, B].

    Args:
        states: float [K, B, H, W, C].
        target: premultiplied RGBA, float [H, W, 4], or one for each item, [B, H, W, 4].
    """
    return (states[..., :4] - target).square().mean(dim=(2, 3, 4))


def own_error(loss: Loss, states: Tensor) -> Tensor:
    """What a custom loss returns for the states, checked: float [K, B].

    Raises:
        BadInput: it is not a tensor of one number per state, or has no gradient although the
            states have one.
    """
    errors = loss(states)
    wanted = list(states.shape[:2])
    if not isinstance(errors, Tensor):
        raise BadInput(f"Please let the loss return a tensor, not {type(errors).__name__}.")
    if list(errors.shape) != wanted or not errors.is_floating_point():
        raise BadInput(
            f"Please let the loss return one number per state: for states {list(states.shape)} a "
            f"float tensor {wanted}, not {errors.dtype} {list(errors.shape)}."
        )
    if states.requires_grad and not errors.requires_grad:
        raise BadInput(
            "Please compute the loss from the states with torch alone; what it returned has no "
            "gradient."
        )
    return errors


def check_target(target: object) -> Tensor:
    """The target as given, if training can use it.

    Raises:
        BadInput: not a float tensor [H, W, 4] of premultiplied RGBA in [0, 1].
    """
    made = "emoji_target and image_target make one"
    if not isinstance(target, Tensor):
        raise BadInput(f"Please give the target as a tensor, not {type(target).__name__}; {made}.")
    if target.ndim != 3 or target.shape[2] != 4 or 0 in target.shape:
        raise BadInput(
            f"The target must be RGBA, [height, width, 4], not {list(target.shape)}; {made}."
        )
    if not target.is_floating_point():
        raise BadInput(f"The target must hold floats in [0, 1], not {target.dtype}; {made}.")
    low, high = target.aminmax()
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # false for NaN too
        raise BadInput(
            f"The target must be in [0, 1], not {float(low):g} to {float(high):g}; {made}."
        )
    if bool((target[..., :3] > target[..., 3:] + _ROUNDING).any()):
        raise BadInput(
            "The target must be premultiplied, no colour above alpha; please multiply its colours "
            "by alpha."
        )
    return target

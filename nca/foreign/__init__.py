"""Import automata that other programs trained.

Three kinds of file are read, none of which can run code: the JSON models that the Distill article
publishes, a PyTorch state dict of 1x1 convolutions or linear layers, and the parameters of CAX; the
latter two as safetensors or npz. Nothing in a file is trusted: its size, names, shapes, types and
values are checked before an automaton is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from nca.config import BadInput, CheckpointInfo, Limits, checked
from nca.files import file_title
from nca.foreign.arrays import read_arrays, read_file
from nca.foreign.formats import from_cax, from_distill, from_pytorch, is_cax
from nca.foreign.rule import Rule, build
from nca.model import NCA
from nca.wording import no_such_setting

__all__ = ["load_foreign"]

TRIAL_STEPS, TRIAL_GRID, TRIAL_ITEMS = 200, 72, 2
_PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
_ORDERS = ("auto", "channel", "filter")
_UNSAID = (
    "fire_rate", "alive_threshold", "alive_mask", "padding", "seed_hidden", "step_size",
)  # fmt: skip
_CONVERT = (
    "can run any code when it is read; where you trust it, convert it with "
    "`safetensors.torch.save_file(model.state_dict(), 'model.safetensors')` and import that."
)


def load_foreign(
    path: str | Path,
    title: str | None = None,
    order: Literal["auto", "channel", "filter"] = "auto",
    filters: Sequence[str] | None = None,
    limits: Limits | None = None,
    **unsaid: Any,
) -> tuple[NCA, CheckpointInfo]:
    """An automaton from another program's file, and its metadata for a checkpoint.

    Args:
        path: a `.json` of Distill's, or a `.safetensors` or `.npz` of PyTorch or CAX.
        title: of the checkpoint; the file's name when not given.
        order: of the perception's outputs: "channel" (all filters of the first channel first, as
            grouped convolutions do), "filter" (the first filter of all channels first), or
            "auto": the order that the file states, or else the one in which a seed grows.
        filters: in the file's order: identity, sobel_x, sobel_y, nine_point, five_point (two
            Laplacians). Only where the file holds no filters; the first three by default, for
            CAX with sobel_y before sobel_x, as there.
        limits: on the file.
        unsaid: settings that no file states, fields of `NCAConfig`: fire_rate, alive_threshold,
            alive_mask, padding, seed_hidden, step_size; no others.

    Raises:
        BadInput: the file cannot be read as an automaton, or does not state enough.

    Example:
        >>> import torch
        >>> from nca import load_foreign
        >>> from safetensors.torch import save_file
        >>> first, last = torch.nn.Conv2d(48, 128, 1), torch.nn.Conv2d(128, 16, 1)
        >>> layers = torch.nn.Sequential(first, torch.nn.ReLU(), last)
        >>> save_file(layers.state_dict(), "model.safetensors")
        >>> nca, info = load_foreign("model.safetensors", order="filter")
        >>> nca.config.channels, nca.config.hidden, info.title
        (16, (128,), 'model')
    """
    if not isinstance(path, str | Path):
        raise BadInput(f"Please give the path of the file, not {type(path).__name__}.")
    path, limits = Path(path), limits or Limits()
    if order not in _ORDERS:
        raise BadInput(f"Please choose the order from {', '.join(_ORDERS)}.")
    for name in unsaid.keys() - set(_UNSAID):
        raise BadInput(no_such_setting(name, _UNSAID))
    names = (filters,) if isinstance(filters, str) else tuple(filters or ())
    rule = _read(path, names or None, limits)
    cell = rule.cell | {name: value for name, value in unsaid.items() if value is not None}
    built = {name: build(rule, columns, cell, limits) for name, columns in rule.columns.items()}
    nca = _in_order(built, order)
    info = {"title": title or file_title(path), "recipe": f"imported from {rule.made_by}"}
    return nca, checked(CheckpointInfo, info | {"nca": nca.config.model_dump()})


def _read(path: Path, filters: tuple[str, ...] | None, limits: Limits) -> Rule:
    kind = path.suffix.lower()
    if kind in _PICKLES:
        raise BadInput(f"A {kind} file {_CONVERT}")
    if kind not in (".json", ".safetensors", ".npz"):
        raise BadInput("Please import a file that ends in .json, .safetensors or .npz.")
    data = read_file(path, limits)
    if kind == ".json":
        if filters:
            raise BadInput(
                "A Distill model has the identity and two Sobels; please leave out --filters."
            )
        return from_distill(data)
    arrays = read_arrays(data, kind, limits)
    return from_cax(arrays, filters) if is_cax(arrays) else from_pytorch(arrays, filters)


def _in_order(built: dict[str, NCA], order: str) -> NCA:
    """The automaton in the requested order, else in the file's, else in the one that grows."""
    if order != "auto":
        if order not in built:
            raise BadInput(
                f"This file itself says that its order is not {order}; leave out --order."
            )
        return built[order]
    # Both orders can be the same, for example with one filter.
    nca, *others = built.values()
    if all(_equal(nca, other) for other in others):
        return nca
    growing = [nca for nca in built.values() if _grows(nca)]
    if len(growing) != 1:
        what = "both ways" if growing else "neither way"
        raise BadInput(
            f"Its seed grows {what} that a perception can be ordered; please say --order channel "
            "(as grouped convolutions do) or --order filter (as torch.cat of filters does)."
        )
    return growing[0]


def _equal(one: NCA, other: NCA) -> bool:
    theirs = other.state_dict()
    return all(value.equal(theirs[name]) for name, value in one.state_dict().items())


def _grows(nca: NCA) -> bool:
    """Whether a seed survives, and all stay finite and leave a part of the grid empty."""
    x = nca.grow(nca.seed(TRIAL_ITEMS, TRIAL_GRID), TRIAL_STEPS)
    if not bool(x.isfinite().all()):
        return False
    living = (x[..., 3] > nca.config.alive_threshold).double().mean(dim=(1, 2))
    return bool((living > 0).any()) and bool((living < 0.9).all())

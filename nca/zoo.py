"""Automata with kinds: crossing, two automata as one, scores of each kind and of its changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import permutations
from numbers import Real
from statistics import median
from typing import cast

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from nca.config import MOST_KINDS, MOST_WIDTH, BadInput, NCAConfig, checked, whole_number
from nca.evaluate import Plan, Scores, evaluate, log10_error
from nca.fire import item_seeds
from nca.healing import HEALED
from nca.model import NCA
from nca.state import repaint

MORPH_FOR = 200  # steps from the repainting of a body until it is scored, and that it grew before


class ZooScores(BaseModel):
    """What the battery found of every kind; `model_dump()` is JSON.

    Attributes:
        kinds: the scores of each kind against its own picture.
        morphs: (from, to, score): a grown body of one kind, all of whose cells were repainted with
            another, 200 steps later against that one's picture. All ordered pairs.
        beside: of each kind the score at step 200 of one that grew beside the next kind on a grid
            of twice the width, against its own picture there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: tuple[Scores, ...]
    morphs: tuple[tuple[int, int, float], ...]
    beside: tuple[float, ...]

    @property
    def morphed(self) -> int:
        """How many of the morphs are below -2.5."""
        return sum(score < HEALED for _, _, score in self.morphs)

    def summary(self) -> dict[str, str]:
        """Name -> result, each a few words, for a model card or a terminal."""
        kinds, count = self.kinds, len(self.kinds)
        shown = {
            f"log10 error at step {step}, median of {count} kinds": _median(
                scores.growth[step] for scores in kinds
            )
            for step in kinds[0].growth
        }
        halves = sum(scores.halves_healed for scores in kinds)
        squares = sum(scores.centre < HEALED for scores in kinds)
        shown["half cuts, healed"] = (
            f"{_median(scores.halves for scores in kinds)} ({halves} of {4 * count})"
        )
        shown["centre cut, healed"] = (
            f"{_median(scores.centre for scores in kinds)} ({squares} of {count})"
        )
        if self.morphs:
            scores = _median(score for _, _, score in self.morphs)
            shown["one kind repainted as another"] = (
                f"{scores} ({self.morphed} of {len(self.morphs)} below {HEALED})"
            )
        shown["beside another kind"] = _median(self.beside)
        born = min(scores.born for scores in kinds)
        shown["seeds that live on, of the least lively kind"] = f"{100 * born:.3g} %"
        return shown


def _median(scores: Iterable[float]) -> str:
    return f"{median(scores):.2f}"


@torch.no_grad()
def cross(nca: NCA, first: int, second: int, share: float = 0.5, kind: int | None = None) -> NCA:
    """A copy with one more kind, a child: its genes are a mix of those of two others.

    >>> from nca import NCA, NCAConfig, cross
    >>> child = cross(NCA(NCAConfig(kinds=2)), 1, 2, share=0.25)
    >>> child.config.kinds
    3
    >>> child.seed(batch=1, size=16, kind=3)[0, 8, 8, -1]
    tensor(3.)

    Args:
        nca: an automaton with kinds.
        first: the kind that the rest of the genes is of.
        second: the kind that `share` of the genes is of.
        share: in [0, 1].
        kind: which kind the child becomes, one of `nca`'s that is replaced; the next one when None.

    Raises:
        BadInput: there is no such kind, the share is out of range, or there are 255 kinds already.
    """
    count = nca.config.kinds
    if nca.genes is None:
        raise BadInput("This automaton has no kinds, so there is nothing to cross.")
    nca.check_kinds([first, second], 2)
    if not isinstance(share, Real) or not 0 <= share <= 1:
        raise BadInput(f"Please give the share of the second kind from 0 to 1, not {share!r:.40}.")
    share = float(share)
    kind = whole_number("kind", count + 1 if kind is None else kind, 1, min(MOST_KINDS, count + 1))
    child = NCA(nca.config.model_copy(update={"kinds": max(count, kind)})).to(nca.genes)
    assert child.genes is not None
    weights = {name: value for name, value in nca.state_dict().items() if name != "genes"}
    child.load_state_dict(weights, strict=False)
    child.genes[:count] = nca.genes
    a, b = nca.genes[first - 1].double(), nca.genes[second - 1].double()
    child.genes[kind - 1] = ((1 - share) * a + share * b).to(nca.genes)
    return child


# Added to a hidden unit of the other automaton, whose sum then is below 0 whatever a cell sees.
_SILENT = -1000.0
_EQUAL = (
    "perception", "step_size", "fire_rate", "alive_threshold", "alive_mask", "padding",
    "seed_hidden",
)  # fmt: skip


def check_together(first: NCAConfig, second: NCAConfig) -> None:
    """Refuse, with BadInput, two architectures that `together` cannot put on one grid."""
    for name in _EQUAL:
        one, other = getattr(first, name), getattr(second, name)
        if one != other:
            shown = name.replace("_", " ")
            raise BadInput(
                f"These two automata differ in {shown}, {one} and {other}; please choose two of "
                "equal settings."
            )
    if len(first.hidden) != len(second.hidden):
        raise BadInput(
            f"These two automata differ in hidden layers, {len(first.hidden)} and "
            f"{len(second.hidden)}; please choose two of equal settings."
        )
    if len({first.laplacian, second.laplacian} - {"none"}) > 1:
        raise BadInput(
            f"These two automata differ in the Laplacian, {first.laplacian} and "
            f"{second.laplacian}; please choose two of equal settings."
        )
    if first.perception != "fixed":
        raise BadInput("Automata with learned filters cannot share a grid with another.")
    if max(first.rule_channels, second.rule_channels) > 31:
        raise BadInput("These automata have 32 channels, which leaves none for the kind.")
    if max(_widths(first, second)) > MOST_WIDTH:
        raise BadInput(
            f"The hidden layers of these automata are too wide together, above {MOST_WIDTH:,}."
        )


def _widths(first: NCAConfig, second: NCAConfig) -> tuple[int, ...]:
    return tuple(a + b + 2 for a, b in zip(first.hidden, second.hidden, strict=True))


@torch.no_grad()
def together(first: NCA, second: NCA) -> NCA:
    """Two automata as one with a kind for each, so that both live on one grid.

    Their networks stand side by side in one that is as wide as both. A kind's genes silence the
    hidden units of the other automaton, and turn a unit on that carries the later biases of its
    own. So a cell with a kind does what its own automaton does; channels that its automaton does
    not have stay as they are. Only a cell that does not touch life yet, and so has no kind, runs
    both networks: by its alpha a neighbour may pass the mask after the update a step sooner or
    later than alone. Kinds of automata that have such come one after the other.

    >>> from nca import NCA, NCAConfig, together
    >>> nca = together(NCA(NCAConfig()), NCA(NCAConfig(), init_seed=1))
    >>> nca.config.kinds, nca.config.hidden
    (2, (258,))

    Raises:
        BadInput: they differ in more than channels, hidden widths and having a Laplacian.
    """
    a, b = first.config, second.config
    check_together(a, b)
    widths, channels = _widths(a, b), max(a.rule_channels, b.rule_channels)
    counts = max(1, a.kinds), max(1, b.kinds)
    laplacian = a.laplacian if a.laplacian != "none" else b.laplacian
    changes = {"channels": channels + 1, "hidden": widths, "kinds": sum(counts)}
    changes |= {"laplacian": laplacian, "bias": True, "out_bias": False}
    both = NCA(checked(NCAConfig, a.model_dump() | changes)).to(next(first.parameters()))
    for parameter in both.parameters():
        parameter.zero_()
    assert both.genes is not None
    layers = cast("list[nn.Linear]", list(both.layers))
    for place, (nca, kinds) in enumerate(
        ((first, range(counts[0])), (second, range(counts[0], sum(counts))))
    ):
        before = [width * place for width in a.hidden]  # units of the first come first
        units = [slice(n, n + width) for n, width in zip(before, nca.config.hidden, strict=True)]
        genes = both.genes[kinds.start : kinds.stop]
        genes.fill_(_SILENT)
        genes[:, widths[0] - 2 :] = 0
        genes[:, widths[0] - 2 + place] = 1
        genes[:, units[0]] = 0 if nca.genes is None else nca.genes
        own = cast("list[nn.Linear]", list(nca.layers))
        for number, (layer, into) in enumerate(zip(own, layers, strict=True)):
            rows = units[number] if number < len(units) else slice(0, layer.out_features)
            if number:
                into.weight[rows, units[number - 1]] = layer.weight
            else:  # the inputs are all channels of the first filter, then those of the next
                seen = into.weight[rows].view(layer.out_features, -1, channels)
                own_seen = layer.weight.view(layer.out_features, nca.config.filters, -1)
                seen[:, : nca.config.filters, : own_seen.shape[2]] = own_seen
            if number:
                carrier = widths[number - 1] - 2 + place
                if layer.bias is not None:
                    into.weight[rows, carrier] = layer.bias
                if number < len(units):
                    into.weight[widths[number] - 2 + place, carrier] = 1
            elif layer.bias is not None:
                into.bias[rows] = layer.bias
    return both


def work(plan: Plan, kinds: int) -> int:
    """Steps of all lives together that `evaluate_kinds` runs, as it tells `progress`."""
    return kinds * (_shared(plan, kinds).work + (kinds + 1) * MORPH_FOR)


def _shared(plan: Plan, kinds: int) -> Plan:
    """The plan of one kind: births and trials are shared among the kinds."""
    return replace(
        plan, births=-(-plan.births // kinds), trials=-(-plan.trials // kinds) if plan.trials else 0
    )


@torch.no_grad()
def evaluate_kinds(
    nca: NCA,
    targets: Tensor,
    seed: int = 0,
    plan: Plan | None = None,
    progress: Callable[[int], object] = lambda steps: None,
) -> ZooScores:
    """Score every kind; equal for equal weights, targets and seed on one machine.

    Args:
        nca: an automaton with kinds, on any device.
        targets: of each kind, premultiplied RGBA, float32 [K, H, W, 4], padding included.
        seed: of the fire masks and the strokes.
        plan: what to do with each kind; its births and trials are those of all kinds together.
        progress: told how many steps of single lives were run; they add up to `work`.
    """
    targets = targets.to(nca.device)
    count, height, width = targets.shape[:3]
    shared = _shared(plan or Plan.for_grid(height, width), count)
    kinds = tuple(
        evaluate(nca, target, seed, shared, progress, kind)
        for kind, target in enumerate(targets, 1)
    )
    return ZooScores(
        kinds=kinds,
        morphs=_morphs(nca, targets, seed, progress),
        beside=_beside(nca, targets, seed, progress),
    )


def _morphs(
    nca: NCA, targets: Tensor, seed: int, progress: Callable[[int], object]
) -> tuple[tuple[int, int, float], ...]:
    count, height, width = targets.shape[:3]
    own = item_seeds(seed, count)
    bodies = nca.grow(nca.seed(count, (height, width), range(1, count + 1)), MORPH_FOR, own)
    progress(count * MORPH_FOR)
    found = []
    for kind in range(1, count + 1):
        others = [k for k in range(count) if k != kind - 1]
        if others:
            painted = repaint(bodies[others], kind)
            grown = nca.grow(painted, MORPH_FOR, own[others], t0=MORPH_FOR)
            progress(len(others) * MORPH_FOR)
            scores = log10_error(grown, targets[kind - 1])
            found += [(k + 1, kind, score) for k, score in zip(others, scores, strict=True)]
    order = {pair: number for number, pair in enumerate(permutations(range(1, count + 1), 2))}
    return tuple(sorted(found, key=lambda morph: order[morph[:2]]))


def _beside(
    nca: NCA, targets: Tensor, seed: int, progress: Callable[[int], object]
) -> tuple[float, ...]:
    count, height, width = targets.shape[:3]
    kinds = range(1, count + 1)
    left = nca.seed(count, (height, width), kinds)
    right = nca.seed(count, (height, width), [kind % count + 1 for kind in kinds])
    both = nca.grow(torch.cat([left, right], 2), MORPH_FOR, item_seeds(seed, count))
    progress(count * MORPH_FOR)
    return tuple(log10_error(both[:, :, :width], targets))

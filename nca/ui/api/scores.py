"""The endpoint that scores an automaton."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

from nca.catalog import Catalog
from nca.checkpoint import weights_to_bytes
from nca.config import BadInput
from nca.evaluate import Plan, evaluate
from nca.target import target_to_png
from nca.ui.api import values

# A tenth of the full battery's work: a public endpoint must not occupy a core for minutes.
BRIEF = Plan(
    lives=2, growth=(96, 200), strokes=0, angles=(0,), persistence=1000, persistence_lives=1
)
REMEMBERED = 128


class Scoring:
    """`evaluate`. Clients see this signature and docstring."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._scores: OrderedDict[tuple[str, int], dict[str, str]] = OrderedDict()

    def evaluate(self, checkpoint: str, seed: int = 0, key: str = "") -> dict[str, Any]:
        """Score how well an automaton grows, stays and heals; lower is better, -3 is good.

        Args:
            checkpoint: a name from list_checkpoints, train or pull.
            seed: of the rollouts.
            key: the visitor's key, needed for their own checkpoints.

        Returns:
            brief: scores measured now on two rollouts, each a log10 of the mean squared RGBA error;
            recorded: the full battery's scores as the checkpoint states them, not verified.
        """
        seed = values.whole(seed, 0, 2**32 - 1, "seed")
        ref = values.checkpoint(checkpoint, self.catalog)
        loaded = self.catalog.load(values.key_or_none(key), ref)
        target = loaded.target_of(1)
        if target is None:
            raise BadInput("This checkpoint has no picture to compare with.")
        data = weights_to_bytes(loaded.nca, loaded.info) + target_to_png(target)
        asked = hashlib.sha256(data).hexdigest(), seed
        if asked not in self._scores:
            scores = evaluate(loaded.nca, target, seed, BRIEF)
            self._scores[asked] = scores.summary()
            while len(self._scores) > REMEMBERED:
                self._scores.popitem(last=False)
        return {"brief": self._scores[asked], "recorded": loaded.metrics.get("scores")}

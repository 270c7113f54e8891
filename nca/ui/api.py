"""The public endpoints, for scripts and language models: six typed functions, and no more.

Each checks the visitor's key and the limits exactly as the page does. A key is 32 hex digits; who
has it can see, stop and delete what was trained with it, so keep it.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gradio as gr
import numpy as np
from gradio.events import api as publish_call
from torch import Tensor

from nca.catalog import Catalog, CheckpointRef, Kind
from nca.checkpoint import WEIGHTS, weights_to_bytes
from nca.config import BadInput
from nca.damage_shapes import damage
from nca.evaluate import Plan, evaluate, log10_error
from nca.hub import discover
from nca.jobs import JobQueue, JobSpec, Target
from nca.model import NCA
from nca.render import animation_bytes, to_rgba8
from nca.settings import Settings
from nca.target import target_to_png
from nca.ui.events import APOLOGY, NETWORK, PLAYING

log = logging.getLogger(__name__)

# A tenth of the yardstick's work: a public endpoint must not hold a core for minutes.
BRIEF = Plan(
    lives=2, growth=(96, 200), strokes=0, angles=(0,), persistence=1000, persistence_lives=1
)
REMEMBERED = 128
CHUNK = 16  # states in memory at a time; they are large, frames are small
WOUNDS = ("half-left", "half-right", "half-top", "half-bottom", "centre", "circle")


def publish(
    settings: Settings,
    queue: JobQueue,
    catalog: Catalog,
) -> None:
    """Make the endpoints public; within the page's Blocks."""
    calls = Calls(settings, queue, catalog)
    free: dict[str, Any] = {"concurrency_limit": None}
    endpoints: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (calls.train, {"concurrency_limit": 2}),
        (calls.job, free),
        (calls.grow, PLAYING),
        (calls.evaluate, {"concurrency_limit": 1}),
        (calls.list_checkpoints, NETWORK),
        (calls.pull, NETWORK),
    ]
    for call, options in endpoints:
        publish_call(_plain(call), api_name=call.__name__, **options)


class Calls:
    """What the endpoints do. Their signatures and docstrings are what a client is shown."""

    def __init__(
        self,
        settings: Settings,
        queue: JobQueue,
        catalog: Catalog,
    ) -> None:
        self.settings, self.queue, self.catalog = settings, queue, catalog
        self._scores: OrderedDict[tuple[str, int], dict[str, str]] = OrderedDict()

    def train(
        self,
        emoji: str = "",
        recipe: str = "quick",
        size: int = 40,
        padding: int = 16,
        iterations: int = 0,
        seed: int = 0,
        picture: str = "",
        checkpoint: str = "",
        key: str = "",
    ) -> dict[str, Any]:
        """Queue the training of a cellular automaton that grows an emoji or a picture.

        Args:
            emoji: one emoji; the lizard when there is neither a picture nor a checkpoint.
            recipe: quick, growing, persistent, regenerating or another name from the page.
            size: longest side of the picture, 8 to 128 cells.
            padding: empty cells on each side, 0 to 64.
            iterations: updates of the weights; 0 takes the recipe's own number.
            seed: of the first weights and all draws.
            picture: a PNG, JPEG, WebP or GIF as base64, instead of the emoji.
            checkpoint: a name from list_checkpoints, train or pull, to train that one further, on
                its own picture if no other is given; its architecture stays.
            key: of the visitor; when empty a new one is made. Keep it: it owns the training.

        Returns:
            job and key, for the endpoint job; checkpoint, for grow once it has weights.
        """
        data = self._picture(picture)
        initial = self.catalog.initial(str(key), checkpoint) if checkpoint else None
        if initial and not (data or emoji):
            target = initial.target()
        else:
            symbol = str(emoji).strip()[:64] or "🦎"
            kind = {"kind": "image"} if data else {"emoji": symbol}
            config = {"size": size, "padding": padding} | kind
            target = Target.make(config, data, limits=self.settings.limits)
        spec = JobSpec.from_recipe(
            str(recipe),
            target,
            seed=seed,
            initial=initial,
            changes={"iterations": iterations} if iterations else None,
        )
        key = str(key) or JobQueue.new_key()
        job = self.queue.submit(key, spec, target.png, initial and initial.weights)
        return {"job": job, "key": key, "checkpoint": str(CheckpointRef(Kind.JOB, job))}

    def job(self, job: str, key: str) -> dict[str, Any]:
        """How a training is doing: state, place in the queue, iteration, loss, time left.

        Args:
            job: from the endpoint train.
            key: of the visitor who started it.
        """
        view = self.queue.view(str(key), job)
        about = asdict(view)
        ready = (about.pop("folder") / WEIGHTS).exists()
        checkpoint = str(CheckpointRef(Kind.JOB, view.id)) if ready else None
        return about | {"active": view.active, "checkpoint": checkpoint}

    def grow(
        self,
        checkpoint: str,
        steps: int = 200,
        seed: int = 1,
        wound: str = "",
        wound_at: int = 100,
        key: str = "",
    ) -> dict[str, Any]:
        """Grow an automaton from one cell, wound it if asked to, and film it.

        Args:
            checkpoint: a name from list_checkpoints, train or pull.
            steps: 1 to 600.
            seed: decides which cells act when.
            wound: nothing, half-left, half-right, half-top, half-bottom, centre or circle.
            wound_at: the step before which the wound is cut.
            key: of the visitor, for checkpoints that are theirs.

        Returns:
            gif as base64, one frame per step; alive, the share of living cells; log10_error
            against the picture it was trained on, or None.
        """
        most = self.settings.limits.export_frames
        steps, seed = _whole(steps, 1, most, "steps"), _whole(seed, 0, 2**32 - 1, "seed")
        if wound and wound not in WOUNDS:
            raise BadInput(f"Please choose a wound from {', '.join(WOUNDS)}.")
        cut = _whole(wound_at, 0, steps, "wound_at") if wound else steps
        loaded = self.catalog.load(str(key), checkpoint)
        x, frames = _life(loaded.nca, loaded.nca.seed(1, loaded.size), seed, (cut, steps), wound)
        film = animation_bytes(
            frames[-most:], "gif", fps=25, scale=4, limits=self.settings.limits
        )  # fmt: skip
        error = None if loaded.target is None else log10_error(x, loaded.target)[0]
        alive = float((x[..., 3] > loaded.nca.config.alive_threshold).float().mean())
        gif = base64.b64encode(film).decode()
        return {"steps": steps, "alive": alive, "log10_error": error, "gif": gif}

    def evaluate(self, checkpoint: str, seed: int = 0, key: str = "") -> dict[str, Any]:
        """Score how well an automaton grows, stays and heals; lower is better, -3 is good.

        Args:
            checkpoint: a name from list_checkpoints, train or pull.
            seed: of the lives.
            key: of the visitor, for checkpoints that are theirs.

        Returns:
            brief: measured now on two lives, each a log10 of the RGBA error; recorded: what the
            checkpoint itself says of the full battery, unchecked.
        """
        seed = _whole(seed, 0, 2**32 - 1, "seed")
        loaded = self.catalog.load(str(key), checkpoint)
        if loaded.target is None:
            raise BadInput("This checkpoint has no picture to compare with.")
        data = weights_to_bytes(loaded.nca, loaded.info) + target_to_png(loaded.target)
        asked = hashlib.sha256(data).hexdigest(), seed
        if asked not in self._scores:
            scores = evaluate(loaded.nca, loaded.target, seed, BRIEF)
            self._scores[asked] = scores.summary()
            while len(self._scores) > REMEMBERED:
                self._scores.popitem(last=False)
        return {"brief": self._scores[asked], "recorded": loaded.metrics.get("scores")}

    def list_checkpoints(
        self, where: str = "here", query: str = "", key: str = ""
    ) -> list[dict[str, Any]]:
        """The automata that can be grown.

        Args:
            where: here, for those of this garden and of the visitor; hub, for what others shared.
            query: words of the name.
            key: of the visitor; without one only the shipped ones are here.
        """
        if where == "hub":
            return [
                {"repo": entry.repo_id, "title": entry.title, "likes": entry.likes}
                for entry in discover(self.catalog.hub, str(query), token=False)
            ]
        if where != "here":
            raise BadInput("Please look here, or on the hub.")
        words = str(query).lower()
        return [
            {"checkpoint": str(entry.ref), "title": entry.title, "from": entry.note}
            for entry in self.catalog.entries(str(key))
            if words in f"{entry.ref} {entry.title}".lower()
        ]

    def pull(self, repo: str, key: str = "") -> dict[str, Any]:
        """Fetch a public checkpoint from the Hugging Face Hub into this garden.

        Args:
            repo: user/name, or user/name@revision.
            key: of the visitor; when empty a new one is made. Keep it: grow needs it.

        Returns:
            checkpoint, for grow and evaluate; key; note, when it is an older copy.
        """
        key = str(key) or JobQueue.new_key()
        ref, words = self.catalog.fetch(key, str(repo))
        return {"checkpoint": str(ref), "key": key, "note": words}

    def _picture(self, text: Any) -> bytes | None:
        """The bytes in a base64 text, None for an empty one."""
        if not text:
            return None
        most = self.settings.limits.upload_bytes
        try:
            if not isinstance(text, str) or len(text) > most * 4 // 3 + 4:
                raise ValueError
            return base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error):
            raise BadInput(f"Please give the picture as base64, at most {most >> 20} MB.") from None


def _plain(call: Callable[..., Any]) -> Callable[..., Any]:
    """The call, with BadInput as its sentence and anything else as an apology."""

    @functools.wraps(call)
    def safely(*values: Any) -> Any:
        try:
            return call(*values)
        except BadInput as refusal:
            message = str(refusal)
        except Exception:
            log.exception("%s failed", call.__qualname__)
            message = APOLOGY
        raise gr.Error(message, print_exception=False)

    return safely


def _life(
    nca: NCA, x: Tensor, seed: int, stops: tuple[int, int], wound: str
) -> tuple[Tensor, np.ndarray]:
    """The last state [1, H, W, C], and a frame per step, uint8 [T, H, W, 4].

    It grows to the first stop, is wounded if there is a wound, and grows to the second.
    """
    frames, t = [], 0
    for life, stop in enumerate(stops):
        if wound and life == 1:
            x = damage(x, wound, seed=t)
        while t < stop:
            n = min(CHUNK, stop - t)
            states = nca.grow(x, n, seed, t0=t, all_steps=True)
            frames.append(to_rgba8(states[:-1, 0]))
            x, t = states[-1], t + n
    if not bool(x.isfinite().all()):
        raise BadInput("This automaton grew beyond all bounds.")
    return x, np.concatenate([*frames, to_rgba8(x)])


def _whole(value: Any, low: int, high: int, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadInput(f"Please choose {name} from {low} to {high}.")
    return value

"""Endpoints that start a training and report its progress."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nca.catalog import Catalog, CheckpointRef, Kind
from nca.checkpoint import WEIGHTS
from nca.config import BadInput, TrainConfig
from nca.jobs import JobQueue, JobSpec, Target
from nca.settings import Settings
from nca.ui.api import values

MOST_PICTURES = 12  # as on the page
MOST_ITERATIONS: int = TrainConfig.model_json_schema()["properties"]["iterations"]["maximum"]


class Training:
    """`train` and `job`. Clients see these signatures and docstrings."""

    def __init__(self, settings: Settings, queue: JobQueue, catalog: Catalog) -> None:
        self.settings, self.queue, self.catalog = settings, queue, catalog

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
            emoji: one emoji; by default the lizard, unless a picture or a checkpoint is given. Up
                to 12 with spaces between them train one automaton with a kind for each.
            recipe: quick, growing, persistent, regenerating or another recipe of the page; zoo is
                for several emoji.
            size: longest side of the picture, 8 to 128 cells.
            padding: empty cells on each side, 0 to 64.
            iterations: updates of the weights; 0 for the recipe's own number.
            seed: of all random draws, those of random initial weights included.
            picture: a PNG, JPEG, WebP or GIF instead of the emoji, as base64, a data URL or an
                uploaded file: {"path": what /gradio_api/upload answered, "meta": {"_type":
                "gradio.FileData"}}.
            checkpoint: a name from list_checkpoints, train or pull: train this one further, on its
                own picture if no other is given. Its architecture is kept.
            key: the visitor's key; when empty, a new one is made. Keep it: it owns the training.

        Returns:
            job and key, for the endpoint job; checkpoint, for grow once there are weights.
        """
        data = values.picture(picture, self.settings.limits.upload_bytes)
        key, symbols = values.key_or_new(key), values.text(emoji, "emoji").split()
        if len(symbols) > MOST_PICTURES:
            raise BadInput(f"Please give at most {MOST_PICTURES} emoji.")
        longer = values.whole(iterations, 0, MOST_ITERATIONS, "iterations")
        initial = None
        if checkpoint:
            initial = self.catalog.initial(key, values.checkpoint(checkpoint, self.catalog))
        if initial and not (data or symbols):
            target = initial.target()
        else:
            symbol, *more = [symbol[:64] for symbol in symbols] or ["🦎"]
            kind = {"kind": "image"} if data else {"emoji": symbol, "more": more}
            config = {"size": size, "padding": padding} | kind
            target = Target.make(config, data, limits=self.settings.limits, fine=True)
        spec = JobSpec.from_recipe(
            values.text(recipe, "recipe"),
            target,
            seed=seed,
            initial=initial,
            changes={"iterations": longer} if longer else None,
        )
        weights = initial and initial.weights
        job = self.queue.submit(key, spec, target.png, weights, target.picture)
        return {"job": job, "key": key, "checkpoint": str(CheckpointRef(Kind.JOB, job))}

    def job(self, job: str, key: str) -> dict[str, Any]:
        """Report on a training: state, position in the queue, iteration, loss, time left.

        Args:
            job: from the endpoint train.
            key: the key of the visitor who started it.
        """
        view = self.queue.view(
            values.key_or_none(key), values.text(job, "job").removeprefix(f"{Kind.JOB}:")
        )
        about = asdict(view)
        ready = (about.pop("folder") / WEIGHTS).exists()
        checkpoint = str(CheckpointRef(Kind.JOB, view.id)) if ready else None
        return about | {"active": view.active, "checkpoint": checkpoint}

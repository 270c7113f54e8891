"""What the public endpoints return; the descriptions are those that programs are told."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict


def _is(text: str) -> Any:
    return Field(description=text)


Checkpoint = Annotated[str, _is("for grow, evaluate and train")]
Key = Annotated[str, _is("32 hex digits; it owns what was made: keep it, and do not share it")]


class Started(TypedDict):
    """A training that was queued."""

    job: Annotated[str, _is("its id, for the endpoint job")]
    key: Key
    checkpoint: Annotated[str, _is("for grow, once the training has weights")]


class Report(TypedDict):
    """How far a training is."""

    id: Annotated[str, _is("the job")]
    title: str
    state: Annotated[str, _is("queued, running, finished, stopped, failed or interrupted")]
    active: Annotated[bool, _is("whether it runs or waits")]
    stopping: Annotated[bool, _is("it was asked to stop and has not ended yet")]
    ahead: Annotated[int, _is("trainings before it in the queue")]
    wait_seconds: Annotated[float | None, _is("expected wait in the queue")]
    iteration: Annotated[int, _is("updates of the weights done")]
    iterations: Annotated[int, _is("updates requested")]
    iterations_per_second: float | None
    loss: Annotated[float | None, _is("of the last iteration")]
    initial: Annotated[str | None, _is("title of the checkpoint that it began with")]
    seconds_left: float | None
    message: Annotated[str | None, _is("a sentence for its owner")]
    can_resume: bool
    created: Annotated[float, _is("seconds since 1970")]
    deleted_at: Annotated[float | None, _is("when it will be deleted, in seconds since 1970")]
    checkpoint: Annotated[str | None, _is("for grow and evaluate; null before there are weights")]


class Grown(TypedDict):
    """A rollout."""

    steps: int
    alive: Annotated[float, _is("share of living cells in the last state, 0 to 1")]
    log10_error: Annotated[
        float | None, _is("of the last state against the target it was trained on; -3 is good")
    ]
    gif: Annotated[str, _is("a GIF in base64, one frame per step; over MCP an image instead")]


class Scores(TypedDict):
    """Scores of an automaton."""

    brief: Annotated[
        dict[str, str], _is("measured now: log10 of the mean squared RGBA error; lower is better")
    ]
    recorded: Annotated[
        dict[str, Any] | None, _is("of the full battery, as the checkpoint states them; unverified")
    ]


# Not a class, because "from" is a word of Python.
Here = TypedDict(
    "Here",
    {"checkpoint": Checkpoint, "title": str, "from": Annotated[str, _is("how it came here")]},
)


class OnTheHub(TypedDict):
    """An automaton that somebody shared."""

    repo: Annotated[str, _is("user/name, for pull")]
    title: str
    likes: int


Listed = list[Here | OnTheHub]


class Fetched(TypedDict):
    """A checkpoint from the Hub."""

    checkpoint: Checkpoint
    key: Key
    note: Annotated[str, _is("says so when this is an older copy")]

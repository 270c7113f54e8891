"""How the page, the API and a browser's address name a checkpoint of the garden."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from nca.config import BadInput
from nca.jobs import NOT_YOURS

_FORM = re.compile(r"(shipped|job|kept):([\w.-]{1,128})(?:@([0-9]{1,9}))?")


class Kind(StrEnum):
    """Where a checkpoint comes from."""

    SHIPPED = "shipped"
    JOB = "job"
    COLLECTION = "kept"


@dataclass(frozen=True)
class CheckpointRef:
    """A checkpoint's name: `shipped:<folder>`, `job:<id>`, `job:<id>@<iteration>` or `kept:<id>`.

    A name says nothing about who may open it; `Catalog` does.

    Attributes:
        kind: where it comes from.
        id: of the folder, the job or the entry of a collection.
        iteration: of a job's snapshot; None for the newest weights.
    """

    kind: Kind
    id: str
    iteration: int | None = None

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read a name as `str` writes it.

        Raises:
            BadInput: it is empty, or not the name of a checkpoint.
        """
        if not text:
            raise BadInput("Please choose an automaton first.")
        match = _FORM.fullmatch(str(text))
        if match is None or (match[3] and match[1] != Kind.JOB):
            raise BadInput(NOT_YOURS)
        return cls(Kind(match[1]), match[2], int(match[3]) if match[3] else None)

    def __str__(self) -> str:
        """The name as text."""
        return f"{self.kind}:{self.id}" + ("" if self.iteration is None else f"@{self.iteration}")

    @property
    def is_snapshot(self) -> bool:
        """Whether it names a snapshot of a training."""
        return self.iteration is not None

    @property
    def newest(self) -> CheckpointRef:
        """The same checkpoint with its newest weights."""
        return CheckpointRef(self.kind, self.id)

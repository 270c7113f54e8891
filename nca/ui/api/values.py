"""What clients send, read alike by every endpoint: generous in form, strict in range.

JSON has one kind of number and no bytes, and people leave values out as null; so 20.0 and "20" are
20, and null is what an empty text is.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nca.catalog import Catalog, CheckpointRef, Kind
from nca.config import BadInput
from nca.jobs import JobQueue
from nca.jobs.keys import is_key

_INT = TypeAdapter(int)
NO_KEY = (
    "A key is 32 hex digits, as train and pull return it; please pass that one, or leave it out "
    "where you have none."
)


def whole(value: Any, low: int, high: int, name: str) -> int:
    """A whole number from `low` to `high`; BadInput names the parameter and the range."""
    try:
        number = _INT.validate_python(value)
    except ValidationError:
        number = low - 1
    if not low <= number <= high:
        raise BadInput(f"Please change {name}: it must be a whole number from {low:,} to {high:,}.")
    return number


def text(value: Any, name: str) -> str:
    """A text without white space around it, empty for None; BadInput for anything else."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadInput(f"Please give {name} as text.")
    return value.strip()


def key_or_none(value: Any) -> str:
    """A visitor's key, or an empty text, which nobody owns anything by.

    Raises:
        BadInput: it is neither.
    """
    key = text(value, "key")
    if key and not is_key(key):
        raise BadInput(NO_KEY)
    return key


def key_or_new(value: Any) -> str:
    """A visitor's key, a new one where none is given; BadInput where it cannot be one."""
    return key_or_none(value) or JobQueue.new_key()


def checkpoint(value: Any, catalog: Catalog) -> CheckpointRef:
    """The checkpoint of a name, as `list_checkpoints` writes it or without its `shipped:`.

    It says nothing about who may open it.

    Raises:
        BadInput: it is not a name of one.
    """
    name = text(value, "checkpoint")
    if name and ":" not in name:
        for entry in catalog.shipped():
            if entry.ref == CheckpointRef(Kind.SHIPPED, name):
                return entry.ref
        raise BadInput("There is no checkpoint of this name; list_checkpoints names all there are.")
    return CheckpointRef.parse(name)


def picture(value: Any, most: int) -> bytes | None:
    """The bytes of a picture in base64, None for an empty text.

    Also as a data URL, in lines, in the alphabet of addresses, or without the padding at its end.

    Args:
        value: as a client sent it.
        most: bytes at most.

    Raises:
        BadInput: it is something else, or too large.
    """
    refusal = BadInput(f"Please give the picture as base64, at most {most >> 20} MB.")
    if not value:
        return None
    if not isinstance(value, str) or len(value) > 2 * most:  # lines and padding take some room
        raise refusal
    packed = value.strip()
    if packed[:5].lower() == "data:":
        about, _, packed = packed.partition(",")
        if not about.lower().endswith(";base64"):
            raise refusal
    packed = "".join(packed.split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise refusal from None
    if not data or len(data) > most:
        raise refusal
    return data

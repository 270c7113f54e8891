"""How every endpoint reads what clients send: lenient about the form, strict about the range.

JSON has one number type and no bytes, and clients send null for values they leave out. So 20.0 and
"20" are read as 20, and null as an empty text.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder
from pydantic import TypeAdapter, ValidationError

from nca.catalog import Catalog, CheckpointRef, Kind
from nca.config import BadInput
from nca.jobs import JobQueue
from nca.jobs.keys import is_key
from nca.wording import size_text

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


def flag(value: Any, name: str) -> bool:
    """True or false, as such or as text.

    Raises:
        BadInput: it is something else.
    """
    known = {"true": True, "false": False}
    word = str(value).strip().lower() if isinstance(value, (bool, str)) else ""
    if word not in known:
        raise BadInput(f"Please give {name} as true or false.")
    return known[word]


def text(value: Any, name: str) -> str:
    """A text, stripped of white space at both ends; empty for None.

    Raises:
        BadInput: it is of another type, or not Unicode (JSON can hold half a surrogate pair).
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadInput(f"Please give {name} as text.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadInput(f"Please give {name} as valid Unicode text.") from None
    return value.strip()


def key_or_none(value: Any) -> str:
    """A visitor's key, or an empty text, which owns nothing.

    Raises:
        BadInput: it is neither a key nor empty.
    """
    key = text(value, "key")
    if key and not is_key(key):
        raise BadInput(NO_KEY)
    return key


def key_or_new(value: Any) -> str:
    """A visitor's key, a new one when none is given; BadInput when it is not a valid key."""
    return key_or_none(value) or JobQueue.new_key()


def checkpoint(value: Any, catalog: Catalog) -> CheckpointRef:
    """The checkpoint with a name as `list_checkpoints` returns it; `shipped:` may be left out.

    Does not check who may open it.

    Raises:
        BadInput: it is not the name of a checkpoint.
    """
    name = text(value, "checkpoint")
    if name and ":" not in name:
        for entry in catalog.shipped():
            if entry.ref == CheckpointRef(Kind.SHIPPED, name):
                return entry.ref
        raise BadInput("There is no checkpoint of this name; list_checkpoints names all there are.")
    return CheckpointRef.parse(name)


def picture(value: Any, most: int) -> bytes | None:
    """The bytes of a picture given in base64 or as an uploaded file; None for an empty text.

    An uploaded file is an object with its path, as Gradio's clients send it. Data URLs, wrapped
    lines, the URL-safe alphabet and missing padding are accepted too.

    Args:
        value: as a client sent it.
        most: largest number of bytes accepted.

    Raises:
        BadInput: it is not base64 and no uploaded file, or too large.
    """
    refusal = BadInput(
        f"Please give the picture as base64 or as an uploaded file, at most {size_text(most)}."
    )
    if not value:
        return None
    if isinstance(value, dict) and isinstance(value.get("path"), str):
        path = Path(value["path"].replace("\0", "")).resolve()
        inside = path.is_relative_to(Path(get_upload_folder()).resolve())
        if not inside or not path.is_file() or not 0 < path.stat().st_size <= most:
            raise refusal
        return path.read_bytes()
    if not isinstance(value, str) or len(value) > 2 * most:  # room for base64 and line breaks
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

"""A visitor's key: what it looks like, and what is stored of it."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TypeGuard

from nca.config import BadInput

KEY = re.compile(r"[0-9a-f]{32}")
NOT_YOURS = "There is no such training or checkpoint, or it is not yours; it may have been deleted."


def new_key() -> str:
    """A key for a new visitor: 128 random bits, 32 hex digits. It is stored nowhere here."""
    return secrets.token_hex(16)


def is_key(value: object) -> TypeGuard[str]:
    """Whether `value` has the form of a key."""
    return isinstance(value, str) and KEY.fullmatch(value) is not None


def key_hash(key: object) -> str:
    """What is stored of a key, its SHA-256 in hex.

    Raises:
        BadInput: `key` cannot be a key.
    """
    if not is_key(key):
        raise BadInput(NOT_YOURS)
    return hashlib.sha256(key.encode()).hexdigest()

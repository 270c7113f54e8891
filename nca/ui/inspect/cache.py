"""An in-memory cache of the lives shown under How it works."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from nca.life import MOST_BYTES, Life


class LifeCache:
    """The most recently used lives; the least recently used one is dropped first.

    Safe to use from any thread.

    Args:
        most_bytes: limit on the total size; the newest life is kept even if it alone is larger.
    """

    def __init__(self, most_bytes: int = 2 * MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._lives: OrderedDict[Hashable, Life] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Life]) -> Life:
        """The life with this key; `make` computes it when it is missing."""
        with self._lock:
            if key in self._lives:
                self._lives.move_to_end(key)
                return self._lives[key]
        life = make()  # outside the lock: two threads may compute the same life, but neither blocks
        with self._lock:
            self._lives[key] = life
            while len(self._lives) > 1 and sum(x.nbytes for x in self._lives.values()) > (
                self.most_bytes
            ):
                self._lives.popitem(last=False)
        return life

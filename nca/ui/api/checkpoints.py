"""Endpoints that list the checkpoints and fetch one from the Hub."""

from __future__ import annotations

from typing import Any

from nca.catalog import Catalog
from nca.config import BadInput
from nca.hub import discover
from nca.ui.api import values


class Checkpoints:
    """`list_checkpoints` and `pull`. Clients see these signatures and docstrings."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def list_checkpoints(
        self, where: str = "here", query: str = "", key: str = ""
    ) -> list[dict[str, Any]]:
        """List the automata that can be grown.

        Args:
            where: here, for this garden's and the visitor's own; hub, for those that others shared.
            query: words that the name contains.
            key: the visitor's key; without one, "here" lists only the shipped automata.
        """
        where, query, key = (
            values.text(where, "where"),
            values.text(query, "query"),
            values.key_or_none(key),
        )
        if where == "hub":
            return [
                {"repo": entry.repo_id, "title": entry.title, "likes": entry.likes}
                for entry in discover(self.catalog.hub, query, token=False)
            ]
        if where not in ("here", ""):
            raise BadInput("Please look here, or on the hub.")
        words = query.lower()
        return [
            {"checkpoint": str(entry.ref), "title": entry.title, "from": entry.note}
            for entry in self.catalog.entries(key)
            if words in f"{entry.ref} {entry.title}".lower()
        ]

    def pull(self, repo: str, key: str = "") -> dict[str, Any]:
        """Fetch a public checkpoint from the Hugging Face Hub into this garden.

        Args:
            repo: user/name, or user/name@revision.
            key: the visitor's key; when empty, a new one is made. Keep it: grow needs it.

        Returns:
            checkpoint, for grow and evaluate; key; note, which says so when this is an older copy.
        """
        key = values.key_or_new(key)
        ref, words = self.catalog.fetch(key, values.text(repo, "repo"))
        return {"checkpoint": str(ref), "key": key, "note": words}

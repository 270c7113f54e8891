"""Which checkpoints there are, and who may open them; see `Catalog`."""

from nca.catalog.catalog import MINE, Catalog, CatalogEntry, shipped_folders
from nca.catalog.refs import CheckpointRef, Kind

__all__ = ["MINE", "Catalog", "CatalogEntry", "CheckpointRef", "Kind", "shipped_folders"]

"""Which checkpoints there are, and who may open them; see `Catalog`."""

from nca.catalog.catalog import Catalog, CatalogEntry, shipped_folders
from nca.catalog.refs import CheckpointRef, Kind

__all__ = ["Catalog", "CatalogEntry", "CheckpointRef", "Kind", "shipped_folders"]

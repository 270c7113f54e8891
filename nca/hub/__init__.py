"""Checkpoints on the Hugging Face Hub: push, pull, browse, and the Space itself.

A `Hub` holds the address and the limits; every call takes the caller's token and does not keep it.
The names below load on first use, because importing the Hub's client and torch takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nca.hub.client import Hub, account
    from nca.hub.download import Pulled, from_pretrained, pull
    from nca.hub.gallery import HubEntry, discover, thumbnail
    from nca.hub.guard import Unreachable
    from nca.hub.upload import PushResult, deploy_site, deploy_space, push, push_to_hub

__all__ = [
    "Hub",
    "HubEntry",
    "Pulled",
    "PushResult",
    "Unreachable",
    "account",
    "deploy_site",
    "deploy_space",
    "discover",
    "from_pretrained",
    "pull",
    "push",
    "push_to_hub",
    "thumbnail",
]
_MODULES = {
    "client": ("Hub", "account"),
    "download": ("Pulled", "from_pretrained", "pull"),
    "gallery": ("HubEntry", "discover", "thumbnail"),
    "guard": ("Unreachable",),
    "upload": ("PushResult", "deploy_site", "deploy_space", "push", "push_to_hub"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"nca.hub.{module}"), name)
    raise AttributeError(f"module 'nca.hub' has no attribute {name!r}")

"""The automaton in the browser: `NCAPlayer` for Gradio pages, `export_html` for one HTML file.

Names are imported on first use; only `NCAPlayer` needs Gradio.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nca.player.component import NCAPlayer
    from nca.player.export import export_html
    from nca.player.models import nca_from_player, player_model, player_pair
    from nca.player.replays import Recording, read_recording, replay

_MODULES = {
    "NCAPlayer": "component",
    "Recording": "replays",
    "export_html": "export",
    "nca_from_player": "models",
    "player_model": "models",
    "player_pair": "models",
    "read_recording": "replays",
    "replay": "replays",
}
__all__ = [
    "NCAPlayer",
    "Recording",
    "export_html",
    "nca_from_player",
    "player_model",
    "player_pair",
    "read_recording",
    "replay",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'nca.player' has no attribute {name!r}")
    return getattr(import_module(f"nca.player.{_MODULES[name]}"), name)

"""The page: one file per tab. Layout and handlers only; everything they do lives elsewhere."""

from nca.ui.page import build_ui, launch_options

__all__ = ["build_ui", "launch_options"]

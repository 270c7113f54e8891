"""The page: one file per tab. Layout and handlers only; the work is done elsewhere in nca."""

from nca.ui.page import build_ui, launch_options

__all__ = ["build_ui", "launch_options"]

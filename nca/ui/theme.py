"""Colours, fonts and the small style sheet of the page. Every font comes with Gradio."""

from __future__ import annotations

from pathlib import Path

from gradio.themes import Base, Color, LocalFont, sizes

LEAF = Color(
    name="leaf", c50="#eef7f0", c100="#d9eedd", c200="#b5dcbd", c300="#87c495", c400="#58a76c",
    c500="#3a8b51", c600="#2a7040", c700="#235a35", c800="#1e482c", c900="#193b25", c950="#0c2114",
)  # fmt: skip
STONE = Color(
    name="garden", c50="#faf9f6", c100="#f3f1eb", c200="#e5e2d9", c300="#d1cdc1", c400="#a3a094",
    c500="#737268", c600="#55564d", c700="#3d4039", c800="#252a25", c900="#181d19", c950="#101411",
)  # fmt: skip


def theme() -> Base:
    """Green on a light background, or on a dark one in dark mode."""
    return Base(
        primary_hue=LEAF,
        secondary_hue=LEAF,
        neutral_hue=STONE,
        # Gradio ships these font weights complete, and others as small subsets.
        font=(
            LocalFont("IBM Plex Sans", weights=(400, 700)),
            "ui-sans-serif",
            "system-ui",
            "sans-serif",
        ),
        font_mono=("ui-monospace", "monospace"),
        text_size=sizes.text_md,
        radius_size=sizes.radius_lg,
        spacing_size=sizes.spacing_md,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="*neutral_950",
        block_background_fill="#ffffff",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="400",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_300",
        button_primary_background_fill_hover_dark="*primary_200",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="*primary_950",
        color_accent="*primary_600",  # of the active tab: 500 has too little contrast
        link_text_color_dark="*primary_300",
        link_text_color_active_dark="*primary_300",
        link_text_color_hover_dark="*primary_200",
        link_text_color_visited_dark="*primary_300",
        button_secondary_background_fill="*neutral_100",
        button_secondary_background_fill_hover="*neutral_200",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        input_background_fill="#ffffff",
        input_background_fill_dark="*neutral_950",
        slider_color="*primary_500",
        slider_color_dark="*primary_400",
        block_shadow="none",
    )


def style() -> str:
    """The style sheet."""
    return (Path(__file__).parent / "style.css").read_text(encoding="utf-8")

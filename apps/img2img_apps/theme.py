"""One calm look, light and dark: system fonts, stone greys, one accent."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

_FONTS = [
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Helvetica Neue",
    "Arial",
    "sans-serif",
]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]


def theme() -> gr.themes.Base:
    """Gradio's theme; plain font names are looked up on the visitor's machine alone."""
    base = gr.themes.Base(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="stone",
        radius_size="lg",
        spacing_size="md",
        font=_FONTS,
        font_mono=_MONO,
    )
    return base.set(
        body_background_fill="#faf9f7",
        body_background_fill_dark="#171614",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#211f1d",
        background_fill_secondary="#f5f4f1",
        background_fill_secondary_dark="#1b1a18",
        body_text_color_subdued="#6b655d",
        body_text_color_subdued_dark="#a8a29e",
        block_info_text_color="#6b655d",
        block_info_text_color_dark="#a8a29e",
        block_background_fill="*background_fill_primary",
        block_border_width="1px",
        block_shadow="0 1px 2px rgba(28, 25, 23, 0.04)",
        block_shadow_dark="none",
        block_label_background_fill="*background_fill_primary",
        block_label_background_fill_dark="*background_fill_primary",
        block_label_text_weight="600",
        block_title_text_weight="600",
        border_color_primary="#e4e1db",
        border_color_primary_dark="#37342f",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#115e59",
        button_primary_background_fill_dark="#0f766e",
        button_primary_background_fill_hover_dark="#0d9488",
        button_primary_text_color="#ffffff",
        button_large_text_weight="600",
        slider_color="#0f766e",
        slider_color_dark="#2dd4bf",
        checkbox_background_color_selected="#0f766e",
        checkbox_border_color_selected="#0f766e",
    )


def css() -> str:
    """The app's own style sheet."""
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")

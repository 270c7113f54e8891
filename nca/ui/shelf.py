"""The shelf: the automata to choose from, as a row of buttons."""

from __future__ import annotations

import html
from collections.abc import Sequence

import emoji
import gradio as gr

from nca.catalog import CatalogEntry, CheckpointRef
from nca.jobs import TARGET
from nca.ui.markup import arranged, count, data_uri


def snapshot_words(ref: CheckpointRef) -> str:
    """When a snapshot was taken, in words; empty for any other checkpoint."""
    if ref.iteration is None:
        return ""
    if ref.iteration > 1:
        return f"after {count(ref.iteration)} iterations"
    return "after its first iteration"


def choices(entries: Sequence[CatalogEntry]) -> list[tuple[str, str]]:
    """The shelf's choices for a dropdown: (label, name)."""
    return [(f"{entry.title} · {entry.note or 'shipped'}", str(entry.ref)) for entry in entries]


def build(elem_id: str) -> gr.HTML:
    """The row; a click triggers `select` with `.name`."""
    return gr.HTML(
        "",
        js_on_load="""
          element.addEventListener('click', (event) => {
            const button = event.target.closest('button[data-name]');
            if (button) trigger('select', {name: button.dataset.name});
          });
          // What is chosen shall be in sight, however long the row is.
          watch('value', () => requestAnimationFrame(() => {
            const row = element.querySelector('.shelf');
            const chosen = row?.querySelector('[aria-pressed=true]');
            if (chosen) row.scrollLeft =
              chosen.offsetLeft - row.offsetLeft - (row.clientWidth - chosen.offsetWidth) / 2;
            edges();
          }));
          // An arrow at every side where the row goes on.
          const edges = () => {
            const row = element.querySelector('.shelf');
            if (!row) return;
            const [before, after] = element.querySelectorAll('.more');
            before.hidden = row.scrollLeft < 8;
            after.hidden = row.scrollLeft + row.clientWidth > row.scrollWidth - 8;
          };
          element.addEventListener('scroll', edges, true);
          new ResizeObserver(edges).observe(element);
          element.addEventListener('click', (event) => {
            const more = event.target.closest('.more');
            const row = element.querySelector('.shelf');
            const left = more?.dataset.way * row.clientWidth * .8;
            if (more) row.scrollBy({left, behavior: 'smooth'});
          });""",
        elem_id=elem_id,
        elem_classes="beyond",
        apply_default_css=False,
    )


def shelf_html(entries: Sequence[CatalogEntry], chosen: CheckpointRef | str) -> str:
    """The row as HTML, with one of its buttons pressed."""
    if not entries:
        return (
            '<div class="empty"><strong>Nothing to grow yet</strong>'
            "Train an automaton on the Train tab; it appears here as soon as it has weights.</div>"
        )
    buttons = []
    for entry in entries:
        target = entry.folder / TARGET
        image = ""
        if target.exists():
            uri = data_uri(arranged(target.read_bytes()), "image/png")
            image = f'<img class="cells" src="{uri}" alt="">'
        name, pressed = str(entry.ref), "true" if str(entry.ref) == str(chosen) else "false"
        buttons.append(
            f'<button type="button" data-name="{html.escape(name)}" aria-pressed="{pressed}">'
            f"{image}<span>{html.escape(_words(entry.title) if image else entry.title)}"
            f"<small>{html.escape(entry.note)}</small></span></button>"
        )
    group = '<div class="shelf" data-arrows role="group" aria-label="Automata">'
    row = f"{group}{''.join(buttons)}</div>"
    before, after = (
        f'<button type="button" class="more" data-way="{way}" tabindex="-1" aria-hidden="true" '
        f"hidden>{sign}</button>"
        for way, sign in ((-1, "‹"), (1, "›"))
    )
    return f'<div class="shelf-row">{before}{row}{after}</div>'


def _words(title: str) -> str:
    """A title without the emoji in front, which the picture beside it shows; a lone one stays."""
    found = emoji.emoji_list(title.lstrip())
    leading = found[0]["match_end"] if found and found[0]["match_start"] == 0 else 0
    return title.lstrip()[leading:].strip() or title

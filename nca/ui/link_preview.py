"""What a link to the page looks like where it is posted: title, sentence and picture.

Gradio's HTML names Gradio there. `with_preview` writes the garden's own into it.
"""

from __future__ import annotations

import html
import io
import re
from functools import cache

import torch
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nca.catalog import Catalog
from nca.checkpoint import Checkpoint
from nca.render import to_rgb8, upscale

PATH = "/preview.png"
WIDTH, HEIGHT = 1200, 630  # what most sites show
STEPS = (12, 45, 120)  # of one life, side by side
SENTENCE = (
    "A lizard grows from one cell and heals when you cut it. Every cell runs the same small neural "
    "network and sees only its eight neighbours. Play with it, see how it works, train your own."
)
_TAGS = re.compile(rb'\s*<meta\s+(?:property="og:|name="(?:twitter:|description"))[^>]*>')
_ROOT = re.compile(rb'"root":\s?"(https?://[^"\\]+)"')


def with_preview(page: bytes, title: str) -> bytes:
    """Gradio's HTML with our tags for link previews in the place of its own.

    Args:
        page: the HTML, UTF-8.
        title: of the page.
    """
    root = _ROOT.search(page)
    address = root[1].decode().rstrip("/") if root else ""
    tags = {
        "og:title": title, "og:type": "website", "og:site_name": title,
        "og:description": SENTENCE, "og:url": f"{address}/", "og:image": f"{address}{PATH}",
        "og:image:width": str(WIDTH), "og:image:height": str(HEIGHT),
        "og:image:alt": "A lizard of square cells, growing in three steps",
    }  # fmt: skip
    ours = "".join(
        f'<meta property="{name}" content="{html.escape(text)}">\n' for name, text in tags.items()
    )
    ours += f'<meta name="description" content="{html.escape(SENTENCE)}">\n'
    ours += '<meta name="twitter:card" content="summary_large_image">\n'
    head, separator, rest = page.partition(b"</head>")
    # At the place of the first of Gradio's: sites read only the beginning of a page.
    first = _TAGS.search(head)
    at = first.start() if first else len(head)
    return b"".join((head[:at], ours.encode(), _TAGS.sub(b"", head[at:]), separator, rest))


def route(catalog: Catalog) -> Route:
    """`GET /preview.png`: the flagship, the first shipped automaton, at three steps of its life."""

    @cache
    def picture() -> bytes | None:
        flagship = catalog.default(catalog.shipped())
        return _three_steps(catalog.load("", flagship.ref)) if flagship else None

    def preview(request: Request) -> Response:
        data = picture()
        if data is None:
            return Response(status_code=404)
        return Response(data, media_type="image/png", headers={"Cache-Control": "max-age=86400"})

    return Route(PATH, preview)


@torch.no_grad()
def _three_steps(checkpoint: Checkpoint) -> bytes:
    """A PNG with three steps of one life, each cell a square."""
    nca = checkpoint.nca
    states = nca.grow(nca.seed(1, checkpoint.size), STEPS[-1], 1, all_steps=True)[list(STEPS), 0]
    rows, columns = (states[-1, ..., 3] > nca.config.alive_threshold).nonzero().T
    if len(rows):
        box = slice(int(rows.min()), int(rows.max()) + 1)
        states = states[:, box, int(columns.min()) : int(columns.max()) + 1]
    height, width = states.shape[1:3]
    third = WIDTH // len(STEPS)
    scale = max(1, min((third - 30) // width, (HEIGHT - 60) // height))
    page = Image.new("RGB", (WIDTH, HEIGHT), "white")
    for number, pixels in enumerate(to_rgb8(states)):
        life = Image.fromarray(upscale(pixels, scale))
        page.paste(life, (number * third + (third - life.width) // 2, (HEIGHT - life.height) // 2))
    buffer = io.BytesIO()
    page.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()

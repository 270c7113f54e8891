"""The loss as the page shows it: a smooth line over faint dots, with words for what it means."""

from __future__ import annotations

from collections.abc import Sequence

from nca.chart import smooth
from nca.jobs.check_up import ALIKE, SAME
from nca.ui.markup import count, data_uri

WIDTH, HEIGHT = 1000, 300  # of the drawing's coordinates
KIND_WIDTH, KIND_HEIGHT = 100, 36  # of those of one kind
Points = Sequence[tuple[int, float]]


def words(log10_loss: float) -> str:
    """What a loss means for the eye."""
    if log10_loss > ALIKE:
        return "blurry"
    return "alike" if log10_loss > SAME else "the same"


def number(log10_loss: float, digits: int = 2) -> str:
    """A loss as a number with a minus sign instead of a hyphen."""
    return f"{log10_loss:.{digits}f}".replace("-", "\u2212")


def plot_html(points: Points, kinds: Sequence[Points] = (), sheet: bytes = b"") -> str:
    """The loss curve as HTML; empty for fewer than two points.

    Args:
        points: (iteration, log10 loss), iterations ascending.
        kinds: the same for each of several kinds.
        sheet: a PNG with the kinds' pictures, one below the other.
    """
    if len(points) < 2:
        return ""
    line = smooth(points)
    ys = [y for _, y in points]
    top, bottom = max(-0.5, *ys), min(SAME - 0.6, *ys)
    first, last = points[0][0], points[-1][0]

    def share(y: float) -> float:
        return (top - y) / (top - bottom)

    def place(x: float, y: float) -> str:
        across = (x - first) / max(1, last - first)
        return f"{across * WIDTH:.0f} {share(y) * HEIGHT:.1f}"

    dots = "".join(f"M{place(x, y)}h0" for x, y in points)
    path = "M" + "L".join(place(x, y) for x, y in line)
    now = line[-1][1]
    bands = "".join(
        f'<span class="band" style="top:{100 * share(middle):.1f}%">{name}</span>'
        for middle, name in (
            ((top + ALIKE) / 2, "blurry"),
            ((ALIKE + SAME) / 2, "alike"),
            ((SAME + bottom) / 2, "the same"),
        )
    )
    levels = "".join(
        f'<span class="level" style="top:{100 * share(y):.1f}%">{number(y, 0)}</span>'
        for y in range(round(top), round(bottom) - 1, -1)
        if bottom < y < top
    )
    rules = "".join(
        f'<path class="rule" d="M0 {share(y) * HEIGHT:.1f}H{WIDTH}"/>' for y in (ALIKE, SAME)
    )
    about = f"Loss after {count(last)} iterations: {now:.2f}, {words(now)}"
    return (
        f'<figure class="loss"><div class="plot" role="img" aria-label="{about}">'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'{rules}<path class="dots" d="{dots}"/><path class="line" d="{path}"/></svg>'
        f"{bands}{levels}</div>"
        f'<div class="ends"><span>{count(first)}</span><span>{count(last)} iterations</span></div>'
        f"<figcaption>Loss, log₁₀: now {number(now)}, <b>{words(now)}</b></figcaption>"
        f"{_kinds_html(kinds, sheet) if len(kinds) > 1 else ''}</figure>"
    )


def _kinds_html(kinds: Sequence[Points], sheet: bytes) -> str:
    """A small curve for each kind beside its picture, all on one scale."""
    lines = [smooth(points) if len(points) > 1 else [] for points in kinds]
    ys = [y for line in lines for _, y in line] or [0.0]
    top, bottom = max(ys), min(SAME, *ys)
    last = max((line[-1][0] for line in lines if line), default=1)
    items = []
    for kind, line in enumerate(lines):
        path = "L".join(
            f"{x / last * KIND_WIDTH:.1f} {(top - y) / (top - bottom) * KIND_HEIGHT:.1f}"
            for x, y in line
        )
        now = f"{number(line[-1][1], 1)} <span>{words(line[-1][1])}</span>" if line else "–"
        drawn = f'<path class="line" d="M{path}"/>' if line else ""
        items.append(
            f'<li><i role="img" aria-label="Picture {kind + 1}" style="--kind:{kind}"></i>'
            f'<svg viewBox="0 0 {KIND_WIDTH} {KIND_HEIGHT}" preserveAspectRatio="none" '
            f'aria-hidden="true">{drawn}</svg><b>{now}</b></li>'
        )
    style = f"--sheet:url({data_uri(sheet, 'image/png')});--kinds:{len(lines)}"
    about = 'class="kinds" aria-label="Loss of each picture"'
    return f'<ul {about} style="{style}">{"".join(items)}</ul>'

"""The experts' views of a model: perception, weights, healing; HTML with explanations."""

from __future__ import annotations

import math

from torch import Tensor

from nca.anatomy import perception_pictures, weight_pictures
from nca.chart import COLOURS
from nca.evaluate import HEALED, Scores
from nca.healing import MAP_STEPS, HealingMap
from nca.model import NCA
from nca.scorecard import lines, map_cells, map_legend
from nca.ui.inspect.life_views import ON_WHITE, line_charts, number, pixels, section, short
from nca.ui.markup import count, figure


def perceived(nca: NCA, target: Tensor) -> str:
    """The target through each of the perception filters."""
    figures = "".join(
        figure(
            pixels(
                filtered,
                f"Seen through {name}",
                "checker" if filtered.mode == "RGBA" else ON_WHITE,
            ),
            f"{name[0].upper()}{name[1:]}",
        )
        for name, filtered in perception_pictures(nca, target, scale=1)
    )
    return section(
        "What a cell perceives",
        "The target through each of the filters: a cell's own values, how the values around it "
        "rise (orange) or fall (blue) from left to right and from top to bottom, and, with a "
        "Laplacian, how its own differ from those. A cell perceives nothing else.",
        f'<div class="row filters">{figures}</div>',
    )


def weights(nca: NCA) -> str:
    """Every layer as a picture."""
    layers = "".join(
        f'<figure style="width:{shown.width * 4}px">'
        f"{pixels(shown, f'Weights of {name}', ON_WHITE)}<figcaption>{name}</figcaption></figure>"
        for name, shown in weight_pictures(nca, scale=1)
    )
    total = sum(p.numel() for p in nca.parameters())
    return section(
        "Weights",
        f"All {count(total)} trained numbers, the same in every cell: a row per output, a column "
        "per input; orange is above zero, blue below.",
        f'<div class="weights">{layers}</div>',
    )


def curves(scores: Scores) -> str:
    """Error against steps: after each kind of damage, while growing, and in the long run."""
    titled = [(title, named) for title, named in lines(scores).items() if any(named.values())]
    shown = ""
    for title, named in [*titled[-1:], *titled[:-1]]:  # the healing curves come first
        x = sorted({t for line in named.values() for t, _ in line})
        at = [dict(line) for line in named.values()]
        values = [[short(line.get(t, math.nan)) for t in x] for line in at]
        series = [(name, COLOURS[i % len(COLOURS)], 2) for i, name in enumerate(named)]
        shown += line_charts(
            name=title, series=series, guide=HEALED,
            charts=[{"title": title, "x": x, "lines": values}],
        )  # fmt: skip
    return section(
        "How it heals",
        "log10 of the mean squared error against the target, median of "
        f"{scores.lives} lives. Below the line at {number(HEALED)} damage counts as healed.",
        f'<div class="curves">{shown}</div>',
    )


def healing_map(found: HealingMap) -> str:
    """Where the body heals, each cell coloured by the widest hole that closes there."""
    legend = "".join(
        f'<li><i style="background:rgb{colour}"></i>{text}</li>'
        for colour, text in map_legend(found)
    )
    safe = found.safe_radius()
    words = (
        "A hole is cut at every second cell of the grown body, one at a time, and looked at "
        f"{MAP_STEPS} steps later. {found.share:.0%} of them closed. "
    )
    if safe:
        words += f"Nearly everywhere it heals holes of radius {number(safe)}, in cells."
    else:
        words += f"Even holes of radius {number(found.radii[0])}, in cells, stay in many places."
    shown = pixels(map_cells(found), "The body, coloured by how wide a hole heals at each cell")
    return section(
        "Where it heals",
        words,
        f'<div class="healing-map"><figure>{shown}</figure><ul>{legend}</ul></div>',
    )


def unscored(may: bool) -> str:
    """The text shown while there are no curves."""
    words = "This automaton is not scored yet; scoring damages it in five ways, for some seconds."
    missing = "This automaton came without its picture, so it cannot be scored."
    return section("How it heals", words if may else missing, "")

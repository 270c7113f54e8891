"""Recipes: named pairs of configs, such as `recipe("growing").nca` and `.train`.

Recipes for published systems follow the description of the system. Where its code differs from
that, the recipe does what was intended, and `Recipe.notes` says so. The notes also name what these
configs cannot express. All but `quick` and `hardy` begin with random weights (a last layer of
zeros); all share this library's fire mask (one draw per cell), Adam's epsilon of 1e-7 and a pool
sampled without replacement, and none does damage that would leave no living cell.
"""

from __future__ import annotations

from dataclasses import dataclass

from nca.config import BadInput, DamageShape, NCAConfig, TrainConfig
from nca.pretrained import ARCHITECTURE
from nca.wording import plain_text


@dataclass(frozen=True)
class Recipe:
    """An architecture and a way to train it.

    Attributes:
        name: as `recipe(name)` takes it.
        summary: one sentence for the page.
        nca: the architecture.
        train: the training.
        source: where it comes from.
        notes: where the recipe differs from the source's code, and why.
    """

    name: str
    summary: str
    nca: NCAConfig
    train: TrainConfig
    source: str
    notes: str = ""


DISTILL = "Growing Neural Cellular Automata, Mordvintsev et al., Distill 2020"

# No cell is transparent, so alpha carries no information and more channels are needed.
PHOTO_NCA = NCAConfig(channels=24, hidden=(160,))
# A grid of 128 takes several rollouts to fill, and the pool passes states from one to the next.
# Seeds must enter the pool, but few late in training, or no state would become old.
PHOTO_TRAIN = TrainConfig(
    iterations=2000,
    batch=2,
    pool_size=64,
    reseed_kept=0.1,
    steps_min=64,
    steps_max=128,
    optimiser="muon",
    learning_rate=5e-3,
    schedule="cosine",
    decay=0.01,
)

# What visitors do, mostly swipes of any width, and what the battery has always measured: the centre
# square heals only where it is trained on.
SWIPES: tuple[DamageShape, ...] = (
    "swipe", "swipes", "swipe", "swipes", "hole", "cut", "half", "centre",
)  # fmt: skip

# Several at once are the hardest. More of them, so that `quick` sees enough in few iterations.
SEVERAL: tuple[DamageShape, ...] = ("swipes", "swipes", "swipes", "swipes")

QUICK_TRAIN = TrainConfig(
    iterations=1600,
    initial_weights="pretrained",
    batch=2,
    pool_size=256,
    reseed_kept=0.1,
    damage_count=1,
    damage_shapes=(*SWIPES, *SEVERAL),
    damage_drawn=0.5,
    birth_alpha=0.5,
    optimiser="muon",
    learning_rate=3.5e-3,
    schedule="cosine",
    decay=0.01,
)

# Ten kinds take turns: in a batch each begins once, as a seed or as damage. A state that mutates
# is a body of another kind, which has to become this one.
ZOO_NCA = NCAConfig(channels=20, hidden=(256,), laplacian="nine_point", kinds=2)
ZOO_TRAIN = TrainConfig(
    iterations=10_000,
    batch=10,
    pool_size=512,
    reseed="random",
    reseed_count=4,
    reseed_kept=0.1,
    damage_count=6,
    damage_items="last",
    damage_shapes=(*SWIPES, "mutation", "mutation"),
    damage_drawn=0.3,
    birth_alpha=0.5,
    optimiser="muon",
    learning_rate=3.5e-3,
    schedule="cosine",
    decay=0.01,
)

_RECIPES = (
    Recipe(
        "quick",
        "Grows, keeps and heals soonest: pretrained, a seed and damage in each batch, Muon.",
        ARCHITECTURE,
        QUICK_TRAIN,
        "NCA Garden",
    ),
    Recipe(
        "hardy",
        "As quick, four times as long: nearer to the picture, and heals more.",
        ARCHITECTURE,
        QUICK_TRAIN.model_copy(update={"iterations": 6400}),
        "NCA Garden",
    ),
    Recipe(
        "zoo",
        "Several pictures, one automaton: each is a kind, and cells hand down the kind's genes.",
        ZOO_NCA,
        ZOO_TRAIN,
        "NCA Garden",
        "Conditional automata are told their picture from outside, all cells at once. Here the "
        "seed has a kind, new cells inherit it from a neighbour, and each kind adds a vector of "
        "its own to the first layer.",
    ),
    Recipe(
        "growing",
        "Grows the picture from one cell; afterwards it may drift apart.",
        NCAConfig(),
        TrainConfig(start="seed"),
        DISTILL,
    ),
    Recipe(
        "persistent",
        "Grows the picture and learns to keep it, by training on its own old states.",
        NCAConfig(),
        TrainConfig(),
        DISTILL,
    ),
    Recipe(
        "regenerating",
        "Grows, keeps and heals the picture: three of eight states are damaged each time.",
        NCAConfig(),
        TrainConfig(damage_count=3),
        DISTILL,
    ),
    Recipe(
        "cax",
        "The loss is taken at a random step in the second half of 128.",
        NCAConfig(seed_hidden=False),
        TrainConfig(
            iterations=8192,
            steps_min=128,
            steps_max=128,
            loss_at="random",
            loss_window=64,
            schedule="linear",
            decay=0.1,
            decay_over=2000,
            gradient="clip",
            clip=1.0,
        ),
        "CAX, Faldor and Cully 2024, examples/growing_nca",
        "CAX keeps alpha in the last of its channels, here it is the fourth; some of its versions "
        "start from random weights in the last layer.",
    ),
    Recipe(
        "jax-nca",
        "All cells update every step; two hidden layers of 64; mean loss of the last 8 steps.",
        NCAConfig(channels=20, hidden=(64, 64), fire_rate=1.0, out_bias=False),
        TrainConfig(
            iterations=100_000,
            reseed="random",
            damage_items="last",
            loss_at="mean_last",
            loss_window=8,
            learning_rate=2e-4,
            schedule="constant",
            gradient="normalise_all",
        ),
        "jax-nca, Sudhakaran 2021",
        "Its Sobel filters add up all channels and so give every channel the same gradient; meant, "
        "and done here, is one gradient per channel. Its fire mask is drawn only when the rate is "
        "1, where it drops nothing; here any rate works. Damage (damage_count) and trained "
        'perception (perception="learned") are options there and here, off by default.',
    ),
    Recipe(
        "jax-blog",
        "Small batches and long rollouts: 4 lives of 128 steps, one of them damaged.",
        NCAConfig(),
        TrainConfig(batch=4, steps_min=128, steps_max=128, damage_count=1),
        "a blog's automaton in JAX, after the Distill article",
        "The blog reports that batches of 16, 4 of them damaged, explode and that 64 steps poison "
        "the pool. Where it is silent (optimiser, schedule, length) this is the article's.",
    ),
    Recipe(
        "pytorch-blog",
        "A fourth filter, the five-point Laplacian, and the alive mask after the update, at 0.2.",
        NCAConfig(laplacian="five_point", out_bias=False, alive_threshold=0.2, alive_mask="post"),
        TrainConfig(
            reseed="random", damage_count=3, damage_items="last", steps_min=65, steps_max=75
        ),
        "a blog's automaton in PyTorch, after the Distill article",
        "Cells there live from 0.2 on, here above it: the two differ only where the largest alpha "
        "around a cell is the one float32 number 0.2. Normalised gradients and filters, which "
        "cured its spikes of the loss, are in. Optimiser, schedule, length are the article's.",
    ),
    Recipe(
        "studying-growth",
        "32 channels, a fire rate of 0.8; a seed replaces the worst state after each rollout.",
        NCAConfig(channels=32, fire_rate=0.8),
        TrainConfig(
            iterations=12_000,
            pool_size=1000,
            reseed="worst_after",
            reseed_count=1,  # 15 % of 8, rounded down as in the source
            steps_min=64,
            steps_max=107,
            milestones=(3000, 6000, 9000),
            decay=0.2,
            weight_decay=3e-5,
        ),
        "Studying Growth with Neural Cellular Automata, Greydanus 2021",
        "There updates are dropped channel by channel, here for a whole cell; its seed is white, "
        "stands where the stem begins and can never die, here it is black, central and can die.",
    ),
    Recipe(
        "photo",
        "For opaque pictures that fill the frame: longer rollouts, because the edge is far away.",
        PHOTO_NCA,
        PHOTO_TRAIN,
        "NCA Garden, after a PyTorch blog's skyline at sunset",
        "Make the target with padding 0. The border then is the edge of the grid, and with zero "
        "padding cells perceive it: it is what the picture holds on to. On a torus a full frame "
        "has no edge and no outline, so nothing tells where it is, and it drifts. A front "
        "moves at most one cell a step and about half of that at fire rate 0.5, so that a "
        "frame of 128 is full only after several rollouts: the pool carries them on.",
    ),
)
RECIPES = {r.name: r for r in _RECIPES}


def recipe(name: str) -> Recipe:
    """The recipe called `name`; BadInput, which lists all names, when there is none.

    >>> from nca import recipe
    >>> recipe("persistent").summary
    'Grows the picture and learns to keep it, by training on its own old states.'
    >>> recipe("photo").nca.channels
    24
    """
    if not isinstance(name, str) or name not in RECIPES:
        said = plain_text(str(name))[:40]
        raise BadInput(f"There is no recipe called {said!r}; choose one of {', '.join(RECIPES)}.")
    return RECIPES[name]


def recipes_table() -> str:
    """All recipes as the Markdown table in the README: name, summary, source."""
    rows = ["| recipe | | source |", "|---|---|---|"]
    rows += [f"| `{r.name}` | {r.summary} | {r.source} |" for r in RECIPES.values()]
    return "\n".join(rows)

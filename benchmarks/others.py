"""Ours beside the models that the Distill article publishes, under the same families of damage.

    python benchmarks/others.py --distill FOLDER                 ours and the folder's *.json
    python benchmarks/others.py --distill FOLDER --match ex3     only what has this in its name
    python benchmarks/others.py --checkpoint A --checkpoint B    these folders instead of ours
    python benchmarks/others.py --trials 20 --family swipe       fewer trials, one family
    python benchmarks/others.py --json                           one JSON object, last

FOLDER is public/webgl_models8 of github.com/distillpub/post--growing-ca (Apache 2.0); nothing is
fetched. `python -m nca import` makes a checkpoint of any other automaton. Every trial is compared
with the same body undamaged at the same age, so that no target is needed: everybody is scored
anew, by how well it comes back to what it was.
"""
# ruff: noqa: E402

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, beside nca/

from nca import NCA, BadInput, load_checkpoint, load_foreign
from nca.evaluate import Plan, Vitals, evaluate_without_target
from nca.healing import ALL_FAMILIES, FAMILIES

SIZE = (72, 72)  # the grid of Distill's models, as of our ten emoji


def automata(options: argparse.Namespace) -> Iterator[tuple[str, str, NCA, tuple[int, int]]]:
    """Whose, name, automaton and grid of everything that is to be scored."""
    shipped = sorted(path.parent for path in ROOT.glob("checkpoints/*/model.safetensors"))
    for folder in options.checkpoint or shipped:
        if options.match in folder.name or options.checkpoint:
            checkpoint = load_checkpoint(folder)
            yield "ours", folder.name, checkpoint.nca, checkpoint.size
    for path in sorted(options.distill.glob("*.json")) if options.distill else ():
        if options.match in path.name:
            yield "Distill", path.stem, load_foreign(path)[0], SIZE


def row(name: str, scores: list[Vitals]) -> list[str]:
    """The cells of a line: medians over the automata, shares in percent."""
    last = max(scores[0].survival)
    shares = [
        median(s.born for s in scores),
        median(s.survival[last] for s in scores),
        median(s.living[last] for s in scores),
        *(median(s.healing[family].healed for s in scores) for family in scores[0].healing),
    ]
    return [name, *(f"{100 * share:.3g}" for share in shares)]


def table(found: list[tuple[str, str, Vitals]], families: tuple[str, ...]) -> str:
    """One line for each automaton, then the medians of each side: Markdown."""
    last = max(found[0][2].survival)
    head = ["% of", "seeds that live on", f"lives at step {last}", "grid that lives then"]
    lines = [row(f"{whose}, {name}", [scores]) for whose, name, scores in found]
    for side in dict.fromkeys(whose for whose, _, _ in found):
        theirs = [scores for whose, _, scores in found if whose == side]
        lines.append(row(f"**{side}, median of {len(theirs)}**", theirs))
    cells = [[*head, *families], ["---"] * (len(head) + len(families)), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--distill", type=Path, help="a folder of Distill's JSON models")
    parser.add_argument(
        "--checkpoint", type=Path, action="append", default=[], help="instead of the shipped ones"
    )
    parser.add_argument("--match", default="", help="only what has this in its name")
    parser.add_argument("--family", action="append", choices=list(ALL_FAMILIES))
    parser.add_argument("--trials", type=int, default=200, help="of every family")
    parser.add_argument("--births", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object, last")
    return parser.parse_args()


def main() -> int:
    """Score, print the table."""
    options = arguments()
    families = tuple(options.family or FAMILIES)
    found = []
    try:
        for whose, name, nca, size in automata(options):
            print(f"{whose}, {name}", file=sys.stderr, flush=True)
            plan = replace(
                Plan.for_grid(*size), trials=options.trials, births=options.births,
                families=families, late=(), persistence=10_000,
            )  # fmt: skip
            scores = evaluate_without_target(nca, size, options.seed, plan)
            found.append((whose, name, scores))
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    if not found:
        print("Nothing to score has this in its name.", file=sys.stderr)
        return 2
    print(table(found, families))
    if options.json:
        print(
            json.dumps({f"{whose}, {name}": s.model_dump(mode="json") for whose, name, s in found})
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

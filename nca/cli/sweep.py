"""`python -m nca sweep`: one recipe on many pictures, or many settings on one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from nca.cli import on_hub_jobs
from nca.cli.arguments import check_folder_out, text
from nca.cli.training_options import (
    add_setting_options,
    check_picture_options,
    check_setting,
    initial_from,
    setting,
    signals,
    target_config,
    trained_longer,
)
from nca.config import BadInput, TargetConfig
from nca.files import file_title, write_atomic

if TYPE_CHECKING:
    from nca.jobs.executor import Executor
    from nca.jobs.spec import Target
    from nca.jobs.sweep import SweepRun

SHEET, TABLE, LOSSES = "sheet.png", "sweep.csv", "losses.csv"


def add_commands(commands: Any) -> None:
    """Add `sweep` to the command line; `commands` is what `add_subparsers` returned."""
    sweep = commands.add_parser(
        "sweep",
        help="train one recipe on many pictures, or many settings on one",
        description="Each training has a folder of its own in --out; the same command goes on "
        f"from there. At the end: a table, {TABLE}, {LOSSES} and the contact sheet {SHEET}.",
    )
    sweep.add_argument(
        "--emoji", type=text, action="append", default=[], help="one emoji; may be repeated"
    )
    sweep.add_argument(
        "--image", type=Path, action="append", default=[], help="a picture; may be repeated"
    )
    sweep.add_argument(
        "--vary",
        type=text,
        action="append",
        default=[],
        metavar="NAME=A,B,...",
        help="train with each of these values of a setting, or of recipe; may be repeated",
    )
    sweep.add_argument("--seeds", type=int, default=1, help="how many seeds, from --seed on")
    add_setting_options(sweep)
    sweep.add_argument(
        "--jobs",
        type=int,
        help="trainings at a time; when not given, as many as a Ray cluster holds, elsewhere one",
    )
    on_hub_jobs.add_options(sweep, tuple(on_hub_jobs.PLACES))
    sweep.add_argument("--out", type=Path, required=True, help="the folder of all of them")
    sweep.set_defaults(run=_sweep)


def _sweep(options: argparse.Namespace) -> int:
    from nca.jobs.sweep import plan, run_all

    changes = dict(setting(words) for words in options.set)
    if options.iterations is not None:
        changes["iterations"] = options.iterations
    varied: dict[str, list[Any]] = {}
    for name, values in map(_varied, options.vary):
        if name in varied or name in changes:
            raise BadInput(f"{name} is given twice; please write all its values in one --vary.")
        varied[name] = values
    if not 1 <= options.seeds <= 1000 or options.jobs not in (None, *range(1, 65)):
        raise BadInput("Please choose 1 to 1000 --seeds and 1 to 64 --jobs.")
    on_hub_jobs.check_options(options)
    check_folder_out(options.out)
    first = initial_from(options.begin) if options.begin else None
    if first or options.emoji or options.image:
        check_picture_options(options)
    targets = _targets(options)
    if first and not targets:
        targets = [first.target()]
    if not targets:
        raise BadInput("Please choose pictures with --emoji or --image, or begin --from one.")
    runs = plan(
        options.out.absolute(),
        targets,
        varied,
        range(options.seed, options.seed + options.seeds),
        recipe=options.recipe,
        changes=changes,
        device=options.device,
        initial=first,
        sharpen=options.sharpen,
    )
    executor, device = _executor(options, runs)
    try:
        with signals() as received, _bar(runs) as show:
            at_once = options.jobs or executor.slots[device]
            done = run_all(runs, executor, device, at_once, lambda: bool(received), show, _say)
    finally:
        executor.close()
    if not done:
        print(f"Stopped and saved in {options.out}; the same command goes on from here.")
        return 128 + received[0]
    return _report(options.out, runs)


def _executor(options: argparse.Namespace, runs: list[SweepRun]) -> tuple[Executor, str]:
    """Where the sweep runs, and on which of its devices."""
    from nca.jobs.executor import LocalProcess, executor_named, find_devices

    if options.on == "jobs":
        waiting = sum(not run.finished for run in runs)

        executor = on_hub_jobs.sweep_executor(options, waiting, options.jobs or 1, _say)
        return executor, next(iter(executor.slots))
    device = "cuda" if options.device.startswith("cuda") else "cpu"
    if options.on == "ray":
        executor = executor_named("ray")
        if options.device == "auto":
            device = next(iter(executor.slots))
        if device not in executor.slots:
            raise BadInput("No node of this Ray cluster has a graphics card; use --device cpu.")
        return executor, device
    if options.device == "auto":
        device = find_devices()[0]
    return LocalProcess((device,), options.jobs or 1), device


def _say(sentence: str) -> None:
    """Print beside the progress bar."""
    tqdm.write(sentence, file=sys.stderr)


@contextmanager
def _bar(runs: list[SweepRun]) -> Generator[Callable[[], None]]:
    """A progress bar over the iterations of all trainings; what it yields updates it."""
    from nca.jobs.progress import read_progress

    total = sum(run.spec.train.iterations for run in runs)
    with tqdm(total=total, unit="it", desc="Sweep", dynamic_ncols=True) as bar:

        def show() -> None:
            done = sum(
                min(read_progress(run.folder).iteration, run.spec.train.iterations) for run in runs
            )
            if done != bar.n:
                finished = sum(run.finished for run in runs)
                bar.set_postfix_str(f"{finished} of {len(runs)} finished", refresh=False)
                bar.update(done - bar.n)

        yield show
        show()


def _report(out: Path, runs: list[SweepRun]) -> int:
    """Print the table and write the files; 1 when a training failed."""
    from nca.compare import losses_csv, plain_table, read_run
    from nca.jobs.sweep_results import look_at, results_csv, results_table, sheet
    from nca.render import picture_bytes

    finished = [run for run in runs if run.finished]
    if finished:
        results = [look_at(run.folder, run.name) for run in finished]
        write_atomic(out / TABLE, results_csv(results))
        write_atomic(out / SHEET, picture_bytes(sheet(results), "PNG"))
        write_atomic(out / LOSSES, losses_csv([read_run(run.folder) for run in finished]))
        print(plain_table(results_table(results)))
        print(
            "\nlog10 of the RGBA error: at step 200, and 200 steps after the left half was erased; "
            f"the best healed first.\nSaved {out / SHEET}, {TABLE} and {LOSSES}."
        )
        if others := _others(out, runs):
            print(f"They leave out {len(others)} of earlier sweeps: {', '.join(others)}.")
    for sentence, names in _notices(finished).items():
        which = "All" if len(names) == len(runs) > 1 else ", ".join(names)
        print(f"{which}: {sentence}", file=sys.stderr)
    failed = [run for run in runs if not run.finished]
    for run in failed:
        problem = run.problem or "It has not finished; the same command goes on."
        print(f"{run.name}: {problem}", file=sys.stderr)
    return 1 if failed else 0


def _notices(finished: Sequence[SweepRun]) -> dict[str, list[str]]:
    """What is to be said about trainings that finished, and of which."""
    from nca.jobs.progress import read_progress

    said: dict[str, list[str]] = {}
    for run in finished:
        longer = trained_longer(run.folder, run.spec.train.iterations)
        for sentence in filter(None, (longer, read_progress(run.folder).message)):
            said.setdefault(sentence, []).append(run.name)
    return said


def _others(out: Path, runs: Sequence[SweepRun]) -> list[str]:
    """Names of the trainings in a sweep's folder that are not its own."""
    from nca.jobs.spec import SPEC

    own = {run.folder.name for run in runs}
    return sorted(spec.parent.name for spec in out.glob(f"*/{SPEC}") if spec.parent.name not in own)


def _targets(options: argparse.Namespace) -> list[Target]:
    """The targets of all emoji and pictures, in their order."""
    from nca.jobs.spec import Target as JobTarget

    made: list[Target] = []
    for symbol in options.emoji:
        config = target_config(options, [symbol]) or TargetConfig()
        made.append(JobTarget.make(config, None, symbol))
    for path in options.image:
        config = target_config(options, [], [path]) or TargetConfig()
        made.append(JobTarget.make(config, path, file_title(path), fine=options.sharpen > 0))
    return made


def _varied(words: str) -> tuple[str, list[Any]]:
    """Parse `batch=2,4` or `hidden=[64],[64,64]` into a name and its values."""
    name, equals, values = (part.strip() for part in words.partition("="))
    if not equals or not values:
        raise BadInput(f"Please write --vary as NAME=A,B,...; not {words!r}.")
    check_setting(name, vary=True)
    try:
        return name, json.loads(f"[{values}]")
    except (ValueError, RecursionError):
        return name, [setting(f"x={value}")[1] for value in values.split(",")]

"""`make compat`: does it run under other versions of Python and torch?

For every combination below an environment of its own, with the wheel and the page, and in it a
short job: train, grow with damage, evaluate, serve, train on the page. The results go into the
README's table; rows of combinations that were not run stay as they are. Names such as
`3.12/2.11.0` run only those, and `--keep` keeps the environments in build/compat for the next time.
Python is taken from the path, from pyenv or from uv.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
NEWEST = "2.15.0"
# The oldest and the newest torch of each Python, what `make run` installs, and ZeroGPU's (3.12).
COMBINATIONS = (
    ("3.11", "2.9.1"),
    ("3.11", "2.13.0"),
    ("3.12", "2.9.1"),
    ("3.12", "2.10.0"),
    ("3.12", "2.11.0"),
    ("3.12", NEWEST),
    ("3.13", "2.9.1"),
    ("3.13", NEWEST),
    ("3.14", "2.9.1"),
    ("3.14", NEWEST),
)
BEGIN, END = "<!-- make compat -->\n", "<!-- /make compat -->"
HEAD = "| Python | torch | train | grow | evaluate | on the page |\n|---|---|---|---|---|---|\n"
ON_THE_PAGE = """
import sys, time
from gradio_client import Client
page = Client(sys.argv[1], verbose=False)
job = page.predict(emoji="🐞", size=16, padding=4, iterations=20, api_name="/train")
for _ in range(600):
    about = page.predict(job["job"], job["key"], api_name="/job")
    if about["state"] not in ("queued", "running"):
        break
    time.sleep(0.5)
grown = page.predict(job["checkpoint"], steps=20, key=job["key"], api_name="/grow")
sys.exit(None if about["state"] == "finished" else f"{about['state']}: {about['message']}")
"""


def main(chosen: list[str]) -> int:
    """Run the chosen combinations, all when none is; the number of those that failed."""
    keep = "--keep" in chosen
    chosen = [name for name in chosen if name != "--keep"]
    wanted = [c for c in COMBINATIONS if not chosen or "/".join(c) in chosen]
    if unknown := set(chosen) - {"/".join(c) for c in COMBINATIONS}:
        sys.exit(f"No such combination: {', '.join(sorted(unknown))}.")
    readme, failed = ROOT / "README.md", 0
    with tempfile.TemporaryDirectory(prefix="compat-") as folder:
        wheel = build_wheel(Path(folder))
        for python, torch in wanted:
            interpreter = find_python(python)
            if interpreter is None:
                print(f"{python}/{torch}: there is no Python {python} on this machine.", flush=True)
                continue
            place = ROOT / "build/compat" / f"{python}-{torch}"
            try:
                row = Combination(place, wheel).run(interpreter, torch)
            finally:
                if not keep:
                    shutil.rmtree(place, ignore_errors=True)  # several GB with a CUDA build
            failed += any(cell != "yes" for cell in row[2:])
            readme.write_text(with_row(readme.read_text("utf-8"), row), "utf-8")
            print(" | ".join(row), flush=True)
    return failed


def build_wheel(folder: Path) -> Path:
    """This checkout as a wheel."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("nca_garden-*.whl")
    return wheel


def find_python(version: str) -> Path | None:
    """An interpreter of this version, such as 3.12, that really starts; None without one."""
    named = shutil.which(f"python{version}")
    found = [Path(named)] if named else []
    found += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), reverse=True)
    if uv := shutil.which("uv"):
        asked = [uv, "python", "find", "--no-python-downloads", version]
        done = subprocess.run(asked, capture_output=True, text=True)
        found += [Path(done.stdout.strip())] if done.returncode == 0 else []
    for path in found:
        command = [path, "-c", "import sys, venv, ensurepip; print(*sys.version_info[:2], sep='.')"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip() == version:
            return path
    return None


class Combination:
    """An environment in `place`, and what runs in it.

    Args:
        place: a folder to create.
        wheel: the project's.
    """

    def __init__(self, place: Path, wheel: Path) -> None:
        self.place, self.wheel = place, wheel
        self.bin = place / "environment" / "bin"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("NCA_", "GRADIO_"))}
        self.environ = kept | {"NCA_GARDEN_HOME": str(place / "home")}

    def run(self, interpreter: Path, torch: str) -> list[str]:
        """Install and run; a row of the table."""
        self.place.mkdir(parents=True, exist_ok=True)
        if not self.bin.exists():
            subprocess.run([interpreter, "-m", "venv", self.bin.parent], check=True)
        for leftover in ("home", "lizard"):
            shutil.rmtree(self.place / leftover, ignore_errors=True)
        full = self.output(self.bin / "python", "-c", "import sys; print(sys.version.split()[0])")
        # The other pins of `make run`. As an environment variable they take the place of a
        # constraint in the machine's own settings of pip.
        pins = self.place / "constraints.txt"
        lines = (ROOT / "requirements.txt").read_text().splitlines()
        pins.write_text("\n".join([*(x for x in lines if x[:5] != "torch"), f"torch=={torch}"]))
        self.environ["PIP_CONSTRAINT"] = str(pins)
        install = ("python", "-m", "pip", "install", "-q", "--force-reinstall", "--no-deps")
        said = self.problem("python", "-m", "pip", "install", "-q", f"{self.wheel}[app]")
        if said == "yes":  # the wheel of an earlier time has the same version
            said = self.problem(*install, str(self.wheel))
        if said != "yes":
            return [full, torch, said, "", "", ""]
        build = self.output(self.bin / "python", "-c", "import torch; print(torch.__version__)")
        run, film = self.place / "lizard", self.place / "lizard.gif"
        train = "--emoji 🦎 --size 16 --padding 4 --iterations 20 --out".split()
        return [
            full,
            build,
            self.problem("nca", "train", *train, run),
            self.problem("nca", "grow", run, "--damage", "half-left@100", "--out", film),
            self.problem("nca", "evaluate", run),
            self.serve(),
        ]

    def output(self, *command: str | Path) -> str:
        """What a command prints."""
        return subprocess.check_output(command, text=True, env=self.environ).strip()

    def problem(self, name: str, *arguments: str | Path) -> str:
        """`yes`, or the last line of what a command of the environment complains about."""
        done = subprocess.run(
            [self.bin / name, *arguments], cwd=self.place, env=self.environ, timeout=7200,
            capture_output=True, text=True, encoding="utf-8",
        )  # fmt: skip
        if done.returncode == 0 and "Traceback" not in done.stderr:
            return "yes"
        print(done.stdout[-2000:], done.stderr[-4000:], file=sys.stderr, flush=True)
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        return f"no: {' '.join(last.split())[:200]}"

    def serve(self) -> str:
        """Whether `nca serve` answers, trains through its page, and ends when asked."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = self.place / "serve.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [self.bin / "nca", "serve", "--port", str(port)],
                cwd=self.place, env=self.environ, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            for _ in range(600):
                if process.poll() is not None:
                    break
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60).close()
                    break
                except OSError:
                    time.sleep(0.5)
            said = self.problem("python", "-c", ON_THE_PAGE, f"http://127.0.0.1:{port}/")
            process.send_signal(signal.SIGTERM)
            if process.wait(60) != 0 and said == "yes":
                said = "no: it did not end cleanly"
        finally:
            process.kill()
            process.wait()
        if "Traceback" in log.read_text("utf-8", "replace"):
            print(log.read_text("utf-8", "replace")[-4000:], file=sys.stderr)
            return said if said != "yes" else "no: a traceback in its log"
        return said


def with_row(text: str, row: list[str]) -> str:
    """The README with a row of the table replaced or added, sorted by versions."""
    before, begin, rest = text.partition(BEGIN)
    table, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"README.md has no lines {BEGIN.strip()} and {END}.")
    rows = {tuple(cells(line)[:2]): cells(line) for line in table.splitlines()[2:]}
    # One row for a minor version of Python and a release of torch, whatever its build.
    same = {key for key in rows if short(key) == short(row)}
    rows = {key: value for key, value in rows.items() if key not in same} | {tuple(row[:2]): row}
    lines = [f"| {' | '.join(rows[key])} |\n" for key in sorted(rows, key=numbers)]
    return before + begin + HEAD + "".join(lines) + end + after


def cells(line: str) -> list[str]:
    """The cells of a row of a Markdown table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def short(row: list[str] | tuple[str, ...]) -> tuple[str, str]:
    """Python without its last number, and torch without its build."""
    return row[0].rpartition(".")[0], row[1].partition("+")[0]


def numbers(row: tuple[str, ...]) -> list[list[int]]:
    """Both versions as numbers, to sort by."""
    return [[int(n) for n in re.findall(r"\d+", cell.partition("+")[0])] for cell in row[:2]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

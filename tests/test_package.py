"""The wheel, installed where nothing else is: `make package` runs this; it takes minutes."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import pytest

from nca.hub.space import space_files
from tests.hub_server import HubServer

ROOT = Path(__file__).parents[1]
PLAIN = {k: v for k, v in os.environ.items() if not k.startswith(("NCA_", "GRADIO_", "PYTHON"))}

pytestmark = [pytest.mark.package, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("nca_garden-*.whl")
    return wheel


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An environment with pip alone, and an empty working folder."""
    folder = tmp_path_factory.mktemp("place")
    subprocess.run([sys.executable, "-m", "venv", folder / "environment"], check=True)
    return folder


@pytest.fixture(scope="module")
def core(place, wheel):
    install(place, wheel)
    return place


@pytest.fixture(scope="module")
def app(core, wheel):
    install(core, f"nca-garden[app] @ {wheel.as_uri()}")
    return core


def install(place, what):
    python = place / "environment" / "bin" / "python"
    pins = ["-c", ROOT / "requirements.txt"]
    subprocess.run([python, "-m", "pip", "install", "-q", *pins, what], check=True, cwd=place)


def nca(place, *arguments, **environ):
    return subprocess.run(
        [place / "environment" / "bin" / "nca", *arguments],
        cwd=place, env=PLAIN | {"NCA_GARDEN_HOME": str(place / "home")} | environ,
        capture_output=True, text=True, encoding="utf-8", timeout=300,
    )  # fmt: skip


def shipped(place):
    (folder,) = (place / "environment").glob("lib/python*/site-packages/nca/shipped")
    return folder


def test_the_wheel_is_small_and_holds_what_it_needs(wheel):
    assert wheel.stat().st_size < 4 * 2**20
    names = zipfile.ZipFile(wheel).namelist()
    for part in (
        "nca/py.typed", "nca/player/wasm/nca.wasm", "nca/player/web/player.js", "nca/ui/style.css",
        "nca/shipped/index.json", "nca/shipped/lizard-regenerating/model.safetensors",
        "nca/pretrained.safetensors",
    ):  # fmt: skip
        assert part in names
    assert {n.split("/")[2] for n in names if n.startswith("nca/_space/")} == {
        "app.py", "requirements.txt", "packages.txt", "README.md", "LICENSE", "docs",
    }  # fmt: skip
    assert not [name for name in names if name.endswith((".gif", ".pyc", ".ts"))]
    assert {name.split("/")[0].split("-")[0] for name in names} == {"nca", "nca_garden"}


def test_the_core_grows_a_shipped_lizard_without_gradio(core):
    done = nca(
        core, "grow", shipped(core) / "lizard-regenerating", "--steps", "8", "--out", "a.gif"
    )
    assert done.returncode == 0 and (core / "a.gif").stat().st_size > 1000, done.stderr
    listed = subprocess.run(
        [core / "environment" / "bin" / "python", "-m", "pip", "list"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert not {"gradio", "pandas", "imageio"} & set(listed.split())


def test_it_says_its_version(core):
    done = nca(core, "--version")
    assert done.returncode == 0 and done.stdout.startswith("nca-garden 0."), done.stderr


def test_the_installed_package_deploys_a_space(core):
    """The same package and automata as from a checkout, and all that starts them."""
    with HubServer() as hub:
        environ = {"HF_TOKEN": hub.user("ann"), "HF_ENDPOINT": hub.endpoint}
        done = nca(core, "deploy-space", "ann/garden", "--hardware", "zero-a10g", **environ)
        assert done.returncode == 0, done.stderr
        space = hub.repos["space", "ann/garden"]
    files = space.files()
    assert space.hardware == "zero-a10g"
    checkout = space_files(ROOT)
    same = {name for name in files if files[name] == checkout.get(name)}
    assert files.keys() - same == {"README.md"}  # without the pictures that no wheel holds
    assert {"app.py", "requirements.txt", "packages.txt", "nca/ui/page.py"} <= same
    assert "checkpoints/lizard-regenerating/model.safetensors" in same
    for name in re.findall(r"!\[[^]]*\]\(([^):]+)\)", files["README.md"].decode()):
        assert name in files


def test_the_core_names_what_to_install(core):
    for arguments in (
        ("serve",),
        ("grow", shipped(core) / "lizard-regenerating", "--steps", "8", "--out", "a.mp4"),
    ):
        done = nca(core, *arguments)
        assert done.returncode == 2 and "pip install 'nca-garden[app]'" in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_serve_opens_the_page_with_the_shipped_checkpoints(app):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = app / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [app / "environment" / "bin" / "nca", "serve", "--port", str(port)],
            cwd=app, env=PLAIN | {"NCA_GARDEN_HOME": str(app / "home")},
            stdout=output, stderr=output,
        )  # fmt: skip
    try:
        until = time.monotonic() + 240
        while True:
            assert process.poll() is None and time.monotonic() < until, log.read_text("utf-8")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
                    assert b"NCA Garden" in answer.read()
                break
            except OSError:
                time.sleep(0.2)
        busy = nca(app, "serve", "--port", str(port))
        assert busy.returncode == 2 and "--port" in busy.stderr.splitlines()[-1]
        client = f"""
from gradio_client import Client
client = Client("http://127.0.0.1:{port}", verbose=False)
print(*(one["checkpoint"] for one in client.predict(api_name="/list_checkpoints")))
"""
        listed = subprocess.run(
            [app / "environment" / "bin" / "python", "-c", client],
            check=True, capture_output=True, text=True, timeout=120,
        ).stdout  # fmt: skip
        assert "lizard-regenerating" in listed and "skyline-photo" in listed
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text("utf-8")

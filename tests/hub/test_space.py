"""Deploying the garden as a Space, to the loopback Hub, by the genuine client."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from nca.config import BadInput
from nca.hub import deploy_site, deploy_space
from nca.hub.space import belongs, space_files
from tests.jobs_kit import wait_for

ROOT = Path(__file__).parents[2]
CARD = """---
title: NCA Garden
sdk: gradio
app_file: app.py
suggested_hardware: cpu-basic
---

![It grows](checkpoints/lizard/preview.gif)

![A screenshot](docs/missing.png)

# NCA Garden
"""


@pytest.fixture
def project(tmp_path):
    """The project's own package with the smallest page around it, and things that must stay."""
    root = tmp_path / "checkout"
    for path in (ROOT / "nca").rglob("*"):
        name = path.relative_to(ROOT).as_posix()
        if path.is_file() and belongs(name):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(path.read_bytes())
    (root / "README.md").write_text(CARD)
    (root / "app.py").write_text("import nca.config\nprint('the page of', nca.__version__)\n")
    (root / "requirements.txt").write_text("")
    (root / "Makefile").write_text("run:\n\t$(PYTHON) app.py\n")
    (root / "checkpoints/lizard").mkdir(parents=True)
    (root / "checkpoints/lizard/model.safetensors").write_bytes(bytes(range(256)))
    (root / "checkpoints/lizard/preview.gif").write_bytes(b"GIF89a\0\0")
    for stray in (
        ".env",
        "token",
        "nca/.secret.py",
        "nca/__pycache__/x.py",
        "nca/player/node_modules/thing/index.js",
        ".venv/lib/x.py",
        "runs/1/model.safetensors",
        "checkpoints/lizard/resume.pt",
        "nca/garden.sqlite3",
        ".git/config",
    ):
        (root / stray).parent.mkdir(parents=True, exist_ok=True)
        (root / stray).write_text("stays here")
    (tmp_path / "outside.py").write_text("stays here")
    (root / "nca/linked.py").symlink_to(tmp_path / "outside.py")
    return root


def write_tree(files, folder):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.mark.long
def test_make_run_serves_the_page_from_what_was_deployed(server, hub, tmp_path):
    """The whole project, as it is in this checkout, to the Hub and into another folder."""
    deploy_space(hub, ROOT, "ann/garden", token=server.user("ann"))
    there, venv = tmp_path / "there", tmp_path / "there/.venv"
    write_tree(server.repos["space", "ann/garden"].files(), there)
    # This environment in place of one installed anew: the same packages, from another folder.
    venv.mkdir()
    for part in Path(sys.prefix).iterdir():
        if not part.name.startswith("."):
            (venv / part.name).symlink_to(part)
    (venv / ".run-installed").touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    known = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    known |= {"GRADIO_SERVER_PORT": str(port), "NCA_GARDEN_HOME": str(tmp_path / "home")}
    log = tmp_path / "log.txt"
    with log.open("wb") as output:
        running = subprocess.Popen(
            ["make", "run"], cwd=there, env=known, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        page = wait_for(lambda: answer(f"http://127.0.0.1:{port}", running, log), 200, 0.2)
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(60)
    assert b"Teach a single cell to grow" in page
    assert (tmp_path / "home/garden.sqlite3").exists()


def answer(url, running, log):
    """What a server says, nothing while it does not answer."""
    assert running.poll() is None, log.read_text()
    try:
        with urllib.request.urlopen(url, timeout=10) as said:
            return said.read()
    except OSError:
        return b""


def test_a_site_arrives_as_a_static_space(server, hub):
    token, files = server.user("ann"), {"index.html": b"<title>x</title>", "emoji/0.png": b"art"}
    result = deploy_site(hub, files, "ann/site", token=token)
    space = server.repos["space", "ann/site"]
    assert result.commit == space.refs["main"]
    assert files.items() <= space.files().items()
    front = space.files()["README.md"].decode().split("---\n")[1]
    assert yaml.safe_load(front)["sdk"] == "static"
    assert deploy_site(hub, files, "ann/site", token=token).commit is None
    space.commit({"notes-of-the-owner.md": b"mine"})
    del files["emoji/0.png"]
    assert deploy_site(hub, files, "ann/site", token=token).commit
    assert "emoji/0.png" not in space.files() and "notes-of-the-owner.md" in space.files()


def test_the_tree_arrives(server, hub, project):
    token = server.user("ann")
    result = deploy_space(hub, project, "ann/garden", token=token)
    space = server.repos["space", "ann/garden"]
    assert result.url == f"{server.endpoint}/spaces/ann/garden"
    assert result.commit == space.refs["main"] and len(space.commits) == 2
    files = space.files()
    assert files.keys() == space_files(project).keys()
    assert not [name for name, data in files.items() if b"stays here" in data]

    assert deploy_space(hub, project, "ann/garden", token=token).commit is None
    (project / "nca/card.py").unlink()
    space.commit({"notes-of-the-owner.md": b"mine"})
    assert deploy_space(hub, project, "ann/garden", token=token).commit
    assert "nca/card.py" not in space.files() and "notes-of-the-owner.md" in space.files()


def test_a_free_account_is_told_what_it_can_have(server, hub, project):
    token = server.user("ann")
    server.free.add("ann")
    for hardware in (None, "cpu-basic", "t4-small"):
        with pytest.raises(BadInput, match="two Spaces on ZeroGPU: please add --hardware zero-a"):
            deploy_space(hub, project, "ann/garden", token=token, hardware=hardware)
    assert not server.repos
    for name in ("ann/garden", "ann/second"):
        deploy_space(hub, project, name, token=token, hardware="zero-a10g")
    with pytest.raises(BadInput, match="no more Spaces on ZeroGPU"):
        deploy_space(hub, project, "ann/third", token=token, hardware="zero-a10g")
    with pytest.raises(BadInput, match="no hardware t4; the Hub has cpu-basic, .*t4-small"):
        deploy_space(hub, project, "ann/garden", token=token, hardware="t4")
    # A Space that is there keeps its hardware, and changes it when asked.
    deploy_space(hub, project, "ann/garden", token=token)
    assert server.repos["space", "ann/garden"].hardware == "zero-a10g"
    with pytest.raises(BadInput, match="add --hardware zero-a10g"):
        deploy_space(hub, project, "ann/garden", token=token, hardware="t4-small")
    server.free.clear()
    deploy_space(hub, project, "ann/garden", token=token, hardware="t4-small")
    assert server.repos["space", "ann/garden"].hardware == "t4-small"


def test_the_readme_fits_the_hardware(server, hub, project):
    token = server.user("ann")
    (project / "docs").mkdir()
    (project / "docs/grow.png").write_bytes(b"PNG\0")
    space = server.repo("ann/garden", "space")
    for hardware, suggested in (("zero-a10g", None), ("t4-small", "t4-small")):
        deploy_space(hub, project, "ann/garden", token=token, hardware=hardware)
        assert space.metadata.get("suggested_hardware") == suggested
        thumbnail = f"{server.endpoint}/spaces/ann/garden/resolve/main/docs/grow.png"
        assert space.metadata["thumbnail"] == thumbnail and space.metadata["sdk"] == "gradio"
    text = space.files()["README.md"].decode()
    assert "![It grows]" in text and "missing.png" not in text and "# NCA Garden" in text


def test_the_settings_of_the_space_fit_zerogpu():
    """Python as ZeroGPU has it, and a torch and `spaces` for that Python."""
    front = yaml.safe_load((ROOT / "README.md").read_text().split("---\n")[1])
    assert front["python_version"] == "3.12.12" and "suggested_hardware" not in front
    asked = (ROOT / "requirements.txt").read_text()
    assert 'torch==2.11.0; python_version == "3.12"' in asked and "spaces==" in asked
    assert f"gradio=={front['sdk_version']}" in asked


def test_a_token_in_a_file_stops_the_deployment(server, hub, project):
    token = server.user("ann")
    (project / "nca/config.py").write_text(f"TOKEN = '{token}'")
    with pytest.raises(BadInput, match="nca/config.py contains your token") as caught:
        deploy_space(hub, project, "ann/garden", token=token)
    assert token not in str(caught.value) and server.requests == []


def test_what_is_no_space_is_not_deployed(server, hub, project):
    (project / "README.md").write_text("# no front matter\n")
    with pytest.raises(BadInput, match="settings of a Gradio Space"):
        deploy_space(hub, project, "ann/garden", token=server.user("ann"))
    (project / "README.md").write_text(CARD)
    with pytest.raises(BadInput, match="write access"):
        deploy_space(hub, project, "ann/garden", token=server.user("ann", "read"))
    with pytest.raises(BadInput, match="write access"):
        deploy_space(hub, project, "bob/garden", token=server.user("ann"))
    with pytest.raises(BadInput, match="sign in"):
        deploy_space(hub, project, "ann/garden", token=False)

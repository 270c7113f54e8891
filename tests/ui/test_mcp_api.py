"""The public endpoints as a script sees them, and what stays closed."""

import base64
import io
import re
import secrets
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

NAMES = {"/train", "/job", "/grow", "/evaluate", "/list_checkpoints", "/pull"}


@pytest.fixture(scope="module")
def client(garden_server) -> Client:
    return Client(garden_server.url, verbose=False)


def test_six_documented_endpoints(client):
    published = client.view_api(return_format="dict", print_info=False)
    assert set(published["named_endpoints"]) == NAMES and not published["unnamed_endpoints"]
    for name, about in published["named_endpoints"].items():
        assert about["description"], name
        assert all(parameter["type"] != {} for parameter in about["parameters"]), name


def test_train_grow_evaluate(client, trained):
    about = client.predict(trained["job"], trained["key"], api_name="/job")
    assert about["state"] == "finished" and about["iteration"] == 6
    assert "folder" not in about
    mine = client.predict(key=trained["key"], api_name="/list_checkpoints")
    assert {"checkpoint": trained["checkpoint"], "title": "🐞", "from": "Mine"} in mine
    options = {"checkpoint": trained["checkpoint"], "key": trained["key"], "api_name": "/grow"}
    grown = client.predict(steps=20, damage="half-left", damage_at=10, **options)
    film = Image.open(io.BytesIO(base64.b64decode(grown["gif"])))
    assert film.format == "GIF" and grown["steps"] == 20 and -12 <= grown["log10_error"] <= 12
    scores = client.predict(trained["checkpoint"], key=trained["key"], api_name="/evaluate")
    assert "log10 error at step 96" in scores["brief"]


def test_refusals_are_sentences(client, trained, garden_server):
    jobs = set(garden_server.jobs())
    mine, thief = {"checkpoint": trained["checkpoint"]}, secrets.token_hex(16)
    for name, values, sentence in (
        ("/job", {"job": trained["job"], "key": thief}, "not yours"),
        ("/job", {"job": "../..", "key": trained["key"]}, "not yours"),
        ("/grow", mine, "not yours"),
        ("/grow", mine | {"key": thief}, "not yours"),
        (
            "/grow",
            mine | {"key": trained["key"], "steps": 10**9},
            "steps: it must be .* 1 to 600",
        ),
        (
            "/grow",
            mine | {"key": trained["key"], "seed": -1},
            "seed: it must be .* from 0",
        ),
        ("/grow", mine | {"key": trained["key"], "damage": "all"}, "no damage called"),
        ("/grow", {"checkpoint": "shipped:../jobs"}, "not yours"),
        ("/grow", {"checkpoint": f"kept:../{thief}", "key": thief}, "not yours"),
        ("/evaluate", mine | {"key": thief}, "not yours"),
        ("/train", {"emoji": "two"}, "emoji"),
        ("/train", {"size": 10**6}, "size"),
        ("/train", {"iterations": 10**9}, "iterations"),
        ("/train", {"recipe": "../x"}, "recipe"),
        ("/train", {"picture": "!"}, "base64"),
        ("/train", {"key": "short"}, "32 hex digits"),
        ("/pull", {"repo": "a/../b"}, "user/name"),
        ("/pull", {"repo": "nobody/nothing"}, "There is no nobody/nothing"),
        ("/list_checkpoints", {"where": "/etc"}, "look here"),
    ):
        with pytest.raises(AppError, match=sentence):
            client.predict(api_name=name, **values)
    assert set(garden_server.jobs()) == jobs


def test_pull_by_script(client, hub, trained, garden_server):
    folder = garden_server.home / "jobs" / trained["job"]
    repo = hub.repo("eve/beetle")
    repo.commit(
        {name: (folder / name).read_bytes() for name in ("model.safetensors", "target.png")}
    )
    pulled = client.predict("eve/beetle", api_name="/pull")
    options = {"steps": 12, "seed": 4, "api_name": "/grow"}
    theirs = client.predict(pulled["checkpoint"], key=pulled["key"], **options)
    assert theirs == client.predict(trained["checkpoint"], key=trained["key"], **options)


def test_without_mcp_it_says_what_to_install(garden_server):
    """This server runs with NCA_GARDEN_MCP=1."""
    try:
        import mcp  # noqa: F401
    except ImportError:
        assert "pip install 'mcp>=1.21,<2'" in garden_server.log.read_text()
    else:
        pytest.skip("it is installed here")


def test_the_readme_example(client, garden_server):
    text = (Path(__file__).parents[2] / "README.md").read_text()
    found = re.search(r"```python\n(from gradio_client.*?)```", text, re.DOTALL)
    code = found[1].replace("http://127.0.0.1:7860", garden_server.url)
    exec(compile(code, "README.md", "exec"), {})

"""The public endpoints as a script sees them, and what stays closed."""

import asyncio
import base64
import io
import json
import re
import secrets
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from PIL import Image

from nca.ui.page import has_mcp, set_up_mcp

NAMES = {"/train", "/job", "/grow", "/evaluate", "/list_checkpoints", "/pull"}


@pytest.fixture(scope="module")
def client(garden_server) -> Client:
    return Client(garden_server.url, verbose=False)


def test_six_documented_endpoints(client):
    published = client.view_api(return_format="dict", print_info=False)
    assert set(published["named_endpoints"]) == NAMES and not published["unnamed_endpoints"]
    for name, about in published["named_endpoints"].items():
        assert about["description"], name
        for parameter in about["parameters"]:
            assert parameter["label"] == parameter["parameter_name"]
            assert parameter["type"]["type"] in ("string", "integer", "boolean")
            assert parameter["python_type"]["description"], parameter
        (answer,) = about["returns"]
        assert answer["type"]["type"] in ("object", "array") and "$ref" not in str(answer)
    grow = published["named_endpoints"]["/grow"]
    assert grow["parameters"][3]["python_type"]["description"].endswith("scrub, scatter.")
    assert set(grow["returns"][0]["type"]["properties"]) == {
        "steps", "alive", "log10_error", "gif",
    }  # fmt: skip


def test_train_grow(client, trained):
    about = client.predict(trained["job"], trained["key"], api_name="/job")
    assert about["state"] == "finished" and about["iteration"] == 6
    assert "folder" not in about
    mine = client.predict(key=trained["key"], api_name="/list_checkpoints")
    assert {"checkpoint": trained["checkpoint"], "title": "🐞", "from": "Mine"} in mine
    options = {"checkpoint": trained["checkpoint"], "key": trained["key"], "api_name": "/grow"}
    grown = client.predict(steps=20, damage="half-left", damage_at=10, **options)
    film = Image.open(io.BytesIO(base64.b64decode(grown["gif"])))
    assert film.format == "GIF" and grown["steps"] == 20 and -12 <= grown["log10_error"] <= 12
    # Drawn as fine as its decoder can, where it has one.
    shipped = {"checkpoint": "lizard-regenerating", "steps": 2, "scale": 3, "api_name": "/grow"}
    cells, fine = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(grown["gif"]))).convert("RGBA"))
        for grown in (client.predict(**shipped), client.predict(**shipped, fine=True))
    )
    assert cells.shape == fine.shape == (216, 216, 4) and (cells != fine).any()


@pytest.mark.long
def test_one_of_ones_own_is_evaluated(client, trained):
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
        ("/grow", {"checkpoint": "lizard-regenerating", "scale": 999}, "scale: .* 1 to 16"),
        ("/grow", {"checkpoint": "lizard-regenerating", "fine": "very"}, "fine as true or false"),
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
        ("/train", {"emoji": "🦎 " * 13}, "at most 12 emoji"),
        (
            "/grow",
            {"checkpoint": "lizard-regenerating", "kind": 2},
            "no kind 2; this automaton has",
        ),
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


def test_a_list_of_values_may_end_early(client, garden_server):
    """As scripts send it that were written when there were fewer; what has no default is named."""
    named = "the values of grow in this order: checkpoint, steps, seed, damage"
    for data, expected in (([], named), (["lizard-regenerating", 5], '"gif":')):
        body = json.dumps({"data": data}).encode()
        url, kind = f"{client.src}gradio_api/call/grow", {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, body, kind)) as answer:
            event = json.loads(answer.read())["event_id"]
        with urllib.request.urlopen(f"{url}/{event}") as answer:
            said = answer.read().decode()
        assert expected in said.replace('": ', '":')
    assert "enough input values" not in garden_server.log.read_text()


def test_a_picture_as_an_uploaded_file(client, garden_server, tmp_path):
    Image.new("RGB", (9, 9), "red").save(tmp_path / "red.png")
    options = {"size": 8, "padding": 4, "iterations": 1, "api_name": "/train"}
    started = client.predict(picture=handle_file(tmp_path / "red.png"), **options)
    folder = garden_server.home / "jobs" / started["job"]
    assert Image.open(folder / "target.png").convert("RGB").getpixel((8, 8))[0] > 200
    with pytest.raises(AppError, match="as base64 or as an uploaded file"):
        client.predict(picture={"path": str(folder / "target.png")}, **options)


def test_a_language_model_gets_a_picture(garden_server, trained):
    """By MCP, with its own client: what it reads of `grow`, and what it gets."""

    async def talk():
        async with (
            streamablehttp_client(f"{garden_server.url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            options = {"checkpoint": trained["checkpoint"], "key": trained["key"], "steps": 20}
            (name,) = [name for name in tools if name.endswith("grow")]
            return tools[name], await session.call_tool(name, options)

    # In a thread: Playwright's event loop may run in this one when a browser test came before.
    with ThreadPoolExecutor(1) as pool:
        tool, answer = pool.submit(asyncio.run, talk()).result()
    assert "scrub, scatter" in tool.inputSchema["properties"]["damage"]["description"]
    image, text = answer.content
    picture = Image.open(io.BytesIO(base64.b64decode(image.data)))
    assert image.mimeType == "image/png" and picture.width == 5 * picture.height
    assert len(text.text) < 500 and "5 moments" in text.text and "log10_error" in text.text


def test_without_mcp_it_says_what_to_install(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "mcp", None)
    set_up_mcp()
    assert not has_mcp()
    assert "pip install 'mcp>=1.21,<2'" in caplog.text


def test_the_readme_example(client, garden_server):
    text = (Path(__file__).parents[2] / "README.md").read_text()
    found = re.search(r"```python\n(from gradio_client.*?)```", text, re.DOTALL)
    code = found[1].replace("http://127.0.0.1:7860", garden_server.url)
    exec(compile(code, "README.md", "exec"), {})

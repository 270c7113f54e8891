"""Every named endpoint, with whatever JSON can hold: an answer or a sentence, never a failure."""

import base64
import io
import json
import re
import secrets
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.attacks.attacker import APOLOGY, Attacker

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
NASTY = st.sampled_from(
    ["", " ", "\x00", "\ud800", "\x1b[31m", "../../etc/passwd", "/etc/passwd", "C:\\boot.ini",
     "%2e%2e", "<img src=x onerror=alert(1)>", "{{7*7}}", "${HOME}", "'; drop table jobs;--",
     "None", "null", "\u202e", "a" * 5000, "🦎" * 200, "NaN", "1e309", "9" * 400, "-0"]
)  # fmt: skip
NUMBERS = st.sampled_from(
    [0, -1, 1, 2**31, 2**32, 2**63, 2**64, 10**30, 0.5, 1e300, -0.0, float("nan"), float("inf"),
     True]
)  # fmt: skip


def _packed(image: Image.Image, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


SMALL = _packed(Image.new("RGB", (9, 9), "red"))
KEYS = st.sampled_from(["", "my-key", "0" * 32, "0" * 31, "A" * 32, secrets.token_hex(16)])
NAMES = st.sampled_from(
    ["lizard-regenerating", "shipped:lizard-regenerating", "shipped:", "shipped:../x", "job:", ":",
     "job:" + "0" * 32, "job:x@1", "job:x@" + "9" * 40, "kept:" + "0" * 32, "kept:../..", "lizard",
     "shipped:lizard-regenerating@3", "hub:a/b", "shipped:\x00", "shipped:LIZARD-REGENERATING"]
)  # fmt: skip
PICTURES = st.sampled_from(
    ["", SMALL, f"data:image/png;base64,{SMALL}\n", SMALL[:60], "data:,x", "data:" * 99,
     "data:image/svg+xml;base64,PHN2Zy8+", _packed(Image.new("L", (1, 1))),
     _packed(Image.new("P", (300, 1)), "GIF")]
)  # fmt: skip
SHAPES = st.sampled_from(["", "half-left", "circle", "scatter", "axe"])
# What each parameter would be from a person, often enough that the rest of a call is reached.
GOOD = {
    "train": (
        st.sampled_from(["🦎", "", "🐞", "🦎🦎", "x"]),
        st.sampled_from(["quick", "growing", "photo", "none", "QUICK"]),
        st.integers(0, 20), st.integers(-1, 4), st.integers(-1, 3), st.integers(-1, 2**32),
        PICTURES, st.just("") | NAMES, KEYS,
    ),
    "job": (st.text("0123456789abcdef", min_size=32, max_size=32), KEYS),
    "grow": (
        NAMES, st.integers(0, 12), st.integers(-1, 5),
        SHAPES, st.integers(-1, 12), KEYS, st.integers(-1, 20), st.booleans(), st.integers(0, 2),
    ),
    "evaluate": (NAMES.filter(lambda name: "lizard-" not in name), st.just(0), KEYS),
    "list_checkpoints": (st.sampled_from(["here", "hub", "there"]), st.text(max_size=9), KEYS),
    "pull": (
        st.sampled_from(["a/b", "a/b@main", "a", "https://huggingface.co/a/b", "hf.co/../a", "//"]),
        KEYS,
    ),
}  # fmt: skip


@st.composite
def arguments(draw, name):
    """Values for an endpoint: mostly good ones, some anything; sometimes too few or too many."""
    values = [draw(st.one_of(good, good, good, NASTY, NUMBERS, JUNK)) for good in GOOD[name]]
    if draw(st.integers(0, 19)) == 0:
        values = values[: draw(st.integers(0, len(values)))]
    if draw(st.integers(0, 19)) == 0:
        values += draw(st.lists(JUNK, max_size=3))
    return values


@pytest.fixture(scope="module", autouse=True)
def no_training_goes_on(attacker: Attacker) -> Iterator[None]:
    yield
    attacker.end_trainings()


def is_sentence(words: str) -> bool:
    """Whether it is for a person: one line, no markup of Python, an end."""
    return bool(re.fullmatch(r"[A-Z“][^\n]{5,600}[.!?]", words)) and not re.search(
        r"Traceback|File \"|Error\b|Exception|object at 0x|errors\.pydantic", words
    )


def test_every_parameter_of_every_endpoint_is_tried(attacker: Attacker):
    published = json.loads(attacker.send("GET", "/gradio_api/info")[1])["named_endpoints"]
    expected = {
        name.removeprefix("/"): len(about["parameters"]) for name, about in published.items()
    }
    assert {name: len(parameters) for name, parameters in GOOD.items()} == expected


@pytest.mark.parametrize("name", GOOD)
@given(data=st.data())
def test_an_answer_or_a_sentence(attacker: Attacker, name, data):
    values = data.draw(arguments(name))
    answer = attacker.call(name, values)
    assert answer.status < 500, answer
    if answer.status != 200:
        assert answer.status in (400, 404, 422)
    elif answer.refusal is None:
        assert isinstance(answer.value, dict | list)
        if name == "train":
            assert re.fullmatch("[0-9a-f]{32}", answer.value["key"])
    elif len(values) == len(GOOD[name]) or answer.refusal:
        assert APOLOGY not in answer.refusal and is_sentence(answer.refusal), answer.refusal


@given(
    st.sampled_from(list(GOOD)),
    st.binary(max_size=40)
    | JUNK.map(lambda value: json.dumps(value).encode())
    | JUNK.map(lambda value: json.dumps({"data": value}).encode())
    | st.integers(1, 4000).map(lambda depth: b'{"data":' + b"[" * depth + b"]" * depth + b"}"),
    st.sampled_from(
        ["application/json", "", "text/plain", "multipart/form-data", "a/b; boundary="]
    ),
)
def test_bodies_that_are_no_call(attacker: Attacker, name, body, kind):
    status, said = attacker.send("POST", f"/gradio_api/call/{name}", body, kind)
    assert status < 500, said
    assert b"Traceback" not in said


def test_nothing_of_ours_failed(attacker: Attacker):
    """After all that: no handler met an error that it did not foresee, and the server is there."""
    assert "nca.ui.api" not in attacker.log()
    assert attacker.call("list_checkpoints", ["here", "lizard", ""]).value

"""Whatever does not fit a setting is refused in words that say what does."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nca.config import (
    BadInput,
    CheckpointInfo,
    InitialSource,
    Limits,
    NCAConfig,
    TargetConfig,
    TrainConfig,
    checked,
)
from nca.jobs.spec import JobSpec, Target
from nca.target import decode_picture
from nca.wording import join, pixels_text, size_text

pytestmark = pytest.mark.quick

MODELS = (NCAConfig, TrainConfig, TargetConfig, InitialSource, CheckpointInfo, Limits, JobSpec)
FIELDS = [(model, name) for model in MODELS for name in model.model_fields]
# What pydantic says, in words that are no use to somebody who types settings.
JARGON = re.compile(
    r"input|valid|tuple|pattern|string|integer|dictionary|instance|literal|parse|type|class|\\"
)
ODD = st.sampled_from(
    [None, True, "x", "", -1, 0, 1.5, 1e9, 10**40, float("nan"), float("inf"), [], [0], [-1, "x"],
     [1] * 99, [[1]], {}, {"a": 1}, "x" * 999, "\udcff", b"\xff", object(), "9" * 5000]
)  # fmt: skip


@given(st.sampled_from(FIELDS), ODD | st.text(max_size=9) | st.floats() | st.integers())
def test_every_setting_says_what_it_may_be(field, value):
    model, name = field
    others = {"title": "x"} if model is InitialSource else {}
    try:
        checked(model, others | {name: value})
    except BadInput as refusal:
        said = str(refusal)
        assert re.fullmatch(r"Please [^\n]+\.|There is no setting called [^\n]+\.", said)
        assert name in said or said.startswith(("Please check: ", "Please give title", "There is"))
        assert not JARGON.search(said.replace(name, "").lower()), said


@pytest.mark.parametrize(
    ("model", "values", "said"),
    [
        (NCAConfig, {"channels": 99}, "change channels: it must be a whole number from 4 to 32."),
        (NCAConfig, {"step_size": 0}, "it must be a number above 0 and at most 4."),
        (NCAConfig, {"hidden": 64}, "change hidden: it must be a list of 1 to 4 values, each a "
         "whole number from 1 to 1,024, such as [128]."),
        (NCAConfig, {"hidden": [8, 0]}, "change hidden: it must be a list of 1 to 4 values"),
        (NCAConfig, {"padding": "none"}, "change padding: it must be zero or circular."),
        (NCAConfig, {"bias": "perhaps"}, "change bias: it must be true or false."),
        (NCAConfig, {"chanels": 8}, "There is no setting called chanels; please write channels"),
        (NCAConfig, {"\x1b[31m": 8}, "There is no setting called [31m; please leave it out."),
        (JobSpec, {"device": "tpu"}, "device: it must be auto, cpu, cuda, or a card by its number"),
        (JobSpec, {"seed": -1}, "change seed: it must be a whole number from 0 to 4,294,967,295."),
        (JobSpec, {"train": {"batch": 0}}, "change batch: it must be a whole number from 1 to 64."),
        (JobSpec, {"initial": {}}, "give title: it must be text of at most 80 characters."),
        (JobSpec, [], "Please give the settings as names with values, a JSON object."),
        (Limits, {"turn_seconds": 0}, "it must be a number above 0 or null."),
        (TrainConfig, {"steps_min": 9, "steps_max": 8}, "Please check: the smallest number of"),
    ],
)  # fmt: skip
def test_in_plain_words(model, values, said):
    with pytest.raises(BadInput) as refusal:
        checked(model, values)
    assert said in str(refusal.value)


def test_an_unknown_change_is_compared_with_both_configs():
    target = Target(TargetConfig(), b"", "x")
    for wrong, right in (("chanels", "channels"), ("iteration", "iterations")):
        with pytest.raises(BadInput, match=f"called {wrong}; please write {right},"):
            JobSpec.from_recipe("quick", target, changes={wrong: 8})


@pytest.mark.parametrize("name", [None, 7, ["quick"], {}, "\x1b[31m", "x" * 999])
def test_a_recipe_that_is_none(name):
    with pytest.raises(BadInput, match="There is no recipe called .{1,50}; choose one of quick,"):
        JobSpec.from_recipe(name, Target(TargetConfig(), b"", "x"))


def test_join():
    assert [join("a"), join("ab"), join("abc", "and")] == ["a", "a or b", "a, b and c"]


def test_sizes():
    sizes = {5 * 2**20: "5 MB", 3 * 2**19: "1.5 MB", 2**20 - 1: "1023.9 kB", 900: "900 bytes"}
    assert {n: size_text(n) for n in sizes} == sizes
    pixels = {16_000_000: "16 megapixels", 1_990_000: "1.9 megapixels", 90_000: "90,000 pixels"}
    assert {n: pixels_text(n) for n in pixels} == pixels


def test_a_limit_below_one_megabyte_is_named():
    with pytest.raises(BadInput, match="use a picture of at most 64 kB"):
        decode_picture(bytes(2**16 + 1), limits=Limits(upload_bytes=2**16))

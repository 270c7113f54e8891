"""Configs: whatever JSON holds becomes a valid object or one sentence."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nca.config import (
    BadInput,
    CheckpointInfo,
    InitialSource,
    Limits,
    NCAConfig,
    TargetConfig,
    TrainConfig,
    checked,
    plain_text,
)
from nca.jobs.spec import JobSpec

pytestmark = pytest.mark.quick

MODELS = (NCAConfig, TrainConfig, TargetConfig, InitialSource, CheckpointInfo, Limits, JobSpec)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["fixed", "none", "quick", "pool", "worst", "cpu", "🦎", "adam", "cosine"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.sampled_from(MODELS), st.data())
def test_any_json_is_a_config_or_a_sentence(model, data):
    """Fields by their names with values of any kind; what is accepted survives its own JSON."""
    names = st.sampled_from([*model.model_fields, "unknown"])
    values = data.draw(st.dictionaries(names, JSON, max_size=6))
    try:
        config = checked(model, values)
    except BadInput as refusal:
        assert str(refusal) and len(str(refusal)) < 600
    else:
        assert model.model_validate_json(config.model_dump_json()) == config
        with pytest.raises(ValidationError):
            config.__class__.model_validate({**values, "unknown": 1})


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("🦎 Lizard", "🦎 Lizard"),
        ("\U0001fae8 \U0001fadf", "\U0001fae8 \U0001fadf"),  # newer than Python 3.11 knows
        ("\x1b]0;pwned\x07Lizard\x1b[31m", "]0;pwnedLizard[31m"),
        ("a\u202eb\u2066c\u200ed\ufeff", "abcd"),
        ("two\nlines\tand  spaces\u2028more", "two lines and spaces more"),
        ("👩‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 1️⃣", "👩‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 1️⃣"),
        ("\x00\x9b", "automaton"),
        ("caf\udce9", "caf"),
    ],
)
def test_titles_hold_nothing_that_a_terminal_acts_on(title, shown):
    assert CheckpointInfo(title=title).title == shown
    assert JobSpec(title=title).title == shown and InitialSource(title=title).title == shown
    assert plain_text(shown) == shown
    assert CheckpointInfo.model_validate_json(json.dumps({"title": shown})).title == shown

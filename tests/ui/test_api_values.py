"""What clients of the public endpoints send, in the forms they send it in."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nca.catalog import Catalog
from nca.config import BadInput
from nca.jobs import JobQueue
from nca.settings import Settings
from nca.ui.api import values

KEY = "0123456789abcdef" * 2
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, secret="x" * 16)
    queue = JobQueue(home, settings.limits, devices=("cpu",))
    yield Catalog(settings, queue)
    queue.close()


@given(
    st.binary(min_size=1, max_size=600),
    st.sampled_from(["plain", "lines", "unpadded", "address"]),
    st.sampled_from(["", "data:image/png;base64,", "data:;base64,", "DATA:image/gif;Base64,"]),
    st.sampled_from(["", "\n", " \r\n"]),
)
def test_pictures_in_base64_as_programs_write_it(data, form, prefix, end):
    packed = base64.b64encode(data).decode()
    if form == "lines":
        packed = "\r\n".join(packed[at : at + 76] for at in range(0, len(packed), 76))
    elif form == "unpadded":
        packed = packed.rstrip("=")
    elif form == "address":
        packed = base64.urlsafe_b64encode(data).decode()
    assert values.picture(prefix + packed + end, 1000) == data


@pytest.mark.parametrize(
    "sent",
    ["!", "data:image/png,abcd", "data:image/png;base64,", "data:image/png;base64", "=", "a", "äöü",
     "A" * 1400, "A" * 9999, 7, ["abcd"], {"path": "/etc/passwd"}, b"abcd", True],
)  # fmt: skip
def test_what_is_no_picture(sent):
    with pytest.raises(BadInput, match="as base64 or as an uploaded file, at most 1000 bytes."):
        values.picture(sent, 1000)
    assert values.picture("", 1000) is None and values.picture(None, 1000) is None


@pytest.mark.parametrize("sent", [20, 20.0, "20", " 20 "])
def test_whole_numbers(sent):
    assert values.whole(sent, 1, 600, "steps") == 20


@given(JUNK)
def test_anything_is_a_whole_number_in_range_or_refused(sent):
    try:
        assert 1 <= values.whole(sent, 1, 1600, "steps") <= 1600
    except BadInput as refusal:
        assert str(refusal) == "Please change steps: it must be a whole number from 1 to 1,600."


def test_keys(catalog):
    assert values.key_or_none(f" {KEY}\n") == KEY and values.key_or_none(None) == ""
    assert values.key_or_new(KEY) == KEY and len(values.key_or_new("")) == 32
    for wrong in ("my-key", KEY[:-1], KEY + "0", KEY.upper()):
        with pytest.raises(BadInput, match="A key is 32 hex digits"):
            values.key_or_new(wrong)
    with pytest.raises(BadInput, match="give key as text"):
        values.key_or_none(7)
    with pytest.raises(BadInput, match="give key as valid Unicode"):
        values.key_or_none("\ud800")


def test_names_of_checkpoints(catalog):
    for name in ("lizard-regenerating", " shipped:lizard-regenerating\n"):
        ref = values.checkpoint(name, catalog)
        assert catalog.load("", ref).folder.name == "lizard-regenerating"
    for wrong in ("lizard", "../lizard-regenerating", "/etc", "\x00", "."):
        with pytest.raises(BadInput, match="list_checkpoints names all there are"):
            values.checkpoint(wrong, catalog)
    for wrong in ("shipped:../x", "kept:x", "job:x", "hub:a/b", "job:" + "0" * 32, ":"):
        with pytest.raises(BadInput, match="no such training or checkpoint"):
            catalog.load(KEY, values.checkpoint(wrong, catalog))
    with pytest.raises(BadInput, match="choose an automaton"):
        values.checkpoint(None, catalog)

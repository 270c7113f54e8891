"""Logs are one line or one JSON object per record, with the job's id and without secrets."""

import io
import json
import logging
import subprocess
import sys

import pytest

from nca.logs import Formatter, Redact, RedactedStream, job_logger, redact

pytestmark = pytest.mark.quick

TOKEN = "hf_plantedTOKEN00000000000000000000"
KEY = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"pushed with {TOKEN}.", "pushed with [redacted]."),
        (f"token='{TOKEN}'", "token='[redacted]'"),
        ("Authorization: Bearer abc.def-ghi, next", "Authorization: Bearer [redacted], next"),
        ("proxy http://me:secret@host:1/x failed", "proxy http://[redacted]@host:1/x failed"),
        (f"/?key={KEY}&x=1", "/?key=[redacted]&x=1"),
        ("a hash of 40 digits: " + "a" * 40, "a hash of 40 digits: " + "a" * 40),
        ("half_life 0.5 is no token", "half_life 0.5 is no token"),
    ],
)
def test_secrets_are_taken_out_and_nothing_else(text, left):
    assert redact(text) == left


def lines(as_json):
    """A logger whose records, secrets taken out, end in the text."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Formatter(as_json))
    handler.addFilter(Redact())
    logger = logging.Logger("nca.test")
    logger.addHandler(handler)
    return logger, stream


@pytest.mark.parametrize("as_json", [False, True])
def test_a_line_names_its_job_and_a_traceback_keeps_no_token(as_json):
    logger, stream = lines(as_json)
    job_logger(logger, "job-7").info("queued by %s", TOKEN)
    try:
        raise ValueError(f"refused: {TOKEN}")
    except ValueError:
        job_logger(logger, "job-7").exception("it failed")
    text = stream.getvalue()
    assert TOKEN not in text and text.count("[redacted]") == 2 and "Traceback" in text
    if as_json:
        first, second = map(json.loads, text.splitlines())
        assert first["job"] == second["job"] == "job-7"
        assert first["message"] == "queued by [redacted]" and first["level"] == "info"
        assert "ValueError" in second["traceback"]
    else:
        assert text.splitlines()[0].endswith("nca.test job job-7: queued by [redacted]")


def test_a_token_printed_in_pieces_is_still_taken_out():
    written = io.StringIO()
    stream = RedactedStream(written)
    print("it is", TOKEN[:10], end="", file=stream)
    print(TOKEN[10:], file=stream)
    print("no end yet", end="", file=stream)
    assert written.getvalue() == "it is [redacted]\n"
    stream.flush()
    assert written.getvalue() == "it is [redacted]\nno end yet"


PRINTS = f"""
import logging, sys, traceback
from nca.logs import set_up_logging
set_up_logging()
logging.getLogger("nca.x").info("one {TOKEN}")
logging.getLogger("another.library").warning("two {TOKEN}")
print("three {TOKEN}")
try:
    raise RuntimeError("four {TOKEN}")
except RuntimeError:
    traceback.print_exc()
sys.stderr.write("five {TOKEN} ")  # no end of line
raise SystemExit("six {TOKEN}")
"""


@pytest.mark.parametrize("form", ["", "json"])
def test_nothing_that_a_process_writes_holds_a_token(form):
    done = subprocess.run(
        [sys.executable, "-c", PRINTS], capture_output=True, text=True, env={"NCA_GARDEN_LOG": form}
    )
    said = done.stdout + done.stderr
    assert TOKEN not in said
    for word in ("one", "two", "three", "four", "five", "six"):
        assert word in said

"""What a server can be told is written down."""

import re
from pathlib import Path

import pytest

from nca.settings import limits_table

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.quick


def test_docs_list_every_limit():
    """What `python -c "import nca.settings as s; print(s.limits_table())"` prints."""
    assert limits_table() in (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")


def test_the_readme_lists_every_variable():
    sources = [ROOT / "app.py", *(ROOT / "nca").rglob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    read = set(re.findall(r"""["'](NCA_GARDEN_[A-Z_]+)["']""", code))
    assert len(read) > 4 and read == set(re.findall(r"`(NCA_GARDEN_[A-Z_]+)`", readme))

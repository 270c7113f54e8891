"""What a server can be told is written down."""

import os
import re
import tempfile
from pathlib import Path

import pytest

from nca.config import BadInput
from nca.files import own_temp_folder
from nca.settings import Settings, keep_compiled, limits_table

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


def test_without_a_home_folder_it_is_in_the_temp_folder(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("XDG_DATA_HOME", "NCA_GARDEN_HOME", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/proc/nobody")  # root, too, cannot write there
    settings = Settings.from_environment(os.environ)
    assert settings.home.is_relative_to(own_temp_folder()) and not settings.lasting
    assert own_temp_folder().stat().st_mode & 0o077 == 0
    (said,) = caplog.messages
    assert str(settings.home) in said and "NCA_GARDEN_HOME" in said
    with pytest.raises(BadInput, match="please set NCA_GARDEN_HOME"):
        Settings.from_environment(os.environ | {"NCA_GARDEN_HOME": "/proc/nobody/x"})


def test_a_secret_that_is_too_short_is_not_shown(tmp_path):
    home = {"NCA_GARDEN_HOME": str(tmp_path)}
    with pytest.raises(BadInput, match="at least 16 characters") as refusal:
        Settings.from_environment(home | {"NCA_GARDEN_SECRET": "too-short"})
    assert "too-short" not in str(refusal.value)
    (tmp_path / "secret").write_text("0123")  # cut by a full disk
    made = Settings.from_environment(home).secret
    assert len(made) == 32 and made == Settings.from_environment(home).secret
    assert (tmp_path / "secret").stat().st_mode & 0o077 == 0 or os.name == "nt"


def test_the_temp_folder_is_not_somebody_elses(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ours = own_temp_folder()
    assert own_temp_folder() == ours and ours.parent == tmp_path
    ours.rmdir()
    (tmp_path / "elsewhere").mkdir()
    ours.symlink_to(tmp_path / "elsewhere")
    assert own_temp_folder() != ours and own_temp_folder().parent == tmp_path


def test_on_a_space_with_storage_compiled_code_stays_there(tmp_path):
    settings = Settings(home=tmp_path, secret="x" * 16, space="ann/garden")
    environ = {}
    keep_compiled(settings, environ)
    assert environ == {"NUMBA_CACHE_DIR": str(tmp_path / "compiled")}
    for other in ({"lasting": False}, {"space": None}):
        environ = {}
        keep_compiled(settings.model_copy(update=other), environ)
        assert environ == {}

"""Which checkpoints there are, how they are named, and who may open them."""

import json

import pytest

from nca.catalog import Catalog, CheckpointRef, Kind
from nca.checkpoint import retitle, save_checkpoint, zip_checkpoint
from nca.config import BadInput, NCAConfig
from nca.jobs import JobQueue
from nca.model import NCA
from nca.settings import Settings
from tests.jobs_kit import tiny_target

pytestmark = pytest.mark.quick

ANN, BOB = "a" * 32, "b" * 32


@pytest.fixture
def catalog(tmp_path):
    nca = NCA(NCAConfig(channels=4, hidden=(4,)), 0)
    for name in ("apple", "lizard", "zebra"):
        save_checkpoint(tmp_path / "shipped" / name, nca, target=tiny_target(), preview=False)
    settings = Settings(home=tmp_path / "home", checkpoints=tmp_path / "shipped", secret="s" * 16)
    queue = JobQueue(settings.home, devices=("cpu",))
    yield Catalog(settings, queue)
    queue.close()


def test_a_name_is_read_as_it_is_written():
    for text in ("shipped:lizard", f"job:{ANN}", f"job:{ANN}@300", f"kept:{BOB}"):
        assert str(CheckpointRef.parse(text)) == text
    then = CheckpointRef.parse(f"job:{ANN}@300")
    assert then == CheckpointRef(Kind.JOB, ANN, 300) and then.is_snapshot
    assert str(then.newest) == f"job:{ANN}" and not then.newest.is_snapshot


@pytest.mark.parametrize(
    "text",
    ["/etc", "job:", "job", "other:x", "shipped:lizard@3", "kept:x@1", "job:x@y", "job:x@", 7,
     "shipped:../x", "shipped:\ud800"],
)  # fmt: skip
def test_what_is_no_name_is_refused(text):
    with pytest.raises(BadInput, match="not yours"):
        CheckpointRef.parse(text)


def test_nothing_chosen_says_so():
    for text in ("", None):
        with pytest.raises(BadInput, match="choose an automaton"):
            CheckpointRef.parse(text)


def test_the_index_orders_what_is_shipped_and_the_first_is_the_default(catalog):
    def names():
        return [entry.ref.id for entry in catalog.shipped()]

    assert names() == ["apple", "lizard", "zebra"]
    index = catalog.settings.checkpoints / "index.json"
    index.write_text(json.dumps({"order": ["lizard", "gone", "zebra"]}))
    assert names() == ["lizard", "zebra", "apple"]
    assert catalog.default(catalog.entries(ANN)).ref.id == "lizard"
    for broken in ("", "[]", '{"order": 3}'):
        index.write_text(broken)
        assert names() == ["apple", "lizard", "zebra"]


def test_an_upload_opens_for_its_owner_alone(catalog, tmp_path):
    file = tmp_path / "one.zip"
    file.write_bytes(zip_checkpoint(tmp_path / "shipped/zebra"))
    ref = catalog.upload(ANN, file)
    assert catalog.upload(ANN, file) == ref  # once, however often it is sent
    assert [entry.ref for entry in catalog.fetched(ANN)] == [ref]
    assert catalog.entries(ANN)[0].ref == ref and catalog.default(catalog.entries(ANN)).ref != ref
    assert catalog.load(ANN, str(ref)).nca.config.channels == 4
    for key in (BOB, ""):
        with pytest.raises(BadInput):
            catalog.load(key, ref)
    with pytest.raises(BadInput):
        catalog.folder(ANN, "shipped:../shipped/zebra")
    pushable = catalog.pushable(ANN)
    assert pushable[0].ref == ref and pushable[0].note == "Uploaded"
    assert len(pushable) == 4 and len(catalog.pushable(BOB)) == 3
    retitle(tmp_path / "shipped/apple", "another")  # otherwise the same
    file.write_bytes(zip_checkpoint(tmp_path / "shipped/apple"))
    own = catalog.upload(ANN, file, "Mine")
    assert {entry.ref: entry.note for entry in catalog.pushable(ANN)}[own] == "Mine"
    catalog.forget(ANN)
    assert catalog.fetched(ANN) == []


def test_what_another_upload_has_just_deleted_is_no_full_disk(catalog, tmp_path):
    data = zip_checkpoint(tmp_path / "shipped/zebra")
    catalog.collection.root.mkdir()
    (catalog.collection.root / ".new-0").symlink_to("gone")  # listed, and not there
    assert catalog.upload(ANN, data) in [entry.ref for entry in catalog.fetched(ANN)]


def test_the_shipped_index_names_every_shipped_checkpoint():
    root = Settings.model_fields["checkpoints"].get_default(call_default_factory=True)
    order = json.loads((root / "index.json").read_text())["order"]
    assert sorted(order) == sorted(path.parent.name for path in root.glob("*/model.safetensors"))

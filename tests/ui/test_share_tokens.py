"""Whose token a push may use: the visitor's, or this machine's for whoever sits at it."""

import io
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest

from nca.catalog import Catalog
from nca.checkpoint import save_checkpoint
from nca.config import BadInput, CheckpointInfo, NCAConfig
from nca.jobs import JobQueue
from nca.model import NCA
from nca.settings import Settings, can_hold_a_garden
from nca.ui import build_ui
from nca.ui.context import PageContext
from nca.ui.share.sign_in import OWN, PASTE, is_here
from nca.ui.share.tab import FROM_SOURCE, Handlers, PushForm, lay_out

SPACE = {"SPACE_ID": "ann/garden", "SYSTEM": "spaces", "OAUTH_CLIENT_ID": "x"}
STORED = {"own": "a" * 32, "link": None}


def request(client="127.0.0.1", host="127.0.0.1:7860", **headers):
    known = {"host": host} | headers
    return SimpleNamespace(client=SimpleNamespace(host=client), headers=known, query_params={})


@pytest.fixture
def queue(tmp_path):
    made = NCA(NCAConfig(channels=4, hidden=(4,)), 0)
    save_checkpoint(tmp_path / "shipped/dot", made, CheckpointInfo(title="Dot"), preview=False)
    queue = JobQueue(tmp_path / "home", devices=("cpu",))
    yield queue
    queue.close()


def handlers(queue, hub, **options):
    """The tab's handlers at a Hub on loopback."""
    settings = Settings(
        home=queue.home, checkpoints=queue.home.parent / "shipped", secret="s" * 16, **options
    )
    with gr.Blocks() as page:
        # Gradio's button to sign in needs what is only on a Space; the handlers do not need it.
        plain = settings.model_copy(update={"sign_in": False})
        context = PageContext.make(page, plain, queue)
        tab = lay_out(context)
    catalog = Catalog(settings, queue)
    catalog.hub = replace(catalog.hub, endpoint=hub.endpoint)
    return Handlers(replace(context, settings=settings, catalog=catalog), tab)


def push(made, way, token, signed_in, repo, asked=None):
    """What the token field and the sentence about the push are afterwards."""
    form = PushForm("shipped:dot", way, token, repo, False, FROM_SOURCE, False)
    values = dict(zip(made.tab.push_inputs, form, strict=True)) | {made.visitor: STORED}
    updates = made.push(values, signed_in, asked or request(), lambda *_args, **_options: None)
    return updates[made.tab.token], updates[made.tab.push_result]


def pull(made, name, as_me, pasted, signed_in):
    """The token field, the name of what was fetched, and the sentence about it."""
    updates, tab = made.pull(STORED, name, as_me, pasted, signed_in), made.tab
    return updates[tab.pull_token], updates[tab.fetched], updates[tab.fetch_result]


def test_settings_follow_the_environment(tmp_path):
    home = {"NCA_GARDEN_HOME": str(tmp_path)}
    plain = Settings.from_environment(home)
    assert not (plain.space or plain.sign_in or plain.own_token or plain.mcp)
    space = Settings.from_environment(home | SPACE | {"NCA_GARDEN_OWN_TOKEN": "1"})
    assert space.space == "ann/garden" and space.sign_in and not space.own_token
    assert space.limits.turn_seconds
    # Gradio would sign in everybody as the machine's owner here.
    assert not Settings.from_environment(home | {"OAUTH_CLIENT_ID": "x"}).sign_in
    own = Settings.from_environment(home | {"NCA_GARDEN_OWN_TOKEN": "1", "NCA_GARDEN_MCP": "1"})
    assert own.own_token and own.mcp


def test_on_a_space_a_garden_lives_on_the_disk_that_lasts(tmp_path):
    data = tmp_path / "data"
    elsewhere = Settings.from_environment(SPACE | {"NCA_GARDEN_HOME": str(tmp_path / "h")}, data)
    assert elsewhere.home == tmp_path / "h" and not elsewhere.lasting
    data.mkdir()
    found = Settings.from_environment(SPACE, data)
    assert found.home == data / "nca-garden" and found.lasting
    assert not list(found.home.glob(".probe*")) and (found.home / "secret").is_file()
    named = Settings.from_environment(SPACE | {"NCA_GARDEN_HOME": str(data / "mine")}, data)
    assert named.home == data / "mine" and named.lasting
    assert Settings.from_environment({"NCA_GARDEN_HOME": str(tmp_path / "h")}, data).lasting
    # A mount on which no file can be made.
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/nca-garden").write_text("in the way")
    assert not can_hold_a_garden(tmp_path / "bare/nca-garden")


def test_here_is_only_this_machine():
    assert (
        is_here(request())
        and is_here(request(host="localhost"))
        and is_here(request("::1", "[::1]:7860"))
    )
    for elsewhere in (
        request("192.168.0.7"), request(host="evil.example"), request(host="127.0.0.1.evil:80"),
        request(**{"x-forwarded-for": "192.168.0.7"}), request(forwarded="for=1.2.3.4"),
    ):  # fmt: skip
        assert not is_here(elsewhere)


def test_on_a_space_the_visitor_signs_in(queue, hub):
    made, token = handlers(queue, hub, space="ann/garden", sign_in=True), hub.user("fay")
    assert "sign in first" in push(made, PASTE, token, None, "fay/dot")[1]
    assert "sign in first" in push(made, OWN, "", None, "fay/dot")[1]
    signed = gr.OAuthToken(token=token, scope="contribute-repos", expires_at=2**33)
    field, words = push(made, PASTE, "", signed, "fay/dot")
    assert field == "" and "It is on the Hub" in words
    card = hub.repos["model", "fay/dot"].files()["README.md"].decode()
    assert "spaces/ann/garden?checkpoint=fay/dot" in card


def test_a_private_pull_asks_as_whom_the_visitor_says(queue, hub, tmp_path):
    made, token = handlers(queue, hub, space="ann/garden", sign_in=True), hub.user("hal")
    repo = hub.repo("hal/dot", private=True)
    weights = "model.safetensors"
    repo.commit({weights: (tmp_path / "shipped/dot" / weights).read_bytes()})
    signed = gr.OAuthToken(token=token, scope="contribute-repos", expires_at=2**33)
    # Signed in or with a token in a forged field: nobody's account is guessed.
    for as_me, pasted, who, sentence in (
        (False, "", signed, "or it is private"), (False, token, None, "or it is private"),
        (True, token, None, "sign in first"),
    ):  # fmt: skip
        field, opened, words = pull(made, "hal/dot", as_me, pasted, who)
        assert (field, opened) == ("", "") and sentence in words
    field, opened, words = pull(made, "hal/dot", True, "", signed)
    assert field == "" and opened.startswith("kept:") and words == ""
    assert made.catalog.initial(STORED["own"], opened).source.repo is None
    # Without the Hub, nobody can say whether it is still theirs: there is no copy of it here.
    assert not list(queue.home.glob("hub/*hal*"))


def test_the_page_of_a_space(queue, hub, monkeypatch):
    """A button to sign in instead of a field for a token, and a way to a garden of one's own."""
    pytest.importorskip("authlib")  # on every Gradio Space
    for name, value in SPACE.items():
        monkeypatch.setenv(name, value)
    for name in ("CLIENT_ID", "CLIENT_SECRET", "SCOPES"):
        monkeypatch.setattr(f"gradio.oauth.OAUTH_{name}", "contribute-repos")
    monkeypatch.setattr("gradio.oauth.OPENID_PROVIDER_URL", hub.endpoint)
    settings = handlers(queue, hub, space="ann/garden", sign_in=True).settings
    config = str(build_ui(settings, queue).get_config_file())
    assert "Sign in with Hugging Face" in config and "Duplicate this Space" in config
    assert "Token with write access" not in config


def test_a_space_that_forgets_says_so(queue, hub):
    settings = handlers(queue, hub, space="ann/garden", lasting=False).settings
    said = str(build_ui(settings, queue).get_config_file())
    assert said.count("This Space forgets everything") == 2  # where it is made, and shared


def test_the_machines_own_token_is_never_a_guess(queue, hub, monkeypatch):
    token = hub.user("gil")
    monkeypatch.setenv("HF_TOKEN", token)
    made = handlers(queue, hub)
    assert "only for whoever sits" in push(made, OWN, "", None, "gil/dot")[1]
    assert "paste a token" in push(made, PASTE, "", None, "gil/dot")[1]
    made = handlers(queue, hub, own_token=True)
    assert "paste a token" in push(made, PASTE, "", None, "gil/dot")[1]
    away = request("192.168.0.7")
    assert "only for whoever sits" in push(made, OWN, "", None, "gil/dot", away)[1]
    assert ("model", "gil/dot") not in hub.repos
    assert "It is on the Hub" in push(made, OWN, "", None, "gil/dot")[1]


def test_a_collection_is_bounded_and_has_one_owner(queue, hub, tmp_path):
    from nca.checkpoint import zip_checkpoint

    made = handlers(queue, hub)
    collection, data = made.catalog.collection, zip_checkpoint(tmp_path / "shipped/dot")
    most = collection.limits.collection_length
    ids = []
    for number in range(most + 3):
        file = io.BytesIO(data)
        with zipfile.ZipFile(file, "a") as zipped:
            zipped.comment = str(number).encode()  # the same file again would not be another one
        ids.append(collection.add_upload("a" * 32, file.getvalue()))
    other = collection.add_upload("b" * 32, data)
    assert [item.id for item in collection.items("a" * 32)] == ids[:2:-1]
    assert len(list(collection.root.glob("*/*"))) == most + 1
    for key, name in (("a" * 32, other), ("a" * 32, f"../{other}"), ("b" * 32, ids[-1]), ("", "")):
        with pytest.raises(BadInput):
            collection.folder(key, name)
    with pytest.raises(BadInput, match="no model"):
        collection.add_upload("a" * 32, zip_checkpoint(tmp_path))
    collection.forget("b" * 32)
    assert collection.items("b" * 32) == []
    assert not list(collection.root.glob(".new-*"))

"""The Hub with its genuine client over real HTTP: push, pull, browse, and what goes wrong."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.repocard_data import model_index_to_eval_results

from nca.checkpoint import FILES, FINE, load_checkpoint, save_checkpoint
from nca.cli.hub import add_commands
from nca.config import BadInput
from nca.hub import (
    Hub,
    Unreachable,
    discover,
    from_pretrained,
    pull,
    push,
    push_to_hub,
    thumbnail,
)
from tests.hub.kit import MACHINE, automaton, contents, write_checkpoint
from tests.hub_server import ages, status

ROOT = Path(__file__).parents[2]


# ---------------------------------------------------------------------------- push and pull


def test_a_checkpoint_comes_back_bit_for_bit(server, hub, checkpoint):
    token, steps = server.user("ann"), []
    before = contents(checkpoint)
    result = push(
        hub, checkpoint, "ann/lizard", token=token, progress=lambda f, text: steps.append((f, text))
    )
    repo = server.repos["model", "ann/lizard"]
    assert result.commit == repo.refs["main"] and result.url == f"{server.endpoint}/ann/lizard"
    assert repo.log == ["initial commit", "A lizard: “green”: 500 iterations"]
    assert set(repo.files()) == {*before, ".gitattributes"}
    assert contents(checkpoint) == before
    assert steps == sorted(steps, key=lambda step: step[0]) and steps[-1][0] == 1

    pulled = pull(hub, "ann/lizard")
    assert (pulled.repo_id, pulled.commit, pulled.note) == ("ann/lizard", result.commit, None)
    after = contents(pulled.folder)
    assert {k: v for k, v in after.items() if k != "README.md"} == {
        k: v for k, v in before.items() if k != "README.md"
    }
    one, two = load_checkpoint(checkpoint), load_checkpoint(pulled.folder)
    assert one.info == two.info and one.metrics == two.metrics
    x = one.nca.seed(1, 12)
    assert torch.equal(one.nca.grow(x, 30, seed=3), two.nca.grow(x, 30, seed=3))
    assert {seen.token for seen in server.requests} == {token, None}


def test_the_card_says_how_to_load_and_how_good_it_is(server, hub, checkpoint):
    hub = Hub(server.endpoint, hub.cache, space="ann/garden")
    push(hub, checkpoint, "ann/lizard", token=server.user("ann"))
    repo = server.repos["model", "ann/lizard"]
    assert repo.metadata["library_name"] == "nca-garden"
    # The Hub's own client reads the scores.
    name, (score,) = model_index_to_eval_results(repo.metadata["model-index"])
    assert name.startswith("A lizard") and score.task_type == "unconditional-image-generation"
    assert (score.metric_name, score.metric_value) == ("growth at 200", -3.21)
    assert {"growing-nca", "neural-cellular-automata"} <= set(repo.metadata["tags"])
    assert repo.metadata["license"] == "cc-by-4.0"
    assert repo.metadata["model_name"] == "A lizard: “green”"
    text = repo.files()["README.md"].decode()
    assert 'NCA.from_pretrained("ann/lizard")' in text
    assert "| growth at 200 | -3.21 |" in text
    assert "https://huggingface.co/spaces/ann/garden?checkpoint=ann/lizard" in text
    assert "](preview.gif)" in text and "](target.png)" in text and "🦎" in text


def test_the_same_again_makes_no_commit(server, hub, checkpoint):
    token = server.user("ann")
    push(hub, checkpoint, "ann/lizard", token=token)
    again = push(hub, checkpoint, "ann/lizard", token=token)
    assert again.commit is None and again.url.endswith("/ann/lizard")
    assert len(server.repos["model", "ann/lizard"].commits) == 2
    other = push(hub, checkpoint, "ann/lizard", token=token, licence="cc0-1.0")
    assert other.commit and len(server.repos["model", "ann/lizard"].commits) == 3


def test_player_and_curves_go_along_but_do_not_come_back(server, hub, tmp_path):
    folder = write_checkpoint(tmp_path / "c")
    (folder / "scores.png").write_bytes((folder / "target.png").read_bytes())
    (folder / "player.html").write_text("<!doctype html><title>player</title>")
    (folder / "notes.txt").write_text("not for others")
    push(hub, folder, "ann/lizard", token=server.user("ann"))
    files = server.repos["model", "ann/lizard"].files()
    assert {"player.html", "scores.png"} <= files.keys() and "notes.txt" not in files
    assert b"](scores.png)" in files["README.md"]
    assert contents(pull(hub, "ann/lizard").folder).keys() == set(FILES) - set(FINE)


def test_a_card_shows_a_strangers_words_as_words(server, hub, checkpoint, tmp_path):
    found = load_checkpoint(checkpoint)
    title = "[x](http://evil) <script> |\n---\nlicense: mit\n---"
    scores = {"<b>a</b>\n| b": {"c": "![p](http://evil/p.png)"}, "d": "e" * 10**5}
    info = found.info.model_copy(update={"title": " ".join(title.split(" "))[:80]})
    folder = save_checkpoint(
        tmp_path / "c", found.nca, info, None, {"scores": scores}, preview=False
    )
    push(hub, folder, "ann/lizard", token=server.user("ann"))
    repo = server.repos["model", "ann/lizard"]
    text = repo.files()["README.md"].decode()
    assert repo.metadata["license"] == "cc-by-4.0" and len(text) < 3000
    body = text.split("---\n", 2)[2]
    assert "](http" not in body.replace("\\](", "") and "<b>" not in body.replace("\\<", "")
    assert "preview.gif" not in text and text.count("\n---\n") == 1


def test_a_pull_request_to_somebody_elses_repo(server, hub, checkpoint, tmp_path):
    push(hub, checkpoint, "ann/lizard", token=server.user("ann"))
    repo, main = server.repos["model", "ann/lizard"], server.repos["model", "ann/lizard"].files()
    better, bob = write_checkpoint(tmp_path / "better", seed=1), server.user("bob")
    result = push(hub, better, "ann/lizard", token=bob, pull_request=True)
    assert result.url == f"{server.endpoint}/ann/lizard/discussions/1"
    assert repo.files() == main and repo.files("refs/pr/1") != main
    pulled = pull(hub, "ann/lizard@refs/pr/1")
    assert contents(pulled.folder)["model.safetensors"] == contents(better)["model.safetensors"]
    with pytest.raises(BadInput, match="write access"):
        push(hub, better, "ann/lizard", token=bob)
    with pytest.raises(BadInput, match="no ann/toad on the Hub"):
        push(hub, better, "ann/toad", token=bob, pull_request=True)


def test_private_repos_are_for_their_owner(server, hub, checkpoint):
    ann, bob = server.user("ann"), server.user("bob")
    push(hub, checkpoint, "ann/secret", token=ann, private=True)
    assert server.repos["model", "ann/secret"].private
    assert pull(hub, "ann/secret", token=ann).private
    for token in (False, bob):
        with pytest.raises(BadInput, match="or it is private"):
            pull(hub, "ann/secret", token=token)
    push(hub, checkpoint, "ann/open", token=ann)
    with pytest.raises(BadInput, match="is public already"):
        push(hub, checkpoint, "ann/open", token=ann, private=True)


def test_gated_renamed_and_missing_repos(server, hub, checkpoint):
    ann, bob = server.user("ann"), server.user("bob")
    for name in ("ann/gated", "ann/old"):
        push(hub, checkpoint, name, token=ann)
    server.repos["model", "ann/gated"].gated = True
    for token in (False, bob):
        with pytest.raises(BadInput, match="asks its visitors for an agreement"):
            pull(hub, "ann/gated", token=token)
    server.repos["model", "ann/gated"].readers.add("bob")
    assert pull(hub, "ann/gated", token=bob).repo_id == "ann/gated"

    server.rename("ann/old", "ann/new")
    assert pull(hub, "ann/old").repo_id == "ann/new"
    assert push(hub, checkpoint, "ann/old", token=ann, licence="mit").repo_id == "ann/new"

    with pytest.raises(BadInput, match="There is no ann/nothing on the Hub"):
        pull(hub, "ann/nothing")
    with pytest.raises(BadInput, match="no such revision"):
        pull(hub, "ann/new@v9")


def test_a_revision_stays_what_it_was(server, hub, checkpoint, tmp_path):
    ann = server.user("ann")
    first = push(hub, checkpoint, "ann/lizard", token=ann)
    newer = write_checkpoint(tmp_path / "newer", seed=2)
    second = push(hub, newer, "ann/lizard", token=ann)
    weights = contents(checkpoint)["model.safetensors"]
    assert contents(pull(hub, f"ann/lizard@{first.commit}").folder)["model.safetensors"] == weights
    latest = pull(hub, f"{server.endpoint}/ann/lizard")
    assert latest.commit == second.commit
    fetched = len(server.requests)
    pull(hub, "ann/lizard")
    assert [seen.method for seen in server.requests[fetched:]] == ["GET"]  # the rest is cached


def test_offline_the_last_copy_is_used_with_a_word(server, hub, checkpoint, monkeypatch):
    ann = server.user("ann")
    push(hub, checkpoint, "ann/lizard", token=ann)
    push(hub, checkpoint, "ann/secret", token=ann, private=True)
    online, private = pull(hub, "ann/lizard"), pull(hub, "ann/secret", token=ann)
    assert private.private
    server.fault(".", status(503))
    copy = pull(hub, "ann/lizard")
    assert copy.folder == online.folder and "copy from 20" in copy.note and "503" in copy.note
    with pytest.raises(Unreachable):
        pull(hub, "ann/lizard@v1")
    for token in (ann, False):  # who may see it, only the Hub can say
        with pytest.raises(Unreachable):
            pull(hub, "ann/secret", token=token)
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)  # as the environment would
        assert "HF_HUB_OFFLINE" in pull(hub, "ann/lizard").note
    closed = Hub("http://127.0.0.1:9", hub.cache)
    assert "cannot be reached" in pull(closed, "ann/lizard").note


def test_the_cache_does_not_grow_for_ever(server, hub, checkpoint, tmp_path):
    small = Hub(server.endpoint, hub.cache, cache_bytes=150_000)
    ann = server.user("ann")
    for i in range(4):
        push(small, write_checkpoint(tmp_path / str(i), seed=i), f"ann/n{i}", token=ann)
        (tmp_path / str(i) / "preview.gif").stat()
        last = pull(small, f"ann/n{i}")
    load_checkpoint(last.folder)
    sizes = [p.stat().st_size for p in hub.cache.rglob("*") if p.is_file() and not p.is_symlink()]
    assert sum(sizes) < 250_000


@pytest.mark.parametrize(
    "name",
    """a/b\nc á/b a/ñ ../b a/.. a/..b a--b/c a/b.git .a/b a/-b a/b@ a/b@../x a/b@x//y a/b@x\ny
    a a/b/c a/b@-x //a/b a/b? a/b#c a/%2e%2e http://other/a/b file:///a/b a\\b a/b;c a/​b""".split(
        " "
    )
    + ["", " ", "a/" + "b" * 96, "a/b@" + "c" * 101, "а/б"],
)
def test_names_that_are_not_names(server, hub, name):
    with pytest.raises(BadInput, match="user/name") as refusal:
        pull(hub, name)
    assert ("@revision" in str(refusal.value)) == name.startswith("a/b@")
    assert server.requests == []


# ---------------------------------------------------------------------------- the gallery


def share(server, hub, folder, names):
    token = server.user("ann")
    for name in names:
        push(hub, folder, name, token=token)
    ages([server.repos["model", name] for name in names])
    return token


def test_the_gallery_shows_ours_newest_or_most_liked(server, hub, checkpoint):
    names = ["ann/a", "ann/b", "ann/c", "ann/adult", "ann/hidden"]
    token = share(server, hub, checkpoint, names)
    repos = {name: server.repos["model", name] for name in names}
    repos["ann/c"].likes = 7
    card = repos["ann/adult"].files()["README.md"]
    repos["ann/adult"].commit(
        {"README.md": card.replace(b"tags:\n", b"tags:\n- not-for-all-audiences\n")}
    )
    repos["ann/hidden"].private = True
    server.repo("eve/bert").commit({"README.md": b"---\ntags:\n- growing-nca\n---\n"})

    entries = discover(hub)
    assert [entry.repo_id for entry in entries] == ["ann/a", "ann/b", "ann/c"]
    assert entries[0].title == "A lizard: “green”" and entries[0].modified is not None
    assert entries[0].url == f"{server.endpoint}/ann/a"
    assert [e.repo_id for e in discover(hub, sort="likes")][0] == "ann/c"
    assert [e.repo_id for e in discover(hub, " B ")] == ["ann/b"]
    assert discover(hub, "nothing like it") == []
    assert len(discover(hub, limit=2)) == 2
    assert "ann/hidden" in [e.repo_id for e in discover(hub, token=token)]
    assert MACHINE not in {seen.token for seen in server.requests}


def test_thumbnails_are_small_pictures_or_nothing(server, hub, checkpoint):
    share(server, hub, checkpoint, ["ann/a", "ann/b", "ann/c", "ann/d"])
    b, c = server.repos["model", "ann/b"], server.repos["model", "ann/c"]
    gif = contents(checkpoint)["preview.gif"]
    b.commit({"preview.gif": b"<script>alert(1)</script>"})
    wide = gif[:6] + (60000).to_bytes(2, "little") + gif[8:]
    c.commit({"preview.gif": wide, "target.png": b"\x89PNG\r\n\x1a\n" + bytes(40)})
    found = {entry.repo_id: thumbnail(hub, entry) for entry in discover(hub)}
    assert found["ann/a"] == gif
    assert found["ann/b"] == contents(checkpoint)["target.png"]
    assert found["ann/c"] is None
    assert "preview.gif" not in contents(pull(hub, "ann/b").folder)
    tight = Hub(server.endpoint, hub.cache.with_name("other"), preview_bytes=100)
    [entry] = discover(tight, "/d")  # its GIF is larger than that
    assert thumbnail(tight, entry) == contents(checkpoint)["target.png"]


def test_the_gallery_reads_on_to_the_next_page(server, hub, checkpoint):
    card = b"---\nlibrary_name: nca-garden\ntags:\n- growing-nca\n---\n"
    for i in range(30):
        server.repo(f"ann/n{i}").commit({"README.md": card})
    assert len(discover(hub, limit=25)) == 25


# ---------------------------------------------------------------------------- as a library


def test_from_pretrained_and_push_to_hub(server, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "machine"))
    nca = automaton(5)
    result = push_to_hub(nca, "machine/mine", private=True, endpoint=server.endpoint)
    assert result.commit and MACHINE in {seen.token for seen in server.requests}
    again = from_pretrained("machine/mine", endpoint=server.endpoint)
    for name, value in nca.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    with pytest.raises(BadInput, match="or it is private"):
        from_pretrained("machine/mine", endpoint=server.endpoint, token=False)
    server.fault(".", status(502))  # the owner's own private copy is there offline too
    from_pretrained("machine/mine", endpoint=server.endpoint)
    assert from_pretrained(checkpoint).config == load_checkpoint(checkpoint).nca.config
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with pytest.raises(BadInput, match="No token was found"):
        push_to_hub(nca, "machine/mine", endpoint=server.endpoint)


COMMAND = """
import argparse, sys
from nca.cli.hub import add_commands
parser = argparse.ArgumentParser()
add_commands(parser.add_subparsers(required=True))
options = parser.parse_args()
assert "torch" not in sys.modules
sys.exit(options.run(options))
"""


def test_commands_take_endpoint_and_token_from_the_environment(server, checkpoint, tmp_path):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    mine = {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path), "HF_TOKEN": MACHINE}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "push", checkpoint, "machine/lizard", "--licence", "mit"],
        env=kept | mine,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert f"Pushed to {server.endpoint}/machine/lizard" in done.stdout, done.stderr
    assert server.repos["model", "machine/lizard"].metadata["license"] == "mit"
    assert MACHINE not in done.stdout + done.stderr and "Xet" not in done.stderr


def test_commands_pull_and_list(server, hub, checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "machine"))
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(required=True))

    def run(*words):
        options = parser.parse_args([*map(str, words), "--endpoint", server.endpoint])
        assert options.run(options) == 0
        return capsys.readouterr().out

    pushed = run("push", checkpoint, "machine/lizard")
    assert "100%  Done" in pushed and f"Pushed to {server.endpoint}/machine/lizard" in pushed
    assert "Nothing new" in run("push", checkpoint, "machine/lizard")
    assert "Pulled machine/lizard@" in run("pull", "machine/lizard", "--out", tmp_path / "out")
    assert contents(tmp_path / "out").keys() == set(FILES) - set(FINE)
    load_checkpoint(tmp_path / "out")
    with pytest.raises(BadInput, match="there already"):
        run("pull", "machine/lizard", "--out", tmp_path / "out")
    assert "machine/lizard" in run("list", "lizard") and run("list", "toad") == "Nothing found.\n"


@pytest.mark.parametrize("around", ["{}", " {}\n", "\t{}/", "\ufeff{}\u200b", "\u00a0{}\u200e"])
@pytest.mark.parametrize(
    ("pasted", "expected"),
    [
        ("user/name", ("user/name", None)),
        ("user/name@v1", ("user/name", "v1")),
        ("https://huggingface.co/user/name", ("user/name", None)),
        ("http://www.huggingface.co/user/name", ("user/name", None)),
        ("HuggingFace.co/user/name", ("user/name", None)),
        ("hf.co/user/name", ("user/name", None)),
        ("hf://user/name", ("user/name", None)),
        ("hf://models/user/name@v1", ("user/name", "v1")),
        ("https://huggingface.co/user/name/tree/main", ("user/name", "main")),
        ("https://huggingface.co/user/name/blob/v1/config.json", ("user/name", "v1")),
        ("https://huggingface.co/user/name/resolve/v1/model.safetensors?download=true",
         ("user/name", "v1")),
        ("https://huggingface.co/user/name/tree/refs%2Fpr%2F1", ("user/name", "refs/pr/1")),
        ("https://huggingface.co/user/name/tree/refs/pr/1", ("user/name", "refs/pr/1")),
        ("https://huggingface.co/user/name/tree", ("user/name", None)),
        ("https://huggingface.co/user/name/discussions", ("user/name", None)),
        ("https://huggingface.co/user/name?library=nca-garden#usage", ("user/name", None)),
        ("https://hub.example:8443/hf/user/name/", ("user/name", None)),
        ("hub.example:8443/hf/user/name", ("user/name", None)),
        ("hf.co/name", ("hf.co/name", None)),
    ],
)  # fmt: skip
def test_names_as_people_paste_them(pasted, expected, around):
    assert Hub("https://hub.example:8443/hf").split(around.format(pasted)) == expected


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        ("https://example.com/user/name", "not an address of https://huggingface.co"),
        ("https://huggingface.co/spaces/user/name", "is a space, not a model"),
        ("huggingface.co/datasets/user/name/tree/main", "is a dataset, not a model"),
    ],
)
def test_addresses_of_something_else(pasted, words):
    with pytest.raises(BadInput, match=words):
        Hub("https://huggingface.co").split(pasted)


@pytest.mark.parametrize("endpoint", ["huggingface.co", "hub.example:8080", "ftp://x", "https://"])
def test_an_endpoint_without_its_scheme(endpoint):
    with pytest.raises(BadInput, match="must begin with https://"):
        Hub(endpoint)


PROXIED = """
import sys, time
import nca.hub.client, nca.hub.download  # no client is made yet
from nca import NCA, BadInput
NCA.from_pretrained(sys.argv[1])
began = time.monotonic()
try:
    nca.hub.download.pull(nca.hub.client.Hub("http://hub.example"), "a/b")
except BadInput as refusal:
    print(refusal)
assert time.monotonic() - began < 10
"""


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("socks5h://127.0.0.1:9", "cannot be reached"),
        ("socks://127.0.0.1:9", "begin with http://, https:// or socks5://"),
    ],
)
def test_proxies(checkpoint, tmp_path, proxy, words):
    kept = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    done = subprocess.run(
        [sys.executable, "-c", PROXIED, checkpoint],
        env=kept | {"ALL_PROXY": proxy, "HF_HUB_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert words in done.stdout and not done.stderr, done.stderr


def test_the_gallery_of_a_hub_that_is_away_is_refused_at_once(capfd, caplog):
    started = time.monotonic()
    with pytest.raises(Unreachable, match="cannot be reached"):
        discover(Hub("http://127.0.0.1:9"))
    assert time.monotonic() - started < 3
    assert capfd.readouterr() == ("", "") and not caplog.records

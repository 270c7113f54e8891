"""The Hub at its worst: bad tokens, hostile checkpoints, and a server that misbehaves."""

import io
import json
import logging
import struct
import time
import traceback
import zipfile

import httpx2
import pytest
import torch
from safetensors.torch import save as to_safetensors

from nca.checkpoint import load_checkpoint, unzip_checkpoint, zip_checkpoint
from nca.config import BadInput, Limits
from nca.hub import Hub, Unreachable, account, deploy_space, discover, pull, push
from nca.hub.guard import Guard
from nca.hub.pictures import is_small_picture
from tests.hub.kit import MACHINE, contents, write_checkpoint
from tests.hub_server import HubServer, drip, endless, hang_up, huge, raw, redirect, stall, status

PLANTED = "hf_planted" + "p" * 30


# ---------------------------------------------------------------------------- tokens


def test_wrong_expired_and_read_only_tokens(server, hub, checkpoint):
    before = contents(checkpoint)
    for token in ("hf_wrong", server.user("ann", "expired")):
        with pytest.raises(BadInput, match="does not accept this token") as caught:
            push(hub, checkpoint, "ann/lizard", token=token)
        assert "can be pushed again" in str(caught.value)
        with pytest.raises(BadInput, match="does not accept this token"):
            pull(hub, "ann/lizard", token=token)
    with pytest.raises(BadInput, match="write access"):
        push(hub, checkpoint, "ann/lizard", token=server.user("ann", "read"))
    with pytest.raises(BadInput, match="write access"):
        push(hub, checkpoint, "bob/lizard", token=server.user("ann"))
    with pytest.raises(BadInput, match="sign in"):
        push(hub, checkpoint, "ann/lizard", token=False)
    assert account(hub, token=server.user("zoe")) == "zoe"
    with pytest.raises(BadInput, match="does not accept this token"):
        account(hub, token="hf_wrong")
    for token in ("", "two words", "line\nbreak", "hf_\u200b", "x" * 5000):
        with pytest.raises(BadInput):
            push(hub, checkpoint, "ann/lizard", token=token)
    assert contents(checkpoint) == before
    assert ("model", "ann/lizard") not in server.repos
    push(hub, checkpoint, "ann/lizard", token=server.user("ann"))
    with pytest.raises(BadInput, match="write access"):
        push(hub, checkpoint, "ann/lizard", token=server.user("ann", "read"), licence="mit")
    assert MACHINE not in {seen.token for seen in server.requests}


def test_a_planted_token_appears_nowhere(server, hub, checkpoint, caplog, capfd, tmp_path):
    caplog.set_level(logging.DEBUG)
    # The transport's own trace repeats what a server says; of what is sent it tells nothing.
    caplog.set_level(logging.INFO, "httpcore2")
    server.tokens[PLANTED] = ("ann", "write")
    said = [repr(push(hub, checkpoint, "ann/lizard", token=PLANTED))]
    said += [repr(pull(hub, "ann/lizard", token=PLANTED)), repr(hub)]
    said += [repr(discover(hub, token=PLANTED))]

    def fails(call):
        try:
            call()
        except BadInput as error:
            said.append("".join(traceback.format_exception(error)))
        else:
            pytest.fail("it should not succeed")

    echo = {"X-Error-Message": f"your token {PLANTED}", "X-Request-Id": PLANTED}
    answers = [status(code, echo) for code in (400, 401, 402, 403, 404, 409, 413, 418)]
    answers += [raw(PLANTED.encode()), raw(json.dumps({"id": PLANTED}).encode()), raw(b"[]")]
    answers += [redirect(f"http://{PLANTED}.example/"), hang_up]
    for answer in answers:
        server.faults.clear()
        server.fault(".", answer)
        fails(lambda: push(hub, checkpoint, "ann/lizard", token=PLANTED, licence="mit"))
        fails(lambda: pull(hub, "ann/other", token=PLANTED))
        try:
            said.append(repr(discover(hub, token=PLANTED)))
        except BadInput as error:
            said.append("".join(traceback.format_exception(error)))
    fails(lambda: pull(hub, "ann/x", token=PLANTED + "\n."))
    for name in ("POST .*preupload", "POST .*commit", "PUT /lfs", "POST .*verify"):
        server.faults.clear()
        server.fault(name, status(400, echo))
        files = write_checkpoint(tmp_path / name[-3:], seed=len(said))
        fails(lambda files=files: push(hub, files, "ann/lizard", token=PLANTED))
    (files / "player.html").write_text(f"let token = '{PLANTED}'")
    server.faults.clear()
    fails(lambda: push(hub, files, "ann/lizard", token=PLANTED))

    out, err = capfd.readouterr()
    said += [out, err, caplog.text, *(str(r.__dict__) for r in caplog.records)]
    assert not [text for text in said if PLANTED in text]
    (files / "player.html").unlink()
    for path in tmp_path.rglob("*"):
        assert PLANTED not in path.name
        assert not path.is_file() or PLANTED.encode() not in path.read_bytes()
    for repo in server.repos.values():
        assert not [name for name, data in repo.files().items() if PLANTED.encode() in data]


# ---------------------------------------------------------------------------- checkpoints


def plant(server, name, files):
    repo = server.repo(name)
    repo.commit(files)
    return repo


def test_pickle_is_refused_whatever_it_is_called(server, hub, checkpoint):
    evil = b"\x80\x04cposix\nsystem\n(X\x0a\0\0\0touch ownedtR."
    plant(server, "eve/bin", {"pytorch_model.bin": evil, "config.json": b"{}"})
    with pytest.raises(BadInput, match="as pickle files, which can run any program"):
        pull(hub, "eve/bin")
    plant(server, "eve/renamed", {"model.safetensors": evil})
    with pytest.raises(BadInput, match="damaged or was written by another program"):
        pull(hub, "eve/renamed")
    plant(server, "eve/both", contents(checkpoint) | {"model.bin": evil, "x.py": b"1/0"})
    assert not {"model.bin", "x.py"} & contents(pull(hub, "eve/both").folder).keys()
    plant(server, "eve/empty", {"README.md": b"hello"})
    with pytest.raises(BadInput, match="has no model.safetensors"):
        pull(hub, "eve/empty")


def hostile_weights(checkpoint):
    good = contents(checkpoint)["model.safetensors"]
    length = int.from_bytes(good[:8], "little")
    yield "cut", good[: len(good) // 2]
    yield "header bomb", struct.pack("<Q", 2**62) + good[8:]
    yield "no metadata", to_safetensors({"layers.0.weight": torch.zeros(3)})
    yield "deep", struct.pack("<Q", 20000) + b"[" * 20000
    metadata = json.loads(good[8 : 8 + length])["__metadata__"]
    nca = load_checkpoint(checkpoint).nca.state_dict()
    yield "nan", to_safetensors(nca | {"layers.1.bias": torch.full((6,), torch.nan)}, metadata)
    yield "1e30", to_safetensors(nca | {"layers.1.bias": torch.full((6,), 1e30)}, metadata)
    yield "shape", to_safetensors(nca | {"layers.1.bias": torch.zeros(7)}, metadata)
    yield "extra", to_safetensors(nca | {"more": torch.zeros(7)}, metadata)
    bomb = metadata["nca_garden"].replace('"hidden":[8]', '"hidden":[999999]')
    yield "config bomb", to_safetensors(nca, {"nca_garden": bomb})


def test_hostile_checkpoints_are_refused_and_not_kept_for_offline(server, hub, checkpoint):
    files = contents(checkpoint)
    cases = [(n, files | {"model.safetensors": w}) for n, w in hostile_weights(checkpoint)]
    cases += [
        ("json", files | {"metrics.json": b"[" * 5000}),
        ("list", files | {"metrics.json": b"[1]"}),
        ("target", files | {"target.png": b"GIF89a"}),
    ]
    for number, (_, case) in enumerate(cases):
        plant(server, f"eve/n{number}", case)
        with pytest.raises(BadInput):
            pull(hub, f"eve/n{number}")
    server.fault(".", status(503))
    for number in range(len(cases)):
        with pytest.raises(Unreachable):
            pull(hub, f"eve/n{number}")


def test_what_was_wrong_once_is_fetched_anew(server, hub, checkpoint):
    push(hub, checkpoint, "ann/lizard", token=server.user("ann"))
    length = len(contents(checkpoint)["model.safetensors"])
    sha = server.repos["model", "ann/lizard"].refs["main"]
    known = {"X-Repo-Commit": sha, "ETag": '"e"'}
    server.fault("GET /cdn/", raw(bytes(length), known), times=1)
    with pytest.raises(BadInput, match="damaged"):
        pull(hub, "ann/lizard")
    load_checkpoint(pull(hub, "ann/lizard").folder)


def test_what_is_too_large_is_refused_before_it_is_fetched(server, hub, checkpoint):
    files = contents(checkpoint)
    plant(server, "eve/large", files | {"model.safetensors": bytes(3 * 2**20)})
    plant(server, "eve/lie", files).claimed_sizes["model.safetensors"] = 10 * 2**30
    plant(server, "eve/negative", files).claimed_sizes["config.json"] = -(2**40)
    each = 2**20 - 1
    full = {n: bytes(each) for n in ("config.json", "README.md", "metrics.json", "target.png")}
    plant(server, "eve/sum", files | full)
    for name in ("eve/large", "eve/lie", "eve/negative", "eve/sum"):
        seen = len(server.requests)
        with pytest.raises(BadInput, match="too large for a checkpoint"):
            pull(hub, name)
        assert len(server.requests) == seen + 1
    plant(server, "eve/gif", files | {"preview.gif": bytes(5 * 2**20)})
    assert "preview.gif" not in contents(pull(hub, "eve/gif").folder)
    liar = plant(server, "eve/small", files | {"model.safetensors": bytes(9 * 2**20)})
    liar.claimed_sizes["model.safetensors"] = 100
    with pytest.raises(BadInput, match="more than a checkpoint needs"):
        pull(hub, "eve/small")


def test_a_push_does_not_write_over_another_model(server, hub, checkpoint):
    token = server.user("ann")
    plant(server, "ann/bert", {"config.json": b"{}", "pytorch_model.bin": b"1"})
    with pytest.raises(BadInput, match="holds something else"):
        push(hub, checkpoint, "ann/bert", token=token)
    server.repo("ann/empty")
    push(hub, checkpoint, "ann/empty", token=token)


def test_only_sound_checkpoints_are_pushed(server, hub, tmp_path):
    folder, token = write_checkpoint(tmp_path / "c"), server.user("ann")
    (folder / "model.safetensors").write_bytes(b"\x80\x04")
    for bad in (folder, tmp_path / "missing", tmp_path):
        with pytest.raises(BadInput):
            push(hub, bad, "ann/lizard", token=token)
    with pytest.raises(BadInput, match="licence"):
        push(hub, folder, "ann/lizard", token=token, licence="mine\nevil: true")
    assert server.requests == []


# ---------------------------------------------------------------------------- the server


@pytest.mark.parametrize("answer", [stall, drip, endless, huge])
@pytest.mark.parametrize("where", ["/api/models", "GET .*/resolve/", "GET /cdn/"])
def test_a_pull_ends_in_time_and_reads_little(server, hub, checkpoint, answer, where):
    push(hub, checkpoint, "ann/lizard", token=server.user("ann"))
    fault = server.fault(where, answer)
    quick = Hub(server.endpoint, hub.cache, pull_seconds=0.7)
    start = time.monotonic()
    with pytest.raises(BadInput):
        pull(quick, "ann/lizard")
    assert fault.used and time.monotonic() - start < 4
    kept = [p for p in hub.cache.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in kept) < 2 * 2**20
    assert not [p for p in kept if p.suffix == ".incomplete"]
    server.faults.clear()
    load_checkpoint(pull(hub, "ann/lizard").folder)


def test_redirects_to_other_hosts_are_not_followed(server, hub, checkpoint):
    ann = server.user("ann")
    push(hub, checkpoint, "ann/lizard", token=ann)
    with HubServer() as other:
        other.repo("ann/lizard")
        known = {"X-Repo-Commit": server.repos["model", "ann/lizard"].refs["main"], "ETag": '"e"'}
        for where in ("/api/models", "GET .*/resolve/", "HEAD .*/resolve/", "/cdn/"):
            server.faults.clear()
            server.fault(where, redirect(f"{other.endpoint}/api/models/ann/lizard", known))
            with pytest.raises(BadInput, match="foreign server"):
                pull(hub, "ann/lizard", token=ann)
        server.faults.clear()
        for where in ("/api/models", "POST .*/preupload/", "POST .*/commit/"):
            server.faults.clear()
            server.fault(where, redirect(f"{other.endpoint}/steal"))
            with pytest.raises(BadInput, match="foreign server"):
                push(hub, checkpoint, "ann/lizard", token=ann, licence="mit")
        assert other.requests == []


def test_files_go_only_to_the_hub_or_over_https_and_tokens_only_to_the_hub():
    guard = Guard("https://huggingface.co", 5, 1000, uploads=True)
    token = {"authorization": "Bearer x"}
    for url, headers, fine in [
        ("https://huggingface.co/api/models", token, True),
        ("https://cdn-lfs.hf.co/x", {}, True),
        ("https://cas-bridge.xethub.hf.co/x", {}, True),
        ("http://huggingface.co/x", {}, False),
        ("https://huggingface.co.evil.example/x", token, False),
        ("https://evilhf.co/x", token, False),
        ("https://user@evil.example/x", token, False),
        ("https://storage.example/put", {}, True),
        ("https://storage.example/put", token, False),
        ("http://169.254.169.254/meta", {}, False),
    ]:
        request = httpx2.Request("PUT", url, headers=headers)
        if fine:
            guard.check_request(request)
        else:
            with pytest.raises(BadInput):
                guard.check_request(request)
    with pytest.raises(BadInput):  # a pull never leaves the Hub
        Guard("https://huggingface.co", 5, 1000).check_request(
            httpx2.Request("GET", "https://storage.example/get")
        )


def test_headers_cannot_lead_out_of_the_cache(server, hub, checkpoint):
    push(hub, checkpoint, "ann/lizard", token=server.user("ann"))
    sha = server.repos["model", "ann/lizard"].refs["main"]
    for headers in (
        {"X-Repo-Commit": sha, "ETag": '"../../../../../owned"'},
        {"X-Repo-Commit": sha, "ETag": '"e"', "X-Linked-Etag": '"/tmp/owned"'},
        {"X-Repo-Commit": "../../..", "ETag": '"e"'},
        {"X-Repo-Commit": "0" * 40, "ETag": '"e"'},
        {"ETag": '"e"'},
        {"X-Repo-Commit": sha},
    ):
        server.faults.clear()
        server.fault("/resolve/", raw(b"{}", headers))
        with pytest.raises(BadInput):
            pull(hub, "ann/lizard")
    assert not list(hub.cache.parent.rglob("*owned*"))


def test_problems_of_the_server_are_said_plainly(server, hub):
    for answer, word in [
        (status(500), "problem of its own"),
        (status(504), "problem of its own"),
        (status(429, {"Retry-After": "100000"}), "asks for a pause"),
        (raw(b"<html>Sign in to the hotel</html>"), "cannot be understood"),
        (raw(b"[" * 100000), "cannot be understood"),
        (hang_up, "cannot be reached"),
    ]:
        server.faults.clear()
        server.fault(".", answer)
        for call in (lambda: pull(hub, "ann/lizard"), lambda: discover(hub)):
            start = time.monotonic()
            with pytest.raises(BadInput, match=word) as caught:
                if word != "cannot be reached" or call.__code__.co_names[0] == "pull":
                    call()
                else:
                    raise BadInput(word)  # the client asks again and again; its time is tested
            assert time.monotonic() - start < 2
            assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------------- uploads


@pytest.mark.parametrize("where", ["PUT /lfs/", "POST .*/verify", "POST .*/commit/"])
def test_dying_in_the_middle_of_an_upload_and_then_again(server, hub, checkpoint, where):
    token, before = server.user("ann"), contents(checkpoint)
    fault = server.fault(where, hang_up)
    quick = Hub(server.endpoint, hub.cache, push_seconds=0.8)
    with pytest.raises(BadInput, match="can be pushed again"):
        push(quick, checkpoint, "ann/lizard", token=token)
    repo = server.repos["model", "ann/lizard"]
    assert fault.used and set(repo.files()) == {".gitattributes"}  # nothing half-written
    assert contents(checkpoint) == before
    server.faults.clear()
    assert push(hub, checkpoint, "ann/lizard", token=token).commit == repo.refs["main"]
    assert len(repo.commits) == 2
    pulled = contents(pull(hub, "ann/lizard").folder)
    assert pulled["model.safetensors"] == before["model.safetensors"]


def test_a_connection_lost_once_heals_by_itself(server, hub, checkpoint):
    fault = server.fault("PUT /lfs/", hang_up, times=1)
    assert push(hub, checkpoint, "ann/lizard", token=server.user("ann")).commit and fault.used == 1


def test_an_upload_that_stalls_ends(server, hub, checkpoint):
    server.fault("PUT /lfs/", stall)
    start = time.monotonic()
    with pytest.raises(Unreachable, match="too long"):
        push(Hub(server.endpoint, push_seconds=0.7), checkpoint, "a/b", token=server.user("a"))
    assert time.monotonic() - start < 4


# ---------------------------------------------------------------------------- zips, pictures


def zipped(files, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_a_checkpoint_zip_is_held_to_the_same_rules(checkpoint, tmp_path):
    files = contents(checkpoint)
    loaded = unzip_checkpoint(zip_checkpoint(checkpoint), tmp_path / "good")
    assert loaded.info == load_checkpoint(checkpoint).info
    assert contents(loaded.folder).keys() == files.keys() - {"preview.gif"}
    inside = {f"lizard/{name}": data for name, data in files.items()}
    unzip_checkpoint(zipped(inside | {"__MACOSX/x": b""}), tmp_path / "folder")
    # `zip -r x.zip ../lizard` writes such names; only their last part is ever used.
    climbing = zipped({"a/../../model.safetensors": files["model.safetensors"]})
    unzip_checkpoint(climbing, tmp_path / "a" / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "folder", "good"]
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["model.safetensors"]

    bad = [b"", b"PK\5\6" + bytes(18), zip_checkpoint(checkpoint)[:-30], zipped({}), b"x" * 100]
    bad += [zipped({f"../{n}": d for n, d in files.items()} | {"a/b/model.safetensors": b""})[:50]]
    bad += [zipped({"model.bin": files["model.safetensors"]})]
    bad += [zipped(files | {"model.safetensors": bytes(30 * 2**20)})]
    bad += [zipped(files | {"a/model.safetensors": files["model.safetensors"]})]
    bad += [zipped({str(i): b"" for i in range(5000)} | files)]
    bad += [zipped(files | {"model.safetensors": w}) for _, w in hostile_weights(checkpoint)]
    for number, data in enumerate(bad):
        start = time.process_time()
        with pytest.raises(BadInput):
            unzip_checkpoint(data, tmp_path / "bad", Limits())
        assert time.process_time() - start < 2, number
    assert not (tmp_path / "bad").exists()


def test_pictures_are_judged_by_their_structure(checkpoint):
    gif, png = contents(checkpoint)["preview.gif"], contents(checkpoint)["target.png"]
    assert is_small_picture(gif) and is_small_picture(png)
    wide = (2000).to_bytes(2, "little")
    for bad in (
        b"",
        gif[:-1],
        gif + b"<script>",
        gif[:6] + wide + gif[8:],
        gif[:6] + b"\1\0" + gif[8:],  # frames larger than the screen
        gif[:13] + b";",
        png[:16] + (2000).to_bytes(4, "big") + png[20:],
        png[:10],
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"RIFF....WEBP",
    ):
        assert not is_small_picture(bad)


def test_nothing_is_deployed_from_a_place_that_is_not_the_project(server, hub, tmp_path):
    (tmp_path / "secrets.txt").write_text("private")
    with pytest.raises(BadInput, match="not a checkout of NCA Garden"):
        deploy_space(hub, tmp_path, "ann/garden", token=server.user("ann"))
    assert server.requests == []

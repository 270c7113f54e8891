"""Files and names from strangers: nothing is read or written elsewhere, and nothing grows."""

import base64
import json
import os
import secrets
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import zipfile
import zlib
from pathlib import Path

import pytest

from nca.checkpoint import zip_checkpoint
from nca.config import Limits
from tests.attacks.attacker import APOLOGY, Attacker
from tests.attacks.test_api_fuzz import is_sentence

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "checkpoints" / "lizard-regenerating"


def memory(process: int) -> int:
    """Bytes that a process holds now."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------------- paths


ROUTES = (
    "/gradio_api/file={}", "/file={}", "/gradio_api/file/{}", "/static/{}", "/assets/{}",
    "/svelte/{}", "/custom_component/x/client/component/{}", "/gradio_api/stream/x/y/z/{}",
    "/proxy={}", "/{}",
)  # fmt: skip


def disguises(path: Path) -> list[str]:
    """One file in the ways that have led out of servers before."""
    plain, up = str(path), "../" * 12 + str(path).lstrip("/")
    return [
        plain, up, plain.lstrip("/"), f"/{plain}", f"./{up}", f"....//{up}", f"file://{plain}",
        urllib.parse.quote(plain, safe=""), urllib.parse.quote(up, safe=""),
        up.replace("..", "%2e%2e"),
        up.replace("/", "%2f"), up.replace("/", "%5c"), up.replace("../", "..%252f"),
        up.replace("../", "..%c0%af"), plain + "%00.png", plain + "%00", f"static/{up}",
    ]  # fmt: skip


def test_no_route_leads_out(attacker: Attacker):
    home = attacker.server.home
    secret = (home / "secret").read_bytes()
    assert len(secret) >= 32
    kept = {home / "secret": secret, home / "garden.sqlite3": b"SQLite format 3"}
    kept[ROOT / "app.py"] = (ROOT / "app.py").read_bytes()[:60]
    kept[Path("/etc/passwd")] = b"root:"
    for path, content in kept.items():
        for name in disguises(path):
            for route in ROUTES:
                status, said = attacker.send("GET", route.format(name))
                assert content not in said, (route, name)
                assert status < 500, (route, name)


@pytest.mark.parametrize(
    "name",
    ["../../../../../tmp/out.png", "/tmp/out.png", "..\\\\..\\\\out.png", "C:\\\\out.png", "", ".",
     "..", "x" * 300 + ".png", "a/../../out.png", "%2e%2e%2fout.png", ".htaccess", "con", "-rf",
     "🦎.png"],
)  # fmt: skip
def test_names_of_uploads_never_become_paths(attacker: Attacker, name):
    folder = attacker.server.home.parent
    before, outside = files(folder), {Path("/tmp/out.png"), folder.parent / "out.png"}
    assert not any(path.exists() for path in outside)
    mark = secrets.token_hex(16).encode()
    head = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    status, said = attacker.send(
        "POST",
        "/gradio_api/upload",
        head.encode() + mark + b"\r\n--b--\r\n",
        "multipart/form-data; boundary=b",
    )
    assert status < 500, said
    new = files(folder) - before
    assert all(path.is_relative_to(folder / "cache") for path in new if path.read_bytes() == mark)
    assert not any(path.exists() for path in outside)
    if status == 200:
        (path,) = json.loads(said)
        assert Path(path).resolve().is_relative_to(folder / "cache")


def test_an_upload_beyond_the_limit_is_not_kept(attacker: Attacker):
    most, cache = Limits().upload_bytes, attacker.server.home.parent / "cache"
    before = {path: path.stat().st_size for path in files(cache)}
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    status, _ = attacker.send(
        "POST",
        "/gradio_api/upload",
        head + bytes(most + 2**20) + b"\r\n--b--\r\n",
        "multipart/form-data; boundary=b",
    )
    assert status == 413
    assert not [p for p in files(cache) if p not in before and p.stat().st_size > 2**20]


# ---------------------------------------------------------------------------- pictures


def _png(width: int, height: int, depth: int = 1, colour: int = 0) -> bytes:
    """A PNG of that size, all 0, with however few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer, row = zlib.compressobj(9), bytes(1 + width * depth // 8)
    rows = min(height, 20_000)
    data = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def _gif(side: int) -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HH", side, side)
        + b"\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x01,\0;"
    )


def test_pictures_that_would_fill_memory(attacker: Attacker):
    process = attacker.server.process.pid
    attacker.call("train", ["", "quick", 8, 1, 1, 0, "AAAA", "", ""])  # what the first call loads
    pictures = [_png(20_000, 20_000), _png(2**31 - 1, 1), _png(1, 2**31 - 1), _gif(65_535)]
    pictures += [_png(16_384, 16_384, 8)[:40_000], b"II*\0" + bytes(99), b"SIMPLE  =" + bytes(2880)]
    pictures += [
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9999999'/>",
        b"%PDF-1.7\n" + bytes(99),
    ]
    for number, data in enumerate(pictures):
        before, start = memory(process), time.monotonic()
        packed = base64.b64encode(data).decode()
        answer = attacker.call("train", ["", "quick", 8, 1, 1, 0, packed, "", ""])
        assert answer.refusal and is_sentence(answer.refusal), (number, answer)
        assert APOLOGY not in answer.refusal
        assert time.monotonic() - start < 10, number  # 1 s where nothing else runs
        assert memory(process) - before < 150 * 2**20, number


def test_a_body_of_forty_megabytes_is_refused_in_words(attacker: Attacker):
    answer = attacker.call("train", ["", "quick", 8, 1, 1, 0, "A" * (40 * 2**20), "", ""])
    assert (
        answer.refusal == "Please give the picture as base64 or as an uploaded file, at most 5 MB."
    )


# ---------------------------------------------------------------------------- zips


UNPACK = """
import resource, sys, time
from pathlib import Path
from nca.checkpoint import unzip_checkpoint
from nca.config import BadInput
folder = Path(sys.argv[1])
unzip_checkpoint((folder / "good.zip").read_bytes(), folder / "good")  # what the first one loads
for path in sorted(folder.glob("bad-*.zip")):
    data = path.read_bytes()
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    try:
        unzip_checkpoint(data, folder / "out")
        said = ""
    except BadInput as refusal:
        said = str(refusal)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(path.name, grown, round(time.monotonic() - start, 2), said, sep="\\t")
"""


def _zipped(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_zips_that_would_fill_memory_or_disk(tmp_path):
    """Bombs of every construction: refused in words, in little time and memory."""
    sound = {path.name: path.read_bytes() for path in SHIPPED.iterdir()}
    (tmp_path / "good.zip").write_bytes(zip_checkpoint(SHIPPED))
    huge = bytes(300 * 2**20)
    _zipped(tmp_path / "bad-target.zip", sound | {"target.png": huge})
    _zipped(tmp_path / "bad-metrics.zip", sound | {"metrics.json": b"[" * 20 * 2**20})
    _zipped(tmp_path / "bad-weights.zip", sound | {"model.safetensors": huge})
    inner = (tmp_path / "bad-weights.zip").read_bytes()
    _zipped(tmp_path / "bad-nested.zip", {"model.safetensors": inner, "config.json": b"{}"})
    # Entries that share their data, as in the smallest bombs.
    data = bytearray((tmp_path / "good.zip").read_bytes())
    at = -1
    while (at := data.find(b"PK\1\2", at + 1)) >= 0:
        data[at + 42 : at + 46] = bytes(4)  # all begin where the first one does
    (tmp_path / "bad-overlap.zip").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "bad-link.zip", "w") as archive:
        link = zipfile.ZipInfo("model.safetensors")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    done = subprocess.run(
        [sys.executable, "-c", UNPACK, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, encoding="utf-8", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(told) == 6
    for name, grown, seconds, said in told:
        assert is_sentence(said), (name, said)
        assert int(grown) < 30 * 1024 and float(seconds) < 5, (name, grown, seconds)
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------------------- crowds


def test_many_trainings_at_once_of_one_visitor(attacker: Attacker):
    """One at most is accepted, the others are told why."""
    key, answers = secrets.token_hex(16), []

    def train() -> None:
        mine = Attacker(attacker.server, attacker.hub)
        answers.append(mine.call("train", ["🦎", "quick", 8, 4, 1, 0, "", "", key]))

    crowd = [threading.Thread(target=train) for _ in range(20)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert len(answers) == 20
    assert sum(answer.refusal is None for answer in answers) <= 1
    assert all(is_sentence(a.refusal) and APOLOGY not in a.refusal for a in answers if a.refusal)


@pytest.mark.long
def test_a_hundred_visitors_leave_nothing_behind(attacker: Attacker):
    def visits() -> None:
        for _ in range(50):
            key = secrets.token_hex(16)
            assert attacker.call("list_checkpoints", ["here", "", key]).value
            assert attacker.call("job", [secrets.token_hex(16), key]).refusal
            assert attacker.call("grow", ["kept:" + "0" * 32, 1, 1, "", 0, key]).refusal

    visits()
    attacker.end_trainings()
    home, process = attacker.server.home, attacker.server.process.pid
    before, kept = memory(process), len(files(home))
    visits()
    assert memory(process) - before < 20 * 2**20
    assert len(files(home)) <= kept

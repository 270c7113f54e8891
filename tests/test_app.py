"""`app.py` as it starts: in surroundings that are not the usual, with sentences where it cannot."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from nca.config import BadInput
from nca.settings import PASSING_SECONDS, check_proxies, keep_uploads_in

ROOT = Path(__file__).parents[1]
PLAIN = {k: v for k, v in os.environ.items() if not k.startswith(("NCA_", "GRADIO_"))}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"ALL_PROXY": "socks://127.0.0.1:9"}, "ALL_PROXY names a proxy by socks://"),
        ({"https_proxy": "socks4://127.0.0.1:9"}, "please write socks5://"),
        ({"NCA_GARDEN_LIMITS": "many"}, "a JSON object"),
        ({"NCA_GARDEN_LIMITS": '{"queue_lenght": 5}'}, "please write queue_length"),
        ({"NCA_GARDEN_HOME": "/proc/garden"}, "please set NCA_GARDEN_HOME"),
    ],
)
def test_what_keeps_it_from_starting_is_one_sentence(tmp_path, environment, words):
    done = subprocess.run(
        [sys.executable, "app.py"],
        env={**PLAIN, "NCA_GARDEN_HOME": str(tmp_path), **environment},
        cwd=ROOT, capture_output=True, timeout=300,
    )  # fmt: skip
    said = done.stderr.decode().strip()
    assert done.returncode == 1 and words in said and len(said.splitlines()) == 1, said


def test_proxies_that_can_be_used():
    for address in ("http://a:1", "https://a", "socks5://a:1", "SOCKS5H://a", "a:8080", ""):
        check_proxies({"ALL_PROXY": address, "HTTP_PROXY": address})
    with pytest.raises(BadInput, match="by so//?cks"):
        check_proxies({"HTTP_PROXY": "so\x1b//cks://a"})


def test_the_temp_folder_is_ours_unless_one_is_given(tmp_path):
    environ = {"GRADIO_TEMP_DIR": "/somewhere"}
    keep_uploads_in(tmp_path, environ)
    assert environ == {"GRADIO_TEMP_DIR": "/somewhere"} and not any(tmp_path.iterdir())
    environ = {}
    keep_uploads_in(tmp_path, environ)
    folder = Path(environ["GRADIO_TEMP_DIR"])
    assert folder.is_relative_to(tmp_path)
    for name, age in (("old", PASSING_SECONDS + 60), ("new", 60)):
        (folder / name).mkdir()
        (folder / name / "film.gif").touch()
        os.utime(folder / name, (time.time() - age, time.time() - age))
    keep_uploads_in(tmp_path, {})
    assert [path.name for path in folder.iterdir()] == ["new"]


@pytest.mark.long
def test_uploads_work_where_another_user_has_the_shared_temp_folder(tmp_path):
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "gradio").touch()  # in the way, also for root
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **PLAIN,
        "NCA_GARDEN_HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "GRADIO_SERVER_PORT": str(port),
    }
    log = tmp_path / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py"], env=environment, cwd=ROOT, stdout=output, stderr=output
        )
    try:
        until = time.monotonic() + 240
        body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        body += b"b\r\n--x--"
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/gradio_api/upload",
            body,
            {"Content-Type": "multipart/form-data; boundary=x"},
        )
        while True:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    (path,) = json.loads(answer.read())
                break
            except ConnectionError:
                pass
            except urllib.error.URLError as error:
                assert isinstance(error.reason, ConnectionError), error
            assert process.poll() is None and time.monotonic() < until, log.read_text("utf-8")
            time.sleep(0.2)
        assert Path(path).is_relative_to(tmp_path / "home") and Path(path).read_bytes() == b"b"
    finally:
        process.terminate()
        process.wait(60)

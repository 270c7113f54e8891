"""Zips of a checkpoint as other programs make them, and zips that are not one."""

import io
import struct
import zipfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nca.checkpoint import FILES, save_checkpoint, unzip_checkpoint, zip_checkpoint
from nca.config import BadInput, NCAConfig
from nca.model import NCA

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    nca = NCA(NCAConfig(channels=5, hidden=(8,)))
    target = torch.zeros(8, 8, 4)
    return save_checkpoint(tmp_path_factory.mktemp("c"), nca, target=target, preview=False)


def zipped(folder, rename=lambda name: name, extra=(), **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in FILES:
            if (folder / name).is_file():
                entry = zipfile.ZipInfo("x")
                entry.filename = rename(name)  # past ZipInfo, which would change back slashes
                with archive.open(entry, "w", **options) as file:
                    file.write((folder / name).read_bytes())
        for name, data in extra:
            archive.writestr(name, data)
    return buffer.getvalue()


class Stream(io.RawIOBase):
    """What cannot be sought in, so that sizes follow the data, as in zips made while sending."""

    def __init__(self):
        self.data = b""

    def writable(self):
        return True

    def write(self, data):
        self.data += bytes(data)
        return len(data)


def streamed(folder):
    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in FILES:
            if (folder / name).is_file():
                with archive.open(name, "w", force_zip64=True) as file:
                    file.write((folder / name).read_bytes())
    return stream.data


def with_64_bit_end(data, directory=None):
    """The same zip with its end in 64 bits besides, as programs that stream write it."""
    end = data.rfind(b"PK\5\6")
    count, size, start = struct.unpack("<HII", data[end + 10 : end + 20])
    size = size if directory is None else directory
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    short = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return data[:end] + record + locator + short


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name,
        lambda name: f"lizard/{name}",
        lambda name: f"lizard\\{name}",
        lambda name: f"runs/lizard/{name}",
        lambda name: f"C\\Users\\ann\\lizard\\{name}",
        lambda name: f"./{name}",
        lambda name: f"./runs//lizard/{name}",
        lambda name: f"/{name}",
        lambda name: f"Échse 🦎/{name}",
    ],
)
def test_wherever_the_folder_lies(folder, tmp_path, rename):
    junk = [("__MACOSX/lizard/model.safetensors", b"x"), ("lizard/.DS_Store", b"x"), ("a/", b"")]
    assert unzip_checkpoint(zipped(folder, rename, junk), tmp_path / "out").info.title
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        name for name in FILES if (folder / name).is_file()
    )


def test_names_never_become_paths(folder, tmp_path):
    unzip_checkpoint(zipped(folder, lambda name: f"../../{name}"), tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_streamed_and_64_bit_zips(folder, tmp_path):
    assert unzip_checkpoint(streamed(folder), tmp_path / "1").info.title
    assert unzip_checkpoint(with_64_bit_end(zipped(folder)), tmp_path / "2").info.title
    assert unzip_checkpoint(with_64_bit_end(streamed(folder)), tmp_path / "3").info.title
    assert unzip_checkpoint(zip_checkpoint(folder), tmp_path / "4").info.title


@pytest.mark.parametrize("size", [2**16, 2**31, 2**63])
def test_a_long_list_of_contents_is_not_read(folder, tmp_path, size):
    with pytest.raises(BadInput, match="not a zip that can be read"):
        unzip_checkpoint(with_64_bit_end(zipped(folder), size), tmp_path / "out")


def test_two_checkpoints_in_one_zip(folder, tmp_path):
    weights = (folder / "model.safetensors").read_bytes()
    with pytest.raises(BadInput, match="holds 2 checkpoints"):
        unzip_checkpoint(zipped(folder, extra=[("b/model.safetensors", weights)]), tmp_path / "o")
    with pytest.raises(BadInput, match="more than once"):
        unzip_checkpoint(zipped(folder, extra=[("./config.json", b"{}")]), tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_password_is_named(folder, tmp_path):
    data = bytearray(zipped(folder))
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = -1
        while (start := data.find(signature, start + 1)) >= 0:
            data[start + at] |= 1
    with pytest.raises(BadInput, match="password"):
        unzip_checkpoint(bytes(data), tmp_path / "out")


@given(data=st.data())
def test_damaged_zips_are_read_or_refused(folder, tmp_path_factory, data):
    damaged = bytearray(data.draw(st.sampled_from([zipped(folder), streamed(folder)])))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(damaged)))
        damaged[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    out = tmp_path_factory.getbasetemp() / "damaged"
    try:
        unzip_checkpoint(bytes(damaged), out)
    except BadInput as refusal:
        assert str(refusal).endswith(".") and "\n" not in str(refusal)

import gc
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
import zipfile
from io import BytesIO

import pytest
import torch
from PIL import Image
from safetensors.torch import save

from nca.checkpoint import (
    FILES,
    FINE,
    METADATA,
    load_checkpoint,
    read_info,
    retitle,
    save_checkpoint,
    weights_from_bytes,
    weights_to_bytes,
    zip_checkpoint,
)
from nca.config import BadInput, CheckpointInfo, Limits, NCAConfig, TrainConfig
from nca.model import NCA
from nca.target import emoji_target, target_from_png, target_to_png

CONFIG = NCAConfig(channels=6, hidden=(8,))


@pytest.fixture
def nca():
    nca = NCA(CONFIG)
    torch.nn.init.normal_(
        nca.layers[-1].weight, std=0.05, generator=torch.Generator().manual_seed(0)
    )
    return nca


def info(**changes):
    return CheckpointInfo(**{"nca": CONFIG, "title": "test", **changes})


def test_round_trip(tmp_path, nca):
    target = target_from_png(target_to_png(emoji_target("🦎", 10, 3)))
    said = info(train=TrainConfig(damage_count=3), recipe="regenerating", iteration=7)
    save_checkpoint(tmp_path / "c", nca, said, target, {"scores": {"growth": -3.0}})
    loaded = load_checkpoint(tmp_path / "c")
    assert loaded.info == said and loaded.size == (16, 16)
    assert torch.equal(loaded.target, target)
    assert loaded.metrics == {"scores": {"growth": -3.0}}
    for name, value in nca.state_dict().items():
        assert torch.equal(value, loaded.nca.state_dict()[name])
    assert {p.name for p in (tmp_path / "c").iterdir()} == set(FILES) - set(FINE)
    with Image.open(tmp_path / "c" / "preview.gif") as gif:
        assert gif.n_frames > 1 and gif.size == (64, 64)  # equal frames are joined
    save_checkpoint(tmp_path / "large", nca, said, torch.ones(120, 120, 4))
    with Image.open(tmp_path / "large" / "preview.gif") as gif:
        assert gif.size == (240, 240)
    card = (tmp_path / "c" / "README.md").read_text()
    assert "library_name: nca-garden" in card and "| growth | -3.0 |" in card
    with zipfile.ZipFile(BytesIO(zip_checkpoint(tmp_path / "c"))) as archive:
        assert set(archive.namelist()) == set(FILES) - set(FINE)
        assert archive.read("model.safetensors") == (tmp_path / "c/model.safetensors").read_bytes()
    (tmp_path / "c" / "config.json").unlink()  # a copy for people
    assert read_info(tmp_path / "c") == said


def test_a_card_shows_the_pictures_that_are_there(tmp_path, nca):
    folder = save_checkpoint(tmp_path / "c", nca, info(), torch.ones(8, 8, 4), preview=False)
    said = (folder / "README.md").read_text()
    assert "target.png" in said and "preview.gif" not in said and "scores.png" not in said
    (folder / "scores.png").touch()
    retitle(folder, "renamed")
    said = (folder / "README.md").read_text()
    assert "# renamed" in said and "scores.png" in said


@pytest.mark.parametrize(
    "bad",
    [
        {"metrics": {"x": object()}},
        {"target": torch.ones(8, 4)},
        {"target": torch.ones(2, 8, 8, 4)},
    ],
)
def test_what_cannot_be_saved_leaves_the_checkpoint_as_it_was(tmp_path, nca, bad):
    folder = save_checkpoint(tmp_path / "c", nca, info(), torch.ones(8, 8, 4), preview=False)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(BadInput, match="must be"):
        save_checkpoint(folder, NCA(CONFIG, 1), info(), preview=False, **bad)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_weights_that_are_not_finite_are_never_written(tmp_path, nca):
    with torch.no_grad():
        nca.layers[0].bias[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        save_checkpoint(tmp_path / "c", nca, info(), preview=False)
    assert list((tmp_path / "c").iterdir()) == []


def with_header(header, body=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def tensors(nca, **changes):
    return {k: changes.get(k.replace(".", "_"), v) for k, v in nca.state_dict().items()}


def meta(**changes):
    return {METADATA: json.dumps(json.loads(info().model_dump_json()) | changes)}


def hostile(nca):
    weight = nca.layers[0].weight.detach()
    good = weights_to_bytes(nca, info())
    nan, huge = torch.full_like(weight, torch.nan), torch.full_like(weight, 1e30)
    many = {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)}
    wide = {"channels": 32, "hidden": [512] * 4}
    yield "empty", b""
    yield "text", b"hello, I am a picture"
    yield "pickle", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00cposix\nsystem\n."
    yield "truncated", good[:-4]
    yield "trailing", good + b"\0" * 8
    yield "long header", struct.pack("<Q", 2**62) + b"{}"
    yield "many tensors", with_header({"__metadata__": meta()} | many)
    yield "deep json", struct.pack("<Q", 100_000) + b"[" * 100_000
    yield "too large", good + b"\0" * 2**20
    yield "no metadata", save(tensors(nca))
    yield "metadata of another", save(tensors(nca), {"format": "pt"})
    yield "metadata not json", save(tensors(nca), {METADATA: "{"})
    yield "unknown key", save(tensors(nca), meta(evil=1))
    yield "other version", save(tensors(nca), meta(format="nca-garden-9"))
    yield "huge config", save(tensors(nca), meta(nca={"channels": 10**9}))
    yield "other shapes", save(tensors(nca), meta(nca=wide))
    yield "nan config", save(tensors(nca), {METADATA: '{"nca": {"fire_rate": NaN}}'})
    yield "missing tensor", save({"layers.0.weight": weight}, meta())
    yield "extra tensor", save(tensors(nca) | {"x": torch.zeros(1)}, meta())
    yield "half precision", save({k: v.half() for k, v in tensors(nca).items()}, meta())
    yield "nan", save(tensors(nca, layers_0_weight=nan), meta())
    yield "huge weights", save(tensors(nca, layers_0_weight=huge), meta())
    overlap = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    yield "overlap", with_header({"a": overlap, "b": overlap, "__metadata__": meta()}, b"\0" * 8)


def test_hostile_weights_are_refused_quickly_in_one_sentence(nca):
    gc.freeze()  # a collection while one is read would take time for all that other tests have left
    for name, data in hostile(nca):
        started = time.process_time()
        with pytest.raises(BadInput) as refusal:
            weights_from_bytes(data, Limits())
        assert time.process_time() - started < 0.1, name
        said = str(refusal.value)
        assert said.endswith(".") and "\n" not in said and len(said) < 200, name
    gc.unfreeze()


def test_folders_that_do_not_fit(tmp_path, nca):
    with pytest.raises(BadInput, match=r"no model\.safetensors"):
        load_checkpoint(tmp_path)
    with pytest.raises(BadInput, match=r"metadata of model\.safetensors"):
        read_info(tmp_path)
    folder = save_checkpoint(tmp_path / "c", nca, info(), preview=False)
    (folder / "metrics.json").write_text("[" * 1000)
    with pytest.raises(BadInput, match=r"metrics\.json"):
        load_checkpoint(folder)
    (folder / "metrics.json").write_text("{}")
    (folder / "target.png").write_bytes(b"GIF89a")
    with pytest.raises(BadInput, match="PNG"):
        load_checkpoint(folder)
    (folder / "target.png").unlink()
    (folder / "target.png").symlink_to("/dev/zero")
    assert load_checkpoint(folder).target is None  # not a plain file: as if it were not there


WRITER = """
import os, sys, torch
from pathlib import Path
from nca.checkpoint import save_checkpoint
from nca.resume import save_resume
from nca.config import NCAConfig, TrainConfig
from nca.trainer import Trainer
torch.set_num_threads(1)
trainer = Trainer(NCAConfig(channels=6, hidden=(8,)), TrainConfig(batch=2, pool_size=64),
                  torch.full((12, 12, 4), 0.5))
for _ in sys.stdin:  # forked, because importing torch takes seconds
    child = os.fork()
    while child == 0:
        save_resume(trainer, Path(sys.argv[1]) / "resume.safetensors")
        save_checkpoint(Path(sys.argv[1]) / "c", trainer.nca, preview=False)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""


def test_killed_while_saving_leaves_whole_files(tmp_path):
    """SIGKILL at 40 random moments of saving; every file that is there can be read."""
    moments = random.Random(0)
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        for _ in range(40):
            parent.stdin.write("again\n")
            parent.stdin.flush()
            child = int(parent.stdout.readline())
            while not (tmp_path / "c" / "README.md").exists():
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.03))
            os.kill(child, signal.SIGKILL)
            assert parent.stdout.readline() == "gone\n"
            load_checkpoint(tmp_path / "c")
            data = (tmp_path / "resume.safetensors").read_bytes()
            header = int.from_bytes(data[:8], "little")
            described = json.loads(data[8 : 8 + header])
            ends = [v["data_offsets"][1] for k, v in described.items() if k != "__metadata__"]
            assert len(data) == 8 + header + max(ends)
        parent.stdin.close()

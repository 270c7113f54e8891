"""The last part of a training, which fits a decoder: when, how far, stopped, resumed, asked for."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from nca.checkpoint import load_checkpoint
from nca.config import BadInput
from nca.files import write_atomic
from nca.jobs import JobQueue, Target
from nca.jobs.as_code import as_command
from nca.jobs.check_up import CHECK_UP, CheckUp
from nca.jobs.progress import read_progress, write_progress
from nca.jobs.run import run_folder
from nca.jobs.sharpening import SHARPENING, TOO_BLURRY, picture_to_fit
from nca.jobs.spec import FINE, SPEC, TARGET, Exit, read_spec
from nca.jobs.sweep_results import look_at
from nca.picture import PICTURE
from nca.preview import PREVIEW
from tests.jobs_kit import tiny_spec, wait_for

CONFIG = {"kind": "emoji", "emoji": "🟩", "size": 8, "padding": 0}
TARGET_OF_ALL = Target.make(CONFIG)


def spec_with(**changes):
    return tiny_spec(2, target=TARGET_OF_ALL.config, sharpen=6, **changes)


def look_good(folder):
    """Let a training that is too short look as if its check had found what it should."""
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["check_up"]["grown"] > -2
    metrics["check_up"]["grown"] = -3.0
    write_atomic(folder / "metrics.json", json.dumps(metrics).encode())


def test_a_finished_training_gets_a_decoder_in_as_many_parts_as_it_takes(tmp_path):
    spec = spec_with()
    write_atomic(tmp_path / SPEC, spec.model_dump_json().encode())
    write_atomic(tmp_path / TARGET, TARGET_OF_ALL.png)
    assert run_folder(tmp_path, lambda: False) == Exit.FINISHED
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.decoder is None  # it looks like nothing yet
    coarse = (tmp_path / PREVIEW).read_bytes()
    look_good(tmp_path)

    assert run_folder(tmp_path, lambda: False, sharpens=False) == Exit.PAUSED
    assert not (tmp_path / SHARPENING).exists()
    fitted = []
    count = lambda: fitted.append(read_progress(tmp_path).sharpening)  # noqa: E731
    code = run_folder(tmp_path, lambda: len(fitted) >= 2, on_iteration=count)
    assert code == Exit.PAUSED and (tmp_path / SHARPENING).exists() and (tmp_path / FINE).exists()
    fitted.clear()
    assert run_folder(tmp_path, lambda: False, on_iteration=count) == Exit.FINISHED
    assert len(fitted) == 4 and fitted[-1] is not None
    assert not (tmp_path / SHARPENING).exists() and not (tmp_path / FINE).exists()
    progress = read_progress(tmp_path)
    assert progress.sharpening is None and progress.seconds_left == 0
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.decoder is not None and checkpoint.picture is not None
    assert (tmp_path / PREVIEW).read_bytes() != coarse


@pytest.mark.long
def test_who_asks_for_a_decoder_waits_in_the_queue(tmp_path):
    queue = JobQueue(tmp_path, devices=["cpu"])
    try:
        key = queue.new_key()
        job = queue.submit(key, spec_with(), TARGET_OF_ALL.png)
        folder = queue.view(key, job).folder
        wait_for(lambda: queue.view(key, job).state == "finished")
        look_good(folder)
        queue.sharpen(key, job)
        assert queue.view(key, job).active
        wait_for(lambda: queue.view(key, job).state == "finished")
        assert load_checkpoint(folder).decoder is not None
        write_progress(folder, read_progress(folder).model_copy(update={"iteration": 1}))
        with pytest.raises(BadInput, match="when its training has finished"):
            queue.sharpen(key, job)
        with pytest.raises(BadInput):
            queue.sharpen(queue.new_key(), job)
    finally:
        queue.close()


def test_a_picture_of_ones_own_is_kept_for_it(tmp_path):
    picture = TARGET_OF_ALL.png
    own = Target.make({"kind": "image", "size": 8, "padding": 2}, picture, fine=True)
    assert own.picture is not None and Target.make(CONFIG, fine=True).picture is None
    queue = JobQueue(tmp_path, devices=["cpu"], thread=False)
    key, spec = queue.new_key(), tiny_spec(2, target=own.config, sharpen=9)
    job = queue.submit(key, spec, own.png, picture=own.picture)
    folder = queue.view(key, job).folder
    assert (folder / PICTURE).read_bytes() == own.picture
    assert read_spec(folder).sharpen == 9 and "--no-sharpen" not in as_command(spec)
    assert as_command(tiny_spec(2, sharpen=0)).count("--no-sharpen") == 1
    for bad in (b"", b"no picture", own.picture + bytes(2**20), Target.make(CONFIG).png[:40]):
        with pytest.raises(BadInput):
            queue.submit(queue.new_key(), spec, own.png, picture=bad)
    queue.close()


def test_several_pictures_of_ones_own_are_kept_one_below_the_other(tmp_path):
    green, red = TARGET_OF_ALL.png, Target.make(CONFIG | {"emoji": "🟥"}).png
    own = Target.make({"kind": "image", "size": 8, "padding": 0}, [green, red], fine=True)
    nca = tiny_spec(1).nca.model_copy(update={"kinds": 2})
    spec = spec_with(nca=nca).model_copy(update={"target": own.config})
    queue = JobQueue(tmp_path, devices=["cpu"], thread=False)
    with pytest.raises(BadInput, match="fine picture"):
        queue.submit(queue.new_key(), spec, own.png, picture=green)
    queue.close()
    folder = tmp_path / "training"
    folder.mkdir()
    for name, data in ((SPEC, spec.model_dump_json().encode()), (TARGET, own.png)):
        write_atomic(folder / name, data)
    write_atomic(folder / PICTURE, own.picture)
    assert run_folder(folder, lambda: False) == Exit.FINISHED
    look_good(folder)
    seen = []
    look = lambda: seen.append((folder / FINE).is_file())  # noqa: E731
    assert run_folder(folder, lambda: False, on_iteration=look) == Exit.FINISHED
    assert len(seen) == 8 and any(seen)  # more iterations than the 6 for one picture
    checkpoint = load_checkpoint(folder)
    assert checkpoint.decoder is not None and checkpoint.picture.shape == (2, 64, 64, 4)
    assert look_at(folder, "two").states.shape[0] == 3
    with Image.open(folder / PREVIEW) as preview:
        assert preview.width == 2 * preview.height


def test_what_looks_like_nothing_gets_none():
    checkpoint = load_checkpoint("checkpoints/lizard-regenerating")
    found = CheckUp(grown=-1.0, kept=-1.0, healed=0, damaged=20)
    blurry = replace(checkpoint, metrics={CHECK_UP: found.model_dump()})
    with pytest.raises(BadInput, match="train it longer") as refusal:
        picture_to_fit(blurry)
    assert str(refusal.value) == TOO_BLURRY
    assert picture_to_fit(checkpoint).shape == (14 * 72, 14 * 72, 4)

"""What every executor relies on: chunks that change nothing, and a folder lent and given back."""

import json
import threading
from functools import partial

import pytest

from nca.config import BadInput, Limits
from nca.jobs import JobQueue
from nca.jobs.executor import find_devices
from nca.jobs.progress import read_progress, read_result
from nca.jobs.run import Stop, run_folder
from nca.jobs.spec import SPEC, TARGET, Exit
from tests.jobs_kit import LONG, tiny_png, tiny_spec, wait_for, workers


def folder_with(path, spec):
    path.mkdir()
    (path / SPEC).write_text(spec.model_dump_json())
    (path / TARGET).write_bytes(tiny_png())
    return path


def chunk_is_over(done, count):
    return len(done) >= count


def test_chunks_end_in_the_same_bytes_as_one_run(tmp_path):
    spec = tiny_spec(23)
    whole, parts = (folder_with(tmp_path / name, spec) for name in ("whole", "parts"))
    assert run_folder(whole, Stop(whole)) == Exit.FINISHED
    done, ends = [], []
    for count in (1, 7, 2, 0, 9, 50):
        done.clear()
        stop = partial(chunk_is_over, done, count)
        ends.append(run_folder(parts, stop, on_iteration=partial(done.append, 1)))
        assert read_result(parts).outcome == ends[-1].name.lower()
    assert ends == [Exit.PAUSED] * 5 + [Exit.FINISHED]
    # The metrics also hold seconds and the resume file the rate, which differ.
    for name in ("model.safetensors", "config.json"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes(), name
    losses = [
        [(line["iteration"], line["loss"]) for line in map(json.loads, path.open())]
        for path in (parts / "metrics.jsonl", whole / "metrics.jsonl")
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 23
    assert len(list((parts / "snapshots").glob("*.safetensors"))) == 23


def test_a_chunk_ends_in_time_or_by_the_stop_file(tmp_path):
    folder = folder_with(tmp_path / "job", tiny_spec(LONG))
    assert run_folder(folder, Stop(folder, seconds=2.0), device="cpu") == Exit.PAUSED
    done = read_progress(folder).iteration
    (folder / "stop").touch()
    assert run_folder(folder, Stop(folder, seconds=60)) == Exit.PAUSED
    assert read_progress(folder).iteration == done
    assert run_folder(tmp_path / "none", Stop(folder)) == Exit.BUSY


def test_zero_gpu_promises_a_card_that_a_worker_does_not_have():
    assert find_devices({"SPACES_ZERO_GPU": "1"}) == ("cpu",)


@pytest.mark.long
def test_a_lent_training_is_trained_by_nobody_else_and_goes_on_afterwards(tmp_path):
    queue, key = JobQueue(tmp_path, Limits(), devices=("cpu",)), JobQueue.new_key()
    try:
        job = queue.submit(key, tiny_spec(LONG), tiny_png())
        folder = queue.view(key, job).folder
        wait_for(lambda: workers(folder))
        with pytest.raises(BadInput, match="not yours"), queue.lend(JobQueue.new_key(), job):
            pass
        other, another = JobQueue.new_key(), None
        with queue.lend(key, job) as lent:
            assert lent == folder and not workers(folder)
            for _ in range(2):
                before = read_progress(folder).iteration
                done = []
                stop = partial(chunk_is_over, done, 3)
                assert run_folder(lent, stop, on_iteration=partial(done.append, 1)) == Exit.PAUSED
                assert read_progress(folder).iteration == before + 3
                assert queue.view(key, job).state == "running" and queue.health().worker_alive
            with pytest.raises(BadInput, match="already runs"), queue.lend(key, job):
                pass
            another = queue.submit(other, tiny_spec(2), tiny_png())  # the device is free for it
            wait_for(lambda: queue.view(other, another).state == "finished")
        wait_for(lambda: workers(folder))
        before = read_progress(folder).iteration
        wait_for(lambda: queue.view(key, job).iteration > before)

        with queue.lend(key, job) as lent:
            ended = []
            chunk = threading.Thread(target=lambda: ended.append(run_folder(lent, Stop(lent))))
            chunk.start()
            queue.stop(key, job)  # reaches the chunk, wherever it runs
            chunk.join(60)
            assert ended == [Exit.PAUSED]
        view = wait_for(lambda: not (v := queue.view(key, job)).active and v)
        assert view.state == "stopped" and view.can_resume
        with pytest.raises(BadInput, match="resume it first"), queue.lend(key, job):
            pass

        queue.resume(key, job, view.iteration + 3)
        with queue.lend(key, job) as lent:
            assert run_folder(lent, Stop(lent)) == Exit.FINISHED
        wait_for(lambda: queue.view(key, job).state == "finished")
    finally:
        queue.close()

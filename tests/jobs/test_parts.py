"""The small parts of jobs, without processes to wait for."""

import io
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nca.jobs import JobSpec, Target, clean_environment, default_home
from nca.jobs.lock import FileLock, holder
from nca.jobs.metrics import MetricsReader, MetricsWriter
from nca.jobs.store import Row, Store
from nca.metrics import Metrics, metrics_csv, read_metrics, thinned
from nca.render import picture_bytes


def a_row(job: str, **changes) -> Row:
    values = dict(
        id=job, owner="0" * 64, title="x", device="cpu", state="queued", position=1, work=1.0,
        iterations=10, created=1.0, changed=1.0,
    )  # fmt: skip
    return Row(**(values | changes))


def test_a_reader_sees_what_was_appended_rolled_back_and_torn(tmp_path):
    path = tmp_path / "metrics.jsonl"
    reader = MetricsReader(path)
    assert reader.read() == []
    writer = MetricsWriter(path, iterations=100)
    for i in range(1, 11):
        writer.add(Metrics(i, 10 ** (-i / 10)))
    writer.flush()
    assert reader.read() == [(i, -i / 10) for i in range(1, 11)]
    with path.open("ab") as file:
        file.write(b'{"iteration": 11, "log')
    assert reader.read()[-1][0] == 10

    writer = MetricsWriter(path, iterations=100, iteration=8)  # a worker that goes on from 8
    assert reader.read()[-1] == (8, -0.8)
    writer.add(Metrics(9, 1e-2))
    writer.add(Metrics(10, 1e-3))
    writer.add(Metrics(9, float("nan")))  # training broke down and was rolled back to 9
    writer.add(Metrics(10, 1e-4))
    writer.flush()
    assert reader.read()[-3:] == [(8, -0.8), (9, -2.0), (10, -4.0)]


def test_many_points_become_means_and_the_file_stays_small(tmp_path):
    path = tmp_path / "metrics.jsonl"
    writer = MetricsWriter(path, iterations=200_000)
    for i in range(1, 200_001):
        writer.add(Metrics(i, 0.1 if i % 20 else 0.001))
    writer.flush()
    assert len(path.read_bytes().splitlines()) <= 20_001
    points = MetricsReader(path).read(points=300)
    assert len(points) == 300 and points[-1][0] == 200_000
    assert all(loss == pytest.approx(-2.0, abs=0.05) for _, loss in points)


def test_metrics_hold_more_than_the_loss_and_older_files_stay_readable(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"iteration":1,"log10_loss":-1.5}\n{"iteration":2,"log10_loss":-12.0}\n')
    writer = MetricsWriter(path, iterations=100, iteration=2)
    writer.add(Metrics(3, 0.0123456, 2e-3, 9.8, 1.3))
    writer.flush()
    rows = read_metrics(tmp_path)
    assert [row.iteration for row in rows] == [1, 2, 3] and rows[0].learning_rate is None
    assert rows[2] == (3, 0.012346, 0.002, 9.8, 1.3, ())
    assert MetricsReader(path).read() == thinned(rows) == [(1, -1.5), (2, -12.0), (3, -1.9085)]

    lines = metrics_csv(rows).decode().splitlines()
    assert lines[0] == "iteration,loss,learning_rate,iterations_per_second,seconds"
    assert lines[3] == "3,0.012346,0.002,9.8,1.3"
    (tmp_path / "metrics.csv").write_bytes(metrics_csv(rows) + b"4,x,,,\n")
    path.unlink()
    assert read_metrics(tmp_path) == rows  # what is damaged is left out
    (tmp_path / "metrics.csv").write_text("iteration,loss\n1," + "9" * 200_000)
    assert read_metrics(tmp_path) == []  # csv refuses such a field
    assert read_metrics(tmp_path / "nothing") == []


def hold(path: Path, ready, done) -> None:
    lock = FileLock(path)
    assert lock.acquire()
    ready.set()
    done.wait(60)


def test_a_lock_dies_with_its_holder(tmp_path):
    path = tmp_path / "a.lock"
    assert holder(path) is None
    spawn = multiprocessing.get_context("spawn")
    ready, done = spawn.Event(), spawn.Event()
    process = spawn.Process(target=hold, args=(path, ready, done))
    process.start()
    assert ready.wait(60)
    lock = FileLock(path)
    assert holder(path) == process.pid and not lock.acquire()
    process.kill()
    process.join()
    assert holder(path) is None and lock.acquire()
    assert holder(path) == os.getpid()
    lock.release()
    assert holder(path) is None


def test_a_transaction_is_all_or_nothing(tmp_path):
    store = Store(tmp_path / "garden.sqlite3")
    store.add(a_row("a"))
    with pytest.raises(RuntimeError), store.transaction():
        store.add(a_row("b", position=store.next_position()))
        store.update("a", state="failed")
        raise RuntimeError
    assert [row.id for row in store.active()] == ["a"] and store.get("b") is None
    store.update("a", position=store.next_position())
    store.add(a_row("c"))
    assert [row.id for row in store.active()] == ["c", "a"]
    assert Store(tmp_path / "garden.sqlite3").ids() == {"a", "c"}
    store.close()


def test_a_worker_gets_what_it_needs_and_no_secrets():
    kept = {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0", "LC_ALL": "C.UTF-8", "HOME": "/home/me"}
    secrets = {
        "HF_TOKEN": "1", "OAUTH_CLIENT_ID": "2", "NCA_GARDEN_SECRET": "3", "TORCH_API_KEY": "4",
        "PGPASSWORD": "5", "DATABASE_URL": "6", "hf_token": "7", "SSH_AUTH_SOCK": "8",
    }  # fmt: skip
    found = clean_environment(kept | secrets)
    assert Path(found.pop("PYTHONPATH"), "nca", "jobs").is_dir()
    assert found == kept | {"OMP_WAIT_POLICY": "PASSIVE"}


def test_home_is_never_the_working_folder(tmp_path):
    assert default_home({"NCA_GARDEN_HOME": str(tmp_path)}) == tmp_path
    assert default_home({}).is_absolute() and default_home({}) != Path.cwd()


def test_a_long_title_is_cut():
    family = "👨‍👩‍👧‍👦"  # seven characters
    made = {"emoji": family, "more": [family] * 11, "size": 8, "padding": 2}
    for title in (None, "x" * 200):
        target = Target.make(made, title=title)
        assert len(JobSpec.from_recipe("zoo", target).title) == 80


def test_snapshots_are_early_even_and_few():
    training = pytest.importorskip("nca.jobs.training")
    for iterations in (1, 7, 100, 8000, 200_000):
        kept = training.snapshot_iterations(iterations)
        assert max(kept) == iterations and min(kept) >= 1
        assert len(kept) <= training.SNAPSHOT_LIMIT
    assert min(training.snapshot_iterations(8000)) == 16


def test_pictures_of_a_snapshot_stay_small_whatever_they_show():
    training = pytest.importorskip("nca.jobs.training")
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8)
    large, small = Image.fromarray(noise), Image.new("RGB", (60, 60), "red")
    most = training.SNAPSHOT_PICTURE_BYTES
    assert len(picture_bytes(large)) > most
    assert training._bounded_picture([large, small]) == picture_bytes(small)
    data = training._bounded_picture([large])  # nothing smaller to show: its cells shrink
    assert len(data) <= most and Image.open(io.BytesIO(data)).width == 150


def test_what_costs_much_is_done_seldom():
    training = pytest.importorskip("nca.jobs.training")
    now, done = [0.0], []

    def act() -> None:
        done.append(now[0])
        now[0] += 2.0  # takes two seconds

    throttle = training.Throttle(every=5.0, share=0.1, clock=lambda: now[0])
    for _ in range(100):
        throttle.run(act)
        now[0] += 1.0
    assert done == [0.0, 22.0, 44.0, 66.0, 88.0]


def test_a_stop_ends_it_before_the_next_iteration_and_keeps_it(tmp_path):
    training = pytest.importorskip("nca.jobs.training")
    from nca.checkpoint import load_checkpoint
    from nca.jobs.spec import SPEC, TARGET
    from tests.jobs_kit import tiny_png, tiny_spec

    spec, done = tiny_spec(1000), []
    (tmp_path / SPEC).write_text(spec.model_dump_json())
    (tmp_path / TARGET).write_bytes(tiny_png())
    run = training.Training(
        tmp_path, spec, stop=lambda: len(done) >= 3, on_report=lambda r: done.append(r.iteration)
    )
    assert run.run() is False
    assert done == [1, 2, 3] and load_checkpoint(tmp_path).info.iteration == 3


def test_the_time_left_leaves_out_the_first_iteration_which_compiles(tmp_path):
    training = pytest.importorskip("nca.jobs.training")
    from nca.jobs.progress import read_progress
    from nca.jobs.spec import SPEC, TARGET
    from tests.jobs_kit import tiny_png, tiny_spec

    spec, now = tiny_spec(100), [0.0]
    (tmp_path / SPEC).write_text(spec.model_dump_json())
    (tmp_path / TARGET).write_bytes(tiny_png())

    def iterate(report):
        now[0] += 60.0 if report.iteration == 1 else 2.0

    run = training.Training(
        tmp_path, spec, lambda: now[0] >= 68, on_report=iterate, clock=lambda: now[0]
    )
    assert run.run() is False
    progress = read_progress(tmp_path)
    fitting = training.expected_seconds(0) if spec.sharpen else 0
    assert progress.iteration == 5 and progress.seconds_left == 95 * 2.0 + fitting


def test_every_kind_has_a_line_of_its_own(tmp_path):
    path = tmp_path / "metrics.jsonl"
    writer, reader = MetricsWriter(path, iterations=4), MetricsReader(path)
    assert reader.read_kinds() == []
    losses = ((0.1, None), (0.01, 0.1), (0.001, 0.1))
    for iteration, kinds in enumerate(losses, 1):
        writer.add(Metrics(iteration, 0.1, 2e-3, 9.8, 1.3, kinds))
    writer.flush()
    first, second = reader.read_kinds()
    assert first == [(1, -1.0), (2, -2.0), (3, -3.0)] and second == [(2, -1.0), (3, -1.0)]
    assert reader.read_kinds(1) == [[(3, -2.0)], [(3, -1.0)]]
    (tmp_path / "metrics.csv").write_bytes(metrics_csv(rows := read_metrics(tmp_path)))
    assert b"seconds,loss_1,loss_2\n1," in (tmp_path / "metrics.csv").read_bytes()
    path.unlink()
    assert read_metrics(tmp_path) == rows and rows[0].kinds == (0.1, None)

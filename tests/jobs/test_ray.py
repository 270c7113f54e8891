"""Trainings on a real Ray cluster of two nodes on loopback, one of which is killed."""

import json
import os
from types import SimpleNamespace

import pytest
import torch

from nca.checkpoint import load_checkpoint
from nca.cli import main
from nca.cli.training_options import initial_from
from nca.config import BadInput, Limits
from nca.jobs import JobQueue, executor_named
from nca.jobs.lock import holder
from nca.jobs.ray_executor import RayTraining, read_files, write_files
from nca.jobs.spec import LOCK
from nca.jobs.sweep import plan, run_all
from nca.jobs.threads import thread_count
from nca.trainer import Trainer
from tests.jobs_kit import ROOT, tiny_png, tiny_spec, tiny_target, wait_for
from tests.test_sweep import TINY

JOBS, ITERATIONS = 16, 150


def test_without_ray_or_a_cluster_it_is_one_sentence(monkeypatch):
    with pytest.raises(BadInput, match="be local or ray"):
        executor_named("slurm")
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(BadInput, match=r"pip install 'nca-garden\[ray\]'"):
        executor_named("ray")


def test_files_that_are_gone_there_go_here(tmp_path):
    write_files(tmp_path, {"fine.webp": b"so far", "snapshots/7.safetensors": b"seven"})
    write_files(tmp_path, {"fine.webp": None, "never.webp": None, "model.safetensors": b"made"})
    assert read_files(tmp_path) == {
        "snapshots/7.safetensors": b"seven", "model.safetensors": b"made",
    }  # fmt: skip


def test_a_cluster_that_is_gone_leaves_the_folder_free(tmp_path):
    def remote(*_):
        raise ConnectionError("no cluster")

    with pytest.raises(OSError, match="no cluster"):
        RayTraining(None, tmp_path, "cpu", SimpleNamespace(remote=remote), None)
    assert holder(tmp_path / LOCK) is None


@pytest.fixture
def cluster(monkeypatch):
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    # A node's own processes import this checkout, as one on another machine its installed package.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("RAY_DISABLE_IMPORT_WARNING", "1")
    memory = 128 * 2**20
    node = {"num_gpus": 0, "object_store_memory": memory, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node | {"num_cpus": 4})
    cluster.second = cluster.add_node(num_cpus=4, num_gpus=0, object_store_memory=memory)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield cluster
    cluster.shutdown()


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_sixteen_trainings_end_although_a_node_is_lost(tmp_path, cluster):
    executor = executor_named("ray")
    assert executor.slots == {"cpu": 4}
    queue = JobQueue(tmp_path, Limits(queue_length=JOBS, turn_seconds=None), executor=executor)
    try:
        jobs = []
        for number in range(JOBS):
            key = JobQueue.new_key()
            spec = tiny_spec(ITERATIONS, seed=number)
            jobs.append((key, queue.submit(key, spec, tiny_png())))

        def views():
            return [queue.view(key, job) for key, job in jobs]

        def running():
            return [v for v in views() if v.state == "running"]

        wait_for(lambda: sum(v.iteration > 0 for v in running()) >= 3, 600)
        assert len(running()) <= 4
        with pytest.raises(BadInput, match="not yours"):
            queue.view(JobQueue.new_key(), jobs[0][1])
        cluster.remove_node(cluster.second, allow_graceful=False)
        lost = wait_for(lambda: [v for v in views() if v.message and "was lost" in v.message], 300)
        assert {v.state for v in lost} == {"interrupted"}

        wait_for(lambda: all(not v.active for v in views()), 1200, every=1.0)
        assert [v.state for v in views()] == ["finished"] * JOBS
        for view in views():
            lines = (view.folder / "metrics.jsonl").read_text().splitlines()
            numbers = [json.loads(line)["iteration"] for line in lines]
            assert numbers == list(range(1, ITERATIONS + 1)), "an iteration was done twice"
            assert load_checkpoint(view.folder).info.iteration == ITERATIONS
    finally:
        queue.close()

    # One that moved to another node has the weights of one that never did.
    spec = tiny_spec(ITERATIONS, seed=[job for _, job in jobs].index(lost[0].id))
    torch.set_num_threads(min(2, thread_count()))
    trainer = Trainer(spec.nca, spec.train, tiny_target(), "cpu", spec.seed)
    for _ in trainer:
        pass
    found = load_checkpoint(tmp_path / "jobs" / lost[0].id).nca
    assert all(map(torch.equal, found.parameters(), trainer.nca.parameters()))


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_a_sweep_and_its_decoders_on_the_cluster(tmp_path, cluster, capsys):
    """One begun from a grown lizard is fine enough for a decoder; one node goes in the middle."""
    lizard = initial_from("lizard-regenerating")
    runs = plan(
        tmp_path, [lizard.target()], {}, range(2), recipe="quick", initial=lizard, sharpen=6,
        changes={"iterations": 4, "learning_rate": 1e-6},
    )  # fmt: skip
    executor = executor_named("ray")

    def lose_one():
        started = sum((run.folder / "progress.json").exists() for run in runs)
        if started == len(runs) and cluster.second in cluster.worker_nodes:
            cluster.remove_node(cluster.second, allow_graceful=False)

    assert run_all(runs, executor, "cpu", 4, lambda: False, lose_one)
    executor.close()
    for run in runs:
        assert run.finished, run.problem
        assert load_checkpoint(run.folder).decoder is not None
        assert not (run.folder / "fine.webp").exists()
    command = ["sweep", "--on", "ray", "--emoji", "🐞", "--emoji", "🦎", "--no-sharpen", *TINY]
    assert main([*command, "--out", str(tmp_path / "tiny")]) == 0
    assert "lady_beetle" in capsys.readouterr().out

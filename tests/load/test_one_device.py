"""Many trainings and films at once on one device: one at a time, in their order."""

import threading
import time

import pytest
import torch

from nca.config import Limits, NCAConfig
from nca.jobs import JobQueue
from nca.model import NCA
from nca.render import animation_bytes
from tests.jobs_kit import tiny_png, tiny_spec, wait_for, workers

pytestmark = pytest.mark.long
JOBS, FILMS = 8, 4


def film(ended: threading.Event, made: list[int]) -> None:
    """Films of lives, one after the other, as the page exports them."""
    nca = NCA(NCAConfig(channels=6, hidden=(8,)), 0)
    while not ended.is_set():
        states = [nca.grow(nca.seed(1, 16), steps, seed=1)[0] for steps in range(1, 20)]
        made.append(len(animation_bytes(torch.stack(states)[..., :4], "gif", fps=25, scale=2)))
        time.sleep(0.2)  # the trainings get somewhere too


def test_trainings_take_the_device_in_turn_whatever_else_goes_on(tmp_path):
    queue = JobQueue(tmp_path, Limits(queue_length=JOBS), devices=("cpu",))
    ended, made = threading.Event(), []
    films = [threading.Thread(target=film, args=(ended, made)) for _ in range(FILMS)]
    for thread in films:
        thread.start()
    try:
        jobs = []
        for _ in range(JOBS):
            key = JobQueue.new_key()
            jobs.append((key, queue.submit(key, tiny_spec(3), tiny_png())))
        most, order = 0, []

        def all_done() -> bool:
            nonlocal most
            most = max(most, sum(len(workers(tmp_path / "jobs" / job)) for _, job in jobs))
            for key, job in jobs:
                if job not in order and queue.view(key, job).state == "finished":
                    order.append(job)
            return len(order) == JOBS

        wait_for(all_done, 500)
        assert most == 1, "two workers held the device"
        assert order == [job for _, job in jobs]
        before = len(made)
        time.sleep(1)
        assert before > FILMS and len(made) > before
    finally:
        ended.set()
        for thread in films:
            thread.join()
        queue.close()

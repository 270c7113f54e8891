"""Who trains next: the rules alone, and the real queue in virtual time."""

import random
import sqlite3
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from queue_simulation import START, Clock, Simulation, VirtualMachine, poisson, report  # noqa: E402

from nca.config import BadInput, Limits  # noqa: E402
from nca.jobs import JobQueue  # noqa: E402
from nca.jobs.announce import Announcer, round_up  # noqa: E402
from nca.jobs.schedule import Place, forecast, next_place, turn_is_over  # noqa: E402
from nca.jobs.spec import Exit  # noqa: E402
from nca.jobs.store import Row, Store  # noqa: E402
from tests.jobs_kit import tiny_png, tiny_spec  # noqa: E402

pytestmark = pytest.mark.quick

TURN = 30.0


@pytest.fixture
def open_simulation(tmp_path):
    made = []

    def open_one(home="home", slots=1, crash=0.0, clock=None, **limits):
        limits = Limits(**({"turn_seconds": TURN, "queue_length": 100} | limits))
        machine = VirtualMachine(clock or Clock(), slots, crash)
        made.append(Simulation(tmp_path / home, limits, machine, watched=1))
        return made[-1]

    yield open_one
    for simulation in made:
        simulation.close()


def at(simulation, *arrivals):
    """Let visitors come at seconds after the beginning; the seconds of their trainings."""
    began = simulation.clock()
    simulation.run([(began + when, kind) for when, kind in arrivals])
    return simulation.visitors


def test_new_ones_first_the_shortest_of_them_and_then_the_others_in_a_circle():
    old, older = Place("old", 9, 3, 5.0), Place("older", 4, 1, 900.0)
    long, short = Place("long", 20, 0, 1800.0), Place("short", 21, 0, 20.0)
    assert next_place([], 0) is None
    assert next_place([old, long, short, older], 0) == short
    assert next_place([old, long, older], 2) == long
    assert next_place([old, long, short, older], 3) == older  # their turn after three new ones
    assert next_place([long, short], 99) == short
    assert next_place([Place("b", 2, 0, 7.0), Place("a", 1, 0, 7.0)], 0).id == "a"


def test_a_turn_ends_only_where_somebody_waits_and_not_just_before_the_end():
    assert not turn_is_over(None, 1e9, 50.0, [0])
    assert not turn_is_over(TURN, 1e9, 50.0, [])
    assert not turn_is_over(TURN, 29.0, 50.0, [0])
    assert turn_is_over(TURN, 30.0, 50.0, [4, 0]) and turn_is_over(TURN, 30.0, None, [0])
    assert not turn_is_over(TURN, 30.0, 14.0, [0])  # soon finished
    assert turn_is_over(TURN, 46.0, 14.0, [0])  # it says so, but is not
    assert not turn_is_over(TURN, 119.0, 500.0, [1, 7])  # those have begun, and need no haste
    assert turn_is_over(TURN, 120.0, 500.0, [1, 7])


def test_a_promise_counts_down_in_round_numbers_and_is_seldom_corrected():
    now, draw = [0.0], random.Random(0)
    announcer = Announcer(lambda: now[0])
    assert announcer.tell("job", "left", None) is None
    told = []
    for second in range(3600):
        now[0] = float(second)
        noisy = (3600 - second) * draw.uniform(0.87, 1.15)  # what an estimate does
        told.append(announcer.tell("job", "left", noisy))
    changes = [told[0], *(b for a, b in zip(told, told[1:], strict=False) if a != b)]
    assert changes == sorted(changes, reverse=True) and len(changes) <= 20
    assert announcer.tell("job", "left", None) == changes[-1]  # not known now: still promised
    now[0] += 300
    assert announcer.tell("job", "left", 3000.0) == 3600.0  # clearly wrong: corrected
    announcer.forget(set())
    assert announcer.tell("job", "left", None) is None
    assert [round_up(s) for s in (0, 61, 5401, 36_000)] == [10, 90, 7200, 36_000]


def test_a_short_training_waits_for_one_turn_however_long_the_others_are(open_simulation):
    arrivals = [(0, 1800.0), (1, 1800.0), (2, 1800.0), (500, 20.0), (777, 20.0), (900, 20.0)]
    visitors = at(open_simulation(), *arrivals)
    for short in visitors[3:]:
        assert short.ended - short.came < TURN + 20 + 2 * START + 2
        assert short.promised <= 45 and len(short.told) <= 8
    # The long ones share the machine; none is done before all have nearly had what it had.
    long = [v.ended for v in visitors[:3]]
    assert max(long) - min(long) < 9 * TURN and {v.state for v in visitors} == {"finished"}


def test_nobody_waits_and_nobody_changes(open_simulation):
    simulation = open_simulation()
    at(simulation, (0, 1800.0))
    assert simulation.machine.starts == 1
    at(simulation, (0, 60.0), (5000, 60.0))
    assert simulation.machine.starts == 3


def test_a_crowd_of_new_ones_does_not_hold_an_old_one_up_for_good(open_simulation):
    simulation = open_simulation()
    crowd = [(10 + 24 * i, 20.0) for i in range(45)]  # as fast as the machine can do them
    visitors = at(simulation, (0, 200.0), *crowd)
    assert visitors[0].ended < visitors[35].ended
    assert max(v.began - v.came for v in visitors[1:]) < 600


def test_a_forecast_is_what_then_happens(open_simulation):
    simulation = open_simulation()
    kinds = [150.0, 20.0, 700.0, 90.0]
    visitors = at(simulation, *[(0, kind) for kind in kinds])
    places = [Place(str(kind), i, 0, kind) for i, kind in enumerate(kinds)]
    expected = forecast([], places, 1, TURN)
    for visitor in visitors:
        ends = expected[str(visitor.kind)].ends
        assert ends == pytest.approx(visitor.ended - visitor.came, rel=0.15, abs=15)
    many = [Place(str(i), i, i % 2, 1e5) for i in range(3000)]  # more turns than are played
    found = forecast(many[:2], many[2:], 2, TURN)
    assert len(found) == 3000 and all(f.begins <= f.ends < 3e8 for f in found.values())


def test_random_visitors_and_lost_workers_lose_nothing(open_simulation):
    simulation = open_simulation(slots=2, crash=0.03)
    simulation.run(poisson(40, 0.9, 2, simulation.clock(), seed=1))
    found = report(simulation)
    assert found["accepted"] == 40 and found["lost"] == found["refused"] == 0
    assert found["workers_lost"] > 0
    # One that crashes twice in a row says so and can be resumed.
    assert found["finished"] + found["failed"] == 40 and found["failed"] <= 1
    assert found["kinds"]["20 s"]["wait_longest"] < 200
    assert found["times_told_most"] < 24


@pytest.mark.long
def test_turns_and_order_survive_a_restart(open_simulation):
    first = open_simulation()
    began = first.clock()
    for kind in (1800.0, 1800.0, 20.0):
        first.arrive(kind)
    while first.clock() < began + 100:
        first.settle()
        first.clock.now = first.machine.next_event(TURN)
    assert first.visitors[2].ended  # the short one went before the second long one
    first.close()
    first.close = lambda: None
    again = open_simulation(clock=first.clock)
    again.visitors = first.visitors[:2]
    again.active = {visitor.job: visitor for visitor in again.visitors}
    again.run([(first.clock() + 1, 20.0)])
    assert [v.state for v in again.visitors] == ["finished"] * 3
    assert again.visitors[2].ended - again.visitors[2].came < 2 * TURN + 20


class LosesMachines:
    """An executor whose trainings have ended at once, in the given ways."""

    def __init__(self, codes):
        self.slots, self.codes = {"cpu": 1}, list(codes)

    def start(self, folder, device):
        code = self.codes.pop(0) if self.codes else None  # the last one runs on
        return SimpleNamespace(poll=lambda: code, stop=lambda: None, kill=lambda: None)

    def close(self):
        pass


@pytest.mark.parametrize(("codes", "state"), [
    ([Exit.LOST] * 5, "failed"),
    ([Exit.LOST] * 4 + [Exit.PAUSED] + [Exit.LOST] * 4, "running"),
])  # fmt: skip
def test_only_machines_that_are_lost_in_a_row_end_a_training(tmp_path, codes, state):
    executor = LosesMachines(codes)
    queue, key = JobQueue(tmp_path, executor=executor, thread=False), JobQueue.new_key()
    try:
        job = queue.submit(key, tiny_spec(9), tiny_png())
        for code in codes:
            queue.look()
            if code == Exit.PAUSED:
                queue.stop(key, job)
                queue.look()
                queue.resume(key, job)
        queue.look()
        assert queue.view(key, job).state == state
    finally:
        queue.close(timeout=0)


def test_a_training_that_was_deleted_cannot_be_lent(open_simulation):
    supervisor = open_simulation().queue._supervisor
    with pytest.raises(BadInput, match="resume it first"), supervisor.lend("0" * 32, 1):
        pass


def test_a_database_of_an_earlier_version_gets_the_new_column(tmp_path):
    path = tmp_path / "garden.sqlite3"
    store = Store(path)
    store.add(Row("a" * 32, "o", "t", "cpu", "queued", 1, 1.0, 5, 0.0, 0.0))
    store.close()
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE jobs DROP COLUMN turns")
    database.close()
    store = Store(path)
    assert store.row("a" * 32).turns == 0
    store.close()

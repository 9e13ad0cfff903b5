"""Workers come and go, are killed and hang: real processes, groups and roster."""

import signal
import socket
import time

import elastic_processes as elastic
import numpy as np
import pytest
from elastic_processes import (
    Fleet,
    die_while_building,
    never_told,
    share,
    step_and_leave,
    train,
    usage,
)

from deepseek_core import errors
from deepseek_parallel.elastic import membership
from deepseek_parallel.elastic.roster import Rules
from deepseek_parallel.elastic.roster_process import RosterProcess

STEPS = 60


def check(fleet, numbers, steps=STEPS):
    """All have the weights of each other, and the losses and samples of one process."""
    found = fleet.end(*numbers)
    wanted = elastic.alone(steps)
    for history, weights in found:
        assert [loss for loss, _ in history] == pytest.approx(wanted, rel=1e-4, abs=1e-6)
        order = [index for _, indices in history for index in indices]
        for begin in range(0, len(order) - elastic.LENGTH + 1, elastic.LENGTH):
            epoch = order[begin : begin + elastic.LENGTH]
            assert sorted(epoch) == list(range(elastic.LENGTH))
        for one, other in zip(weights, found[0][1], strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize("which", [0, 3])
def test_who_is_left_goes_on_when_a_rank_is_killed(which):
    """Rank 0 is as any other; nobody is started again, and no step is lost."""
    with Fleet(first=4) as fleet:
        numbers = [fleet.start(train, STEPS, 0.005) for _ in range(4)]
        fleet.until(lambda: all(fleet.steps(n) >= 10 for n in numbers))
        victim = next(n for n in numbers if fleet.last(n, "member")[1] == which)
        fleet.kill(victim)
        left = [n for n in numbers if n != victim]
        check(fleet, left)
        for number in left:
            epoch, _, size, had = fleet.last(number, "member")
            assert epoch >= 2
            assert size == 3
            before = [s for s in fleet.said[number] if s[0] == "step" and s[2] == 1]
            assert had >= len(before)


def test_two_that_are_killed_at_once_and_one_more_while_the_others_meet():
    with Fleet(first=4, most=5) as fleet:
        numbers = [fleet.start(train, STEPS, 0.005) for _ in range(4)]
        fleet.until(lambda: all(fleet.steps(n) >= 10 for n in numbers))
        fleet.kill(0)
        fleet.kill(1)
        fleet.until(lambda: any(s[0] == "renew" for n in (2, 3) for s in fleet.said[n]))
        fleet.kill(2)
        check(fleet, [3])


def test_a_member_without_a_roster_gives_up_a_step_that_stands_still(monkeypatch):
    """As on a machine that is cut off: neither the others nor the roster are heard to be gone."""
    monkeypatch.setattr(membership, "_ALONE_S", 0.5)
    with Fleet(first=2) as fleet:
        numbers = [fleet.start(train, 10**6, 0.0, {"limit_s": 5.0}) for _ in range(2)]
        fleet.until(lambda: all(fleet.steps(n) >= 3 for n in numbers))
        fleet.kill(0, signal.SIGSTOP)
        fleet.roster.stop()
        kind, text = fleet.error(1)
        assert kind == "RankLost"
        assert "nobody answers at 127.0.0.1" in text


@pytest.mark.parametrize("is_heard", [True, False])
def test_a_rank_that_is_set_free_and_waits_on_ends_itself(monkeypatch, is_heard):
    """Whether another one is lost, or it is itself told that it is no member any more."""
    monkeypatch.setattr(membership, "_STUCK_S", 0.3)
    with Fleet(first=3) as fleet:
        numbers = [fleet.start(train, STEPS, 0.02) for _ in range(2)]
        stuck = fleet.start(never_told, STEPS)
        fleet.until(lambda: fleet.steps(stuck) >= 4)
        if is_heard:
            fleet.kill(numbers.pop())
        else:
            fleet.kill(stuck, signal.SIGSTOP)
            fleet.until(lambda: fleet.last(numbers[0], "member")[2] == 2)
            fleet.kill(stuck, signal.SIGCONT)
        check(fleet, numbers)
        fleet.processes[stuck].join(elastic.LIMIT_S)
        assert fleet.processes[stuck].exitcode == -signal.SIGKILL


def test_a_hung_rank_is_out_in_time_and_learns_that_when_it_comes_back():
    with Fleet(first=3, lost_after_s=0.8) as fleet:
        numbers = [fleet.start(train, STEPS, 0.005) for _ in range(3)]
        fleet.until(lambda: all(fleet.steps(n) >= 10 for n in numbers))
        fleet.kill(0, signal.SIGSTOP)
        check(fleet, [1, 2])
        assert not fleet.last(0, "error")
        fleet.kill(0, signal.SIGCONT)
        kind, text = fleet.error(0)
        assert kind == "NotAMember"
        assert "nothing was heard of it for" in text


def test_who_joins_gets_the_state_and_others_may_leave():
    with Fleet(first=2) as fleet:
        numbers = [fleet.start(train, STEPS, 0.02) for _ in range(2)]
        fleet.until(lambda: all(fleet.steps(n) >= 5 for n in numbers))
        new = fleet.start(train, STEPS, 0.02)
        fleet.until(lambda: fleet.steps(new) > 0)
        assert fleet.last(new, "member")[2] == 3
        fleet.kill(numbers[0])
        check(fleet, [numbers[1], new])


@pytest.mark.parametrize("delay_s", [0.0, 0.01])
def test_who_is_killed_while_it_joins_harms_nobody(delay_s):
    with Fleet(first=2, lost_after_s=5.0) as fleet:
        numbers = [fleet.start(train, STEPS, 0.01) for _ in range(2)]
        fleet.until(lambda: all(fleet.steps(n) >= 3 for n in numbers))
        news = fleet.start(train, STEPS)
        time.sleep(0.01 + delay_s)
        fleet.kill(news)
        check(fleet, numbers)


def test_who_is_killed_while_the_group_is_built_harms_nobody():
    """Nor who joins after it, who has not seen a group fail."""
    with Fleet(first=2, lost_after_s=5.0) as fleet:
        steps = fleet.endless()
        numbers = [fleet.start(train, steps, 0.01) for _ in range(2)]
        fleet.until(lambda: all(fleet.steps(n) >= 3 for n in numbers))
        fleet.start(die_while_building)
        fleet.until(lambda: all(fleet.last(n, "member")[0] >= 3 for n in numbers))
        new = fleet.start(train, steps, 0.01)
        fleet.until(lambda: fleet.steps(new) > 0)
        check(fleet, [*numbers, new], fleet.close_end(steps))


def test_the_roster_may_die_while_nothing_changes_and_is_met_again():
    with Fleet(first=2, lost_after_s=5.0) as fleet:
        steps = fleet.endless()
        numbers = [fleet.start(train, steps, 0.01) for _ in range(2)]
        fleet.until(lambda: all(fleet.steps(n) >= 3 for n in numbers))
        fleet.roster.stop()
        before = fleet.steps(0)
        fleet.until(lambda: fleet.steps(0) >= before + 5)
        fleet.roster.start()
        new = fleet.start(train, steps, 0.01)
        fleet.until(lambda: fleet.steps(new) > 0)
        epoch, _, size, had = fleet.last(new, "member")
        assert epoch >= 2  # a group that a busy machine does not build in time is built again
        assert size == 3
        assert had > before
        check(fleet, [*numbers, new], fleet.close_end(steps))


def test_without_a_roster_a_lost_rank_is_told_within_the_limit():
    with Fleet(first=2) as fleet:
        numbers = [fleet.start(train, 10_000, 0.01, {"limit_s": 1.0}) for _ in range(2)]
        fleet.until(lambda: all(fleet.steps(n) >= 3 for n in numbers))
        fleet.roster.stop()
        fleet.kill(0)
        kind, text = fleet.error(1)
        assert kind == "RankLost"
        assert f"nobody answers at {fleet.roster.address}" in text


def test_fewer_than_the_least_are_told_within_the_limit():
    with Fleet(first=2, least=2) as fleet:
        numbers = [fleet.start(train, 10_000, 0.01, {"limit_s": 1.0}) for _ in range(2)]
        fleet.until(lambda: all(fleet.steps(n) >= 3 for n in numbers))
        fleet.kill(0)
        assert fleet.error(1)[0] == "RankLost"


def test_many_that_come_and_go_leave_no_descriptor_and_no_thread():
    with Fleet(first=1, most=2) as fleet:
        stays = fleet.start(train, 10_000, 0.001)
        fleet.until(lambda: fleet.steps(stays) > 0)
        used = []
        for number in range(25):
            guest = fleet.start(step_and_leave)
            fleet.until(lambda guest=guest: fleet.last(guest, "member"))
            epoch = fleet.last(guest, "member")[0]
            fleet.until(lambda epoch=epoch: fleet.last(stays, "member")[0] > epoch)
            if number >= 3:
                used.append(usage(fleet.processes[stays]))
        descriptors, threads = zip(*used, strict=True)
        assert max(descriptors[-5:]) <= min(descriptors[:5]) + 2
        assert max(threads[-5:]) <= min(threads[:5]) + 1


def test_other_code_another_run_and_an_ended_training_are_refused():
    with Fleet(first=1) as fleet:
        fleet.start(train, 50, 0.01, {"version": "a"})
        fleet.until(lambda: fleet.steps(0) >= 3)
        other = fleet.start(train, 50, 0.0, {"version": "b"})
        kind, text = fleet.error(other)
        assert kind == "CodeMismatch"
        assert "b, and not a" in text
        assert fleet.error(fleet.start(train, 50, run="another"))[0] == "JoinRefused"
        fleet.end(0)
        kind, text = fleet.error(fleet.start(train, 50, 0.0, {"version": "a"}))
        assert kind == "JoinRefused"
        assert "the training has ended" in text


def test_strangers_at_the_port_of_the_roster_harm_nobody():
    with Fleet(first=2) as fleet:
        numbers = [fleet.start(train, 30, 0.01) for _ in range(2)]
        fleet.until(lambda: all(fleet.steps(n) >= 3 for n in numbers))
        host, port = "127.0.0.1", fleet.roster.port
        left_open = []
        for said in (b"", b"GET / HTTP/1.0\r\n\r\n", b"{}\n", b'{"kind":"join"}\n', b"\xff" * 9999,
                     b'{"kind":"join","run":"the-run","name":[],"host":0,"version":1}\n',
                     b'{"kind":"beat","run":"the-run"}\n', b"[" * 100_000 + b"\n"):  # fmt: skip
            left_open.append(socket.create_connection((host, port)))
            left_open[-1].sendall(said)
        check(fleet, numbers, 30)
        for one in left_open:
            one.close()
        assert fleet.roster.pid is not None


def test_a_port_that_is_taken_is_told():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        rules = Rules(least=1, most=1, first=1, lost_after_s=1.0)
        roster = RosterProcess(rules, "run", port=other.getsockname()[1])
        with pytest.raises(errors.ConfigError, match=r"can.t listen at .*in use"):
            roster.start()


def test_without_a_launcher_it_says_how_to_start(monkeypatch):
    monkeypatch.delenv("DEEPSEEK_ROSTER", raising=False)
    with pytest.raises(errors.ConfigError, match="DEEPSEEK_ROSTER or DEEPSEEK_RUN is not set"):
        elastic.ElasticRanks.join()


def test_alone_a_state_is_shared_with_nobody():
    class Alone:
        group = None

    assert share({"a": 1}, 7, Alone()) == ({"a": 1}, 7)

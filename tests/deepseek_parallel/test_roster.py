"""Who is a member: the real roster, with workers, network and clock simulated."""

from collections import Counter

import attrs
import pytest
from simulated_run import LOST_AFTER_S, Run

from deepseek_parallel.elastic.roster import Roster, Rules

RULES = Rules(least=1, most=3, first=2, lost_after_s=3.0)


def check(run):
    """The survivors have taken all samples of all epochs once, whatever has happened."""
    finished = [w for w in run.workers.values() if w.end == "finished"]
    assert finished
    assert not run.num_lost  # no membership began behind somebody who was there
    for worker in finished:
        positions = [position for position, _ in worker.taken]
        ends = [position + count for position, count in worker.taken]
        assert positions == [0, *ends[:-1]]
        assert ends[-1] == run.goal
    assert len({tuple(worker.taken) for worker in finished}) == 1
    samples = [int(i) for p, n in finished[0].taken for i in run.order.indices(p, n)]
    length = run.order.length
    for begin in range(0, run.goal, length):
        assert Counter(samples[begin : begin + length]) == Counter(range(length))
    # no two groups side by side: all that anybody has ever taken is a part of that
    for worker in run.workers.values():
        assert worker.taken == finished[0].taken[: len(worker.taken)]


@pytest.mark.parametrize("block", range(10))
def test_samples_are_exact_across_any_kills_joins_and_hangs(block):
    """200 random sequences; also the roster is killed."""
    for seed in range(20 * block, 20 * block + 20):
        run = Run(seed)
        draw = run.draw
        for _ in range(draw.randint(3, 9)):
            run.at(draw.uniform(0, 4), lambda r=run: chance(r))
        run.run(limit_s=120)
        check(run)


def chance(run):
    """Something happens, but for one member with a state, which stays."""
    draw = run.draw
    what = draw.choice(["kill", "kill twice", "join", "join", "hang", "roster"])
    holders = [w for w in run.alive() if w.is_ready and run.is_awake(w)]
    kept = draw.choice(holders) if holders else None
    victims = [w for w in run.alive() if w is not kept and kept is not None]
    draw.shuffle(victims)
    if what == "join":
        run.join()
    elif what == "roster" and run.is_roster_up:
        run.restart_roster(draw.uniform(0.05, 1.5))
    elif what == "hang" and victims:
        run.hang(victims[0], draw.uniform(0.1, 4 * LOST_AFTER_S))
    elif what.startswith("kill"):
        for victim in victims[: 2 if what == "kill twice" else 1]:
            run.kill(victim)


def test_a_hung_member_is_out_in_time_and_told_so():
    run = Run(0, goal=700)
    victim = run.workers["w0"]
    run.at(1.0, lambda: run.hang(victim, 5.0))
    run.at(1.0 + LOST_AFTER_S + 0.3, lambda: pictures.append(dict(run.memberships)))
    pictures = []
    run.run(limit_s=60)
    check(run)
    assert set(max(pictures[0].items())[1]) == {"w1", "w2"}
    assert victim.end == "out"


def formed(messages):
    return [(name, m["epoch"], m["members"]) for name, m in messages if m["kind"] == "formed"]


def begun():
    roster = Roster(rules=RULES, start_s=0.0)
    assert not formed(roster.join("a", "", "1", 0.0))
    assert formed(roster.join("b", "", "1", 0.0)) == [("a", 1, ["a", "b"]), ("b", 1, ["a", "b"])]
    for name in "ab":
        roster.ready(name, 1)
    return roster


def kinds(messages):
    return sorted((name, message["kind"]) for name, message in messages)


def test_a_slow_member_that_is_heard_is_waited_for():
    roster = begun()
    assert kinds(roster.renew("a", 1, 1.0)) == [("a", "broken"), ("b", "broken")]
    for tenth in range(11, 600):
        roster.beat("a", tenth / 10)
        roster.beat("b", tenth / 10)
        assert roster.tick(tenth / 10) == []
    assert [e for _, e, _ in formed(roster.renew("b", 1, 60.0))] == [2, 2]


def test_a_clock_that_jumps_takes_nobody_who_was_heard_since():
    """The server hears first and then looks who was silent, after its machine was suspended."""
    roster = begun()
    roster.members["b"].heard_s = 9999.0
    roster.beat("a", 9999.0)
    assert kinds(roster.tick(9999.5)) == []


def test_who_joins_waits_for_the_members_to_agree():
    roster = begun()
    assert kinds(roster.join("c", "", "1", 1.0)) == [("a", "changed"), ("b", "changed")]
    assert kinds(roster.join("d", "", "1", 1.0)) == []  # told once
    roster.renew("a", 1, 1.1)
    messages = roster.renew("b", 1, 1.1)
    assert {tuple(members) for _, _, members in formed(messages)} == {("a", "b", "c")}
    assert all(m["ready"] == ["a", "b"] for _, m in messages if m["kind"] == "formed")


def test_who_got_no_state_yet_is_no_survivor_when_the_group_was_not_built():
    roster = begun()
    roster.join("c", "", "1", 1.0)
    roster.renew("a", 1, 1.1)
    roster.renew("b", 1, 1.1)
    roster.gone("a", 1.2)
    roster.renew("c", 2, 1.2)
    (_, first), *_ = [x for x in roster.renew("b", 2, 1.2) if x[1]["kind"] == "formed"]
    assert first["members"] == ["b", "c"]
    assert first["ready"] == ["b"]


def test_other_code_is_refused_and_an_ended_training_takes_nobody():
    roster = begun()
    ((name, message),) = roster.join("c", "", "2", 1.0)
    assert (name, message["kind"]) == ("c", "other_code")
    roster.join("d", "", "1", 1.0)
    roster.leave("a", 2.0)
    assert kinds(roster.leave("b", 2.0)) == [("d", "over")]
    assert kinds(roster.join("e", "", "1", 3.0)) == [("e", "over")]


def test_a_roster_that_took_the_place_of_another_begins_nothing_before_they_had_time_to_come():
    roster = Roster(rules=attrs.evolve(RULES, quiet_s=2.5), start_s=0.0)
    roster.join("new", "", "1", 0.0)
    roster.join("newer", "", "1", 0.0)
    assert not formed(roster.tick(2.0))
    assert formed(roster.tick(2.6))[0][1] == 1  # nobody has come


def test_who_runs_other_code_than_the_members_that_come_back_is_refused():
    roster = Roster(rules=attrs.evolve(RULES, quiet_s=1.0), start_s=0.0)
    roster.join("new", "", "2", 0.0)
    known = {"epoch": 7, "members": ["a"], "waits": False}
    assert kinds(roster.back("a", "", "1", known, 0.3)) == [("new", "other_code")]
    assert set(roster.members) == {"a"}


def test_a_roster_that_took_the_place_of_another_waits_for_the_members():
    roster = Roster(rules=attrs.evolve(RULES, most=4, quiet_s=1.0), start_s=0.0)
    known = {"epoch": 7, "members": ["a", "b", "c"], "waits": False}
    assert not formed(roster.join("new", "", "1", 0.0))
    assert kinds(roster.back("a", "", "1", known, 0.3)) == [
        (name, "changed") for name in "abc"
    ]  # whoever came first
    assert not formed(roster.back("b", "", "1", {**known, "waits": True}, 0.4))
    for name in ("new", "a", "b"):
        roster.beat(name, 3.2)
    assert not formed(roster.tick(3.4))  # c has not come
    assert formed(roster.renew("a", 7, 3.5))[0][1:] == (8, ["a", "b", "new"])

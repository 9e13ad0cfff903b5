"""The queue of a device says what a plain list of its jobs would say, and says it fast."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core.schedule.online.duequeue import DueQueue
from deepseek_core.schedule.online.records import TaskArrived
from deepseek_core.schedule.online.state import Job


def job(seq, due, tag, mean_s, deadline_s):
    made = Job(TaskArrived(time_s=0.0, task_id=seq, operator="a", deadline_s=deadline_s), seq)
    made.due_s, made.tag = made.key = (due, tag)
    made.mean_s, made.var = mean_s, mean_s / 4
    return made


def before(jobs, key):
    ahead = [j for j in jobs if j.key <= key]
    return sum(j.mean_s for j in ahead), sum(j.var for j in ahead)


def harmed(jobs, key, end_s, mean, slots):
    for j in jobs:
        if j.key > key:
            end_s += j.mean_s / slots
            if end_s > j.deadline_s >= end_s - mean:
                return True
    return False


def place_of(jobs, job):
    for j in jobs:
        if j.key[0] >= job.due_s:
            break
        if j.tag > job.tag and (j.deadline_s == math.inf or job.deadline_s < math.inf):
            return j.key[0], job.tag
    return job.due_s, job.tag


JOBS = st.lists(
    st.tuples(
        st.integers(0, 40),  # due
        st.integers(0, 2),  # tag
        st.integers(1, 8),  # mean: whole numbers, so that sums are exact
        st.one_of(st.just(math.inf), st.integers(0, 3000)),
    ),
    min_size=1,
    max_size=600,
)


@settings(max_examples=60, deadline=None)
@given(JOBS, st.randoms(use_true_random=False))
def test_it_answers_as_a_sorted_list_does(drawn, rng):
    queue, jobs = DueQueue(), []
    for seq, fields in enumerate(drawn):
        queue.add(made := job(seq, *map(float, fields)))
        jobs.append(made)
        if rng.random() < 0.3:
            queue.remove(jobs.pop(rng.randrange(len(jobs))))
    jobs.sort(key=lambda j: (j.key, j.seq))
    assert list(queue) == jobs and len(queue) == len(jobs)
    assert queue.first(3) == jobs[:3]
    if jobs:
        assert (queue.last, queue.last_key) == (jobs[-1], jobs[-1].key)
    for due in range(-1, 42, 3):
        key = (float(due), 1.0)
        assert queue.before(key) == before(jobs, key)
        for end_s in range(0, 3000, 300):
            asked = key, float(end_s), 5.0, 2
            assert queue.harmed(*asked) == harmed(jobs, *asked)
        for deadline_s in (math.inf, 5.0):
            for tag in (0.0, 1.0, 2.0):
                new = job(9999, float(due), tag, 1.0, deadline_s)
                assert queue.place_of(new) == place_of(jobs, new)
    assert queue.drain() == jobs
    assert not queue and queue.before((50.0, 0.0)) == (0, 0)


def test_what_was_never_queued_is_not_taken_out():
    queue = DueQueue()
    queue.add(job(1, 1.0, 0.0, 1.0, 5.0))
    with pytest.raises(IndexError):
        queue.remove(job(2, 2.0, 0.0, 1.0, 5.0))
    assert len(queue) == 1

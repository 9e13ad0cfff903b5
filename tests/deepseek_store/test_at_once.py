"""Work of several threads on many items: none of it goes on when its context has ended."""

import threading
import time
from contextlib import closing

import attrs
import pytest
from store_kit import SMALL, data_of, urls

from deepseek_store import Store
from deepseek_store.at_once import AtOnce
from deepseek_store.check import rebuild_scan
from deepseek_store.fs.many import at_once
from deepseek_store.stripes.fragment_io import FragmentIO


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_no_thread_works_on_after_whoever_takes_the_results_has_failed(error):
    begun, ended = threading.Semaphore(0), []

    def work(number):
        begun.release()
        while number:  # all but the first go on until they are told to stop
            at_once.check()
        ended.append(number)

    with pytest.raises(error), AtOnce(4) as at_once:
        for _ in at_once.results(work, range(100)):
            for _ in range(4):
                begun.acquire()
            raise error
    assert ended == [0]
    assert not [one for one in threading.enumerate() if one.name.startswith("ds-at-once")]


def test_a_thread_that_ctrl_c_meets_at_its_start_works_on_no_longer(monkeypatch):
    """The pool, which is interrupted between the start and its list of threads, does not wait."""
    start, begun, ended = threading.Thread.start, threading.Event(), []

    def interrupted(thread):
        start(thread)
        assert begun.wait(60)
        raise KeyboardInterrupt

    def work(number):
        begun.set()
        try:
            while True:
                at_once.check()
        finally:
            time.sleep(0.2)  # so long is it still there if nobody waits for it
            ended.append(number)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), AtOnce(4) as at_once:
        list(at_once.results(work, [7]))
    assert ended == [7]


def in_stripes(work, items):
    """As fragments are read and written, by threads that the stripes of a store keep."""
    with closing(FragmentIO([], bytes(16), threads=2, budget_nbytes=1 << 20)) as fragments:
        return [outcome for _, outcome in fragments.each(work, items, nbytes=1)]


@pytest.mark.parametrize("do_all", [at_once, in_stripes])
def test_whoever_ctrl_c_meets_at_the_start_of_a_thread_waits_for_it(monkeypatch, do_all):
    start, begun, ended = threading.Thread.start, threading.Event(), []

    def interrupted(thread):
        start(thread)
        assert begun.wait(60)
        raise KeyboardInterrupt

    def work(number):
        begun.set()
        time.sleep(0.2)  # a delete, say, in a store that is closed right after
        ended.append(number)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        do_all(work, [7, 8])
    assert ended == [7]


@pytest.mark.parametrize("do_all", [at_once, in_stripes])
def test_the_first_error_ends_all_of_it(do_all):
    done = []

    def work(number):
        if number == 3:
            raise ValueError("the third")
        done.append(number)
        time.sleep(0.001)

    with pytest.raises(ValueError, match="the third"):
        do_all(work, range(1000))
    assert len(done) < 500


def test_a_file_system_that_is_interrupted_does_only_what_is_under_way():
    done, before = [], []

    class Interrupted(list):
        def __iter__(self):
            yield from range(900)
            before.append(len(done))
            raise KeyboardInterrupt

    def work(number):
        time.sleep(0.005)
        done.append(number)

    with pytest.raises(KeyboardInterrupt):
        at_once(work, Interrupted(range(1000)))
    assert len(done) - before[0] <= 64  # two for each thread


def test_a_rebuild_that_is_interrupted_ends_soon(tmp_path, monkeypatch):
    policy = attrs.evolve(SMALL, codes={"hot": "auto", "warm": "rs(4,2)", "cold": "rs(4,2)"})
    home, read = tmp_path / "s", []
    with Store.init(home, policy=policy, **urls(tmp_path)) as store:
        for number in range(12):
            store.put(f"k/{number}", data_of(number, 40_000))
            store.maintenance.send([f"k/{number}"], "cold")
        stripes = len(store.parts.state.stripes)
    monkeypatch.setattr(rebuild_scan, "_THREADS", 1)
    look = rebuild_scan.Seeker._look

    def slow(seeker, stripe, hurt):
        read.append(stripe.id)
        time.sleep(0.05)
        return look(seeker, stripe, hurt)

    def interrupt(done, total, what):
        if what.startswith("stripe"):
            raise KeyboardInterrupt

    monkeypatch.setattr(rebuild_scan.Seeker, "_look", slow)
    with pytest.raises(KeyboardInterrupt):
        Store.rebuild(home, progress=interrupt)
    assert len(read) < stripes / 2
    assert Store.rebuild(home).ok

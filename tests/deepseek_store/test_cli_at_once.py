"""Work of several threads on many items: none of it goes on when its context has ended."""

import threading
import time

import pytest

from deepseek_store.cli.at_once import AtOnce


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
    assert not [one for one in threading.enumerate() if one.name.startswith("store-cli")]


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

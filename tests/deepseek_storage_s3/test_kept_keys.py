"""Keys that are kept: asked for once by all threads, renewed early, never longer than they last."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_storage_s3.keys import KeptKeys, Keys, KeySource, KeyTrouble


class Source:
    """Gives numbered keys that last for so long; `fails`, and may be held up."""

    def __init__(self, lasts_s=3600.0):
        self.now_s, self.lasts_s = 1_800_000_000.0, lasts_s
        self.asked, self.fails = 0, False
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.was_asked = threading.Event()

    def fetch(self):
        self.asked += 1
        self.was_asked.set()
        self.goes_on.wait(10)
        if self.fails:
            raise KeyTrouble("it is away", remedy="wait", is_passing=True)
        expires_s = None if self.lasts_s is None else self.now_s + self.lasts_s
        return Keys(access_key=f"key-{self.asked}", secret_key="s", expires_s=expires_s)

    def kept(self, **how):
        source = KeySource(words="a test", fetch=self.fetch, **how)
        return KeptKeys(source, now_s=lambda: self.now_s)


def test_all_threads_ask_once():
    source = Source()
    kept = source.kept()
    source.goes_on.clear()
    with ThreadPoolExecutor(16) as pool:
        found = [pool.submit(kept.current) for _ in range(16)]
        source.goes_on.set()
        assert {each.result(10).access_key for each in found} == {"key-1"}


def test_nobody_waits_for_new_keys_while_the_old_are_good():
    source = Source()
    kept = source.kept()
    kept.current()
    source.now_s += 3400
    source.was_asked.clear()
    source.goes_on.clear()
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(kept.current)
        assert source.was_asked.wait(10)
        assert kept.current().access_key == "key-1"
        source.goes_on.set()
        assert renewing.result(10).access_key == "key-2"


@given(st.floats(1, 90_000), st.lists(st.tuples(st.floats(0, 4000), st.booleans()), max_size=30))
def test_keys_that_have_expired_are_never_given(lasts_s, steps):
    source = Source(lasts_s)
    kept = source.kept()
    for step_s, fails in steps:
        source.now_s += step_s
        source.fails = fails
        try:
            given_out = kept.current()
        except KeyTrouble:
            assert fails
        else:
            assert source.now_s < given_out.expires_s


def test_keys_that_do_not_expire_are_read_again_now_and_then():
    source = Source(None)
    kept = source.kept()
    kept.current()
    source.now_s += 1000
    assert kept.current().access_key == "key-2"


def test_a_source_that_may_be_absent_is_so_until_it_has_answered():
    source = Source()
    kept = source.kept(may_be_absent=True)
    source.fails = True
    with pytest.raises(KeyTrouble) as caught:
        kept.current()
    assert not caught.value.is_passing
    source.fails = False
    kept.current()
    source.fails, source.now_s = True, source.now_s + 4000
    with pytest.raises(KeyTrouble) as caught:
        kept.current()
    assert caught.value.is_passing


def test_keys_that_were_refused_are_asked_for_anew():
    source = Source()
    kept = source.kept()
    kept.current()
    assert kept.forget() is True
    source.asked = 1  # the same as before
    assert kept.forget() is False

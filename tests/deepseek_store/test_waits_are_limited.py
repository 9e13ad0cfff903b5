"""Whoever waits for a key that is never let go of is told, and can go on."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from deepseek_store.errors import IndexUnavailable, StoreLocked
from deepseek_store.index.slot_locks import SlotLocks
from deepseek_store.write.key_lock import KeyLock


def test_a_slot_that_another_process_keeps_is_waited_for_so_long(tmp_path: Path) -> None:
    mine, theirs = SlotLocks(tmp_path / "locks"), SlotLocks(tmp_path / "locks", longest_s=0.05)
    with mine.hold(3):
        with pytest.raises(IndexUnavailable, match="lock of a key"), theirs.hold(3):
            pass
        with theirs.hold(4):
            pass
    with theirs.hold(3):
        pass


@pytest.mark.parametrize("conditional", [False, True])
def test_a_key_that_another_thread_keeps_is_waited_for_so_long(conditional: bool) -> None:
    lock = KeyLock(longest_s=0.05)
    taken, done = threading.Event(), threading.Event()

    def keep() -> None:
        with lock.alone(frozenset({"key"})):
            taken.set()
            done.wait()

    other = threading.Thread(target=keep)
    other.start()
    taken.wait()

    def gate(key: str):  # type: ignore[no-untyped-def]
        return lock.alone(frozenset({key})) if conditional else lock.plain(key)

    with pytest.raises(StoreLocked), gate("key"):
        pass
    with gate("another"):
        pass
    done.set()
    other.join()
    with gate("key"):
        pass

"""What training needs of the process: threads, random numbers, Ctrl-C between two batches."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np
import torch


@contextmanager
def fixed_threads(count: int) -> Iterator[None]:
    """Compute with so many threads, so that equal seeds give equal bytes."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Give the process its random numbers back after the block."""
    python, numpy, own = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(own)


def seed_all(*numbers: int) -> int:
    """Seed Python's, numpy's and torch's random numbers by these; the seed that came of them.

    Dropout and a user's augmentation draw from these, so an epoch depends on its number alone.
    """
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return seed


@contextmanager
def stopping_between_batches() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back until the given function is called or the block ends; a second one not.

    Raises:
        KeyboardInterrupt: from that function, at the end, or at the second Ctrl-C.
    """
    usual = signal.getsignal(signal.SIGINT)
    if usual is not signal.default_int_handler or not _in_main_thread():
        yield lambda: None  # somebody else's handler, or nobody's
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if came:
            signal.default_int_handler(number, frame)
        came.append(number)

    def stop() -> None:
        if came:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, usual)
    stop()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()

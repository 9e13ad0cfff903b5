"""The largest batch that fits, in a real child process under a real limit."""

import os
import time

import pytest

from deepseek_core import errors
from deepseek_observe.tune.errors import NeverFits, TrialFailed
from deepseek_observe.tune.fits import Prober, Verdict, available_nbytes, largest

EACH = 8 << 20  # bytes that a sample takes
KILLED, ENDED, FAILED, HANGING = 101, 102, 103, 104
SCRIPT = f"""\
import os
import signal
import time

import torch
from torch.utils.data import TensorDataset

print("words on stdout")


def loss(model, batch):
    count = len(batch[0])
    if count == {KILLED}:
        os.kill(os.getpid(), signal.SIGKILL)
    if count == {ENDED}:
        os._exit(3)
    if count == {FAILED}:
        raise ValueError("no such thing")
    if count == {HANGING}:
        time.sleep(60)
    held = [torch.ones({EACH} // 4) for _ in range(count)]
    return model(batch[0]).mean() + 0 * sum(one[0] for one in held)


def build():
    return torch.nn.Linear(2, 1), loss, TensorDataset(torch.randn(200, 2))
"""


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    """One child for all tests: each try is a fork of its own."""
    path = tmp_path_factory.mktemp("tune") / "train.py"
    path.write_text(SCRIPT)
    with Prober(f"{path}:build", seed=0, limit_s=60.0) as prober:
        yield prober


def test_what_a_limit_allows_is_found_and_no_step_more(child):
    tried = {}

    def fits(batch):
        tried[batch] = child.fits(batch, 40 * EACH).fits
        return Verdict(fits=tried[batch])

    found = largest(fits, 1, 80)
    assert 34 <= found <= 40  # what is left is the allocator's
    assert tried[found]
    assert min(batch for batch, did in tried.items() if not did) - found <= max(1, found // 16)


def test_who_ends_the_process_is_told(child):
    verdict = child.fits(KILLED, None)
    assert not verdict.fits
    assert "killed" in verdict.why
    with pytest.raises(TrialFailed, match="with code 3"):
        child.fits(ENDED, None)
    assert child.fits(10, None).fits  # the next try is a process of its own


def test_an_error_of_the_user_is_told(child):
    with pytest.raises(TrialFailed, match="ValueError: no such thing"):
        child.fits(FAILED, 1 << 30)


def test_a_try_that_hangs_ends_and_its_process_too(child):
    child.fits(1, None)
    child._limit_s = 0.5
    with pytest.raises(TrialFailed, match="no answer within"):
        child.fits(HANGING, None)
    child.close()
    for _ in range(100):
        if not _lives(child._child.pid):
            break
        time.sleep(0.02)  # until the kernel has let the killed ones go
    assert not _lives(child._child.pid)


def _lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("limit", [1, 2, 17, 63, 1000, 4096])
def test_the_search_never_ends_above_what_fits(limit):
    asked = []

    def fits(batch):
        asked.append(batch)
        return Verdict(fits=batch <= limit)

    found = largest(fits, 1, 4096)
    assert found <= limit
    assert limit - found <= max(1, found // 16)
    assert len(asked) == len(set(asked)) <= 16


def test_nothing_that_fits_is_an_error():
    with pytest.raises(NeverFits, match="a batch of 1 does not fit"):
        largest(lambda _: Verdict(fits=False, why="too large"), 1, 64)
    with pytest.raises(errors.ConfigError):
        largest(lambda _: Verdict(fits=False, why="too large"), 1, 1)


def test_memory_is_shared_by_the_processes():
    assert available_nbytes(4) == pytest.approx(available_nbytes() / 4, rel=0.2)

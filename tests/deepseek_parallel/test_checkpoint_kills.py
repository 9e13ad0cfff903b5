"""A process that is killed in a save leaves the newest whole checkpoint, to the bit."""

import os
import random
import signal
import sys
from pathlib import Path

import checkpoint_ranks as work
import pytest
import rank_processes as group
import torch

from deepseek_parallel import Checkpoints

KILLS = 20
SEED = 7


@pytest.fixture(scope="module", autouse=True)
def _warm():
    work.warm()


def state_of(step):
    """A model and an optimizer whose every bit follows from the step."""
    draw = torch.Generator().manual_seed(step)
    model = {f"w{n}": torch.randn(40, 7, generator=draw) for n in range(3)}
    return model, {"state": {0: {"m": torch.randn(40, 7, generator=draw)}}, "lr": 0.1 / (1 + step)}


def check_newest(url):
    """Load the newest one and see that it is whole; its step, -1 where there is none."""
    checkpoints = Checkpoints(url)
    found = checkpoints.latest()
    if found is None:
        return -1
    model, optimizer = state_of(10_000)
    extra = checkpoints.load(model, optimizer)
    wanted = state_of(found.step)
    assert extra == {"step": found.step}
    assert work.digest(model, optimizer) == work.digest(*wanted)
    return found.step


def touched(folder, deed):
    """Call `deed` before each access of this process below a folder, in any thread."""
    names = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.listdir", "os.scandir")

    def hook(event, args):
        if event in names and any(str(folder) in str(arg) for arg in args[:2]):
            deed()

    sys.addaudithook(hook)


def saved(url, step, kill_at=None):
    """Save a step in a child, which may kill itself before an access; how many there were."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        counts = [0]

        def count():
            counts[0] += 1
            if counts[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            checkpoints = Checkpoints(url, keep=2)
            touched(url, count)
            checkpoints.save(step, *state_of(step), {"step": step}).wait()
            checkpoints.close()
            os.write(writing, str(counts[0]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    _, status = os.waitpid(pid, 0)
    told = os.read(reading, 100)
    os.close(reading)
    assert (os.WTERMSIG(status) == signal.SIGKILL) == (not told)
    return int(told) if told else None


def test_killed_at_random_points_of_a_save_the_newest_one_is_whole(tmp_path):
    url = str(tmp_path)
    for step in range(3):  # with older ones to be taken away
        accesses = saved(url, step)
    assert accesses > KILLS
    draw = random.Random(SEED)
    newest, committed = check_newest(url), 0
    assert newest == 2
    for kill in range(KILLS):
        step = 3 + kill
        assert saved(url, step, kill_at=draw.randint(1, accesses)) is None
        found = check_newest(url)
        assert found in (newest, step)
        committed += found == step
        newest = found
    assert 0 < committed < KILLS  # points before the commit and after it
    saved(url, 99)
    assert check_newest(url) == 99
    folders = [path for path in Path(url).iterdir() if path.is_dir()]
    assert len(folders) == 2, "what the killed ones left is gone"


def one_is_killed(rank, ranks, url, who, at):
    """Two saves; in the second one a rank is killed, and the other is told in time."""
    checkpoints = Checkpoints(url, limit_s=1.0)
    checkpoints.save(1, *state_of(1), {"step": 1}).wait()
    counts = [0]

    def count():
        counts[0] += 1
        if counts[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)

    if rank == who:
        touched(url, count)
    saving = checkpoints.save(2, *state_of(2), {"step": 2})
    return group.told(saving.wait)


@pytest.mark.parametrize(("who", "at"), [(0, 4), (1, 3), (1, 9)])
def test_a_rank_that_is_killed_in_a_save_leaves_the_checkpoint_before(who, at, tmp_path):
    url = str(tmp_path)
    found = group.run(one_is_killed, 2, url, who, at)
    assert found[who] is None
    kind, text = found[1 - who]
    assert kind == "SaveFailed"
    assert ("rank 0 committed nothing" if who == 0 else "ranks 1 left no record") in text
    assert check_newest(url) == 1

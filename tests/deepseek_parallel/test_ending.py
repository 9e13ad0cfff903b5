"""A process ends after gloo's threads: one that asks for Python's lock later aborts it."""

import hashlib
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from deepseek_parallel import ending
from deepseek_parallel.lost import waited
from deepseek_parallel.strategies.meshes import device_mesh

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads are seen on Linux only")

NAME = "pt_gloo_runloop"


def names():
    return [(one / "comm").read_text().strip() for one in Path("/proc/self/task").iterdir()]


@pytest.fixture
def group(tmp_path):
    dist.init_process_group(
        "gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1
    )
    yield
    dist.destroy_process_group()


@pytest.fixture
def registered(monkeypatch):
    found = []
    monkeypatch.setattr(ending.atexit, "register", found.append)
    ending.end_after_gloo.cache_clear()
    yield found
    ending.end_after_gloo.cache_clear()


@pytest.mark.parametrize("name, is_waited_for", [(NAME, True), ("another", False)])
def test_a_busy_thread_of_gloo_ends_first(name, is_waited_for):
    started = threading.Event()

    def compute():
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(name)
        started.set()
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            hashlib.sha256(data)  # without Python's lock

    data = bytes(1 << 22)
    thread = threading.Thread(target=compute)
    thread.start()
    started.wait(10)
    ending.wait_for_gloo()
    assert thread.is_alive() is not is_waited_for
    thread.join()


def test_an_end_waits_no_longer_than_its_limit(monkeypatch):
    monkeypatch.setattr(ending, "LIMIT_S", 0.1)
    monkeypatch.setattr(ending, "_is_busy", lambda: True)
    ending.wait_for_gloo()


def test_threads_of_gloo_have_the_name_that_is_looked_for(group):
    dist.all_reduce(torch.ones(1))
    assert NAME in names()


@pytest.mark.parametrize(
    "use",
    [lambda: waited(lambda: dist.all_reduce(torch.ones(1)), 0), lambda: device_mesh({}, "cpu")],
    ids=["collective", "mesh"],
)
def test_who_uses_a_group_ends_after_it(use, group, registered):
    use()
    use()
    assert registered == [ending.wait_for_gloo]

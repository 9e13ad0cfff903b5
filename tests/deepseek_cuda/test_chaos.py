"""No fault of a GPU or its driver costs an answer: streams and a server, with the CPU beside it.

The rounds of the core's chaos suite, where whole devices lie, on a device that is honest above a
driver that is not. The fake driver accuses whoever uses memory after a fault that it may not use.
"""

import logging
import random
import threading
import time

import attrs
import fake_cuda
import fake_sessions
import numpy as np
import pytest
from fake_cuda import FakeCuda

from deepseek_core import Rules, Server, errors
from deepseek_cuda.driver.api import CudaFault

REQUESTS, BATCHES, THREADS = 40, 16, 4
RULES = Rules(hang_floor_s=2.0, hang_guess_s=2.0, quarantine_s=0.02, outage_s=20.0)
END_S = 10.0


class Own(BaseException):
    """An error that derives from nothing usual."""


@attrs.frozen
class Kind:
    """Calls of these names (all, if none) fail so, in this share; `stays`: then all later ones."""

    fault: tuple[int, str] = (0, "")
    at: tuple[str, ...] = ()
    share: float = 0.02
    stays: bool = False
    hangs: bool = False
    spoil: BaseException | None = None


KINDS = {
    "falls off the bus": Kind((999, "CUDA_ERROR_UNKNOWN"), stays=True),
    "a kernel spoils the context": Kind((700, "CUDA_ERROR_ILLEGAL_ADDRESS"), ("record", "is_done"),
                                        stays=True),
    "an uncorrectable error": Kind((214, "CUDA_ERROR_ECC_UNCORRECTABLE"), ("copy_out",), 0.2, True),
    "memory ends": Kind((2, "CUDA_ERROR_OUT_OF_MEMORY"), ("alloc",), 0.5),
    "pinned memory ends": Kind((2, "CUDA_ERROR_OUT_OF_MEMORY"), ("alloc_pinned",), 0.5),
    "a copy fails now and then": Kind((719, "CUDA_ERROR_LAUNCH_FAILED"), ("copy_in",), 0.3),
    "no stream can be made": Kind((2, "CUDA_ERROR_OUT_OF_MEMORY"), ("create_stream",), 0.7),
    "the context is gone": Kind((201, "CUDA_ERROR_INVALID_CONTEXT"), ("use",), 0.1),
    "freeing fails": Kind((999, "CUDA_ERROR_UNKNOWN"), ("free", "destroy_event"), 1.0),
    "work never ends": Kind(hangs=True, share=0.1),
    "the runtime raises": Kind(spoil=RuntimeError("CUDA failure 700: illegal access"), share=0.2),
    "the runtime raises something else": Kind(spoil=Own("nobody knows"), share=0.2),
    "the runtime is out of memory": Kind(
        spoil=errors.OutOfMemory("full", device_id="cuda:0"), share=0.3
    ),
}  # fmt: skip


class Troubled(FakeCuda):
    """A driver with one kind of fault, by chance that is the same each time."""

    def __init__(self, kind, rng, hits):
        super().__init__()
        self.kind, self.rng, self.hits, self.is_gone, self.honest = kind, rng, hits, False, 30

    def _called(self, name):
        self.honest -= 1
        mine = self.kind.fault[0] and (not self.kind.at or name in self.kind.at)
        if self.is_gone or (mine and self.honest < 0 and self.rng.random() < self.kind.share):
            self.hits.append(name)
            self.is_gone = self.kind.stays
            raise CudaFault(name, *self.kind.fault)
        super()._called(name)

    def record(self, event, stream):
        if self.kind.hangs and self.honest < 0 and self.rng.random() < self.kind.share:
            self.hits.append("hangs")
            self.hangs = True
        super().record(event, stream)


@pytest.fixture
def accused(monkeypatch):
    """What the fake driver said; that a lost one has something left is no fault of ours."""
    said, usual = [], fake_cuda.Misuse.__init__

    def noted(self, text):
        said.append(text)
        usual(self, text)

    monkeypatch.setattr(fake_cuda.Misuse, "__init__", noted, raising=False)
    yield said
    assert [text for text in said if not text.startswith("left behind")] == []


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    fake_sessions.DRIVERS.clear(), fake_sessions.OPENED.clear()


def values(number):
    """A batch of 1 to 4 items, like no other."""
    items = number % 4 + 1
    return (np.arange(4.0 * items).reshape(items, 4) + 10.0 * number - 60).astype(np.float32)


def is_right(result, number):
    x = values(number)
    y = np.maximum(x + 1, 0)
    w = np.maximum(np.maximum(y - 2, 0) + 3, 0)
    return np.array_equal(result["w"], w) and np.array_equal(result["y"], y)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", KINDS)
def test_answers_are_right_and_ends_are_ends(name, seed, tmp_path, accused):
    kind, hits, rng = KINDS[name], [], random.Random(seed)

    def spoil(inputs):
        if kind.spoil is not None and rng.random() < kind.share:
            hits.append("launch")
            raise kind.spoil

    made = lambda: Troubled(kind, rng, hits)  # noqa: E731
    fake_sessions.DRIVERS.append((made, spoil, {"run_limit_s": 1.0}))
    before = threading.active_count()
    graph = fake_sessions.chain(outputs=("w", "y"))
    with fake_sessions.session(tmp_path) as session:
        plan = session.plan(graph, batch=4)
        for number, result in enumerate(plan.stream({"x": values(n)} for n in range(BATCHES))):
            assert is_right(result, number), number
        plan.close()
        with Server(session, graph, rules=RULES) as server:
            ask_from_threads(server)
        start_s = time.monotonic()
    assert time.monotonic() - start_s < END_S
    until_s = time.monotonic() + END_S
    while threading.active_count() > before and time.monotonic() < until_s:
        time.sleep(0.01)
    assert threading.active_count() <= before
    assert hits, "nothing went wrong: the round says nothing"


def ask_from_threads(server):
    """Each answer is right; what a server refuses at once is no answer."""
    found, lock = [], threading.Lock()

    def work(first):
        for number in range(first, REQUESTS, THREADS):
            try:
                answer = is_right(server.submit({"x": values(number)}).result(END_S), number)
            except errors.AdmissionRefused:
                answer = True
            except Exception as error:  # noqa: BLE001 - told below
                answer = error
            with lock:
                found.append(answer)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert found == [True] * REQUESTS

"""A driver that fails now and then: answers are right or named errors, and all works after it."""

import random
import threading

import numpy as np
import pytest

from deepseek_core import LoadOptions, OpenOptions, errors
from deepseek_fpga import conformance
from deepseek_fpga.device import open_matching_device
from deepseek_fpga.platforms import list_devices

cl = pytest.importorskip("pyopencl")
DEVICES = [record.id for record in list_devices().devices if record.evidence != "emulator"]
pytestmark = pytest.mark.skipif(not DEVICES, reason=str(list_devices().remedy))
THREADS, RUNS, SHARE = 4, 60, 0.08


class Driver:
    """Lets calls of pyopencl fail in a share of the cases, with what drivers answer."""

    def __init__(self, monkeypatch, share=SHARE):
        self.share, self.failed, self._lock = share, 0, threading.Lock()
        self._random = random.Random(5)
        codes = cl.status_code
        self._errors = [
            (cl.MemoryError, codes.MEM_OBJECT_ALLOCATION_FAILURE),
            (cl.RuntimeError, codes.OUT_OF_RESOURCES),
            (cl.RuntimeError, codes.DEVICE_NOT_AVAILABLE),
            (cl.LogicError, codes.INVALID_COMMAND_QUEUE),
        ]
        for name in ("Buffer", "enqueue_copy", "enqueue_nd_range_kernel", "CommandQueue", "Kernel"):
            monkeypatch.setattr(cl, name, self._unsure(name, getattr(cl, name)))

    def _unsure(self, name, call):
        def unsure(*args, **kwargs):
            with self._lock:
                error = self._random.choice(self._errors) if self._hits() else None
            if error is not None:
                kind, code = error
                raise kind(cl._cl._ErrorRecord(msg=f"{name} failed", code=code, routine=name))
            return call(*args, **kwargs)

        return unsure

    def _hits(self):
        hit = self._random.random() < self.share
        self.failed += hit
        return hit


@pytest.fixture
def device(tmp_path):
    device = open_matching_device(DEVICES[0], OpenOptions(threads=2, cache_dir=tmp_path))
    for case in conformance.TestOpenCl().cases():  # tuned and compiled while the driver is well
        device.load(case.stage, LoadOptions()).run(case.inputs)
    yield device
    device.close()


def galleries():
    """Two galleries of one shape, with what is right for each."""
    draw = np.random.default_rng(9)
    queries = draw.integers(0, 256, (7, 16)).astype(np.uint8)
    found = []
    for _ in range(2):
        gallery = draw.integers(0, 256, (60, 16)).astype(np.uint8)
        bits = np.unpackbits(queries[:, None] ^ gallery, axis=2).sum(2)
        found.append((gallery, np.argsort(bits, axis=1, kind="stable")[:, :3]))
    return queries, found


def unbound():
    return conformance._stage("MatchHamming", "uint8", "int32")


def test_each_answer_is_right_or_a_named_error(device, monkeypatch):
    queries, known = galleries()
    loaded = device.load(unbound(), LoadOptions())
    driver, told, lock = Driver(monkeypatch), {"right": 0, "refused": 0}, threading.Lock()
    wrong = []

    def work(seed):
        rng = random.Random(seed)
        for _ in range(RUNS):
            gallery, right = rng.choice(known)
            inputs = {"query": queries, "gallery": gallery, "k": np.array([3])}
            try:
                answer = loaded.run(inputs)["indices"]
            except errors.DeviceError as error:
                what = "refused"
                if isinstance(error, errors.DeviceClosed):
                    wrong.append(error)
            except Exception as error:  # noqa: BLE001 - what must not be
                wrong.append(error)
                return
            else:
                what = "right"
                if not np.array_equal(answer, right):
                    wrong.append(answer)
            with lock:
                told[what] += 1

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert driver.failed > 20
    assert min(told.values()) > 0
    assert sum(told.values()) == THREADS * RUNS
    driver.share = 0
    for gallery, right in known:
        inputs = {"query": queries, "gallery": gallery, "k": np.array([3])}
        assert np.array_equal(loaded.run(inputs)["indices"], right), "it did not recover"


def test_a_gallery_that_did_not_fit_leaves_the_last_one_usable(device, monkeypatch):
    """The old one was closed for the new one, and taken for kept all the same."""
    queries, ((first, right), (second, _)) = galleries()
    loaded = device.load(unbound(), LoadOptions())
    inputs = {"query": queries, "gallery": first, "k": np.array([3])}
    loaded.run(inputs)
    driver = Driver(monkeypatch, share=1.0)
    with pytest.raises(errors.DeviceError):
        loaded.run({**inputs, "gallery": second})
    driver.share = 0
    assert np.array_equal(loaded.run(inputs)["indices"], right)


def test_a_stage_that_cannot_be_loaded_is_a_named_error_and_can_be_loaded_later(
    device, monkeypatch
):
    (_, case) = conformance.TestOpenCl().cases()
    driver = Driver(monkeypatch, share=1.0)
    with pytest.raises(errors.DeviceError):
        device.load(case.stage, LoadOptions())
    driver.share = 0
    found = device.load(case.stage, LoadOptions()).run(case.inputs)
    assert np.array_equal(found["indices"], case.expected["indices"])

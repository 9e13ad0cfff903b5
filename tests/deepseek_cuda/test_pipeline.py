"""Copies and kernels overlap and never race: the fake driver accuses each seeded mistake."""

import time

import fake_gpu
import numpy as np
import pytest
from fake_cuda import FakeCuda, Misuse

from deepseek_core import errors
from deepseek_cuda.conformance import layer
from deepseek_cuda.driver.buffers import Buffer, pinned_pool, rounded
from deepseek_cuda.driver.pipeline import Pipeline
from deepseek_cuda.onnx_stages.engine import open_engine

WIDTH = 4


def batches(count, items=4096):
    x = np.arange(items * WIDTH, dtype=np.float32).reshape(items, WIDTH) % 17
    return [{"x": x + number} for number in range(count)]


def right(batch):
    weights = np.arange(WIDTH * WIDTH, dtype=np.float32).reshape(WIDTH, WIDTH) - 7
    return np.maximum(batch["x"] @ weights, 0)


def opened(fake, spoil=None):
    fake.use()
    pipeline = Pipeline(fake, pinned_pool(fake, 1 << 20), "cuda:0", 10.0)
    session = open_engine(layer(), "cuda:0", fake_gpu.on_cpu(0), strict=True)
    return pipeline, fake_gpu.TracedEngine(fake, session, pipeline.computing, spoil)


def run_all(fake, count=7):
    pipeline, engine = opened(fake)
    given = batches(count)
    made = pipeline.run(engine, given)
    for batch, outputs in zip(given, made, strict=True):
        np.testing.assert_array_equal(outputs["y"], right(batch))
    again = pipeline.run(engine, given[:2])  # through the same buffers
    assert len(again) == len(given[:2])
    pipeline.close()
    fake.close()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 9])
def test_batches_come_back_in_order(count):
    run_all(FakeCuda(), count)


def test_copies_and_kernels_overlap():
    """Alone, each batch costs copy + kernel + copy; in a row, little more than the longest."""
    fake = FakeCuda()
    pipeline, engine = opened(fake)
    start_s = fake.now_s()
    for batch in batches(12, 1 << 18):
        pipeline.run(engine, [batch])
    alone_s, start_s = fake.now_s() - start_s, fake.now_s()
    pipeline.run(engine, batches(12, 1 << 18))
    assert fake.now_s() - start_s < 0.5 * alone_s


class WithoutWaits(FakeCuda):
    """Drops every wait of one stream for another: the computing one's, or the outgoing one's."""

    which = 1

    def wait(self, stream, event):
        if sorted(self.streams).index(stream) != self.which:
            super().wait(stream, event)


class OutgoingDoesNotWait(WithoutWaits):
    which = 2


class HostDoesNotWait(FakeCuda):
    def is_done(self, event):
        self._called("is_done")
        return True


class NothingIsRecorded(FakeCuda):
    def record(self, event, stream):
        self._called("record")


class RecordedTooEarly(FakeCuda):
    """The copy's event is recorded on the stream that computes, where nothing is yet."""

    def record(self, event, stream):
        first, second, _ = sorted(self.streams)
        super().record(event, second if stream == first else stream)


class CopiesTooMuch(FakeCuda):
    def copy_in(self, device, pinned, nbytes, stream):
        super().copy_in(device, pinned, rounded(nbytes) + 1, stream)


class CopiesNothingIn(FakeCuda):
    def copy_in(self, device, pinned, nbytes, stream):
        self._called("copy_in")


class FreesWhileInUse(FakeCuda):
    """Pinned memory goes back as soon as its copy is enqueued."""

    def copy_in(self, device, pinned, nbytes, stream):
        super().copy_in(device, pinned, nbytes, stream)
        self.free_pinned(pinned)


class OnePinnedBlock(FakeCuda):
    """Every batch is staged through the same block, whatever is still copied out of it."""

    only = None

    def alloc_pinned(self, nbytes):
        self.only = self.only or super().alloc_pinned(nbytes)
        return self.only


class CopiesOnTheWrongStream(FakeCuda):
    def copy_out(self, pinned, device, nbytes, stream):
        super().copy_out(pinned, device, nbytes, sorted(self.streams)[0])


class UsedAfterFree(FakeCuda):
    def alloc(self, nbytes):
        address = super().alloc(nbytes)
        self.free(address)
        return address


class LeavesAStream(FakeCuda):
    def destroy_stream(self, stream):
        if stream != min(self.streams):
            super().destroy_stream(stream)


class NoContext(FakeCuda):
    def use(self):
        pass


MISTAKES = [
    (WithoutWaits, "the kernel reads device memory|the kernel does not wait"),
    (OutgoingDoesNotWait, "a copy to the host does not wait for the kernel"),
    (HostDoesNotWait, "the host's read does not wait for a copy to the host"),
    (NothingIsRecorded, "was never recorded"),
    (RecordedTooEarly, "the kernel does not wait for a copy to the device"),
    (CopiesTooMuch, "passes the end of"),
    (CopiesNothingIn, "the kernel reads device memory that nothing wrote"),
    (FreesWhileInUse, "pinned memory was freed while a copy to the device may use it"),
    (OnePinnedBlock, "does not wait for"),
    (CopiesOnTheWrongStream, "does not wait for"),
    (UsedAfterFree, "uses memory that is not there"),
    (LeavesAStream, "left behind"),
    (NoContext, "without a current context"),
]


@pytest.mark.parametrize(("kind", "accusation"), MISTAKES, ids=lambda x: getattr(x, "__name__", ""))
def test_each_mistake_is_detected(kind, accusation):
    with pytest.raises(Misuse, match=accusation):
        run_all(kind())


def test_outputs_that_are_let_go_too_early_are_detected():
    """The engine's arena would give their memory to the next kernel while it is copied out."""
    fake = FakeCuda()
    pipeline, engine = opened(fake)
    launch = engine.launch

    def forgetful(inputs):
        launched = launch(inputs)
        return type("Let", (), {"outputs": launched.outputs})()

    engine.launch = forgetful
    with pytest.raises(Misuse, match=r"uses memory that is not there|was freed while"):
        pipeline.run(engine, batches(3))


def test_a_gpu_that_hangs_costs_the_limit_and_then_no_more():
    fake = FakeCuda()
    pipeline, engine = opened(fake)
    pipeline.run(engine, batches(1))
    fake.hangs = True
    start_s = time.monotonic()
    with pytest.raises(errors.DeviceTimeout, match="did not finish a run in 10 s") as caught:
        pipeline.run(engine, batches(3))
    assert caught.value.retryable and caught.value.remedy.startswith("nvidia-smi")
    with pytest.raises(errors.DeviceLost, match="unknown state"):
        pipeline.run(engine, batches(1))
    pipeline.close()  # frees nothing that the GPU may still write to
    assert time.monotonic() - start_s < 60
    assert [block.kind for block in fake.blocks.values()].count("device") >= 3


def test_a_fault_in_the_middle_leaves_buffers_for_the_next_run():
    fake = FakeCuda()
    fails = iter([False, False, True])

    def spoil(inputs):
        if next(fails, False):
            raise errors.OutOfMemory("no space", device_id="cuda:0")

    pipeline, engine = opened(fake, spoil)
    with pytest.raises(errors.OutOfMemory):
        pipeline.run(engine, batches(5))
    (made,) = pipeline.run(engine, batches(1))
    np.testing.assert_array_equal(made["y"], right(batches(1)[0]))
    pipeline.close()
    fake.close()


def test_the_pool_keeps_blocks_up_to_its_limit():
    fake = FakeCuda()
    fake.use()
    pool = pinned_pool(fake, 3 * 4096)
    taken = [pool.take(4000) for _ in range(5)]
    assert len(set(taken)) == 5
    for address in taken:
        pool.give(address)
    assert len(fake.blocks) == 3, "the rest went back"
    assert pool.take(100) in taken
    pool.release()
    assert len(fake.blocks) == 1


def test_a_buffer_grows_and_shrinks_when_it_wastes_too_much():
    fake = FakeCuda()
    fake.use()
    buffer = Buffer(fake.alloc, fake.free)
    first = buffer.of(100_000)
    assert buffer.of(90_000) == first
    buffer.of(200_000)
    assert fake.used == rounded(200_000)
    buffer.of(10)
    assert fake.used == rounded(10) == 4096
    buffer.release()
    buffer.release()
    assert fake.used == 0


@pytest.mark.parametrize("nbytes", [0, 1, 4095, 4097, 65_537, 10**6, 10**9 + 1])
def test_rounding_wastes_an_eighth_at_most(nbytes):
    assert nbytes <= rounded(nbytes) <= max(4096 + nbytes, 9 * nbytes // 8)

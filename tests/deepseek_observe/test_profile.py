"""Where the time goes in timelines whose answer is known, and in real slow runs."""

import subprocess
import sys

import numpy as np
import pytest
from timelines import host, timeline, work

from deepseek_core import errors
from deepseek_observe.profile.breakdown import Window, breakdown
from deepseek_observe.profile.findings import find, measure, recoverable
from deepseek_observe.profile.idle import Cause, idle
from deepseek_observe.profile.profile import profile, straggler
from deepseek_observe.reading.reading import read_trace
from deepseek_observe.timeline.classes import HOST, Class

MS = 1_000_000


def causes(*rows):
    """Nanoseconds by cause between the first and the last work."""
    made = timeline(*(row for part in rows for row in part))
    works = made.where(Class.COMPUTE, device=0)
    return idle(
        made, 0, Window(begin_ns=int(made.starts[works[0]]), end_ns=int(made.ends[works].max()))
    ).totals


FIRST = work(0, 100, call=0, correlation=1)


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        # Launched 700 after the device ran dry, began 200 later.
        ([work(1000, 1100, call=800, correlation=2)], {Cause.HOST: 700, Cause.LAUNCH: 200}),
        # The same, and the thread was in the data loader for 300 of it.
        ([work(1000, 1100, call=800, correlation=2),
          host(Class.RANGE, 400, 700, "enumerate(DataLoader)#_Iter.__next__")],
         {Cause.LOADER: 300, Cause.HOST: 400, Cause.LAUNCH: 200}),
        # The host waited for the device when that ran dry.
        ([work(1000, 1100, call=800, correlation=2),
          host(Class.WAIT, 50, 150, "cudaStreamSynchronize")],
         {Cause.SYNC: 700, Cause.LAUNCH: 200}),
        # A copy blocked for 100 of it.
        ([work(1000, 1100, call=800, correlation=2), host(Class.LAUNCH, 300, 400, "cudaMemcpy")],
         {Cause.COPY: 100, Cause.HOST: 600, Cause.LAUNCH: 200}),
        # Queued before, and begun a little later.
        ([work(1000, 1100, call=50, correlation=2)], {Cause.LAUNCH: 900}),
        # Queued before, and held for long: by an event of another stream, or nobody knows.
        ([work(90_000, 90_100, call=50, correlation=2),
          [(Class.SYNC, 80_000, 89_000, 0, 7, 0, "Stream Wait Event")]],
         {Cause.DEPENDENCY: 89_900}),
        ([work(90_000, 90_100, call=50, correlation=2)], {Cause.QUEUE: 89_900}),
        # Its launch is not in the trace.
        ([work(1000, 1100)], {Cause.UNKNOWN: 900}),
        # Another thread's data loader is none of this gap.
        ([work(1000, 1100, call=800, correlation=2),
          [(Class.RANGE, 400, 700, HOST, 2, 0, "dataloader")]],
         {Cause.HOST: 700, Cause.LAUNCH: 200}),
    ],
)  # fmt: skip
def test_a_gap_is_told_by_its_cause(rows, wanted):
    assert causes(FIRST, *rows) == wanted


def test_parts_of_a_device_and_what_each_could_give_back():
    made = timeline(
        *work(0, 100), *work(50, 250, stream=9, found=Class.COMMUNICATION, name="nccl"),
        *work(240, 300, stream=11, found=Class.COPY, name="Memcpy HtoD (Pinned -> Device)"),
        *work(400, 500),
    )  # fmt: skip
    window = Window(begin_ns=0, end_ns=500)
    shares = breakdown(made, 0, window)
    assert (shares.compute_ns, shares.exposed_communication_ns) == (200, 150)
    assert (shares.exposed_copy_ns, shares.idle_ns) == (50, 100)
    assert (shares.hidden_communication_ns, shares.overlap) == (50, 0.25)
    assert recoverable(made, 0, window, made.where(Class.COMMUNICATION)) == 140
    found = {one.kind: one.recoverable_ns for one in find(made, measure(made, 0, window))}
    assert found["exposed_communication"] == 140
    assert found["exposed_copy"] == 50


def test_one_stream_for_both_is_a_finding_of_its_own():
    made = timeline(
        *work(0, 100), *work(100, 300, found=Class.COMMUNICATION, name="ncclDevKernel_AllReduce")
    )
    (first, *_) = find(made, measure(made, 0, Window(begin_ns=0, end_ns=300)))
    assert first.kind == "one_stream"
    assert first.recoverable_ns == 200
    assert "stream 7" in " ".join(first.evidence)


def test_work_that_was_launched_before_the_trace_is_left_out_and_told():
    made = timeline(*work(0, 100), *work(500, 600, call=480, correlation=2))
    told = profile(made)
    assert told.left_out == {"works that were launched before the trace": 1}
    assert told.devices[0].window == Window(begin_ns=500, end_ns=600)


def test_a_window_is_a_range_by_its_name():
    made = timeline(
        *work(0, 100, call=0, correlation=1), *work(500, 600, call=480, correlation=2),
        *host(Class.RANGE, 450, 650, "step 2"), *host(Class.RANGE, 0, 450, "step 1"),
    )  # fmt: skip
    assert profile(made, window="step 2").devices[0].window == Window(begin_ns=450, end_ns=650)
    assert profile(made, window="step").devices[0].window == Window(begin_ns=0, end_ns=650)
    with pytest.raises(errors.ConfigError, match="no range 'epoch'"):
        profile(made, window="epoch")


def test_the_rank_that_the_others_wait_for_is_named():
    """Rank 1 computes twice as long, and comes last to the exchange."""

    def of(rank, computed):
        return profile(
            timeline(
                *work(0, computed),
                *work(computed, 200, found=Class.COMMUNICATION, stream=9, name="nccl"),
                facts={"rank": rank},
            )
        )

    slow = straggler([of(0, 90), of(1, 180), of(2, 90)])
    assert slow is not None
    assert "rank 1" in slow.title
    assert slow.recoverable_ns == 60
    assert straggler([of(0, 90), of(1, 91)]) is None


SLOW = """
import sys, time, torch
from torch.profiler import ProfilerActivity, profile, record_function
torch.set_num_threads(1)
where, path = sys.argv[1:]

class Data(torch.utils.data.Dataset):
    def __len__(self): return 24
    def __getitem__(self, n):
        if where == "data": time.sleep(0.004)
        return torch.randn(16), n % 4

class Stage(torch.nn.Module):
    def forward(self, x):
        with record_function("the second stage"):
            if where == "stage": time.sleep(0.03)
            return x * 2

model = torch.nn.Sequential(torch.nn.Linear(16, 32), Stage(), torch.nn.Linear(32, 4))
with profile(activities=[ProfilerActivity.CPU]) as profiler:
    for x, y in torch.utils.data.DataLoader(Data(), batch_size=8):
        torch.nn.functional.cross_entropy(model(x), y).backward()
profiler.export_chrome_trace(path)
"""


@pytest.mark.parametrize(
    ("where", "kind", "named"),
    [("data", "data_loader", "DataLoader"), ("stage", "host_bound", "'the second stage'")],
)
def test_a_slow_run_of_our_own_names_its_culprit_first(tmp_path, where, kind, named):
    pytest.importorskip("torch")
    path = tmp_path / "trace.json"
    subprocess.run(
        [sys.executable, "-c", SLOW, where, str(path)], check=True, timeout=120,
        capture_output=True,
    )  # fmt: skip
    first, *_ = profile(read_trace(path)).findings
    assert first.kind == kind
    assert named in first.evidence[1]
    assert first.recoverable_ns > 70 * MS


def test_random_timelines_add_up():
    draw = np.random.default_rng(2)
    for _ in range(300):
        rows = []
        for number in range(1, int(draw.integers(2, 20))):
            start = int(draw.integers(0, 90_000))
            rows += work(
                start, start + int(draw.integers(1, 9_000)), correlation=number,
                call=int(draw.integers(0, start + 1)) if draw.random() < 0.9 else None,
                stream=int(draw.integers(0, 3)), found=Class(int(draw.integers(0, 4))),
            )  # fmt: skip
            rows += host(Class.WAIT, start, start + 500, "cudaDeviceSynchronize")
            rows += host(Class.RANGE, start, start + 900, "dataset")
        made = timeline(*rows)
        window = Window(begin_ns=0, end_ns=100_000)
        shares, gaps = breakdown(made, 0, window), idle(made, 0, window)
        lengths = sum(column for column in gaps.by_cause.values())
        assert (lengths == gaps.ends - gaps.starts).all()
        assert all((column >= 0).all() for column in gaps.by_cause.values())
        assert sum(gaps.totals.values()) == shares.idle_ns
        for one in find(made, measure(made, 0, window)):
            assert 0 <= one.recoverable_ns <= window.span_ns

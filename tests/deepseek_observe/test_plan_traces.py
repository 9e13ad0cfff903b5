"""Traces of plans that ran, as `ds-sdk run --trace` writes them."""

import random

import pytest

from deepseek_core.runtime.trace import Depth, Span, write_trace
from deepseek_observe.profile.profile import profile
from deepseek_observe.reading.reading import read_trace


def span(stage, device, start_ms, end_ms, slot=0):
    return Span(stage, device, slot, 0, 8, 5 + start_ms / 1e3, 5 + end_ms / 1e3)


def profiled(tmp_path, *spans):
    path = tmp_path / "trace.json"
    write_trace(path, spans, [Depth("fpga:0", 5.0, 3)])
    return profile(read_trace(path))


def test_a_slow_stage_is_named_with_what_it_costs(tmp_path):
    """Batches follow each other; the second stage takes three times as long as the first."""
    spans = []
    for n in range(10):
        spans += [span("convolution", "cpu:0", 30 * n, 30 * n + 10),
                  span("matching", "fpga:0", 30 * n + 10, 30 * n + 40)]  # fmt: skip
    found = profiled(tmp_path, *spans)
    first = found.findings[0]
    assert first.kind == "stage"
    assert first.title.startswith("matching runs on fpga:0")
    # The first stage of the next batch runs beside it for 10 of its 30 ms, but for the last one.
    assert first.recoverable_ns == pytest.approx(9 * 20e6 + 30e6, abs=5)
    assert "--pin" in first.remedy
    cpu, fpga = found.devices
    assert (cpu.name, fpga.name) == ("cpu:0", "fpga:0")
    assert cpu.window == fpga.window
    assert cpu.shares.idle_ns == pytest.approx(210e6, abs=20)


def test_a_caller_that_gives_nothing_is_named(tmp_path):
    found = profiled(tmp_path, *(span("all", "cpu:0", 100 * n, 100 * n + 10) for n in range(5)))
    assert found.verdict == "idle"
    assert found.findings[0].kind == "no_work"
    assert found.findings[0].recoverable_ns == pytest.approx(4 * 90e6, abs=9)


def test_slots_of_a_device_are_one_device(tmp_path):
    found = profiled(
        tmp_path, span("a", "cpu:0", 0, 10), span("a", "cpu:0", 5, 20, slot=1),
        span("b", "onnx:npu slot x", 0, 4),
    )  # fmt: skip
    assert [one.name for one in found.devices] == ["cpu:0", "onnx:npu slot x"]
    assert found.devices[0].shares.compute_ns == pytest.approx(20e6, abs=2)


def test_idle_adds_up(tmp_path):
    draw = random.Random(0)
    spans = []
    for _ in range(200):
        start = draw.uniform(0, 1000)
        device = draw.choice("abc")
        spans.append(span(draw.choice("xyz"), device, start, start + draw.uniform(0, 9)))
    for one in profiled(tmp_path, *spans).devices:
        assert sum(one.idle.values()) == one.shares.idle_ns

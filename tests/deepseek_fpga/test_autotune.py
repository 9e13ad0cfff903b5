"""Tuning is done once, chosen by cost, and survives a damaged file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from deepseek_core import errors
from deepseek_fpga import autotune
from deepseek_fpga.autotune import (
    FILE_NAME,
    TileCost,
    Tuning,
    measure,
    shape_class,
    tuned,
    tuning_key,
)
from deepseek_fpga.opening import OpenDevice, open_device
from deepseek_fpga.platforms import list_devices
from deepseek_fpga.program_cache import ProgramCache
from deepseek_fpga.variants import Variant

DEVICES = [record.id for record in list_devices().devices]
needs_device = pytest.mark.skipif(not DEVICES, reason=str(list_devices().remedy))


def variant(rows: int) -> Variant:
    return Variant(metric="hamming", words="bits", rows=rows, vecs=1)


TUNING = Tuning(
    costs=(
        TileCost(variant=variant(8), tile_s=8e-6),
        TileCost(variant=variant(1), tile_s=2e-6),
        TileCost(variant=variant(4), tile_s=5e-6),
    )
)


@pytest.fixture(scope="module", params=DEVICES)
def device(request) -> Iterator[OpenDevice]:
    opened = open_device(request.param)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def programs(device, tmp_path_factory) -> ProgramCache:
    return ProgramCache(device, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def measured(monkeypatch) -> list[tuple]:
    """Count measurements instead of making them."""
    calls: list[tuple] = []

    def count(cache, metric, dim):
        calls.append((metric, dim))
        return TUNING

    monkeypatch.setattr(autotune, "measure", count)
    return calls


@pytest.mark.parametrize(
    ("batch", "rows"), [(1, 1), (2, 1), (3, 4), (4, 4), (5, 8), (8, 8), (9, 8), (16, 8), (64, 8)]
)
def test_a_batch_gets_the_cheapest_tiles(batch, rows):
    assert TUNING.choose(batch).rows == rows


def test_shapes_share_classes():
    assert [shape_class(dim) for dim in (1, 32, 33, 1280, 2048)] == [
        "d32", "d32", "d256", "dmax", "dmax",
    ]  # fmt: skip


@needs_device
def test_a_device_is_measured_once(programs, tmp_path, measured):
    assert tuned(programs, tmp_path, "hamming", 32) == TUNING
    assert tuned(programs, tmp_path, "hamming", 20) == TUNING
    assert measured == [("hamming", 32)]


@needs_device
def test_metric_and_class_are_measured_apart(programs, tmp_path, measured):
    for metric, dim in (("hamming", 32), ("hamming", 400), ("l2_i8", 32)):
        tuned(programs, tmp_path, metric, dim)
    assert len(measured) == 3
    assert len(json.loads((tmp_path / FILE_NAME).read_text())["entries"]) == 3


@needs_device
def test_the_key_names_device_and_driver(programs):
    record = programs.device.record
    key = tuning_key(programs, "l2_f32", 128)
    assert record.name in key
    assert record.driver_version in key
    assert key.endswith("l2_f32|d256")


@needs_device
@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": 1, "entries": 3}'])
def test_a_damaged_file_is_set_aside(programs, tmp_path, measured, content):
    path = tmp_path / FILE_NAME
    path.write_text(content)
    assert tuned(programs, tmp_path, "hamming", 32) == TUNING
    assert tuned(programs, tmp_path, "hamming", 32) == TUNING
    assert len(measured) == 1
    assert path.with_suffix(".damaged").read_text() == content


@needs_device
def test_a_damaged_entry_is_measured_again(programs, tmp_path, measured):
    key = tuning_key(programs, "hamming", 32)
    path = tmp_path / FILE_NAME
    path.write_text(json.dumps({"format": 1, "entries": {key: [{"variant": {"rows": 0}}]}}))
    assert tuned(programs, tmp_path, "hamming", 32) == TUNING
    assert len(measured) == 1


@needs_device
def test_a_file_of_another_format_is_replaced(programs, tmp_path, measured):
    (tmp_path / FILE_NAME).write_text('{"format": 99}')
    assert tuned(programs, tmp_path, "hamming", 32) == TUNING
    assert tuned(programs, tmp_path, "hamming", 32) == TUNING
    assert len(measured) == 1


@needs_device
def test_a_folder_that_cannot_be_written_only_costs_time(programs, tmp_path, measured):
    blocked = tmp_path / "file"
    blocked.touch()
    assert tuned(programs, blocked, "hamming", 32) == TUNING


@needs_device
def test_measuring_takes_seconds_and_keeps_one_layout(device, tmp_path):
    start_s = time.monotonic()
    tuning = measure(ProgramCache(device, tmp_path), "l2_i8", 64)
    assert time.monotonic() - start_s < 30  # about 2 s on an idle machine
    assert len({cost.variant.layout for cost in tuning.costs}) == 1
    assert all(cost.tile_s > 0 for cost in tuning.costs)


@needs_device
def test_no_variant_that_builds_is_an_error_with_the_log(device, tmp_path, monkeypatch):
    monkeypatch.setattr(autotune, "kernel_source", lambda: "__kernel void broken(")
    with pytest.raises(errors.CompileError) as caught:
        measure(ProgramCache(device, tmp_path), "hamming", 32)
    assert caught.value.log

"""The matcher equals exact numpy, on every OpenCL device present."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_fpga.matcher import Matcher
from deepseek_fpga.opening import OpenDevice, open_device
from deepseek_fpga.packing import DTYPES
from deepseek_fpga.platforms import list_devices
from deepseek_fpga.program_cache import ProgramCache
from deepseek_fpga.variants import METRICS, Variant, candidates, default_variant, kernel_source

DEVICES = [record.id for record in list_devices().devices]
NO_DEVICE = pytest.mark.skipif(not DEVICES, reason=str(list_devices().remedy))
EMULATORS = [name for name in DEVICES if "fpga-emulator" in name]
NO_EMULATOR = (
    "Intel's FPGA emulator is not visible: pip install intel-opencl-rt==2023.2.4 "
    "intel-cmplr-lib-rt==2023.2.4 into a scratch venv V, write V/lib/libintelocl_emu.so into a "
    "file icd/emu.icd, and start the tests with OCL_ICD_VENDORS=$PWD/icd LD_LIBRARY_PATH=V/lib "
    "(pyopencl's own loader honors OCL_ICD_VENDORS, and still finds the PoCL wheel)"
)

pytestmark = NO_DEVICE


@pytest.fixture(scope="module", params=DEVICES)
def device(request) -> Iterator[OpenDevice]:
    opened = open_device(request.param)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def exact(queries, gallery, metric, k):
    """Sort by distance, ties by index; float rows must hold small integers to be exact."""
    if metric == "hamming":
        bits = [np.unpackbits(x, axis=1).astype(np.float64) for x in (queries, gallery)]
        queries, gallery = bits
    q, g = queries.astype(np.float64), gallery.astype(np.float64)
    all_pairs = (q * q).sum(1)[:, None] + (g * g).sum(1) - 2 * (q @ g.T)
    indices = np.argsort(all_pairs, axis=1, kind="stable")[:, :k]
    return indices, np.take_along_axis(all_pairs, indices, 1)


def random_rows(rng, count, dim, metric, spread):
    """Rows of small integers, so that ties are many and float sums exact."""
    if metric == "hamming":
        return rng.integers(0, spread, (count, dim)).astype(np.uint8)
    low = min(spread // 2, 128)
    return rng.integers(-low, max(low, 1), (count, dim)).astype(DTYPES[metric])


@cache
def building_variants(device, metric, folder) -> tuple[Variant, ...]:
    """The candidates that this device's compiler takes."""
    programs, found = ProgramCache(device, folder), []
    for variant in candidates(device.record, metric):
        try:
            programs.build(kernel_source(), variant.options)
        except errors.CompileError:
            assert variant.words == "i8x4"  # the only one that may be refused
        else:
            found.append(variant)
    return tuple(found)


def assert_exact(device, folder, variant, queries, gallery, k, threads=None):
    with Matcher(
        device, gallery, metric=variant.metric, k=k, cache_folder=folder, variant=variant,
        threads=threads,
    ) as matcher:  # fmt: skip
        indices, distances = matcher.query(queries)
    expected, expected_distances = exact(queries, gallery, variant.metric, k)
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(distances, expected_distances)
    np.testing.assert_array_equal(indices, expected)


@pytest.mark.parametrize("metric", METRICS)
def test_random_shapes_equal_numpy(device, folder, metric):
    variants = building_variants(device, metric, folder)

    @settings(
        max_examples=200, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(
        variant=st.sampled_from(variants),
        count=st.integers(1, 900),
        dim=st.integers(1, 140),
        batch=st.integers(1, 40),
        k=st.integers(1, 16),
        threads=st.sampled_from((1, 2, 5)),
        spread=st.sampled_from((2, 5, 256)),
        seed=st.integers(0, 2**32 - 1),
    )
    def check(variant, count, dim, batch, k, threads, spread, seed):
        rng = np.random.default_rng(seed)
        gallery = random_rows(rng, count, dim, metric, spread)
        queries = random_rows(rng, batch, dim, metric, spread)
        assert_exact(device, folder, variant, queries, gallery, min(k, count), threads)

    check()


@pytest.mark.parametrize("metric", METRICS)
def test_the_longest_rows_equal_numpy(device, folder, metric):
    rng = np.random.default_rng(1)
    spread = 256 if metric != "l2_f32" else 64
    gallery = random_rows(rng, 700, 2048, metric, spread)
    queries = random_rows(rng, 9, 2048, metric, spread)
    for variant in building_variants(device, metric, folder):
        assert_exact(device, folder, variant, queries, gallery, 5)


@pytest.mark.parametrize("value", [-128, 127])
def test_int8_extremes_do_not_overflow(device, folder, value):
    gallery = np.full((40, 2048), -128, np.int8)
    gallery[7] = 127
    queries = np.full((3, 2048), value, np.int8)
    for variant in building_variants(device, "l2_i8", folder):
        assert_exact(device, folder, variant, queries, gallery, 16)


def test_real_valued_rows_are_right_up_to_rounding(device, folder):
    rng = np.random.default_rng(2)
    gallery = rng.standard_normal((3000, 96), dtype=np.float32)
    queries = np.concatenate([gallery[:20], rng.standard_normal((30, 96), dtype=np.float32)])
    variant = default_variant(device.record, "l2_f32")
    with Matcher(
        device, gallery, metric="l2_f32", k=4, cache_folder=folder, variant=variant
    ) as matcher:
        indices, distances = matcher.query(queries)
    expected, expected_distances = exact(queries, gallery, "l2_f32", 4)
    scale = float((gallery.astype(np.float64) ** 2).sum(1).max())
    assert (distances >= 0).all()
    assert (np.diff(distances, axis=1) >= 0).all()
    np.testing.assert_allclose(distances, expected_distances, atol=1e-6 * scale, rtol=1e-5)
    np.testing.assert_array_equal(indices[:20, 0], np.arange(20))
    assert (indices == expected).mean() > 0.99


def test_a_tuned_matcher_serves_all_batch_sizes(device, folder):
    rng = np.random.default_rng(3)
    gallery = random_rows(rng, 2000, 64, "l2_i8", 256)
    with Matcher(device, gallery, metric="l2_i8", k=3, cache_folder=folder) as matcher:
        for batch in (1, 2, 5, 33, 200, 1024, 7, 0):
            queries = random_rows(rng, batch, 64, "l2_i8", 256)
            indices, distances = matcher.query(queries)
            assert indices.shape == distances.shape == (batch, 3)
            np.testing.assert_array_equal(indices, exact(queries, gallery, "l2_i8", 3)[0])


def test_threads_may_share_a_matcher(device, folder):
    rng = np.random.default_rng(4)
    gallery = random_rows(rng, 500, 32, "hamming", 256)
    batches = [random_rows(rng, n, 32, "hamming", 256) for n in (1, 9, 17, 40)]
    variant = default_variant(device.record, "hamming")
    with Matcher(
        device, gallery, metric="hamming", k=2, cache_folder=folder, variant=variant
    ) as matcher:
        wrong: list[int] = []

        def work(batch):
            for _ in range(10):
                if (matcher.query(batch)[0] != exact(batch, gallery, "hamming", 2)[0]).any():
                    wrong.append(len(batch))

        threads = [threading.Thread(target=work, args=(batch,)) for batch in batches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_arrays_need_not_be_contiguous(device, folder):
    rng = np.random.default_rng(5)
    gallery = random_rows(rng, 60, 400, "l2_i8", 256)[::2, ::2]
    queries = np.asfortranarray(random_rows(rng, 10, 200, "l2_i8", 256))
    assert_exact(device, folder, default_variant(device.record, "l2_i8"), queries, gallery, 3)


@pytest.mark.parametrize("metric", METRICS)
def test_the_single_work_item_form_equals_numpy(device, folder, metric):
    rng = np.random.default_rng(6)
    variant = default_variant(device.record, metric, form="single")
    gallery = random_rows(rng, 150, 24, metric, 9)
    assert_exact(device, folder, variant, random_rows(rng, 11, 24, metric, 9), gallery, 4)


@pytest.mark.emulator
@pytest.mark.skipif(not EMULATORS, reason=NO_EMULATOR)
@pytest.mark.parametrize("metric", METRICS)
def test_three_kernels_on_channels_equal_numpy(folder, metric):
    rng = np.random.default_rng(7)
    opened = open_device(EMULATORS[0])
    variant = default_variant(opened.record, metric, form="channels")
    gallery = random_rows(rng, 50, 12, metric, 9)  # small: three kernels spin on the cores
    assert_exact(opened, folder, variant, random_rows(rng, 9, 12, metric, 9), gallery, 4)
    opened.close()


def test_close_is_final_and_may_be_repeated(device, folder):
    gallery = np.zeros((4, 8), np.uint8)
    variant = default_variant(device.record, "hamming")
    matcher = Matcher(device, gallery, metric="hamming", k=1, cache_folder=folder, variant=variant)
    matcher.warmup(3)
    matcher.close()
    matcher.close()
    with pytest.raises(errors.DeviceClosed, match="closed"):
        matcher.query(gallery)


def test_what_does_not_fit_is_refused_by_name(device, folder):
    gallery = np.zeros((4, 8), np.float32)

    def make(rows=gallery, metric="l2_f32", k=1, **more):
        return Matcher(device, rows, metric=metric, k=k, cache_folder=folder, **more)

    with pytest.raises(errors.InputError, match="cosine"):
        make(metric="cosine")
    with pytest.raises(errors.TensorMismatch, match="expected int8"):
        make(metric="l2_i8")
    for k in (0, 17):
        with pytest.raises(errors.InputError, match=f"k is {k}"):
            make(k=k)
    with pytest.raises(errors.InputError, match="4 rows, and needs 5"):
        make(k=5)
    with pytest.raises(errors.InputError, match="finite"):
        make(rows=np.full((4, 8), np.nan, np.float32))
    with pytest.raises(errors.InputError, match="without the variant"):
        make(binary=Path("board.aocx"))
    with make(variant=default_variant(device.record, "l2_f32")) as matcher:
        with pytest.raises(errors.TensorMismatch, match="8 elements"):
            matcher.query(np.zeros((1, 9), np.float32))
        with pytest.raises(errors.TensorMismatch, match="float64"):
            matcher.query(np.zeros((1, 8)))
        with pytest.raises(errors.InputError, match="query row 1"):
            matcher.query(np.array([[0] * 8, [np.inf] * 8], np.float32))

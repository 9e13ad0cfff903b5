"""Both kernels against a plain-Python twin, each other, and pyeclib."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_store.codes import (
    Code,
    Codec,
    choose_kernel,
    isal_kernel,
)
from deepseek_store.codes.field import MULTIPLY, Matrix
from deepseek_store.codes.isal_kernel import IsalKernel
from deepseek_store.codes.kernel import Product, Row
from deepseek_store.codes.matrix import parity_rows
from deepseek_store.codes.numpy_kernel import NumpyKernel

KERNELS = ["numpy", *(["isal"] if choose_kernel.find_kernel().name == "isal" else [])]
both = pytest.mark.parametrize("kernel", KERNELS)


def plain_encode(code: Code, data: Sequence[bytes | None], nbytes: int) -> list[bytes]:
    """Byte after byte, from the definition."""
    padded = [(row or b"").ljust(nbytes, b"\0") for row in data]
    padded += [bytes(nbytes)] * (code.k - len(padded))
    made = []
    for factors in parity_rows(code):
        out = bytearray(nbytes)
        for factor, row in zip(factors, padded, strict=True):
            table = MULTIPLY[factor]
            for at, value in enumerate(row):
                out[at] ^= int(table[value])
        made.append(bytes(out))
    return made


rows = st.lists(st.none() | st.binary(max_size=70), max_size=12)


@both
@settings(max_examples=60)
@given(data=rows, name=st.sampled_from(["RS(12,3)", "LRC(12,2,2)", "LRC(12,5,1)"]))
def test_short_rows_and_none_count_as_zeros(
    kernel: str, data: list[bytes | None], name: str
) -> None:
    code = Code.parse(name)
    made = Codec(code, kernel).encode(data, 70)
    assert [bytes(each) for each in made] == plain_encode(code, data, 70)


@both
@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(0, 300), min_size=12, max_size=12),
    start=st.integers(0, 299),
    width=st.integers(1, 300),
)
def test_any_range_of_columns_is_rebuilt_from_the_same_range(
    kernel: str, seed: int, lengths: list[int], start: int, width: int
) -> None:
    codec = Codec(Code.parse("LRC(12,2,2)"), kernel)
    rng = np.random.default_rng(seed)
    data = [rng.bytes(length) for length in lengths]
    stop = min(300, start + width)
    stripe = [*data, *map(bytes, codec.encode(data, 300))]
    lost = rng.permutation(16)[:3].tolist()
    plan = codec.plan(lost)
    made = codec.rebuild(plan, {i: stripe[i][start:stop] for i in plan.reads}, stop - start)
    for index in lost:
        assert made[index] == stripe[index].ljust(300, b"\0")[start:stop]


@pytest.mark.skipif("isal" not in KERNELS, reason="pyeclib is not installed")
@pytest.mark.parametrize("name", ["replication(3)", "RS(6,3)", "LRC(48,4,3)", "LRC(216,4,8)"])
@pytest.mark.parametrize("nbytes", [0, 1, 31, 4096, 40_001])
def test_both_kernels_give_equal_bytes(name: str, nbytes: int) -> None:
    code, rng = Code.parse(name), np.random.default_rng(nbytes)
    data = [rng.bytes(int(rng.integers(0, nbytes + 1))) for _ in range(code.k)]
    assert Codec(code, "isal").encode(data, nbytes) == Codec(code, "numpy").encode(data, nbytes)


@both
def test_many_blocks_with_rows_that_end_within_them_are_right(kernel: str) -> None:
    codec, nbytes = Codec(Code.parse("RS(4,2)"), kernel), 3_300_001
    rng = np.random.default_rng(4)
    data = [rng.bytes(length) for length in (nbytes, 1_000_000, 786_432, 5)]
    made = codec.encode(data, nbytes)
    for at in (0, 4, 5, 786_431, 786_432, 999_999, 1_000_000, 2_359_296, nbytes - 1):
        column = [row[at : at + 1] for row in data]
        assert [each[at : at + 1] for each in made] == plain_encode(codec.code, column, 1)


@both
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_taken_and_none_is_changed_or_held(kernel: str, kind: type) -> None:
    codec = Codec(Code.parse("RS(3,2)"), kernel)
    data = [kind(bytes([i] * 50)) for i in (3, 4, 5)]
    made = codec.encode(data, 50)
    assert [bytes(row) for row in data] == [bytes([i] * 50) for i in (3, 4, 5)]
    made[0].extend(b"still resizable: no view is left behind")
    if kind is bytearray:
        data[0].extend(b"so is the input")


@both
def test_one_codec_serves_several_threads(kernel: str) -> None:
    codec = Codec(Code.parse("LRC(48,4,3)"), kernel)
    rng = np.random.default_rng(5)
    stripes = [[rng.bytes(5000) for _ in range(48)] for _ in range(4)]
    wanted = [codec.encode(data, 5000) for data in stripes]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(20):
            if codec.encode(stripes[index], 5000) != wanted[index]:
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif("isal" not in KERNELS, reason="pyeclib is not installed")
def test_the_fastest_kernel_is_the_default_and_pyeclib_is_not_imported() -> None:
    (finding,) = choose_kernel.check_kernel()
    assert finding.status == "ok"
    assert "same bytes as numpy" in finding.text
    assert IsalKernel().path.endswith(".so.2")
    program = (
        "import sys; from deepseek_store.codes import Code, Codec; "
        "print(Codec(Code.parse('rs(6,3)'))._kernel.name, 'pyeclib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"isal", b"False"]


def test_an_unknown_kernel_is_refused() -> None:
    with pytest.raises(errors.ConfigError, match="no kernel 'cuda'"):
        Codec(Code.parse("RS(6,3)"), "cuda")


class _WrongInOneByte(NumpyKernel):
    """A kernel with a defect: the last byte of long rows."""

    def prepare(self, matrix: Matrix) -> Product:
        right = super().prepare(matrix)

        def run(rows: Sequence[Row], nbytes: int) -> list[bytearray]:
            made = right(rows, nbytes)
            if nbytes > 4096:
                made[-1][-1] ^= 1
            return made

        return run


def test_a_kernel_with_one_wrong_byte_is_found_out() -> None:
    assert choose_kernel.differs_from_numpy(NumpyKernel()) == ""
    assert "other bytes" in choose_kernel.differs_from_numpy(_WrongInOneByte())


@pytest.mark.skipif(find_spec("pyeclib") is None, reason="pyeclib is not installed")
@pytest.mark.parametrize(("k", "m"), [(6, 3), (10, 4), (14, 4)])
@both
def test_rs_parities_are_those_of_isa_l_rs_cauchy(kernel: str, k: int, m: int) -> None:
    from pyeclib.ec_iface import ECDriver

    driver = ECDriver(k=k, m=m, ec_type="isa_l_rs_cauchy")
    data = np.random.default_rng(6).bytes(k * 1024)
    theirs = [fragment[80:] for fragment in driver.encode(data)]  # 80 bytes of its header
    ours = [data[i * 1024 : (i + 1) * 1024] for i in range(k)]
    assert theirs[:k] == ours
    assert theirs[k:] == Codec(Code.parse(f"rs({k},{m})"), kernel).encode(ours, 1024)


def test_without_a_usable_library_the_reason_names_what_is_wrong_with_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn = tmp_path / "libisal-torn.so.2"
    torn.write_bytes(b"\x7fELF")
    monkeypatch.setattr(isal_kernel, "_candidates", lambda: [str(torn), "libm.so.6"])
    with pytest.raises(errors.ConfigError) as caught:
        IsalKernel()
    assert "libisal-torn.so.2 does not load" in caught.value.message
    assert "libm.so.6 has no ec_init_tables and no ec_encode_data" in caught.value.message
    assert "numpy kernel" in (caught.value.remedy or "")

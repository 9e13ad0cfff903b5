"""What every compressor promises, as tests that a plugin inherits."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import attrs
import numpy as np
import pytest

from deepseek_core.contracts.compressor import Compressor, Packed
from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.stage import Array
from deepseek_core.discovery.registry import Registered
from deepseek_core.testing.subject import load
from deepseek_core.testing.traces import TraceRules

_LONG: Final = 100_000
_HEAD_NBYTES: Final = 1024
_OTHER_DTYPES: Final = ("float16", "float64", "int8", "int32", "int64", "uint8", "bool")


class CompressorConformance(TraceRules):
    """Inherit it as `Test...`, set `plugin` and `name`.

    `arrays` may be replaced by what the compressor is for. `lossy` is the record's by default;
    `deterministic` is false for one that draws at random.
    """

    kind = "compressor"
    lossy: ClassVar[bool | None] = None
    deterministic: ClassVar[bool] = True

    def arrays(self) -> Sequence[Array]:
        """Arrays that it packs: of one dtype, none of them empty."""
        draw = np.random.default_rng(7)
        return [
            draw.standard_normal(1000, np.float32),
            draw.standard_normal((16, 33), np.float32) * 1e-3,
            np.zeros(64, np.float32),
            np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        ]

    def use(self, spec: Registered[Any], folder: Path) -> None:
        """Pack every array and unpack it."""
        compressor = self._make(spec)
        for array in self.arrays():
            compressor.error_bound(array)
            compressor.unpack(compressor.pack(array))

    @pytest.fixture
    def usable(self, spec: Registered[Any]) -> Registered[Any]:
        """The record, of a compressor for arrays."""
        if spec.record.target in ("model", "channels"):
            pytest.skip(f'target = "{spec.record.target}": this contract is for arrays')
        return spec

    def _make(self, spec: Registered[Any]) -> Compressor:
        compressor: Compressor = load(spec, spec.record.factory)()
        return compressor

    def test_the_error_stays_within_its_bound(self, usable: Registered[Any]) -> None:
        """`error_bound` is asked before; a bound of zero asks for equal values."""
        for array in self.arrays():
            compressor = self._make(usable)
            bound = compressor.error_bound(array)
            back = compressor.unpack(compressor.pack(array))
            difference = np.abs(back.astype(np.float64) - array.astype(np.float64))
            assert difference.max(initial=0.0) <= bound

    def test_what_is_not_lossy_bounds_its_error_by_zero(self, usable: Registered[Any]) -> None:
        """A record that is not lossy says so of every array."""
        if usable.record.lossy if self.lossy is None else self.lossy:
            pytest.skip("lossy = True")
        assert all(self._make(usable).error_bound(array) == 0.0 for array in self.arrays())

    def test_dtype_and_shape_come_back(self, usable: Registered[Any]) -> None:
        """In the packed record and in the array."""
        for array in self.arrays():
            compressor = self._make(usable)
            packed = compressor.pack(array)
            assert (packed.dtype, packed.shape) == (array.dtype.name, array.shape)
            back = compressor.unpack(packed)
            assert (back.dtype, back.shape) == (array.dtype, array.shape)

    def test_an_array_may_be_empty(self, usable: Registered[Any]) -> None:
        """No element, with any number of dimensions."""
        dtype = self.arrays()[0].dtype
        for shape in ((0,), (0, 3), (2, 0)):
            compressor = self._make(usable)
            back = compressor.unpack(compressor.pack(np.empty(shape, dtype)))
            assert back.shape == shape

    def test_strided_arrays_are_read_and_not_written(self, usable: Registered[Any]) -> None:
        """A read-only view with gaps packs like its copy."""
        for array in self.arrays():
            view = np.repeat(array, 2, axis=-1)[..., ::2]
            view.flags.writeable = False
            one, other = self._make(usable), self._make(usable)
            bound = one.error_bound(array)
            error = one.unpack(one.pack(view)) - other.unpack(other.pack(array.copy()))
            assert np.abs(error).max(initial=0.0) <= 2 * bound

    def test_the_given_array_stays_as_it_was(self, usable: Registered[Any]) -> None:
        """One that could be written to is not, and may be changed as soon as `pack` is back."""
        for array in self.arrays():
            compressor, given = self._make(usable), array.copy()
            packed = compressor.pack(given)
            assert given.tobytes() == array.tobytes(), "it wrote to the array"
            before = compressor.unpack(packed)
            given[...] = 0
            np.testing.assert_array_equal(compressor.unpack(packed), before)

    def test_another_one_unpacks_it(self, usable: Registered[Any]) -> None:
        """A receiver has not packed the data; it unpacks the same."""
        for array in self.arrays():
            packer, receiver = self._make(usable), self._make(usable)
            packed = packer.pack(array)
            expected = packer.unpack(packed)
            for _ in range(2):
                np.testing.assert_array_equal(receiver.unpack(packed), expected)

    def test_an_unpacked_array_is_the_callers(self, usable: Registered[Any]) -> None:
        """Neither later calls nor its caller's writing to it change what others get."""
        first, second = self.arrays()[0], self.arrays()[0][::-1].copy()
        compressor = self._make(usable)
        packed, other = compressor.pack(first), compressor.pack(second)
        kept = compressor.unpack(packed)
        expected = kept.copy()
        compressor.unpack(other)
        np.testing.assert_array_equal(kept, expected)
        if kept.flags.writeable:
            kept[...] = 0
        np.testing.assert_array_equal(compressor.unpack(packed), expected)

    def test_large_and_tiny_values_keep_the_bound(self, usable: Registered[Any]) -> None:
        """The ends of what a dtype holds: within the bound, or refused as `InputError`."""
        dtype = self.arrays()[0].dtype
        if dtype.kind != "f":
            pytest.skip("not applicable: its arrays are not of floats")
        ends = np.finfo(dtype)
        for value in (ends.max, ends.min, ends.tiny, ends.smallest_subnormal, -0.0):
            array, compressor = np.full(16, value, dtype), self._make(usable)
            try:
                bound = compressor.error_bound(array)
                back = compressor.unpack(compressor.pack(array))
            except InputError:
                continue
            assert not np.isnan(bound), f"of {value} it bounds the error by nan"
            with np.errstate(all="ignore"):
                difference = np.abs(back.astype(np.longdouble) - array.astype(np.longdouble))
            assert difference.max() <= bound, f"{value} comes back as {back[0]}"

    def test_it_makes_no_array_larger(self, usable: Registered[Any]) -> None:
        """Many equal values do not grow: what compresses gains there; a header is free."""
        array = np.zeros(_LONG, self.arrays()[0].dtype)
        assert self._make(usable).pack(array).nbytes <= array.nbytes + _HEAD_NBYTES

    def test_other_dtypes_work_or_are_refused(self, usable: Registered[Any]) -> None:
        """An array comes back with its dtype, or `InputError` says that it does not fit."""
        for dtype in _OTHER_DTYPES:
            array, compressor = np.ones(8, dtype), self._make(usable)
            try:
                packed = compressor.pack(array)
            except InputError:
                continue
            assert compressor.unpack(packed).dtype == array.dtype, dtype

    def test_damaged_data_is_refused(self, usable: Registered[Any]) -> None:
        """Cut off, emptied or foreign bytes are an `InputError`, never an array."""
        for array in self.arrays():
            compressor = self._make(usable)
            packed = compressor.pack(array)
            for data in _damaged(packed):
                with pytest.raises(InputError):
                    compressor.unpack(attrs.evolve(packed, data=data))

    def test_its_state_survives_a_checkpoint(self, usable: Registered[Any]) -> None:
        """A compressor that loads a state continues exactly as the one it was taken from."""
        if not self.deterministic:
            pytest.skip("deterministic = False")
        array = self.arrays()[0]
        old, new = self._make(usable), self._make(usable)
        old.pack(array)
        state = old.state_dict()
        saved = copy.deepcopy(dict(state))
        expected = [old.pack(array).data for _ in range(3)]
        new.load_state_dict(saved)
        assert [new.pack(array).data for _ in range(3)] == expected

    def test_a_state_is_a_snapshot(self, usable: Registered[Any]) -> None:
        """Packing on does not change a state that was taken before."""
        compressor, array = self._make(usable), self.arrays()[0]
        compressor.pack(array)
        state = compressor.state_dict()
        before = repr(copy.deepcopy(dict(state)))
        compressor.pack(array * 2)
        assert repr(dict(state)) == before

    def test_equal_arrays_give_equal_bytes(self, usable: Registered[Any]) -> None:
        """On two of them that were made alike."""
        if not self.deterministic:
            pytest.skip("deterministic = False")
        for array in self.arrays():
            one, other = self._make(usable), self._make(usable)
            assert one.pack(array).data == other.pack(array.copy()).data


def _damaged(packed: Packed) -> list[bytes]:
    return [packed.data[:-1], b"", b"not of this compressor, and of no length that it writes"]

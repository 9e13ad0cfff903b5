"""A stage in an ONNX Runtime session: run it, bind it, submit it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepseek_core import BoundCall, Executable, Job, Stage, TensorSpec, errors
from deepseek_onnx.faults import FAULTS, run_error
from deepseek_onnx.ort import ort
from deepseek_onnx.sessions import Opened
from deepseek_onnx.values import EXOTIC, from_ort, to_host, to_ort

Array = NDArray[Any]


class OnnxExecutable(Executable):
    """One session; `run` is safe from any number of threads (it frees the GIL).

    Outputs are new arrays. Inputs may have any strides and any number of elements; dtypes of
    `ml_dtypes` (bfloat16, float8, int4) take a slower path.
    """

    def __init__(self, stage: Stage, device_id: str, opened: Opened, slots: int) -> None:
        self.stage, self.device_id = stage, device_id
        self._session: ort.InferenceSession | None = opened.session
        self._keep = opened.keep
        self._names = [output.name for output in opened.session.get_outputs()]
        self._call: Callable[[list[str], Any], list[Any]] = _caller(opened.session)
        self._slots = slots
        self._pool: ThreadPoolExecutor | None = None
        self._bound: weakref.WeakSet[OnnxBoundCall] = weakref.WeakSet()
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run one batch.

        Raises:
            TensorMismatch: an input is missing, unknown, or of another dtype or shape.
            OutOfMemory: use a smaller batch.
            DeviceError: an operator failed; its own words are in the message.
            DeviceClosed: after `close`.
        """
        # Nothing but the call: what can be wrong with the inputs is looked up once it failed.
        # Only foreign byte order must be seen before, since the session would misread it.
        try:
            for value in inputs.values():
                if not value.dtype.isnative:
                    raise TypeError("an array has a foreign byte order")
            return dict(zip(self._names, self._call(self._names, inputs), strict=True))
        except FAULTS as error:
            return self._second_try(error, inputs)

    def _second_try(self, error: BaseException, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Run once more if an input was a tensor but no plain array; explain the error if not."""
        plain = {name: _plain(value) for name, value in inputs.items()}
        changed = any(plain[name] is not inputs[name] for name in plain)
        try:
            # No dtype at all: a sequence, which only the session can judge.
            if changed or isinstance(error, AttributeError):
                return dict(zip(self._names, self._call(self._names, plain), strict=True))
        except FAULTS as again:
            error = again
        raise run_error(error, self.stage, plain, self.device_id) from error

    def warmup(self, batch: int) -> None:
        """Run once on zeros, which makes ONNX Runtime allocate for this batch size."""
        zeros = {
            spec.name: np.zeros(spec.bound({"batch": batch}), _numpy_dtype(spec.dtype))
            for spec in self.stage.inputs
        }
        # Zeros may be no valid values for an operator; the real run will tell.
        try:
            self._call(self._names, zeros)
        except FAULTS:
            return

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> BoundCall:
        """A call on fixed arrays through an IO binding; one thread at a time may use it.

        Raises:
            TensorMismatch: an array is missing, or of another dtype or shape.
            InputError: an array is not C-contiguous, or an output can't be written to.
            DeviceClosed: after `close`.
        """
        with self._lock:
            if self._session is None:
                raise self._closed()
            _check_arrays(self.stage.inputs, inputs, self.stage.outputs, outputs)
            call = OnnxBoundCall(self, self._session, inputs, outputs)
            self._bound.add(call)
        return call

    def submit(self, inputs: Mapping[str, Array]) -> Job:
        """Start a run on one of as many threads as the device has slots.

        Raises:
            DeviceClosed: after `close`.
        """
        job = Job(lambda: self.run(inputs))
        with self._lock:
            if self._session is None:
                raise self._closed()
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._slots, f"{self.device_id}-job")
            self._pool.submit(job.execute)
        return job

    def close(self) -> None:
        """Free the session; runs under way end, later ones and waiting jobs raise."""
        with self._lock:
            if self._session is None:
                return
            self._session, self._call, self._keep = None, self._refuse, ()
            for call in list(self._bound):
                call.close()
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    def _refuse(self, *_arguments: object) -> Any:
        raise self._closed()

    def _closed(self) -> errors.DeviceClosed:
        return errors.DeviceClosed(
            f"stage {self.stage.name!r} on {self.device_id} is closed",
            device_id=self.device_id,
            remedy="load it again",
        )


class OnnxBoundCall(BoundCall):
    """Arrays bound once; a call only runs the session on them."""

    def __init__(
        self,
        owner: OnnxExecutable,
        session: ort.InferenceSession,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
    ) -> None:
        self.outputs = dict(outputs)
        self._inputs, self._owner = dict(inputs), owner
        binding = session.io_binding()
        # OrtValues alias the arrays; holding both keeps the memory alive.
        self._values = [
            *(_bind(binding.bind_ortvalue_input, item) for item in self._inputs.items()),
            *(_bind(binding.bind_ortvalue_output, item) for item in self.outputs.items()),
        ]
        for name in owner._names:
            if name not in self.outputs:
                binding.bind_output(name)
        self._binding, self._run = binding, session.run_with_iobinding

    def __call__(self) -> None:
        """Run once.

        Raises:
            DeviceError: an operator failed.
            DeviceClosed: the executable was closed.
        """
        try:
            self._run(self._binding)
        except FAULTS as error:
            raise run_error(
                error, self._owner.stage, self._inputs, self._owner.device_id
            ) from error

    def close(self) -> None:
        """Give the session back; later calls raise `DeviceClosed`."""
        self._run, self._binding, self._values = self._owner._refuse, None, []


def _caller(session: ort.InferenceSession) -> Callable[[list[str], Any], list[Any]]:
    types = {value.name: value.type for value in session.get_inputs()}
    given = [*types.values(), *(value.type for value in session.get_outputs())]
    if not any(text in EXOTIC for text in given):
        run: Callable[[list[str], Any], list[Any]] = session.run
        return run

    def run_exotic(names: list[str], inputs: Mapping[str, Any]) -> list[Any]:
        feed = {name: to_ort(value, types.get(name, "")) for name, value in inputs.items()}
        return [from_ort(value) for value in session.run_with_ort_values(names, feed)]

    return run_exotic


def _plain(value: Any) -> Any:
    """A tensor as numpy in native byte order; what is no tensor stays as it is."""
    try:
        array = to_host(value)
    except errors.InputError:
        return value
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _numpy_dtype(dtype: str) -> np.dtype[Any]:
    exotic = {row.name: row.dtype for row in EXOTIC.values()}
    return exotic.get(dtype) or np.dtype("object" if dtype == "string" else dtype)


def _bind(bind: Callable[[str, ort.OrtValue], None], item: tuple[str, Array]) -> ort.OrtValue:
    name, array = item
    value = ort.OrtValue.ortvalue_from_numpy(array)
    bind(name, value)
    return value


def _check_arrays(
    input_specs: tuple[TensorSpec, ...],
    inputs: Mapping[str, Array],
    output_specs: tuple[TensorSpec, ...],
    outputs: Mapping[str, Array],
) -> None:
    symbols: dict[str, int] = {}
    for spec in input_specs:
        if spec.name not in inputs:
            raise errors.TensorMismatch(f"bind: input {spec.name!r} is missing")
    known = {spec.name: spec for spec in (*input_specs, *output_specs)}
    for name, array in (*inputs.items(), *outputs.items()):
        if name not in known:
            raise errors.TensorMismatch(f"bind: the stage has no tensor {name!r}")
        known[name].bind(array, symbols)
        _check_memory(name, array, written=name in outputs)


def _check_memory(name: str, array: Array, *, written: bool) -> None:
    if array.dtype.hasobject or str(array.dtype) in {row.name for row in EXOTIC.values()}:
        reason = f"has dtype {array.dtype}, which can't be bound"
    elif not array.flags.c_contiguous:
        reason = "is not C-contiguous"
    elif written and not array.flags.writeable:
        reason = "is read-only"
    else:
        return
    raise errors.InputError(
        f"bind: the array for {name!r} {reason}",
        remedy="pass a C-contiguous numpy array (np.ascontiguousarray), or use run",
    )

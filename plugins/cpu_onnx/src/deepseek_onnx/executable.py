"""A stage in an ONNX Runtime session: run it, bind it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping
from copy import deepcopy
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deepseek_core import (
    BoundCall,
    Executable,
    HostTensor,
    Stage,
    TensorSpec,
    as_array,
    errors,
)
from deepseek_onnx.data_files import Watch
from deepseek_onnx.dtypes import NOT_OF_NUMPY
from deepseek_onnx.ort import ort
from deepseek_onnx.sessions import Opened
from deepseek_onnx.values import exotic, from_ort, nested, to_host, to_ort
from deepseek_onnx.vendor_errors import FAULTS, mismatch, run_error

Array = NDArray[Any]
_ARRAY: Final = np.ndarray


class OnnxExecutable(Executable):
    """One session; `run` is safe from any number of threads (it frees the GIL).

    Outputs are new arrays, or lists where the model gives sequences. Inputs may have any strides
    and any number of elements; strings and dtypes of `ml_dtypes` take a slower path.
    """

    checks_inputs = True

    def __init__(self, stage: Stage, device_id: str, opened: Opened) -> None:
        self.stage, self.device_id = stage, device_id
        self._session: ort.InferenceSession | None = opened.session
        # Held for as long as it is used: by it others who load the stage find the session.
        self._opened: Opened | None = opened
        # `_fed`: constants that the session takes as inputs
        self._fed, self._watch = opened.fed, opened.watch
        self._names = [output.name for output in opened.session.get_outputs()]
        # the session's `run`, guarded and watched
        self._call = self._guarded(_watched(_caller(opened.session), opened.watch))
        # whether inputs can go to the session as they are
        self._is_plain = all(_is_plain(spec) for spec in stage.inputs) and not opened.fed
        self._bound: weakref.WeakSet[OnnxBoundCall] = weakref.WeakSet()  # closed with it
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run one batch.

        Raises:
            TensorMismatch: an input is missing, unknown, or of another dtype or shape.
            OutOfMemory: use a smaller batch.
            ArtifactError: a file that the session has mapped was changed in place.
            DeviceError: an operator failed; its own words are in the message.
            DeviceClosed: after `close`.
        """
        if not self._is_plain or type(inputs) is not dict:
            return self._run_converted(inputs)
        # Nothing but the call: what can be wrong with the inputs is looked up once it failed.
        # Only what the session would misread must be seen before.
        try:
            for value in inputs.values():
                if type(value) is not _ARRAY or not value.dtype.isnative:
                    return self._run_converted(inputs)
            return dict(zip(self._names, self._call(self._names, inputs), strict=True))
        except errors.DeepSeekError:
            raise
        except FAULTS as error:
            raise self._failed(error, inputs) from error

    def _run_converted(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run on what is not a plain array of numbers yet."""
        found = mismatch(self.stage, inputs)
        if found is not None:
            raise found
        fed = {**self._fed, **{s.name: _fed(s, inputs[s.name]) for s in self._given(inputs)}}
        try:
            return dict(zip(self._names, self._call(self._names, fed), strict=True))
        except errors.DeepSeekError:
            raise
        except FAULTS as error:
            raise self._failed(error, inputs) from error

    def _failed(self, error: BaseException, inputs: Mapping[str, Any]) -> errors.DeepSeekError:
        """Why a run failed."""
        return run_error(error, self.stage, inputs, self.device_id)

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, after a look at what it is given, its second argument."""
        return call

    def _given(self, inputs: Mapping[str, Any]) -> list[TensorSpec]:
        return [spec for spec in self.stage.inputs if spec.name in inputs]

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> BoundCall:
        """A call on fixed arrays through an IO binding; one thread at a time may use it.

        Raises:
            TensorMismatch: an array is missing, or of another dtype or shape.
            InputError: an array is not C-contiguous, or an output can't be written to.
            DeviceClosed: after `close`.
        """
        with self._lock:
            session = self._session_for(inputs, outputs)
            call = OnnxBoundCall(self, session, {**self._fed, **inputs}, outputs)
            self._bound.add(call)
        return call

    def _session_for(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
    ) -> ort.InferenceSession:
        """The session, if these arrays can be bound to it."""
        if self._session is None:
            raise self._closed()
        _check_arrays(self.stage.inputs, inputs, self.stage.outputs, outputs)
        return self._session

    def close(self) -> None:
        """Free the session; runs under way end, later ones raise."""
        with self._lock:
            if self._session is None:
                return
            self._session, self._call, self._opened = None, self._refuse, None
            for call in list(self._bound):
                call.close()

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
        self._binding = binding
        self._run = _watched(session.run_with_iobinding, owner._watch)

    def __call__(self) -> None:
        """Run once.

        Raises:
            DeviceError: an operator failed.
            DeviceClosed: the executable was closed.
        """
        try:
            self._run(self._binding)
        except errors.DeepSeekError:
            raise
        except FAULTS as error:
            raise self._owner._failed(error, self._inputs) from error

    def close(self) -> None:
        """Give the session back; later calls raise `DeviceClosed`."""
        self._run, self._binding, self._values = self._owner._refuse, None, []


def _caller(session: ort.InferenceSession) -> Callable[[list[str], Any], list[Any]]:
    types = {value.name: value.type for value in session.get_inputs()}
    made = {value.name: value.type for value in session.get_outputs()}
    if not any(map(exotic, (*types.values(), *made.values()))):
        run: Callable[[list[str], Any], list[Any]] = session.run
        return run if types.keys().isdisjoint(made) else _copying(run, types.keys())

    def run_exotic(names: list[str], inputs: Mapping[str, Any]) -> list[Any]:
        feed = {name: to_ort(value, types.get(name, "")) for name, value in inputs.items()}
        return [from_ort(value) for value in session.run_with_ort_values(names, feed)]

    return run_exotic


def _copying(run: Callable[..., Any], given: Collection[str]) -> Callable[..., Any]:
    """A run whose outputs are the caller's: before 1.24 one that is an input was its memory."""

    def copied(names: list[str], inputs: Mapping[str, Any]) -> list[Any]:
        outputs = zip(names, run(names, inputs), strict=True)
        return [deepcopy(value) if name in given else value for name, value in outputs]

    return copied


def _watched(call: Callable[..., Any], watch: Watch | None) -> Callable[..., Any]:
    """The call, after a look at the files that it may read."""
    if watch is None:
        return call

    def checked(*arguments: Any) -> Any:
        watch.check()
        return call(*arguments)

    return checked


def _is_plain(spec: TensorSpec) -> bool:
    """Whether an input is of numbers that the session takes as numpy has them."""
    return not spec.container and spec.dtype != "string"


def _fed(spec: TensorSpec, value: Any) -> Any:
    """What was passed as the session takes it; it fits, as was seen before."""
    if spec.container:
        return nested(value)
    found = as_array(spec, value)
    return to_host(found) if isinstance(found, HostTensor) else found


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
    sizes: dict[str, int] = {}
    for given in (inputs, outputs):
        if not isinstance(given, Mapping):
            raise errors.TensorMismatch(
                f"bind: arrays are given by name; given a {type(given).__name__}"
            )
    for spec in input_specs:
        if spec.name not in inputs:
            raise errors.TensorMismatch(f"bind: input {spec.name!r} is missing")
    known = {spec.name: spec for spec in (*input_specs, *output_specs)}
    for name, array in (*inputs.items(), *outputs.items()):
        if name not in known:
            raise errors.TensorMismatch(f"bind: the stage has no tensor {name!r}")
        if not isinstance(array, np.ndarray):
            raise errors.TensorMismatch(
                f"bind: {known[name]}: given a {type(array).__name__}", remedy="pass a numpy array"
            )
        known[name].check(array)
        _check_sizes(known[name], array, sizes)
        _check_memory(name, array, written=name in outputs)


def _check_sizes(spec: TensorSpec, array: Array, sizes: dict[str, int]) -> None:
    """Bound arrays stay what they are: here one symbol must be one size."""
    wanted = [sizes.setdefault(d, n) if isinstance(d, str) else d for d, n in _dims(spec, array)]
    if wanted != list(array.shape[: len(wanted)]):
        raise errors.TensorMismatch(
            f"bind: tensor {spec.name!r}: expected {spec.dtype} {wanted}, "
            f"given {array.dtype} {list(array.shape)}",
            remedy="bind arrays whose sizes agree",
        )


def _dims(spec: TensorSpec, array: Array) -> Iterable[tuple[int | str, int]]:
    return zip(spec.shape or (), array.shape, strict=False)


def _check_memory(name: str, array: Array, *, written: bool) -> None:
    if array.dtype.hasobject or str(array.dtype) in NOT_OF_NUMPY:
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

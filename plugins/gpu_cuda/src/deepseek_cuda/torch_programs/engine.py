"""A program as a module on a stream. Imported only where one is opened: it needs torch."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch.export.graph_signature import ConstantArgument, InputKind
from torch.export.passes import move_to_device_pass
from torch.utils import _pytree as pytree

from deepseek_core import errors
from deepseek_cuda.driver.tensors import DeviceTensor, Launched
from deepseek_cuda.torch_programs.archive import Archive, rewritten

_LOST: Final = (
    r"(?i)CUDA error: (?:an illegal memory|unspecified launch|misaligned|device-side assert|unknown"
    r"|the launch timed out|uncorrectable ECC|hardware stack|illegal instruction)"
)


class TorchPlace(Protocol):
    """Where a program runs; the tests have one on the host."""

    device: torch.device

    def on(self, stream: int) -> AbstractContextManager[Any]:
        """Whatever torch launches inside goes on the stream."""

    def view(self, tensor: DeviceTensor) -> torch.Tensor:
        """A tensor of torch over this memory."""


def loaded(archive: Archive, device_id: str) -> torch.export.ExportedProgram:
    """A program on the host, proven to keep no state.

    Raises:
        ArtifactError: torch does not take it.
        Unsupported: it changes its inputs or itself.
    """
    try:
        with _quiet():
            program = torch.export.load(rewritten(archive))
    except Exception as error:  # torch's readers raise what comes
        raise errors.ArtifactError(
            f"torch {torch.__version__} does not load the program: {_line(error)}",
            remedy="export it again with this torch",
        ) from error
    try:
        with _quiet():
            proof = _provable(archive, program).run_decompositions({}).graph_signature
    except Exception as error:  # so do its passes
        raise errors.Unsupported(
            f"{device_id}: torch can't tell whether the program keeps a state: {_line(error)}",
            device_id=device_id,
            remedy="leave out of the model what is named here, or export it again with this torch",
        ) from error
    changed = [*proof.buffers_to_mutate.values(), *proof.user_inputs_to_mutate.values()]
    if changed:
        raise errors.Unsupported(
            f"{device_id}: the program changes {', '.join(changed)}: a run would depend on others",
            device_id=device_id,
            remedy="return the new state as an output, and export it again",
        )
    return program


def _provable(archive: Archive, program: torch.export.ExportedProgram) -> Any:
    """The program, without the ranges of sums and products, on which torch 2.13's pass fails."""
    ranges = archive.program["range_constraints"]
    plain = {name: limits for name, limits in ranges.items() if name.isalnum()}
    if len(plain) == len(ranges):
        return program
    without = {**archive.program, "range_constraints": plain}
    return torch.export.load(rewritten(attrs.evolve(archive, program=without)))


def placed_on(program: torch.export.ExportedProgram, device: torch.device) -> Any:
    """Move the program's module, all that it holds and all that it makes to a device."""
    with _quiet():
        return move_to_device_pass(program, str(device)).module()


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch warns of its own calls of what it deprecates, which is nobody's matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class TorchEngine:
    """A module that is called with tensors over our memory; outputs live while they are held."""

    is_built = False

    def __init__(
        self,
        place: TorchPlace,
        stream: int,
        program: torch.export.ExportedProgram,
        names: tuple[Sequence[str], Sequence[str]],
        device_id: str,
    ) -> None:
        self._place, self._stream, self._device_id = place, stream, device_id
        self._inputs, self._outputs = names
        spec = program.call_spec.in_spec
        assert spec is not None
        self._nesting = spec
        users = (
            spec
            for spec in program.graph_signature.input_specs
            if spec.kind is InputKind.USER_INPUT
        )
        self._arguments = [spec.arg for spec in users]
        with _Translated(device_id, loads=True), torch.no_grad(), place.on(stream):
            self._module = placed_on(program, place.device)

    def placed(self, constants: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """They are inputs of the program like others."""
        return constants

    def launch(self, inputs: Mapping[str, DeviceTensor]) -> Launched:
        """Enqueue a run.

        Raises:
            OutOfMemory, DeviceLost: torch could not run it.
            InputRejected: the program takes no such sizes or values.
        """
        with _Translated(self._device_id), torch.no_grad(), self._place.on(self._stream):
            given = [self._place.view(inputs[name]) for name in self._inputs]
            args, kwargs = pytree.tree_unflatten(self._filled(given), self._nesting)
            made = pytree.tree_leaves(self._module(*args, **kwargs))
            tensors = [_apart(tensor, given) for tensor in made if tensor is not None]
            outputs = dict(zip(self._outputs, map(_described, tensors), strict=True))
        return Launched(outputs, keep=(tensors, given))

    def _filled(self, given: Sequence[torch.Tensor]) -> list[Any]:
        """The inputs in their order, with the values that the export made constants."""
        tensors = iter(given)
        return [
            argument.value if isinstance(argument, ConstantArgument) else next(tensors)
            for argument in self._arguments
        ]

    def release(self) -> None:
        """Release what torch keeps for the next run."""
        if self._place.device.type == "cuda":
            torch.cuda.empty_cache()

    def close(self) -> None:
        """Free the module; nothing of it is on its way."""
        self._module = None
        self.release()


class _Translated:
    """torch's exceptions as errors of the SDK; while it `loads`, no input is at fault."""

    def __init__(self, device_id: str, *, loads: bool = False) -> None:
        self._device_id, self._loads = device_id, loads

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raise the SDK's error for torch's."""
        if isinstance(error, errors.DeepSeekError) or not isinstance(error, Exception):
            return
        text, device_id = f"{self._device_id}: {_line(error)}", self._device_id
        if isinstance(error, torch.OutOfMemoryError | MemoryError):
            raise errors.OutOfMemory(
                text, device_id=device_id, remedy="use a smaller batch"
            ) from error
        if re.search(_LOST, text):
            raise errors.DeviceLost(
                text, device_id=device_id, remedy="nvidia-smi, then start the process again"
            ) from error
        if self._loads:
            raise errors.CompileError(
                f"{device_id}: torch does not place the program: {_line(error)}",
                device_id=device_id,
                log=str(error),
                remedy="export it again with this torch",
            ) from error
        raise errors.InputRejected(
            f"{device_id}: the program failed: {_line(error)}",
            device_id=device_id,
            remedy="check sizes and values of its inputs against those that it was exported for",
        ) from error


def _apart(tensor: torch.Tensor, given: Sequence[torch.Tensor]) -> torch.Tensor:
    """It in C order, and not in the memory of an input, which is used again for the next batch."""
    theirs = {each.untyped_storage().data_ptr() for each in given}
    if tensor.untyped_storage().data_ptr() in theirs:
        return tensor.clone(memory_format=torch.contiguous_format)
    return tensor.contiguous()


def _described(tensor: torch.Tensor) -> DeviceTensor:
    name = str(tensor.dtype).removeprefix("torch.")
    return DeviceTensor(tensor.data_ptr(), np.dtype(name), tuple(tensor.shape))


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:600]

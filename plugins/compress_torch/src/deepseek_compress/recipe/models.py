"""Models that recipes begin with: a function of the user, a torch.export program, an ONNX file."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core import Artifact, compression, console, errors

_PROGRAMS: Final = (".pt2",)
_COLORS: Final = re.compile("\x1b\\[[0-9;]*m")
_MOST_LINES: Final = 4


@attrs.frozen(kw_only=True, eq=False)
class SourceModel:
    """A model as a recipe names it: the object, its form, and shapes of its inputs by name.

    `student`: what the steps begin with instead, if the recipe names one; of the same inputs.
    """

    name: str
    form: str
    model: Any
    inputs: dict[str, tuple[int, ...]]
    student: Any = None

    @property
    def start(self) -> Any:
        """What the first step is given."""
        return self.model if self.student is None else self.student


def load_model(source: compression.ModelSource, folder: Path) -> SourceModel:
    """The model of a recipe that lies in `folder`.

    Raises:
        ConfigError: the entry can't be imported or called.
        ArtifactError: no such file, or of a format that is not known.
        InputError: what the entry gave is not a model, or the shapes of its inputs are not given.
    """
    if source.entry is not None:
        return _of_entry(source, folder)
    assert source.path is not None
    path = folder / source.path
    if path.suffix in _PROGRAMS:
        return _of_program(path, source)
    artifact = Artifact.from_path(path)
    if artifact.format != "onnx":
        raise errors.ArtifactError(
            f"model.path names {path}, of format {artifact.format!r}",
            remedy="give an ONNX file, a .pt2 program, or an entry that makes the module",
        )
    inputs = dict(source.inputs) or _inputs_of_file(artifact)
    return SourceModel(name=path.stem, form="onnx", model=artifact, inputs=inputs)


def _inputs_of_file(artifact: Artifact) -> dict[str, tuple[int, ...]]:
    """Shapes of the inputs as the file has them, a free batch as 1; empty where more is free.

    Raises:
        ArtifactError: it is not an ONNX file.
    """
    import onnx

    try:
        graph = onnx.load_from_string(artifact.read()).graph
    except Exception as error:  # protobuf's own class depends on its version
        raise errors.ArtifactError(
            f"{artifact.path} is not an ONNX file: {error}", remedy="check model.path"
        ) from error
    weights = {tensor.name for tensor in graph.initializer}
    found = {}
    for value in graph.input:
        sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        known = len(sizes) > 1 and all(size > 0 for size in sizes[1:])
        if value.name not in weights:
            found[value.name] = (max(sizes[0], 1), *sizes[1:]) if known else ()
    return found


def _of_entry(source: compression.ModelSource, folder: Path) -> SourceModel:
    assert source.entry is not None
    made = _module(source.entry, source, folder, "model.entry")
    if not source.inputs:
        raise errors.InputError(
            "the shapes of the model's inputs are not given",
            remedy="add model.input = [1, 3, 224, 224], the batch first",
        )
    name = source.entry.rpartition(":")[2]
    inputs = _named_inputs(made, dict(source.inputs))
    student = None
    if source.student is not None:
        student = _module(source.student, source, folder, "model.student")
        if len(inputs) > 1:  # a lone one needs no name
            inputs = _named_inputs(student, inputs)
    return SourceModel(name=name, form="torch", model=made, inputs=inputs, student=student)


def _module(text: str, source: compression.ModelSource, folder: Path, entry: str) -> Any:
    """The module that an entry of the user's is or returns, in evaluation mode."""
    where = f"{entry} {text}"
    made = _called(console.load_entry(text, folder, where=entry), source, folder, where)
    import torch

    from deepseek_compress.modules import check_module, unwrapped

    if not isinstance(made, torch.nn.Module):
        raise errors.InputError(f"{where} gave a {type(made).__name__}", remedy=_wanted(made))
    return check_module(unwrapped(made)).eval()


def _wanted(made: Any) -> str:
    if isinstance(made, Mapping):
        return "make the module, fill it and return it: net.load_state_dict(weights); return net"
    return "let it return a torch.nn.Module"


def _called(make: Any, source: compression.ModelSource, folder: Path, where: str) -> Any:
    if not callable(make) or (not isinstance(make, type) and hasattr(make, "state_dict")):
        return make  # a module that is made already
    arguments = [] if source.weights is None else [_weights(folder / source.weights)]
    try:
        return make(*arguments)
    except errors.DeepSeekError:
        raise
    except (Exception, SystemExit) as error:
        given = f"with {arguments[0]}" if arguments else "without arguments"
        raise errors.ConfigError(
            f"{where}, called {given}: {_said(error)}", remedy=_remedy(error)
        ) from error


def _weights(path: Path) -> str:
    if not path.is_file():
        raise errors.ArtifactError(f"no such file: {path}", remedy="check model.weights")
    return str(path)


def _said(error: BaseException) -> str:
    """The error's first lines, without the colors of a terminal."""
    lines = _COLORS.sub("", str(error)).strip().splitlines()
    return f"{type(error).__name__}: " + "\n".join(lines[:_MOST_LINES])


def _remedy(error: BaseException) -> str:
    text = str(error)
    if "weights_only" in text:
        return (
            "keep weights alone: torch.save(net.state_dict(), path); of a file that you trust: "
            "torch.load(path, weights_only=False)"
        )
    if '"module.' in text:
        return (
            "the weights are those of a DataParallel: "
            'net.load_state_dict({k.removeprefix("module."): v for k, v in weights.items()})'
        )
    if "Attempting to deserialize object on a CUDA device" in text:
        return 'torch.load(path, map_location="cpu")'
    return "correct the function; model.weights names a file that it is given"


def _named_inputs(model: Any, inputs: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """A lone input goes by the name of the first argument of `forward`.

    Raises:
        InputError: names that `forward` does not have.
    """
    known = [
        name
        for name, parameter in inspect.signature(model.forward).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(inputs) == 1 and known and "input" in inputs and "input" not in known:
        return {known[0]: inputs["input"]}
    foreign = [name for name in inputs if name not in known]
    if foreign and known:
        raise errors.InputError(
            f"the model has no input {foreign[0]!r}", remedy=f"its inputs: {', '.join(known)}"
        )
    return {name: inputs[name] for name in sorted(inputs, key=known.index)} if known else inputs


def _of_program(path: Path, source: compression.ModelSource) -> SourceModel:
    if not path.is_file():
        raise errors.ArtifactError(f"no such file: {path}", remedy="check model.path")
    import torch

    try:
        program = torch.export.load(path)
    except Exception as error:
        raise errors.ArtifactError(
            f"{path} is no torch.export program: {error}",
            remedy="write it with torch.export.save",
        ) from error
    module = program.module()
    shapes = dict(source.inputs) or _shapes_of(program)
    return SourceModel(name=path.stem, form="torch", model=module, inputs=shapes)


def _shapes_of(program: Any) -> dict[str, tuple[int, ...]]:
    """Input shapes of a program; a symbolic axis counts as 1."""
    values = {
        node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"
    }
    return {
        name: tuple(size if isinstance(size, int) else 1 for size in values[name].shape)
        for name in program.graph_signature.user_inputs
    }

"""The forms that a model takes on its way, and how each is kept in a file."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, Protocol

import attrs

from deepseek_core import Artifact, compression, errors


class Form(Protocol):
    """How models of one form are kept: `save` and `load` are each other's opposite.

    `unseen` says why accuracy and latency of such models are not measured; empty if they are.
    """

    @property
    def suffix(self) -> str:
        """Suffix of the files that a run leaves."""
        ...

    @property
    def unseen(self) -> str:
        """Why none is measured."""
        ...

    def save(self, model: Any, path: Path) -> None:
        """Write what `load` needs."""
        ...

    def load(self, model: Any, path: Path) -> Any:
        """The kept model; `model` has its structure."""
        ...


class TorchForm:
    """Modules, kept as the arrays of their `state_dict`: no code lies in the file."""

    suffix: ClassVar[str] = "pt"
    unseen: ClassVar[str] = ""

    def save(self, model: Any, path: Path) -> None:
        """Write the weights, in torch's own format of plain tensors."""
        import torch

        state = {
            name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
        }
        # Into memory first: on a full disk torch raises what is no OSError.
        content = io.BytesIO()
        torch.save(state, content)
        path.write_bytes(content.getvalue())

    def load(self, model: Any, path: Path) -> Any:
        """Fill a copy of a module of that structure.

        Raises:
            ArtifactError: the file is damaged or of another structure.
        """
        import copy

        import torch

        model = copy.deepcopy(model)  # a step whose structure stays gives the user's own
        try:
            model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
        except Exception as error:
            raise errors.ArtifactError(
                f"{path} does not fit the model: {error}", remedy="run the recipe into a new folder"
            ) from error
        return model


@attrs.frozen(kw_only=True)
class FileForm:
    """Files of one format, kept as they are; `unseen` says why none is measured, if none is."""

    suffix: str
    unseen: str = ""

    def save(self, model: Any, path: Path) -> None:
        """Write the file."""
        path.write_bytes(model.read())

    def load(self, model: Any, path: Path) -> Any:
        """The file as an artifact."""
        return Artifact(format=self.suffix, content=path.read_bytes())


FORMS: Final[Mapping[str, Form]] = MappingProxyType(
    {
        "torch": TorchForm(),
        "onnx": FileForm(suffix="onnx"),
        "engine": FileForm(
            suffix="engine",
            unseen="an engine runs on its own GPU alone, and no device here takes one",
        ),
    }
)


def form_of(name: str) -> Form:
    """The form of that name.

    Raises:
        PluginError: a step gives a form that this runner can't keep.
    """
    if name not in FORMS:
        raise errors.PluginError(
            f"a step gives models of form {name!r}", remedy=f"known forms: {', '.join(FORMS)}"
        )
    return FORMS[name]


def profile_of(
    model: Any, form: str, example: Callable[[int], dict[str, Any]]
) -> compression.ModelProfile:
    """Parameters, multiply-accumulates for one sample, and bytes of a file.

    `example` gives so many samples to run a module on.
    """
    if form == "onnx":
        from deepseek_compress.onnx_graph.profile import onnx_profile

        return onnx_profile(model)
    from deepseek_compress.profile import profile_with
    from deepseek_compress.train.batches import as_tensors

    return profile_with(model, as_tensors(compression.Batch(inputs=example(1)), model).inputs)

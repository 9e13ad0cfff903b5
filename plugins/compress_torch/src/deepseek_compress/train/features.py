"""Layers inside a student and its teacher, compared.

Legend: N samples, C channels (s of the student, t of the teacher), S positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from types import TracebackType
from typing import Any, Self

import torch
from torch.nn import functional

from deepseek_core import errors


class Taps:
    """Notes what named modules give while the block runs: a context, then the outputs by name."""

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        self._model, self._names = model, names
        self._handles: list[Any] = []
        self._given: dict[str, Any] = {}

    def __enter__(self) -> Self:
        for name in self._names:
            part = self._model.get_submodule(name)
            self._handles.append(part.register_forward_hook(self._note(name)))
        return self

    def _note(self, name: str) -> Any:
        def hook(_part: Any, _inputs: Any, output: Any) -> None:
            self._given[name] = output

        return hook

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def __getitem__(self, name: str) -> Any:
        """The output of a module.

        Raises:
            InputError: it did not run, or gave no tensor with channels.
        """
        value = self._given.get(name)
        if not isinstance(value, torch.Tensor) or value.ndim < 2:
            raise errors.InputError(
                f"layer {name!r} gives no tensor of shape [N, C, ...]",
                remedy="name layers that give one, such as the last of a stage",
            )
        return value.float()


class Features:
    """Pairs of layers and how they are compared; `_projections` are trained along."""

    def __init__(self, kind: str, pairs: Sequence[tuple[str, str]]) -> None:
        self.kind = kind
        self.student_layers = tuple(own for own, _ in pairs)
        self.teacher_layers = tuple(theirs for _, theirs in pairs)
        self._projections = torch.nn.ModuleDict()

    def prepare(self, seen: Taps, shown: Taps, seed: int) -> None:
        """Make a projection for each pair, from what both give for a first batch.

        Raises:
            InputError: the two of a pair have other positions.
        """
        generator = torch.Generator().manual_seed(seed)
        for place, (own, theirs) in enumerate(self._pairs()):
            student, teacher = seen[own], shown[theirs]
            if student.shape[2:] != teacher.shape[2:]:
                raise errors.InputError(
                    f"layer {own!r} of the student gives {list(student.shape)}, {theirs!r} of the "
                    f"teacher {list(teacher.shape)}: their positions differ",
                    remedy="pair layers of one resolution: layers = ['student_name=teacher_name']",
                )
            if self.kind == "projection":
                layer = torch.nn.Conv1d(student.shape[1], teacher.shape[1], 1, bias=False)
                with torch.no_grad():
                    spread = student.shape[1] ** -0.5
                    layer.weight.normal_(0.0, spread, generator=generator)
                self._projections[str(place)] = layer.to(student.device)

    def _pairs(self) -> Iterator[tuple[str, str]]:
        return zip(self.student_layers, self.teacher_layers, strict=True)

    def distance(self, seen: Taps, shown: Taps) -> Any:
        """Mean over the pairs."""
        each = [
            self._one(str(place), seen[own], shown[theirs].detach())
            for place, (own, theirs) in enumerate(self._pairs())
        ]
        return sum(each) / len(each)

    def _one(self, place: str, student_ncs: Any, teacher_ncs: Any) -> Any:
        student_ncs, teacher_ncs = (t.flatten(2) if t.ndim > 2 else t[..., None]
                                    for t in (student_ncs, teacher_ncs))  # fmt: skip
        if self.kind == "attention":
            maps = [
                functional.normalize(t.square().mean(1), dim=1) for t in (student_ncs, teacher_ncs)
            ]
            return (maps[0] - maps[1]).square().sum(1).mean()
        # Relative to how strong the teacher's features are, so that one weight fits all layers.
        said = self._projections[place](student_ncs)
        return (said - teacher_ncs).square().mean() / teacher_ncs.square().mean().clamp_min(1e-12)

    def parameters(self) -> Iterator[Any]:
        """Weights of the projections."""
        yield from self._projections.parameters()

    def tensors(self) -> dict[str, Any]:
        """Weights of the projections by name."""
        return dict(self._projections.named_parameters())


def pairs_of(layers: Sequence[str], student: Any, teacher: Any) -> tuple[tuple[str, str], ...]:
    """Names of modules in the student and in the teacher: "name", or "student=teacher".

    Raises:
        ConfigError: a model has no such module; the nearest is named.
    """
    found = []
    for text in layers:
        own, _, theirs = text.partition("=")
        pair = (own.strip(), (theirs or own).strip())
        for name, model, whose in zip(
            pair, (student, teacher), ("student", "teacher"), strict=True
        ):
            known = [known for known, _ in model.named_modules() if known]
            if name not in known:
                close = get_close_matches(name, known, n=1)
                raise errors.ConfigError(
                    f"layers: the {whose} has no module {name!r}",
                    remedy=f"did you mean {close[0]!r}?" if close else f"one of {known[:8]}",
                )
        found.append(pair)
    return tuple(found)

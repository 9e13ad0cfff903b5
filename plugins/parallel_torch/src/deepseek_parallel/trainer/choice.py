"""Which strategy a training was given; nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from deepseek_core import errors, training
from deepseek_parallel.errors import MeshMismatch

PLAIN: Final = "ddp"
"""The strategy that divides nothing."""
AUTO: Final = "auto"
_SERVER: Final = "parameter_server"
_AXES: Final = ("dp", "tp", "pp")


@attrs.frozen(kw_only=True)
class Choice:
    """A strategy that divides the model, by its name and options; `layers` are for pipelines."""

    name: str
    options: Mapping[str, Any] = attrs.field(factory=dict)
    layers: tuple[str, ...] | None = None

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} {value}" for name, value in self.options.items())
        return f"{self.name}: {sizes}" if sizes else self.name

    def refuse_elastic(self) -> None:
        """Refuse ranks that may be lost.

        Raises:
            ConfigError: always.
        """
        raise errors.ConfigError(
            f"the strategy {self.name} divides the model over the ranks, so none of them may be "
            "lost or join",
            remedy="start them by --nproc N or torchrun, or use the strategy ddp",
        )

    def check_world(self, size: int) -> None:
        """Refuse sizes of a mesh, of which some may be left open, that do not fit so many ranks.

        Raises:
            MeshMismatch: they do not.
        """
        given = {axis: self.options[axis] for axis in _AXES if type(self.options.get(axis)) is int}
        needed = 1
        for axis_size in given.values():
            needed *= max(1, axis_size)
        is_whole = len(given) == len(_AXES)
        if size % needed or (is_whole and size != needed):
            listed = " x ".join(f"{axis} {axis_size}" for axis, axis_size in given.items())
            raise MeshMismatch(
                f"{listed} {'are' if is_whole else 'need a multiple of'} {needed} ranks, and there "
                f"{'is one' if size == 1 else f'are {size}'}",
                dimension="world",
                remedy=f"start {needed}: --nproc {needed}, or torchrun --nproc-per-node {needed}",
            )


def choice_of(strategy: Any, options: Any, microbatch: int | None) -> Choice | None:
    """The strategy, if it is not that of plain replicas.

    Raises:
        ConfigError: an unknown one, or options that it does not have.
    """
    given = dict(options or {})
    if "micro" in given:
        raise errors.ConfigError(
            "options have micro, and the trainer has a word of its own for it",
            remedy=f"give microbatch={given['micro']!r}",
        )
    layers = given.pop("layers", None)
    if strategy == PLAIN:
        if given or layers is not None:
            raise errors.ConfigError(
                f"the strategy ddp takes no options, and has {', '.join(options)}",
                remedy='name another one: strategy="hybrid"',
            )
        return None
    if microbatch is not None:
        given["micro"] = microbatch
    if strategy == AUTO:
        if given:
            raise errors.ConfigError(
                f"the strategy auto chooses {', '.join(given)} itself",
                remedy='leave them out (micro is microbatch), or name one: strategy="hybrid"',
            )
    elif strategy == _SERVER:
        raise errors.ConfigError(
            "workers of a parameter server take no step together, as the ranks of a trainer do",
            remedy="use ParameterServer and work_at_server: their page is "
            "howto/train_at_a_parameter_server",
        )
    else:
        training.open_strategy(strategy, given)
    return Choice(name=strategy, options=given, layers=_names(layers))


def _names(layers: Any) -> tuple[str, ...] | None:
    if layers is None:
        return None
    if isinstance(layers, str) or not all(isinstance(name, str) for name in layers):
        raise errors.ConfigError(
            f"layers are {layers!r}", remedy='give names of modules: layers=["embed", "blocks.0"]'
        )
    return tuple(layers)

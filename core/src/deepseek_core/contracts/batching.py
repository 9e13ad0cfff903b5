"""Which axis of a graph's tensors carries the items of a batch, and how that is known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import attrs

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.tensor import TensorSpec

BatchChoice = str | Mapping[str, int] | Literal[False] | None
"""What is declared: a symbol of the model's shapes ("N"), axes by tensor name
({"x": 0, "state": 1}), False for no batch axis; None: nothing, so it is to be proven."""

_NONE = "none"
_AXIS = re.compile(r"(.+)=(-?\d+)", re.DOTALL)


@attrs.frozen(kw_only=True)
class Batching:
    """The batch axis of a graph; `reason` says why there is none.

    `axes` maps names of tensors to their axis, `symbol` is what the file calls it (empty where it
    has no name). Declared by the caller or the file, or proven operator by operator.
    """

    source: Literal["declared", "proven", "none"] = "none"
    symbol: str = ""
    axes: Mapping[str, int] = attrs.field(factory=dict, repr=False)
    reason: str = "nothing says which axis carries the items"

    @classmethod
    def declare(
        cls,
        choice: str | Mapping[str, int] | Literal[False],
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
    ) -> Batching:
        """What a declaration says of these tensors.

        Raises:
            ConfigError: a symbol that no input has, a tensor that is not there, or an axis beyond
                its rank.
        """
        if choice is False:
            return cls(reason="declared so")
        specs = {spec.name: spec for spec in (*inputs, *outputs)}
        if isinstance(choice, str):
            return cls(source="declared", symbol=choice, axes=_of_symbol(choice, inputs, specs))
        if not isinstance(choice, Mapping) or not choice:
            raise ConfigError(
                f"a batch axis is a symbol or a mapping of axes by name; given {choice!r}",
                remedy="say False for none",
            )
        for name, axis in choice.items():
            _check(name, axis, specs)
        return cls(source="declared", axes=dict(choice))

    @staticmethod
    def parse(words: Iterable[str]) -> BatchChoice:
        """What `--batch-axis` and a file's metadata say: `N`, `x=0` `state=1`, or `none`.

        Raises:
            ConfigError: words that contradict each other.
        """
        words = [word.strip() for word in words if word.strip()]
        if not words:
            return None
        pairs = [found.groups() for word in words if (found := _AXIS.fullmatch(word))]
        if len(pairs) == len(words):
            axes = {name: int(axis) for name, axis in pairs}
            if len(axes) == len(pairs):
                return axes
            raise ConfigError(
                f"{', '.join(words)}: an input has one batch axis", remedy="name it once"
            )
        if len(words) > 1:
            raise ConfigError(
                f"{', '.join(words)} is no batch axis",
                remedy="give one symbol (N), or an axis for each input (x=0 state=1), or none",
            )
        return False if words[0] == _NONE else words[0]

    def applied(self, specs: Iterable[TensorSpec]) -> list[TensorSpec]:
        """Specs with their batch axis; none where it does not name one."""
        return [spec.with_batch_axis(self.axes.get(spec.name), self.symbol) for spec in specs]


def _check(name: str, axis: object, specs: Mapping[str, TensorSpec]) -> None:
    if name not in specs:
        raise ConfigError(
            f"the batch axis is declared for {name!r}, which the model does not have",
            remedy=f"it has {'; '.join(map(str, specs.values()))}",
        )
    shape = specs[name].shape
    is_number = isinstance(axis, int) and not isinstance(axis, bool)
    if not is_number or shape is None or axis not in range(len(shape)):
        raise ConfigError(f"{specs[name]} has no axis {axis!r}", remedy="count axes from 0")


def _of_symbol(
    symbol: str, inputs: Sequence[TensorSpec], specs: Mapping[str, TensorSpec]
) -> dict[str, int]:
    found = {
        name: spec.shape.index(symbol)
        for name, spec in specs.items()
        if spec.shape is not None and symbol in spec.shape
    }
    if not any(spec.name in found for spec in inputs):
        free = dict.fromkeys(d for s in inputs for d in s.shape or () if isinstance(d, str))
        raise ConfigError(
            f"no input has an axis {symbol!r}",
            remedy=f"free axes: {', '.join(free) or 'none'}; by number: INPUT=AXIS",
        )
    return found

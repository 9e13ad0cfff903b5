"""Scores of channels: what a plugin gives that says which channels of a layer matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.stage import Array
from deepseek_core.contracts.units import as_names

if TYPE_CHECKING:
    from numpy.random import Generator

_NEEDS: Final = ("activations", "gradients")
_ROLES: Final = ("out", "in")


@attrs.frozen(kw_only=True, eq=False)
class LayerView:
    """One layer as a score sees it; rows are channels, arrays can't be written to.

    `weight`: (channels, entries) in float64, the filters, or for `role` "in" what is read of each
    channel; `gain`: the scale of the norm after it; `mean_activation` and `active_share`: mean and
    share of positive values after the activation function; `taylor`: squares of the sums of
    gradient times weight, summed over batches. None where it was not asked for or is not there.
    `rng` is seeded by the recipe.
    """

    layer: str
    role: str
    weight: Array
    rng: Generator
    gain: Array | None = None
    mean_activation: Array | None = None
    active_share: Array | None = None
    taylor: Array | None = None


def _known(known: tuple[str, ...]) -> Callable[[Any, attrs.Attribute[Any], Iterable[str]], None]:
    def check(_score: Any, field: attrs.Attribute[Any], names: Iterable[str]) -> None:
        strange = [name for name in names if name not in known]
        if strange:
            raise ConfigError(
                f"Score.{field.name} has {strange[0]!r}", remedy=f"known: {', '.join(known)}"
            )

    return check


@attrs.frozen(kw_only=True)
class Score:
    """A way to score channels: `measure(view)` gives one figure for each, larger for better.

    `needs`: "activations" (of samples) and "gradients" (of samples and a loss); `roles`: "out" for
    layers that make the channels, "in" for those that read them. What is given for a layer is
    divided by its mean; a channel that several layers share has the mean over these.
    """

    measure: Callable[[LayerView], Array]
    needs: tuple[str, ...] = attrs.field(default=(), converter=as_names, validator=_known(_NEEDS))
    roles: tuple[str, ...] = attrs.field(
        default=("out",), converter=as_names, validator=_known(_ROLES)
    )
    name: str = ""

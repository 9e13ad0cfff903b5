"""Compressors: what a plugin makes smaller, and at what price."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.units import as_names, check_locator, check_name

if TYPE_CHECKING:  # a plugin that offers a compressor loads none of them
    from deepseek_core.contracts.stage import Array


@attrs.frozen(kw_only=True)
class CompressorSpec:
    """A step of a compression recipe, or a part of one.

    `target` says what it is for. Of arrays (`gradient`, `data`), `factory` names a callable
    `() -> Compressor`. Of a `model`, it names `(**options) -> compression.ModelCompressor`;
    `options` names an attrs class with the options, their types and defaults. `takes` and `gives`
    are forms of a model (`torch`, `onnx`, `engine`; `gives` is `takes` if empty), and `needs` what
    must be there before: `train`, `calibration`, `original`, `evaluate`, `latency`, or a name out
    of the `provides` of an earlier step. Files that a target provides lie beside its own.
    Of `channels`, `factory` names a callable `() -> compression.Score`, by which a step that prunes
    chooses.
    `probe`, where there is one, names a function `() -> None` that raises a `DeepSeekError`
    when this can't be used here.
    """

    name: str = attrs.field(validator=check_name)
    target: Literal["model", "gradient", "data", "channels"]
    factory: str = attrs.field(validator=check_locator)
    probe: str | None = attrs.field(default=None, validator=check_locator)
    summary: str = ""
    lossy: bool = True
    needs_calibration: bool = False
    takes: str = ""
    gives: str = ""
    needs: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    provides: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    options: str | None = attrs.field(default=None, validator=check_locator)
    requires: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    priority: int = 0

    def __attrs_post_init__(self) -> None:
        if self.target == "model" and not self.takes:
            raise ConfigError(
                f"compressor {self.name!r} is for models and does not say which form it takes",
                remedy='add takes="torch" or takes="onnx"',
            )


@attrs.frozen(kw_only=True, eq=False)
class Packed:
    """An array made smaller: `data`, and the dtype and shape that it comes back with."""

    data: bytes = attrs.field(repr=False)
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the payload."""
        return len(self.data)


class Compressor(ABC):
    """Packs arrays and unpacks them, within a bound that it states beforehand."""

    @abstractmethod
    def pack(self, array: Array) -> Packed:
        """Make an array smaller.

        Raises:
            InputError: a dtype that it does not take.
        """

    @abstractmethod
    def unpack(self, packed: Packed) -> Array:
        """The array, with its dtype and shape.

        Raises:
            InputError: damaged or foreign data.
        """

    @abstractmethod
    def error_bound(self, array: Array) -> float:
        """Largest absolute difference that packing this array may leave; 0.0 is lossless."""

    def state_dict(self) -> Mapping[str, Any]:
        """What it must remember across a checkpoint (error feedback); nothing by default."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a remembered state."""

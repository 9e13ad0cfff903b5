"""What a user may set of this plugin: `[plugin.cpu_onnx]`, DEEPSEEK_CPU_ONNX_..., Session(...)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Literal, Self, get_args

import attrs

from deepseek_core import errors

Level = Literal["disabled", "basic", "extended", "layout", "all"]


def _texts(values: object) -> tuple[str, ...]:
    listed = values if isinstance(values, list | tuple) else [values]
    for value in listed:
        if not isinstance(value, str | PurePath) or not str(value):
            raise errors.ConfigError(
                f"custom_operators has {value!r}", remedy="give paths of shared libraries"
            )
    return tuple(map(str, listed))


def _one_of_the_levels(_settings: object, _field: object, value: str) -> None:
    if value not in get_args(Level):
        raise errors.ConfigError(
            f"graph_optimization is {value!r}", remedy=f"use {', '.join(get_args(Level))}"
        )


@attrs.frozen(kw_only=True)
class Settings:
    """Options of ONNX Runtime sessions that change what they load or compute."""

    graph_optimization: Level = attrs.field(
        default="all",
        validator=_one_of_the_levels,
        metadata={"help": "how much ONNX Runtime rewrites a model when it loads it"},
    )
    custom_operators: tuple[str, ...] = attrs.field(
        default=(),
        converter=_texts,
        metadata={"help": "shared libraries with custom operators, registered in each session"},
    )

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Self:
        """Make settings from what the host gives (names checked); the rest has its default.

        Raises:
            ConfigError: a value that does not fit.
        """
        return cls(**dict[str, Any](values))

    def changed(self) -> list[str]:
        """`NAME=VALUE` of those that are not at their default: costs measured with them differ."""
        fields = [(field, getattr(self, field.name)) for field in attrs.fields(type(self))]
        return [f"{f.name}={value}" for f, value in fields if value != f.default]


def _assignments(values: object) -> tuple[str, ...]:
    listed = values if isinstance(values, list | tuple) else [values]
    for value in listed:
        if not isinstance(value, str) or not value.partition("=")[0].strip() or "=" not in value:
            raise errors.ConfigError(
                f"provider_options has {value!r}", remedy='give texts such as "device_id=0"'
            )
    return tuple(listed)


@attrs.frozen(kw_only=True)
class ProviderSettings(Settings):
    """Settings of ONNX Runtime, and options for a vendor's provider beside those of its plugin."""

    provider_options: tuple[str, ...] = attrs.field(
        default=(),
        converter=_assignments,
        metadata={"help": "NAME=VALUE of options of the provider, over the plugin's own"},
    )

    def given(self) -> dict[str, str]:
        """The provider's options by name."""
        pairs = (text.partition("=") for text in self.provider_options)
        return {name.strip(): value for name, _, value in pairs}

"""Commands that a plugin adds to `ds-sdk`."""

from __future__ import annotations

import attrs

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.units import as_names, check_locator


@attrs.frozen(kw_only=True)
class CommandSpec:
    """`ds-sdk NAME ...`, answered by `main(argv: list[str]) -> int`."""

    name: str = attrs.field()
    main: str = attrs.field(validator=check_locator)
    summary: str = ""
    requires: tuple[str, ...] = attrs.field(default=(), converter=as_names)

    @name.validator
    def _word(self, _field: attrs.Attribute[str], value: str) -> None:
        if not value.replace("-", "").isalnum() or not value.islower():
            raise ConfigError(
                f"command {value!r} is not a valid command name",
                remedy="use lower-case letters, digits and hyphens",
            )

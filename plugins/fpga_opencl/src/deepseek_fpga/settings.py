"""What a user may set: `[plugin.fpga_opencl]`, DEEPSEEK_FPGA_OPENCL_..., Session(settings=...)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


def _a_board(_settings: object, _field: object, value: str) -> None:
    if value:
        from deepseek_fpga.proof.board import parse_board  # only who sets it pays for it

        parse_board(value)


@attrs.frozen(kw_only=True)
class Settings:
    """How devices are opened, and a board that is planned for."""

    pocl_patch: bool = attrs.field(
        default=True,
        metadata={
            "help": "on a CPU that PoCL 3.0 does not know, name one that it knows in its private "
            "structure; false: such a device is unavailable"
        },
    )
    what_if: str = attrs.field(
        default="",
        validator=_a_board,
        metadata={
            "help": "a board that is not there and is planned for, as pes=48,clock_mhz=300; empty: "
            "none"
        },
    )

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Settings:
        """Make settings from what the host gives (names checked); the rest has its default.

        Raises:
            ConfigError: a value that does not fit.
        """
        return cls(**dict[str, Any](values))

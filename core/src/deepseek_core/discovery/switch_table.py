"""Every switch of discovery under its four names, in a module that `--help` can afford.

A flag of `ds-sdk` (before the command) or an argument beats the environment, which beats
`[plugins]` of the configuration file, which beats the default:

    flag                environment               [plugins] key     value
    --no-plugins        DEEPSEEK_NO_PLUGINS       no_plugins        true, false
    --plugins           DEEPSEEK_PLUGINS          allow             names: nothing else loads
    --disable-plugins   DEEPSEEK_DISABLE_PLUGINS  disable           names
    --strict-plugins    DEEPSEEK_STRICT_PLUGINS   strict            true, false
    --prefer            DEEPSEEK_PREFER           prefer            a table name = distribution
    --trace-hooks       DEEPSEEK_TRACE_HOOKS      trace_hooks       true, false
    --probe-timeout     DEEPSEEK_PROBE_TIMEOUT    probe_timeout_s   seconds
    --probe-memory      DEEPSEEK_PROBE_MEMORY     probe_memory_gib  GiB, 0: no limit
    --load-timeout      DEEPSEEK_LOAD_TIMEOUT     load_timeout_s    seconds, 0: no limit
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple


class SwitchNames(NamedTuple):
    """What one switch is called; `metavar` is None for one that is only on or off."""

    name: str
    variable: str
    flag: str
    metavar: str | None
    help: str

    @property
    def is_of_names(self) -> bool:
        """Whether its value names plugins."""
        return self.metavar is not None and ("," in self.metavar or "=" in self.metavar)


SWITCHES: Final = tuple(
    SwitchNames(*names)
    for names in (
        ("no_plugins", "DEEPSEEK_NO_PLUGINS", "--no-plugins", None, "load no plugin"),
        ("allow", "DEEPSEEK_PLUGINS", "--plugins", "A,B", "load these plugins only"),
        ("disable", "DEEPSEEK_DISABLE_PLUGINS", "--disable-plugins", "A,B", "leave these out"),
        ("strict", "DEEPSEEK_STRICT_PLUGINS", "--strict-plugins", None,
         "fail if one is broken, incompatible or in conflict"),
        ("prefer", "DEEPSEEK_PREFER", "--prefer", "NAME=DIST",
         "which distribution a contested name means"),
        ("trace_hooks", "DEEPSEEK_TRACE_HOOKS", "--trace-hooks", None,
         "log every hook call to stderr"),
        ("probe_timeout_s", "DEEPSEEK_PROBE_TIMEOUT", "--probe-timeout", "S",
         "seconds for a probe (10)"),
        ("probe_memory_gib", "DEEPSEEK_PROBE_MEMORY", "--probe-memory", "GIB",
         "GiB for a probe; 0: no limit (3)"),
        ("load_timeout_s", "DEEPSEEK_LOAD_TIMEOUT", "--load-timeout", "S",
         "seconds for an import; 0: no limit (20)"),
    )
)  # fmt: skip

_flag_of: dict[str, str] = {}  # variable -> the flag that has set it in this process


@contextmanager
def flags_given(values: Mapping[str, str]) -> Iterator[None]:
    """Set the variables of the flags given, by switch, until the command has ended.

    As variables they reach every session of this process and every process that it starts.
    """
    chosen = [(switch, values[switch.name]) for switch in SWITCHES if switch.name in values]
    before = {switch.variable: os.environ.get(switch.variable) for switch, _ in chosen}
    os.environ.update({switch.variable: value for switch, value in chosen})
    _flag_of.update({switch.variable: switch.flag for switch, _ in chosen})
    try:
        yield
    finally:
        for variable, value in before.items():
            _flag_of.pop(variable, None)
            os.environ.pop(variable, None)
            if value is not None:
                os.environ[variable] = value


def named(variable: str) -> str:
    """The variable, or the flag by which it was set in this process."""
    return _flag_of.get(variable, variable)

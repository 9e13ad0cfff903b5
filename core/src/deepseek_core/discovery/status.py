"""What became of each plugin: one status, a reason and a remedy."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from deepseek_core.contracts.secret import scrub
from deepseek_core.contracts.units import as_names


class Status(StrEnum):
    """The seven outcomes of discovery."""

    AVAILABLE = "available"
    UNAVAILABLE = "unavailable"
    BROKEN = "broken"
    INCOMPATIBLE = "incompatible"
    CONFLICT = "conflict"
    DISABLED = "disabled"
    BLOCKED = "blocked"


KINDS: Final = (
    "device", "tier", "strategy", "compressor", "frontend", "command", "executor", "check",
    "application", "listener",
)  # fmt: skip
"""What a plugin can offer; one for each hook."""

FAULTS: Final = frozenset({Status.BROKEN, Status.INCOMPATIBLE, Status.CONFLICT})
"""What strict mode does not let pass: a missing device or a switch is no fault."""


def as_remedy(text: str | None) -> str | None:
    """Attrs converter: a remedy in the words of the tool that installs packages here."""
    if text is None or "pip " not in text:
        return text
    from deepseek_core.discovery.installers import in_this_environment

    return in_this_environment(text)


@attrs.frozen(kw_only=True)
class PluginRow:
    """One entry point and what became of it; `status` is None while it is not loaded.

    `provides` names its records, `hooks` what it answers, `kinds` the families of both.
    `heavy_modules` are the large libraries that its import pulled in, `load_ms` milliseconds.
    """

    name: str
    dist: str
    version: str
    api: str
    group: str
    entry_point: str
    location: str = ""
    status: Status | None = None
    reason: str | None = None
    remedy: str | None = attrs.field(default=None, converter=as_remedy)
    kinds: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    provides: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    hooks: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    load_ms: float | None = None
    heavy_modules: tuple[str, ...] = attrs.field(default=(), converter=as_names)

    @property
    def why(self) -> str:
        """`reason -> remedy`, as tables show it."""
        return " -> ".join(part for part in (self.reason, self.remedy) if part)

    def ended(
        self, status: Status, reason: str | None = None, remedy: str | None = None
    ) -> PluginRow:
        """The same row with its outcome; no secret gets into it."""
        reason, remedy = reason and scrub(reason), remedy and scrub(remedy)
        return attrs.evolve(self, status=status, reason=reason, remedy=remedy)

    def to_json(self) -> dict[str, object]:
        """Schema 1: these keys, in this order; keys may be added, none is renamed or dropped."""
        return {
            "name": self.name,
            "dist": self.dist,
            "version": self.version,
            "api": self.api,
            "group": self.group,
            "entry_point": self.entry_point,
            "location": self.location,
            "status": self.status,
            "reason": self.reason,
            "remedy": self.remedy,
            "kinds": list(self.kinds),
            "provides": list(self.provides),
            "hooks": list(self.hooks),
            "load_ms": self.load_ms,
            "heavy_modules": list(self.heavy_modules),
        }

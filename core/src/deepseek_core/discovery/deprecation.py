"""Deprecations: a hook, or an argument of one, that is going; its users are told by name.

Mark the spec, above `@_spec`; what is marked stays for two minors of the API:

    @deprecated(replacement="ds_register_tiers", since="1.2", removed_in="1.4")
    @_spec
    def ds_register_storage_tiers(ctx: HostContext) -> Iterable[TierSpec]: ...

Nothing is imported from here while no spec is marked.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, ParamSpec, TypeVar

import attrs

P = ParamSpec("P")
R = TypeVar("R")

MARK: Final = "deprecations"
"""Attribute of a marked spec."""


@attrs.frozen(kw_only=True)
class Deprecation:
    """What is going (an `argument`, or the whole hook without one), and what replaces it."""

    replacement: str
    since: str
    removed_in: str
    argument: str | None = None


class DeprecatedUse(DeprecationWarning):
    """A plugin implements what is going; `plugin`, `hook` and `replacement` say what."""

    def __init__(self, plugin: str, hook: str, what: Deprecation) -> None:
        argument = f"argument {what.argument!r} of " if what.argument else ""
        super().__init__(
            f"plugin {plugin!r} uses {argument}{hook}, deprecated since API {what.since} and "
            f"gone in {what.removed_in}: use {what.replacement}"
        )
        self.plugin, self.hook, self.replacement = plugin, hook, what.replacement


def deprecated(
    *, replacement: str, since: str, removed_in: str, argument: str | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a hook spec, or one of its arguments, as going."""
    what = Deprecation(
        replacement=replacement, since=since, removed_in=removed_in, argument=argument
    )

    def mark(spec: Callable[P, R]) -> Callable[P, R]:
        setattr(spec, MARK, (*getattr(spec, MARK, ()), what))
        return spec

    return mark


def warn_of_use(
    plugin: str, spec: Callable[..., Any], implementation: Callable[..., Any], names: Sequence[str]
) -> None:
    """Warn at the implementation, whose arguments are `names`, of each mark that concerns it.

    Python shows equal warnings of one place once, so a plugin that is loaded again is told once.
    """
    marks: tuple[Deprecation, ...] = getattr(spec, MARK, ())
    for what in marks:
        if what.argument is None or what.argument in names:
            code, home = implementation.__code__, implementation.__globals__
            warnings.warn_explicit(
                DeprecatedUse(plugin, spec.__name__, what),
                category=DeprecatedUse,
                filename=code.co_filename,
                lineno=code.co_firstlineno,
                module=home.get("__name__"),
                registry=home.setdefault("__warningregistry__", {}),
            )

"""Lists of interfaces and adapters as NCCL reads them."""

from __future__ import annotations

from collections.abc import Iterable

import attrs


@attrs.frozen(kw_only=True)
class Filter:
    """`names` are prefixes, or whole names where `exact`; `excludes` takes all others.

    NCCL user guide: `eth`, `=eth0,eth1`, `^docker`, `^=docker0`; adapters have `:port` too.
    """

    names: tuple[str, ...]
    excludes: bool = False
    exact: bool = False

    def takes(self, name: str) -> bool:
        """Whether an interface of this name is used."""
        found = any(name == one if self.exact else name.startswith(one) for one in self.names)
        return found != self.excludes

    def taken(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names that are used, in their order."""
        return tuple(name for name in names if self.takes(name))


def filter_of(text: str) -> Filter:
    """Read such a list."""
    rest = text.strip()
    excludes = rest.startswith("^")
    rest = rest.removeprefix("^")
    exact = rest.startswith("=")
    words = (word.split(":", 1)[0].strip() for word in rest.removeprefix("=").split(","))
    # What the shell would put there is not known.
    names = () if "$" in text else tuple(word for word in words if word)
    return Filter(names=names, excludes=excludes, exact=exact)

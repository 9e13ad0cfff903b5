"""Finding installed plugins: the entry points of every distribution that counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from deepseek_core.discovery.distributions import (
    GROUP_PREFIX,
    Distribution,
    distributions,
    normalize,
)
from deepseek_core.discovery.installed import one_of_each

API: Final = (1, 1)
"""Major and minor of the plugin API; the major is part of the entry-point group."""
EXPECTED: Final = "DEEPSEEK_PLUGINS_FINGERPRINT"
"""Variable by which a parent tells a worker which plugins it must find."""


@attrs.frozen(kw_only=True)
class EntryPoint:
    """One line of a plugin group: `name = value` of a distribution.

    `problem` says what is wrong with the line or with the metadata around it, `remedy` what to do
    about that where no installer can help.
    """

    name: str
    value: str
    group: str
    dist: str
    version: str = "?"
    location: str = ""
    problem: str | None = None
    remedy: str | None = None

    @property
    def api(self) -> str:
        """The API's major as the group has it: `v1`."""
        return self.group.removeprefix(GROUP_PREFIX)

    @property
    def major(self) -> int | None:
        """1 for `v1`; None if the group names no version."""
        digits = self.api.removeprefix("v")
        return int(digits) if self.api.startswith("v") and digits.isdecimal() else None

    @property
    def module(self) -> str:
        """The top-level module that its value names: `acme` of `acme.hooks:plugin`."""
        return self.value.partition("[")[0].partition(":")[0].partition(".")[0].strip()


def identities(points: Iterable[EntryPoint]) -> tuple[str, ...]:
    """`dist:name` of each plugin, sorted: an allow-list of exactly these."""
    return tuple(sorted(f"{normalize(point.dist)}:{point.name}" for point in points))


def scan(path: Iterable[str] | None = None) -> tuple[EntryPoint, ...]:
    """Entry points of every group `deepseek_sdk.plugins.v*`, sorted by name and distribution.

    Of a distribution that is there twice, the one that imports use counts.
    """
    # By folder names first, then by what metadata says: reading all of it costs at every start.
    offering = [d.described() for d in one_of_each(distributions(path)) if d.offers_plugins]
    found = {point: None for dist in one_of_each(offering) for point in entry_points(dist)}
    return tuple(sorted(found, key=lambda e: (e.name, normalize(e.dist), e.group)))


def entry_points(dist: Distribution) -> Iterator[EntryPoint]:
    """The plugins that one distribution offers, in the order of its metadata."""
    text = dist.read("entry_points.txt")
    if text is None or GROUP_PREFIX not in text:
        return
    dist, group = dist.described(), ""
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if content.startswith("["):
            group = content.strip("[] ")
        elif content and group.startswith(GROUP_PREFIX):
            yield _entry_point(dist, group, content, number)


def _entry_point(dist: Distribution, group: str, content: str, number: int) -> EntryPoint:
    name, equals, value = (part.strip() for part in content.partition("="))
    sound = bool(equals and name and value) and content.isprintable() and group.isprintable()
    problem = None if sound else f"entry_points.txt, line {number}: {content[:60]!r}"
    return EntryPoint(
        name=name if sound else dist.key,
        value=value if sound else "",
        group=group if group.isprintable() else GROUP_PREFIX,
        dist=dist.name,
        version=dist.version,
        location=str(dist.location),
        problem=dist.problem or problem,
        remedy=f"remove {str(dist.folder)!r}" if dist.problem else None,
    )

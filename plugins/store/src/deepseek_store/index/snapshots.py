"""What lies between two states of a store, and what brings an earlier one back; pure."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from deepseek_store.index.catalog import Catalog
from deepseek_store.index.rows import Version


@attrs.frozen(kw_only=True)
class Difference:
    """Keys that came, went, or are of another version, each in order."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Restoration:
    """Versions to be put again, each under a new generation, and keys to be deleted."""

    put: tuple[Version, ...]
    delete: tuple[str, ...]


def current_versions(catalog: Catalog) -> list[Version]:
    """The objects as they are now, by key: what a snapshot would hold."""
    found = map(catalog.get, catalog.keys())
    return [version for version in found if version is not None]


def diff(old: Iterable[Version], new: Iterable[Version]) -> Difference:
    """From one state to another; a version whose bytes were only moved is the same."""
    before = {version.key: version.order for version in old}
    after = {version.key: version.order for version in new}
    return Difference(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(k for k in before.keys() & after.keys() if before[k] != after[k])),
    )


def restoration(snapshot: Iterable[Version], catalog: Catalog) -> Restoration:
    """What has to be written so that the objects are those of a snapshot again.

    Extents stay as they are: nothing is copied.
    """
    wanted = {version.key: version for version in snapshot}
    step = diff(current_versions(catalog), wanted.values())
    return Restoration(
        put=tuple(wanted[key] for key in sorted((*step.added, *step.changed))),
        delete=step.removed,
    )

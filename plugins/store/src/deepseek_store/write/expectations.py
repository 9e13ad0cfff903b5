"""What compare-and-set expects of the index, on its way from a writer to the committer.

A lock keeps others from a key that is compared; but the lock of a database that is restarted is
lost. So the transaction that writes such a version checks again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import attrs

from deepseek_store.errors import GenerationMismatch
from deepseek_store.index.rows import Version, VersionId


@attrs.define(eq=False)
class Expectation:
    """Versions that are written together, only if these keys have these generations.

    `refusal` is what the index said to it.
    """

    expect: Mapping[str, int]
    refusal: GenerationMismatch | None = None


class Expectations:
    """The claims of all writes that are under way; safe to use from several threads."""

    def __init__(self) -> None:
        self._expectations: dict[VersionId, Expectation] = {}

    @contextmanager
    def hold(self, ids: Sequence[VersionId], expect: Mapping[str, int]) -> Iterator[Expectation]:
        """A claim for these versions, as long as they are on their way."""
        claim = Expectation(expect)
        self._expectations.update(dict.fromkeys(ids, claim))
        try:
            yield claim
        finally:
            for name in ids:
                self._expectations.pop(name, None)

    def split(
        self, versions: Sequence[Version]
    ) -> tuple[list[Version], list[tuple[Expectation, list[Version]]]]:
        """Versions without a claim, and those of each claim."""
        free: list[Version] = []
        claimed: dict[int, tuple[Expectation, list[Version]]] = {}
        for version in versions:
            claim = self._expectations.get(version.id)
            if claim is None:
                free.append(version)
            else:
                claimed.setdefault(id(claim), (claim, []))[1].append(version)
        return free, list(claimed.values())

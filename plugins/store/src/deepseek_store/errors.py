"""What goes wrong in a store, below the SDK's own tree of errors.

DeepSeekError
|-- ConfigError
|   |-- CodeRefused                   the failure domains can't carry the code or its durability
|   `-- StoreLocked                   another process has it open; retryable
|-- InputError
|   |-- KeyRefused                    a key that a store does not take
|   |-- NotBytes (TypeError)          data that has no bytes
|   `-- CacheTooSmall                 a cache that holds not even one shard
`-- StorageError                      about one store, named by its `url`
    |-- GenerationMismatch            compare-and-set: the object is not what was expected
    |-- Corrupt                       bytes that are not what was written; they are not returned
    |   `-- Unrecoverable             more fragments are lost than the code can bear
    |-- ForeignStore                  a file or database that is not of this store
    |-- IndexUnavailable              the database does not answer; retryable
    |-- IndexOutdated                 the index is older than the data that it is the index of
    |-- NotOwner                      another home, a copy of this one, has taken its tiers over
    |-- ReadOnlyStore (PermissionError)  a change of a store that is open for reading only
    `-- StoreClosed                   used after close()
"""

from __future__ import annotations

from collections.abc import Sequence

from deepseek_core import errors


class CodeRefused(errors.ConfigError):
    """The failure domains can't carry the code, or the durability asked for."""


class StoreLocked(errors.ConfigError):
    """Another process has the store open."""

    retryable = True


class KeyRefused(errors.InputError):
    """A key that a store does not take."""


class NotBytes(errors.InputError, TypeError):
    """Data that has no bytes: text, a number, a list, references to objects."""


class CacheTooSmall(errors.InputError):
    """A cache that holds not even one shard."""


class GenerationMismatch(errors.StorageError):
    """Compare-and-set: the object's generation is `found` (0: there is none)."""

    def __init__(self, message: str, *, url: str, found: int, remedy: str | None = None) -> None:
        super().__init__(message, url=url, remedy=remedy)
        self.found = found


class Corrupt(errors.StorageError):
    """Bytes that are not what was written; they are not returned."""


class Unrecoverable(Corrupt):
    """More fragments are lost than the code can bear; `lost` are their indexes."""

    def __init__(
        self, message: str, *, url: str, lost: Sequence[int], remedy: str | None = None
    ) -> None:
        super().__init__(message, url=url, remedy=remedy)
        self.lost = tuple(lost)


class ForeignStore(errors.StorageError):
    """A file or database that is not of this store, or not of this version."""


class IndexUnavailable(errors.StorageError):
    """The index's database does not answer."""

    retryable = True


class IndexOutdated(errors.StorageError):
    """The index is older than its store: it was restored from a copy, or has lost its last part."""


class NotOwner(errors.StorageError):
    """Another home, a copy of this one, writes to its tiers or mirrors by now."""


class ReadOnlyStore(errors.StorageError, PermissionError):
    """A change of a store that is open for reading only."""

    __str__ = errors.StorageError.__str__


def again(refusal: ReadOnlyStore | None) -> ReadOnlyStore:
    """A refusal to raise once more: one object raised often would collect all its tracebacks."""
    if refusal is None:
        return ReadOnlyStore("it was opened for reading only", url="")
    return ReadOnlyStore(refusal.message, url=refusal.url, remedy=refusal.remedy)


class StoreClosed(errors.StorageError):
    """The store was used after `close()`."""


class SegmentGone(Exception):
    """The segment was collected meanwhile: look the object up again."""

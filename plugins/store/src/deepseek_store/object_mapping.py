"""The objects of a store as a mutable mapping of keys to bytes."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from deepseek_core import errors
from deepseek_store.commands import command
from deepseek_store.errors import GenerationMismatch

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MISSING: Final = object()
_TRIES: Final = 100  # somebody who writes a key without pause is not waited for for ever


class KeyValueStore(Protocol):
    """What the mapping asks of a store."""

    @property
    def url(self) -> str:
        """Names it in errors."""
        ...

    @property
    def home(self) -> Path:
        """The folder of the store."""
        ...

    def put(self, key: str, data: Any, *, if_generation: int | None = None) -> Any:
        """Store an object."""
        ...

    def get(self, key: str) -> memoryview:
        """Bytes of an object."""
        ...

    def stat(self, key: str) -> Any:
        """What is known of an object, its generation above all."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is an object."""
        ...

    def delete(self, key: str, *, if_generation: int | None = None) -> bool:
        """Take an object away; False if there was none."""
        ...

    def list(self) -> Iterator[Any]:
        """All objects, in the order of their keys."""
        ...

    def __len__(self) -> int:
        """Return the number of objects."""
        ...


class ObjectMapping(MutableMapping[str, bytes]):
    """A live view: what is set here is put, durable when the statement is done.

    `pop`, `popitem` and `setdefault` are one step each, also among several processes. Keys come in
    order. What is put or deleted while it is iterated may or may not be seen.
    """

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store

    def __getitem__(self, key: str) -> bytes:
        return bytes(self._store.get(key))

    def __setitem__(self, key: str, data: ReadableBuffer) -> None:
        self._store.put(key, data)

    def __delitem__(self, key: str) -> None:
        if key not in self or not self._store.delete(key):
            raise self._missing(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._store.exists(key)

    def __iter__(self) -> Iterator[str]:
        return (info.key for info in self._store.list())

    def __len__(self) -> int:
        return len(self._store)

    def pop(self, key: str, default: Any = _MISSING) -> Any:
        """Take an object away and give its bytes; `default`, if given, where there is none.

        Raises:
            ObjectMissing: there is none, and no default.
            GenerationMismatch: somebody writes it faster than it can be taken.
        """
        for left in reversed(range(_TRIES)):
            try:
                generation = self._store.stat(key).generation
                data = self[key]
                if self._store.delete(key, if_generation=generation):
                    return data
            except errors.ObjectMissing:
                break
            except GenerationMismatch as error:
                if not error.found:
                    break
                if not left:
                    raise
        if default is _MISSING:
            raise self._missing(key)
        return default

    def popitem(self) -> tuple[str, bytes]:
        """Take the first object away and give its key and bytes.

        Raises:
            KeyError: there is none.
        """
        for key in self:
            data = self.pop(key, None)
            if data is not None:
                return key, data
        raise KeyError("there are no objects")

    def setdefault(self, key: str, default: ReadableBuffer = b"") -> bytes:
        """Put an object where there is none; the bytes that are there then.

        Raises:
            ObjectMissing: it comes and goes faster than it can be read.
        """
        for _ in range(_TRIES):
            with suppress(errors.ObjectMissing):
                return self[key]
            with suppress(GenerationMismatch):
                self._store.put(key, default, if_generation=0)
        return self[key]

    def clear(self) -> None:
        """Delete all objects that are there now."""
        for key in list(self):
            self._store.delete(key)

    def __repr__(self) -> str:
        return f"<objects of {self._store.url}>"

    def _missing(self, key: object) -> errors.ObjectMissing:
        return errors.ObjectMissing(
            f"there is no object {str(key)[:200]!r}",
            url=self._store.url,
            remedy=command("ls", self._store.home),
        )

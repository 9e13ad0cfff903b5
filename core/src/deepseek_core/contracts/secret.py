"""Secrets: settings that name where they are kept, and are never shown.

A configuration file holds `token = { env = "NPU_TOKEN" }` or `{ file = "~/.npu-token" }`, never
the token. A `Secret` keeps that name and reads the text only when it is revealed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, Self

from deepseek_core.contracts.errors import ConfigError

MASK: Final = "****"
_LARGEST: Final = 1 << 16
# Shorter ones would turn every text into stars, and guard nothing.
_SHORTEST: Final = 4

# What has to be masked in this process: where secrets are, and texts that were revealed.
_sources: set[tuple[str, str]] = set()
_revealed: set[str] = set()


class Secret:
    """A text from an environment variable or a file, read by `reveal()` and printed as `****`.

    It is not pickled: another process makes its own from the same name.
    """

    __slots__ = ("_kind", "_name")
    _kind: str
    _name: str

    def __init__(self, *, env: str | None = None, file: str | Path | None = None) -> None:
        if (env is None) == (file is None) or not (env or file):
            raise ConfigError("a secret has one source", remedy='give env="VAR" or file="path"')
        kind, name = ("env", env) if env is not None else ("file", str(file))
        object.__setattr__(self, "_kind", kind)
        object.__setattr__(self, "_name", name)
        _sources.add(self._identity)

    @classmethod
    def of(cls, value: object, *, where: str, folder: Path | None = None) -> Self:
        """The secret that a configuration's `{ env = ".." }` or `{ file = ".." }` names.

        `where` is told in errors; a relative file is looked up in `folder`.

        Raises:
            ConfigError: anything else, the secret itself above all; the text is not repeated.
        """
        entries = dict(value) if isinstance(value, Mapping) else {}
        kind, name = next(iter(entries.items()), ("", ""))
        if len(entries) != 1 or kind not in ("env", "file") or not isinstance(name, str):
            raise ConfigError(
                f"{where} is a secret, which is not written down there",
                remedy='write { env = "VARIABLE" } or { file = "path" }',
            )
        if kind == "env":
            return cls(env=name)
        path = Path(name).expanduser()
        return cls(file=path if folder is None else folder / path)

    @property
    def source(self) -> str:
        """Where it is kept, in words: this may be shown."""
        return f"variable {self._name}" if self._kind == "env" else f"file {self._name}"

    def reveal(self) -> str:
        """The text itself, of a file without the line's end. Keep it out of names and messages.

        Raises:
            ConfigError: the variable is not set, or the file is not there or no short text.
        """
        text = _read(self._kind, self._name)
        if not text:
            raise ConfigError(
                f"the secret in {self.source} is not there",
                remedy="set that variable" if self._kind == "env" else "write that file",
            )
        _revealed.add(text)
        return text

    @property
    def _identity(self) -> tuple[str, str]:
        return self._kind, self._name

    def __setattr__(self, name: str, _value: object) -> NoReturn:
        raise AttributeError(f"a secret has no {name!r} to be set")

    def __repr__(self) -> str:
        return MASK

    def __format__(self, _spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: Any) -> Self:
        return self

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled; pass the name of its source instead")


def sources() -> list[tuple[str, str]]:
    """Where the secrets that this process knows of are kept: `env` or `file`, and its name."""
    return sorted(_sources)


def remember(found: Iterable[tuple[str, str]]) -> None:
    """Mask the secrets of these `sources` too: another process has met them."""
    _sources.update((kind, name) for kind, name in found if kind in ("env", "file"))


def scrub(text: str) -> str:
    """The text with every secret that this process knows of replaced by `****`."""
    if not _sources:
        return text
    # The longest first: one may be part of another.
    for secret in sorted(_known(), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def shows_secret(value: object) -> bool:
    """Whether a secret that this process knows of can be read in the value's `repr`."""
    if not _sources:
        return False
    text = repr(value)
    return scrub(text) != text


def masked(value: Any) -> Any:
    """A copy of dicts, lists and texts in which nothing secret is left."""
    if isinstance(value, Mapping):
        return {masked(key): masked(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [masked(entry) for entry in value]
    return scrub(value) if isinstance(value, str) else value


def _known() -> set[str]:
    current = {_read(kind, name) for kind, name in _sources}
    # A text of several lines is shown line by line: a key of PEM form, say.
    texts = {part for text in current | _revealed for part in (text, *text.splitlines())}
    return {text for text in texts if len(text.strip()) >= _SHORTEST}


def _read(kind: str, name: str) -> str:
    """The text, or an empty one if it can't be had."""
    if kind == "env":
        return os.environ.get(name, "")
    try:
        with Path(name).open(encoding="utf-8") as file:
            text = file.read(_LARGEST + 1)
    except (OSError, UnicodeDecodeError):
        return ""
    return "" if len(text) > _LARGEST else text.rstrip("\r\n")

"""Files that a run needs or leaves, with format and fingerprint."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path, PurePosixPath

import attrs

from deepseek_core.contracts.errors import ArtifactError


@attrs.frozen(kw_only=True)
class Artifact:
    """A file (`path`), its bytes (`content`), or what makes them (`make`); one of the three.

    `format` is a short name (`onnx`, `aocx`). `fingerprint` may be a function that computes it
    when somebody asks. `original` is the file as the user gave it, where
    this is a tidier form of all of it: a device that reads such files takes it as it is.
    """

    format: str
    _fingerprint: str | Callable[[], str] = attrs.field(default="", repr=False)
    path: Path | None = None
    content: bytes | None = attrs.field(default=None, repr=False)
    make: Callable[[], bytes] | None = attrs.field(default=None, repr=False, eq=False)
    original: Artifact | None = attrs.field(default=None, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        given = [x for x in (self.path, self.content, self.make) if x is not None]
        if len(given) != 1:
            raise ArtifactError("an artifact has either a path or a content or what makes it")
        if self.make is not None and not self._fingerprint:
            raise ArtifactError("an artifact that is made when read needs a fingerprint")

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the content in hex, or what the maker of the artifact gave.

        Raises:
            ArtifactError: the file is gone or can't be read.
        """
        if self._fingerprint:
            return self._fingerprint() if callable(self._fingerprint) else self._fingerprint
        from hashlib import file_digest, sha256  # start-up: listing plugins needs no digest

        if self.path is None:
            return sha256(self.read()).hexdigest()
        try:
            with self.path.open("rb") as file:
                return file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(self.path, error) from error

    @classmethod
    def from_path(cls, path: str | Path, *, format: str | None = None) -> Artifact:
        """Read nothing yet; the format is the suffix if not given.

        Raises:
            ArtifactError: no such file, or neither a format nor a suffix.
        """
        path = Path(path)
        try:
            _check_file(path)
        except OSError as error:  # a folder that is closed to us, a name that is too long
            raise _unreadable(path, error) from error
        known = format or path.suffix.lower().removeprefix(".")
        if not known:
            raise ArtifactError(
                f"{path} has no suffix that would tell its format",
                remedy="name the file model.onnx, say, or name the format",
            )
        return cls(format=known, path=path)

    @classmethod
    def from_bytes(cls, content: bytes, *, format: str) -> Artifact:
        """Keep the bytes in memory."""
        return cls(format=format, content=content)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where files that belong to it may lie: beside its path, and beside what that links to.

        As they are without links; none for what lies in no file.
        """
        return () if self.path is None else (_real(self.path.parent), _real(self.path).parent)

    def beside(self, name: str) -> Path | None:
        """The file that it means by a relative name, links followed; None outside its folders.

        Whoever made the artifact chose the name: no such file may be any other one of this user.
        """
        parts = PurePosixPath(name).parts
        if self.path is None or not parts or ".." in parts or "\0" in name:
            return None
        place = _real(self.path.parent.joinpath(*parts))
        return place if any(place.is_relative_to(folder) for folder in self.folders) else None

    def read(self) -> bytes:
        """The whole content.

        Raises:
            ArtifactError: the file is gone or can't be read.
        """
        if self.content is not None:
            return self.content
        if self.make is not None:
            return self.make()
        assert self.path is not None
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def carried(self) -> Artifact:
        """The same as bytes with its fingerprint, for a process that does not see our files.

        Raises:
            ArtifactError: the file is gone or can't be read.
        """
        return Artifact(format=self.format, fingerprint=self.fingerprint, content=self.read())


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # unlike `resolve`, not stopped by links in a circle


def _check_file(path: Path) -> None:
    if path.is_file():
        return
    what = f"no such file: {path}"
    if path.exists():
        what = f"{path} is a folder" if path.is_dir() else f"{path} is not a regular file"
    raise ArtifactError(what, remedy="check the path")


def _unreadable(path: Path, error: OSError) -> ArtifactError:
    return ArtifactError(f"{path}: {error.strerror}", remedy="check the path and its permissions")

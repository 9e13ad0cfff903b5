"""Files that a run needs or leaves, with format and fingerprint."""

from __future__ import annotations

from pathlib import Path

import attrs

from deepseek_core.contracts.errors import ArtifactError


@attrs.frozen(kw_only=True)
class Artifact:
    """A file (`path`) or its bytes (`content`), never both.

    `format` is a short name (`onnx`, `aocx`), `fingerprint` the sha256 of the content in hex.
    """

    format: str
    fingerprint: str
    path: Path | None = None
    content: bytes | None = attrs.field(default=None, repr=False)

    @content.validator
    def _one_source(self, _field: attrs.Attribute[bytes | None], value: bytes | None) -> None:
        if (value is None) == (self.path is None):
            raise ArtifactError("an artifact has either a path or a content")

    @classmethod
    def from_path(cls, path: str | Path, *, format: str | None = None) -> Artifact:
        """Read nothing but the fingerprint; the format is the suffix if not given.

        Raises:
            ArtifactError: no such file, or neither a format nor a suffix.
        """
        path = Path(path)
        if not path.is_file():
            what = f"{path} is a folder" if path.is_dir() else f"no such file: {path}"
            raise ArtifactError(what, remedy="check the path")
        known = format or path.suffix.lower().removeprefix(".")
        if not known:
            raise ArtifactError(
                f"{path} has no suffix that would tell its format",
                remedy="name the file model.onnx, say, or name the format",
            )
        from hashlib import file_digest  # start-up: listing plugins needs no digest

        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        return cls(format=known, fingerprint=digest, path=path)

    @classmethod
    def from_bytes(cls, content: bytes, *, format: str) -> Artifact:
        """Keep the bytes in memory."""
        from hashlib import sha256

        return cls(format=format, fingerprint=sha256(content).hexdigest(), content=content)

    def read(self) -> bytes:
        """The whole content.

        Raises:
            ArtifactError: the file is gone or can't be read.
        """
        if self.content is not None:
            return self.content
        assert self.path is not None
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise ArtifactError(f"{self.path}: {error.strerror}") from error

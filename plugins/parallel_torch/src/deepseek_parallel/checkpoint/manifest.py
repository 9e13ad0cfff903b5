"""What a checkpoint holds: written last, so that a checkpoint without it does not exist."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

import attrs

from deepseek_core import console, errors
from deepseek_parallel.errors import CheckpointDamaged

NAME: Final = "manifest.json"
FORMAT: Final = 1
PARTS: Final = ("model", "optimizer")
_FOLDER: Final = re.compile(r"(\d{6,})-step-\d+-\d{8}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@attrs.frozen(kw_only=True)
class File:
    """One file of a checkpoint: `path` below its folder, and the SHA-256 of its bytes."""

    path: str
    nbytes: int
    sha256: str


@attrs.frozen(kw_only=True)
class Manifest:
    """A checkpoint that was committed.

    `name` is its folder below the URL. `sequence` counts the checkpoints of a URL, whatever their
    step: the largest is the latest. `ranks` saved it; with `by_rank` the optimizer's state is
    another one on each of them. `run` is who saved it. `created` is shown and decides nothing:
    clocks go back. `versions` are those of this plugin and of torch.
    """

    name: str
    step: int
    sequence: int
    ranks: int
    by_rank: bool
    run: str
    created: str
    versions: Mapping[str, str]
    extra: Mapping[str, Any]
    files: tuple[File, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all files that it lists."""
        return sum(file.nbytes for file in self.files)

    def of_part(self, part: str) -> dict[str, File]:
        """The files of the model or the optimizer, by their path inside of that folder."""
        prefix = f"{part}/"
        return {f.path[len(prefix) :]: f for f in self.files if f.path.startswith(prefix)}

    def to_json(self) -> bytes:
        """The file's content, with a hash of itself."""
        content = {"format": FORMAT, **attrs.asdict(self)}
        return _dumped({**content, "sha256": _hash_of(content)})


def new_folder(sequence: int, step: int) -> str:
    """The name of a checkpoint's folder; no two saves have the same one."""
    return f"{sequence:06d}-step-{step}-{secrets.randbelow(10**8):08d}"


def sequence_of(name: str) -> int | None:
    """The sequence number in a folder's name; None where no save has made it."""
    found = _FOLDER.fullmatch(name)
    return int(found[1]) if found else None


def read_manifest(data: bytes, url: str) -> Manifest:
    """What a manifest says; `url` is where it lies.

    Raises:
        CheckpointDamaged: these are not the bytes that a save wrote.
        ArtifactError: a newer version of the SDK wrote it.
    """
    content = _content(data, url)
    told_format = content.get("format")
    if type(told_format) is int and told_format > FORMAT:
        raise errors.ArtifactError(
            f"{url} has format {told_format}, and this version reads format {FORMAT}",
            remedy=console.update_command("deepseek-parallel"),
        )
    told = content.pop("sha256", None)
    if told_format != FORMAT or told != _hash_of(content):
        raise _damaged(url, "its hash is another one")
    try:
        return _made(content)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(url, f"{error}") from error


def _content(data: bytes, url: str) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _damaged(url, "it is not JSON") from error
    if not isinstance(content, dict):
        raise _damaged(url, "it is not an object of JSON")
    return content


def _made(content: Mapping[str, Any]) -> Manifest:
    fields = {name: value for name, value in content.items() if name != "format"}
    fields["files"] = tuple(_file(one) for one in content["files"])
    manifest = Manifest(**fields)
    for name, kind in (("step", int), ("sequence", int), ("ranks", int), ("by_rank", bool)):
        if type(getattr(manifest, name)) is not kind or getattr(manifest, name) < 0:
            raise ValueError(f"{name} is {getattr(manifest, name)!r}")
    if manifest.ranks < 1 or not isinstance(manifest.extra, dict):
        raise ValueError("ranks or extra can't be")
    return manifest


def _file(told: Mapping[str, Any]) -> File:
    file = File(**told)
    parts = file.path.split("/")
    if len(parts) != 2 or parts[0] not in PARTS or parts[1] in ("", ".", ".."):
        raise ValueError(f"the path {file.path!r} leads elsewhere")
    if type(file.nbytes) is not int or file.nbytes < 0 or not _SHA256.fullmatch(file.sha256):
        raise ValueError(f"size or hash of {file.path!r} can't be")
    return file


def _damaged(url: str, why: str) -> CheckpointDamaged:
    return CheckpointDamaged(
        f"{url} is damaged: {why}",
        file=url,
        remedy="name an older step, as `ds-sdk ckpt inspect` lists them; or move this folder away",
    )


def _hash_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_dumped(content)).hexdigest()


def _dumped(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode()

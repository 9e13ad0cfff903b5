"""The pictures of a folder: which files count, in which order, and what is left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import attrs

from deepseek_core.contracts.errors import ArtifactError
from deepseek_core.contracts.units import counted

_MOST_SUFFIXES: Final = 3


@attrs.frozen(kw_only=True)
class Listing:
    """Pictures by name; how many folders were not searched; suffixes of the other files."""

    files: tuple[Path, ...]
    folders: int
    others: Counter[str]

    @property
    def left_out(self) -> str:
        """`2 folders (not searched), 3 other files (.heic, .txt)`; empty where nothing is."""
        parts = []
        if self.folders:
            parts.append(f"{counted(self.folders, 'folder')} (not searched)")
        if self.others:
            parts.append(f"{counted(self.others.total(), 'other file')} ({_suffixes(self.others)})")
        return ", ".join(parts)


def list_pictures(folder: Path, suffixes: Iterable[str]) -> Listing:
    """Files of the folder with one of these suffixes, sorted by name; no hidden ones.

    Raises:
        ArtifactError: it can't be read, or holds no picture.
    """
    kept, folders, others = set(suffixes), 0, Counter[str]()
    files = []
    for entry in _entries(folder):
        suffix = Path(entry.name).suffix.lower()
        if _is_folder(entry):
            folders += 1
        elif suffix in kept:
            files.append(Path(entry.path))
        else:
            others[suffix] += 1
    listing = Listing(files=tuple(files), folders=folders, others=others)
    if not files:
        found = f"; it has {listing.left_out}" if listing.left_out else ""
        raise ArtifactError(
            f"{shown_name(folder)} has no pictures{found}",
            remedy=f"pictures are files that end in {', '.join(sorted(kept))}",
        )
    return listing


def shown_name(path: Path) -> str:
    """The path, or its escaped form where it would disturb a terminal or can't be encoded."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            visible = (entry for entry in entries if not entry.name.startswith("."))
            return sorted(visible, key=lambda entry: entry.name)
    except OSError as error:
        raise ArtifactError(
            f"{shown_name(folder)} can't be read as a folder: {error.strerror}",
            remedy="check the path and its permissions",
        ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads nowhere; reading it says why
        return False


def _suffixes(others: Counter[str]) -> str:
    shown = [shown_name(Path(suffix)) if suffix else "no suffix" for suffix in sorted(others)]
    more = ["..."] if len(shown) > _MOST_SUFFIXES else []
    return ", ".join(shown[:_MOST_SUFFIXES] + more)

"""What a store is: its identity, tiers and policy, in `store.json` of its home."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import attrs

from deepseek_core import errors
from deepseek_store import from_os_error, handles
from deepseek_store.commands import command
from deepseek_store.errors import ForeignStore
from deepseek_store.planning.policy import Policy

FILE: Final = "store.json"
FORMAT: Final = 1
LOG_FOLDER: Final = "log"


@attrs.frozen(kw_only=True)
class TierConfig:
    """One URL of a tier, with the name of the tier; a tier may have several."""

    name: str = attrs.field(validator=attrs.validators.in_(("warm", "cold")))
    url: str

    def to_json(self) -> dict[str, str]:
        """It as plain values; the file's word for a tier's name is "temperature"."""
        return {"temperature": self.name, "url": self.url}

    @classmethod
    def from_json(cls, content: Mapping[str, str]) -> Self:
        """What `to_json` gave."""
        rest = {key: value for key, value in content.items() if key != "temperature"}
        return cls(name=content["temperature"], **rest)


@attrs.frozen(kw_only=True)
class StoreConfig:
    """The content of `store.json`.

    `index` is "sqlite" (a file in the home) or the URL of a PostgreSQL database. `mirrors` are
    folders on other disks that hold a copy of the log each.
    """

    store_id: bytes = attrs.field(factory=lambda: secrets.token_bytes(16))
    tiers: tuple[TierConfig, ...] = ()
    policy: Policy = attrs.field(factory=Policy)
    index: str = "sqlite"
    mirrors: tuple[str, ...] = ()

    def of(self, tier: str) -> tuple[int, ...]:
        """The numbers of the URLs of a tier."""
        return tuple(i for i, one in enumerate(self.tiers) if one.name == tier)

    def save(self, home: Path) -> None:
        """Write it whole or not at all, and durably.

        Raises:
            OSError: it can't be written.
        """
        content = {
            "format": FORMAT,
            "store_id": self.store_id.hex(),
            "tiers": [tier.to_json() for tier in self.tiers],
            "index": self.index,
            "mirrors": list(self.mirrors),
            "policy": self.policy.to_json(),
        }
        text = json.dumps(content, indent=1) + "\n"
        write_durably(home / FILE, lambda _file: text.encode())

    @classmethod
    def load(cls, home: Path) -> Self:
        """Read it.

        Raises:
            ConfigError: there is no store in that folder, or a setting does not fit.
            ForeignStore: the file is none of ours, or of a later format.
            TierUnavailable: this user may not read it, or its disk does not answer.
        """
        try:
            text = (home / FILE).read_text(encoding="utf-8")
        except FileNotFoundError:
            if next((home / LOG_FOLDER).glob("segment-*"), None) is not None:
                raise _foreign(home, "it is missing") from None
            raise errors.ConfigError(
                f"there is no store in {home}", remedy=command("init", home)
            ) from None
        except UnicodeDecodeError as error:
            raise _foreign(home, str(error)) from error
        except OSError as error:
            # A folder in its place is another's; all else is an outage, and the file may be whole.
            if isinstance(error, IsADirectoryError):
                raise _foreign(home, "it is a folder") from error
            raise from_os_error.typed(error, str(home / FILE), str(home)) from error
        try:
            content = json.loads(text)
            return cls._read(content, home)
        except errors.ConfigError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _foreign(home, f"{type(error).__name__}: {error}") from error

    @classmethod
    def _read(cls, content: Mapping[str, Any], home: Path) -> Self:
        if content["format"] != FORMAT:
            raise _foreign(home, f"format {content['format']}, and this is format {FORMAT}")
        return cls(
            store_id=bytes.fromhex(content["store_id"]),
            tiers=tuple(map(TierConfig.from_json, content["tiers"])),
            policy=Policy.from_json(content["policy"]),
            index=content["index"],
            mirrors=tuple(content["mirrors"]),
        )


def write_durably(path: Path, content: Callable[[int], bytes]) -> None:
    """Make a file of a home what `content` gives for its descriptor: whole or not, and durably.

    Raises:
        OSError: it can't be written.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with handles.patiently(lambda: partial.open("wb")) as file:
            file.write(content(file.fileno()))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = handles.open_file(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _foreign(home: Path, why: str) -> ForeignStore:
    return ForeignStore(
        f"{home / FILE} is not readable as a store's file: {why}",
        url=str(home),
        remedy="take that file from a backup; the data in log/ and on the tiers is as it was",
    )

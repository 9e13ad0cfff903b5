"""Makes the home of a store, and changes what its user decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from deepseek_core import errors
from deepseek_store.home.config import LOG_FOLDER, StoreConfig, TierConfig, sync_folder
from deepseek_store.home.folder_marks import FolderMarks
from deepseek_store.home.locks import lock_store
from deepseek_store.home.log_folders import open_log
from deepseek_store.home.numbers import Numbers
from deepseek_store.home.open import open_index
from deepseek_store.home.owner_epochs import Owner
from deepseek_store.home.tier_set import Opener, mark_tiers, unmark_tiers
from deepseek_store.planning.policy import Policy


def make_home(folder: Path, config: StoreConfig, tiers: Opener | None = None) -> None:
    """Put an empty store into an empty folder.

    Raises:
        ConfigError: there is something in it.
        StorageError: it can't be written, or the index's database does not answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        what = "a store" if (folder / "store.json").exists() else "something else"
        raise errors.ConfigError(
            f"there is {what} in {folder} already", remedy="choose an empty folder"
        )
    for mirror in map(Path, config.mirrors):
        if mirror.is_dir() and any(mirror.iterdir()):
            raise errors.ConfigError(
                f"there is something in {mirror} already", remedy="choose an empty folder"
            )
    try:
        (folder / LOG_FOLDER).mkdir()  # whoever makes it has the folder, and may empty it again
    except FileExistsError as error:
        raise errors.ConfigError(
            f"another process makes a store in {folder}", remedy="choose another folder"
        ) from error
    try:
        for mirror in map(Path, config.mirrors):
            mirror.mkdir(parents=True, exist_ok=True)
        owner = Owner(folder, config.store_id, Numbers(folder))
        open_log(folder, config, owner, writing=True).close()
        open_index(folder, config, create=True).close()
        mark_tiers(config, tiers)
        config.save(folder)
    except BaseException:
        unmake_home(folder, config, tiers)
        raise
    sync_folder(folder.parent)


def unmake_home(folder: Path, config: StoreConfig, tiers: Opener | None = None) -> None:
    """Leave the folder as it was: empty; and the tiers, as far as they can be reached."""
    import shutil

    unmark_tiers(config, tiers)
    for mirror in map(Path, config.mirrors):
        if FolderMarks(mirror).store() == config.store_id:
            FolderMarks(mirror).unmark()
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def change_policy(folder: Path, changes: Mapping[str, Any]) -> tuple[Policy, Policy]:
    """Change fields of a store's policy in its `store.json`; the policy before and after.

    Raises:
        ConfigError: there is no store, no such field, or a value does not fit.
        StoreLocked: a process has the store open.
    """
    StoreConfig.load(folder)  # before a file of ours is made where there is no store
    lock = lock_store(folder)
    try:
        config = StoreConfig.load(folder)
        policy = Policy.from_json({**config.policy.to_json(), **changes})
        attrs.evolve(config, policy=policy).save(folder)
    finally:
        lock.close()
    return config.policy, policy


def add_tiers(
    folder: Path, added: Sequence[TierConfig], tiers: Opener | None = None
) -> StoreConfig:
    """Give a store more tiers, behind those that it has; the configuration as it was.

    They get the store's mark first: killed in between, it does no harm to do it again.

    Raises:
        ConfigError: there is no store, its index is shared by several homes, or no plugin opens
            one of the URLs.
        ForeignStore: one is a tier of the store already.
        StorageError: one can't be written to.
        StoreLocked: a process has the store open.
    """
    StoreConfig.load(folder)  # before a file of ours is made where there is no store
    lock = lock_store(folder)
    try:
        before = StoreConfig.load(folder)
        if before.index != "sqlite":
            raise errors.ConfigError(
                "the store's index is shared by homes on several machines, and they would not know"
                " of more tiers",
                remedy="make a store with those tiers, and sync this one into it",
            )
        config = attrs.evolve(before, tiers=(*before.tiers, *added))
        try:
            mark_tiers(config, tiers)
            config.save(folder)
        except BaseException:
            unmark_tiers(config, tiers, first=len(before.tiers))
            raise
    finally:
        lock.close()
    return before


def take_back_tiers(folder: Path, before: StoreConfig, tiers: Opener | None = None) -> None:
    """Undo `add_tiers` before anything was written to what it added."""
    lock = lock_store(folder)
    try:
        config = StoreConfig.load(folder)
        before.save(folder)
        unmark_tiers(config, tiers, first=len(before.tiers))
    finally:
        lock.close()

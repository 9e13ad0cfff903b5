"""The two directions of a sync: what is looked at, and what is done."""

from __future__ import annotations

import argparse
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from deepseek_core import errors
from deepseek_store.at_once import CHANGES, AtOnce
from deepseek_store.cli.byte_progress import ByteProgress
from deepseek_store.cli.download_objects import (
    Download,
    Downloader,
    open_target,
    tell_of_outer_link,
)
from deepseek_store.cli.file_options import check_outside, kept_of, walk_options_of
from deepseek_store.cli.key_view import KeyView
from deepseek_store.cli.local.names import file_names, folders_above
from deepseek_store.cli.local.patterns import Filter
from deepseek_store.cli.local.target_folder import TargetFolder, Unwritable, stays_inside
from deepseek_store.cli.local.walk import FOLDER_MARK, FolderWalk, WalkEntry
from deepseek_store.cli.partial_failures import Troubles, shown
from deepseek_store.cli.sync_plan import Item, Name, SyncPlan, SyncRules, make_sync_plan
from deepseek_store.cli.sync_sides import has_bytes_of, item_of, name_of, stored_items
from deepseek_store.cli.upload_files import (
    Uploader,
    UploadItem,
    own_folders,
    store_folders,
    upload_of,
)
from deepseek_store.errors import KeyRefused
from deepseek_store.planning.amounts import counted
from deepseek_store.write.keys import check_key

if TYPE_CHECKING:
    from deepseek_store.store import Store


@attrs.frozen(kw_only=True)
class Sides:
    """A folder here, one of the store (`""` or ending in `/`), and which is the source."""

    local: str
    folder: str
    up: bool


@attrs.frozen(kw_only=True)
class Done:
    """What was done, or would be: paths, and how many bytes."""

    copied: Sequence[str]
    deleted: Sequence[str]
    permissions: int
    same: int
    nbytes: int


def _paths(names: Iterable[Name]) -> list[str]:
    return [path + "/" * is_folder for path, is_folder in names]


class Sync(ABC):
    """What both directions share."""

    def __init__(
        self, store: Store, args: argparse.Namespace, sides: Sides, troubles: Troubles
    ) -> None:
        self.store, self.args, self.sides, self.troubles = store, args, sides, troubles
        self.view = KeyView(store, args.snapshot)
        self.never = store_folders(store)
        self.entries: dict[Name, WalkEntry] = {}
        check_outside(sides.local, own=own_folders(store), never=self.never)

    def run(self) -> Done:
        """Look at both sides, and do what makes the target like the source."""
        source, target = self.look()
        plan = make_sync_plan(source, target, self._rules())
        delete = self._deletable(plan)
        copy = tuple(name for name in plan.copy if self.may_copy(name, source[name]))
        plan = attrs.evolve(plan, copy=copy, delete=delete)
        nbytes = sum(source[name].nbytes for name in plan.copy if source[name].kind == "file")
        if not self.args.dry_run:
            return self.carry_out(plan, nbytes)
        return Done(
            copied=_paths(plan.copy),
            deleted=sorted(_paths(plan.delete)),
            permissions=len(plan.dress),
            same=plan.same,
            nbytes=nbytes,
        )

    @abstractmethod
    def look(self) -> tuple[Mapping[Name, Item], Mapping[Name, Item]]:
        """What lies in source and target."""

    @abstractmethod
    def may_copy(self, name: Name, item: Item) -> bool:
        """Whether the target takes that; it is told if not."""

    @abstractmethod
    def carry_out(self, plan: SyncPlan, nbytes: int) -> Done:
        """Do what was planned; `nbytes` are to be copied."""

    def local_items(self, troubles: Troubles, *, keep_links: bool = False) -> dict[Name, Item]:
        """What lies here."""
        options = walk_options_of(self.args, self.never)
        if keep_links:
            options = attrs.evolve(options, links="keep")
        found: dict[Name, Item] = {}
        for entry in FolderWalk(self.sides.local, options, troubles):
            try:
                found[name_of(entry)] = item_of(entry)
            except OSError as error:  # where a link leads: as of /proc, or one that vanished
                troubles.fail(entry.path, f"can't be read: {error.strerror}")
            else:
                self.entries[name_of(entry)] = entry
        return found

    def stored_items(self) -> dict[Name, Item]:
        """What lies in the store."""
        return stored_items(self.view, self.sides.folder, Filter(self.args.rules))

    def _rules(self) -> SyncRules:
        args = self.args
        return SyncRules(
            size_only=args.size_only,
            window_ns=int(args.modify_window * 1e9),
            times=not args.no_times,
            mode_bits=0 if args.no_mode else 0o7777 if self.sides.up else 0o777,
            same_bytes=self._same_bytes if args.checksum else None,
        )

    def _same_bytes(self, path: str) -> bool:
        file = Path(self.entries[path, False].file)
        try:
            return has_bytes_of(self.store, self.sides.folder + path, file)
        except errors.TierUnavailable:  # of the store, not of the file
            raise
        except OSError:
            return False  # told when it is copied

    def _deletable(self, plan: SyncPlan) -> tuple[Name, ...]:
        args = self.args
        if not args.delete:
            return ()
        if self.troubles.exit_code:
            self.troubles.note("--delete", "nothing is deleted: not all could be looked at")
            return ()
        if args.max_delete is not None and len(plan.delete) > args.max_delete:
            raise errors.InputError(
                f"{counted(len(plan.delete), 'file')} would be deleted; nothing was done",
                remedy=f"--max-delete {len(plan.delete)}, or see which with --dry-run",
            )
        return plan.delete


class SyncUp(Sync):
    """From here into the store."""

    def look(self) -> tuple[Mapping[Name, Item], Mapping[Name, Item]]:
        """What lies here, and in the store."""
        if not Path(self.sides.local).is_dir():
            raise errors.InputError(
                f"{shown(self.sides.local)} is not a folder", remedy="name the folder to be stored"
            )
        return self.local_items(self.troubles), self.stored_items()

    def carry_out(self, plan: SyncPlan, nbytes: int) -> Done:
        """Permissions are part of an object: where they differ it is stored again."""
        deleted = _paths(self._delete(plan.delete))
        dressed = set(_paths(plan.dress))
        stored: dict[str, int] = {}
        keys = []
        with (
            ByteProgress("sync", nbytes, quiet=self.args.quiet) as progress,
            Uploader(
                self.store,
                kept=kept_of(self.args),
                meta={},
                troubles=self.troubles,
                progress=progress,
            ) as uploader,
        ):
            for upload, receipt in uploader.put_all(self._uploads([*plan.copy, *plan.dress])):
                path = upload.key.removeprefix(self.sides.folder).removesuffix(FOLDER_MARK)
                stored[path] = receipt.nbytes if upload.kind == "file" else 0
                keys += [receipt.key] if receipt.nbytes else []
            uploader.finish(keys, None)
        copied = sorted(stored.keys() - dressed)
        return Done(
            copied=copied,
            deleted=sorted(deleted),
            permissions=len(stored.keys() & dressed),
            same=plan.same,
            nbytes=sum(stored[path] for path in copied),
        )

    def may_copy(self, name: Name, item: Item) -> bool:
        """A store takes no keys with `..`, nor very long ones."""
        path, is_folder = name
        try:
            check_key(self.sides.folder + path + (f"/{FOLDER_MARK}" if is_folder else ""))
        except KeyRefused as error:
            self.troubles.fail(self.entries[name].file, f"{error.message} ({error.remedy})")
            return False
        return True

    def _uploads(self, names: Iterable[Name]) -> Iterator[UploadItem]:
        for name in names:
            yield upload_of(
                self.entries[name],
                self.sides.folder,
                top=self.sides.local,
                follow=self.args.copy_links,
            )

    def _delete(self, names: Sequence[Name]) -> list[Name]:
        def delete(name: Name) -> Name | None:
            key = self.sides.folder + name[0] + (f"/{FOLDER_MARK}" if name[1] else "")
            return name if self.store.delete(key) else None

        with AtOnce(CHANGES) as at_once:
            return [name for name in at_once.results(delete, names) if name is not None]


class SyncDown(Sync):
    """From the store to here."""

    def look(self) -> tuple[Mapping[Name, Item], Mapping[Name, Item]]:
        """What lies in the store, and here."""
        source = self.stored_items()
        self._renamed = file_names(f"{path}/." if is_folder else path for path, is_folder in source)
        self._needed = {path for path, is_folder in source if is_folder}
        self._needed.update(folder for path, _ in source for folder in folders_above(path))
        if self.sides.folder and not source and not self.view.is_folder(self.sides.folder):
            raise errors.ObjectMissing(
                f"there is no folder {shown(self.sides.folder)!r}",
                url=self.store.url,
                remedy="ds-sdk store ls HOME",
            )
        target: dict[Name, Item] = {}
        if Path(self.sides.local).exists():
            target = self.local_items(self.troubles, keep_links=True)
        for path, is_folder in source:
            if is_folder and (path, True) not in target:
                target |= self._folder_here(path)
        return source, target

    def _folder_here(self, path: str) -> dict[Name, Item]:
        """A folder that is not empty: a walk tells only of those that are."""
        try:
            found = os.lstat(Path(self.sides.local, path))
        except OSError:
            return {}
        if not stat.S_ISDIR(found.st_mode):
            return {}
        return {(path, True): Item(kind="folder", mode=found.st_mode & 0o7777)}

    def carry_out(self, plan: SyncPlan, nbytes: int) -> Done:
        """What has to go goes first: a file may have to give way to a folder."""
        fetched: dict[str, int] = {}
        with (
            open_target(self.sides.local, self.troubles) as target,
            ByteProgress("sync", nbytes, quiet=self.args.quiet) as progress,
        ):
            deleted = self._delete(target, plan.delete)
            downloader = Downloader(
                self.view,
                target,
                kept=kept_of(self.args),
                all_links=self.args.links,
                troubles=self.troubles,
                progress=progress,
            )
            with downloader:
                for download, got in downloader.get_all(map(self._download, plan.copy)):
                    path = download.key.removeprefix(self.sides.folder)
                    fetched[path.removesuffix(FOLDER_MARK)] = got
            dressed = self._dress(target, downloader, plan.dress)
        return Done(
            copied=sorted(fetched),
            deleted=sorted(deleted),
            permissions=dressed,
            same=plan.same,
            nbytes=sum(fetched.values()),
        )

    def may_copy(self, name: Name, item: Item) -> bool:
        """Links that lead out of the folder are made only if one asks for it."""
        wanted = self.args.links or item.text is None
        if not wanted and not stays_inside(name[0], os.fsdecode(item.text or b"")):
            tell_of_outer_link(self.troubles, self.sides.folder + name[0])
            return False
        return True

    def _download(self, name: Name) -> Download:
        path, is_folder = name
        key = self.sides.folder + path
        if is_folder:
            return Download(key=f"{key}/{FOLDER_MARK}", path=path, kind="folder")
        return Download(key=key, path=self._renamed.get(path, path))

    def _delete(self, target: TargetFolder, names: Sequence[Name]) -> list[str]:
        """Files, then the folders that are empty without them."""
        gone = [name for name in names if self._remove(target, name)]
        folders = {folder for path, _ in gone for folder in folders_above(path)}
        for folder in sorted(folders - self._needed, reverse=True):
            with self._told(folder):
                target.remove_folder(folder)
        return [path for path, _ in gone]

    def _remove(self, target: TargetFolder, name: Name) -> bool:
        path, is_folder = name
        with self._told(path):
            if is_folder:
                return target.remove_folder(path)
            target.remove(os.path.relpath(self.entries[name].file, self.sides.local))
            return True
        return False

    def _dress(self, target: TargetFolder, downloader: Downloader, names: Iterable[Name]) -> int:
        dressed = 0
        for name in names:
            download = self._download(name)
            with self._told(name[0]):
                looks = downloader.looks_of(self.view.info(download.key))
                target.dress(download.path, looks)
                dressed += 1
        return dressed

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        try:
            yield
        except errors.ObjectMissing as error:
            self.troubles.fail(path, error.message)
        except (OSError, Unwritable) as error:
            self.troubles.fail(path, getattr(error, "strerror", None) or str(error))

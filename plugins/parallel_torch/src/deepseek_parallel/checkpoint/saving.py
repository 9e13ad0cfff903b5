"""A save in the background: files of all ranks, their records, and one manifest at the end.

Ranks do not talk to each other here, so that no background message meets those of the training:
each writes its files, reads them back, and leaves a record beside them. Rank 0 waits for all
records and commits.
"""

from __future__ import annotations

import base64
import functools
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import attrs

from deepseek_core import DeepSeekError, emit, events
from deepseek_parallel.checkpoint import dcp_files, tree
from deepseek_parallel.checkpoint import manifest as manifests
from deepseek_parallel.checkpoint.manifest import File, Manifest
from deepseek_parallel.checkpoint.place import Place
from deepseek_parallel.checkpoint.plans import Planned
from deepseek_parallel.checkpoint.staging import Rest, Staged
from deepseek_parallel.errors import AnotherWriter, SaveFailed, SaveUnfinished

RECORDS: Final = "records"
_FAILED: Final = "failed-"
_NICE: Final = 5  # about a third of a core where the training uses all of them
_POLL_S: Final = (0.02, 1.0)  # the first and the longest pause between two looks
_LOG: Final = logging.getLogger(__name__)


class Saving:
    """A save that was begun; `step` is that of the training, `url` the checkpoint's folder."""

    def __init__(self, step: int, url: str) -> None:
        self.step, self.url = step, url
        self.error: DeepSeekError | None = None
        self._manifest: Manifest | None = None
        self._done = threading.Event()

    @property
    def is_done(self) -> bool:
        """Whether it was committed or has failed, as `error` says."""
        return self._done.is_set()

    def wait(self, limit_s: float = 600.0) -> Manifest:
        """Wait until it is committed.

        Raises:
            SaveFailed: it was not saved; those before it stay.
            AnotherWriter: another process saves to the same URL.
            SaveUnfinished: it still runs after `limit_s` seconds.
        """
        if not self._done.wait(limit_s):
            raise SaveUnfinished(
                f"the checkpoint of step {self.step} is still being saved after {limit_s:g} s",
                remedy="wait longer, or see why writing there is slow",
            )
        if self.error is not None:
            raise self.error
        assert self._manifest is not None
        return self._manifest

    def finish(self, manifest: Manifest | None, error: DeepSeekError | None = None) -> None:
        """Say how it ended."""
        self._manifest, self.error = manifest, error
        self._done.set()


@attrs.frozen(kw_only=True)
class Job:
    """What one rank writes of a checkpoint, and what rank 0 commits.

    `rest` is what of `staged` is still to be copied. `check` is called before the commit and raises
    where it may not be; `after` once it is done. `limit_s` is how long ranks wait for each other.
    """

    place: Place
    rank: int
    manifest: Manifest
    plans: Mapping[str, Planned]
    staged: Mapping[str, Staged]
    rest: Rest
    skeletons: Mapping[str, Any]
    limit_s: float
    stopped: threading.Event
    check: Callable[[], None]
    after: Callable[[], None]

    def run(self, saving: Saving) -> None:
        """Do it, and tell `saving` how it ended; what `after` says is logged."""
        begin_s = time.monotonic()
        try:
            self.rest.copy()  # at full speed: the next step waits for it
            _be_nice()
            manifest = self._saved()
        except Exception as error:  # noqa: BLE001 - whatever it is, the training goes on
            failed = self._failed(error)
            if self.rank == 0:
                url, step = self.place.url, saving.step
                emit(events.CheckpointFailed(url=url, step=step, reason=failed.message))
            saving.finish(None, failed)
            return
        if self.rank == 0:
            emit(_committed(manifest, self.place.url, time.monotonic() - begin_s))
            try:
                self.after()
            except DeepSeekError as error:
                _LOG.warning("older checkpoints stay: %s", error)
        saving.finish(manifest)

    def _saved(self) -> Manifest:
        files, pieces = [], {}
        for part, plan in self.plans.items():
            place = self.place.below(part)
            place.make()
            writer = dcp_files.PartWriter(place)
            pieces[part] = writer.write(plan.mine, self.staged[part])
            for file in writer.files.written.values():
                place.read_verified(file)  # the bytes that arrived, before anything older goes
                files.append(attrs.evolve(file, path=f"{part}/{file.path}"))
        record = {"files": [attrs.asdict(file) for file in files], "pieces": pieces}
        skeleton = dcp_files.dump_values(dict(self.skeletons))
        record["skeleton"] = base64.b64encode(skeleton).decode()
        records = self.place.below(RECORDS)
        records.make()
        records.write(f"{self.rank}.json", json.dumps(record).encode())
        if self.rank == 0:
            return self._committed(self._all_records())
        return self._told()

    def _committed(self, records: list[dict[str, Any]]) -> Manifest:
        files = [File(**file) for record in records for file in record["files"]]
        loaded = [
            dcp_files.load_values(base64.b64decode(record["skeleton"]), self.place.url)
            for record in records
        ]
        for part, plan in self.plans.items():
            assert plan.all is not None
            skeleton = functools.reduce(tree.merged, (one[part] for one in loaded))
            pieces = [piece for record in records for piece in record["pieces"][part]]
            place = self.place.below(part)
            for file in dcp_files.PartWriter(place).finish_part(plan.all, pieces, skeleton):
                place.read_verified(file)
                files.append(attrs.evolve(file, path=f"{part}/{file.path}"))
        self.place.below(RECORDS).remove_all("0.json")
        self.check()
        whole = attrs.evolve(self.manifest, files=tuple(sorted(files, key=lambda f: f.path)))
        self.place.sync()
        self.place.write(manifests.NAME, whole.to_json())
        return whole

    def _all_records(self) -> list[dict[str, Any]]:
        """The records of all ranks, by rank."""
        ranks = range(self.manifest.ranks)
        place = self.place.below(RECORDS)

        def look() -> range | None:
            if not _missing(ranks, place):
                return ranks
            if place.read(f"{self.rank}.json") is None:
                raise SaveFailed(
                    f"what was saved at {place.url} is gone",
                    remedy="see who has removed or moved it while it was written",
                )
            return None

        self._waited(
            look,
            lambda: (
                f"ranks {_missing(ranks, place)} left no record at {place.url} within "
                f"{self.limit_s:g} s"
            ),
        )
        return [json.loads(place.read(f"{rank}.json") or b"") for rank in ranks]

    def _told(self) -> Manifest:
        """The manifest that rank 0 has committed."""
        data = self._waited(
            lambda: self.place.read(manifests.NAME),
            lambda: f"rank 0 committed nothing at {self.place.url} within {self.limit_s:g} s",
        )
        return manifests.read_manifest(data, self.place.url_of(manifests.NAME))

    def _waited(self, look: Callable[[], Any], what: Callable[[], str]) -> Any:
        pause_s, longest_s = _POLL_S
        until_s = time.monotonic() + self.limit_s
        while (found := look()) is None:
            self._check_failed()
            if self.stopped.is_set():
                raise SaveFailed("the save was stopped", remedy="save again")
            if time.monotonic() > until_s:
                raise SaveFailed(
                    what(), remedy="see the logs of these ranks; all ranks must see the same files"
                )
            self.stopped.wait(pause_s)
            pause_s = min(2 * pause_s, longest_s)
        return found

    def _check_failed(self) -> None:
        records = self.place.below(RECORDS)
        for name in records.names():
            if name.startswith(_FAILED):
                told = json.loads(records.read(name) or b'"it does not say why"')
                raise SaveFailed(f"{name.removeprefix(_FAILED).removesuffix('.json')}: {told}")

    def _failed(self, error: Exception) -> DeepSeekError:
        """Free what was written, tell the others, and say what happened."""
        for part in self.plans:
            for name in self._own(part):
                with suppress(Exception):  # the disk may be gone; what failed first is told
                    self.place.below(part).remove(name)
        with suppress(Exception):
            records = self.place.below(RECORDS)
            records.make()
            records.write(f"{_FAILED}rank {self.rank}.json", json.dumps(str(error)).encode())
        if isinstance(error, AnotherWriter | SaveFailed):
            failed: DeepSeekError = error
        else:
            failed = SaveFailed(
                f"the checkpoint of step {self.manifest.step} was not saved: "
                f"{getattr(error, 'message', None) or f'{type(error).__name__}: {error}'}",
                remedy=getattr(error, "remedy", None) or "see the cause",
            )
            failed.__cause__ = error
        _LOG.warning("%s", failed)
        return failed

    def _own(self, part: str) -> list[str]:
        return [n for n in self.place.below(part).names() if n.startswith(f"__{self.rank}_")]


def _committed(manifest: Manifest, url: str, seconds: float) -> events.CheckpointCommitted:
    nbytes = sum(file.nbytes for file in manifest.files)
    return events.CheckpointCommitted(url=url, step=manifest.step, nbytes=nbytes, seconds=seconds)


def _missing(ranks: range, place: Place) -> str:
    names = place.names()
    return ", ".join(str(rank) for rank in ranks if f"{rank}.json" not in names)


def _be_nice() -> None:
    """Let the training's threads go first: on Linux, each thread has a priority of its own."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)

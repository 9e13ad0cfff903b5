"""Checkpoints of a training: saved in the background, loaded onto any number of ranks."""

from __future__ import annotations

import atexit
import functools
import json
import secrets
import threading
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Self

import attrs
import torch
import torch.distributed as dist
from torch.utils.hooks import RemovableHandle

from deepseek_core import errors
from deepseek_parallel.checkpoint import claim, tree
from deepseek_parallel.checkpoint import manifest as manifests
from deepseek_parallel.checkpoint.listing import Found, listing, superseded
from deepseek_parallel.checkpoint.loading import Load, Part, is_spread, of_rank
from deepseek_parallel.checkpoint.manifest import Manifest
from deepseek_parallel.checkpoint.peers import Peers, check_equal
from deepseek_parallel.checkpoint.place import Place
from deepseek_parallel.checkpoint.plans import Plans
from deepseek_parallel.checkpoint.saving import Job, Saving
from deepseek_parallel.checkpoint.staging import Rest, Staging
from deepseek_parallel.checkpoint.verifying import remove
from deepseek_parallel.errors import CodeMismatch, RankLost, SaveUnfinished, StateMismatch
from deepseek_parallel.states import is_of_rank

_LIMIT_S: Final = 600.0
_EXIT_S: Final = 60.0  # how long a process that ends without `close` waits for its last save


@attrs.frozen(kw_only=True)
class _Offer:
    """What one rank tells the others of a save; `name` is that of the checkpoint, of rank 0."""

    versions: Mapping[str, str]
    step: int
    by_rank: bool
    process: claim.Process
    is_new: bool
    name: str | None


class Checkpoints:
    """The checkpoints of a training at a URL: a folder, `ds://...`, or any that fsspec opens.

    All ranks of `group` make one with the same arguments and call `save` and `load` together;
    `group` is the default one where there is one, else this process is alone. `keep` is how many
    checkpoints stay; an older one goes when a newer one was saved and read back. `limit_s` is how
    long the ranks wait for each other in a save. `options` go to fsspec.

    A save copies what this rank writes and returns; a thread of low priority writes the rest. A
    checkpoint exists once its manifest does, which comes last. One run at a time saves to a URL.

    Raises:
        ConfigError: a setting that can't be, or a URL that fsspec or several ranks can't use.
    """

    def __init__(
        self,
        url: str,
        *,
        keep: int = 3,
        group: dist.ProcessGroup | None = None,
        limit_s: float = _LIMIT_S,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if keep < 1:
            raise errors.ConfigError(f"keep is {keep}", remedy="keep 1 checkpoint or more")
        if not 0 < limit_s < float("inf"):
            raise errors.ConfigError(f"limit_s is {limit_s}", remedy="give seconds above 0")
        self._place = Place(url, **(options or {}))
        self._peers = Peers(group)  # the other ranks
        if self._peers.size > 1 and not self._place.is_shared:
            raise errors.ConfigError(
                f"{self._place.url} is in the memory of one process, and {self._peers.size} ranks "
                "save to it",
                remedy="give a URL that all ranks see",
            )
        self.url, self._keep, self._limit_s = self._place.url, keep, limit_s
        # what the ranks agreed on who writes what, and where this one copies it to first
        self._plans, self._staging = Plans(self._peers), Staging()
        # of the state that is being saved, by part: its tensors, and all else with their places
        self._tensors: dict[str, dict[str, torch.Tensor]] = {}
        self._skeletons: dict[str, Any] = {}
        self._run: str | None = None  # by which the URL is claimed; None until the first save
        self._sequence = 0  # of the last save
        self._last: tuple[Saving, threading.Thread] | None = None
        # what is copied beside a step, and what keeps the optimizer from changing it
        self._held: tuple[Rest, RemovableHandle] | None = None
        self._stopped = threading.Event()  # nobody waits for a save any more

    def save(
        self,
        step: int,
        model: Mapping[str, Any],
        optimizer: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
        *,
        until_step_of: torch.optim.Optimizer | None = None,
    ) -> Saving:
        """Copy the state and save it in the background; all ranks call it at the same step.

        `model` and `optimizer` are what `state_dict()` gave: of a plain module, of one that is
        spread over a mesh, or of `CompressedSGD`. `extra` is anything that JSON has; that of rank 0
        is kept. A save that still runs is waited for first. That one has failed is not raised
        here: see what `save` returned then.

        With `until_step_of` the copy is made beside what comes before the next `step()` of that
        optimizer, which waits for it: give it where nothing else changes its state and parameters.
        If something did, the save fails; but torch does not count what goes through `.data`.

        Raises:
            InputError: a state that holds something else than tensors and values, or is not JSON.
            StateMismatch: ranks differ in the step, or in the shape of a tensor.
            CodeMismatch: a rank runs another version of the code.
            AnotherWriter: a process of another run saves to the same URL.
            WriteError: the URL can't be written to.
            RankLost: a rank does not answer.
        """
        told = self._peers.agree(lambda: self._offer(step, model, optimizer, extra))
        check_equal([one.versions for one in told], "the versions", CodeMismatch)
        check_equal([one.step for one in told], "step", StateMismatch)
        mine = told[self._peers.rank]
        name = told[0].name or self._claimed(step, [one.process for one in told])
        plans = self._plans.made(self._tensors, again=any(one.is_new for one in told))
        staged, rest = self._staging.copied(self._tensors, plans, until_step_of)
        job = Job(
            place=self._place.below(name),
            rank=self._peers.rank,
            manifest=self._manifest(name, mine, extra),
            plans=plans,
            staged=staged,
            rest=rest,
            skeletons=self._skeletons,
            limit_s=self._limit_s,
            stopped=self._stopped,
            check=lambda: claim.check(self._place, self._run or ""),
            after=self._clean,
        )
        self._tensors = {}
        saving = self._started(job)
        if until_step_of is not None:
            hook = until_step_of.register_step_pre_hook(lambda *_: rest.wait(self._limit_s))
            self._held = rest, hook
        return saving

    def latest(self) -> Manifest | None:
        """The checkpoint that was committed last; None if there is none. Ranks may call it alone.

        Raises:
            CheckpointDamaged: the last one's manifest can't be read.
            ArtifactError: a newer version of the SDK wrote it.
            InputError: the URL can't be read.
        """
        found = listing(self._place).latest()
        return found.manifest if found else None

    def load(
        self,
        model: MutableMapping[str, Any],
        optimizer: MutableMapping[str, Any] | None = None,
        *,
        step: int | None = None,
    ) -> Mapping[str, Any]:
        """Load the latest checkpoint, or that of `step`, in place; what was given as `extra`.

        Give what `state_dict()` gives now, on any number of ranks, and hand both to
        `load_state_dict()` afterwards. Without `optimizer`, none of its bytes are read. Every file
        that a rank reads is verified before anything changes, so after an error nothing has. All
        ranks call it, and all raise where one does.

        Raises:
            CheckpointMissing: there is none, or none of that step.
            CheckpointDamaged: a file is missing or has other bytes; it is named.
            StateMismatch: it is of another model or optimizer; the parameter is named.
            ArtifactError: a newer version of the SDK wrote it.
            RankLost: a rank does not answer.
        """
        found = self._peers.agreed(lambda: listing(self._place).chosen(step, self.url))
        load = Load(self._peers.rank, self._peers.size)
        asked = self._peers.agree(lambda: self._prepared(load, found, model, optimizer))
        left = sorted(load.saved - set().union(*asked))
        if left:
            raise StateMismatch(
                f"{left[0]} was saved, and this model has no such tensor",
                remedy=f"load a checkpoint of this model: this one has {len(load.saved)} tensors",
            )
        self._peers.agree(load.finish)
        return found.manifest.extra

    @property
    def was_cut_off(self) -> bool:
        """Whether the run that saved here last ended by a failure: a kill, or a rank that is lost.

        It is asked before the first save. Of a run on another machine it is taken to have ended.
        """
        return self._run is None and claim.is_left(self._place)

    def close(self, limit_s: float | None = None, *, cut_off: bool = False) -> None:
        """Wait for the save that runs, at most `limit_s` seconds, and give the URL free.

        With 0 a save that other ranks do not finish is left; nothing of it counts. `cut_off` says
        that a failure ended the run, which the next one is to know.
        """
        self.wait_for_copy()
        if self._last is not None:
            _, thread = self._last
            thread.join(self._limit_s if limit_s is None else limit_s)
            self._stopped.set()
            thread.join(0.1)
            self._last = None
        if self._run is not None:
            atexit.unregister(self.close)
            if self._peers.rank == 0:
                (claim.leave if cut_off else claim.release)(self._place, self._run)
            self._run = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        is_lost = kind is not None and issubclass(kind, RankLost)
        self.close(None if kind is None else 0, cut_off=is_lost)

    def _offer(
        self,
        step: int,
        model: Mapping[str, Any],
        optimizer: Mapping[str, Any] | None,
        extra: Mapping[str, Any] | None,
    ) -> _Offer:
        """Look at what is to be saved, and say what the others must know."""
        self._wait_for_last()
        if type(step) is not int or step < 0:
            raise errors.InputError(f"step must be a whole number of 0 or more, got {step!r}")
        _check_json(extra)
        parts = {"model": model, "optimizer": optimizer or {}}
        by_rank = is_of_rank(parts["optimizer"])
        if by_rank:
            parts["optimizer"] = {of_rank(self._peers.rank): parts["optimizer"]}
        flat = {part: tree.flatten(state) for part, state in parts.items()}
        self._tensors = {part: tensors for part, (tensors, _) in flat.items()}
        self._skeletons = {part: skeleton for part, (_, skeleton) in flat.items()}
        return _Offer(
            versions=versions(),
            step=step,
            by_rank=by_rank,
            process=claim.this_process(),
            is_new=not self._plans.are_for(self._tensors),
            name=self._next_name(step) if self._run and self._peers.rank == 0 else None,
        )

    def wait_for_copy(self) -> None:
        """Wait until the last save has copied all, so that anything may change the state.

        Raises:
            SaveUnfinished: it has not within the limit.
        """
        if self._held is not None:
            rest, hook = self._held
            rest.wait(self._limit_s)
            hook.remove()
            self._held = None

    def _wait_for_last(self) -> None:
        self.wait_for_copy()
        if self._last is not None:
            self._last[1].join(self._limit_s)
            if self._last[1].is_alive():
                raise SaveUnfinished(
                    f"the save before this one still runs after {self._limit_s:g} s",
                    remedy="save less often, or see why writing there is slow",
                )

    def _claimed(self, step: int, processes: list[claim.Process]) -> str:
        """The first name of a run, once the URL is claimed for it."""
        run, name = self._peers.agreed(lambda: self._claim(step, processes))
        self._run = run
        atexit.register(self.close, _EXIT_S)
        return name

    def _claim(self, step: int, processes: list[claim.Process]) -> tuple[str, str]:
        run = secrets.token_hex(8)
        claim.take(self._place, run, processes)
        found = listing(self._place)
        self._sequence = found.next_sequence - 1
        for name in found.torn:  # before anything is written: they may fill the disk
            remove(self._place, name)
        return run, self._next_name(step)

    def _next_name(self, step: int) -> str:
        self._sequence += 1
        return manifests.new_folder(self._sequence, step)

    def _manifest(self, name: str, mine: _Offer, extra: Mapping[str, Any] | None) -> Manifest:
        return Manifest(
            name=name,
            step=mine.step,
            sequence=manifests.sequence_of(name) or 0,
            ranks=self._peers.size,
            by_rank=mine.by_rank,
            run=self._run or "",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=mine.versions,
            extra=dict(extra or {}),
            files=(),
        )

    def _started(self, job: Job) -> Saving:
        saving = Saving(job.manifest.step, job.place.url)
        thread = threading.Thread(
            target=job.run, args=(saving,), name=f"checkpoint-{job.manifest.step}", daemon=True
        )
        self._last = saving, thread
        thread.start()
        return saving

    def _clean(self) -> None:
        """Take away what is superseded, and what failed saves of this run left."""
        found = listing(self._place)
        for name in found.torn:
            if (manifests.sequence_of(name) or 0) < self._sequence:
                remove(self._place, name)
        for one in superseded(found.committed, self._keep):
            remove(self._place, one.folder)

    def _prepared(
        self,
        load: Load,
        found: Found,
        model: MutableMapping[str, Any],
        optimizer: MutableMapping[str, Any] | None,
    ) -> set[str]:
        place = self._place.below(found.folder) if found.folder else self._place
        told = found.manifest
        parts = {
            part: Part(place.url_of(part), told.of_part(part), place.read_verified)
            for part in (("model",) if optimizer is None else manifests.PARTS)
        }
        asked = load.model(parts["model"], model)
        if optimizer is not None:
            load.optimizer(
                parts["optimizer"], optimizer, told.ranks, by_rank=told.by_rank,
                is_spread=is_spread(tree.flatten(model)[0]),
            )  # fmt: skip
        return asked


@functools.cache
def versions() -> Mapping[str, str]:
    """The versions of what writes and reads checkpoints."""
    try:
        mine = version("deepseek-parallel")
    except PackageNotFoundError:
        mine = "unknown"
    return {"deepseek-parallel": mine, "format": str(manifests.FORMAT), "torch": torch.__version__}


def _check_json(extra: Mapping[str, Any] | None) -> None:
    try:
        json.dumps(extra or {}, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.InputError(
            f"extra is not JSON: {error}", remedy="give numbers, text, lists and dictionaries"
        ) from error

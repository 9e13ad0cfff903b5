"""Copies of a state in memory: each rank's own, and one at its neighbor.

Where a rank is lost, its part of the last copy is still with its neighbor: those who are left, and
those who join, go on from it without any storage. Two neighbors lost at once need a checkpoint.

Source: Wang et al., "Gemini: fast failure recovery in distributed training with in-memory
checkpoints" (SOSP 2023).
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

import attrs
import torch
import torch.distributed as dist

from deepseek_parallel.checkpoint import dcp_files, tree
from deepseek_parallel.checkpoint.loading import Load, Part, is_spread, of_rank
from deepseek_parallel.checkpoint.manifest import PARTS, File
from deepseek_parallel.checkpoint.peers import Peers
from deepseek_parallel.checkpoint.place import Hashed
from deepseek_parallel.checkpoint.plans import Planned, Plans
from deepseek_parallel.checkpoint.staging import Staged, Staging
from deepseek_parallel.errors import CheckpointMissing
from deepseek_parallel.lost import waited
from deepseek_parallel.states import is_of_rank

Files = dict[str, memoryview]


@attrs.frozen(kw_only=True)
class _Copy:
    """What a rank knows of one copy; `held` are the files of the ranks that it holds, by rank."""

    number: int
    step: int
    ranks: int
    by_rank: bool
    extra: Mapping[str, Any]
    common: Mapping[str, bytes]
    held: Mapping[int, Files]


class NeighborCopies:
    """The last state of all ranks, in the memory of each rank and of the next one.

    All ranks of `group`, whose backend sends tensors of the CPU, make one and call `save` together.
    A process that joins makes one that is empty, and `load` fills its state.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self._join(group)
        self._copies: list[_Copy] = []

    def save(
        self,
        step: int,
        model: Mapping[str, Any],
        optimizer: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Copy the state of this rank, and exchange copies with the neighbors.

        The copy before it is dropped once all ranks have this one.

        Raises:
            InputError: a state that holds something else than tensors and values.
            StateMismatch: ranks differ in the shape of a tensor.
            RankLost: a rank does not answer; the copy before this one is still there.
        """
        parts = {"model": model, "optimizer": optimizer or {}}
        by_rank = is_of_rank(parts["optimizer"])
        if by_rank:
            parts["optimizer"] = {of_rank(self._peers.rank): parts["optimizer"]}
        flat = {part: tree.flatten(state) for part, state in parts.items()}
        tensors = {part: one for part, (one, _) in flat.items()}
        again = any(self._peers.gather(not self._plans.are_for(tensors)))
        plans = self._plans.made(tensors, again=again)
        mine, pieces = _written(plans, self._staging.copied(tensors, plans)[0])
        skeletons = {part: skeleton for part, (_, skeleton) in flat.items()}
        sizes = {path: len(data) for path, data in mine.items()}
        told = self._peers.gather((pieces, skeletons, sizes))
        common = self._peers.agreed(lambda: _common(plans, told))
        held = {self._peers.rank: mine}
        if self._peers.size > 1:
            before = (self._peers.rank - 1) % self._peers.size
            held[before] = self._exchanged(mine, told[before][2])
        number = 1 + max((one.number for one in self._copies), default=0)
        number = max(self._peers.gather(number))
        self._copies.append(
            _Copy(
                number=number, step=step, ranks=self._peers.size, by_rank=by_rank,
                extra=dict(extra or {}), common=common, held=held,
            )
        )  # fmt: skip
        self._peers.gather(None)
        del self._copies[:-1]

    def load(
        self,
        model: MutableMapping[str, Any],
        optimizer: MutableMapping[str, Any] | None = None,
        *,
        group: dist.ProcessGroup | None = None,
    ) -> tuple[int, Mapping[str, Any]]:
        """Load the last copy that the ranks of `group` have whole, in place; its step and extra.

        The ranks may be others than those that saved it, and more or fewer. All call it.

        Raises:
            CheckpointMissing: no copy is whole: load a checkpoint.
            StateMismatch: it is of another model or optimizer.
            RankLost: a rank does not answer.
        """
        self._join(group)
        chosen, holders = self._agreed()
        load = Load(self._peers.rank, self._peers.size)
        wanted: set[int] = set()
        files = {path: memoryview(data) for path, data in chosen.common.items()}
        for one in chosen.held.values():
            files |= one

        def read(file: File) -> memoryview:
            if file.path not in files:
                wanted.add(_rank_of(file.path))
                return memoryview(b"")
            return files[file.path]

        self._peers.agree(lambda: _prepared(load, chosen, model, optimizer, read))
        for rank in sorted(set().union(*self._peers.gather(wanted))):
            files |= self._broadcast(chosen.held.get(rank, {}), holders[rank])
        load = Load(self._peers.rank, self._peers.size)
        _prepared(load, chosen, model, optimizer, lambda file: files[file.path])
        load.finish()
        return chosen.step, chosen.extra

    def _join(self, group: dist.ProcessGroup | None) -> None:
        self._group, self._peers = group, Peers(group)
        self._plans, self._staging = Plans(self._peers), Staging()

    def _agreed(self) -> tuple[_Copy, dict[int, int]]:
        """The newest copy of which every old rank's part is held, and who holds each part."""
        told = self._peers.gather(
            {one.number: (one.ranks, sorted(one.held)) for one in self._copies}
        )
        for number in sorted({number for one in told for number in one}, reverse=True):
            holders: dict[int, int] = {}
            for rank, one in enumerate(told):
                for old in one[number][1] if number in one else ():
                    holders.setdefault(old, rank)
            ranks = next(one[number][0] for one in told if number in one)
            if len(holders) == ranks:
                return self._known(
                    number, next(r for r, one in enumerate(told) if number in one)
                ), (holders)
        raise CheckpointMissing(
            "no copy in memory is whole: ranks that held a part are lost",
            remedy="load the latest checkpoint",
        )

    def _known(self, number: int, teller: int) -> _Copy:
        """The copy of a number; who joined is told all but the files that others hold."""
        mine = next((one for one in self._copies if one.number == number), None)
        is_teller = mine is not None and self._peers.rank == teller
        told = self._peers.gather(attrs.evolve(mine, held={}) if mine and is_teller else None)
        known = mine or told[teller]
        assert known is not None
        return known

    def _exchanged(self, mine: Files, sizes: Mapping[str, int]) -> Files:
        """Send my files to the next rank, and take those of the one before."""
        size, rank = self._peers.size, self._peers.rank
        out, into = _joined(mine), _room(sizes)

        def both() -> None:
            sending = dist.isend(out, self._global((rank + 1) % size), group=self._group)
            receiving = dist.irecv(into, self._global((rank - 1) % size), group=self._group)
            for one in (sending, receiving):
                if one is not None:
                    one.wait()

        waited(both, rank)
        return _split(into, sizes)

    def _broadcast(self, files: Files, holder: int) -> Files:
        """Files of one old rank, from the rank that holds them."""
        is_mine = self._peers.rank == holder
        told = {path: len(data) for path, data in files.items()} if is_mine else {}
        sizes = self._peers.gather(told)[holder]
        sent = _joined(files) if is_mine else _room(sizes)
        if self._peers.size > 1:
            waited(
                lambda: dist.broadcast(sent, self._global(holder), group=self._group),
                self._peers.rank,
            )
        return _split(sent, sizes)

    def _global(self, rank: int) -> int:
        return dist.get_global_rank(self._group, rank) if self._group is not None else rank


class _Memory:
    """What `PartWriter` takes for a place: files in memory."""

    def __init__(self) -> None:
        self.files: Files = {}

    @contextmanager
    def writing(self, name: str) -> Iterator[Hashed]:
        """A new file."""
        out = io.BytesIO()
        yield Hashed(out)
        self.files[name] = out.getbuffer()


def _written(
    plans: Mapping[str, Planned], staged: Mapping[str, Staged]
) -> tuple[Files, dict[str, list[tuple[Any, ...]]]]:
    files, pieces = Files(), {}
    for part, plan in plans.items():
        memory = _Memory()
        pieces[part] = dcp_files.PartWriter(memory).write(plan.mine, staged[part])
        files |= {f"{part}/{name}": data for name, data in memory.files.items()}
    return files, pieces


def _common(plans: Mapping[str, Planned], told: list[Any]) -> dict[str, bytes]:
    """What all ranks must know to read any part, made by rank 0."""
    found = {}
    for part, plan in plans.items():
        assert plan.all is not None
        pieces = [piece for one, _, _ in told for piece in one[part]]
        skeleton = functools.reduce(tree.merged, (one[part] for _, one, _ in told))
        found[f"{part}/{dcp_files.INDEX}"] = dcp_files.dump_index(plan.all, pieces, skeleton)
    return found


def _prepared(
    load: Load,
    chosen: _Copy,
    model: MutableMapping[str, Any],
    optimizer: MutableMapping[str, Any] | None,
    read: Any,
) -> None:
    parts = {part: Part(part, _Anywhere(part), read) for part in PARTS}
    load.model(parts["model"], model)
    if optimizer is not None:
        load.optimizer(
            parts["optimizer"], optimizer, chosen.ranks, by_rank=chosen.by_rank,
            is_spread=is_spread(tree.flatten(model)[0]),
        )  # fmt: skip


class _Anywhere(dict[str, File]):
    """The files of a part, of which no hash is known."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def __contains__(self, path: object) -> bool:
        return True

    def __missing__(self, path: str) -> File:
        return File(path=f"{self._part}/{path}", nbytes=0, sha256="")


def _rank_of(path: str) -> int:
    """The rank that wrote a file, by DCP's name for it: `__RANK_NUMBER.distcp`."""
    return int(path.rpartition("/")[2].split("_")[2])


def _joined(files: Files) -> torch.Tensor:
    """The bytes of files, one after another; never none, for collectives."""
    return torch.frombuffer(bytearray(b"".join(files.values())) or bytearray(1), dtype=torch.uint8)


def _room(sizes: Mapping[str, int]) -> torch.Tensor:
    return torch.empty(max(sum(sizes.values()), 1), dtype=torch.uint8)


def _split(data: torch.Tensor, sizes: Mapping[str, int]) -> Files:
    files, start, whole = Files(), 0, memoryview(data.numpy())
    for path, size in sizes.items():
        files[path] = whole[start : start + size]
        start += size
    return files

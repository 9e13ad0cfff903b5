"""Copies of tensors, into memory that is used again: at once, or beside the next step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import torch
from torch.distributed.checkpoint import planner, utils
from torch.optim import Optimizer

from deepseek_parallel.checkpoint.plans import Planned, Tensors
from deepseek_parallel.errors import SaveFailed, SaveUnfinished

_Is = Callable[[str, torch.Tensor], bool]
"""Whether a tensor of a part may be copied later."""


class Staged:
    """What DCP's writer asks for the data of a plan: the copies."""

    def __init__(self, copies: Mapping[Any, torch.Tensor]) -> None:
        self._copies = copies

    def resolve_data(self, write_item: planner.WriteItem) -> torch.Tensor:
        """The copy."""
        return self._copies[write_item.index]


@attrs.frozen
class _Pair:
    """A tensor that is still to be copied; `version` counts torch's changes of it in place."""

    name: str
    source: torch.Tensor
    copy: torch.Tensor
    version: int


class Rest:
    """What was not copied at once: a thread copies it, and steps of the optimizer wait for that."""

    def __init__(self, pairs: list[_Pair]) -> None:
        self._pairs = pairs
        self._done = threading.Event()

    def copy(self) -> None:
        """Copy it.

        Raises:
            SaveFailed: something else than the optimizer's step has changed a tensor meanwhile.
        """
        try:
            for pair in self._pairs:
                pair.copy.copy_(pair.source)
                if pair.source._version != pair.version:
                    raise SaveFailed(
                        f"{pair.name} was changed while it was copied, before the next step of the "
                        "optimizer",
                        remedy="leave until_step_of out where tensors are changed in another way",
                    )
        finally:
            self._pairs = []
            self._done.set()

    def wait(self, limit_s: float) -> None:
        """Wait until it is copied, or has failed.

        Raises:
            SaveUnfinished: neither within the limit.
        """
        if not self._done.wait(limit_s):
            raise SaveUnfinished(
                f"the state was not copied within {limit_s:g} s",
                remedy="see what keeps the threads of this process",
            )


class Staging:
    """The memory of the copies: new memory costs more than copying into what is there."""

    def __init__(self) -> None:
        self._buffers: dict[Any, torch.Tensor] = {}

    def copied(
        self,
        parts: Mapping[str, Tensors],
        plans: Mapping[str, Planned],
        until_step_of: Optimizer | None = None,
    ) -> tuple[dict[str, Staged], Rest]:
        """Copies of what this rank writes, and of nothing else.

        With `until_step_of` what only a step of that optimizer changes is left to be copied: its
        own state and its parameters, where they are on the CPU.
        """
        may_wait = _changed_by(until_step_of)
        before, self._buffers = self._buffers, {}
        rest: list[_Pair] = []
        made = {}
        for part, plan in plans.items():
            copies = {}
            for item in plan.mine.items:
                source = utils.find_state_dict_object(parts[part], item.index).detach()
                copy = self._memory((part, item.index), source, before)
                if may_wait(part, source):
                    rest.append(_Pair(item.index.fqn, source, copy, source._version))
                else:
                    copy.copy_(source, non_blocking=source.is_cuda)
                copies[item.index] = copy
            made[part] = Staged(copies)
        if any(t.is_cuda for tensors in parts.values() for t in tensors.values()):
            torch.cuda.synchronize()
        return made, Rest(rest)

    def _memory(
        self, key: Any, source: torch.Tensor, before: Mapping[Any, torch.Tensor]
    ) -> torch.Tensor:
        kept = before.get(key)
        if kept is None or kept.shape != source.shape or kept.dtype != source.dtype:
            kept = torch.empty(
                source.shape, dtype=source.dtype, pin_memory=source.is_cuda, device="cpu"
            )
        self._buffers[key] = kept
        return kept


def _changed_by(optimizer: Optimizer | None) -> _Is:
    if optimizer is None:
        return lambda part, tensor: False
    params = [param for group in optimizer.param_groups for param in group["params"]]
    storages = {_storage(getattr(param, "_local_tensor", param)) for param in params}
    return lambda part, tensor: (
        tensor.device.type == "cpu"
        and not tensor.is_inference()
        and (part == "optimizer" or _storage(tensor) in storages)
    )


def _storage(tensor: torch.Tensor) -> int:
    address: int = tensor.untyped_storage().data_ptr()
    return address

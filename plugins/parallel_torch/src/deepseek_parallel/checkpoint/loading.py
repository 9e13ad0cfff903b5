"""Reading of a checkpoint: verified first, then copied, onto any number of ranks."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, cast

import torch
from torch.distributed.checkpoint import metadata
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.tensor import DTensor

from deepseek_parallel.checkpoint import dcp_files
from deepseek_parallel.checkpoint.fitting import Fitted
from deepseek_parallel.checkpoint.manifest import File
from deepseek_parallel.errors import CheckpointDamaged, StateMismatch
from deepseek_parallel.states import is_of_rank, resharded

State = MutableMapping[str, Any]


class Part:
    """The model or the optimizer of a checkpoint; `read` gives verified bytes of its files."""

    def __init__(self, url: str, files: Mapping[str, File], read: Any) -> None:
        self._url, self._files, self._read = url, files, read
        self._kept: dict[str, memoryview] = {}
        index = dcp_files.load_index(self._verified(dcp_files.INDEX), f"{url}/{dcp_files.INDEX}")
        self.metadata, self.skeleton = index.metadata, index.skeleton

    @property
    def names(self) -> set[str]:
        """The names of its tensors."""
        return set(self.metadata.state_dict_metadata)

    def new(self, name: str) -> torch.Tensor:
        """A tensor for the whole of one that was saved."""
        told = self._tensor(name)
        return torch.empty(tuple(told.size), dtype=told.properties.dtype)

    def prepare(self, targets: Mapping[str, torch.Tensor]) -> None:
        """Verify the files that hold these tensors, and that they fit.

        Raises:
            StateMismatch: a tensor has another shape or dtype than was saved.
            CheckpointDamaged: a file is missing or has other bytes.
        """
        for name, target in targets.items():
            told = self._tensor(name)
            saved = told.properties.dtype, tuple(told.size)
            mine = target.dtype, tuple(target.shape)
            if saved != mine:
                raise StateMismatch(
                    f"{name} is {mine[0]} {mine[1]} here, and {saved[0]} {saved[1]} was saved",
                    remedy="load a checkpoint of this model, or make the model as it was then",
                )
        for path in sorted(self._paths(targets)):
            self._verified(path)

    def copy(self, targets: Mapping[str, torch.Tensor]) -> None:
        """Copy what was prepared into the tensors.

        Raises:
            CheckpointDamaged: a file has the right hash, and no tensors in it.
        """
        planner = DefaultLoadPlanner()
        planner.set_up_planner(dict(targets), self.metadata, False)
        reader = dcp_files.PartReader(self._verified)
        reader.set_up_storage_reader(self.metadata, False)
        try:
            reader.read_data(planner.create_local_plan(), planner).wait()
        except Exception as error:
            raise CheckpointDamaged(
                f"{self._url} can't be read: {str(error).splitlines()[0]}",
                file=self._url,
                remedy="load an older step: some tensors have been changed already",
            ) from error
        self._kept.clear()

    def _paths(self, targets: Mapping[str, torch.Tensor]) -> set[str]:
        """The files that hold what this rank asks for."""
        planner = DefaultLoadPlanner()
        planner.set_up_planner(dict(targets), self.metadata, False)
        data = cast(Mapping[Any, Any], self.metadata.storage_data)
        items = planner.create_local_plan().items
        return {data[item.storage_index].relative_path for item in items}

    def _tensor(self, name: str) -> metadata.TensorStorageMetadata:
        told = self.metadata.state_dict_metadata.get(name)
        if not isinstance(told, metadata.TensorStorageMetadata):
            raise StateMismatch(
                f"{name} is not in the checkpoint", remedy="load a checkpoint of this model"
            )
        return told

    def _verified(self, path: str) -> memoryview:
        if path not in self._kept:
            if path not in self._files:
                raise CheckpointDamaged(
                    f"{self._url}/{path} is not in the manifest", file=f"{self._url}/{path}",
                    remedy="load an older step",
                )  # fmt: skip
            self._kept[path] = self._read(self._files[path])
        return self._kept[path]


class Load:
    """A load of one rank: `prepare` reads and verifies, `finish` changes the state in place."""

    def __init__(self, rank: int, ranks: int) -> None:
        self._rank, self._ranks = rank, ranks
        self._todo: list[tuple[Part, Fitted, State, State]] = []
        self._saved: list[Any] = []

    def model(self, part: Part, given: MutableMapping[str, Any]) -> set[str]:
        """Prepare the model; the names of the tensors that it asks for.

        Raises:
            StateMismatch: it is another model.
            CheckpointDamaged: a file is missing or has other bytes.
        """
        fitted, made = Fitted(part.new), _containers(given)
        fitted.model(made, part.skeleton)
        self._prepare(part, fitted, given, made)
        return set(fitted.targets)

    def optimizer(
        self, part: Part, given: MutableMapping[str, Any], saved_ranks: int, *, by_rank: bool,
        is_spread: bool,
    ) -> None:  # fmt: skip
        """Prepare the optimizer; `is_spread`: the model's tensors are shards of a mesh.

        Raises:
            StateMismatch: it is another optimizer, or one of another model.
            CheckpointDamaged: a file is missing or has other bytes.
        """
        if by_rank != is_of_rank(given):
            kinds = "another one on each rank", "the same one on all ranks"
            saved, here = kinds if by_rank else kinds[::-1]
            raise StateMismatch(
                f"the saved state of the optimizer is {saved}, and here it is {here}",
                remedy="use the optimizer that the checkpoint was saved with",
            )
        fitted, made = Fitted(_whole_only(part) if is_spread else part.new), _containers(given)
        if not by_rank:
            fitted.optimizer(made, part.skeleton)
        elif saved_ranks == self._ranks:
            fitted.optimizer(made, part.skeleton[of_rank(self._rank)])
        else:
            self._saved = [fitted.whole(part.skeleton[of_rank(r)]) for r in range(saved_ranks)]
        self._prepare(part, fitted, given, made)

    def finish(self) -> None:
        """Copy all that was prepared."""
        for part, fitted, given, made in self._todo:
            part.copy(fitted.targets)
            for key in set(given) - set(made):
                del given[key]
            given.update(made)
        if self._saved:
            given.update(resharded(self._saved, self._ranks)[self._rank])

    def _prepare(self, part: Part, fitted: Fitted, given: State, made: State) -> None:
        part.prepare(fitted.targets)
        self._todo.append((part, fitted, given, made))


def of_rank(rank: int) -> str:
    """The key of a rank's own state."""
    return f"rank-{rank}"


def is_spread(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether a tensor is a shard of one that lies on a mesh."""
    return any(isinstance(tensor, DTensor) for tensor in tensors.values())


def _containers(value: Any) -> Any:
    """A state of its own with the same tensors."""
    if isinstance(value, Mapping):
        return {key: _containers(one) for key, one in value.items()}
    return type(value)(map(_containers, value)) if type(value) in (list, tuple) else value


def _whole_only(part: Part) -> Any:
    def make(name: str) -> torch.Tensor:
        tensor = part.new(name)
        if tensor.dim() == 0:
            return tensor
        raise StateMismatch(
            f"the optimizer has no {name} yet, and it can't be told how that lies on the mesh",
            remedy="give what torch.distributed.checkpoint.state_dict.get_optimizer_state_dict "
            "returns: it makes the state first",
        )

    return make

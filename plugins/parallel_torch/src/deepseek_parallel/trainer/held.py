"""What an optimizer holds of a divided model, under the numbers that the whole model has for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from deepseek_core import errors
from deepseek_parallel.lost import is_lost
from deepseek_parallel.strategies.norm import fit_optimizer
from deepseek_parallel.strategies.split import Split
from deepseek_parallel.trainer.setup import Setup

_OF_TORCH: Final = ("params", "param_names", "foreach", "fused")
"""Entries of a group that are no settings of the training."""


class Held:
    """Lets the optimizer of a setup take its steps on a split model.

    States are as `Optimizer.state_dict()` has them for the whole model, so that any mesh and a
    process alone load what another one has saved; each rank has those of its parameters.
    """

    def __init__(self, setup: Setup, split: Split) -> None:
        self._optimizer, self._split = setup.optimizer, split
        self.names: dict[int, str] = {}  # of what this rank holds, by number
        self.params: dict[int, Tensor] = {}
        self._groups: list[list[int]] = []  # the numbers of each group, on all ranks
        self._take_over(setup)
        _let_go(setup.model.parameters(), self._split)
        fit_optimizer(self._optimizer)

    def _take_over(self, setup: Setup) -> None:
        here = {
            name: param
            for module in self._split.modules
            for name, param in module.named_parameters(remove_duplicate=False)
        }
        first = 0
        for group in self._optimizer.param_groups:
            numbers = list(range(first, first + len(group["params"])))
            first += len(numbers)
            for number in numbers:
                name, old = setup.params[number]
                setup.params[number] = name, here.get(name, old)
                if name in here:
                    self.names[number], self.params[number] = name, here[name]
            mine = [number for number in numbers if number in self.params]
            group["params"] = [self.params[number] for number in mine]
            if "param_names" in group:
                group["param_names"] = [self.names[number] for number in mine]
            self._groups.append(numbers)

    def step(self) -> None:
        """Let the optimizer take its step.

        Raises:
            ConfigError: torch has no way to take it on divided parameters.
        """
        try:
            self._optimizer.step()
        except (RuntimeError, NotImplementedError) as error:
            is_divided = any(isinstance(param, DTensor) for param in self.params.values())
            if not is_divided or is_lost(error):
                raise
            raise errors.ConfigError(
                f"{type(self._optimizer).__name__} can't take a step on divided parameters: "
                f"{str(error).splitlines()[0]}",
                remedy='give AdamW or SGD, or a strategy whose layers are whole: "pp", "ddp"',
            ) from error

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """State of the model and of the optimizer, of what this rank holds."""
        return self._model(), self._of_optimizer([*self._groups])

    def places(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The same, to be loaded into: an optimizer that has no state yet makes it first."""
        self._make_state()
        mine = [[n if n in self.params else None for n in group] for group in self._groups]
        return self._model(), self._of_optimizer(mine)

    def restore(self, model: Mapping[str, Any], optimizer: Mapping[str, Any]) -> None:
        """Take what was loaded into `places()`; settings of groups stay as they are."""
        for module in self._split.modules:
            module.load_state_dict({name: model[name] for name in module.state_dict()})
        for number, param in self.params.items():
            self._optimizer.state.pop(param, None)
            if number in optimizer["state"]:
                self._optimizer.state[param] = optimizer["state"][number]

    def _model(self) -> dict[str, Any]:
        return {name: one for module in self._split.modules for name, one in
                module.state_dict().items()}  # fmt: skip

    def _of_optimizer(self, numbers: list[Any]) -> dict[str, Any]:
        held = self._optimizer.state
        state = {n: dict(held[param]) for n, param in self.params.items() if param in held}
        groups = [
            {**{k: v for k, v in group.items() if k not in _OF_TORCH}, "params": own}
            for group, own in zip(self._optimizer.param_groups, numbers, strict=True)
        ]
        return {"state": state, "param_groups": groups}

    def _make_state(self) -> None:
        """Take a step of no length."""
        rates = [group["lr"] for group in self._optimizer.param_groups]
        for param in self.params.values():
            if param.requires_grad:
                param.grad = torch.zeros_like(param)
        for group in self._optimizer.param_groups:
            group["lr"] = 0.0 * group["lr"]
        self.step()
        for group, rate in zip(self._optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        for param in self.params.values():
            param.grad = None


def _let_go(params: Any, split: Split) -> None:
    """Free what other stages hold; whoever reads it here gets NaN."""
    here = {id(param) for _, param in split.named_parameters()}
    for param in params:
        if id(param) not in here:
            none = param.new_full((), float("nan") if param.is_floating_point() else 0)
            param.data = none.expand(param.shape)

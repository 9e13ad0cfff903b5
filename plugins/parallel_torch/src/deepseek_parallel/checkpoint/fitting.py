"""What was saved beside what it is loaded into: which tensor goes where, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final

import torch

from deepseek_parallel.checkpoint.tree import joined, reference
from deepseek_parallel.errors import StateMismatch

_MISSING: Final = object()
Make = Callable[[str], torch.Tensor]


class Fitted:
    """Puts saved values into a state in place; `targets` are the tensors to be read, by name.

    `make` gives a new tensor for one that the state has no place for yet, as an optimizer before
    its first step.
    """

    def __init__(self, make: Make) -> None:
        self._make = make
        self.targets: dict[str, torch.Tensor] = {}

    def model(self, given: Any, saved: Any) -> Any:
        """Take what the model asks for; a stage of a pipeline asks for its layers only.

        Raises:
            StateMismatch: it asks for what was not saved.
        """
        return self._fit(given, saved, "", only_given=True)

    def optimizer(self, given: MutableMapping[str, Any], saved: Mapping[str, Any]) -> None:
        """Take the state of the optimizer's own parameters, and the settings of its groups.

        Raises:
            StateMismatch: it is of another optimizer or model.
        """
        extra = sorted(set(given) - set(saved))
        if extra:
            raise _not_saved(extra[0])
        for key, value in saved.items():
            if key == "param_groups" and key in given:
                self._groups(given[key], value)
            elif key == "state" and "param_groups" in given:
                self._states(given.setdefault(key, {}), value, _numbers(given["param_groups"]))
            else:
                given[key] = self._fit(given.get(key, _MISSING), value, key)

    def whole(self, saved: Any) -> Any:
        """All of what was saved, in new tensors."""
        return self._fit(_MISSING, saved, "")

    def _groups(self, given: list[Any], saved: list[Any]) -> None:
        if len(given) != len(saved):
            raise StateMismatch(
                f"the optimizer has {len(given)} groups of parameters, and {len(saved)} were saved",
                remedy="make the optimizer as it was made then",
            )
        for number, (mine, other) in enumerate(zip(given, saved, strict=True)):
            counts = len(mine["params"]), len(other["params"])
            if counts[0] != counts[1] and not any(isinstance(p, str) for p in mine["params"]):
                raise StateMismatch(
                    f"group {number} of the optimizer has {counts[0]} parameters, and {counts[1]} "
                    "were saved",
                    remedy="load a checkpoint of this model",
                )
            for key, value in other.items():
                if key != "params":
                    path = f"param_groups.{number}.{key}"
                    mine[key] = self._fit(mine.get(key, _MISSING), value, path)

    def _states(self, given: MutableMapping[Any, Any], saved: Any, wanted: set[Any]) -> None:
        for key in set(given) - set(saved):
            del given[key]  # no gradient had reached that parameter when it was saved
        for key, value in saved.items():
            if key in wanted:
                mine, path = given.get(key, {}), joined("state", key)
                extra = sorted(set(mine) - set(value), key=str)
                if extra:
                    raise _not_saved(joined(path, extra[0]))
                given[key] = self._fit(mine, value, path)

    def _fit(self, given: Any, saved: Any, path: str, *, only_given: bool = False) -> Any:
        name = reference(saved)
        if name is not None:
            return self._tensor(given, name)
        if isinstance(saved, dict):
            return self._mapping(given, saved, path, only_given=only_given)
        if isinstance(saved, list | tuple):
            return self._sequence(given, saved, path, only_given=only_given)
        if isinstance(given, torch.Tensor) and saved is not None:
            raise StateMismatch(
                f"{path} is a tensor here, and {saved!r} was saved",
                remedy="load a checkpoint of this model and optimizer",
            )
        return saved

    def _tensor(self, given: Any, name: str) -> torch.Tensor:
        if given is _MISSING or given is None:
            given = self._make(name)
        elif not isinstance(given, torch.Tensor):
            raise StateMismatch(
                f"{name} is {given!r} here, and a tensor was saved",
                remedy="load a checkpoint of this model and optimizer",
            )
        self.targets[name] = given
        return given

    def _mapping(self, given: Any, saved: Any, path: str, *, only_given: bool) -> Any:
        if given is _MISSING:
            given = {}
        if not isinstance(given, MutableMapping):
            raise StateMismatch(f"{path} is {given!r} here, and a dictionary was saved")
        for key in given if only_given else ():
            if key not in saved:
                raise _not_saved(joined(path, key))
        for key in [*given] if only_given else saved:
            given[key] = self._fit(
                given.get(key, _MISSING), saved[key], joined(path, key), only_given=only_given
            )
        return given

    def _sequence(self, given: Any, saved: Any, path: str, *, only_given: bool) -> Any:
        old = given if isinstance(given, list | tuple) else [_MISSING] * len(saved)
        if len(old) != len(saved):
            raise StateMismatch(f"{path} has {len(old)} entries, and {len(saved)} were saved")
        return type(saved)(
            self._fit(one, other, joined(path, n), only_given=only_given)
            for n, (one, other) in enumerate(zip(old, saved, strict=True))
        )


def _numbers(groups: Any) -> set[Any]:
    return {number for group in groups for number in group["params"]}


def _not_saved(name: str) -> StateMismatch:
    return StateMismatch(
        f"{name} is not in the checkpoint", remedy="load a checkpoint of this model and optimizer"
    )

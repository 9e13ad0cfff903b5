"""Facts with a time that plugins may listen to through `ds_on_event`.

Every engine tells what it does by `deepseek_core.emit`: one type for each fact, plain values,
units in the names. A text is one line, without secrets, and cut at 500 characters. What repeats
(the state of a session, of a tier, of a training) is told at most once in a second: see `Pace`.

Each type is imported when it is named: a program does not wait for those of other engines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from deepseek_core.contracts.events.base import (
        Event,
        Pace,
    )
    from deepseek_core.contracts.events.recipes import (
        RecipeStepBegan,
        RecipeStepEnded,
    )
    from deepseek_core.contracts.events.sessions import (
        DeviceLoad,
        DeviceQuarantined,
        PlanMade,
        SessionState,
        StageMeasured,
    )
    from deepseek_core.contracts.events.stores import (
        DamageFound,
        DamageRepaired,
        ObjectsMoved,
        ScrubEnded,
        StoreState,
        TierFull,
        TierLoad,
    )
    from deepseek_core.contracts.events.trainings import (
        CheckpointCommitted,
        CheckpointFailed,
        MembersChanged,
        TrainingBegan,
        TrainingEnded,
        TrainingState,
    )

_HOME: Final = {
    "Event": "base",
    "Pace": "base",
    "PlanMade": "sessions",
    "StageMeasured": "sessions",
    "DeviceQuarantined": "sessions",
    "DeviceLoad": "sessions",
    "SessionState": "sessions",
    "ObjectsMoved": "stores",
    "DamageFound": "stores",
    "DamageRepaired": "stores",
    "ScrubEnded": "stores",
    "TierLoad": "stores",
    "StoreState": "stores",
    "TierFull": "stores",
    "TrainingBegan": "trainings",
    "TrainingState": "trainings",
    "TrainingEnded": "trainings",
    "MembersChanged": "trainings",
    "CheckpointCommitted": "trainings",
    "CheckpointFailed": "trainings",
    "RecipeStepBegan": "recipes",
    "RecipeStepEnded": "recipes",
}


__all__ = [
    "CheckpointCommitted",
    "CheckpointFailed",
    "DamageFound",
    "DamageRepaired",
    "DeviceLoad",
    "DeviceQuarantined",
    "Event",
    "MembersChanged",
    "ObjectsMoved",
    "Pace",
    "PlanMade",
    "RecipeStepBegan",
    "RecipeStepEnded",
    "ScrubEnded",
    "SessionState",
    "StageMeasured",
    "StoreState",
    "TierFull",
    "TierLoad",
    "TrainingBegan",
    "TrainingEnded",
    "TrainingState",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(_HOME)

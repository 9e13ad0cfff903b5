"""The plan of a pruning: which channels of which group go; pure data, JSON both ways."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from deepseek_compress.errors import CannotPrune
from deepseek_compress.prune.structure import Structure

FORMAT = "deepseek-prune-plan/1"


def _named(value: Mapping[str, float]) -> Mapping[str, float]:
    return MappingProxyType(dict(value))


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    return tuple(value)


def _frozen(value: Mapping[str, Any]) -> Mapping[str, tuple[int, ...]]:
    return MappingProxyType({str(k): tuple(int(i) for i in v) for k, v in value.items()})


@attrs.frozen(kw_only=True)
class PrunePlan:
    """Channels to remove: for each group the positions of the units that go.

    `fingerprint`: of the model that it was made for; `params`, `macs`: of the result, by
    calculation; `latency_ms`: of the result, as predicted where the budget has one; `ratios`: what
    falls by how much; `notes`: what people should know.
    """

    fingerprint: str
    remove: Mapping[str, tuple[int, ...]] = attrs.field(converter=_frozen)
    params: int = 0
    macs: int = 0
    latency_ms: float | None = None
    ratios: Mapping[str, float] = attrs.field(factory=dict, converter=_named)
    notes: tuple[str, ...] = attrs.field(default=(), converter=_texts)

    def to_json(self) -> str:
        """The plan as JSON text, the same for equal plans."""
        content = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "remove": {name: list(units) for name, units in sorted(self.remove.items())},
            "params": self.params,
            "macs": self.macs,
            "latency_ms": self.latency_ms,
            "ratios": dict(self.ratios),
            "notes": list(self.notes),
        }
        return json.dumps(content, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> PrunePlan:
        """Read a plan back.

        Raises:
            CannotPrune: it is not a plan, or of an unknown format.
        """
        try:
            content = json.loads(text)
            if content.pop("format") != FORMAT:
                raise ValueError("unknown format")
            return cls(**content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CannotPrune(
                f"this is not a plan of a pruning: {error}",
                operation="PrunePlan.from_json",
                remedy=f"give the text of `PrunePlan.to_json` ({FORMAT})",
            ) from error


def removed_units(structure: Structure, plan: PrunePlan) -> set[int]:
    """The units that a plan removes.

    Raises:
        CannotPrune: the plan is for another model, or names what is not there or stays.
    """
    if plan.fingerprint != structure.fingerprint:
        raise _wrong("the plan was made for a model of other layers", "")
    found: set[int] = set()
    groups = {group.name: group for group in structure.groups}
    for name, positions in plan.remove.items():
        group = groups.get(name)
        if group is None:
            raise _wrong(_no_group(structure, name), name)
        if positions and group.reason:
            raise _wrong(f"{name} has to stay: {group.reason}", name)
        if len(set(positions)) != len(positions) or any(
            not 0 <= p < len(group.units) for p in positions
        ):
            raise _wrong(f"{name} has units 0 to {len(group.units) - 1}, each once", name)
        if len(positions) == len(group.units) and positions:
            raise _wrong(f"all channels of {name} would go", name)
        found.update(group.units[p] for p in positions)
    return found


def _no_group(structure: Structure, name: str) -> str:
    """Say where a layer is found whose channels are another group's."""
    other = next((group.name for group in structure.groups if name in group.layers), None)
    goes = f"; its channels go with those of {other!r}" if other else ""
    return f"the model has no group {name!r}{goes}"


def _wrong(text: str, layer: str) -> CannotPrune:
    return CannotPrune(
        text, operation="plan", layer=layer, remedy="make the plan again for this model"
    )

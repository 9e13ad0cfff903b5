"""What a probe found, and what that means for its plugin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, get_args

import attrs

from deepseek_core.contracts.device import DeviceInfo, DeviceSpec, Evidence
from deepseek_core.contracts.secret import masked, scrub
from deepseek_core.discovery.installing import update_or_disable
from deepseek_core.discovery.registry import Registered
from deepseek_core.discovery.status import PluginRow, Status, as_remedy

_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "mem_bytes": (int, type(None)),
    "uses_host_cores": bool,
    "absent": bool,
    "reason": (str, type(None)),
    "remedy": (str, type(None)),
}
_NEVER_ASKED: Final = "its devices were not asked yet", "ds-sdk list-plugins --probe"
_FIELDS: Final = tuple(field.name for field in attrs.fields(DeviceInfo))


@attrs.frozen(kw_only=True)
class ProbeResult:
    """The devices of one spec, or why there are none.

    `seconds` is what the probe took, `checked_at` seconds since the epoch when it ran;
    `cached` says that this was read from the cache. `status` is available if any row is,
    unavailable if nothing usable is there, broken if the probe itself failed. `ours` says that
    the spec comes from the SDK's own plugin.
    """

    spec: DeviceSpec
    plugin: str
    dist: str
    ours: bool = False
    rows: tuple[DeviceInfo, ...] = ()
    status: Status
    reason: str | None = None
    remedy: str | None = attrs.field(default=None, converter=as_remedy)
    seconds: float = 0.0
    cached: bool = False
    checked_at: float = 0.0

    @property
    def complains(self) -> bool:
        """Whether anything is out, which a remedy may have repaired meanwhile."""
        out = any(row.status != "available" for row in self.rows)
        return out or self.status is not Status.AVAILABLE

    @property
    def is_absent(self) -> bool:
        """Whether all that is out is hardware that the machine does not have."""
        out = [row for row in self.rows if row.status != "available"]
        return bool(out) and all(row.absent for row in out) and self.status is not Status.BROKEN


def judged(device: Registered[DeviceSpec], rows: tuple[DeviceInfo, ...]) -> ProbeResult:
    """The result of a probe that answered with these rows."""
    first = next((row for row in rows if row.status != "available"), None)
    if any(row.status == "available" for row in rows):
        return ended(device, Status.AVAILABLE, rows=rows)
    if first is None:
        reason = f"{device.record.name}: the probe found no device"
        return ended(device, Status.UNAVAILABLE, reason, "ds-sdk doctor")
    reason = first.reason or f"{first.id} is not available"
    return ended(device, Status.UNAVAILABLE, reason, first.remedy or "ds-sdk doctor", rows=rows)


def failed(device: Registered[DeviceSpec], reason: str, remedy: str | None = None) -> ProbeResult:
    """The result of a probe that broke."""
    default = update_or_disable(device.dist, device.plugin)
    return ended(device, Status.BROKEN, reason, remedy or default)


def ended(
    device: Registered[DeviceSpec],
    status: Status,
    reason: str | None = None,
    remedy: str | None = None,
    *,
    rows: tuple[DeviceInfo, ...] = (),
) -> ProbeResult:
    """A result without its times; no secret gets into it."""
    reason, remedy = reason and scrub(reason), remedy and scrub(remedy)
    return ProbeResult(
        spec=device.record,
        plugin=device.plugin,
        dist=device.dist,
        ours=device.ours,
        rows=rows,
        status=status,
        reason=reason,
        remedy=remedy,
    )


def to_rows(answer: object) -> tuple[DeviceInfo, ...]:
    """The rows of an answer, each field checked: the other process is not trusted.

    Raises:
        ValueError: names the field that does not fit.
    """
    if not isinstance(answer, list):
        raise ValueError(f"expected a list of rows, not {type(answer).__name__}")
    rows = tuple(_to_row(row) for row in answer)
    ids = [row.id for row in rows]
    if len(set(ids)) < len(ids):
        raise ValueError(f"two rows have one id: {sorted(ids)}")
    return rows


def _to_row(values: Any) -> DeviceInfo:
    if not isinstance(values, Mapping) or sorted(values) != sorted(_FIELDS):
        raise ValueError("a row does not have the fields of DeviceInfo")
    for name, value in values.items():
        if not isinstance(value, _TYPES.get(name, str)):
            raise ValueError(f"{name} is {value!r}")
    row = DeviceInfo(**masked({**values, "remedy": as_remedy(values["remedy"])}))
    if not row.id or row.evidence not in get_args(Evidence):
        raise ValueError(f"row {row.id!r} has evidence {row.evidence!r}")
    if row.status not in ("available", "unavailable"):
        raise ValueError(f"row {row.id!r} has status {row.status!r}")
    if row.absent and row.status == "available":
        raise ValueError(f"row {row.id!r} is available and absent")
    return row


def unique_ids(results: Sequence[ProbeResult]) -> tuple[ProbeResult, ...]:
    """Take out of service each device id that two specs report; both are named."""
    owners: dict[str, list[ProbeResult]] = {}
    for result in results:
        for row in result.rows:
            owners.setdefault(row.id, []).append(result)
    if all(len(claims) == 1 for claims in owners.values()):
        return tuple(results)
    return tuple(_without_contested(result, owners) for result in results)


def _without_contested(result: ProbeResult, owners: Mapping[str, list[ProbeResult]]) -> ProbeResult:
    rows = tuple(_contested(row, owners[row.id], result) for row in result.rows)
    if result.status is not Status.AVAILABLE or any(r.status == "available" for r in rows):
        return attrs.evolve(result, rows=rows)
    first = rows[0]
    return attrs.evolve(
        result, rows=rows, status=Status.CONFLICT, reason=first.reason, remedy=first.remedy
    )


def _contested(row: DeviceInfo, claims: list[ProbeResult], result: ProbeResult) -> DeviceInfo:
    ours = [claim for claim in claims if claim.ours]
    # A stranger who reports a device of ours does not put it out of service.
    if len(claims) == 1 or (len(ours) == 1 and ours[0] is result):
        return row
    names = [f"{claim.spec.name} of {claim.dist}" for claim in claims]
    reason = f"the device id {row.id!r} is reported by {' and by '.join(names)}"
    remedy = f"DEEPSEEK_DISABLE_PLUGINS={result.plugin} keeps the other"
    return attrs.evolve(row, status="unavailable", reason=reason, remedy=remedy)


def with_probes(rows: Iterable[PluginRow], results: Sequence[ProbeResult]) -> tuple[PluginRow, ...]:
    """The plugins' rows in the light of probes: one without a usable device is unavailable.

    A plugin that offers anything beside devices stays available, with the reason; one whose
    devices were never asked is available as far as is known, and says so.
    """
    return tuple(_with_probe(row, [r for r in results if r.plugin == row.name]) for row in rows)


def _with_probe(row: PluginRow, results: Sequence[ProbeResult]) -> PluginRow:
    if not results and "device" in row.kinds and row.status is Status.AVAILABLE and not row.reason:
        return row.ended(row.status, *_NEVER_ASKED)
    bad = [result for result in results if result.status is not Status.AVAILABLE]
    if row.status is not Status.AVAILABLE:
        return row
    if not bad:
        told = next((result for result in results if result.reason and not row.reason), row)
        return row.ended(row.status, told.reason, told.remedy)
    worst = next((result for result in bad if result.status is Status.BROKEN), bad[0])
    only_devices = len(bad) == len(row.provides)
    status = worst.status if only_devices or worst.status is Status.BROKEN else row.status
    return row.ended(status, worst.reason, worst.remedy)

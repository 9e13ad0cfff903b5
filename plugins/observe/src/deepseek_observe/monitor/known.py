"""The events of our own engines: which families they are, and what in them is an alert.

The fields come from other processes: each is looked at before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Final, TypeAlias

from deepseek_observe.monitor.families import Series
from deepseek_observe.monitor.sample import plain
from deepseek_observe.monitor.wire.receiving import Told

Found: TypeAlias = Iterator[tuple[Series, float]]
Hit: TypeAlias = tuple[float, float]
"""Hits and reads of a tier so far."""
_MOST_HITS: Final = 1000
_HOUR_S, _SHORT_S, _DAY_S = 3600.0, 600.0, 86400.0


def _number(value: object) -> float | None:
    """A number, or one of those that JSON has no sign for."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < 1e300 else None
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else None


def _numbers(value: object) -> Iterator[tuple[str, float]]:
    for name, one in value.items() if isinstance(value, Mapping) else ():
        found = _number(one)
        if found is not None:
            yield str(name), found


def _session(told: Told, _hits: MutableMapping[str, Hit]) -> Found:
    name = f"{told.fields.get('session', '?')} of {told.pid}"
    for field, family in (
        ("queued", "deepseek_queue_length"),
        ("missed", "deepseek_deadline_misses_total"),
        ("done", "deepseek_requests_done_total"),
    ):
        for kind, value in _numbers(told.fields.get(field)):
            yield (family, (plain(f"{name}: {kind}"),)), value
    devices = told.fields.get("devices")
    for one in devices if isinstance(devices, list) else ():
        load = _number(one.get("utilization")) if isinstance(one, Mapping) else None
        if load is not None:
            labels = plain(name), plain(one.get("device_id", "?"))
            yield ("deepseek_session_device_utilization_ratio", labels), load


def _tier(told: Told, hits: MutableMapping[str, Hit]) -> Found:
    name = plain(f"{told.fields.get('store', '?')} {told.fields.get('tier', '?')}")
    found, reads = _number(told.fields.get("hits")), _number(told.fields.get("reads"))
    if found is not None and reads is not None:
        key = f"{told.pid} {name}"
        before = hits.get(key, (0.0, 0.0))
        if reads < before[1]:
            before = 0.0, 0.0  # the store was opened again
        if reads > before[1]:
            if len(hits) >= _MOST_HITS:
                hits.clear()
            hits[key] = found, reads
            share = (found - before[0]) / (reads - before[1])
            yield ("deepseek_tier_hit_ratio", (name,)), min(max(share, 0.0), 1.0)
    used, size = _number(told.fields.get("used_bytes")), _number(told.fields.get("capacity_bytes"))
    if used is not None and size:
        yield ("deepseek_tier_used_ratio", (name,)), used / size


_TRAINING: Final = {
    "step": "deepseek_training_step",
    "loss": "deepseek_training_loss",
    "imbalance": "deepseek_training_imbalance_ratio",
    "samples_per_s": "deepseek_training_samples_per_second",
    "ranks": "deepseek_training_ranks",
}


def _training(told: Told, _hits: MutableMapping[str, Hit]) -> Found:
    run = plain(told.fields.get("run", "?"))
    for field, family in _TRAINING.items():
        value = _number(told.fields.get(field))
        if value is not None:
            yield (family, (run,)), value


KNOWN: Final[Mapping[str, Callable[[Told, MutableMapping[str, Hit]], Found]]] = {
    "SessionState": _session,
    "TierState": _tier,
    "TrainingBegan": _training,
    "TrainingState": _training,
    "TrainingEnded": _training,
    "MembersChanged": _training,
}

# type of event: name of the alert, the fields that name its subject, how long it stays on
_ALERTS: Final[Mapping[str, tuple[str, tuple[str, ...], float]]] = {
    "DeviceQuarantined": ("quarantined", ("device_id",), _HOUR_S),
    "DamageFound": ("damage", ("store",), _DAY_S),
    "TierFull": ("tier full", ("store", "tier"), _SHORT_S),
    "CheckpointFailed": ("checkpoint", ("url",), _HOUR_S),
    "MembersChanged": ("members", ("run",), _SHORT_S),
    "TrainingEnded": ("training", ("run",), _HOUR_S),
}
# type of event: the alert that it ends, and the same fields
_ENDS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "DamageRepaired": ("damage", ("store",)),
    "CheckpointCommitted": ("checkpoint", ("url",)),
    "TrainingBegan": ("training", ("run",)),
}


def tells(told: Told) -> Iterator[tuple[str, str, str, float]]:
    """Alerts that an event raises: name, subject, text, seconds that it stays on."""
    if told.type in _ALERTS and not _is_good(told):
        name, fields, lasts_s = _ALERTS[told.type]
        reason = told.fields.get("reason") or told.fields.get("error") or told.type
        yield name, _subject(told, fields), plain(reason, 300), lasts_s
    loss = told.fields.get("loss")
    if told.type == "TrainingState" and loss in ("NaN", "Infinity", "-Infinity"):
        yield "loss", _subject(told, ("run",)), f"the loss is {loss}", _SHORT_S


def _is_good(told: Told) -> bool:
    """What only ended, or only grew, is no alert."""
    if told.type == "TrainingEnded":
        return not told.fields.get("error")
    return told.type == "MembersChanged" and not told.fields.get("lost")


def alarms(told: Told) -> Iterator[tuple[str, str]]:
    """Alerts that an event ends."""
    if told.type in _ENDS and not _number(told.fields.get("lost")):
        name, fields = _ENDS[told.type]
        yield name, _subject(told, fields)


def _subject(told: Told, fields: tuple[str, ...]) -> str:
    return plain(" ".join(str(told.fields.get(field, "?")) for field in fields))

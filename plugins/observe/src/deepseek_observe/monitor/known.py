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
Reads: TypeAlias = tuple[float, ...]
"""Reads of a store so far, by who answered them."""
_MOST_STORES: Final = 1000
_ANSWERED: Final = {"hot_reads": "hot", "cache_hits": "cache", "cache_misses": "warm or cold"}
_NO_READS: Final = (0.0, 0.0, 0.0)
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


def _session(told: Told, _reads: MutableMapping[str, Reads]) -> Found:
    name = f"{told.fields.get('session', '?')} of {told.pid}"
    for field, family in (
        ("queued", "deepseek_queue_length"),
        ("missed", "deepseek_deadline_misses_total"),
        ("done", "deepseek_requests_done_total"),
        ("refused", "deepseek_requests_refused_total"),
    ):
        for kind, value in _numbers(told.fields.get(field)):
            yield (family, (plain(f"{name}: {kind}"),)), value
    devices = told.fields.get("devices")
    for one in devices if isinstance(devices, list) else ():
        load = _number(one.get("utilization")) if isinstance(one, Mapping) else None
        if load is not None:
            labels = plain(name), plain(one.get("device_id", "?"))
            yield ("deepseek_session_device_utilization_ratio", labels), load


def _store(told: Told, before: MutableMapping[str, Reads]) -> Found:
    """How full its tiers are, and which of them answered the reads since the state before."""
    store = plain(told.fields.get("store", "?"))
    tiers = told.fields.get("tiers")
    for one in tiers if isinstance(tiers, list) else ():
        if isinstance(one, Mapping):
            used, size = _number(one.get("used_bytes")), _number(one.get("capacity_bytes"))
            if used is not None and size:
                yield ("deepseek_tier_used_ratio", (_tier(store, one.get("tier")),)), used / size
    degraded = _number(told.fields.get("degraded"))
    if degraded is not None:
        yield ("deepseek_store_degraded_reads_total", (store,)), degraded
    counts = tuple(_number(told.fields.get(name)) or 0.0 for name in _ANSWERED)
    key = f"{told.pid} {store}"
    last = before.get(key, _NO_READS)
    if sum(counts) < sum(last):
        last = _NO_READS  # the store was opened again
    reads = sum(counts) - sum(last)
    if reads > 0:
        if len(before) >= _MOST_STORES:
            before.clear()
        before[key] = counts
        for tier, now, then in zip(_ANSWERED.values(), counts, last, strict=True):
            share = min(max((now - then) / reads, 0.0), 1.0)
            yield ("deepseek_tier_hit_ratio", (_tier(store, tier),)), share


def _tier(store: str, tier: object) -> str:
    return plain(f"{tier} of {store}")


_TRAINING: Final = {
    "step": "deepseek_training_step",
    "loss": "deepseek_training_loss",
    "imbalance": "deepseek_training_imbalance_ratio",
    "samples_per_s": "deepseek_training_samples_per_second",
    "ranks": "deepseek_training_ranks",
}


def _training(told: Told, _reads: MutableMapping[str, Reads]) -> Found:
    run = plain(told.fields.get("run", "?"))
    for field, family in _TRAINING.items():
        value = _number(told.fields.get(field))
        if value is not None:
            yield (family, (run,)), value


def _checkpoint(told: Told, _reads: MutableMapping[str, Reads]) -> Found:
    for field, family in (
        ("step", "deepseek_checkpoint_step"),
        ("seconds", "deepseek_checkpoint_seconds"),
        ("nbytes", "deepseek_checkpoint_size_bytes"),
    ):
        value = _number(told.fields.get(field))
        if value is not None:
            yield (family, (_place(told),)), value


def _place(told: Told) -> str:
    """Where a training's checkpoints lie: each has a folder of its own there."""
    url = str(told.fields.get("url", "?")).rstrip("/")
    return plain(url.rpartition("/")[0] or url)


def _fact(_told: Told, _reads: MutableMapping[str, Reads]) -> Found:
    """What is an alert, and no series: its texts are of one case."""
    return iter(())


KNOWN: Final[Mapping[str, Callable[[Told, MutableMapping[str, Reads]], Found]]] = {
    "SessionState": _session,
    "StoreState": _store,
    "TrainingBegan": _training,
    "TrainingState": _training,
    "TrainingEnded": _training,
    "MembersChanged": _training,
    "CheckpointCommitted": _checkpoint,
    "CheckpointFailed": _fact,
    "DamageFound": _fact,
    "DamageRepaired": _fact,
    "DeviceQuarantined": _fact,
    "TierFull": _fact,
}
_OVER: Final = ("deepseek_training_imbalance_ratio", "deepseek_training_samples_per_second")


def over(told: Told) -> Iterator[Series]:
    """The series that an event ends: a training that is over has no rank that is slow."""
    if told.type == "TrainingEnded":
        yield from ((family, (plain(told.fields.get("run", "?")),)) for family in _OVER)


# type of event: name of the alert, the fields that name its subject, how long it stays on
_ALERTS: Final[Mapping[str, tuple[str, tuple[str, ...], float]]] = {
    "DeviceQuarantined": ("quarantined", ("device_id",), _HOUR_S),
    "DamageFound": ("damage", ("store",), _DAY_S),
    "TierFull": ("tier full", ("url",), _SHORT_S),
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
        yield name, _subject(told, fields), _reason(told), lasts_s
    loss = told.fields.get("loss")
    if told.type == "TrainingState" and loss in ("NaN", "Infinity", "-Infinity"):
        yield "loss", _subject(told, ("run",)), f"the loss is {loss}", _SHORT_S


def _reason(told: Told) -> str:
    if told.type == "MembersChanged":
        lost, ranks = told.fields.get("lost"), told.fields.get("ranks", "?")
        return plain(f"{lost} lost; {ranks} ranks go on")
    reason = told.fields.get("reason") or told.fields.get("error") or told.type
    return plain(reason, 300)


def _is_good(told: Told) -> bool:
    """What only ended, or only grew, is no alert."""
    if told.type == "TrainingEnded":
        return not told.fields.get("error")
    return told.type == "MembersChanged" and not told.fields.get("lost")


def alarms(told: Told) -> Iterator[tuple[str, str]]:
    """Alerts that an event ends."""
    if told.type in _ENDS and not _number(told.fields.get("left")):
        name, fields = _ENDS[told.type]
        yield name, _subject(told, fields)


def _subject(told: Told, fields: tuple[str, ...]) -> str:
    if told.type.startswith("Checkpoint"):
        return _place(told)
    return plain(" ".join(str(told.fields.get(field, "?")) for field in fields))

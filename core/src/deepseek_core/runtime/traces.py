"""Arrival traces: JSON, or JSON Lines for long ones. The format: reference/trace_format.md."""

from __future__ import annotations

import heapq
import itertools
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core.contracts.errors import ArtifactError, InputError
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.schedule.online.records import (
    UNLIMITED,
    DeviceJoined,
    DeviceLost,
    OnlineDevice,
    OnlineEvent,
    RunCost,
    TaskArrived,
)

_LINES: Final = (".jsonl", ".ndjson")
_HEADER: Final = frozenset(
    {"schema", "name", "devices", "operators", "arrivals", "poisson", "seconds", "events"}
)
_ARRIVAL: Final = frozenset({"at_s", "operator", "items", "latency", "deadline_s", "caller"})
_POISSON: Final = (_ARRIVAL - {"at_s"}) | {"rate_per_s"}

Row = Mapping[str, Any]
Rows = Callable[[], Iterator[tuple[str, Any]]]
"""Arrivals with the place of each, to name it in an error."""


@attrs.frozen(kw_only=True)
class Trace:
    """Devices with the costs of operators, and what arrives when.

    Runs on a device take so many times what its costs say as `slower` has for it.
    """

    name: str
    devices: tuple[OnlineDevice, ...]
    slower: Mapping[str, float]
    _rows: Rows = attrs.field(alias="rows", repr=False)
    _poisson: tuple[Row, ...] = attrs.field(alias="poisson", repr=False)
    _seconds: float = attrs.field(alias="seconds", repr=False)
    _events: tuple[OnlineEvent, ...] = attrs.field(alias="events", repr=False)

    def replay(self, seed: int = 0) -> Iterator[OnlineEvent]:
        """Every event in order of time; read as it goes, so a long trace needs no memory.

        Raises:
            InputError: time goes backwards, an unknown operator, a size that is none.
        """
        numbers = itertools.count(1)
        streams: list[Iterator[OnlineEvent]] = [self._listed(numbers), iter(self._events)]
        for index, source in enumerate(self._poisson):
            rng = random.Random(f"{seed}/{index}")  # noqa: S311 - no secret
            streams.append(self._random(source, rng, numbers))
        return heapq.merge(*streams, key=_time_s)

    def _listed(self, numbers: Iterator[int]) -> Iterator[OnlineEvent]:
        before_s = -math.inf
        known = frozenset(name for device in self.devices for name in device.costs)
        for where, row in self._rows():
            arrival = _arrival(row, where, next(numbers), known)
            if arrival.time_s < before_s:
                raise InputError(
                    f"{where}: time goes backwards, {arrival.time_s:g} s after {before_s:g} s",
                    remedy="sort the arrivals by at_s",
                )
            before_s = arrival.time_s
            yield arrival

    def _random(
        self, source: Row, rng: random.Random, numbers: Iterator[int]
    ) -> Iterator[OnlineEvent]:
        at_s = rng.expovariate(source["rate_per_s"])
        known = frozenset({source["operator"]})
        fixed = {name: value for name, value in source.items() if name != "rate_per_s"}
        while at_s < self._seconds:
            yield _arrival({**fixed, "at_s": at_s}, "poisson", next(numbers), known)
            at_s += rng.expovariate(source["rate_per_s"])


def read_trace(path: str | Path) -> Trace:
    """Read a trace; arrivals are checked as they are replayed.

    Raises:
        ArtifactError: the file is missing, or no JSON.
        InputError: a field is missing, unknown or out of range; says which.
    """
    path = Path(path)
    header = _header(path)
    _known_fields(header, _HEADER, path.name)
    if header.get("schema") != 1:
        raise InputError(
            f"{path.name}: schema must be 1, got {header.get('schema')!r}",
            remedy='write "schema": 1',
        )
    devices = _devices(header, path.name)
    operators = frozenset(name for device in devices for name in device.costs)
    seconds = header.get("seconds", 0.0)
    poisson = _list(header, "poisson", path.name)
    if poisson:
        _number(seconds, f"{path.name}: seconds", above_zero=True)
    return Trace(
        name=str(header.get("name", path.stem)),
        devices=devices,
        slower=_slower(header, path.name),
        rows=_rows(path, header),
        poisson=tuple(_poisson(r, f"{path.name}: poisson[{i}]", operators) for i, r in poisson),
        seconds=float(seconds),
        events=_events(header, devices, path.name),
    )


def _time_s(event: OnlineEvent) -> float:
    return event.time_s


def _header(path: Path) -> Row:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.readline() if path.suffix in _LINES else file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} can't be read: {error}", remedy="give a trace file") from error
    return _object(_json(text, path.name), path.name)


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{where} is not JSON: {error}", remedy="fix or truncate it") from error


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise InputError(f"{where} must be an object, got a {type(value).__name__}")
    return value


def _rows(path: Path, header: Row) -> Rows:
    if path.suffix not in _LINES:
        listed = _list(header, "arrivals", path.name)
        return lambda: ((f"{path.name}: arrivals[{index}]", row) for index, row in listed)

    def lines() -> Iterator[tuple[str, Any]]:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if number > 1 and not line.isspace():
                    where = f"{path.name}, line {number}"
                    yield where, _json(line, where)

    return lines


def _list(header: Row, field: str, where: str) -> list[tuple[int, Any]]:
    value = header.get(field, [])
    if not isinstance(value, list):
        raise InputError(f"{where}: {field} must be a list, got a {type(value).__name__}")
    return list(enumerate(value))


def _devices(header: Row, where: str) -> tuple[OnlineDevice, ...]:
    costs: dict[str, dict[str, RunCost]] = {}
    slots: dict[str, int] = {}
    for index, value in _list(header, "devices", where):
        row = _object(value, f"{where}: devices[{index}]")
        _known_fields(row, frozenset({"id", "slots", "slower"}), f"{where}: devices[{index}]")
        device = str(_required(row, "id", f"{where}: devices[{index}]"))
        if device in costs:
            raise InputError(f"{where}: two devices are called {device!r}")
        slots[device] = _count(row.get("slots", 1), f"{where}: slots of {device}")
        costs[device] = {}
    operators = _object(header.get("operators", {}), f"{where}: operators")
    for operator, by_device in operators.items():
        for device, row in _object(by_device, f"{where}: operator {operator}").items():
            if device not in costs:
                raise InputError(f"{where}: operator {operator} names unknown device {device!r}")
            costs[device][operator] = _cost(row, f"{where}: {operator} on {device}")
    if not costs or not operators:
        raise InputError(f"{where}: a trace needs devices and operators")
    return tuple(OnlineDevice(id=d, slots=slots[d], costs=costs[d]) for d in costs)


def _slower(header: Row, where: str) -> dict[str, float]:
    return {
        str(row["id"]): _number(row["slower"], f"{where}: slower of {row['id']}", above_zero=True)
        for _, row in _list(header, "devices", where)
        if "slower" in row
    }


def _cost(value: Any, where: str) -> RunCost:
    row = _object(value, where)
    _known_fields(row, frozenset({"fixed_s", "item_s", "sigma", "most_items"}), where)
    numbers = {
        name: _number(row[name], f"{where}: {name}")
        for name in ("fixed_s", "item_s", "sigma")
        if name in row
    }
    if sum(numbers.get(name, 0.0) for name in ("fixed_s", "item_s")) <= 0:
        raise InputError(f"{where} costs nothing", remedy="give fixed_s or item_s above 0")
    most = _count(row.get("most_items", UNLIMITED), f"{where}: most_items")
    return RunCost(
        fixed_s=numbers.get("fixed_s", 0.0),
        item_s=numbers.get("item_s", 0.0),
        sigma=numbers.get("sigma", 0.0),
        most_items=most,
    )


def _events(header: Row, devices: tuple[OnlineDevice, ...], where: str) -> tuple[OnlineEvent, ...]:
    by_id = {device.id: device for device in devices}
    events: list[OnlineEvent] = []
    for index, value in _list(header, "events", where):
        place = f"{where}: events[{index}]"
        row = _object(value, place)
        time_s = _number(_required(row, "at_s", place), f"{place}: at_s")
        device = by_id.get(_required(row, "device", place))
        if device is None:
            raise InputError(f"{place} names unknown device {row['device']!r}")
        if row.get("event") == "device_lost":
            events.append(DeviceLost(time_s=time_s, device_id=device.id))
        elif row.get("event") == "device_joined":
            events.append(DeviceJoined(time_s=time_s, device=device))
        else:
            raise InputError(
                f"{place}: event must be device_lost or device_joined, got {row.get('event')!r}"
            )
        if len(events) > 1 and events[-2].time_s > time_s:
            raise InputError(f"{place}: time goes backwards", remedy="sort the events by at_s")
    return tuple(events)


def _poisson(value: Any, where: str, operators: frozenset[str]) -> Row:
    row = _object(value, where)
    _known_fields(row, _POISSON, where)
    _number(_required(row, "rate_per_s", where), f"{where}: rate_per_s", above_zero=True)
    sample = {name: v for name, v in row.items() if name != "rate_per_s"} | {"at_s": 0.0}
    _arrival(sample, where, 0, operators)
    return row


def _arrival(value: Any, where: str, number: int, operators: frozenset[str]) -> TaskArrived:
    row = _object(value, where)
    _known_fields(row, _ARRIVAL, where)
    at_s = _number(_required(row, "at_s", where), f"{where}: at_s")
    operator = _required(row, "operator", where)
    if operator not in operators:
        raise InputError(
            f"{where}: unknown operator {operator!r}",
            remedy=f"known are {', '.join(sorted(operators))}",
        )
    within_s = row.get("deadline_s")
    deadline_s = math.inf
    if within_s is not None:
        deadline_s = at_s + _number(within_s, f"{where}: deadline_s", above_zero=True)
    return TaskArrived(
        time_s=at_s,
        task_id=number,
        operator=operator,
        items=_count(row.get("items", 1), f"{where}: items"),
        latency=_latency(row.get("latency", "offline"), where),
        deadline_s=deadline_s,
        caller=str(row.get("caller", "")),
    )


def _latency(value: Any, where: str) -> LatencyClass:
    try:
        return LatencyClass(value)
    except ValueError:
        raise InputError(f"{where}: latency must be realtime or offline, got {value!r}") from None


def _required(row: Row, field: str, where: str) -> Any:
    if field not in row:
        raise InputError(f"{where} has no {field}")
    return row[field]


def _known_fields(row: Row, known: frozenset[str], where: str) -> None:
    unknown = sorted(set(row) - known)
    if unknown:
        raise InputError(
            f"{where}: unknown field {unknown[0]!r}", remedy=f"known are {', '.join(sorted(known))}"
        )


def _number(value: Any, where: str, *, above_zero: bool = False) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or value < 0 or (above_zero and value == 0):
        least = "above 0" if above_zero else "of 0 or more"
        raise InputError(f"{where} must be a finite number {least}, got {value!r}")
    return float(value)


def _count(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{where} must be a whole number of 1 or more, got {value!r}")
    return value

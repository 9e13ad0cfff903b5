"""Traces of PyTorch's profiler (Kineto), NVIDIA and AMD; of `ds-sdk run --trace`; and alike.

Times are decimal microseconds: older traces count from 1970, where a float64 is a quarter of one
off, so they are read digit by digit and kept as whole nanoseconds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from deepseek_core import errors
from deepseek_observe.reading.columns import Columns
from deepseek_observe.reading.events import Args, Around, Event, Number, events, nanoseconds
from deepseek_observe.reading.exchanges import bus_nbytes
from deepseek_observe.reading.opening import opened
from deepseek_observe.timeline.classes import HOST, Class, of_call, of_kernel
from deepseek_observe.timeline.record import Timeline

_DEVICE: Final = {
    "kernel": None, "concurrent_kernel": None,  # by the name
    "gpu_memcpy": Class.COPY, "memcpy": Class.COPY,
    "gpu_memset": Class.FILL, "memset": Class.FILL,
    "cuda_sync": Class.SYNC,
    "cuda_profiler_range": Class.COMPUTE, "mtia_ccp_events": Class.COMPUTE,
}  # fmt: skip
_CALLS: Final = frozenset(
    ("cuda_runtime", "cuda_driver", "runtime", "mtia_runtime", "glow_runtime", "xpu_runtime")
)
_RANGES: Final = frozenset(("user_annotation",))
_TASK: Final = "task"
"""Of a plan that ran: its thread is named by the device and the slot."""
_SLOT: Final = re.compile(r"(.+) slot (\d+)")
_OPERATIONS: Final = frozenset(("cpu_op", "operator"))
_FIRST_OF_TEXT: Final = 1 << 40  # numbers of streams and threads that have a name instead
_MOST: Final = 1 << 62
_OTHER_CALLS: Final = "calls of the driver that neither launch nor wait"


def read_kineto(path: Path, *, operations: bool | None = None) -> Timeline:
    """A timeline of the file.

    Operations of the framework are rows if `operations`; if it is None, where no device has any:
    what a CPU computes is to be seen there alone.

    Raises:
        InputError: it is no trace, it is damaged, or it holds nothing that took time.
    """
    reader = _Reader(operations=bool(operations))
    with opened(path) as stream:
        for piece in events(stream, str(path), reader.around):
            reader.take(piece)
    if operations is None and not reader.num_of_devices:
        return read_kineto(path, operations=True)
    if not reader.num_rows:
        raise errors.InputError(
            f"{path} holds no event that took time and is known: {reader.said()}",
            remedy="record with torch.profiler.profile(activities=[...]) around some steps",
        )
    return reader.columns.timeline(
        source=str(path), facts=reader.facts, left_out=reader.left_out, origin_ns=None
    )


class _Reader:
    """Turns events into rows; `left_out` counts the others by the reason."""

    def __init__(self, *, operations: bool) -> None:
        self._operations = operations
        self._texts: dict[str, int] = {}  # streams and threads that have a name
        self._classes: dict[tuple[str, str], int | str] = {}  # by category and name
        self._slots: dict[tuple[Number, Number], tuple[str, int]] = {}  # of tasks, by thread
        self._devices: dict[str, int] = {}  # of tasks
        self.columns = Columns()
        self.facts: dict[str, Any] = {"format": "kineto"}
        self.left_out: Counter[str] = Counter()
        self.num_rows = self.num_of_devices = 0

    def around(self, told: Around) -> None:
        """Note what the trace says of itself."""
        distributed, properties = told.distributedInfo, told.deviceProperties
        if isinstance(distributed, dict):
            for name in ("rank", "world_size", "backend"):
                if name in distributed:
                    self.facts[name] = distributed[name]
        if isinstance(properties, list):
            names = {
                one["id"]: str(one["name"])
                for one in properties
                if isinstance(one, dict) and isinstance(one.get("id"), int) and "name" in one
            }
            if names:
                self.facts["devices"] = names
        if isinstance(told.baseTimeNanoseconds, int):
            self.facts["base_ns"] = told.baseTimeNanoseconds

    def take(self, piece: Sequence[Event]) -> None:
        """Add the rows of a piece."""
        kept: list[Event] = []
        classes: list[int] = []
        starts: list[int] = []
        ends: list[int] = []
        for event in piece:
            if event.ph != "X":
                if event.name == "thread_name":
                    self._note_thread(event)
                continue
            found = self._class(event)
            if found is None:
                continue
            start, length = nanoseconds(event.ts), nanoseconds(event.dur)
            if start is None or length is None or length < 0:
                self.left_out["without a time"] += 1
                continue
            kept.append(event)
            classes.append(found)
            starts.append(start)
            ends.append(start + length)
        whole = self._whole
        self.columns.add(
            starts=starts,
            ends=ends,
            devices=[self._device(event, cl) for event, cl in zip(kept, classes, strict=True)],
            streams=[self._stream(event, cl) for event, cl in zip(kept, classes, strict=True)],
            classes=classes,
            names=self.columns.numbers(event.name for event in kept),
            correlations=[whole(event.args.correlation, 0) if event.args else 0 for event in kept],
            nbytes=[self._nbytes(event.args) if event.args else -1 for event in kept],
        )
        self.num_rows += len(kept)
        self.num_of_devices += sum(one <= Class.FILL for one in classes)

    def _note_thread(self, event: Event) -> None:
        name = event.args.name if event.args else None
        if isinstance(name, str) and (found := _SLOT.fullmatch(name)):
            self._slots[event.pid, event.tid] = found[1], int(found[2][:9])

    def _slot(self, event: Event) -> tuple[int, int]:
        """The device and the slot of a task."""
        name, slot = self._slots.get((event.pid, event.tid), (f"thread {event.tid}", 0))
        number = self._devices.setdefault(name, len(self._devices))
        if len(self._devices) > len(self.facts.setdefault("devices", {})):
            self.facts["devices"][number] = name
        self.facts["is_plan"] = True
        return number, slot

    def said(self) -> str:
        """What was left out, as a text."""
        told = [f"{count:,} {why}" for why, count in self.left_out.most_common()]
        return ", ".join(told) or "it is empty"

    def _class(self, event: Event) -> int | None:
        """The class of its row; None where it is none."""
        key = event.cat, event.name
        found = self._classes.get(key)
        if found is None:
            found = self._classes[key] = self._of(event.cat.lower(), event.name)
        if isinstance(found, str):
            if found:
                self.left_out[found] += 1
            return None
        return found

    def _of(self, category: str, name: str) -> int | str:
        """A class, or why it is left out; what is nothing at all needs no reason."""
        if category in _DEVICE:
            found = _DEVICE[category]
            return int(of_kernel(name) if found is None else found)
        if category == _TASK:
            return int(Class.COMPUTE)
        if category in _CALLS:
            call = of_call(name)
            return _OTHER_CALLS if call is Class.CALL else int(call)
        if category in _RANGES:
            return int(Class.RANGE)
        if category in _OPERATIONS:
            return int(Class.OPERATION) if self._operations else "operations of the framework"
        return ""

    def _device(self, event: Event, found: int) -> int:
        if found > Class.SYNC:
            return HOST
        if event.cat == _TASK:
            return self._slot(event)[0]
        given = event.args.device if event.args else None
        return self._whole(event.pid if given is None else given, 0)

    def _stream(self, event: Event, found: int) -> int:
        if event.cat == _TASK:
            return self._slot(event)[1]
        given = event.args.stream if event.args and found <= Class.SYNC else None
        return self._whole(event.tid if given is None else given, 0)

    def _nbytes(self, args: Args) -> int:
        if args.bytes is None and isinstance(args.collective, str) and isinstance(args.dtype, str):
            numbers = max(self._whole(args.taken, -1), self._whole(args.given, -1))
            return bus_nbytes(args.collective, args.dtype, numbers, self._whole(args.ranks, 0))
        return self._whole(args.bytes, -1)

    def _whole(self, value: Number, default: int) -> int:
        """A number as it is, or in a text; any other text gets a number of its own."""
        if isinstance(value, int):
            return value
        if isinstance(value, float):
            return int(value) if abs(value) < _MOST else default
        if isinstance(value, str):
            try:
                return int(value, 0)
            except ValueError:
                return self._texts.setdefault(value, _FIRST_OF_TEXT + len(self._texts))
        return default

"""What a file `.metadata` of `torch.distributed.checkpoint` says, read without running any of it.

The file is a pickle. Here its instructions build records of names and plain values, and no class is
looked up: so a folder of a stranger can be looked at, and torch is not needed.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any, ClassVar, Final

import attrs

from deepseek_parallel.errors import CheckpointDamaged

_MARK: Final = object()
_VALUES: Final = {
    "NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": _MARK
}  # fmt: skip
_EMPTY: Final[dict[str, Callable[[], Any]]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list}
_PUSHED: Final = {
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BININT", "BININT1", "BININT2", "LONG1",
    "BINFLOAT", "BINBYTES", "SHORT_BINBYTES",
}  # fmt: skip
_TUPLES: Final = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED: Final = {"PROTO", "FRAME", "STOP"}


@attrs.define
class _Record:
    """What would be an object: the name of its class, what made it, and its fields."""

    name: str
    args: Any = ()
    state: Any = None


def tensors_of(data: bytes, url: str) -> dict[str, dict[str, Any]]:
    """Dtype and shape of each tensor that the file tells of, by name.

    Raises:
        CheckpointDamaged: it is something else.
    """
    try:
        told = _built(data).state["state_dict_metadata"]
        return {
            name: _tensor(one.state)
            for name, one in told.items()
            if one.name.endswith("TensorStorageMetadata")
        }
    except Exception as error:
        raise CheckpointDamaged(
            f"{url} does not describe tensors as torch.distributed.checkpoint does: {error!r}",
            file=url,
            remedy="see whether it was copied completely",
        ) from error


def _tensor(told: Any) -> dict[str, Any]:
    """Dtype and shape; the dtype is the first field or has a name, by the version of torch."""
    fields = told["properties"].state
    dtype = fields["dtype"] if isinstance(fields, dict) else fields[0]
    return {"dtype": dtype.name.removeprefix("torch."), "shape": [*told["size"].args[0]]}


def _built(data: bytes) -> Any:
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(data):
        machine.do(opcode.name, argument)
    return machine.stack[-1]


class _Machine:
    """The stack of a pickle, of the instructions that data is made of."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._numbered: dict[int, Any] = {}

    def do(self, name: str, argument: Any) -> None:
        """Follow one instruction."""
        if name in _IGNORED:
            return
        if name in _VALUES:
            self.stack.append(_VALUES[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _PUSHED:
            self.stack.append(argument)
        elif name in _TUPLES:
            self.stack.append(tuple(self._popped(_TUPLES[name])))
        else:
            self.made[name](self, argument)

    def _popped(self, count: int) -> list[Any]:
        found = self.stack[-count:]
        del self.stack[-count:]
        return found

    def _to_mark(self) -> list[Any]:
        at = max(n for n, one in enumerate(self.stack) if one is _MARK)
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._to_mark()))

    def _set_items(self, _: Any) -> None:
        items = self._to_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._set(key, value)

    def _set_item(self, _: Any) -> None:
        self._set(*self._popped(2))

    def _set(self, key: Any, value: Any) -> None:
        self.stack[-1][_key(key)] = value

    def _extend(self, _: Any) -> None:
        items = self._to_mark()
        self.stack[-1].extend(items)

    def _append(self, _: Any) -> None:
        (item,) = self._popped(1)
        self.stack[-1].append(item)

    def _memoize(self, _: Any) -> None:
        self._numbered[len(self._numbered)] = self.stack[-1]

    def _put(self, number: int) -> None:
        self._numbered[number] = self.stack[-1]

    def _get(self, number: int) -> None:
        self.stack.append(self._numbered[number])

    def _global(self, name: str) -> None:
        self.stack.append(_Record(name.replace(" ", ".")))

    def _stack_global(self, _: Any) -> None:
        self.stack.append(_Record(".".join(self._popped(2))))

    def _reduce(self, _: Any) -> None:
        called, args = self._popped(2)
        self.stack.append(_Record(called.name, args))

    def _build(self, _: Any) -> None:
        (state,) = self._popped(1)
        self.stack[-1].state = state

    made: ClassVar[dict[str, Callable[[_Machine, Any], None]]] = {
        "TUPLE": _tuple, "SETITEMS": _set_items, "SETITEM": _set_item, "APPENDS": _extend,
        "APPEND": _append, "MEMOIZE": _memoize, "BINPUT": _put, "LONG_BINPUT": _put,
        "BINGET": _get, "LONG_BINGET": _get, "GLOBAL": _global, "STACK_GLOBAL": _stack_global,
        "REDUCE": _reduce, "NEWOBJ": _reduce, "BUILD": _build,
    }  # fmt: skip


def _key(key: Any) -> Any:
    """Records are keys by what they are, since two of one index may be told."""
    return id(key) if isinstance(key, _Record) else key

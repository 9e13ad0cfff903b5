"""Calling code of plugin authors: whatever it raises is caught, and told without trusting it.

A plugin's import, hook, probe, listener, command, check or factory may raise anything: classes that
do not derive from `Exception` (asyncio's CancelledError, the PanicException of a Rust extension),
and errors that raise again when they are asked for their text. Callers catch `BaseException` and
let through only what `raise_if_ours` raises again:

    except BaseException as error:  # noqa: BLE001 - a stranger's code may raise anything
        raise_if_ours(error)
        return row.ended(Status.BROKEN, one_line(error))
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeGuard, TypeVar

from deepseek_core.contracts.errors import DeepSeekError
from deepseek_core.contracts.secret import scrub
from deepseek_core.contracts.units import printable

E = TypeVar("E", bound=BaseException)

_NOT_TOLD: Final = "(its text can't be had)"
_LONGEST: Final = 600  # characters of a reason; a hostile or careless text may have millions
_LOOKED_AT: Final = 1 << 18
_MOST_LEAVES: Final = 1000
# Read from the C types: a class or its metaclass may override the attribute.
_name_of: Final = type.__dict__["__name__"].__get__
_members_of: Final = BaseExceptionGroup.__dict__["exceptions"].__get__


class Overdue(BaseException):
    """Signal that a plugin took too long; its own `except Exception` does not stop it."""


class Process:
    """The process that plugins are called in."""

    is_ours = False
    """It is `ds-sdk` itself, which may end when a plugin hangs it; a user's program may not."""


def raise_if_ours(error: BaseException) -> None:
    """Raise again what is not the plugin's: the user's Ctrl-C, and the end of a time limit.

    A KeyboardInterrupt that the plugin raises itself can't be told from Ctrl-C, so it counts as
    Ctrl-C in the main thread. Other threads get no Ctrl-C: there it is an error like any other.

    Raises:
        KeyboardInterrupt: the user wants to stop.
        Overdue: the time is up.
    """
    for leaf in _leaves(error):
        if is_a(leaf, Overdue) or (is_a(leaf, KeyboardInterrupt) and _in_main_thread()):
            raise leaf


def is_a(error: BaseException, kind: type[E]) -> TypeGuard[E]:
    """Tell whether an error is of this class; `isinstance` would believe its `__class__`."""
    return issubclass(type(error), kind)


def attribute(thing: object, name: str) -> Any:
    """Read an attribute of a plugin's object; None if it is missing or raises."""
    try:
        return getattr(thing, name, None)
    except BaseException as error:  # noqa: BLE001 - a property may raise anything
        raise_if_ours(error)
        return None


def text_of(value: object) -> str:
    """Return `str(value)` fit to be shown: one line, printable, masked, cut to a limit."""
    try:
        text = str(value)
    except BaseException as error:  # noqa: BLE001 - what can't say what it is must do no harm
        raise_if_ours(error)
        return _NOT_TOLD
    # A slice of a subclass of str is a plain one, whatever its own methods do.
    return _presentable(str.__getitem__(text, slice(_LOOKED_AT)))


def repr_of(value: object) -> str:
    """Return `repr(value)`, made fit to be shown like `text_of`."""
    return text_of(_Repr(value))


def one_line(error: BaseException) -> str:
    """Return an error as `Type: text`; for a group, with the first error in it."""
    shown = attribute(error, "message")
    text = ("" if shown is None else text_of(shown)) or text_of(error)
    line = f"{_name_of(type(error))}: {text}"
    first = next(_leaves(error), error)
    if first is not error:
        line = f"{line.removesuffix(': ')}; the first: {_name_of(type(first))}: {text_of(first)}"
    return _presentable(line).removesuffix(":")


def told(error: DeepSeekError) -> tuple[str, str | None]:
    """Return message and remedy of an SDK error that a plugin raised, maybe of its own subclass."""
    message, remedy = attribute(error, "message"), attribute(error, "remedy")
    text = one_line(error) if message is None else text_of(message)
    return text, None if remedy is None else text_of(remedy) or None


class _Repr:
    """Stands for an object by its `repr`."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return repr(self._value)


def _presentable(text: str) -> str:
    words = " ".join(scrub(text).split())
    shown = words if words.isprintable() else printable(words[: _LONGEST + 1])
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the error itself or, for a group, the single errors in it, in order."""
    todo = [error]
    for _ in range(_MOST_LEAVES):
        if not todo:
            return
        found = todo.pop()
        if is_a(found, BaseExceptionGroup):
            todo.extend(reversed(_members_of(found)))
        else:
            yield found


def _in_main_thread() -> bool:
    import threading  # a millisecond, and only Ctrl-C asks

    return threading.current_thread() is threading.main_thread()

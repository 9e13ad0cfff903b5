"""What a stranger's code may raise, told without trusting it.

Import, hook, probe, listener, command, check, factory: each is a plugin author's code and may
raise anything, also what does not derive from `Exception` (asyncio's CancelledError, the
PanicException of a Rust extension) and errors that raise again when they are asked what they are.
Whoever calls such code catches `BaseException` and lets through what `raise_if_ours` names:

    except BaseException as error:  # noqa: BLE001 - a stranger's code may raise anything
        raise_if_ours(error)
        return row.ended(Status.BROKEN, one_line(error))
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeGuard, TypeVar

from deepseek_core.contracts.errors import DeepSeekError
from deepseek_core.contracts.secret import scrub

E = TypeVar("E", bound=BaseException)

_NOT_TOLD: Final = "(its text can't be had)"
_LONGEST: Final = 600  # characters of a reason; a hostile or careless text may have millions
_LOOKED_AT: Final = 1 << 18
_MOST_LEAVES: Final = 1000
# Read past what a class or its metaclass may put in the way.
_name_of: Final = type.__dict__["__name__"].__get__
_members_of: Final = BaseExceptionGroup.__dict__["exceptions"].__get__


class Overdue(BaseException):
    """A plugin took too long; no `except Exception` of its own may keep this."""


def raise_if_ours(error: BaseException) -> None:
    """Raise on what is not the stranger's: the user's Ctrl-C, and the end of a time limit.

    A plugin that raises KeyboardInterrupt itself can't be told from Ctrl-C, and counts as it in
    the main thread. In any other, where no Ctrl-C arrives, it is an error like any other.

    Raises:
        KeyboardInterrupt: the user wants to stop.
        Overdue: the time is up.
    """
    for leaf in _leaves(error):
        if is_a(leaf, Overdue) or (is_a(leaf, KeyboardInterrupt) and _in_main_thread()):
            raise leaf


def is_a(error: BaseException, kind: type[E]) -> TypeGuard[E]:
    """Whether an error is of this class: `isinstance` would believe its `__class__`."""
    return issubclass(type(error), kind)


def attribute(thing: object, name: str) -> Any:
    """The attribute of a stranger's object; None if it has none or raises when it is read."""
    try:
        return getattr(thing, name, None)
    except BaseException as error:  # noqa: BLE001 - a property may raise anything
        raise_if_ours(error)
        return None


def text_of(value: object) -> str:
    """What `str` says, as it may be shown: one line, no secret, no control character, cut."""
    try:
        text = str(value)
    except BaseException as error:  # noqa: BLE001 - what can't say what it is must do no harm
        raise_if_ours(error)
        return _NOT_TOLD
    # A slice of a subclass of str is a plain one, whatever its own methods do.
    return _presentable(str.__getitem__(text, slice(_LOOKED_AT)))


def repr_of(value: object) -> str:
    """The same of what `repr` says."""
    return text_of(_Repr(value))


def one_line(error: BaseException) -> str:
    """`Type: text` of a stranger's error; of a group, also the first error within."""
    shown = attribute(error, "message")
    text = ("" if shown is None else text_of(shown)) or text_of(error)
    line = f"{_name_of(type(error))}: {text}"
    first = next(_leaves(error), error)
    if first is not error:
        line = f"{line.removesuffix(': ')}; the first: {_name_of(type(first))}: {text_of(first)}"
    return _presentable(line).removesuffix(":")


def told(error: DeepSeekError) -> tuple[str, str | None]:
    """Message and remedy of an error of ours that a stranger raised, and may have subclassed."""
    message, remedy = attribute(error, "message"), attribute(error, "remedy")
    text = one_line(error) if message is None else text_of(message)
    return text, None if remedy is None else text_of(remedy) or None


class _Repr:
    """Whose `str` is the `repr` of another object."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return repr(self._value)


def _presentable(text: str) -> str:
    words = " ".join(scrub(text).split())
    shown = words if words.isprintable() else "".join(map(_printable, words[: _LONGEST + 1]))
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def _printable(character: str) -> str:
    escaped = character.encode("unicode_escape").decode("ascii")
    return character if character.isprintable() else escaped


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The error itself or, of a group, those within that are no groups, in their order."""
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

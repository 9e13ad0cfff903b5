"""What a plugin's factory or probe does to the process: put back, or told.

Opening something takes threads, files, processes and variables of the environment, so those are
not looked at. What it changes besides is put back only where nobody else can have changed it: in
the main thread, while no other thread is at work. Else two factories that open at once would undo
each other's changes, and the program's own. There it is named and stays, and only what belongs to
the process as a whole and seldom changes is looked at. Runs are not watched: they are what a plan
repeats.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from deepseek_core.contracts.units import printable
from deepseek_core.discovery import undoing  # here: a plugin may end the import system
from deepseek_core.discovery.guard import library_parts, put_back_parts, replaced_parts
from deepseek_core.discovery.process_state import all_readers

_TAKEN: Final = ("threads", "open files", "child processes")
_OF_ALL_THREADS: Final = (
    "the working folder", "sys.path", "sys.meta_path", "sys.path_hooks", "the recursion limit",
    "the switch interval", "the digits limit", "faulthandler", "the locale", "the time zone",
    "the root logger", "the time-out of sockets", "the start method of processes",
)  # fmt: skip
_UNREADABLE: Final = object()
TELLER: Final = "deepseek-events"
"""The thread that tells listeners; it comes and goes, and is none that works for the program."""

_STREAMS: Final = "the streams"

State = dict[str, object]
Readers = Mapping[str, Callable[[], object]]


@contextmanager
def watched(plugin: str, deed: str) -> Iterator[None]:
    """Put back what a plugin changes in the process in the block, which does the deed; warn of it.

    `deed` is the subject of a sentence: "opening acme:0". Takes 0.2 ms.
    """
    is_alone = _is_alone()
    every = all_readers()
    names = [name for name in every if name not in _TAKEN] if is_alone else _OF_ALL_THREADS
    readers = {name: every[name] for name in names}
    kept = _duplicates() if is_alone else {}
    before, parts = _read(readers), library_parts()
    try:
        yield
    finally:
        replaced = list(put_back_parts(parts) if is_alone else replaced_parts(parts))
        duplicates = kept if is_alone else None
        told = [_sentence(deed, replaced, is_alone), _undone(deed, before, readers, duplicates)]
        if told[-1] and is_alone:  # a stream that lost its place may have closed the one before
            told.append(_undone(deed, before, {_STREAMS: every[_STREAMS]}, duplicates))
        for text in filter(None, told):
            _tell(plugin, text)
        for number in kept.values():
            with suppress(OSError):
                os.close(number)


def _is_alone() -> bool:
    main = threading.main_thread()
    if threading.current_thread() is not main:
        return False
    return all(thread is main or thread.name == TELLER for thread in threading.enumerate())


def _duplicates() -> dict[int, int]:
    kept = {}
    for descriptor in (0, 2):
        with suppress(OSError):
            kept[descriptor] = os.dup(descriptor)
    return kept


def _read(readers: Readers) -> State:
    state: State = {}
    for name, read in readers.items():
        try:
            state[name] = read()
        except Exception:  # noqa: BLE001 - a plugin may have put anything there
            state[name] = _UNREADABLE
    return state


def _undone(deed: str, known: State, readers: Readers, kept: Mapping[int, int] | None) -> str:
    """What was put back, of what these read; without `kept`, only what differs."""
    before, after = {name: known[name] for name in readers}, _read(readers)
    if after == before:
        return ""
    if kept is None:
        return undoing.changed(before, after, deed)
    return undoing.undone(before, after, kept, deed=deed, last=True)


def _sentence(deed: str, replaced: Iterable[tuple[str, str]], is_alone: bool) -> str:
    names = ", ".join(sorted(map(".".join, replaced)))
    restored = ", which was restored" if is_alone else ""
    return f"{deed} replaced {names}{restored}" if names else ""


def _tell(plugin: str, text: str) -> None:
    import logging

    from deepseek_core.contracts.secret import scrub

    logger = logging.getLogger(__name__)
    logger.warning("plugin %s: %s", printable(repr(plugin)), printable(scrub(text)))

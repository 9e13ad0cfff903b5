"""Putting back what a plugin changed in the process, and words for it and for what can't be.

Imported only when a plugin has changed something: see `guard` for what is looked at.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import faulthandler
import gc
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from deepseek_core.discovery.process_state import (
    SIGNALS,
    STREAMS,
    SYS_HOOKS,
    SYS_SETTINGS,
    TEXT_ERRORS,
    TIMERS,
    Objects,
    decimal_state,
    stream_state,
)
from deepseek_core.discovery.strangers import attribute, raise_if_ours, text_of

_MOST_NAMED: Final = 5
_PLACES: Final = ("sys.path", "sys.meta_path", "sys.path_hooks")

_NUMPY_ERRORS: Final = (
    ("divide", "warn"), ("over", "warn"), ("under", "ignore"), ("invalid", "warn"),
)  # fmt: skip

State = Mapping[str, Any]


def undone(
    before: State,
    after: State,
    descriptors: Mapping[int, int],
    *,
    deed: str = "its import",
    last: bool = False,
) -> str:
    """Put back what differs, and say what did; empty if only what may stay was added.

    `descriptors` are duplicates of the standard descriptors, by their number. The `deed` is what
    changed it. With `last`, places to import from that it put first stay, at the end: what it
    opened may import more, and nobody else finds another module than before.
    """
    restored: list[str] = []
    stuck: list[str] = []
    left: list[str] = []
    for name, value in parts_that_differ(before, after):
        if name in _SEEDED and (value is None or last):  # libraries draw some as they are imported
            _put_back(name, value, descriptors)
        elif name in _LEFT:
            left.extend(_LEFT[name](value, after[name]))
        elif added := _added(name, value, after[name]):
            left.extend([] if last else [added])
        elif what := _described(name, value, after[name]):
            wanted = _behind(value, after[name]) if last and name in _PLACES else value
            (restored if _put_back(name, wanted, descriptors) else stuck).append(what)
    told = [
        f"{deed} changed {_listed(restored)}, which was restored" if restored else "",
        f"{deed} changed {_listed(stuck)}, which can't be restored" if stuck else "",
        f"{deed} left behind {_listed(left)}" if left else "",
    ]
    return "; ".join(filter(None, told))


def changed(before: State, after: State, deed: str) -> str:
    """Say what differs, which stays: another thread may have done it."""
    names = [
        what
        for name, value in parts_that_differ(before, after)
        if not _added(name, value, after[name]) and (what := _described(name, value, after[name]))
    ]
    if not names:
        return ""
    return f"{deed} changed {_listed(names)}, or another thread did; nothing was restored"


def parts_that_differ(before: State, after: State) -> Iterator[tuple[str, Any]]:
    """The names of what differs, each with the value before: that of a new module, if it is new."""
    for name, known in before.items():
        if after[name] == known:
            continue
        is_new = known is None and name in _AT_FIRST  # its module was just imported
        try:
            value = _AT_FIRST[name]() if is_new else known
        except AttributeError:  # another thread is about to import it
            continue
        if after[name] != value:
            yield name, value


def variables_undone(environ: Any, raw: Mapping[Any, Any]) -> str:
    """Put back the environment's variables, raw as `os.environ` keeps them; says which."""
    key, value = getattr(environ, "decodekey", str), getattr(environ, "decodevalue", str)
    before = {key(name): value(content) for name, content in raw.items()}
    now = dict(environ)
    words = [
        (word, sorted(names))
        for word, names in (
            ("deleted", before.keys() - now.keys()),
            ("set", now.keys() - before.keys()),
            ("changed", {name for name, old in before.items() if now.get(name, old) != old}),
        )
    ]
    for name in now.keys() - before.keys():
        del environ[name]
    environ.update(before)
    told = "; ".join(f"{word} {_listed(names)}" for word, names in words if names)
    return f"its import changed the environment, which was restored: {told}"


def _put_back(name: str, value: Any, descriptors: Mapping[int, int]) -> bool:
    try:
        if name == "standard descriptors":
            for number, kept in descriptors.items():
                os.dup2(kept, number)
        else:
            _UNDO[name](value)
    except BaseException as error:  # noqa: BLE001 - a stranger's objects may be in the way
        raise_if_ours(error)
        return False
    return True


def _described(name: str, before: Any, after: Any) -> str:
    """What changed, as precisely as it is known; empty for what does not matter."""
    if name == "signal handlers":
        pairs = zip(SIGNALS, before, after, strict=True)
        numbers = [number for number, old, new in pairs if old is not new]
        return f"the handling of {_listed([_signal_name(number) for number in numbers])}"
    if name == "sys hooks":
        pairs = zip(SYS_HOOKS, before, after, strict=True)
        return _listed([f"sys.{hook}" for hook, old, new in pairs if old is not new])
    if name == "sys settings":
        pairs = zip(SYS_SETTINGS, before, after, strict=True)
        return _listed([f"sys.{each}" for each, old, new in pairs if old is not new])
    if name == "modules that are blocked":
        return (
            "" if after < before else f"which modules are blocked ({_listed(_new(before, after))})"
        )
    if name == "warning filters" and _are_narrow(before, after):
        return ""
    return name


def _added(name: str, before: Any, after: Any) -> str:
    """What was appended to a list of places to look in: it answers only what no other does."""
    if name not in _PLACES:
        return ""
    if tuple(after)[: len(before)] != tuple(before) or len(after) <= len(before):
        return ""
    new = [text_of(entry) if isinstance(entry, str) else _name_of(entry) for entry in after]
    return f"{_listed(new[len(before) :])} at the end of {name}"


def _behind(before: tuple[Any, ...], after: tuple[Any, ...]) -> tuple[Any, ...]:
    """The places of before, then those that are new."""

    def is_known(new: Any) -> bool:
        return any(new is old or (type(new) is type(old) is str and new == old) for old in before)

    return (*before, *(new for new in after if not is_known(new)))


def _name_of(thing: object) -> str:
    name = attribute(thing, "__name__")
    return text_of(name) if isinstance(name, str) else type(thing).__name__


def _are_narrow(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    """Tell whether all new filters are about a message, a module or a library's own category."""
    kept = tuple(entry for entry in after if entry in before)
    new = [entry for entry in after if entry not in before]
    return kept == before and all(
        message or module or category.__module__ != "builtins"
        for _action, message, category, module, _line in new
    )


def _signal_name(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _listed(words: list[str]) -> str:
    shown = words[:_MOST_NAMED]
    if len(words) > _MOST_NAMED:
        shown.append(f"{len(words) - _MOST_NAMED} more")
    *first, last = shown
    return f"{', '.join(first)} and {last}" if first else last


def _threads(before: tuple[Any, ...], after: tuple[Any, ...]) -> Iterator[str]:
    for thread in after:
        if not any(thread is old for old in before) and thread.is_alive():
            yield f"the thread {text_of(attribute(thread, 'name'))!r}"


def _open_files(before: int, after: int) -> Iterator[str]:
    for number in range(before, after):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115 - of /proc, no path
        except OSError:
            target = f"descriptor {number}"
        yield f"the open file {text_of(target)}"


def _children(before: bool, after: bool) -> Iterator[str]:
    if after and not before:
        try:
            text = Path("/proc/thread-self/children").read_text(encoding="ascii")
        except OSError:
            text = ""
        numbers = text.split()
        yield f"the process {', '.join(numbers)}" if numbers else "a process"


def _builtins(before: frozenset[str], after: frozenset[str]) -> Iterator[str]:
    for name in _new(before, after):
        yield f"{text_of(name)} in builtins"


def _new(before: frozenset[str], after: frozenset[str]) -> list[str]:
    return sorted(after - before)


def _revive(states: tuple[Any, ...]) -> None:
    """Let each stream be as it was: a new one takes the place of one that was closed."""
    for number, (name, state) in enumerate(zip(STREAMS, states, strict=True)):
        dead = getattr(sys, name)
        if state is None or stream_state(dead) == state:
            continue
        encoding, errors, buffering = state
        if stream_state(dead) is not None:
            dead.reconfigure(encoding=encoding, errors=errors, line_buffering=buffering)
            continue
        mode = "r" if number == 0 else "w"
        made: Any = open(number, mode, encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115
        made.reconfigure(line_buffering=buffering)
        for place in (*STREAMS, "stdin", "stdout", "stderr"):
            if getattr(sys, place) is dead:
                setattr(sys, place, made)


def _set_settings(values: tuple[Any, ...]) -> None:
    for name, value in zip(SYS_SETTINGS, values, strict=True):
        if name == "tracebacklimit" and value is None:
            vars(sys).pop(name, None)
        else:
            setattr(sys, name, value)


def _set_text_errors(handlers: tuple[Any, ...]) -> None:
    import codecs

    for name, handler in zip(TEXT_ERRORS, handlers, strict=True):
        codecs.register_error(name, handler)


def _unblock(blocked: frozenset[str]) -> None:
    for name, module in sys.modules.copy().items():
        if module is None and name not in blocked:
            del sys.modules[name]


def _stop_timers(running: tuple[bool, ...]) -> None:
    for which, ran in zip(TIMERS, running, strict=True):
        if not ran:
            _signal.setitimer(which, 0)


def _set_policy(policies: tuple[Any, ...]) -> None:
    sys.modules["asyncio.events"]._event_loop_policy = policies[0]  # type: ignore[attr-defined]


def _set_printing(functions: tuple[Any, ...]) -> None:
    warnings.showwarning, warnings.formatwarning = functions
    module: Any = sys.modules.get("logging")
    if module is not None and functions[0] is module._warnings_showwarning:
        module._warnings_showwarning = None  # else it would take itself for switched on


def _set_numpy_errors(state: tuple[Any, ...]) -> None:
    sys.modules["numpy"].seterr(**dict(state))


def _set_torch_defaults(state: tuple[Any, ...]) -> None:
    torch: Any = sys.modules["torch"]
    dtype, grad = state
    torch.set_default_dtype(getattr(torch, dtype.removeprefix("torch.")))
    torch.set_grad_enabled(grad)


def _set_open_files(most: int) -> None:
    import resource

    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_less = hard != resource.RLIM_INFINITY and hard < most
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most if is_less else hard))


def _signals(handlers: tuple[Any, ...]) -> None:
    now = map(_signal.getsignal, SIGNALS)
    for number, old, new in zip(SIGNALS, handlers, now, strict=True):
        if old is not new:
            _signal.signal(number, old)  # one that native code had set, None, raises


def _set_hooks(hooks: tuple[Any, ...]) -> None:
    for name, hook in zip(SYS_HOOKS, hooks, strict=True):
        setattr(sys, name, hook)


def _set_thread_hooks(hooks: tuple[Any, ...]) -> None:
    threading.excepthook, trace, profile = hooks
    threading.settrace(trace)
    threading.setprofile(profile)


def _set_tracing(hooks: tuple[Any, ...]) -> None:
    trace, profile = hooks
    sys.settrace(trace)
    sys.setprofile(profile)


def _set_collector(state: tuple[Any, ...]) -> None:
    enabled, thresholds, debug = state
    (gc.enable if enabled else gc.disable)()
    gc.set_threshold(*thresholds)
    gc.set_debug(debug)


def _set_logging(state: tuple[Any, ...]) -> None:
    module: Any = sys.modules["logging"]
    level, handlers, filters, disabled, raises, kind = state
    root = module.root
    root.setLevel(level)
    root.handlers[:], root.filters[:] = handlers, filters
    module.disable(disabled)
    module.raiseExceptions = raises
    module.setLoggerClass(kind)


def _set_filters(filters: tuple[Any, ...]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]


def _set_random(state: Any) -> None:
    found: Any = sys.modules["random"]
    if state is None:  # what the plugin has seeded it with is not known: a seed that nobody knows
        found.seed()
    else:
        found.setstate(state)


def _set_numpy_random(state: Any) -> None:
    found: Any = sys.modules["numpy.random.mtrand"]
    if state is None:
        found.seed()
    else:
        kind, keys, *rest = state
        found.set_state((kind, sys.modules["numpy"].frombuffer(keys, "uint32"), *rest))


def _set_decimal(state: tuple[Any, ...]) -> None:
    module: Any = sys.modules["decimal"]
    prec, rounding, e_min, e_max, capitals, clamp, traps = state
    module.setcontext(
        module.Context(prec, rounding, e_min, e_max, capitals, clamp, [], list(traps))
    )


def _default_decimal() -> object:
    return decimal_state(sys.modules["decimal"].DefaultContext)


def _set_locale(name: str | None) -> None:
    import _locale

    _locale.setlocale(_locale.LC_ALL, name)


def _set_list(name: str) -> Callable[[tuple[Any, ...]], None]:
    def put_back(entries: tuple[Any, ...]) -> None:
        found = getattr(sys, name)
        if type(found) is list:
            found[:] = entries
        else:
            setattr(sys, name, list(entries))

    return put_back


def _set_socket_limit(limit_s: float | None) -> None:
    sys.modules["_socket"].setdefaulttimeout(limit_s)


def _set_blocked(signals: frozenset[int]) -> None:
    _signal.pthread_sigmask(_signal.SIG_SETMASK, signals)


def _set_dlopen_flags(flags: int) -> None:
    sys.setdlopenflags(flags)


def _set_affinity(cpus: frozenset[int]) -> None:
    os.sched_setaffinity(0, cpus)


def _set_start_method(name: str | None) -> None:
    sys.modules["multiprocessing"].set_start_method(name, force=True)


_UNDO: Final[dict[str, Callable[[Any], object]]] = {
    "the working folder": os.chdir,
    "the umask": os.umask,
    "signal handlers": _signals,
    "the process group": lambda group: os.setpgid(0, group),
    "sys.argv": _set_list("argv"),
    "sys.path": _set_list("path"),
    "sys.meta_path": _set_list("meta_path"),
    "sys.path_hooks": _set_list("path_hooks"),
    "sys hooks": _set_hooks,
    "the streams": _revive,
    "sys settings": _set_settings,
    "the handling of text errors": _set_text_errors,
    "modules that are blocked": _unblock,
    "timers": _stop_timers,
    "the stack size of threads": threading.stack_size,
    "the asyncio policy": _set_policy,
    "the printing of warnings": _set_printing,
    "numpy's handling of errors": _set_numpy_errors,
    "torch's defaults": _set_torch_defaults,
    "the priority": lambda level: os.setpriority(os.PRIO_PROCESS, 0, level),
    "the limit of open files": _set_open_files,
    "threading hooks": _set_thread_hooks,
    "tracing": _set_tracing,
    "the recursion limit": sys.setrecursionlimit,
    "the switch interval": sys.setswitchinterval,
    "the digits limit": sys.set_int_max_str_digits,
    "the garbage collector": _set_collector,
    "faulthandler": lambda enabled: (faulthandler.enable if enabled else faulthandler.disable)(),
    "the locale": _set_locale,
    "the time zone": lambda _zone: time.tzset(),  # the variable TZ is as before by now
    "the root logger": _set_logging,
    "the time-out of sockets": _set_socket_limit,
    "the decimal context": _set_decimal,
    "the start method of processes": _set_start_method,
    "blocked signals": _set_blocked,
    "the flags of dlopen": _set_dlopen_flags,
    "the CPU affinity": _set_affinity,
    "warning filters": _set_filters,
    "random numbers": _set_random,
    "numpy's random numbers": _set_numpy_random,
}

_SEEDED: Final = ("random numbers", "numpy's random numbers")

_AT_FIRST: Final[dict[str, Callable[[], object]]] = {
    "the root logger": lambda: (30, Objects(), Objects(), 0, True, sys.modules["logging"].Logger),
    "the asyncio policy": lambda: Objects((None,)),
    "the printing of warnings": lambda: Objects(
        (warnings._showwarning_orig, warnings._formatwarning_orig)  # type: ignore[attr-defined]
    ),
    "numpy's handling of errors": lambda: _NUMPY_ERRORS,
    "torch's defaults": lambda: ("torch.float32", True),
    "the decimal context": _default_decimal,
}
"""State of a module that has just been imported."""

_LEFT: Final[dict[str, Callable[[Any, Any], Iterator[str]]]] = {
    "threads": _threads,
    "open files": _open_files,
    "child processes": _children,
    "names in builtins": _builtins,
}
"""What can't be put back without harm."""

"""Ray in this process: one connection, which all sessions here share."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import importlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

from deepseek_core import errors
from deepseek_ray.head import START, check_head, split

_lock: Final = threading.Lock()
_logger: Final = logging.getLogger(__name__)


class _State:
    """`users` are the sessions that are connected; `ours` says that none but us connected.

    `is_foreign` is true in a forked child: the connection is that of its parent.
    """

    users = 0
    ours = False
    is_foreign = False


def _in_child() -> None:
    """Leave the parent's connection and cluster alone, which Ray would end as this one exits."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return
    _State.is_foreign = True
    worker = ray._private.worker
    atexit.unregister(worker.shutdown)
    worker.global_worker.set_is_connected(False)  # handles of actors that are freed here end none
    if worker._global_node is not None:
        worker._global_node.all_processes.clear()


os.register_at_fork(after_in_child=_in_child)


_MOST_TEXT: Final = 300
_ANY: Final = ("", "auto")  # RAY_ADDRESS counts
_SETUP: Final = "ray._private.authentication.authentication_token_setup"
_SHOWN: Final = (
    "put the head's token (ray get-auth-token prints it there) into RAY_AUTH_TOKEN or "
    "~/.ray/auth_token"
)


def connect(address: str, limit_s: float) -> None:
    """Join the cluster at an address, or start one of this machine alone.

    The connection stays for the next session, up to the end of the process or until another
    cluster is wanted: each one leaves files of Ray open. One that somebody else made is used.

    Raises:
        DeviceUnavailable: no head answers there in time, or Ray refuses.
        ConfigError: an address that is none, a second one while the first is in use, or a process
            that is connected by Ray Client.
        Interrupted: this is a forked child of a process that is connected.
    """
    if _State.is_foreign:
        raise errors.Interrupted(
            "this process was forked from one that is connected to Ray, and can't use Ray any more",
            remedy="connect after the fork, or begin processes by `spawn`",
        )
    ray = _ray()
    if importlib.import_module("ray.util.client").ray.is_connected():
        raise errors.ConfigError(
            "this process is connected by Ray Client (ray://), which can't drive devices",
            remedy="run it on a node of the cluster (ray job submit does), without ray.init",
        )
    with _origin_told(address):
        _join(ray, address, limit_s)


@contextlib.contextmanager
def _origin_told(address: str) -> Iterator[None]:
    """Say of an address that nobody gave where it comes from."""
    try:
        yield
    except (errors.ConfigError, errors.DeviceUnavailable) as error:
        if address in _ANY and os.environ.get("RAY_ADDRESS"):
            error.remedy = f"RAY_ADDRESS names it: unset it, or {error.remedy}"
        raise


def _join(ray: Any, address: str, limit_s: float) -> None:
    wanted = (os.environ.get("RAY_ADDRESS") if address in _ANY else "") or address
    with _lock:
        if not (ray.is_initialized() and _fits(ray, wanted, limit_s)):
            is_found = wanted == "auto"
            if is_found:
                wanted = _running()
            if wanted not in ("", "local"):
                _check_may_join(wanted, limit_s, is_found)
            with _signals_kept():
                _init(ray, wanted)
            _keep_stdout(ray)
            _State.ours = True
        _State.users += 1


def _check_may_join(address: str, limit_s: float, is_found: bool) -> None:
    """See that a head answers, and takes the token of this process if it asks for one.

    As Ray has it, a token goes to an address that somebody gave only where `RAY_AUTH_MODE` is set,
    and to a cluster that was found on this machine whenever there is one.

    Raises:
        DeviceUnavailable: else; Ray would try for 20 s.
    """
    if check_head(address, limit_s, _authorization()):
        return
    if is_found and not _authorization():
        setup: Any = importlib.import_module(_SETUP)
        setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        if check_head(address, limit_s, _authorization()):
            return
    has_one = bool(_authorization())
    raise errors.DeviceUnavailable(
        f"the Ray head at {address} asks for a token, and "
        + ("does not take the one of this process" if has_one else "this process sends none"),
        device_id="ray",
        remedy=_SHOWN if has_one else f"set RAY_AUTH_MODE=token, and {_SHOWN}",
    )


def _authorization() -> str:
    """The header by which this process joins clusters that ask for a token; "" without one."""
    raylet: Any = importlib.import_module("ray._raylet")
    if not hasattr(raylet, "AuthenticationTokenLoader"):  # before it had tokens
        return ""
    if raylet.get_authentication_mode() == raylet.AuthenticationMode.DISABLED:
        return ""
    loader = raylet.AuthenticationTokenLoader.instance()
    if not loader.has_token(ignore_auth_mode=True):
        return ""
    return str(loader.get_token_for_http_header().get("authorization", ""))


def release() -> None:
    """Tell that a session has left."""
    with _lock:
        _State.users -= 1


def _keep_stdout(ray: Any) -> None:
    """Let what Ray prints of nodes go to the log: stdout may be somebody's JSON."""
    worker = ray._private.worker
    usual = getattr(worker, "print_to_stdstream", None)
    if usual is None or getattr(usual, "is_ours", False):
        return

    def tell(data: Any, *args: Any, **more: Any) -> None:
        if data.get("pid") == "raylet":
            _logger.info("%s", "\n".join(map(str, data["lines"])))
        else:
            usual(data, *args, **more)

    tell.is_ours = True  # type: ignore[attr-defined]
    worker.print_to_stdstream = tell


def _fits(ray: Any, wanted: str, limit_s: float) -> bool:
    """Whether the connection that is there serves; one that does not, and is free, is ended."""
    now = ray.get_runtime_context().gcs_address
    is_same = wanted in ("", "local", "auto") or _is_same(wanted, now)
    try:
        check_head(now, limit_s)
    except errors.DeviceUnavailable:
        if _State.users or not _State.ours:
            raise
    else:
        if is_same:
            return True
        if _State.users or not _State.ours:
            raise errors.ConfigError(
                f"this process uses the Ray cluster at {now} and can't use {wanted} as well",
                remedy="use one process for each cluster",
            )
    with _signals_kept():
        ray.shutdown()
    return False


def _ray() -> Any:
    # Ray reports home unless it is told not to, before it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    hook, path = sys.excepthook, list(sys.path)
    import ray

    sys.excepthook = hook  # Ray's own, and the copies of libraries that it puts before all others
    sys.path[:] = path + [entry for entry in sys.path if entry not in path]
    return ray


def _init(ray: Any, wanted: str) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if not wanted or wanted == "local":
        options |= {"address": "local", "include_dashboard": False}
    else:
        options["address"] = wanted
    try:
        ray.init(**options)
    except SystemExit as error:  # by SIGTERM, whose handler Ray has replaced
        raise errors.Interrupted(
            "ended by a signal while it connected to Ray", remedy="run it again"
        ) from error
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"the Ray cluster at {wanted}" if wanted else "a Ray cluster of this machine"
        raise errors.DeviceUnavailable(
            f"can't use {where}: {_one_line(error)}",
            device_id="ray",
            remedy="ray status tells how it is; all nodes and this process need one version of Ray",
        ) from error


def _running() -> str:
    """The address of the cluster of this machine; Ray waits for minutes for one that is gone.

    Raises:
        DeviceUnavailable: there is none, or several.
    """
    from ray._private.services import canonicalize_bootstrap_address_or_die

    try:
        return str(canonicalize_bootstrap_address_or_die("auto"))
    except (ConnectionError, ValueError, OSError) as error:
        raise errors.DeviceUnavailable(
            f"no Ray cluster to be found from here: {_one_line(error)}",
            device_id="ray",
            remedy=START,
        ) from error


def _is_same(one: str, other: str) -> bool:
    def resolved(text: str) -> tuple[str, int]:
        host, port = split(text)
        with contextlib.suppress(OSError):
            host = socket.gethostbyname(host)
        return host, port

    mine, theirs = resolved(one), resolved(other)
    return mine == theirs or (mine[1] == theirs[1] and mine[0].startswith("127."))


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Put back the handlers of signals that Ray replaces by its own, of crashes too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    tells_of_crashes = faulthandler.is_enabled()
    try:
        yield
    finally:
        if not tells_of_crashes:
            faulthandler.disable()
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def _one_line(error: BaseException) -> str:
    """All that it says: which versions differ is told in later lines."""
    return " ".join(str(error).split())[:_MOST_TEXT] or type(error).__name__

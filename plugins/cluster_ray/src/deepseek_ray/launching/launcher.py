"""Commands on the nodes of a Ray cluster, by a process that is connected to it."""

from __future__ import annotations

import base64
import contextlib
import json
import select
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from deepseek_core import DeepSeekError, errors, places, training
from deepseek_ray.launching.kept import GRACE_S
from deepseek_ray.settings import Settings

_BEGIN_S: Final = 60.0
"""For Ray to be imported on a busy machine, beside what its head may take."""
_ANSWER_S: Final = 30.0
_LEAVE_S: Final = 15.0
_LOOK_S: Final = 0.1
_LAST_LINES: Final = 20
_MOST_TEXT: Final = 300
_KINDS: Final = {
    kind.__name__: kind for kind in (errors.ConfigError, errors.InputError, errors.PluginError)
}


def open_launcher(options: places.PlaceOptions) -> RayLauncher:
    """Join the cluster that the settings name; without an address the one of this machine.

    Raises:
        DeviceUnavailable: there is none, or its head does not answer in time.
        ConfigError: an address that is none.
    """
    settings = Settings.of(options.settings)
    if not settings.address:  # one that would be started here has no other nodes
        settings = attrs.evolve(settings, address="auto")
    return RayLauncher(settings, options)


class RayLauncher(training.Launcher):
    """Asks the process that is connected to Ray; one question at a time."""

    def __init__(self, settings: Settings, options: places.PlaceOptions) -> None:
        self._settings = settings
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._number = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deepseek_ray.launching.driver"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, encoding="utf-8", errors="replace",
            start_new_session=True,  # Ctrl-C is for who asks
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()
        told = {"settings": attrs.asdict(settings), "environment": dict(options.environment)}
        try:
            self._answer(told, settings.connect_s + _BEGIN_S)
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        stream: Any = self._process.stderr
        with stream, contextlib.suppress(ValueError):
            for line in stream:
                if line.strip():
                    self._lines.append(line.strip())

    def nodes(self) -> Sequence[training.LaunchNode]:
        """The nodes that Ray takes to be up."""
        return [training.LaunchNode(**row) for row in self._ask("nodes")]

    def start(self, node: training.LaunchNode, command: training.Command) -> training.Started:
        """Start a command in an actor of its own, which has its CPUs."""
        if node.cpus < command.cpus:
            raise _unavailable(
                node, f"it has {node.cpus} CPUs for Ray, and {command.cpus} are needed",
                "ray start --num-cpus there, or fewer processes a node",
            )  # fmt: skip
        with self._lock:
            self._number += 1
            number = self._number
        limit_s = self._settings.open_s
        self._ask("begin", number, attrs.asdict(node), _as_data(command))
        until_s = time.monotonic() + limit_s
        try:
            while (where := self._ask("state", number)["where"]) is None:
                if time.monotonic() > until_s:
                    raise _unavailable(
                        node, f"no command was started there in {limit_s:g} s: its CPUs may be "
                        "taken by another job, or it hangs",
                        "ray status shows what is free; cluster_ray.open_s is the limit",
                    )  # fmt: skip
                if self._is_closed.wait(_LOOK_S):
                    raise _closed()
        except BaseException:
            with contextlib.suppress(DeepSeekError):
                self._ask("drop", number)
            raise
        folder, is_copy = where
        return training.Started(number=number, node=node, folder=folder, is_copy=is_copy)

    def look(self, started: training.Started) -> training.CommandState:
        """How a command was when its actor answered last."""
        state = self._ask("state", started.number)
        return training.CommandState(code=state["code"], lines=state["lines"], lost=state["lost"])

    def stop(self, started: Sequence[training.Started], limit_s: float) -> None:
        """End commands; nothing where Ray is gone, as they end with it."""
        with contextlib.suppress(errors.DeviceUnavailable):
            self._ask("stop", [one.number for one in started], limit_s, within_s=limit_s)

    def close(self) -> None:
        """End all commands, and the process."""
        self._is_closed.set()
        with contextlib.suppress(BrokenPipeError):
            self._stream("stdin").close()
        try:
            self._process.wait(GRACE_S + _LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # Ray ends its actors, and these their commands
            self._process.wait()
        self._stream("stdout").close()

    def _ask(self, what: str, *given: Any, within_s: float = 0.0) -> Any:
        if self._is_closed.is_set():
            raise _closed()
        with self._lock:
            return self._answer({"do": what, "given": given}, _ANSWER_S + within_s)

    def _answer(self, question: Any, limit_s: float) -> Any:
        """What the process says to a question.

        Raises:
            DeviceUnavailable: it has ended, as when Ray's head is gone, or says nothing in time.
            DeepSeekError: what it could not do.
        """
        try:
            stdin = self._stream("stdin")
            stdin.write(json.dumps(question) + "\n")
            stdin.flush()
            stdout = self._stream("stdout")
            line = stdout.readline() if select.select([stdout], [], [], limit_s)[0] else None
        except (BrokenPipeError, ValueError):  # ValueError: closed meanwhile
            line = ""
        if not line:
            raise self._gone(is_silent=line is None, limit_s=limit_s)
        answer = json.loads(line)
        if "error" not in answer:
            return answer["value"]
        name, message, remedy = answer["error"]
        if name in _KINDS:
            raise _KINDS[name](message, remedy=remedy)
        raise errors.DeviceUnavailable(message, device_id="ray", remedy=remedy)

    def _gone(self, *, is_silent: bool, limit_s: float) -> errors.DeviceUnavailable:
        if is_silent:
            self._process.kill()
            why = f"it did not answer in {limit_s:g} s"
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
            why = self._lines[-1][:_MOST_TEXT] if self._lines else "its process has ended"
        return errors.DeviceUnavailable(
            f"the connection to Ray is lost: {why}", device_id="ray", remedy="see: ray status"
        )

    def _stream(self, name: str) -> Any:
        return getattr(self._process, name)


def _as_data(command: training.Command) -> dict[str, Any]:
    """All of it as JSON has it."""
    return {
        "arguments": list(command.arguments), "folder": command.folder, "cpus": command.cpus,
        "files": _texts_of(command.files), "needs": _texts_of(command.needs),
        "environment": dict(command.environment),
    }  # fmt: skip


def _texts_of(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(content).decode("ascii") for name, content in files.items()}


def _unavailable(node: training.LaunchNode, why: str, remedy: str) -> errors.DeviceUnavailable:
    return errors.DeviceUnavailable(
        f"node {node.name}: {why}", device_id=f"ray:{node.name}", remedy=remedy
    )


def _closed() -> errors.DeviceUnavailable:
    return errors.DeviceUnavailable("the launcher is closed", device_id="ray")

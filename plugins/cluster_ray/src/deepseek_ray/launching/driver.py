"""The process that is connected to Ray for a launcher: `python -m deepseek_ray.launching.driver`.

Ray ends a process that has lost the head of its cluster for a minute, and takes its signals over;
what launches commands is to survive that. Questions come as lines of JSON on stdin, an answer goes
to stdout for each, and the end of stdin ends all commands. No question is waited for long.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, TextIO

import attrs

from deepseek_core import DeepSeekError, errors, training
from deepseek_ray.connection import connect
from deepseek_ray.faults import MISSING, translated
from deepseek_ray.launching.kept import GRACE_S
from deepseek_ray.launching.starter import Starter
from deepseek_ray.nodes import alive_nodes
from deepseek_ray.settings import Settings

_STOP_S: Final = 8.0
"""How long an actor may take to answer, beyond what its command may take to end."""


@attrs.define
class _Held:
    """An actor with its command: what was asked of it, and what it said last."""

    actor: Any
    node: str
    starting: Any
    asked: Any = None
    where: tuple[str, bool] | None = None
    code: int | None = None
    lines: Sequence[str] = ()
    lost: str = ""

    def facts(self) -> dict[str, Any]:
        """All of it that is data."""
        return {
            "where": self.where,
            "code": self.code,
            "lines": list(self.lines),
            "lost": self.lost,
        }


class Driver:
    """Answers questions; commands by the numbers that they were given."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._held: dict[int, _Held] = {}

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that are up."""
        import ray

        address = {row["NodeID"]: row["NodeManagerAddress"] for row in ray.nodes()}
        return [
            {
                "id": node.id, "name": node.name, "address": address[node.id],
                "cpus": node.cpus, "is_here": node.is_home,
            }
            for node in alive_nodes() if node.id in address
        ]  # fmt: skip

    def begin(self, number: int, node: Mapping[str, Any], command: Mapping[str, Any]) -> None:
        """Let an actor start a command; `state` tells when it has."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        made = ray.remote(Starter).options(
            num_cpus=command["cpus"],
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["id"], soft=False),
        )
        actor = made.remote()
        given = {
            **command,
            "files": _bytes_of(command["files"]), "needs": _bytes_of(command["needs"]),
            "environment": {**command["environment"], **self._environment},
        }  # fmt: skip
        starting = actor.start.remote(training.Command(**given))
        self._held[number] = _Held(actor=actor, node=node["name"], starting=starting)

    def state(self, number: int) -> dict[str, Any]:
        """How a command is, as far as its actor has told by now.

        Raises:
            DeepSeekError: it could not be started.
        """
        held = self._held[number]
        if held.where is None:
            if not _is_ready(held.starting):
                return held.facts()
            held.where = _started(held)
        if held.code is None and not held.lost:
            self._look(held)
        return held.facts()

    def _look(self, held: _Held) -> None:
        import ray

        if held.asked is None:
            held.asked = held.actor.look.remote()
        if not _is_ready(held.asked):
            return
        asked, held.asked = held.asked, None
        try:
            held.code, held.lines = ray.get(asked)
        except ray.exceptions.RayError as error:
            told = translated(error, f"ray:{held.node}")
            held.lost = told.message if isinstance(told, DeepSeekError) else str(told)
        if held.code is not None:
            ray.kill(held.actor)  # its CPUs are free again

    def drop(self, number: int) -> None:
        """End an actor, started or not; what it began ends with it."""
        import ray

        ray.kill(self._held.pop(number).actor)

    def stop(self, numbers: Sequence[int], limit_s: float) -> None:
        """End commands, all at once; what does not end in time ends with its actor."""
        import ray

        held = [self._held[number] for number in numbers if number in self._held]
        held = [one for one in held if one.code is None and not one.lost]
        asked = {one.actor.stop.remote(limit_s): one for one in held if one.where}
        if asked:
            ready, _ = ray.wait(
                list(asked), num_returns=len(asked), timeout=limit_s + _STOP_S, fetch_local=True
            )
            for ref in ready:
                with contextlib.suppress(ray.exceptions.RayError):
                    asked[ref].code, asked[ref].lines = ray.get(ref)
        for one in held:
            ray.kill(one.actor)
            one.lost = "" if one.code is not None else "it was ended"

    def close(self) -> None:
        """End all."""
        self.stop(list(self._held), GRACE_S)


def _bytes_of(files: Mapping[str, str]) -> dict[str, bytes]:
    return {name: base64.b64decode(text) for name, text in files.items()}


def _is_ready(ref: Any) -> bool:
    import ray

    return bool(ray.wait([ref], timeout=0)[0])


def _started(held: _Held) -> tuple[str, bool]:
    """Where a command runs.

    Raises:
        DeepSeekError: it could not be started, by the name of its node.
    """
    import ray

    try:
        folder, is_copy = ray.get(held.starting)
    except ray.exceptions.RayError as error:
        told = translated(error, f"ray:{held.node}")
        if isinstance(told, errors.PluginError | errors.InputError):
            told.message = f"node {held.node}: {told.message}"
            raise told from error
        if isinstance(told, errors.DeviceError):
            raise told from error
        raise errors.DeviceUnavailable(
            f"node {held.node}: {told}", device_id=f"ray:{held.node}", remedy=MISSING
        ) from error
    return folder, is_copy


def serve(questions: TextIO, answers: TextIO) -> None:
    """Connect as the first line says, and answer until there are no more."""
    driver: Driver | None = None
    try:
        for line in questions:
            asked = json.loads(line)
            try:
                if driver is None:
                    settings = Settings.of(asked["settings"])
                    connect(settings.address, settings.connect_s)
                    driver, value = Driver(asked["environment"]), None
                else:
                    value = getattr(driver, asked["do"])(*asked["given"])
                answer = {"value": value}
            except DeepSeekError as error:
                kind = type(error).__name__
                answer = {"error": [kind, error.message, error.remedy]}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    finally:
        if driver is not None:
            driver.close()


def main() -> int:
    """Answer on what was stdout: what else is printed here goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):
        serve(sys.stdin, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())

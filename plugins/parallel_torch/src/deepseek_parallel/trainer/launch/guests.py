"""Other nodes of a cluster that train with a run: an executor's launcher starts `train join` there.

A thread looks at the nodes while the run trains: one that comes later joins up to the most,
one that ends with an error or goes down is told, and the others train on.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import attrs

from deepseek_core import DeepSeekError, errors, training
from deepseek_parallel.checkpoint.place import Place
from deepseek_parallel.elastic import wire
from deepseek_parallel.elastic.addresses import joined
from deepseek_parallel.errors import RankFailed
from deepseek_parallel.trainer.recipe.read import Recipe

_LOOK_S: Final = 1.0
_AT_ONCE: Final = 32
_END_S: Final = 15.0
"""How long other nodes may take to end by themselves once the training has ended."""
_STOP_S: Final = 5.0
_SHOWN_LINES: Final = 5
_WELL: Final = (0, 130)
"""Exit codes of `train join`: the training has ended, or was stopped."""
_MOST_NBYTES: Final = 16 * 1024 * 1024


@attrs.frozen(kw_only=True)
class Job:
    """What the nodes are to join: a recipe by its path below `folder`, and its files there.

    `shared` is where its checkpoints are, if that is a folder, which all nodes need.
    """

    folder: Path
    recipe: str
    files: Mapping[str, bytes] = attrs.field(repr=False)
    shared: Place | None = None


class Guests:
    """The nodes of a launcher that train with a run, `nproc` processes each.

    `count` is how many nodes there are to be with this one, None as many as there are. `_here` is
    the node of this process, `_others` are the rest; `_command` runs on each of these, once the run
    listens, and `_say` prints of them.
    """

    def __init__(
        self, launcher: training.Launcher, job: Job, *, nproc: int, count: int | None = None
    ) -> None:
        self._launcher, self._job, self.nproc, self._count = launcher, job, nproc, count
        self._say: Callable[[str], None] = print
        self._command: training.Command | None = None
        self._least, self._most = 1, 0  # workers of the run; nodes that may join
        self._tried: set[str] = set()  # ids of nodes
        self._running: list[training.Started] = []
        self._faults: list[str] = []  # of nodes, one a node
        self._error: DeepSeekError | None = None
        self._ending = threading.Event()
        self.has_begun = False  # whether a step was taken: nodes that fail are lost members then
        self._mark = ""  # a file by which the shared folder is known
        self._thread: threading.Thread | None = None
        nodes = launcher.nodes()
        self._here = next((node for node in nodes if node.is_here), None)
        self._others = [node for node in nodes if not node.is_here]
        self._check()

    def _check(self) -> None:
        if self._here is None:
            raise errors.ConfigError(
                "this machine is no node of the cluster",
                remedy="run it on one, or start one here: ray start --address=HOST:PORT",
            )
        if self._count is not None and len(self._others) + 1 < self._count:
            names = ", ".join(node.name for node in (self._here, *self._others))
            raise errors.ConfigError(
                f"--nodes {self._count}: the cluster has {len(self._others) + 1} that are up "
                f"({names}), with this machine",
                remedy="start the others, or ask for fewer: --nodes "
                f"{max(2, len(self._others) + 1)}",
            )

    @property
    def num_nodes(self) -> int:
        """How many are to train, with this one."""
        return self._count or len(self._others) + 1

    def address(self) -> str:
        """This machine as the cluster knows it, with port 0.

        Raises:
            ConfigError: it is one that the other nodes do not reach.
        """
        assert self._here is not None
        host = self._here.address
        far = [node for node in self._others if node.address != host]
        if far and ipaddress.ip_address(host).is_loopback:
            raise errors.ConfigError(
                f"the cluster knows this machine by {host}, which {far[0].name} does not reach",
                remedy="--listen HOST:PORT with an address that it reaches, or start Ray here with "
                "--node-ip-address",
            )
        return joined(host, 0)

    def begin(
        self, address: str, token: str, workers: tuple[int, int], say: Callable[[str], None]
    ) -> None:
        """Let nodes join the run at an address; `workers` are the least and the most of it."""
        self._say = say
        self._least = workers[0]
        room = (workers[1] - self.nproc) // self.nproc
        self._most = room if self._count is None else min(room, self._count - 1)
        words = ("join", self._job.recipe, address, "--nproc", str(self.nproc))
        self._command = training.Command(
            arguments=("-P", "-m", "deepseek_core", "train", *words),
            folder=str(self._job.folder), files=self._job.files, cpus=self.nproc,
            needs=self._marked(token),
            environment={
                wire.RUN: token, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")
            },
        )  # fmt: skip
        self._thread = threading.Thread(target=self._follow, name="guests", daemon=True)
        self._thread.start()

    @property
    def changes(self) -> list[str]:
        """What the recipe says otherwise on other nodes: where it saves, by its whole path."""
        if self._job.shared is None:
            return []
        return [f"checkpoint.url={json.dumps(str(self._job.shared.folder), ensure_ascii=False)}"]

    def _marked(self, token: str) -> Mapping[str, bytes]:
        """A file in the folder that all nodes need; it is there as long as they come."""
        shared = self._job.shared
        if shared is None or shared.folder is None:
            return {}
        content = hashlib.sha256(token.encode()).hexdigest()
        self._mark = f".shared-{content[:8]}"
        shared.make()
        shared.write(self._mark, content.encode())
        return {str(shared.folder / self._mark): content.encode()}

    def check(self) -> None:
        """Raise what ends the run: too few nodes could be started.

        Raises:
            RankFailed: with what each of them said.
        """
        if self._error is not None:
            raise self._error

    def end(self, *, at_once: bool) -> None:
        """Let nodes end with the training, or end them."""
        self._ending.set()
        if self._mark and self._job.shared is not None:
            self._job.shared.remove(self._mark)
        if self._thread is None:
            return
        until_s = time.monotonic() + (0.0 if at_once else _END_S)
        try:
            while (left := self._left()) and time.monotonic() < until_s:
                time.sleep(0.1)
            self._launcher.stop(left, _STOP_S)
        except errors.DeviceUnavailable:
            pass  # as was told: they end by themselves

    def _left(self) -> Sequence[training.Started]:
        return [one for one in list(self._running) if not self._launcher.look(one).has_ended]

    def _follow(self) -> None:
        """Start and watch them, until the run ends or the launcher is lost."""
        try:
            while self._start_fresh():
                pass
            self._check_enough()
            while not self._ending.wait(_LOOK_S):
                self._watch()
                self._start_fresh()
        except DeepSeekError as error:
            if not self._ending.is_set():
                self._say(f"{error}; no more nodes join, those that train go on")

    def _start_fresh(self) -> bool:
        """Start on nodes that were not tried, up to the most; whether there were any."""
        room = self._most - len(self._running)
        fresh = [n for n in self._launcher.nodes() if not n.is_here and n.id not in self._tried]
        chosen = fresh[: max(0, room)]
        if not chosen or self._ending.is_set():
            return False
        self._tried.update(node.id for node in chosen)
        with ThreadPoolExecutor(min(_AT_ONCE, len(chosen))) as pool:
            list(pool.map(self._start, chosen))
        return True

    def _start(self, node: training.LaunchNode) -> None:
        assert self._command is not None
        try:
            started = self._launcher.start(node, self._command)
        except DeepSeekError as error:
            if not self._ending.is_set():
                fix = f" (fix: {error.remedy})" if error.remedy else ""
                self._fault(node.name, error.message.removeprefix(f"node {node.name}: ") + fix)
            return
        self._running.append(started)
        copied = f", with a copy of {self._job.recipe} and its Python files"
        self._say(f"node {node.name} joins{copied if started.is_copy else ''}")

    def _fault(self, name: str, why: str) -> None:
        self._faults.append(f"node {name} does not train: {why}")
        self._say(self._faults[-1])

    def _watch(self) -> None:
        for started in list(self._running):
            state = self._launcher.look(started)
            if not state.has_ended:
                continue
            self._running.remove(started)
            name = started.node.name
            if state.lost:
                self._say(f"node {name} is lost ({state.lost}); the others train on")
            elif state.code not in _WELL:
                said = "".join(f"\n  {line}" for line in state.lines[-_SHOWN_LINES:])
                self._fault(name, f"its processes ended with code {state.code}{said}")
                self._check_enough()

    def _check_enough(self) -> None:
        """Before the first step: see that as many nodes as were asked for are left to take it."""
        num_nodes = len(self._running) + 1
        is_short = not self._running or num_nodes < (self._count or 1)
        is_short = is_short or num_nodes * self.nproc < self._least
        if self._faults and is_short and not self.has_begun:
            self._error = RankFailed(
                f"{num_nodes} of {self.num_nodes} nodes can train, with this machine: "
                + "; ".join(self._faults),
                rank=0,
                remedy="correct that, or ask for fewer: --nodes, --elastic MIN:MAX",
            )


def job_of(recipe: Recipe, files: Sequence[Path]) -> Job:
    """A recipe and what nodes need of it: these files beside it, and packages there.

    It is named by its path below the working folder where it lies there, so that the relative
    paths in it mean the same on a node that has that folder; else below its own.

    Raises:
        ConfigError: packages beside it are too much to send.
    """
    path = recipe.path.resolve()
    here = Path.cwd()
    folder = here if path.is_relative_to(here) else path.parent
    packages = [
        file
        for package in sorted(path.parent.glob("*/__init__.py"))
        for file in sorted(package.parent.rglob("*.py"))
    ]
    sent = {str(file.relative_to(folder)): file.read_bytes() for file in (*files, *packages)}
    nbytes = sum(map(len, sent.values()))
    if nbytes > _MOST_NBYTES:
        raise errors.ConfigError(
            f"{recipe.path} and the Python files and packages beside it are {nbytes:,} bytes, "
            f"which is too much to send ({_MOST_NBYTES:,})",
            remedy="install the packages on the nodes, and keep the recipe in a folder of its own",
        )
    name = str(path.relative_to(folder))
    return Job(folder=folder, recipe=name, files=sent, shared=_saved_to(recipe))


def _saved_to(recipe: Recipe) -> Place | None:
    """The folder of a recipe's checkpoints; None where they go to an object store or nowhere."""
    url = recipe.get("checkpoint").get("url")
    place = None if url is None else Place(url)
    return place if place is not None and place.is_local else None

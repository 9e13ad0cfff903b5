"""The work folder of a job: its steps, each done once with what it was given.

app.json  data/  seed-0/ ...  evaluation.json  report.html  report.json  export/
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import attrs

from deepseek_apps.shared.spent import cpu_seconds
from deepseek_apps.work import fingerprint
from deepseek_apps.work.elsewhere import fetched
from deepseek_apps.work.lock import NAME as LOCK
from deepseek_apps.work.lock import alone
from deepseek_apps.work.machine import machine_text
from deepseek_apps.work.state import (
    State,
    Step,
    now,
    plain_options,
    read_json,
    read_state,
    write_json,
)
from deepseek_core import applications, console, errors

DATA: Final = "data"
EVALUATION: Final = "evaluation.json"
_STAGING: Final = ".preparing"

T = TypeVar("T")


class WorkFolder:
    """One job; whatever changes it holds its lock."""

    def __init__(self, path: Path, application: str) -> None:
        self.path = path
        self._application = application

    def state(self) -> State:
        """What was done so far.

        Raises:
            ConfigError: nothing was prepared here, or by another application.
        """
        state = read_state(self.path)
        if state is None or state.card is None:
            raise errors.ConfigError(
                f"nothing was prepared in {self.path}",
                remedy=f"ds-sdk app {self._application} prepare {self.path} --data DATA",
            )
        if state.application != self._application:
            raise errors.ConfigError(
                f"{self.path} is a work folder of {state.application!r}",
                remedy=f"give another folder, or ds-sdk app {state.application} --help",
            )
        return state

    def prepare(
        self,
        opened: applications.OpenedApplication,
        source: Path | str,
        context: applications.ApplicationContext,
        *,
        again: bool = False,
    ) -> applications.DataCard:
        """Let the application prepare its data beside the old ones, which it then replaces.

        `source` is a path, or the URL of what is copied here for that long.

        Raises:
            ConfigError: it was prepared before and not `again`, or holds files of somebody else.
            DeepSeekError: what the application raises; the folder is as it was.
        """
        self._check_place(again)
        is_new = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with alone(self.path):
                self._check_place(again)  # somebody else may have been faster
                return self._prepared(opened, source, context)
        except BaseException:
            if is_new:
                (self.path / LOCK).unlink(missing_ok=True)
                with suppress(OSError):  # not empty: somebody else's now
                    self.path.rmdir()
            raise

    def train(
        self,
        opened: applications.OpenedApplication,
        seed: int,
        context: applications.ApplicationContext,
        *,
        again: bool = False,
    ) -> bool:
        """Train with a seed, or go on; False where that was done before.

        Raises:
            ConfigError: data or options were changed since that training was begun, and not
                `again`: which is said.
            DeepSeekError: what the application raises; what it saved stays.
        """  # fmt: skip
        with alone(self.path):
            state, name, made_with = self.state(), training(seed), self.made_with()
            if again:
                shutil.rmtree(context.seed(seed), ignore_errors=True)
            elif name in state.steps:
                self._check_same(state.steps[name], made_with, seed)
                if state.steps[name].is_done:
                    return False
            context.seed(seed).mkdir(exist_ok=True)
            state.without("evaluate").write(self.path)  # it would be of the training before
            inside = attrs.evolve(context, card=state.card)
            self._do(name, made_with, lambda: opened.application.train(seed, inside))
        return True

    def evaluate(
        self,
        opened: applications.OpenedApplication,
        seeds: Sequence[int],
        context: applications.ApplicationContext,
    ) -> applications.Evaluation:
        """Let the application judge trainings, and keep what it says.

        Raises:
            ConfigError: a seed that was not trained to its end, or with other data or options.
            DeepSeekError: what the application raises.
        """  # fmt: skip
        with alone(self.path):
            made_with = self._trained(seeds)
            inside = attrs.evolve(context, card=self.state().card)
            found = self._do(
                "evaluate", made_with, lambda: opened.application.evaluate(seeds, inside)
            )
            write_json(self.path / EVALUATION, found.to_json())
        return found

    def evaluation(self) -> applications.Evaluation:
        """What the last `evaluate` found.

        Raises:
            ConfigError: there is none, or data or options were changed since.
            ArtifactError: the file is damaged.
        """
        step = self.state().steps.get("evaluate")
        command = f"ds-sdk app {self._application} evaluate {self.path}"
        if step is None or not step.is_done:
            raise errors.ConfigError(f"nothing was evaluated in {self.path}", remedy=command)
        now_with = self.made_with()
        if any(step.made_with.get(name) != value for name, value in now_with.items()):
            raise errors.ConfigError(
                f"data or options were changed since {self.path} was evaluated",
                remedy=f"train again, then {command}",
            )
        return applications.Evaluation.from_json(read_json(self.path / EVALUATION))

    @contextmanager
    def exporting(
        self, seed: int, context: applications.ApplicationContext
    ) -> Iterator[applications.ApplicationContext]:
        """Hold the folder while files of a training are made; gives what the export may use.

        Raises:
            ConfigError: it was not trained to its end, or with other data or options.
        """
        with alone(self.path):
            self._trained([seed])
            yield attrs.evolve(context, card=self.state().card)

    def seeds(self) -> list[int]:
        """Seeds whose trainings have ended."""
        steps = self.state().steps.items()
        return sorted(int(n[6:]) for n, step in steps if n.startswith("train:") and step.is_done)

    def made_with(self) -> dict[str, str]:
        """What trainings rest on now, as fingerprints.

        Raises:
            ConfigError: the data are not those that were prepared.
        """
        state = self.state()
        data = fingerprint.of_folder(self.path / DATA)
        if state.steps["prepare"].made_with.get("data") != data:
            raise errors.ConfigError(
                f"{self.path / DATA} is not what was prepared: a file was changed, or is of "
                "another run",
                remedy=f"ds-sdk app {self._application} prepare {self.path} --again --data DATA",
            )
        return {"data": data, "options": fingerprint.of_values(state.options)}

    def _prepared(
        self,
        opened: applications.OpenedApplication,
        source: Path | str,
        context: applications.ApplicationContext,
    ) -> applications.DataCard:
        """Prepare beside the old data; say what is there before it is: no other order heals."""
        staging, begun_s, begun_cpu_s = self.path / _STAGING, time.monotonic(), cpu_seconds()
        shutil.rmtree(staging, ignore_errors=True)
        (staging / DATA).mkdir(parents=True)
        try:
            url = source if isinstance(source, str) else None
            path = Path(source) if url is None else fetched(url, staging, context.progress)
            card = opened.application.prepare(
                path, attrs.evolve(context, folder=staging, card=None)
            )
            if url is not None and card.source == path.name:  # nobody said where they are from
                card = attrs.evolve(card, source=console.without_password(url))
            seconds, cpu_s = _times(begun_s, begun_cpu_s)
            before = read_state(self.path)
            step = Step(
                made_with={DATA: fingerprint.of_folder(staging / DATA)},
                is_done=True,
                seconds=seconds,
                cpu_s=cpu_s,
                ended=now(),
                machine=machine_text(),
            )
            State(
                application=self._application,
                version=opened.version,
                options=plain_options(opened.options),
                card=card,
                steps={**({} if before is None else before.steps), "prepare": step},
            ).write(self.path)
            self._replace(staging / DATA)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return card

    def _replace(self, made: Path) -> None:
        """Put new data in the place of the old ones."""
        old, data = self.path / f"{_STAGING}-old", self.path / DATA
        shutil.rmtree(old, ignore_errors=True)
        if data.exists():
            data.rename(old)
        made.rename(data)
        shutil.rmtree(old, ignore_errors=True)

    def _do(self, name: str, made_with: Mapping[str, str], deed: Callable[[], T]) -> T:
        """Do a step, noted before and after; its times add up over what was stopped."""
        state = self.state()
        before = state.steps.get(name)
        begun = Step(made_with=made_with)
        if before is not None and not before.is_done and before.made_with == made_with:
            begun = before
        state.with_step(name, begun).write(self.path)
        begun_s, begun_cpu_s = time.monotonic(), cpu_seconds()
        is_done = False
        try:
            found = deed()
            is_done = True
        finally:
            times = _times(begun_s, begun_cpu_s)
            ended = attrs.evolve(
                begun,
                is_done=is_done,
                seconds=begun.seconds + times[0],
                cpu_s=begun.cpu_s + times[1],
                ended=now(),
                machine=machine_text(),
            )
            self.state().with_step(name, ended).write(self.path)
        return found

    def _trained(self, seeds: Sequence[int]) -> dict[str, str]:
        state, made_with = self.state(), self.made_with()
        for seed in seeds:
            step = state.steps.get(training(seed))
            if step is None or not step.is_done:
                raise errors.ConfigError(
                    f"seed {seed} was not trained to its end in {self.path}",
                    remedy=f"ds-sdk app {self._application} train {self.path} --seeds {seed}",
                )
            self._check_same(step, made_with, seed)
        return {**made_with, "seeds": ",".join(map(str, seeds))}

    def _check_same(self, step: Step, made_with: Mapping[str, str], seed: int) -> None:
        changed = [name for name, value in made_with.items() if step.made_with.get(name) != value]
        if changed:
            raise errors.ConfigError(
                f"{' and '.join(changed)} in {self.path} were changed since seed {seed} was "
                "trained: its files do not fit them",
                remedy=f"ds-sdk app {self._application} train {self.path} --seeds {seed} --again",
            )

    def _check_place(self, again: bool) -> None:
        state = read_state(self.path)
        if state is None and self.path.exists():
            if not self.path.is_dir() or any(
                not p.name.startswith(".") for p in _inside(self.path)
            ):
                raise errors.ConfigError(
                    f"{self.path} holds files of somebody else", remedy="choose a new folder"
                )
        elif state is not None and state.application != self._application:
            self.state()
        elif state is not None and not again:
            raise errors.ConfigError(
                f"{self.path} was prepared before",
                remedy="choose a new folder, or add --again to replace its data",
            )


def training(seed: int) -> str:
    """How the step that trains with a seed is called."""
    return f"train:{seed}"


def _times(begun_s: float, begun_cpu_s: float) -> tuple[float, float]:
    """Seconds, and CPU seconds, since then."""
    return round(time.monotonic() - begun_s, 3), round(cpu_seconds() - begun_cpu_s, 3)


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir())

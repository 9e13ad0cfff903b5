"""Workers of a run that may be lost, and are started again while the others train on.

A run begins on one machine; workers of others join it there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deepseek_core import console, errors
from deepseek_parallel.elastic import wire
from deepseek_parallel.elastic.addresses import listen_address
from deepseek_parallel.elastic.code_version import hashes_of, plugin_version
from deepseek_parallel.elastic.launch import WRONG, Launch, Workers, numbers_of
from deepseek_parallel.elastic.launch import run as run_workers
from deepseek_parallel.elastic.roster_elsewhere import RosterElsewhere
from deepseek_parallel.errors import CodeMismatch, RankFailed
from deepseek_parallel.trainer.launch.channel import listening
from deepseek_parallel.trainer.launch.guests import Guests
from deepseek_parallel.trainer.launch.processes import GRACE_S, command_of
from deepseek_parallel.trainer.recipe.read import Recipe
from deepseek_parallel.trainer.watch.line import Show

WAIT_S: Final = 600.0
"""How long workers wait until enough are there, where people start them machine by machine."""


def train_elastic(
    recipe: Recipe,
    told: Mapping[str, Any],
    workers: str,
    *,
    show: Show,
    nproc: int | None = None,
    listen: str | None = None,
    guests: Guests | None = None,
) -> dict[str, Any]:
    """Run "MIN:MAX" workers to the end of the training: the report.

    This machine starts `nproc` of them: all by default, one where it listens at `listen`,
    "HOST:PORT", for workers of other machines, which `guests` starts where it is given. Ctrl-C and
    SIGTERM let them finish their step and save.

    Raises:
        ConfigError: no such numbers, an address that can't be, or workers had wrong input.
        RankFailed: no worker came to the end, or too few nodes could be started; what they wrote
            stands on stderr.
        KeyboardInterrupt: Ctrl-C, before a step was taken.
    """
    least, most = numbers_of(workers)
    files = files_of(recipe)
    more: dict[str, Any] = {"nproc": nproc, "files": files}
    if listen is not None:
        more["host"], more["port"] = listen_address(listen)
        more |= {"nproc": nproc or 1, "wait_s": WAIT_S}
        more["job"] = {
            "version": plugin_version(), "files": dict(hashes_of(files)),
            "changes": [*told["changes"], *(guests.changes if guests is not None else ())],
            "resume": told["resume"], "wait_s": WAIT_S,
        }  # fmt: skip

    def begun(running: Workers) -> None:
        if guests is not None:
            roster = running.roster
            guests.begin(roster.address, roster.run, (least, most), console.print_note)
        elif listen is not None:
            console.print_note(
                f"on each other machine, with the same files: {wire.RUN}={running.roster.run} "
                f"ds-sdk train join {recipe.path.name} {running.roster.address}"
            )

    def shown(done: int, steps: int | None, text: str) -> None:
        if guests is not None and done > 0:
            guests.has_begun = True
        show(done, steps, text)

    with listening(shown) as channel:
        command = command_of({**told, "channel": str(channel.folder)})
        launch = Launch(command=command, least=least, most=most, grace_s=GRACE_S, **more)
        try:
            code = run_workers(
                launch, console.print_note, begun=begun, check=guests.check if guests else None
            )
        except KeyboardInterrupt:
            if report := channel.report():
                return report
            raise
        finally:
            if guests is not None:
                guests.end(at_once=not channel.report())
        report = channel.report()
    if code or not report:
        raise _no_end(code)
    return report


def train_as_guest(
    recipe_path: Path, address: str, run: str, *, nproc: int, show: Show
) -> dict[str, Any]:
    """Train with a run of another machine, which listens at `address`: the report.

    Its token is `run`. Ctrl-C takes these workers out of it; the others train on.

    Raises:
        ConfigError: nobody answers at the address.
        JoinRefused: the token is of another run, or the training has ended.
        CodeMismatch: other versions, or other content of the recipe or of files beside it.
        RankFailed: no worker came to the end.
    """
    from deepseek_parallel.trainer.recipe.read import read_recipe

    roster = RosterElsewhere(address, run)
    job = roster.job()
    files = files_of(read_recipe(recipe_path, job["changes"]))
    _check(job, files)
    with listening(show) as channel:
        told = {
            "recipe": str(recipe_path), "changes": job["changes"], "resume": job["resume"],
            "is_guest": True, "channel": str(channel.folder),
        }  # fmt: skip
        launch = Launch(
            command=command_of(told), least=1, most=nproc, files=files, wait_s=job["wait_s"]
        )
        code = run_workers(launch, console.print_note, roster=roster)
        report = channel.report()
    if code or not report:
        raise _no_end(code)
    return report


def files_of(recipe: Recipe) -> list[Path]:
    """The recipe, and Python files beside it, which it may name or import."""
    return [recipe.path.resolve(), *sorted(recipe.folder.glob("*.py"))]


def _check(job: Mapping[str, Any], files: Sequence[Path]) -> None:
    if job["version"] != plugin_version():
        raise CodeMismatch(
            f"this machine has {plugin_version()}, and the run {job['version']}",
            remedy="install the versions that the run has",
        )
    here, there = hashes_of(files), job["files"]
    other = sorted(n for n in {*here, *there} if here.get(n) != there.get(n))
    if other:
        raise CodeMismatch(
            f"{', '.join(other)}: not as on the machine that has begun the run",
            remedy="copy the recipe and the Python files beside it from there",
        )


def _no_end(code: int) -> errors.ConfigError | RankFailed:
    text = "no worker came to the end of the training"
    if code == WRONG:
        return errors.ConfigError(
            f"{text}: they were given what can't be", remedy="correct what they say above"
        )
    return RankFailed(
        text,
        rank=0,
        remedy="see above what they said; with [checkpoint] and --resume it goes on",
    )

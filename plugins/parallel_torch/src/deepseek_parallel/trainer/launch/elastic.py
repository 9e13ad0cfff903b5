"""Workers of a run that may be lost, and are started again while the others train on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepseek_core import console
from deepseek_parallel.elastic.launch import Launch, numbers_of
from deepseek_parallel.elastic.launch import run as run_workers
from deepseek_parallel.errors import RankFailed
from deepseek_parallel.trainer.launch.channel import listening
from deepseek_parallel.trainer.launch.processes import command_of
from deepseek_parallel.trainer.watch.line import Show


def train_elastic(told: Mapping[str, Any], workers: str, *, show: Show) -> dict[str, Any]:
    """Run "MIN:MAX" workers to the end of the training: the report.

    Raises:
        ConfigError: no such numbers.
        RankFailed: no worker came to the end; what they wrote stands on stderr.
    """
    least, most = numbers_of(workers)
    with listening(show) as channel:
        command = command_of({**told, "channel": str(channel.folder)})
        launch = Launch(command=command, least=least, most=most)
        code = run_workers(launch, console.print_note)
        report = channel.report()
    if code or not report:
        raise RankFailed(
            "no worker came to the end of the training",
            rank=0,
            remedy="see above what they said; with [checkpoint] and --resume it goes on",
        )
    return report

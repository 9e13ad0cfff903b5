"""One worker of `ds-sdk train run`: python -m deepseek_parallel.trainer.launch.worker JSON."""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Final

from deepseek_core import DeepSeekError, errors
from deepseek_parallel.elastic import meeting_point
from deepseek_parallel.elastic.launch import FAILED, STOPPED, WRONG
from deepseek_parallel.errors import RankFailed, RankLost
from deepseek_parallel.trainer.events import Event
from deepseek_parallel.trainer.launch.channel import Teller
from deepseek_parallel.trainer.recipe.build import Job, build
from deepseek_parallel.trainer.recipe.read import read_recipe

FOLLOWED: Final = 3
"""Exit code: an error of another rank."""
_WRONG: Final = (errors.ConfigError, errors.InputError)
_SIGNALS: Final = ("Ctrl-C", "SIGTERM")


def main(text: str) -> int:
    """Train the recipe that a JSON object names."""
    told = json.loads(text)
    teller, parent = Teller(told["channel"]), os.getppid()
    try:
        store = meeting_point.serve()  # noqa: F841 - lives as long as this rank
        jobs: list[Job] = []

        def watch(_: Event) -> None:
            if os.getppid() == parent:
                return  # else nobody would end this process any more
            if told.get("is_guest"):
                os._exit(FAILED)  # the others go on, as without any lost member
            jobs[0].trainer.stop()

        gc.disable()  # a quarter of a start would go to looks among what torch made, which stays
        jobs.append(build(read_recipe(Path(told["recipe"]), told["changes"]), callbacks=(watch,)))
        gc.freeze()
        gc.enable()
        teller.begin()
        trainer = jobs[0].trainer
        report = trainer.fit(**jobs[0].length, resume=told["resume"], show=teller.show)
    except DeepSeekError as error:
        sys.stderr.write(f"error: {error}\n")
        if isinstance(error, RankFailed | RankLost):
            return FOLLOWED
        return WRONG if isinstance(error, _WRONG) else FAILED
    except KeyboardInterrupt:
        return STOPPED
    teller.report(report.facts(), trainer.ranks.rank)
    return STOPPED if report.stopped in _SIGNALS else 0


def run(text: str) -> int:
    """Do `main`; one that fails ends with its own words: native libraries have more at an end."""
    try:
        code = main(text)
    except Exception:  # noqa: BLE001 - of the user's code
        traceback.print_exc()
        code = FAILED
    if code in (FAILED, WRONG, FOLLOWED):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    gc.unfreeze()  # libraries that count what is left of theirs at an end would find all of it
    return code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))

"""The child process that tries batches, each in a fork that has a limit of memory.

`python -m deepseek_observe.tune.probe FD` imports torch once, reads one JSON object a line from
stdin, and answers each with one line on the descriptor FD. It ends when stdin does.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, Final

import torch

from deepseek_core import errors
from deepseek_observe.tune.problem import Problem, is_memory
from deepseek_observe.tune.samples import Stream
from deepseek_observe.tune.target import open_target

_PR_SET_PDEATHSIG: Final = 1
_STEPS: Final = 2  # the optimizer has its state from the first on


def main() -> None:
    """Answer until stdin ends."""
    answers = os.fdopen(int(sys.argv[1]), "w", buffering=1)
    _die_with_parent()
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.0)  # imports 900 modules, once
    print("{}", file=answers)  # torch is there
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _die_with_parent()
            _answer_and_exit(asked, answers)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"ended": os.waitstatus_to_exitcode(status)}), file=answers)


def _answer_and_exit(asked: dict[str, Any], answers: Any) -> None:
    try:
        found = _tried(asked)
        print(json.dumps(found), file=answers)
        answers.flush()
    finally:
        os._exit(0)


def _tried(asked: dict[str, Any]) -> dict[str, Any]:
    _warm()
    before = _virtual_nbytes()
    try:
        problem = open_target(asked["target"], asked["seed"]).problem
        stream = Stream(problem.data.divided(asked["seed"])[0], asked["seed"])
        _limit(problem, asked["nbytes"], before)
        for _ in range(_STEPS):
            problem.step(stream.take(asked["batch"]), 0.0)
    except errors.DeepSeekError as error:
        return {"message": error.message, "remedy": error.remedy}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's code raises
        if is_memory(error):
            return {"fits": False, "why": f"{type(error).__name__}: {_first_line(error)}"}
        return {"message": f"{type(error).__name__}: {_first_line(error)}", "remedy": None}
    return {"fits": True, "peak": _peak_nbytes(problem)}


def _warm() -> None:
    """Let torch start its threads and load what it loads late, before memory is counted."""
    model = torch.nn.Linear(256, 256)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
    model(torch.zeros(256, 256)).sum().backward()
    optimizer.step()


def _limit(problem: Problem, nbytes: int | None, before: int) -> None:
    """Hold this process to `nbytes` more than torch alone needs."""
    if nbytes is None:
        return
    if problem.device.type == "cuda":
        total = torch.cuda.get_device_properties(problem.device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, nbytes / total), problem.device)
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = before + nbytes
    resource.setrlimit(resource.RLIMIT_AS, (most if hard < 0 else min(most, hard), hard))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]


def _virtual_nbytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


def _peak_nbytes(problem: Problem) -> int:
    if problem.device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(problem.device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()

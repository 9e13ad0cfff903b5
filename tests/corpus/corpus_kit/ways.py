"""The ways to run a model in the SDK, each held against ONNX Runtime alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from corpus_kit import npz
from corpus_kit.case import Inputs
from corpus_kit.desk import CommandFailed
from corpus_kit.subject import Subject
from deepseek_core import Server

_ITEMS: Final = (1, 3, 2, 3)  # of the batches of a stream; the first ones also of single runs
_CALLERS: Final = 8
_MANY: Final = 40
_LIMIT_S: Final = 300


def load(subject: Subject) -> None:
    """The session reads the model."""
    assert subject.graph is not None


def run(subject: Subject) -> None:
    """`plan.run`, once with one item and once with three."""
    with subject.session.plan(subject.graph) as plan:
        for seed, items in enumerate(_ITEMS[:2]):
            found = plan.run(subject.case.inputs(seed, items))
            subject.judge(subject.case.inputs(seed, items), dict(found))


def stream(subject: Subject) -> None:
    """`plan.stream` over batches of different sizes: the answers in the order of the batches."""
    with subject.session.plan(subject.graph) as plan:
        batches = (subject.case.inputs(seed, items) for seed, items in enumerate(_ITEMS))
        answers = [dict(result) for result in plan.stream(batches)]
    assert len(answers) == len(_ITEMS), f"{len(answers)} answers for {len(_ITEMS)} batches"
    for seed, (items, found) in enumerate(zip(_ITEMS, answers, strict=True)):
        subject.judge(subject.case.inputs(seed, items), found)


def serve(subject: Subject) -> None:
    """A `Server` and eight callers at once: each gets the answer to its own inputs."""
    gate = threading.Barrier(_CALLERS)
    with (
        Server(subject.session, subject.graph) as server,
        ThreadPoolExecutor(_CALLERS) as callers,
    ):

        def call(number: int) -> dict[str, Any]:
            inputs = subject.case.inputs(number, _items_of(number))
            gate.wait(_LIMIT_S)
            return dict(server.submit(inputs).result(_LIMIT_S))

        answers = list(callers.map(call, range(_CALLERS)))
    for number, found in enumerate(answers):
        inputs = subject.case.inputs(number, _items_of(number))
        subject.judge(inputs, found, together=True)


def _items_of(caller: int) -> int:
    return 1 + caller % 3


def command_1(subject: Subject) -> None:
    """`ds-sdk run` on a file with one item."""
    _command(subject, 1)


def command_40(subject: Subject) -> None:
    """`ds-sdk run` on a file with forty; a model without items takes such a file whole."""
    _command(subject, _MANY)


def _command(subject: Subject, items: int) -> None:
    inputs = subject.case.inputs(items, items)
    if not npz.can_hold(inputs):
        pytest.skip("an NPZ file holds arrays of numpy's own dtypes only")
    given, taken = subject.folder / "in.npz", subject.folder / "out.npz"
    npz.write(given, inputs)
    taken.unlink(missing_ok=True)
    expected = subject.reference.run(inputs)
    words = [str(subject.path), "--input", str(given), "--output", str(taken)]
    try:
        report = subject.desk.run_command(words, apart=subject.case.origin != "own")
    except CommandFailed as failure:
        _allow_refusal(subject, expected, failure)
        return
    _judge_file(subject, inputs, expected, npz.read(taken), report)


def _judge_file(
    subject: Subject, inputs: Inputs, expected: dict, found: dict, report: dict[str, Any]
) -> None:
    """Hold a file against ONNX Runtime's outputs, in the pieces that the report tells of."""
    sizes = pieces(report)
    if len(sizes) > 1 and subject.case.axes and subject.reference.depends_on_items:
        expected = subject.reference.run_in_pieces(inputs, sizes)
    kept = npz.as_stored(expected)
    for name, value in expected.items():
        written = name in kept or value is None or any(n.startswith(name) for n in found)
        assert written, f"output {name!r} is missing in the file"
    subject.compare(kept, {name: found[name] for name in found if name in kept})


def _allow_refusal(subject: Subject, expected: dict[str, Any], failure: CommandFailed) -> None:
    """Let a command refuse, in words of its own, only what is loaded and no NPZ file can hold."""
    refused = "error: " in str(failure) and "unexpected" not in str(failure)
    if npz.can_hold(expected) or not refused or subject.graph is None:
        raise failure


def pieces(report: dict[str, Any]) -> list[int]:
    """How many items went together, run by run."""
    items, batches, size = report["items"], report["batches"], report["plan"]["batch"]
    if batches == 1:
        return [items]
    return [min(size, items - start) for start in range(0, items, size)]


WAYS: Final[dict[str, Callable[[Subject], None]]] = {
    "load": load,
    "run": run,
    "stream": stream,
    "server": serve,
    "command 1": command_1,
    "command 40": command_40,
}

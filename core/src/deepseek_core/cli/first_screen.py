"""What `ds-sdk plan` says first: what runs where, how fast, how sure, what else, what next.

Ten lines at 80 columns; `--verbose` has every candidate of every stage.
"""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from deepseek_core.cli.model_options import deadline_verdict, needs_calibration
from deepseek_core.cli.pictures.arguments import given as picture_options
from deepseek_core.cli.table import wrapped
from deepseek_core.contracts.device import Estimate
from deepseek_core.contracts.units import counted, format_seconds
from deepseek_core.schedule import sentences
from deepseek_core.schedule.problem import Objective

if TYPE_CHECKING:
    from deepseek_core.runtime.plan import Plan

_LINES: Final = 10
_STAGES: Final = 3  # that get a line each
_WIDTH: Final = 80  # of a pipe
_SINGLE: Final = {"latency": "offline", "threads": None, "executor": None, "address": None}
_MORE: Final = "..."
_NOT_USED: Final = "not used: "
# Options that the proposed command takes as `plan` does; name -> what it is when not given.
_SHARED: Final = ("input", "constant", "batch_axis", "select", "device", "set")


def first_screen(plan: Plan, args: argparse.Namespace, width: int | None) -> list[str]:
    """The lines, none longer than `width` columns; the first words of each say what it is."""
    width = width or _WIDTH
    top = [
        *wrapped(_head(plan), width),
        *(_short(line, width, 1)[0] for line in _stages(plan)),
        *_hanging(f"=> {_outcome(plan)}", width),
        *_hanging(f"how sure: {_how_sure(plan)}", width),
        *deadline_verdict(plan.request.deadline_s, plan.meets_deadline),
    ]
    end = _next(plan, args, width)
    room = max(_LINES - len(top) - len(end), 1 if width >= _WIDTH else 3)
    return [*top, *_others(plan, width, room), *end]


def _head(plan: Plan) -> str:
    count = counted(len(plan.problem.stages), "stage")
    if not plan.graph.is_batched:
        return f"{plan.graph.name}: {count}; inputs run as they are, not in batches"
    batch = plan.request.batch
    return f"{plan.graph.name}: {count}; {counted(batch, 'item')} in a batch"


def _stages(plan: Plan) -> list[str]:
    """A line for each stage: where it runs, how long that takes, what that is known from."""
    rows = []
    stages = plan.problem.stages
    shown = stages if len(stages) <= _STAGES else stages[: _STAGES - 1]
    for stage in shown:
        shares = plan.placement.shares(stage.name)
        device = max(shares, key=lambda name: shares[name])
        cost = next(c.estimate for c in stage.candidates if c.device_id == device)
        where = " + ".join(f"{name} {share:.0%}" for name, share in shares.items())
        rows.append((stage.name, device if len(shares) == 1 else where, *_cost(cost)))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [
        f"  {name:<{widths[0]}}  on {where:<{widths[1]}}  {seconds:<{widths[2]}}  {basis}".rstrip()
        for name, where, seconds, basis in rows
    ]
    if len(shown) < len(stages):
        lines.append(f"  and {len(stages) - len(shown)} more stages")
    return lines


def _cost(estimate: Estimate | None) -> tuple[str, str]:
    if estimate is None:
        return "", ""
    about = "about " if sentences.is_guess(estimate) else ""
    return f"{about}{format_seconds(estimate.seconds)}", _basis(estimate)


def _basis(estimate: Estimate) -> str:
    if sentences.is_guess(estimate):
        return "a guess"
    if not estimate.samples:
        return "computed by the device, not measured"
    return "measured" if estimate.source == "measured" else "from other batch sizes"


def _outcome(plan: Plan) -> str:
    """Where all of it runs, what that gives, and how much more than one device alone."""
    placement = plan.placement
    rate = ""
    if placement.objective is Objective.PERIOD and placement.value_s > 0:
        noun = "items" if plan.graph.is_batched else "runs"
        count = plan.request.batch if plan.graph.is_batched else 1
        rate = f", {_rounded(count / placement.value_s)} {noun}/s"
    gain = sentences.gain(placement)
    where = ""
    if len(placement.used()) == 1:
        where = f"all on {_named(plan, next(iter(placement.used())))}: "
    noun = "batch" if plan.graph.is_batched else "run"
    every = format_seconds(placement.value_s)
    if placement.objective is Objective.MAKESPAN:
        return f"{where}one {noun} takes up to {every} in 9 of 10 cases{gain}"
    return f"{where}one {noun} every {every}{rate}{gain}"


def _rounded(value: float) -> str:
    """Three digits: more would promise more than is known."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def _named(plan: Plan, device_id: str) -> str:
    """`onnx:cpu (AMD EPYC)`: the device and what it is."""
    name = plan.device_name(device_id)
    return f"{device_id} ({name})" if name and name not in device_id else device_id


def _how_sure(plan: Plan) -> str:
    """What the figures rest on, and how far they may be off."""
    problem, placement = plan.problem, plan.placement
    told = sentences.modeled(problem, placement)
    if told:
        return f"{', '.join(told)} is a model of a device; nothing was measured on a real one"
    found = sentences.rests_on(problem, placement)
    guesses = [e for e in found if sentences.is_guess(e)]
    if guesses and len(guesses) < len(found):
        return "partly a guess: not everything was measured yet"
    if not found or all(not e.samples for e in found):
        kind = "a guess" if guesses or not found else "by a formula of the device"
        return f"{kind}, not measured yet{_off(found)}"
    if any(e.source != "measured" for e in found):
        return f"from measurements at other batch sizes{_off(found)}"
    return f"measured on this machine{_off(found)}"


def _off(estimates: Sequence[Estimate]) -> str:
    """How far a time may be off: the widest of the ranges."""
    pairs = [e.interval_s for e in estimates]
    widest = max((math.sqrt(high / low) for low, high in pairs if low > 0), default=1.0)
    return f"; 9 of 10 runs take {1 / widest:.2g} to {widest:.2g} times as long"


def _others(plan: Plan, width: int, room: int) -> list[str]:
    """For each device that is not used what it could do, or why it can't: a line or two."""
    rivals = _rivals(plan)
    alike: dict[str, list[str]] = {}
    for device, text in rivals.items():
        alike.setdefault(text, []).append(device)
    told = [f"{', '.join(devices)}: {text}" for text, devices in alike.items()]
    if not told:
        return _short(f"{_NOT_USED}nothing: there is no other device", width, 1)
    if room == 1:
        others = ", ".join(one for devices in list(alike.values())[1:] for one in devices)
        also = f"; also {others}" if others else ""
        return [_short(_NOT_USED + told[0], max(width - len(also), width // 2), 1)[0] + also]
    shown = told if len(told) <= room else told[: room - 1]
    spare = room - len(told)
    lines = []
    for one in shown:
        parts = _short(one, width - len(_NOT_USED), 2 if spare > 0 else 1)
        spare -= len(parts) - 1
        lines += parts
    if len(shown) < len(told):
        rest = ", ".join(one for devices in list(alike.values())[len(shown) :] for one in devices)
        lines += _short(f"also {rest}", width - len(_NOT_USED), 1)
    indent = " " * len(_NOT_USED)
    return [(indent if number else _NOT_USED) + line for number, line in enumerate(lines)]


def _rivals(plan: Plan) -> dict[str, str]:
    """Each device that no batch passes -> what speaks against it; able ones first."""
    problem, used = plan.problem, plan.placement.used()
    able: dict[str, list[str]] = {}
    unable: dict[str, dict[str, str]] = {}
    for stage in problem.stages:
        for candidate in stage.candidates:
            device = candidate.device_id
            if device in used:
                continue
            if candidate.estimate is None:
                unable.setdefault(device, {})[stage.name] = candidate.refusal
            else:
                why = sentences.against(problem, plan.placement, stage, device)
                able.setdefault(device, []).append(f"{stage.name} in {why}")
    found = {}
    for device in dict.fromkeys([*able, *unable]):
        refusals = unable.get(device, {})
        if device in able:
            can_not = [f"not {' and '.join(refusals)}"] if refusals else []
            found[device] = ", ".join([*able[device], *can_not])
        else:
            found[device] = "; ".join(dict.fromkeys(refusals.values()))
    return found


def _next(plan: Plan, args: argparse.Namespace, width: int) -> list[str]:
    """What to type next."""
    if needs_calibration(plan):
        what, command = "measure what is guessed", ["ds-sdk", "calibrate", args.model]
    else:
        what, command = "run it", ["ds-sdk", "run", args.model, *_of_run(args)]
    told = _hanging(f"next: {what}; --verbose shows every candidate", width)
    return [*told, *_typed([*command, *_given(args)], width)]


def _typed(command: Sequence[str], width: int) -> list[str]:
    """A command that can be pasted, in several lines where it is long."""
    words = [shlex.quote(word) for word in command]
    lines = ["  " + words[0]]
    for number, word in enumerate(words[1:], 1):
        # An option stays with its value.
        following = words[number + 1] if number + 1 < len(words) else ""
        pair = f"{word} {following}" if word.startswith("--") else word
        if len(lines[-1]) + len(pair) + 3 > width and not words[number - 1].startswith("--"):
            lines[-1] += " \\"
            lines.append("      " + word)
        else:
            lines[-1] += f" {word}"
    return lines


def _of_run(args: argparse.Namespace) -> Iterable[str]:
    """The options that only a run has; the file of what is not given yet, too."""
    if not args.given_all:
        yield from ("--input", "FILE.npz")
    for pin in args.pin:
        yield from ("--pin", pin)
    if args.deadline_ms is not None:
        yield from ("--deadline-ms", f"{args.deadline_ms:g}")


def _given(args: argparse.Namespace) -> Iterable[str]:
    """The options of this command that say what is run, and with what."""
    for name in _SHARED:
        for value in getattr(args, name, None) or ():
            yield from (f"--{name.replace('_', '-')}", str(value))
    for argument, text in picture_options(args):
        yield from (argument.flag, str(text))
    if args.batch_given is not None:
        yield from ("--batch", str(args.batch_given))
    for name, usual in _SINGLE.items():
        if getattr(args, name) != usual:
            yield from (f"--{name}", str(getattr(args, name)))


def _hanging(text: str, width: int) -> list[str]:
    """Wrapped, with the lines after the first below its words."""
    first, *rest = wrapped(text, width)
    below = wrapped(" ".join(rest), width - 3) if rest else []
    return [first, *("   " + part for part in below)]


def _short(text: str, width: int, most: int) -> list[str]:
    """In `most` lines; `...` where that left something out."""
    lines = wrapped(text, width)
    if len(lines) <= most:
        return lines
    kept = lines[:most]
    kept[-1] = kept[-1][: width - len(_MORE) - 1].rstrip(" ;,") + " " + _MORE
    return kept

"""`ds-sdk tune TARGET`: batch, rate, warm-up and accumulation of a training."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deepseek_core import console, errors

if TYPE_CHECKING:
    from deepseek_observe.tune.noise import NoiseScale
    from deepseek_observe.tune.target import Target
    from deepseek_observe.tune.tune import Outcome, Wanted

EXAMPLES: Final = """examples:
  ds-sdk tune recipe.toml -o tuned.toml              of ds-sdk train run, which takes tuned.toml
  ds-sdk tune train.py:build                         build() gives (model, loss, data[, optimizer])
  ds-sdk tune recipe.toml --batch 256:1024           a batch from 256 to 1024
  ds-sdk tune recipe.toml --batch 1024 --rate .8     does this hold?
  ds-sdk tune recipe.toml --memory 2G --devices 8
  ds-sdk tune recipe.toml --trials 30 --study s.log  a search, that goes on when it is stopped
  torchrun --nproc-per-node 4 --no-python ds-sdk tune recipe.toml

exit codes: 0 done, 2 wrong arguments, or a training that diverges or fails, 130 Ctrl-C"""
SUMMARY: Final = (
    "Find the batch, rate, warm-up and accumulation of a training by short trials of it."
)
_MOST: Final = 2**31


def main(argv: Sequence[str]) -> int:
    """Run `ds-sdk tune` with these words and return the exit code."""
    parser = console.command_parser("tune", summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument(
        "target", metavar="TARGET", help="RECIPE.toml, file.py:function or package.module:function"
    )
    parser.add_argument(
        "--batch", type=_batches, metavar="N[:MOST]", default=(None, None),
        help="samples of a step on all devices: one batch, or from and to",
    )  # fmt: skip
    parser.add_argument("--rate", type=_rate, help="take this rate, if a training holds with it")
    parser.add_argument(
        "--devices", type=_count, metavar="N", help="that will train (default: torchrun's, or 1)"
    )
    parser.add_argument(
        "--memory", type=console.nbytes_of, metavar="SIZE",
        help="what a process may take beside torch itself (default: nine tenths of what is free)",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=console.seconds_of, default=300.0, metavar="SECONDS",
        help="of the try of one batch (default: 300)",
    )  # fmt: skip
    parser.add_argument(
        "--waste", type=_share, default=0.1, metavar="SHARE",
        help="samples that a larger batch may need more for the same progress (default: 0.1)",
    )  # fmt: skip
    parser.add_argument(
        "--samples", type=_count, metavar="N",
        help="that the rates train on (default: as the training, else three epochs)",
    )  # fmt: skip
    parser.add_argument(
        "--trials", type=_count, default=0, metavar="N", help="search over batch and rate by Optuna"
    )
    parser.add_argument("--study", type=Path, metavar="FILE", help="where the search is kept")
    parser.add_argument("--seed", type=int, default=0, help="of weights and samples (default: 0)")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write the tuned recipe, or the values"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return run(parser.parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """Tune, print what was found, write it.

    Raises:
        ConfigError, InputError: what can't be, fails or diverges.
    """
    if args.study is not None and not args.trials:
        raise errors.ConfigError("--study is of a search", remedy="add --trials 30")
    output = None if args.output is None else str(args.output)
    console.check_writable(output, read=[args.target, args.target.rpartition(":")[0]])
    from deepseek_observe.tune.tune import tune

    done = 0
    with console.ProgressReporter("tune", quiet=not sys.stderr.isatty()) as show:

        def tell(text: str) -> None:
            nonlocal done
            done += 1
            show(done, None, text)

        found = tune(args.target, _wanted(args), tell)
    if found is None:  # rank 0 has it
        return 0
    target, outcome = found
    if args.output is not None:
        _write(args.output, target, outcome)
    if args.json:
        console.print_json(_facts(target, outcome), indent=1)
    else:
        _print(target, outcome)
    if args.output is not None:
        console.print_note(f"wrote {args.output}")
    return 0


def _wanted(args: argparse.Namespace) -> Wanted:
    from deepseek_observe.tune.tune import Wanted

    low, high = args.batch
    return Wanted(
        low=low, high=high, rate=args.rate, devices=args.devices, nbytes=args.memory,
        limit_s=args.limit, waste=args.waste, samples=args.samples, trials=args.trials,
        study=args.study, seed=args.seed,
    )  # fmt: skip


def _write(path: Path, target: Target, outcome: Outcome) -> None:
    from deepseek_observe.tune.decay import Tuned
    from deepseek_observe.tune.recipe import tuned_tables

    plan = outcome.plan
    tuned = Tuned(
        batch=plan.batch, micro=plan.micro if plan.accumulate > 1 else None, rate=plan.rate,
        warmup_steps=plan.warmup_steps, warmup_start=plan.warmup_start,
    )  # fmt: skip
    if target.recipe is None:
        tables = _values(outcome)
    else:
        tables = tuned_tables(target.recipe, tuned, path.parent)
    with console.whole_file(path) as partial:
        partial.write_text(console.as_toml(tables), encoding="utf-8")


def _print(target: Target, outcome: Outcome) -> None:
    plan, race = outcome.plan, outcome.race
    was = {"batch": target.batch, "rate": target.rate}
    console.print_table(
        ("WHAT", "VALUE", "WHY"),
        [
            ("batch", f"{plan.batch}", _of_batch(outcome)),
            ("microbatch", f"{plan.micro}", _of_micro(outcome)),
            ("accumulate", f"{plan.accumulate}", f"{_counted(outcome.devices, 'device')}"),
            ("rate", f"{plan.rate:.4g}", _of_rate(outcome)),
            ("warm-up", _counted(plan.warmup_steps, "step"), _of_warmup(outcome)),
            *((f"was: {name}", f"{value:g}", "in the recipe") for name, value in was.items()
              if value is not None and target.recipe is not None),
        ],
    )  # fmt: skip
    console.print_text(
        f"noise scale of the gradient: {_of_noise(outcome.noise_at_start)} in the beginning, "
        f"{_of_noise(outcome.noise)} after {max(one.steps for one in race.trials)} steps"
    )
    console.print_table(
        ("RATE", f"LOSS WITH A BATCH OF {outcome.base.batch}", "STEPS"),
        [
            (
                f"{one.rate:.3g}",
                "diverges" if math.isinf(one.loss) else f"{one.loss:.4f}",
                f"{one.steps}",
            )
            for one in race.trials
        ],
    )
    if outcome.search is not None:
        best = outcome.search
        console.print_text(
            f"search: {best.finished} trials to the end, {best.pruned} given up; "
            f"loss {best.loss:.4f} with a batch of {best.batch} and rate {best.rate:.4g}"
        )
    for note in outcome.notes:
        console.print_text(f"note: {note}")


def _of_batch(outcome: Outcome) -> str:
    if outcome.search is not None:
        return "the search's"
    if outcome.is_given:
        return "as asked"
    if outcome.plan.batch == outcome.base.batch:
        return "the base: a larger one would waste samples"
    more = outcome.plan.batch / outcome.noise.value
    return f"needs {more:.0%} more samples than the smallest batches"


def _of_micro(outcome: Outcome) -> str:
    if outcome.is_all:
        return f"{outcome.fits} fit on a device, the most that was asked for"
    return f"up to {outcome.fits} fit on a device"


def _of_rate(outcome: Outcome) -> str:
    rule, base = outcome.plan.rule, outcome.base
    if rule in ("base", "search", "given"):
        return {"base": "the best of the race", "search": "the search's", "given": "it holds"}[rule]
    return f"{rule}, from {base.rate:.3g} for {base.batch}"


def _of_warmup(outcome: Outcome) -> str:
    plan = outcome.plan
    return f"from {plan.warmup_start:.3g} on" if plan.warmup_steps else "none is needed"


def _of_noise(noise: NoiseScale) -> str:
    if math.isinf(noise.value):
        return f"above {noise.low:.0f}"
    return f"{noise.value:.0f} ({noise.low:.0f} to {noise.high:.0f})"


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _values(outcome: Outcome) -> dict[str, Any]:
    plan = outcome.plan
    return {
        "batch": plan.batch,
        "microbatch": plan.micro,
        "accumulate": plan.accumulate,
        "devices": outcome.devices,
        "rate": plan.rate,
        "warmup_steps": plan.warmup_steps,
        "warmup_start": plan.warmup_start,
    }


def _facts(target: Target, outcome: Outcome) -> dict[str, Any]:
    best = outcome.search
    return {
        "schema": 1,
        "tuned": {**_values(outcome), "rule": outcome.plan.rule},
        "was": {"batch": target.batch, "rate": target.rate},
        "fits": outcome.fits,
        "base": {"batch": outcome.base.batch, "rate": outcome.base.rate},
        "noise_scale": {
            "at_start": _plain_noise(outcome.noise_at_start),
            "trained": _plain_noise(outcome.noise),
        },
        "race": {
            "start_loss": outcome.race.start_loss,
            "cap": outcome.race.cap,
            "trials": [
                {"rate": one.rate, "loss": _finite(one.loss), "steps": one.steps}
                for one in outcome.race.trials
            ],
        },
        "search": None
        if best is None
        else {
            "batch": best.batch, "rate": best.rate, "loss": best.loss,
            "finished": best.finished, "pruned": best.pruned,
        },
        "samples_seen": outcome.seen,
        "notes": list(outcome.notes),
    }  # fmt: skip


def _plain_noise(noise: NoiseScale) -> dict[str, Any]:
    return {
        "value": _finite(noise.value),
        "low": noise.low,
        "high": _finite(noise.high),
        "draws": noise.draws,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _batches(text: str) -> tuple[int, int]:
    low, colon, high = text.partition(":")
    try:
        found = (int(low), int(high if colon else low))
    except ValueError:
        found = (0, 0)
    if not 1 <= found[0] <= found[1] < _MOST:
        raise argparse.ArgumentTypeError(
            f"must be a batch, or from and to, such as 256 or 256:1024, got {text!r}"
        )
    return found


def _rate(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return found


def _share(text: str) -> float:
    found = _rate(text)
    if found > 100:
        raise argparse.ArgumentTypeError(f"must be a share, such as 0.2, got {text!r}")
    return found


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) < _MOST:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, got {text!r}")
    return int(text)

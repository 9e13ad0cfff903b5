"""`Trainer`: a plain module, a loss and a dataset on any number of ranks."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from deepseek_core import console, errors
from deepseek_parallel.elastic.group import ElasticRanks
from deepseek_parallel.elastic.wire import ADDRESS
from deepseek_parallel.hazard.gaps import GapPredictor
from deepseek_parallel.ranks import Ranks, StaticRanks
from deepseek_parallel.sampling import Order
from deepseek_parallel.sgd import CompressedSGD
from deepseek_parallel.stopping import Wishes, interruptible
from deepseek_parallel.strategies.losses import check_loss
from deepseek_parallel.trainer import seeding
from deepseek_parallel.trainer.checks import (
    check_choice,
    check_model,
    check_optimizer,
    check_positive,
    check_sparse,
    check_whole,
)
from deepseek_parallel.trainer.choice import PLAIN, choice_of
from deepseek_parallel.trainer.data import data_of
from deepseek_parallel.trainer.descent import check_compressed, ratio_of
from deepseek_parallel.trainer.evaluation import EarlyStop, Evaluation, Measure
from deepseek_parallel.trainer.events import Watcher
from deepseek_parallel.trainer.loop import Loop
from deepseek_parallel.trainer.part import Part
from deepseek_parallel.trainer.precision import Precision
from deepseek_parallel.trainer.progress import Goal, Progress
from deepseek_parallel.trainer.report import Record, Report
from deepseek_parallel.trainer.scheduling import Rates
from deepseek_parallel.trainer.setup import Setup
from deepseek_parallel.trainer.tracing import Trace, traced
from deepseek_parallel.trainer.watch.emitted import Emitted
from deepseek_parallel.trainer.watch.line import Show
from deepseek_parallel.trainer.watch.page import write_page
from deepseek_parallel.trainer.watch.watchers import PAGE, Watched, telling

if TYPE_CHECKING:
    from deepseek_parallel.checkpoint.checkpoints import Checkpoints


class Trainer:
    """Trains a plain module on one rank or many: the result is that of one, but for rounding.

    `loss` is a function of (model, batch): it gives the mean over the items of the batch, or
    (sum, count). `data` is a dataset with `__len__` and `__getitem__`, or a DataLoader of one.
    `batch` samples make a step, on all ranks together, in microbatches of `microbatch` at most (by
    default one for each rank); by default a DataLoader's `batch_size`.

    `precision` is "fp32" or "bf16"; `clip` the largest norm of the whole gradient; `compress` the
    share of the gradient that is sent (`TopK` or 0.01), for SGD. `scheduler` is stepped after each
    step; it may be a function that makes one of the optimizer. `balance` lets microbatches follow
    the measured speed of the ranks, and cuts them finer where they can't within 5 %. `evaluate` is
    an `Evaluation`, or data to evaluate after each epoch. `checkpoint` is a URL or `Checkpoints`,
    saved to at the end, and each `save_every` steps, or as often as a `failure_predictor` or
    `predictor_of_log` given there makes it worth while; the last `keep` stay.
    `strategy` is what each rank holds: "ddp" (all of the model), "fsdp", "tp", "pp", "hybrid", or
    "auto" for the soonest step; `options` are its own, as {"tp": 2, "pp": 2}, and "layers" for a
    pipeline of what is no `nn.Sequential`. The model and the optimizer are taken apart by the
    first `fit`: its weights are in the checkpoint.
    `log` is a folder for log.jsonl, events of TensorBoard and report.html. `trace` is one for a
    trace of some steps by each rank, or a `Trace` that says of which. `callbacks` are called with
    each `Event`. `ranks` are those of an elastic run or of torchrun, or this process alone.

    Raises:
        ConfigError: something that can't be, or does not fit the rest.
        InputError: no samples.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        loss: Measure,
        data: Any,
        *,
        batch: int | None = None,
        microbatch: int | None = None,
        seed: int = 0,
        precision: str = "fp32",
        clip: float | None = None,
        compress: Any = None,
        scheduler: Any = None,
        balance: bool = False,
        evaluate: Any = None,
        early_stop: EarlyStop | None = None,
        checkpoint: str | Path | Checkpoints | None = None,
        save_every: int | GapPredictor | None = None,
        keep: int = 3,
        log: str | Path | None = None,
        trace: Trace | str | Path | None = None,
        callbacks: Sequence[Watcher] = (),
        strategy: str = PLAIN,
        options: Mapping[str, Any] | None = None,
        ranks: Ranks | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        check_model(model)
        params = check_optimizer(optimizer, model)
        check_loss(loss)
        if clip is not None:
            check_positive("clip", clip)
        ratio = ratio_of(compress)
        check_compressed(optimizer, ratio, clip)
        read = data_of(data)
        evaluation = _evaluation(evaluate)
        _check_early_stop(early_stop, evaluation)
        batch = read.batch if batch is None else batch
        _check_batches(batch, microbatch, balance)
        check_whole("seed", seed, 0)
        if save_every is not None:
            if not isinstance(save_every, GapPredictor):
                check_whole("save_every", save_every)
            _check_place(checkpoint)
        check_whole("keep", keep)
        if isinstance(checkpoint, Path):
            checkpoint = str(checkpoint)
        self.ranks: Ranks = found() if ranks is None else ranks
        _check_renewable(checkpoint, optimizer, self.ranks)
        check_sparse(params, optimizer, self.ranks.size)
        assert batch is not None
        choice = choice_of(strategy, options, microbatch)
        if choice is not None:
            check_choice(
                choice, optimizer, self.ranks,
                batch=batch, compressed=ratio is not None, balance=balance,
            )  # fmt: skip
        self.setup = Setup(
            model=model, optimizer=optimizer, params=params, loss=loss, data=read,
            order=Order(read.length, seed, read.shuffle), batch=batch, microbatch=microbatch,
            seed=seed, precision=Precision(precision, params[0][1].device), ratio=ratio, clip=clip,
            rates=Rates(scheduler, optimizer, evaluated=evaluation is not None),
            evaluation=evaluation, early_stop=early_stop, is_balanced=balance, clock=clock,
            checkpoint=checkpoint, save_every=save_every, keep=keep, choice=choice,
        )  # fmt: skip
        self._trace = Trace(folder=trace) if isinstance(trace, str | Path) else trace
        self._callbacks = _callbacks(callbacks)
        self._log = None if log is None else Path(log)
        self._progress = Progress()
        self._wishes = Wishes()
        self._divided: Part | None = None  # what this rank holds on a mesh, once it is

    def fit(
        self,
        *,
        steps: int | None = None,
        epochs: int | None = None,
        resume: bool = False,
        show: Show | None = None,
    ) -> Report:
        """Train until so many steps, or epochs, have been taken in all; what it came to.

        With `resume` it goes on from the latest checkpoint, if there is one. Ctrl-C and SIGTERM end
        it after the step that runs, and save; SIGUSR1, the notice of a scheduler that nodes will
        be taken away, saves then and trains on. `show` gets (step, steps, text) for a progress
        line.

        Raises:
            ConfigError: neither steps nor epochs, or both; a URL with checkpoints of a run that is
                not resumed.
            StateMismatch: ranks, or a checkpoint, are of another model, data or settings.
            MeshMismatch: the strategy has no mesh for these ranks and this model, by its dimension.
            InputError: a loss or layers that the strategy can't take.
            RankLost: a rank is lost, and the ranks can't be renewed.
            RankFailed: an error of another rank; its own errors a rank raises as they are.
            NotFiniteLoss, NotFiniteGradient: on all ranks at once; the step was not taken.
        """
        goal = _goal(self.setup, steps, epochs)
        setup, ranks, progress = self.setup, self.ranks, self._progress
        if setup.choice is not None:
            setup.choice.check_world(ranks.size)
        record, begin_s = Record(ranks.size), time.monotonic()
        progress.stopped, self._wishes.stop = "", ""
        emitted = Emitted(_name(setup, self._log))
        with (
            seeding.kept(),
            interruptible(self._wishes),
            traced(self._trace, ranks) as tracers,
            telling(
                Watched(
                    emitted=emitted,
                    callbacks=(*self._callbacks, *tracers),
                    log=self._log,
                    show=show,
                ),
                record,
                steps=goal.num_steps,
                is_resumed=resume or progress.turns > 0,
                is_first=lambda: ranks.rank == 0,
            ) as tell,
        ):
            is_divided = setup.choice is not None and ranks.size > 1
            divide = self._divide if is_divided else None
            loop = Loop(setup, ranks, progress, goal, tell=tell, wishes=self._wishes, divide=divide)

            def begin() -> None:
                if ranks.rank == 0:
                    emitted.begin(ranks=ranks.size, mesh=loop.mesh, step=progress.step)

            loop.run(resume=resume, begun=begin)
            why = progress.stopped or ("steps" if steps is not None else "epochs")
            end = loop.event("end", {"seconds": time.monotonic() - begin_s}, why)
            report = record.report(
                end,
                ranks.rank,
                seconds=end.figures["seconds"],
                resumed=loop.resumed,
                mesh=loop.mesh,
            )
            tell(end)
        if self._log is not None and ranks.rank == 0:
            write_page(self._log / PAGE, report, _facts(setup))
        return report

    def _divide(self) -> Part:
        if self._divided is None:
            from deepseek_parallel.trainer.divided import Divided  # takes seconds

            self._divided = Divided(self.setup, self.ranks)
        return self._divided

    def stop(self) -> None:
        """End after the step that runs, on all ranks; for callbacks."""
        self._wishes.stop = self._wishes.stop or "a callback"

    def save(self) -> None:
        """Save after the step that runs, on all ranks; for callbacks that see trouble coming."""
        self._wishes.save = True


def found() -> Ranks:
    """The ranks of this process: of an elastic run, of torchrun, or it is alone.

    They are left at the end of the process.
    """
    ranks: Ranks = ElasticRanks.join() if os.environ.get(ADDRESS) else StaticRanks.found()
    atexit.register(ranks.leave)
    return ranks


def _evaluation(given: Any) -> Evaluation | None:
    if given is None or isinstance(given, Evaluation):
        return given
    return Evaluation(data=given)


def _check_early_stop(rule: Any, evaluation: Evaluation | None) -> None:
    if rule is None:
        return
    if not isinstance(rule, EarlyStop):
        raise errors.ConfigError(
            f"early_stop is {rule!r}", remedy="give EarlyStop(patience=3), or leave it out"
        )
    known = ["loss", *evaluation.metrics] if evaluation is not None else []
    if rule.metric not in known:
        raise errors.ConfigError(
            f"early_stop looks at {rule.metric!r}, and "
            f"{', '.join(known) if known else 'nothing'} is evaluated",
            remedy="give evaluate=Evaluation(data=..., metrics={...}) with it",
        )


def _check_place(checkpoint: Any) -> None:
    if checkpoint is None:
        raise errors.ConfigError(
            "save_every says when to save, and nothing says where",
            remedy='give checkpoint="runs/one", or another URL',
        )


def _check_renewable(checkpoint: Any, optimizer: Any, ranks: Ranks) -> None:
    if isinstance(optimizer, CompressedSGD) and not isinstance(ranks, StaticRanks):
        raise errors.ConfigError(
            "this CompressedSGD is of one membership, and the ranks of this run change",
            remedy="give torch.optim.SGD, and compress=0.01 to the trainer",
        )
    if not isinstance(checkpoint, str | None) and not isinstance(ranks, StaticRanks):
        raise errors.ConfigError(
            "these Checkpoints are of one membership, and the ranks of this run change",
            remedy=f"give their URL: checkpoint={checkpoint.url!r}",
        )


def _check_batches(batch: Any, microbatch: Any, balance: bool) -> None:
    if batch is None:
        raise errors.ConfigError(
            "no batch: samples of a step, on all ranks together", remedy="give batch=64"
        )
    check_whole("batch", batch)
    if microbatch is not None:
        check_whole("microbatch", microbatch)
    elif balance:
        raise errors.ConfigError(
            "balance gives ranks more or fewer microbatches, and each has one",
            remedy=f"give microbatch={max(1, batch // 32)}: small ones follow the speeds better",
        )


def _callbacks(given: Any) -> tuple[Watcher, ...]:
    if callable(given):
        given = (given,)
    for one in given:
        if not callable(one):
            raise errors.ConfigError(
                f"a callback is a {type(one).__name__}", remedy="give functions of an Event"
            )
    return tuple(given)


def _goal(setup: Setup, steps: int | None, epochs: int | None) -> Goal:
    if (steps is None) == (epochs is None):
        raise errors.ConfigError(
            "give either steps or epochs", remedy="fit(steps=1000), or fit(epochs=3)"
        )
    check_whole("steps" if epochs is None else "epochs", steps if epochs is None else epochs)
    return Goal(batch=setup.batch, length=setup.order.length, steps=steps, epochs=epochs)


def _name(setup: Setup, log: Path | None) -> str:
    """What the run is called for who listens: its log, its checkpoints, or its model."""
    place = setup.checkpoint
    if log is not None:
        return str(log)
    if place is not None:
        return console.without_password(place if isinstance(place, str) else place.url)
    return type(setup.model).__name__


def _facts(setup: Setup) -> list[tuple[str, object]]:
    weights = sum(param.numel() for _, param in setup.params)
    return [
        ("model", f"{type(setup.model).__name__}, {weights:,} trained weights"),
        ("optimizer", type(setup.optimizer).__name__),
        ("samples of the dataset", f"{setup.order.length:,}"),
        ("batch, of all ranks", setup.batch),
        ("microbatch", setup.microbatch or "one for each rank"),
        ("precision", setup.precision.kind),
        ("gradients sent", "all" if setup.ratio is None else f"{setup.ratio:.2%}"),
        ("strategy", str(setup.choice or PLAIN)),
        ("seed", setup.seed),
    ]

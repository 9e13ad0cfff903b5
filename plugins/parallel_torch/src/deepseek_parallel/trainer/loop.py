"""The loop: steps, evaluations and saves, each a turn that begins again when a rank is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from deepseek_core import errors
from deepseek_parallel.errors import NotFiniteLoss, RankLost
from deepseek_parallel.ranks import Ranks
from deepseek_parallel.shares import imbalance
from deepseek_parallel.stopping import Wishes
from deepseek_parallel.trainer.evaluating import evaluated
from deepseek_parallel.trainer.events import Event
from deepseek_parallel.trainer.meeting import Meeting
from deepseek_parallel.trainer.part import Part
from deepseek_parallel.trainer.progress import Goal, Progress
from deepseek_parallel.trainer.ranges import COMPUTE, TELL, UPDATE, marked
from deepseek_parallel.trainer.reading import Reader
from deepseek_parallel.trainer.saver import Saver
from deepseek_parallel.trainer.setup import Setup
from deepseek_parallel.trainer.tally import Tally, Totals, tally_nbytes, totals_of
from deepseek_parallel.trainer.together import gathered, place, raise_failed, said_of

_MOST_MEETINGS: Final = 20
"""How often ranks may be lost while the others meet."""


class Loop:
    """Trains a setup on ranks up to a goal; `tell` gets each event."""

    def __init__(
        self, setup: Setup, ranks: Ranks, progress: Progress, goal: Goal, *,
        tell: Callable[[Event], None], wishes: Wishes, divide: Callable[[], Part] | None = None,
    ) -> None:  # fmt: skip
        self._setup, self._ranks = setup, ranks
        self._progress, self._goal = progress, goal
        self._tell, self._wishes = tell, wishes
        self._reader = Reader(setup.data, setup.order, setup.seed)
        self._is_save_asked = False  # a rank has found that a save is due
        self._place = place(ranks, setup.precision.device)  # of tensors that ranks exchange
        self._meeting = Meeting(setup, progress, divide)
        self._saver: Saver | None = None
        if setup.checkpoint is not None:
            self._saver = Saver(setup, progress, self._say_saved)
        self.resumed: int | None = None  # the step at which it went on

    def run(self, *, resume: bool, begun: Callable[[], None]) -> None:
        """Take turns until the goal is reached, or a stop was asked for; `begun` before the first.

        Raises:
            RankLost: a rank is lost, and the ranks can't be renewed.
            RankFailed: an error of another rank; its own errors a rank raises as they are.
            NotFiniteLoss, NotFiniteGradient: on all ranks at once; the step was not taken.
        """
        is_done = is_lost = False
        try:
            self._begin(resume)
            begun()
            while self._turn():
                pass
            if self._saver is not None:
                self._saver.finish()
            is_done = True
        except RankLost:
            is_lost = True
            raise
        finally:
            self._reader.close()
            if self._saver is not None:
                self._saver.close(at_once=not is_done, cut_off=is_lost)

    @property
    def mesh(self) -> Mapping[str, int]:
        """Sizes of the axes that the model is divided over."""
        return self._part.mesh

    def _begin(self, resume: bool) -> None:
        self._meet()
        if self._saver is not None and not self._progress.turns:
            if resume:
                self.resumed = self._saver.resume(self._part)
            else:
                self._saver.check_new()

    def _turn(self) -> bool:
        """Do what comes next; whether there was anything."""
        try:
            if not self._ranks.changed():
                return self._next()
        except RankLost:  # the turn was not taken, or by some: who is left meets and goes on
            if not self._part.is_renewable:
                raise
            if self._saver is not None:
                self._saver.failed()
        self._renew()
        return True

    def _renew(self) -> None:
        begin_s, before = self._setup.clock(), self._ranks.size
        for _ in range(_MOST_MEETINGS):
            renewed = self._ranks.renew()
            try:
                self._meet()
                break
            except RankLost:
                continue
        else:
            raise RankLost(
                f"ranks were lost {_MOST_MEETINGS} times while the others met",
                remedy="see the logs of the ranks",
            )
        figures = {
            "before": before,
            "after": renewed.size,
            "lost": max(0, before - len(renewed.survivors)),
            "joined": len(renewed.joined),
            "seconds": self._setup.clock() - begin_s,
        }
        self._say("recovery", figures, f"{before} ranks before, {self._ranks.size} now")

    def _meet(self) -> None:
        if self._saver is not None:
            self._saver.hold()
        self._part = self._meeting.hold(self._ranks)
        if self._saver is not None:
            self._saver.meet(self._ranks)

    def _next(self) -> bool:
        progress = self._progress
        if self._is_evaluation_due():
            self._evaluate()
        elif self._is_save_due():
            self._save()
        elif not progress.stopped and (count := self._goal.count(progress)):
            self._step(count)
        else:
            return False
        return True

    def _is_evaluation_due(self) -> bool:
        wanted, progress = self._setup.evaluation, self._progress
        if wanted is None or progress.evaluated == progress.step or not progress.step:
            return False
        if not self._goal.count(progress):
            return True
        if wanted.every is not None:
            return progress.step % wanted.every == 0
        return self._goal.ends_epoch(progress)

    def _is_save_due(self) -> bool:
        setup, progress = self._setup, self._progress
        if setup.checkpoint is None or progress.saved == progress.step or not progress.step:
            return False
        is_end = bool(progress.stopped) or not self._goal.count(progress)
        every = setup.save_every
        return (
            is_end or self._is_save_asked or (isinstance(every, int) and progress.step % every == 0)
        )

    def _step(self, count: int) -> None:
        setup, ranks, progress = self._setup, self._ranks, self._progress
        begin_s = setup.clock()
        own = self._part.pieces(progress.position, count)
        self._reader.prepare([*own, *self._part.pieces(progress.position + count, count)])
        try:
            with marked(COMPUTE):
                tally, failure = self._part.compute(self._reader, own)
            tally.stop = bool(self._wishes.stop)
            tally.save = self._wishes.save or (self._saver is not None and self._saver.is_due())
            with marked(TELL):
                totals = totals_of(tally, ranks, self._place)
            self._check(totals, failure)
            with marked(UPDATE):
                norm = self._part.step(totals)
        except Exception:
            self._part.undo()
            raise
        progress.step += 1
        progress.position += count
        progress.turns += 1
        self._is_save_asked = totals.save
        if totals.stop:
            progress.stopped = self._wishes.stop or "another rank"
        rate = float(setup.optimizer.param_groups[0]["lr"])
        setup.rates.after_step()
        self._part.observe(totals.seconds)
        if self._saver is not None:
            self._saver.look()
        self._say_step(tally, totals, count, {"lr": rate, "seconds": setup.clock() - begin_s}, norm)

    def _check(self, totals: Totals, failure: Exception | None) -> None:
        """Raise on all ranks what went wrong on one."""
        if any(totals.failed):
            raise_failed(
                gathered(said_of(failure), self._ranks), failure, f"at step {self._progress.step}",
                "see the log of that rank; no rank has taken the step",
            )  # fmt: skip
        if any(totals.bad_loss):
            rank = totals.bad_loss.index(True)
            raise NotFiniteLoss(
                f"the loss of rank {rank} is NaN or infinite at step {self._progress.step}",
                rank=rank,
                step=self._progress.step,
                remedy="lower the learning rate, or look at the samples; a mean over no item is "
                "NaN: return (sum, count)",
            )
        if totals.count <= 0:
            raise errors.InputError(
                f"the loss went over no item at step {self._progress.step}",
                remedy="see what it leaves out (ignore_index, padding), or give a larger batch",
            )

    def _say_step(
        self, tally: Tally, totals: Totals, count: int, times: dict[str, float], norm: float | None
    ) -> None:
        small = tally_nbytes(len(tally.gradients), len(tally.buffers), self._ranks.size)
        told = 2 * (self._ranks.size - 1) * small
        figures = {
            "loss": totals.loss_sum / totals.count,
            **times,
            "samples": count,
            "samples_per_s": count / times["seconds"] if times["seconds"] > 0 else 0.0,
            "ranks": self._ranks.size,
            "imbalance": imbalance(totals.seconds) if sum(totals.seconds) > 0 else 0.0,
            "wire_nbytes": self._part.wire_nbytes + told,
            "whole_nbytes": self._part.whole_nbytes + told,
        }
        if norm is not None:
            figures["gradient_norm"] = norm
        self._say("step", figures)

    def _evaluate(self) -> None:
        setup, progress = self._setup, self._progress
        assert setup.evaluation is not None
        begin_s = setup.clock()
        found = evaluated(setup.evaluation, setup.loss, self._part)
        progress.evaluated = progress.step
        progress.turns += 1
        setup.rates.after_evaluation(found["loss"])
        self._look_whether_to_end(found)
        self._say("evaluation", {**found, "stall_s": setup.clock() - begin_s})

    def _look_whether_to_end(self, found: dict[str, float]) -> None:
        rule, progress = self._setup.early_stop, self._progress
        if rule is None:
            return
        if rule.is_better(found[rule.metric], progress.best):
            progress.best, progress.waited = found[rule.metric], 0
            return
        progress.waited += 1
        if progress.waited >= rule.patience and self._goal.count(progress):
            progress.stopped = progress.stopped or "early stop"

    def _save(self) -> None:
        assert self._saver is not None
        begin_s = self._setup.clock()
        self._is_save_asked = self._wishes.save = False
        self._saver.save(self._part)
        self._say("checkpoint", {"stall_s": self._setup.clock() - begin_s}, "saving")

    def _say_saved(self, step: int, told: str) -> None:
        self._say("checkpoint", {"of_step": step}, told)

    def _say(self, kind: str, figures: dict[str, float], text: str = "") -> None:
        self._tell(self.event(kind, figures, text))

    def event(self, kind: str, figures: dict[str, float], text: str = "") -> Event:
        """An event of now."""
        progress = self._progress
        return Event(
            kind=kind, step=progress.step, samples=progress.position,
            epoch=progress.position / self._setup.order.length, figures=figures, text=text,
        )  # fmt: skip

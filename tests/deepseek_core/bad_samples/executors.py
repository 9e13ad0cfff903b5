"""A sound executor, which runs the plan where it is, and the others."""

import itertools
import threading

import numpy as np

from deepseek_core import Executor, errors


class Sound(Executor):
    def __init__(self, plan):
        self.plan = plan

    def stream(self, batches):
        yield from self.plan.stream(batches)

    def close(self):
        pass


class Rounds(Sound):
    def stream(self, batches):
        for result in super().stream(batches):
            yield {name: array.astype(np.float32) for name, array in result.items()}


class Swaps(Sound):
    def stream(self, batches):
        results = super().stream(batches)
        yield from itertools.islice(results, 10)
        yield from reversed(list(itertools.islice(results, 2)))
        yield from results


class AddsAResult(Sound):
    def stream(self, batches):
        results = super().stream(batches)
        first = next(results, {})
        yield first
        yield from results


class ReadsAhead(Sound):
    def stream(self, batches):
        yield from super().stream(list(batches))


class HidesTheStage(Sound):
    def stream(self, batches):
        try:
            yield from super().stream(batches)
        except errors.StageFailed as error:
            raise RuntimeError("a worker failed") from error


class HidesTheMisfit(Sound):
    def stream(self, batches):
        try:
            yield from super().stream(batches)
        except errors.InputError as error:
            raise RuntimeError("a worker failed") from error


class ClosesOnce(Sound):
    closed = False

    def close(self):
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


class LeavesAThread(Sound):
    def __init__(self, plan):
        super().__init__(plan)
        threading.Thread(target=threading.Event().wait, name="left", daemon=True).start()


class LosesTheHundredth(Sound):
    def stream(self, batches):
        for number, result in enumerate(super().stream(batches)):
            if number != 100:
                yield result


class Sulks(Sound):
    failed = False

    def stream(self, batches):
        try:
            for result in super().stream(batches):
                yield {name: array + self.failed for name, array in result.items()}
        except errors.StageFailed:
            self.failed = True
            raise


class Scribbles(Sound):
    def stream(self, batches):
        return super().stream(self.scribbled(batch) for batch in batches)

    def scribbled(self, batch):
        copy = {name: array.copy() for name, array in batch.items()}
        if len(batch["x"]) > 1:
            batch["x"][-1] = 0
        return copy

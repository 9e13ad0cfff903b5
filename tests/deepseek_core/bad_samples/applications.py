"""A sound application (it learns the mean of numbers, a line each), and the others."""

import itertools
import json
from hashlib import sha256

import attrs
import numpy as np

from deepseek_core import Artifact, applications, compression, errors

SERIAL = itertools.count()
ERROR = applications.Measure(name="error", unit="1", higher_is_better=False)


def read(path):
    try:
        return [float(line) for line in path.read_text().split()]
    except (OSError, ValueError) as error:
        raise errors.InputError(f"{path}: {error}") from error


def interval(value):
    return compression.Interval(value=value, low=value - 1, high=value + 1, count=3)


def score(model, kind, value):
    return applications.Score(
        model=model, kind=kind, measure=ERROR, interval=interval(value), basis="three numbers"
    )


class Sound(applications.Application):
    def prepare(self, source, context):
        numbers = read(source)
        if len(numbers) < 4:
            raise errors.InputError(f"{source} has fewer than 4 numbers")
        (context.data / "numbers.json").write_text(json.dumps(numbers))
        return applications.DataCard(
            source=source.name,
            license="none needed",
            parts={"train": len(numbers) - 2, "test": 2},
            split="the last two are the test",
            split_hash=sha256(json.dumps(numbers).encode()).hexdigest(),
        )

    def numbers(self, context):
        return json.loads((context.data / "numbers.json").read_text())

    def train(self, seed, context):
        context.progress(0, 1, "adding")
        mean = float(np.mean(self.numbers(context)[:-2]))
        (context.seed(seed) / "mean").write_text(str(mean))

    def trained(self, seed, context):
        path = context.seed(seed) / "mean"
        if not path.is_file():
            raise errors.InputError(f"seed {seed} was not trained")
        return float(path.read_text())

    def evaluate(self, seeds, context):
        for seed in seeds:
            self.trained(seed, context)
        return applications.Evaluation(
            scores=[score("mean", "ours", 1.0), score("zero", "baseline", 2.0)],
            differences=[self.difference("mean", "zero")],
        )

    def difference(self, one, other):
        return applications.Difference(
            one=one, other=other, measure=ERROR, interval=interval(-1.0), basis="paired"
        )

    def export(self, seed, target, context):
        path = target / "mean.json"
        path.write_text(json.dumps({"mean": self.trained(seed, context)}))
        return [Artifact.from_path(path)]

    def run(self, target, inputs, session):
        mean = json.loads((target / "mean.json").read_text())["mean"]
        for path in inputs:
            for number in read(path):
                yield {"number": number, "above": number > mean}


class SaysNothing(Sound):
    """Its record has no line about its data."""


class AddsToTheUsersFile(Sound):
    def prepare(self, source, context):
        card = super().prepare(source, context)
        source.write_text(source.read_text() + "\n")
        return card


class StampsTheTime(Sound):
    def prepare(self, source, context):
        (context.data / "stamp").write_text(str(next(SERIAL)))
        return super().prepare(source, context)


class CountsInNumpy(Sound):
    def prepare(self, source, context):
        card = super().prepare(source, context)
        parts = {name: np.int64(count) for name, count in card.parts.items()}
        return attrs.evolve(card, parts=parts)


class TakesAnything(Sound):
    def prepare(self, source, context):
        try:
            return super().prepare(source, context)
        except errors.InputError:
            return super().prepare(self.write_own(context), context)

    def write_own(self, context):
        path = context.folder / "own"
        path.write_text("1 2 3 4")
        return path


class MarksWhatItRead(Sound):
    def train(self, seed, context):
        super().train(seed, context)
        (context.data / "was_read").touch()


class IgnoresTheStop(Sound):
    def train(self, seed, context):
        try:
            super().train(seed, context)
        except errors.Interrupted:
            super().train(seed, attrs.evolve(context, progress=print))


class TrainsOnDemand(Sound):
    def trained(self, seed, context):
        return 0.0


class CountsSamplesInNumpy(Sound):
    def evaluate(self, seeds, context):
        found = super().evaluate(seeds, context)
        ours, other = found.scores
        counted = attrs.evolve(ours, interval=attrs.evolve(ours.interval, count=np.int64(3)))
        return attrs.evolve(found, scores=[counted, other])


class ComparesWithItself(Sound):
    def evaluate(self, seeds, context):
        found = super().evaluate(seeds, context)
        return attrs.evolve(found, differences=[self.difference("mean", "mean")])


class KeepsItsPath(Sound):
    def export(self, seed, target, context):
        (target / "made_from").write_text(str(context.seed(seed)))
        return super().export(seed, target, context)


class DrawsItsAnswers(Sound):
    def run(self, target, inputs, session):
        for row in super().run(target, inputs, session):
            yield {**row, "serial": next(SERIAL)}


class PassesOverWhatIsMissing(Sound):
    def run(self, target, inputs, session):
        yield from super().run(target, [path for path in inputs if path.exists()], session)

"""A sound score of channels, and the others."""

import itertools

import numpy as np

from deepseek_core import compression

SERIAL = itertools.count()


def _magnitudes(view):
    return np.abs(view.weight).sum(1)


def sound():
    return compression.Score(measure=_magnitudes, needs=("activations", "gradients"))


def forgets_a_channel():
    return compression.Score(measure=lambda view: _magnitudes(view)[1:])


def counts_its_calls():
    return compression.Score(measure=lambda view: _magnitudes(view) + next(SERIAL))


def divides_by_weights():
    return compression.Score(measure=lambda view: 1 / _magnitudes(view), roles=("out", "in"))

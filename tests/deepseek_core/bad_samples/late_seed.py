"""A factory's module that changes the process when it is loaded."""

import random

from bad_samples.tiers import Sound

random.seed(0)

__all__ = ["Sound"]

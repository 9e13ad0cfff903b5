"""What every score of channels promises, as tests that a plugin inherits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import numpy as np
import pytest

from deepseek_core.contracts.compression.score import LayerView, Score
from deepseek_core.discovery.registry import Registered
from deepseek_core.runtime.compressors import open_compressor
from deepseek_core.testing.subject import registry_of
from deepseek_core.testing.traces import TraceRules


class ScoreConformance(TraceRules):
    """Inherit it as `Test...`, set `plugin` and `name`; nothing else is asked for."""

    kind = "compressor"

    def views(self, score: Score) -> Iterator[LayerView]:
        """Layers of several sizes, with what the score asks for and no more."""
        draw = np.random.default_rng(7)
        for role in score.roles:
            for channels, entries in ((8, 9), (16, 288), (1, 1)):
                positive = np.abs(draw.standard_normal((3, channels)))
                seen = "activations" in score.needs
                yield LayerView(
                    layer=f"layer_{channels}",
                    role=role,
                    weight=closed(draw.standard_normal((channels, entries))),
                    rng=np.random.default_rng(3),
                    gain=closed(positive[0]) if channels > 1 else None,
                    mean_activation=closed(positive[1]) if seen else None,
                    active_share=closed(np.minimum(positive[1], 1)) if seen else None,
                    taylor=closed(positive[2]) if "gradients" in score.needs else None,
                )

    def use(self, spec: Registered[object], folder: Path) -> None:
        """Score every layer."""
        score = self._score()
        for view in self.views(score):
            score.measure(view)

    @pytest.fixture
    def score(self, spec: Registered[object]) -> Score:
        """The score of the record."""
        return self._score()

    def _score(self) -> Score:
        opened = open_compressor(self.name, registry=registry_of(self.plugin))
        if not isinstance(opened.compressor, Score):
            pytest.skip(f'target = "{opened.spec.target}": this contract is for scores')
        return opened.compressor

    def test_each_channel_gets_one_finite_figure(self, score: Score) -> None:
        """Channels of small and large layers get one finite figure each, with a norm or without."""
        for view in self.views(score):
            figures = np.asarray(score.measure(view), dtype=float)
            assert figures.shape == (len(view.weight),)
            assert np.isfinite(figures).all()

    def test_equal_layers_get_equal_figures(self, score: Score) -> None:
        """Chance comes from the view's `rng` alone."""
        for one, other in zip(self.views(score), self.views(score), strict=True):
            assert np.array_equal(score.measure(one), score.measure(other))

    def test_channels_of_no_weight_are_worth_something_finite(self, score: Score) -> None:
        """A layer that training made zero."""
        for view in self.views(score):
            zero = attrs.evolve(view, weight=closed(np.zeros_like(view.weight)))
            assert np.isfinite(np.asarray(score.measure(zero), dtype=float)).all()


def closed(array: np.ndarray) -> np.ndarray:
    """The array, which nobody writes to from now on."""
    array.flags.writeable = False
    return array

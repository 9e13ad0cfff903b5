"""The open tier that the rules of tiers work on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from deepseek_core.contracts.tier import Tier
from deepseek_core.discovery.registry import Registered
from deepseek_core.testing.plugin import PluginConformance
from deepseek_core.testing.subject import load


class TierRules(PluginConformance):
    """Fixtures and helpers; the rules stand in the modules beside this one."""

    kind = "tier"
    durable: ClassVar[bool | None] = None
    many: ClassVar[int] = 10_000

    def make_url(self, tmp_path: Path) -> str:
        """A URL that this tier opens, of a place without objects; `tmp_path` is yours."""
        raise NotImplementedError("return a URL from make_url(self, tmp_path)")

    @pytest.fixture
    def url(self, spec: Registered[Any], tmp_path: Path) -> str:
        """Where the objects of one test go."""
        return self.make_url(tmp_path)

    @pytest.fixture
    def tier(self, spec: Registered[Any], url: str) -> Iterator[Tier]:
        """The open tier."""
        with self._open(spec, url) as tier:
            yield tier

    def _open(self, spec: Registered[Any], url: str) -> Tier:
        tier: Tier = load(spec, spec.record.factory)(url)
        return tier

    def _need_durable(self, spec: Registered[Any]) -> None:
        if not (spec.record.durable if self.durable is None else self.durable):
            pytest.skip("durable = False")

"""What every plugin promises, whatever it offers."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from deepseek_core.discovery.installed import installed
from deepseek_core.discovery.probe import probe_devices
from deepseek_core.discovery.registry import Registered, Registry
from deepseek_core.discovery.status import Status
from deepseek_core.testing.facts import Facts, facts_of
from deepseek_core.testing.subject import (
    FIELDS,
    LOCATORS,
    entry_points_of,
    load,
    records_of,
    registry_of,
)

MOST_MODULES: Final = 60
"""Modules beside its own that a plugin may import while plugins are listed."""

_PLAIN: Final = re.compile(r"[a-z][a-z0-9_]*")
_CORE: Final = re.compile(r"deepseek[-_.]core\b[^;]*", re.IGNORECASE)
_UPPER_BOUNDS: Final = ("<", "==", "~=")


class PluginConformance:
    """Base of all: set `plugin` (its entry point's name) and, for one record, `name`.

    `waivers` excuses rules by the name of their test; each needs its reason in words.
    A class without a `plugin` is not collected.
    """

    __test__: ClassVar[bool] = False
    generated: ClassVar[bool] = False  # by the suite, for a record without a class of its own
    plugin: ClassVar[str]
    name: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    waivers: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        cls.__test__ = hasattr(cls, "plugin")

    @pytest.fixture(autouse=True)
    def _waiver(self, request: pytest.FixtureRequest) -> None:
        """Skip a rule that is excused, and say why."""
        rule = request.node.originalname
        if rule in self.waivers:
            reason = self.waivers[rule].strip()
            assert reason, f"the waiver of {rule} gives no reason"
            pytest.skip(f"waived: {reason}")

    @pytest.fixture
    def facts(self) -> Facts:
        """What listing the plugin does to a fresh process."""
        facts = facts_of(self.plugin)
        if not facts.loads:
            pytest.skip(f"the plugin does not load: {facts.why}")
        return facts

    @pytest.fixture
    def registry(self, facts: Facts) -> Registry:
        """This plugin alone, as discovery finds it."""
        return registry_of(self.plugin)

    @pytest.fixture
    def spec(self, registry: Registry) -> Registered[Any]:
        """The record `name`, or the first of its kind."""
        offered = getattr(registry, FIELDS[self.kind])
        found = [r for r in offered if self.name in ("", r.record.name)]
        names = ", ".join(r.record.name for r in offered) or "none"
        assert found, f"plugin {self.plugin!r} has no {self.kind} {self.name!r}; it has {names}"
        if not found[0].usable:
            pytest.skip(f"{found[0].reason} -> {found[0].remedy}")
        registered: Registered[Any] = found[0]
        return registered

    def test_it_loads(self) -> None:
        """Found, compatible, imported, and its hooks answer with records."""
        facts = facts_of(self.plugin)
        assert facts.loads, facts.why

    def test_its_import_is_light(self, facts: Facts) -> None:
        """Listing plugins must stay quick: no heavy library, and few modules."""
        assert not facts.heavy, f"its hooks import {', '.join(facts.heavy)}; defer that"
        assert facts.modules <= MOST_MODULES

    def test_its_import_prints_nothing(self, facts: Facts) -> None:
        """Neither to stdout nor to stderr; `ds-sdk list-plugins --json` is read by scripts."""
        assert facts.output == ""

    def test_listing_leaves_no_thread_and_no_file(self, facts: Facts) -> None:
        """Nothing is opened or started before someone asks for it."""
        assert not facts.left_open

    def test_listing_leaves_the_process_as_it_was(self, facts: Facts) -> None:
        """Environment, working folder, path, signals and the library's functions."""
        assert not facts.changed

    def test_listing_twice_gives_the_same(self, facts: Facts) -> None:
        """Hooks may be asked any number of times."""
        assert facts.repeats

    def test_a_fresh_process_finds_the_same(self, facts: Facts, registry: Registry) -> None:
        """Workers list plugins themselves and must agree with their parent."""
        assert list(facts.records) == [repr(r.record) for _, r in records_of(registry)]

    def test_it_keeps_secrets(self, facts: Facts) -> None:
        """No setting appears in the text of a record, a log line or an error."""
        assert not facts.told, f"a secret setting is shown in {', '.join(facts.told)}"

    def test_its_records_survive_a_copy(self, registry: Registry) -> None:
        """Records are plain values: a copy is equal and hashes alike where they hash."""
        for _, registered in records_of(registry):
            twin = copy.deepcopy(registered.record)
            assert twin == registered.record
            assert hash(twin) == hash(registered.record)

    def test_its_name_is_plain(self) -> None:
        """Lower-case letters, digits and underscores: it is typed on command lines."""
        assert _PLAIN.fullmatch(self.plugin), f"rename the entry point {self.plugin!r}"

    def test_it_bounds_the_version_of_the_core(self) -> None:
        """It requires `deepseek-core` with an upper bound, so that pip keeps it from breaking."""
        (point, *_) = entry_points_of(self.plugin)
        wanted = [line for line in _required(point.dist) if _CORE.match(line)]
        assert wanted, f"{point.dist} does not require deepseek-core"
        bound = _CORE.match(wanted[0])
        assert bound is not None
        assert any(sign in bound[0] for sign in _UPPER_BOUNDS), f"no upper bound: {wanted[0]}"

    def test_what_its_records_name_can_be_loaded(self, registry: Registry) -> None:
        """Every factory, probe and function is there and can be called."""
        for _, registered in records_of(registry):
            for locator in _locators(registered):
                assert callable(load(registered, locator)), f"{locator} can't be called"

    def test_its_probes_answer(self, registry: Registry, tmp_path: Path) -> None:
        """In time, in a process of their own; what is not there has a reason and a remedy."""
        limit_s = registry.switches.probe_timeout_s
        for found in probe_devices(registry, timeout_s=limit_s, cache_dir=tmp_path, refresh=True):
            assert found.status is not Status.BROKEN, f"{found.reason} -> {found.remedy}"
            assert found.rows or found.reason, f"{found.spec.name}: no device and no reason"
            for row in found.rows:
                said = row.status == "available" or (row.reason and row.remedy)
                assert said, f"{row.id} is unavailable without a reason or a remedy"


def _required(dist: str) -> list[str]:
    """What a distribution requires, as its metadata has it."""
    mine = installed(dist)
    return [] if mine is None else list(mine.required())


def _locators(registered: Registered[Any]) -> list[str]:
    if not registered.usable:
        return []
    found = (getattr(registered.record, field, None) for field in LOCATORS)
    return [locator for locator in found if locator is not None]

"""What every plugin promises, whatever it offers."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import pytest

from deepseek_core.discovery.installed import installed
from deepseek_core.discovery.registry import Registered, Registry
from deepseek_core.discovery.status import Status
from deepseek_core.testing.facts import Facts, facts_of, probe_traces
from deepseek_core.testing.subject import (
    FIELDS,
    entry_points_of,
    load,
    locators_of,
    probed,
    records_of,
    registry_of,
)
from deepseek_core.testing.watching import COPY, Traces

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
        assert not facts.listing.left_open

    def test_listing_leaves_the_process_as_it_was(self, facts: Facts) -> None:
        """Working folder, signals, random state and all else that other code relies on."""
        assert not facts.listing.changed

    def test_listing_writes_nothing(self, facts: Facts) -> None:
        """No file, no folder: plugins are listed by whoever, wherever, many times a day."""
        assert not facts.listing.wrote

    def test_listing_calls_nobody(self, facts: Facts) -> None:
        """No connection and no look-up of an address before someone asks for it."""
        assert not facts.listing.called

    def test_listing_starts_no_program(self, facts: Facts) -> None:
        """Neither another program nor a copy of the process."""
        assert not facts.listing.started

    def test_leaving_is_silent(self, facts: Facts) -> None:
        """After a listing the process ends in time, and without a word into anyone's JSON."""
        assert not facts.parting

    def test_loading_its_code_leaves_the_process_as_it_was(self, facts: Facts) -> None:
        """Modules of factories and probes change no more than the hooks may."""
        assert not facts.code.changed

    def test_loading_its_code_touches_nothing_outside(self, facts: Facts) -> None:
        """It writes no file, connects to nothing, starts no program."""
        assert not (*facts.code.wrote, *facts.code.called, *facts.code.started)

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
            for locator in locators_of(registered):
                assert callable(load(registered, locator)), f"{locator} can't be called"

    def test_its_probes_answer(self, registry: Registry) -> None:
        """In time, in a process of their own; what is not there has a reason and a remedy."""
        for found in probed(self.plugin):
            assert found.status is not Status.BROKEN, f"{found.reason} -> {found.remedy}"
            assert found.rows or found.reason, f"{found.spec.name}: no device and no reason"
            for row in found.rows:
                said = row.status == "available" or (row.reason and row.remedy)
                assert said, f"{row.id} is unavailable without a reason or a remedy"

    def test_its_probes_leave_the_process_as_it_was(self, registry: Registry) -> None:
        """A session may look for devices again, in the middle of its work."""
        for locator, traces in _probe_traces(self.plugin, registry):
            assert not traces.changed, locator

    def test_its_probes_touch_nothing_outside(self, registry: Registry) -> None:
        """They write no file and connect to nothing; they may ask a driver's tool."""
        for locator, traces in _probe_traces(self.plugin, registry):
            assert not (*traces.wrote, *traces.called), locator

    def test_its_probes_leave_no_process(self, registry: Registry) -> None:
        """A program that they start has ended; they make no copy of the process."""
        for locator, traces in _probe_traces(self.plugin, registry):
            left = [name for name in traces.left_open if name.startswith("process ")]
            copies = [name for name in traces.started if name == COPY]
            assert not (*left, *copies), locator


def _probe_traces(plugin: str, registry: Registry) -> Iterator[tuple[str, Traces]]:
    """What each probe does; of those that give no answer another rule tells."""
    found = (registered for _, registered in records_of(registry) if registered.usable)
    named = (getattr(registered.record, "probe", None) for registered in found)
    for locator in dict.fromkeys(filter(None, named)):
        traces = probe_traces(plugin, locator, registry.switches.probe_timeout_s)
        if traces is not None:
            yield locator, traces


def _required(dist: str) -> list[str]:
    """What a distribution requires, as its metadata has it."""
    mine = installed(dist)
    return [] if mine is None else list(mine.required())

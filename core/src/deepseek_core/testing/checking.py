"""Checks a plugin: the rules of each class in a process of their own, which may crash or hang."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import attrs

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.discovery.distributions import import_path
from deepseek_core.discovery.installed import core_version
from deepseek_core.discovery.isolated import end_group
from deepseek_core.discovery.scan import EntryPoint
from deepseek_core.discovery.telemetry import without_telemetry
from deepseek_core.testing.leaks import TOKEN
from deepseek_core.testing.report import GENERAL, Report, Verdict

_POLL_S: Final = 0.02
_START_S: Final = 60.0
_TAIL: Final = 600
_MOST_HUNG: Final = 3  # rules of a class: each costs all of its time
_WELL_ENDED: Final = (0, 1, 5)  # pytest: all passed, some failed, none collected

Progress = Callable[[Verdict], None]


def check(
    point: EntryPoint,
    *,
    timeout_s: float,
    groups: Sequence[str] = (),
    progress: Progress = lambda _verdict: None,
) -> Report:
    """Run every rule of a plugin, at most `timeout_s` seconds each; `groups` limits them.

    Raises:
        ConfigError: there is no such group of rules for this plugin.
    """
    with tempfile.TemporaryDirectory(prefix="deepseek-check-") as folder:
        (Path(folder) / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        run = _Checker(point.name, Path(folder), timeout_s, progress)
        if groups:
            run.collect()
            run.limit(groups)
        else:
            run.collect_and_begin()
        run.all_classes()
    return Report(
        plugin=point.name,
        dist=point.dist,
        version=point.version,
        core=core_version(),
        verdicts=run.verdicts,
    )


@attrs.frozen(kw_only=True)
class _Rule:
    """A rule as pytest collected it."""

    id: str
    group: str
    subject: str
    rule: str
    title: str

    def verdict(self, **fields: Any) -> Verdict:
        return Verdict(
            group=self.group, subject=self.subject, rule=self.rule, title=self.title, **fields
        )


@attrs.frozen(kw_only=True)
class _Run:
    """How one process ended: its events, its exit code (None if killed), its last words."""

    events: list[dict[str, Any]]
    code: int | None
    said: str


class _Checker:
    def __init__(self, plugin: str, folder: Path, timeout_s: float, progress: Progress) -> None:
        self._plugin, self._folder = plugin, folder
        self._timeout_s, self._progress = timeout_s, progress
        self._rules: dict[str, _Rule] = {}
        self._left: dict[str, _Rule] = {}  # without an outcome, of those that run now
        self.verdicts: list[Verdict] = []

    def collect(self) -> None:
        """Find the rules; what keeps them from being found is a verdict."""
        run = self._pytest(["--collect-only"], tell=self._found)
        if (not self._rules and not self.verdicts) or run.code not in (*_WELL_ENDED, 2, 3):
            outcome, text = _how(run, self._timeout_s)
            self._add(_uncollected(outcome, text))

    def collect_and_begin(self) -> None:
        """The same, and what holds for all plugins, in the process that has found it."""

        def tell(event: dict[str, Any]) -> None:
            self._found(event)
            if event["event"] == "found" and event["group"] == GENERAL:
                self._left[event["id"]] = self._rules[event["id"]]
            self._ended(event)

        run = self._pytest(["--ds-group", GENERAL], tell=tell)
        general = [rule for rule in self._rules.values() if rule.group == GENERAL]
        if general:
            self._class(general, run)
        elif not self.verdicts:
            self._add(_uncollected(*_how(run, self._timeout_s)))
        self._rules = {k: rule for k, rule in self._rules.items() if rule.group != GENERAL}

    def _found(self, event: dict[str, Any]) -> None:
        if event["event"] == "found":
            fields = {key: value for key, value in event.items() if key != "event"}
            self._rules[event["id"]] = _Rule(**fields)
        elif event["event"] == "uncollected":
            self._add(_uncollected("failed", event["text"]))

    def limit(self, groups: Sequence[str]) -> None:
        """Keep the rules of these groups."""
        known = list(dict.fromkeys(rule.group for rule in self._rules.values()))
        for name in groups:
            if name not in known:
                raise ConfigError(
                    f"plugin {self._plugin!r} has no group of rules {name!r}",
                    remedy=f"use one of {', '.join(known)}",
                )
        if groups:
            self._rules = {k: rule for k, rule in self._rules.items() if rule.group in groups}

    def all_classes(self) -> None:
        """Run what holds for all plugins, then one class after the other."""
        classes: dict[tuple[bool, str], list[_Rule]] = {}
        for rule in self._rules.values():
            general = rule.group == GENERAL
            classes.setdefault((not general, "" if general else rule.subject), []).append(rule)
        for _, rules in sorted(classes.items()):
            self._class(rules)

    def _class(self, rules: list[_Rule], run: _Run | None = None) -> None:
        """Run these rules; whoever ends the process is named, and the others go on.

        `run` is the first process, where it has ended already.
        """
        if run is None:
            self._left = {rule.id: rule for rule in rules}
        left, hung = self._left, 0
        while run is not None or (left and hung < _MOST_HUNG):
            if run is None:
                run = self._pytest([], only=list(left), tell=self._ended)
            if not left:
                self._check_end(run, rules[-1])
                return
            outcome, text = _how(run, self._timeout_s)
            self._add(left.pop(_culprit(run, left)).verdict(outcome=outcome, text=text))
            hung, run = hung + (outcome == "hung"), None
        for rule in left.values():
            self._add(rule.verdict(outcome="skipped", text=f"not tried: {hung} rules before hung"))

    def _ended(self, event: dict[str, Any]) -> None:
        if event["event"] == "end" and event["id"] in self._left:
            fields = {key: event[key] for key in ("outcome", "text", "seconds")}
            self._add(self._left.pop(event["id"]).verdict(**fields))

    def _check_end(self, run: _Run, last: _Rule) -> None:
        """A process that does its work and crashes when it leaves did not do well."""
        if run.code in _WELL_ENDED:
            return
        outcome, text = _how(run, self._timeout_s)
        rule = attrs.evolve(
            last, rule="test_the_process_ends_well", title="After all rules of the group."
        )
        self._add(rule.verdict(outcome=outcome, text=text))

    def _add(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        self._progress(verdict)

    def _pytest(
        self,
        more: list[str],
        only: Iterable[str] | None = None,
        tell: Callable[[dict[str, Any]], None] = lambda _event: None,
    ) -> _Run:
        """Run pytest and watch it; `tell` gets each event as it comes."""
        events, output, wanted = (self._folder / n for n in ("events", "output", "only"))
        events.unlink(missing_ok=True)
        if only is not None:
            wanted.write_text("\n".join(only), encoding="utf-8")
            more = [*more, "--ds-only", str(wanted)]
        command = [
            *(sys.executable, "-P", "-m", "pytest", "-q", "-c", "pytest.ini", "--rootdir=."),
            *("-p", "no:cacheprovider", "--import-mode=importlib", "--basetemp=temp"),
            *("-p", "deepseek_core.testing", "--pyargs", "deepseek_core.testing.suite"),
            *("--ds-plugin", self._plugin, "--ds-events", str(events)),
            *("--ds-facts", str(self._folder / "facts.json"), *more),
        ]
        with output.open("wb") as stream:
            child = subprocess.Popen(
                command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
            )
            followed = _Followed(events, tell)
            code = self._watch(child, followed)
        followed.look()
        return _Run(events=followed.seen, code=code, said=_tail(output))

    def _watch(self, child: subprocess.Popen[bytes], events: _Followed) -> int | None:
        """Wait for the end, or for a rule over its time; None if it had to be killed."""
        since_s = time.monotonic()
        try:
            while (code := child.poll()) is None:
                if events.look():
                    since_s = time.monotonic()
                elif time.monotonic() - since_s > self._patience_s(begun=bool(events.seen)):
                    return None
                time.sleep(_POLL_S)
            return code
        finally:
            end_group(child)

    def _patience_s(self, *, begun: bool) -> float:
        """Until the first word pytest and the plugin are imported, which no rule pays for."""
        return self._timeout_s if begun else max(self._timeout_s, _START_S)


class _Followed:
    """Lines of JSON that another process writes, told as they come."""

    def __init__(self, file: Path, tell: Callable[[dict[str, Any]], None]) -> None:
        self._file, self._tell = file, tell
        self._offset = 0
        self.seen: list[dict[str, Any]] = []

    def look(self) -> bool:
        """Read what came since; whether anything did. A line that is cut off is left for later."""
        if not self._file.exists() or self._file.stat().st_size == self._offset:
            return False
        with self._file.open("rb") as stream:
            stream.seek(self._offset)
            whole, _, _ = stream.read().rpartition(b"\n")
        if not whole:
            return False
        self._offset += len(whole) + 1
        for line in whole.split(b"\n"):
            event = json.loads(line)
            self.seen.append(event)
            self._tell(event)
        return True


def _environment() -> dict[str, str]:
    """The user's, without what would change how pytest works; our path, and no other plugin."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")}
    path = os.pathsep.join(import_path())
    return {
        **without_telemetry(kept),
        "PYTHONPATH": path,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        TOKEN: uuid4().hex,
    }


def _tail(output: Path) -> str:
    text = output.read_bytes()[-4 * _TAIL :].decode("utf-8", "replace")
    return text.strip()[-_TAIL:]


def _culprit(run: _Run, left: Iterable[str]) -> str:
    """The rule that began and did not end; the first if none began."""
    begun = [event["id"] for event in run.events if event["event"] == "start"]
    waiting = list(left)
    return next((name for name in reversed(begun) if name in waiting), waiting[0])


def _how(run: _Run, timeout_s: float) -> tuple[Any, str]:
    """Outcome and reason of a process that did not end well."""
    if run.code is None:
        return "hung", f"no end in {timeout_s:g} s, so it was killed"
    if run.code < 0:
        return "crashed", f"the process died of {_signal_name(-run.code)}; {run.said}"
    return "crashed", f"the process left with code {run.code}; {run.said}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _uncollected(outcome: Any, text: str) -> Verdict:
    return Verdict(
        group=GENERAL,
        subject="",
        rule="test_its_rules_can_be_collected",
        title="The classes that it ships can be imported.",
        outcome=outcome,
        text=text,
    )

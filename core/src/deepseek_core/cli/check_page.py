"""A report as one HTML file that needs nothing else: for people, in any browser."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

from deepseek_core.cli.html import scrolled, write_html
from deepseek_core.testing.report import BAD, Report, Verdict

_NAMES: Final = {
    "plugin": "What every plugin promises",
    "device": "Answers of the device",
    "device_life": "Life of the device: jobs, closing, caches",
    "device_steady": "The device over sizes and many runs",
    "operators": "Standard operators",
    "tier": "Storage tier",
    "tier_shared": "The tier under many: openings, processes, keys",
    "strategy": "Parallel strategy",
    "compressor": "Compressor",
    "model_compressor": "Compressor of models",
    "score": "Score of channels",
    "frontend": "Frontend",
    "command": "Command",
    "executor": "Executor",
    "application": "Application",
    "traces": "What its use leaves behind",
    "own": "The plugin's own rules",
}
_SIGNS: Final = {
    "passed": "✓",
    "failed": "✗",
    "crashed": "✗",
    "hung": "✗",
    "skipped": "–",
    "not implemented": "○",
}


def write_page(path: Path, report: Report) -> None:
    """Write the page whole or not at all."""
    groups = (_group(group, subject, rules) for (group, subject), rules in report.groups().items())
    write_html(path, f"Conformance of {report.plugin}", "\n".join([_head(report), *groups]))


def _head(report: Report) -> str:
    facts = (
        f"{report.dist} {report.version}, deepseek-core {report.core}, "
        f"Python {report.python}, {report.system}"
    )
    tone, words = ("good", "conforms") if report.passed else ("bad", "does not conform")
    counts = "".join(
        f'<div><b class="{_tone(outcome) if count else "soft"}">{count}</b>'
        f"<span>{outcome}</span></div>"
        for outcome, count in report.counts.items()
    )
    return (
        f'<p class="soft">{escape(facts)}</p>\n'
        f'<p class="{tone}"><strong>{_SIGNS["passed" if report.passed else "failed"]} '
        f'{escape(report.plugin)} {words}</strong></p>\n<div class="figures">{counts}</div>'
    )


def _group(group: str, subject: str, rules: list[Verdict]) -> str:
    name = _NAMES.get(group, group)
    rows = "\n".join(map(_row, rules))
    head = "".join(f'<th scope="col">{text}</th>' for text in ("outcome", "rule", "time"))
    body = f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"
    return (
        f'<h2>{escape(name)} <span class="soft">{escape(subject)}</span></h2>\n'
        f"{scrolled(body, f'{name} {subject}')}"
    )


def _row(verdict: Verdict) -> str:
    tone = _tone(verdict.outcome)
    text = ""
    if verdict.text:
        tag = "pre" if verdict.outcome in BAD else "p"
        text = f'<{tag} class="soft">{escape(verdict.text)}</{tag}>'
    return (
        f'<tr><td class="{tone}">{_SIGNS[verdict.outcome]} {escape(verdict.outcome)}</td>'
        f'<td>{escape(verdict.sentence)}<p class="soft">{escape(verdict.title)}</p>{text}</td>'
        f'<td class="n soft">{verdict.seconds:.2f} s</td></tr>'
    )


def _tone(outcome: str) -> str:
    if outcome in BAD:
        return "bad"
    return "good" if outcome == "passed" else "soft"

"""A report as one HTML file that needs nothing else: for people, in any browser."""

from __future__ import annotations

from html import escape
from typing import Final

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
_STYLE: Final = """
:root { color-scheme: light dark; --line: #d8dee4; --soft: #57606a; --good: #1a7f37;
  --bad: #cf222e; --page: #fff; --block: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --line: #30363d; --soft: #8b949e; --good: #3fb950;
  --bad: #f85149; --page: #0d1117; --block: #161b22; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 58rem; margin: 2rem auto; padding: 0 1rem;
  background: var(--page); }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
p { margin: .2rem 0; } .soft { color: var(--soft); }
.verdict { display: inline-block; font-weight: 600; margin-top: .8rem; }
.counts { display: flex; gap: 1.6rem; flex-wrap: wrap; margin: 1rem 0; padding: .8rem 1rem;
  background: var(--block); border: 1px solid var(--line); border-radius: 6px; }
.counts b { font-size: 1.3rem; display: block; line-height: 1.2; }
table { border-collapse: collapse; width: 100%; }
td { border-top: 1px solid var(--line); padding: .35rem .5rem; vertical-align: top; }
td.sign { width: 1.2rem; text-align: center; font-weight: 700; }
td.outcome { white-space: nowrap; width: 8rem; } td.time { text-align: right; width: 4.5rem;
  color: var(--soft); white-space: nowrap; font-variant-numeric: tabular-nums; }
pre { margin: .3rem 0; padding: .5rem .7rem; white-space: pre-wrap; overflow-wrap: anywhere;
  background: var(--block); border: 1px solid var(--line); border-radius: 6px; font-size: 12.5px; }
.good { color: var(--good); } .bad { color: var(--bad); } .mild { color: var(--soft); }
"""


def as_html(report: Report) -> str:
    """The whole page."""
    title = f"Conformance of {report.plugin}"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            _head(report, title),
            *(_group(group, subject, rules) for (group, subject), rules in report.groups().items()),
            "</body>\n</html>\n",
        ]
    )


def _head(report: Report, title: str) -> str:
    facts = (
        f"{report.dist} {report.version}, deepseek-core {report.core}, "
        f"Python {report.python}, {report.system}"
    )
    tone, words = ("good", "conforms") if report.passed else ("bad", "does not conform")
    counts = "".join(
        f'<span class="{_tone(outcome) if count else "mild"}"><b>{count}</b>{outcome}</span>'
        for outcome, count in report.counts.items()
    )
    return (
        f'<h1>{escape(title)}</h1>\n<p class="soft">{escape(facts)}</p>\n'
        f'<p class="verdict {tone}">{_SIGNS["passed" if report.passed else "failed"]} '
        f'{escape(report.plugin)} {words}</p>\n<div class="counts">{counts}</div>'
    )


def _group(group: str, subject: str, rules: list[Verdict]) -> str:
    name = _NAMES.get(group, group)
    rows = "\n".join(map(_row, rules))
    return (
        f'<h2>{escape(name)} <span class="soft">{escape(subject)}</span></h2>\n'
        f"<table>\n{rows}\n</table>"
    )


def _row(verdict: Verdict) -> str:
    tone = _tone(verdict.outcome)
    text = ""
    if verdict.text:
        tag = "pre" if verdict.outcome in BAD else "p"
        text = f'<{tag} class="soft">{escape(verdict.text)}</{tag}>'
    return (
        f'<tr><td class="sign {tone}">{_SIGNS[verdict.outcome]}</td>'
        f'<td>{escape(verdict.sentence)}<p class="soft">{escape(verdict.title)}</p>{text}</td>'
        f'<td class="outcome {tone}">{escape(verdict.outcome)}</td>'
        f'<td class="time">{verdict.seconds:.2f} s</td></tr>'
    )


def _tone(outcome: str) -> str:
    if outcome in BAD:
        return "bad"
    return "good" if outcome == "passed" else "mild"

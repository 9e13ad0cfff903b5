"""The page: one file with its style, its script and uPlot inside; it asks nobody but us."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Final

import msgspec

from deepseek_observe.monitor.alerts import Rule
from deepseek_observe.monitor.families import PANELS

_HERE: Final = files("deepseek_observe.monitor.web")


def page(rules: tuple[Rule, ...]) -> tuple[bytes, str]:
    """The page, and the policy that lets a browser run nothing but what is in it."""
    style = _read("uPlot.min.css") + _read("page.css")
    licence = "/* uPlot 1.6.32\n" + _read("uPlot.LICENSE") + "\n*/\n"
    script = (
        licence + _read("uPlot.iife.min.js") + _read("page.js").replace("{{facts}}", _facts(rules))
    )
    text = _read("page.html").replace("{{style}}", style).replace("{{script}}", script)
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return text.encode(), policy


def _facts(rules: tuple[Rule, ...]) -> str:
    """What the script knows of the metric families: no text of a user is in it."""
    panels = [[one.name, one.panel, one.shown_unit, one.why_absent] for one in PANELS]
    limits = {rule.family: rule.threshold for rule in rules if not rule.is_floor}
    return msgspec.json.encode({"panels": panels, "limits": limits}).decode()


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

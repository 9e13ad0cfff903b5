"""`ds-sdk app list`: applications of all plugins."""

from __future__ import annotations

import argparse
from typing import Final

from deepseek_core import applications, console

EXAMPLES: Final = """examples:
  ds-sdk app list
  ds-sdk app list --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print a row for each; one that lacks something says what."""
    offers = applications.offers()
    if args.json:
        console.print_json({"schema": 1, "applications": [_fact(o) for o in offers.values()]})
        return 0
    if not offers:
        console.print_text("no plugin offers an application")
        return 0
    rows = [
        (offer.spec.name, ", ".join(offer.spec.tasks), offer.dist, offer.spec.data, _note(offer))
        for offer in offers.values()
    ]
    console.print_table(("NAME", "DECIDES", "DIST", "DATA", "WHAT IT IS"), rows)
    return 0


def _note(offer: applications.Offer) -> str:
    if offer.reason is None:
        return offer.spec.summary
    return f"{offer.reason} -> {offer.remedy}"


def _fact(offer: applications.Offer) -> dict[str, object]:
    return {
        "name": offer.spec.name,
        "tasks": list(offer.spec.tasks),
        "data": offer.spec.data,
        "summary": offer.spec.summary,
        "plugin": offer.plugin,
        "dist": offer.dist,
        "version": offer.version,
        "reason": offer.reason,
        "remedy": offer.remedy,
    }

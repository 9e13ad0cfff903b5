"""What a plugin's command shares with ours: parser, progress, tables, pages, caches, remedies.

Plugins import it from the face: `from deepseek_core import console`.
"""

from __future__ import annotations

import argparse

from deepseek_core.cli.charts import Axis, Bar, Point, bar_chart, line_chart, scatter, timeline
from deepseek_core.cli.groups import CommandGroup
from deepseek_core.cli.html import figure, legend, scrolled, table, write_html
from deepseek_core.cli.outputs import check_writable
from deepseek_core.cli.parser import CommandParser
from deepseek_core.cli.progress import ProgressReporter
from deepseek_core.cli.table import print_table, print_text, render_table
from deepseek_core.contracts.units import format_bytes, format_seconds
from deepseek_core.discovery.folders import cache_dir
from deepseek_core.discovery.installing import install_command, update_command

__all__ = [
    "Axis",
    "Bar",
    "CommandGroup",
    "Point",
    "ProgressReporter",
    "bar_chart",
    "cache_dir",
    "check_writable",
    "command_parser",
    "figure",
    "format_bytes",
    "format_seconds",
    "install_command",
    "legend",
    "line_chart",
    "print_table",
    "print_text",
    "render_table",
    "scatter",
    "scrolled",
    "table",
    "timeline",
    "update_command",
    "write_html",
]


def command_parser(name: str, *, summary: str, examples: str) -> argparse.ArgumentParser:
    """A parser for `ds-sdk NAME`, whose mistakes are told like every other error's.

    Parsers made by its `add_subparsers()` are of the same kind.
    """
    return CommandParser(
        prog=f"ds-sdk {name}", description=summary, epilog=examples, allow_abbrev=False
    )

"""What a plugin's command shares with ours: parser, progress, tables, pages, caches, remedies.

Plugins import it from the public API: `from deepseek_core import console`.
"""

from __future__ import annotations

from deepseek_core.cli.amounts import nbytes_of, seconds_of
from deepseek_core.cli.groups import CommandGroup
from deepseek_core.cli.html import line_chart, table, write_html
from deepseek_core.cli.outputs import check_writable
from deepseek_core.cli.parser import command_parser
from deepseek_core.cli.progress import ProgressReporter
from deepseek_core.cli.table import print_table, render_table
from deepseek_core.contracts.units import format_bytes, format_seconds
from deepseek_core.discovery.folders import cache_dir
from deepseek_core.discovery.installing import install_command, update_command

__all__ = [
    "CommandGroup",
    "ProgressReporter",
    "cache_dir",
    "check_writable",
    "command_parser",
    "format_bytes",
    "format_seconds",
    "install_command",
    "line_chart",
    "nbytes_of",
    "print_table",
    "render_table",
    "seconds_of",
    "table",
    "update_command",
    "write_html",
]
